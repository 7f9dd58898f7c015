//! The floor of what forwarding a packet costs on this machine: protecting it once for each viewer and handing it to the
//! kernel, by the cheapest of the calls that send many datagrams.
//!
//! Everything is done on one thread on loopback and timed by that thread's CPU time, so that a neighbour on the same
//! cores does not count. Receivers are emptied between rounds, outside the time.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, sendmmsg, sendmsg};
use nix::time::{ClockId, clock_gettime};

/// Bytes of an RTP header with the extensions that calls use, which GCM authenticates and leaves in the clear (RFC 7714).
const HEADER_BYTES: usize = 20;
/// Bytes of the authentication tag.
pub(crate) const TAG_BYTES: usize = 16;
/// Messages that one `sendmmsg` takes, as the server sends them.
pub(crate) const MESSAGES_MAX: usize = 64;

/// What is measured.
pub struct Load {
    /// Viewers: each has its own key and address.
    pub destinations: usize,
    /// Packets in a row for one viewer, as a picture has them.
    pub run: usize,
    /// Bytes of an RTP packet without its tag.
    pub bytes: usize,
    /// How long each figure is measured.
    pub time: Duration,
}

/// Nanoseconds of CPU per packet.
struct Floor {
    protect: f64,
    single: f64,
    sendmmsg: f64,
    gso: f64,
    gso_many: f64,
}

pub(crate) struct Ground {
    socket: UdpSocket,
    pub(crate) receivers: Vec<UdpSocket>,
    pub(crate) addresses: Vec<Option<SockaddrIn>>,
    keys: Vec<LessSafeKey>,
}

impl Ground {
    pub(crate) fn new(destinations: usize) -> Result<Ground> {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("a port on loopback");
        let receivers: Vec<UdpSocket> = (0..destinations).map(|_| bind()).collect::<Result<_>>()?;
        let mut addresses = Vec::new();
        for receiver in &receivers {
            receiver.set_nonblocking(true)?;
            addresses
                .push(Some(SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, receiver.local_addr()?.port()))));
        }
        let key = |index: usize| {
            let bytes: Vec<u8> = (0..16).map(|byte| (index * 31 + byte) as u8).collect();
            UnboundKey::new(&AES_128_GCM, &bytes).map(LessSafeKey::new).map_err(|_| anyhow::anyhow!("a key"))
        };
        let keys = (0..destinations).map(key).collect::<Result<_>>()?;
        Ok(Ground { socket: bind()?, receivers, addresses, keys })
    }

    fn empty_receivers(&self) {
        let mut bytes = [0; 2_048];
        for receiver in &self.receivers {
            while receiver.recv(&mut bytes).is_ok() {}
        }
    }

    /// Sends every packet by a call of its own.
    fn single(&self, packets: &[Vec<u8>], run: usize) -> Result<()> {
        for address in &self.addresses {
            for packet in &packets[..run] {
                sendmsg(self.socket.as_raw_fd(), &[IoSlice::new(packet)], &[], MsgFlags::empty(), address.as_ref())?;
            }
        }
        Ok(())
    }

    /// Sends as many as possible by one call, whoever they are for.
    pub(crate) fn sendmmsg(
        &self,
        packets: &[Vec<u8>],
        run: usize,
        headers: &mut MultiHeaders<SockaddrIn>,
        to: &[Option<SockaddrIn>],
    ) -> Result<()> {
        let slices: Vec<[IoSlice<'_>; 1]> = (0..to.len()).map(|index| [IoSlice::new(&packets[index % run])]).collect();
        for (slices, to) in slices.chunks(MESSAGES_MAX).zip(to.chunks(MESSAGES_MAX)) {
            sendmmsg(self.socket.as_raw_fd(), headers, slices, to, [], MsgFlags::empty())?;
        }
        Ok(())
    }

    /// Sends a run to one viewer by one call, which the kernel cuts.
    fn gso(&self, packets: &[Vec<u8>], run: usize) -> Result<()> {
        let size = u16::try_from(packets[0].len()).context("a datagram's size")?;
        let slices: Vec<IoSlice<'_>> = packets[..run].iter().map(|packet| IoSlice::new(packet)).collect();
        for address in &self.addresses {
            let segments = [ControlMessage::UdpGsoSegments(&size)];
            sendmsg(self.socket.as_raw_fd(), &slices, &segments, MsgFlags::empty(), address.as_ref())?;
        }
        Ok(())
    }

    /// Sends a run to each of many viewers by one call; the kernel cuts each.
    pub(crate) fn gso_many(
        &self,
        packets: &[Vec<u8>],
        run: usize,
        headers: &mut MultiHeaders<SockaddrIn>,
    ) -> Result<()> {
        let size = u16::try_from(packets[0].len()).context("a datagram's size")?;
        let slices: Vec<IoSlice<'_>> = packets[..run].iter().map(|packet| IoSlice::new(packet)).collect();
        let messages = vec![&slices[..]; MESSAGES_MAX];
        for to in self.addresses.chunks(MESSAGES_MAX) {
            let segments = [ControlMessage::UdpGsoSegments(&size)];
            sendmmsg(self.socket.as_raw_fd(), headers, &messages[..to.len()], to, segments, MsgFlags::empty())?;
        }
        Ok(())
    }

    /// Encrypts each packet for each viewer, into a buffer of its own as the server must.
    pub(crate) fn protect(&self, packet: &[u8], run: usize, counter: &mut u64, out: &mut Vec<u8>) -> Result<()> {
        for key in &self.keys {
            for _ in 0..run {
                *counter += 1;
                let mut nonce = [0; 12];
                nonce[4..].copy_from_slice(&counter.to_be_bytes());
                out.clear();
                out.extend_from_slice(packet);
                let (header, payload) = out.split_at_mut(HEADER_BYTES);
                let tag = key
                    .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&*header), payload)
                    .map_err(|_| anyhow::anyhow!("GCM refused a packet"))?;
                out.extend_from_slice(tag.as_ref());
            }
        }
        Ok(())
    }
}

pub(crate) fn cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Nanoseconds per packet of `round`, which handles `packets` of them.
fn measure(
    time: Duration,
    packets: usize,
    mut round: impl FnMut() -> Result<()>,
    mut between: impl FnMut(),
) -> Result<f64> {
    let (mut spent, mut rounds) = (Duration::ZERO, 0_u32);
    while spent < time {
        let start = cpu_time()?;
        round()?;
        spent += cpu_time()? - start;
        rounds += 1;
        between();
    }
    Ok(spent.as_nanos() as f64 / f64::from(rounds) / packets as f64)
}

fn floor(load: &Load) -> Result<Floor> {
    let Load { destinations, run, bytes, time } = *load;
    let ground = Ground::new(destinations)?;
    let packets = vec![vec![0x80_u8; bytes + TAG_BYTES]; run];
    let count = destinations * run;
    let to: Vec<_> = ground.addresses.iter().flat_map(|address| std::iter::repeat_n(*address, run)).collect();
    let mut headers = MultiHeaders::preallocate(MESSAGES_MAX, None);
    let mut cutting = MultiHeaders::preallocate(MESSAGES_MAX, Some(nix::cmsg_space!(u16)));
    let (mut counter, mut out) = (0, Vec::with_capacity(bytes + TAG_BYTES));
    let plain = vec![0x80_u8; bytes];
    let empty = || ground.empty_receivers();
    Ok(Floor {
        protect: measure(time, count, || ground.protect(&plain, run, &mut counter, &mut out), || {})?,
        single: measure(time, count, || ground.single(&packets, run), empty)?,
        sendmmsg: measure(time, count, || ground.sendmmsg(&packets, run, &mut headers, &to), empty)?,
        gso: measure(time, count, || ground.gso(&packets, run), empty)?,
        gso_many: measure(time, count, || ground.gso_many(&packets, run, &mut cutting), empty)?,
    })
}

/// The figures as one line of JSON.
pub fn report(load: &Load) -> Result<serde_json::Value> {
    anyhow::ensure!((1..=64).contains(&load.run), "GSO takes 1 to 64 packets");
    anyhow::ensure!(load.destinations > 0, "at least one destination");
    anyhow::ensure!((HEADER_BYTES..=1_450).contains(&load.bytes), "a packet must fit an Ethernet frame");
    anyhow::ensure!(load.run * (load.bytes + TAG_BYTES) < 65_000, "GSO takes less than 64 KiB");
    let floor = floor(load)?;
    let round = |value: f64| value.round() as u64;
    Ok(serde_json::json!({
        "destinations": load.destinations,
        "run": load.run,
        "bytes": load.bytes,
        "protect_ns": round(floor.protect),
        "single_ns": round(floor.single),
        "sendmmsg_ns": round(floor.sendmmsg),
        "gso_ns": round(floor.gso),
        "gso_many_ns": round(floor.gso_many),
        "floor_ns": round(floor.protect + floor.sendmmsg.min(floor.gso).min(floor.gso_many)),
    }))
}

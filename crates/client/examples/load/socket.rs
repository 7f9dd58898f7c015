//! Datagrams by the batch, each with the time at which the kernel had it: what this process does late does not count as
//! a server's delay. In: a socket that is readable. Out: datagrams.

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime};

use mio::net::UdpSocket;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt, sockopt::ReceiveTimestampns,
};
use nix::sys::time::TimeSpec;

use crate::peer::Fallible;

/// Datagrams that one call takes: a picture's.
const BATCH: usize = 16;
/// Longer datagrams are cut, and then nobody can read them.
const DATAGRAM_BYTES_MAX: usize = 2048;

/// A socket whose datagrams have times.
pub fn bind(ip: IpAddr) -> Fallible<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(ip, 0))?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    Ok(socket)
}

/// Room for one batch, which all sockets of a thread share.
pub struct Batch {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Box<[[u8; DATAGRAM_BYTES_MAX]; BATCH]>,
    /// Of each datagram: when it came, from where, and its length.
    taken: Vec<(Instant, SocketAddr, usize)>,
}

impl Batch {
    pub fn new() -> Batch {
        let headers = MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(TimeSpec)));
        Batch { headers, buffers: Box::new([[0; DATAGRAM_BYTES_MAX]; BATCH]), taken: Vec::with_capacity(BATCH) }
    }

    /// Takes what waits, up to one batch. False if nothing did.
    pub fn receive(&mut self, socket: &UdpSocket) -> bool {
        self.taken.clear();
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let fd = socket.as_raw_fd();
        let Ok(messages) = recvmmsg(fd, &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) else {
            return false;
        };
        let (now, clock) = (Instant::now(), SystemTime::now());
        for message in messages {
            let time = message.cmsgs().ok().and_then(|mut all| all.find_map(time_of));
            let ago = time.and_then(|time| clock.duration_since(SystemTime::UNIX_EPOCH + time).ok());
            let came = ago.and_then(|ago| now.checked_sub(ago)).unwrap_or(now);
            let from = message.address.as_ref().and_then(plain).unwrap_or(SocketAddr::from(([0; 4], 0)));
            self.taken.push((came, from, message.bytes));
        }
        !self.taken.is_empty()
    }

    pub fn datagrams(&self) -> impl Iterator<Item = (Instant, SocketAddr, &[u8])> {
        self.taken
            .iter()
            .zip(self.buffers.iter())
            .map(|((came, from, length), bytes)| (*came, *from, &bytes[..*length]))
    }

    /// Whether there may be more than was taken.
    pub fn was_full(&self) -> bool {
        self.taken.len() == BATCH
    }
}

fn time_of(message: ControlMessageOwned) -> Option<Duration> {
    match message {
        ControlMessageOwned::ScmTimestampns(time) => Some(time.into()),
        _ => None,
    }
}

fn plain(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddr::new(v6.ip().into(), v6.port()))
}

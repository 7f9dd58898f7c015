//! One UDP socket of one media thread: many datagrams by one system call, in and out (docs/adr/0012).
//!
//! In: the kernel's queue; messages planned by the outbox. Out: datagrams with the address they came to; how many messages
//! were taken. Addresses are plain here: an IPv4 peer is IPv4 also on a socket for both families.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, setsockopt,
    sockopt,
};

/// Datagrams of one receiving call. Higher lets the first wait for the last before either is handled; lower costs calls.
pub(super) const RECEIVE_BATCH: usize = 32;
/// The largest datagram that is taken: an MTU of 1,500 and some more. What is longer is cut by the kernel and dropped.
pub(super) const DATAGRAM_BYTES_MAX: usize = 2_048;
/// Messages of one sending call, each up to 64 datagrams. Beyond 32 nothing more is gained (docs/adr/0012).
pub(super) const SEND_BATCH: usize = 64;
/// What the kernel may hold for us in each direction, of which it gives as much as `net.core.rmem_max` allows. Higher
/// bridges a busy thread; at 50 Mbit/s 4 MiB are half a second.
const KERNEL_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// A bound socket and whether it was bound to every address of the machine.
pub(super) struct Socket {
    socket: mio::net::UdpSocket,
    local: SocketAddr,
}

impl Socket {
    pub(super) fn new(socket: UdpSocket) -> io::Result<Socket> {
        let local = socket.local_addr()?;
        // As much as the system allows; less is no reason not to start.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, KERNEL_BUFFER_BYTES);
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, KERNEL_BUFFER_BYTES);
        if local.ip().is_unspecified() {
            match local {
                SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
                SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
            }
        }
        socket.set_nonblocking(true)?;
        Ok(Socket { socket: mio::net::UdpSocket::from_std(socket), local })
    }

    pub(super) fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }

    fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The address that a peer's datagram came to, where the socket was bound to one.
    fn bound_ip(&self) -> Option<IpAddr> {
        Some(self.local.ip().to_canonical()).filter(|ip| !ip.is_unspecified())
    }

    /// A peer's address as this socket's family writes it; `None` for IPv6 on an IPv4 socket.
    fn written(&self, address: SocketAddr) -> Option<SockaddrStorage> {
        match (self.local, address) {
            (SocketAddr::V6(_), SocketAddr::V4(v4)) => {
                Some(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into())
            }
            (SocketAddr::V4(_), SocketAddr::V6(_)) => None,
            (_, address) => Some(address.into()),
        }
    }
}

/// A datagram of the latest batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) remote: SocketAddr,
    /// The address of this machine that it came to.
    pub(super) local: SocketAddr,
    length: usize,
}

/// The memory that a thread receives into. Made on the thread itself.
pub(super) struct Receiver {
    buffers: Box<[[u8; DATAGRAM_BYTES_MAX]; RECEIVE_BATCH]>,
    headers: MultiHeaders<SockaddrStorage>,
    received: Vec<Option<Received>>,
}

impl Receiver {
    pub(super) fn new() -> Receiver {
        Receiver {
            buffers: Box::new([[0; DATAGRAM_BYTES_MAX]; RECEIVE_BATCH]),
            headers: Receiver::headers(),
            received: Vec::with_capacity(RECEIVE_BATCH),
        }
    }

    fn headers() -> MultiHeaders<SockaddrStorage> {
        MultiHeaders::preallocate(RECEIVE_BATCH, Some(nix::cmsg_space!(libc::in6_pktinfo)))
    }

    /// Takes what waits, up to one batch. Returns how many there were, also of those that cannot be used.
    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        self.received.clear();
        let bound = socket.bound_ip();
        let port = socket.local.port();
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let messages = recvmmsg(socket.fd(), &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let mut lost_local = false;
        for message in messages {
            let is_whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
            let told = || message.cmsgs().ok()?.find_map(local_of);
            let local = bound.or_else(told);
            lost_local |= local.is_none();
            let received = message.address.as_ref().and_then(plain).zip(local).map(|(remote, local)| Received {
                remote,
                local: SocketAddr::new(local, port),
                length: message.bytes,
            });
            self.received.push(received.filter(|_| is_whole));
        }
        if lost_local {
            // The kernel shortens a header's room for such messages to what it used of it.
            self.headers = Receiver::headers();
        }
        Ok(self.received.len())
    }

    /// The latest batch; `None` in the place of what cannot be used.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = Option<(Received, &[u8])>> {
        self.received.iter().zip(self.buffers.iter()).map(|(received, buffer)| {
            let received = (*received)?;
            Some((received, buffer.get(..received.length)?))
        })
    }
}

fn local_of(message: ControlMessageOwned) -> Option<IpAddr> {
    match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes())),
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr).to_canonical()),
        _ => None,
    }
}

fn plain(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddr::new(IpAddr::from(v6.ip()).to_canonical(), v6.port()))
}

/// What one system call sends: messages that leave from one address and are cut in pieces of one size.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// The address of this machine that they leave from.
    pub(super) local: IpAddr,
    /// The size of the pieces that the kernel cuts each message into; 0 when each is one datagram.
    pub(super) segment: u16,
    /// To whom and what.
    pub(super) messages: &'a [(SocketAddr, &'a [IoSlice<'a>])],
}

/// The memory that a thread sends from. Made on the thread itself.
pub(super) struct Sender {
    /// By whether a message says where it leaves from, and whether it is cut: the headers have room for exactly that.
    headers: [Option<MultiHeaders<SockaddrStorage>>; 4],
}

impl Sender {
    pub(super) fn new() -> Sender {
        Sender { headers: [const { None }; 4] }
    }

    /// Hands over the messages of a call, [`SEND_BATCH`] at most. Returns how many the kernel took, at least one, or
    /// why it took not even the first.
    pub(super) fn send(&mut self, socket: &Socket, call: &Call<'_>) -> io::Result<usize> {
        let messages = &call.messages[..call.messages.len().min(SEND_BATCH)];
        let addresses: Vec<Option<SockaddrStorage>> =
            messages.iter().map(|(remote, _)| socket.written(*remote)).collect();
        if let Some(alien) = addresses.iter().position(Option::is_none) {
            // Without an address the message would go nowhere; those before it go first.
            if alien == 0 {
                return Err(io::ErrorKind::Unsupported.into());
            }
            return self.send(socket, &Call { messages: &messages[..alien], ..*call });
        }
        let (v4, v6);
        let mut control: Vec<ControlMessage<'_>> = Vec::with_capacity(2);
        if socket.bound_ip().is_none() {
            control.push(match (socket.local, call.local) {
                (SocketAddr::V4(_), IpAddr::V4(local)) => {
                    let s_addr = u32::from_ne_bytes(local.octets());
                    let (ipi_spec_dst, ipi_addr) = (libc::in_addr { s_addr }, libc::in_addr { s_addr: 0 });
                    v4 = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr };
                    ControlMessage::Ipv4PacketInfo(&v4)
                }
                (_, local) => {
                    let local: Ipv6Addr = match local {
                        IpAddr::V4(local) => local.to_ipv6_mapped(),
                        IpAddr::V6(local) => local,
                    };
                    let ipi6_addr = libc::in6_addr { s6_addr: local.octets() };
                    v6 = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 };
                    ControlMessage::Ipv6PacketInfo(&v6)
                }
            });
        }
        if call.segment > 0 {
            control.push(ControlMessage::UdpGsoSegments(&call.segment));
        }
        let says_local = socket.bound_ip().is_none();
        let room = &mut self.headers[usize::from(says_local) * 2 + usize::from(call.segment > 0)];
        let headers = room.get_or_insert_with(|| {
            let pktinfo_bytes = if socket.local.is_ipv4() {
                nix::cmsg_space!(libc::in_pktinfo).capacity()
            } else {
                nix::cmsg_space!(libc::in6_pktinfo).capacity()
            };
            let segment_bytes = nix::cmsg_space!(u16).capacity();
            let bytes = usize::from(says_local) * pktinfo_bytes + usize::from(call.segment > 0) * segment_bytes;
            MultiHeaders::preallocate(SEND_BATCH, (bytes > 0).then(|| Vec::with_capacity(bytes)))
        });
        let slices = messages.iter().map(|(_, slices)| slices);
        let sent = sendmmsg(socket.fd(), headers, slices, &addresses, &control, MsgFlags::MSG_DONTWAIT)?;
        Ok(sent.count())
    }
}

#[cfg(test)]
mod tests;

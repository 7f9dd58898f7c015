//! Listening: from a configured address to a listener, or an error that says which port and which flag; and the loop that
//! accepts.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tracing::warn;

use crate::config::address::Listen;
use crate::tasks::Tasks;

/// The pause after a failed accept, which mostly means that file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Free ports that are tried where any will do, because UDP and TCP need the same.
const FREE_PORT_ATTEMPTS: usize = 32;

/// Connections that the kernel completes before we accept them. The kernel's own limit (net.core.somaxconn) is 4096.
const BACKLOG: u32 = 4_096;

/// Why a listener is not there.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error(
        "{name}: port {} is in use by another program: stop that, or choose another address with \
         --{name} IP:PORT (TELSTAR_{}), or --{name} off",
        address.port(),
        name.to_uppercase()
    )]
    Busy {
        /// The flag without its dashes.
        name: &'static str,
        /// The address that was tried.
        address: SocketAddr,
    },
    /// The port is one of the first 1024 and this user may not take it.
    #[error(
        "{name}: this user may not listen on port {}: choose a port from 1024 on with --{name} IP:PORT, or grant \
         CAP_NET_BIND_SERVICE",
        address.port()
    )]
    Denied {
        /// The flag without its dashes.
        name: &'static str,
        /// The address that was tried.
        address: SocketAddr,
    },
    /// Anything else, such as an address that this machine does not have.
    #[error("{name}: cannot listen on {address}: {source}; choose another address with --{name} IP:PORT")]
    Other {
        /// The flag without its dashes.
        name: &'static str,
        /// The address that was tried.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Binds the listener `name`, if it is on.
pub fn bind(name: &'static str, listen: Listen) -> Result<Option<TcpListener>, ListenError> {
    bind_with(name, listen, bind_one)
}

/// The sockets that calls go through: all on one port.
#[derive(Debug)]
pub struct MediaSockets {
    /// One for each media thread. The kernel spreads peers over them.
    pub udp: Vec<UdpSocket>,
    /// For ICE-TCP.
    pub tcp: TcpListener,
    /// Where they are.
    pub address: SocketAddr,
}

/// Binds the sockets of calls, if they are on: `threads` for UDP and one for TCP.
pub fn bind_media(listen: Listen, threads: usize) -> Result<Option<MediaSockets>, ListenError> {
    bind_with("media", listen, |address| bind_media_at(address, threads))
}

fn bind_media_at(address: SocketAddr, threads: usize) -> io::Result<MediaSockets> {
    let mut attempts = if address.port() == 0 { FREE_PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let tcp = bind_one(address)?;
        let address = tcp.local_addr()?;
        match bind_udp(address, threads) {
            Ok(udp) => return Ok(MediaSockets { udp, tcp, address }),
            // The port was free for TCP only.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

fn bind_udp(address: SocketAddr, threads: usize) -> io::Result<Vec<UdpSocket>> {
    // Sockets that share a port share it with every program of this user. One that does not share finds out.
    drop(bind_udp_one(address, false)?);
    (0..threads).map(|_| bind_udp_one(address, true)).collect()
}

fn bind_udp_one(address: SocketAddr, shares: bool) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    if shares {
        rustix::net::sockopt::set_socket_reuseport(&socket, true)?;
    }
    if address.is_ipv6() && address.ip().is_unspecified() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    rustix::net::bind(&socket, &address)?;
    Ok(UdpSocket::from(socket))
}

/// Accepts `what` on `listener` until the doors close, and hands each connection to `admit`.
pub async fn accept_all(
    listener: TcpListener,
    what: &'static str,
    tasks: Tasks,
    admit: impl Fn(TcpStream, SocketAddr) + Send,
) {
    let mut doors_closed = std::pin::pin!(tasks.doors_closed());
    loop {
        // Cancel-safe: an accept that was not finished leaves the connection in the kernel's queue.
        let accepted = tokio::select! {
            () = &mut doors_closed => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => admit(stream, address),
            Err(error) => {
                warn!(%error, "cannot accept {what}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn bind_with<T>(
    name: &'static str,
    listen: Listen,
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<Option<T>, ListenError> {
    let mut first_error = None;
    for address in listen.candidates() {
        match bind(address) {
            Ok(listener) => return Ok(Some(listener)),
            Err(source) => {
                let error = explain(name, address, source);
                // A busy port is the answer; only a missing IPv6 is a reason to try the next candidate.
                if matches!(error, ListenError::Busy { .. } | ListenError::Denied { .. }) {
                    return Err(error);
                }
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map_or(Ok(None), Err)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the connections of the previous run to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn explain(name: &'static str, address: SocketAddr, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Busy { name, address },
        io::ErrorKind::PermissionDenied => ListenError::Denied { name, address },
        _ => ListenError::Other { name, address, source },
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_busy_ports_error_names_the_port_and_the_flag() {
        let any = Listen::At((Ipv4Addr::LOCALHOST, 0).into());
        let first = bind("http", any).expect("a free port").expect("it is on");
        let address = first.local_addr().expect("it is bound");
        let error = bind("rtmp", Listen::At(address)).expect_err("the port is taken").to_string();
        assert!(error.contains(&format!("port {}", address.port())), "{error}");
        assert!(error.contains("--rtmp") && error.contains("TELSTAR_RTMP"), "{error}");
    }

    #[tokio::test]
    async fn a_media_port_that_is_busy_for_either_protocol_is_named_with_its_flag() {
        let any = Listen::At((Ipv4Addr::LOCALHOST, 0).into());
        let first = bind_media(any, 2).expect("a free port").expect("it is on");
        assert_eq!(first.udp.len(), 2);
        assert!(first.udp.iter().all(|socket| socket.local_addr().is_ok_and(|address| address == first.address)));
        let taken_by_both = Listen::At(first.address);
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let taken_by_udp = Listen::At(udp.local_addr().expect("it is bound"));
        let tcp = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let taken_by_tcp = Listen::At(tcp.local_addr().expect("it is bound"));
        for taken in [taken_by_both, taken_by_udp, taken_by_tcp] {
            let error = bind_media(taken, 2).expect_err("the port is taken").to_string();
            let port = taken.candidates()[0].port();
            assert!(error.contains(&format!("port {port}")), "{error}");
            assert!(error.contains("--media") && error.contains("TELSTAR_MEDIA"), "{error}");
        }
        assert!(bind_media(Listen::Off, 2).expect("nothing to do").is_none());
    }

    #[tokio::test]
    async fn everywhere_works_with_and_without_ipv6() {
        assert!(bind("http", Listen::Everywhere(0)).expect("some family is there").is_some());
        assert!(bind("http", Listen::Off).expect("nothing to do").is_none());
    }
}

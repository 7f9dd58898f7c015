//! Binding: from a configured address to a listener, or an error that says which port and which flag.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use crate::config::address::Listen;

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
    let mut first_error = None;
    for address in listen.candidates() {
        match bind_one(address) {
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
    async fn everywhere_works_with_and_without_ipv6() {
        assert!(bind("http", Listen::Everywhere(0)).expect("some family is there").is_some());
        assert!(bind("http", Listen::Off).expect("nothing to do").is_none());
    }
}

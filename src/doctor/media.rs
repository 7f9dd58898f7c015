//! The media port: whether calls can reach this machine as far as it can tell by itself.
//!
//! What lies between this machine and its peers, a router or a firewall, only somebody outside can test: the check before
//! a call does.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::Finding;
use crate::addresses::host_of_origin;
use crate::advertise::{self, Candidates, Machine, is_global};
use crate::config::Config;
use crate::config::address::Listen;
use crate::listen::{self, MediaSockets};
use crate::server;

/// How long a probe over loopback may take. It takes microseconds where nothing is in its way.
const PROBE_PATIENCE: Duration = Duration::from_millis(500);
/// What is sent to ourselves.
const PROBE: &[u8] = b"telstar doctor";

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let listen = config.media.listen;
    if listen == Listen::Off {
        return vec![Finding::note("media: off, so there are no calls")];
    }
    let running = server::recorded_addresses(&config.general.data).and_then(|addresses| addresses.media);
    match listen::bind_media(listen, 1) {
        Ok(Some(sockets)) => {
            let mut findings = vec![Finding::good(format!("media: {listen} is free for UDP and TCP"))];
            let bound = sockets.address;
            findings.extend(probe(&sockets));
            findings.extend(told(config, bound, Some(&sockets)));
            findings
        }
        Ok(None) => Vec::new(),
        Err(_) if running.is_some_and(|address| listen.candidates().contains(&address)) => {
            let bound = running.unwrap_or_else(|| listen.candidates()[0]);
            let mut findings =
                vec![Finding::good(format!("media: {listen} is held by the server of this data folder"))];
            findings.extend(tcp_answers(bound));
            findings.extend(told(config, bound, None));
            findings
        }
        Err(error) => vec![Finding::bad(error.to_string())],
    }
}

/// Sends a datagram and a connection to the sockets over loopback, where a firewall may stand as well.
fn probe(sockets: &MediaSockets) -> Vec<Finding> {
    let port = sockets.address.port();
    let mut findings = vec![match udp_arrives(sockets, local(sockets.address)) {
        Ok(()) => Finding::good(format!("media: UDP arrives at port {port} from this machine")),
        Err(error) => Finding::bad(format!(
            "media: UDP does not arrive at port {port} even from this machine ({error}): calls fall back to TCP or fail; \
             let the firewall pass UDP to port {port} (nft list ruleset, ufw allow {port}/udp)"
        )),
    }];
    findings.extend(tcp_answers(sockets.address));
    findings
}

/// Whether what is sent to `to` comes out of our sockets.
fn udp_arrives(sockets: &MediaSockets, to: SocketAddr) -> std::io::Result<()> {
    let socket = sockets.udp.first().ok_or(std::io::ErrorKind::NotFound)?;
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(PROBE_PATIENCE))?;
    let from = UdpSocket::bind(SocketAddr::new(unspecified_like(to.ip()), 0))?;
    from.send_to(PROBE, to)?;
    let mut bytes = [0; 64];
    let (length, _) = socket.recv_from(&mut bytes)?;
    // Somebody's media may come first where the port was in use until now; it is as good a sign.
    if length > 0 { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

fn tcp_answers(bound: SocketAddr) -> Option<Finding> {
    let port = bound.port();
    let opened = TcpStream::connect_timeout(&local(bound), PROBE_PATIENCE).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        // A frame of no bytes (RFC 4571), which a server passes over.
        stream.write_all(&[0, 0])?;
        let _ = stream.read(&mut [0]);
        Ok(())
    });
    Some(match opened {
        Ok(()) => Finding::good(format!("media: TCP opens at port {port} from this machine")),
        Err(error) => Finding::bad(format!(
            "media: TCP does not open at port {port} even from this machine ({error}): whoever's network blocks UDP has no \
             calls; let the firewall pass TCP to port {port} (ufw allow {port}/tcp)"
        )),
    })
}

/// What peers are told, and whether that is known to lead here.
///
/// `sockets` are ours while no server holds the port: then what is sent to an address can be seen to arrive.
fn told(config: &Config, bound: SocketAddr, sockets: Option<&MediaSockets>) -> Vec<Finding> {
    let machine = Machine::look(config);
    let Candidates { candidates, ice_lite } = advertise::candidates(config, bound, &machine);
    if candidates.is_empty() {
        return vec![Finding::bad(
            "media: there is no address to tell peers, so no call has media: set media.advertise, or let media.listen be \
             an address of a family that this machine has",
        )];
    }
    let mut findings = Vec::new();
    let mut seen: Vec<SocketAddr> = Vec::new();
    for candidate in &candidates {
        if seen.contains(&candidate.advertised) {
            continue;
        }
        seen.push(candidate.advertised);
        if candidate.advertised.ip() != candidate.base.ip() {
            findings.push(elsewhere(config, candidate.advertised, candidate.base, sockets));
        }
    }
    let shown: Vec<String> = seen.iter().map(ToString::to_string).collect();
    let mode = if ice_lite { "ICE-lite" } else { "full ICE" };
    findings.insert(0, Finding::good(format!("media: peers are told {} ({mode})", shown.join(", "))));
    if seen.iter().all(|address| !is_global(address.ip())) && config.general.public_url.fixed().is_some() {
        let host = config.general.public_url.fixed().and_then(host_of_origin).unwrap_or_default();
        findings.push(Finding::note(format!(
            "media: every address that peers are told is private, but public_url names {host}: peers outside of this \
             network have no media; set media.advertise to the public address"
        )));
    }
    findings
}

/// An address that is not of this machine: only a router that forwards makes it right. Many turn around what is sent to
/// their own address from inside (hairpin, RFC 4787 §6), so that it can be seen; that others do not is no fault.
fn elsewhere(config: &Config, advertised: SocketAddr, base: SocketAddr, sockets: Option<&MediaSockets>) -> Finding {
    let source =
        if config.media.advertise.is_empty() { "public_url resolves to it" } else { "media.advertise names it" };
    let port = advertised.port();
    let is_right = match sockets {
        Some(sockets) => udp_arrives(sockets, advertised).is_ok(),
        None => TcpStream::connect_timeout(&advertised, PROBE_PATIENCE).is_ok(),
    };
    if is_right {
        let by = if sockets.is_some() { "UDP" } else { "TCP" };
        return Finding::good(format!("media: {advertised} leads here over {by}, though it is not of this machine"));
    }
    Finding::note(format!(
        "media: {advertised} is not an address of this machine ({source}), and nothing that is sent to it arrives here: \
         either it is wrong, or the router does not forward UDP and TCP of {port} to {base}, or it forwards for the outside \
         only; try a call from outside, whose check says whether media comes through"
    ))
}

/// The loopback address of a socket that hears on all, or its own.
fn local(bound: SocketAddr) -> SocketAddr {
    if !bound.ip().is_unspecified() {
        return bound;
    }
    // A socket for both families hears IPv4 as well, and every machine has that.
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), bound.port())
}

fn unspecified_like(ip: IpAddr) -> IpAddr {
    if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Advertised;
    use crate::doctor::Grade;

    fn config(folder: &std::path::Path, listen: Listen) -> Config {
        let mut config = Config::default();
        config.general.data = folder.to_owned();
        config.media.listen = listen;
        config
    }

    fn graded(findings: &[Finding], about: &str) -> Vec<Grade> {
        findings.iter().filter(|finding| finding.text.contains(about)).map(|finding| finding.grade).collect()
    }

    #[tokio::test]
    async fn a_free_port_is_tried_with_both_protocols() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let findings = examine(&config(folder.path(), Listen::At(([127, 0, 0, 1], 0).into())));
        assert_eq!(graded(&findings, "UDP arrives"), [Grade::Good]);
        assert_eq!(graded(&findings, "TCP opens"), [Grade::Good]);
        assert_eq!(graded(&findings, "peers are told 127.0.0.1:"), [Grade::Good]);
        assert_eq!(graded(&findings, "ICE-lite"), [Grade::Good]);
    }

    #[tokio::test]
    async fn a_busy_port_and_an_address_of_nobody_are_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let findings = examine(&config(folder.path(), Listen::At(taken.local_addr().expect("bound"))));
        assert_eq!(graded(&findings, "--media"), [Grade::Bad]);
        let mut behind_nat = config(folder.path(), Listen::At(([127, 0, 0, 1], 0).into()));
        behind_nat.media.advertise = vec![Advertised::Ip([203, 0, 113, 7].into())];
        let findings = examine(&behind_nat);
        assert_eq!(graded(&findings, "does not forward"), [Grade::Note]);
        assert_eq!(graded(&findings, "full ICE"), [Grade::Good]);
        assert_eq!(graded(&examine(&config(folder.path(), Listen::Off)), "no calls"), [Grade::Note]);
    }

    #[test]
    fn a_port_that_nobody_listens_on_is_closed() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let finding = tcp_answers(port.expect("it was bound")).expect("a finding");
        assert_eq!(finding.grade, Grade::Bad);
        assert!(finding.text.contains("ufw allow"), "{}", finding.text);
    }
}

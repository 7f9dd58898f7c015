//! Which addresses media takes. In: the application's choice, descriptions and candidates. Out: the same, led past a relay.

use std::net::SocketAddr;

const CANDIDATE: &str = "candidate:";

/// Where media is sent from, and over what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    /// The local addresses to bind.
    pub addresses: Vec<SocketAddr>,
    /// Stands in front of the server. The server is not told where this client is, or there would be a path beside the
    /// relay; it learns the relay's address from the checks that come from there (RFC 8445 §7.3.1.3).
    pub relay: Option<SocketAddr>,
}

impl Paths {
    /// A description of the server's, as the engine is to see it.
    pub fn of_server(&self, sdp: &str) -> String {
        self.each_candidate(sdp, |candidate| self.server_candidate(candidate))
    }

    /// An own description, as the server is to see it.
    pub fn of_client(&self, sdp: &str) -> String {
        self.each_candidate(sdp, |candidate| self.relay.is_none().then(|| candidate.to_owned()))
    }

    /// A candidate of the server's (RFC 8839 §5.1); `None` if it does not lead over the relay, which takes UDP alone.
    pub fn server_candidate(&self, candidate: &str) -> Option<String> {
        let Some(relay) = self.relay else { return Some(candidate.to_owned()) };
        let (ip, port) = (relay.ip().to_string(), relay.port().to_string());
        let mut words: Vec<&str> = candidate.split(' ').collect();
        let is_udp = words.get(2).is_some_and(|transport| transport.eq_ignore_ascii_case("udp"));
        let [_, _, _, _, address, at, ..] = words.as_mut_slice() else { return None };
        (*address, *at) = (&ip, &port);
        is_udp.then(|| words.join(" "))
    }

    fn each_candidate(&self, sdp: &str, change: impl Fn(&str) -> Option<String>) -> String {
        let lines = sdp.lines().filter_map(|line| match line.strip_prefix("a=") {
            Some(candidate) if candidate.starts_with(CANDIDATE) => Some(format!("a={}\r\n", change(candidate)?)),
            _ => Some(format!("{line}\r\n")),
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\na=candidate:1 1 udp 2130706431 192.0.2.1 10000 typ host\r\n\
        a=candidate:1 1 tcp 2105524479 192.0.2.1 10000 typ host tcptype passive\r\na=end-of-candidates\r\n";

    #[test]
    fn without_a_relay_nothing_is_changed() {
        let paths = Paths::default();
        assert_eq!((paths.of_server(SDP), paths.of_client(SDP)), (SDP.to_owned(), SDP.to_owned()));
    }

    #[test]
    fn a_relay_is_the_only_path_to_the_server_and_back() {
        let paths = Paths { relay: Some(([127, 0, 0, 1], 9).into()), ..Paths::default() };
        let relayed = "v=0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n";
        assert_eq!(paths.of_server(SDP), relayed);
        assert_eq!(paths.of_client(SDP), "v=0\r\na=end-of-candidates\r\n");
        assert_eq!(paths.server_candidate("candidate:1 1 udp"), None);
    }
}

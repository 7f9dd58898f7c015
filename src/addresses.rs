//! Where the server is: the bound addresses, and the links made from them.
//!
//! In: what was bound and what the operator calls it. Out: every URL that the terminal, the API and pages show.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use telstar_units::RoomName;

use crate::config::address::PublicUrl;
use crate::machine;

/// RTMP's own port, which URLs leave out nowhere: encoders' boxes are copied by people, and a visible port is clear.
const RTMP_APP: &str = "live";

/// The bound addresses; `None` is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Addresses {
    /// Plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<SocketAddr>,
    /// RTMP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtmp: Option<SocketAddr>,
    /// RTMPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtmps: Option<SocketAddr>,
    /// WebRTC, over UDP and TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<SocketAddr>,
}

/// Every URL of this server.
#[derive(Clone, Debug)]
pub struct Links {
    addresses: Addresses,
    public_url: PublicUrl,
}

impl Links {
    /// Links to a server bound at `addresses`.
    pub fn new(addresses: Addresses, public_url: PublicUrl) -> Links {
        Links { addresses, public_url }
    }

    /// What is bound.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The configured origin, if there is one.
    pub fn public_url(&self) -> Option<&str> {
        self.public_url.fixed()
    }

    /// The origin to open on this machine: plain HTTP on loopback asks no certificate question.
    pub fn local_origin(&self) -> Option<String> {
        if let Some(origin) = self.public_url.fixed() {
            return Some(origin.to_owned());
        }
        let local = |scheme: &str, address: SocketAddr| {
            let host = if address.ip().is_unspecified() { "localhost".to_owned() } else { host_of(address.ip()) };
            format!("{scheme}://{host}:{}", address.port())
        };
        let http = self.addresses.http.map(|address| local("http", address));
        http.or_else(|| self.addresses.https.map(|address| local("https", address)))
    }

    /// The origin to open elsewhere in the network, if a listener can be reached from there. HTTPS first: browsers
    /// grant more to a secure page.
    pub fn lan_origin(&self) -> Option<String> {
        if let Some(origin) = self.public_url.fixed() {
            return Some(origin.to_owned());
        }
        let reach = |scheme: &str, address: SocketAddr| {
            let host = reachable_host(address.ip())?;
            Some(format!("{scheme}://{host}:{}", address.port()))
        };
        let https = self.addresses.https.and_then(|address| reach("https", address));
        https.or_else(|| self.addresses.http.and_then(|address| reach("http", address)))
    }

    /// The origin to give to others: the network's, or this machine's when nothing listens there.
    pub fn shared_origin(&self) -> Option<String> {
        self.lan_origin().or_else(|| self.local_origin())
    }

    /// The HTTPS origin as seen from a client that reached the host `host`.
    pub fn https_origin(&self, host: &str) -> Option<String> {
        self.addresses.https.map(|address| format!("https://{host}:{}", address.port()))
    }

    /// The `Location` of a resource: absolute where the operator said how we are called, else relative, which RFC 9110
    /// §10.2.2 allows.
    pub fn located(&self, path: &str) -> String {
        format!("{}{path}", self.public_url().unwrap_or_default())
    }

    /// A room's page.
    pub fn watch_url(&self, room: &RoomName) -> Option<String> {
        self.shared_origin().map(|origin| format!("{origin}/watch/{room}"))
    }

    /// The one-time link of a sign-in code. The code is in the fragment, which browsers do not send.
    pub fn sign_in_url(&self, code: &str) -> Option<String> {
        self.local_origin().map(|origin| format!("{origin}/sign-in#{code}"))
    }

    /// OBS's box "Server" for an encoder that reaches this machine as `host`, or by its best address.
    pub fn rtmp_url(&self, host: Option<&str>) -> Option<String> {
        self.addresses.rtmp.map(|address| self.encoder_url("rtmp", address, host))
    }

    /// The same over TLS.
    pub fn rtmps_url(&self, host: Option<&str>) -> Option<String> {
        self.addresses.rtmps.map(|address| self.encoder_url("rtmps", address, host))
    }

    fn encoder_url(&self, scheme: &str, address: SocketAddr, host: Option<&str>) -> String {
        let host = if !address.ip().is_unspecified() {
            host_of(address.ip())
        } else {
            let public = self.public_url.fixed().and_then(host_of_origin);
            public.or(host).map_or_else(|| host_of(machine::best_address()), str::to_owned)
        };
        format!("{scheme}://{host}:{}/{RTMP_APP}", address.port())
    }
}

/// The host of an origin without its port; brackets stay.
pub fn host_of_origin(origin: &str) -> Option<&str> {
    let authority = origin.split_once("://")?.1;
    match authority.rfind(']') {
        Some(end) => authority.get(..=end),
        None => authority.split(':').next().filter(|host| !host.is_empty()),
    }
}

fn host_of(address: IpAddr) -> String {
    if address.is_unspecified() { "127.0.0.1".to_owned() } else { machine::url_host(address) }
}

/// The host by which others in the network reach a listener, unless it is on loopback.
fn reachable_host(address: IpAddr) -> Option<String> {
    if address.is_loopback() {
        None
    } else if address.is_unspecified() {
        let best = machine::best_address();
        (best != IpAddr::V4(Ipv4Addr::LOCALHOST)).then(|| machine::url_host(best))
    } else {
        Some(machine::url_host(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(public_url: PublicUrl) -> Links {
        let address = |text: &str| Some(text.parse().expect("an address"));
        let addresses = Addresses {
            http: address("127.0.0.1:8080"),
            https: address("[::]:8443"),
            rtmp: address("[::]:1935"),
            rtmps: address("[::]:1936"),
            media: address("[::]:10000"),
        };
        Links::new(addresses, public_url)
    }

    #[test]
    fn links_open_where_they_are_read() {
        let links = links(PublicUrl::Auto);
        assert_eq!(links.sign_in_url("abc").as_deref(), Some("http://127.0.0.1:8080/sign-in#abc"));
        assert_eq!(links.https_origin("10.0.0.5").as_deref(), Some("https://10.0.0.5:8443"));
        assert_eq!(links.rtmp_url(Some("10.0.0.5")).as_deref(), Some("rtmp://10.0.0.5:1935/live"));
        if let Some(origin) = links.lan_origin() {
            assert!(origin.starts_with("https://") && origin.ends_with(":8443"), "{origin}");
        }
    }

    #[test]
    fn a_configured_origin_feeds_every_link() {
        let links = links(PublicUrl::Fixed("https://live.example.org".to_owned()));
        let room = RoomName::parse("demo").expect("a room name");
        assert_eq!(links.watch_url(&room).as_deref(), Some("https://live.example.org/watch/demo"));
        assert_eq!(links.sign_in_url("abc").as_deref(), Some("https://live.example.org/sign-in#abc"));
        assert_eq!(links.rtmp_url(Some("10.0.0.5")).as_deref(), Some("rtmp://live.example.org:1935/live"));
        assert_eq!(links.rtmps_url(Some("10.0.0.5")).as_deref(), Some("rtmps://live.example.org:1936/live"));
    }

    #[test]
    fn hosts_come_out_of_origins() {
        for (origin, expect) in
            [("https://a:1", Some("a")), ("http://[::1]:80", Some("[::1]")), ("http://", None), ("x", None)]
        {
            assert_eq!(host_of_origin(origin), expect, "{origin}");
        }
    }

    #[test]
    fn addresses_print_as_one_line_of_json() {
        let json = serde_json::to_string(&links(PublicUrl::Auto).addresses()).expect("it serialises");
        assert_eq!(
            json,
            r#"{"http":"127.0.0.1:8080","https":"[::]:8443","rtmp":"[::]:1935","rtmps":"[::]:1936","media":"[::]:10000"}"#
        );
    }
}

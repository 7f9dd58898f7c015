//! What the address of an endpoint may look like, and which addresses of the network it may lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::Uri;
use telstar_store::WEBHOOK_URL_LEN_MAX;

/// An endpoint's address, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    pub(super) is_tls: bool,
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The header `Host`.
    pub(super) authority: String,
    /// Path and query.
    pub(super) target: String,
}

/// Why an address is none of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no absolute address.
    #[error("an address such as https://app.example/hooks/telstar, of at most {WEBHOOK_URL_LEN_MAX} bytes")]
    NotAnAddress,
    /// A name or a password stands in it, or a fragment.
    #[error("an address without user name, password and fragment")]
    Surplus,
    /// It is not encrypted.
    #[error("https:// is needed, unless the operator sets webhooks.allow_private")]
    NotEncrypted,
    /// It leads into a private network.
    #[error("this address is not public; the operator can allow it with webhooks.allow_private")]
    Private,
}

impl Endpoint {
    /// Checks an address as it is written. What a name leads to is looked at before each request.
    pub fn parse(url: &str, allow_private: bool) -> Result<Endpoint, EndpointError> {
        if url.len() > WEBHOOK_URL_LEN_MAX {
            return Err(EndpointError::NotAnAddress);
        }
        if url.contains('#') {
            return Err(EndpointError::Surplus);
        }
        let uri: Uri = url.parse().map_err(|_| EndpointError::NotAnAddress)?;
        let authority = uri.authority().ok_or(EndpointError::NotAnAddress)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::Surplus);
        }
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if allow_private => false,
            Some("http") => return Err(EndpointError::NotEncrypted),
            _ => return Err(EndpointError::NotAnAddress),
        };
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // A colon behind which no port stands, or one that no port has.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => Some(if is_tls { 443 } else { 80 }),
            _ => authority.port_u16().filter(|port| *port != 0),
        };
        let port = port.filter(|_| !host.is_empty()).ok_or(EndpointError::NotAnAddress)?;
        if !allow_private && host.parse().is_ok_and(|address: IpAddr| !is_public(address)) {
            return Err(EndpointError::Private);
        }
        Ok(Endpoint {
            url: url.to_owned(),
            is_tls,
            host: host.to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        })
    }

    /// As it was written.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Whether an address belongs to the open internet. What the registries keep for other purposes (RFC 6890 and what
/// followed it) is not, and neither is what some clouds put on public numbers for their own machines.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    let is_special = match (a, b, c) {
        // "This network", private use, loopback (RFC 1122 §3.2.1.3, RFC 1918).
        (0 | 10 | 127, ..) | (172, 16..=31, _) | (192, 168, _) => true,
        // Shared address space (RFC 6598) and link-local, where clouds have their metadata (RFC 3927).
        (100, 64..=127, _) | (169, 254, _) => true,
        // Protocol assignments, documentation, the relays of 6to4, benchmarks (RFC 6890, RFC 5737, RFC 7526, RFC 2544).
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => true,
        // Multicast, reserved, broadcast (RFC 5771, RFC 1112 §4).
        (224..=255, ..) => true,
        // Azure's machines ask this one for their configuration.
        (168, 63, 129) => d == 16,
        _ => false,
    };
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    // NAT64 (RFC 6052 §2.1): what counts is the address behind it.
    if (a, b, c, d, e, f) == (0x64, 0xff9b, 0, 0, 0, 0) {
        let [g, h] = [g.to_be_bytes(), h.to_be_bytes()];
        return is_public_v4(Ipv4Addr::new(g[0], g[1], h[0], h[1]));
    }
    // Only 2000::/3 is given out (RFC 4291 §2.4). In it: protocol assignments with Teredo, documentation, and 6to4,
    // which carries an IPv4 address (RFC 2928, RFC 3849, RFC 9637, RFC 3056).
    let is_unicast = a & 0xe000 == 0x2000;
    let is_special = match (a, b) {
        (0x2001, b) => b < 0x200 || b == 0xdb8,
        (0x2002, _) => true,
        (0x3fff, b) => b < 0x1000,
        _ => false,
    };
    is_unicast && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_encrypted_public_address() {
        let parse = |url| Endpoint::parse(url, false);
        let plain = parse("https://app.example/hooks?x=1").expect("an endpoint");
        assert_eq!((plain.host.as_str(), plain.port, plain.target.as_str()), ("app.example", 443, "/hooks?x=1"));
        assert_eq!(parse("https://app.example").map(|endpoint| endpoint.target), Ok("/".to_owned()));
        let other = parse("https://[2606:4700::1]:8443/a").expect("an endpoint");
        assert_eq!((other.host.as_str(), other.port), ("2606:4700::1", 8443));
        for (url, expect) in [
            ("", EndpointError::NotAnAddress),
            ("/hooks", EndpointError::NotAnAddress),
            ("app.example", EndpointError::NotAnAddress),
            ("ftp://app.example/", EndpointError::NotAnAddress),
            ("file:///etc/passwd", EndpointError::NotAnAddress),
            ("https:///hooks", EndpointError::NotAnAddress),
            ("https://app.example:/", EndpointError::NotAnAddress),
            ("https://app.example:0/", EndpointError::NotAnAddress),
            ("https://app.example:65536/", EndpointError::NotAnAddress),
            ("https://app.example/a b", EndpointError::NotAnAddress),
            ("https://app.example/\r\nX: y", EndpointError::NotAnAddress),
            ("https://user:secret@app.example/", EndpointError::Surplus),
            ("https://app.example@127.0.0.1/", EndpointError::Surplus),
            ("https://app.example/#a", EndpointError::Surplus),
            ("http://app.example/", EndpointError::NotEncrypted),
            ("https://127.0.0.1/", EndpointError::Private),
            ("https://[::1]/", EndpointError::Private),
            ("https://[::ffff:127.0.0.1]/", EndpointError::Private),
            ("https://169.254.169.254/latest/meta-data", EndpointError::Private),
        ] {
            assert_eq!(parse(url), Err(expect), "{url}");
        }
        assert_eq!(parse(&format!("https://a.example/{}", "a".repeat(2_048))), Err(EndpointError::NotAnAddress));
        let private = Endpoint::parse("http://127.0.0.1:9000/", true).expect("the operator allows it");
        assert!(!private.is_tls && private.port == 9_000 && private.authority == "127.0.0.1:9000");
    }

    #[test]
    fn only_addresses_of_the_open_internet_are_public() {
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "168.63.129.17",
            "2606:4700::1",
            "2001:200::1",
            "2a00:1450::1",
            "64:ff9b::1.1.1.1",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!is_public(private.parse().expect("an address")), "{private}");
        }
    }
}

//! Addresses in the configuration: where to listen, which proxies to trust, what the outside calls us.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::value::{ListItem, Raw, Value, quoted};

/// Where a listener binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Not at all.
    Off,
    /// `IP:PORT` or `localhost:PORT`; port 0 picks a free one.
    At(SocketAddr),
    /// `:PORT`: every interface, IPv6 and IPv4 where the system has both.
    Everywhere(u16),
}

impl Listen {
    /// The addresses to try, best first; empty when off.
    pub fn candidates(self) -> Vec<SocketAddr> {
        match self {
            Listen::Off => Vec::new(),
            Listen::At(address) => vec![address],
            // A dual-stack socket where IPv6 exists; containers often have none.
            Listen::Everywhere(port) => {
                vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]
            }
        }
    }

    /// Whether the listener is wanted.
    pub fn is_on(self) -> bool {
        self != Listen::Off
    }
}

impl Value for Listen {
    fn parse(raw: &Raw<'_>) -> Option<Self> {
        let (Raw::Untyped(text) | Raw::Text(text)) = raw else { return None };
        if *text == "off" {
            return Some(Listen::Off);
        }
        if let Some(port) = text.strip_prefix(':') {
            return port.parse().ok().map(Listen::Everywhere);
        }
        if let Some(port) = text.strip_prefix("localhost:") {
            return port.parse().ok().map(|port: u16| Listen::At((Ipv4Addr::LOCALHOST, port).into()));
        }
        text.parse().ok().map(Listen::At)
    }
    fn allowed() -> String {
        r#""off", "IP:PORT", "localhost:PORT" or ":PORT" for every interface"#.to_owned()
    }
    fn print(&self) -> String {
        match self {
            Listen::Off => quoted("off"),
            Listen::At(address) => quoted(&address.to_string()),
            Listen::Everywhere(port) => quoted(&format!(":{port}")),
        }
    }
}

/// A range of addresses in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRange {
    network: IpAddr,
    prefix: u8,
}

impl IpRange {
    /// IPv4's loopback network.
    pub const LOOPBACK_V4: IpRange = IpRange { network: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 };
    /// IPv6's loopback address.
    pub const LOOPBACK_V6: IpRange = IpRange { network: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 };

    /// Whether `address` lies in the range. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                u32::from(network).checked_shr(shift) == u32::from(address).checked_shr(shift)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                u128::from(network).checked_shr(shift) == u128::from(address).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl ListItem for IpRange {
    fn parse_item(text: &str) -> Option<Self> {
        let (network, prefix) = match text.split_once('/') {
            Some((network, prefix)) => (network.parse().ok()?, Some(prefix.parse::<u8>().ok()?)),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let bits = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        (prefix <= bits).then_some(IpRange { network, prefix })
    }
    fn allowed_item() -> &'static str {
        r#"IP addresses or ranges such as "10.0.0.0/8""#
    }
    fn print_item(&self) -> String {
        format!("{}/{}", self.network, self.prefix)
    }
}

/// The origin under which the outside reaches this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicUrl {
    /// Worked out from the listeners and this machine's addresses.
    Auto,
    /// `https://live.example.org`, without a path or trailing slash.
    Fixed(String),
}

impl PublicUrl {
    /// The configured origin, if there is one.
    pub fn fixed(&self) -> Option<&str> {
        match self {
            PublicUrl::Auto => None,
            PublicUrl::Fixed(origin) => Some(origin),
        }
    }
}

impl Value for PublicUrl {
    fn parse(raw: &Raw<'_>) -> Option<Self> {
        let (Raw::Untyped(text) | Raw::Text(text)) = raw else { return None };
        if *text == "auto" {
            return Some(PublicUrl::Auto);
        }
        parse_origin(text.trim_end_matches('/')).map(PublicUrl::Fixed)
    }
    fn allowed() -> String {
        r#""auto" or an origin such as "https://live.example.org""#.to_owned()
    }
    fn print(&self) -> String {
        quoted(self.fixed().unwrap_or("auto"))
    }
}

/// Checks a web origin (RFC 6454 §6.2): http or https, a host, perhaps a port, nothing else; in lower case.
pub fn parse_origin(text: &str) -> Option<String> {
    let uri: axum::http::Uri = text.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let authority = uri.authority()?;
    // Origins stand in header values such as a policy's `frame-ancestors`, so only what a host is made of may pass.
    let host = uri.host()?;
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let is_ipv6 = || host.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    if host.is_empty() || !(is_name || is_ipv6().is_some()) {
        return None;
    }
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    // What is left over, such as a user, a path or a query, makes it something else than an origin.
    let is_whole = authority.as_str().len() == host.len() + port.len()
        && text.len() == scheme.len() + 3 + authority.as_str().len();
    is_whole.then(|| format!("{scheme}://{host}{port}").to_ascii_lowercase())
}

/// A web origin, such as `https://app.example.org`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// Whether an `Origin` header names it.
    pub fn is(&self, origin: &str) -> bool {
        self.0.eq_ignore_ascii_case(origin)
    }
}

impl ListItem for WebOrigin {
    fn parse_item(text: &str) -> Option<Self> {
        parse_origin(text.trim_end_matches('/')).map(WebOrigin)
    }
    fn allowed_item() -> &'static str {
        r#"origins such as "https://app.example.org""#
    }
    fn print_item(&self) -> String {
        self.0.clone()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Off => formatter.write_str("off"),
            Listen::At(address) => address.fmt(formatter),
            Listen::Everywhere(port) => write!(formatter, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_read_every_form_and_refuse_the_rest() {
        for (text, expect) in [
            ("off", Some("off")),
            (":8443", Some(":8443")),
            ("localhost:0", Some("127.0.0.1:0")),
            ("[::1]:80", Some("[::1]:80")),
            ("8080", None),
            ("example.org:80", None),
            (":70000", None),
        ] {
            let parsed = Listen::parse(&Raw::Untyped(text)).map(|listen| listen.to_string());
            assert_eq!(parsed.as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn ranges_contain_what_they_say() {
        for (range, address, expect) in [
            ("127.0.0.0/8", "127.1.2.3", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/8", "fd12::1", true),
            ("::1", "::1", true),
            ("::1", "::2", false),
        ] {
            let range = IpRange::parse_item(range).expect("the table holds ranges");
            let address = address.parse().expect("the table holds addresses");
            assert_eq!(range.contains(address), expect, "{range:?} {address}");
        }
        assert_eq!(IpRange::parse_item("10.0.0.0/33"), None);
    }

    #[test]
    fn an_origin_is_a_scheme_and_a_host_and_nothing_else() {
        for (text, expect) in [
            ("https://Live.Example.org", Some("https://live.example.org")),
            ("http://10.0.0.1:8080", Some("http://10.0.0.1:8080")),
            ("https://a/b", None),
            ("https://u@a", None),
            ("ftp://a", None),
            ("live.example.org", None),
            ("https://a?b", None),
            ("https://a;b", None),
            ("https://a,b", None),
            ("https://*.a", None),
            ("https://a:", None),
            ("https://[::1]:8443", Some("https://[::1]:8443")),
            ("https://[::1;]", None),
            ("https://a ", None),
        ] {
            assert_eq!(parse_origin(text).as_deref(), expect, "{text}");
        }
    }
}

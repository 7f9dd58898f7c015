//! Where a browser's request comes from. A cookie travels by itself, so a request that changes something with it, or
//! opens a socket with it, must show that one of our own pages sent it: its `Origin` is ours.

/// What a request that carries a session cookie shows beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginCheck {
    /// It changes nothing (`GET`, `HEAD`, `OPTIONS`; RFC 9110 §9.2.1), so another page gains nothing: it cannot read the answer.
    NotNeeded,
    /// Its origin is ours.
    Ours,
    /// It has none, or another.
    Foreign,
}

/// Which origin is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OurOrigin {
    /// The configured public address, such as `https://live.example`.
    Public(String),
    /// The address that the request was sent to. A page of another origin has another host, another port or another
    /// scheme; a name that was rebound to this machine has its own cookies.
    Host,
}

impl OurOrigin {
    /// Looks at a request: its `Origin`, and the scheme and host (with port) that it was sent to.
    ///
    /// No `Origin` is a foreign one: browsers send it with every request that is not `GET` or `HEAD`, and with every
    /// WebSocket (Fetch standard, "append a request Origin header").
    pub fn check(&self, origin: Option<&str>, scheme: &str, host: Option<&str>) -> OriginCheck {
        let Some(origin) = origin.filter(|origin| *origin != "null") else { return OriginCheck::Foreign };
        let ours = match self {
            OurOrigin::Public(public) => origin.eq_ignore_ascii_case(public),
            OurOrigin::Host => host.is_some_and(|host| is_origin_of(origin, scheme, host)),
        };
        if ours { OriginCheck::Ours } else { OriginCheck::Foreign }
    }
}

fn is_origin_of(origin: &str, scheme: &str, host: &str) -> bool {
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    // A browser leaves the scheme's own port out of both; other clients may write it in either.
    let short = |host: &str| host.strip_suffix(default_port).unwrap_or(host).to_ascii_lowercase();
    let Some((origin_scheme, origin_host)) = origin.split_once("://") else { return false };
    !host.is_empty() && origin_scheme.eq_ignore_ascii_case(scheme) && short(origin_host) == short(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_change_something_with_a_cookie() {
        let public = OurOrigin::Public("https://live.example".into());
        let host = OurOrigin::Host;
        for (ours, origin, scheme, at, expect) in [
            (&host, Some("http://127.0.0.1:8080"), "http", Some("127.0.0.1:8080"), OriginCheck::Ours),
            (&host, Some("https://A.example"), "https", Some("a.example"), OriginCheck::Ours),
            (&host, Some("https://a.example"), "https", Some("a.example:443"), OriginCheck::Ours),
            (&host, Some("https://[::1]:8443"), "https", Some("[::1]:8443"), OriginCheck::Ours),
            (&host, Some("http://127.0.0.1:8081"), "http", Some("127.0.0.1:8080"), OriginCheck::Foreign),
            (&host, Some("http://a.example"), "https", Some("a.example"), OriginCheck::Foreign),
            (&host, Some("https://a.example.evil"), "https", Some("a.example"), OriginCheck::Foreign),
            (&host, Some("https://evil?://a.example"), "https", Some("a.example"), OriginCheck::Foreign),
            (&host, Some("null"), "http", Some("null"), OriginCheck::Foreign),
            (&host, Some("http://"), "http", Some(""), OriginCheck::Foreign),
            (&host, Some("http://a.example"), "http", None, OriginCheck::Foreign),
            (&host, None, "http", Some("a.example"), OriginCheck::Foreign),
            (&public, Some("https://live.example"), "http", Some("10.0.0.1:8080"), OriginCheck::Ours),
            (&public, Some("http://10.0.0.1:8080"), "http", Some("10.0.0.1:8080"), OriginCheck::Foreign),
            (&public, None, "https", Some("live.example"), OriginCheck::Foreign),
        ] {
            assert_eq!(ours.check(origin, scheme, at), expect, "{ours:?} {origin:?} {scheme} {at:?}");
        }
    }
}

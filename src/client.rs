//! Who is at the other end of a request: address, scheme and host, seen through the proxies that are trusted.
//!
//! Forwarded headers count only when the connection comes from a trusted proxy (`trusted_proxies`); anyone else could
//! write them. Limits, cookies and the Origin check all ask here.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::api::error::Problem;
use crate::auth::{OriginCheck, OurOrigin};
use crate::config::General;
use crate::config::address::IpRange;
use crate::http::Peer;
use crate::state::AppState;

/// What proxies add. nginx adds none by default, so an operator's proxy on this machine should add one.
const FORWARDING_HEADERS: &[&str] = &["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "via"];
/// The older headers: for whom, by which scheme, to which host.
const X_FORWARDED: [&str; 3] = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];

/// The other end of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address, or the one that a trusted proxy names.
    pub address: IpAddr,
    /// The origin under which it reached us, such as `https://10.0.0.5:8443`. A hint: the client chose the host.
    pub reached_origin: String,
    /// Whether a proxy says that it passed the request on, trusted or not.
    pub is_forwarded: bool,
}

impl Client {
    /// Whether the browser reached us over TLS, so that cookies can be `Secure`: over our own, or over a proxy's that
    /// says so, or because the page is one of the public address, whatever the proxy says.
    pub fn is_secure(&self, headers: &HeaderMap, general: &General) -> bool {
        let public = general.public_url.fixed().filter(|public| public.starts_with("https:"));
        let is_public = text(headers, header::ORIGIN.as_str())
            .zip(public)
            .is_some_and(|(origin, public)| origin.eq_ignore_ascii_case(public));
        is_public || self.reached_origin.starts_with("https:")
    }

    /// Whether an `Origin` header names us: the configured origin, or the one under which the request reached us. With
    /// a public address the server's own goes on to work, because the operator opens it on the machine itself.
    pub fn is_our_origin(&self, origin: &str, general: &General) -> bool {
        let (scheme, host) = self.reached_origin.split_once("://").unwrap_or_default();
        let public = general.public_url.fixed().map(|public| OurOrigin::Public(public.to_owned()));
        let mut ours = public.into_iter().chain([OurOrigin::Host]);
        ours.any(|ours| ours.check(Some(origin), scheme, Some(host)) == OriginCheck::Ours)
    }

    /// Whether the request comes from a program on this machine itself. What came through a proxy does not.
    pub fn is_on_this_machine(&self) -> bool {
        self.address.is_loopback() && !self.is_forwarded
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let client = parts.extensions.get::<Client>().cloned();
        client.ok_or_else(|| Problem::internal("a route stands outside the layer that identifies clients"))
    }
}

/// The layer that puts a [`Client`] on every request.
pub async fn identify(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return axum::response::IntoResponse::into_response(Problem::internal("a request without a connection"));
    };
    let client = client_of(peer, request.headers(), request.uri(), &state.config.general.trusted_proxies);
    request.extensions_mut().insert(client);
    next.run(request).await
}

fn client_of(peer: Peer, headers: &HeaderMap, uri: &Uri, trusted: &[IpRange]) -> Client {
    // HTTP/2 carries the host in the target (RFC 9113 §8.3.1).
    let host = uri.authority().map(|authority| authority.as_str()).or_else(|| text(headers, header::HOST.as_str()));
    let mut client = Client {
        address: peer.address.ip().to_canonical(),
        reached_origin: origin_of(if peer.tls { "https" } else { "http" }, host.unwrap_or_default()),
        is_forwarded: FORWARDING_HEADERS.iter().any(|name| headers.contains_key(*name)),
    };
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    if !is_trusted(client.address) {
        return client;
    }
    let forwarded = Forwarded::read(headers);
    // The nearest hop is the last; the first address from there that is no proxy of ours is the client.
    // One that cannot be read ends the walk as well: what stands before it may be anybody's invention.
    for hop in forwarded.hops.iter().rev().map_while(|hop| *hop) {
        client.address = hop;
        if !is_trusted(hop) {
            break;
        }
    }
    if forwarded.proto.is_some() || forwarded.host.is_some() {
        let scheme = forwarded.proto.unwrap_or(if peer.tls { "https" } else { "http" });
        client.reached_origin = origin_of(scheme, forwarded.host.or(host).unwrap_or_default());
    }
    client
}

fn origin_of(scheme: &str, host: &str) -> String {
    format!("{scheme}://{host}").to_ascii_lowercase()
}

/// What proxies say, in `X-Forwarded-*` or in RFC 7239's `Forwarded`.
///
/// A proxy writes one kind and may pass the other on as the client wrote it. Nearly all write `X-Forwarded-*`, so that
/// kind counts when both are there; a proxy that writes `Forwarded` has to take the others out.
#[derive(Default)]
struct Forwarded<'a> {
    /// Nearest last. `None` is a proxy that does not say whom it heard.
    hops: Vec<Option<IpAddr>>,
    proto: Option<&'a str>,
    host: Option<&'a str>,
}

impl<'a> Forwarded<'a> {
    fn read(headers: &'a HeaderMap) -> Forwarded<'a> {
        if X_FORWARDED.iter().any(|name| headers.contains_key(*name)) {
            let [hops, proto, host] = X_FORWARDED;
            return Forwarded {
                hops: items(headers, hops).map(hop_of).collect(),
                proto: items(headers, proto).last().and_then(scheme_of),
                host: items(headers, host).last().map(str::trim),
            };
        }
        let mut forwarded = Forwarded::default();
        // RFC 7239 §4: each proxy appends one element of `name=value` pairs. What earlier ones say of scheme and host
        // the client can have written.
        for element in items(headers, "forwarded") {
            let mut hop = None;
            (forwarded.proto, forwarded.host) = (None, None);
            for (name, value) in element.split(';').filter_map(|pair| pair.split_once('=')) {
                let value = value.trim().trim_matches('"');
                match name.trim().to_ascii_lowercase().as_str() {
                    "for" => hop = hop_of(value),
                    "proto" => forwarded.proto = scheme_of(value),
                    "host" => forwarded.host = Some(value),
                    _ => {}
                }
            }
            forwarded.hops.push(hop);
        }
        forwarded
    }
}

/// The comma-separated items of all headers of this name (RFC 9110 §5.3). A value that is no text is one item that says
/// nothing.
fn items<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().flat_map(|value| value.to_str().unwrap_or_default().split(','))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn scheme_of(value: &str) -> Option<&'static str> {
    ["https", "http"].into_iter().find(|scheme| value.trim().eq_ignore_ascii_case(scheme))
}

/// An address as proxies write it: bare, in brackets, with or without a port (RFC 7239 §6).
fn hop_of(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.parse::<IpAddr>().ok();
    let bracketed = || text.strip_prefix('[')?.split_once(']')?.0.parse().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    bare.or_else(bracketed).or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use crate::config::address::PublicUrl;

    use super::*;

    fn check(from: &str, headers: &[(&str, &str)], expect: (&str, &str)) {
        let peer = Peer { address: format!("{from}:5000").parse().expect("an address"), tls: false };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a header name");
            map.append(name, value.parse().expect("a header value"));
        }
        let trusted = [IpRange::LOOPBACK_V4];
        let client = client_of(peer, &map, &Uri::from_static("/"), &trusted);
        assert_eq!((client.address.to_string().as_str(), client.reached_origin.as_str()), expect, "{headers:?}");
    }

    #[test]
    fn only_a_trusted_proxy_may_say_who_the_client_is() {
        let said = [("host", "a:80"), ("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "https")];
        check("10.0.0.1", &said, ("10.0.0.1", "http://a:80"));
        check("127.0.0.1", &said, ("9.9.9.9", "https://a:80"));
    }

    #[test]
    fn a_client_cannot_put_itself_behind_an_address_of_its_choice() {
        // The client wrote the first entry, our proxy appended the second.
        check("127.0.0.1", &[("host", "a"), ("x-forwarded-for", "1.1.1.1, 9.9.9.9")], ("9.9.9.9", "http://a"));
        check("127.0.0.1", &[("host", "a"), ("x-forwarded-for", "1.1.1.1, 127.0.0.2")], ("1.1.1.1", "http://a"));
    }

    #[test]
    fn rfc_7239s_header_is_read_when_it_stands_alone() {
        let header = [("host", "a"), ("forwarded", r#"for="[2001:db8::1]:80";proto=https;host=live.example.org"#)];
        check("127.0.0.1", &header, ("2001:db8::1", "https://live.example.org"));
    }

    #[test]
    fn what_a_proxy_passes_on_of_the_other_kind_does_not_count() {
        let written = [
            ("host", "a"),
            ("forwarded", "for=127.0.0.1;proto=https;host=evil.example"),
            ("x-forwarded-for", "9.9.9.9"),
        ];
        check("127.0.0.1", &written, ("9.9.9.9", "http://a"));
        let only_scheme = [("host", "a"), ("forwarded", "for=1.1.1.1"), ("x-forwarded-proto", "https")];
        check("127.0.0.1", &only_scheme, ("127.0.0.1", "https://a"));
    }

    #[test]
    fn a_hop_that_cannot_be_read_ends_the_walk_at_the_last_proxy() {
        for (header, value) in [
            ("x-forwarded-for", "1.1.1.1, unknown"),
            ("x-forwarded-for", "1.1.1.1,"),
            ("forwarded", "for=1.1.1.1, for=unknown"),
            ("forwarded", "for=1.1.1.1, for=_hidden"),
            ("forwarded", "for=1.1.1.1;host=evil.example, by=10.0.0.1"),
        ] {
            check("127.0.0.1", &[("host", "a"), (header, value)], ("127.0.0.1", "http://a"));
        }
        check("127.0.0.1", &[("host", "a"), ("x-forwarded-for", "x, 127.0.0.2")], ("127.0.0.2", "http://a"));
    }

    #[test]
    fn a_page_of_the_public_address_is_secure_whatever_the_proxy_says() {
        let mut general = General::default();
        let mut client = Client {
            address: IpAddr::from([127, 0, 0, 1]),
            reached_origin: "http://live.example.org".to_owned(),
            is_forwarded: false,
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, "https://live.example.org".parse().expect("a header value"));
        assert!(!client.is_secure(&headers, &general), "nothing says that this is us");
        general.public_url = PublicUrl::Fixed("https://live.example.org".to_owned());
        assert!(client.is_secure(&headers, &general));
        assert!(!client.is_secure(&HeaderMap::new(), &general));
        client.reached_origin = "https://10.0.0.5".to_owned();
        assert!(client.is_secure(&HeaderMap::new(), &general));
    }

    #[test]
    fn our_origin_is_the_configured_one_or_the_one_reached() {
        let mut general = General::default();
        let client = Client {
            address: IpAddr::from([1, 1, 1, 1]),
            reached_origin: "https://10.0.0.5".to_owned(),
            is_forwarded: false,
        };
        for (origin, expect) in [
            ("https://10.0.0.5", true),
            ("https://10.0.0.5:443", true),
            ("http://10.0.0.5", false),
            ("null", false),
            ("https://evil.example", false),
            ("https://live.example.org", false),
        ] {
            assert_eq!(client.is_our_origin(origin, &general), expect, "{origin}");
        }
        general.public_url = PublicUrl::Fixed("https://live.example.org".to_owned());
        assert!(client.is_our_origin("https://live.example.org", &general));
        assert!(client.is_our_origin("https://10.0.0.5", &general));
    }
}

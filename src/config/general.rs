//! The keys at the top of the file: where the data lives and where the server listens.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::address::{IpRange, Listen, PublicUrl, WebOrigin};
use super::section::section;

/// Plain HTTP's port.
const HTTP_PORT: u16 = 8080;
/// HTTPS's port.
const HTTPS_PORT: u16 = 8443;
/// RTMP's port, as every encoder presumes it.
const RTMP_PORT: u16 = 1935;
/// RTMPS has no port of its own; the one beside RTMP's is free and easy to remember. (443 belongs to pages.)
const RTMPS_PORT: u16 = 1936;

section! {
    /// Telstar's configuration. Flags go over environment variables, those over this file, this file over the defaults.
    /// The key `part_ms` of the section `[hls]` is the flag `--hls-part-ms` and the variable `TELSTAR_HLS_PART_MS`.
    General {
        /// The data folder: keys, certificate and database. Made at the first start, readable by its owner only.
        data: PathBuf = PathBuf::from("./telstar-data"),
        /// Where plain HTTP listens: pages, API, WebSocket, HLS. Loopback by default, because it is not encrypted.
        http: Listen = Listen::At(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), HTTP_PORT)),
        /// Where HTTPS listens: the same over HTTP/2 and HTTP/1.1. Needs a certificate, see `[tls]`.
        https: Listen = Listen::Everywhere(HTTPS_PORT),
        /// Where RTMP listens: encoders push to it, and players may play from it.
        rtmp: Listen = Listen::Everywhere(RTMP_PORT),
        /// Where RTMPS listens: the same over TLS, with the certificate of HTTPS. The default listens when there is a
        /// certificate, see `[tls]`.
        rtmps: Listen = Listen::Everywhere(RTMPS_PORT),
        /// The origin under which browsers reach this server, without a path. It feeds every printed link and the
        /// check of where a signed-in browser's requests come from. Set it behind a reverse proxy.
        public_url: PublicUrl = PublicUrl::Auto,
        /// Origins of other sites whose pages may open a WebSocket here: apps that hold calls with a room token. They get
        /// no right from a cookie.
        allowed_origins: Vec<WebOrigin> = Vec::new(),
        /// The proxies whose `Forwarded` and `X-Forwarded-*` headers are believed.
        trusted_proxies: Vec<IpRange> = vec![IpRange::LOOPBACK_V4, IpRange::LOOPBACK_V6],
    }
}

//! The section `[limits]`: what one client, or all together, may take of the server. How many records there may be is fixed in `telstar-store`.

use super::section::section;

section! {
    /// Limits of HTTP and WebSocket.
    Limits {
        /// HTTP and HTTPS connections at once. Beyond it a new one is closed and counted. Each costs about 20 KiB.
        http_connections_max: u32 = 10_000 => 10..=1_000_000,
        /// HTTP and HTTPS connections at once from one address, an IPv6 /64 counting as one. Programs on this machine and
        /// trusted proxies are exempt. A browser needs one over HTTPS and six over HTTP; a school may be one address.
        http_connections_per_address_max: u32 = 2_000 => 6..=1_000_000,
        /// The longest a client may take over its TLS handshake or over a request's header. It is also how long an idle
        /// HTTP/1.1 connection stays open. Shorter frees slots sooner.
        header_timeout_secs: u32 = 30 => 1..=300,
        /// Requests at once on one HTTP/2 connection. A player needs about six.
        h2_streams_max: u32 = 128 => 8..=1_000,
        /// The largest body of an API request. Beyond it the answer is 413.
        body_max_kib: u32 = 64 => 1..=10_240,
        /// WebSocket connections at once. Beyond it the close code is 4409.
        websockets_max: u32 = 10_000 => 1..=1_000_000,
    }
}

//! The HTTP server: its own accept loop, so that every limit is ours and named.
//!
//! In: a bound listener, perhaps a TLS configuration, the router. Out: served connections: HTTP/1.1 in the clear, HTTP/2
//! or HTTP/1.1 by ALPN over TLS. It knows nothing of what the router answers.

mod streams;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tracing::debug;

use self::streams::Streams;
use crate::config::address::IpRange;
use crate::config::{Config, Limits};
use crate::listen;
use crate::metrics::Metrics;
use crate::slots::{Slot, Slots};
use crate::tasks::Tasks;

/// Bytes of one HTTP/1.1 header block. A cookie, a token and a browser's headers need 2 KiB. More: each connection may
/// hold that much; less: long tokens fail.
const H1_HEADER_BYTES: usize = 16 * 1024;
/// Bytes of a body that are read at once, and that wait to be written. Only a connection that fills them has as many.
/// Higher takes more memory for each upload and each slow viewer; lower asks the kernel more often.
const H1_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of one HTTP/2 header list (RFC 9113 §10.5.1), for the same reason as in HTTP/1.1.
const H2_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// An HTTP/2 connection that sends nothing is asked with a PING after this long. Phones that left a network are seen
/// by it; a shorter time wakes their radios.
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long the answer to a PING may take.
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// What a client may send of one body before it is read. An upload over a path of 50 ms gets as much twenty times a
/// second (measured: 3.5 MB/s with 256 KiB). Higher makes uploads over longer paths faster; lower takes less memory for
/// each that comes faster than the disk writes, and only for those: a body that nobody reads is thrown away.
const H2_STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// The same of all bodies of one connection.
const H2_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const _: () = assert!(H2_STREAM_WINDOW_BYTES < H2_WINDOW_BYTES, "one upload leaves room for what else a page asks");
/// A peer that acknowledges nothing of what we sent for this long is gone, also when it advertises an empty window.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);
/// How often an HTTP/2 connection is looked at for streams that stand still, and for none at all.
const H2_SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// The connection a request came on, as an extension of the request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The other end, which may be a proxy.
    pub address: SocketAddr,
    /// Whether it came over our own TLS.
    pub tls: bool,
}

/// What all HTTP listeners share.
#[derive(Clone)]
pub struct HttpServer {
    router: Router,
    limits: Limits,
    slots: Slots,
    trusted_proxies: Arc<[IpRange]>,
    tasks: Tasks,
    metrics: Arc<Metrics>,
}

impl HttpServer {
    /// A server of `router`. The connection limits count over all its listeners.
    pub fn new(router: Router, config: &Config, tasks: Tasks, metrics: Arc<Metrics>) -> HttpServer {
        let limits = config.limits.clone();
        let slots = Slots::new(limits.http_connections_max, limits.http_connections_per_address_max);
        let trusted_proxies = config.general.trusted_proxies.as_slice().into();
        HttpServer { router, limits, slots, trusted_proxies, tasks, metrics }
    }

    /// Accepts on `listener` until the doors close; connections end when the task set stops.
    pub fn listen(&self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        let server = self.clone();
        let name = if tls.is_some() { "https" } else { "http" };
        let admit = move |stream, address| server.admit(stream, address, tls.clone());
        self.tasks.spawn(name, listen::accept_all(listener, "an HTTP connection", self.tasks.clone(), admit));
    }

    /// Starts a connection's task, or closes it at once when there are too many.
    fn admit(&self, stream: TcpStream, address: SocketAddr, tls: Option<TlsAcceptor>) {
        // Behind a proxy are many people; the limits that count their addresses are further in.
        let is_proxy = self.trusted_proxies.iter().any(|range| range.contains(address.ip()));
        let is_exempt = is_proxy || address.ip().to_canonical().is_loopback();
        let Some(slot) = self.slots.take(address.ip(), is_exempt) else {
            self.metrics.http_refused_connections.add(1);
            return;
        };
        self.metrics.http_accepted_connections.add(1);
        let open = self.metrics.http_connections_count.enter();
        let server = self.clone();
        self.tasks.spawn("http connection", async move {
            server.serve(stream, address, tls, slot).await;
            drop(open);
        });
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr, tls: Option<TlsAcceptor>, _slot: Slot) {
        // Parts are written whole; waiting for more would only add latency.
        let _ = stream.set_nodelay(true);
        let unacknowledged_ms = u32::try_from(UNACKNOWLEDGED_MAX.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, unacknowledged_ms);
        let peer = Peer { address, tls: tls.is_some() };
        match tls {
            None => self.serve_http1(stream, peer).await,
            // In a box, so that a connection in the clear takes no room for what TLS and HTTP/2 need: 6 KiB.
            Some(acceptor) => Box::pin(self.serve_tls(stream, peer, acceptor)).await,
        }
    }

    async fn serve_tls(&self, stream: TcpStream, peer: Peer, acceptor: TlsAcceptor) {
        let deadline = Duration::from_secs(self.limits.header_timeout_secs.into());
        match tokio::time::timeout(deadline, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    self.serve_http2(stream, peer).await;
                } else {
                    self.serve_http1(stream, peer).await;
                }
            }
            Ok(Err(error)) => {
                self.metrics.http_failed_handshakes.add(1);
                debug!(%error, "a TLS handshake failed");
            }
            Err(_) => self.metrics.http_failed_handshakes.add(1),
        }
    }

    async fn serve_http1(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            // It also bounds an idle connection: the wait for the next request's header is such a read.
            .header_read_timeout(Duration::from_secs(self.limits.header_timeout_secs.into()))
            .max_header_size(H1_HEADER_BYTES)
            .max_buf_size(H1_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), self.service(peer, None))
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        // Cancel-safe: the connection is polled by reference and goes on after the other branch.
        tokio::select! {
            outcome = &mut connection => return log_end(outcome),
            () = self.tasks.stopping() => connection.as_mut().graceful_shutdown(),
        }
        log_end(connection.await);
    }

    async fn serve_http2(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let streams = Streams::new();
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.h2_streams_max)
            .max_header_list_size(H2_HEADER_LIST_BYTES)
            .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(H2_WINDOW_BYTES)
            .keep_alive_interval(H2_PING_INTERVAL)
            .keep_alive_timeout(H2_PING_TIMEOUT)
            .serve_connection(TokioIo::new(stream), self.service(peer, Some(streams.clone())));
        let mut connection = std::pin::pin!(connection);
        let mut stopping = std::pin::pin!(self.tasks.stopping());
        let mut sweep = tokio::time::interval(H2_SWEEP_INTERVAL);
        let mut goes_on = true;
        loop {
            // Cancel-safe: the connection and the token are polled by reference, and an interval loses no tick.
            let ends = tokio::select! {
                outcome = &mut connection => return log_end(outcome),
                () = &mut stopping, if goes_on => true,
                _ = sweep.tick() => streams.sweep(),
            };
            if ends && goes_on {
                goes_on = false;
                connection.as_mut().graceful_shutdown();
            }
        }
    }

    fn service(
        &self,
        peer: Peer,
        streams: Option<Streams>,
    ) -> impl hyper::service::Service<
        Request<Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + 'static {
        let router = self.router.clone();
        hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let stream = streams.as_ref().map(Streams::open);
            let answer = router.clone().oneshot(request.map(Body::new));
            async move {
                let response = answer.await?;
                Ok(match stream {
                    Some(stream) => stream.watch(response),
                    None => response,
                })
            }
        })
    }
}

fn log_end(outcome: Result<(), hyper::Error>) {
    if let Err(error) = outcome {
        // Peers that vanish are daily life.
        debug!(%error, "an HTTP connection ended early");
    }
}

//! The numbers of `/metrics`: plain counters and gauges that anyone may bump, encoded on demand.
//!
//! Names are `<area>_<noun>_<unit>[_total]`. No label ever names a room, an address or a peer, so the number of series
//! is fixed. Values that live elsewhere (store, shards) are read through [`Metrics::observe`] when somebody asks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use std::sync::Arc;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `amount` more.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `amount`, which may be negative.
    pub fn add(&self, amount: i64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The present value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more until the returned guard is dropped.
    pub fn enter(self: &Arc<Self>) -> Entered {
        self.add(1);
        Entered(Arc::clone(self))
    }
}

/// One thing that a [`Gauge`] counts while it exists.
#[derive(Debug)]
pub struct Entered(Arc<Gauge>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// Whether a number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; its name gets the suffix `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Reads a number that lives elsewhere.
type Probe = Box<dyn Fn() -> i64 + Send + Sync>;

struct Observed {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    probe: Probe,
}

macro_rules! metrics {
    ($( $(#[doc = $doc:literal])* $field:ident : $kind:ident ),* $(,)?) => {
        /// All numbers of one server.
        #[derive(Default)]
        pub struct Metrics {
            $( $(#[doc = $doc])* pub $field: Arc<$kind>, )*
            observed: Mutex<Vec<Observed>>,
        }

        impl Metrics {
            fn registered(&self) -> Vec<(&'static str, &'static str, Kind, i64)> {
                vec![ $( (
                    stringify!($field),
                    concat!($($doc),*),
                    Kind::$kind,
                    i64::try_from(self.$field.get()).unwrap_or(i64::MAX),
                ) ),* ]
            }
        }
    };
}

metrics! {
    /// HTTP connections that are open.
    http_connections_count: Gauge,
    /// HTTP connections that were accepted.
    http_accepted_connections: Counter,
    /// HTTP connections that were closed at once because there were too many.
    http_refused_connections: Counter,
    /// TLS handshakes that failed or took too long.
    http_failed_handshakes: Counter,
    /// HTTP requests that were answered.
    http_answered_requests: Counter,
    /// HTTP requests that were answered with a status of 400 to 499.
    http_refused_requests: Counter,
    /// HTTP requests that were answered with a status of 500 to 599.
    http_failed_requests: Counter,
    /// Requests that a credential or its absence turned away.
    auth_refused_requests: Counter,
    /// WebSocket connections that are open.
    ws_connections_count: Gauge,
    /// WebSocket connections that were refused or closed because of a limit.
    ws_refused_connections: Counter,
    /// WebSocket messages that arrived.
    ws_received_messages: Counter,
    /// WebSocket messages that were sent.
    ws_sent_messages: Counter,
    /// Events that a webhook's endpoint took.
    webhooks_delivered_events: Counter,
    /// Requests to webhooks' endpoints that failed.
    webhooks_failed_attempts: Counter,
    /// Events that were given up for a webhook after the last attempt.
    webhooks_failed_events: Counter,
    /// Events for webhooks that could not be queued.
    webhooks_lost_events: Counter,
    /// RTMP connections that are open.
    rtmp_connections_count: Gauge,
    /// RTMP connections that were accepted.
    rtmp_accepted_connections: Counter,
    /// RTMP connections that a limit, a deadline or a credential ended before they were let in.
    rtmp_refused_connections: Counter,
    /// TLS handshakes of RTMPS that failed or took too long.
    rtmp_failed_handshakes: Counter,
    /// Bytes that RTMP connections brought.
    rtmp_received_bytes: Counter,
    /// Players over RTMP that are connected.
    rtmp_players_count: Gauge,
    /// Bytes that were sent to players over RTMP.
    rtmp_sent_bytes: Counter,
    /// Requests for HLS playlists that wait for a part.
    hls_waiting_requests_count: Gauge,
    /// Requests for HLS that were answered 503 because too many waited, too many files were open or the part did not come.
    hls_refused_requests: Counter,
    /// Bytes of HLS playlists and media that were sent.
    hls_sent_bytes: Counter,
    /// Requests that write into uploads.
    vod_uploads_count: Gauge,
    /// Bytes that uploads brought.
    vod_received_bytes: Counter,
    /// Bytes of assets that were sent.
    vod_sent_bytes: Counter,
    /// Jobs on assets that are under way.
    vod_jobs_count: Gauge,
    /// Jobs on assets that were done.
    vod_done_jobs: Counter,
    /// Attempts at jobs on assets that ended without a result.
    vod_failed_attempts: Counter,
    /// Attempts at jobs on assets that had no worker, because none could be started. Jobs wait then.
    vod_refused_attempts: Counter,
    /// Times that the files of a certificate were not usable, so that the old one stayed in force.
    tls_failed_renewals: Counter,
    /// Tasks that ended in a panic.
    tasks_panics: Counter,
}

impl Metrics {
    /// Adds a number that lives elsewhere; `probe` is called whenever `/metrics` is asked for and must be quick.
    pub fn observe(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        probe: impl Fn() -> i64 + Send + Sync + 'static,
    ) {
        let observed = Observed { name, help, kind, probe: Box::new(probe) };
        self.observed.lock().expect("no code panics while it holds this lock").push(observed);
    }

    /// The text that Prometheus reads, in the OpenMetrics format.
    pub fn encode(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        let mut register = |name: &str, help: &str, kind: Kind, value: i64| match kind {
            Kind::Counter => {
                let counter = prometheus_client::metrics::counter::ConstCounter::new(value.max(0) as u64);
                registry.register(name, help.trim().trim_end_matches('.'), counter);
            }
            Kind::Gauge => {
                let gauge = prometheus_client::metrics::gauge::ConstGauge::new(value);
                registry.register(name, help.trim().trim_end_matches('.'), gauge);
            }
        };
        for (name, help, kind, value) in self.registered() {
            register(name, help, kind, value);
        }
        for observed in self.observed.lock().expect("no code panics while it holds this lock").iter() {
            register(observed.name, observed.help, observed.kind, (observed.probe)());
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a String takes every write");
        text
    }
}

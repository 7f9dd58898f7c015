//! What is counted of calls, over all media threads.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

macro_rules! net_counters {
    ($( $(#[doc = $doc:literal])* $field:ident = $metric:literal ),* $(,)?) => {
        /// Counters of the sockets that carry calls.
        #[derive(Debug, Default)]
        pub struct NetCounters {
            $( $(#[doc = $doc])* pub $field: AtomicU64, )*
            /// ICE-TCP connections that are open.
            pub tcp_connections: AtomicI64,
            /// Connections of calls that exist: two for each participant that sends and receives.
            pub peers: AtomicI64,
        }

        impl NetCounters {
            /// Each counter as `/metrics` shows it: its name, what it says, and how it is read.
            #[allow(clippy::type_complexity, reason = "a table with one reader")]
            pub fn table() -> Vec<(&'static str, &'static str, fn(&NetCounters) -> &AtomicU64)> {
                vec![ $( ($metric, concat!($($doc),*).trim_ascii(), |counters| &counters.$field) ),* ]
            }
        }
    };
}

net_counters! {
    /// Datagrams that came for calls, over UDP and TCP.
    received_packets = "call_received_packets",
    /// Bytes of those datagrams.
    received_bytes = "call_received_bytes",
    /// Datagrams of calls that the kernel took over UDP, and frames that were queued for TCP.
    sent_packets = "call_sent_packets",
    /// Bytes of those.
    sent_bytes = "call_sent_bytes",
    /// Datagrams from addresses that no connection of a call has, and requests that name none.
    unknown_packets = "call_unknown_packets",
    /// Datagrams that are not of WebRTC, empty, or longer than a call's.
    alien_packets = "call_alien_packets",
    /// Datagrams for connections of calls that were dropped because of a limit of their connection.
    limited_packets = "call_limited_packets",
    /// Media packets of publishers that no codec rule could read.
    malformed_packets = "call_malformed_packets",
    /// Media packets that came from publishers.
    published_packets = "call_published_packets",
    /// Media packets that were handed to viewers' connections, without resends and padding.
    forwarded_packets = "call_forwarded_packets",
    /// Datagrams of calls that were dropped because a media thread made them faster than it sent them.
    overflowed_packets = "call_overflowed_packets",
    /// Lossy messages that a receiver had no room for.
    dropped_messages = "call_dropped_messages",
    /// Keyframes that publishers were asked for.
    asked_keyframes = "call_asked_keyframes",
    /// Connections of calls that were ended by a panic of their own.
    panicked_peers = "call_panicked_peers",
    /// Datagrams that a media thread did not take over from another in time.
    crossing_dropped_packets = "call_crossing_dropped_packets",
    /// Datagrams that waited too long for the kernel to send them.
    late_packets = "call_late_packets",
    /// Datagrams that the kernel refused to send.
    refused_packets = "call_refused_packets",
    /// Frames that a slow ICE-TCP connection did not take.
    tcp_dropped_packets = "call_tcp_dropped_packets",
    /// Addresses that were not remembered because too many were.
    forgotten_addresses = "call_forgotten_addresses",
    /// ICE-TCP connections that were accepted.
    tcp_accepted_connections = "call_tcp_accepted_connections",
    /// ICE-TCP connections that a limit, a deadline or their first frame ended.
    tcp_refused_connections = "call_tcp_refused_connections",
    /// Calls that were closed because their room did not take their events.
    slow_rooms = "call_slow_rooms",
    /// Panics that were caught around calls.
    panics = "call_panics",
}

impl NetCounters {
    pub(in crate::shards) fn add(&self, counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}

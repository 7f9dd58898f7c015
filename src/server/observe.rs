//! Numbers of other parts, as `/metrics` shows them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use telstar_hls::Budget;

use crate::app::Media;
use crate::dvr::{Dvr, DvrCounters};
use crate::metrics::{Kind, Metrics};
use crate::shards::{NetCounters, ShardCounters};
use crate::state::AppState;

/// Numbers that live in other parts.
pub(super) fn observe(state: &AppState, media: &Media) {
    let metrics = &state.metrics;
    observe_dvr(metrics, media.dvr.as_deref());
    observe_calls(metrics, media.shards.net_counters());
    media.workers.observe(metrics);
    let rooms = state.rooms.clone();
    metrics.observe("rooms_live_count", "Rooms in which something is live", Kind::Gauge, move || {
        rooms.live_count() as i64
    });
    let rooms = state.rooms.clone();
    metrics.observe("rooms_viewers_count", "Viewers of all rooms together", Kind::Gauge, move || {
        i64::try_from(rooms.viewer_count()).unwrap_or(i64::MAX)
    });
    let calls = state.calls.clone();
    metrics.observe("calls_count", "Calls that go on", Kind::Gauge, move || {
        i64::try_from(calls.count()).unwrap_or(i64::MAX)
    });
    let calls = state.calls.clone();
    metrics.observe("call_participants_count", "Participants of all calls together", Kind::Gauge, move || {
        i64::try_from(calls.participant_count()).unwrap_or(i64::MAX)
    });
    let calls = state.calls.clone();
    metrics.observe("call_viewers_count", "Viewers over WHEP of all rooms together", Kind::Gauge, move || {
        i64::try_from(calls.viewer_count()).unwrap_or(i64::MAX)
    });
    let whx = state.whx.clone();
    metrics.observe("whx_sessions_count", "Sessions of WHIP and WHEP", Kind::Gauge, move || {
        i64::try_from(whx.count()).unwrap_or(i64::MAX)
    });
    let budget = media.budget.clone();
    metrics.observe("hls_held_bytes", "Bytes of parts held in memory", Kind::Gauge, move || {
        i64::try_from(budget.used()).unwrap_or(i64::MAX)
    });
    type Read = fn(&ShardCounters) -> &AtomicU64;
    let counters: [(&'static str, &'static str, Kind, Read); 10] = [
        ("media_frames", "Frames taken from ingests", Kind::Counter, |counters| &counters.frames),
        ("media_frames_bytes", "Bytes of those frames", Kind::Counter, |counters| &counters.bytes),
        ("media_dropped_frames", "Frames that an output's full ring did not take", Kind::Counter, |counters| {
            &counters.frames_dropped
        }),
        (
            "media_unusable_frames",
            "Frames that came malformed, overlapping or without a configuration",
            Kind::Counter,
            |counters| &counters.ingest_frames_dropped,
        ),
        (
            "hls_dropped_frames",
            "Frames that no playlist could take: out of order, or of a surplus track",
            Kind::Counter,
            |counters| &counters.packager_frames_dropped,
        ),
        ("hls_published_playlists", "Playlists published, one per part", Kind::Counter, |counters| &counters.snapshots),
        ("hls_long_gop_cuts", "Segments cut because no keyframe came", Kind::Counter, |counters| {
            &counters.long_gop_cuts
        }),
        ("media_room_panics", "Rooms dropped after a panic", Kind::Counter, |counters| &counters.panics),
        (
            "hls_evicted_bytes",
            "Bytes of parts that went early because the memory budget was full",
            Kind::Counter,
            |counters| &counters.evicted_bytes,
        ),
        (
            "hls_dvr_evicted_bytes",
            "Bytes that left the DVR window early because its share of the disk was used up",
            Kind::Counter,
            |counters| &counters.evicted_kept_bytes,
        ),
    ];
    for (name, help, kind, read) in counters {
        let shards = Arc::clone(&media.shards);
        metrics.observe(name, help, kind, move || {
            i64::try_from(read(shards.counters()).load(Ordering::Relaxed)).unwrap_or(i64::MAX)
        });
    }
}

/// Zero on a server without calls: the series are the same for every server.
fn observe_calls(metrics: &Metrics, counters: &Arc<NetCounters>) {
    let value = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    for (name, help, read) in NetCounters::table() {
        let counters = Arc::clone(counters);
        metrics.observe(name, help, Kind::Counter, move || value(read(&counters).load(Ordering::Relaxed)));
    }
    let of = Arc::clone(counters);
    metrics.observe("call_peers_count", "Connections of calls that exist", Kind::Gauge, move || {
        of.peers.load(Ordering::Relaxed)
    });
    let of = Arc::clone(counters);
    metrics.observe("call_tcp_connections_count", "ICE-TCP connections that are open", Kind::Gauge, move || {
        of.tcp_connections.load(Ordering::Relaxed)
    });
}

/// Zero without a DVR window: the series are the same for every server.
fn observe_dvr(metrics: &Metrics, dvr: Option<&Dvr>) {
    let budget = dvr.map_or_else(|| Budget::new(0), |dvr| dvr.budget().clone());
    let counters_of: Arc<DvrCounters> = dvr.map(|dvr| Arc::clone(dvr.counters())).unwrap_or_default();
    metrics.observe("hls_dvr_bytes", "Bytes of segments kept on disk", Kind::Gauge, move || {
        i64::try_from(budget.used()).unwrap_or(i64::MAX)
    });
    type Read = fn(&DvrCounters) -> &AtomicU64;
    let counters: [(&'static str, &'static str, Read); 3] = [
        ("hls_dvr_kept_segments", "Segments written for the DVR window", |counters| &counters.kept_segments),
        (
            "hls_dvr_lost_segments",
            "Segments that the disk did not take in time or at all, where the DVR window ends",
            |counters| &counters.lost_segments,
        ),
        ("hls_dvr_written_bytes", "Bytes written for the DVR window", |counters| &counters.written_bytes),
    ];
    for (name, help, read) in counters {
        let of = Arc::clone(&counters_of);
        metrics.observe(name, help, Kind::Counter, move || {
            i64::try_from(read(&of).load(Ordering::Relaxed)).unwrap_or(i64::MAX)
        });
    }
}

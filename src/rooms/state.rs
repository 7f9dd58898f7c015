//! From what the core and the shard say to what pages are told.

use std::borrow::Cow;

use telstar_media::{CodecConfig, MediaKind};
use telstar_signaling::room::RoomPhase;
use telstar_signaling::wire::{Ingest, IngestTrack, LiveState, RoomState, Warning};
use telstar_units::{ParticipantId, WallTime};

use super::RoomEntry;
use crate::shards::{IngestVia, ShardWarning, TrackStats};

/// The encoder that publishes now.
#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) participant: ParticipantId,
    pub(super) protocol: &'static str,
    pub(super) encoder: Option<Cow<'static, str>>,
    pub(super) via: IngestVia,
}

/// The state of a room for its administrators; `RoomState::public` takes away what others may not see.
pub(super) fn room_state(
    entry: &RoomEntry,
    phase: RoomPhase,
    publishing: Option<&Publishing>,
    started_at: Option<WallTime>,
    viewers: u64,
) -> RoomState {
    let (facts, status) = (entry.facts(), entry.output().status.borrow().clone());
    let state = match phase {
        RoomPhase::Offline => LiveState::Offline,
        RoomPhase::Waiting => LiveState::Waiting,
        RoomPhase::Live => LiveState::Live,
        RoomPhase::Reconnecting => LiveState::Reconnecting,
    };
    let playable = matches!(phase, RoomPhase::Live | RoomPhase::Reconnecting);
    let current = publishing.filter(|publishing| status.participant == Some(publishing.participant));
    let ingest = publishing.map(|publishing| Ingest {
        protocol: Cow::Borrowed(publishing.protocol),
        encoder: publishing.encoder.as_deref().map(str::to_owned),
        tracks: current.map(|_| status.tracks.iter().map(track).collect()).unwrap_or_default(),
        dropped_frames: current.map_or(0, |_| status.frames_dropped),
    });
    RoomState {
        state,
        viewers,
        started_at: started_at.map(WallTime::to_rfc3339_millis),
        playlist: playable.then(|| format!("/live/{}/index.m3u8", facts.name)),
        has_call: entry.has_call(),
        ingest,
        conversions: entry.conversions(),
        warnings: current.map(|_| status.warnings.iter().map(warning).collect()).unwrap_or_default(),
    }
}

fn track(stats: &TrackStats) -> IngestTrack {
    let codec = stats.info.codec.name().to_owned();
    let config = stats.config.as_deref();
    let rfc6381 = config.and_then(CodecConfig::rfc6381).unwrap_or_default();
    match stats.info.kind() {
        MediaKind::Video => {
            let size = config.and_then(CodecConfig::picture_size);
            IngestTrack::Video {
                codec,
                rfc6381,
                width: size.map(|size| size.0),
                height: size.map(|size| size.1),
                frame_rate: stats.frame_rate,
                bitrate_bps: stats.bitrate_bps,
                keyframe_interval_secs: stats.keyframe_interval_secs,
                b_frames: stats.b_frames,
            }
        }
        MediaKind::Audio => {
            let channels = config.and_then(CodecConfig::channels).map_or(0, u32::from);
            let sample_rate = stats.info.timescale.hz();
            IngestTrack::Audio { codec, rfc6381, sample_rate, channels, bitrate_bps: stats.bitrate_bps }
        }
    }
}

fn warning(warning: &ShardWarning) -> Warning {
    match *warning {
        ShardWarning::KeyframeInterval { seconds } => Warning::KeyframeInterval { seconds },
        ShardWarning::NoAudio => Warning::NoAudio {},
        ShardWarning::NoVideo => Warning::NoVideo {},
        ShardWarning::TimestampsJump => Warning::TimestampsJump {},
        ShardWarning::AudioGap => Warning::AudioGap {},
        ShardWarning::CodecUnsupported(codec) => Warning::CodecUnsupported { codec: codec.to_owned() },
    }
}

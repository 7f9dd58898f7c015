//! The words of a call for its media, and those of the media threads: the same things under two names, because neither
//! core may know the other.

use telstar_sfu as sfu;
use telstar_signaling::call::{
    FedTracks, MediaCommand, MediaDemand, MediaEvent, MediaSlot, NewSource, NewTrack, PeerNumber, PeerRole,
    Subscription,
};
use telstar_signaling::wire::Layer;
use telstar_signaling::wire::call::{Bandwidth, Flow, MediaFault, Quality, TrackKind, TrackSource};

use crate::shards::{Feed, RoomKey};

/// A room, as the media threads number it.
pub(super) fn room(room: RoomKey) -> sfu::RoomId {
    sfu::RoomId(room.0)
}

fn peer_id(peer: PeerNumber) -> sfu::PeerId {
    sfu::PeerId(peer.0)
}

fn peer_number(peer: sfu::PeerId) -> PeerNumber {
    PeerNumber(peer.0)
}

/// What a call's command is for its media thread.
pub(super) enum Order {
    /// For the SFU.
    Sfu(sfu::Command),
    /// For the room's frames.
    Feed(Feed),
}

/// A call's command for its media thread.
pub(super) fn order(key: RoomKey, command: MediaCommand) -> Order {
    Order::Sfu(match command {
        MediaCommand::AddPeer { peer, participant, role, auto_subscribe } => {
            let role = match role {
                PeerRole::Publisher => sfu::Role::Publisher,
                PeerRole::Subscriber => sfu::Role::Subscriber,
                PeerRole::Viewer => sfu::Role::Viewer,
            };
            sfu::Command::AddPeer { peer: peer_id(peer), room: room(key), participant, role, auto_subscribe }
        }
        MediaCommand::RemovePeer { peer } => sfu::Command::RemovePeer { peer: peer_id(peer) },
        MediaCommand::Offer { peer, ticket, sdp, tracks } => {
            let tracks = tracks.into_iter().map(new_track).collect();
            sfu::Command::Offer { peer: peer_id(peer), ticket, sdp, tracks }
        }
        MediaCommand::Answer { peer, version, sdp } => sfu::Command::Answer { peer: peer_id(peer), version, sdp },
        MediaCommand::Candidate { peer, candidate } => sfu::Command::Candidate { peer: peer_id(peer), candidate },
        MediaCommand::RestartIce { peer } => sfu::Command::RestartIce { peer: peer_id(peer) },
        MediaCommand::AddSource { participant, source } => {
            let NewSource { track, kind, source, alternate_of, for_viewers } = source;
            let (kind, source) = (kind_of(kind), source_of(source));
            let source = sfu::NewSource { track, kind, source, alternate_of, for_viewers };
            sfu::Command::AddSource { room: room(key), participant, source }
        }
        MediaCommand::Feed(FedTracks { video, audio, alternate }) => {
            return Order::Feed(Feed { video, audio, alternate });
        }
        MediaCommand::Unpublish { track } => sfu::Command::Unpublish { track },
        MediaCommand::Mute { track, muted } => sfu::Command::Mute { track, muted },
        MediaCommand::Subscribe { peer, track, subscription } => {
            let Subscription { enabled, paused, width, height, frame_rate, priority } = subscription;
            let subscription = sfu::Subscription { enabled, paused, width, height, frame_rate, priority };
            sfu::Command::Subscribe { peer: peer_id(peer), track, subscription }
        }
        MediaCommand::Report { peer, enabled } => sfu::Command::Report { peer: peer_id(peer), enabled },
    })
}

/// Audio or video, as the media threads call it.
pub fn kind_of(kind: TrackKind) -> sfu::Kind {
    match kind {
        TrackKind::Audio => sfu::Kind::Audio,
        TrackKind::Video => sfu::Kind::Video,
    }
}

fn source_of(source: TrackSource) -> sfu::Source {
    match source {
        TrackSource::Camera | TrackSource::Microphone => sfu::Source::Person,
        TrackSource::Screen | TrackSource::ScreenAudio => sfu::Source::Screen,
        TrackSource::Other => sfu::Source::Other,
    }
}

fn new_track(track: NewTrack) -> sfu::NewTrack {
    let NewTrack { mid, track, kind, source, muted, layers } = track;
    let (kind, source) = (kind_of(kind), source_of(source));
    let layer = |layer: Layer| {
        let Layer { rid, width, height, frame_rate, bitrate_bps } = layer;
        sfu::NewLayer { rid: rid.into_string(), width, height, frame_rate, bitrate_bps }
    };
    sfu::NewTrack { mid, track, kind, source, muted, layers: layers.into_iter().map(layer).collect() }
}

/// What a call is told when its media thread cannot take a command, if anybody waits for it.
pub(super) fn failure(command: &MediaCommand) -> Option<MediaEvent> {
    let fault = MediaFault::Internal;
    match command {
        MediaCommand::Offer { peer, ticket, .. } => {
            Some(MediaEvent::Rejected { peer: *peer, ticket: Some(*ticket), fault })
        }
        MediaCommand::AddPeer { peer, .. } | MediaCommand::Answer { peer, .. } | MediaCommand::RestartIce { peer } => {
            Some(MediaEvent::Failed { peer: *peer, fault })
        }
        MediaCommand::RemovePeer { .. }
        | MediaCommand::Candidate { .. }
        | MediaCommand::AddSource { .. }
        | MediaCommand::Feed(_)
        | MediaCommand::Unpublish { .. }
        | MediaCommand::Mute { .. }
        | MediaCommand::Subscribe { .. }
        | MediaCommand::Report { .. } => None,
    }
}

/// What a media thread tells, for the call; `None` when it does not concern it.
pub(super) fn event(event: sfu::Event) -> Option<MediaEvent> {
    Some(match event {
        sfu::Event::Answer { peer, ticket, sdp } => MediaEvent::Answer { peer: peer_number(peer), ticket, sdp },
        sfu::Event::Rejected { peer, ticket, fault: cause } => {
            MediaEvent::Rejected { peer: peer_number(peer), ticket, fault: fault(cause) }
        }
        sfu::Event::Offer { peer, version, sdp } => MediaEvent::Offer { peer: peer_number(peer), version, sdp },
        sfu::Event::Failed { peer, fault: cause } => {
            MediaEvent::Failed { peer: peer_number(peer), fault: fault(cause) }
        }
        sfu::Event::Track { track, codec } => MediaEvent::Track { track, codec: codec.name().to_owned() },
        sfu::Event::Slots { peer, version, slots } => {
            let slots = slots.into_iter().map(slot).collect();
            MediaEvent::Slots { peer: peer_number(peer), version, slots }
        }
        sfu::Event::Demand { peer, demands } => {
            let demand = |demand: sfu::Demand| {
                let sfu::Demand { track, rids, wanted } = demand;
                MediaDemand { track, wanted, rids }
            };
            MediaEvent::Demand { peer: peer_number(peer), demands: demands.into_iter().map(demand).collect() }
        }
        sfu::Event::Speakers { speakers, .. } => MediaEvent::Speakers { speakers },
        sfu::Event::Quality { peer, quality } => {
            let quality = match quality {
                sfu::Quality::Lost => Quality::Lost,
                sfu::Quality::Poor => Quality::Poor,
                sfu::Quality::Good => Quality::Good,
                sfu::Quality::Excellent => Quality::Excellent,
            };
            MediaEvent::Quality { peer: peer_number(peer), quality }
        }
        sfu::Event::Bandwidth { peer, bandwidth } => {
            let sfu::Bandwidth { estimate_bps, allocated_bps, sent_bps, round_trip_ms, loss } = bandwidth;
            let bandwidth = Bandwidth { estimate_bps, allocated_bps, sent_bps, round_trip_ms, loss };
            MediaEvent::Bandwidth { peer: peer_number(peer), bandwidth }
        }
        sfu::Event::Connected { .. } | sfu::Event::Disconnected { .. } | sfu::Event::Ufrag { .. } => return None,
    })
}

fn slot(slot: sfu::Slot) -> MediaSlot {
    let flow = match slot.flow {
        sfu::Flow::Active => Flow::Active,
        sfu::Flow::Paused => Flow::Paused,
        sfu::Flow::Bandwidth => Flow::Bandwidth,
        sfu::Flow::Silent => Flow::Silent,
        sfu::Flow::Codec => Flow::Codec,
    };
    MediaSlot { mid: slot.mid, track: slot.track, flow, layer: slot.layer }
}

fn fault(fault: sfu::Fault) -> MediaFault {
    match fault {
        sfu::Fault::BadSdp => MediaFault::BadSdp,
        sfu::Fault::NoCodec => MediaFault::NoCodec,
        sfu::Fault::TooMany => MediaFault::TooMany,
        sfu::Fault::NoPath => MediaFault::NoPath,
        sfu::Fault::Handshake => MediaFault::Handshake,
        sfu::Fault::Internal => MediaFault::Internal,
    }
}

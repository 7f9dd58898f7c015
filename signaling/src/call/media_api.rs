//! What a call tells the room's media thread, and what that tells it: numbers, SDP and figures, neither names nor rights.

use telstar_units::{ParticipantId, TrackId};

use crate::wire::Layer;
use crate::wire::call::{Bandwidth, Flow, MediaFault, Quality, TrackKind, TrackSource};

/// One peer connection. Never used twice within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerNumber(pub u64);

/// A connection's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRole {
    /// The client sends.
    Publisher,
    /// The client receives.
    Subscriber,
    /// The client receives, and offers: a viewer.
    Viewer,
}

/// A track that an offer brings.
#[derive(Clone, PartialEq)]
pub struct NewTrack {
    /// The media section.
    pub mid: String,
    /// Its id.
    pub track: TrackId,
    /// Audio or video.
    pub kind: TrackKind,
    /// What it shows.
    pub source: TrackSource,
    /// Whether it begins muted.
    pub muted: bool,
    /// Its layers from the lowest to the highest.
    pub layers: Vec<Layer>,
}

/// A track that this server feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSource {
    /// Its id.
    pub track: TrackId,
    /// Audio or video.
    pub kind: TrackKind,
    /// What it shows.
    pub source: TrackSource,
    /// It stands in for another track with whoever cannot decode that one.
    pub alternate_of: Option<TrackId>,
    /// Only viewers get it: whoever takes part in the call has what it is made of.
    pub for_viewers: bool,
}

/// What the room's ingest feeds, or the mix of its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FedTracks {
    /// The main picture, if it comes as frames.
    pub video: Option<TrackId>,
    /// The main sound, if it comes as frames.
    pub audio: Option<TrackId>,
    /// The picture in another codec.
    pub alternate: Option<TrackId>,
}

/// How a subscriber wants a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Whether it wants the track at all.
    pub enabled: bool,
    /// Wanted, but not now.
    pub paused: bool,
    /// Pixels; 0 for no limit.
    pub width: u16,
    /// Pixels; 0 for no limit.
    pub height: u16,
    /// Frames per second; 0 for no limit.
    pub frame_rate: u8,
    /// Higher comes first.
    pub priority: u8,
}

/// What the room's media thread is told. Ids and SDP only; it knows neither names nor rights.
#[derive(Clone, PartialEq)]
pub enum MediaCommand {
    /// A connection begins.
    AddPeer {
        /// Its number.
        peer: PeerNumber,
        /// Whose.
        participant: ParticipantId,
        /// Its direction.
        role: PeerRole,
        /// Whether a subscriber gets every track without asking.
        auto_subscribe: bool,
    },
    /// A connection ends, and a publisher's tracks with it.
    RemovePeer {
        /// Which.
        peer: PeerNumber,
    },
    /// A publisher's or a viewer's offer; answered by [`MediaEvent::Answer`] or [`MediaEvent::Rejected`].
    Offer {
        /// Whose.
        peer: PeerNumber,
        /// To be given back.
        ticket: u64,
        /// The SDP.
        sdp: String,
        /// What is new in it.
        tracks: Vec<NewTrack>,
    },
    /// A subscriber's answer.
    Answer {
        /// Whose.
        peer: PeerNumber,
        /// Of the offer.
        version: u32,
        /// The SDP.
        sdp: String,
    },
    /// A candidate of the client.
    Candidate {
        /// Whose.
        peer: PeerNumber,
        /// `candidate:…`, or empty.
        candidate: String,
    },
    /// Offers new ICE credentials.
    RestartIce {
        /// Which.
        peer: PeerNumber,
    },
    /// A track without a connection begins.
    AddSource {
        /// Whose.
        participant: ParticipantId,
        /// What it is.
        source: NewSource,
    },
    /// The room's main picture and sound: which of its tracks get what the room's ingest brings as frames, and which the
    /// picture in another codec. Replaces what was said before.
    Feed(FedTracks),
    /// A track ends.
    Unpublish {
        /// Which.
        track: TrackId,
    },
    /// Stops or starts forwarding.
    Mute {
        /// Which.
        track: TrackId,
        /// Whether it is silent.
        muted: bool,
    },
    /// How a subscriber wants a track.
    Subscribe {
        /// Who.
        peer: PeerNumber,
        /// Which.
        track: TrackId,
        /// How.
        subscription: Subscription,
    },
    /// Whether a subscriber is told its bandwidth.
    Report {
        /// Who.
        peer: PeerNumber,
        /// Whether.
        enabled: bool,
    },
}

/// What the room's media thread tells.
#[derive(Clone)]
pub enum MediaEvent {
    /// The answer to an offer.
    Answer {
        /// Whose.
        peer: PeerNumber,
        /// Of the offer.
        ticket: u64,
        /// The SDP.
        sdp: String,
    },
    /// An offer or an answer was not taken; the connection stays as it was.
    Rejected {
        /// Whose.
        peer: PeerNumber,
        /// Of the offer; `None` for an answer.
        ticket: Option<u64>,
        /// Why.
        fault: MediaFault,
    },
    /// An offer for a subscriber.
    Offer {
        /// Whose.
        peer: PeerNumber,
        /// To be given back.
        version: u32,
        /// The SDP.
        sdp: String,
    },
    /// A candidate of the server, when it was found after the description.
    Candidate {
        /// Whose.
        peer: PeerNumber,
        /// `candidate:…`, or empty.
        candidate: String,
    },
    /// The connection is given up and removed already.
    Failed {
        /// Which.
        peer: PeerNumber,
        /// Why.
        fault: MediaFault,
    },
    /// What a track turned out to be.
    Track {
        /// Which.
        track: TrackId,
        /// `VP8`, `Opus`.
        codec: String,
    },
    /// What each section of a subscriber carries.
    Slots {
        /// Whose.
        peer: PeerNumber,
        /// Grows.
        version: u32,
        /// Every section.
        slots: Vec<MediaSlot>,
    },
    /// Which layers of a publisher are wanted; changes only.
    Demand {
        /// The publisher's.
        peer: PeerNumber,
        /// What changed.
        demands: Vec<MediaDemand>,
    },
    /// Who speaks, loudest first.
    Speakers {
        /// Who, and how loud.
        speakers: Vec<(ParticipantId, u8)>,
    },
    /// A connection's quality changed.
    Quality {
        /// Which.
        peer: PeerNumber,
        /// How good.
        quality: Quality,
    },
    /// What was asked for by [`MediaCommand::Report`].
    Bandwidth {
        /// Whose.
        peer: PeerNumber,
        /// The figures.
        bandwidth: Bandwidth,
    },
}

/// One section of a subscriber.
#[derive(Clone)]
pub struct MediaSlot {
    /// The media section.
    pub mid: String,
    /// What it carries.
    pub track: Option<TrackId>,
    /// Whether media flows.
    pub flow: Flow,
    /// The layer, from the lowest.
    pub layer: Option<u8>,
}

/// Which layers of a track are wanted.
#[derive(Clone)]
pub struct MediaDemand {
    /// Which.
    pub track: TrackId,
    /// Whether anything of it is.
    pub wanted: bool,
    /// The layers.
    pub rids: Vec<String>,
}

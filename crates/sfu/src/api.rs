//! What goes into an [`crate::Sfu`] and what comes out of it: values, none of them the engine's. Datagrams are in `way`.

mod local;
mod way;

use bytes::Bytes;
use telstar_media::Codec;
use telstar_units::{ParticipantId, TrackId};

pub use local::*;
pub use way::*;

/// A room's number within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub u64);

/// One peer connection. Issued by the shell and never reused within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// What a connection is for. Each is one direction, so that offers never cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The peer sends media; it offers and we answer.
    Publisher,
    /// The peer receives media; we offer and it answers.
    Subscriber,
    /// The peer receives media; it offers and we answer (WHEP). Its sections are those of its offer, and it gets what it was
    /// subscribed to ([`Command::Subscribe`]) and nothing else.
    Viewer,
}

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// What a track shows, as far as allocation cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A microphone or a camera.
    Person,
    /// A screen or its sound.
    Screen,
    /// Anything else.
    Other,
}

/// A track that an offer brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTrack {
    /// The media section of the offer (`a=mid`).
    pub mid: String,
    /// Its id, issued by the room.
    pub track: TrackId,
    /// Audio or video.
    pub kind: Kind,
    /// What it shows.
    pub source: Source,
    /// Whether it begins muted.
    pub muted: bool,
    /// Its simulcast layers from the lowest to the highest; empty when there is one encoding.
    pub layers: Vec<NewLayer>,
}

/// One simulcast layer as the publisher announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLayer {
    /// `a=rid`.
    pub rid: String,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// Frames per second.
    pub frame_rate: u8,
    /// Bits per second; 0 when unknown.
    pub bitrate_bps: u64,
}

/// How a subscriber wants a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Whether it wants the track at all. A track that is not wanted gives its slot back.
    pub enabled: bool,
    /// Wanted, but not now: the slot stays, nothing is sent.
    pub paused: bool,
    /// The largest useful width in pixels; 0 for no limit.
    pub width: u16,
    /// The largest useful height in pixels; 0 for no limit.
    pub height: u16,
    /// The largest useful frame rate; 0 for no limit.
    pub frame_rate: u8,
    /// Higher comes first when there is not enough for all. 128 unless it was set.
    pub priority: u8,
}

impl Default for Subscription {
    fn default() -> Subscription {
        Subscription { enabled: true, paused: false, width: 0, height: 0, frame_rate: 0, priority: 128 }
    }
}

/// What an [`crate::Sfu`] is told by the room's owner.
#[derive(Clone, Debug)]
pub enum Command {
    /// A connection begins. A subscriber is offered the room's tracks as soon as there are any, if `auto_subscribe`.
    AddPeer {
        /// Its number.
        peer: PeerId,
        /// The room.
        room: RoomId,
        /// Whose it is. Nobody gets what is their own, so that a viewer, who is no participant, needs a number that no participant has.
        participant: ParticipantId,
        /// Its direction.
        role: Role,
        /// Whether a subscriber gets every track without asking.
        auto_subscribe: bool,
    },
    /// A connection ends; a publisher's tracks end with it.
    RemovePeer {
        /// Which.
        peer: PeerId,
    },
    /// A publisher's offer, with the tracks that are new in it, or a viewer's, without. Answered by [`Event::Answer`] or
    /// [`Event::Rejected`]. One more of the same sections with other ICE credentials restarts ICE (RFC 8445 §2.4).
    Offer {
        /// Whose.
        peer: PeerId,
        /// Given back with the answer.
        ticket: u64,
        /// The SDP (RFC 8866).
        sdp: String,
        /// New tracks; sections that are not named here and were not before are refused.
        tracks: Vec<NewTrack>,
    },
    /// A subscriber's answer to [`Event::Offer`] of the same version.
    Answer {
        /// Whose.
        peer: PeerId,
        /// Which offer.
        version: u32,
        /// The SDP.
        sdp: String,
    },
    /// A candidate of the peer (RFC 8838); empty for the end of them.
    Candidate {
        /// Whose.
        peer: PeerId,
        /// `candidate:…`.
        candidate: String,
    },
    /// Offers a subscriber new ICE credentials (RFC 8445 §2.4).
    RestartIce {
        /// Which.
        peer: PeerId,
    },
    /// A track without a connection begins. It ends with [`Command::Unpublish`], or with its room.
    AddSource {
        /// The room.
        room: RoomId,
        /// Whose it is.
        participant: ParticipantId,
        /// What it is.
        source: NewSource,
    },
    /// From now on the owner gets a copy of what a track's publisher sends, of its best layer ([`crate::Sfu::poll_tapped`]),
    /// or no more. A tap counts as somebody who watches.
    Tap {
        /// Which.
        track: TrackId,
        /// Whether.
        enabled: bool,
    },
    /// A track ends.
    Unpublish {
        /// Which.
        track: TrackId,
    },
    /// Stops or starts forwarding a track.
    Mute {
        /// Which.
        track: TrackId,
        /// Whether it is silent from now on.
        muted: bool,
    },
    /// A subscriber wants a track in this way from now on.
    Subscribe {
        /// Who.
        peer: PeerId,
        /// Which.
        track: TrackId,
        /// How.
        subscription: Subscription,
    },
    /// Whether a subscriber is told its bandwidth once a second.
    Report {
        /// Who.
        peer: PeerId,
        /// Whether.
        enabled: bool,
    },
    /// Ends everything of a room.
    CloseRoom {
        /// Which.
        room: RoomId,
    },
}

/// Why an offer or an answer was not taken, or a connection was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The SDP cannot be read, or breaks a limit.
    BadSdp,
    /// There is no codec that both sides know.
    NoCodec,
    /// The connection has as many tracks or sections as it may have.
    TooMany,
    /// ICE found no way, or consent was lost for good (RFC 7675).
    NoPath,
    /// DTLS failed or took too long.
    Handshake,
    /// The engine gave up on the connection, or a defect of ours ended it.
    Internal,
}

/// Which layers of a publisher somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The track.
    pub track: TrackId,
    /// The wanted layers' `rid`s; for a track without layers empty means that nobody watches.
    pub rids: Vec<String>,
    /// Whether anything of it is wanted.
    pub wanted: bool,
}

/// One section of a subscriber's connection and what it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The media section.
    pub mid: String,
    /// What it carries now.
    pub track: Option<TrackId>,
    /// Whether media flows, and why not.
    pub flow: Flow,
    /// The layer being sent, as an index from the lowest; `None` without layers or media.
    pub layer: Option<u8>,
}

/// Whether media flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Active,
    /// The subscriber asked for a pause, or nothing is assigned.
    Paused,
    /// The path to the subscriber does not carry it.
    Bandwidth,
    /// The publisher sends nothing, or is muted.
    Silent,
    /// The subscriber cannot decode its codec.
    Codec,
}

/// How good a participant's connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    /// Nothing comes through.
    Lost,
    /// People notice.
    Poor,
    /// Something is held back.
    Good,
    /// Nothing to complain about.
    Excellent,
}

/// What a subscriber's path carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Bandwidth {
    /// What the estimator believes, in bits per second.
    pub estimate_bps: u64,
    /// What is allocated.
    pub allocated_bps: u64,
    /// What was sent in the last second.
    pub sent_bps: u64,
    /// Round trip time in milliseconds.
    pub round_trip_ms: Option<f32>,
    /// Share of packets lost on the way to the peer, 0 to 1.
    pub loss: Option<f32>,
}

/// What an [`crate::Sfu`] tells the room's owner.
#[derive(Clone, Debug)]
pub enum Event {
    /// The answer to [`Command::Offer`].
    Answer {
        /// Whose.
        peer: PeerId,
        /// Of the offer.
        ticket: u64,
        /// The SDP.
        sdp: String,
    },
    /// An offer or answer was not taken; the connection stays as it was.
    Rejected {
        /// Whose.
        peer: PeerId,
        /// Of the offer; `None` for an answer.
        ticket: Option<u64>,
        /// Why.
        fault: Fault,
    },
    /// An offer for a subscriber. A newer one supersedes it only after its answer.
    Offer {
        /// Whose.
        peer: PeerId,
        /// To be given back.
        version: u32,
        /// The SDP.
        sdp: String,
    },
    /// ICE and DTLS are up (again).
    Connected {
        /// Which.
        peer: PeerId,
    },
    /// Nothing was heard for a while; it may come back by itself or by an ICE restart.
    Disconnected {
        /// Which.
        peer: PeerId,
    },
    /// The connection is given up; it is removed already.
    Failed {
        /// Which.
        peer: PeerId,
        /// Why.
        fault: Fault,
    },
    /// What a published track turned out to be.
    Track {
        /// Which.
        track: TrackId,
        /// Its codec.
        codec: Codec,
    },
    /// What each section of a subscriber carries; sent before the first packet of a new assignment.
    Slots {
        /// Whose.
        peer: PeerId,
        /// Grows with each change.
        version: u32,
        /// Every section.
        slots: Vec<Slot>,
    },
    /// Which layers of a publisher's tracks are wanted now; changes only.
    Demand {
        /// The publisher's connection.
        peer: PeerId,
        /// The tracks whose demand changed.
        demands: Vec<Demand>,
    },
    /// Who speaks, loudest first.
    Speakers {
        /// Where.
        room: RoomId,
        /// Who, and how loud: 0 is the loudest, 127 silence (RFC 6464).
        speakers: Vec<(ParticipantId, u8)>,
    },
    /// A connection's quality changed.
    Quality {
        /// Which.
        peer: PeerId,
        /// How good.
        quality: Quality,
    },
    /// What was asked for by [`Command::Report`].
    Bandwidth {
        /// Whose.
        peer: PeerId,
        /// The figures.
        bandwidth: Bandwidth,
    },
    /// New local ICE credentials: datagrams with this name in STUN's USERNAME are for this peer.
    Ufrag {
        /// Whose.
        peer: PeerId,
        /// The local name fragment.
        ufrag: String,
    },
}

/// A lossy data message on its way in: `count, count x number, payload`, all big endian. An empty list means everybody.
/// On its way out: `number, payload`. See `docs/protocol.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataMessage {
    /// For whom; empty for everybody.
    pub to: Vec<ParticipantId>,
    /// What.
    pub payload: Bytes,
}

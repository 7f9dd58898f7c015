//! What a call says on its own.

use serde::Serialize;
use serde_json::value::RawValue;

use super::call::{
    Bandwidth, CallGrant, Demand, LeaveReason, MediaConnection, MediaFault, Participant, ParticipantInfo,
    ParticipantQuality, Slot, Speaker, Track,
};
use super::p2p::{Description, IceCandidate};
use super::text::{Label, ParticipantRef, TrackRef};

/// What happened in a call. The first six change its state and have an offset; the others are for one connection or for the moment.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "CallEventKind"))]
pub enum CallEventKind<'a> {
    /// Somebody joined.
    ParticipantJoined {
        /// Who.
        participant: &'a Participant,
    },
    /// Something about a participant changed.
    ParticipantUpdated {
        /// What it is now.
        participant: &'a ParticipantInfo,
    },
    /// Somebody is gone, and its tracks with it.
    ParticipantLeft {
        /// Who.
        participant: ParticipantRef,
        /// Why.
        reason: LeaveReason,
    },
    /// A track began.
    TrackPublished {
        /// Whose.
        participant: ParticipantRef,
        /// Which.
        track: &'a Track,
    },
    /// Something about a track changed.
    TrackUpdated {
        /// Whose.
        participant: ParticipantRef,
        /// What it is now.
        track: &'a Track,
    },
    /// A track ended.
    TrackUnpublished {
        /// Whose.
        participant: ParticipantRef,
        /// Which.
        track: TrackRef,
    },
    /// The server offers media on the subscribing connection; to be answered by `answer`.
    Offer {
        /// To be given back.
        version: u32,
        /// The SDP.
        sdp: &'a str,
    },
    /// A candidate of the server.
    Candidate {
        /// Of which peer connection.
        connection: MediaConnection,
        /// `candidate:…`, or empty for the end of the candidates.
        candidate: &'a str,
    },
    /// What each section of the subscribing connection carries; before the first packet of a new assignment.
    Slots {
        /// Grows with each change.
        version: u32,
        /// Every section.
        slots: &'a [Slot],
    },
    /// Which layers of the own tracks somebody wants: pause the others.
    Demand {
        /// Every own track whose demand is known.
        tracks: &'a [Demand],
    },
    /// Who speaks, loudest first.
    Speakers {
        /// Everybody who speaks.
        speakers: &'a [Speaker],
    },
    /// How good connections are.
    Quality {
        /// Those that changed.
        participants: &'a [ParticipantQuality],
    },
    /// A message of another participant.
    Data {
        /// Whose; null for the server's.
        from: Option<ParticipantRef>,
        /// What it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        label: Option<&'a Label>,
        /// What it says.
        #[cfg_attr(test, schemars(with = "serde_json::Value"))]
        data: &'a RawValue,
    },
    /// What `report` asked for.
    Bandwidth(Bandwidth),
    /// A peer connection was given up: begin a new one.
    MediaFailed {
        /// Which.
        connection: MediaConnection,
        /// Why.
        reason: MediaFault,
    },
    /// In a p2p room: another browser passes something on.
    Signal {
        /// Whose.
        from: ParticipantRef,
        /// Its session description.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a Description>,
        /// Its candidate.
        #[serde(skip_serializing_if = "Option::is_none")]
        candidate: Option<&'a IceCandidate>,
    },
    /// What this participant may do has changed.
    Grants {
        /// What it may do now.
        grants: &'a [CallGrant],
    },
    /// The call is over for this connection; the socket stays.
    Left {
        /// Why.
        reason: LeaveReason,
    },
}

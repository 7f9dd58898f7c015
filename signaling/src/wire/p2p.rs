//! What browsers of a p2p room tell each other: the dictionaries of the W3C WebRTC API, within limits.

use serde::{Deserialize, Serialize};

use super::text::{Candidate, Mid, Sdp};

/// A session description between two browsers.
#[derive(Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Description {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: DescriptionKind,
    /// The SDP; absent in a rollback.
    #[serde(default)]
    pub sdp: Sdp,
}

/// What a session description is (W3C WebRTC, `RTCSdpType`).
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum DescriptionKind {
    /// An offer.
    Offer,
    /// A preliminary answer.
    Pranswer,
    /// An answer.
    Answer,
    /// Takes an offer back.
    Rollback,
}

/// A candidate between two browsers.
#[derive(Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// `candidate:…`, or empty for the end of the candidates.
    pub candidate: Candidate,
    /// Its media section.
    #[serde(default)]
    pub sdp_mid: Option<Mid>,
    /// The number of its media section.
    #[serde(default)]
    pub sdp_m_line_index: Option<u16>,
    /// The ICE generation that it belongs to; browsers write up to 256 characters (RFC 8839 §5.4).
    #[serde(default)]
    pub username_fragment: Option<Candidate>,
}

//! What the server answers, and how it says goodbye.

use serde::Serialize;
use serde_json::value::RawValue;

use super::RequestId;
use super::call::{IceServer, Session};
use super::text::{ParticipantRef, TrackRef};

/// The answer to one request.
#[derive(Serialize)]
#[serde(untagged)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Reply"))]
pub enum Reply<'a> {
    /// The request failed.
    Error {
        /// The request's id.
        re: &'a RequestId,
        /// Always false.
        ok: bool,
        /// Why.
        error: ErrorBody,
    },
    /// To `subscribe`.
    Subscribed {
        /// The request's id.
        re: &'a RequestId,
        /// Always true.
        ok: bool,
        /// The topic.
        topic: &'a str,
        /// The position of `state` in the topic. Events that follow have greater ones.
        offset: u64,
        /// The topic's epoch. Offsets of different epochs do not compare.
        epoch: u64,
        /// The topic's state.
        #[cfg_attr(test, schemars(with = "super::schema::AnyState"))]
        state: &'a RawValue,
    },
    /// To `join`.
    Joined {
        /// The request's id.
        re: &'a RequestId,
        /// Always true.
        ok: bool,
        /// `call:{room}`.
        topic: &'a str,
        /// The position of `state` in the topic. Events that follow have greater ones.
        offset: u64,
        /// The topic's epoch.
        epoch: u64,
        /// Who this client is now.
        participant: ParticipantRef,
        /// How to come back after the socket was lost.
        session: &'a Session,
        /// What to find a way with (the browser's `RTCConfiguration.iceServers`).
        ice_servers: &'a [IceServer],
        /// The call's state.
        #[cfg_attr(test, schemars(with = "super::call::CallState"))]
        state: &'a RawValue,
    },
    /// To `publish`.
    Published {
        /// The request's id.
        re: &'a RequestId,
        /// Always true.
        ok: bool,
        /// The answer.
        sdp: &'a str,
        /// The ids of the new tracks.
        tracks: Vec<PublishedMid>,
    },
    /// To `resume`.
    Resumed {
        /// The request's id.
        re: &'a RequestId,
        /// Always true.
        ok: bool,
        /// What to come back with the next time.
        session: &'a Session,
        /// Which of the `pending` requests never arrived: send them again.
        unknown: Vec<&'a RequestId>,
    },
    /// To `authenticate`.
    Authenticated {
        /// The request's id.
        re: &'a RequestId,
        /// Always true.
        ok: bool,
        /// Who this connection is now: `account:ID` or the identity of a room token; absent for a playback token.
        #[serde(skip_serializing_if = "Option::is_none")]
        identity: Option<&'a str>,
    },
    /// To everything else.
    Done {
        /// The request's id.
        re: &'a RequestId,
        /// Always true.
        ok: bool,
    },
}

/// The id of a new track.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PublishedMid {
    /// Its media section.
    pub mid: String,
    /// Its id.
    pub track: TrackRef,
}

impl Reply<'_> {
    /// The id of the request that it answers.
    pub(crate) fn re(&self) -> &RequestId {
        match self {
            Reply::Error { re, .. }
            | Reply::Subscribed { re, .. }
            | Reply::Joined { re, .. }
            | Reply::Published { re, .. }
            | Reply::Resumed { re, .. }
            | Reply::Authenticated { re, .. }
            | Reply::Done { re, .. } => re,
        }
    }

    /// The text message.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("replies have text keys and no fallible serialisers")
    }
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// For programs; stable.
    pub code: ErrorCode,
    /// For people; may change.
    pub detail: &'static str,
}

/// The stable codes of failed requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum ErrorCode {
    /// The type is unknown.
    UnknownType,
    /// A field is missing or of the wrong type.
    BadRequest,
    /// What the request names does not exist, or this connection may not see it.
    NotFound,
    /// The token is unknown, expired or revoked.
    Unauthorised,
    /// Too many requests a second.
    RateLimited,
    /// This connection has as many subscriptions as it may have.
    TooManySubscriptions,
    /// An earlier request about the same thing has not been answered yet.
    Busy,
    /// A later request of the same connection overtook this one.
    Cancelled,
    /// The server could not do it now.
    Unavailable,
    /// This participant may not do that.
    Forbidden,
    /// This connection has joined a call already.
    AlreadyJoined,
    /// This connection has joined no call.
    NotJoined,
    /// The session to resume is over.
    Gone,
    /// The call has as many participants as it may have.
    RoomFull,
    /// This participant has as many tracks as it may have.
    TooManyTracks,
    /// The SDP cannot be read, or does not fit the request.
    BadSdp,
    /// There is no codec that both sides know.
    NoCodec,
    /// The room's mode has no such request.
    WrongMode,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [ErrorCode; 18] = [
        ErrorCode::UnknownType,
        ErrorCode::BadRequest,
        ErrorCode::NotFound,
        ErrorCode::Unauthorised,
        ErrorCode::RateLimited,
        ErrorCode::TooManySubscriptions,
        ErrorCode::Busy,
        ErrorCode::Cancelled,
        ErrorCode::Unavailable,
        ErrorCode::Forbidden,
        ErrorCode::AlreadyJoined,
        ErrorCode::NotJoined,
        ErrorCode::Gone,
        ErrorCode::RoomFull,
        ErrorCode::TooManyTracks,
        ErrorCode::BadSdp,
        ErrorCode::NoCodec,
        ErrorCode::WrongMode,
    ];

    /// One sentence for people.
    pub fn detail(self) -> &'static str {
        match self {
            ErrorCode::UnknownType => "this server does not know this type of request",
            ErrorCode::BadRequest => "a field is missing or of the wrong type",
            ErrorCode::NotFound => "there is no such thing here",
            ErrorCode::Unauthorised => "the token is not valid",
            ErrorCode::RateLimited => "too many requests: slow down",
            ErrorCode::TooManySubscriptions => "too many subscriptions on this connection",
            ErrorCode::Busy => "an earlier request about the same thing is not answered yet",
            ErrorCode::Cancelled => "a later request overtook this one",
            ErrorCode::Unavailable => "not possible at the moment: try again",
            ErrorCode::Forbidden => "this participant may not do that",
            ErrorCode::AlreadyJoined => "this connection has joined a call already",
            ErrorCode::NotJoined => "join a call first",
            ErrorCode::Gone => "this session is over: join anew",
            ErrorCode::RoomFull => "the call is full",
            ErrorCode::TooManyTracks => "too many tracks",
            ErrorCode::BadSdp => "the session description cannot be used",
            ErrorCode::NoCodec => "no codec in common",
            ErrorCode::WrongMode => "not in a room of this mode",
        }
    }
}

impl From<ErrorCode> for ErrorBody {
    fn from(code: ErrorCode) -> ErrorBody {
        ErrorBody { code, detail: code.detail() }
    }
}

/// Why the server closes a connection (RFC 6455 §7.4; 4000-4999 are private use).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// The server shuts down; come back.
    GoingAway,
    /// A message is longer than the limit.
    TooBig,
    /// A message is not a request.
    BadMessage,
    /// The credential ended or was revoked, or too many were wrong.
    Unauthorised,
    /// The client does not read, or does not answer pings.
    Slow,
    /// Far too many requests, or more connections than the server allows.
    TooMany,
    /// The client resumed on another socket.
    Replaced,
}

impl CloseCode {
    /// Every code.
    pub const ALL: [CloseCode; 7] = [
        CloseCode::GoingAway,
        CloseCode::TooBig,
        CloseCode::BadMessage,
        CloseCode::Unauthorised,
        CloseCode::Slow,
        CloseCode::TooMany,
        CloseCode::Replaced,
    ];

    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            CloseCode::GoingAway => 1001,
            CloseCode::TooBig => 1009,
            CloseCode::BadMessage => 4400,
            CloseCode::Unauthorised => 4401,
            CloseCode::Slow => 4408,
            CloseCode::TooMany => 4409,
            CloseCode::Replaced => 4410,
        }
    }
}

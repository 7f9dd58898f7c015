//! What the server says on its own.

use serde::Serialize;
use serde_json::value::RawValue;

/// One event of a topic, without `seq`: that is each connection's own and is written in front when the event leaves.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "EventOf{K}"))]
pub struct EventBody<'a, K> {
    /// The topic.
    pub topic: &'a str,
    /// What happened, with its fields.
    #[serde(flatten)]
    pub kind: K,
    /// The event's position in the topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The topic's epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// What happened.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "EventKind"))]
pub enum EventKind<'a> {
    /// The topic's whole state is now this.
    State {
        /// The state.
        #[cfg_attr(test, schemars(with = "super::schema::AnyState"))]
        state: &'a RawValue,
    },
    /// On `rooms`: a room is new or changed.
    Room {
        /// The room.
        #[cfg_attr(test, schemars(with = "super::Room"))]
        room: &'a RawValue,
    },
    /// On `rooms`: a room is gone.
    RoomDeleted {
        /// Its name.
        name: &'a str,
    },
    /// The subscription is over: the topic is gone, or no longer visible to this connection.
    Ended,
}

impl<K: Serialize> EventBody<'_, K> {
    /// The text behind `{"seq":N,`.
    pub(crate) fn to_tail(&self) -> String {
        let mut text = serde_json::to_string(self).expect("events have text keys and no fallible serialisers");
        text.remove(0);
        text
    }
}

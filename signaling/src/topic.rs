//! Topics: what changes, serialised once however many listen.
//!
//! A topic's position is a [`Version`]: an offset that grows by one per event, within an epoch that the shell gives and that
//! never goes back. A snapshot carries the version of the last event it contains, so that a subscriber who takes a snapshot and
//! then the events with greater versions has neither a gap nor a double.

mod document;
mod list;

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::topic_name::TopicName;
use crate::wire::{EventBody, EventKind};

pub use document::StateTopic;
pub use list::ListTopic;

/// A position in a topic. Positions of one topic are totally ordered, over epochs too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Which life of the topic; every later one has a greater number.
    pub epoch: u64,
    /// The number of the event in it.
    pub offset: u64,
}

/// Who a serialisation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Whoever may see the topic.
    Public,
    /// Who may administer what it describes.
    Admin,
}

/// A topic's state at a version, as one audience sees it.
#[derive(Clone)]
pub struct Snapshot {
    /// The last event that is contained.
    pub version: Version,
    /// The state, as JSON.
    pub state: Arc<RawValue>,
}

/// One event of a topic, as one audience sees it. Cloning shares the text.
#[derive(Clone)]
pub struct Event {
    pub(crate) topic: TopicName,
    pub(crate) version: Version,
    /// Waiting events with the same topic and subject are superseded by this one.
    pub(crate) subject: Subject,
    pub(crate) tail: Arc<str>,
}

/// What an event of a state topic is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The whole topic: supersedes everything of it that waits.
    Whole,
    /// One item of a list.
    Item(Arc<str>),
}

impl Event {
    /// The topic.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Its position.
    pub fn version(&self) -> Version {
        self.version
    }

    /// An event that carries the whole state of a snapshot.
    pub(crate) fn whole(topic: &TopicName, snapshot: &Snapshot) -> Event {
        Event::new(topic, snapshot.version, Subject::Whole, EventKind::State { state: &snapshot.state })
    }

    fn new(topic: &TopicName, version: Version, subject: Subject, kind: EventKind<'_>) -> Event {
        let text = topic.to_string();
        let body = EventBody { topic: &text, kind, offset: Some(version.offset), epoch: Some(version.epoch) };
        Event { topic: topic.clone(), version, subject, tail: body.to_tail().into() }
    }
}

/// What one change means for each audience.
#[derive(Clone)]
pub struct Update {
    /// For [`Audience::Public`]; `None` when nothing changed that they see.
    pub public: Option<Event>,
    /// For [`Audience::Admin`].
    pub admin: Event,
}

impl Update {
    /// The event for one audience.
    pub fn event(&self, audience: Audience) -> Option<&Event> {
        match audience {
            Audience::Public => self.public.as_ref(),
            Audience::Admin => Some(&self.admin),
        }
    }
}

fn raw(value: &impl Serialize) -> Arc<RawValue> {
    to_raw_value(value).expect("states have text keys and no fallible serialisers").into()
}

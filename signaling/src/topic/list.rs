//! A topic whose state is a list of rooms, changed one by one: `rooms`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Event, Snapshot, Subject, Version, raw};
use crate::limits::TopicLimits;
use crate::topic_name::TopicName;
use crate::wire::EventKind;

/// Rooms by name, for one principal.
///
/// Drain rule: after every `handle_*` and whenever [`ListTopic::poll_timeout`] has passed, call [`ListTopic::poll_event`] until it is `None`.
pub struct ListTopic {
    name: TopicName,
    limits: TopicLimits,
    version: Version,
    /// Bounded by the rooms that the shell names.
    items: BTreeMap<Arc<str>, Item>,
    ready: VecDeque<Event>,
    /// Until then changes are held back.
    quiet_until: Instant,
}

/// A room: what it is, and what the last event said.
#[derive(Default)]
struct Item {
    state: Option<Arc<RawValue>>,
    published: Option<Arc<RawValue>>,
}

impl Item {
    fn changed(&self) -> bool {
        self.state.as_deref().map(RawValue::get) != self.published.as_deref().map(RawValue::get)
    }
}

/// The state of `rooms` out of texts that are already serialised; the same JSON as [`crate::wire::RoomsState`].
#[derive(Serialize)]
struct Texts<'a> {
    rooms: Vec<&'a RawValue>,
}

impl ListTopic {
    /// A list in its first state. `epoch` must be greater than that of any earlier list of this principal.
    pub fn new<'a, R: Serialize>(
        limits: TopicLimits,
        now: Instant,
        epoch: u64,
        rooms: impl IntoIterator<Item = (&'a str, R)>,
    ) -> ListTopic {
        let item = |room| Item { state: Some(raw(&room)), published: Some(raw(&room)) };
        ListTopic {
            name: TopicName::Rooms,
            limits,
            version: Version { epoch, offset: 0 },
            items: rooms.into_iter().map(|(name, room)| (name.into(), item(room))).collect(),
            ready: VecDeque::new(),
            quiet_until: now,
        }
    }

    /// A room is new or changed.
    pub fn handle_room(&mut self, name: &str, room: &impl Serialize) {
        self.items.entry(name.into()).or_default().state = Some(raw(room));
    }

    /// A room is gone.
    pub fn handle_deleted(&mut self, name: &str) {
        if let Some(item) = self.items.get_mut(name) {
            item.state = None;
            if item.published.is_none() {
                self.items.remove(name);
            }
        }
    }

    /// The names of the rooms that are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.items.iter().filter(|(_, item)| item.state.is_some()).map(|(name, _)| &**name)
    }

    /// The next event, if something changed and the last events are long enough ago.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        if self.ready.is_empty() && self.poll_timeout()? <= now {
            self.publish();
            self.quiet_until = now + self.limits.publish_interval;
        }
        self.ready.pop_front()
    }

    fn publish(&mut self) {
        for (name, item) in self.items.iter_mut().filter(|(_, item)| item.changed()) {
            self.version.offset += 1;
            item.published = item.state.clone();
            let kind = match item.state.as_deref() {
                Some(room) => EventKind::Room { room },
                None => EventKind::RoomDeleted { name },
            };
            self.ready.push_back(Event::new(&self.name, self.version, Subject::Item(name.clone()), kind));
        }
        self.items.retain(|_, item| item.state.is_some());
    }

    /// When [`ListTopic::poll_event`] will have something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.ready.is_empty() || self.items.values().any(Item::changed)).then_some(self.quiet_until)
    }

    /// The state that the last event led to. Call it only when [`ListTopic::poll_event`] is drained.
    pub fn snapshot(&self) -> Snapshot {
        let rooms = self.items.values().filter_map(|item| item.published.as_deref()).collect();
        let state = to_raw_value(&Texts { rooms }).expect("texts that are already JSON");
        Snapshot { version: self.version, state: state.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PUBLISH_INTERVAL;

    fn drain(topic: &mut ListTopic, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| topic.poll_event(now)).map(|event| event.tail.to_string()).collect()
    }

    #[test]
    fn changes_come_one_by_one_and_add_up_to_the_snapshot() {
        let start = Instant::now();
        let mut topic = ListTopic::new(TopicLimits::default(), start, 3, [("a", 1), ("b", 2)]);
        assert_eq!(topic.snapshot().state.get(), r#"{"rooms":[1,2]}"#);
        assert_eq!(topic.poll_timeout(), None);

        topic.handle_room("c", &3);
        topic.handle_deleted("a");
        topic.handle_deleted("never-was");
        assert_eq!(
            drain(&mut topic, start),
            [
                r#""topic":"rooms","type":"room-deleted","name":"a","offset":1,"epoch":3}"#,
                r#""topic":"rooms","type":"room","room":3,"offset":2,"epoch":3}"#,
            ]
        );
        assert_eq!(topic.snapshot().state.get(), r#"{"rooms":[2,3]}"#);
        assert_eq!(topic.snapshot().version, Version { epoch: 3, offset: 2 });

        topic.handle_room("b", &4);
        topic.handle_room("b", &5);
        topic.handle_room("d", &6);
        topic.handle_deleted("d");
        assert!(drain(&mut topic, start).is_empty(), "held back");
        let due = topic.poll_timeout().expect("a change waits");
        assert_eq!(due, start + PUBLISH_INTERVAL);
        assert_eq!(drain(&mut topic, due), [r#""topic":"rooms","type":"room","room":5,"offset":3,"epoch":3}"#]);
        assert_eq!(topic.poll_timeout(), None);
    }
}

//! A topic whose state is one document: `room:{name}`.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Audience, Event, Snapshot, Update, Version, raw};
use crate::limits::TopicLimits;
use crate::topic_name::TopicName;

/// A document that changes as a whole, seen by two audiences.
///
/// Drain rule: after every `handle_*` and whenever [`StateTopic::poll_timeout`] has passed, call [`StateTopic::poll_update`] until it is `None`.
pub struct StateTopic {
    name: TopicName,
    limits: TopicLimits,
    version: Version,
    state: Views,
    /// What the last event said; differs from `state` while the interval holds a change back.
    published: Views,
    /// Until then changes are held back.
    quiet_until: Instant,
}

#[derive(Clone)]
struct Views {
    public: Arc<RawValue>,
    admin: Arc<RawValue>,
}

impl Views {
    fn new(public: &impl Serialize, admin: &impl Serialize) -> Views {
        Views { public: raw(public), admin: raw(admin) }
    }
}

impl StateTopic {
    /// A topic in its first state. `epoch` must be greater than that of any earlier topic of this name.
    pub fn new(
        limits: TopicLimits,
        now: Instant,
        name: TopicName,
        epoch: u64,
        public: &impl Serialize,
        admin: &impl Serialize,
    ) -> StateTopic {
        let state = Views::new(public, admin);
        let published = state.clone();
        StateTopic { name, limits, version: Version { epoch, offset: 0 }, state, published, quiet_until: now }
    }

    /// The state is now this, as each audience sees it.
    pub fn handle_state(&mut self, public: &impl Serialize, admin: &impl Serialize) {
        self.state = Views::new(public, admin);
    }

    /// The next event, if there was a change and the last event is long enough ago.
    pub fn poll_update(&mut self, now: Instant) -> Option<Update> {
        if self.poll_timeout()? > now {
            return None;
        }
        let public_changed = self.state.public.get() != self.published.public.get();
        self.published = self.state.clone();
        self.quiet_until = now + self.limits.publish_interval;
        self.version.offset += 1;
        let admin = Event::whole(&self.name, &self.snapshot(Audience::Admin));
        let one_text = self.state.public.get() == self.state.admin.get();
        let public = public_changed
            .then(|| if one_text { admin.clone() } else { Event::whole(&self.name, &self.snapshot(Audience::Public)) });
        Some(Update { public, admin })
    }

    /// When [`StateTopic::poll_update`] will have something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let changed = self.state.public.get() != self.published.public.get()
            || self.state.admin.get() != self.published.admin.get();
        changed.then_some(self.quiet_until)
    }

    /// The state that the last event led to.
    pub fn snapshot(&self, audience: Audience) -> Snapshot {
        let state = match audience {
            Audience::Public => self.published.public.clone(),
            Audience::Admin => self.published.admin.clone(),
        };
        Snapshot { version: self.version, state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PUBLISH_INTERVAL;

    fn topic(now: Instant) -> StateTopic {
        let name = TopicName::parse("room:demo").expect("a topic");
        StateTopic::new(TopicLimits::default(), now, name, 7, &"a", &"a+")
    }

    fn tails(update: Option<Update>) -> Option<(Option<String>, String)> {
        update.map(|update| (update.public.map(|event| event.tail.to_string()), update.admin.tail.to_string()))
    }

    #[test]
    fn each_audience_gets_its_own_view_and_only_its_own_changes() {
        let now = Instant::now();
        let mut topic = topic(now);
        assert!(topic.poll_update(now).is_none());
        topic.handle_state(&"b", &"b+");
        let text = |offset, state| {
            format!(r#""topic":"room:demo","type":"state","state":"{state}","offset":{offset},"epoch":7}}"#)
        };
        assert_eq!(tails(topic.poll_update(now)), Some((Some(text(1, "b")), text(1, "b+"))));

        let now = now + PUBLISH_INTERVAL;
        topic.handle_state(&"b", &"b++");
        assert_eq!(tails(topic.poll_update(now)), Some((None, text(2, "b++"))));
        assert_eq!(topic.snapshot(Audience::Public).state.get(), r#""b""#);
        assert_eq!(topic.snapshot(Audience::Admin).state.get(), r#""b++""#);
        assert_eq!(topic.snapshot(Audience::Public).version, Version { epoch: 7, offset: 2 });
    }

    #[test]
    fn changes_within_the_interval_are_one_event_with_the_last_state() {
        let start = Instant::now();
        let mut topic = topic(start);
        topic.handle_state(&1, &1);
        assert!(topic.poll_update(start).is_some());
        for state in 2..100 {
            topic.handle_state(&state, &state);
            assert!(topic.poll_update(start + PUBLISH_INTERVAL / 2).is_none());
        }
        assert_eq!(topic.snapshot(Audience::Admin).state.get(), "1", "a snapshot never runs ahead of the events");
        let due = topic.poll_timeout().expect("a change waits");
        let update = topic.poll_update(due).expect("it is due");
        assert!(update.admin.tail.contains(r#""state":99,"offset":2"#));
        assert!(
            Arc::ptr_eq(&update.admin.tail, &update.public.expect("changed too").tail),
            "one text, serialised once"
        );
        assert_eq!(topic.poll_timeout(), None);
    }

    #[test]
    fn a_change_that_is_taken_back_is_no_event() {
        let now = Instant::now();
        let mut topic = topic(now);
        topic.handle_state(&"b", &"b");
        topic.handle_state(&"a", &"a+");
        assert_eq!(topic.poll_timeout(), None);
        assert!(topic.poll_update(now).is_none());
    }
}

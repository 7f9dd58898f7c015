//! The topic of one room.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use telstar_signaling::wire::RoomTopicState;
use telstar_signaling::{Audience, Snapshot, StateTopic, TopicLimits, TopicName};

use super::{Delivery, Subscriber};
use crate::rooms::RoomEntry;

pub(super) struct RoomTopic {
    entry: Arc<RoomEntry>,
    name: TopicName,
    epoch: u64,
    core: StateTopic,
    open: bool,
    subscribers: HashMap<u64, (Subscriber, Audience)>,
}

/// A room for its administrators, and for everybody else.
fn views(entry: &RoomEntry) -> (RoomTopicState, RoomTopicState) {
    let facts = entry.facts();
    let live = entry.state();
    let state =
        |live| RoomTopicState { name: facts.name.to_string(), title: facts.title.clone(), open: facts.open, live };
    (state((*live).clone()), state(live.public()))
}

impl RoomTopic {
    pub(super) fn new(now: Instant, entry: Arc<RoomEntry>, epoch: u64) -> RoomTopic {
        let (admin, public) = views(&entry);
        let name = TopicName::Room(entry.facts().name.clone());
        let core = StateTopic::new(TopicLimits::default(), now, name.clone(), epoch, &public, &admin);
        RoomTopic { open: entry.facts().open, entry, name, epoch, core, subscribers: HashMap::new() }
    }

    /// Whether this is the topic of that very room, and not of an earlier one of the same name.
    pub(super) fn is_of(&self, entry: &Arc<RoomEntry>) -> bool {
        Arc::ptr_eq(&self.entry, entry)
    }

    pub(super) fn subscribe(&mut self, subscriber: Subscriber, audience: Audience) -> Snapshot {
        self.subscribers.insert(subscriber.id, (subscriber, audience));
        self.core.snapshot(audience)
    }

    pub(super) fn unsubscribe(&mut self, id: u64) {
        self.subscribers.remove(&id);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// Takes over the room's present state and delivers what is due. Returns when to come back.
    pub(super) fn refresh(&mut self, now: Instant) -> Option<Instant> {
        let (admin, public) = views(&self.entry);
        if self.open && !public.open {
            // Those who came in through the open door have to be judged again before they hear anything more.
            self.subscribers.retain(|_, (subscriber, audience)| {
                *audience == Audience::Admin || {
                    subscriber.deliver(Delivery::RightsChanged);
                    false
                }
            });
        }
        self.open = public.open;
        self.core.handle_state(&public, &admin);
        self.flush(now)
    }

    /// Delivers what is due. Returns when to come back.
    pub(super) fn flush(&mut self, now: Instant) -> Option<Instant> {
        while let Some(update) = self.core.poll_update(now) {
            self.subscribers.retain(|_, (subscriber, audience)| {
                update.event(*audience).is_none_or(|event| subscriber.deliver(Delivery::Event(event.clone())))
            });
        }
        self.core.poll_timeout()
    }

    /// The room is gone.
    pub(super) fn end(self) {
        for (subscriber, _) in self.subscribers.values() {
            subscriber.deliver(Delivery::Ended(self.name.clone(), self.epoch));
        }
    }
}

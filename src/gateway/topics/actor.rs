//! The task that owns the topics.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use telstar_signaling::wire::ErrorCode;
use telstar_store::{PageRequest, RoomsOf, Store, StoreError};
use telstar_units::AccountId;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::list::RoomsTopic;
use super::room::RoomTopic;
use super::{Grant, SnapshotAnswer, Subscriber, TopicKey};
use crate::rooms::{RoomChanged, RoomEntry, Rooms};
use crate::tasks::Tasks;

/// How long after a failure the store is asked again for a list that somebody watches.
const RELOAD_DELAY: Duration = Duration::from_secs(2);

pub(super) enum Message {
    Subscribe {
        subscriber: Subscriber,
        grant: Grant,
        answer: SnapshotAnswer,
    },
    Unsubscribe {
        id: u64,
        topic: TopicKey,
    },
    /// What the store said about an account's rooms.
    Loaded {
        account: AccountId,
        /// The topic that asked.
        epoch: u64,
        rooms: Result<Vec<Arc<RoomEntry>>, StoreError>,
    },
}

pub(super) struct Actor {
    rooms: Rooms,
    store: Arc<dyn Store>,
    tasks: Tasks,
    /// For the answers of the store. Weak, so that this task ends when nobody else can reach it.
    mailbox: mpsc::WeakSender<Message>,
    /// Topics exist while somebody subscribes to them.
    room_topics: HashMap<TopicKey, RoomTopic>,
    list_topics: HashMap<AccountId, RoomsTopic>,
    /// When held-back changes are due.
    due: BTreeSet<(Instant, TopicKey)>,
    last_epoch: u64,
}

impl Actor {
    pub(super) fn new(rooms: Rooms, store: Arc<dyn Store>, tasks: Tasks, mailbox: mpsc::WeakSender<Message>) -> Actor {
        let (room_topics, list_topics) = (HashMap::new(), HashMap::new());
        Actor { rooms, store, tasks, mailbox, room_topics, list_topics, due: BTreeSet::new(), last_epoch: 0 }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut changes = self.rooms.changes();
        let stopping = self.tasks.stopping();
        tokio::pin!(stopping);
        loop {
            let due = self.due.first().map(|(deadline, _)| *deadline);
            let timeout = async {
                match due {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            // Every branch is cancel-safe: channel receives, a sleep and a cancellation.
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.handle_message(message),
                    None => return,
                },
                change = changes.recv() => match change {
                    Ok(change) => self.handle_change(change),
                    Err(RecvError::Lagged(_)) => self.handle_lag(),
                    Err(RecvError::Closed) => return,
                },
                () = timeout => self.handle_timeout(),
                () = &mut stopping => return,
            }
        }
    }

    fn handle_message(&mut self, message: Message) {
        match message {
            Message::Subscribe { subscriber, grant, answer } => self.subscribe(subscriber, grant, answer),
            Message::Unsubscribe { id, topic } => self.unsubscribe(id, &topic),
            Message::Loaded { account, epoch, rooms } => self.handle_loaded(account, epoch, rooms),
        }
    }

    fn subscribe(&mut self, subscriber: Subscriber, grant: Grant, answer: SnapshotAnswer) {
        let now = Instant::now();
        let key = grant.key();
        match grant {
            Grant::Room(entry, audience) => {
                // The room may have been deleted since the grant; its end has then already been announced here.
                let known = self.rooms.known(&entry.facts().name);
                if !known.is_some_and(|known| Arc::ptr_eq(&known, &entry)) {
                    let _ = answer.send(Err(ErrorCode::NotFound));
                    return;
                }
                if self.room_topics.get(&key).is_some_and(|topic| !topic.is_of(&entry)) {
                    self.room_topics.remove(&key).into_iter().for_each(RoomTopic::end);
                }
                let epoch = next_epoch(&mut self.last_epoch);
                let topic = self.room_topics.entry(key.clone()).or_insert_with(|| RoomTopic::new(now, entry, epoch));
                let id = subscriber.id;
                let snapshot = topic.subscribe(subscriber, audience);
                // Nobody waits for the answer any more: then nobody wants the events either.
                if answer.send(Ok(snapshot)).is_err() {
                    self.unsubscribe(id, &key);
                }
            }
            Grant::Rooms(account) => {
                let epoch = next_epoch(&mut self.last_epoch);
                let topic = self.list_topics.entry(account).or_insert_with(|| RoomsTopic::new(epoch));
                let fresh = topic.is_idle();
                topic.subscribe(subscriber, answer);
                if fresh {
                    self.load(account, Duration::ZERO);
                }
            }
        }
    }

    fn unsubscribe(&mut self, id: u64, key: &TopicKey) {
        match key {
            TopicKey::Room(_) => {
                if let Some(topic) = self.room_topics.get_mut(key) {
                    topic.unsubscribe(id);
                    if topic.is_idle() {
                        self.room_topics.remove(key);
                    }
                }
            }
            TopicKey::Rooms(account) => {
                if let Some(topic) = self.list_topics.get_mut(account) {
                    topic.unsubscribe(id);
                    if topic.is_idle() {
                        self.list_topics.remove(account);
                    }
                }
            }
        }
    }

    fn handle_change(&mut self, change: RoomChanged) {
        let now = Instant::now();
        let (RoomChanged::Changed(entry) | RoomChanged::Deleted(entry)) = &change;
        let facts = entry.facts();
        let key = TopicKey::Room(facts.name.clone());
        if self.room_topics.get(&key).is_some_and(|topic| topic.is_of(entry)) {
            match &change {
                RoomChanged::Changed(_) => self.refresh_room(now, &key),
                RoomChanged::Deleted(_) => self.room_topics.remove(&key).into_iter().for_each(RoomTopic::end),
            }
        }
        if let Some(list) = self.list_topics.get_mut(&facts.owner) {
            let next = list.changed(now, change);
            self.come_back(next, TopicKey::Rooms(facts.owner));
        }
    }

    fn refresh_room(&mut self, now: Instant, key: &TopicKey) {
        if let Some(topic) = self.room_topics.get_mut(key) {
            let next = topic.refresh(now);
            self.come_back(next, key.clone());
        }
    }

    /// Changes were missed: everything that somebody watches is looked at again.
    fn handle_lag(&mut self) {
        let now = Instant::now();
        let keys: Vec<TopicKey> = self.room_topics.keys().cloned().collect();
        for key in keys {
            let TopicKey::Room(name) = &key else { continue };
            let known = self.rooms.known(name);
            if self.room_topics.get(&key).is_some_and(|topic| known.is_some_and(|known| topic.is_of(&known))) {
                self.refresh_room(now, &key);
            } else {
                self.room_topics.remove(&key).into_iter().for_each(RoomTopic::end);
            }
        }
        let accounts: Vec<AccountId> = self.list_topics.keys().copied().collect();
        for account in accounts {
            self.list_topics.entry(account).and_modify(RoomsTopic::lost_changes);
            self.load(account, Duration::ZERO);
        }
    }

    fn handle_timeout(&mut self) {
        let now = Instant::now();
        while self.due.first().is_some_and(|(deadline, _)| *deadline <= now) {
            let Some((_, key)) = self.due.pop_first() else { return };
            let next = match &key {
                TopicKey::Room(_) => self.room_topics.get_mut(&key).and_then(|topic| topic.flush(now)),
                TopicKey::Rooms(account) => self.list_topics.get_mut(account).and_then(|topic| topic.flush(now)),
            };
            self.come_back(next, key);
        }
    }

    fn come_back(&mut self, next: Option<Instant>, key: TopicKey) {
        if let Some(deadline) = next {
            self.due.insert((deadline, key));
        }
    }

    fn load(&mut self, account: AccountId, delay: Duration) {
        let Some(epoch) = self.list_topics.get_mut(&account).and_then(RoomsTopic::begin_load) else { return };
        let (store, rooms, mailbox) = (Arc::clone(&self.store), self.rooms.clone(), self.mailbox.clone());
        self.tasks.spawn("topics-load", async move {
            tokio::time::sleep(delay).await;
            let rooms = rooms_of(&*store, &rooms, account).await;
            if let Some(mailbox) = mailbox.upgrade() {
                let _ = mailbox.send(Message::Loaded { account, epoch, rooms }).await;
            }
        });
    }

    fn handle_loaded(&mut self, account: AccountId, epoch: u64, rooms: Result<Vec<Arc<RoomEntry>>, StoreError>) {
        let Some(topic) = self.list_topics.get_mut(&account).filter(|topic| topic.epoch() == epoch) else { return };
        match rooms {
            Ok(rooms) => {
                let stale = topic.is_stale();
                let next = topic.loaded(Instant::now(), &rooms);
                self.come_back(next, TopicKey::Rooms(account));
                if stale {
                    self.load(account, Duration::ZERO);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the rooms of an account could not be read");
                topic.failed();
                if topic.is_idle() {
                    self.list_topics.remove(&account);
                } else {
                    self.load(account, RELOAD_DELAY);
                }
            }
        }
    }
}

/// Every room of an account, page by page.
async fn rooms_of(store: &dyn Store, rooms: &Rooms, account: AccountId) -> Result<Vec<Arc<RoomEntry>>, StoreError> {
    let mut entries = Vec::new();
    let mut page = PageRequest::first();
    loop {
        let answer = store.rooms(RoomsOf::Owner(account), page).await?;
        for room in answer.items {
            entries.extend(rooms.get(&room.name).await?);
        }
        match answer.next {
            Some(next) => page = PageRequest::new(Some(next), telstar_store::PAGE_LIMIT_MAX),
            None => return Ok(entries),
        }
    }
}

/// Epochs are Unix seconds or, within a second, the next free number: a topic that starts anew has a greater one, over a restart too.
fn next_epoch(last: &mut u64) -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    *last = since.as_secs().max(*last + 1);
    *last
}

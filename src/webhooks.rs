//! Webhooks: apps are told what happens in their rooms and to their assets (docs/webhooks.md).
//!
//! In: events, from whoever makes them. Out: signed requests to the endpoints of the owner, at least once each.
//! An event is queued in the store first; from then on no crash loses it. Each endpoint has a task of its own while
//! something waits for it, so that a slow one holds up nobody else.
//!
//! - `endpoint`: what an address may look like, and where it may lead;
//! - `send`: one request, to an address that was looked at after it was resolved;
//! - `worker`: one endpoint's queue, its attempts and its waits;
//! - `streams`: what is live, as events;
//! - `assets`: what happens to assets, from the store's outbox.

mod assets;
mod endpoint;
mod send;
mod streams;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use telstar_store::{NewDelivery, Store, StoreError, Subject, WebhookId};
use telstar_units::{AccountId, WallTime};
use tokio::sync::mpsc;
use tracing::warn;

use crate::auth::Authority;
use crate::metrics::Metrics;
use crate::rooms::Rooms;
use crate::tasks::Tasks;
use crate::vod::listings::Listings;

pub use endpoint::{Endpoint, EndpointError, is_public};
pub use send::{Resolver, SendError, Sender};
use worker::Worker;

/// Events that wait to be queued in the store. One more is lost and counted: higher bridges a longer hiccup of the disk.
const MAILBOX_MAX: usize = 4_096;
/// Events that are queued in one transaction at most.
const BATCH_MAX: usize = 64;
/// How long the store may be busy before an event is tried again.
const BUSY_WAIT: Duration = Duration::from_millis(100);
/// How often an event is tried again while the store is busy: ten seconds in all.
const BUSY_TRIES_MAX: usize = 100;
/// When the server stops, the last events come from tasks that stop as well: so long after the last one nobody is left.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The first participant came into a call.
    RoomStarted,
    /// The last one left.
    RoomEnded,
    /// Somebody came.
    ParticipantJoined,
    /// Somebody left.
    ParticipantLeft,
    /// Somebody publishes something.
    TrackPublished,
    /// Somebody ceased to.
    TrackUnpublished,
    /// A stream can be watched.
    StreamStarted,
    /// It is over.
    StreamEnded,
    /// An asset was made.
    AssetCreated,
    /// An asset's title, openness or origins changed, or it is being made anew.
    AssetChanged,
    /// An asset can be watched from its beginning to its end.
    AssetReady,
    /// An asset cannot be watched.
    AssetFailed,
    /// An asset is gone.
    AssetDeleted,
    /// A job of an asset began or ended.
    JobChanged,
}

impl EventKind {
    /// All of them.
    pub const ALL: [EventKind; 14] = [
        EventKind::RoomStarted,
        EventKind::RoomEnded,
        EventKind::ParticipantJoined,
        EventKind::ParticipantLeft,
        EventKind::TrackPublished,
        EventKind::TrackUnpublished,
        EventKind::StreamStarted,
        EventKind::StreamEnded,
        EventKind::AssetCreated,
        EventKind::AssetChanged,
        EventKind::AssetReady,
        EventKind::AssetFailed,
        EventKind::AssetDeleted,
        EventKind::JobChanged,
    ];

    /// Its stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::RoomStarted => "room-started",
            EventKind::RoomEnded => "room-ended",
            EventKind::ParticipantJoined => "participant-joined",
            EventKind::ParticipantLeft => "participant-left",
            EventKind::TrackPublished => "track-published",
            EventKind::TrackUnpublished => "track-unpublished",
            EventKind::StreamStarted => "stream-started",
            EventKind::StreamEnded => "stream-ended",
            EventKind::AssetCreated => "asset-created",
            EventKind::AssetChanged => "asset-changed",
            EventKind::AssetReady => "asset-ready",
            EventKind::AssetFailed => "asset-failed",
            EventKind::AssetDeleted => "asset-deleted",
            EventKind::JobChanged => "job-changed",
        }
    }
}

/// Something that apps want to know.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookEvent {
    /// What.
    pub kind: EventKind,
    /// What it is called, if it may be told twice and is one event all the same; else it is called when it is queued.
    pub name: Option<String>,
    /// Where, or to what.
    pub subject: Subject,
    /// Whose that is: its webhooks are told. Stated, because it may be deleted by now.
    pub owner: AccountId,
    /// When.
    pub at: WallTime,
    /// What else there is to say; the subject's name is added.
    pub data: Map<String, Value>,
}

impl WebhookEvent {
    /// What is sent: the members that Standard Webhooks recommends.
    fn body(mut self) -> String {
        let (key, name) = match &self.subject {
            Subject::Room(room) => ("room", room.to_string()),
            Subject::Asset(asset) => ("asset", asset.to_string()),
        };
        self.data.insert(key.to_owned(), Value::String(name));
        let body = json!({
            "type": self.kind.as_str(),
            "timestamp": self.at.to_rfc3339_millis(),
            "data": self.data,
        });
        body.to_string()
    }
}

/// What tells apps. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    mailbox: mpsc::Sender<WebhookEvent>,
    metrics: Arc<Metrics>,
}

struct Inner {
    store: Arc<dyn Store>,
    authority: Arc<Authority>,
    sender: Sender,
    metrics: Arc<Metrics>,
    tasks: Tasks,
    /// The endpoints for which something waits. Bounded by the webhooks in the store.
    workers: Mutex<HashMap<WebhookId, Arc<Worker>>>,
}

impl Webhooks {
    /// Starts telling: what waited since before the start first, then what is enqueued and what the rooms do.
    pub fn start(
        store: Arc<dyn Store>,
        authority: Arc<Authority>,
        rooms: &Rooms,
        listings: &Listings,
        sender: Sender,
        metrics: Arc<Metrics>,
        tasks: &Tasks,
    ) -> Webhooks {
        let (mailbox, inbox) = mpsc::channel(MAILBOX_MAX);
        let webhooks = Webhooks { mailbox, metrics: Arc::clone(&metrics) };
        let workers = Mutex::default();
        let clock = Arc::clone(&authority);
        let assets = assets::Follower::new(Arc::clone(&store), listings, webhooks.clone(), Arc::clone(&authority));
        let inner = Arc::new(Inner { store, authority, sender, metrics, tasks: tasks.clone(), workers });
        tasks.spawn("webhooks", inner.run(inbox));
        tasks.spawn("webhooks-assets", assets.run(tasks.clone()));
        tasks.spawn("webhooks-streams", streams::follow(rooms.clone(), webhooks.clone(), clock, tasks.clone()));
        webhooks
    }

    /// Takes an event. It does not wait; an event that finds no place is lost and counted.
    pub fn enqueue(&self, event: WebhookEvent) {
        if self.mailbox.try_send(event).is_err() {
            self.metrics.webhooks_lost_events.add(1);
        }
    }

    /// Takes an event, as soon as there is a place for it.
    async fn take(&self, event: WebhookEvent) {
        // It ends with the server, and what it has not queued by then is told after the next start.
        let _ = self.mailbox.send(event).await;
    }
}

impl Inner {
    async fn run(self: Arc<Self>, mut inbox: mpsc::Receiver<WebhookEvent>) {
        match self.store.release_leases().await {
            Ok(waiting) => waiting.into_iter().for_each(|webhook| self.wake(webhook)),
            Err(error) => warn!(%error, "webhooks: what waited before the start waits for the next event"),
        }
        let mut stopping = std::pin::pin!(self.tasks.stopping());
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            // Cancel-safe: a cancellation, and a channel that keeps what was not taken.
            tokio::select! {
                biased;
                taken = inbox.recv_many(&mut batch, BATCH_MAX) => if taken == 0 { return },
                () = &mut stopping => break,
            }
            self.queue(batch.drain(..)).await;
        }
        while let Ok(1..) = tokio::time::timeout(LAST_WORDS, inbox.recv_many(&mut batch, BATCH_MAX)).await {
            self.queue(batch.drain(..)).await;
        }
    }

    /// Queues events in the store, in their order and in one transaction where it can be.
    async fn queue(self: &Arc<Self>, events: impl Iterator<Item = WebhookEvent>) {
        let mut waiting = Vec::with_capacity(BATCH_MAX);
        for event in events {
            let (owner, kind, at) = (event.owner, event.kind, event.at);
            let message = match event.name.clone().map_or_else(|| self.authority.new_message_name(), Ok) {
                Ok(message) => message,
                Err(error) => {
                    self.lost(&error);
                    continue;
                }
            };
            let delivery = NewDelivery { owner, message, event: kind.as_str().to_owned(), body: event.body() };
            let queued = self.store.enqueue_delivery(delivery.clone(), at);
            waiting.push((delivery, at, queued));
        }
        for (delivery, at, queued) in waiting {
            let mut outcome = queued.await;
            let mut tries = 0;
            while outcome == Err(StoreError::Busy) && tries < BUSY_TRIES_MAX {
                tries += 1;
                tokio::time::sleep(BUSY_WAIT).await;
                outcome = self.store.enqueue_delivery(delivery.clone(), at).await;
            }
            match outcome {
                Ok(webhooks) => webhooks.into_iter().for_each(|webhook| self.wake(webhook)),
                Err(error) => self.lost(&error),
            }
        }
    }

    fn lost(&self, error: &dyn std::error::Error) {
        self.metrics.webhooks_lost_events.add(1);
        warn!(%error, "an event for webhooks was lost");
    }

    /// Sees to it that somebody looks after this webhook's queue.
    fn wake(self: &Arc<Self>, webhook: WebhookId) {
        let mut workers = self.workers();
        if let Some(worker) = workers.get(&webhook) {
            worker.wake();
            return;
        }
        let worker = Arc::new(Worker::default());
        workers.insert(webhook, Arc::clone(&worker));
        drop(workers);
        self.tasks.spawn("webhook", worker::run(Arc::clone(self), webhook, worker));
    }

    fn workers(&self) -> MutexGuard<'_, HashMap<WebhookId, Arc<Worker>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

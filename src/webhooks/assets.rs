//! What happens to assets, as events: the store's outbox is followed, which was written with the thing itself.
//!
//! In: the outbox. Out: an event for each entry of assets and jobs, under a name of its number, so that what was told
//! before a crash and is told again is one event. It says how the asset is when it is told, which may be later than
//! what happened.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use telstar_store::job::State;
use telstar_store::{
    AssetState, Event, EventId, EventKind as Outbox, JobKind, JobRecord, PageRequest, Store, StoreError, Subject,
};
use telstar_units::AssetName;
use tokio::sync::watch;
use tracing::warn;

use super::{EventKind, WebhookEvent, Webhooks};
use crate::auth::Authority;
use crate::tasks::Tasks;
use crate::vod::listings::Listings;

/// After a start events are told again that are no older: what was told is remembered for longer, and what was not
/// would have been given up by then.
const TOLD_AGAIN_SECS: i64 = 86_400;
/// The outbox is looked at no more often.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// It is looked at so often when nothing said that it changed, and after the store failed.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Follower {
    store: Arc<dyn Store>,
    changes: watch::Receiver<u64>,
    webhooks: Webhooks,
    clock: Arc<Authority>,
    seen: EventId,
}

impl Follower {
    pub(super) fn new(
        store: Arc<dyn Store>,
        listings: &Listings,
        webhooks: Webhooks,
        clock: Arc<Authority>,
    ) -> Follower {
        Follower { store, changes: listings.watch(), webhooks, clock, seen: EventId(0) }
    }

    /// Follows until the server stops. What is not told by then is told after the next start.
    pub(super) async fn run(mut self, tasks: Tasks) {
        let stopping = tasks.stopping();
        // Cancel-safe: an event that was not told is still in the outbox.
        tokio::select! {
            () = stopping => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        loop {
            match self.tell_next().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(StoreError::Closed) => return,
                Err(error) => warn!(%error, "webhooks: the outbox cannot be read"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
            // Too late is as good as told; that nobody will ever tell again is seen by the store.
            let _ = tokio::time::timeout(LOOK_AT_LEAST_EVERY, self.changes.changed()).await;
        }
    }

    /// Tells what is next in the outbox; false when there is nothing more.
    async fn tell_next(&mut self) -> Result<bool, StoreError> {
        let events = self.store.events_after(self.seen).await?;
        let since = self.clock.now().plus_micros(-TOLD_AGAIN_SECS * 1_000_000);
        let is_any = !events.is_empty();
        for event in events {
            let id = event.id;
            if event.at >= since
                && let Some(event) = self.event_of(event).await?
            {
                self.webhooks.take(event).await;
            }
            self.seen = id;
        }
        Ok(is_any)
    }

    async fn event_of(&self, event: Event) -> Result<Option<WebhookEvent>, StoreError> {
        let Event { id, owner, kind, subject, at } = event;
        let (Some(kind), Subject::Asset(name)) = (kind_of(kind), &subject) else { return Ok(None) };
        // Most accounts have none, and their events need not be queued for nobody.
        if self.store.webhooks(owner, PageRequest::new(None, 1)).await?.items.is_empty() {
            return Ok(None);
        }
        let data = self.data_of(kind, name).await?;
        let name = Some(format!("msg_asset_{}", id.0));
        Ok(Some(WebhookEvent { kind, name, subject, owner, at, data }))
    }

    async fn data_of(&self, kind: EventKind, name: &AssetName) -> Result<Map<String, Value>, StoreError> {
        let mut data = Map::new();
        let Some(asset) = self.store.asset(name.clone()).await?.filter(|_| kind != EventKind::AssetDeleted) else {
            return Ok(data);
        };
        let state = match asset.state {
            AssetState::Processing => "processing",
            AssetState::Ready => "ready",
            AssetState::Failed => "failed",
        };
        data.insert("title".to_owned(), Value::String(asset.title));
        data.insert("state".to_owned(), Value::String(state.to_owned()));
        if !asset.problem.is_empty() {
            data.insert("problem".to_owned(), Value::String(asset.problem));
        }
        if kind == EventKind::JobChanged {
            let jobs = self.store.jobs_of(name.clone()).await?;
            data.insert("jobs".to_owned(), jobs.iter().map(job_of).collect());
        }
        Ok(data)
    }
}

fn kind_of(kind: Outbox) -> Option<EventKind> {
    match kind {
        Outbox::AssetCreated => Some(EventKind::AssetCreated),
        Outbox::AssetChanged => Some(EventKind::AssetChanged),
        Outbox::AssetReady => Some(EventKind::AssetReady),
        Outbox::AssetFailed => Some(EventKind::AssetFailed),
        Outbox::AssetDeleted => Some(EventKind::AssetDeleted),
        Outbox::JobChanged => Some(EventKind::JobChanged),
        // What happens to rooms beyond what is live is nobody's event.
        Outbox::RoomCreated | Outbox::RoomChanged | Outbox::RoomDeleted | Outbox::StreamKeyRevoked => None,
    }
}

fn job_of(job: &JobRecord) -> Value {
    let kind = match job.kind {
        JobKind::Probe => "probe",
        JobKind::First => "first",
        JobKind::More => "more",
        JobKind::Images => "images",
    };
    let state = match job.job.state {
        State::Blocked(_) => "blocked",
        State::Ready(_) => "ready",
        State::Leased(..) => "leased",
        State::Done => "done",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    };
    json!({ "job": job.id.0, "kind": kind, "state": state })
}

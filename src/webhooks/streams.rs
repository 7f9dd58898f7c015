//! What is live, as events: a stream begins when it can be watched and ends when its encoder does not come back.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use telstar_store::{RoomId, Subject};
use tokio::sync::broadcast::error::RecvError;

use super::{EventKind, WebhookEvent, Webhooks};
use crate::auth::Authority;
use crate::rooms::{RoomChanged, RoomEntry, Rooms};
use crate::tasks::Tasks;

/// Follows the rooms until the server stops. Streams that the shutdown ends are told of as well.
pub(super) async fn follow(rooms: Rooms, webhooks: Webhooks, clock: Arc<Authority>, tasks: Tasks) {
    let mut changes = rooms.changes();
    // Bounded by the rooms that are live.
    let mut live: HashMap<RoomId, Arc<RoomEntry>> = HashMap::new();
    let mut stopping = std::pin::pin!(tasks.stopping());
    loop {
        // Cancel-safe: a cancellation and a channel. What happened before the stop is told first.
        let change = tokio::select! {
            biased;
            change = changes.recv() => change,
            () = &mut stopping => return,
        };
        let told: Vec<(bool, Arc<RoomEntry>)> = match change {
            Ok(RoomChanged::Changed(entry)) => vec![(entry.is_live(), entry)],
            Ok(RoomChanged::Deleted(entry)) => vec![(false, entry)],
            // Some were missed: those that were live may have ended. One that began is told of when it next changes,
            // which a live room does all the time.
            Err(RecvError::Lagged(_)) => live.values().map(|entry| (entry.is_live(), Arc::clone(entry))).collect(),
            Err(RecvError::Closed) => return,
        };
        for (is_live, entry) in told {
            let id = entry.facts().id;
            let kind = match (is_live, live.contains_key(&id)) {
                (true, false) => EventKind::StreamStarted,
                (false, true) => EventKind::StreamEnded,
                _ => continue,
            };
            webhooks.enqueue(event(kind, &entry, &clock));
            if is_live {
                live.insert(id, entry);
            } else {
                live.remove(&id);
            }
        }
    }
}

fn event(kind: EventKind, entry: &RoomEntry, clock: &Authority) -> WebhookEvent {
    let facts = entry.facts();
    let mut data = Map::new();
    data.insert("title".to_owned(), Value::String(facts.title.clone()));
    if let Some(started_at) = &entry.state().started_at {
        data.insert("started_at".to_owned(), Value::String(started_at.clone()));
    }
    let subject = Subject::Room(facts.name.clone());
    WebhookEvent { kind, name: None, subject, owner: facts.owner, at: clock.now(), data }
}

//! Encoders whose media comes as frames, as participants of their rooms' calls: one task for each of them, while its stream
//! lasts.
//!
//! In: news of the rooms. Out: participants with tracks that the media threads feed; and, when a moderator has removed one,
//! the encoder's end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use telstar_signaling::wire::ErrorCode;
use telstar_signaling::wire::call::LeaveReason;
use tokio::sync::watch;

use super::Calls;
use super::seat::{Publisher, ingest_joining};
use crate::rooms::{FedIngest, IngestNews, RoomEntry, Rooms};
use crate::shards::RoomKey;

/// After so long an encoder that its room's call had no time for tries again.
const JOIN_AGAIN: Duration = Duration::from_secs(1);

type Latest = watch::Sender<Option<FedIngest>>;

/// Follows the news until the server stops.
pub(super) async fn follow(calls: Calls, rooms: Rooms) {
    let mut news = rooms.ingests();
    // Bounded by the rooms in which somebody publishes: the others are taken out with each piece of news.
    let mut followed: HashMap<RoomKey, Latest> = HashMap::new();
    let mut stopping = std::pin::pin!(calls.inner.tasks.stopping());
    loop {
        // Cancel-safe: `recv` says so itself, and a cancellation.
        let IngestNews { entry, present } = tokio::select! {
            news = news.recv() => news,
            () = &mut stopping => return,
        };
        followed.retain(|_, latest| latest.receiver_count() > 0);
        let key = entry.key();
        let is_over = present.is_none();
        let told = followed.get(&key).is_some_and(|latest| latest.send(present.clone()).is_ok());
        if !told && !is_over {
            let (latest, seen) = watch::channel(present);
            followed.insert(key, latest);
            calls.inner.tasks.spawn("fed ingest", attend(calls.clone(), rooms.clone(), entry, seen));
        } else if is_over {
            // It goes on to its end; what comes next is another stream.
            followed.remove(&key);
        }
    }
}

/// Takes part for the ingest of one room until its stream is over.
async fn attend(calls: Calls, rooms: Rooms, entry: Arc<RoomEntry>, mut latest: watch::Receiver<Option<FedIngest>>) {
    let stop = calls.inner.tasks.child_token();
    loop {
        let Some(ingest) = latest.borrow_and_update().clone() else { return };
        let identity = format!("ingest:{}", ingest.participant);
        let joining = ingest_joining(ingest.participant, identity, &ingest.name);
        let wait = match Publisher::join(&calls, &entry, joining, None).await {
            Ok(mut publisher) => {
                publisher.feed(ingest.video, ingest.audio).await;
                match follow_one(&mut publisher, &ingest, &mut latest, &stop).await {
                    After::StreamOver => return publisher.leave(true).await,
                    After::AnotherStream => {
                        publisher.leave(true).await;
                        continue;
                    }
                    After::Removed => {
                        rooms.remove_ingest(&entry).await;
                        None
                    }
                    After::CallClosed => None,
                }
            }
            Err(ErrorCode::Busy | ErrorCode::Unavailable | ErrorCode::Cancelled) => Some(JOIN_AGAIN),
            // A room whose browsers send to each other has nothing for it; its other outputs have.
            Err(_) => None,
        };
        let again = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        // Cancel-safe: a watch, a sleep and a cancellation.
        tokio::select! {
            changed = latest.changed() => if changed.is_err() { return },
            () = again => {}
            () = stop.cancelled() => return,
        }
    }
}

enum After {
    StreamOver,
    AnotherStream,
    /// A moderator has removed it.
    Removed,
    /// The room is gone, or the server.
    CallClosed,
}

async fn follow_one(
    publisher: &mut Publisher,
    ingest: &FedIngest,
    latest: &mut watch::Receiver<Option<FedIngest>>,
    stop: &tokio_util::sync::CancellationToken,
) -> After {
    loop {
        // Cancel-safe: `over` says so itself, a watch and a cancellation.
        tokio::select! {
            reason = publisher.over() => {
                return if reason == LeaveReason::Removed { After::Removed } else { After::CallClosed };
            }
            changed = latest.changed() => {
                if changed.is_err() {
                    return After::StreamOver;
                }
            }
            () = stop.cancelled() => return After::CallClosed,
        }
        let now = latest.borrow_and_update().clone();
        match now {
            None => return After::StreamOver,
            Some(now) if now.participant != ingest.participant => return After::AnotherStream,
            Some(now) => publisher.feed(now.video, now.audio).await,
        }
    }
}

//! The topics of this node: one task owns every topic's core and hands each event to the connections that asked for it.
//!
//! In: subscriptions that connections have been granted, changes of rooms. Out: a snapshot for each subscription, then
//! deliveries into bounded mailboxes. It knows no rights: who asks here may see what it asks for.

mod actor;
mod list;
mod room;

use std::sync::Arc;
use std::time::Duration;

use telstar_signaling::wire::ErrorCode;
use telstar_signaling::{Audience, Event, Snapshot, TopicName};
use telstar_store::Store;
use telstar_units::AccountId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::rooms::{RoomEntry, Rooms};
use crate::tasks::Tasks;

/// Subscriptions that wait for the topics' task; beyond it connections wait.
const MAILBOX_MAX: usize = 1_024;
/// Deliveries that wait for one connection's task. It never waits for its socket, so a full mailbox means that the
/// machine is overloaded: the connection is closed with 4408. More costs memory only while it is needed.
pub(super) const DELIVERIES_MAX: usize = 256;
/// How long a subscription may wait for its answer before the client is told to try again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What reaches a connection on its own.
pub(super) enum Delivery {
    /// An event of a topic.
    Event(Event),
    /// The topic's life of this epoch is over.
    Ended(TopicName, u64),
    /// A topic is not open any more: ask again who may see it.
    RightsChanged,
}

/// One connection, as the topics know it. Equal ids are the same connection.
#[derive(Clone)]
pub(super) struct Subscriber {
    id: u64,
    mailbox: mpsc::Sender<Delivery>,
    overflow: CancellationToken,
}

impl Subscriber {
    /// A connection with its mailbox, and the token that is cancelled when the mailbox overflows.
    pub(super) fn new(id: u64, mailbox: mpsc::Sender<Delivery>, overflow: CancellationToken) -> Subscriber {
        Subscriber { id, mailbox, overflow }
    }

    /// Hands over; false when the connection is gone or now has to go.
    fn deliver(&self, delivery: Delivery) -> bool {
        match self.mailbox.try_send(delivery) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.overflow.cancel();
                false
            }
        }
    }
}

/// A topic and the view of it that was granted.
#[derive(Clone)]
pub(super) enum Grant {
    /// One room.
    Room(Arc<RoomEntry>, Audience),
    /// The rooms of an account.
    Rooms(AccountId),
}

impl Grant {
    /// Which topic that is on this node.
    pub(super) fn key(&self) -> TopicKey {
        match self {
            Grant::Room(entry, _) => TopicKey::Room(entry.facts().name.clone()),
            Grant::Rooms(account) => TopicKey::Rooms(*account),
        }
    }
}

/// A topic, as this node tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum TopicKey {
    /// One room.
    Room(telstar_units::RoomName),
    /// The rooms of an account.
    Rooms(AccountId),
}

type SnapshotAnswer = oneshot::Sender<Result<Snapshot, ErrorCode>>;

/// The way to the topics' task. Cheap to clone.
#[derive(Clone)]
pub(super) struct Topics {
    mailbox: mpsc::Sender<actor::Message>,
}

impl Topics {
    /// Starts the topics' task.
    pub(super) fn start(rooms: Rooms, store: Arc<dyn Store>, tasks: &Tasks) -> Topics {
        let (mailbox, inbox) = mpsc::channel(MAILBOX_MAX);
        let actor = actor::Actor::new(rooms, store, tasks.clone(), mailbox.downgrade());
        tasks.spawn("topics", actor.run(inbox));
        Topics { mailbox }
    }

    /// Subscribes, or changes the view of a topic that is subscribed to. Every event after the answer's position is delivered.
    pub(super) async fn subscribe(&self, subscriber: Subscriber, grant: Grant) -> Result<Snapshot, ErrorCode> {
        let (answer, decided) = oneshot::channel();
        let message = actor::Message::Subscribe { subscriber, grant, answer };
        let asked = async {
            self.mailbox.send(message).await.map_err(|_| ErrorCode::Unavailable)?;
            decided.await.unwrap_or(Err(ErrorCode::Unavailable))
        };
        tokio::time::timeout(ANSWER_TIMEOUT, asked).await.unwrap_or(Err(ErrorCode::Unavailable))
    }

    /// Ends one subscription.
    pub(super) async fn unsubscribe(&self, subscriber: &Subscriber, topic: TopicKey) {
        // The task ends only in the shutdown; then there is nothing to end.
        let _ = self.mailbox.send(actor::Message::Unsubscribe { id: subscriber.id, topic }).await;
    }

    /// Ends every subscription of a connection. Never waits: what is not told now is noticed at the next event.
    pub(super) fn forget(&self, subscriber: &Subscriber, topics: Vec<TopicKey>) {
        for topic in topics {
            let _ = self.mailbox.try_send(actor::Message::Unsubscribe { id: subscriber.id, topic });
        }
    }
}

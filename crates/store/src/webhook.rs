//! Webhooks and the durable queue of what they are told.
//!
//! An event becomes one delivery for each webhook that wants it, in one transaction. A delivery is taken with a lease and
//! an attempt number; only the attempt that holds the newest number can end it. So a crash loses none, and what it left
//! half done is tried again.

use telstar_units::{AccountId, WallTime};

use crate::{DeliveryId, WebhookId};

/// A webhook to be made.
pub struct NewWebhook {
    /// Where it is told.
    pub url: String,
    /// The kinds of events it wants, in their stable words.
    pub events: Vec<String>,
    /// The name under which its secret was sealed.
    pub secret_id: String,
    /// The secret that signs, sealed by the caller: the store cannot read it.
    pub sealed_secret: Vec<u8>,
}

/// A webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its public number.
    pub id: WebhookId,
    /// Whose rooms it hears of.
    pub owner: AccountId,
    /// Where it is told.
    pub url: String,
    /// The kinds of events it wants.
    pub events: Vec<String>,
    /// The name under which its secret was sealed.
    pub secret_id: String,
    /// The secret that signs, sealed.
    pub sealed_secret: Vec<u8>,
    /// When it was made.
    pub created_at: WallTime,
}

/// An event on its way to whoever wants it.
#[derive(Clone)]
pub struct NewDelivery {
    /// Whose room it happened in.
    pub owner: AccountId,
    /// The event's own name, the same at every attempt.
    pub message: String,
    /// Its kind, in its stable word.
    pub event: String,
    /// What is sent.
    pub body: String,
}

/// Where a delivery is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// It waits for its next attempt, or one is under way.
    Pending,
    /// The endpoint took it.
    Delivered,
    /// It was given up.
    Failed,
}

/// One event's way to one webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub id: DeliveryId,
    /// Where it goes.
    pub webhook: WebhookId,
    /// The event's own name.
    pub message: String,
    /// Its kind.
    pub event: String,
    /// What is sent.
    pub body: String,
    /// Where it is.
    pub state: DeliveryState,
    /// Attempts that have begun.
    pub attempts: u32,
    /// When the next attempt is due, while it is pending.
    pub next_at: WallTime,
    /// What the latest attempt came to, in words.
    pub outcome: String,
    /// When the event happened.
    pub created_at: WallTime,
    /// When it was delivered or given up.
    pub finished_at: Option<WallTime>,
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The endpoint took it.
    Delivered(String),
    /// Try again then.
    Retry(WallTime, String),
    /// Given up.
    Failed(String),
}

/// The next thing to do for one webhook.
#[derive(Clone, PartialEq, Eq)]
pub enum NextDelivery {
    /// Try this one now. Its attempts include this one.
    Due(Box<Delivery>),
    /// Nothing before then.
    At(WallTime),
    /// Nothing waits.
    Nothing,
}

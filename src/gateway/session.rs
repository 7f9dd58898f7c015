//! One connection: its socket, its core, its topics, its caller.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use axum::extract::ws::{Message, WebSocket};
use telstar_signaling::wire::ErrorCode;
use telstar_signaling::{Answer, Connection, Effect, Limits, Principal, Token, TopicName};
use telstar_units::WallTime;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::pump::{Incoming, Pump};
use super::rights;
use super::topics::{DELIVERIES_MAX, Delivery, Grant, Subscriber, TopicKey};
use super::ws::Gateway;
use crate::api::error::Code;
use crate::auth::{Caller, Credential, Holder, Revocation, Secret, Standing};
use crate::client::Client;
use crate::door::authenticate;
use crate::rooms::{ViewerGuard, ViewerKey};

/// How long the store may take over one question of a client before it is told to try again.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection's task.
pub(super) struct Session {
    gateway: Gateway,
    core: Connection,
    caller: Caller,
    client: Client,
    viewer: ViewerKey,
    revocations: broadcast::Receiver<Revocation>,
    subscriber: Subscriber,
    deliveries: mpsc::Receiver<Delivery>,
    overflow: CancellationToken,
    held: BTreeMap<TopicName, Held>,
}

/// A subscription as the topics and the viewers' count know it.
struct Held {
    key: TopicKey,
    /// Counts this connection as a viewer of the room.
    _viewer: Option<ViewerGuard>,
}

impl Session {
    /// A connection of `caller`. Equal `id`s would be the same connection.
    ///
    /// `revocations` must have been subscribed to before the caller's credential was looked at, so that none is missed.
    pub(super) fn new(
        gateway: Gateway,
        id: u64,
        caller: Caller,
        client: Client,
        viewer: ViewerKey,
        revocations: broadcast::Receiver<Revocation>,
    ) -> Session {
        let (mailbox, deliveries) = mpsc::channel(DELIVERIES_MAX);
        let overflow = CancellationToken::new();
        let subscriber = Subscriber::new(id, mailbox, overflow.clone());
        let now = Instant::now();
        let mut core = Connection::new(Limits::default(), now);
        if !caller.is_anonymous() {
            core.handle_principal(now, Ok(principal(&gateway, &caller)));
        }
        let held = BTreeMap::new();
        Session { gateway, core, caller, client, viewer, revocations, subscriber, deliveries, overflow, held }
    }

    /// There is no place for this connection: it is told so and closed.
    pub(super) fn refuse(&mut self) {
        self.core.handle_refused(Instant::now());
    }

    /// Runs until the socket is closed.
    pub(super) async fn run(mut self, socket: WebSocket) {
        let mut pump = Pump::new(socket);
        let stopping = self.gateway.state.tasks.stopping();
        tokio::pin!(stopping);
        while !self.core.is_finished() {
            let timeout = wait_until(self.core.poll_timeout());
            let open = self.core.is_open();
            // Every branch is cancel-safe: `Pump::next` says so itself, the others are channel receives, a sleep and cancellations.
            tokio::select! {
                incoming = pump.next(&mut self.core) => match incoming {
                    Incoming::Message(message) => self.handle_message(&message),
                    Incoming::Broken { oversize: true } => self.core.handle_oversize(Instant::now()),
                    Incoming::Broken { oversize: false } => self.core.handle_violation(Instant::now()),
                    Incoming::Gone => break,
                },
                Some(delivery) = self.deliveries.recv(), if open => self.handle_delivery(&delivery),
                revocation = self.revocations.recv(), if open => self.handle_revocation(revocation),
                () = timeout => self.core.handle_timeout(Instant::now()),
                () = self.overflow.cancelled(), if open => self.core.handle_overflow(Instant::now()),
                () = &mut stopping, if open => self.core.handle_shutdown(Instant::now()),
            }
            self.gateway.state.metrics.ws_sent_messages.add(pump.take_sent());
            if !self.core.is_open() {
                self.release();
            }
            while let Some(effect) = self.core.poll_effect() {
                self.carry_out(effect).await;
            }
        }
    }

    fn handle_message(&mut self, message: &Message) {
        let now = Instant::now();
        match message {
            Message::Text(text) => {
                self.gateway.state.metrics.ws_received_messages.add(1);
                self.core.handle_text(now, text);
            }
            Message::Binary(_) => self.core.handle_binary(now),
            Message::Ping(_) | Message::Pong(_) => self.core.handle_control(now),
            // The pump reads on until the socket layer has answered it.
            Message::Close(_) => {}
        }
    }

    fn handle_delivery(&mut self, delivery: &Delivery) {
        let now = Instant::now();
        match delivery {
            Delivery::Event(event) => self.core.handle_event(now, event),
            Delivery::Ended(topic, epoch) => {
                self.core.handle_ended(now, topic, *epoch);
                if !self.core.is_subscribed(topic) {
                    self.held.remove(topic);
                }
            }
            Delivery::RightsChanged => self.core.handle_rights_changed(),
        }
    }

    /// The credential that this connection relies on may be among those that were taken back.
    fn handle_revocation(&mut self, revocation: Result<Revocation, RecvError>) {
        let now = Instant::now();
        match revocation {
            Ok(revocation) if relies_on(&self.caller, &revocation) => self.core.handle_revoked(now),
            Ok(_) => {}
            // Some were missed: whoever has a credential comes back with it and is judged anew.
            Err(RecvError::Lagged(_)) if !self.caller.is_anonymous() => self.core.handle_overflow(now),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => self.core.handle_shutdown(now),
        }
    }

    async fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Authenticate { token } => {
                let outcome = self.authenticate(token).await;
                self.core.handle_principal(Instant::now(), outcome);
            }
            Effect::Subscribe { ticket, topic, watch } => {
                let answer = self.subscribe(&topic, watch).await;
                if answer.is_err() {
                    self.unsubscribe(&topic).await;
                }
                self.core.handle_answer(Instant::now(), &topic, ticket, answer);
            }
            Effect::Unsubscribe { topic } => self.unsubscribe(&topic).await,
        }
    }

    async fn authenticate(&mut self, token: Token) -> Result<Principal, ErrorCode> {
        let credential = Credential::Bearer(Secret::new(token.0));
        match in_time(authenticate(&self.gateway.state, &self.client, credential)).await? {
            Ok(caller) => {
                self.caller = caller;
                Ok(principal(&self.gateway, &self.caller))
            }
            Err(problem) => Err(match problem.code() {
                Code::Unauthorised => ErrorCode::Unauthorised,
                Code::TooManyRequests => ErrorCode::RateLimited,
                _ => ErrorCode::Unavailable,
            }),
        }
    }

    async fn subscribe(&mut self, topic: &TopicName, watch: bool) -> Answer {
        let rooms = &self.gateway.state.rooms;
        let grant = in_time(rights::grant(&self.caller, topic, rooms)).await??;
        let viewer = match &grant {
            Grant::Room(entry, _) if watch => Some(entry.viewer(self.viewer)),
            Grant::Room(..) | Grant::Rooms(_) => None,
        };
        let key = grant.key();
        let earlier = self.held.insert(topic.clone(), Held { key: key.clone(), _viewer: viewer });
        // Another principal's `rooms` is another topic.
        if let Some(earlier) = earlier.filter(|earlier| earlier.key != key) {
            self.gateway.topics.unsubscribe(&self.subscriber, earlier.key).await;
        }
        self.gateway.topics.subscribe(self.subscriber.clone(), grant).await
    }

    async fn unsubscribe(&mut self, topic: &TopicName) {
        if let Some(held) = self.held.remove(topic) {
            self.gateway.topics.unsubscribe(&self.subscriber, held.key).await;
        }
    }

    /// Lets go of every topic, and is no viewer any more.
    fn release(&mut self) {
        let keys = std::mem::take(&mut self.held).into_values().map(|held| held.key).collect();
        self.gateway.topics.forget(&self.subscriber, keys);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.release();
    }
}

/// Who the caller is, for the core.
fn principal(gateway: &Gateway, caller: &Caller) -> Principal {
    let subject = caller.principal.as_ref().map(|principal| principal.subject.clone());
    // A playback token names nobody: its subject is only the token's own name.
    let is_pass = matches!(&caller.standing, Standing::Token(pass) if pass.holder == Holder::Anybody);
    let left = |end: WallTime| u64::try_from(end.0.saturating_sub(gateway.state.authority.now().0)).unwrap_or(0);
    Principal {
        identity: subject.filter(|_| !is_pass),
        expires_at: caller.expires_at.map(|end| Instant::now() + Duration::from_micros(left(end))),
    }
}

fn relies_on(caller: &Caller, revocation: &Revocation) -> bool {
    match (revocation, &caller.standing) {
        (Revocation::Session(gone), Standing::Session(session, ..)) => gone == session,
        (Revocation::StreamKey(gone), Standing::StreamKey(pass)) => *gone == pass.key,
        (Revocation::Token { issuer, jti }, Standing::Token(pass)) => {
            pass.jti == *jti && caller.principal.as_ref().is_some_and(|principal| principal.issuer == *issuer)
        }
        (Revocation::ApiKey(gone), Standing::Token(_)) => {
            caller.principal.as_ref().is_some_and(|principal| principal.issuer == *gone)
        }
        (Revocation::Session(_) | Revocation::StreamKey(_) | Revocation::ApiKey(_) | Revocation::Token { .. }, _) => {
            false
        }
    }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, ErrorCode> {
    tokio::time::timeout(STORE_TIMEOUT, work).await.map_err(|_| ErrorCode::Unavailable)
}

//! One connection: its socket, its core, its topics, its call, its caller.
//!
//! A connection that is in a call outlives its socket for a while: its task goes on without one, and takes over the next
//! that shows its session.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use axum::extract::ws::Message;
use telstar_signaling::call::{ConnectionId, Joining};
use telstar_signaling::wire::call::LeaveReason;
use telstar_signaling::wire::{CallRequest, ErrorCode, Join, Secret as SessionSecret};
use telstar_signaling::{Answer, Connection, Effect, Limits, Principal, Ticket, Token, TopicName};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::holder::{introduction, principal};
use super::line::Line;
use super::pump::Incoming;
use super::rights;
use super::sessions::HandOver;
use super::topics::{DELIVERIES_MAX, Delivery, Grant, Subscriber, TopicKey};
use super::ws::Gateway;
use crate::api::error::Code;
use crate::auth::{Caller, Credential, Revocation, Secret, random_text};
use crate::calls::{self, CallHandle, Mailbox, Newcomer};
use crate::client::Client;
use crate::data::wall_now;
use crate::door::authenticate;
use crate::rooms::{ViewerGuard, ViewerKey, ViewerKind};

/// How long the store may take over one question of a client before it is told to try again.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// Characters of a session's id and of its secret: 130 bits each.
const SESSION_CHARACTERS: usize = 26;
/// New sockets that wait to be taken over by one connection. A client has one.
const HAND_OVERS_MAX: usize = 2;

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
    connection: ConnectionId,
    /// The call that it is in, or was in last.
    call: Option<CallHandle>,
    call_mailbox: Mailbox,
    call_deliveries: mpsc::Receiver<calls::Delivery>,
    hand_overs: (mpsc::Sender<HandOver>, mpsc::Receiver<HandOver>),
    /// The name under which it can be resumed.
    session: Option<String>,
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
        id: ConnectionId,
        caller: Caller,
        client: Client,
        viewer: ViewerKey,
        revocations: broadcast::Receiver<Revocation>,
    ) -> Session {
        let (mailbox, deliveries) = mpsc::channel(DELIVERIES_MAX);
        let overflow = CancellationToken::new();
        let subscriber = Subscriber::new(id.0, mailbox, overflow.clone());
        let now = Instant::now();
        let mut core = Connection::new(Limits::default(), now);
        if !caller.is_anonymous() {
            core.handle_principal(now, Ok(principal(&gateway, &caller)));
        }
        let (call_deliveries, call_inbox) = mpsc::channel(calls::DELIVERIES_MAX);
        Session {
            gateway,
            core,
            caller,
            client,
            viewer,
            revocations,
            subscriber,
            deliveries,
            held: BTreeMap::new(),
            connection: id,
            call: None,
            call_mailbox: Mailbox::new(call_deliveries, overflow.clone()),
            overflow,
            call_deliveries: call_inbox,
            hand_overs: mpsc::channel(HAND_OVERS_MAX),
            session: None,
        }
    }

    /// There is no place for this connection: it is told so and closed.
    pub(super) fn refuse(&mut self) {
        self.core.handle_refused(Instant::now());
    }

    /// Runs until the connection is over: its socket is closed, or lost and not replaced in time.
    pub(super) async fn run(mut self, line: Line) {
        let mut line = Some(line);
        let stopping = self.gateway.state.tasks.stopping();
        tokio::pin!(stopping);
        while !self.core.is_finished() {
            if self.core.is_detached() {
                line = None;
            }
            let timeout = wait_until(self.core.poll_timeout());
            let (open, lives) = (self.core.is_open(), self.core.is_open() || self.core.is_detached());
            let incoming = async {
                match &mut line {
                    Some(line) => line.pump.next(&mut self.core).await,
                    None => std::future::pending().await,
                }
            };
            // Every branch is cancel-safe: `Pump::next` says so itself, the others are channel receives, a sleep and cancellations.
            tokio::select! {
                incoming = incoming => match incoming {
                    Incoming::Message(message) => self.handle_message(&message),
                    Incoming::Broken { oversize: true } => self.core.handle_oversize(Instant::now()),
                    Incoming::Broken { oversize: false } => self.core.handle_violation(Instant::now()),
                    Incoming::Gone => {
                        self.core.handle_socket_lost(Instant::now());
                        line = None;
                    }
                },
                Some(delivery) = self.deliveries.recv(), if open => self.handle_delivery(&delivery),
                Some(delivery) = self.call_deliveries.recv(), if lives => self.handle_call(delivery),
                Some(over) = self.hand_overs.1.recv(), if lives => self.take_over(&mut line, over),
                revocation = self.revocations.recv(), if lives => self.handle_revocation(revocation),
                () = timeout => self.core.handle_timeout(Instant::now()),
                () = self.overflow.cancelled(), if lives => self.core.handle_overflow(Instant::now()),
                () = &mut stopping, if lives => self.core.handle_shutdown(Instant::now()),
            }
            let sent = line.as_mut().map_or(0, |line| line.pump.take_sent());
            self.gateway.state.metrics.ws_sent_messages.add(sent);
            if !self.core.is_open() {
                self.release();
                // Who comes back to a connection that is closing is answered at once that it is gone.
                self.forget_session();
            }
            while let Some(effect) = self.core.poll_effect() {
                self.carry_out(effect, &mut line).await;
            }
            if line.is_none() && !self.core.is_detached() {
                return;
            }
        }
    }

    /// The client is back on another socket.
    fn take_over(&mut self, line: &mut Option<Line>, over: HandOver) {
        let HandOver { line: new, resume, refused } = over;
        let resumed = match random_secret() {
            Some(next) => self.core.handle_resumed(Instant::now(), &resume, next).is_ok(),
            None => false,
        };
        if !resumed {
            // Nobody waits for it any more: then it closes here.
            let _ = refused.send(new);
            return;
        }
        if let Some(old) = line.replace(new) {
            self.gateway.state.tasks.spawn("websocket-replaced", old.close_replaced());
        }
    }

    fn handle_call(&mut self, delivery: calls::Delivery) {
        let now = Instant::now();
        match delivery {
            calls::Delivery::Reply(ticket, reply) => {
                self.core.handle_call_reply(now, ticket, reply);
                if self.session.is_none()
                    && let Some(id) = self.core.session_id()
                {
                    self.session = Some(id.to_owned());
                    self.gateway.sessions.insert(id.to_owned(), self.hand_overs.0.clone());
                }
            }
            calls::Delivery::Event(event) => self.core.handle_call_event(now, &event),
            // For those who hear no events.
            calls::Delivery::Over(_) => {}
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
            Message::Ping(_) => self.core.handle_control(now),
            Message::Pong(payload) => self.core.handle_pong(now, payload),
            // The pump reads on until the socket layer has answered it.
            Message::Close(frame) => self.core.handle_peer_close(frame.as_ref().map(|frame| frame.code)),
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
        // What its call has told it comes first: somebody who was removed hears so before the denied token ends the socket.
        while let Ok(delivery) = self.call_deliveries.try_recv() {
            self.handle_call(delivery);
        }
        let now = Instant::now();
        match revocation {
            Ok(revocation) if self.caller.relies_on(&revocation) => self.core.handle_revoked(now),
            Ok(_) => {}
            // Some were missed: whoever has a credential comes back with it and is judged anew.
            Err(RecvError::Lagged(_)) if !self.caller.is_anonymous() => self.core.handle_overflow(now),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => self.core.handle_shutdown(now),
        }
    }

    async fn carry_out(&mut self, effect: Effect, line: &mut Option<Line>) {
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
            Effect::Call { ticket, request: CallRequest::Join(join) } => {
                if let Err(code) = self.join(ticket, join).await {
                    self.core.handle_call_reply(Instant::now(), ticket, Err(code));
                }
            }
            Effect::Call { ticket, request } => {
                let taken = self.call.as_ref().is_some_and(|call| call.request(self.connection, ticket, request));
                if !taken {
                    self.core.handle_call_reply(Instant::now(), ticket, Err(ErrorCode::Busy));
                }
            }
            Effect::CallPresence { away } => {
                if let Some(call) = &self.call {
                    call.presence(self.connection, away).await;
                }
            }
            Effect::CallEnded { reason } => self.leave_call(reason).await,
            Effect::Resume(resume) => {
                let Some(here) = line.take() else { return };
                if let Err(back) = self.gateway.sessions.hand_over(here, resume).await {
                    *line = Some(back);
                    self.core.handle_resume_refused(Instant::now());
                }
            }
        }
    }

    /// Asks the room's call to let this client in.
    async fn join(&mut self, ticket: Ticket, join: Join) -> Result<(), ErrorCode> {
        let rooms = &self.gateway.state.rooms;
        let (entry, grants) = in_time(rights::join(&self.caller, &join.room, rooms)).await??;
        let identity = self.caller.principal.as_ref().map(|principal| principal.subject.clone());
        let identity = identity.ok_or(ErrorCode::Forbidden)?;
        let (name, metadata) = introduction(&self.caller);
        let joining = Joining {
            identity,
            name: join.name.unwrap_or(name),
            metadata: join.metadata.unwrap_or(metadata),
            kind: join.kind.into(),
            grants,
            auto_subscribe: join.auto_subscribe,
            joined_at: wall_now(),
            ingest: None,
        };
        let (id, secret) = random_secret().zip(random_secret()).ok_or(ErrorCode::Unavailable)?;
        self.core.handle_session(id, secret, Vec::new());
        let newcomer = Newcomer {
            connection: self.connection,
            ticket,
            joining,
            mailbox: self.call_mailbox.clone(),
            token: self.caller.token(),
        };
        self.call = Some(self.gateway.state.calls.join(&entry, newcomer)?);
        Ok(())
    }

    async fn leave_call(&mut self, reason: LeaveReason) {
        self.forget_session();
        if let Some(call) = self.call.take() {
            call.gone(self.connection, reason).await;
        }
    }

    fn forget_session(&mut self) {
        if let Some(id) = self.session.take() {
            self.gateway.sessions.remove(&id);
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
            Grant::Room(entry, _) if watch => Some(entry.viewer(self.viewer, ViewerKind::Page)),
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
        self.forget_session();
        // The core has said so in every orderly end; this is for a task that was ended from outside.
        if let Some(call) = self.call.take() {
            call.lost(self.connection, &self.gateway.state.tasks);
        }
    }
}

fn random_secret() -> Option<SessionSecret> {
    SessionSecret::parse(random_text(SESSION_CHARACTERS).ok()?.to_string())
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

//! One call's task: its core, the ways to its members, and what its core decides, carried out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use telstar_sfu as sfu;
use telstar_signaling::call::{
    Call, CallConfig, CallEffect, CallRoom, ConnectionId, Fact, MediaCommand, MediaEvent,
};
use telstar_signaling::wire::ErrorCode;
use telstar_signaling::wire::call::LeaveReason;
use telstar_units::RoomName;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{CallRefusal, Calls, Delivery, Mailbox, Message, Newcomer, Numbers, RoomFact, media};
use crate::auth::TokenName;
use crate::rooms::RoomEntry;
use crate::shards::RoomKey;

/// One call's task.
pub(super) struct CallTask {
    calls: Calls,
    core: Call,
    room: RoomKey,
    name: RoomName,
    numbers: Numbers,
    members: HashMap<ConnectionId, Member>,
    /// Where the media thread tells what happens; opened with the first command, because a p2p call has no media.
    sink: mpsc::Sender<sfu::Event>,
    media_is_open: bool,
    stop: CancellationToken,
}

struct Member {
    mailbox: Mailbox,
    token: Option<TokenName>,
}

impl CallTask {
    pub(super) fn new(
        calls: Calls,
        room: &Arc<RoomEntry>,
        config: CallConfig,
        call_room: CallRoom,
        epoch: u64,
        sink: mpsc::Sender<sfu::Event>,
    ) -> CallTask {
        let name = call_room.name.clone();
        let (numbers, stop) = (calls.inner.numbers.clone(), calls.inner.tasks.child_token());
        let core = Call::new(config, call_room, epoch, Instant::now());
        let members = HashMap::new();
        CallTask { calls, core, room: room.key(), name, numbers, members, sink, media_is_open: false, stop }
    }

    /// Runs until the last participant is gone.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Message>, mut media: mpsc::Receiver<sfu::Event>) {
        loop {
            let deadline = self.core.poll_timeout();
            let timeout = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            // Every branch is cancel-safe: channel receives, a sleep and a cancellation.
            tokio::select! {
                Some(message) = inbox.recv() => self.handle_message(message),
                Some(event) = media.recv() => self.handle_media(event),
                () = timeout => self.core.handle_timeout(Instant::now()),
                () = self.stop.cancelled() => self.core.handle_close(Instant::now(), LeaveReason::Shutdown),
            }
            self.apply();
            if self.core.is_empty() && self.leave(&inbox) {
                return;
            }
        }
    }

    /// Takes this call out of the list of calls, unless somebody is about to join it.
    fn leave(&self, inbox: &mpsc::Receiver<Message>) -> bool {
        let mut calls = self.calls.calls();
        let is_over = inbox.is_empty() || self.stop.is_cancelled();
        if is_over {
            calls.remove(&self.room);
            drop(calls);
            if self.media_is_open {
                self.command(sfu::Command::CloseRoom { room: media::room(self.room) });
            }
        }
        is_over
    }

    fn handle_message(&mut self, message: Message) {
        let now = Instant::now();
        match message {
            Message::Join(newcomer) => {
                let Newcomer { connection, ticket, joining, mailbox, token } = *newcomer;
                self.members.insert(connection, Member { mailbox, token });
                self.core.handle_join(now, &mut self.numbers, connection, ticket, joining);
            }
            Message::Request { connection, ticket, request } => {
                self.core.handle_request(now, &mut self.numbers, connection, ticket, *request);
            }
            Message::Presence { connection, away } => self.core.handle_presence(now, connection, away),
            Message::Gone { connection, reason } => {
                self.core.handle_gone(now, connection, reason);
                // What the others hear of it comes first; nobody reads here any more.
                self.apply();
                self.members.remove(&connection);
            }
            Message::List { answer } => {
                let _ = answer.send(Ok(self.core.participants()));
            }
            Message::Update { participant, change, answer } => {
                let done = self.core.admin_update(now, &mut self.numbers, participant, change);
                let _ = answer.send(done.map_err(refusal));
            }
            Message::Remove { participant, answer } => {
                let _ = answer.send(self.core.admin_remove(now, participant).map_err(refusal));
            }
            Message::Mute { participant, track, answer } => {
                let _ = answer.send(self.core.admin_mute(now, participant, track).map_err(refusal));
            }
            Message::Send { to, label, data, answer } => {
                let _ = answer.send(self.core.admin_send(now, to, label, data).map_err(refusal));
            }
            Message::Close { reason } => self.core.handle_close(now, reason),
        }
    }

    fn handle_media(&mut self, event: sfu::Event) {
        if let Some(event) = media::event(event) {
            self.core.handle_media(Instant::now(), event);
        }
    }

    fn apply(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                CallEffect::Reply { connection, ticket, reply } => self.tell(connection, Delivery::Reply(ticket, reply)),
                CallEffect::Event { to, event } => {
                    for connection in to.iter() {
                        self.tell(*connection, Delivery::Event(event.clone()));
                    }
                }
                CallEffect::Media(command) => self.carry_out(command),
                CallEffect::Fact(fact) => self.note(fact),
                CallEffect::Removed { connection } => self.deny(connection),
            }
        }
    }

    fn tell(&self, connection: ConnectionId, delivery: Delivery) {
        if let Some(member) = self.members.get(&connection) {
            member.mailbox.deliver(delivery);
        }
    }

    /// What a media thread cannot take now has failed: the client is told, and may try again.
    fn carry_out(&mut self, command: MediaCommand) {
        if !self.media_is_open {
            self.media_is_open = self.calls.inner.shards.open_call(self.room, self.sink.clone());
        }
        let failure = media::failure(&command);
        let is_taken = self.media_is_open && self.command(media::command(self.room, command));
        if let (false, Some(failure)) = (is_taken, failure) {
            self.core.handle_media(Instant::now(), failure);
        }
    }

    fn command(&self, command: sfu::Command) -> bool {
        self.calls.inner.shards.call(self.room, command)
    }

    fn note(&self, fact: Fact) {
        let fact = RoomFact { room: self.name.clone(), fact };
        if self.calls.inner.facts.try_send(fact).is_err() {
            tracing::warn!(room = %self.name, "a fact was lost: the webhooks are too far behind");
        }
    }

    /// A moderator removed it: its token opens nothing any more.
    fn deny(&self, connection: ConnectionId) {
        let token = self.members.get(&connection).and_then(|member| member.token.clone());
        if let Some(token) = token
            && self.calls.inner.denials.try_send(token).is_err()
        {
            tracing::warn!(room = %self.name, "a removed participant's token could not be denied");
        }
    }
}

fn refusal(code: ErrorCode) -> CallRefusal {
    match code {
        ErrorCode::NotFound => CallRefusal::NotFound,
        code => CallRefusal::Refused(code),
    }
}


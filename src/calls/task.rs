//! One call's task: its core, the ways to its members, and what its core decides, carried out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use telstar_sfu as sfu;
use telstar_signaling::call::{
    Call, CallConfig, CallEffect, CallReply, CallRoom, ConnectionId, Fact, MediaCommand,
};
use telstar_signaling::Ticket;
use telstar_signaling::wire::ErrorCode;
use telstar_signaling::wire::call::LeaveReason;
use telstar_units::{ParticipantId, RoomName};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{CallRefusal, Calls, Delivery, Mailbox, Message, Newcomer, Numbers, RoomFact, media};
use crate::auth::{Caller, RoomFacts};
use crate::rooms::RoomEntry;

/// One call's task.
pub(super) struct CallTask {
    calls: Calls,
    core: Call,
    entry: Arc<RoomEntry>,
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
    caller: Caller,
    /// Who it is in the call; `None` before the call has let it in.
    participant: Option<ParticipantId>,
    /// It is in the call no more.
    has_left: bool,
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
        CallTask { calls, core, entry: Arc::clone(room), name, numbers, members, sink, media_is_open: false, stop }
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
            calls.remove(&self.entry.key());
            drop(calls);
            if self.media_is_open {
                self.command(sfu::Command::CloseRoom { room: media::room(self.entry.key()) });
            }
        }
        is_over
    }

    fn handle_message(&mut self, message: Message) {
        let now = Instant::now();
        match message {
            Message::Join(newcomer) => {
                let Newcomer { connection, ticket, joining, mailbox, caller } = *newcomer;
                self.members.insert(connection, Member { mailbox, caller, participant: None, has_left: false });
                self.core.handle_join(now, &mut self.numbers, connection, ticket, joining);
            }
            Message::Request { connection, ticket, request } => {
                self.core.handle_request(now, &mut self.numbers, connection, ticket, *request);
            }
            Message::Presence { connection, away } => self.core.handle_presence(now, connection, away),
            Message::Gone { connection, reason } => self.core.handle_gone(now, connection, reason),
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
                CallEffect::Reply { connection, ticket, reply } => self.reply(connection, ticket, reply),
                CallEffect::Event { to, event } => {
                    for connection in to.iter() {
                        self.tell(*connection, Delivery::Event(event.clone()));
                    }
                }
                CallEffect::Media(command) => self.carry_out(command),
                CallEffect::Fact(fact) => self.note(fact),
            }
        }
        // Only now: what they were told last came with the rest.
        self.members.retain(|_, member| !member.has_left);
    }

    fn reply(&mut self, connection: ConnectionId, ticket: Ticket, reply: Result<CallReply, ErrorCode>) {
        if let Some(member) = self.members.get_mut(&connection) {
            match &reply {
                Ok(CallReply::Joined { participant, .. }) => member.participant = Some(*participant),
                Err(_) if member.participant.is_none() => member.has_left = true,
                _ => {}
            }
            member.mailbox.deliver(Delivery::Reply(ticket, reply));
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
            self.media_is_open = self.calls.inner.shards.open_call(self.entry.key(), self.sink.clone());
        }
        let failure = media::failure(&command);
        let is_taken = self.media_is_open && self.command(media::command(self.entry.key(), command));
        if let (false, Some(failure)) = (is_taken, failure) {
            self.core.handle_media(Instant::now(), failure);
        }
    }

    fn command(&self, command: sfu::Command) -> bool {
        self.calls.inner.shards.call(self.entry.key(), command)
    }

    fn note(&mut self, fact: Fact) {
        if let Fact::Left { participant, reason } = &fact {
            self.left(participant.info.id.0, *reason);
        }
        let fact = RoomFact { room: self.name.clone(), fact };
        if self.calls.inner.facts.try_send(fact).is_err() {
            tracing::warn!(room = %self.name, "a fact was lost: the webhooks are too far behind");
        }
    }

    fn left(&mut self, participant: ParticipantId, reason: LeaveReason) {
        let of = |member: &&mut Member| member.participant == Some(participant);
        let Some(member) = self.members.values_mut().find(of) else { return };
        member.has_left = true;
        if reason == LeaveReason::Removed {
            // Its token opens nothing any more.
            let (authority, caller) = (Arc::clone(&self.calls.inner.authority), member.caller.clone());
            let room = RoomFacts::from(&*self.entry.facts());
            self.calls.inner.tasks.spawn("deny", async move {
                if let Err(error) = authority.deny(&caller, &room).await {
                    tracing::error!(%error, "a removed participant's token could not be denied");
                }
            });
        }
    }
}

fn refusal(code: ErrorCode) -> CallRefusal {
    match code {
        ErrorCode::NotFound => CallRefusal::NotFound,
        code => CallRefusal::Refused(code),
    }
}

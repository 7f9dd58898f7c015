//! One call's task: its core, the ways to its members, and what its core decides, carried out.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use telstar_sfu as sfu;
use telstar_signaling::Ticket;
use telstar_signaling::call::{Call, CallEffect, CallReply, ConnectionId, Fact, MediaCommand, MediaEvent, PeerNumber};
use telstar_signaling::wire::ErrorCode;
use telstar_signaling::wire::call::{LeaveReason, MediaFault, Mode};
use telstar_store::Subject;
use telstar_units::ParticipantId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{CallRefusal, Calls, Counts, DataMessage, Delivery, Mailbox, Message, Newcomer, Numbers, media};
use crate::auth::TokenName;
use crate::data::wall_now;
use crate::rooms::RoomEntry;
use crate::shards::CALL_EVENTS_MAX;
use crate::webhooks::{EventKind, WebhookEvent};

/// How long viewers are kept after a stream has ended for good: an encoder that took its place may be joining.
const STREAM_OVER_WAIT: Duration = Duration::from_secs(2);

/// One call's task.
pub(super) struct CallTask {
    calls: Calls,
    core: Call,
    entry: Arc<RoomEntry>,
    /// What the list of calls counts for this one.
    counts: Arc<Counts>,
    numbers: Numbers,
    members: HashMap<ConnectionId, Member>,
    /// What the media thread tells; `None` before the first command, because a p2p call has no media, and after the
    /// thread has given the call up.
    media: Option<mpsc::Receiver<sfu::Event>>,
    /// The connections that the media thread has.
    peers: BTreeSet<PeerNumber>,
    /// Until when viewers wait for an ingest that has gone.
    viewers_until: Option<Instant>,
    stop: CancellationToken,
}

/// Whoever is in the call or watches it.
struct Member {
    mailbox: Mailbox,
    token: Option<TokenName>,
    /// Who it is in the call; `None` before the call has let it in.
    participant: Option<ParticipantId>,
    /// The call has let it in, or lets it watch.
    is_in: bool,
    /// It is in the call no more.
    has_left: bool,
}

impl CallTask {
    pub(super) fn new(calls: Calls, room: &Arc<RoomEntry>, core: Call, counts: Arc<Counts>) -> CallTask {
        let (numbers, stop) = (calls.inner.numbers.clone(), calls.inner.tasks.child_token());
        let (entry, members, peers) = (Arc::clone(room), HashMap::new(), BTreeSet::new());
        let (media, viewers_until) = (None, None);
        CallTask { calls, core, entry, counts, numbers, members, media, peers, viewers_until, stop }
    }

    /// Runs until the last participant is gone.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        loop {
            let deadline = self.core.poll_timeout().into_iter().chain(self.viewers_until).min();
            let timeout = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            let told = async {
                match &mut self.media {
                    Some(media) => media.recv().await,
                    None => std::future::pending().await,
                }
            };
            // Every branch is cancel-safe: channel receives, a sleep and a cancellation.
            tokio::select! {
                Some(message) = inbox.recv() => self.handle_message(message),
                event = told => self.handle_media(event),
                () = timeout => self.handle_timeout(),
                () = self.stop.cancelled() => self.core.handle_close(LeaveReason::Shutdown),
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
            if self.media.is_some() {
                self.command(sfu::Command::CloseRoom { room: media::room(self.entry.key()) });
            }
        }
        is_over
    }

    fn handle_timeout(&mut self) {
        let now = Instant::now();
        self.core.handle_timeout(now);
        if self.viewers_until.is_some_and(|until| until <= now) {
            self.core.end_viewers(LeaveReason::Timeout);
        }
    }

    fn handle_message(&mut self, message: Message) {
        match message {
            Message::Join(newcomer) => {
                let Newcomer { connection, ticket, joining, mailbox, token } = *newcomer;
                self.members.insert(connection, Member::new(mailbox, token));
                self.core.handle_join(Instant::now(), &mut self.numbers, connection, ticket, joining);
            }
            Message::Request { connection, ticket, request } => {
                self.core.handle_request(Instant::now(), &mut self.numbers, connection, ticket, *request);
            }
            Message::Presence { connection, away } => self.core.handle_presence(connection, away),
            Message::Gone { connection, reason } => self.core.handle_gone(connection, reason),
            Message::Close { reason } => self.core.handle_close(reason),
            Message::Fed { connection, video, audio } => {
                self.core.handle_fed(&mut self.numbers, connection, video, audio);
            }
            Message::StreamOver if self.core.viewers_wait() => {
                self.viewers_until = Some(Instant::now() + STREAM_OVER_WAIT);
            }
            Message::StreamOver => {}
            Message::MixBegun => self.core.handle_mix_begun(),
            Message::View { connection, ticket, sdp, mailbox } => {
                if let Some(mailbox) = mailbox {
                    self.members.insert(connection, Member::new(mailbox, None));
                }
                self.core.handle_view(Instant::now(), &mut self.numbers, connection, ticket, sdp);
            }
            Message::ViewerCandidate { connection, candidate } => {
                self.core.handle_viewer_candidate(connection, candidate);
            }
            Message::ViewerGone { connection } => {
                self.core.handle_viewer_gone(connection);
                self.members.remove(&connection);
            }
            moderation => self.moderate(moderation),
        }
    }

    /// What comes over REST. Who asked may be gone before it is answered.
    fn moderate(&mut self, message: Message) {
        let nobody = |_: ErrorCode| CallRefusal::NoParticipant;
        match message {
            Message::List { answer } => drop(answer.send(Ok(self.core.participants()))),
            Message::Read { participant, answer } => {
                drop(answer.send(self.core.participant(participant).ok_or(CallRefusal::NoParticipant)));
            }
            Message::TokenOf { participant, answer } => {
                let member = self.members.values().find(|member| member.participant == Some(participant));
                drop(answer.send(member.map(|member| member.token.clone()).ok_or(CallRefusal::NoParticipant)));
            }
            Message::Update { participant, change, answer } => {
                let done = self.core.admin_update(&mut self.numbers, participant, change);
                drop(answer.send(done.map_err(nobody)));
            }
            Message::Remove { participant, answer } => {
                let removed = self.core.admin_remove(participant).map_err(nobody);
                // Told before it is answered: the asker then denies the token, which ends the socket.
                self.apply();
                let _ = answer.send(removed);
            }
            Message::Mute { participant, track, answer } => {
                let muted = self.core.admin_mute(participant, track);
                let now = self.core.participant(participant).ok_or(CallRefusal::NoParticipant);
                drop(answer.send(now.and_then(|now| muted.map(|_| now).map_err(|_| CallRefusal::NoTrack))));
            }
            Message::Send { message: DataMessage { to, label, data }, answer } => {
                let sent = self.core.admin_send(to.as_deref(), label.as_ref(), &data);
                let _ = answer.send(sent.map_err(nobody));
            }
            Message::Join(_)
            | Message::Request { .. }
            | Message::Presence { .. }
            | Message::Gone { .. }
            | Message::Close { .. }
            | Message::Fed { .. }
            | Message::StreamOver
            | Message::MixBegun
            | Message::View { .. }
            | Message::ViewerCandidate { .. }
            | Message::ViewerGone { .. } => {}
        }
    }

    /// The media thread tells something, or has given the call up: then every connection has failed, and the clients
    /// begin new ones.
    fn handle_media(&mut self, event: Option<sfu::Event>) {
        let now = Instant::now();
        match event {
            Some(event) => {
                if let sfu::Event::Failed { peer, .. } = &event {
                    self.peers.remove(&PeerNumber(peer.0));
                }
                media::event(event).into_iter().for_each(|event| self.core.handle_media(now, event));
            }
            None => {
                self.media = None;
                for peer in std::mem::take(&mut self.peers) {
                    self.core.handle_media(now, MediaEvent::Failed { peer, fault: MediaFault::Internal });
                }
                self.core.handle_media_lost(&mut self.numbers);
            }
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
                CallEffect::Over { connection, reason } => {
                    self.tell(connection, Delivery::Over(reason));
                    if let Some(member) = self.members.get_mut(&connection) {
                        // Told of a participant's end once more below, which needs to know who it was.
                        member.has_left = member.participant.is_none();
                    }
                }
                CallEffect::Media(command) => self.carry_out(command),
                CallEffect::Fact(fact) => self.note(fact),
            }
        }
        self.counts.participants.store(self.core.count(), Ordering::Relaxed);
        self.counts.viewers.store(self.core.viewer_count(), Ordering::Relaxed);
        let stage = self.core.stage();
        self.entry.note_call(self.entry.mode() == Mode::Sfu && stage.participants > 0);
        self.counts.stage.send_if_modified(|told| {
            let changed = *told != stage;
            *told = stage;
            changed
        });
        let wait = self.calls.inner.viewers.wait;
        self.viewers_until = match (self.core.viewers_wait(), self.viewers_until) {
            (true, until) => until.or_else(|| Some(Instant::now() + wait)),
            (false, _) => None,
        };
        // Only now: what they were told last came with the rest.
        self.members.retain(|_, member| !member.has_left);
    }

    fn reply(&mut self, connection: ConnectionId, ticket: Ticket, reply: Result<CallReply, ErrorCode>) {
        if let Some(member) = self.members.get_mut(&connection) {
            match &reply {
                Ok(CallReply::Joined { participant, .. }) => {
                    (member.participant, member.is_in) = (Some(*participant), true);
                }
                Ok(CallReply::Watching { .. }) => member.is_in = true,
                Err(_) if !member.is_in => member.has_left = true,
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
        match &command {
            MediaCommand::AddPeer { peer, .. } => drop(self.peers.insert(*peer)),
            MediaCommand::RemovePeer { peer } => drop(self.peers.remove(peer)),
            _ => {}
        }
        let failure = media::failure(&command);
        let key = self.entry.key();
        let is_taken = self.open_media()
            && match media::order(key, command) {
                media::Order::Sfu(command) => self.command(command),
                media::Order::Feed(feed) => {
                    self.calls.inner.shards.feed(key, feed);
                    true
                }
            };
        if let (false, Some(failure)) = (is_taken, failure) {
            self.core.handle_media(Instant::now(), failure);
        }
    }

    fn open_media(&mut self) -> bool {
        if self.media.is_none() {
            let (sink, media) = mpsc::channel(CALL_EVENTS_MAX);
            self.media = self.calls.inner.shards.open_call(self.entry.key(), sink).then_some(media);
        }
        self.media.is_some()
    }

    fn command(&self, command: sfu::Command) -> bool {
        self.calls.inner.shards.call(self.entry.key(), command)
    }

    fn note(&mut self, fact: Fact) {
        let (kind, data) = match fact {
            Fact::Started => (EventKind::RoomStarted, json!({})),
            Fact::Ended => (EventKind::RoomEnded, json!({})),
            Fact::Joined(participant) => (EventKind::ParticipantJoined, json!({ "participant": participant })),
            Fact::Left { participant, reason } => {
                self.left(participant.info.id.0, reason);
                (EventKind::ParticipantLeft, json!({ "participant": participant, "reason": reason }))
            }
            Fact::Published { participant, track } => {
                (EventKind::TrackPublished, json!({ "participant": participant, "track": track }))
            }
            Fact::Unpublished { participant, track } => {
                (EventKind::TrackUnpublished, json!({ "participant": participant, "track": track }))
            }
        };
        let data = if let Value::Object(data) = data { data } else { Map::new() };
        let facts = self.entry.facts();
        let (subject, owner, at) = (Subject::Room(facts.name.clone()), facts.owner, wall_now());
        self.calls.inner.webhooks.enqueue(WebhookEvent { kind, name: None, subject, owner, at, data });
    }

    fn left(&mut self, participant: ParticipantId, reason: LeaveReason) {
        let of = |member: &&mut Member| member.participant == Some(participant);
        let Some(member) = self.members.values_mut().find(of) else { return };
        member.has_left = true;
        // Removed by a moderator in the call: over REST its token was denied before.
        if let (LeaveReason::Removed, Some(token)) = (reason, member.token.clone()) {
            let (authority, owner) = (Arc::clone(&self.calls.inner.authority), self.entry.facts().owner);
            self.calls.inner.tasks.spawn("deny", async move {
                match authority.deny_from_now_on(&token, owner).await {
                    Ok(()) => authority.announce_denied(token),
                    Err(error) => tracing::error!(%error, "a removed participant's token could not be denied"),
                }
            });
        }
    }
}

impl Member {
    fn new(mailbox: Mailbox, token: Option<TokenName>) -> Member {
        Member { mailbox, token, participant: None, is_in: false, has_left: false }
    }
}

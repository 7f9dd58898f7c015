//! Ingests and viewers of calls: they speak no protocol of a call's own, so this asks for them and waits for the answer.
//!
//! In: offers, candidates. Out: answers, and why it is over. Dropping one ends it.

use std::sync::Arc;

use telstar_signaling::Ticket;
use telstar_signaling::call::{CallReply, ConnectionId, Joining};
use telstar_signaling::wire::call::{LeaveReason, MediaConnection};
use telstar_signaling::wire::{CallRequest, Candidate, CandidateFor, ErrorCode, Publish, PublishedTrack, Sdp};
use telstar_units::{ParticipantId, TrackId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{CallHandle, Calls, Delivery, Mailbox, Message, Newcomer};
use crate::auth::TokenName;
use crate::rooms::RoomEntry;
use crate::tasks::Tasks;

/// Replies that wait: one question is asked at a time, and the end is told once.
const DELIVERIES_MAX: usize = 4;

/// What comes back from a call for one ingest or viewer.
struct Line {
    connection: ConnectionId,
    last_ticket: u64,
    deliveries: mpsc::Receiver<Delivery>,
    over: Option<LeaveReason>,
}

impl Line {
    fn new(calls: &Calls) -> (Line, Mailbox) {
        let (sender, deliveries) = mpsc::channel(DELIVERIES_MAX);
        let line = Line { connection: calls.next_connection(), last_ticket: 0, deliveries, over: None };
        // It cannot overflow: see above.
        (line, Mailbox::new(sender, CancellationToken::new()))
    }

    fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// The answer to the last question.
    async fn reply(&mut self) -> Result<CallReply, ErrorCode> {
        loop {
            match self.deliveries.recv().await {
                Some(Delivery::Reply(ticket, reply)) if ticket == Ticket(self.last_ticket) => return reply,
                // To a question for whose answer nobody waited.
                Some(Delivery::Reply(..) | Delivery::Event(_)) => {}
                Some(Delivery::Over(reason)) => {
                    self.over = Some(reason);
                    return Err(ErrorCode::Cancelled);
                }
                None => return Err(ErrorCode::Unavailable),
            }
        }
    }

    /// Cancel-safe: what was received is kept.
    async fn over(&mut self) -> LeaveReason {
        loop {
            if let Some(reason) = self.over {
                return reason;
            }
            match self.deliveries.recv().await {
                Some(Delivery::Over(reason)) => self.over = Some(reason),
                Some(Delivery::Reply(..) | Delivery::Event(_)) => {}
                // The call's task has let go of it.
                None => self.over = Some(LeaveReason::Left),
            }
        }
    }
}

/// An ingest that takes part in a room's call.
pub struct Publisher {
    line: Line,
    handle: Option<CallHandle>,
    tasks: Tasks,
}

impl Publisher {
    /// Joins the room's call, which begins with it if it is the first. `joining.ingest` says who it is in the room.
    pub async fn join(
        calls: &Calls,
        room: &Arc<RoomEntry>,
        joining: Joining,
        token: Option<TokenName>,
    ) -> Result<Publisher, ErrorCode> {
        let (mut line, mailbox) = Line::new(calls);
        let newcomer = Newcomer { connection: line.connection, ticket: line.ticket(), joining, mailbox, token };
        let handle = calls.join(room, newcomer)?;
        let mut publisher = Publisher { line, handle: Some(handle), tasks: calls.inner.tasks.clone() };
        publisher.line.reply().await?;
        Ok(publisher)
    }

    /// Offers media: the answer, and the ids of the new tracks by their sections. Without new tracks it is a renegotiation.
    pub async fn publish(
        &mut self,
        sdp: String,
        tracks: Vec<PublishedTrack>,
    ) -> Result<(String, Vec<(String, TrackId)>), ErrorCode> {
        let sdp = Sdp::parse(sdp).ok_or(ErrorCode::BadSdp)?;
        let ticket = self.line.ticket();
        let request = CallRequest::Publish(Publish { sdp, tracks });
        let handle = self.handle.as_ref().ok_or(ErrorCode::Unavailable)?;
        if !handle.request(self.line.connection, ticket, request) {
            return Err(ErrorCode::Busy);
        }
        match self.line.reply().await? {
            CallReply::Published { sdp, tracks } => Ok((sdp, tracks)),
            _ => Err(ErrorCode::Unavailable),
        }
    }

    /// A candidate of the peer; empty for the end of them. One that the call has no room for is lost, as a datagram is.
    pub fn candidate(&mut self, candidate: String) {
        let Some(candidate) = Candidate::parse(candidate) else { return };
        let ticket = self.line.ticket();
        let request = CallRequest::Candidate(CandidateFor { connection: MediaConnection::Publish, candidate });
        if let Some(handle) = &self.handle {
            handle.request(self.line.connection, ticket, request);
        }
    }

    /// What it brings as frames: pictures, sound.
    pub(super) async fn feed(&self, video: bool, audio: bool) {
        if let Some(handle) = &self.handle {
            let fed = Message::Fed { connection: self.line.connection, video, audio };
            // The task ends only without participants.
            let _ = handle.mailbox.send(fed).await;
        }
    }

    /// Completes when the call has ended it. Cancel-safe.
    pub async fn over(&mut self) -> LeaveReason {
        self.line.over().await
    }

    /// Leaves. `stream_over`: nobody waits for it to come back.
    pub async fn leave(mut self, stream_over: bool) {
        if let Some(handle) = self.handle.take() {
            handle.gone(self.line.connection, LeaveReason::Left).await;
            if stream_over {
                let _ = handle.mailbox.send(Message::StreamOver).await;
            }
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.lost(self.line.connection, &self.tasks);
        }
    }
}

/// Somebody who watches a room's main picture.
pub struct Viewer {
    line: Line,
    handle: Option<CallHandle>,
    tasks: Tasks,
}

impl Viewer {
    /// Offers to receive the room's main picture: the answer. `NotFound`: there is nothing to watch.
    pub async fn begin(calls: &Calls, room: &RoomEntry, sdp: String) -> Result<(Viewer, String), ErrorCode> {
        let (mut line, mailbox) = Line::new(calls);
        let view = Message::View { connection: line.connection, ticket: line.ticket(), sdp, mailbox: Some(mailbox) };
        let handle = calls.view(room, view)?;
        let mut viewer = Viewer { line, handle: Some(handle), tasks: calls.inner.tasks.clone() };
        let answer = viewer.answer().await?;
        Ok((viewer, answer))
    }

    /// Offers the same sections with other ICE credentials: the answer.
    pub async fn restart(&mut self, sdp: String) -> Result<String, ErrorCode> {
        let view = Message::View { connection: self.line.connection, ticket: self.line.ticket(), sdp, mailbox: None };
        let handle = self.handle.as_ref().ok_or(ErrorCode::Unavailable)?;
        handle.mailbox.try_send(view).map_err(|_| ErrorCode::Busy)?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<String, ErrorCode> {
        match self.line.reply().await? {
            CallReply::Watching { sdp } => Ok(sdp),
            _ => Err(ErrorCode::Unavailable),
        }
    }

    /// A candidate of the peer; empty for the end of them.
    pub fn candidate(&self, candidate: String) {
        if let Some(handle) = &self.handle {
            let candidate = Message::ViewerCandidate { connection: self.line.connection, candidate };
            let _ = handle.mailbox.try_send(candidate);
        }
    }

    /// Completes when the call has ended it. Cancel-safe.
    pub async fn over(&mut self) -> LeaveReason {
        self.line.over().await
    }

    /// Goes.
    pub async fn leave(mut self) {
        if let Some(handle) = self.handle.take() {
            let _ = handle.mailbox.send(Message::ViewerGone { connection: self.line.connection }).await;
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let connection = self.line.connection;
            self.tasks.spawn("viewer-lost", async move {
                let _ = handle.mailbox.send(Message::ViewerGone { connection }).await;
            });
        }
    }
}

/// What an ingest may do in a call: nothing but publish.
pub fn ingest_joining(participant: ParticipantId, identity: String, name: &str) -> Joining {
    use telstar_signaling::call::CallGrants;
    use telstar_signaling::wire::Name;
    use telstar_signaling::wire::call::ParticipantKind;
    Joining {
        identity,
        // What an encoder's key is called may still be too long for others to see.
        name: Name::parse(name).unwrap_or_default(),
        metadata: Default::default(),
        kind: ParticipantKind::Ingest,
        grants: CallGrants { publish: true, ..CallGrants::default() },
        auto_subscribe: false,
        joined_at: crate::data::wall_now(),
        ingest: Some(participant),
    }
}

//! The door to the running calls for whoever is not in one: moderation over REST.
//!
//! In: questions and changes of moderators, who have been permitted already. Out: messages to the task that runs the calls,
//! each with the way its answer comes back. The task is `rooms`'; here are only the words between the two.

use serde_json::Value;
use telstar_units::RoomName;
use tokio::sync::{mpsc, oneshot};

use crate::auth::{Grants, TokenName};

/// Messages that wait for the calls' task. Each is one request of a moderator, who is told to come back when it is full.
const MAILBOX_MAX: usize = 256;

/// The number of a participant: `p7` is 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParticipantNumber(pub u64);

/// The number of a track: `t9` is 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrackNumber(pub u64);

/// A participant of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallParticipant {
    /// As `/ws` has it (`Participant` in docs/protocol.md).
    pub body: Value,
    /// The token that it joined with, if it was one: what a kick denies.
    pub token: Option<TokenName>,
}

/// What changes of a participant; `None` stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParticipantChange {
    /// What others see.
    pub name: Option<String>,
    /// The app's own words about it.
    pub metadata: Option<String>,
    /// What it may do.
    pub grants: Option<Grants>,
}

/// A message from the server itself to participants.
#[derive(Clone, Debug, PartialEq)]
pub struct DataMessage {
    /// To whom; empty is everybody.
    pub to: Vec<ParticipantNumber>,
    /// What it is about, in the app's words.
    pub label: Option<String>,
    /// It.
    pub data: Value,
}

/// Why a call did not do what a moderator asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallRefusal {
    /// Nobody of that number is in the call.
    #[error("no such participant")]
    NoParticipant,
    /// The participant publishes no track of that number.
    #[error("no such track")]
    NoTrack,
    /// A name, metadata or data that the call does not take.
    #[error("not what the call takes")]
    Invalid,
    /// Too much waits already.
    #[error("too much to do")]
    Busy,
    /// The server is shutting down.
    #[error("shutting down")]
    Closed,
}

/// The way back.
pub type Answer<T> = oneshot::Sender<Result<T, CallRefusal>>;

/// What the calls' task is asked. A room in which nobody is has an empty call: it is no error to ask about it.
#[derive(Debug)]
pub enum CallMessage {
    /// Everybody, in the order in which they came.
    Participants {
        /// Whose call.
        room: RoomName,
        /// The way back.
        answer: Answer<Vec<CallParticipant>>,
    },
    /// One of them.
    Participant {
        /// Whose call.
        room: RoomName,
        /// Who.
        participant: ParticipantNumber,
        /// The way back.
        answer: Answer<CallParticipant>,
    },
    /// Change one; answers how it is afterwards.
    Update {
        /// Whose call.
        room: RoomName,
        /// Who.
        participant: ParticipantNumber,
        /// What.
        change: ParticipantChange,
        /// The way back.
        answer: Answer<CallParticipant>,
    },
    /// Send one away with the reason `removed`. Its token is denied by whoever asks.
    Remove {
        /// Whose call.
        room: RoomName,
        /// Who.
        participant: ParticipantNumber,
        /// The way back.
        answer: Answer<()>,
    },
    /// Mute a track; answers how its participant is afterwards. Nobody but its owner unmutes it.
    Mute {
        /// Whose call.
        room: RoomName,
        /// Who.
        participant: ParticipantNumber,
        /// Which track.
        track: TrackNumber,
        /// The way back.
        answer: Answer<CallParticipant>,
    },
    /// Tell participants something.
    SendData {
        /// Whose call.
        room: RoomName,
        /// What.
        message: DataMessage,
        /// The way back.
        answer: Answer<()>,
    },
}

/// The calls, for handlers. Cheap to clone.
#[derive(Clone)]
pub struct CallsHandle {
    mailbox: mpsc::Sender<CallMessage>,
}

impl CallsHandle {
    /// A handle, and what the calls' task receives from it.
    pub fn new() -> (CallsHandle, mpsc::Receiver<CallMessage>) {
        let (mailbox, inbox) = mpsc::channel(MAILBOX_MAX);
        (CallsHandle { mailbox }, inbox)
    }

    /// Who takes part in the room's call.
    pub async fn participants(&self, room: RoomName) -> Result<Vec<CallParticipant>, CallRefusal> {
        self.ask(|answer| CallMessage::Participants { room, answer }).await
    }

    /// One of them.
    pub async fn participant(
        &self,
        room: RoomName,
        participant: ParticipantNumber,
    ) -> Result<CallParticipant, CallRefusal> {
        self.ask(|answer| CallMessage::Participant { room, participant, answer }).await
    }

    /// Changes one.
    pub async fn update(
        &self,
        room: RoomName,
        participant: ParticipantNumber,
        change: ParticipantChange,
    ) -> Result<CallParticipant, CallRefusal> {
        self.ask(|answer| CallMessage::Update { room, participant, change, answer }).await
    }

    /// Sends one away.
    pub async fn remove(&self, room: RoomName, participant: ParticipantNumber) -> Result<(), CallRefusal> {
        self.ask(|answer| CallMessage::Remove { room, participant, answer }).await
    }

    /// Mutes a track.
    pub async fn mute(
        &self,
        room: RoomName,
        participant: ParticipantNumber,
        track: TrackNumber,
    ) -> Result<CallParticipant, CallRefusal> {
        self.ask(|answer| CallMessage::Mute { room, participant, track, answer }).await
    }

    /// Tells participants something, in the server's name.
    pub async fn send_data(&self, room: RoomName, message: DataMessage) -> Result<(), CallRefusal> {
        self.ask(|answer| CallMessage::SendData { room, message, answer }).await
    }

    async fn ask<T>(&self, message: impl FnOnce(Answer<T>) -> CallMessage) -> Result<T, CallRefusal> {
        let (answer, answered) = oneshot::channel();
        self.mailbox.try_send(message(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallRefusal::Busy,
            mpsc::error::TrySendError::Closed(_) => CallRefusal::Closed,
        })?;
        answered.await.unwrap_or(Err(CallRefusal::Closed))
    }
}

/// Answers for a server in which nobody is in a call, until it stops.
pub(crate) async fn nobody(mut asked: mpsc::Receiver<CallMessage>, stopping: impl Future<Output = ()>) {
    let mut stopping = std::pin::pin!(stopping);
    loop {
        // Cancel-safe: a cancellation and a channel.
        let message = tokio::select! {
            () = &mut stopping => return,
            Some(message) = asked.recv() => message,
        };
        // Who asked may have gone.
        let _ = match message {
            CallMessage::Participants { answer, .. } => answer.send(Ok(Vec::new())).is_ok(),
            CallMessage::SendData { answer, .. } => answer.send(Ok(())).is_ok(),
            CallMessage::Remove { answer, .. } => answer.send(Err(CallRefusal::NoParticipant)).is_ok(),
            CallMessage::Participant { answer, .. }
            | CallMessage::Update { answer, .. }
            | CallMessage::Mute { answer, .. } => answer.send(Err(CallRefusal::NoParticipant)).is_ok(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> RoomName {
        RoomName::parse("demo").expect("a room name")
    }

    #[tokio::test]
    async fn an_answer_comes_back_and_a_full_mailbox_says_so() {
        let (calls, mut inbox) = CallsHandle::new();
        let task = async {
            let Some(CallMessage::Remove { participant: ParticipantNumber(7), answer, .. }) = inbox.recv().await else {
                panic!("what was asked")
            };
            answer.send(Err(CallRefusal::NoParticipant)).expect("it is waited for");
        };
        let (answered, ()) = tokio::join!(calls.remove(demo(), ParticipantNumber(7)), task);
        assert_eq!(answered, Err(CallRefusal::NoParticipant));

        for _ in 0..MAILBOX_MAX {
            let (answer, _) = oneshot::channel();
            calls.mailbox.try_send(CallMessage::Participants { room: demo(), answer }).expect("there is a place");
        }
        assert_eq!(calls.participants(demo()).await, Err(CallRefusal::Busy));
        drop(inbox);
        assert_eq!(calls.participants(demo()).await, Err(CallRefusal::Closed));
    }
}

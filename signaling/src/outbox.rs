//! What waits to be written to one client: bounded, and newer states take the place of older ones.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::call::{CallEvent, CallSubject};
use crate::limits::Limits;
use crate::sent::{Gone, Sent, Written};
use crate::topic::{Event, Subject};
use crate::topic_name::TopicName;
use crate::wire::RequestId;

/// Neither the limits nor coalescing left room for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

enum Message {
    Reply(RequestId, String),
    Event(Event),
    Call(CallEvent),
    /// The end of a subscription; nothing supersedes it.
    Ended(String),
}

impl Message {
    fn len(&self) -> usize {
        match self {
            Message::Reply(_, text) | Message::Ended(text) => text.len(),
            Message::Event(event) => event.tail.len(),
            Message::Call(event) => event.tail.len(),
        }
    }

    fn is_superseded_by(&self, newer: &Event) -> bool {
        match self {
            Message::Event(waiting) => {
                waiting.topic == newer.topic && (newer.subject == Subject::Whole || waiting.subject == newer.subject)
            }
            Message::Reply(..) | Message::Call(_) | Message::Ended(..) => false,
        }
    }

    fn is_superseded_by_call(&self, newer: &CallEvent) -> bool {
        match self {
            Message::Call(waiting) => waiting.subject == newer.subject,
            Message::Reply(..) | Message::Event(_) | Message::Ended(..) => false,
        }
    }
}

/// Messages in the order in which they will leave. `seq` is given when an event leaves, so that coalescing makes no gap in it.
pub(crate) struct Outbox {
    messages_max: usize,
    bytes_max: usize,
    messages: VecDeque<Message>,
    bytes: usize,
    seq: u64,
    coalesced: u64,
    /// The first message on a new socket.
    first: Option<String>,
    sent: Sent,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Outbox {
        Outbox {
            messages_max: limits.outbox_messages_max,
            bytes_max: limits.outbox_bytes_max,
            messages: VecDeque::new(),
            bytes: 0,
            seq: 0,
            coalesced: 0,
            first: None,
            sent: Sent::new(limits),
        }
    }

    /// The client has joined a call: there is more to say, and what is said is kept.
    pub(crate) fn begin_call(&mut self, limits: &Limits) {
        self.messages_max = limits.call_outbox_messages_max;
        self.bytes_max = limits.call_outbox_bytes_max;
        self.sent.begin(self.seq);
    }

    /// The client will not come back.
    pub(crate) fn end_call(&mut self, limits: &Limits) {
        self.messages_max = limits.outbox_messages_max;
        self.bytes_max = limits.outbox_bytes_max;
        self.sent.end();
    }

    pub(crate) fn push_reply(&mut self, re: RequestId, text: String) -> Result<(), Full> {
        self.push(Message::Reply(re, text))
    }

    /// Goes out before everything else, on a new socket.
    pub(crate) fn push_first(&mut self, text: String) {
        self.first = Some(text);
    }

    /// Speakers and the like supersede what still waits of their kind; everything else of a call arrives.
    pub(crate) fn push_call_event(&mut self, event: CallEvent) -> Result<(), Full> {
        if !matches!(event.subject, CallSubject::Once | CallSubject::Left) {
            self.supersede(|message| message.is_superseded_by_call(&event));
        }
        self.push(Message::Call(event))
    }

    /// The newest event about a subject supersedes those that still wait. It goes to the end, so that a topic's offsets
    /// never go back: a client may take the last one it saw as its position.
    pub(crate) fn push_event(&mut self, event: Event) -> Result<(), Full> {
        // Only a slow client has anything waiting here, and never more than `messages_max`: a scan is cheap enough.
        self.supersede(|message| message.is_superseded_by(&event));
        self.push(Message::Event(event))
    }

    fn supersede(&mut self, is_old: impl Fn(&Message) -> bool) {
        let before = self.messages.len();
        self.messages.retain(|message| !is_old(message));
        if self.messages.len() != before {
            self.coalesced += (before - self.messages.len()) as u64;
            self.bytes = self.messages.iter().map(Message::len).sum();
        }
    }

    /// Says that a subscription is over, in the place of everything of it that still waits.
    pub(crate) fn push_ended(&mut self, topic: &TopicName, tail: String) -> Result<(), Full> {
        self.forget(topic);
        self.push(Message::Ended(tail))
    }

    /// Drops the waiting events of a topic.
    pub(crate) fn forget(&mut self, topic: &TopicName) {
        self.messages.retain(|message| !matches!(message, Message::Event(event) if event.topic == *topic));
        self.bytes = self.messages.iter().map(Message::len).sum();
    }

    fn push(&mut self, message: Message) -> Result<(), Full> {
        let fits = self.messages.len() < self.messages_max && self.bytes + message.len() <= self.bytes_max;
        // Any one message may leave: a snapshot larger than the limit would otherwise never arrive.
        if !fits && !self.messages.is_empty() {
            return Err(Full);
        }
        self.bytes += message.len();
        self.messages.push_back(message);
        Ok(())
    }

    /// The next text message.
    pub(crate) fn pop(&mut self) -> Option<String> {
        if let Some(text) = self.first.take().or_else(|| self.sent.pop()) {
            return Some(text);
        }
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        let written = match message {
            Message::Reply(re, text) => Written::Reply(re, text),
            Message::Event(Event { tail, .. }) | Message::Call(CallEvent { tail, .. }) => self.numbered(tail),
            Message::Ended(tail) => self.numbered(tail.into()),
        };
        let text = written.to_text();
        self.sent.push(written);
        Some(text)
    }

    fn numbered(&mut self, tail: Arc<str>) -> Written {
        self.seq += 1;
        Written::Event(self.seq, tail)
    }

    /// The client is on a new socket: see [`Sent::resume`].
    pub(crate) fn resume(&mut self, seq: u64, pending: &[RequestId]) -> Result<(), Gone> {
        self.sent.resume(seq, self.seq, pending)
    }

    /// Whether a reply waits, or was written and may not have arrived.
    pub(crate) fn has_reply(&self, id: &RequestId) -> bool {
        self.sent.has_reply(id)
            || self.messages.iter().any(|message| matches!(message, Message::Reply(re, _) if re == id))
    }

    /// Whether a ping is due to learn what has arrived.
    pub(crate) fn wants_confirmation(&self) -> bool {
        self.sent.wants_confirmation()
    }

    /// The payload of the ping that is being written.
    pub(crate) fn ping(&mut self) -> [u8; 8] {
        self.sent.ping()
    }

    /// See [`Sent::confirm`].
    pub(crate) fn confirm(&mut self, payload: &[u8]) -> bool {
        self.sent.confirm(payload)
    }

    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
        self.first = None;
        self.sent.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.first.is_none() && self.sent.is_written()
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that wait.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Events that were superseded before they left.
    pub(crate) fn coalesced(&self) -> u64 {
        self.coalesced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Version;

    fn outbox(messages_max: usize, bytes_max: usize) -> Outbox {
        Outbox::new(&Limits { outbox_messages_max: messages_max, outbox_bytes_max: bytes_max, ..Limits::default() })
    }

    fn event(topic: &str, offset: u64, item: Option<&str>) -> Event {
        Event {
            topic: TopicName::parse(topic).expect("a topic"),
            version: Version { epoch: 1, offset },
            subject: item.map_or(Subject::Whole, |item| Subject::Item(item.into())),
            tail: format!("{topic}@{offset}}}").into(),
        }
    }

    fn id() -> RequestId {
        RequestId::Number(1.into())
    }

    fn drain(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.pop()).collect()
    }

    #[test]
    fn newer_states_supersede_waiting_ones_and_seq_has_no_gap() {
        let mut outbox = outbox(10, 1_000);
        for offset in 1..=5 {
            assert_eq!(outbox.push_event(event("room:a", offset, None)), Ok(()));
        }
        assert_eq!(outbox.push_event(event("room:b", 9, None)), Ok(()));
        assert_eq!(outbox.push_reply(id(), "reply".into()), Ok(()));
        assert_eq!(outbox.coalesced(), 4);
        assert_eq!(drain(&mut outbox), [r#"{"seq":1,room:a@5}"#, r#"{"seq":2,room:b@9}"#, "reply"]);
        assert_eq!((outbox.bytes(), outbox.len()), (0, 0));
    }

    #[test]
    fn items_of_a_list_supersede_only_themselves_and_offsets_never_go_back() {
        let mut outbox = outbox(10, 1_000);
        for (offset, item) in [(1, "x"), (2, "y"), (3, "x")] {
            assert_eq!(outbox.push_event(event("rooms", offset, Some(item))), Ok(()));
        }
        assert_eq!(drain(&mut outbox), [r#"{"seq":1,rooms@2}"#, r#"{"seq":2,rooms@3}"#]);
        for (offset, item) in [(4, Some("x")), (5, Some("y")), (6, None)] {
            assert_eq!(outbox.push_event(event("rooms", offset, item)), Ok(()));
        }
        assert_eq!(drain(&mut outbox), [r#"{"seq":3,rooms@6}"#]);
    }

    #[test]
    fn a_full_outbox_takes_a_newer_state_but_nothing_else() {
        let mut outbox = outbox(2, 1_000);
        assert_eq!(outbox.push_event(event("room:a", 1, None)), Ok(()));
        assert_eq!(outbox.push_reply(id(), "one".into()), Ok(()));
        assert_eq!(outbox.push_reply(id(), "two".into()), Err(Full));
        assert_eq!(outbox.push_event(event("room:b", 1, None)), Err(Full));
        assert_eq!(outbox.push_event(event("room:a", 2, None)), Ok(()));
    }

    #[test]
    fn an_empty_outbox_takes_one_message_of_any_size() {
        let mut outbox = outbox(2, 10);
        assert_eq!(outbox.push_reply(id(), "x".repeat(11)), Ok(()));
        assert_eq!(outbox.push_reply(id(), "y".into()), Err(Full));
        outbox.pop();
        assert_eq!(outbox.push_reply(id(), "y".repeat(10)), Ok(()));
    }

    #[test]
    fn the_end_of_a_subscription_is_the_last_that_is_heard_of_it() {
        let mut outbox = outbox(3, 1_000);
        assert_eq!(outbox.push_event(event("room:a", 1, None)), Ok(()));
        assert_eq!(outbox.push_event(event("room:b", 1, None)), Ok(()));
        assert_eq!(outbox.push_ended(&TopicName::parse("room:a").expect("a topic"), "ended}".into()), Ok(()));
        assert_eq!(drain(&mut outbox), [r#"{"seq":1,room:b@1}"#, r#"{"seq":2,ended}"#]);
    }
}

//! What waits to be written to one client: bounded, and newer states take the place of older ones.

use std::collections::VecDeque;

use crate::limits::Limits;
use crate::topic::{Event, Subject};
use crate::topic_name::TopicName;

/// Neither the limits nor coalescing left room for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

enum Message {
    Reply(String),
    Event(Event),
    /// The end of a subscription; nothing supersedes it.
    Ended(String),
}

impl Message {
    fn len(&self) -> usize {
        match self {
            Message::Reply(text) | Message::Ended(text) => text.len(),
            Message::Event(event) => event.tail.len(),
        }
    }

    fn is_superseded_by(&self, newer: &Event) -> bool {
        match self {
            Message::Event(waiting) => {
                waiting.topic == newer.topic && (newer.subject == Subject::Whole || waiting.subject == newer.subject)
            }
            Message::Reply(_) | Message::Ended(..) => false,
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
        }
    }

    pub(crate) fn push_reply(&mut self, text: String) -> Result<(), Full> {
        self.push(Message::Reply(text))
    }

    /// The newest event about a subject supersedes those that still wait. It goes to the end, so that a topic's offsets
    /// never go back: a client may take the last one it saw as its position.
    pub(crate) fn push_event(&mut self, event: Event) -> Result<(), Full> {
        // Only a slow client has anything waiting here, and never more than `messages_max`: a scan is cheap enough.
        let before = self.messages.len();
        self.messages.retain(|message| !message.is_superseded_by(&event));
        if self.messages.len() != before {
            self.coalesced += (before - self.messages.len()) as u64;
            self.bytes = self.messages.iter().map(Message::len).sum();
        }
        self.push(Message::Event(event))
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
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(match message {
            Message::Reply(text) => text,
            Message::Event(Event { tail, .. }) => self.numbered(&tail),
            Message::Ended(tail) => self.numbered(&tail),
        })
    }

    fn numbered(&mut self, tail: &str) -> String {
        self.seq += 1;
        format!("{{\"seq\":{},{tail}", self.seq)
    }

    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
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
        assert_eq!(outbox.push_reply("reply".into()), Ok(()));
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
        assert_eq!(outbox.push_reply("one".into()), Ok(()));
        assert_eq!(outbox.push_reply("two".into()), Err(Full));
        assert_eq!(outbox.push_event(event("room:b", 1, None)), Err(Full));
        assert_eq!(outbox.push_event(event("room:a", 2, None)), Ok(()));
    }

    #[test]
    fn an_empty_outbox_takes_one_message_of_any_size() {
        let mut outbox = outbox(2, 10);
        assert_eq!(outbox.push_reply("x".repeat(11)), Ok(()));
        assert_eq!(outbox.push_reply("y".into()), Err(Full));
        outbox.pop();
        assert_eq!(outbox.push_reply("y".repeat(10)), Ok(()));
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

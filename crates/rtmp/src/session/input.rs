//! From bytes to messages, and each message to whoever it is for.

use std::time::Instant;

use super::timers::Timer;
use super::{Session, Stage};
use crate::chunk::{Message, message_type};
use crate::error::Error;

impl Session {
    pub(super) fn process(&mut self, now: Instant, mut input: &[u8]) {
        while !input.is_empty() && self.wants_input() {
            if let Err(error) = self.step(now, &mut input) {
                return self.fail(error);
            }
        }
        if matches!(self.stage, Stage::Deciding { .. }) {
            self.waiting_input.extend_from_slice(input);
        }
    }

    /// Takes a handshake packet or one message from the front of `input`.
    fn step(&mut self, now: Instant, input: &mut &[u8]) -> Result<(), Error> {
        let Stage::Handshake(handshake) = &mut self.stage else {
            if !self.is_admitted() && self.bytes_in - input.len() as u64 > self.stranger_bytes_max() {
                return Err(Error::StrangerBytes { max: self.config.limits.stranger_bytes_max });
            }
            return match self.reader.read(input)? {
                Some(message) => self.message(now, message),
                None => Ok(()),
            };
        };
        handshake.read(input, self.writer.raw())?;
        if handshake.is_done() {
            self.stage = Stage::Commands;
            self.timers.clear(Timer::EarlyS1);
            self.timers.set(Timer::Stage, now + self.config.limits.connect_timeout);
        } else if handshake.may_send_early() {
            self.timers.set(Timer::EarlyS1, now + self.config.limits.early_s1_after);
        } else {
            self.timers.clear(Timer::EarlyS1);
        }
        Ok(())
    }

    /// Between two publishes the allowance starts anew.
    fn stranger_bytes_max(&self) -> u64 {
        self.connected.as_ref().map_or(0, |connected| connected.bytes_before) + self.config.limits.stranger_bytes_max
    }

    fn message(&mut self, now: Instant, message: Message) -> Result<(), Error> {
        let useful = match message.kind {
            message_type::AUDIO | message_type::VIDEO | message_type::AGGREGATE => {
                let useful = self.is_publishing() && !message.payload.is_empty();
                self.media(now, message);
                useful
            }
            message_type::COMMAND_AMF0 | message_type::COMMAND_AMF3 => {
                self.command(now, message)?;
                true
            }
            message_type::DATA_AMF0 | message_type::DATA_AMF3 => {
                self.data(&message);
                false
            }
            _ => {
                self.control(&message)?;
                false
            }
        };
        self.useless_messages = if useful { 0 } else { self.useless_messages + 1 };
        match self.useless_messages > self.config.limits.useless_messages_max {
            true => Err(Error::UselessMessages(self.useless_messages)),
            false => Ok(()),
        }
    }

    /// Protocol control and user control messages, RTMP §5.4 and §6.2.
    fn control(&mut self, message: &Message) -> Result<(), Error> {
        let body = &message.payload[..];
        let value = || body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Error::Control(message.kind));
        match message.kind {
            message_type::SET_CHUNK_SIZE => self.reader.set_chunk_size(value()?)?,
            message_type::ABORT => self.reader.abort(value()?),
            message_type::WINDOW_ACK_SIZE => self.writer.set_window(value()?),
            message_type::USER_CONTROL => self.writer.answer_user_control(body),
            // What the peer has received, and how much we should send, matter to a server that sends media.
            _ => {}
        }
        Ok(())
    }
}

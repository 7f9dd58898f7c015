//! Commands, RTMP §7.2, as publishers send them.

use std::time::Instant;

use bytes::Bytes;

use super::request::{Address, Encoder, PublishMode, PublishRequest};
use super::{Asked, EndReason, Event, Session, Stage};
use crate::amf::{self, AmfError, Value};
use crate::capabilities::Capabilities;
use crate::chunk::Message;
use crate::error::Error;
use crate::limits::MESSAGE_STREAMS_MAX;
use crate::session::timers::Timer;

/// What `connect` said, and what later commands need.
pub(super) struct Connected {
    pub(super) address: Address,
    pub(super) encoder: Encoder,
    pub(super) capabilities: Capabilities,
    message_streams: u32,
    /// Bytes received when the last publish ended.
    pub(super) bytes_before: u64,
}

/// A decoded command.
pub(super) struct Command {
    pub(super) name: String,
    transaction: f64,
    pub(super) stream_id: u32,
    /// Everything behind name and transaction id; the first is the command object.
    pub(super) arguments: Vec<Value>,
}

impl Command {
    fn decode(message: &Message) -> Result<Command, Error> {
        let (values, error) = amf::decode_lenient(without_amf3_marker(&message.payload));
        // A device that cuts its last argument short has said enough; a bomb has not.
        if let Some(error) = error.filter(|error| *error != AmfError::Truncated || values.len() < 2) {
            return Err(error.into());
        }
        let mut values = values.into_iter();
        let name = values.next().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
        let transaction = values.next().and_then(|number| number.as_number()).unwrap_or(0.0);
        Ok(Command { name, transaction, stream_id: message.stream_id, arguments: values.collect() })
    }

    pub(super) fn text(&self, index: usize) -> &str {
        self.arguments.get(index).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Messages of types 15 and 17 are AMF0 behind a byte of zero. No AMF0 message begins with a number, so the byte is
/// skipped wherever it stands.
pub(super) fn without_amf3_marker(payload: &Bytes) -> &[u8] {
    payload.strip_prefix(&[0]).unwrap_or(payload)
}

impl Session {
    pub(super) fn command(&mut self, now: Instant, message: Message) -> Result<(), Error> {
        let command = Command::decode(&message)?;
        if self.connected.is_none() {
            return match command.name.as_str() {
                "connect" => self.connect(now, &command),
                _ => Err(Error::CommandOrder),
            };
        }
        match command.name.as_str() {
            "connect" => return Err(Error::CommandOrder),
            "releaseStream" | "_checkbw" => self.writer.result(command.transaction, Value::Undefined),
            "FCPublish" => {
                self.writer.on_fc_publish();
                self.writer.result(command.transaction, Value::Undefined);
            }
            "createStream" => self.create_stream(&command),
            "publish" => return self.publish(now, &command),
            "FCUnpublish" => {
                self.writer.on_fc_unpublish();
                self.writer.result(command.transaction, Value::Undefined);
                self.end_publish(now, EndReason::Unpublished);
            }
            "deleteStream" | "closeStream" => self.end_stream(now, &command),
            "play" => return self.play_request(now, &command),
            "pause" | "pauseRaw" | "receiveAudio" | "receiveVideo" | "seek" => self.play_control(&command),
            "FCSubscribe" => {
                self.writer.on_fc_subscribe();
                self.writer.result(command.transaction, Value::Undefined);
            }
            "getStreamLength" => self.writer.result(command.transaction, 0.0.into()),
            // Statements that want no answer.
            "_result" | "_error" | "onStatus" | "onBWDone" | "setBufferLength" | "FCUnsubscribe" => {}
            _ => self.writer.call_failed(command.transaction, "There is no such call."),
        }
        Ok(())
    }

    fn connect(&mut self, now: Instant, command: &Command) -> Result<(), Error> {
        let object = command.arguments.first().unwrap_or(&Value::Null);
        let text = |name| object.get(name).and_then(Value::as_str).unwrap_or_default();
        let address = Address::new(text("app"), text("tcUrl"))?;
        if address.app() != self.config.app {
            let words = format!("There is no such application; the address ends in /{}", self.config.app);
            self.writer.connect_rejected(command.transaction, &words);
            self.close(EndReason::UnknownApp);
            return Ok(());
        }
        let encoder = Encoder::new(text("flashVer"));
        let capabilities = Capabilities::of_connect(object);
        self.timers.set(Timer::Stage, now + self.config.limits.publish_timeout);
        self.writer.connect_success(command.transaction, &capabilities);
        self.connected = Some(Connected { address, encoder, capabilities, message_streams: 0, bytes_before: 0 });
        Ok(())
    }

    fn create_stream(&mut self, command: &Command) {
        let Some(connected) = &mut self.connected else { return };
        if connected.message_streams == MESSAGE_STREAMS_MAX {
            return self.writer.call_failed(command.transaction, "Too many streams on this connection.");
        }
        connected.message_streams += 1;
        self.writer.result(command.transaction, f64::from(connected.message_streams).into());
    }

    fn publish(&mut self, now: Instant, command: &Command) -> Result<(), Error> {
        if self.is_publishing() || self.is_playing() {
            self.writer.publish_refused(command.stream_id, "This connection is already in use.");
            return Ok(());
        }
        let Some(connected) = &self.connected else { return Err(Error::CommandOrder) };
        let (name, key) = connected.address.target(command.text(1))?;
        let mode = PublishMode::parse(command.text(2));
        let request = PublishRequest {
            app: connected.address.app().to_owned(),
            name,
            key,
            mode,
            encoder: connected.encoder.clone(),
        };
        self.stage = Stage::Deciding { stream_id: command.stream_id, asked: Asked::Publish };
        self.timers.set(Timer::Stage, now + self.config.limits.publish_timeout);
        self.events.push_back(Event::PublishRequested(request));
        Ok(())
    }

    /// `deleteStream` names the message stream, `closeStream` is sent on it.
    fn end_stream(&mut self, now: Instant, command: &Command) {
        let stream_id = match &self.stage {
            Stage::Publishing { stream_id } => *stream_id,
            Stage::Playing(player) => player.stream_id,
            Stage::Handshake(_) | Stage::Commands | Stage::Deciding { .. } | Stage::Closed => return,
        };
        let named = command.arguments.get(1).and_then(Value::as_number).unwrap_or(f64::from(command.stream_id));
        if named == f64::from(stream_id) || command.name == "closeStream" {
            self.end_publish(now, EndReason::Unpublished);
            self.end_play(now);
        }
    }
}

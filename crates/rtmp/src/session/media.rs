//! Media and metadata of a running publish, from messages to events.

use std::time::Instant;

use bytes::{Buf, Bytes};

use super::{Event, Metadata, Session};
use crate::chunk::{Message, message_type};
use crate::flv::FlvError;
use crate::limits::MESSAGE_FRAMES_MAX;
use crate::publish::{Output, WarningKind};

impl Session {
    pub(super) fn media(&mut self, now: Instant, message: Message) {
        if !self.is_publishing() {
            return;
        }
        let abandoned = self.reader.abandoned_messages();
        if abandoned > self.abandoned_messages {
            self.abandoned_messages = abandoned;
            self.publication.warn(WarningKind::AbandonedMessage);
        }
        match message.kind {
            message_type::AUDIO => self.publication.audio(now, message.timestamp_ms, message.payload),
            message_type::VIDEO => self.publication.video(now, message.timestamp_ms, message.payload),
            _ => self.aggregate(now, message),
        }
        self.take_outputs();
    }

    /// RTMP §7.1.6: FLV tags with their own stamps, of which only the differences count.
    fn aggregate(&mut self, now: Instant, message: Message) {
        let mut body = message.payload;
        let mut first = None;
        // Type, 24-bit size, 24-bit stamp and its upper 8 bits, 24-bit stream id; the tag; its size again.
        for _ in 0..MESSAGE_FRAMES_MAX {
            if body.len() < 11 {
                return;
            }
            let kind = body.get_u8();
            let len = body.get_uint(3) as usize;
            let low = body.get_uint(3) as u32;
            let stamp = u32::from(body.get_u8()) << 24 | low;
            body.advance(3);
            if body.len() < len {
                return self.publication.warn(WarningKind::Malformed(FlvError::Truncated));
            }
            // A slice would keep the whole message alive.
            let tag = Bytes::copy_from_slice(&body.split_to(len));
            body.advance(body.len().min(4));
            let timestamp_ms = message.timestamp_ms.wrapping_add(stamp.wrapping_sub(*first.get_or_insert(stamp)));
            match kind {
                message_type::AUDIO => self.publication.audio(now, timestamp_ms, tag),
                message_type::VIDEO => self.publication.video(now, timestamp_ms, tag),
                _ => {}
            }
        }
        self.publication.warn(WarningKind::MalformedFrame);
    }

    pub(super) fn data(&mut self, message: &Message) {
        if !self.is_publishing() {
            return;
        }
        let (metadata, whole) = Metadata::from_message(&message.payload);
        if !whole {
            self.publication.warn(WarningKind::BadMetadata);
            self.take_outputs();
        }
        if let Some(metadata) = metadata {
            self.events.push_back(Event::Metadata(metadata));
        }
    }

    /// What of the publish still waits for a later frame.
    pub(super) fn finish_media(&mut self) {
        self.publication.finish();
        self.take_outputs();
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.publication.poll() {
            self.events.push_back(match output {
                Output::TrackAdded(track) => Event::TrackAdded(track),
                Output::Frame(frame) => Event::Frame(frame),
                Output::ClockRestarted => Event::ClockRestarted,
                Output::Warning(warning) => Event::Warning(warning),
            });
        }
    }
}

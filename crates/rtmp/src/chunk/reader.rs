//! Bytes to messages, tolerant of every deviation that real encoders show and bounded against the rest.

use std::collections::BTreeMap;

use bytes::BytesMut;

use super::{CHUNK_SIZE_DEFAULT, Message, TIMESTAMP_24_MAX};
use crate::error::Error;
use crate::limits::{ChunkLimits, Limits, NEGATIVE_DELTA_24_MIN, TYPE_3_DELTA_MAX_MS, WRAP_24_WINDOW_MS};

/// Basic header of 3 bytes, message header of 11, extended timestamp of 4.
const HEADER_LEN_MAX: usize = 18;
/// Up to here the buffer of a message is allocated at once; beyond it doubles as bytes arrive, so that a claimed length
/// alone costs little. Higher lets a peer reserve more with few bytes, lower copies more keyframes while they grow.
const PREALLOCATED_MAX: usize = 64 * 1_024;

/// Reassembles the messages of one direction of a connection.
///
/// Feed it with [`read`](Self::read) until the input is empty. Set Chunk Size and Abort act between two messages,
/// so the caller applies them ([`set_chunk_size`](Self::set_chunk_size), [`abort`](Self::abort)) before it reads on.
#[derive(Debug)]
pub struct ChunkReader {
    limits: ChunkLimits,
    chunk_streams_max: usize,
    chunk_size_min: u32,
    chunk_size: usize,
    streams: BTreeMap<u32, ChunkStream>,
    state: State,
    held_bytes: usize,
    abandoned_messages: u64,
    /// Whether this sender repeats the extended timestamp in type 3 chunks; learnt from the first one of a message
    /// of several chunks.
    repeats_extended: Option<bool>,
}

#[derive(Debug)]
enum State {
    /// Collecting a chunk header that may arrive in pieces.
    Header { bytes: [u8; HEADER_LEN_MAX], len: usize },
    /// Copying the payload of one chunk.
    Payload { csid: u32, left: usize },
}

/// What one turn of the reader did.
enum Step {
    /// The state changed; go on.
    Next,
    /// The input is used up.
    Wait,
    /// A message is complete.
    Message(Message),
}

const NO_HEADER: State = State::Header { bytes: [0; HEADER_LEN_MAX], len: 0 };

/// What later chunks of a chunk stream inherit, and the message it is in.
#[derive(Debug, Default)]
struct ChunkStream {
    header: Option<Header>,
    timestamp_ms: u32,
    /// What a type 3 chunk that begins a message adds.
    delta_ms: u32,
    /// The value of the extended timestamp field of the last header that had one.
    extended: Option<u32>,
    partial: Option<BytesMut>,
}

/// The inherited fields of a message header.
#[derive(Clone, Copy, Debug)]
struct Header {
    len: usize,
    kind: u8,
    stream_id: u32,
}

/// One chunk header as it lies on the wire.
struct WireHeader {
    csid: u32,
    format: u8,
    timestamp_field: u32,
    len: usize,
    kind: u8,
    stream_id: u32,
    extended: Option<u32>,
    bytes: usize,
}

impl ChunkReader {
    /// A reader with the memory of a stranger and the default chunk size.
    pub fn new(limits: &Limits) -> ChunkReader {
        ChunkReader {
            limits: ChunkLimits::STRANGER,
            chunk_streams_max: limits.chunk_streams_max,
            chunk_size_min: limits.chunk_size_min,
            chunk_size: CHUNK_SIZE_DEFAULT as usize,
            streams: BTreeMap::new(),
            state: NO_HEADER,
            held_bytes: 0,
            abandoned_messages: 0,
            repeats_extended: None,
        }
    }

    /// Other memory limits from the next message on.
    pub fn set_limits(&mut self, limits: ChunkLimits) {
        self.limits = limits;
    }

    /// The peer's Set Chunk Size; in force from the next chunk on, even in the middle of another message.
    pub fn set_chunk_size(&mut self, size: u32) -> Result<(), Error> {
        if size < self.chunk_size_min.max(1) || size > i32::MAX as u32 {
            return Err(Error::ChunkSize { size, min: self.chunk_size_min.max(1) });
        }
        self.chunk_size = size as usize;
        Ok(())
    }

    /// The peer's Abort Message: forgets the unfinished message of `csid`.
    pub fn abort(&mut self, csid: u32) {
        if let Some(partial) = self.streams.get_mut(&csid).and_then(|stream| stream.partial.take()) {
            self.held_bytes -= partial.capacity();
        }
    }

    /// Bytes allocated for unfinished messages.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Messages that their sender began and then replaced by a new one on the same chunk stream.
    pub fn abandoned_messages(&self) -> u64 {
        self.abandoned_messages
    }

    /// Takes bytes from the front of `input` until a message is complete or the input is used up.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        loop {
            let step = match self.state {
                State::Header { bytes, len } => self.read_header(bytes, len, input)?,
                State::Payload { csid, left } => self.read_payload(csid, left, input)?,
            };
            match step {
                Step::Next => {}
                Step::Wait => return Ok(None),
                Step::Message(message) => return Ok(Some(message)),
            }
        }
    }

    /// Collects a header; once it is complete, enters its chunk. `Wait` when the input is used up before.
    fn read_header(&mut self, mut bytes: [u8; HEADER_LEN_MAX], had: usize, input: &mut &[u8]) -> Result<Step, Error> {
        let take = input.len().min(HEADER_LEN_MAX - had);
        bytes[had..had + take].copy_from_slice(&input[..take]);
        let len = had + take;
        let Some(header) = self.parse_header(&bytes[..len])? else {
            assert!(take == input.len(), "a full header buffer always parses");
            *input = &[];
            self.state = State::Header { bytes, len };
            return Ok(Step::Wait);
        };
        let header_len = header.bytes;
        self.enter_chunk(header)?;
        if header_len >= had {
            *input = &input[header_len - had..];
            return Ok(self.finish_chunk());
        }
        // Up to three bytes were kept because they could have been an extended timestamp; they are payload, or more.
        let mut kept = &bytes[header_len..had];
        let State::Payload { csid, left } = self.state else { return Ok(Step::Next) };
        let step = self.read_payload(csid, left, &mut kept)?;
        if !kept.is_empty() {
            let mut bytes = [0; HEADER_LEN_MAX];
            bytes[..kept.len()].copy_from_slice(kept);
            self.state = State::Header { bytes, len: kept.len() };
        }
        Ok(match step {
            Step::Wait => Step::Next,
            step => step,
        })
    }

    /// `None` while bytes are missing.
    fn parse_header(&self, bytes: &[u8]) -> Result<Option<WireHeader>, Error> {
        let Some((csid, basic_len)) = basic_header(bytes) else { return Ok(None) };
        let format = bytes[0] >> 6;
        let message_header_len = [11, 7, 3, 0][usize::from(format)];
        let Some(fields) = bytes.get(basic_len..basic_len + message_header_len) else { return Ok(None) };
        let stream = self.streams.get(&csid);
        let inherited = stream.and_then(|stream| stream.header);
        let mut header = WireHeader {
            csid,
            format,
            timestamp_field: 0,
            len: inherited.map_or(0, |header| header.len),
            kind: inherited.map_or(0, |header| header.kind),
            // A stream that begins with a type 1 chunk (librtmp's ping, some cameras) has no stream id to inherit.
            stream_id: inherited.map_or(0, |header| header.stream_id),
            extended: None,
            bytes: basic_len + message_header_len,
        };
        if format >= 2 && inherited.is_none() {
            return Err(Error::NoPreviousHeader { csid, format });
        }
        if format <= 2 {
            header.timestamp_field = u24(&fields[0..]);
        }
        if format <= 1 {
            header.len = u24(&fields[3..]) as usize;
            header.kind = fields[6];
        }
        if format == 0 {
            // The only little-endian field of the protocol, RTMP §5.3.1.2.1.
            header.stream_id = u32::from_le_bytes([fields[7], fields[8], fields[9], fields[10]]);
        }
        self.parse_extended(bytes, stream, header)
    }

    fn parse_extended(
        &self,
        bytes: &[u8],
        stream: Option<&ChunkStream>,
        mut header: WireHeader,
    ) -> Result<Option<WireHeader>, Error> {
        let previous = stream.and_then(|stream| stream.extended);
        let announced = header.format <= 2 && header.timestamp_field == TIMESTAMP_24_MAX;
        let possible = header.format == 3 && previous.is_some() && self.repeats_extended != Some(false);
        if !announced && !possible {
            return Ok(Some(header));
        }
        let Some(field) = bytes.get(header.bytes..header.bytes + 4) else { return Ok(None) };
        let value = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
        if announced || stream.is_some_and(|stream| self.is_repeated(stream, value)) {
            header.extended = Some(value);
            header.bytes += 4;
        }
        Ok(Some(header))
    }

    /// RTMP §5.3.1.3 repeats the extended timestamp in type 3 chunks; older encoders do not. In the middle of a
    /// message the repetition is recognised by its value. At the start of one the value may be new: then what was
    /// learnt in the middle of others counts, and before that whether it is near the last time.
    fn is_repeated(&self, stream: &ChunkStream, value: u32) -> bool {
        let begins = stream.partial.is_none();
        let near = value.wrapping_sub(stream.timestamp_ms) <= WRAP_24_WINDOW_MS;
        stream.extended == Some(value) || begins && (near || self.repeats_extended == Some(true))
    }

    /// Applies a header to its chunk stream, RTMP §5.3.1.2.
    fn enter_chunk(&mut self, wire: WireHeader) -> Result<(), Error> {
        if !self.streams.contains_key(&wire.csid) && self.streams.len() >= self.chunk_streams_max {
            return Err(Error::ChunkStreams { max: self.chunk_streams_max });
        }
        let stream = self.streams.entry(wire.csid).or_default();
        if let Some(partial) = &stream.partial {
            let same = stream.header.is_some_and(|header| header.len == wire.len && header.kind == wire.kind);
            // Some encoders repeat a short header where a type 3 belongs; SRS continues the message then, too.
            if wire.format != 0 && same {
                if wire.format == 3 && stream.extended.is_some() && self.repeats_extended.is_none() {
                    self.repeats_extended = Some(wire.extended.is_some());
                }
                self.state = State::Payload { csid: wire.csid, left: self.chunk_size.min(wire.len - partial.len()) };
                return Ok(());
            }
            self.held_bytes -= partial.capacity();
            self.abandoned_messages += 1;
            stream.partial = None;
        }
        if wire.len > self.limits.message_bytes_max {
            return Err(Error::MessageTooLong { bytes: wire.len, max: self.limits.message_bytes_max });
        }
        stream.begin_message(&wire);
        let buffer = BytesMut::with_capacity(wire.len.min(PREALLOCATED_MAX));
        self.held_bytes += buffer.capacity();
        stream.partial = Some(buffer);
        self.state = State::Payload { csid: wire.csid, left: self.chunk_size.min(wire.len) };
        self.check_held()
    }

    /// Copies payload of the current chunk; `Wait` when the input is used up before its end.
    fn read_payload(&mut self, csid: u32, left: usize, input: &mut &[u8]) -> Result<Step, Error> {
        let (now, later) = input.split_at(left.min(input.len()));
        let stream = self.streams.get_mut(&csid).expect("the state names a stream that a header made");
        let buffer = stream.partial.as_mut().expect("a chunk's payload is read inside a message");
        let before = buffer.capacity();
        if buffer.len() + now.len() > before {
            let len = stream.header.map_or(0, |header| header.len);
            buffer.reserve((len - buffer.len()).min(buffer.len().max(now.len())));
        }
        buffer.extend_from_slice(now);
        self.held_bytes += buffer.capacity() - before;
        *input = later;
        self.state = State::Payload { csid, left: left - now.len() };
        self.check_held()?;
        Ok(if left == now.len() { self.finish_chunk() } else { Step::Wait })
    }

    /// Ends the current chunk, and its message, if nothing is left of them.
    fn finish_chunk(&mut self) -> Step {
        let State::Payload { csid, left: 0 } = self.state else { return Step::Next };
        self.state = NO_HEADER;
        let stream = self.streams.get_mut(&csid).expect("the state names a stream that a header made");
        let header = stream.header.expect("a stream in a chunk has had a header");
        let Some(buffer) = stream.partial.take_if(|partial| partial.len() == header.len) else { return Step::Next };
        self.held_bytes -= buffer.capacity();
        Step::Message(Message {
            timestamp_ms: stream.timestamp_ms,
            kind: header.kind,
            stream_id: header.stream_id,
            payload: buffer.freeze(),
        })
    }

    fn check_held(&self) -> Result<(), Error> {
        match self.held_bytes > self.limits.held_bytes_max {
            true => Err(Error::Held { max: self.limits.held_bytes_max }),
            false => Ok(()),
        }
    }
}

impl ChunkStream {
    /// The header fields and the time of a new message.
    fn begin_message(&mut self, wire: &WireHeader) {
        self.header = Some(Header { len: wire.len, kind: wire.kind, stream_id: wire.stream_id });
        let value = wire.extended.unwrap_or(wire.timestamp_field);
        match wire.format {
            0 => {
                self.timestamp_ms = value.wrapping_add(self.dropped_high_bits(wire));
                self.delta_ms = if value <= TYPE_3_DELTA_MAX_MS { value } else { 0 };
                self.extended = wire.extended;
            }
            1 | 2 => {
                let cut = wire.extended.is_none() && value >= NEGATIVE_DELTA_24_MIN;
                self.delta_ms = if cut { value.wrapping_sub(1 << 24) } else { value };
                self.timestamp_ms = self.timestamp_ms.wrapping_add(self.delta_ms);
                self.extended = wire.extended;
            }
            _ => {
                // After a type 0 with an extended field, encoders put the new absolute time into the type 3's field.
                let absolute = wire.extended.filter(|value| self.delta_ms == 0 && Some(*value) != self.extended);
                self.timestamp_ms = absolute.unwrap_or(self.timestamp_ms.wrapping_add(self.delta_ms));
                self.extended = wire.extended.or(self.extended);
            }
        }
    }

    /// An encoder that knows no extended timestamps cuts its absolute stamps to 24 bits, which wrap after 4.66
    /// hours: the multiple of 2^24 that puts `wire` next to the last time of this stream, if one does.
    fn dropped_high_bits(&self, wire: &WireHeader) -> u32 {
        if wire.extended.is_some() {
            return 0;
        }
        let distance = self.timestamp_ms.wrapping_sub(wire.timestamp_field);
        let high_bits = distance.wrapping_add(1 << 23) & !TIMESTAMP_24_MAX;
        let near = distance.wrapping_sub(high_bits).wrapping_add(WRAP_24_WINDOW_MS) <= 2 * WRAP_24_WINDOW_MS;
        // Only a stream that has come near the end of the range can have wrapped.
        if near && self.timestamp_ms >= TIMESTAMP_24_MAX - WRAP_24_WINDOW_MS { high_bits } else { 0 }
    }
}

/// Chunk stream id and the header's length, RTMP §5.3.1.1; `None` while bytes are missing.
fn basic_header(bytes: &[u8]) -> Option<(u32, usize)> {
    match bytes.first()? & 0x3f {
        0 => Some((64 + u32::from(*bytes.get(1)?), 2)),
        1 => Some((64 + u32::from(*bytes.get(1)?) + 256 * u32::from(*bytes.get(2)?), 3)),
        small => Some((u32::from(small), 1)),
    }
}

/// The first three bytes, big-endian.
fn u24(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])
}

//! A client of our own for the session's tests: it speaks exactly the bytes that a test tells it to.
#![allow(dead_code, reason = "each test file uses its part")]

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use telstar_rtmp::amf::{self, Value};
use telstar_rtmp::chunk::{ChunkReader, ChunkWriter, Message, message_type};
use telstar_rtmp::limits::Limits;
use telstar_rtmp::{Config, Event, Session};

/// The parameter sets of x264 for 128x96 pixels at 25 frames per second in the baseline profile, and the
/// AudioSpecificConfig of 44.1 kHz stereo AAC-LC.
pub const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x0a, 0xd9, 0x02, 0x0d, 0xb0, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32,
    0x0f, 0x12, 0x26, 0x48,
];
pub const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];
pub const ASC: &[u8] = &[0x12, 0x10];

/// One end of a pair: a session, the client's chunk state, and everything that happened.
pub struct Pair {
    pub session: Session,
    pub now: Instant,
    pub events: Vec<Event>,
    pub replies: Vec<Message>,
    pub writer: ChunkWriter,
    reader: ChunkReader,
    handshake_left: usize,
}

impl Pair {
    /// A connection before its first byte.
    pub fn new() -> Pair {
        Pair::with(Config::new([1; 32]))
    }

    pub fn with(config: Config) -> Pair {
        let now = Instant::now();
        let mut reader = ChunkReader::new(&Limits::default());
        reader.set_limits(Limits::default().publisher);
        Pair {
            session: Session::new(config, now),
            now,
            events: Vec::new(),
            replies: Vec::new(),
            writer: ChunkWriter::default(),
            reader,
            handshake_left: 1 + 2 * 1_536,
        }
    }

    /// A connection that has been let in to publish `name`.
    pub fn publishing() -> Pair {
        let mut pair = Pair::new();
        pair.input(&client_start("live", "sk_test"));
        pair.session.accept_publish(pair.now);
        pair.drain();
        pair.events.clear();
        pair.replies.clear();
        pair
    }

    /// Gives bytes to the session and drains it.
    pub fn input(&mut self, bytes: &[u8]) {
        self.session.handle_input(self.now, bytes);
        self.drain();
    }

    /// Sends a message on its usual chunk stream.
    pub fn send(&mut self, timestamp_ms: u32, kind: u8, payload: &[u8]) {
        let bytes = encode(&self.writer, timestamp_ms, kind, 1, payload);
        self.input(&bytes);
    }

    pub fn command(&mut self, values: &[Value]) {
        self.send(0, message_type::COMMAND_AMF0, &amf_bytes(values));
    }

    pub fn video(&mut self, timestamp_ms: u32, body: &[u8]) {
        self.send(timestamp_ms, message_type::VIDEO, body);
    }

    pub fn audio(&mut self, timestamp_ms: u32, body: &[u8]) {
        self.send(timestamp_ms, message_type::AUDIO, body);
    }

    /// Lets time pass, and deadlines with it.
    pub fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.session.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            let mut rest = &output[..];
            let skip = rest.len().min(self.handshake_left);
            self.handshake_left -= skip;
            rest = &rest[skip..];
            while let Some(message) = self.reader.read(&mut rest).expect("the server writes valid chunks") {
                if message.kind == message_type::SET_CHUNK_SIZE {
                    let size = message.payload[..4].try_into().expect("four bytes");
                    self.reader.set_chunk_size(u32::from_be_bytes(size)).expect("the server sets a valid size");
                }
                self.replies.push(message);
            }
        }
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
    }

    /// The status and result codes that came, with their descriptions.
    pub fn codes(&self) -> Vec<String> {
        self.commands().iter().filter_map(|values| values.get(3)?.get("code")?.as_str().map(str::to_owned)).collect()
    }

    /// The commands that came.
    pub fn commands(&self) -> Vec<Vec<Value>> {
        let commands = self.replies.iter().filter(|message| message.kind == message_type::COMMAND_AMF0);
        commands.map(|message| amf::decode(&message.payload).expect("the server writes valid AMF0")).collect()
    }

    /// The events as words, without what may not be printed.
    pub fn words(&self) -> Vec<String> {
        self.events.iter().map(word).collect()
    }
}

/// One event as a word or two.
pub fn word(event: &Event) -> String {
    match event {
        Event::PublishRequested(request) => {
            let key = request.key.as_ref().map_or("-", |key| key.expose());
            format!("request {} {} {key}", request.app, request.name.as_deref().unwrap_or("-"))
        }
        Event::PlayRequested(request) => {
            let token = request.token.as_ref().map_or("-", |token| token.expose());
            format!("play {} {token}", request.name.as_deref().unwrap_or("-"))
        }
        Event::PlayEnded => "play ended".to_owned(),
        Event::TrackAdded(added) => format!("track {} {}", added.track.0, added.codec.name()),
        Event::Frame(frame) => {
            let telstar_media::Frame { dts, pts, key, payload, .. } = &frame.frame;
            let key = if *key { " key" } else { "" };
            format!("frame {} {dts} {pts} {}{key}", frame.track.0, payload.len())
        }
        Event::Metadata(_) => "metadata".into(),
        Event::ClockRestarted => "restart".to_owned(),
        Event::Warning(warning) => format!("warning {:?} x{}", warning.kind, warning.count),
        Event::PublishEnded(reason) => format!("ended {reason:?}"),
        Event::Closed(reason) => format!("closed {reason:?}"),
    }
}

pub fn amf_bytes(values: &[Value]) -> Bytes {
    let mut bytes = BytesMut::new();
    values.iter().for_each(|value| amf::encode(value, &mut bytes));
    bytes.freeze()
}

pub fn object(properties: &[(&str, Value)]) -> Value {
    Value::Object(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// A message as chunks, on the chunk stream that encoders use for its type.
pub fn encode(writer: &ChunkWriter, timestamp_ms: u32, kind: u8, stream_id: u32, payload: &[u8]) -> BytesMut {
    let csid = match kind {
        message_type::AUDIO => 4,
        message_type::VIDEO => 6,
        message_type::COMMAND_AMF0 | message_type::COMMAND_AMF3 => 3,
        message_type::DATA_AMF0 | message_type::DATA_AMF3 => 5,
        _ => 2,
    };
    let mut bytes = BytesMut::new();
    let message = Message { timestamp_ms, kind, stream_id, payload: Bytes::copy_from_slice(payload) };
    writer.write(csid, &message, &mut bytes);
    bytes
}

/// C0, C1 and C2 of a plain client that does not wait.
pub fn handshake() -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.resize(1 + 2 * 1_536, 0);
    bytes
}

pub fn connect(app: &str) -> Bytes {
    let properties = object(&[
        ("app", app.into()),
        ("type", "nonprivate".into()),
        ("flashVer", "FMLE/3.0 (compatible; test)".into()),
        ("tcUrl", "rtmp://host/live".into()),
    ]);
    amf_bytes(&["connect".into(), 1.0.into(), properties])
}

pub fn publish(name: &str) -> Bytes {
    amf_bytes(&["publish".into(), 5.0.into(), Value::Null, name.into(), "live".into()])
}

/// Everything an encoder sends up to its publish request, as OBS sends it.
pub fn client_start(app: &str, name: &str) -> Vec<u8> {
    let writer = ChunkWriter::default();
    let mut bytes = BytesMut::from(&handshake()[..]);
    let mut command = |stream_id, payload: &Bytes| {
        bytes.put(encode(&writer, 0, message_type::COMMAND_AMF0, stream_id, payload));
    };
    command(0, &connect(app));
    command(0, &amf_bytes(&["releaseStream".into(), 2.0.into(), Value::Null, name.into()]));
    command(0, &amf_bytes(&["FCPublish".into(), 3.0.into(), Value::Null, name.into()]));
    command(0, &amf_bytes(&["createStream".into(), 4.0.into(), Value::Null]));
    command(1, &publish(name));
    bytes.to_vec()
}

/// An AVC sequence header of `sps` and `pps`.
pub fn avc_header(sps: &[u8], pps: &[u8]) -> Vec<u8> {
    let mut body = vec![0x17, 0, 0, 0, 0, 1, sps[1], sps[2], sps[3], 0xff, 0xe1];
    body.put_u16(sps.len() as u16);
    body.put_slice(sps);
    body.put_u8(1);
    body.put_u16(pps.len() as u16);
    body.put_slice(pps);
    body
}

/// An AVC access unit of NAL units behind 4-byte lengths.
pub fn avc_frame(key: bool, composition_ms: i32, units: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![if key { 0x17 } else { 0x27 }, 1];
    body.put_int(composition_ms.into(), 3);
    for unit in units {
        body.put_u32(unit.len() as u32);
        body.put_slice(unit);
    }
    body
}

/// An IDR slice (first macroblock 0, slice type 7) and a P slice (0, 5).
pub const IDR: &[u8] = &[0x65, 0b1000_1000, 0x84, 0x21];
pub const P_SLICE: &[u8] = &[0x41, 0b1001_1010, 0x24];

pub fn aac_header() -> Vec<u8> {
    [&[0xaf, 0], ASC].concat()
}

pub fn aac_frame() -> Vec<u8> {
    vec![0xaf, 1, 0x21, 0x10, 0x04, 0x60]
}

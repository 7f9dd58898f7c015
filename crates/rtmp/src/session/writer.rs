//! Everything a server says: control messages, results and statuses, as chunks in one buffer.

use bytes::{BufMut, Bytes, BytesMut};

use crate::amf::{self, Value};
use crate::capabilities::Capabilities;
use crate::chunk::{ChunkWriter, Message, message_type};
use crate::session::{PlayRefusal, RejectReason};

/// Chunk streams: 2 is reserved for control (RTMP §5.3.1), 3 and 5 are what Adobe's server uses.
const CONTROL_CSID: u8 = 2;
const COMMAND_CSID: u8 = 3;
const STATUS_CSID: u8 = 5;
/// What players are sent, on the chunk streams that encoders use for it.
const AUDIO_CSID: u8 = 4;
const VIDEO_CSID: u8 = 6;
const DATA_CSID: u8 = 7;
/// The chunk size of our direction: every answer fits into one chunk, and a picture for a player has one byte of header
/// in so many.
const CHUNK_SIZE: u32 = 4_096;
/// How many bytes either side may have unacknowledged. The value that ffmpeg and nginx-rtmp use.
const WINDOW_BYTES: u32 = 2_500_000;
/// User control events, RTMP §6.2 and §7.1.7.
const STREAM_BEGIN: u16 = 0;
const STREAM_EOF: u16 = 1;
const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;

/// The output side of a session.
pub(super) struct Writer {
    out: BytesMut,
    chunks: ChunkWriter,
    window_bytes: u32,
    acknowledged_bytes: u64,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer {
            out: BytesMut::new(),
            chunks: ChunkWriter::default(),
            window_bytes: WINDOW_BYTES,
            acknowledged_bytes: 0,
        }
    }
}

impl Writer {
    pub(super) fn poll(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| self.out.split().freeze())
    }

    /// For the handshake, which is not chunked.
    pub(super) fn raw(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// The peer's wish how often to be acknowledged. At most one acknowledgement follows one input, however small.
    pub(super) fn set_window(&mut self, bytes: u32) {
        self.window_bytes = bytes.max(1);
    }

    /// RTMP §5.4.3: the total, which wraps.
    pub(super) fn acknowledge(&mut self, bytes_in: u64) {
        if bytes_in - self.acknowledged_bytes >= u64::from(self.window_bytes) {
            self.acknowledged_bytes = bytes_in;
            self.control(message_type::ACKNOWLEDGEMENT, &(bytes_in as u32).to_be_bytes());
        }
    }

    pub(super) fn ping_request(&mut self) {
        self.user_control(PING_REQUEST, 0);
    }

    /// A ping gets its own bytes back; everything else is for players.
    pub(super) fn answer_user_control(&mut self, body: &[u8]) {
        let &[high, low, a, b, c, d, ..] = body else { return };
        if u16::from_be_bytes([high, low]) == PING_REQUEST {
            self.user_control(PING_RESPONSE, u32::from_be_bytes([a, b, c, d]));
        }
    }

    /// Everything an encoder expects after `connect`, in the order of RTMP §7.2.1.1.
    pub(super) fn connect_success(&mut self, transaction: f64, capabilities: &Capabilities) {
        self.control(message_type::WINDOW_ACK_SIZE, &WINDOW_BYTES.to_be_bytes());
        // Limit type 2: dynamic.
        let mut bandwidth = WINDOW_BYTES.to_be_bytes().to_vec();
        bandwidth.push(2);
        self.control(message_type::SET_PEER_BANDWIDTH, &bandwidth);
        self.control(message_type::SET_CHUNK_SIZE, &CHUNK_SIZE.to_be_bytes());
        self.chunks.set_chunk_size(CHUNK_SIZE);
        self.user_control(STREAM_BEGIN, 0);
        let mut properties =
            vec![("fmsVer", "FMS/3,5,7,7009".into()), ("capabilities", 31.0.into()), ("mode", 1.0.into())];
        properties.extend(capabilities.answer());
        let properties = object(&properties);
        let information = object(&[
            ("level", "status".into()),
            ("code", "NetConnection.Connect.Success".into()),
            ("description", "Connection succeeded.".into()),
            // AMF0, whatever the client can do.
            ("objectEncoding", 0.0.into()),
        ]);
        self.command(0, &["_result".into(), transaction.into(), properties, information]);
    }

    pub(super) fn connect_rejected(&mut self, transaction: f64, description: &str) {
        let information = status("error", "NetConnection.Connect.Rejected", description);
        self.command(0, &["_error".into(), transaction.into(), Value::Null, information]);
    }

    /// The answer to a call that has one. Transaction 0 wants none, RTMP §7.2.2.
    pub(super) fn result(&mut self, transaction: f64, value: Value) {
        if transaction != 0.0 {
            self.command(0, &["_result".into(), transaction.into(), Value::Null, value]);
        }
    }

    pub(super) fn call_failed(&mut self, transaction: f64, description: &str) {
        if transaction != 0.0 {
            let information = status("error", "NetConnection.Call.Failed", description);
            self.command(0, &["_error".into(), transaction.into(), Value::Null, information]);
        }
    }

    /// FMLE and its successors wait for this before they publish.
    pub(super) fn on_fc_publish(&mut self) {
        let information = status("status", "NetStream.Publish.Start", "FCPublish");
        self.command(0, &["onFCPublish".into(), 0.0.into(), Value::Null, information]);
    }

    pub(super) fn on_fc_unpublish(&mut self) {
        let information = status("status", "NetStream.Unpublish.Success", "FCUnpublish");
        self.command(0, &["onFCUnpublish".into(), 0.0.into(), Value::Null, information]);
    }

    pub(super) fn publish_start(&mut self, stream_id: u32) {
        self.user_control(STREAM_BEGIN, stream_id);
        self.on_status(stream_id, status("status", "NetStream.Publish.Start", "Publishing."));
    }

    pub(super) fn unpublished(&mut self, stream_id: u32) {
        self.on_status(stream_id, status("status", "NetStream.Unpublish.Success", "The stream has ended."));
    }

    pub(super) fn publish_error(&mut self, stream_id: u32, reason: RejectReason) {
        self.on_status(stream_id, status("error", reason.code(), reason.description()));
    }

    pub(super) fn publish_refused(&mut self, stream_id: u32, description: &str) {
        self.on_status(stream_id, status("error", "NetStream.Publish.BadName", description));
    }

    /// Enhanced RTMP v2, "Reconnect Request": without `tcUrl`, so that the client comes back to the address it used.
    pub(super) fn reconnect_request(&mut self) {
        let words = "The server is about to stop; please connect again.";
        let information = status("status", "NetConnection.Connect.ReconnectRequest", words);
        self.command(0, &["onStatus".into(), 0.0.into(), Value::Null, information]);
    }

    /// A peer that broke the protocol or a limit is told which, as far as it still listens.
    pub(super) fn connection_failed(&mut self, stream_id: u32, description: &str) {
        self.on_status(stream_id, status("error", "NetConnection.Connect.Closed", description));
    }

    /// What players wait for, in the order of RTMP §7.2.2.1.
    pub(super) fn play_start(&mut self, stream_id: u32) {
        self.user_control(STREAM_BEGIN, stream_id);
        self.on_status(stream_id, status("status", "NetStream.Play.Reset", "Playing and resetting."));
        self.on_status(stream_id, status("status", "NetStream.Play.Start", "Started playing."));
        // Flash asked for it before it showed anything; ffmpeg and rtmpdump pass over it.
        self.values(stream_id, &["|RtmpSampleAccess".into(), Value::Boolean(true), Value::Boolean(true)]);
    }

    /// The stream is there again behind an end.
    pub(super) fn play_begins_again(&mut self, stream_id: u32) {
        self.user_control(STREAM_BEGIN, stream_id);
        self.on_status(stream_id, status("status", "NetStream.Play.PublishNotify", "The stream is live."));
    }

    pub(super) fn play_ended(&mut self, stream_id: u32) {
        self.user_control(STREAM_EOF, stream_id);
        self.on_status(stream_id, status("status", "NetStream.Play.UnpublishNotify", "The stream has ended."));
    }

    /// The player asked for the end.
    pub(super) fn play_stopped(&mut self, stream_id: u32) {
        self.user_control(STREAM_EOF, stream_id);
        self.on_status(stream_id, status("status", "NetStream.Play.Stop", "Stopped playing."));
    }

    pub(super) fn play_paused(&mut self, stream_id: u32, paused: bool) {
        let (event, code) = match paused {
            true => (STREAM_EOF, "NetStream.Pause.Notify"),
            false => (STREAM_BEGIN, "NetStream.Unpause.Notify"),
        };
        self.user_control(event, stream_id);
        self.on_status(stream_id, status("status", code, if paused { "Paused." } else { "Goes on." }));
    }

    pub(super) fn play_refused(&mut self, stream_id: u32, refusal: PlayRefusal) {
        self.on_status(stream_id, status("error", refusal.code(), refusal.description()));
    }

    pub(super) fn play_failed(&mut self, stream_id: u32, description: &str) {
        self.on_status(stream_id, status("error", "NetStream.Play.Failed", description));
    }

    pub(super) fn play_warning(&mut self, stream_id: u32, code: &str, description: &str) {
        self.on_status(stream_id, status("warning", code, description));
    }

    /// rtmpdump and Flash ask for it before they play, and may wait.
    pub(super) fn on_fc_subscribe(&mut self) {
        let information = status("status", "NetStream.Play.Start", "FCSubscribe");
        self.command(0, &["onFCSubscribe".into(), 0.0.into(), Value::Null, information]);
    }

    /// A picture or sound whose body lies in two places.
    pub(super) fn media(&mut self, stream_id: u32, kind: u8, timestamp_ms: u32, parts: [&[u8]; 2]) {
        let csid = if kind == message_type::VIDEO { VIDEO_CSID } else { AUDIO_CSID };
        self.chunks.write_parts(csid, timestamp_ms, kind, stream_id, parts, &mut self.out);
    }

    pub(super) fn data(&mut self, stream_id: u32, timestamp_ms: u32, body: &[u8]) {
        let kind = message_type::DATA_AMF0;
        self.chunks.write_parts(DATA_CSID, timestamp_ms, kind, stream_id, [body, &[]], &mut self.out);
    }

    fn values(&mut self, stream_id: u32, values: &[Value]) {
        let mut body = BytesMut::new();
        values.iter().for_each(|value| amf::encode(value, &mut body));
        self.data(stream_id, 0, &body);
    }

    fn on_status(&mut self, stream_id: u32, information: Value) {
        self.send(STATUS_CSID, stream_id, &["onStatus".into(), 0.0.into(), Value::Null, information]);
    }

    fn command(&mut self, stream_id: u32, values: &[Value]) {
        self.send(COMMAND_CSID, stream_id, values);
    }

    fn send(&mut self, csid: u8, stream_id: u32, values: &[Value]) {
        let mut payload = BytesMut::new();
        values.iter().for_each(|value| amf::encode(value, &mut payload));
        let kind = message_type::COMMAND_AMF0;
        let message = Message { timestamp_ms: 0, kind, stream_id, payload: payload.freeze() };
        self.chunks.write(csid, &message, &mut self.out);
    }

    fn user_control(&mut self, event: u16, value: u32) {
        let mut body = BytesMut::with_capacity(6);
        body.put_u16(event);
        body.put_u32(value);
        self.control(message_type::USER_CONTROL, &body);
    }

    fn control(&mut self, kind: u8, body: &[u8]) {
        let message = Message { timestamp_ms: 0, kind, stream_id: 0, payload: Bytes::copy_from_slice(body) };
        self.chunks.write(CONTROL_CSID, &message, &mut self.out);
    }
}

fn status(level: &str, code: &str, description: &str) -> Value {
    object(&[("level", level.into()), ("code", code.into()), ("description", description.into())])
}

fn object(properties: &[(&str, Value)]) -> Value {
    Value::Object(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

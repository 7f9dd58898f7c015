//! Every limit of a connection and a topic, with what a higher and a lower value costs.

use std::time::Duration;

/// The longest text message of a client that is in no call, in bytes; a longer one closes with 1009.
/// Higher: more memory per hostile connection. Lower: a long token no longer fits. Guess: sixteen tokens of the longest kind.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// The same for a client that has joined a call, and so has shown a credential: an SDP of [`SDP_BYTES_MAX`] as a JSON text,
/// in which each line end takes four bytes instead of two, and what stands around it.
pub const CALL_MESSAGE_BYTES_MAX: usize = 384 * 1024;
/// The longest SDP, in bytes. A browser writes 1.5 to 2 KiB for a video section with four codecs, so that a connection of 100
/// sections answers with about 200 KiB. Higher: more to parse for one message. Lower: fewer sections.
pub const SDP_BYTES_MAX: usize = 256 * 1024;
/// The longest name of a participant or a track, in characters after NFC; as room titles.
pub const NAME_CHARS_MAX: usize = 100;
/// The longest metadata of a participant, in bytes. It is in every joiner's state, so it costs participants times this. Guess.
pub const METADATA_BYTES_MAX: usize = 8 * 1024;
/// The longest label of a data message, in bytes. Guess: a dotted name of an application.
pub const LABEL_BYTES_MAX: usize = 64;
/// The longest ICE candidate, in bytes. Browsers write about 150; an mDNS name and extensions add some.
pub const CANDIDATE_BYTES_MAX: usize = 512;
/// The longest name of a media section or a layer, in bytes. RFC 8852 §3 and RFC 5888 §9.1 allow tokens; browsers write one or two digits,
/// and the one-byte header extensions that carry them hold 16 (RFC 8285 §4.2). Twice that for programs that use two-byte ones.
pub const MID_BYTES_MAX: usize = 32;
/// The longest session id and the longest secret, in bytes. 32 random bytes in base64url take 43.
pub const SECRET_BYTES_MAX: usize = 64;
/// The longest payload of a data message, in bytes of JSON. Higher: one message costs participants times this. Guess: LiveKit allows 15 KiB.
pub const DATA_BYTES_MAX: usize = 16 * 1024;
/// Tracks in one `publish`, and tracks that one participant may have. Higher: one client can fill everybody's slots. Guess.
pub const TRACKS_MAX: usize = 16;
/// Simulcast layers of one track: low, medium, high.
pub const LAYERS_MAX: usize = 3;
/// Receivers that one data message can name; to more of them, send to all.
pub const DATA_RECEIVERS_MAX: usize = 64;
/// Request ids that one `resume` can ask about. A client has fewer requests open than it may send at once.
pub const PENDING_MAX: usize = 256;
/// Candidates, signals and data messages per second in the long run, counted apart from other requests so that neither starves
/// the other. Guess: a cursor at 30 a second, and trickled candidates beside it.
pub const MESSAGES_PER_SEC: u32 = 50;
/// Candidates, signals and data messages at once. Guess: both connections' candidates on a machine with many addresses.
pub const MESSAGES_BURST: u32 = 200;
/// How long a joined connection without a socket is kept, with everything it has not been able to say. Higher: the others see an
/// absent person longer, and its events cost memory. Lower: a change from Wi-Fi to mobile data ends calls. An outage of 30 s is
/// survived: by then clients try every 8 s, and the try itself takes a moment.
pub const RESUME_WINDOW: Duration = Duration::from_secs(40);
/// Messages that were written but may not have arrived, kept for `resume`. When there are more, the oldest go, and a client that
/// did not get them is answered `gone`. Pings confirm them (see [`CONFIRM_MESSAGES`]). Guess: a meeting of 500 that all join.
pub const RESUME_MESSAGES_MAX: usize = 2_048;
/// Bytes of the same. Higher: more memory per participant; texts that everybody gets are shared and stand here once each.
pub const RESUME_BYTES_MAX: usize = 1024 * 1024;
/// A ping goes out when this many messages are unconfirmed. Lower: more pings. Higher: more memory per participant, always.
pub const CONFIRM_MESSAGES: usize = 64;
/// [`OUTBOX_MESSAGES_MAX`] of a connection that has joined a call.
pub const CALL_OUTBOX_MESSAGES_MAX: usize = 1_024;
/// [`OUTBOX_BYTES_MAX`] of a connection that has joined a call: the state of 500 participants with two tracks each is about
/// 400 KiB, and an offer with 100 sections 200 KiB; both, twice, and what else happens meanwhile.
pub const CALL_OUTBOX_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How long the shell may take to answer `join` before the client is told to try again.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests of one connection that wait for the call's answer; the next is answered `busy`.
pub const CALL_REQUESTS_MAX: usize = 256;
/// The deepest nesting of arrays and objects in a client's message; a deeper one closes with 4400.
/// The protocol needs 2; the rest is room for clients' own data. Guess.
pub const JSON_DEPTH_MAX: usize = 16;
/// The longest `id` of a request when it is a string, in bytes. It is echoed, so it costs outbox bytes. Guess: a UUID has 36.
pub const REQUEST_ID_BYTES_MAX: usize = 64;
/// The longest token in `authenticate`, in bytes. Guess: room tokens with grants are below 1 KiB.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;
/// Topics that one connection may subscribe to; the next one is answered `too_many_subscriptions`.
/// Higher: one connection can make more fan-out work. Lower: a page that lists rooms must page them. Guess.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// Messages waiting to be written; see [`OUTBOX_BYTES_MAX`].
pub const OUTBOX_MESSAGES_MAX: usize = 256;
/// Bytes waiting to be written. At either limit a waiting event with the same key is replaced by the newest; when that frees
/// nothing the connection closes with 4408. An empty outbox takes any one message, so that a large snapshot can always leave.
/// Higher: more memory per slow client. Lower: a short stall of the network already closes. Guess: 200 room states.
pub const OUTBOX_BYTES_MAX: usize = 256 * 1024;
/// Requests per second in the long run; above it they are answered `rate_limited`. Guess: trickled candidates come at about 10 a second.
pub const REQUESTS_PER_SEC: u32 = 20;
/// Requests that may come at once after a quiet time. Guess: a page that subscribes to everything it may, and a call's negotiation.
pub const REQUESTS_BURST: u32 = 100;
/// Requests in a row over the rate before the connection closes with 4409: it is not listening to the errors.
pub const OVERRUNS_MAX: u32 = 100;
/// Failed `authenticate` requests before the connection closes with 4401. Higher: more guesses per connection.
pub const AUTHENTICATION_FAILURES_MAX: u32 = 3;
/// Silence after which a ping is sent. Lower: more packets and radio wake-ups. Higher: NATs and proxies forget the connection;
/// nginx closes a silent upstream after 60 s (`proxy_read_timeout`).
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(20);
/// Silence after which the connection counts as dead and closes with 4408: two pings went unanswered.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// How long the oldest waiting message may wait for the socket before the connection closes with 4408, however little waits. Guess.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the shell may take to say who a token belongs to before the connection closes with 4401.
pub const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a closing connection may take to write what waits, send its close frame and hear the peer's.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// The shortest time between two events of a topic about the same thing: changes in between are seen as one.
/// Higher: stale viewers' counts. Lower: a hundred joins a second cost a hundred fan-outs. Guess: below what a person notices.
pub const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);

const _: () = assert!(IDLE_TIMEOUT.as_secs() > 2 * HEARTBEAT_INTERVAL.as_secs(), "two pings fit into the idle timeout");
const _: () = assert!(
    CLOSE_TIMEOUT.as_secs() < STALL_TIMEOUT.as_secs(),
    "a closing connection never waits longer than an open one"
);
const _: () = assert!(MESSAGE_BYTES_MAX < OUTBOX_BYTES_MAX, "an echo of the largest message fits into the outbox");
const _: () = assert!(SUBSCRIPTIONS_MAX < OUTBOX_MESSAGES_MAX, "one state of every topic fits into the outbox");
const _: () = assert!(TOKEN_BYTES_MAX < MESSAGE_BYTES_MAX, "the longest token fits into a message");
const _: () = assert!(SDP_BYTES_MAX * 5 / 4 < CALL_MESSAGE_BYTES_MAX, "the longest SDP fits into a message as JSON");
const _: () =
    assert!(METADATA_BYTES_MAX * 6 < MESSAGE_BYTES_MAX, "the longest metadata fits into a join, however it is escaped");
const _: () = assert!(CALL_MESSAGE_BYTES_MAX < CALL_OUTBOX_BYTES_MAX, "the longest offer fits into the outbox");
const _: () = assert!(CONFIRM_MESSAGES < RESUME_MESSAGES_MAX, "a ping goes out before anything has to be dropped");

/// The limits of a [`crate::Connection`]. Worst-case memory: `outbox_bytes_max` and one snapshot, plus 200 bytes per
/// subscription; in a call `call_outbox_bytes_max` and `resume_bytes_max`, most of it shared with the other participants.
#[derive(Clone, Debug)]
pub struct Limits {
    /// See [`MESSAGE_BYTES_MAX`].
    pub message_bytes_max: usize,
    /// See [`JSON_DEPTH_MAX`].
    pub json_depth_max: usize,
    /// See [`SUBSCRIPTIONS_MAX`].
    pub subscriptions_max: usize,
    /// See [`OUTBOX_MESSAGES_MAX`].
    pub outbox_messages_max: usize,
    /// See [`OUTBOX_BYTES_MAX`].
    pub outbox_bytes_max: usize,
    /// See [`REQUESTS_PER_SEC`].
    pub requests_per_sec: u32,
    /// See [`REQUESTS_BURST`].
    pub requests_burst: u32,
    /// See [`OVERRUNS_MAX`].
    pub overruns_max: u32,
    /// See [`AUTHENTICATION_FAILURES_MAX`].
    pub authentication_failures_max: u32,
    /// See [`HEARTBEAT_INTERVAL`].
    pub heartbeat_interval: Duration,
    /// See [`IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// See [`STALL_TIMEOUT`].
    pub stall_timeout: Duration,
    /// See [`AUTHENTICATION_TIMEOUT`].
    pub authentication_timeout: Duration,
    /// See [`CLOSE_TIMEOUT`].
    pub close_timeout: Duration,
    /// See [`CALL_MESSAGE_BYTES_MAX`].
    pub call_message_bytes_max: usize,
    /// See [`CALL_OUTBOX_MESSAGES_MAX`].
    pub call_outbox_messages_max: usize,
    /// See [`CALL_OUTBOX_BYTES_MAX`].
    pub call_outbox_bytes_max: usize,
    /// See [`MESSAGES_PER_SEC`].
    pub messages_per_sec: u32,
    /// See [`MESSAGES_BURST`].
    pub messages_burst: u32,
    /// See [`CALL_REQUESTS_MAX`].
    pub call_requests_max: usize,
    /// See [`JOIN_TIMEOUT`].
    pub join_timeout: Duration,
    /// See [`RESUME_WINDOW`].
    pub resume_window: Duration,
    /// See [`RESUME_MESSAGES_MAX`].
    pub resume_messages_max: usize,
    /// See [`RESUME_BYTES_MAX`].
    pub resume_bytes_max: usize,
    /// See [`CONFIRM_MESSAGES`].
    pub confirm_messages: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_bytes_max: MESSAGE_BYTES_MAX,
            json_depth_max: JSON_DEPTH_MAX,
            subscriptions_max: SUBSCRIPTIONS_MAX,
            outbox_messages_max: OUTBOX_MESSAGES_MAX,
            outbox_bytes_max: OUTBOX_BYTES_MAX,
            requests_per_sec: REQUESTS_PER_SEC,
            requests_burst: REQUESTS_BURST,
            overruns_max: OVERRUNS_MAX,
            authentication_failures_max: AUTHENTICATION_FAILURES_MAX,
            heartbeat_interval: HEARTBEAT_INTERVAL,
            idle_timeout: IDLE_TIMEOUT,
            stall_timeout: STALL_TIMEOUT,
            authentication_timeout: AUTHENTICATION_TIMEOUT,
            close_timeout: CLOSE_TIMEOUT,
            call_message_bytes_max: CALL_MESSAGE_BYTES_MAX,
            call_outbox_messages_max: CALL_OUTBOX_MESSAGES_MAX,
            call_outbox_bytes_max: CALL_OUTBOX_BYTES_MAX,
            messages_per_sec: MESSAGES_PER_SEC,
            messages_burst: MESSAGES_BURST,
            call_requests_max: CALL_REQUESTS_MAX,
            join_timeout: JOIN_TIMEOUT,
            resume_window: RESUME_WINDOW,
            resume_messages_max: RESUME_MESSAGES_MAX,
            resume_bytes_max: RESUME_BYTES_MAX,
            confirm_messages: CONFIRM_MESSAGES,
        }
    }
}

/// The limits of a topic.
#[derive(Clone, Debug)]
pub struct TopicLimits {
    /// See [`PUBLISH_INTERVAL`].
    pub publish_interval: Duration,
}

impl Default for TopicLimits {
    fn default() -> TopicLimits {
        TopicLimits { publish_interval: PUBLISH_INTERVAL }
    }
}

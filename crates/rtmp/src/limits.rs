//! Every limit of the core, with what happens when it is reached.
//!
//! Two sets of memory limits exist because a peer that has not been let in may cost next to nothing:
//! [`ChunkLimits::STRANGER`] until a publish is accepted, [`Limits::publisher`] afterwards.

use std::time::Duration;

/// Nesting of AMF values. Real metadata nests three deep. Deeper is refused with the whole message.
/// Higher costs stack (about 200 bytes a level), lower refuses exotic metadata. Found: guess, with a wide margin.
pub const AMF_DEPTH_MAX: usize = 16;
/// AMF values in one message, counted with every property and element.
/// Higher costs memory (about 60 bytes a value), lower refuses long cue-point lists. Found: OBS sends 20, guess.
pub const AMF_VALUES_MAX: usize = 4_096;
/// Bytes of a command or data message that are decoded at all. Longer ones are refused.
/// Higher costs time per message, lower refuses metadata with embedded pictures. Found: guess.
pub const AMF_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of an application, stream or encoder name. Longer names are refused (or cut, for the encoder's).
pub const NAME_BYTES_MAX: usize = 512;
/// Message streams (`createStream`) per connection. One is used; encoders that reconnect inside a connection use a
/// few. Further ones are answered with an error.
pub const MESSAGE_STREAMS_MAX: u32 = 64;
/// Tracks of one publishing connection. Further ones are dropped and told as a warning.
pub const TRACKS_MAX: usize = 16;
/// Frames of one message, and tags of an aggregate one. A frame costs more memory than the four bytes that it can have in
/// a message of 8 MiB. Higher lets one message become hundreds of megabytes; lower would meet encoders that send seconds
/// at once. Further ones are dropped. Found: guess.
pub const MESSAGE_FRAMES_MAX: usize = 2_048;
/// How often the tracks of one publish may change codec or clock. Each change costs viewers a discontinuity; a track that
/// changes beyond it is silent until the next publish. Higher lets a broken encoder trouble viewers for longer, lower
/// silences one whose operator tries settings. Found: guess.
pub const TRACK_CHANGES_MAX: u32 = 64;
/// How often the configuration of tracks may change, within one codec and clock: so many times at once, and once in each
/// interval. Each change is another init segment, a discontinuity and a segment that ends, however short it is; a track
/// that changes faster is silent until the next publish. Higher lets an encoder of nonsense fill playlists, lower silences
/// one that follows its network with its picture's size. Found: guess.
pub const CONFIGURATION_CHANGES_MAX: u32 = 64;
/// See [`CONFIGURATION_CHANGES_MAX`].
pub const CONFIGURATION_CHANGE_INTERVAL: Duration = Duration::from_secs(1);
/// A type 3 chunk that begins a message repeats the previous delta; after a type 0 chunk that delta is the absolute
/// stamp (RTMP §5.3.1.2.4), which is right for ffmpeg near the start of a stream and absurd later, where other
/// encoders mean "no delta". Up to this value the standard is followed, above it the delta is zero. Found: guess.
pub const TYPE_3_DELTA_MAX_MS: u32 = 5_000;
/// A 24-bit delta from here on is a negative one that its sender cut to 24 bits. As a positive delta it would be a
/// gap of 2.3 hours, longer than any idle deadline.
pub const NEGATIVE_DELTA_24_MIN: u32 = 1 << 23;
/// How near to the end and start of the 24-bit range two absolute stamps must lie to be a wrap of an encoder that
/// knows no extended timestamps. Higher takes restarts for wraps, lower misses wraps over a pause. Found: guess.
pub const WRAP_24_WINDOW_MS: u32 = 60_000;

/// How long a player waits for a track that it can take, when the first ones are none. Sound and picture begin within a
/// few frames of each other. Then it is told. Found: guess.
pub const NO_CODEC_PATIENCE: Duration = Duration::from_secs(3);

/// What a chunk reader may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Bytes of one message. A longer one closes the connection, before anything is allocated for it.
    pub message_bytes_max: usize,
    /// Bytes held in unfinished messages over all chunk streams of the connection. Beyond it the connection closes.
    pub held_bytes_max: usize,
}

impl ChunkLimits {
    /// Before a publish is accepted: commands only.
    pub const STRANGER: ChunkLimits = ChunkLimits { message_bytes_max: 64 * 1_024, held_bytes_max: 128 * 1_024 };
}

/// The limits of one connection.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Memory of a connection whose publish was accepted.
    ///
    /// Default 10 MiB a message (a 4K intra frame at 200 Mb/s has 3 MiB; gortmplib has the same cap) and 16 MiB held.
    /// Higher costs memory per connection, lower refuses extreme pictures.
    pub publisher: ChunkLimits,
    /// Chunk streams of one connection. Real encoders use 3 to 8, multitrack ones up to 20. Beyond it the
    /// connection closes.
    pub chunk_streams_max: usize,
    /// The smallest chunk size a peer may set. The standard allows 1 and recommends 128 (RTMP §5.4.1); 1-byte
    /// chunks multiply the work per byte by fifty. A smaller one closes the connection.
    pub chunk_size_min: u32,
    /// Bytes a connection may send before its publish request. Beyond it the connection closes.
    /// An honest client needs 5 KiB.
    pub stranger_bytes_max: u64,
    /// Messages in a row that carried no media and no command. Beyond it the connection closes: it only burns CPU.
    pub useless_messages_max: u32,
    /// Connecting to the end of the handshake.
    pub handshake_timeout: Duration,
    /// End of the handshake to `connect`.
    pub connect_timeout: Duration,
    /// `connect`, or the end of a publish, to the next `publish`.
    pub publish_timeout: Duration,
    /// Silence after which the connection is taken for dead while it publishes. At half of it a ping is sent; an
    /// answer counts as life. Higher keeps dead rooms "live" for longer, lower cuts encoders on bad mobile links.
    pub idle_timeout: Duration,
    /// How long C1 may follow C0 before S0 and S1 are sent without it: some clients wait for them first.
    pub early_s1_after: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            publisher: ChunkLimits { message_bytes_max: 10 << 20, held_bytes_max: 16 << 20 },
            chunk_streams_max: 64,
            chunk_size_min: 128,
            stranger_bytes_max: 256 * 1_024,
            useless_messages_max: 10_000,
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            publish_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(15),
            early_s1_after: Duration::from_millis(500),
        }
    }
}

const _: () = assert!(ChunkLimits::STRANGER.message_bytes_max <= ChunkLimits::STRANGER.held_bytes_max);
const _: () = assert!(AMF_BYTES_MAX <= ChunkLimits::STRANGER.message_bytes_max, "every command fits before publishing");
const _: () = assert!(NAME_BYTES_MAX < AMF_BYTES_MAX);

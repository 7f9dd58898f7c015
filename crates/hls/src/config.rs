//! Settings of a packager, and the named limits that are not settings.

use std::time::Duration;

/// What an operator may choose. The defaults suit a laptop and a lecture hall alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HlsConfig {
    /// Least media in a part; the part target is the smallest whole number of frames of at least this. Smaller lowers
    /// latency (a player stays three parts behind) and costs a request per viewer and part. 333 ms keeps camera to
    /// screen below 2 s.
    pub part: Duration,
    /// A segment ends at the first keyframe at or after this. Longer lists fewer segments and holds more in memory.
    pub segment_min: Duration,
    /// How long the first playlist waits for a whole group of pictures before it settles for what it has seen.
    pub first_playlist_wait: Duration,
    /// Target durations that stay listed. RFC 8216bis §6.2.2 asks for at least three; one more absorbs a slow reload.
    /// With a disk it is what stays in memory.
    pub window_target_durations: u32,
    /// What stays listed when somebody keeps segments, see [`crate::Packager::with_disk`].
    pub dvr_window: DvrWindow,
    /// Pictures that not every player decodes may have H.264 beside them, see [`crate::Packager::want_alternate`].
    pub h264_beside: bool,
}

/// What stays listed behind the live edge, if there is a disk to keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DvrWindow {
    /// Nothing: memory is all there is.
    Off,
    /// So much media from the end.
    Last(Duration),
    /// All of it, as EXT-X-PLAYLIST-TYPE:EVENT (RFC 8216bis §4.4.3.5).
    Event,
}

impl Default for HlsConfig {
    fn default() -> HlsConfig {
        HlsConfig {
            part: Duration::from_millis(333),
            segment_min: Duration::from_secs(2),
            first_playlist_wait: Duration::from_secs(10),
            window_target_durations: 4,
            dvr_window: DvrWindow::Off,
            h264_beside: true,
        }
    }
}

/// How far a keyframe may miss the nominal segment length, either way, and still count as on time. Covers millisecond
/// clocks and NTSC rates (60 frames last 2.002 s). More would let segments outgrow the target duration audibly; the
/// standard's own rounding allows half a second. A guess.
pub(crate) const SEGMENT_TOLERANCE: Duration = Duration::from_millis(100);

/// Added to the part target of video over its whole number of frames, because a source clock in whole milliseconds
/// stretches a run of frames by up to one on either end. RFC 8216bis §4.4.4.9: no part may exceed the target.
pub(crate) const PART_TARGET_SLACK: Duration = Duration::from_millis(1);

/// RFC 8216bis §4.4.4.9: a part other than the last of its segment has at least this share of the part target.
pub(crate) const PART_FILL_MIN: f64 = 0.85;

/// Target durations from the end within which parts are listed. RFC 8216bis §4.4.4.9.
pub(crate) const PART_WINDOW_TARGET_DURATIONS: f64 = 3.0;

/// Part targets that a player stays behind the end. RFC 8216bis §4.4.3.8 says at least 2, Apple's authoring
/// specification 14.3 at least 3.
pub(crate) const PART_HOLD_BACK_TARGETS: u64 = 3;

/// Target durations that a player without parts stays behind the end. RFC 8216bis §4.4.3.8.
pub(crate) const HOLD_BACK_TARGET_DURATIONS: u64 = 3;

/// CAN-SKIP-UNTIL in target durations. RFC 8216bis §4.4.3.8 asks for at least six.
pub(crate) const SKIP_TARGET_DURATIONS: u64 = 6;

/// Delta updates are offered for windows of at least so many target durations, twice the skip boundary: below that they
/// would leave out less than half of a playlist that is short already.
pub(crate) const SKIP_WINDOW_TARGET_DURATIONS: u64 = 2 * SKIP_TARGET_DURATIONS;

/// The least time that a picture of the I-frame playlist is shown, unless its segment is shorter. One a second is dense
/// enough for Apple's authoring specification; a tenth less takes an encoder's millisecond clock into account, and more
/// pictures only cost requests of a player that runs through them.
pub(crate) const ENTRY_SPACING_MIN: Duration = Duration::from_millis(900);

/// Entries of the I-frame playlist begin at so many times the first media sequence number. There are at most 1.2 of them
/// a second, so that what a restart begins with, the Unix time again, is beyond all that were used.
pub(crate) const FIRST_ENTRY_PER_MSN: u64 = 2;

/// The least target duration in seconds, whatever the group of pictures.
pub(crate) const TARGET_DURATION_SECS_MIN: u64 = 2;

/// A keyframe interval above this is worth a warning: every player waits for a keyframe to start. OBS's automatic
/// interval is 250 frames, which is 4.2 s at 60 frames per second.
pub(crate) const KEYFRAME_INTERVAL_WARN_SECS: f64 = 4.1;

/// The longest time from decoding a keyframe to showing it that is believed, in seconds. H.264 reorders at most 16 frames
/// (Annex A.3.1), which is 2 s at 8 frames per second; more is a wrong stamp.
pub(crate) const REORDER_DELAY_MAX_SECS: i64 = 2;

/// How far a decode time may be written before the source's, so that a late frame does not stretch a part beyond the part
/// target. Presentation times are not touched. Beyond it (less than one frame a second, or so) the part is stretched.
pub(crate) const DECODE_EARLY_MAX: Duration = Duration::from_millis(1_000);

/// Audio this far before the first keyframe is kept, earlier audio has no picture to go with. A guess.
pub(crate) const AUDIO_LEAD_MAX: Duration = Duration::from_millis(500);

/// Audio that runs further ahead of video than this waits for it, so that both cut their segments at the same place.
/// Encoders interleave by decode time, so nothing waits in practice. More lets boundaries drift apart, less delays audio
/// of a sender that interleaves coarsely. A guess.
pub(crate) const AUDIO_AHEAD_MAX: Duration = Duration::from_millis(300);

/// Audio waits for video no longer than this, then goes on alone; the missing video becomes a gap.
pub(crate) const VIDEO_STALL: Duration = Duration::from_millis(1_500);

/// Video that has ended its segment waits no longer than this for sound that has stopped coming, then goes on alone; the
/// missing sound becomes a gap. More stalls viewers, who play no picture without its sound; less takes a short hiccup of the
/// network for lost sound. A guess.
pub(crate) const SOUND_STALL: Duration = Duration::from_millis(1_500);

/// Audio frames that wait for video at most; beyond, the oldest go on. 20 s of AAC at 48 kHz.
pub(crate) const HELD_FRAMES_MAX: usize = 1_024;

/// The most that a segment may last beyond the target duration: the standard rounds EXTINF to the nearest second, so
/// anything below half a second is within it. Video is cut before by its own rule unless a frame is late; audio gets here
/// only when video has stopped, which forces a boundary on both.
pub(crate) const TARGET_DURATION_SLACK: Duration = Duration::from_millis(450);

/// Boundaries that sound or the alternate may lag behind the picture before what is missing becomes a gap.
pub(crate) const BOUNDARIES_MAX: usize = 3;

/// How long viewers wait for an alternate that is wanted. A worker takes half a second, and it begins with the next segment.
/// Higher: where it cannot be made, those who do not need it wait longer; lower: those who need it find nothing that they can
/// play. A guess.
pub(crate) const ALTERNATE_WAIT: Duration = Duration::from_secs(8);

/// Frames kept back before the first playlist: 60 frames per second for the 10 s wait, with audio, four times over.
/// When it is full, the playlist settles for what it has seen.
pub(crate) const PRELUDE_FRAMES_MAX: usize = 4_096;

/// Bytes kept back before the first playlist: 10 s at 50 Mbit/s.
pub(crate) const PRELUDE_BYTES_MAX: usize = 64 << 20;

/// A continued playlist needs no group of pictures, only a frame rate: this much video tells it.
pub(crate) const CONTINUE_FRAMES_MIN: usize = 9;

/// A continued playlist waits no longer than this for a track that was announced.
pub(crate) const CONTINUE_WAIT: Duration = Duration::from_secs(2);

/// How much longer than a target duration a continued playlist waits for the first keyframe of a picture that was
/// announced. Beyond it sound goes on alone, and the pictures that were listed are lost. A guess.
pub(crate) const KEYFRAME_GRACE: Duration = Duration::from_secs(1);

/// After ENDLIST everything stays fetchable for this many target durations, then the room is empty again.
pub(crate) const ENDED_TARGET_DURATIONS: u32 = 10;

const _: () =
    assert!(AUDIO_AHEAD_MAX.as_millis() < TARGET_DURATION_SLACK.as_millis(), "held audio must not force a boundary");
const _: () =
    assert!(SEGMENT_TOLERANCE.as_millis() < 500, "EXTINF rounded to whole seconds must stay within the target");
const _: () = assert!(CONTINUE_FRAMES_MIN > 4, "a cadence needs four intervals before it predicts");

//! From a source's clock to the participant's timeline: i64 ticks per track from one common zero.
//!
//! In flow wire timestamps (32-bit milliseconds of RTMP, 32-bit RTP times); out come extended ticks. The rules and
//! their reasons are in docs/adr/0003-clocks-and-timelines.md. This module knows no wall clock but what it is given.

mod audio_clock;
mod rtp_clock;

pub use audio_clock::{AUDIO_REANCHOR_MS, AudioClock, Timed};
pub use rtp_clock::{RtpClock, SLEW_PPM_MAX, SenderReport};

/// A jump of the wire clock beyond this is a broken or restarted source, not jitter.
///
/// Higher lets one bad stamp stretch a segment; lower cuts streams that pause. 10 s is what nginx-rtmp and ffmpeg use
/// for their own discontinuity checks (`-dts_delta_threshold` 10).
pub const JUMP_MS: i64 = 10_000;

/// Extends a 32-bit clock to 64 bits. RTMP §5.3.1.1 and RTP both wrap at 2^32.
///
/// Each stamp is taken as the nearest one to the last: small steps back stay steps back, a wrap in either direction is
/// followed. The first stamp becomes itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct WrapExtender {
    last: Option<i64>,
}

impl WrapExtender {
    /// The extended value of `stamp`.
    pub fn extend(&mut self, stamp: u32) -> i64 {
        let extended = match self.last {
            None => i64::from(stamp),
            Some(last) => last + i64::from(stamp.wrapping_sub(last as u32) as i32),
        };
        self.last = Some(extended);
        extended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_32_bit_clock_is_followed_over_its_wrap_in_both_directions() {
        let mut clock = WrapExtender::default();
        let stamps = [u32::MAX - 10, 5, u32::MAX - 2, 20];
        let times: Vec<i64> = stamps.iter().map(|stamp| clock.extend(*stamp)).collect();
        let base = i64::from(u32::MAX) - 10;
        assert_eq!(times, [base, base + 16, base + 8, base + 31]);
    }
}

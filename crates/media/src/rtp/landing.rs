//! Copies of a publisher's packets become frames: put in order, on one timeline, out of their payloads.
//!
//! In flow packets as they came from the network, out of order and with holes that a resend may fill; out flow the
//! tracks and frames that an encoder's connection would give. A hole is waited for, but not for long. It knows no
//! connection and asks nobody: that a keyframe is wanted is said.

mod buffer;
mod track;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use telstar_units::TrackId;

use crate::codec::Codec;
use crate::frame::{Frame, TrackInfo};

pub use buffer::{BYTES_MAX, PACKETS_MAX};
use track::Track;

/// How long a missing packet is waited for, from the first packet behind it. Higher: frames are later by as much after
/// each loss. Lower: resends on a long way come too late, and each costs pictures until the next keyframe. Asking twice
/// over a round trip of 50 ms fits.
pub const WAIT: Duration = Duration::from_millis(150);
/// How often a keyframe is asked for while none comes. Higher: the picture stands still for longer when the request or
/// the keyframe is lost. Lower: encoders that take their time make two. A round trip and 200 ms to make and send it fit.
pub const KEYFRAME_REPEAT: Duration = Duration::from_millis(500);

/// A packet as it came.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The stream of the track that it belongs to. Another one's numbers and times begin anew.
    pub ssrc: u32,
    /// Sequence number, extended to 64 bits at the door.
    pub sequence: u64,
    /// RTP time.
    pub time: u32,
    /// RTP marker bit: the last packet of a picture.
    pub marker: bool,
    /// RTP payload.
    pub payload: Bytes,
    /// The latest sender report of the stream: NTP time (RFC 3550 §4: 32 bits of seconds, 32 of their fraction) and RTP
    /// time.
    pub report: Option<(u64, u32)>,
    /// When it came.
    pub arrived: Instant,
}

/// What comes of the packets.
#[derive(Clone, Debug)]
pub enum Landed {
    /// What a track is; before its first frame.
    Track(TrackInfo),
    /// Its next frame. Presentation and decode times are the same and strictly increase.
    Frame(TrackId, Frame),
    /// Pictures of the track are dropped until a keyframe comes; said again while none does.
    KeyframeWanted(TrackId),
    /// So many access units more were dropped: parts of them were lost, or they came before a keyframe.
    Dropped(u64),
}

/// The tracks of one participant on their way from packets to frames.
///
/// Drain rule: after each `push`, and when [`poll_timeout`](Self::poll_timeout) has passed, call [`poll`](Self::poll)
/// until it returns `None`.
#[derive(Debug)]
pub struct Landing {
    zero: Instant,
    wait: Duration,
    /// The NTP time that stands for `zero`, once any track has had a sender report.
    ntp_zero: Option<i64>,
    tracks: Vec<(TrackId, Track)>,
    ready: VecDeque<Landed>,
}

impl Landing {
    /// Nothing yet; `zero` is where the participant's timeline begins.
    pub fn new(zero: Instant) -> Landing {
        Landing::with_wait(zero, WAIT)
    }

    /// The same with another time than [`WAIT`] for missing packets.
    pub fn with_wait(zero: Instant, wait: Duration) -> Landing {
        Landing { zero, wait, ntp_zero: None, tracks: Vec::new(), ready: VecDeque::new() }
    }

    /// Another track, or the same one in another codec, which is then told anew. Returns whether frames of that codec can
    /// be made.
    pub fn add_track(&mut self, track: TrackId, codec: Codec) -> bool {
        let Some(new) = Track::new(track, codec, self.zero, self.wait) else { return false };
        match self.tracks.iter_mut().find(|(id, _)| *id == track) {
            Some((_, known)) if known.codec() == codec => {}
            Some((_, known)) => {
                known.flush(&mut self.ntp_zero, &mut self.ready);
                *known = new.replace(known);
            }
            None => self.tracks.push((track, new)),
        }
        true
    }

    /// The track is over: what waits for missing packets becomes frames as far as it can.
    pub fn remove_track(&mut self, track: TrackId) {
        let Some(at) = self.tracks.iter().position(|(id, _)| *id == track) else { return };
        let (_, mut track) = self.tracks.remove(at);
        track.flush(&mut self.ntp_zero, &mut self.ready);
    }

    /// Takes a packet. One of an unknown track is ignored.
    pub fn push(&mut self, now: Instant, track: TrackId, packet: Arrived) {
        if let Some((_, track)) = self.tracks.iter_mut().find(|(id, _)| *id == track) {
            track.push(now, packet, &mut self.ntp_zero, &mut self.ready);
        }
    }

    /// What comes next.
    pub fn poll(&mut self, now: Instant) -> Option<Landed> {
        if self.ready.is_empty() {
            for (_, track) in &mut self.tracks {
                track.release(now, &mut self.ntp_zero, &mut self.ready);
            }
        }
        self.ready.pop_front()
    }

    /// When a missing packet is given up on.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.tracks.iter().filter_map(|(_, track)| track.timeout()).min()
    }
}

#[cfg(test)]
mod tests;

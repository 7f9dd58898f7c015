//! One layer: its native view, the converter to the other view while somebody needs it, and the GOP ring.

use std::collections::VecDeque;

use telstar_units::{LayerId, Timescale};

use super::subscriber::{Item, View};
use crate::codec::{Codec, MediaKind};
use crate::frame::{Frame, KeyframeMode, Packet, TrackInfo};
use crate::rtp::{Depacketiser, Packetiser};

/// The longest GOP kept for viewers who join (design.md section 3: at most 4 s and 4 MiB, else they wait).
pub const GOP_RING_SECS_MAX: i64 = 4;
/// The largest GOP kept. Payloads are shared with whoever else holds them, so a ring costs only what outlives its parts.
pub const GOP_RING_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) native: View,
    /// The source answers keyframe requests.
    pub(super) can_ask: bool,
    /// Consumers of frames and of packets.
    pub(super) consumers: [usize; 2],
    codec: Codec,
    timescale: Timescale,
    packetiser: Option<Packetiser>,
    depacketiser: Option<Depacketiser>,
    ring: VecDeque<Native>,
    ring_bytes: usize,
    /// The group under way is over a limit: nothing is kept until the next independent frame.
    ring_overrun: bool,
}

#[derive(Debug)]
enum Native {
    Frame(Frame),
    Packet(Packet),
}

impl Native {
    fn time(&self) -> i64 {
        match self {
            Native::Frame(frame) => frame.dts,
            Native::Packet(packet) => packet.time,
        }
    }

    fn len(&self) -> usize {
        match self {
            Native::Frame(frame) => frame.payload.len(),
            Native::Packet(packet) => packet.payload.len(),
        }
    }
}

fn slot(view: View) -> usize {
    match view {
        View::Frames => 0,
        View::Packets => 1,
    }
}

impl Layer {
    pub(super) fn new(native: View, info: &TrackInfo) -> Layer {
        Layer {
            native,
            can_ask: info.keyframes == KeyframeMode::OnRequest,
            consumers: [0, 0],
            codec: info.codec,
            timescale: info.timescale,
            packetiser: None,
            depacketiser: None,
            ring: VecDeque::new(),
            ring_bytes: 0,
            ring_overrun: true,
        }
    }

    /// Counts a consumer of `view` and makes the converter if it is the first of the other view. `None`: impossible.
    pub(super) fn consume(&mut self, view: View) -> Option<()> {
        match (self.native, view) {
            (View::Frames, View::Packets) if self.packetiser.is_none() => {
                self.packetiser = Some(Packetiser::new(self.codec)?);
            }
            (View::Packets, View::Frames) if self.depacketiser.is_none() => {
                self.depacketiser = Some(Depacketiser::new(self.codec)?);
            }
            _ => {}
        }
        self.consumers[slot(view)] += 1;
        Some(())
    }

    /// Counts a consumer less and drops a converter that nobody needs any more.
    pub(super) fn release(&mut self, view: View) {
        let count = &mut self.consumers[slot(view)];
        *count = count.checked_sub(1).expect("a consumer is released once, by the subscriber that counted it");
        if self.consumers[slot(View::Packets)] == 0 {
            self.packetiser = None;
        }
        if self.consumers[slot(View::Frames)] == 0 {
            self.depacketiser = None;
        }
    }

    pub(super) fn frames_dropped(&self) -> u64 {
        self.depacketiser.as_ref().map_or(0, Depacketiser::frames_dropped)
    }

    /// What a frame of the source becomes in either view.
    pub(super) fn take_frame(&mut self, frame: &Frame) -> (Vec<Frame>, Vec<Packet>) {
        self.remember(frame.key, frame.dts, Native::Frame(frame.clone()));
        let mut packets = Vec::new();
        if let Some(packetiser) = &mut self.packetiser {
            packetiser.push(frame, &mut packets);
        }
        (vec![frame.clone()], packets)
    }

    /// What a packet of the source becomes in either view.
    pub(super) fn take_packet(&mut self, packet: &Packet) -> (Vec<Frame>, Vec<Packet>) {
        self.remember(packet.key, packet.time, Native::Packet(packet.clone()));
        let mut frames = Vec::new();
        if let Some(depacketiser) = &mut self.depacketiser {
            depacketiser.push(packet, &mut frames);
        }
        (frames, vec![packet.clone()])
    }

    /// Gives the newest group of pictures to a subscriber that starts now.
    pub(super) fn replay(&self, view: View, mut give: impl FnMut(Item)) {
        // A converter of its own: the shared one has its state from live packets.
        let mut packetiser = Packetiser::new(self.codec);
        let mut depacketiser = Depacketiser::new(self.codec);
        let (mut frames, mut packets) = (Vec::new(), Vec::new());
        for native in &self.ring {
            match (native, view) {
                (Native::Frame(frame), View::Frames) => frames.push(frame.clone()),
                (Native::Packet(packet), View::Packets) => packets.push(packet.clone()),
                (Native::Frame(frame), View::Packets) => {
                    if let Some(packetiser) = &mut packetiser {
                        packetiser.push(frame, &mut packets);
                    }
                }
                (Native::Packet(packet), View::Frames) => {
                    if let Some(depacketiser) = &mut depacketiser {
                        depacketiser.push(packet, &mut frames);
                    }
                }
            }
        }
        frames.into_iter().for_each(|frame| give(Item::Frame(LayerId(0), frame)));
        packets.into_iter().for_each(|packet| give(Item::Packet(LayerId(0), packet)));
    }

    fn remember(&mut self, key: bool, time: i64, native: Native) {
        if self.codec.kind() == MediaKind::Audio {
            return; // A joining viewer needs no old sound.
        }
        // Several packets make one key picture: only the first of them starts a group.
        let starts = key && self.ring.back().is_none_or(|last| last.time() != time || matches!(last, Native::Frame(_)));
        if starts {
            self.ring.clear();
            self.ring_bytes = 0;
            self.ring_overrun = false;
        }
        if self.ring_overrun {
            return;
        }
        self.ring_bytes += native.len();
        self.ring.push_back(native);
        let first = self.ring.front().map_or(time, Native::time);
        if self.ring_bytes > GOP_RING_BYTES_MAX || time - first > GOP_RING_SECS_MAX * i64::from(self.timescale.hz()) {
            self.ring.clear();
            self.ring_bytes = 0;
            self.ring_overrun = true;
        }
    }
}

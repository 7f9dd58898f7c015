//! The one door through which media leaves towards a subscriber.
//!
//! Everything above decides what to send and says it as an [`Outgoing`] with its final sequence number and time.
//! Everything below (queue, pacing, header, SRTP, resends) is str0m's today. A faster path replaces
//! [`Engine::send`] and what answers NACKs, and nothing else (docs/adr/0007).

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::rtp::{ExtensionValues, RtpWrite, Vp8Descriptor, Vp8Patch};

use super::{Engine, RESEND_PACKETS_MAX, Received};
use crate::rewrite::Patches;

/// How long packets are kept for resends, and what share of what is sent may be resends: the engine's own figures.
const RESEND_FOR: Duration = Duration::from_secs(3);
const RESEND_SHARE_MAX: f32 = 0.15;

/// Bytes of VP8's payload descriptor that change for one subscriber, applied while the packet is encrypted, so that
/// the payload stays shared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patch(Vp8Patch);

impl Patch {
    /// `None` when the payload is not VP8's.
    pub(crate) fn vp8(payload: &[u8], patches: &Patches) -> Option<Patch> {
        let mut builder = Vp8Descriptor::parse(payload).ok()?.patch();
        if let Some(picture_id) = patches.picture_id() {
            builder = builder.picture_id(picture_id);
        }
        if let Some(tl0) = patches.tl0() {
            builder = builder.tl0_pic_idx(tl0);
        }
        builder.build().ok().map(Patch)
    }
}

/// A packet for a subscriber.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    /// The section's stream.
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u64,
    pub(crate) time: u32,
    pub(crate) marker: bool,
    /// When it was taken, as far as the publisher's sender reports tell; never later than now.
    pub(crate) wall: Instant,
    /// Shared by all subscribers.
    pub(crate) payload: Arc<[u8]>,
    /// What changes in the payload descriptor.
    pub(crate) patch: Option<Patch>,
    /// Whether a NACK for it is answered.
    pub(crate) resendable: bool,
    /// Where header extensions are taken from.
    pub(crate) source: &'a Received,
}

impl Engine {
    /// Queues a packet. It leaves with the next [`Engine::advance`]: the engine looks at its queues only then, so
    /// that any number of packets may be queued before.
    pub(crate) fn send(&mut self, packet: Outgoing<'_>) -> bool {
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx(&packet.ssrc.into()) else { return false };
        let extensions = ExtensionValues {
            audio_level: packet.source.audio_level.map(|level| -(level.min(127) as i8)),
            voice_activity: packet.source.voice,
            video_orientation: packet.source.orientation,
            ..ExtensionValues::default()
        };
        let mut write =
            RtpWrite::new(packet.payload_type.into(), packet.sequence.into(), packet.time, packet.wall, packet.payload)
                .marker(packet.marker)
                .nackable(packet.resendable)
                .ext_vals(extensions);
        if let Some(patch) = packet.patch {
            write = write.vp8_patch(patch.0);
        }
        stream.write_rtp(write);
        true
    }

    /// What was sent of a stream is not sent again.
    pub(crate) fn forget_sent(&mut self, ssrc: u32) {
        if let Some(stream) = self.rtc.direct_api().stream_tx(&ssrc.into()) {
            // Setting the buffer empties it.
            stream.set_rtx_cache(RESEND_PACKETS_MAX, RESEND_FOR, Some(RESEND_SHARE_MAX));
        }
    }
}

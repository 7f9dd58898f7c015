//! What the engine tells, in our words.
//!
//! In: its events. Out: packets of a publisher, figures, data channels, the end.

use std::sync::Arc;

use str0m::Event;
use str0m::channel::ChannelId;

use crate::egress::Known;

/// A packet from a publisher, authenticated and decrypted.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    /// Extended by the engine.
    pub(crate) sequence: u64,
    pub(crate) time: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Arc<[u8]>,
    /// RFC 6464: 0 is the loudest, 127 silence.
    pub(crate) audio_level: Option<u8>,
    pub(crate) voice: Option<bool>,
    /// 3GPP TS 26.114 §7.4.5: the camera and how the picture is turned.
    pub(crate) orientation: Option<u8>,
    /// The last sender report of its stream: NTP time and RTP time (RFC 3550 §6.4.1).
    pub(crate) report: Option<(u64, u32)>,
}

/// What was counted of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) round_trip_ms: Option<f32>,
    pub(crate) loss_out: Option<f32>,
    pub(crate) loss_in: Option<f32>,
}

impl Figures {
    /// Of a subscriber, whose media is not the engine's.
    pub(crate) fn of(known: &Known) -> Figures {
        Figures {
            bytes_sent: known.bytes_sent,
            bytes_received: 0,
            round_trip_ms: known.round_trip.map(|time| time.as_secs_f32() * 1_000.0),
            loss_out: known.loss,
            loss_in: None,
        }
    }
}

/// What an engine reports.
#[derive(Debug)]
pub(crate) enum Happened {
    /// ICE and DTLS are up.
    Connected,
    /// Media came.
    Packet(Received),
    /// A data channel opened.
    ChannelOpen(ChannelId, String),
    /// A data channel ended.
    ChannelClosed(ChannelId),
    /// A message came.
    Message(ChannelId, Vec<u8>),
    /// A second passed.
    Figures(Figures),
    /// The peer closed the connection.
    Over,
}

pub(super) fn happened(event: Event) -> Option<Happened> {
    Some(match event {
        Event::Connected => Happened::Connected,
        Event::RtpPacket(packet) => Happened::Packet(Received {
            ssrc: *packet.header.ssrc,
            payload_type: *packet.header.payload_type,
            sequence: *packet.seq_no,
            time: packet.header.timestamp,
            marker: packet.header.marker,
            // str0m turns RFC 6464's 0..127 into 0..-127 dB.
            audio_level: packet.header.ext_vals.audio_level.map(i8::unsigned_abs),
            voice: packet.header.ext_vals.voice_activity,
            orientation: packet.header.ext_vals.video_orientation.map(|turned| turned as u8),
            report: packet.last_sender_info.map(|info| (ntp(info.ntp_time), info.rtp_time.numer() as u32)),
            payload: packet.payload,
        }),
        Event::ChannelOpen(channel, label) => Happened::ChannelOpen(channel, label),
        Event::ChannelClose(channel) => Happened::ChannelClosed(channel),
        Event::ChannelData(message) => Happened::Message(message.id, message.data),
        Event::PeerStats(stats) => Happened::Figures(Figures {
            bytes_sent: stats.peer_bytes_tx,
            bytes_received: stats.peer_bytes_rx,
            round_trip_ms: stats.rtt.map(|rtt| rtt.as_secs_f32() * 1_000.0),
            loss_out: stats.egress_loss_fraction,
            loss_in: stats.ingress_loss_fraction,
        }),
        Event::Closed => Happened::Over,
        _ => return None,
    })
}

/// As the 64 bits of RFC 3550 §4.
fn ntp(time: std::time::SystemTime) -> u64 {
    /// Seconds from 1900 to 1970.
    const EPOCH: u64 = 2_208_988_800;
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs().wrapping_add(EPOCH) << 32) | fraction
}

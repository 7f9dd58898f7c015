//! What a subscriber makes of the packets that come. In: datagrams. Out: counts, delays, and feedback for the server.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rtc::peer_connection::RTCPeerConnection;
use rtc::rtp_transceiver::RTCRtpReceiverId;
use telstar_client::RtpPacket;

use crate::feedback::Feedback;
use crate::peer::random;
use crate::stream::{Counter, Header, begins_keyframe, sent_at};

/// One packet in so many of each stream is decrypted to learn its delay. More often costs this process CPU.
const SAMPLE: u64 = 16;
/// The first packets of a stream are all decrypted: the engine learns from them which section it is.
const LEARNED_FROM: u64 = 32;
/// Delays that are kept for each receiver. Beyond it no more are taken.
const DELAYS_MAX: usize = 100_000;
const TRANSPORT_URI: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// What a receiver has seen.
pub struct Receiver {
    feedback: Feedback,
    transport_id: u8,
    retransmissions: Vec<u8>,
    sound: Vec<u8>,
    reporter: Option<RTCRtpReceiverId>,
    pub joined: Instant,
    /// From joining to the last packet of the first keyframe.
    pub first: Option<Duration>,
    /// The stream and the time stamp of the first keyframe.
    keyframe: Option<(u32, u32)>,
    pub streams: HashMap<u32, Counter>,
    pub delays_us: Vec<u32>,
}

impl Receiver {
    pub fn new(joined: Instant) -> Receiver {
        Receiver {
            feedback: Feedback::new(random(), Instant::now()),
            transport_id: 0,
            retransmissions: vec![],
            sound: vec![],
            reporter: None,
            joined,
            first: None,
            keyframe: None,
            streams: HashMap::new(),
            delays_us: Vec::new(),
        }
    }

    /// When feedback is due.
    pub fn due(&self) -> Instant {
        self.feedback.due()
    }

    /// Which extension carries the transport-wide number, and which payload types are retransmissions and sound.
    pub fn learn(&mut self, sdp: &str, reporter: Option<RTCRtpReceiverId>) {
        self.reporter = reporter;
        for line in sdp.lines() {
            if let Some(extension) = line.strip_prefix("a=extmap:").filter(|line| line.contains(TRANSPORT_URI)) {
                let id: String = extension.chars().take_while(char::is_ascii_digit).collect();
                self.transport_id = id.parse().unwrap_or(0);
            }
            match line.strip_prefix("a=rtpmap:").and_then(|line| line.trim().split_once(' ')) {
                Some((payload_type, "rtx/90000")) => self.retransmissions.extend(payload_type.parse::<u8>()),
                Some((payload_type, "opus/48000/2")) => self.sound.extend(payload_type.parse::<u8>()),
                _ => {}
            }
        }
    }

    /// Counts a packet. True if the engine is to see it.
    pub fn take(&mut self, now: Instant, packet: &[u8]) -> bool {
        let Some(header) = Header::parse(packet, self.transport_id) else { return true };
        self.note(now, &header);
        if self.retransmissions.contains(&header.payload_type) {
            return false; // probes and repairs: fed back, not counted
        }
        let counter = self.streams.entry(header.ssrc).or_default();
        counter.add(header.sequence, packet.len());
        self.first.is_none() || counter.received < LEARNED_FROM || counter.received.is_multiple_of(SAMPLE)
    }

    /// What a decrypted packet says: its delay, and when the first keyframe is whole.
    pub fn look(&mut self, now: Instant, packet: &RtpPacket) {
        if let Some(sent) = sent_at(&packet.payload)
            && self.delays_us.len() < DELAYS_MAX
        {
            self.delays_us.push(now.saturating_duration_since(sent).as_micros() as u32);
        }
        if self.first.is_some() || self.sound.contains(&packet.header.payload_type) {
            return;
        }
        let id = (packet.header.ssrc, packet.header.timestamp);
        if self.keyframe.is_none() && begins_keyframe(&packet.payload) {
            self.keyframe = Some(id);
        }
        if packet.header.marker && self.keyframe == Some(id) {
            self.first = Some(now.saturating_duration_since(self.joined));
        }
    }

    fn note(&mut self, now: Instant, header: &Header) {
        if let Some(number) = header.transport {
            self.feedback.add(header.ssrc, u16::from_be_bytes(number), now);
        }
    }

    /// Sends the feedback that is due.
    pub fn report(&mut self, now: Instant, pc: &mut RTCPeerConnection) {
        if self.feedback.due() > now {
            return;
        }
        let packets = self.feedback.take(now, &self.streams);
        if let Some(mut receiver) = self.reporter.and_then(|id| pc.rtp_receiver(id))
            && !packets.is_empty()
        {
            let _ = receiver.write_rtcp(now, packets); // not connected yet
        }
    }
}

//! SDP by hand (RFC 8866, RFC 9429): offers of a publisher that says what it likes, answers made from offers.

use serde_json::{Value, json};

use super::peer::{PASSWORD, UFRAG};

/// SSRCs of an offer's sections, and of their retransmissions.
pub const AUDIO_SSRC: u32 = 0x0a0a_0a0a;
pub const VIDEO_SSRC: u32 = 0x0b0b_0b0b;
pub const RTX_SSRC: u32 = 0x0c0c_0c0c;
/// Header extensions by their ids.
pub const LEVEL_ID: u8 = 1;
pub const MID_ID: u8 = 4;
pub const RID_ID: u8 = 10;
pub const DESCRIPTOR_ID: u8 = 12;

/// Payload types, as [`Section::Video`] takes them.
pub const OPUS: u8 = 111;
pub const VP8: u8 = 96;
pub const RTX: u8 = 97;
pub const VP9: u8 = 98;
pub const H264: u8 = 102;
pub const AV1: u8 = 45;

/// A media section. Its place in the offer is its mid.
#[derive(Clone, Copy, Debug)]
pub enum Section {
    Audio,
    /// One encoding.
    Video(u8),
    /// Layers by their rids.
    Simulcast(&'static [&'static str]),
    Data,
}

/// Sound, a picture in VP8 and a data channel, which is what browsers offer.
pub const USUAL: [Section; 3] = [Section::Audio, Section::Video(VP8), Section::Data];

impl Section {
    fn mid(self) -> &'static str {
        match self {
            Section::Audio => "0",
            Section::Video(_) | Section::Simulcast(_) => "1",
            Section::Data => "2",
        }
    }

    /// As `publish` names it.
    pub fn track(&self) -> Option<Value> {
        let layers: Vec<Value> = match self {
            Section::Simulcast(rids) => rids
                .iter()
                .map(|rid| json!({ "rid": rid, "width": 320, "height": 180, "frame_rate": 30, "bitrate_bps": 100_000 }))
                .collect(),
            _ => Vec::new(),
        };
        let (kind, source) = match self {
            Section::Audio => ("audio", "microphone"),
            Section::Video(_) | Section::Simulcast(_) => ("video", "camera"),
            Section::Data => return None,
        };
        Some(json!({ "mid": self.mid(), "kind": kind, "source": source, "layers": layers }))
    }

    fn write(self, text: &mut String) {
        let mid = self.mid();
        let common = format!("c=IN IP4 0.0.0.0\r\na=mid:{mid}\r\n");
        let extensions = format!(
            "a=sendonly\r\na=rtcp-mux\r\n\
            a=extmap:{LEVEL_ID} urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
            a=extmap:{MID_ID} urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
            a=extmap:{RID_ID} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
            a=extmap:{DESCRIPTOR_ID} https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension\r\n"
        );
        match self {
            Section::Audio => text.push_str(&format!(
                "m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}\r\n{common}{extensions}\
                a=rtpmap:{OPUS} opus/48000/2\r\na=ssrc:{AUDIO_SSRC} cname:evil\r\n"
            )),
            Section::Video(payload_type) => text.push_str(&format!(
                "m=video 9 UDP/TLS/RTP/SAVPF {payload_type} {RTX}\r\n{common}{extensions}{}\
                a=rtpmap:{RTX} rtx/90000\r\na=fmtp:{RTX} apt={payload_type}\r\n\
                a=ssrc-group:FID {VIDEO_SSRC} {RTX_SSRC}\r\n\
                a=ssrc:{VIDEO_SSRC} cname:evil\r\na=ssrc:{RTX_SSRC} cname:evil\r\n",
                codec(payload_type)
            )),
            Section::Simulcast(rids) => {
                text.push_str(&format!(
                    "m=video 9 UDP/TLS/RTP/SAVPF {VP8} {RTX}\r\n{common}{extensions}{}\
                    a=rtpmap:{RTX} rtx/90000\r\na=fmtp:{RTX} apt={VP8}\r\n",
                    codec(VP8)
                ));
                rids.iter().for_each(|rid| text.push_str(&format!("a=rid:{rid} send\r\n")));
                text.push_str(&format!("a=simulcast:send {}\r\n", rids.join(";")));
            }
            Section::Data => text.push_str(&format!(
                "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{common}a=sctp-port:5000\r\n"
            )),
        }
    }
}

fn codec(payload_type: u8) -> String {
    let (name, parameters) = match payload_type {
        VP9 => ("VP9", "profile-id=0"),
        H264 => ("H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
        AV1 => ("AV1", ""),
        _ => ("VP8", ""),
    };
    let mut text = format!("a=rtpmap:{payload_type} {name}/90000\r\n");
    if !parameters.is_empty() {
        text.push_str(&format!("a=fmtp:{payload_type} {parameters}\r\n"));
    }
    for feedback in ["nack", "nack pli", "ccm fir", "transport-cc"] {
        text.push_str(&format!("a=rtcp-fb:{payload_type} {feedback}\r\n"));
    }
    text
}

/// What stands in front of the sections.
pub fn head(fingerprint: &str, mids: &[&str]) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=ice-ufrag:{UFRAG}\r\na=ice-pwd:{PASSWORD}\r\n\
        a=fingerprint:sha-256 {fingerprint}\r\na=setup:active\r\n",
        mids.join(" ")
    )
}

/// An offer of these sections.
pub fn offer(fingerprint: &str, sections: &[Section]) -> String {
    let mids: Vec<&str> = sections.iter().map(|section| section.mid()).collect();
    let mut text = head(fingerprint, &mids);
    sections.iter().for_each(|section| section.write(&mut text));
    text
}

/// An answer that takes everything.
pub fn answer(offer: &str, fingerprint: &str) -> String {
    let mut text = String::new();
    for line in offer.lines() {
        let dropped = ["a=candidate", "a=end-of-candidates", "a=ssrc", "a=msid", "a=ice-options", "a=ice-lite"];
        if dropped.iter().any(|start| line.starts_with(start)) {
            continue;
        }
        let own = match line {
            "a=sendonly" => "a=recvonly".to_owned(),
            _ if line.starts_with("a=ice-ufrag:") => format!("a=ice-ufrag:{UFRAG}"),
            _ if line.starts_with("a=ice-pwd:") => format!("a=ice-pwd:{PASSWORD}"),
            _ if line.starts_with("a=fingerprint:") => format!("a=fingerprint:sha-256 {fingerprint}"),
            _ if line.starts_with("a=setup:") => "a=setup:active".to_owned(),
            _ => line.to_owned(),
        };
        text.push_str(&own);
        text.push_str("\r\n");
    }
    text
}

/// Payload types of retransmissions in an SDP.
pub fn retransmissions(sdp: &str) -> Vec<u8> {
    let maps = sdp.lines().filter_map(|line| line.strip_prefix("a=rtpmap:")?.split_once(" rtx/"));
    maps.filter_map(|(payload_type, _)| payload_type.parse().ok()).collect()
}

/// The id of the header extension with a packet's number on the path, or 0.
pub fn transport_id(sdp: &str) -> u8 {
    let maps = sdp.lines().filter_map(|line| line.strip_prefix("a=extmap:")?.split_once(' '));
    let of = maps.filter(|(_, uri)| uri.contains("transport-wide-cc")).find_map(|(id, _)| id.parse().ok());
    of.unwrap_or_default()
}

/// The value of a one-byte element in a packet's header (RFC 8285 §4.2).
pub fn element(packet: &[u8], id: u8) -> Option<&[u8]> {
    let begin = 12 + 4 * usize::from(packet[0] & 15);
    let head = packet.get(begin..begin + 4).filter(|_| packet[0] & 0x10 != 0)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
    let mut rest = packet.get(begin + 4..begin + 4 + length)?;
    while let [first, after @ ..] = rest {
        let length = if *first == 0 { 0 } else { usize::from(first & 15) + 1 };
        if *first >> 4 == id && id != 0 {
            return after.get(..length);
        }
        rest = after.get(length..)?;
    }
    None
}

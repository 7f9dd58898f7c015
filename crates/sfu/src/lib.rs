//! The selective forwarding unit: what every publisher sends goes to whoever wants it, as much as each path carries.
//!
//! In: datagrams, commands of the room's owner, `now`. Out: datagrams, events, deadlines.
//! This crate knows no socket, no clock, no name and no right.

mod answer;
mod api;
mod assign;
mod budget;
mod commands;
mod config;
mod demux;
mod egress;
mod engine;
mod feed;
mod forward;
mod keyframes;
mod messages;
mod peer;
mod peers;
#[cfg(feature = "probes")]
mod probes;
mod publisher;
mod room;
mod route;
mod sdp;
mod sfu;
mod sources;
mod subscriber;
mod tap;
mod tick;
mod touch;

// The parts that know no WebRTC engine: values and state machines that the peers plug together.
pub mod allocate;
pub mod bitrate;
pub mod credit;
pub mod data;
pub mod dependency;
pub mod descriptor;
pub mod estimate;
pub mod offer;
pub mod overshoot;
pub mod police;
pub mod rewrite;
pub mod rfc4571;
pub mod select;
pub mod speakers;
pub mod throttle;

pub use api::*;
pub use config::{Limits, SfuConfig};
pub use demux::{Sort, sort};
pub use engine::Certificate;
pub use sfu::{Allocated, Counters, Sfu};

/// Doors for the fuzz targets to what reads bytes of strangers.
#[doc(hidden)]
pub mod fuzz {
    /// A datagram from anywhere, and one of ours on its way out.
    pub fn datagram(bytes: &[u8]) {
        let _ = crate::demux::sort(bytes);
        let _ = crate::demux::told(bytes);
    }

    /// The first DTLS message of a peer, whole and in two datagrams.
    pub fn hello(bytes: &[u8]) {
        use crate::engine::dtls::hello::Hello;
        let _ = Hello::default().read(bytes);
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        let mut hello = Hello::default();
        let _ = (hello.read(first), hello.read(rest));
    }

    /// Datagrams at a handshake of DTLS 1.2, each behind its length.
    pub fn handshake(mut now: std::time::Instant, mut bytes: &[u8]) {
        use std::time::Duration;
        use str0m::crypto::dtls::{DtlsInstance, DtlsOutput};
        let mut buffer = vec![0; 4096];
        let mut dtls = crate::engine::dtls::only12(now).expect("there is randomness");
        while let Some((&length, rest)) = bytes.split_first() {
            let (datagram, after) = rest.split_at(rest.len().min(usize::from(length) * 4));
            bytes = after;
            let _ = dtls.handle_packet(datagram);
            now += Duration::from_millis(100);
            let _ = dtls.handle_timeout(now);
            while !matches!(dtls.poll_output(&mut buffer), DtlsOutput::Timeout(_)) {}
        }
        assert!(dtls.protocol_version().is_none(), "nobody holds the key of a certificate here");
    }

    /// SRTCP as it comes; and RTCP that was sealed, which opens once and in no other form.
    pub fn srtcp(bytes: &[u8]) {
        use crate::egress::srtp::{Keys, Opener, Profile, Sealer};
        let Some((&choice, bytes)) = bytes.split_first() else { return };
        let profile =
            [Profile::Aes128CmSha1_80, Profile::AeadAes128Gcm, Profile::AeadAes256Gcm][usize::from(choice % 3)];
        let material = vec![choice; profile.material_bytes()];
        let (keys, _) = Keys::split(profile, &material).expect("the length is right");
        let (mut opener, mut into) = (Opener::new(&keys), Vec::new());
        assert!(!opener.open_rtcp(bytes, &mut into) && into.is_empty());
        let Some(&[a, b, c, d]) = bytes.first_chunk::<4>() else { return };
        let clear = &bytes[4..];
        if clear.len() < 8 {
            return;
        }
        let mut sealed = clear.to_vec();
        Sealer::new(&keys).seal_rtcp(&mut sealed, u32::from_be_bytes([a & 0x7f, b, c, d]));
        let at = usize::from(d) % sealed.len();
        sealed[at] ^= 1;
        assert!(!opener.open_rtcp(&sealed, &mut into) && into.is_empty());
        sealed[at] ^= 1;
        assert!(opener.open_rtcp(&sealed, &mut into) && into == clear);
        assert!(!opener.open_rtcp(&sealed, &mut into) && into.is_empty());
    }

    /// RTCP in the clear: no more comes out than its length allows.
    pub fn rtcp(bytes: &[u8]) {
        use crate::egress::rtcp::{Message, read};
        let (mut messages, mut statuses) = (0, 0);
        for message in read(bytes) {
            messages += 1;
            match message {
                Message::Nack { lost, .. } => assert!(lost.count() <= bytes.len() / 4 * 17),
                Message::Transport(feedback) => {
                    let mut expect = feedback.base();
                    for (sequence, _) in feedback.statuses() {
                        assert_eq!(sequence, expect);
                        expect = expect.wrapping_add(1);
                        statuses += 1;
                    }
                    assert_eq!(expect, feedback.base().wrapping_add(feedback.count()));
                }
                _ => (),
            }
        }
        // The shortest is an end with no source: its header.
        assert!(messages <= bytes.len() / 4 && statuses <= 16_384);
    }

    /// An SDP: what is made of it has as many sections and no candidates.
    pub fn sdp(text: &str) {
        let Ok(sheet) = crate::sdp::Sheet::read(text, 40) else { return };
        let written = sheet.write(|section| section.known_codec);
        let again = crate::sdp::Sheet::read(&written, 40).expect("what was written can be read");
        assert_eq!(again.sections.len(), sheet.sections.len());
        assert!(again.candidates.is_empty());
        let _ = sheet.in_offered_order(&written);
    }

    /// An offer of WHIP or WHEP: what is read of it holds together, and its restart is the same offer.
    pub fn offer(text: &str) {
        use crate::offer::{Offer, answer_credentials};
        let _ = answer_credentials(text);
        let Ok(offer) = Offer::read(text) else { return };
        if text.len() > 32 * 1024 {
            // Line ends of two bytes may take it over the limit.
            return;
        }
        let again =
            Offer::read(&Offer::restart(text, "abcd", "efghijklmnopqrstuvwxyz")).expect("it was an offer before");
        assert_eq!((again.ice_ufrag.as_str(), again.ice_pwd.as_str()), ("abcd", "efghijklmnopqrstuvwxyz"));
        assert_eq!(again.sections, offer.sections);
    }
}

//! What an offer of WHIP or WHEP says, for whoever has to accept or refuse it as a whole (RFC 9725 §4.4).
//!
//! In: SDP from a peer. Out: facts, and the same offer with other ICE credentials. What follows from the facts is not decided here, and
//! nothing is negotiated: [`crate::Command::Offer`] does.

use std::collections::BTreeSet;

use crate::api::{Fault, Kind};
use crate::sdp::{Section, Sheet};

/// Sections that are looked at. WHIP and WHEP have two, and browsers that send all they have a few more.
const SECTIONS_MAX: usize = 32;

/// Why an offer cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// It is no SDP, breaks a limit, or has sections without usable names.
    #[error("the offer is not an SDP that can be read")]
    Malformed,
    /// It has more sections than anybody needs.
    #[error("the offer has more than {SECTIONS_MAX} media sections")]
    TooManySections,
    /// There is nothing to make a connection with (RFC 8839 §5.4).
    #[error("the offer has no ICE credentials")]
    NoCredentials,
    /// There is nothing to know the peer by (RFC 8122 §5).
    #[error("the offer has no DTLS fingerprint")]
    NoFingerprint,
}

/// Which ways a section goes, as the offerer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both; also without a word about it (RFC 8866 §6.7).
    SendRecv,
    /// The offerer sends.
    SendOnly,
    /// The offerer receives.
    RecvOnly,
    /// None.
    Inactive,
}

/// One media section of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedSection {
    /// Its name (`a=mid`).
    pub mid: String,
    /// Audio or video; `None` for data channels.
    pub kind: Option<Kind>,
    /// Its direction.
    pub direction: Direction,
    /// Whether RTCP has no port of its own (RFC 5761).
    pub rtcp_mux: bool,
    /// Whether it has a codec that is forwarded.
    pub known_codec: bool,
    /// The simulcast encodings that are sent (RFC 8851), as they come.
    pub rids: Vec<String>,
    /// Whether it takes part: its port is not 0, or it is bundle-only.
    pub active: bool,
}

/// An offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its sections, in order.
    pub sections: Vec<OfferedSection>,
    /// Whether all active sections are in one bundle (RFC 9143).
    pub bundles_all: bool,
    /// Whether the offerer insists on a role in DTLS (`a=setup` is not `actpass`, RFC 8842 §5.2).
    pub setup_active: bool,
    /// How many MediaStreams its active sections belong to (`a=msid`, RFC 8830).
    pub streams: usize,
    /// `a=ice-ufrag`.
    pub ice_ufrag: String,
    /// `a=ice-pwd`.
    pub ice_pwd: String,
}

impl Offer {
    /// Reads an offer.
    pub fn read(sdp: &str) -> Result<Offer, OfferError> {
        let sheet = Sheet::parse(sdp, SECTIONS_MAX).map_err(|fault| match fault {
            Fault::TooMany => OfferError::TooManySections,
            _ => OfferError::Malformed,
        })?;
        let value = |attribute| first(&sheet, attribute).map(str::to_owned);
        let (Some(ice_ufrag), Some(ice_pwd)) = (value("ice-ufrag"), value("ice-pwd")) else {
            return Err(OfferError::NoCredentials);
        };
        if value("fingerprint").is_none() {
            return Err(OfferError::NoFingerprint);
        }
        Ok(Offer {
            sections: sheet.sections.iter().map(|section| read(&sheet, section)).collect(),
            bundles_all: bundles_all(&sheet),
            setup_active: all(&sheet, "setup").any(|setup| setup != "actpass"),
            streams: streams(&sheet),
            ice_ufrag,
            ice_pwd,
        })
    }

    /// An offer once more, with other ICE credentials and without the candidates that belonged to those before (RFC 8839 §4.4.1.1.1).
    /// The credentials have to be such ([`are_credentials`]).
    pub fn restart(previous: &str, ufrag: &str, pwd: &str) -> String {
        let mut text = String::with_capacity(previous.len());
        for line in previous.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            if line.starts_with("a=candidate:") || line == "a=end-of-candidates" {
                continue;
            }
            if line.starts_with("a=ice-ufrag:") {
                text.push_str("a=ice-ufrag:");
                text.push_str(ufrag);
            } else if line.starts_with("a=ice-pwd:") {
                text.push_str("a=ice-pwd:");
                text.push_str(pwd);
            } else {
                text.push_str(line);
            }
            text.push_str("\r\n");
        }
        text
    }
}

/// Whether these can be ICE credentials (RFC 8839 §5.4): letters, digits, `+` and `/`, so many of them.
pub fn are_credentials(ufrag: &str, pwd: &str) -> bool {
    let are_chars = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    (4..=256).contains(&ufrag.len()) && (22..=256).contains(&pwd.len()) && are_chars(ufrag) && are_chars(pwd)
}

/// The name fragment, the password and the candidates (`candidate:…`) of an answer: what an answer to a restart is made of (RFC 8840).
pub fn answer_credentials(answer: &str) -> Option<(String, String, Vec<String>)> {
    let sheet = Sheet::parse(answer, SECTIONS_MAX).ok()?;
    let value = |attribute| first(&sheet, attribute).map(str::to_owned);
    Some((value("ice-ufrag")?, value("ice-pwd")?, sheet.candidates.clone()))
}

fn read(sheet: &Sheet, section: &Section) -> OfferedSection {
    const DIRECTIONS: [(&str, Direction); 4] = [
        ("sendrecv", Direction::SendRecv),
        ("sendonly", Direction::SendOnly),
        ("recvonly", Direction::RecvOnly),
        ("inactive", Direction::Inactive),
    ];
    // What is said of the whole session holds where a section says nothing (RFC 8866 §6.7).
    let own = DIRECTIONS.iter().find(|(name, _)| section.says(name));
    let direction = own.or_else(|| DIRECTIONS.iter().find(|(name, _)| sheet.says(name)));
    OfferedSection {
        mid: section.mid.clone(),
        kind: section.kind,
        direction: direction.map_or(Direction::SendRecv, |(_, direction)| *direction),
        rtcp_mux: section.says("rtcp-mux"),
        known_codec: section.known_codec,
        rids: section.rids.clone(),
        active: section.active,
    }
}

/// The values of an attribute: the session's, then those of active sections.
fn all<'a>(sheet: &'a Sheet, attribute: &'a str) -> impl Iterator<Item = &'a str> {
    let sections = sheet.sections.iter().filter(|section| section.active);
    sheet.values(attribute).chain(sections.flat_map(move |section| section.values(attribute))).map(str::trim)
}

fn first<'a>(sheet: &'a Sheet, attribute: &'a str) -> Option<&'a str> {
    all(sheet, attribute).find(|value| !value.is_empty())
}

fn bundles_all(sheet: &Sheet) -> bool {
    let groups = sheet.values("group").filter_map(|group| group.strip_prefix("BUNDLE"));
    let groups: Vec<BTreeSet<&str>> = groups.map(|mids| mids.split_whitespace().collect()).collect();
    let mut active = sheet.sections.iter().filter(|section| section.active);
    groups.len() == 1 && active.all(|section| groups[0].contains(section.mid.as_str()))
}

/// webrtcbin names streams in `a=ssrc` only.
fn streams(sheet: &Sheet) -> usize {
    let of_sources = all(sheet, "ssrc").filter_map(|source| source.split_once(" msid:")).map(|(_, stream)| stream);
    let names = all(sheet, "msid").chain(of_sources).filter_map(|stream| stream.split(' ').next());
    // RFC 8830 §2: a track of no stream.
    names.filter(|name| *name != "-").collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str = include_str!("../tests/chrome-offer.sdp");
    const OBS: &str = include_str!("../tests/obs-offer.sdp");
    const GSTREAMER: &str = include_str!("../tests/gstreamer-offer.sdp");
    const AIORTC: &str = include_str!("../tests/aiortc-offer.sdp");
    const ALL: [&str; 4] = [CHROME, OBS, GSTREAMER, AIORTC];

    #[test]
    fn what_clients_offer_is_read() {
        use Direction::{RecvOnly, SendOnly, SendRecv};
        for (sdp, direction, mids, ufrag) in [
            (CHROME, SendOnly, &["0", "1", "2"][..], "Ux5G"),
            (OBS, SendOnly, &["0", "1"], "p4Kd"),
            (GSTREAMER, SendRecv, &["video0", "audio1"], ""),
            (AIORTC, RecvOnly, &["0", "1"], ""),
        ] {
            let offer = Offer::read(sdp).expect("a good offer");
            assert_eq!(offer.sections.iter().map(|section| section.mid.as_str()).collect::<Vec<_>>(), mids);
            assert!(offer.bundles_all && !offer.setup_active && offer.streams == 1, "{offer:?}");
            assert!(
                are_credentials(&offer.ice_ufrag, &offer.ice_pwd) && offer.ice_ufrag.starts_with(ufrag),
                "{offer:?}"
            );
            for section in offer.sections.iter().filter(|section| section.kind.is_some()) {
                assert_eq!(section.direction, direction);
                assert!(section.rtcp_mux && section.known_codec && section.active, "{section:?}");
            }
        }
        let chrome = Offer::read(CHROME).expect("a good offer");
        assert_eq!(chrome.sections[1].rids, ["l", "m", "h"]);
        assert_eq!(chrome.sections[2].kind, None);
    }

    #[test]
    fn each_fact_is_seen() {
        let check = |from: &str, to: &str, fact: fn(&Offer) -> bool| {
            let changed = OBS.replace(from, to);
            assert_ne!(changed, OBS);
            assert!(!fact(&Offer::read(OBS).expect("a good offer")), "{from}");
            assert!(fact(&Offer::read(&changed).expect("still an offer")), "{to}");
        };
        check("BUNDLE 0 1", "BUNDLE 0", |offer| !offer.bundles_all);
        check("a=group:BUNDLE 0 1\n", "", |offer| !offer.bundles_all);
        check("a=group:LS 0 1", "a=group:BUNDLE 0 1", |offer| !offer.bundles_all);
        check("setup:actpass", "setup:active", |offer| offer.setup_active);
        check("setup:actpass", "setup:passive", |offer| offer.setup_active);
        check("msid:c7GhTn2RfYb5Ju4E c7GhTn2RfYb5Ju4E-video", "msid:other x", |offer| offer.streams == 2);
        check("msid:c7GhTn2RfYb5Ju4E", "msid:-", |offer| offer.streams == 0);
        check("a=mid:1\na=sendonly", "a=mid:1", |offer| offer.sections[1].direction == Direction::SendRecv);
        check("a=sendonly", "a=inactive", |offer| offer.sections[0].direction == Direction::Inactive);
        check("a=rtcp-mux\na=rtpmap:96", "a=rtpmap:96", |offer| !offer.sections[1].rtcp_mux);
        check("H264", "H263", |offer| !offer.sections[1].known_codec);
        check("m=video 9", "m=video 0", |offer| !offer.sections[1].active);
        let whole = OBS.replace("a=sendonly\n", "").replace("a=setup:actpass", "a=setup:actpass\na=recvonly");
        let whole = Offer::read(&whole).expect("still an offer");
        assert!(whole.sections.iter().all(|section| section.direction == Direction::RecvOnly), "of the whole session");
    }

    #[test]
    fn what_cannot_be_an_offer_is_refused() {
        let check = |sdp: &str, error| assert_eq!(Offer::read(sdp), Err(error), "{sdp}");
        check("", OfferError::Malformed);
        check("hello", OfferError::Malformed);
        check(&OBS.replace("a=mid:1", "a=mid:0"), OfferError::Malformed);
        check(&OBS.replace("a=mid:1\n", ""), OfferError::Malformed);
        check(&format!("{OBS}a=x:{}", "y".repeat(200_000)), OfferError::Malformed);
        check(&OBS.replace("a=ice-ufrag:p4Kd\n", ""), OfferError::NoCredentials);
        check(&OBS.replace("a=ice-pwd:", "a=x:"), OfferError::NoCredentials);
        check(&OBS.replace("a=fingerprint:", "a=x:"), OfferError::NoFingerprint);
        let more = |number: usize| format!("m=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:x{number}\n");
        check(&format!("{OBS}{}", (0..31).map(more).collect::<String>()), OfferError::TooManySections);
    }

    #[test]
    fn an_offer_that_ends_anywhere_does_not_panic_and_its_restart_is_the_same_offer() {
        for sdp in ALL {
            for end in 0..sdp.len() {
                crate::fuzz::offer(&sdp[..end]);
            }
            let pwd = "0123456789012345678901";
            let restarted = Offer::restart(sdp, "new1", pwd);
            assert!(!restarted.contains("candidate"));
            let (before, after) = (Offer::read(sdp).expect("an offer"), Offer::read(&restarted).expect("an offer"));
            assert_eq!(after, Offer { ice_ufrag: "new1".to_owned(), ice_pwd: pwd.to_owned(), ..before });
        }
    }

    #[test]
    fn an_answers_credentials_and_candidates_are_found() {
        let (ufrag, pwd, candidates) = answer_credentials(GSTREAMER).expect("an SDP with them");
        let offer = Offer::read(GSTREAMER).expect("an offer");
        assert_eq!((ufrag, pwd), (offer.ice_ufrag, offer.ice_pwd));
        assert!(candidates.len() == 9 && candidates[0].starts_with("candidate:1 1 UDP "), "{candidates:?}");
        assert_eq!(answer_credentials("v=0"), None);
    }

    #[test]
    fn credentials_are_of_the_right_length_and_letters() {
        let pwd = "0123456789012345678901";
        assert!(are_credentials("ab+/", pwd));
        for (ufrag, pwd) in [("abc", pwd), ("abcd", &pwd[1..]), ("ab\r\na=x", pwd), ("ab cd", pwd)] {
            assert!(!are_credentials(ufrag, pwd));
        }
    }
}

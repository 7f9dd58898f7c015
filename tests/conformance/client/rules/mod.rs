//! The rules: one function for each line of the checklist that a client can judge.
//!
//! A rule takes the session and says what it found. A rule about something that was not offered finds nothing, and
//! [`Report::judged`] tells which rules had something to look at.

mod asset;
mod directives;
mod header;
mod hints;
mod media;
mod multivariant;
mod parts;
mod steps;
mod syntax;
mod timing;
mod transport;

use super::report::{Report, Violation};
use super::session::Session;

/// A rule of the checklist.
pub struct Rule {
    /// The checklist's line. `G`: the grammar; `S`: what follows from one playlist for the next.
    pub id: &'static str,
    /// Sections of draft-pantos-hls-rfc8216bis-22, or of Apple's authoring specification.
    pub section: &'static str,
    check: fn(&Session, &mut Findings<'_>),
}

const fn rule(id: &'static str, section: &'static str, check: fn(&Session, &mut Findings<'_>)) -> Rule {
    Rule { id, section, check }
}

/// Every rule that is judged.
pub const RULES: &[Rule] = &[
    rule("G1", "§4.1, §4.2 grammar", syntax::grammar),
    rule("G2", "§4.4 order and number of tags", syntax::order),
    rule("G3", "second reader: quick-m3u8", syntax::second_reader),
    rule("L1", "§4.4.3.7 EXT-X-PART-INF", header::part_inf),
    rule("L2", "§4.4.3.8, Apple 14.3 PART-HOLD-BACK", header::part_hold_back),
    rule("L3", "§4.4.3.8 HOLD-BACK, CAN-SKIP-UNTIL", header::hold_back),
    rule("L4", "§4.4.4.9 EXT-X-PART", parts::durations),
    rule("L4", "§4.4.4.9 INDEPENDENT", parts::independent),
    rule("L5", "§4.4.4.9 tags before the first part", parts::tags_before_parts),
    rule("L6", "§4.4.4.9 parts and parent are the same media", media::parts_are_the_segment),
    rule("L6", "§3, Apple 7.4 independent frames", media::independent_segments),
    rule("L6", "§3 media is whole and its clock goes on", media::continuous),
    rule("L7", "§4.4.4.9 available the instant it is listed", parts::available),
    rule("L7", "§6.2.1 a part within one part target", timing::pace),
    rule("L8", "§4.4.4.9 parts leave the list", parts::window),
    rule("L8", "§4.4.4.9, §6.2.2 what left the list is still there", steps::retention),
    rule("L9", "§4.4.5.3 EXT-X-PRELOAD-HINT", hints::listed),
    rule("L9", "§4.4.5.3 a hint comes true", hints::come_true),
    rule("L10", "§6.2.6 hinted requests", hints::held),
    rule("L11", "§4.4.5.4, B.1 EXT-X-RENDITION-REPORT", timing::reports),
    rule("L12", "§4.4.4.6 EXT-X-PROGRAM-DATE-TIME, §8 version", header::dates_and_version),
    rule("L12", "§4.4.4.6 dates go with the media", media::dates),
    rule("D1", "§6.2.5.2 blocking reload", directives::blocking),
    rule("D2", "§6.2.5.2 behind the last part", directives::behind_finished),
    rule("D3", "§6.2.5.2 what is long there", directives::past),
    rule("D4", "§6.2.5.2 directives behind ENDLIST", directives::ended),
    rule("D5", "§6.2.5.2 too far ahead", directives::too_far),
    rule("D6", "§6.2.5.2 malformed directives", directives::malformed),
    rule("D7", "§6.2.5.2 three target durations", directives::timeout),
    rule("D8", "§6.2.5.1 delta updates", directives::skip),
    rule("D9", "§6.2.5.2, B.1 I-frame playlists", multivariant::i_frame_playlists),
    rule("D10", "§6.2.5 reserved prefix, tokens", directives::addresses),
    rule("S1", "§6.2.1, §6.2.2 playlists only grow at the end", steps::only_grow),
    rule("S2", "§4.4.3.1 the target duration stands", steps::target_duration),
    rule("S3", "§6.2.2 discontinuity sequence", steps::discontinuity_sequence),
    rule("S4", "§6.2.2 three target durations stay", steps::window),
    rule("S5", "§4.4.3.4, §6.2.1 ENDLIST is the end", steps::end),
    rule("T1", "B.1 HTTP/2", transport::http2),
    rule("T2", "Apple 10.1 gzip", transport::gzip),
    rule("T2", "RFC 9110 §14 ranges", transport::ranges),
    rule("T3", "B.1 renditions are updated together", timing::together),
    rule("T4", "B.1 no Age from an origin", transport::no_age),
    rule("T5", "B.1 cache lifetimes", transport::cache_control),
    rule("X1", "Fetch standard: any page may play", transport::cross_origin),
    rule("T7", "Apple 14.4, 14.5 long windows", header::long_windows),
    rule("M1", "Apple 9 multivariant playlist", multivariant::attributes),
    rule("M2", "Apple 3 bit rates", multivariant::bandwidth),
    rule("M3", "§4.4.3.1, Apple 7 durations", header::durations),
    rule("M3", "Apple 7 EXTINF adds up within a frame", media::durations),
    rule("M4", "Apple 6 I-frame playlists", multivariant::i_frames),
    rule("M5", "§4.4.3.5 playlist type", steps::playlist_type),
    rule("M6", "Apple 1, 2, 5 media", media::entries),
    rule("M6", "§6.2.4 renditions are one presentation", timing::one_presentation),
    rule("M9", "§10 media types", transport::media_types),
    rule("M1", "Apple 9 an asset's tracks", asset::tracks),
    rule("M2", "Apple 3 an asset's bit rates are what it says", asset::bandwidth),
    rule("M3", "Apple 1.13, 7 keyframes of an asset", asset::keyframes),
    rule("M5", "Apple 7 an asset is whole", asset::whole),
    rule("M6", "Apple 1, 2, 7 renditions of an asset are one", asset::aligned),
    rule("M7", "Apple 1.6 ladder", asset::ladder),
    rule("M8", "Apple 4, RFC 8216bis §3.1.4 captions", asset::captions),
];

/// Lines of the checklist that a client at a socket cannot judge, with the reason.
pub const NOT_JUDGED: &[(&str, &str)] = &[
    ("L8, its upper end", "that bytes go at last is not demanded, and memory is not seen from outside"),
    ("D10, idempotence", "a reload of a live playlist may rightly differ from the one before"),
    ("T1, priorities", "RFC 9218 is about which of several answers goes first on a full link; loopback is never full"),
    (
        "T2, SACK, ECN, RACK-TLP",
        "options of the kernel, not of the server; TLS below 1.2 is refused by the client itself",
    ),
    ("T3, every server offers all variants", "one server is watched"),
    ("T4, collapsing and Age of caches", "behaviour of a CDN; that the origin sends no Age is judged"),
    ("T6", "recommended lengths, overridden for live (docs/adr); round-trip times are the network's"),
    ("M2, averages of live streams over an hour", "the run is seconds long; peaks are judged"),
    (
        "M2, peaks up to twice the average",
        "a SHOULD about content: rungs of one quality take what their pictures take, up to a cap",
    ),
    (
        "M3, 6 s targets and keyframes every 2 s",
        "lengths are overridden for live (docs/adr); keyframes are the encoder's",
    ),
    ("M5, six segments and 15 minutes", "overridden for live (docs/adr)"),
    (
        "M6, loudness, aspect, SDR variants, stereo AAC",
        "content: nothing is encoded by a server that passes media through",
    ),
    ("M7 and M8, live", "nothing is made of a live stream but what players need to play it; assets are judged"),
];

/// What one rule has found.
pub struct Findings<'a> {
    rule: &'static str,
    report: &'a mut Report,
}

impl Findings<'_> {
    /// Notes that something was looked at, and what is wrong with it.
    pub fn check(&mut self, holds: bool, what: impl FnOnce() -> String, evidence: impl FnOnce() -> String) {
        self.report.judged.insert(self.rule);
        if !holds {
            self.report.push(Violation { rule: self.rule, what: what(), evidence: evidence() });
        }
    }
}

/// Judges a session by every rule.
pub fn judge(session: &Session) -> Report {
    let mut report = Report::default();
    for Rule { id, check, .. } in RULES {
        check(session, &mut Findings { rule: id, report: &mut report });
    }
    report.playlists = session.all_lists().count();
    report.media = session.logs.iter().map(|log| log.media.len()).sum();
    let mut texts: Vec<String> =
        session.exchanges().filter(|e| e.is_playlist() && e.status == 200).map(|e| e.text()).collect();
    texts.sort();
    texts.dedup();
    report.texts = texts;
    report
}

/// The first lines of a playlist and those that matter, for evidence.
pub fn excerpt(seen: &super::session::Seen, needles: &[&str]) -> String {
    let text = seen.exchange.text();
    let lines = text.lines().filter(|line| needles.iter().any(|needle| line.contains(needle)));
    let lines: Vec<&str> = lines.take(12).collect();
    format!("{}\n{}", seen.exchange.summary(), lines.join("\n"))
}

//! What is done to a peer's SDP before the engine's parser sees it: limits, refusals, and no candidates.
//!
//! In: text from a peer. Out: text for the engine and what its sections are. Works line by line; what it does not
//! know it passes on. Candidates are taken out and counted: host names among them are never resolved
//! (RFC 8828 §4 mDNS names included).

use crate::api::{Fault, Kind};

/// The longest SDP. 30 sections of a browser are about 60 kB.
pub(crate) const SDP_BYTES_MAX: usize = 128 * 1024;
/// The longest line. Browsers stay below 300 bytes.
const LINE_BYTES_MAX: usize = 2_048;
/// Lines of one section. Chrome's video section with all codecs has about 130.
const SECTION_LINES_MAX: usize = 400;
/// Candidates taken from one SDP; those beyond are ignored.
const CANDIDATES_MAX: usize = 32;
/// The names in `a=rtpmap` of the codecs that are forwarded (RFC 8866 §6.6, names are case-insensitive).
const CODECS: [&str; 5] = ["opus", "vp8", "h264", "vp9", "av1"];

/// One media section of an SDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// `a=mid`.
    pub(crate) mid: String,
    /// Audio or video; `None` for data channels.
    pub(crate) kind: Option<Kind>,
    /// Whether it takes part (its port is not 0, or it is bundle-only).
    pub(crate) active: bool,
    /// `a=rid … send`, as they come.
    pub(crate) rids: Vec<String>,
    /// Payload types in the peer's order.
    formats: Vec<String>,
    /// Whether it has a codec that is forwarded.
    pub(crate) known_codec: bool,
    lines: Vec<String>,
}

/// A section of an offer that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    mid: String,
    kind: Option<Kind>,
    /// It was not refused.
    is_kept: bool,
}

/// A peer's SDP, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sheet {
    session: Vec<String>,
    /// The media sections.
    pub(crate) sections: Vec<Section>,
    /// Candidates, as `candidate:…`.
    pub(crate) candidates: Vec<String>,
}

impl Sheet {
    /// Takes an SDP apart, if it keeps the limits and has what the engine needs.
    pub(crate) fn read(sdp: &str, sections_max: usize) -> Result<Sheet, Fault> {
        let sheet = Sheet::parse(sdp, sections_max)?;
        sheet.check()?;
        Ok(sheet)
    }

    /// Takes an SDP apart, if it keeps the limits.
    pub(crate) fn parse(sdp: &str, sections_max: usize) -> Result<Sheet, Fault> {
        if sdp.len() > SDP_BYTES_MAX {
            return Err(Fault::BadSdp);
        }
        let mut sheet = Sheet { session: Vec::new(), sections: Vec::new(), candidates: Vec::new() };
        for line in sdp.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            if line.len() > LINE_BYTES_MAX {
                return Err(Fault::BadSdp);
            }
            if line.starts_with("m=") {
                if sheet.sections.len() == sections_max {
                    return Err(Fault::TooMany);
                }
                sheet.sections.push(Section::begin(line)?);
            } else {
                sheet.take(line)?;
            }
        }
        sheet.check_mids()?;
        Ok(sheet)
    }

    /// Whether the session has an attribute without a value.
    pub(crate) fn says(&self, attribute: &str) -> bool {
        says(&self.session, attribute)
    }

    /// The values of an attribute of the whole session.
    pub(crate) fn values<'a>(&'a self, attribute: &'a str) -> impl Iterator<Item = &'a str> {
        values(&self.session, attribute)
    }

    fn take(&mut self, line: &str) -> Result<(), Fault> {
        if let Some(candidate) = line.strip_prefix("a=")
            && candidate.starts_with("candidate:")
        {
            if self.candidates.len() < CANDIDATES_MAX {
                self.candidates.push(candidate.to_owned());
            }
            return Ok(());
        }
        if line == "a=end-of-candidates" {
            return Ok(());
        }
        match self.sections.last_mut() {
            Some(section) => section.take(line),
            None if self.session.len() >= SECTION_LINES_MAX => Err(Fault::BadSdp),
            None => {
                self.session.push(line.to_owned());
                Ok(())
            }
        }
    }

    fn check(&self) -> Result<(), Fault> {
        // Without them the engine gives up on the whole connection.
        for needed in ["a=fingerprint:", "a=ice-ufrag:", "a=ice-pwd:", "a=group:BUNDLE"] {
            let mut lines = self.session.iter().chain(self.sections.iter().flat_map(|section| &section.lines));
            if !lines.any(|line| line.starts_with(needed)) {
                return Err(Fault::BadSdp);
            }
        }
        Ok(())
    }

    fn check_mids(&self) -> Result<(), Fault> {
        if self.sections.is_empty() {
            return Err(Fault::BadSdp);
        }
        for (index, section) in self.sections.iter().enumerate() {
            let repeated = self.sections[..index].iter().any(|other| other.mid == section.mid);
            // The engine keeps sixteen letters and digits of a mid.
            let odd = section.mid.is_empty()
                || section.mid.len() > 16
                || !section.mid.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if repeated || odd {
                return Err(Fault::BadSdp);
            }
        }
        Ok(())
    }

    /// The SDP for the engine: sections that `keep` denies are refused (port 0, out of the bundle, RFC 9143 §7.3).
    pub(crate) fn write(&self, keep: impl Fn(&Section) -> bool) -> String {
        let mut text = String::with_capacity(8 * 1024);
        let mut line = |line: &str| {
            text.push_str(line);
            text.push_str("\r\n");
        };
        for entry in &self.session {
            if entry.starts_with("a=group:BUNDLE") {
                let mut group = String::from("a=group:BUNDLE");
                for section in self.sections.iter().filter(|section| section.active && keep(section)) {
                    group.push(' ');
                    group.push_str(&section.mid);
                }
                line(&group);
            } else {
                line(entry);
            }
        }
        for section in &self.sections {
            let kept = section.active && keep(section);
            for (index, entry) in section.lines.iter().enumerate() {
                match index {
                    0 if !kept => line(&with_port(entry, "0")),
                    // Bundle-only sections have port 0 too (RFC 9143 §6); ours are all in the bundle.
                    0 => line(&with_port(entry, "9")),
                    _ => line(entry),
                }
            }
        }
        text
    }

    /// The sections of a viewer that are to be seen and heard.
    pub(crate) fn viewed(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|section| section.active && section.kind.is_some())
    }

    /// What is agreed on when [`Sheet::write`] is answered.
    pub(crate) fn agreed(&self, keep: impl Fn(&Section) -> bool) -> Vec<Agreed> {
        let agreed = |section: &Section| Agreed {
            mid: section.mid.clone(),
            kind: section.kind,
            is_kept: section.active && keep(section),
        };
        self.sections.iter().map(agreed).collect()
    }

    /// Whether it can come after an offer with these sections: none is missing, and each is what it was (RFC 8829 §5.2.2: the place of
    /// a refused one may have become another's).
    pub(crate) fn follows(&self, agreed: &[Agreed]) -> bool {
        let mut places = agreed.iter().zip(&self.sections).enumerate();
        self.sections.len() >= agreed.len()
            && places.all(|(index, (before, section))| {
                let is_same = before.mid == section.mid && before.kind == section.kind;
                let is_elsewhere = agreed.iter().skip(index + 1).any(|other| other.mid == section.mid);
                is_same || (!before.is_kept && before.kind.is_some() && before.mid != section.mid && !is_elsewhere)
            })
    }

    /// Names the streams (RFC 8830) of an answer to this offer: browsers play sections of one stream in step, and the engine names
    /// each its own.
    pub(crate) fn with_streams(answer: &str, name: impl Fn(&str) -> Option<String>) -> String {
        let mids: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("a=mid:")).collect();
        let (mut text, mut sections) = (String::with_capacity(answer.len()), 0);
        for line in answer.lines() {
            sections += usize::from(line.starts_with("m="));
            let mid = sections.checked_sub(1).and_then(|index| mids.get(index));
            let named = mid.and_then(|mid| name(mid)).and_then(|name| with_stream(line, &name));
            text.push_str(named.as_deref().unwrap_or(line));
            text.push_str("\r\n");
        }
        text
    }

    /// Puts the payload types of an answer to this offer into the offer's order, which is the peer's choice: the
    /// engine answers in its own.
    pub(crate) fn in_offered_order(&self, answer: &str) -> String {
        let mut sections = self.sections.iter();
        let mut text = String::with_capacity(answer.len());
        for line in answer.lines() {
            if line.starts_with("m=") {
                let mut words = line.split(' ');
                for word in words.by_ref().take(3) {
                    text.push_str(word);
                    text.push(' ');
                }
                let mut formats: Vec<&str> = words.collect();
                if let Some(section) = sections.next() {
                    let place = |format: &&str| section.formats.iter().position(|offered| offered == format);
                    formats.sort_by_key(|format| place(format).unwrap_or(usize::MAX));
                }
                text.push_str(&formats.join(" "));
            } else {
                text.push_str(line);
            }
            text.push_str("\r\n");
        }
        text
    }
}

impl Section {
    fn begin(line: &str) -> Result<Section, Fault> {
        let mut words = line["m=".len()..].split(' ');
        let kind = match words.next() {
            Some("audio") => Some(Kind::Audio),
            Some("video") => Some(Kind::Video),
            Some("application") => None,
            _ => return Err(Fault::BadSdp),
        };
        let active = words.next().ok_or(Fault::BadSdp)? != "0";
        let formats = words.skip(1).map(str::to_owned).collect();
        Ok(Section {
            mid: String::new(),
            kind,
            active,
            rids: Vec::new(),
            formats,
            known_codec: kind.is_none(),
            lines: vec![line.to_owned()],
        })
    }

    fn take(&mut self, line: &str) -> Result<(), Fault> {
        if self.lines.len() >= SECTION_LINES_MAX {
            return Err(Fault::BadSdp);
        }
        if let Some(mid) = line.strip_prefix("a=mid:") {
            self.mid = mid.to_owned();
        } else if line.starts_with("a=sctp-init:") {
            // A handshake in the SDP (draft-hancke-tsvwg-snap): without it everybody makes one, and a later offer has less to break.
            return Ok(());
        } else if line == "a=bundle-only" {
            self.active = true;
        } else if let Some(rid) = line.strip_prefix("a=rid:") {
            let mut words = rid.split(' ');
            if let (Some(rid), Some("send")) = (words.next(), words.next()) {
                self.rids.push(rid.to_owned());
            }
        } else if let Some(map) = line.strip_prefix("a=rtpmap:") {
            self.known_codec |= map.split(' ').nth(1).is_some_and(|codec| {
                let name = codec.split('/').next().unwrap_or_default();
                CODECS.iter().any(|known| known.eq_ignore_ascii_case(name))
            });
        }
        self.lines.push(line.to_owned());
        Ok(())
    }

    /// The values of an attribute.
    pub(crate) fn values<'a>(&'a self, attribute: &'a str) -> impl Iterator<Item = &'a str> {
        values(&self.lines, attribute)
    }

    /// Whether it has an attribute without a value.
    pub(crate) fn says(&self, attribute: &str) -> bool {
        says(&self.lines, attribute)
    }

    /// Whether the peer sends in it.
    pub(crate) fn sends(&self) -> bool {
        !self.lines.iter().any(|line| line == "a=recvonly" || line == "a=inactive")
    }

    /// Whether the peer receives in it.
    pub(crate) fn receives(&self) -> bool {
        !self.lines.iter().any(|line| line == "a=sendonly" || line == "a=inactive")
    }

    /// A publisher's section is one way: nothing is sent back in it.
    pub(crate) fn make_one_way(&mut self) {
        self.make("a=sendonly");
    }

    /// A viewer's section is one way: nothing is taken from it, whatever it says of what it would send.
    pub(crate) fn make_viewing(&mut self) {
        self.make("a=recvonly");
        let is_of_sending = |line: &str| {
            ["a=ssrc:", "a=ssrc-group:", "a=msid:", "a=rid:", "a=simulcast:"]
                .iter()
                .any(|begin| line.starts_with(begin))
        };
        self.lines.retain(|line| !is_of_sending(line));
        self.rids.clear();
    }

    fn make(&mut self, direction: &str) {
        for line in &mut self.lines {
            if line == "a=sendrecv" {
                direction.clone_into(line);
            }
        }
        let has_direction =
            |line: &String| matches!(line.as_str(), "a=sendonly" | "a=recvonly" | "a=inactive" | "a=sendrecv");
        if self.kind.is_some() && !self.lines.iter().any(has_direction) {
            self.lines.push(direction.to_owned());
        }
    }
}

fn says(lines: &[String], attribute: &str) -> bool {
    lines.iter().any(|line| line.strip_prefix("a=") == Some(attribute))
}

fn values<'a>(lines: &'a [String], attribute: &'a str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter_map(move |line| line.strip_prefix("a=")?.strip_prefix(attribute)?.strip_prefix(':'))
}

/// A line that names a stream, with another name; `None` for other lines.
fn with_stream(line: &str, name: &str) -> Option<String> {
    if let Some(rest) = line.strip_prefix("a=msid:") {
        let track = rest.split(' ').nth(1)?;
        return Some(format!("a=msid:{name} {track}"));
    }
    let (ssrc, rest) = line.strip_prefix("a=ssrc:")?.split_once(" msid:")?;
    let track = rest.split(' ').nth(1)?;
    Some(format!("a=ssrc:{ssrc} msid:{name} {track}"))
}

fn with_port(line: &str, port: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    if let Some(word) = words.get_mut(1) {
        *word = port;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n\
        a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 00\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n\
        a=candidate:1 1 udp 1 x.local 9 typ host\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 96 98\r\na=mid:1\r\na=bundle-only\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:98 VP9/90000\r\n\
        a=rid:l send\r\na=rid:h send\r\na=simulcast:send l;h\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n";

    #[test]
    fn sections_are_read_and_those_that_are_not_kept_are_refused() {
        let sheet = Sheet::read(OFFER, 3).expect("a good offer");
        let kinds: Vec<_> = sheet.sections.iter().map(|section| section.kind).collect();
        assert_eq!(kinds, [Some(Kind::Audio), Some(Kind::Video), None]);
        assert!(sheet.sections.iter().all(|section| section.active && section.known_codec));
        assert_eq!(sheet.sections[1].rids, ["l", "h"]);
        assert_eq!(sheet.candidates.len(), 1);
        let kept = sheet.write(|section| section.mid != "0");
        assert!(kept.contains("a=group:BUNDLE 1 2\r\n"));
        assert!(kept.contains("m=audio 0 ") && kept.contains("m=video 9 "));
        assert!(!kept.contains("candidate"));
    }

    #[test]
    fn a_publishers_sections_are_one_way() {
        let mut sheet = Sheet::read(OFFER, 3).expect("a good offer");
        sheet.sections.iter_mut().for_each(Section::make_one_way);
        assert_eq!(sheet.write(|_| true).matches("a=sendonly").count(), 2);
    }

    #[test]
    fn a_viewers_sections_are_one_way_and_say_nothing_of_sending() {
        let offer = OFFER.replace("a=mid:1\r\n", "a=mid:1\r\na=msid:s t\r\na=ssrc:7 cname:x\r\n");
        let mut sheet = Sheet::read(&offer, 3).expect("a good offer");
        assert!(sheet.sections.iter().all(Section::receives));
        sheet.sections.iter_mut().for_each(Section::make_viewing);
        let written = sheet.write(|_| true);
        assert_eq!(written.matches("a=recvonly").count(), 2);
        assert!(!written.contains("a=rid") && !written.contains("a=simulcast") && !written.contains("a=ssrc"));
    }

    #[test]
    fn a_later_offer_has_the_sections_of_the_one_before() {
        let sheet = |sdp: &str| Sheet::read(sdp, 4).expect("a good offer");
        let agreed = sheet(OFFER).agreed(|section| section.mid != "1");
        let check = |sdp: &str, follows| assert_eq!(sheet(sdp).follows(&agreed), follows, "{sdp}");
        check(OFFER, true);
        check(&format!("{OFFER}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:3\r\n"), true);
        check(&OFFER.replace("a=mid:1", "a=mid:8"), true);
        check(&OFFER.replace("a=mid:0", "a=mid:8"), false);
        check(&OFFER.replace("m=audio", "m=video"), false);
        check(OFFER.split("m=application").next().expect("two sections"), false);
        let moved = OFFER.replace("a=mid:2", "a=mid:9").replace("a=mid:1", "a=mid:2");
        check(&moved, false);
    }

    #[test]
    fn streams_of_an_answer_get_their_names() {
        let answer = "m=audio 9 x 111\r\na=mid:0\r\na=msid:abc def\r\na=ssrc:7 cname:abc\r\na=ssrc:7 msid:abc def\r\n\
            m=video 9 x 96\r\na=mid:1\r\na=msid:ghi jkl\r\n";
        let named = Sheet::with_streams(answer, |mid| (mid == "0").then(|| "pair0".to_owned()));
        assert_eq!(named, answer.replace("msid:abc", "msid:pair0"));
    }

    #[test]
    fn an_answer_has_the_codecs_in_the_order_of_the_offer() {
        let offer = Sheet::read(&OFFER.replace("96 98", "98 96"), 3).expect("a good offer");
        let answer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97 98\r\n";
        assert!(offer.in_offered_order(answer).contains("m=video 9 UDP/TLS/RTP/SAVPF 98 96 97\r\n"));
    }

    #[test]
    fn what_breaks_a_limit_is_refused() {
        let check = |sdp: String, fault| assert_eq!(Sheet::read(&sdp, 3).expect_err("it breaks a limit"), fault);
        check(String::new(), Fault::BadSdp);
        check("x".repeat(SDP_BYTES_MAX + 1), Fault::BadSdp);
        check(format!("{OFFER}a=x:{}\r\n", "y".repeat(LINE_BYTES_MAX)), Fault::BadSdp);
        check(format!("{OFFER}{}", "a=x\r\n".repeat(SECTION_LINES_MAX)), Fault::BadSdp);
        check(format!("{OFFER}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:3\r\n"), Fault::TooMany);
        check(OFFER.replace("a=mid:1", "a=mid:0"), Fault::BadSdp);
        check(OFFER.replace("a=mid:1", "a=mid:a-b"), Fault::BadSdp);
        check(OFFER.replace("m=video", "m=text"), Fault::BadSdp);
        check(OFFER.replace("a=fingerprint", "a=x"), Fault::BadSdp);
        let many =
            Sheet::read(&format!("{OFFER}{}", "a=candidate:1\r\n".repeat(2_000)), 3).expect("candidates are ignored");
        assert_eq!(many.candidates.len(), CANDIDATES_MAX);
    }

    proptest! {
        #[test]
        fn no_text_panics(at in 0..OFFER.len(), text in "[ -~\r\n]{0,40}") {
            let mut sdp = OFFER.to_owned();
            sdp.insert_str(at, &text);
            if let Ok(sheet) = Sheet::read(&sdp, 8) {
                let _ = sheet.in_offered_order(&sheet.write(|section| section.kind.is_some()));
            }
        }
    }
}

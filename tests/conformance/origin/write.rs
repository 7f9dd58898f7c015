//! Playlists of the synthetic stream, as text, right but for the fault.

use std::fmt::Write;

use super::PARTS_BEFORE_STALL;
use super::fault::Fault;
use super::stream::{
    BEGAN_MS, DISCONTINUITY_AT, DISCONTINUITY_SEQUENCE, FIRST_MSN, PART_MS, PARTS_AT_START, PARTS_PER_SEGMENT,
    TARGET_SECS, Track, WINDOW,
};

/// Segments that may be skipped are further than this from the end.
const SKIP_UNTIL_SECS: usize = 9 * TARGET_SECS;

/// What a playlist is written for.
#[derive(Clone, Debug)]
pub struct View {
    pub fault: Fault,
    pub track: Track,
    /// Parts that there are.
    pub edge: usize,
    /// Parts that there are of the other rendition.
    pub other_edge: usize,
    pub ended: bool,
    /// The query that goes into every address.
    pub query: String,
    /// Absolute address of this origin.
    pub base: String,
    /// `_HLS_skip`, taken.
    pub skip: bool,
    /// Counts playlists, for faults that alternate.
    pub count: usize,
    /// Playlists since the end.
    pub ended_count: usize,
    /// Seconds since the start.
    pub age_secs: f64,
}

macro_rules! line {
    ($text:expr, $($argument:tt)*) => {
        writeln!($text, $($argument)*).expect("writing to a string does not fail")
    };
}

/// The number of the segment that part number `index` belongs to.
pub fn msn_of(index: usize) -> usize {
    FIRST_MSN + index / PARTS_PER_SEGMENT
}

fn date(ms: u64) -> String {
    let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
    // The stream began on 1 January 2026, and a test does not last a month.
    let day = days - BEGAN_MS / 86_400_000 + 1;
    let (secs, ms) = (ms / 1_000, ms % 1_000);
    format!("2026-01-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", secs / 3_600, secs / 60 % 60, secs % 60)
}

impl View {
    /// The first segment that is listed.
    pub fn first_msn(&self) -> usize {
        let window = if self.fault == Fault::WindowTooShort { 2 } else { WINDOW };
        let finished = msn_of(self.edge);
        let back = usize::from(self.fault == Fault::MsnGoesBack && self.count % 3 == 2);
        let lost = usize::from(self.fault == Fault::ChangesBehindEnd && self.ended_count > 2);
        finished.saturating_sub(window + back).max(FIRST_MSN) + lost
    }

    fn address(&self, path: &str) -> String {
        let forgets = self.fault == Fault::TokenNotCopied && path.ends_with(".m4s");
        let copied = if self.fault == Fault::DirectiveInAddress { "&_HLS_copied=1" } else { "" };
        if forgets { path.to_owned() } else { format!("{path}?{}{copied}", self.query) }
    }

    pub fn media(&self) -> String {
        if self.track == Track::IFrames { self.i_frames() } else { self.low_latency() }
    }

    fn low_latency(&self) -> String {
        let mut text = String::with_capacity(8_192);
        self.header(&mut text);
        let first = self.first_msn();
        let open = msn_of(self.edge);
        let skipped = self.skipped(first, open);
        if skipped > 0 {
            let told = if self.fault == Fault::SkipMisnumbered { skipped - 1 } else { skipped };
            line!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={told}");
        }
        line!(text, "#EXT-X-MAP:URI=\"{}\"", self.address("init.mp4"));
        for msn in first + skipped..=open {
            self.segment(&mut text, msn, open);
        }
        self.footer(&mut text, open);
        text
    }

    fn skipped(&self, first: usize, open: usize) -> usize {
        if !self.skip {
            return 0;
        }
        let keep = if self.fault == Fault::SkipsTooMuch { 2 } else { SKIP_UNTIL_SECS.div_ceil(TARGET_SECS) };
        (open - first).saturating_sub(keep)
    }

    fn header(&self, text: &mut String) {
        let fault = self.fault;
        line!(text, "#EXTM3U");
        line!(text, "#EXT-X-VERSION:{}", if fault == Fault::VersionTooLow { 3 } else { 9 });
        let grown = fault == Fault::TargetDurationChanges && self.age_secs > 4.0;
        line!(text, "#EXT-X-TARGETDURATION:{}", TARGET_SECS + usize::from(grown));
        if fault == Fault::DoubledTag {
            line!(text, "#EXT-X-TARGETDURATION:{TARGET_SECS}");
        }
        self.server_control(text);
        let part_target = match fault {
            Fault::PartOverTarget => 0.45,
            Fault::PartTooShort => 0.6,
            _ => PART_MS as f64 / 1e3,
        };
        if fault != Fault::NoPartInf {
            line!(text, "#EXT-X-PART-INF:PART-TARGET={part_target:.3}");
        }
        if fault == Fault::EventLosesSegments {
            line!(text, "#EXT-X-PLAYLIST-TYPE:EVENT");
        }
        let first = self.first_msn();
        line!(text, "#EXT-X-MEDIA-SEQUENCE:{first}");
        let gone = usize::from(first > DISCONTINUITY_AT && fault != Fault::DiscontinuitySequenceStuck);
        let wrong = usize::from(fault == Fault::SkipChangesDiscontinuity && self.skip);
        line!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", DISCONTINUITY_SEQUENCE + gone + wrong);
        line!(text, "#EXT-X-INDEPENDENT-SEGMENTS");
    }

    fn server_control(&self, text: &mut String) {
        let block = if self.fault == Fault::NoBlockReload { "" } else { "CAN-BLOCK-RELOAD=YES," };
        let part_hold_back = match self.fault {
            Fault::NoPartHoldBack => "",
            Fault::PartHoldBackTooSmall => "PART-HOLD-BACK=1.25,",
            _ => "PART-HOLD-BACK=1.8,",
        };
        let skip = match self.fault {
            Fault::SkipUnoffered => String::new(),
            Fault::SkipUntilTooSmall => "CAN-SKIP-UNTIL=11.0,".to_owned(),
            _ => format!("CAN-SKIP-UNTIL={SKIP_UNTIL_SECS}.0,"),
        };
        let hold_back = match self.fault {
            Fault::HoldBackTooSmall => 5,
            Fault::ControlsDiffer if self.track == Track::Audio => 10,
            _ => 9,
        };
        line!(text, "#EXT-X-SERVER-CONTROL:{block}{part_hold_back}{skip}HOLD-BACK={hold_back}.0");
    }

    fn date(&self, text: &mut String, msn: usize) {
        let drift = if self.fault == Fault::DatesDrift { 150 * (msn - FIRST_MSN) as u64 } else { 0 };
        let ms = BEGAN_MS + ((msn - FIRST_MSN) * TARGET_SECS * 1_000) as u64 + drift;
        if self.fault != Fault::NoDate {
            line!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", date(ms));
        }
    }

    fn segment(&self, text: &mut String, msn: usize, open: usize) {
        let fault = self.fault;
        let parts = if msn < open { PARTS_PER_SEGMENT } else { self.edge % PARTS_PER_SEGMENT };
        if parts == 0 {
            return;
        }
        if msn == DISCONTINUITY_AT {
            line!(text, "#EXT-X-DISCONTINUITY");
        }
        if fault != Fault::DateBehindFirstPart {
            self.date(text, msn);
        }
        // Parts are listed for three target durations from the end.
        let after_ms = (self.edge * PART_MS as usize).saturating_sub((msn + 1 - FIRST_MSN) * TARGET_SECS * 1_000);
        let near = after_ms <= 3 * TARGET_SECS * 1_000;
        let keeps = near || fault == Fault::PartsStayListed;
        let forgets = fault == Fault::PartsLeaveOutOfOrder && msn.is_multiple_of(3) && msn + 1 < open;
        if keeps && !forgets {
            for part in 0..parts {
                self.part(text, msn, part);
                if part == 0 && fault == Fault::DateBehindFirstPart {
                    self.date(text, msn);
                }
            }
        } else if fault == Fault::DateBehindFirstPart {
            self.date(text, msn);
        }
        if msn < open {
            let too_long = fault == Fault::ExtinfOverTarget && msn.is_multiple_of(3);
            line!(text, "#EXTINF:{},", if too_long { "2.60000" } else { "2.00000" });
            let renamed = fault == Fault::SegmentRenamed && msn + 3 < open;
            line!(text, "{}", self.address(&format!("{msn}{}.m4s", if renamed { "-again" } else { "" })));
        }
    }

    fn part(&self, text: &mut String, msn: usize, part: usize) {
        let holds = match self.fault {
            Fault::IndependentMissing => part != 2 && self.track.is_independent(self.fault, part),
            Fault::IndependentLies => true,
            _ => self.track.is_independent(self.fault, part),
        };
        let independent = if holds { ",INDEPENDENT=YES" } else { "" };
        let address = self.address(&format!("{msn}.{part}.m4s"));
        let quote = if self.fault == Fault::UnquotedUri { "" } else { "\"" };
        line!(text, "#EXT-X-PART:DURATION={:.3},URI={quote}{address}{quote}{independent}", PART_MS as f64 / 1e3);
    }

    fn footer(&self, text: &mut String, open: usize) {
        let fault = self.fault;
        let ended = self.ended;
        if ended {
            line!(text, "#EXT-X-ENDLIST");
        }
        let hints = match fault {
            Fault::HintBehindEnd => true,
            Fault::NoHint => false,
            Fault::NoHintWhileStalled => self.edge < PARTS_AT_START + PARTS_BEFORE_STALL,
            _ => !ended,
        };
        if hints {
            let name = if fault == Fault::HintNeverUsed { "-hint" } else { "" };
            let hint = self.address(&format!("{open}.{}{name}.m4s", self.edge % PARTS_PER_SEGMENT));
            line!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}\"");
            if fault == Fault::TwoHints {
                line!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}\"");
            }
        }
        if ended || fault == Fault::NoReport {
            return;
        }
        let other = if self.track == Track::Video { Track::Audio } else { Track::Video };
        let behind = if fault == Fault::ReportStale { 4 } else { 0 };
        let last = self.other_edge - 1 - behind;
        let path = match fault {
            Fault::ReportAbsolute => format!("{}/live/{}/index.m3u8", self.base, other.name()),
            _ => format!("../{}/index.m3u8", other.name()),
        };
        let uri = self.address(&path);
        let (msn, part) = (msn_of(last), last % PARTS_PER_SEGMENT);
        line!(text, "#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={msn},LAST-PART={part}");
    }

    fn i_frames(&self) -> String {
        let mut text = String::with_capacity(4_096);
        line!(text, "#EXTM3U");
        line!(text, "#EXT-X-VERSION:9");
        line!(text, "#EXT-X-TARGETDURATION:{TARGET_SECS}");
        self.server_control(&mut text);
        if self.fault != Fault::IFramesOnlyMissing {
            line!(text, "#EXT-X-I-FRAMES-ONLY");
        }
        let end = FIRST_MSN + self.edge / 2;
        let first = end.saturating_sub(2 * WINDOW).max(FIRST_MSN);
        line!(text, "#EXT-X-MEDIA-SEQUENCE:{first}");
        line!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{DISCONTINUITY_SEQUENCE}");
        line!(text, "#EXT-X-MAP:URI=\"{}\"", self.address("init.mp4"));
        for msn in first..end {
            if self.fault != Fault::NoDate {
                line!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", date(BEGAN_MS + 1_000 * (msn - FIRST_MSN) as u64));
            }
            line!(text, "#EXTINF:1.00000,");
            line!(text, "{}", self.address(&format!("{msn}.m4s")));
        }
        if self.ended {
            line!(text, "#EXT-X-ENDLIST");
        }
        text
    }

    /// The multivariant playlist.
    pub fn multivariant(&self) -> String {
        let mut text = String::new();
        let fault = self.fault;
        let average = if fault == Fault::NoAverageBandwidth { "" } else { ",AVERAGE-BANDWIDTH=200000" };
        let bandwidth = if fault == Fault::BandwidthTooLow { 100_000 } else { 300_000 };
        let average = if fault == Fault::BandwidthTooLow { ",AVERAGE-BANDWIDTH=90000" } else { average };
        let pictures = match fault {
            Fault::OtherCodecs => "hvc1.1.6.L93.B0",
            Fault::InBandParameterSets => "avc3.64001f",
            _ => "avc1.64001f",
        };
        line!(text, "#EXTM3U");
        line!(text, "#EXT-X-VERSION:9");
        line!(text, "#EXT-X-INDEPENDENT-SEGMENTS");
        line!(
            text,
            "#EXT-X-MEDIA:TYPE=AUDIO,URI=\"{}\",GROUP-ID=\"sound\",LANGUAGE=\"und\",NAME=\"Sound\",DEFAULT=YES,CHANNELS=\"2\"",
            self.address("audio/index.m3u8")
        );
        line!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}{average},CODECS=\"{pictures},Opus\",RESOLUTION=640x360,\
             FRAME-RATE=20.000,AUDIO=\"sound\",CLOSED-CAPTIONS=NONE"
        );
        line!(text, "{}", self.address("video/index.m3u8"));
        if fault != Fault::NoIFrames {
            line!(
                text,
                "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=30000,AVERAGE-BANDWIDTH=25000,CODECS=\"{pictures}\",\
                 RESOLUTION=640x360,URI=\"{}\"",
                self.address("i-frames/index.m3u8")
            );
        }
        text
    }
}

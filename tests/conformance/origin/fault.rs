//! What an origin can do wrong: one rule each.

use crate::client::Course;

/// One deviation from a correct origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is wrong.
    None,
    // The grammar.
    UnquotedUri,
    DoubledTag,
    // What a playlist says.
    NoPartInf,
    PartHoldBackTooSmall,
    NoPartHoldBack,
    NoBlockReload,
    HoldBackTooSmall,
    SkipUntilTooSmall,
    NoDate,
    DatesDrift,
    VersionTooLow,
    ExtinfOverTarget,
    PartOverTarget,
    PartTooShort,
    IndependentMissing,
    IndependentLies,
    DateBehindFirstPart,
    // Media.
    PartsDiffer,
    NoKeyframeAtStart,
    MediaGap,
    SampleTooLong,
    ClocksApart,
    InBandParameterSets,
    SegmentsRedirected,
    // Parts and hints over time.
    PartNotThere,
    PartsInBursts,
    PartsStayListed,
    PartsLeaveOutOfOrder,
    GoneAfterRemoval,
    NoHint,
    HintNeverUsed,
    TwoHints,
    HintBehindEnd,
    HintRefused,
    HintSlow,
    UnknownMediaIsEmpty,
    NoReport,
    ReportStale,
    ReportAbsolute,
    RenditionsApart,
    // Directives.
    AnsweredEarly,
    BehindFinishedRefused,
    PastRefused,
    EndedRefuses,
    TooFarHeld,
    PartWithoutMsnTaken,
    WordsTaken,
    NeverGivesUp,
    GivesUpWith404,
    SkipsTooMuch,
    SkipChangesDiscontinuity,
    SkipUnoffered,
    SkipMisnumbered,
    IFramesOnlyMissing,
    DirectiveInAddress,
    TokenNotCopied,
    // One playlist after the other.
    MsnGoesBack,
    SegmentRenamed,
    TargetDurationChanges,
    DiscontinuitySequenceStuck,
    WindowTooShort,
    NoEndlist,
    ChangesBehindEnd,
    EventLosesSegments,
    // Transport.
    NoHttp2,
    NoGzip,
    NoVary,
    RangeIgnored,
    RangeShifted,
    SendsAge,
    PlaylistKeptTooLong,
    ErrorKeptTooLong,
    MediaNotKept,
    NoCors,
    WrongType,
    // The multivariant playlist.
    NoAverageBandwidth,
    OtherCodecs,
    BandwidthTooLow,
    NoIFrames,
}

impl Fault {
    /// The rule that it breaks, and rules that cannot hold either once it is broken.
    pub fn breaks(self) -> (&'static str, &'static [&'static str]) {
        use Fault::*;
        match self {
            None => ("", &[]),
            UnquotedUri => ("G1", &["G3"]),
            DoubledTag => ("G2", &[]),
            NoPartInf => ("L1", &[]),
            PartHoldBackTooSmall | NoPartHoldBack | NoBlockReload => ("L2", &[]),
            HoldBackTooSmall | SkipUntilTooSmall => ("L3", &[]),
            PartOverTarget | PartTooShort | IndependentMissing | IndependentLies => ("L4", &[]),
            DateBehindFirstPart => ("L5", &[]),
            PartsDiffer | NoKeyframeAtStart | MediaGap | SampleTooLong => ("L6", &[]),
            PartNotThere | PartsInBursts => ("L7", &[]),
            PartsStayListed | PartsLeaveOutOfOrder | GoneAfterRemoval => ("L8", &[]),
            NoHint | HintNeverUsed | TwoHints | HintBehindEnd => ("L9", &[]),
            HintRefused | HintSlow | UnknownMediaIsEmpty => ("L10", &[]),
            NoReport | ReportAbsolute => ("L11", &[]),
            // The ends of renditions are compared by what the reports say.
            ReportStale => ("L11", &["T3"]),
            NoDate | DatesDrift | VersionTooLow => ("L12", &[]),
            AnsweredEarly => ("D1", &[]),
            BehindFinishedRefused => ("D2", &[]),
            PastRefused => ("D3", &[]),
            EndedRefuses => ("D4", &[]),
            TooFarHeld => ("D5", &[]),
            PartWithoutMsnTaken | WordsTaken => ("D6", &[]),
            NeverGivesUp | GivesUpWith404 => ("D7", &[]),
            SkipsTooMuch | SkipChangesDiscontinuity | SkipUnoffered | SkipMisnumbered => ("D8", &[]),
            IFramesOnlyMissing => ("D9", &[]),
            DirectiveInAddress | TokenNotCopied => ("D10", &[]),
            MsnGoesBack | SegmentRenamed => ("S1", &[]),
            TargetDurationChanges => ("S2", &[]),
            DiscontinuitySequenceStuck => ("S3", &[]),
            WindowTooShort => ("S4", &[]),
            NoEndlist | ChangesBehindEnd => ("S5", &[]),
            NoHttp2 => ("T1", &[]),
            NoGzip | NoVary | RangeIgnored | RangeShifted => ("T2", &[]),
            RenditionsApart => ("T3", &[]),
            SendsAge => ("T4", &[]),
            PlaylistKeptTooLong | ErrorKeptTooLong | MediaNotKept => ("T5", &[]),
            NoCors => ("X1", &[]),
            NoAverageBandwidth | OtherCodecs => ("M1", &[]),
            BandwidthTooLow => ("M2", &[]),
            // A segment that is listed longer than it is does not add up with its parts and dates either.
            ExtinfOverTarget => ("M3", &["L6", "L8", "L12"]),
            NoIFrames => ("M4", &[]),
            EventLosesSegments => ("M5", &[]),
            ClocksApart | InBandParameterSets => ("M6", &[]),
            // What is redirected is not there.
            SegmentsRedirected => ("M6", &["L7", "L8"]),
            WrongType => ("M9", &[]),
        }
    }

    /// The course of the stream in which it shows.
    pub fn course(self) -> Course {
        match self {
            Fault::NeverGivesUp | Fault::GivesUpWith404 => Course::Stalls,
            Fault::HintBehindEnd | Fault::EndedRefuses | Fault::NoEndlist | Fault::ChangesBehindEnd => Course::Ends,
            _ => Course::Live,
        }
    }

    /// Every fault.
    pub const ALL: &[Fault] = {
        use Fault::*;
        &[
            UnquotedUri, DoubledTag, NoPartInf, PartHoldBackTooSmall, NoPartHoldBack, NoBlockReload, HoldBackTooSmall,
            SkipUntilTooSmall, NoDate, DatesDrift, VersionTooLow, ExtinfOverTarget, PartOverTarget, PartTooShort,
            IndependentMissing, IndependentLies, DateBehindFirstPart, PartsDiffer, NoKeyframeAtStart, MediaGap,
            SampleTooLong, ClocksApart, InBandParameterSets, SegmentsRedirected, PartNotThere, PartsInBursts,
            PartsStayListed, PartsLeaveOutOfOrder, GoneAfterRemoval, NoHint, HintNeverUsed, TwoHints, HintBehindEnd,
            HintRefused, HintSlow, UnknownMediaIsEmpty, NoReport, ReportStale, ReportAbsolute, RenditionsApart,
            AnsweredEarly, BehindFinishedRefused, PastRefused, EndedRefuses, TooFarHeld, PartWithoutMsnTaken,
            WordsTaken, NeverGivesUp, GivesUpWith404, SkipsTooMuch, SkipChangesDiscontinuity, SkipUnoffered,
            SkipMisnumbered, IFramesOnlyMissing, DirectiveInAddress, TokenNotCopied, MsnGoesBack, SegmentRenamed,
            TargetDurationChanges, DiscontinuitySequenceStuck, WindowTooShort, NoEndlist, ChangesBehindEnd,
            EventLosesSegments, NoHttp2, NoGzip, NoVary, RangeIgnored, RangeShifted, SendsAge, PlaylistKeptTooLong,
            ErrorKeptTooLong, MediaNotKept, NoCors, WrongType, NoAverageBandwidth, OtherCodecs, BandwidthTooLow,
            NoIFrames,
        ]
    };
}

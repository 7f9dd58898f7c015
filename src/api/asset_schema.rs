//! Assets and jobs as they go out, over REST and as events.
//!
//! In: the store's records, what is listed of an asset, how far its jobs are. Out: bodies. What only the owner may know
//! is left out for everybody else here, so that no handler forgets it.

use serde::Serialize;
use telstar_store::job::State;
use telstar_store::{Asset, AssetState, JobKind, JobRecord};
use telstar_transcode::file::{CLOCK, Output, RenditionKind, Source};
use telstar_units::WallTime;
use utoipa::ToSchema;

use crate::addresses::Links;
use crate::vod::jobs::{Facts, planned_of};
use crate::vod::listings::{Listed, Listing};

/// Below this share of the work, or this long after its beginning, what is left is not told: the worker still opens the
/// file.
const ETA_SHARE_MIN: f64 = 0.02;
const ETA_SECS_MIN: f64 = 2.0;

/// A video on demand.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Asset)]
pub(super) struct AssetBody {
    /// Its name in addresses.
    #[schema(pattern = "^[a-z0-9]{22}$", example = "0a1b2c3d4e5f6g7h8j9kmn")]
    asset: String,
    /// Its title.
    title: String,
    /// `ready`: it can be watched from its beginning to its end.
    state: AssetStateBody,
    /// Something can be watched, and what is there grows until it is whole.
    pub(super) playable: bool,
    /// Whether whoever has the link may watch.
    open: bool,
    /// The origins whose pages may frame it; empty for whoever may not change it.
    embed_origins: Vec<String>,
    /// Bytes of the source.
    bytes: u64,
    /// Bytes of the source and of everything that was made of it.
    kept_bytes: u64,
    /// When it was made (RFC 3339).
    #[schema(format = "date-time")]
    created_at: String,
    /// When it could be watched from its beginning to its end (RFC 3339), or null.
    #[schema(format = "date-time")]
    ready_at: Option<String>,
    /// When anything of it changed last (RFC 3339).
    #[schema(format = "date-time")]
    updated_at: String,
    /// Why it failed, or why nothing is done for it now, for people, or null.
    #[schema(example = "the file has neither a picture nor sound")]
    problem: Option<String>,
    /// How far its jobs are that are not over, all alike: 0 to 1. Without any it is 1.
    #[schema(minimum = 0, maximum = 1)]
    progress: f64,
    /// Seconds until they are done, or null: known once every one of them is under way.
    eta_secs: Option<f64>,
    /// What the source is, or null until that is known.
    source: Option<SourceBody>,
    /// What can be watched of it.
    renditions: Vec<RenditionBody>,
    /// Where it is.
    links: AssetLinks,
}

/// How an asset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = AssetState)]
pub(super) enum AssetStateBody {
    Processing,
    Ready,
    Failed,
}

/// What a source is.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AssetSource)]
pub(super) struct SourceBody {
    /// FFmpeg's name of its container.
    #[schema(example = "mov,mp4,m4a,3gp,3g2,mj2")]
    container: String,
    /// How long it lasts.
    duration_secs: f64,
    /// Its picture, or null.
    video: Option<SourceVideoBody>,
    /// Its sound tracks.
    audio: Vec<SourceAudioBody>,
    /// Its subtitle tracks that are text.
    subtitles: Vec<SourceSubtitlesBody>,
    /// What is left out, and why, for people.
    left_out: Vec<String>,
    /// Why its pictures are not passed on as they are, for people, or null.
    encoded_because: Option<String>,
}

/// The picture of a source.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AssetSourceVideo)]
pub(super) struct SourceVideoBody {
    /// FFmpeg's name of the codec.
    #[schema(example = "h264")]
    codec: String,
    /// Pixels across, as it is shown.
    width: u32,
    /// Pixels down, likewise.
    height: u32,
    /// Pictures a second.
    fps: f64,
    /// Clockwise, in degrees.
    rotation: u16,
    /// Half pictures, one behind the other.
    interlaced: bool,
    /// Bits of a sample.
    bits: u8,
    /// Its brightness is beyond what ordinary displays show.
    hdr: bool,
    /// Bits per second on average.
    bps: u64,
}

/// A sound track of a source.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AssetSourceAudio)]
pub(super) struct SourceAudioBody {
    /// FFmpeg's name of the codec.
    #[schema(example = "aac")]
    codec: String,
    /// How many it has.
    channels: u8,
    /// Samples a second.
    sample_rate: u32,
    /// BCP 47; `und` where the source does not say.
    #[schema(example = "ko")]
    language: String,
    /// What the source calls it; may be empty.
    title: String,
}

/// A subtitle track of a source.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AssetSourceSubtitles)]
pub(super) struct SourceSubtitlesBody {
    /// FFmpeg's name of the format.
    #[schema(example = "subrip")]
    codec: String,
    /// BCP 47; `und` where the source does not say.
    language: String,
    /// What the source calls it; may be empty.
    title: String,
    /// They are shown whether asked for or not.
    forced: bool,
    /// They describe sounds as well.
    hearing_impaired: bool,
}

/// A rendition of an asset.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Rendition)]
pub(super) struct RenditionBody {
    /// Its name in addresses.
    #[schema(example = "v720")]
    name: String,
    /// Pictures, sound or text.
    kind: RenditionKindBody,
    /// RFC 6381; of text `wvtt`.
    #[schema(example = "avc1.64001f")]
    codecs: String,
    /// Video: pixels across.
    width: Option<u32>,
    /// Video: pixels down.
    height: Option<u32>,
    /// Video: pictures a second.
    fps: Option<f64>,
    /// Audio: how many.
    channels: Option<u8>,
    /// Audio and subtitles: BCP 47.
    language: Option<String>,
    /// Its bytes so far.
    bytes: u64,
    /// There is no more to come.
    whole: bool,
    /// How much of it is there.
    secs: f64,
}

/// What is in a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RenditionKind)]
pub(super) enum RenditionKindBody {
    Video,
    Audio,
    Subtitles,
}

/// Where an asset is: beginning with `public_url` where one is configured, else paths.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AssetLinks)]
pub(super) struct AssetLinks {
    /// Its page.
    page: String,
    /// The page that others may frame.
    embed: String,
    /// The multivariant playlist.
    playlist: String,
    /// The poster, or null while there is none.
    poster: Option<String>,
    /// The storyboard (WebVTT), or null while there is none.
    storyboard: Option<String>,
    /// The original, or null for whoever may not have it.
    source: Option<String>,
}

/// A durable piece of work on an asset.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Job)]
pub(super) struct JobBody {
    /// What it is and how far.
    #[serde(flatten)]
    pub(super) facts: JobFacts,
    /// Attempts that were begun.
    attempts: u32,
}

/// What a job is, and how far.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = JobFacts)]
pub(super) struct JobFacts {
    /// Its number.
    pub(super) job: i64,
    /// What it is on.
    asset: String,
    /// What it does: `first` makes the asset playable, `more` makes it better.
    kind: JobKindBody,
    /// `blocked`: another has to be done before. `leased`: it is under way.
    pub(super) state: JobStateBody,
    /// What it makes, by name.
    renditions: Vec<String>,
    /// How far it is: 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    progress: f64,
    /// Seconds until it is done, or null until that can be said.
    eta_secs: Option<f64>,
    /// Attempts that failed since it was last asked for.
    failures: u32,
    /// Why the last attempt ended without a result, or why none begins now, for people, or null.
    problem: Option<String>,
    /// Since when it is wanted (RFC 3339).
    #[schema(format = "date-time")]
    wanted_at: String,
    /// When it changed last (RFC 3339).
    #[schema(format = "date-time")]
    pub(super) updated_at: String,
    /// When the next attempt may begin (RFC 3339), while it is ready; else null.
    #[schema(format = "date-time")]
    due_at: Option<String>,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = JobKind)]
pub(super) enum JobKindBody {
    Probe,
    First,
    More,
    Images,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = JobState)]
pub(super) enum JobStateBody {
    Blocked,
    Ready,
    Leased,
    Done,
    Failed,
    Cancelled,
}

impl JobStateBody {
    fn of(state: State) -> JobStateBody {
        match state {
            State::Blocked(_) => JobStateBody::Blocked,
            State::Ready(_) => JobStateBody::Ready,
            State::Leased(..) => JobStateBody::Leased,
            State::Done => JobStateBody::Done,
            State::Failed => JobStateBody::Failed,
            State::Cancelled => JobStateBody::Cancelled,
        }
    }

    /// It goes on, or waits to.
    fn is_to_be_done(self) -> bool {
        match self {
            JobStateBody::Blocked | JobStateBody::Ready | JobStateBody::Leased => true,
            JobStateBody::Done | JobStateBody::Failed | JobStateBody::Cancelled => false,
        }
    }
}

/// What a caller may know of an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// It may change it, and so knows all of it.
    pub(super) changes: bool,
    /// It may have the original.
    pub(super) downloads: bool,
}

impl Sight {
    /// What the owner may know.
    pub(super) const OWNER: Sight = Sight { changes: true, downloads: true };
}

/// How an attempt at a job goes: the share that is done, and the seconds since it began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    pub(super) share: f64,
    pub(super) secs: f64,
}

impl Pace {
    /// Seconds until it is done, if it goes on as it went.
    fn eta_secs(self) -> Option<f64> {
        if self.share < ETA_SHARE_MIN || self.secs < ETA_SECS_MIN {
            return None;
        }
        Some(self.secs * (1.0 - self.share).max(0.0) / self.share)
    }
}

impl JobFacts {
    /// Nothing is done now, whatever its last attempt came to.
    pub(super) fn waits_because(&mut self, standstill: Option<String>) {
        self.problem = standstill.or(self.problem.take());
    }
}

impl AssetBody {
    /// Nothing is done now.
    pub(super) fn waits_because(&mut self, standstill: Option<String>) {
        self.problem = self.problem.take().or(standstill);
    }
}

/// A job's body. `pace` is that of the attempt under way.
pub(super) fn job_body(record: &JobRecord, pace: Option<Pace>) -> JobBody {
    let state = JobStateBody::of(record.job.state);
    let progress = match state {
        JobStateBody::Done => 1.0,
        _ => pace.map_or(0.0, |pace| pace.share),
    };
    let facts = JobFacts {
        job: record.id.0,
        asset: record.asset.to_string(),
        kind: match record.kind {
            JobKind::Probe => JobKindBody::Probe,
            JobKind::First => JobKindBody::First,
            JobKind::More => JobKindBody::More,
            JobKind::Images => JobKindBody::Images,
        },
        state,
        renditions: planned_of(record).into_iter().map(|one| one.name).collect(),
        progress,
        eta_secs: pace.and_then(Pace::eta_secs),
        failures: record.job.failures,
        problem: words(&record.problem).filter(|_| state != JobStateBody::Done),
        wanted_at: record.wanted_at.to_rfc3339_millis(),
        updated_at: record.updated_at.to_rfc3339_millis(),
        due_at: match record.job.state {
            State::Ready(from) => Some(from.to_rfc3339_millis()),
            _ => None,
        },
    };
    JobBody { facts, attempts: record.job.attempts }
}

/// An asset's body, as far as the caller may know it.
pub(super) fn asset_body(asset: &Asset, listing: &Listing, jobs: &[JobBody], links: &Links, sight: Sight) -> AssetBody {
    let (progress, eta_secs) = outlook(jobs);
    let renditions: Vec<RenditionBody> =
        listing.renditions.iter().map(|one| rendition_body(one, listing.facts.as_ref())).collect();
    let images = listing.poster.iter().chain(&listing.storyboard).flat_map(|images| &images.images);
    let made: u64 = renditions.iter().map(|one| one.bytes).chain(images.map(|image| image.len)).sum();
    AssetBody {
        asset: asset.name.to_string(),
        title: asset.title.clone(),
        state: match asset.state {
            AssetState::Processing => AssetStateBody::Processing,
            AssetState::Ready => AssetStateBody::Ready,
            AssetState::Failed => AssetStateBody::Failed,
        },
        playable: listing.is_playable(),
        open: asset.open,
        embed_origins: if sight.changes { asset.embed_origins.clone() } else { Vec::new() },
        bytes: asset.source_len,
        kept_bytes: asset.source_len.saturating_add(made),
        created_at: asset.created_at.to_rfc3339_millis(),
        ready_at: asset.ready_at.map(WallTime::to_rfc3339_millis),
        updated_at: asset.updated_at.to_rfc3339_millis(),
        problem: words(&asset.problem),
        progress,
        eta_secs,
        source: listing.facts.as_ref().map(source_body),
        renditions,
        links: links_of(asset, listing, links, sight),
    }
}

/// How far the jobs are that are not over, and how long they take if every one of them is under way.
fn outlook(jobs: &[JobBody]) -> (f64, Option<f64>) {
    let open: Vec<&JobFacts> = jobs.iter().map(|job| &job.facts).filter(|job| job.state.is_to_be_done()).collect();
    if open.is_empty() {
        return (1.0, None);
    }
    let progress = open.iter().map(|job| job.progress).sum::<f64>() / open.len() as f64;
    let etas: Option<Vec<f64>> = open.iter().map(|job| job.eta_secs).collect();
    (progress, etas.map(|etas| etas.into_iter().fold(0.0, f64::max)))
}

fn links_of(asset: &Asset, listing: &Listing, links: &Links, sight: Sight) -> AssetLinks {
    let name = &asset.name;
    let media = |file: &str| links.located(&format!("/vod/{name}/{file}"));
    AssetLinks {
        page: links.located(&format!("/library/{name}")),
        embed: links.located(&format!("/embed/vod/{name}")),
        playlist: media("index.m3u8"),
        poster: listing.poster.as_ref().map(|_| media("poster.jpg")),
        storyboard: listing.storyboard.as_ref().map(|_| media("storyboard.vtt")),
        source: sight.downloads.then(|| media("source")),
    }
}

fn source_body(facts: &Facts) -> SourceBody {
    let Source { container, duration, video, audio, subtitles, left_out, .. } = &facts.source;
    SourceBody {
        container: container.clone(),
        duration_secs: *duration as f64 / f64::from(CLOCK.hz()),
        video: video.as_ref().map(|video| SourceVideoBody {
            codec: video.codec.clone(),
            width: video.width,
            height: video.height,
            fps: f64::from(video.fps_millis) / 1_000.0,
            rotation: video.rotation,
            interlaced: video.interlaced,
            bits: video.bits,
            hdr: video.hdr,
            bps: video.bps,
        }),
        audio: audio
            .iter()
            .map(|audio| SourceAudioBody {
                codec: audio.codec.clone(),
                channels: audio.channels,
                sample_rate: audio.sample_rate,
                language: audio.language.clone(),
                title: audio.title.clone(),
            })
            .collect(),
        subtitles: subtitles
            .iter()
            .map(|text| SourceSubtitlesBody {
                codec: text.codec.clone(),
                language: text.language.clone(),
                title: text.title.clone(),
                forced: text.forced,
                hearing_impaired: text.hearing_impaired,
            })
            .collect(),
        left_out: left_out.clone(),
        encoded_because: facts.encoded_because.clone(),
    }
}

fn rendition_body(one: &Listed, facts: Option<&Facts>) -> RenditionBody {
    let (kind, size, fps, channels) = match one.rendition.kind {
        RenditionKind::Video { width, height, fps_millis } => {
            (RenditionKindBody::Video, Some((width, height)), Some(f64::from(fps_millis) / 1_000.0), None)
        }
        RenditionKind::Audio { channels, .. } => (RenditionKindBody::Audio, None, None, Some(channels)),
        RenditionKind::Subtitles => (RenditionKindBody::Subtitles, None, None, None),
    };
    let end = one.index.segments().last().map_or(0, |last| last.start + last.duration);
    RenditionBody {
        name: one.name.clone(),
        kind,
        codecs: one.rendition.codecs.clone(),
        width: size.map(|(width, _)| width),
        height: size.map(|(_, height)| height),
        fps,
        channels,
        language: facts.and_then(|facts| language_of(&one.output, &facts.source)),
        bytes: one.index.len(),
        whole: one.is_whole,
        secs: end as f64 / f64::from(one.rendition.timescale.max(1)),
    }
}

fn language_of(output: &Output, source: &Source) -> Option<String> {
    match output {
        Output::CopyVideo { .. } | Output::Video { .. } => None,
        Output::CopyAudio { stream } | Output::Audio { stream, .. } => {
            source.audio.iter().find(|audio| audio.stream == *stream).map(|audio| audio.language.clone())
        }
        Output::Subtitles { stream } => {
            source.subtitles.iter().find(|text| text.stream == *stream).map(|text| text.language.clone())
        }
    }
}

fn words(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use telstar_store::job::{Attempt, Class, Job};
    use telstar_store::{AssetId, JobId};
    use telstar_units::{AccountId, AssetName, BlobName};

    use super::*;
    use crate::addresses::Addresses;
    use crate::config::address::PublicUrl;

    const NAME: &str = "0123456789abcdefghijkm";

    fn record(state: State, problem: &str) -> JobRecord {
        JobRecord {
            id: JobId(7),
            asset: AssetName::parse(NAME).expect("a name"),
            owner: AccountId(1),
            kind: JobKind::More,
            class: Class::Extra,
            work: String::new(),
            job: Job { state, attempts: 2, failures: 1 },
            progress: 0,
            problem: problem.to_owned(),
            wanted_at: WallTime(0),
            updated_at: WallTime(0),
        }
    }

    fn asset() -> Asset {
        Asset {
            id: AssetId(1),
            name: AssetName::parse(NAME).expect("a name"),
            owner: AccountId(1),
            title: "Film".to_owned(),
            open: true,
            embed_origins: vec!["https://blog.example".to_owned()],
            state: AssetState::Processing,
            source: BlobName::parse(NAME).expect("a name"),
            source_len: 5,
            facts: String::new(),
            problem: String::new(),
            created_at: WallTime(0),
            ready_at: None,
            updated_at: WallTime(0),
        }
    }

    fn leased(share: f64, secs: f64) -> JobBody {
        job_body(&record(State::Leased(Attempt(2), WallTime(1)), ""), Some(Pace { share, secs }))
    }

    #[test]
    fn what_is_left_is_told_only_when_it_can_be_known() {
        for (share, secs, expect) in
            [(0.0, 60.0, None), (0.5, 1.0, None), (0.01, 60.0, None), (0.25, 10.0, Some(30.0)), (1.0, 10.0, Some(0.0))]
        {
            assert_eq!(leased(share, secs).facts.eta_secs, expect, "{share} after {secs} s");
        }
        let waiting = job_body(&record(State::Ready(WallTime(0)), ""), None);
        assert_eq!(outlook(&[leased(0.5, 10.0), waiting]), (0.25, None), "what waits may take any time");
        let done = job_body(&record(State::Done, ""), None);
        let failed = job_body(&record(State::Failed, "x"), None);
        assert_eq!(outlook(&[leased(0.5, 10.0), leased(0.25, 10.0), done.clone(), failed]), (0.375, Some(30.0)));
        assert_eq!(outlook(&[done]), (1.0, None));
    }

    #[test]
    fn a_job_says_what_its_last_attempt_came_to_until_it_is_done() {
        let waits = job_body(&record(State::Ready(WallTime(2_000_000)), "the disk is full"), None);
        assert_eq!(waits.facts.problem.as_deref(), Some("the disk is full"));
        assert_eq!(waits.facts.due_at.as_deref(), Some("1970-01-01T00:00:02.000Z"));
        assert_eq!(job_body(&record(State::Done, "the disk is full"), None).facts.problem, None);
        assert_eq!(waits.facts.renditions, Vec::<String>::new());
    }

    #[test]
    fn whoever_only_watches_is_told_no_more_than_that_needs() {
        let links = Links::new(Addresses::default(), PublicUrl::Auto);
        let listing = Listing::default();
        let own = asset_body(&asset(), &listing, &[], &links, Sight::OWNER);
        assert_eq!(own.links.source.as_deref(), Some(&*format!("/vod/{NAME}/source")));
        assert_eq!((own.embed_origins.len(), own.playable, own.kept_bytes), (1, false, 5));
        let other = asset_body(&asset(), &listing, &[], &links, Sight { changes: false, downloads: false });
        assert_eq!((other.links.source, other.embed_origins.len()), (None, 0));
    }
}

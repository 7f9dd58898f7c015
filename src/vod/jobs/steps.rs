//! What probes and renditions are: a task for the worker, what it may tell, and what becomes of it.
//!
//! The worker may have been taken over by the file that it reads, so that nothing of what it tells is believed before
//! it was checked: segments follow each other and lie where the map says, and in the end every byte of the output is in
//! one of them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use telstar_store::job::Class;
use telstar_store::{Asset, Completion, JobKind, NewJob, NewRendition};
use telstar_transcode::file::{FileNews, FileTask, Index, Make, Output};
use telstar_transcode::map::SegmentMap;
use telstar_transcode::plan::{Planned, plan};
use telstar_units::{BlobName, Timescale};

use super::Jobs;
use super::attempt::{Lease, Unfinished};
use super::records::{Facts, KeptIndex, Work};
use crate::vod::listings::Listed;

/// The bytes of an init segment. Real ones have less than two KiB.
const INIT_BYTES_MAX: usize = 64 * 1024;
/// The longest name of codecs.
const CODECS_LEN_MAX: usize = 128;
/// A long index is listed again when it has grown by this part, or after [`LISTED_AFTER`]: it is copied each time.
/// Higher copies more often; with this a rendition's segments are copied some fifty times each, however many there are.
const LISTED_GROWTH: usize = 50;
/// What there is is listed again at the latest with the next segment after this. Longer: players see the end of what
/// there is.
const LISTED_AFTER: Duration = Duration::from_secs(1);

/// An output under way.
struct Making {
    planned: Planned,
    blob: BlobName,
    kept: Option<KeptIndex>,
    /// How many segments were listed last, and when.
    listed: (usize, Instant),
}

impl Jobs {
    pub(super) async fn probe(&self, lease: &Lease, asset: &Asset) -> Result<Completion, Unfinished> {
        let task = FileTask::Probe(self.settings.limits);
        let mut found = None;
        let files = vec![self.source_of(asset).await?];
        self.run_worker(lease, asset, task, files, 1, |told| {
            if let FileNews::Source(source) = told {
                found = Some(*source);
            }
            Ok(None)
        })
        .await?;
        let source = found.ok_or_else(|| Unfinished::broken("the worker did not say what the file is"))?;
        let plan = plan(&source, &self.settings.options).map_err(|error| Unfinished::Source(error.to_string()))?;
        let as_work = |renditions| serde_json::to_string(&Work { renditions }).map_err(Unfinished::broken);
        let first = as_work(plan.first)?;
        let mut jobs = vec![NewJob { kind: JobKind::First, class: Class::First, work: first, after: Vec::new() }];
        if plan.has_images {
            jobs.push(NewJob { kind: JobKind::Images, class: Class::Preview, work: String::new(), after: vec![0] });
        }
        if !plan.more.is_empty() {
            jobs.push(NewJob { kind: JobKind::More, class: Class::Extra, work: as_work(plan.more)?, after: vec![0] });
        }
        let facts = Facts { source, map: plan.map, encoded_because: plan.encoded_because };
        let facts = serde_json::to_string(&facts).map_err(Unfinished::broken)?;
        Ok(Completion { facts: Some(facts), jobs, ..Completion::default() })
    }

    pub(super) async fn make(
        &self,
        lease: &Lease,
        asset: &Asset,
        blobs: &mut Vec<BlobName>,
    ) -> Result<Completion, Unfinished> {
        if lease.job.kind == JobKind::More {
            self.check_quota(asset).await?;
        }
        let Work { renditions } = serde_json::from_str(&lease.job.work).map_err(Unfinished::broken)?;
        let Facts { source, map, .. } = serde_json::from_str(&asset.facts).map_err(Unfinished::broken)?;
        let outputs: Vec<Output> = renditions.iter().map(|one| one.output.clone()).collect();
        let files = self.files_for(asset, renditions.len(), blobs).await?;
        let now = Instant::now();
        let begin = |(planned, blob): (Planned, &BlobName)| Making {
            planned,
            blob: blob.clone(),
            kept: None,
            listed: (0, now),
        };
        let mut making: Vec<Making> = renditions.into_iter().zip(blobs.iter()).map(begin).collect();
        let cut = map.clone();
        let (limits, preset) = (self.settings.limits, self.settings.preset);
        let task = FileTask::Make(Make { source, map, outputs, limits, preset });
        let is_listed = lease.job.kind == JobKind::First;
        self.run_worker(lease, asset, task, files, cut.end(), |told| {
            let changed = take_news(&mut making, told, &cut)?;
            Ok(changed.filter(|_| is_listed).and_then(|at| making[at].list(Instant::now())))
        })
        .await?;
        let mut made = Vec::new();
        for one in making {
            let name = &one.planned.name;
            let kept = one.kept.filter(|kept| kept.index.is_whole(&cut));
            let kept = kept.ok_or_else(|| Unfinished::Broken(format!("{name} is not whole")))?;
            let (len, told) = (self.sync(&one.blob).await?, kept.index.len());
            if len != told {
                return Err(Unfinished::Broken(format!("{name} has {len} bytes and an index of {told}")));
            }
            let facts = serde_json::to_string(&one.planned.output).map_err(Unfinished::broken)?;
            let index = postcard::to_allocvec(&kept).map_err(Unfinished::broken)?;
            made.push(NewRendition { name: one.planned.name, blob: one.blob, len, facts, index });
        }
        Ok(Completion { renditions: made, ..Completion::default() })
    }
}

/// Checks what a worker tells of its outputs; says which of them has grown.
fn take_news(making: &mut [Making], told: FileNews, map: &SegmentMap) -> Result<Option<usize>, Unfinished> {
    let wrong = |what: &str| Unfinished::Broken(format!("the worker says what cannot be: {what}"));
    match told {
        FileNews::Begun { output, rendition, init } => {
            let one = making.get_mut(usize::from(output)).ok_or_else(|| wrong("an output that nobody asked for"))?;
            if one.kept.is_some() || Timescale::new(rendition.timescale).is_none() {
                return Err(wrong("an output begins twice, or without a clock"));
            }
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            if rendition.codecs.len() > CODECS_LEN_MAX || !rendition.codecs.bytes().all(is_name) {
                return Err(wrong("codecs of no name"));
            }
            if init.len() > INIT_BYTES_MAX {
                return Err(wrong("an init segment that is too long"));
            }
            one.kept = Some(KeptIndex { rendition, init, index: Index::default() });
            Ok(None)
        }
        FileNews::Segment { output, segment } => {
            let at = usize::from(output);
            let kept = making.get_mut(at).and_then(|one| one.kept.as_mut());
            let kept = kept.ok_or_else(|| wrong("a segment of nothing"))?;
            let timescale = Timescale::new(kept.rendition.timescale).unwrap_or(Timescale::VIDEO);
            kept.index.push(segment, timescale, map).map_err(|error| wrong(&error.to_string()))?;
            Ok(Some(at))
        }
        // Nothing else is told of outputs.
        FileNews::Source(_)
        | FileNews::Image { .. }
        | FileNews::Progress(_)
        | FileNews::Done
        | FileNews::Failed { .. } => Ok(None),
    }
}

impl Making {
    /// What there is, to be listed, if it is worth a copy.
    fn list(&mut self, now: Instant) -> Option<Listed> {
        let kept = self.kept.as_ref()?;
        let (count, (before, at)) = (kept.index.segments().len(), self.listed);
        if (count - before) * LISTED_GROWTH < count && now.saturating_duration_since(at) < LISTED_AFTER {
            return None;
        }
        self.listed = (count, now);
        Some(Listed {
            name: self.planned.name.clone(),
            output: self.planned.output.clone(),
            blob: self.blob.clone(),
            init: Bytes::from(kept.init.clone()),
            rendition: kept.rendition.clone(),
            index: kept.index.clone(),
            is_whole: false,
            playlists: Default::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use telstar_transcode::file::{CLOCK, Rendition, RenditionKind, Segment};

    use super::*;

    const SECOND: i64 = 90_000;

    fn making() -> Vec<Making> {
        let planned = Planned { name: "a1".to_owned(), output: Output::CopyAudio { stream: 0 } };
        let blob = BlobName::parse("0123456789abcdefghijkm").expect("a name");
        vec![Making { planned, blob, kept: None, listed: (0, Instant::now()) }]
    }

    fn begun(codecs: &str, init: usize) -> FileNews {
        let kind = RenditionKind::Audio { channels: 2, sample_rate: 48_000 };
        let rendition = Rendition { kind, codecs: codecs.to_owned(), timescale: CLOCK.hz() };
        FileNews::Begun { output: 0, rendition, init: vec![0; init] }
    }

    fn segment(number: i64) -> FileNews {
        let (start, duration) = (number * 2 * SECOND, 2 * SECOND);
        let segment = Segment { offset: number as u64 * 10, len: 10, start, duration, keys: Vec::new() };
        FileNews::Segment { output: 0, segment }
    }

    #[test]
    fn what_cannot_be_ends_the_attempt() {
        let map = SegmentMap::even(100 * SECOND).expect("short");
        for news in [
            vec![segment(0)],
            vec![begun("mp4a.40.2", 10), begun("mp4a.40.2", 10)],
            vec![begun("mp4a.40.2\"\n#EXT-X-ENDLIST", 10)],
            vec![begun("mp4a.40.2", INIT_BYTES_MAX + 1)],
            vec![begun("mp4a.40.2", 10), segment(1)],
        ] {
            let mut making = making();
            let outcome = news.into_iter().try_for_each(|told| take_news(&mut making, told, &map).map(|_| ()));
            assert!(outcome.is_err());
        }
    }

    #[test]
    fn a_long_index_is_not_copied_for_every_segment() {
        let (map, mut making) = (SegmentMap::even(20_000 * SECOND).expect("a few hours"), making());
        take_news(&mut making, begun("mp4a.40.2", 10), &map).expect("a first");
        let (now, mut copied) = (Instant::now(), 0);
        for number in 0..10_000 {
            take_news(&mut making, segment(number), &map).expect("in order");
            let listed = making[0].list(now);
            assert!(number >= 50 || listed.is_some(), "at the beginning each is listed");
            copied += listed.map_or(0, |listed| listed.index.segments().len());
        }
        assert!(copied < 10_000 * 60, "{copied}");
        take_news(&mut making, begun("x", 1), &map).expect_err("twice");
        assert!(making[0].list(now).is_none() || making[0].listed.0 == 10_000);
        assert!(making[0].list(now + LISTED_AFTER).is_some(), "after a while whatever there is");
    }
}

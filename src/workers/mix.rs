//! One mix: worker after worker is fed with the frames of a call's tracks and told what time it is, watched, and started
//! again when it dies.
//!
//! In: what there is to see and to hear of the call, as it changes, and frames. Out: one picture and one sound, into the ring
//! of an ingest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use telstar_media::{CodecConfig, MediaKind};
use telstar_signaling::call::{Stage, StageTrack};
use telstar_transcode::{
    CodecRecord, FailureKind, FromWorker, Layout, MediaFrame, Mix, MixInput, Progress, Restart, Target, ToWorker,
};
use telstar_units::{RoomName, TrackId};
use tokio::sync::{Notify, watch};
use tracing::debug;

use super::ConversionStatus;
use super::conversion::{ANSWERS_WITHIN, Sink, at};
use super::pool::{MixSettings, Pool};
use super::process::{Line, Process};
use super::standing::{End, Standing};
use crate::shards::{IngestRing, MixFrames, MixItem, MixTrack, RoomKey, Shards};

/// How far a mix is behind the participants: what comes later is not heard. Missing packets are waited for up to 150 ms, and
/// networks are uneven. Higher: everybody is seen later by as much. Lower: voices on bad paths have holes.
const DELAY_MS: u16 = 200;
/// How often a worker is told what time it is: half a picture. Lower costs wake-ups; higher lets pictures come in bursts.
const TICK: Duration = Duration::from_millis(20);

/// What is to be mixed, and where the results go.
#[derive(Debug)]
pub struct MixJob {
    /// For the log.
    pub room: RoomName,
    /// Where its call's tracks are.
    pub key: RoomKey,
    /// Who gives their frames.
    pub shards: Arc<Shards>,
    /// What there is to see and to hear.
    pub stage: watch::Receiver<Stage>,
    /// Under which id the picture enters the hub.
    pub video: TrackId,
    /// Under which id the sound does.
    pub audio: TrackId,
    /// Where both go: first what they are, then their frames.
    pub mixed: Arc<IngestRing>,
}

/// What the workers of one mix have in common.
pub(super) struct Mixing {
    standing: Standing,
    job: MixJob,
    keyframe: Arc<Notify>,
    /// Where the timeline begins that all of them put their pictures on.
    zero: Instant,
}

impl Mixing {
    pub(super) fn new(
        pool: Arc<Pool>,
        job: MixJob,
        status: watch::Sender<ConversionStatus>,
        keyframe: Arc<Notify>,
    ) -> Mixing {
        let standing = Standing::new(pool, status, format!("the call of {}", job.room));
        Mixing { standing, job, keyframe, zero: Instant::now() }
    }

    /// Mixes until the ring is closed. May be dropped at any time: its worker is killed.
    pub(super) async fn run(self) {
        let Some(_entered) = self.standing.enter().await else { return };
        let job = &self.job;
        let mut sinks = [Sink::new(&job.mixed, job.video, Target::H264), Sink::new(&job.mixed, job.audio, Target::Aac)];
        let (mut restart, mut stage) = (Restart::new(), job.stage.clone());
        loop {
            self.standing.tell_starting();
            let end = match self.standing.pool.take().await {
                Ok(process) => self.live(&mut sinks, &mut restart, &mut stage, process).await,
                Err(error) => error.into(),
            };
            let Some(until) = self.standing.note_end(end, &mut restart) else { return };
            tokio::time::sleep_until(until.into()).await;
        }
    }

    async fn live(
        &self,
        sinks: &mut [Sink; 2],
        restart: &mut Restart,
        stage: &mut watch::Receiver<Stage>,
        process: Process,
    ) -> End {
        let ready = &process.ready;
        if [Target::H264, Target::Aac].iter().any(|target| !ready.targets.contains(target)) {
            return End::Refused("this FFmpeg makes no H.264 or no AAC: `telstar doctor` says what it can".to_owned());
        }
        let pid = process.pid();
        self.standing.status.send_modify(|status| status.worker_pid = pid);
        debug!(pid, room = %self.job.room, "a worker mixes");
        let tracks = Tracks::of(&stage.borrow_and_update(), self.standing.pool.mix);
        let Some(frames) = self.job.shards.mix(self.job.key, self.zero, tracks.all()) else {
            return End::Died("the media thread has too much to do".to_owned());
        };
        let life = Life { mixing: self, sinks, restart, stage, process, frames, tracks, known: BTreeMap::new() };
        match life.run().await {
            Ok(()) => End::Over,
            Err(end) => end,
        }
    }
}

/// Which tracks are mixed, and how they are shown.
#[derive(PartialEq, Eq)]
struct Tracks {
    pictures: Vec<StageTrack>,
    sounds: Vec<StageTrack>,
    featured: bool,
}

impl Tracks {
    fn of(stage: &Stage, settings: MixSettings) -> Tracks {
        let first = |all: &[StageTrack], most: u8| all[..all.len().min(usize::from(most))].to_vec();
        Tracks {
            pictures: first(&stage.pictures, settings.pictures_max),
            sounds: first(&stage.sounds, settings.sounds_max),
            featured: stage.featured,
        }
    }

    fn all(&self) -> Vec<MixTrack> {
        let as_kind = |kind| move |of: &StageTrack| MixTrack { track: of.track, participant: of.participant, kind };
        let pictures = self.pictures.iter().map(as_kind(MediaKind::Video));
        pictures.chain(self.sounds.iter().map(as_kind(MediaKind::Audio))).collect()
    }

    fn has(&self, track: TrackId) -> bool {
        self.pictures.iter().chain(&self.sounds).any(|known| known.track == track)
    }

    fn layout(&self) -> Layout {
        Layout { pictures: self.pictures.iter().map(|picture| picture.track).collect(), featured: self.featured }
    }
}

/// The life of one worker.
struct Life<'a> {
    mixing: &'a Mixing,
    sinks: &'a mut [Sink; 2],
    restart: &'a mut Restart,
    stage: &'a mut watch::Receiver<Stage>,
    process: Process,
    frames: MixFrames,
    tracks: Tracks,
    /// The inputs that the worker has, and their configurations.
    known: BTreeMap<TrackId, Arc<CodecConfig>>,
}

impl Life<'_> {
    async fn run(mut self) -> Result<(), End> {
        let pool = &self.mixing.standing.pool;
        let MixSettings { width, height, fps, pictures_max, sounds_max } = pool.mix;
        let (video, audio) = (self.mixing.job.video, self.mixing.job.audio);
        let (delay_ms, settings) = (DELAY_MS, pool.settings);
        let mix = Mix { video, audio, width, height, fps, delay_ms, pictures_max, sounds_max, settings };
        self.tell(&ToWorker::Mix(mix));
        self.tell(&ToWorker::Layout(self.tracks.layout()));
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let (mut items, mut progress) = (Vec::new(), None);
        let mut heard = Instant::now();
        loop {
            for sink in self.sinks.iter_mut() {
                if sink.send().await.is_err() {
                    return Ok(());
                }
            }
            let Line { incoming, outgoing } = &mut self.process.line;
            // Each branch is cancel-safe: see there; an interval and a watch.
            tokio::select! {
                read = incoming.read() => match read {
                    Ok(true) => {
                        heard = Instant::now();
                        self.hear(&mut progress)?;
                    }
                    Ok(false) => return Err(End::Died("the worker ended".to_owned())),
                    Err(error) => return Err(End::Died(error.to_string())),
                },
                written = outgoing.write(), if !outgoing.is_empty() => {
                    written.map_err(|error| End::Died(format!("the worker took no more: {error}")))?;
                }
                // What is left in the ring meanwhile is the ring's to drop, and a time that is past need not be told.
                more = self.frames.next(&mut items), if outgoing.is_empty() => {
                    if !more {
                        // An encoder has taken the mix's place, or the room is gone.
                        return Ok(());
                    }
                    items.drain(..).for_each(|item| self.feed(item));
                }
                _ = tick.tick(), if outgoing.is_empty() => {
                    let micros = self.mixing.zero.elapsed().as_micros();
                    self.tell(&ToWorker::Tick(i64::try_from(micros).unwrap_or(i64::MAX)));
                }
                changed = self.stage.changed(), if outgoing.is_empty() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.follow_stage();
                }
                () = self.mixing.keyframe.notified() => self.tell(&ToWorker::ForceKeyframe),
                () = at(Some(heard + ANSWERS_WITHIN)) => {
                    self.mixing.standing.pool.counters.hangs.add(1);
                    return Err(End::Died(format!("the worker did not answer for {} s", ANSWERS_WITHIN.as_secs())));
                }
            }
        }
    }

    /// Other tracks, or another order.
    fn follow_stage(&mut self) {
        let tracks = Tracks::of(&self.stage.borrow_and_update(), self.mixing.standing.pool.mix);
        if tracks == self.tracks {
            return;
        }
        let before = std::mem::replace(&mut self.tracks, tracks);
        let gone: Vec<TrackId> = self.known.keys().filter(|track| !self.tracks.has(**track)).copied().collect();
        for track in gone {
            self.known.remove(&track);
            self.tell(&ToWorker::RemoveInput(track));
        }
        if before.all() != self.tracks.all() {
            self.mixing.job.shards.set_mix_tracks(self.mixing.job.key, self.tracks.all());
        }
        self.tell(&ToWorker::Layout(self.tracks.layout()));
    }

    fn feed(&mut self, item: MixItem) {
        let MixItem { track, timescale, frame } = item;
        // It was on its way when its track ended.
        if !self.tracks.has(track) {
            return;
        }
        let mut record = None;
        match self.known.get(&track) {
            Some(known) if Arc::ptr_eq(known, &frame.config) || **known == *frame.config => {}
            Some(_) => record = Some(CodecRecord::of(&frame.config)),
            None => {
                let input = CodecRecord::of(&frame.config);
                self.tell(&ToWorker::AddInput(MixInput { track, input, timescale }));
            }
        }
        self.known.insert(track, Arc::clone(&frame.config));
        let telstar_media::Frame { dts, pts, duration, key, payload, .. } = frame;
        let decode_only = false;
        self.tell(&ToWorker::Frame(MediaFrame { track, record, dts, pts, duration, key, decode_only, payload }));
    }

    fn tell(&mut self, message: &ToWorker) {
        if !self.process.line.outgoing.queue(message) {
            self.mixing.standing.pool.counters.dropped_frames.add(1);
        }
    }

    /// Takes what the worker said.
    fn hear(&mut self, progress: &mut Option<(Instant, Progress)>) -> Result<(), End> {
        let standing = &self.mixing.standing;
        loop {
            let message = self.process.line.incoming.message();
            let Some(message) = message.map_err(|error| End::Died(format!("the worker: {error}")))? else {
                return Ok(());
            };
            match message {
                FromWorker::Frame(frame) => {
                    let sink = usize::from(frame.track == self.mixing.job.audio);
                    let taken = self.sinks[sink].take(frame);
                    taken.map_err(|error| End::Died(format!("the worker: {error}")))?;
                    self.restart.handle_running(Instant::now());
                    standing.pool.counters.frames.add(1);
                    standing.tell_running();
                }
                FromWorker::Progress(told) => standing.note_progress(progress, told),
                FromWorker::Log(line) => debug!(pid = self.process.pid(), "worker: {line}"),
                FromWorker::Failed(failed) => {
                    return Err(match failed.kind {
                        FailureKind::Unsupported => End::Refused(failed.text),
                        FailureKind::Broken => End::Died(failed.text),
                    });
                }
                FromWorker::Flushed => {}
                FromWorker::Ready(_) => return Err(End::Died("the worker: it began twice".to_owned())),
                FromWorker::File(_) => return Err(End::Died("the worker: it speaks of a file".to_owned())),
            }
        }
    }
}

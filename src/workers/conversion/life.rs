//! The life of one worker: from its first frame to its death.

use std::sync::Arc;
use std::time::{Duration, Instant};

use telstar_media::{CodecConfig, Frame};
use telstar_transcode::{CodecRecord, Config, FailureKind, FromWorker, MediaFrame, Progress, Restart, ToWorker};
use tracing::debug;

use super::Conversion;
use super::sink::Sink;
use super::source::{Fed, Source};
use crate::workers::process::{Line, Process};
use crate::workers::standing::End;

/// A worker that was fed and says nothing for so long hangs. It says something every second. Higher: a track that hangs
/// is away for longer; lower: a machine that is busy loses sound workers.
pub(in crate::workers) const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Life<'a> {
    conversion: &'a Conversion,
    source: &'a mut Source,
    sink: &'a mut Sink,
    restart: &'a mut Restart,
    process: Process,
    /// The configuration that the worker knows.
    known: Option<Arc<CodecConfig>>,
    /// Since when it was fed and has said nothing.
    unanswered: Option<Instant>,
    progress: Option<(Instant, Progress)>,
    /// Nothing follows: it only has to let out what it holds.
    is_last: bool,
}

impl<'a> Life<'a> {
    pub(super) fn new(
        conversion: &'a Conversion,
        source: &'a mut Source,
        sink: &'a mut Sink,
        restart: &'a mut Restart,
        process: Process,
    ) -> Life<'a> {
        Life {
            conversion,
            source,
            sink,
            restart,
            process,
            known: None,
            unanswered: None,
            progress: None,
            is_last: false,
        }
    }

    pub(super) async fn run(mut self) -> End {
        let job = &self.conversion.job;
        let ready = &self.process.ready;
        if !ready.targets.contains(&job.to) || !ready.decoders.contains(&job.track.codec) {
            let (from, to) = (job.track.codec.name(), job.to.codec().name());
            return End::Refused(format!(
                "this FFmpeg does not convert {from} to {to}: `telstar doctor` says what it can"
            ));
        }
        let pid = self.process.pid();
        self.conversion.standing.status.send_modify(|status| status.worker_pid = pid);
        debug!(pid, room = %job.room, track = %job.track.id, to = ?job.to, "a worker converts");
        if !self.source.begin().await {
            return End::Over;
        }
        match self.converse().await {
            Ok(()) => End::Over,
            Err(end) => end,
        }
    }

    async fn converse(&mut self) -> Result<(), End> {
        // What came together with its being ready.
        self.hear().await?;
        loop {
            self.feed()?;
            if self.sink.send().await.is_err() {
                return Ok(());
            }
            let hangs_at = self.unanswered.map(|since| since + ANSWERS_WITHIN);
            let Line { incoming, outgoing } = &mut self.process.line;
            // Each branch is cancel-safe: see there.
            tokio::select! {
                read = incoming.read() => match read {
                    Ok(true) => self.hear().await?,
                    Ok(false) => return Err(End::Died("the worker ended".to_owned())),
                    Err(error) => return Err(End::Died(error.to_string())),
                },
                written = outgoing.write(), if !outgoing.is_empty() => {
                    written.map_err(|error| End::Died(format!("the worker took no more: {error}")))?;
                }
                // What is left in the ring meanwhile is the ring's to drop.
                more = self.source.read(), if outgoing.is_empty() && !self.is_last => {
                    if !more {
                        self.is_last = true;
                        self.tell(&ToWorker::Flush);
                        if self.known.is_none() {
                            return Ok(());
                        }
                    }
                }
                () = self.conversion.keyframe.notified(), if self.known.is_some() => {
                    self.process.line.outgoing.queue(&ToWorker::ForceKeyframe);
                }
                () = at(hangs_at) => {
                    self.conversion.standing.pool.counters.hangs.add(1);
                    return Err(End::Died(format!("the worker did not answer for {} s", ANSWERS_WITHIN.as_secs())));
                }
            }
            self.conversion.standing.pool.counters.dropped_frames.add(self.source.take_dropped());
        }
    }

    /// Queues frames as far as the last ones have left.
    fn feed(&mut self) -> Result<(), End> {
        if self.source.take_restart() {
            self.sink.restart();
            self.known = None;
        }
        while self.process.line.outgoing.is_empty() && self.source.has_news() {
            match self.source.feed() {
                Some(Fed::Frame(frame, decode_only)) => self.feed_frame(frame, decode_only),
                Some(Fed::Flush) if self.known.is_some() => self.tell(&ToWorker::Flush),
                Some(Fed::Flush) | None => {}
            }
        }
        Ok(())
    }

    fn feed_frame(&mut self, frame: Frame, decode_only: bool) {
        let Conversion { job, standing, .. } = self.conversion;
        let is_known =
            self.known.as_ref().is_some_and(|known| Arc::ptr_eq(known, &frame.config) || **known == *frame.config);
        let mut record = None;
        if !is_known {
            let input = CodecRecord::of(&frame.config);
            if self.known.replace(Arc::clone(&frame.config)).is_some() {
                record = Some(input);
            } else {
                let (track, as_track, timescale) = (job.track.id, job.as_track, job.track.timescale);
                let config =
                    Config { track, as_track, input, timescale, target: job.to, settings: standing.pool.settings };
                self.tell(&ToWorker::Config(config));
            }
        }
        let Frame { dts, pts, duration, key, payload, .. } = frame;
        let track = job.track.id;
        self.tell(&ToWorker::Frame(MediaFrame { track, record, dts, pts, duration, key, decode_only, payload }));
    }

    fn tell(&mut self, message: &ToWorker) {
        if self.process.line.outgoing.queue(message) {
            self.unanswered.get_or_insert_with(Instant::now);
        } else {
            self.conversion.standing.pool.counters.dropped_frames.add(1);
        }
    }

    /// Takes what the worker said.
    async fn hear(&mut self) -> Result<(), End> {
        loop {
            let message = self.process.line.incoming.message();
            let Some(message) = message.map_err(|error| End::Died(format!("the worker: {error}")))? else { break };
            self.unanswered = None;
            match message {
                FromWorker::Frame(frame) => {
                    self.sink.take(frame).map_err(|error| End::Died(format!("the worker: {error}")))?;
                    self.restart.handle_running(Instant::now());
                    self.conversion.standing.pool.counters.frames.add(1);
                    self.conversion.standing.tell_running();
                }
                FromWorker::Progress(progress) => self.conversion.standing.note_progress(&mut self.progress, progress),
                FromWorker::Log(line) => debug!(pid = self.process.pid(), "worker: {line}"),
                FromWorker::Failed(failed) => {
                    return Err(match failed.kind {
                        FailureKind::Unsupported => End::Refused(failed.text),
                        FailureKind::Broken => End::Died(failed.text),
                    });
                }
                FromWorker::Flushed if self.is_last => {
                    // A ring that is closed takes nothing, and that is an end as well.
                    let _ = self.sink.send().await;
                    return Err(End::Over);
                }
                FromWorker::Flushed => {}
                FromWorker::Ready(_) => return Err(End::Died("the worker: it began twice".to_owned())),
                FromWorker::File(_) => return Err(End::Died("the worker: it speaks of a file".to_owned())),
            }
        }
        Ok(())
    }
}

/// Never, if there is no such time.
pub(in crate::workers) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

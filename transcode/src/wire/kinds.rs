//! Each message's kind and fields.

use super::fields::{Fields, write_codec, write_flags, write_record, write_target, write_text};
use super::{Message, WireError};
use crate::message::{
    Config, Failed, FailureKind, FromWorker, MediaFrame, Preset, Progress, Ready, Sandbox, Settings, ToWorker,
};

const CONFIG: u8 = 1;
const FRAME: u8 = 2;
const FORCE_KEYFRAME: u8 = 3;
const FLUSH: u8 = 4;
const READY: u8 = 5;
const FLUSHED: u8 = 6;
const PROGRESS: u8 = 7;
const LOG: u8 = 8;
const FAILED: u8 = 9;

impl Message for ToWorker {
    fn kind(&self) -> u8 {
        match self {
            ToWorker::Config(_) => CONFIG,
            ToWorker::Frame(_) => FRAME,
            ToWorker::ForceKeyframe => FORCE_KEYFRAME,
            ToWorker::Flush => FLUSH,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            ToWorker::Config(config) => write_config(out, config),
            ToWorker::Frame(frame) => write_frame(out, frame),
            ToWorker::ForceKeyframe | ToWorker::Flush => {}
        }
    }

    fn read(kind: u8, fields: &mut Fields) -> Result<Self, WireError> {
        Ok(match kind {
            CONFIG => ToWorker::Config(read_config(fields)?),
            FRAME => ToWorker::Frame(read_frame(fields)?),
            FORCE_KEYFRAME => ToWorker::ForceKeyframe,
            FLUSH => ToWorker::Flush,
            other => return Err(WireError::Kind(other)),
        })
    }
}

impl Message for FromWorker {
    fn kind(&self) -> u8 {
        match self {
            FromWorker::Ready(_) => READY,
            FromWorker::Frame(_) => FRAME,
            FromWorker::Flushed => FLUSHED,
            FromWorker::Progress(_) => PROGRESS,
            FromWorker::Log(_) => LOG,
            FromWorker::Failed(_) => FAILED,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            FromWorker::Ready(ready) => write_ready(out, ready),
            FromWorker::Frame(frame) => write_frame(out, frame),
            FromWorker::Flushed => {}
            FromWorker::Progress(progress) => write_progress(out, progress),
            FromWorker::Log(line) => write_text(out, line),
            FromWorker::Failed(failed) => {
                write_flags(out, &[failed.kind == FailureKind::Unsupported]);
                write_text(out, &failed.text);
            }
        }
    }

    fn read(kind: u8, fields: &mut Fields) -> Result<Self, WireError> {
        Ok(match kind {
            READY => FromWorker::Ready(read_ready(fields)?),
            FRAME => FromWorker::Frame(read_frame(fields)?),
            FLUSHED => FromWorker::Flushed,
            PROGRESS => FromWorker::Progress(read_progress(fields)?),
            LOG => FromWorker::Log(fields.text()?),
            FAILED => {
                let [unsupported] = fields.flags()?;
                let kind = if unsupported { FailureKind::Unsupported } else { FailureKind::Broken };
                FromWorker::Failed(Failed { kind, text: fields.text()? })
            }
            other => return Err(WireError::Kind(other)),
        })
    }
}

fn write_config(out: &mut Vec<u8>, config: &Config) {
    out.extend(config.track.0.to_be_bytes());
    out.extend(config.as_track.0.to_be_bytes());
    write_record(out, &config.input);
    out.extend(config.timescale.hz().to_be_bytes());
    write_target(out, config.target);
    let settings = &config.settings;
    for number in [
        settings.video_kbps_max,
        settings.audio_kbps,
        settings.pixels_max,
        settings.fps_max,
        settings.threads,
        settings.keyframe_interval_ms,
    ] {
        out.extend(number.to_be_bytes());
    }
    out.push(match settings.preset {
        Preset::Ultrafast => 0,
        Preset::Superfast => 1,
        Preset::Veryfast => 2,
    });
}

fn read_config(fields: &mut Fields) -> Result<Config, WireError> {
    Ok(Config {
        track: fields.track()?,
        as_track: fields.track()?,
        input: fields.record()?,
        timescale: fields.timescale()?,
        target: fields.target()?,
        settings: Settings {
            video_kbps_max: fields.u32()?,
            audio_kbps: fields.u32()?,
            pixels_max: fields.u32()?,
            fps_max: fields.u32()?,
            threads: fields.u32()?,
            keyframe_interval_ms: fields.u32()?,
            preset: match fields.u8()? {
                0 => Preset::Ultrafast,
                1 => Preset::Superfast,
                2 => Preset::Veryfast,
                _ => return Err(fields.invalid()),
            },
        },
    })
}

fn write_frame(out: &mut Vec<u8>, frame: &MediaFrame) {
    out.reserve(frame.payload.len() + 64);
    out.extend(frame.track.0.to_be_bytes());
    out.extend(frame.dts.to_be_bytes());
    out.extend(frame.pts.to_be_bytes());
    out.extend(frame.duration.to_be_bytes());
    write_flags(out, &[frame.key, frame.decode_only, frame.record.is_some()]);
    if let Some(record) = &frame.record {
        write_record(out, record);
    }
    out.extend_from_slice(&frame.payload);
}

fn read_frame(fields: &mut Fields) -> Result<MediaFrame, WireError> {
    let (track, dts, pts, duration) = (fields.track()?, fields.i64()?, fields.i64()?, fields.u32()?);
    let [key, decode_only, has_record] = fields.flags()?;
    let record = if has_record { Some(fields.record()?) } else { None };
    Ok(MediaFrame { track, record, dts, pts, duration, key, decode_only, payload: fields.payload() })
}

fn write_ready(out: &mut Vec<u8>, ready: &Ready) {
    write_flags(out, &ready.sandbox.parts().map(|(_, enforced)| enforced));
    out.push(ready.decoders.len() as u8);
    ready.decoders.iter().for_each(|codec| write_codec(out, *codec));
    out.push(ready.targets.len() as u8);
    ready.targets.iter().for_each(|target| write_target(out, *target));
}

fn read_ready(fields: &mut Fields) -> Result<Ready, WireError> {
    let [limits, no_new_privileges, dies_with_parent, landlock, seccomp] = fields.flags()?;
    Ok(Ready {
        sandbox: Sandbox { limits, no_new_privileges, dies_with_parent, landlock, seccomp },
        decoders: fields.list(Fields::codec)?,
        targets: fields.list(Fields::target)?,
    })
}

fn write_progress(out: &mut Vec<u8>, progress: &Progress) {
    for number in
        [progress.frames_in, progress.frames_out, progress.frames_corrupt, progress.frames_skipped, progress.cpu_micros]
    {
        out.extend(number.to_be_bytes());
    }
}

fn read_progress(fields: &mut Fields) -> Result<Progress, WireError> {
    Ok(Progress {
        frames_in: fields.u64()?,
        frames_out: fields.u64()?,
        frames_corrupt: fields.u64()?,
        frames_skipped: fields.u64()?,
        cpu_micros: fields.u64()?,
    })
}

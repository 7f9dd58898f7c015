//! Each message's kind and fields.

use super::fields::{Fields, write_codec, write_flags, write_record, write_target, write_text, write_value};
use super::{Message, WireError};
use crate::message::{
    Config, Failed, FailureKind, FromWorker, Layout, MediaFrame, Mix, MixInput, Preset, Progress, Ready, Sandbox,
    Settings, ToWorker,
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
const MIX: u8 = 10;
const ADD_INPUT: u8 = 11;
const REMOVE_INPUT: u8 = 12;
const LAYOUT: u8 = 13;
const TICK: u8 = 14;
const FILE: u8 = 15;
/// Pictures of a layout: what one byte counts. More than any mix shows.
const LAYOUT_PICTURES_MAX: usize = u8::MAX as usize;

impl Message for ToWorker {
    fn kind(&self) -> u8 {
        match self {
            ToWorker::Config(_) => CONFIG,
            ToWorker::Frame(_) => FRAME,
            ToWorker::ForceKeyframe => FORCE_KEYFRAME,
            ToWorker::Flush => FLUSH,
            ToWorker::Mix(_) => MIX,
            ToWorker::AddInput(_) => ADD_INPUT,
            ToWorker::RemoveInput(_) => REMOVE_INPUT,
            ToWorker::Layout(_) => LAYOUT,
            ToWorker::Tick(_) => TICK,
            ToWorker::File(_) => FILE,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            ToWorker::Config(config) => write_config(out, config),
            ToWorker::Frame(frame) => write_frame(out, frame),
            ToWorker::ForceKeyframe | ToWorker::Flush => {}
            ToWorker::Mix(mix) => write_mix(out, mix),
            ToWorker::AddInput(input) => {
                out.extend(input.track.0.to_be_bytes());
                write_record(out, &input.input);
                out.extend(input.timescale.hz().to_be_bytes());
            }
            ToWorker::RemoveInput(track) => out.extend(track.0.to_be_bytes()),
            ToWorker::Layout(layout) => write_layout(out, layout),
            ToWorker::Tick(micros) => out.extend(micros.to_be_bytes()),
            ToWorker::File(task) => write_value(out, task),
        }
    }

    fn read(kind: u8, fields: &mut Fields) -> Result<Self, WireError> {
        Ok(match kind {
            CONFIG => ToWorker::Config(read_config(fields)?),
            FRAME => ToWorker::Frame(read_frame(fields)?),
            FORCE_KEYFRAME => ToWorker::ForceKeyframe,
            FLUSH => ToWorker::Flush,
            MIX => ToWorker::Mix(read_mix(fields)?),
            ADD_INPUT => ToWorker::AddInput(MixInput {
                track: fields.track()?,
                input: fields.record()?,
                timescale: fields.timescale()?,
            }),
            REMOVE_INPUT => ToWorker::RemoveInput(fields.track()?),
            LAYOUT => {
                let [featured] = fields.flags()?;
                ToWorker::Layout(Layout { featured, pictures: fields.list(Fields::track)? })
            }
            TICK => ToWorker::Tick(fields.i64()?),
            FILE => ToWorker::File(Box::new(fields.value()?)),
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
            FromWorker::File(_) => FILE,
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
            FromWorker::File(news) => write_value(out, news),
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
            FILE => FromWorker::File(fields.value()?),
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
    write_settings(out, &config.settings);
}

fn write_settings(out: &mut Vec<u8>, settings: &Settings) {
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
        settings: read_settings(fields)?,
    })
}

fn read_settings(fields: &mut Fields) -> Result<Settings, WireError> {
    Ok(Settings {
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
    })
}

fn write_mix(out: &mut Vec<u8>, mix: &Mix) {
    out.extend(mix.video.0.to_be_bytes());
    out.extend(mix.audio.0.to_be_bytes());
    out.extend(mix.width.to_be_bytes());
    out.extend(mix.height.to_be_bytes());
    out.push(mix.fps);
    out.extend(mix.delay_ms.to_be_bytes());
    out.extend([mix.pictures_max, mix.sounds_max]);
    write_settings(out, &mix.settings);
}

fn read_mix(fields: &mut Fields) -> Result<Mix, WireError> {
    Ok(Mix {
        video: fields.track()?,
        audio: fields.track()?,
        width: fields.u16()?,
        height: fields.u16()?,
        fps: fields.u8()?,
        delay_ms: fields.u16()?,
        pictures_max: fields.u8()?,
        sounds_max: fields.u8()?,
        settings: read_settings(fields)?,
    })
}

fn write_layout(out: &mut Vec<u8>, layout: &Layout) {
    write_flags(out, &[layout.featured]);
    let shown = &layout.pictures[..layout.pictures.len().min(LAYOUT_PICTURES_MAX)];
    out.push(shown.len() as u8);
    shown.iter().for_each(|track| out.extend(track.0.to_be_bytes()));
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

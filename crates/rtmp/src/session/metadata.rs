//! `onMetaData`: what an encoder says about its streams. Hints for people; frames are judged by themselves.

use bytes::Bytes;

use super::commands::without_amf3_marker;
use super::request::printable;
use crate::amf::{self, Value};
use crate::flv::CodecTag;

/// The fields that encoders agree on. `None` where nothing, or nonsense, was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// The encoder's name, as OBS and ffmpeg give it (`Lavf60.16.100`).
    pub encoder: Option<String>,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// Bits per second.
    pub video_bitrate_bps: Option<u64>,
    /// Bits per second.
    pub audio_bitrate_bps: Option<u64>,
    /// Hz.
    pub sample_rate: Option<u32>,
    /// 1, 2, or what the encoder says.
    pub channels: Option<u8>,
    /// The codec of the picture; `None` also for a stream without one.
    pub video_codec: Option<CodecTag>,
    /// The codec of the sound; `None` also for a stream without one.
    pub audio_codec: Option<CodecTag>,
}

impl Metadata {
    /// The metadata in a data message, if that is what it holds, and whether the message could be read to its end.
    pub(super) fn from_message(payload: &Bytes) -> (Option<Metadata>, bool) {
        let (values, error) = amf::decode_lenient(without_amf3_marker(payload));
        let mut values = values.iter().skip_while(|value| value.as_str() == Some("@setDataFrame"));
        let is_metadata = values.next().and_then(Value::as_str) == Some("onMetaData");
        // Some encoders send the name alone.
        let fields = values.next().filter(|_| is_metadata);
        (fields.map(Metadata::from_fields), error.is_none())
    }

    fn from_fields(fields: &Value) -> Metadata {
        let number = |name, max: f64| {
            fields.get(name).and_then(Value::as_number).filter(|number| (0.001..=max).contains(number))
        };
        let kilobits = |name| number(name, 1e7).map(|kilobits| (kilobits * 1_000.0) as u64);
        let stereo = fields.get("stereo").and_then(|value| match value {
            Value::Boolean(stereo) => Some(if *stereo { 2 } else { 1 }),
            _ => None,
        });
        Metadata {
            encoder: fields.get("encoder").and_then(Value::as_str).map(printable).filter(|name| !name.is_empty()),
            width: number("width", 65_535.0).map(|width| width as u32),
            height: number("height", 65_535.0).map(|height| height as u32),
            frame_rate: number("framerate", 1_000.0).or_else(|| number("fps", 1_000.0)),
            video_bitrate_bps: kilobits("videodatarate"),
            audio_bitrate_bps: kilobits("audiodatarate"),
            sample_rate: number("audiosamplerate", 1e6).map(|rate| rate as u32),
            channels: number("audiochannels", 255.0).map(|channels| channels as u8).or(stereo),
            video_codec: fields.get("videocodecid").and_then(|id| codec(id, CodecTag::FlvVideo)),
            audio_codec: fields.get("audiocodecid").and_then(|id| codec(id, CodecTag::FlvAudio)),
        }
    }
}

/// A number of FLV, a FourCC as a number (Enhanced RTMP v1), or a FourCC as text (OBS before 30).
fn codec(id: &Value, flv: fn(u8) -> CodecTag) -> Option<CodecTag> {
    if let Some(four_cc) = id.as_str().and_then(|text| text.as_bytes().try_into().ok()) {
        return Some(CodecTag::FourCc(four_cc));
    }
    let number = id.as_number().filter(|number| (1.0..=f64::from(u32::MAX)).contains(number))? as u32;
    Some(match u8::try_from(number) {
        Ok(id) if id < 16 => flv(id),
        _ => CodecTag::FourCc(number.to_be_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn message(values: &[Value]) -> Bytes {
        let mut bytes = BytesMut::new();
        values.iter().for_each(|value| amf::encode(value, &mut bytes));
        bytes.freeze()
    }

    fn fields(pairs: &[(&str, Value)]) -> Value {
        Value::Object(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    #[test]
    fn the_fields_of_obs_and_ffmpeg_are_read() {
        let object = fields(&[
            ("width", 1_280.0.into()),
            ("height", 720.0.into()),
            ("videocodecid", 7.0.into()),
            ("videodatarate", 2_500.0.into()),
            ("framerate", 30.0.into()),
            ("audiocodecid", 10.0.into()),
            ("audiodatarate", 160.0.into()),
            ("audiosamplerate", 48_000.0.into()),
            ("stereo", Value::Boolean(true)),
            ("encoder", "obs-output module".into()),
        ]);
        let expect = Metadata {
            encoder: Some("obs-output module".into()),
            width: Some(1_280),
            height: Some(720),
            frame_rate: Some(30.0),
            video_bitrate_bps: Some(2_500_000),
            audio_bitrate_bps: Some(160_000),
            sample_rate: Some(48_000),
            channels: Some(2),
            video_codec: Some(CodecTag::FlvVideo(7)),
            audio_codec: Some(CodecTag::FlvAudio(10)),
        };
        let with_name = message(&["@setDataFrame".into(), "onMetaData".into(), object.clone()]);
        assert_eq!(Metadata::from_message(&with_name), (Some(expect.clone()), true));
        let with_amf3_marker = [&[0], &message(&["onMetaData".into(), object])[..]].concat();
        assert_eq!(Metadata::from_message(&with_amf3_marker.into()), (Some(expect), true));
    }

    #[test]
    fn nonsense_is_left_out() {
        let object = fields(&[
            ("width", f64::NAN.into()),
            ("height", (-1.0).into()),
            ("framerate", f64::INFINITY.into()),
            ("videocodecid", 1_752_589_105.0.into()),
            ("audiocodecid", "Opus".into()),
            ("audiodatarate", 0.0.into()),
        ]);
        let (metadata, _) = Metadata::from_message(&message(&["onMetaData".into(), object]));
        let expect = Metadata {
            video_codec: Some(CodecTag::FourCc(*b"hvc1")),
            audio_codec: Some(CodecTag::FourCc(*b"Opus")),
            ..Metadata::default()
        };
        assert_eq!(metadata, Some(expect));
    }

    #[test]
    fn other_data_and_empty_metadata_are_no_metadata() {
        assert_eq!(Metadata::from_message(&Bytes::new()), (None, true));
        assert_eq!(Metadata::from_message(&message(&["@setDataFrame".into(), "onMetaData".into()])), (None, true));
        assert_eq!(Metadata::from_message(&message(&["onTextData".into(), fields(&[])])), (None, true));
        assert_eq!(Metadata::from_message(&Bytes::from_static(b"\x02\x00\x0aonMeta")), (None, false));
        let truncated = message(&["onMetaData".into(), fields(&[("width", 1_280.0.into())])]);
        assert!(!Metadata::from_message(&truncated.slice(..truncated.len() - 5)).1);
    }
}

//! Which streams of a file are used, and which are left out and why.

use ffmpeg::codec::Id;
use ffmpeg::codec::packet::side_data;
use ffmpeg::format::stream::Disposition;
use ffmpeg::{Stream, codec, media};
use ffmpeg_next as ffmpeg;
use telstar_transcode::file::{Limits, SourceSubtitles};

use super::language::language;
use crate::failure::Failure;
use crate::file::decode::decoder_of;
use crate::file::input::OpenFile;

/// A title of a track is cut there: menus show less.
const TITLE_LETTERS_MAX: usize = 200;
/// What muxers call their tracks where nobody gave them a name.
const NO_TITLES: [&str; 6] =
    ["SoundHandler", "VideoHandler", "SubtitleHandler", "Core Media Audio", "GPAC ISO Audio Handler", "SoundHandle"];
/// What FFmpeg says of an encrypted track of a Matroska file (its ContentEncKeyID).
const KEY_NAME: &str = "enc_key_id";
/// Sides are brought inside this, so that no product overflows; FFmpeg's are signed.
const SIDE_MAX: u32 = 65_535;
/// Reasons for what is left out that are told; a file may have a thousand streams of one kind.
const REASONS_MAX: usize = 16;

/// What is used of a file, by the numbers of its streams.
#[derive(Debug, Default)]
pub struct Found {
    pub video: Option<usize>,
    /// The one that players begin with first.
    pub audio: Vec<usize>,
    pub subtitles: Vec<SourceSubtitles>,
    pub left_out: Vec<String>,
}

impl Found {
    /// Tells why something is not used.
    pub fn leave_out(&mut self, why: impl Into<String>) {
        let why = why.into();
        if self.left_out.len() < REASONS_MAX && !self.left_out.contains(&why) {
            self.left_out.push(why);
        }
    }
}

/// Looks at every stream.
pub fn find(open: &OpenFile, limits: &Limits) -> Result<Found, Failure> {
    let input = &open.input;
    let count = input.nb_streams();
    if count > u32::from(limits.streams_max) {
        // No more are counted than one too many.
        return Err(Failure::source(format!(
            "the file has {count} streams or more, and {} are allowed",
            limits.streams_max
        )));
    }
    let (mut found, mut videos, mut audios) = (Found::default(), Vec::new(), Vec::new());
    for stream in input.streams() {
        let has_key = stream.metadata().get(KEY_NAME).is_some();
        if has_key || stream.side_data().any(|data| data.kind() == side_data::Type::EncryptionInitInfo) {
            return Err(Failure::source("the file is encrypted: only who has the key can play it"));
        }
        let (id, index) = (stream.parameters().id(), stream.index());
        let is_default = stream.disposition().contains(Disposition::DEFAULT);
        match stream.parameters().medium() {
            media::Type::Video if stream.disposition().contains(Disposition::ATTACHED_PIC) => {
                found.leave_out("a cover picture");
            }
            media::Type::Video if decoder_of(id).is_none() => {
                found.leave_out(format!("pictures in a format that cannot be decoded{}", named(id)));
            }
            media::Type::Video => {
                let (width, height) = size(&stream);
                check_size(width, height, limits)?;
                videos.push((is_default, width * height, std::cmp::Reverse(index)));
            }
            media::Type::Audio if decoder_of(id).is_none() => {
                found.leave_out(format!("sound in a format that cannot be decoded{}", named(id)));
            }
            media::Type::Audio => audios.push((!is_default, index)),
            media::Type::Subtitle => subtitles(&stream, &mut found),
            media::Type::Attachment => found.leave_out("attached files"),
            media::Type::Data | media::Type::Unknown => found.leave_out("data that is neither picture, sound nor text"),
        }
    }
    // The default one, of those the largest, of those the first.
    videos.sort_unstable();
    found.video = videos.last().map(|(_, _, index)| index.0);
    if videos.len() > 1 {
        found.leave_out("further pictures beside the main one");
    }
    audios.sort_unstable();
    found.audio = audios.into_iter().map(|(_, index)| index).collect();
    Ok(found)
}

/// The name of a format, where it has one.
fn named(id: Id) -> String {
    if id == Id::None { String::new() } else { format!(" ({})", id.name()) }
}

/// A picture of this size may be decoded. A size of zero is not known yet.
pub fn check_size(width: u32, height: u32, limits: &Limits) -> Result<(), Failure> {
    if width.max(height) > limits.side_max {
        return Err(Failure::source(format!(
            "its pictures have {width}x{height} pixels, and no side may have more than {}",
            limits.side_max
        )));
    }
    if width * height > limits.pixels_max {
        return Err(Failure::source(format!(
            "its pictures have {width}x{height} pixels, more than the {} that are allowed",
            limits.pixels_max
        )));
    }
    Ok(())
}

/// As the container or the first picture has it; zero where neither does.
fn size(stream: &Stream<'_>) -> (u32, u32) {
    let context = codec::Context::from_parameters(stream.parameters());
    // A context that is never opened: only it says how large the pictures are.
    let video = context.and_then(|context| context.encoder().video());
    video.map_or((0, 0), |video| (video.width().min(SIDE_MAX), video.height().min(SIDE_MAX)))
}

fn subtitles(stream: &Stream<'_>, found: &mut Found) {
    let id = stream.parameters().id();
    if !matches!(id, Id::SUBRIP | Id::ASS | Id::SSA | Id::WEBVTT | Id::MOV_TEXT | Id::TEXT) {
        return found.leave_out(format!("subtitles that are not text{}", named(id)));
    }
    let disposition = stream.disposition();
    found.subtitles.push(SourceSubtitles {
        stream: number(stream),
        codec: id.name().to_owned(),
        language: language(stream.metadata().get("language")),
        title: title(stream),
        forced: disposition.contains(Disposition::FORCED),
        hearing_impaired: disposition.contains(Disposition::HEARING_IMPAIRED),
    });
}

/// The number of a stream. There are far fewer than it can count: see [`Limits::streams_max`].
pub fn number(stream: &Stream<'_>) -> u16 {
    u16::try_from(stream.index()).unwrap_or(u16::MAX)
}

/// What the file calls a track.
pub fn title(stream: &Stream<'_>) -> String {
    let metadata = stream.metadata();
    // FFmpeg hands on what is in the file, which need not be text.
    let text = |key| metadata.get(key).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let named = text("title").or_else(|| text("handler_name").filter(|name| !NO_TITLES.contains(&name.as_str())));
    named.unwrap_or_default().chars().filter(|letter| !letter.is_control()).take(TITLE_LETTERS_MAX).collect()
}

//! One conversion, of sound or of pictures, and what is counted of it.

use ffmpeg::codec::{self, Id};
use ffmpeg_next as ffmpeg;
use telstar_media::{Codec, MediaKind};
use telstar_transcode::{Config, MediaFrame, Target};

use crate::failure::Failure;
use crate::picture::Picture;
use crate::sound::Sound;

/// So many frames in a row that cannot be decoded are no damage but another stream than was told: eight seconds of
/// pictures. Higher burns a core for longer; lower ends a conversion over a bad patch of a link.
const CORRUPT_IN_A_ROW_MAX: u32 = 250;

/// What is read, in one order for ever.
const DECODED: [Codec; 10] = [
    Codec::H264,
    Codec::H265,
    Codec::Av1,
    Codec::Vp8,
    Codec::Vp9,
    Codec::Aac,
    Codec::Opus,
    Codec::Mp3,
    Codec::Ac3,
    Codec::Eac3,
];

/// What a conversion did.
#[derive(Debug, Default)]
pub struct Counts {
    /// Frames that could not be decoded.
    pub corrupt: u64,
    /// Frames that were left out.
    pub skipped: u64,
    in_a_row: u32,
}

impl Counts {
    pub(crate) fn corrupt(&mut self) -> Result<(), Failure> {
        self.corrupt += 1;
        self.in_a_row += 1;
        if self.in_a_row >= CORRUPT_IN_A_ROW_MAX {
            self.in_a_row = 0;
            return Err(Failure::broken("decoder", format!("{CORRUPT_IN_A_ROW_MAX} frames in a row are corrupt")));
        }
        Ok(())
    }

    pub(crate) fn decoded(&mut self) {
        self.in_a_row = 0;
    }

    pub(crate) fn skipped(&mut self) {
        self.skipped += 1;
    }
}

/// A conversion under way.
pub enum Conversion {
    /// Of sound.
    Sound(Box<Sound>),
    /// Of pictures.
    Picture(Box<Picture>),
}

impl Conversion {
    /// A conversion as `config` says.
    pub fn new(config: Config) -> Result<Conversion, Failure> {
        let (from, to) = (config.input.codec, config.target.codec());
        match (from.kind(), to.kind()) {
            (MediaKind::Audio, MediaKind::Audio) => Ok(Conversion::Sound(Box::new(Sound::new(config)?))),
            (MediaKind::Video, MediaKind::Video) => Ok(Conversion::Picture(Box::new(Picture::new(config)?))),
            _ => Err(Failure::unsupported(format!("{} cannot become {}", from.name(), to.name()))),
        }
    }

    /// Takes a frame; appends what comes of it.
    pub fn feed(&mut self, frame: &MediaFrame, counts: &mut Counts, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        match self {
            Conversion::Sound(sound) => sound.feed(frame, counts, out),
            Conversion::Picture(picture) => picture.feed(frame, counts, out),
        }
    }

    /// The next picture shall stand alone. Sound always does.
    pub fn force_keyframe(&mut self) {
        match self {
            Conversion::Sound(_) => {}
            Conversion::Picture(picture) => picture.force_keyframe(),
        }
    }

    /// Lets out what is held back.
    pub fn flush(&mut self, counts: &mut Counts, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        match self {
            Conversion::Sound(sound) => sound.flush(out),
            Conversion::Picture(picture) => picture.flush(counts, out),
        }
    }
}

/// What this FFmpeg can read and make of all that is asked for.
pub fn abilities() -> (Vec<Codec>, Vec<Target>) {
    let has_encoder = |target: &Target| {
        let name = match target {
            Target::Opus => "libopus",
            Target::Aac => "aac",
            Target::H264 => "libx264",
            Target::Vp8 => "libvpx",
        };
        codec::encoder::find_by_name(name).is_some()
    };
    let decoders = DECODED.into_iter().filter(|codec| decoder_of(*codec).is_ok()).collect();
    (decoders, Target::ALL.into_iter().filter(has_encoder).collect())
}

/// The decoder of `codec`.
pub(crate) fn decoder_of(codec: Codec) -> Result<ffmpeg::Codec, Failure> {
    let id = match codec {
        Codec::H264 => Some(Id::H264),
        Codec::H265 => Some(Id::HEVC),
        Codec::Av1 => Some(Id::AV1),
        Codec::Vp8 => Some(Id::VP8),
        Codec::Vp9 => Some(Id::VP9),
        // See `stream::latm`.
        Codec::Aac => Some(Id::AAC_LATM),
        Codec::Opus => Some(Id::OPUS),
        Codec::Mp3 => Some(Id::MP3),
        Codec::Ac3 => Some(Id::AC3),
        Codec::Eac3 => Some(Id::EAC3),
        // Its decoder needs the stream's header out of band.
        Codec::Flac => None,
    };
    // FFmpeg's own AV1 decoder only drives graphics cards.
    let found = match codec {
        Codec::Av1 => codec::decoder::find_by_name("libdav1d"),
        _ => id.and_then(codec::decoder::find),
    };
    found.ok_or_else(|| Failure::unsupported(format!("this FFmpeg does not decode {}", codec.name())))
}

/// FFmpeg wants to be fed before more comes out, or is at its end.
pub(crate) fn is_again(error: &ffmpeg::Error) -> bool {
    matches!(error, ffmpeg::Error::Eof) || matches!(error, ffmpeg::Error::Other { errno } if *errno == libc::EAGAIN)
}

//! One picture and one sound of many: what the main picture of a call is made of.
//!
//! In: frames of inputs that come and go, which pictures are shown, and what time it is. Out: sound without a hole, and
//! pictures of one size at one rate, whoever speaks. Nothing here waits or reads a clock: what an input has not brought by
//! the time at which it is put out is silence, or the picture that it had.

mod canvas;
mod mixdown;
mod tiles;
mod view;

use std::collections::BTreeMap;

use ffmpeg::{Rational, picture};
use ffmpeg_next as ffmpeg;
use telstar_media::MediaKind;
use telstar_transcode::{Layout, MediaFrame, Mix, MixInput, Target};
use telstar_units::{Timescale, TrackId, rescale};

use crate::alignment::SAMPLE_RATE;
use crate::conversion::Counts;
use crate::failure::Failure;
use crate::picture::{Encoder as PictureEncoder, Shape, VIDEO_HZ, check_pixels};
use crate::sound::{Decoding, Encoder as SoundEncoder};
use canvas::Canvas;
use mixdown::Mixdown;
use view::View;

/// Samples of an input that are mixed at once: 10 ms. Higher lets sound be late by more; lower costs more turns.
const VOICE_BLOCK: usize = 480;
/// A picture that is late by more than this is left out, so that a machine which is too slow shows fewer pictures instead
/// of older ones: a quarter of a second.
const PICTURE_LATE_MAX: i64 = VIDEO_HZ / 4;
/// But never so many in a row that more than this is without one: a hole that ends with a keyframe is a pause to whoever packages
/// the pictures (200 ms in HLS), and no player need notice that a machine was slow.
const PICTURE_HOLE_MAX: i64 = VIDEO_HZ * 4 / 25;
/// Pictures that are late by more than this are left out in any case: what is behind so far has stood still.
const PICTURE_GIVEN_UP: i64 = 2 * VIDEO_HZ;
/// Sound that is late by more than this is left out: two seconds. A machine that slept is not to make it all up.
const SOUND_LATE_MAX: i64 = 2 * SAMPLE_RATE as i64;
const MICROS: i64 = 1_000_000;

/// A mix under way.
pub struct Mixer {
    mix: Mix,
    inputs: BTreeMap<TrackId, Input>,
    layout: Layout,
    sound: SoundEncoder,
    mixdown: Mixdown,
    picture: PictureEncoder,
    canvas: Canvas,
    /// The number of the next picture from the timeline's zero on; `None` before the first time was told.
    next_picture: Option<i64>,
    /// When the last one that came out is shown.
    last_picture: Option<i64>,
    last_key: Option<i64>,
    wants_key: bool,
}

enum Input {
    Sound(Box<Decoding>),
    Picture(Box<View>),
}

impl Mixer {
    /// A mix as `mix` says.
    pub fn new(mix: Mix) -> Result<Mixer, Failure> {
        let (width, height) = (u32::from(mix.width) & !1, u32::from(mix.height) & !1);
        check_pixels((width, height), mix.settings.pixels_max)?;
        if width == 0 || height == 0 || mix.fps == 0 {
            return Err(Failure::unsupported(format!("{width}x{height} at {} a second is no picture", mix.fps)));
        }
        let sound = SoundEncoder::new(Target::Aac, mix.settings.audio_kbps)?;
        let shape = Shape { width, height, sample_aspect: Rational(1, 1) };
        let picture = PictureEncoder::new(Target::H264, &mix.settings, shape, u32::from(mix.fps))?;
        Ok(Mixer {
            mix,
            inputs: BTreeMap::new(),
            layout: Layout::default(),
            sound,
            mixdown: Mixdown::new(),
            picture,
            canvas: Canvas::new(width, height),
            next_picture: None,
            last_picture: None,
            last_key: None,
            wants_key: true,
        })
    }

    /// Another input. One that cannot be decoded, or is one too many, is left out: the others are mixed all the same.
    pub fn add_input(&mut self, input: MixInput) {
        let MixInput { track, input, timescale } = input;
        self.remove_input(track);
        let kind = input.codec.kind();
        let most = usize::from(if kind == MediaKind::Audio { self.mix.sounds_max } else { self.mix.pictures_max });
        if self.inputs.values().filter(|known| known.kind() == kind).count() >= most {
            return;
        }
        let made = match kind {
            MediaKind::Audio => {
                Decoding::new(input, timescale, VOICE_BLOCK).map(|decoding| Input::Sound(Box::new(decoding)))
            }
            MediaKind::Video => {
                View::new(input, timescale, self.mix.settings).map(|view| Input::Picture(Box::new(view)))
            }
        };
        match made {
            Ok(made) => drop(self.inputs.insert(track, made)),
            Err(error) => eprintln!("an input is left out: {error}"),
        }
    }

    /// An input is over.
    pub fn remove_input(&mut self, track: TrackId) {
        self.inputs.remove(&track);
    }

    /// Which pictures are shown.
    pub fn set_layout(&mut self, layout: Layout) {
        self.layout = layout;
    }

    /// The next picture shall stand alone.
    pub fn force_keyframe(&mut self) {
        self.wants_key = true;
    }

    /// Takes a frame of an input. An input that fails for good is left out.
    pub fn feed(&mut self, frame: &MediaFrame, counts: &mut Counts) {
        let outcome = match self.inputs.get_mut(&frame.track) {
            None => return,
            Some(Input::Picture(view)) => view.feed(frame, counts),
            Some(Input::Sound(decoding)) => {
                let outcome = decoding.feed(frame, counts);
                while let Some(block) = decoding.poll() {
                    if !self.mixdown.add(&block) {
                        counts.skipped();
                    }
                }
                outcome
            }
        };
        if let Err(error) = outcome {
            eprintln!("an input is left out: {error}");
            self.inputs.remove(&frame.track);
        }
    }

    /// It is so late; appends what belongs before it, less the delay.
    pub fn tick(&mut self, micros: i64, counts: &mut Counts, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        let horizon = micros.saturating_sub(i64::from(self.mix.delay_ms) * 1_000);
        if !(0..i64::MAX / VIDEO_HZ).contains(&horizon) {
            return Ok(());
        }
        let fps = i64::from(self.mix.fps);
        let next = match self.next_picture {
            Some(next) => next,
            None => {
                // Both begin at one time.
                let first = (horizon * fps + MICROS - 1) / MICROS;
                self.mixdown.begin(first * i64::from(SAMPLE_RATE) / fps);
                first
            }
        };
        self.next_picture = Some(next);
        self.put_sound(horizon, out)?;
        self.put_pictures(horizon, counts, out)
    }

    fn put_sound(&mut self, horizon: i64, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        let until = horizon * i64::from(SAMPLE_RATE) / MICROS;
        self.mixdown.skip_to(until - SOUND_LATE_MAX);
        while let Some(block) = self.mixdown.take(until, self.sound.block_len()) {
            self.sound.take(&block, self.mix.audio, out)?;
        }
        Ok(())
    }

    fn put_pictures(&mut self, horizon: i64, counts: &mut Counts, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        let until = rescale(horizon, Timescale::MICROS, Timescale::VIDEO);
        while let Some(next) = self.next_picture {
            let at = next * VIDEO_HZ / i64::from(self.mix.fps);
            if at > until {
                break;
            }
            self.next_picture = Some(next + 1);
            let late = until - at;
            let following = (next + 1) * VIDEO_HZ / i64::from(self.mix.fps);
            let leaves_hole = self.last_picture.is_some_and(|last| following - last > PICTURE_HOLE_MAX);
            if late > PICTURE_GIVEN_UP || (late > PICTURE_LATE_MAX && !leaves_hole) {
                counts.skipped();
                continue;
            }
            self.put_picture(at, out)?;
            self.last_picture = Some(at);
        }
        Ok(())
    }

    fn put_picture(&mut self, at: i64, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        let micros = rescale(at, Timescale::VIDEO, Timescale::MICROS);
        for input in self.inputs.values_mut() {
            if let Input::Picture(view) = input {
                view.show_until(micros);
            }
        }
        let has_picture =
            |track: &&TrackId| matches!(self.inputs.get(*track), Some(Input::Picture(view)) if view.is_shown());
        let shown: Vec<TrackId> = self.layout.pictures.iter().filter(has_picture).copied().collect();
        let shown = &shown[..shown.len().min(usize::from(self.mix.pictures_max))];
        self.canvas.arrange(shown, self.layout.featured);
        for (place, track) in shown.iter().enumerate() {
            if let Some(Input::Picture(view)) = self.inputs.get_mut(track) {
                self.canvas.draw(place, view)?;
            }
        }
        let longest = i64::from(self.mix.settings.keyframe_interval_ms) * VIDEO_HZ / 1_000;
        let key = self.wants_key || self.last_key.is_none_or(|key| at - key >= longest);
        let mut frame = self.canvas.frame();
        frame.set_kind(if key { picture::Type::I } else { picture::Type::None });
        frame.set_pts(Some(at));
        if key {
            (self.last_key, self.wants_key) = (Some(at), false);
        }
        self.picture.take(&frame, self.mix.video, out)
    }
}

impl Input {
    fn kind(&self) -> MediaKind {
        match self {
            Input::Sound(_) => MediaKind::Audio,
            Input::Picture(_) => MediaKind::Video,
        }
    }
}

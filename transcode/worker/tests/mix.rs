//! A mix: many voices are heard at once, pictures share one, and nothing of what comes out changes its shape.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use ffmpeg_next::codec::Id;
use support::decode::{Piece, pictures};
use support::source::{ffmpeg, flv, ivf, timescale};
use support::{SETTINGS, Worker};
use telstar_media::codec::annexb::to_annex_b;
use telstar_media::{Codec, CodecConfig, Frame, MediaKind};
use telstar_transcode::{
    CodecRecord, FromWorker, Layout, MediaFrame, Mix, MixInput, Progress, Settings, Target, ToWorker,
};
use telstar_units::{Timescale, TrackId, rescale};

const VIDEO: TrackId = TrackId(100);
const AUDIO: TrackId = TrackId(101);
const MIX: Mix = Mix {
    video: VIDEO,
    audio: AUDIO,
    width: 640,
    height: 360,
    fps: 25,
    delay_ms: 100,
    pictures_max: 2,
    sounds_max: 8,
    settings: SETTINGS,
};
/// How often the time is told.
const TICK_MICROS: i64 = 20_000;

/// A tone as Opus, as browsers send it.
fn tone(hz: u32, secs: u32) -> Vec<Frame> {
    let aac = flv(&ffmpeg(&format!(
        "-f lavfi -i sine=frequency={hz}:sample_rate=48000 -t {secs} -af volume=4 -ac 2 -c:a aac -f flv"
    )));
    Worker::start().convert(&aac, Target::Opus, SETTINGS).into_source()
}

/// A picture of one brightness, in VP8, of this size, at 30 a second.
fn vp8(size: &str, grey: &str, secs: u32) -> Vec<Frame> {
    ivf(
        &ffmpeg(&format!(
            "-f lavfi -i color=c={grey}:s={size}:r=30 -t {secs} -pix_fmt yuv420p -c:v libvpx -deadline realtime -cpu-used 8 \
             -g 30 -auto-alt-ref 0 -f ivf"
        )),
        Codec::Vp8,
    )
}

fn h264(size: &str, secs: u32) -> Vec<Frame> {
    flv(&ffmpeg(&format!(
        "-f lavfi -i testsrc2=s={size}:r=30 -t {secs} -pix_fmt yuv420p -c:v libx264 -preset ultrafast -tune zerolatency \
         -g 30 -f flv"
    )))
}

/// A worker that mixes, and what came of it.
struct Table {
    worker: Worker,
    inputs: BTreeMap<TrackId, Vec<Frame>>,
    micros: i64,
    frames: Vec<MediaFrame>,
    progress: Option<Progress>,
}

impl Table {
    fn new(mix: Mix) -> Table {
        let mut worker = Worker::start();
        worker.say(&ToWorker::Mix(mix));
        Table { worker, inputs: BTreeMap::new(), micros: 0, frames: Vec::new(), progress: None }
    }

    fn join(&mut self, track: u64, frames: Vec<Frame>) {
        let config = &frames[0].config;
        let (track, input, timescale) = (TrackId(track), CodecRecord::of(config), timescale(config));
        self.worker.say(&ToWorker::AddInput(MixInput { track, input, timescale }));
        self.inputs.insert(track, frames);
    }

    fn leave(&mut self, track: u64) {
        self.inputs.remove(&TrackId(track));
        self.worker.say(&ToWorker::RemoveInput(TrackId(track)));
    }

    fn show(&mut self, pictures: &[u64], featured: bool) {
        let pictures = pictures.iter().map(|track| TrackId(*track)).collect();
        self.worker.say(&ToWorker::Layout(Layout { pictures, featured }));
    }

    /// Time goes on until then: what came meanwhile is fed, and what came of it is taken.
    fn until(&mut self, secs: f64) {
        while (self.micros as f64) < secs * 1e6 {
            self.pass(TICK_MICROS);
        }
    }

    /// So much time passes before the next is told.
    fn pass(&mut self, micros: i64) {
        self.micros += micros;
        for (track, frames) in &mut self.inputs {
            let Some(first) = frames.first() else { continue };
            let clock = timescale(&first.config);
            let due = frames.partition_point(|frame| rescale(frame.dts, clock, Timescale::MICROS) <= self.micros);
            for Frame { dts, pts, duration, key, payload, .. } in frames.drain(..due) {
                let frame =
                    MediaFrame { track: *track, record: None, dts, pts, duration, key, decode_only: false, payload };
                self.worker.say(&ToWorker::Frame(frame));
            }
        }
        self.worker.say(&ToWorker::Tick(self.micros));
        // A worker that is behind leaves times out, as it should, and this test wants all of them.
        self.worker.say(&ToWorker::Flush);
        loop {
            match self.worker.next() {
                Some(FromWorker::Frame(frame)) => self.frames.push(frame),
                Some(FromWorker::Progress(progress)) => self.progress = Some(progress),
                Some(FromWorker::Flushed) => break,
                other => panic!("{other:?}"),
            }
        }
    }

    fn of(&self, track: TrackId) -> Vec<&MediaFrame> {
        self.frames.iter().filter(|frame| frame.track == track).collect()
    }

    /// Nothing is missing, twice or of another shape.
    #[track_caller]
    fn assert_unbroken(&self) {
        for (track, step) in [(VIDEO, 3_600), (AUDIO, 1_024)] {
            let frames = self.of(track);
            assert!(frames.len() > 25);
            assert!(frames.windows(2).all(|pair| pair[1].dts - pair[0].dts == step), "{track:?} has holes");
            let told: Vec<_> = frames.iter().filter_map(|frame| frame.record.as_ref()).collect();
            assert_eq!(told.len(), 1, "its configuration is told once");
        }
        let keys: Vec<i64> = self.of(VIDEO).iter().filter(|frame| frame.key).map(|frame| frame.dts).collect();
        assert!(keys.windows(2).all(|pair| pair[1] - pair[0] == 180_000), "a keyframe each two seconds: {keys:?}");
    }

    /// Sizes and brightness of the pictures that came.
    fn pictures(&self) -> Vec<(i64, (u32, u32), i64)> {
        let frames = self.of(VIDEO);
        let config = frames[0].record.as_ref().and_then(|record| record.config().ok()).expect("the first tells");
        let stream = |frame: &&MediaFrame| to_annex_b(&config, frame.key, &frame.payload).expect("well formed");
        let bytes: Vec<Vec<u8>> = frames.iter().map(stream).collect();
        let pieces: Vec<Piece<'_>> =
            frames.iter().zip(&bytes).map(|(frame, bytes)| Piece { at: frame.pts, bytes }).collect();
        pictures(Id::H264, &pieces)
    }

    /// The samples of the left channel, decoded by ffmpeg.
    fn samples(&self) -> Vec<f32> {
        let adts = |frame: &&MediaFrame| {
            let len = frame.payload.len() + 7;
            let header = [
                0xff,
                0xf1,
                1 << 6 | 3 << 2,
                2 << 6 | (len >> 11) as u8,
                (len >> 3) as u8,
                (len << 5) as u8 | 0x1f,
                0xfc,
            ];
            [&header[..], &frame.payload].concat()
        };
        let bytes: Vec<u8> = self.of(AUDIO).iter().flat_map(adts).collect();
        let mut decoder = Command::new("ffmpeg")
            .args("-v error -f aac -i pipe:0 -af pan=mono|c0=c0 -f f32le pipe:1".split(' '))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ffmpeg runs");
        let mut stdin = decoder.stdin.take().expect("a pipe");
        let writer = std::thread::spawn(move || stdin.write_all(&bytes));
        let output = decoder.wait_with_output().expect("it ends");
        writer.join().expect("no panic").expect("it reads everything");
        output.stdout.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
    }
}

/// How loud a tone is: its amplitude (Goertzel).
fn loudness(samples: &[f32], hz: f64) -> f64 {
    let coefficient = 2.0 * (2.0 * std::f64::consts::PI * hz / 48_000.0).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for sample in samples {
        (last, before) = (f64::from(*sample) + coefficient * last - before, last);
    }
    let power = last * last + before * before - coefficient * last * before;
    2.0 * power.max(0.0).sqrt() / samples.len() as f64
}

#[test]
fn three_voices_are_in_one_spectrum_while_they_speak_and_silence_comes_out_when_nobody_does() {
    let mut table = Table::new(MIX);
    for (track, hz) in [(1, 440), (2, 880), (3, 1_320)] {
        table.join(track, tone(hz, 3));
    }
    table.until(5.0);
    table.assert_unbroken();
    let samples = table.samples();
    let (together, after) = (&samples[48_000..96_000], &samples[192_000..220_000]);
    for hz in [440.0, 880.0, 1_320.0] {
        let (loud, beside) = (loudness(together, hz), loudness(together, hz + 110.0));
        assert!(loud > 0.1 && loud > 20.0 * beside, "{hz} Hz: {loud} beside {beside}");
        assert!(loudness(after, hz) < 0.001);
    }
    assert!(samples.iter().all(|sample| sample.abs() <= 1.0));
}

#[test]
fn a_voice_that_ends_or_begins_is_heard_from_then_on_only() {
    let mut table = Table::new(MIX);
    table.join(1, tone(440, 6));
    table.until(2.0);
    // Its times have gone on with the others'.
    let mut later = tone(880, 6);
    later.retain(|frame| frame.dts >= 96_000);
    table.join(2, later);
    table.until(4.0);
    table.leave(1);
    table.until(6.0);
    table.assert_unbroken();
    let samples = table.samples();
    let at = |secs: f64| &samples[(secs * 48_000.0) as usize..][..24_000];
    let heard = |secs, hz| loudness(at(secs), hz) > 0.1;
    assert_eq!([heard(1.0, 440.0), heard(1.0, 880.0)], [true, false]);
    assert_eq!([heard(3.0, 440.0), heard(3.0, 880.0)], [true, true]);
    assert_eq!([heard(5.0, 440.0), heard(5.0, 880.0)], [false, true]);
}

#[test]
fn pictures_of_any_size_and_codec_share_one_that_never_changes_its_shape() {
    let mut table = Table::new(MIX);
    table.until(1.0);
    // They begin at that moment.
    let from_then_on = |mut frames: Vec<Frame>| {
        frames.iter_mut().for_each(|frame| (frame.dts, frame.pts) = (frame.dts + 90_000, frame.pts + 90_000));
        frames
    };
    table.join(1, from_then_on(vp8("320x240", "white", 12)));
    table.join(2, from_then_on(h264("640x480", 12)));
    // One more than is decoded.
    table.join(3, from_then_on(vp8("160x90", "white", 12)));
    table.show(&[1, 2, 3], false);
    table.until(3.0);
    table.show(&[1, 2, 3], true);
    table.until(5.0);
    table.show(&[2, 1, 3], true);
    table.until(7.0);
    table.leave(2);
    table.show(&[1, 3], true);
    table.until(9.0);
    table.leave(1);
    table.show(&[], false);
    table.until(11.0);
    table.assert_unbroken();
    let pictures = table.pictures();
    assert_eq!(pictures.len(), table.of(VIDEO).len());
    assert!(pictures.iter().all(|(_, size, _)| *size == (640, 360)));
    let brightness = |secs: f64| {
        let found = pictures.iter().find(|(at, ..)| *at as f64 >= secs * 90_000.0);
        found.map_or(0, |(_, _, brightness)| *brightness)
    };
    assert_eq!([brightness(0.5), brightness(10.5)], [16, 16], "black, when there is nothing to show");
    assert!(brightness(4.5) > 150, "the white one is large: {}", brightness(4.5));
    let progress = table.progress.expect("it tells each second");
    assert_eq!((progress.frames_corrupt, progress.frames_skipped), (0, 0));
}

#[test]
fn a_picture_and_its_sound_stay_in_step() {
    let mut table = Table::new(MIX);
    // White and a tone from the same moment on, 1.5 s after the zero.
    let flash = "-f lavfi -i color=c=black:s=320x180:r=50:d=1.5,format=yuv420p -f lavfi -i \
                 color=c=white:s=320x180:r=50:d=3,format=yuv420p -filter_complex [0][1]concat=n=2";
    let picture = flv(&ffmpeg(&format!("{flash} -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -f flv")));
    let mut sound = tone(440, 4);
    sound.retain(|frame| frame.dts >= 72_000);
    table.join(1, picture);
    table.join(2, sound);
    table.show(&[1], true);
    table.until(4.0);
    // The decoder begins at the first packet's time.
    let begin = table.of(AUDIO)[0].pts as f64 / 48_000.0;
    let samples = table.samples();
    let onset = samples.iter().position(|sample| sample.abs() > 0.05).expect("it is heard") as f64 / 48_000.0 + begin;
    let bright = table.pictures().into_iter().find(|(_, _, middle)| *middle > 200).expect("it is seen");
    let seen = bright.0 as f64 / 90_000.0;
    println!("heard at {onset:.3} s, seen at {seen:.3} s");
    assert!((onset - seen).abs() <= 0.040, "heard at {onset} s, seen at {seen} s");
    assert!((seen - 1.5).abs() <= 0.040, "seen at {seen} s");
}

/// A hole of 200 ms before a keyframe is a pause to LL-HLS, which a slow machine is not to make.
#[test]
fn a_worker_that_was_late_shows_fewer_pictures_and_leaves_no_long_hole() {
    let mut table = Table::new(MIX);
    table.until(1.0);
    let before = table.of(VIDEO).len();
    table.pass(1_500_000);
    let pictures: Vec<i64> = table.of(VIDEO).iter().map(|frame| frame.dts).collect();
    let (longest, came) = (pictures.windows(2).map(|pair| pair[1] - pair[0]).max(), pictures.len() - before);
    assert_eq!(longest, Some(4 * 3_600), "160 ms");
    assert!(came < 20, "{came} pictures for 1.5 s that were late");
    let sounds = table.of(AUDIO);
    assert!(sounds.windows(2).all(|pair| pair[1].dts - pair[0].dts == 1_024), "sound has no hole");
    // What stood still for longer is not made up for.
    table.pass(10_000_000);
    assert!(table.of(VIDEO).len() - pictures.len() < 40);
}

#[test]
fn what_no_decoder_takes_is_left_out_and_the_others_are_mixed_all_the_same() {
    let mut table = Table::new(Mix { settings: Settings { pixels_max: 640 * 360, ..SETTINGS }, ..MIX });
    table.join(1, tone(440, 3));
    let broken = tone(880, 3).into_iter().map(|frame| Frame { payload: vec![0xff; 40].into(), ..frame });
    table.join(2, broken.collect());
    table.join(3, h264("1280x720", 3));
    let config = CodecConfig::Opaque { codec: Codec::Flac, record: Default::default() };
    assert_eq!(config.codec().kind(), MediaKind::Audio);
    let (track, input) = (TrackId(4), CodecRecord::of(&config));
    table.worker.say(&ToWorker::AddInput(MixInput { track, input, timescale: Timescale::VIDEO }));
    table.show(&[3], true);
    table.until(3.0);
    table.assert_unbroken();
    assert!(loudness(&table.samples()[48_000..96_000], 440.0) > 0.1);
}

//! Sources of all kinds, and what is made of them.

use proptest::prelude::*;

use super::*;
use crate::file::{SourceAudio, SourceSubtitles};

const SECOND: i64 = 90_000;
const OPTIONS: Options = Options { has_ladder: true, has_hevc: false, has_av1: false, stereo_bps: 128_000 };

fn video(width: u32, height: u32, copy: Result<Vec<i64>, String>) -> SourceVideo {
    SourceVideo {
        stream: 0,
        codec: "h264".into(),
        width,
        height,
        fps_millis: 30_000,
        first: 0,
        rotation: 0,
        mirrored: false,
        interlaced: false,
        bits: 8,
        hdr: false,
        bps: 5_000_000,
        copy,
    }
}

fn audio(stream: u16, channels: u8, copy: bool) -> SourceAudio {
    SourceAudio {
        stream,
        codec: "aac".into(),
        channels,
        sample_rate: 48_000,
        language: "und".into(),
        title: String::new(),
        copy: if copy { Ok(()) } else { Err("it has holes".into()) },
    }
}

fn source(video: Option<SourceVideo>, audio: Vec<SourceAudio>) -> Source {
    let text = SourceSubtitles {
        stream: 9,
        codec: "subrip".into(),
        language: "de".into(),
        title: String::new(),
        forced: false,
        hearing_impaired: false,
    };
    Source {
        container: "mov".into(),
        duration: 20 * SECOND,
        shift: 0,
        video,
        audio,
        subtitles: vec![text],
        left_out: Vec::new(),
    }
}

fn every_two_seconds() -> Result<Vec<i64>, String> {
    Ok((0..10).map(|index| index * 2 * SECOND).collect())
}

fn names(planned: &[Planned]) -> Vec<&str> {
    planned.iter().map(|one| one.name.as_str()).collect()
}

#[test]
fn what_can_be_passed_on_is_playable_without_an_encoder() {
    let plan =
        plan(&source(Some(video(1_920, 1_080, every_two_seconds())), vec![audio(1, 2, true)]), &OPTIONS).expect("good");
    assert_eq!(names(&plan.first), ["v-copy", "a1-first", "s1"]);
    assert_eq!(names(&plan.more), ["a1", "v720", "v480", "v360", "v240"]);
    assert_eq!((plan.encoded_because, plan.map.count(), plan.has_images), (None, 5, true));
}

#[test]
fn a_source_that_takes_too_much_is_encoded_at_its_size_as_well() {
    let mut camera = video(1_920, 1_080, every_two_seconds());
    camera.bps = 50_000_000;
    let plan = plan(&source(Some(camera), Vec::new()), &OPTIONS).expect("good");
    assert_eq!(names(&plan.more)[0], "v1080");
    assert_eq!(names(&plan.first), ["v-copy", "s1"]);
}

#[test]
fn what_must_be_encoded_begins_with_a_rung_that_is_fast() {
    let why = Err("HEVC is not for every player".to_owned());
    let plan = plan(&source(Some(video(3_840, 2_160, why.clone())), vec![audio(1, 6, false)]), &OPTIONS).expect("good");
    assert_eq!(names(&plan.first), ["v720", "a1-first", "s1"]);
    assert_eq!(names(&plan.more), ["a1", "a1-surround", "v2160", "v1440", "v1080", "v480", "v360", "v240"]);
    assert_eq!((plan.encoded_because, plan.map.count()), (why.err(), 10));
}

#[test]
fn a_gop_that_is_too_long_is_encoded_on_an_even_map() {
    let long = Ok(vec![0, 15 * SECOND]);
    let plan = plan(&source(Some(video(640, 360, long)), Vec::new()), &OPTIONS).expect("good");
    assert_eq!(names(&plan.first), ["v360", "s1"]);
    assert_eq!(names(&plan.more), ["v240"]);
    assert!(plan.encoded_because.is_some_and(|why| why.contains("10 s apart")) && plan.map.count() == 10);
}

#[test]
fn languages_are_kept_and_stereo_is_always_there() {
    let tracks = vec![audio(1, 6, true), audio(2, 2, true), audio(3, 1, false)];
    let small = SourceVideo { bps: 800_000, ..video(640, 360, every_two_seconds()) };
    let plan = plan(&source(Some(small), tracks), &OPTIONS).expect("good");
    assert_eq!(names(&plan.first), ["v-copy", "a1-first", "a2-first", "s1"]);
    assert_eq!(names(&plan.more), ["a1", "a1-surround", "a2", "a3", "v240"]);
    assert_eq!(plan.first[1].output, Output::Audio { stream: 1, channels: 2, bps: 128_000, normalise: false });
    assert_eq!(plan.more[1].output, Output::CopyAudio { stream: 1 });
    assert_eq!(plan.more[3].output, Output::Audio { stream: 3, channels: 1, bps: 64_000, normalise: true });
}

#[test]
fn sound_alone_is_an_asset_and_nothing_is_none() {
    let plan = |video, audio| plan(&source(video, audio), &OPTIONS);
    let sound = plan(None, vec![audio(0, 2, true)]).expect("good");
    assert_eq!((names(&sound.first), sound.has_images), (vec!["a1-first", "s1"], false));
    assert_eq!(plan(None, Vec::new()), Err(Unplayable::Empty));
    let still = Source { duration: SECOND / 25, ..source(Some(video(3, 5, Ok(vec![0]))), Vec::new()) };
    let still = super::plan(&still, &OPTIONS).expect("one picture");
    assert_eq!(names(&still.first), ["v-copy", "s1"]);
}

#[test]
fn without_a_ladder_there_is_what_is_playable_and_the_best() {
    let options = Options { has_ladder: false, ..OPTIONS };
    let must_encode = video(1_920, 1_080, Err(String::new()));
    assert_eq!(names(&plan(&source(Some(must_encode), Vec::new()), &options).expect("good").more), ["v1080"]);
    let as_it_is = video(1_920, 1_080, every_two_seconds());
    assert!(plan(&source(Some(as_it_is), Vec::new()), &options).expect("good").more.is_empty());
}

proptest! {
    #[test]
    fn whatever_a_source_is_names_differ_and_outputs_fit(
        (width, height) in (1..9_000_u32, 1..9_000_u32),
        copied in any::<bool>(),
        tracks in prop::collection::vec((1..9_u8, any::<bool>()), 0..9),
        texts in 0..20_usize,
        (has_ladder, has_hevc, has_av1) in any::<(bool, bool, bool)>(),
    ) {
        let copy = if copied { every_two_seconds() } else { Err("no".into()) };
        let tracks = tracks.into_iter().map(|(channels, copy)| audio(1, channels, copy)).collect();
        let mut source = source(Some(video(width, height, copy)), tracks);
        source.subtitles = vec![source.subtitles[0].clone(); texts];
        let plan = plan(&source, &Options { has_ladder, has_hevc, has_av1, ..OPTIONS }).expect("it has a picture");
        prop_assert!(plan.first.len() <= OUTPUTS_MAX && plan.more.len() <= OUTPUTS_MAX);
        let mut all = names(&plan.first);
        all.extend(names(&plan.more));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        prop_assert_eq!(all.len(), count);
        prop_assert!(plan.first.iter().any(|one| one.name.starts_with('v')));
        let stereo = |one: &&Planned| one.name.starts_with('a') && !one.name.contains('-');
        prop_assert_eq!(plan.more.iter().filter(stereo).count(), source.audio.len().min(AUDIO_TRACKS_MAX));
    }
}

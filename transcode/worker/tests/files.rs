//! Files become renditions that begin where the map says and show what the file shows when it shows it.

mod support;

use std::fs;

use support::files::{FileWorker, LIMITS, Made, Media, OPTIONS, ffprobe, loudness, make, secs};
use support::shown::{played_flashes, source_flashes};
use telstar_transcode::file::{CLOCK, FileNews, FileTask, Images, Output, RenditionKind, Source, Storyboard};
use telstar_transcode::map::SegmentMap;
use telstar_transcode::plan::{COPY_NAME, Plan, Planned, plan};
use telstar_transcode::{Sandbox, file};

/// Pictures and sound for a while.
const PICTURES: &str = "-f lavfi -i testsrc2=s=320x180:r=30:d=9";
const SOUND: &str = "-f lavfi -i sine=f=1000:r=48000:d=9";
/// B-frames and a keyframe every second.
const H264: &str = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 30 -keyint_min 30 -sc_threshold 0 -bf 3";
const AAC: &str = "-c:a aac -ac 2 -b:a 96k";
/// The promise: box-level A/V alignment.
const ERROR_MAX_SECS: f64 = 0.001;
/// As players show it, the picture may be so far from its sound, which rings a little before a tone.
const PLAYED_APART_MAX_SECS: f64 = 0.005;

fn named<'made>(made: &'made [Made], name: &str) -> &'made Made {
    made.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("{name} was not made"))
}

/// Segments begin with a keyframe where the map has a cut, up to this many ticks.
#[track_caller]
fn assert_cut(made: &Made, map: &SegmentMap, room: i64) {
    for (segment, (from, _)) in made.index.segments().iter().zip(map.segments()) {
        assert!((segment.start - from).abs() <= room, "{}: {} for {from}", made.name, segment.start);
        assert_eq!(segment.keys.first().map(|key| key.start), Some(segment.start), "{}", made.name);
        for pair in segment.keys.windows(2) {
            assert!(pair[1].start - pair[0].start <= 2 * 90_000 + 3_000, "{}: {segment:?}", made.name);
        }
    }
}

/// What is in a copy, sample for sample, is in the source by `shift` earlier.
#[track_caller]
fn assert_shifted(media: &Media, made: &Made, source: &Source, kind: &str) {
    let packets = ffprobe(&media.path, kind, "packets");
    let mut before: Vec<f64> = packets.iter().map(|packet| secs(packet, "pts_time")).collect();
    before.sort_by(f64::total_cmp);
    let after = made.times();
    assert_eq!(before.len(), after.len(), "{}", made.name);
    let shift = source.shift as f64 / f64::from(CLOCK.hz());
    // Matroska counts in milliseconds.
    let room = if media.path.extension().is_some_and(|kind| kind == "mkv") { ERROR_MAX_SECS } else { 0.0 };
    for (before, after) in before.iter().zip(&after) {
        let error = after - before - shift;
        assert!(error.abs() < ERROR_MAX_SECS + room, "{}: {before} became {after}, {shift}", made.name);
    }
}

fn check_copied(name: &str, options: &str) {
    let media = Media::new(name, &format!("{PICTURES} {SOUND} {H264} {AAC} {options}"));
    let (source, Plan { map, first, encoded_because, .. }) = media.plan();
    assert_eq!(encoded_because, None, "{source:?}");
    let video = source.video.as_ref().expect("it has pictures");
    assert_eq!((video.width, video.height, video.rotation, video.bits), (320, 180, 0, 8));
    assert!(video.fps_millis.abs_diff(30_000) < 500, "{video:?}");
    assert!((source.duration - 9 * 90_000).abs() < 18_000, "{source:?}");
    let names: Vec<&str> = first.iter().map(|one| &one.name[..]).collect();
    assert_eq!(names, [COPY_NAME, "a1-first"]);
    assert!(matches!(first[1].output, Output::CopyAudio { .. }), "{source:?}");
    let made = make(&media, &source, &map, &first);
    assert_cut(named(&made, COPY_NAME), &map, 9_000);
    assert_shifted(&media, named(&made, COPY_NAME), &source, "v");
    let copy = named(&made, COPY_NAME).media();
    assert_eq!(ffprobe(&copy.path, "v", "frames").len(), 270);
    let sound = named(&made, "a1-first");
    assert_shifted(&media, sound, &source, "a");
    assert_eq!(sound.rendition.codecs, "mp4a.40.2");
    assert!(sound.index.segments()[0].start <= 2 * 1_024, "{:?}", sound.index.segments()[0]);
}

#[test]
fn an_mp4_with_b_frames_is_passed_on_with_its_times() {
    check_copied("a.mp4", "-movflags +faststart");
}

#[test]
fn a_fragmented_mp4_a_matroska_file_and_an_mpeg_transport_stream_are_passed_on_with_their_times() {
    check_copied("a.mp4", "-movflags +frag_keyframe+empty_moov+default_base_moof");
    check_copied("a.mkv", "");
    check_copied("a.ts", "");
}

#[test]
fn what_cannot_be_passed_on_is_encoded_with_keyframes_on_the_map() {
    let hevc = "-c:v libx265 -preset ultrafast -x265-params log-level=none -pix_fmt yuv420p10";
    for (name, codecs) in [("a.mkv", hevc), ("a.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8")] {
        let sound = if name == "a.webm" { "-c:a libopus" } else { "-c:a ac3" };
        let media = Media::new(name, &format!("{PICTURES} {SOUND} {codecs} {sound}"));
        let (source, Plan { map, first, more, encoded_because, .. }) = media.plan();
        assert!(encoded_because.is_some());
        let made = make(&media, &source, &map, &first);
        let pictures = named(&made, "v180");
        assert_cut(pictures, &map, 9_000);
        assert!(pictures.rendition.codecs.starts_with("avc1.64"), "{:?}", pictures.rendition);
        let frames = ffprobe(&pictures.media().path, "v", "frames");
        assert!((268..=270).contains(&frames.len()), "{}", frames.len());
        let sound = named(&made, "a1-first");
        let ends = sound.times().last().expect("not empty") + 1_024.0 / 48_000.0;
        assert!((ends - map.end() as f64 / 90_000.0).abs() < 0.03, "whole: {ends}");
        assert!(more.iter().all(|one| !matches!(one.output, Output::Video { .. })), "no smaller rung: {more:?}");
    }
}

#[test]
fn every_rung_is_cut_where_the_copy_is_and_none_is_scaled_up() {
    let pictures = "-f lavfi -i testsrc2=s=640x360:r=60:d=9";
    let media = Media::new("a.mp4", &format!("{pictures} {H264}"));
    let (source, Plan { map, first, mut more, .. }) = media.plan();
    more.retain(|one| matches!(one.output, Output::Video { .. }));
    assert_eq!(more.iter().map(|one| &one.name[..]).collect::<Vec<_>>(), ["v240"]);
    let copied = make(&media, &source, &map, &first);
    let made = make(&media, &source, &map, &more);
    let starts = |made: &Made| made.index.segments().iter().map(|segment| segment.start).collect::<Vec<i64>>();
    assert_eq!(starts(&made[0]), starts(named(&copied, COPY_NAME)));
    assert_cut(&made[0], &map, 3_000);
    let frames = ffprobe(&made[0].media().path, "v", "frames").len();
    assert!((265..=280).contains(&frames), "half of sixty a second: {frames}");
    let RenditionKind::Video { width, height, .. } = made[0].rendition.kind else { panic!("pictures") };
    assert_eq!((width, height), (426, 240));
}

#[test]
fn players_by_ffmpeg_show_each_picture_with_its_sound_and_renditions_at_one_time() {
    let lit = "-vf drawbox=c=white:t=fill:enable='gte(t,4)' -af volume=0:enable='lt(t,4)'";
    // An encoder that always has pictures wait for others, at ordinary rates and at one where two of them are seconds.
    let reordered =
        "-c:v libx264 -preset medium -pix_fmt yuv420p -bf 3 -b_strategy 0 -force_key_frames expr:gte(t,n_forced*4)";
    for (rate, has_hevc) in [("25", true), ("30000/1001", false), ("1", true)] {
        let sources = format!("-f lavfi -i color=black:s=384x288:r={rate}:d=6 -f lavfi -i sine=f=1000:r=48000:d=6");
        let media = Media::new("a.mp4", &format!("{sources} {lit} {reordered} {AAC}"));
        let source = media.probe().expect("it can be played");
        let options = telstar_transcode::plan::Options { has_hevc, ..OPTIONS };
        let Plan { map, first, more, .. } = plan(&source, &options).expect("it can be played");
        let made = make(&media, &source, &map, &[first, more].concat());
        let of_video = |made: &&Made| matches!(made.rendition.kind, RenditionKind::Video { .. });
        let names: Vec<&str> = made.iter().filter(of_video).map(|one| &one.name[..]).collect();
        assert_eq!(names, [COPY_NAME, "v240", "v288-hevc", "v240-hevc"][..if has_hevc { 4 } else { 2 }]);
        let (lit, heard) = source_flashes(&media.path);
        for pictures in made.iter().filter(of_video) {
            let (bright, loud) = played_flashes(pictures, named(&made, "a1-first"));
            let apart = bright - loud - (lit - heard);
            let text = format!("{rate} a second, {}: bright at {bright}, loud at {loud}", pictures.name);
            assert!(apart.abs() < PLAYED_APART_MAX_SECS, "{text}, {apart} more than in the source");
        }
    }
}

#[test]
fn hevc_and_av1_are_made_where_they_are_asked_for() {
    let media = Media::new("a.mp4", &format!("-f lavfi -i testsrc2=s=320x240:r=30:d=3 {H264}"));
    let source = media.probe().expect("it can be played");
    let options = telstar_transcode::plan::Options { has_hevc: true, has_av1: true, ..OPTIONS };
    let Plan { map, more, .. } = plan(&source, &options).expect("it can be played");
    let wanted: Vec<Planned> = more.into_iter().filter(|one| one.name.contains('-')).collect();
    let made = make(&media, &source, &map, &wanted);
    for (name, codecs, entry) in [("v240-hevc", "hvc1", b"hvc1"), ("v240-av1", "av01", b"av01")] {
        let one = named(&made, name);
        assert!(one.rendition.codecs.starts_with(codecs), "{:?}", one.rendition);
        assert!(one.init.windows(4).any(|window| window == entry));
        assert_cut(one, &map, 3_000);
        assert_eq!(ffprobe(&one.media().path, "v", "frames").len(), 90, "{name}");
    }
}

#[test]
fn a_turned_picture_is_turned_back_and_interlaced_ones_become_whole() {
    let upright = Media::new("a.mp4", &format!("{PICTURES} {H264}"));
    let path = upright.path.display();
    let media = Media::new("b.mp4", &format!("-i {path} -c copy -metadata:s:v:0 rotate=90"));
    let (source, Plan { map, first, .. }) = media.plan();
    let video = source.video.as_ref().expect("it has pictures");
    assert_eq!((video.width, video.height), (180, 320), "{video:?}");
    assert!(video.copy.as_ref().is_err_and(|why| why.contains("turned")));
    let made = make(&media, &source, &map, &first);
    assert!(matches!(made[0].rendition.kind, RenditionKind::Video { width: 180, height: 320, .. }));
    let fields = "-vf interlace -c:v mpeg2video -flags +ilme+ildct -b:v 4M";
    let media = Media::new("a.ts", &format!("-f lavfi -i testsrc2=s=320x180:r=50:d=4 {fields}"));
    let (source, Plan { map, first, .. }) = media.plan();
    assert!(source.video.as_ref().is_some_and(|video| video.interlaced), "{source:?}");
    let made = make(&media, &source, &map, &first);
    let frames = ffprobe(&made[0].media().path, "v", "frames");
    assert!((97..=101).contains(&frames.len()), "{}", frames.len());
    assert!(frames.iter().all(|frame| frame["interlaced_frame"] == 0));
}

#[test]
fn sound_alone_one_picture_and_a_hole_in_the_pictures_are_assets_too() {
    let media = Media::new("a.mp3", &format!("{SOUND} -c:a libmp3lame"));
    let (source, Plan { map, first, .. }) = media.plan();
    assert!(source.video.is_none());
    make(&media, &source, &map, &first);
    let media = Media::new("b.mp4", &format!("-f lavfi -i testsrc2=s=320x180:r=30:d=0.03 {H264}"));
    let (source, Plan { map, first, .. }) = media.plan();
    assert_eq!(ffprobe(&make(&media, &source, &map, &first)[0].media().path, "v", "frames").len(), 1);
    // Slides: a picture every five seconds.
    let slides = "-f lavfi -i testsrc2=s=320x180:r=1/5:d=20 -fps_mode passthrough";
    let media = Media::new("c.webm", &format!("{slides} -c:v libvpx-vp9 -cpu-used 8 -deadline realtime"));
    let (source, Plan { map, first, .. }) = media.plan();
    let made = make(&media, &source, &map, &first);
    assert_cut(&made[0], &map, 45_000);
}

#[test]
fn sound_is_brought_to_one_loudness() {
    let media = Media::new("a.mp4", &format!("-f lavfi -i sine=f=1000:r=44100:d=9 -af volume=-12dB {AAC}"));
    let (source, Plan { map, more, .. }) = media.plan();
    let made = make(&media, &source, &map, &more);
    let lufs = loudness(&named(&made, "a1").media().path);
    assert!((lufs - file::LOUDNESS_LUFS).abs() < 1.0, "{lufs}");
}

#[test]
fn surround_sound_is_kept_and_mixed_down() {
    let sound = "-f lavfi -i sine=f=440:r=48000:d=5 -af pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0 -c:a ac3";
    let media = Media::new("a.mkv", sound);
    let (source, Plan { map, first, more, .. }) = media.plan();
    assert_eq!(source.audio[0].channels, 6);
    let made = make(&media, &source, &map, &[first, more].concat());
    let channels = |name: &str| match named(&made, name).rendition.kind {
        RenditionKind::Audio { channels, .. } => channels,
        _ => panic!("{name} is sound"),
    };
    assert_eq!([channels("a1-first"), channels("a1"), channels("a1-surround")], [2, 2, 6]);
    assert_eq!(ffprobe(&named(&made, "a1-surround").media().path, "a", "streams")[0]["channels"], 6);
}

#[test]
fn subtitles_become_a_file_for_each_segment() {
    let srt = "1\n00:00:01,000 --> 00:00:03,000\n<i>one</i> & only\n\n2\n00:00:03,500 --> 00:00:08,500\ntwo\n";
    let text = Media::of_bytes(srt.as_bytes());
    let tracks = "-map 0 -map 1 -c:s srt -metadata:s:s:0 language=kor -disposition:s:0 forced";
    let path = text.path.display();
    let media = Media::new("a.mkv", &format!("{PICTURES} -f srt -i {path} {H264} {tracks}"));
    let (source, Plan { map, first, .. }) = media.plan();
    let subtitles = &source.subtitles[0];
    assert_eq!((&subtitles.language[..], &subtitles.codec[..], subtitles.forced), ("ko", "subrip", true));
    let made = make(&media, &source, &map, &first);
    let text = named(&made, "s1");
    assert_eq!(text.rendition.codecs, "wvtt");
    let files: Vec<&str> =
        (0..map.count()).map(|number| std::str::from_utf8(text.segment(number)).expect("text")).collect();
    assert!(files.iter().all(|file| file.starts_with("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n")));
    assert!(files[0].contains("<i>one</i> &amp; only"), "{files:?}");
    let spans = map.segments().map(|(from, to)| from < 8 * 90_000 && to > 4 * 90_000);
    for (file, spans) in files.iter().zip(spans) {
        assert!(!spans || file.contains("two"), "{files:?}");
    }
}

#[test]
fn a_poster_and_a_storyboard_are_made() {
    let media = Media::new("a.mp4", &format!("{PICTURES} {H264}"));
    let source = media.probe().expect("it can be played");
    let storyboard = Storyboard { every: 90_000, width: 160, height: 90, columns: 3, rows: 2 };
    let task = Images { source, limits: LIMITS, poster_side: 200, storyboard };
    let files = [(); 2].map(|()| tempfile::NamedTempFile::new().expect("a temporary folder"));
    let outputs = files.each_ref().map(|file| file.reopen().expect("it is there"));
    let news = FileWorker::start().run(FileTask::Images(task), &media.file(), &outputs);
    assert_eq!(news.last(), Some(&FileNews::Done));
    let images: Vec<(u8, u16, u16, Vec<i64>)> = news
        .iter()
        .filter_map(|one| match one {
            FileNews::Image { output, offset, len, width, height, times } => {
                let bytes = fs::read(files[usize::from(*output)].path()).expect("it is there");
                let bytes = &bytes[*offset as usize..(offset + len) as usize];
                assert!(bytes.starts_with(&[0xff, 0xd8]) && bytes.ends_with(&[0xff, 0xd9]));
                Some((*output, *width, *height, times.clone()))
            }
            _ => None,
        })
        .collect();
    let secs = |range: std::ops::Range<i64>| range.map(|secs| secs * 90_000).collect::<Vec<i64>>();
    assert_eq!((images[0].0, images[0].1, images[0].2), (0, 200, 112));
    assert_eq!(images[1..], [(1, 480, 180, secs(0..6)), (1, 480, 90, secs(6..9))]);
}

#[test]
fn what_is_no_media_is_refused_in_words() {
    let refused = |bytes: &[u8]| Media::of_bytes(bytes).probe().expect_err("it is refused");
    assert!(refused(b"").contains("empty"));
    assert!(refused(b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n").contains("neither"));
    assert!(refused(b"ffconcat version 1.0\nfile '/etc/passwd'\n").contains("neither"));
    assert!(refused(b"{\"json\": true}").contains("neither"));
    // A box that says it is an MP4, and a playlist behind it.
    let disguised = [&b"\0\0\0\x14ftypisom\0\0\0\0isom#EXTM3U\nfile:///etc/passwd\n"[..], &[b' '; 4_096]].concat();
    assert!(refused(&disguised).contains("cannot be read"));
    let encryption = "-encryption_scheme cenc-aes-ctr -encryption_key 00112233445566778899aabbccddeeff \
                      -encryption_kid 00112233445566778899aabbccddeeff";
    let media = Media::new("a.mp4", &format!("{PICTURES} {H264} {encryption}"));
    assert!(media.probe().expect_err("it is refused").contains("encrypted"));
}

#[test]
fn a_file_that_ends_too_early_is_what_is_there_of_it() {
    let media = Media::new("a.mp4", &format!("{PICTURES} {SOUND} {H264} {AAC} -movflags +faststart"));
    let bytes = media.bytes();
    let cut = Media::of_bytes(&bytes[..bytes.len() / 2]);
    let (source, Plan { map, first, .. }) = cut.plan();
    assert!((3 * 90_000..7 * 90_000).contains(&source.duration), "{source:?}");
    make(&cut, &source, &map, &first);
    let headless = Media::of_bytes(&bytes[bytes.len() / 2..]);
    assert!(headless.probe().is_err());
}

#[test]
fn limits_are_kept() {
    let media = Media::new("a.mp4", &format!("{PICTURES} {H264}"));
    let refused = |limits: file::Limits| {
        let news = FileWorker::start().run(FileTask::Probe(limits), &media.file(), &[]);
        match news.last() {
            Some(FileNews::Failed { is_permanent: true, text }) => text.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(file::Limits { pixels_max: 320 * 100, ..LIMITS }).contains("320x180"));
    assert!(refused(file::Limits { side_max: 300, ..LIMITS }).contains("no side"));
    assert!(refused(file::Limits { fps_max: 20, ..LIMITS }).contains("30 pictures a second"));
    assert!(refused(file::Limits { duration_secs_max: 5, ..LIMITS }).contains("lasts"));
    assert!(refused(file::Limits { streams_max: 0, ..LIMITS }).contains("1 streams or more"));
    let (source, Plan { map, first, .. }) = media.plan();
    let limits = file::Limits { output_bytes_max: 10_000, ..LIMITS };
    let outputs = first.iter().map(|one| one.output.clone()).collect();
    let task = file::Make { source, map, outputs, limits, preset: file::EncoderPreset::Veryfast };
    let files = [tempfile::tempfile().expect("a temporary folder")];
    let news = FileWorker::start().run(FileTask::Make(task), &media.file(), &files);
    let Some(FileNews::Failed { is_permanent: true, text }) = news.last() else { panic!("{news:?}") };
    assert!(text.contains("larger than is allowed"));
}

#[test]
fn a_worker_for_files_is_confined_and_takes_as_many_files_as_its_task_has() {
    let mut worker = FileWorker::start();
    assert_eq!(worker.ready.sandbox, Sandbox::WHOLE, "this machine's kernel has everything");
    let limits = fs::read_to_string(format!("/proc/{}/limits", worker.child.id())).expect("it runs");
    let line = |name: &str| limits.lines().find(|line| line.starts_with(name)).expect("it is there").to_owned();
    assert!(line("Max file size").contains("1073741824"));
    assert!(line("Max open files").split_whitespace().any(|word| word == "33"), "{}", line("Max open files"));
    let media = Media::of_bytes(b"x");
    let surplus = [tempfile::tempfile().expect("a temporary folder")];
    let news = worker.run(FileTask::Probe(LIMITS), &media.file(), &surplus);
    let Some(FileNews::Failed { is_permanent: false, text }) = news.last() else { panic!("{news:?}") };
    assert!(text.contains("2 files"), "{text}");
}

//! Sources of every kind that people upload: what comes out shows and sounds like what went in, at the same time, the right way up.

mod support;

use support::files::{Made, Media, OPTIONS, ffprobe, make, secs};
use support::shown::{apart, brightness, flashes, pictures, played_flashes, source_flashes};
use telstar_transcode::file::{Output, RenditionKind, Source};
use telstar_transcode::plan::{COPY_NAME, Plan, plan};

/// Pictures that differ from each other and from corner to corner.
const PICTURES: &str = "-f lavfi -i testsrc2=s=320x180:r=25:d=4";
const H264: &str = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 50 -bf 2";
/// Colours are a little other after two encodings, and edges softer.
const APART_MAX: f64 = 9.0;

#[track_caller]
fn named<'made>(made: &'made [Made], name: &str) -> &'made Made {
    made.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("{name} was not made"))
}

/// Everything that makes it playable.
fn first(media: &Media) -> (Source, Plan, Vec<Made>) {
    let (source, plan) = media.plan();
    let made = make(media, &source, &plan.map, &plan.first);
    (source, plan, made)
}

fn size(made: &Made) -> (u32, u32) {
    match made.rendition.kind {
        RenditionKind::Video { width, height, .. } => (width, height),
        other => panic!("{other:?} is no picture"),
    }
}

/// The pictures of `made` are those of `media` behind `filters`, one for one.
#[track_caller]
fn assert_shows(made: &Made, media: &Media, filters: &str) {
    let (expect, got) = (pictures(&media.path, filters), pictures(&made.media().path, ""));
    assert_eq!(got.len(), expect.len(), "{}", made.name);
    for (number, (expect, got)) in expect.iter().zip(&got).enumerate() {
        let apart = apart(expect, got);
        assert!(apart < APART_MAX, "{}: picture {number} is {apart} apart", made.name);
    }
}

/// White and a tone from the second second on.
fn flash(name: &str, codecs: &str) -> Media {
    let lit = "-vf drawbox=c=white:t=fill:enable='gte(t,2)' -af volume=0:enable='lt(t,2)'";
    let sources = "-f lavfi -i color=black:s=320x180:r=25:d=4 -f lavfi -i sine=f=1000:r=48000:d=4";
    Media::new(name, &format!("{sources} {lit} {codecs}"))
}

/// What is bright and what is loud is so when it is in the source, and both by the same shift.
#[track_caller]
fn assert_together(media: &Media, source: &Source, pictures: &Made, sound: &Made) {
    let shift = source.shift as f64 / 90_000.0;
    let ((bright, loud), (lit, heard)) = (flashes(pictures, sound), source_flashes(&media.path));
    // Containers count in milliseconds, and codecs ring a little before a tone.
    assert!(
        (bright - lit - shift).abs() < 0.001,
        "{}: bright at {bright}, in the source at {lit}",
        media.path.display()
    );
    assert!((loud - heard - shift).abs() < 0.004, "{}: loud at {loud}, in the source at {heard}", media.path.display());
    // Players that go by FFmpeg's demuxer are told the same times.
    let (played, sounded) = played_flashes(pictures, sound);
    assert!((played - bright).abs() < 0.001 && (sounded - loud).abs() < 0.001, "{played} {bright}, {sounded} {loud}");
}

#[test]
fn picture_and_sound_are_together_in_every_container_and_codec() {
    let hevc = "-c:v libx265 -preset ultrafast -x265-params log-level=none";
    for (name, codecs, is_copied) in [
        ("a.mp4", format!("{H264} -c:a aac"), true),
        ("fragmented.mp4", format!("{H264} -c:a aac -movflags +frag_keyframe+empty_moov"), true),
        ("a.mov", format!("{H264} -c:a pcm_s16le"), true),
        ("a.mkv", format!("{H264} -c:a flac"), true),
        ("a.flv", "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 50 -c:a aac -ar 44100".to_owned(), true),
        ("a.ts", format!("{H264} -c:a aac"), true),
        ("hevc.ts", format!("{hevc} -c:a mp2"), false),
        ("hevc.mp4", format!("{hevc} -c:a ac3"), false),
        ("a.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus".to_owned(), false),
        ("av1.mkv", "-c:v libaom-av1 -usage realtime -cpu-used 8 -c:a libvorbis".to_owned(), false),
        ("mpeg2.ts", "-c:v mpeg2video -b:v 2M -bf 2 -c:a mp2".to_owned(), false),
        ("a.avi", "-c:v mpeg4 -vtag XVID -c:a libmp3lame".to_owned(), false),
        ("sorenson.flv", "-c:v flv1 -c:a libmp3lame -ar 44100".to_owned(), false),
        ("prores.mov", "-c:v prores_ks -profile:v 1 -c:a pcm_s24le".to_owned(), false),
        ("a.wmv", "-c:v wmv2 -c:a wmav2".to_owned(), false),
        ("a.mpg", "-c:v mpeg1video -c:a mp2".to_owned(), false),
    ] {
        let media = flash(name, &codecs);
        let (source, plan, made) = first(&media);
        let pictures = named(&made, if is_copied { COPY_NAME } else { "v180" });
        assert_eq!(plan.encoded_because.is_none(), is_copied, "{name}: {:?}", plan.encoded_because);
        assert_eq!(size(pictures), (320, 180), "{name}");
        assert_together(&media, &source, pictures, named(&made, "a1-first"));
        let lasts = source.duration as f64 / 90_000.0;
        assert!((3.95..4.2).contains(&lasts), "{name}: {lasts}");
    }
}

#[test]
fn brightness_beyond_ordinary_displays_is_mapped_for_them() {
    // The same as the worker's, by the command: what light it is, in linear values, no brighter than white.
    let reference = "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,\
                     zscale=t=bt709:m=bt709:r=tv,format=yuv420p,";
    for (name, transfer) in [("HDR10", "smpte2084"), ("HLG", "arib-std-b67")] {
        // From ordinary values to those of this kind, so that the picture is what it was.
        let to = format!(
            "zscale=tin=bt709:min=bt709:pin=bt709:rin=tv:t={transfer}:m=bt2020nc:p=bt2020:r=tv:npl=400,format=yuv420p10le"
        );
        let colour = format!("-color_primaries bt2020 -color_trc {transfer} -colorspace bt2020nc");
        let codec = format!(
            "-c:v libx265 -preset ultrafast -tag:v hvc1 {colour} -x265-params log-level=none:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
        );
        let media = Media::new("a.mp4", &format!("-f lavfi -i testsrc2=s=320x180:r=25:d=1 -vf {to} {codec}"));
        let (source, _, made) = first(&media);
        let video = source.video.as_ref().expect("it has pictures");
        assert!(video.hdr && video.bits == 10, "{name}: {video:?}");
        let mapped = named(&made, "v180");
        assert_shows(mapped, &media, reference);
        // And not as it would look without.
        let (got, plain) = (pictures(&mapped.media().path, ""), pictures(&media.path, "setparams=color_trc=bt709,"));
        let moved = apart(&got[0], &plain[0]);
        assert!(moved > APART_MAX, "{name}: {moved}, {} and {}", brightness(&got[0]), brightness(&plain[0]));
        let told = ffprobe(&mapped.media().path, "v", "streams");
        assert_eq!((&told[0]["color_transfer"], &told[0]["pix_fmt"]), (&"bt709".into(), &"yuv420p".into()), "{name}");
    }
}

#[test]
fn ten_bits_and_full_colour_become_what_every_player_shows() {
    for (name, format) in [("10 bits", "yuv420p10le"), ("4:4:4", "yuv444p"), ("4:2:2, 10 bits", "yuv422p10le")] {
        let codec = format!("-c:v libx264 -preset veryfast -pix_fmt {format}");
        let media = Media::new("a.mkv", &format!("-f lavfi -i testsrc2=s=320x180:r=25:d=1 {codec}"));
        let (source, plan, made) = first(&media);
        assert!(plan.encoded_because.is_some_and(|why| why.contains("bits")), "{name}");
        assert_eq!(source.video.map(|video| video.fps_millis), Some(25_000), "{name}");
        assert_shows(named(&made, "v180"), &media, "");
    }
}

#[test]
fn half_pictures_become_whole_ones() {
    // Every line of a field is where it was; what moves has no comb.
    let fields = "-vf interlace=lowpass=off -c:v libx264 -preset veryfast -flags +ilme+ildct -x264-params tff=1 -pix_fmt yuv420p";
    let media = Media::new("a.mp4", &format!("-f lavfi -i testsrc2=s=320x180:r=50:d=2 {fields}"));
    let (source, plan, made) = first(&media);
    assert!(source.video.as_ref().is_some_and(|video| video.interlaced && video.fps_millis == 25_000), "{source:?}");
    assert!(plan.encoded_because.is_some_and(|why| why.contains("interlaced")));
    let whole = named(&made, "v180");
    assert_shows(whole, &media, "bwdif=mode=send_frame,");
    assert!(ffprobe(&whole.media().path, "v", "frames").iter().all(|frame| frame["interlaced_frame"] == 0));
}

#[test]
fn pictures_are_turned_and_mirrored_as_their_matrix_says() {
    let upright = Media::new("a.mp4", &format!("-f lavfi -i testsrc2=s=320x180:r=25:d=1 {H264}"));
    // The matrix of the track: behind the header of its box, 40 bytes of version 0, nine numbers.
    let bytes = upright.bytes();
    let at = bytes.windows(4).position(|window| window == b"tkhd").expect("it has one") + 4 + 40;
    let (one, deep) = (0x1_0000, 0x4000_0000);
    for (matrix, filters, turned) in [
        ([0, one, 0, -one, 0, 0, 0, 0, deep], "transpose=clock,", true),
        ([-one, 0, 0, 0, -one, 0, 0, 0, deep], "hflip,vflip,", false),
        ([0, -one, 0, one, 0, 0, 0, 0, deep], "transpose=cclock,", true),
        ([-one, 0, 0, 0, one, 0, 0, 0, deep], "hflip,", false),
        ([one, 0, 0, 0, -one, 0, 0, 0, deep], "vflip,", false),
        ([0, one, 0, one, 0, 0, 0, 0, deep], "transpose=cclock_flip,", true),
        ([0, -one, 0, -one, 0, 0, 0, 0, deep], "transpose=clock_flip,", true),
    ] {
        let mut bytes = bytes.clone();
        let numbers: Vec<u8> = matrix.iter().flat_map(|number: &i32| number.to_be_bytes()).collect();
        bytes[at..at + 36].copy_from_slice(&numbers);
        let (_, plan, made) = first(&Media::of_bytes(&bytes));
        assert!(plan.encoded_because.is_some_and(|why| why.contains("turned")), "{filters}");
        assert_eq!(size(&made[0]), if turned { (180, 320) } else { (320, 180) }, "{filters}");
        assert_shows(&made[0], &upright, filters);
    }
}

#[test]
fn odd_sizes_and_pixels_that_are_not_square_keep_their_shape() {
    for (size_of_source, more, expect) in [
        ("321x241", "-pix_fmt yuv444p", (320, 240)),
        ("255x181", "-pix_fmt yuv444p", (254, 180)),
        ("360x288", "-vf setsar=16/15 -pix_fmt yuv420p", (384, 288)),
        ("64x36", "-pix_fmt yuv420p", (64, 36)),
        ("320x240", "-vf setsar=4/3 -pix_fmt yuv420p -c:v mpeg2video", (426, 240)),
        ("2x2", "-pix_fmt yuv444p", (2, 2)),
        ("1080x1920", "-pix_fmt yuv420p", (1_080, 1_920)),
    ] {
        let source = format!("-f lavfi -i testsrc2=s={size_of_source}:r=10:d=0.5 {more}");
        let codec = if more.contains("-c:v") { "" } else { "-c:v ffv1" };
        let media = Media::new("a.mkv", &format!("{source} {codec}"));
        let (source, _, made) = first(&media);
        let video = source.video.as_ref().expect("it has pictures");
        // Beyond 720 the first is smaller, in the same shape.
        let (width, height) = size(&made[0]);
        let is_shape = (f64::from(width) / f64::from(height) - f64::from(expect.0) / f64::from(expect.1)).abs() < 0.02;
        assert!(is_shape && width <= expect.0 && height <= expect.1, "{size_of_source}: {width}x{height}, {video:?}");
        assert!(width.min(height) == expect.0.min(expect.1).min(720), "{size_of_source}: {width}x{height}");
        assert_eq!(ffprobe(&made[0].media().path, "v", "streams")[0]["sample_aspect_ratio"], "1:1", "{size_of_source}");
        assert_shows(&made[0], &media, "");
    }
}

#[test]
fn a_shape_that_only_the_container_tells_is_kept() {
    for (name, codec) in [("a.mov", "prores_ks"), ("a.mp4", "mpeg4"), ("a.mkv", "mjpeg"), ("a.webm", "libvpx")] {
        let pictures = "-f lavfi -i testsrc2=s=320x240:r=10:d=0.5 -vf setsar=4/3 -deadline realtime";
        let media = Media::new(name, &format!("{pictures} -c:v {codec}"));
        let (_, _, made) = first(&media);
        assert_eq!(size(&made[0]), (426, 240), "{name}");
    }
}

#[test]
fn pictures_at_uneven_times_stay_at_their_times() {
    // Of sixty a second those that a number picks: 60, 30 and 12 a second, one after the other.
    let picked = "-vf select='lt(t,1)+between(t,1,2)*not(mod(n,2))+gte(t,2)*not(mod(n,5))' -fps_mode passthrough";
    for codec in [H264, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8"] {
        let media = Media::new("a.mkv", &format!("-f lavfi -i testsrc2=s=960x540:r=60:d=3 {picked} {codec}"));
        let (source, _, made) = first(&media);
        let fps_millis = source.video.as_ref().map_or(0, |video| video.fps_millis);
        assert!((58_000..=61_000).contains(&fps_millis), "the highest that lasts: {fps_millis}");
        let mut before: Vec<f64> =
            ffprobe(&media.path, "v", "packets").iter().map(|one| secs(one, "pts_time")).collect();
        before.sort_by(f64::total_cmp);
        let after = made[0].times();
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            let error = after - before - source.shift as f64 / 90_000.0;
            assert!(error.abs() < 0.001, "{before} became {after}");
        }
    }
}

#[test]
fn sixty_a_second_are_kept_where_they_can_be_seen() {
    let codec = "-c:v libx265 -preset ultrafast -x265-params log-level=none";
    let media = Media::new("a.mp4", &format!("-f lavfi -i testsrc2=s=1280x720:r=60:d=1 {codec}"));
    let (source, Plan { map, first, more, .. }) = media.plan();
    let made = make(&media, &source, &map, &[first, more].concat());
    let count = |name: &str| named(&made, name).times().len();
    assert_eq!([count("v720"), count("v480"), count("v240")], [60, 30, 30]);
}

#[test]
fn every_language_is_kept_in_stereo_and_in_surround() {
    let sounds = "-f lavfi -i sine=f=440:d=3 -f lavfi -i sine=f=880:d=3 -f lavfi -i sine=f=220:d=3";
    let tracks = "-map 0 -map 1 -map 2 -map 3 -c:a:0 aac -ac:a:0 2 -c:a:1 aac -ac:a:1 6 -c:a:2 ac3 -ac:a:2 6 \
                  -metadata:s:a:0 language=kor -metadata:s:a:1 language=eng -metadata:s:a:1 title=Director -metadata:s:a:2 language=ger";
    let media = Media::new("a.mkv", &format!("-f lavfi -i testsrc2=s=320x180:r=25:d=3 {sounds} {H264} {tracks}"));
    let (source, Plan { map, first, more, .. }) = media.plan();
    let told: Vec<(&str, &str, u8)> =
        source.audio.iter().map(|audio| (&audio.language[..], &audio.title[..], audio.channels)).collect();
    assert_eq!(told, [("ko", "", 2), ("en", "Director", 6), ("de", "", 6)]);
    let all = [first, more].concat();
    let made = make(&media, &source, &map, &all);
    for (name, channels) in [("a1", 2), ("a1-first", 2), ("a2", 2), ("a2-surround", 6), ("a3", 2), ("a3-surround", 6)] {
        let sound = named(&made, name);
        assert!(
            matches!(sound.rendition.kind, RenditionKind::Audio { channels: has, .. } if has == channels),
            "{name}"
        );
        let ends = sound.times().last().expect("not empty") + 1_024.0 / 48_000.0;
        assert!((ends - map.end() as f64 / 90_000.0).abs() < 0.05, "{name} ends at {ends}");
    }
    let is_copied =
        |name: &str| all.iter().any(|one| one.name == name && matches!(one.output, Output::CopyAudio { .. }));
    assert!(is_copied("a2-surround") && !is_copied("a3-surround"), "5.1 of AAC is passed on, of others encoded");
}

#[test]
fn subtitles_of_every_format_become_web_vtt() {
    let srt = "1\n00:00:00,500 --> 00:00:01,500\nHello, 세계\n\n2\n00:00:02,000 --> 00:00:03,000\n<i>again</i>\n";
    let text = Media::of_bytes(srt.as_bytes());
    let path = text.path.display();
    for (name, codec) in
        [("a.mkv", "srt"), ("a.mkv", "ass"), ("a.mkv", "webvtt"), ("a.webm", "webvtt"), ("a.mp4", "mov_text")]
    {
        let codecs = if name == "a.webm" { "-c:v libvpx -deadline realtime" } else { H264 };
        let tracks = format!("-map 0 -map 1 {codecs} -c:s {codec} -metadata:s:s:0 language=kor");
        let media = Media::new(name, &format!("{PICTURES} -f srt -i {path} {tracks}"));
        let (source, plan, made) = first(&media);
        assert_eq!(source.subtitles[0].language, "ko", "{codec}");
        let whole: String = (0..plan.map.count())
            .map(|number| std::str::from_utf8(named(&made, "s1").segment(number)).expect("text").to_owned())
            .collect();
        // Cues move with the pictures.
        let shift = source.shift / 90;
        let cue = |from: i64, to: i64| {
            format!("00:00:{:02}.{:03} --> 00:00:{:02}.{:03}", from / 1_000, from % 1_000, to / 1_000, to % 1_000)
        };
        assert!(whole.contains(&format!("{}\nHello, 세계\n", cue(500 + shift, 1_500 + shift))), "{codec}: {whole}");
        assert!(whole.contains(&cue(2_000 + shift, 3_000 + shift)) && whole.contains("again"), "{codec}: {whole}");
    }
}

#[test]
fn what_an_edit_list_cuts_off_is_not_shown_and_nothing_moves() {
    let whole = flash("a.mp4", &format!("{H264} -c:a aac"));
    let path = whole.path.display();
    // Cut before a keyframe, without encoding: the file keeps the pictures before, and says that they are not shown.
    for (name, cut) in [("from 1.2 s", "-ss 1.2"), ("from a keyframe", "-ss 2"), ("to 3.1 s", "-to 3.1")] {
        let media = Media::new("b.mp4", &format!("{cut} -i {path} -c copy"));
        let (source, plan, made) = first(&media);
        let expect = ffprobe(&media.path, "v", "frames").len();
        let pictures = &made[0];
        // A picture that others need stays, though the edit ends before it.
        let count = pictures.times().len();
        assert!((expect..=expect + 3).contains(&count), "{name}: {count} for {expect}, {:?}", plan.encoded_because);
        // The rest is bright from its beginning on.
        if name != "from a keyframe" {
            assert_together(&media, &source, pictures, named(&made, "a1-first"));
        }
    }
    // Sound that begins later, and pictures that do.
    for (picture, sound) in [("0", "0.3"), ("0.3", "0")] {
        let lit = "-vf drawbox=c=white:t=fill:enable='gte(t,1)' -af volume=0:enable='lt(t,1)'";
        let pictures = format!("-itsoffset {picture} -f lavfi -i color=black:s=320x180:r=25:d=3");
        let sounds = format!("-itsoffset {sound} -f lavfi -i sine=f=1000:r=48000:d=3");
        for (name, codec) in
            [("a.mp4", H264), ("a.mkv", H264), ("a.mkv", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8")]
        {
            let media = Media::new(name, &format!("{pictures} {sounds} {lit} {codec} -c:a aac"));
            let (source, _, made) = first(&media);
            assert_together(&media, &source, &made[0], named(&made, "a1-first"));
        }
    }
}

#[test]
fn what_cannot_be_cut_is_encoded_and_says_why() {
    let x264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -sc_threshold 0";
    for (options, secs, why) in [
        ("-g 25 -bf 3 -x264-params open-gop=1", 6, "stands alone"),
        ("-g 1000", 12, "more than 10 s apart"),
        ("-g 25 -x264-params bframes=0:intra-refresh=1", 4, "stands alone"),
    ] {
        let media = Media::new("a.mp4", &format!("-f lavfi -i testsrc2=s=320x180:r=25:d={secs} {x264} {options}"));
        let (source, plan, made) = first(&media);
        let because = plan.encoded_because.clone().unwrap_or_default();
        let is_named = because.contains(why) || because.contains("more than 10 s apart");
        // A stream that has one real keyframe and open ones behind it, within ten seconds, can be passed on as one segment.
        assert!(is_named || secs < 10 && plan.map.count() == 1, "{options}: {because:?} {source:?}");
        assert_shows(&made[0], &media, "");
    }
}

#[test]
fn pictures_alone_and_sound_alone_are_whole() {
    let media = Media::new("a.mp4", &format!("{PICTURES} {H264}"));
    let (source, plan, made) = first(&media);
    assert!(source.audio.is_empty() && made.len() == 1 && source.shift == 0, "{source:?}");
    assert_shows(&made[0], &media, "");
    assert!(plan.has_images);
    for (name, codec) in [
        ("a.m4a", "aac"),
        ("a.mp3", "libmp3lame"),
        ("a.ogg", "libvorbis"),
        ("a.opus", "libopus"),
        ("a.flac", "flac"),
        ("a.wav", "pcm_s16le"),
        ("a.aac", "aac"),
        ("a.aiff", "pcm_s16be"),
    ] {
        let media = Media::new(name, &format!("-f lavfi -i sine=f=1000:r=48000:d=3 -c:a {codec}"));
        let (source, plan, made) = first(&media);
        assert!(source.video.is_none() && !plan.has_images, "{name}: {source:?}");
        let lasts = source.duration as f64 / 90_000.0;
        assert!((2.95..3.15).contains(&lasts), "{name}: {lasts}");
        assert_eq!(made[0].rendition.codecs, "mp4a.40.2", "{name}");
    }
    assert!(OPTIONS.has_ladder && plan_of_nothing().is_err());
}

/// There has to be something.
fn plan_of_nothing() -> Result<Plan, impl std::fmt::Debug> {
    let (container, left_out) = ("MP4".to_owned(), Vec::new());
    let nothing =
        Source { container, duration: 1, shift: 0, video: None, audio: Vec::new(), subtitles: Vec::new(), left_out };
    plan(&nothing, &OPTIONS)
}

//! Playlists, read by another library.

use super::*;

const QUERY: &str = "?v=x";

fn video(name: &str, codecs: &str, height: u32, len: u64, count: usize) -> VodRendition {
    let pictures = vec![
        VodPicture { offset: 0, len: len / 4, at_secs: 0.0 },
        VodPicture { offset: len / 2, len: len / 8, at_secs: 2.0 },
    ];
    let mut segments = vec![VodSegment { secs: 4.0, len, pictures }; count];
    segments.push(VodSegment {
        secs: 1.5,
        len: len / 2,
        pictures: vec![VodPicture { offset: 0, len: 10, at_secs: 0.0 }],
    });
    let kind = VodKind::Video { width: height * 16 / 9, height, fps: 29.97, range: None };
    VodRendition { name: name.into(), query: QUERY.into(), codecs: codecs.into(), kind, segments, is_whole: true }
}

fn sound(name: &str, channels: u8, language: &str, is_default: bool) -> VodRendition {
    let label = Label { name: format!("Sound \"{language}\"\n"), language: language.into(), is_default };
    let segments = vec![VodSegment { secs: 4.0, len: 64_000, pictures: Vec::new() }; 3];
    VodRendition {
        name: name.into(),
        query: QUERY.into(),
        codecs: "mp4a.40.2".into(),
        kind: VodKind::Audio { channels, label },
        segments,
        is_whole: true,
    }
}

fn text(name: &str) -> VodRendition {
    let label = Label { name: "Deutsch".into(), language: "de".into(), is_default: false };
    let segments = vec![VodSegment { secs: 4.0, len: 100, pictures: Vec::new() }; 3];
    let kind = VodKind::Subtitles { label, forced: false, hearing_impaired: true };
    VodRendition { name: name.into(), query: QUERY.into(), codecs: String::new(), kind, segments, is_whole: false }
}

fn lines(text: &str, begin: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with(begin)).map(str::to_owned).collect()
}

#[test]
fn every_rung_has_every_group_and_what_most_can_play_stands_first() {
    let rungs = [
        video("v1080", "avc1.640028", 1_080, 3_000_000, 2),
        video("v720", "avc1.64001f", 720, 1_000_000, 2),
        video("v720-hevc", "hvc1.1.6.L93.90", 720, 900_000, 2),
    ];
    let all: Vec<VodRendition> = rungs
        .into_iter()
        .chain([
            sound("a1", 2, "en", true),
            sound("a2", 2, "ko", false),
            sound("a1-surround", 6, "en", true),
            text("s1"),
        ])
        .collect();
    let playlist = multivariant(&all);
    let uris: Vec<&str> = playlist.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        uris,
        ["v720", "v720", "v1080", "v1080", "v720-hevc", "v720-hevc"].map(|name| format!("{name}/index.m3u8?v=x"))
    );
    let first = &lines(&playlist, "#EXT-X-STREAM-INF")[0];
    // 2.5 MB in 9.5 s, of which no whole segment has more, and 128,000 bits of sound a second.
    assert!(first.contains(":BANDWIDTH=2233264,AVERAGE-BANDWIDTH=2233264,"), "{first}");
    for expect in [
        "CODECS=\"avc1.64001f,mp4a.40.2\"",
        "RESOLUTION=1280x720",
        "FRAME-RATE=29.97",
        "AUDIO=\"audio\"",
        "SUBTITLES=\"subtitles\"",
        "CLOSED-CAPTIONS=NONE",
    ] {
        assert!(first.contains(expect), "{expect} in {first}");
    }
    let media = lines(&playlist, "#EXT-X-MEDIA");
    assert_eq!(media.len(), 5);
    assert!(
        media[0].contains("NAME=\"Sound 'en'\"")
            && media[0].contains("DEFAULT=YES")
            && media[0].contains("CHANNELS=\"2\"")
    );
    let of = |group: &str| -> Vec<(String, String)> {
        let value = |line: &str, name: &str| line.split(name).nth(1)?.split('"').nth(1).map(str::to_owned);
        let members = media.iter().filter(|line| line.contains(&format!("GROUP-ID=\"{group}\"")));
        members.filter_map(|line| Some((value(line, "NAME=")?, value(line, "URI=")?))).collect()
    };
    let member = |name: &str, folder: &str| (format!("Sound '{name}'"), format!("{folder}/index.m3u8?v=x"));
    assert_eq!(of("audio"), [member("en", "a1"), member("ko", "a2")]);
    assert_eq!(of("surround"), [member("en", "a1-surround"), member("ko", "a2")], "the same tracks in each group");
    assert!(
        media[4].contains("TYPE=SUBTITLES")
            && media[4].contains("LANGUAGE=\"de\"")
            && media[4].contains("describes-music")
    );
    let pictures = lines(&playlist, "#EXT-X-I-FRAME-STREAM-INF");
    assert!(pictures.len() == 3 && pictures.iter().all(|line| line.contains("/iframes.m3u8?v=x\"")), "{pictures:?}");
    quick_m3u8::Reader::from_str(&playlist, quick_m3u8::config::ParsingOptions::default());
}

#[test]
fn sound_alone_is_a_variant_and_what_has_nothing_yet_is_not_listed() {
    let mut empty = video("v720", "avc1.64001f", 720, 100, 0);
    empty.segments.clear();
    let playlist = multivariant(&[empty, sound("a1", 2, "und", true), sound("a2", 2, "ko", false)]);
    assert!(
        playlist.ends_with("CODECS=\"mp4a.40.2\"\na1/index.m3u8?v=x\n") && lines(&playlist, "#EXT-X-MEDIA").is_empty(),
        "{playlist}"
    );
}

#[test]
fn a_playlist_grows_until_it_is_whole() {
    let mut one = video("v720", "avc1.64001f", 720, 1_000_000, 2);
    one.is_whole = false;
    let playlist = media(&one, 4, None);
    assert!(playlist.contains("#EXT-X-PLAYLIST-TYPE:EVENT\n") && !playlist.contains("ENDLIST"));
    assert!(playlist.contains("#EXT-X-MAP:URI=\"init.mp4?v=x\"\n") && playlist.contains("#EXTINF:1.5,\n2.m4s?v=x\n"));
    one.is_whole = true;
    let whole = media(&one, 4, Some(&Encryption { key_uri: "../key".into() }));
    assert!(whole.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && whole.ends_with("#EXT-X-ENDLIST\n"));
    let (map, key) =
        (whole.find("#EXT-X-MAP").expect("a map"), whole.find("#EXT-X-KEY:METHOD=AES-128").expect("a key"));
    assert!(map < key, "the init segment is not encrypted");
    let subtitles = media(&text("s1"), 4, None);
    assert!(subtitles.contains("\n0.vtt?v=x\n") && !subtitles.contains("EXT-X-MAP"));
}

#[test]
fn pictures_that_stand_alone_last_until_the_next() {
    let playlist = i_frames(&video("v720", "avc1.64001f", 720, 1_000, 1), 4);
    let expect = "#EXT-X-I-FRAMES-ONLY\n";
    assert!(playlist.contains(expect), "{playlist}");
    let tail = playlist.split("init.mp4?v=x\"\n").nth(1).expect("a map");
    assert_eq!(
        tail,
        "#EXT-X-BYTERANGE:250@0\n#EXTINF:2,\n0.m4s?v=x\n#EXT-X-BYTERANGE:125@500\n#EXTINF:2,\n0.m4s?v=x\n\
         #EXT-X-BYTERANGE:10@0\n#EXTINF:1.5,\n1.m4s?v=x\n#EXT-X-ENDLIST\n"
    );
}

#[test]
fn a_short_rest_is_no_peak() {
    let mut one = video("v", "avc1.64001f", 720, 1_000_000, 3);
    one.segments[3] = VodSegment { secs: 0.04, len: 100_000, pictures: Vec::new() };
    let (peak, average) = one.bandwidth();
    assert_eq!(peak, 2_000_000.max(average));
    assert_eq!(bandwidth(std::iter::empty()), (1, 1));
}

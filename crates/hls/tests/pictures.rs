//! The I-frame playlist: what it lists, how it is waited for, and that each entry is a keyframe of the stream.

mod support;

use support::checker::Expect;
use support::media::read_parts;
use support::room::{Room, UNIX_SECS};
use support::source::{Rate, Source};
use telstar_hls::request::{self, Answer, Directives, Media};
use telstar_hls::{Content, State};
use telstar_media::MediaKind;
use telstar_units::Epoch;

/// The text of the I-frame playlist.
fn text(room: &Room) -> String {
    let view = room.snapshot.video.as_ref().and_then(|view| view.picture_playlist()).expect("listed");
    String::from_utf8(view.text().to_vec()).expect("text")
}

/// EXTINF and address of each entry, the address of a gap being `None`.
fn entries(text: &str) -> Vec<(f64, Option<String>)> {
    let (mut entries, mut secs, mut gap) = (Vec::new(), 0.0, false);
    for line in text.lines() {
        match line.strip_prefix("#EXTINF:") {
            Some(inf) => secs = inf.trim_end_matches(',').parse().expect("seconds"),
            None if line == "#EXT-X-GAP" => gap = true,
            None if !line.starts_with('#') => {
                entries.push((secs, (!std::mem::take(&mut gap)).then(|| line.to_owned())));
            }
            None => {}
        }
    }
    entries
}

fn first_number(text: &str) -> u64 {
    let number = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    number.and_then(|number| number.parse().ok()).expect("a number")
}

fn fetch(room: &Room, uri: &str) -> Vec<u8> {
    let (epoch, file) = uri.split_once('/').expect("epoch/file");
    let (msn, index) = file.trim_end_matches(".m4s").split_once(".i").expect("a picture");
    let (epoch, msn) = (Epoch(epoch.parse().expect("a number")), msn.parse().expect("a number"));
    match request::picture(&room.snapshot, epoch, msn, index.parse().expect("a number")) {
        Media::Ready(Content::Memory(chunks)) => chunks.concat(),
        other => panic!("{uri} is listed: {other:?}"),
    }
}

fn played(source: &Source) -> Room {
    let expect = Expect { even: false, keyframes_in_time: false, aligned: false };
    let mut room = Room::new(expect, source.kinds());
    room.start(UNIX_SECS, source);
    room.play(&source.frames());
    room
}

#[test]
fn a_keyframe_in_the_middle_of_a_part_is_an_entry_with_its_own_times_and_payload() {
    // Parts of 9 frames: the second keyframe of each segment is the eighth frame of a part.
    let rate = Some(Rate::Constant(25.0));
    let room = played(&Source { rate, gop_frames: 25, b_frames: 2, secs: 19.0, ..Source::default() });
    let entries = entries(&text(&room));
    assert!(entries.len() >= 8 && entries.iter().all(|(secs, _)| (secs - 1.0).abs() < 0.01), "{entries:?}");
    let samples = room.checker.samples(MediaKind::Video);
    for (_, uri) in &entries {
        let [read] = read_parts(&fetch(&room, uri.as_ref().expect("no gap"))).try_into().expect("one chunk");
        let [picture] = read.samples.try_into().expect("one sample");
        let same = samples.iter().find(|sample| sample.payload == picture.payload).expect("a frame of the stream");
        assert!(same.sync && (same.dts, same.pts) == (picture.dts, picture.pts));
    }
}

#[test]
fn keyframes_that_come_faster_are_listed_about_once_a_second() {
    for gop_frames in [1, 5, 10] {
        let room = played(&Source { gop_frames, secs: 19.0, ..Source::default() });
        let entries = entries(&text(&room));
        let secs: f64 = entries.iter().map(|(secs, _)| secs).sum();
        assert!(entries.len() as f64 <= secs * 1.2, "{} entries in {secs} s", entries.len());
        assert!(entries.iter().all(|(secs, uri)| uri.is_some() && *secs <= 2.1), "{entries:?}");
    }
}

#[test]
fn a_segment_without_a_keyframe_is_a_gap_and_the_entries_last_as_long_as_the_media() {
    let room = played(&Source { gop_frames: 600, secs: 70.0, ..Source::default() });
    let entries = entries(&text(&room));
    let playlist = room.checker.playlist(MediaKind::Video);
    let listed: Vec<f64> =
        playlist.finished().filter_map(|segment| segment.whole.as_ref()).map(|(_, secs)| *secs).collect();
    assert_eq!(entries.len(), listed.len());
    assert!(entries.iter().zip(&listed).all(|((secs, _), listed)| (secs - listed).abs() < 1e-5));
    let pictures = entries.iter().filter(|(_, uri)| uri.is_some()).count();
    assert!(pictures > 0 && pictures < entries.len(), "{entries:?}");
}

#[test]
fn numbers_go_on_over_a_reconnect_and_a_request_waits_for_its_number() {
    let source = Source { gop_frames: 30, secs: 15.0, ..Source::default() };
    let mut room = played(&source);
    let ask = |room: &Room, query: &str| {
        let directives = Directives::parse(query).expect("directives");
        request::answer_pictures(&room.snapshot, &directives)
    };
    let next = |room: &Room| first_number(&text(room)) + entries(&text(room)).len() as u64;
    let before = next(&room);
    assert!(before > 2 * UNIX_SECS);
    assert!(matches!(ask(&room, ""), Answer::Ready(_)));
    assert!(matches!(ask(&room, &format!("_HLS_msn={}", before - 1)), Answer::Ready(_)));
    assert!(matches!(ask(&room, &format!("_HLS_msn={before}")), Answer::Wait));
    assert!(matches!(ask(&room, &format!("_HLS_msn={before}&_HLS_part=7")), Answer::Wait), "D9: there are no parts");
    assert!(matches!(ask(&room, &format!("_HLS_msn={}", before + 1)), Answer::Wait));
    assert!(matches!(ask(&room, &format!("_HLS_msn={}", before + 2)), Answer::BadRequest(_)), "D5");

    room.packager.end_epoch(room.now());
    room.drain();
    let between = next(&room);
    room.start(UNIX_SECS + 60, &source);
    // Short enough for what was there before to be listed still.
    room.play(&Source { secs: 6.0, ..source }.frames());
    assert!(between >= before && next(&room) > between);
    let text = text(&room);
    assert!(text.contains("#EXT-X-DISCONTINUITY\n#EXT-X-MAP"), "{text}");
    room.packager.finish(room.now());
    room.drain();
    assert_eq!(room.state, State::Ended);
    assert!(matches!(ask(&room, "_HLS_msn=18446744073709551615"), Answer::Ready(_)), "D4");
    assert!(self::text(&room).ends_with("#EXT-X-ENDLIST\n"));
    let control = |text: &str| text.lines().find(|line| line.starts_with("#EXT-X-SERVER-CONTROL")).map(str::to_owned);
    let video = room.snapshot.video.as_ref().and_then(|view| view.playlist()).expect("listed").text().clone();
    let video = String::from_utf8(video.to_vec()).expect("text");
    assert!(control(&video).is_some() && control(&video) == control(&self::text(&room)), "§6.2.4: the same in all");
}

#[test]
fn sound_alone_has_no_i_frame_playlist() {
    let room = played(&Source { rate: None, secs: 20.0, ..Source::default() });
    assert!(matches!(request::answer_pictures(&room.snapshot, &Directives::default()), Answer::NotFound));
    let multivariant = room.snapshot.multivariant.as_ref().expect("listed");
    assert!(!String::from_utf8_lossy(multivariant.text()).contains("I-FRAME"));
    assert!(room.snapshot.audio.as_ref().is_some_and(|view| view.picture_playlist().is_none()));
}

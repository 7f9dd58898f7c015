//! What is listed of tracks that not every player takes.

use super::*;

/// The first frames of a picture that not every player takes, and of a sound that none does.
fn strange(bench: &mut Bench, video: Codec, audio: Codec) -> Arc<IngestRing> {
    let ring = bench.attach(1, IngestVia::Ring);
    let picture = IngestItem::Track(track(VIDEO, video, 90_000, KeyframeMode::Periodic));
    let sound = IngestItem::Track(track(AUDIO, audio, 48_000, KeyframeMode::None));
    bench.send(&ring, vec![picture, sound]);
    ring
}

#[test]
fn what_stands_beside_a_picture_is_made_while_somebody_asks_for_playlists() {
    for video in [Codec::H265, Codec::Av1, Codec::Vp9] {
        let mut bench = room();
        let ring = strange(&mut bench, video, Codec::Aac);
        // The packager takes any picture that it can describe: what is in it is the worker's matter.
        bench.stream(&ring, 0..75, |index| as_track(AUDIO, aac(index)));
        assert!(bench.wants().is_empty(), "nobody asks");
        bench.room.demand_hls(bench.now);
        bench.turn();
        assert_eq!(bench.wants(), [(VIDEO, Target::H264)]);
        let want = bench.want(Target::H264);
        let (_frames, converted) = bench.convert(&want);
        bench.send(&converted, vec![made(&want)]);
        for index in 75..250 {
            let mut batch = vec![IngestItem::Frame(VIDEO, picture(index, 0))];
            batch.extend(as_track(AUDIO, aac(index)));
            bench.send(&ring, batch);
            bench.send(&converted, as_track(want.as_track, vec![picture(index, 0)]));
            bench.now += Duration::from_millis(40);
        }
        let snapshot = bench.room.output.live.borrow().clone().expect("listed");
        let alternate = snapshot.alternate.as_ref().and_then(|view| view.playlist()).expect("it is listed");
        let playlist = String::from_utf8(alternate.text().to_vec()).expect("text");
        assert!(playlist.contains("#EXTINF:2.0") && !playlist.contains("EXT-X-GAP"), "{playlist}");
        bench.pass(HLS_DEMAND);
        let snapshot = bench.room.output.live.borrow().clone().expect("listed");
        assert!(snapshot.alternate.is_none() && snapshot.video.is_some(), "the source's own is listed on");
        bench.pass(CONVERSION_HOLD);
        assert!(bench.wants().is_empty());
    }
}

#[test]
fn a_sound_that_no_player_takes_is_listed_as_another_and_passed_on_as_it_is() {
    for audio in [Codec::Mp3, Codec::Opus] {
        let mut bench = room();
        let ring = strange(&mut bench, Codec::H264, audio);
        assert_eq!(bench.wants(), [(AUDIO, Target::Aac)], "the listing of an encoder is there for whoever comes");
        let viewer = Arc::new(ViewerRing::new(CONVERSION_BYTES_MAX, Bell::for_tests()));
        bench.room.watch(Arc::clone(&viewer));
        let want = bench.want(Target::Aac);
        let (_frames, converted) = bench.convert(&want);
        bench.send(&converted, vec![made(&want)]);
        for index in 0..150 {
            let mut batch = vec![IngestItem::Frame(VIDEO, picture(index, 0))];
            batch.extend(as_track(AUDIO, opus(index)));
            bench.send(&ring, batch);
            bench.send(&converted, as_track(want.as_track, aac(index)));
            bench.now += Duration::from_millis(40);
        }
        let snapshot = bench.room.output.live.borrow().clone().expect("listed");
        let multivariant = snapshot.multivariant.as_ref().expect("listed").text().to_vec();
        let multivariant = String::from_utf8(multivariant).expect("text");
        assert!(multivariant.contains("avc1.42c00c,mp4a.40.2"), "{multivariant}");
        let (mut items, mut batch) = (Vec::new(), Vec::new());
        while futures_util::FutureExt::now_or_never(viewer.next(&mut batch)) == Some(true) {
            items.append(&mut batch);
        }
        let of = |track| items.iter().any(|item| matches!(item, ViewerItem::Frame(of, _) if *of == track));
        assert!(of(AUDIO) && of(VIDEO) && !of(want.as_track), "RTMP carries it");
    }
}

#[test]
fn a_sound_that_becomes_another_codec_takes_the_place_of_what_was_listed() {
    let mut bench = room();
    let ring = strange(&mut bench, Codec::H264, Codec::Mp3);
    let want = bench.want(Target::Aac);
    let (_frames, converted) = bench.convert(&want);
    bench.send(&converted, vec![made(&want)]);
    for index in 0..100 {
        bench.send(&ring, vec![IngestItem::Frame(VIDEO, picture(index, 0))]);
        bench.send(&converted, as_track(want.as_track, aac(index)));
        bench.now += Duration::from_millis(40);
    }
    let by = track(TrackId(3), Codec::Aac, 48_000, KeyframeMode::None);
    bench.send(&ring, vec![IngestItem::TrackReplaced { old: AUDIO, by }]);
    bench.stream(&ring, 100..250, |index| as_track(TrackId(3), aac(index)));
    assert!(bench.wants().is_empty(), "it is listed as it is");
    let snapshot = bench.room.output.live.borrow().clone().expect("listed");
    let audio = snapshot.audio.as_ref().and_then(|view| view.playlist()).expect("it is there");
    let playlist = String::from_utf8(audio.text().to_vec()).expect("text");
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{playlist}");
    let newest = snapshot.audio.as_ref().and_then(|view| view.last_part()).expect("listed").msn;
    assert_eq!(Some(newest), snapshot.video.as_ref().and_then(|view| view.last_part()).map(|part| part.msn));
}

#[test]
fn when_nobody_asks_for_playlists_any_more_a_room_with_conversions_wakes_for_it_once() {
    let mut bench = room();
    bench.room.feed(FEED, |_| true);
    let ring = strange(&mut bench, Codec::H264, Codec::Aac);
    bench.stream(&ring, 0..5, |index| as_track(AUDIO, aac(index)));
    assert!(bench.wants().contains(&(AUDIO, Target::Opus)), "somebody watches over WebRTC");
    bench.room.demand_hls(bench.now);
    bench.turn();
    for _ in 0..3 {
        bench.pass(HLS_DEMAND);
        let due = bench.room.poll_timeout();
        assert!(due.is_none_or(|due| due > bench.now), "its thread would not sleep");
    }
}

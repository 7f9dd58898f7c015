//! A call without an ingest is watched over HLS: its voices at once and its pictures in one, by the real worker.
#![expect(clippy::disallowed_methods, reason = "a test has no app whose shutdown would wait for its tasks")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use telstar::Config;
use telstar_client::clip::{Audio, play_video};
use telstar_client::{Codec, Event, LocalTrack, LocalTrackOptions, Sample, Source};
use telstar_signaling::wire::LiveState;
use tokio::time::{MissedTickBehavior, interval};

use crate::converted::{conversions, get, picture, played_over_rtmp, publish, state_becomes, tone, watch, worker};
use crate::people::Person;
use crate::stage::Stage;

/// Small, so that a busy machine mixes it in time.
const SIZE: (u16, u16) = (320, 180);
/// As loud as nobody is (RFC 6464 §3), and as somebody who speaks.
const SILENT: u8 = 127;
const LOUD: [u8; 4] = [20, 26, 23, 29];

async fn stage() -> Stage {
    let path = worker();
    Stage::with_media_and(|config: &mut Config| {
        config.transcode.worker = path;
        (config.transcode.mix_width, config.transcode.mix_height) = SIZE;
    })
    .await
}

/// Plays sound round and round, and says of it how loud it is.
async fn speak(mut track: LocalTrack, sound: Audio, speaks: Arc<AtomicU8>) {
    let every = sound.packets[0].1;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0_u32.. {
        ticks.tick().await;
        let data = sound.packets[number as usize % sound.packets.len()].0.clone();
        let level = match speaks.load(Ordering::Relaxed) {
            0 => SILENT,
            _ => LOUD[number as usize % LOUD.len()],
        };
        let sample = Sample { data, at: every * number, level: Some(level) };
        if track.write_sample(0, &sample).await.is_err() {
            return;
        }
    }
}

/// Somebody with a camera and a tone for a voice, and whether they are said to speak.
async fn person(stage: &Stage, name: &str, hz: u32) -> (Person, Arc<AtomicU8>) {
    let person = stage.person(name).await;
    let speaks = Arc::new(AtomicU8::new(0));
    let track = |codec, source| LocalTrackOptions { codec, source, name: String::new(), layers: Vec::new() };
    let camera = person.call.publish(track(Codec::Vp8, Source::Camera)).await;
    let microphone = person.call.publish(track(Codec::Opus, Source::Microphone)).await;
    let (mut camera, microphone) = (camera.expect("it is taken"), microphone.expect("it is taken"));
    let (shown, heard, level) = (picture(Codec::Vp8), tone(hz), Arc::clone(&speaks));
    tokio::spawn(async move { play_video(&mut camera, &[shown]).await });
    tokio::spawn(speak(microphone, heard, level));
    (person, speaks)
}

/// What ffmpeg makes of this.
fn decoded(bytes: Vec<u8>, arguments: &str) -> Vec<u8> {
    let mut decoder = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i", "pipe:0"])
        .args(arguments.split(' '))
        .arg("pipe:1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ffmpeg runs");
    let mut stdin = decoder.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = decoder.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads everything");
    output.stdout
}

/// Samples that are looked at in one piece: 50 ms. A voice whose clock is followed is up to 0.5 % higher or lower for a while,
/// which is several hertz: more than a longer piece tells apart.
const PIECE: usize = 2_400;

/// How loud a tone is in the mean of many pieces: its amplitude (Goertzel, with a Hann window against the other tones).
fn loudness(samples: &[f32], hz: f64) -> f64 {
    let turn = 2.0 * std::f64::consts::PI;
    let coefficient = 2.0 * (turn * hz / 48_000.0).cos();
    let pieces = samples.chunks_exact(PIECE);
    let count = pieces.len() as f64;
    let of_piece = |piece: &[f32]| {
        let (mut last, mut before) = (0.0, 0.0);
        for (index, sample) in piece.iter().enumerate() {
            let window = 1.0 - (turn * index as f64 / PIECE as f64).cos();
            (last, before) = (f64::from(*sample) * window + coefficient * last - before, last);
        }
        let power = last * last + before * before - coefficient * last * before;
        2.0 * power.max(0.0).sqrt() / PIECE as f64
    };
    pieces.map(of_piece).sum::<f64>() / count
}

/// The init segment and the whole segments of a rendition.
async fn media(stage: &Stage, rendition: &str, playlist: &str) -> Vec<u8> {
    let map = playlist.split("#EXT-X-MAP:URI=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an init");
    let mut lines = playlist.lines();
    let mut names = vec![map.to_owned()];
    while let Some(line) = lines.next() {
        if line.starts_with("#EXTINF") {
            names.extend(lines.find(|line| !line.starts_with('#')).map(str::to_owned));
        }
    }
    let mut bytes = Vec::new();
    for name in names {
        let path = if name.starts_with('/') { name } else { format!("/live/demo/{rendition}/{name}") };
        let response = stage.rig.request("GET".parse().expect("a method"), &path).send().await;
        let response = response.expect("it answers").error_for_status().expect("it is there");
        bytes.extend(response.bytes().await.expect("a body"));
    }
    bytes
}

/// Both playlists, once they have so many segments.
async fn playlists(stage: &Stage, segments: usize) -> [String; 2] {
    let paths = ["/live/demo/video/index.m3u8", "/live/demo/audio/index.m3u8"];
    stage.playlists_become(paths, |text| text.matches("#EXTINF").count() >= segments).await
}

async fn leads(person: &mut Person, name: &str) {
    let id = person.call.participants().into_iter().find(|one| one.identity == name).map(|one| one.id);
    let id = id.unwrap_or_else(|| person.call.id().to_owned());
    person
        .until(|event| match event {
            Event::Speakers { speakers } => speakers.first().filter(|first| first.participant == id).map(|_| ()),
            _ => None,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_in_a_call_are_one_picture_and_one_sound_over_hls_whoever_speaks() {
    let stage = stage().await;
    let (mut alice, alice_speaks) = person(&stage, "alice", 440).await;
    let (bob, bob_speaks) = person(&stage, "bob", 880).await;
    let (carol, _) = person(&stage, "carol", 1_320).await;
    assert!(conversions(&stage).await.is_empty(), "nobody asked for anything");

    let multivariant = get(&stage, "/live/demo/index.m3u8").await;
    assert!(multivariant.contains("avc1.") && multivariant.contains("mp4a.40.2"), "{multivariant}");
    state_becomes(&stage, LiveState::Live).await;
    let running = ("call".to_owned(), "H.264, AAC".to_owned(), "running".to_owned());
    assert_eq!(conversions(&stage).await, [running]);

    // Each says that they speak when the one before has been shown for a while.
    alice_speaks.store(1, Ordering::Relaxed);
    leads(&mut alice, "alice").await;
    playlists(&stage, 2).await;
    alice_speaks.store(0, Ordering::Relaxed);
    bob_speaks.store(1, Ordering::Relaxed);
    leads(&mut alice, "bob").await;
    let before = playlists(&stage, 1).await[0].matches("#EXTINF").count();
    let [video, audio] = playlists(&stage, before + 2).await;
    for playlist in [&video, &audio] {
        assert_eq!(playlist.matches("#EXT-X-MAP").count(), 1, "{playlist}");
        assert!(!playlist.contains("#EXT-X-DISCONTINUITY\n") && !playlist.contains("#EXT-X-GAP"), "{playlist}");
    }

    let sound = decoded(media(&stage, "audio", &audio).await, "-map 0:a -af pan=mono|c0=c0 -f f32le");
    let samples: Vec<f32> =
        sound.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
    let newest = &samples[samples.len() - 96_000..samples.len() - 48_000];
    for hz in [440.0, 880.0, 1_320.0] {
        let (loud, beside) = (loudness(newest, hz), loudness(newest, hz + 220.0));
        println!("{hz} Hz: {loud:.3} beside {beside:.4}");
        assert!(loud > 0.1 && loud > 10.0 * beside, "{hz} Hz: {loud} beside {beside}");
    }
    let pictures = decoded(media(&stage, "video", &video).await, "-map 0:v -f rawvideo -pix_fmt gray");
    let pixels = usize::from(SIZE.0) * usize::from(SIZE.1);
    assert!(pictures.len() > 100 * pixels && pictures.len().is_multiple_of(pixels), "{} bytes", pictures.len());
    let newest = &pictures[pictures.len() - pixels..];
    let bright = newest.iter().filter(|value| **value > 60).count();
    assert!(bright > pixels / 5, "people are seen: {bright} of {pixels}");

    // The end of the call is the end of the picture, at once.
    for person in [alice, bob, carol] {
        person.call.leave().await.expect("goodbye");
    }
    state_becomes(&stage, LiveState::Offline).await;
    assert!(conversions(&stage).await.is_empty());
    assert!(get(&stage, "/live/demo/video/index.m3u8").await.contains("#EXT-X-ENDLIST"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_takes_the_place_of_a_mix_behind_a_discontinuity() {
    let stage = stage().await;
    let (alice, _) = person(&stage, "alice", 440).await;
    get(&stage, "/live/demo/index.m3u8").await;
    playlists(&stage, 2).await;
    let publication = publish(&stage, Codec::H264).await;
    let is_cut = |text: &str| text.matches("#EXT-X-DISCONTINUITY\n").count() == 1;
    stage.playlists_become(["/live/demo/video/index.m3u8"], is_cut).await;
    assert_eq!(stage.room("GET", "", None).await["live"]["ingest"]["protocol"], "whip");
    assert!(conversions(&stage).await.iter().all(|(from, ..)| from != "call"));
    publication.close().await.expect("it ends");
    alice.call.leave().await.expect("goodbye");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_watched_over_webrtc_by_who_takes_no_part_in_it() {
    let stage = stage().await;
    let (alice, _) = person(&stage, "alice", 440).await;
    let (view, picture, sound) = watch(&stage, &[Codec::H264, Codec::Opus]).await;
    assert_eq!((picture.as_str(), sound.as_str()), ("video/h264", "audio/opus"));
    let participants = stage.participants().await;
    assert_eq!(participants.len(), 1, "neither the mix nor its viewer takes part: {participants:?}");
    let all = conversions(&stage).await;
    assert_eq!(all.iter().filter(|(from, ..)| from == "call").count(), 1, "{all:?}");
    // Who comes in gets what the mix is made of, and not the mix.
    let mut bob = stage.person("bob").await;
    let publishers: Vec<String> = bob.call.participants().into_iter().map(|one| one.identity).collect();
    assert_eq!(publishers.iter().filter(|identity| *identity != "bob").collect::<Vec<_>>(), ["alice"]);
    bob.track_of("alice", telstar_client::Kind::Video).await;
    view.close().await.expect("it ends");
    alice.call.leave().await.expect("goodbye");
    bob.call.leave().await.expect("goodbye");
    state_becomes(&stage, LiveState::Offline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_says_that_its_call_can_be_watched_and_it_is_mixed_for_who_plays_it_over_rtmp() {
    let stage = stage().await;
    let has_call = async |expected: bool| stage.live_becomes(|live| live.has_call == expected).await;
    has_call(false).await;
    let (alice, _) = person(&stage, "alice", 440).await;
    has_call(true).await;
    state_becomes(&stage, LiveState::Offline).await;
    let (pictures, sounds) = played_over_rtmp(&stage).await;
    assert!(pictures > 20 && sounds > 60, "{pictures} pictures, {sounds} sounds");
    alice.call.leave().await.expect("goodbye");
    has_call(false).await;
    state_becomes(&stage, LiveState::Offline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mix_whose_worker_is_killed_goes_on_without_a_discontinuity() {
    let stage = stage().await;
    let (alice, _) = person(&stage, "alice", 440).await;
    get(&stage, "/live/demo/index.m3u8").await;
    playlists(&stage, 1).await;
    let (state, room) = (stage.rig.running.state(), stage.entry().await);
    let first = state.mixes.worker_pid(&room).expect("one mixes");
    let killed = Command::new("kill").args(["-KILL", &first.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    // It is followed by another.
    stage.live_becomes(|_| state.mixes.worker_pid(&room).is_some_and(|pid| pid != first)).await;
    let before = playlists(&stage, 1).await[0].matches("#EXTINF").count();
    let [video, audio] = playlists(&stage, before + 3).await;
    for playlist in [&video, &audio] {
        assert_eq!(playlist.matches("#EXT-X-MAP").count(), 1, "{playlist}");
        assert!(!playlist.contains("#EXT-X-DISCONTINUITY\n"), "{playlist}");
    }
    let all = conversions(&stage).await;
    assert_eq!(all.iter().map(|(.., state)| state.as_str()).collect::<Vec<_>>(), ["running"]);
    alice.call.leave().await.expect("goodbye");
    state_becomes(&stage, LiveState::Offline).await;
}

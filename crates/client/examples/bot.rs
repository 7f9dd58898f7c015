//! A bot that plays a clip in a call, says who comes and goes, and sends data messages back.
//!
//! ```sh
//! TOKEN=$(telstar token --room demo --identity bot --publish --subscribe)
//! cargo run -p telstar-client --example bot -- --url ws://127.0.0.1:8080/ws --token "$TOKEN" --room demo clip.mp4
//! ```
//!
//! CLIP is anything that `ffmpeg` reads, `test` for its test picture, or, without ffmpeg, a file that is ready to send:
//! `clip.ivf` (VP8) or `clip.h264` (Annex B), each with a `clip.ogg` (Opus) beside it if there is sound.

use std::error::Error;
use std::path::Path;

use telstar_client::clip::{Audio, Clip, Video, play_audio, play_video};
use telstar_client::{Call, Client, Codec, Credential, Event, JoinOptions, LocalTrackOptions, Source};
use tokio::task::JoinSet;

/// Width, height and bits a second of the simulcast layers, the lowest first, and their names in SDP.
const LAYERS: [(u16, u16, u32); 3] = [(320, 180, 150_000), (640, 360, 500_000), (1280, 720, 1_500_000)];
const RIDS: [&str; 3] = ["l", "m", "h"];

const USAGE: &str = "usage: bot --url ws://HOST/ws --token TOKEN --room ROOM CLIP";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [mut url, mut token, mut room, mut clip] = [const { None }; 4];
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--url" => url = arguments.next(),
            "--token" => token = arguments.next(),
            "--room" => room = arguments.next(),
            _ => clip = Some(argument),
        }
    }
    let (Some(url), Some(token), Some(room), Some(clip)) = (url, token, room, clip) else { return Err(USAGE.into()) };
    let clip = tokio::task::spawn_blocking(move || open(&clip)).await??;

    let client = Client::connect(&url, Credential::Token(token)).await?;
    // This bot watches nobody, so it asks for no tracks.
    let call = client.join(&room, JoinOptions { auto_subscribe: false, ..JoinOptions::default() }).await?;
    println!("in {room} as {}", call.id());
    let mut events = call.events();
    for participant in call.participants().iter().filter(|participant| participant.id != call.id()) {
        println!("{} is here: {}", participant.id, participant.identity);
    }

    // Each track is played by a task of its own, until the call ends.
    let players = publish_clip(&call, clip).await?;

    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => on_event(&call, event).await?,
                None => break,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    drop(players);
    Ok(call.leave().await?)
}

/// One task for each track; each ends when the call does, with the reason.
type Players = JoinSet<Result<(), telstar_client::Error>>;

async fn publish_clip(call: &Call, clip: Clip) -> Result<Players, telstar_client::Error> {
    let mut players = Players::new();
    let rids = RIDS.iter().zip(&clip.layers);
    let video = LocalTrackOptions {
        codec: clip.layers[0].codec,
        source: Source::Camera,
        name: "clip".into(),
        // A single encoding is announced without layers.
        layers: if clip.layers.len() > 1 { rids.map(|(rid, video)| video.layer(rid)).collect() } else { vec![] },
    };
    let mut track = call.publish(video).await?;
    println!("publishing video as {}", track.id());
    players.spawn(async move { play_video(&mut track, &clip.layers).await });

    if let Some(audio) = clip.audio {
        let sound =
            LocalTrackOptions { codec: Codec::Opus, source: Source::Microphone, name: "clip".into(), layers: vec![] };
        let mut track = call.publish(sound).await?;
        println!("publishing audio as {}", track.id());
        players.spawn(async move { play_audio(&mut track, &audio).await });
    }
    Ok(players)
}

async fn on_event(call: &Call, event: Event) -> Result<(), telstar_client::Error> {
    match event {
        Event::ParticipantJoined { participant } => println!("{} joined: {}", participant.id, participant.identity),
        Event::ParticipantLeft { participant, reason } => println!("{participant} left: {reason}"),
        Event::TrackPublished { participant, track } => {
            println!("{participant} publishes {:?} {}", track.kind, track.id)
        }
        Event::Data { from: Some(from), label, data } => {
            println!("{from} says {data}");
            call.send_data(&[&from], label.as_deref(), data).await?;
        }
        Event::Reconnecting => println!("the socket broke; media goes on"),
        Event::Resumed => println!("connected again, nothing was missed"),
        Event::Left { reason } => println!("the call is over: {reason}"),
        _ => {}
    }
    Ok(())
}

/// Files that are ready to send are taken as they are; everything else goes through ffmpeg, once for each layer.
fn open(input: &str) -> Result<Clip, telstar_client::Error> {
    let path = Path::new(input);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("ivf" | "h264") => {
            let sound = path.with_extension("ogg");
            let audio = if sound.exists() { Some(Audio::open(&sound)?) } else { None };
            Ok(Clip { layers: vec![Video::open(path)?], audio })
        }
        _ => Clip::convert(input, &LAYERS),
    }
}

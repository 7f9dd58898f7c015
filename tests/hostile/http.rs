//! Playlists: absurd directives, thousands of requests that wait, readers that do not read.

use reqwest::Client;
use telstar_rtmp::chunk::message_type;
use telstar_units::RoomName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::encoder;
use super::rtmp::{self, PATIENCE};
use super::stage::{SMALL_MIB, Stage};

/// Streams of one HTTP/2 connection that stay below the server's limit.
const STREAMS: usize = 100;

/// Pictures of the attacker's own stream: two segments and more, however long they are here.
const PICTURES: u32 = 600;

/// The attacker's own stream, with a playlist that has come to rest; returns the encoder and the next media sequence number.
async fn live(stage: &Stage) -> (rtmp::Client, u64) {
    let mut encoder = stage.publisher().await;
    encoder.push(PICTURES).await;
    // A player is given a picture behind the packager.
    let mut player = stage.introduced().await;
    player.play("attacker").await;
    let last = (PICTURES - 1).to_be_bytes();
    loop {
        let (kind, _, body) = player.media().await.expect("the player is connected");
        if kind == message_type::VIDEO && body.ends_with(&last) {
            break;
        }
    }
    let (status, text) = get(stage, "/live/attacker/video/index.m3u8").await;
    assert_eq!(status, 200, "{text}");
    let first = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")).expect("a number");
    let first: u64 = first.parse().expect("a number");
    (encoder, first + text.matches("#EXTINF").count() as u64)
}

async fn get(stage: &Stage, path: &str) -> (u16, String) {
    let response = stage.rig.get(path).await;
    (response.status().as_u16(), response.text().await.expect("text"))
}

#[tokio::test]
async fn absurd_directives_are_refused_at_once() {
    let mut stage = Stage::set(|_| {}).await;
    let (_encoder, next) = live(&stage).await;
    let digits = "9".repeat(5_000);
    let far = next + 1_000;
    for query in [
        "_HLS_msn=18446744073709551615".to_owned(),
        "_HLS_msn=18446744073709551616".to_owned(),
        format!("_HLS_msn={digits}"),
        format!("_HLS_msn={far}"),
        "_HLS_msn=-1".to_owned(),
        "_HLS_msn=1e9".to_owned(),
        "_HLS_msn=".to_owned(),
        "_HLS_msn=0x10".to_owned(),
        "_HLS_msn=%31".to_owned(),
        "_HLS_part=0".to_owned(),
        format!("_HLS_msn={next}&_HLS_part=4294967296"),
        format!("_HLS_msn={next}&_HLS_part={digits}"),
        format!("_HLS_msn={next}&_HLS_part=-1"),
        format!("_HLS_msn={next}&_HLS_part=1000000"),
        format!("_HLS_msn={next}&_HLS_msn=1"),
    ] {
        let path = format!("/live/attacker/video/index.m3u8?{query}");
        let asked = tokio::time::timeout(PATIENCE, get(&stage, &path)).await;
        let (status, _) = asked.expect("nothing is held");
        let shown = &query[..query.len().min(60)];
        assert!(status == 400 || status == 414 || status == 431, "{shown}: {status}");
    }
    assert_eq!(stage.metrics().hls_waiting_requests_count.get(), 0);
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
}

/// Sends `count` requests that wait, over as few connections as the server allows; each answers with its status.
fn hold(stage: &Stage, next: u64, from: &str, count: usize, asked: &mut JoinSet<u16>) {
    let url = stage.rig.https(&format!("/live/attacker/video/index.m3u8?_HLS_msn={next}"));
    for _ in 0..count.div_ceil(STREAMS) {
        // The certificate is self-signed; each client has one connection.
        let builder = Client::builder().tls_danger_accept_invalid_certs(true).timeout(4 * PATIENCE);
        let client = builder.build().expect("a client");
        for _ in 0..STREAMS.min(count) {
            let request = client.get(&url).header("forwarded", format!("for={from}"));
            asked.spawn(async move { request.send().await.map_or(0, |response| response.status().as_u16()) });
        }
    }
}

#[tokio::test]
async fn thousands_of_held_requests_are_limited_for_each_address_and_in_all() {
    // Long segments, so that nothing is held for too long on a slow machine.
    let mut stage = Stage::set(|config| {
        config.hls.waiting_requests_max = 4_300;
        config.hls.segment_min_ms = 10_000;
    })
    .await;
    let (mut encoder, next) = live(&stage).await;
    let mut asked = JoinSet::new();
    // One address may hold 4,096, behind a trusted proxy as well; the rest is told to come back.
    hold(&stage, next, "198.51.100.1", 4_400, &mut asked);
    let mut refused = Vec::new();
    while refused.len() < 4_400 - 4_096 {
        let next = tokio::time::timeout(PATIENCE, asked.join_next());
        refused.push(next.await.expect("the rest is answered at once").expect("asked").expect("no panic"));
    }
    assert!(refused.iter().all(|status| *status == 429), "{refused:?}");
    assert_eq!(stage.metrics().hls_waiting_requests_count.get(), 4_096);
    stage.others_are_undisturbed().await;
    // Others still may, up to the limit of all.
    hold(&stage, next, "198.51.100.2", 300, &mut asked);
    let mut refused = Vec::new();
    while refused.len() < 4_096 + 300 - 4_300 {
        let next = tokio::time::timeout(PATIENCE, asked.join_next());
        refused.push(next.await.expect("the rest is answered at once").expect("asked").expect("no panic"));
    }
    assert!(refused.iter().all(|status| *status == 503), "{refused:?}");
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(256);
    // What need not wait is served meanwhile, and who waits is answered by the segment.
    assert_eq!(get(&stage, "/live/attacker/video/index.m3u8").await.0, 200);
    encoder.push(PICTURES).await;
    let answered = async {
        let mut answers = Vec::new();
        while let Some(status) = asked.join_next().await {
            answers.push(status.expect("no panic"));
        }
        answers
    };
    let answers = tokio::time::timeout(2 * PATIENCE, answered).await.expect("everybody is answered");
    assert_eq!((answers.len(), answers.iter().filter(|status| **status == 200).count()), (4_300, 4_300));
    assert_eq!(stage.metrics().hls_waiting_requests_count.get(), 0);
    stage.others_are_undisturbed().await;
}

#[tokio::test]
async fn readers_that_do_not_read_hold_their_socket_and_no_more() {
    let mut stage = Stage::set(|_| {}).await;
    let mut encoder = stage.publisher().await;
    encoder.send(0, message_type::SET_CHUNK_SIZE, &(1u32 << 20).to_be_bytes()).await;
    encoder.writer.set_chunk_size(1 << 20);
    encoder.send(0, message_type::VIDEO, &encoder::avc_header(encoder::SPS, encoder::PPS)).await;
    encoder.send(0, message_type::AUDIO, &encoder::aac_header()).await;
    // Five seconds with a megabyte in each picture of a second's beginning.
    let large = vec![7; 1 << 20];
    for index in 0..150u32 {
        let key = index.is_multiple_of(25);
        let unit = if key { [encoder::IDR, &large].concat() } else { encoder::P_SLICE.to_vec() };
        encoder.send(index * 40, message_type::VIDEO, &encoder::avc_frame(key, 0, &[&unit])).await;
        encoder.send(index * 40, message_type::AUDIO, &encoder::aac_frame()).await;
    }
    let name = RoomName::parse("attacker").expect("a room name");
    let mut live = stage.rig.running.state().rooms.get(&name).await.expect("readable").expect("there").live();
    let segment = async {
        loop {
            let (_, text) = get(&stage, "/live/attacker/video/index.m3u8").await;
            if let Some(line) = text.lines().find(|line| line.ends_with(".m4s") && !line.starts_with('#')) {
                return line.to_owned();
            }
            live.changed().await.expect("the room is there");
        }
    };
    let segment = tokio::time::timeout(PATIENCE, segment).await.expect("a segment comes");
    let mut deaf = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(stage.rig.host()).await.expect("the server listens");
        let request = format!("GET /live/attacker/video/{segment} HTTP/1.1\r\nhost: {}\r\n\r\n", stage.rig.host());
        // The same again and again on one connection: what is not read is not even asked for.
        stream.write_all(request.repeat(20).as_bytes()).await.expect("written");
        deaf.push(stream);
    }
    stage.others_are_undisturbed().await;
    // Everybody else is served at once, from the same segment.
    let whole = stage.rig.get(&format!("/live/attacker/video/{segment}")).await.bytes().await.expect("read");
    assert!(whole.len() > 1 << 20);
    stage.memory_stays_below(64);
    // They were answered, as far as their sockets go.
    let mut first = [0; 12];
    deaf[0].read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    stage.others_are_undisturbed().await;
}

//! HEVC as an encoder sends it: Enhanced RTMP over a socket (Enhanced RTMP v2, "ExVideoTagHeader"), with pictures that can be
//! decoded, because what is made of them is listed beside them.

use std::time::Instant;

use bytes::{BufMut, Bytes};
use telstar_rtmp::chunk::{ChunkWriter, message_type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{BEFORE, SOURCE_SECS, TICK};
use crate::support::{PATIENCE, Rig};
use clip::{Packet, Source, Track};

#[path = "../../crates/rtmp/tests/support/mod.rs"]
mod client;
#[path = "../codecs/source.rs"]
#[allow(dead_code, reason = "shared with the tests of codecs, which use all of it")]
mod clip;

const KEY: u8 = 0x90;
const INTER: u8 = 0xa0;
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
/// FLV's AAC, 44 kHz, 16 bits, stereo, whatever it is (Adobe FLV 10.1, E.4.2.1).
const AAC: u8 = 0xaf;

/// What x265 makes of a moving picture, with three B-frames in a row and a keyframe every two seconds, and a tone as AAC.
pub struct Clip {
    video: Track,
    audio: Track,
}

/// The clip's pictures begin again after so long, which is as long as there are any.
const CLIP_MS: i64 = 6_000;
/// The first decode time, which lies before the first picture is shown, is not below zero.
const BEGIN_MS: i64 = 200;
const NANOS_PER_MS: i64 = 1_000_000;
const SOUND_HZ: usize = 32_000;

impl Clip {
    pub fn encode() -> Clip {
        let options = "log-level=error:keyint=50:min-keyint=50:scenecut=0:bframes=3:open-gop=0";
        let video = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", options, "-tag:v", "hvc1"];
        let audio = ["-c:a", "aac", "-ar", &SOUND_HZ.to_string(), "-ac", "2"];
        let mut source = Source::encode("conformance-hevc", &video, &audio, 25).expect("ffmpeg has x265");
        let nothing = || Track { extradata: Vec::new(), packets: Vec::new(), hub_timescale: 0 };
        let (video, audio) =
            (std::mem::replace(&mut source.video, nothing()), std::mem::replace(&mut source.audio, nothing()));
        Clip { video, audio }
    }

    /// Pictures and sound over and over, in the order of their times in milliseconds.
    fn looped(&self) -> Vec<(i64, bool, &Packet)> {
        let rounds = SOURCE_SECS as i64 * 1_000 / CLIP_MS;
        let round = |round: i64| {
            let at = move |packet: &Packet| packet.dts / NANOS_PER_MS + BEGIN_MS + round * CLIP_MS;
            self.video.packets.iter().map(move |packet| (at(packet), true, packet))
        };
        let mut packets: Vec<_> = (0..rounds).flat_map(round).collect();
        // AAC frames of 1,024 samples: one behind the other, whatever length their clip has.
        let sounds = self.audio.packets.iter().cycle().enumerate();
        let at = |number: usize| (number * 1_024 * 1_000 / SOUND_HZ) as i64 + BEGIN_MS;
        let sounds = sounds.map(|(number, packet)| (at(number), false, packet));
        packets.extend(sounds.take_while(|(at, ..)| *at < rounds * CLIP_MS));
        packets.sort_by_key(|(at, ..)| *at);
        packets
    }
}

/// Publishes it until the server or the clip ends.
pub async fn publish(address: std::net::SocketAddr, key: String, clip: Clip) {
    let mut socket = TcpStream::connect(address).await.expect("the server listens");
    socket.write_all(&client::client_start("live", &key)).await.expect("the start is written");
    until(&mut socket, b"NetStream.Publish.Start").await;
    let (mut replies, mut socket) = socket.into_split();
    let writer = ChunkWriter::default();
    let header = [&[KEY | SEQUENCE_START], b"hvc1".as_slice(), &clip.video.extradata].concat();
    let mut start = client::encode(&writer, 0, message_type::VIDEO, 1, &header);
    start.extend_from_slice(&client::encode(
        &writer,
        0,
        message_type::AUDIO,
        1,
        &[&[AAC, 0][..], &clip.audio.extradata].concat(),
    ));
    socket.write_all(&start).await.expect("the headers are written");
    let reading = async {
        let mut bytes = [0; 4_096];
        while replies.read(&mut bytes).await.is_ok_and(|len| len > 0) {}
    };
    let writing = async {
        let mut packets = clip.looped().into_iter().peekable();
        let mut clock = tokio::time::interval(TICK);
        let started = Instant::now();
        while packets.peek().is_some() {
            let due = (BEFORE + started.elapsed()).as_millis() as i64;
            while let Some((at, is_video, packet)) = packets.next_if(|(at, ..)| *at < due) {
                let (kind, body) = body(is_video, packet);
                let bytes = client::encode(&writer, at as u32, kind, 1, &body);
                if socket.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            clock.tick().await;
        }
    };
    // Either ends when the server does.
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}

async fn until(socket: &mut TcpStream, words: &[u8]) {
    let mut seen = Vec::new();
    let reading = async {
        while !seen.windows(words.len()).any(|window| window == words) {
            assert!(socket.read_buf(&mut seen).await.expect("the server answers") > 0, "the server closes");
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the server lets the encoder in");
}

fn body(is_video: bool, packet: &Packet) -> (u8, Bytes) {
    if !is_video {
        return (message_type::AUDIO, [&[AAC, 1][..], &packet.data].concat().into());
    }
    let mut body = vec![if packet.key { KEY } else { INTER } | CODED_FRAMES];
    body.put_slice(b"hvc1");
    body.put_int((packet.pts - packet.dts) / NANOS_PER_MS, 3);
    body.put_slice(&packet.data);
    (message_type::VIDEO, body.into())
}

/// The address and stream key of a server that has just started for the first time.
pub fn door(rig: &Rig) -> (std::net::SocketAddr, String) {
    let address = rig.running.addresses().rtmp.expect("RTMP is on");
    let key = rig.running.first_stream_key().expect("this is the first start").expose().to_owned();
    (address, key)
}

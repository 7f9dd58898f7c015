//! HEVC as an encoder sends it: Enhanced RTMP over a socket (Enhanced RTMP v2, "ExVideoTagHeader").

use std::time::Instant;

use bytes::{BufMut, Bytes};
use telstar_rtmp::chunk::{ChunkWriter, message_type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::source::{Arrival, VIDEO};
use super::{BEFORE, TICK};
use crate::support::{PATIENCE, Rig};

#[path = "../../crates/rtmp/tests/support/mod.rs"]
mod client;

/// HEVCDecoderConfigurationRecord of x265, 128x96 at 25 frames per second, Main profile.
const HVCC: &str = "0101600000009000000000001ef000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003001e959009a1\
    0001002942010101600000030090000003000003001ea01020616595912930bc05a02000000300200000030321a2000100064401c073c189";

/// NAL unit headers of IDR_W_RADL and TRAIL_R (H.265 Table 7-1).
const IDR: [u8; 2] = [19 << 1, 1];
const TRAIL: [u8; 2] = [1 << 1, 1];

const KEY: u8 = 0x90;
const INTER: u8 = 0xa0;
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;

/// Publishes frames with the times of `frames`: pictures as HEVC, sound as AAC of 44.1 kHz.
pub async fn publish(address: std::net::SocketAddr, key: String, frames: Vec<Arrival>) {
    let mut socket = TcpStream::connect(address).await.expect("the server listens");
    socket.write_all(&client::client_start("live", &key)).await.expect("the start is written");
    until(&mut socket, b"NetStream.Publish.Start").await;
    let (mut replies, mut socket) = socket.into_split();
    let writer = ChunkWriter::default();
    let header = [&[KEY | SEQUENCE_START], b"hvc1".as_slice(), &record()].concat();
    let mut start = client::encode(&writer, 0, message_type::VIDEO, 1, &header);
    start.extend_from_slice(&client::encode(&writer, 0, message_type::AUDIO, 1, &client::aac_header()));
    socket.write_all(&start).await.expect("the headers are written");
    let reading = async {
        let mut bytes = [0; 4_096];
        while replies.read(&mut bytes).await.is_ok_and(|len| len > 0) {}
    };
    let writing = async {
        let mut frames = frames.into_iter().peekable();
        let mut clock = tokio::time::interval(TICK);
        let started = Instant::now();
        while frames.peek().is_some() {
            let due = (BEFORE + started.elapsed()).as_millis() as i64;
            while let Some(arrival) = frames.next_if(|arrival| arrival.at_ms < due) {
                let (kind, body) = body(&arrival);
                let bytes = client::encode(&writer, arrival.at_ms as u32, kind, 1, &body);
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

fn record() -> Vec<u8> {
    let digits: Vec<u8> = HVCC.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("a digit") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn body(arrival: &Arrival) -> (u8, Bytes) {
    let frame = &arrival.frame;
    if arrival.track != VIDEO {
        return (message_type::AUDIO, client::aac_frame().into());
    }
    let unit = [if frame.key { IDR } else { TRAIL }.as_slice(), &frame.payload].concat();
    let mut body = vec![if frame.key { KEY } else { INTER } | CODED_FRAMES];
    body.put_slice(b"hvc1");
    body.put_int((frame.pts - frame.dts) / 90, 3);
    body.put_u32(unit.len() as u32);
    body.put_slice(&unit);
    (message_type::VIDEO, body.into())
}

/// The address and stream key of a server that has just started for the first time.
pub fn door(rig: &Rig) -> (std::net::SocketAddr, String) {
    let address = rig.running.addresses().rtmp.expect("RTMP is on");
    let key = rig.running.first_stream_key().expect("this is the first start").expose().to_owned();
    (address, key)
}

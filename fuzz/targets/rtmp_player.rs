//! A player's side of a connection: what it announces and says is the input, frames go to it in between, and what the server
//! writes must be chunks that a reader understands.
#![no_main]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use telstar_media::{Codec, CodecConfig, Frame, KeyframeMode, Origin, TrackInfo};
use telstar_rtmp::chunk::{ChunkReader, message_type};
use telstar_rtmp::limits::Limits;
use telstar_rtmp::{Config, Event, PlayItem, Session};
use telstar_units::{Timescale, TrackId};

const HANDSHAKE_LEN: usize = 1 + 1_536 + 1_536;
const CODECS: [Codec; 6] = [Codec::H264, Codec::H265, Codec::Aac, Codec::Opus, Codec::Mp3, Codec::Vp8];

fuzz_target!(|data: &[u8]| {
    let [piece, codec, data @ ..] = data else { return };
    let mut now = Instant::now();
    let mut session = Session::new(Config::new([7; 32]), now);
    let mut hello = [0; HANDSHAKE_LEN];
    hello[0] = 3;
    session.handle_input(now, &hello);
    let mut answers = Answers::new();
    answers.drain(&mut session, now);
    let codec = CODECS[usize::from(*codec) % CODECS.len()];
    for (index, chunk) in data.chunks(usize::from(*piece).max(1)).enumerate() {
        now += Duration::from_millis(40);
        session.handle_input(now, chunk);
        answers.drain(&mut session, now);
        session.play(now, &items(codec, index as i64, chunk));
        session.handle_timeout(now);
        answers.drain(&mut session, now);
    }
    session.handle_disconnect();
    answers.drain(&mut session, now);
});

fn items(codec: Codec, index: i64, payload: &[u8]) -> Vec<PlayItem> {
    let info = TrackInfo {
        id: TrackId(index as u64 / 16),
        codec,
        timescale: Timescale::VIDEO,
        keyframes: KeyframeMode::Periodic,
        origin: Origin::Publisher,
    };
    let config = Arc::new(CodecConfig::Opaque { codec, record: Bytes::from_static(b"record") });
    let dts = index * 3_600;
    let payload = Bytes::copy_from_slice(payload);
    let frame = Frame { config, dts, pts: dts + 1_800, duration: 0, key: index % 4 == 0, payload };
    let mut items = Vec::new();
    if index % 16 == 0 {
        items.push(PlayItem::Tracks { tracks: vec![info.clone()], restarts: index % 32 == 0 });
    }
    items.push(PlayItem::Frame(info.id, frame));
    if index % 64 == 63 {
        items.push(PlayItem::Ended);
    }
    items
}

struct Answers {
    reader: ChunkReader,
    handshake_left: usize,
}

impl Answers {
    fn new() -> Answers {
        let mut reader = ChunkReader::new(&Limits::default());
        reader.set_limits(Limits::default().publisher);
        Answers { reader, handshake_left: HANDSHAKE_LEN }
    }

    fn drain(&mut self, session: &mut Session, now: Instant) {
        loop {
            while let Some(output) = session.poll_output() {
                let skip = output.len().min(self.handshake_left);
                self.handshake_left -= skip;
                let mut rest = &output[skip..];
                while let Some(message) = self.reader.read(&mut rest).expect("the server writes valid chunks") {
                    if message.kind == message_type::SET_CHUNK_SIZE {
                        let size = u32::from_be_bytes(message.payload[..4].try_into().expect("four bytes"));
                        self.reader.set_chunk_size(size).expect("a valid size");
                    }
                }
            }
            match session.poll_event() {
                Some(Event::PlayRequested(_)) => session.accept_play(now),
                Some(Event::PublishRequested(_)) => session.accept_publish(now),
                Some(_) => {}
                None => return,
            }
        }
    }
}

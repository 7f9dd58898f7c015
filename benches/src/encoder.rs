//! An RTMP encoder in real time whose frames can be told apart when they come back.
//!
//! The pictures are not pictures: parameter sets of a real encoder, then slices of random bytes of the size that the
//! bitrate asks for, each behind an SEI message with the frame's number. No server in the path decodes them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use telstar_rtmp::amf::{self, Value};
use telstar_rtmp::chunk::{ChunkReader, ChunkWriter, Message, message_type};
use telstar_rtmp::limits::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// `user_data_unregistered`, H.264 §D.1.6: what follows is ours. No byte of it is zero, so nothing needs escaping.
pub const MARK: [u8; 16] = *b"telstar-frame-no";
/// Decimal digits of a frame's number behind the mark.
pub const MARK_DIGITS: usize = 12;
/// x264, 1280x720, baseline profile, one reference: decode order is display order.
const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x80, 0x00, 0x00, 0x03, 0x00,
    0x80, 0x00, 0x00, 0x1e, 0x07, 0x8c, 0x19, 0x24,
];
const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];
/// AAC-LC, 48 kHz, stereo.
const AUDIO_CONFIG: [u8; 2] = [0x11, 0x90];
const AUDIO_RATE_HZ: u64 = 48_000;
const AUDIO_FRAME_SAMPLES: u64 = 1_024;
/// 128 kb/s.
const AUDIO_FRAME_BYTES: usize = 341;
/// A keyframe is so many times as large as the frames between.
const KEY_WEIGHT: usize = 6;
/// What encoders set: one chunk for almost every message.
const CHUNK_SIZE: u32 = 65_536;
const PATIENCE: Duration = Duration::from_secs(20);

/// What is pushed.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    pub kbps: u32,
    pub fps: u32,
    pub gop: u32,
}

/// When each frame had left the encoder, by its number.
pub type Sent = Arc<Mutex<Vec<Instant>>>;

/// A connection that may publish.
pub struct Encoder {
    stream: Stream,
    socket: OwnedWriteHalf,
    /// Reads what the server says, so that it is never kept from saying it.
    answers: OwnedReadHalf,
    writer: ChunkWriter,
    sent: Sent,
    noise: u32,
}

impl Encoder {
    /// Connects to `rtmp://HOST:PORT/APP/NAME` and waits for leave to publish.
    pub async fn connect(address: &str, stream: Stream) -> Result<Encoder> {
        let rest = address.strip_prefix("rtmp://").context("an address begins with rtmp://")?;
        let (host, path) = rest.split_once('/').context("an address has a path")?;
        let (app, name) = path.split_once('/').context("a path is an application and a name")?;
        let socket = TcpStream::connect(host).await?;
        socket.set_nodelay(true)?;
        let (answers, socket) = socket.into_split();
        let mut encoder =
            Encoder { stream, socket, answers, writer: ChunkWriter::default(), sent: Sent::default(), noise: 1 };
        tokio::time::timeout(PATIENCE, encoder.ask(host, app, name)).await.context("no leave to publish came")??;
        Ok(encoder)
    }

    pub fn sent(&self) -> Sent {
        Arc::clone(&self.sent)
    }

    async fn ask(&mut self, host: &str, app: &str, name: &str) -> Result<()> {
        let mut hello = vec![3];
        hello.resize(1 + 1_536, 0);
        self.socket.write_all(&hello).await?;
        let mut answer = vec![0; 1 + 2 * 1_536];
        self.answers.read_exact(&mut answer).await?;
        self.socket.write_all(&answer[1..1 + 1_536]).await?;
        let properties = [
            ("app", app.into()),
            ("type", "nonprivate".into()),
            ("flashVer", "FMLE/3.0 (compatible; telstar-bench)".into()),
            ("tcUrl", format!("rtmp://{host}/{app}").as_str().into()),
        ];
        let properties = Value::Object(properties.map(|(name, value): (_, Value)| (name.to_owned(), value)).into());
        self.control(message_type::SET_CHUNK_SIZE, &CHUNK_SIZE.to_be_bytes()).await?;
        self.writer.set_chunk_size(CHUNK_SIZE);
        self.command(0, &["connect".into(), 1.0.into(), properties]).await?;
        self.command(0, &["createStream".into(), 2.0.into(), Value::Null]).await?;
        self.command(1, &["publish".into(), 3.0.into(), Value::Null, name.into(), "live".into()]).await?;
        let mut reader = ChunkReader::new(&Limits::default());
        loop {
            let bytes = self.read().await?;
            let mut rest = &bytes[..];
            while let Some(message) = reader.read(&mut rest)? {
                match message.kind {
                    message_type::SET_CHUNK_SIZE => {
                        let size = message.payload.first_chunk().context("a chunk size has four bytes")?;
                        reader.set_chunk_size(u32::from_be_bytes(*size))?;
                    }
                    message_type::COMMAND_AMF0 => match status(&message.payload) {
                        Some(code) if code == "NetStream.Publish.Start" => return Ok(()),
                        Some(code) if code.starts_with("NetStream.") => bail!("the server said {code}"),
                        _ => {}
                    },
                    _ => {}
                }
            }
        }
    }

    async fn read(&mut self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; 4_096];
        let len = self.answers.read(&mut bytes).await?;
        anyhow::ensure!(len > 0, "the server closed the connection");
        bytes.truncate(len);
        Ok(bytes)
    }

    async fn command(&mut self, stream_id: u32, values: &[Value]) -> Result<()> {
        let mut payload = BytesMut::new();
        values.iter().for_each(|value| amf::encode(value, &mut payload));
        self.message(3, message_type::COMMAND_AMF0, stream_id, 0, payload.freeze()).await
    }

    async fn control(&mut self, kind: u8, payload: &[u8]) -> Result<()> {
        self.message(2, kind, 0, 0, Bytes::copy_from_slice(payload)).await
    }

    async fn message(&mut self, csid: u8, kind: u8, stream_id: u32, timestamp_ms: u32, payload: Bytes) -> Result<()> {
        let mut bytes = BytesMut::with_capacity(payload.len() + 32);
        self.writer.write(csid, &Message { timestamp_ms, kind, stream_id, payload }, &mut bytes);
        self.socket.write_all(&bytes).await?;
        Ok(())
    }

    /// Pushes in real time until the server sends the encoder away. Sound goes before the picture of its time.
    pub async fn push(mut self) -> Result<()> {
        self.video(0, avc_header()).await?;
        self.audio(0, [&[0xaf, 0][..], &AUDIO_CONFIG].concat()).await?;
        let began = tokio::time::Instant::now();
        let mut audio_frames = 0_u64;
        for index in 0_u64.. {
            let due = Duration::from_nanos(index * 1_000_000_000 / u64::from(self.stream.fps));
            tokio::select! {
                () = tokio::time::sleep_until(began + due) => {}
                answer = drained(&mut self.answers) => return answer,
            }
            while audio_frames * AUDIO_FRAME_SAMPLES * 1_000 <= due.as_millis() as u64 * AUDIO_RATE_HZ {
                let ms = audio_frames * AUDIO_FRAME_SAMPLES * 1_000 / AUDIO_RATE_HZ;
                let body = [&[0xaf, 1][..], &self.noise(AUDIO_FRAME_BYTES)].concat();
                self.audio(ms as u32, body).await?;
                audio_frames += 1;
            }
            let body = self.picture(index);
            self.video(due.as_millis() as u32, body).await?;
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        }
        Ok(())
    }

    async fn video(&mut self, timestamp_ms: u32, body: Vec<u8>) -> Result<()> {
        self.message(6, message_type::VIDEO, 1, timestamp_ms, body.into()).await
    }

    async fn audio(&mut self, timestamp_ms: u32, body: Vec<u8>) -> Result<()> {
        self.message(4, message_type::AUDIO, 1, timestamp_ms, body.into()).await
    }

    fn picture(&mut self, index: u64) -> Vec<u8> {
        let Stream { kbps, fps, gop } = self.stream;
        let key = index.is_multiple_of(u64::from(gop));
        let frame_bytes = kbps as usize * 125 * gop as usize / (fps as usize * (gop as usize - 1 + KEY_WEIGHT));
        let size = if key { frame_bytes * KEY_WEIGHT } else { frame_bytes };
        let mut body = vec![if key { 0x17 } else { 0x27 }, 1, 0, 0, 0];
        let mut sei = vec![6, 5, (MARK.len() + MARK_DIGITS) as u8];
        sei.extend_from_slice(&MARK);
        sei.extend_from_slice(format!("{index:0MARK_DIGITS$}").as_bytes());
        sei.push(0x80);
        // First macroblock 0, slice type 7 (all I) or 5 (all P), picture parameter set 0.
        let mut slice = if key { vec![0x65, 0b1000_1000, 0x84] } else { vec![0x41, 0b1001_1010, 0x24] };
        slice.extend(self.noise(size));
        for unit in [sei, slice] {
            body.put_u32(unit.len() as u32);
            body.put_slice(&unit);
        }
        body
    }

    /// Bytes without zeros, so that no start code is among them.
    fn noise(&mut self, len: usize) -> Vec<u8> {
        let mut next = || {
            // Numerical Recipes' linear congruential generator: anything that does not compress does.
            self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.noise >> 24) as u8 | 1
        };
        (0..len).map(|_| next()).collect()
    }
}

/// Reads what comes until nothing comes any more, which ends the encoder.
async fn drained(answers: &mut OwnedReadHalf) -> Result<()> {
    let mut bytes = [0; 4_096];
    while answers.read(&mut bytes).await? > 0 {}
    bail!("the server closed the connection")
}

fn status(payload: &Bytes) -> Option<String> {
    let (values, _) = amf::decode_lenient(payload);
    values.iter().find_map(|value| value.get("code")?.as_str().map(str::to_owned))
}

fn avc_header() -> Vec<u8> {
    let mut body = vec![0x17, 0, 0, 0, 0, 1, SPS[1], SPS[2], SPS[3], 0xff, 0xe1];
    body.put_u16(SPS.len() as u16);
    body.put_slice(SPS);
    body.put_u8(1);
    body.put_u16(PPS.len() as u16);
    body.put_slice(PPS);
    body
}

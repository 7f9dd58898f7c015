//! RTMP clients over real sockets: an encoder that pushes as fast as it is taken, a player that reads, and bytes as they
//! are. They speak exactly what a test tells them to.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use telstar_rtmp::amf::{self, Value};
use telstar_rtmp::chunk::{ChunkReader, ChunkWriter, Message, message_type};
use telstar_rtmp::limits::Limits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::encoder::{self, IDR, P_SLICE, PPS, SPS};

/// Longer than anything takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const FRAME_MS: u32 = 40;
pub const GOP_FRAMES: u32 = 25;
/// S0, S1 and S2.
const HANDSHAKE_ANSWER: usize = 1 + 2 * 1_536;

/// A socket, plain or TLS.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// One end of a connection.
pub struct Client {
    pub socket: Box<dyn Socket>,
    pub writer: ChunkWriter,
    reader: ChunkReader,
    buffered: BytesMut,
    handshake_left: usize,
    next_frame: u32,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).await.expect("the server listens"))
    }

    pub fn over(socket: impl Socket + 'static) -> Client {
        let mut reader = ChunkReader::new(&Limits::default());
        reader.set_limits(Limits::default().publisher);
        Client {
            socket: Box::new(socket),
            writer: ChunkWriter::default(),
            reader,
            buffered: BytesMut::new(),
            handshake_left: HANDSHAKE_ANSWER,
            next_frame: 0,
        }
    }

    /// Bytes as they are. A server that has closed meanwhile is no error here.
    pub async fn raw(&mut self, bytes: &[u8]) -> bool {
        let written = tokio::time::timeout(PATIENCE, self.socket.write_all(bytes)).await;
        written.expect("the server reads or closes").is_ok()
    }

    pub async fn send(&mut self, timestamp_ms: u32, kind: u8, payload: &[u8]) -> bool {
        let bytes = encoder::encode(&self.writer, timestamp_ms, kind, 1, payload);
        self.raw(&bytes).await
    }

    pub async fn command(&mut self, values: &[Value]) -> bool {
        self.send(0, message_type::COMMAND_AMF0, &encoder::amf_bytes(values)).await
    }

    /// Handshake, `connect` with `announced`, `createStream`.
    pub async fn introduce(&mut self, announced: &[(&str, Value)]) {
        let mut properties = vec![("app", "live".into()), ("tcUrl", "rtmp://host/live".into())];
        properties.extend(announced.iter().cloned());
        self.raw(&encoder::handshake()).await;
        self.command(&["connect".into(), 1.0.into(), encoder::object(&properties)]).await;
        self.command(&["createStream".into(), 2.0.into(), Value::Null]).await;
    }

    pub async fn play(&mut self, name: &str) {
        self.command(&["play".into(), 3.0.into(), Value::Null, name.into(), (-2_000.0).into()]).await;
    }

    pub async fn publish(&mut self, name: &str) {
        self.send(0, message_type::COMMAND_AMF0, &encoder::publish(name)).await;
    }

    /// Pictures, and sound beside them so that the playlist need not wait for it.
    pub async fn push(&mut self, frames: u32) -> bool {
        let mut taken = true;
        for index in self.next_frame..self.next_frame + frames {
            let ms = index * FRAME_MS;
            if index == 0 {
                taken &= self.send(0, message_type::VIDEO, &encoder::avc_header(SPS, PPS)).await;
                taken &= self.send(0, message_type::AUDIO, &encoder::aac_header()).await;
            }
            let (key, unit) = if index.is_multiple_of(GOP_FRAMES) { (true, IDR) } else { (false, P_SLICE) };
            // The number of the picture is behind the slice's header, so that a player can tell them apart.
            let unit = [unit, &index.to_be_bytes()].concat();
            taken &= self.send(ms, message_type::VIDEO, &encoder::avc_frame(key, 0, &[&unit])).await;
            taken &= self.send(ms, message_type::AUDIO, &encoder::aac_frame()).await;
        }
        self.next_frame += frames;
        taken
    }

    /// The next message; `None` when the server has closed.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            let skip = self.buffered.len().min(self.handshake_left);
            self.handshake_left -= skip;
            let _ = self.buffered.split_to(skip);
            let mut rest = &self.buffered[..];
            let message = self.reader.read(&mut rest).expect("the server writes valid chunks");
            let used = self.buffered.len() - rest.len();
            let _ = self.buffered.split_to(used);
            if let Some(message) = message {
                if message.kind == message_type::SET_CHUNK_SIZE {
                    let size = message.payload[..4].try_into().expect("four bytes");
                    self.reader.set_chunk_size(u32::from_be_bytes(size)).expect("a valid size");
                }
                return Some(message);
            }
            let read = tokio::time::timeout(PATIENCE, self.socket.read_buf(&mut self.buffered)).await;
            match read.expect("the server says something or closes") {
                Ok(1..) => {}
                // A reset is a close as well.
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// The next status or result code.
    pub async fn code(&mut self) -> Option<String> {
        loop {
            let message = self.next().await?;
            if message.kind == message_type::COMMAND_AMF0 {
                let values = amf::decode(&message.payload).expect("valid AMF0");
                if let Some(code) = values.get(3).and_then(|info| info.get("code")).and_then(Value::as_str) {
                    return Some(code.to_owned());
                }
            }
        }
    }

    /// Reads until this code; the codes before it are the error.
    pub async fn until_code(&mut self, wanted: &str) {
        let mut seen = Vec::new();
        while let Some(code) = self.code().await {
            if code == wanted {
                return;
            }
            seen.push(code);
        }
        panic!("{wanted} did not come, but {seen:?}");
    }

    /// The next picture or sound: type, time, body.
    pub async fn media(&mut self) -> Option<(u8, u32, bytes::Bytes)> {
        loop {
            let message = self.next().await?;
            if matches!(message.kind, message_type::AUDIO | message_type::VIDEO) {
                return Some((message.kind, message.timestamp_ms, message.payload));
            }
        }
    }

    /// What the server still says until it closes, as text with the rest of the bytes between.
    pub async fn last_words(&mut self) -> String {
        let mut bytes = self.buffered.split().to_vec();
        let read = tokio::time::timeout(PATIENCE, self.socket.read_to_end(&mut bytes)).await;
        // A reset is a close as well.
        let _ = read.expect("the server closes the connection in time");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

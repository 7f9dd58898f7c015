//! LiveKit's signalling, to have the same load on it: two connections for each participant, as its SDKs without the single
//! one. In: a participant. Out: its connections' descriptions, to and from the threads.
//!
//! Its messages are Protocol Buffers; the dozen fields that are needed are written and read here
//! (livekit/protocol, `livekit_rtc.proto`; <https://protobuf.dev/programming-guides/encoding/>).

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::peer::Fallible;
use crate::stream::Plan;
use crate::threads::{Command, Threads};
use crate::{Context, Participant};

/// A participant without a word for 15 s is ended.
const PING: Duration = Duration::from_secs(5);

/// Fields of `SignalRequest`.
mod request {
    pub const OFFER: u64 = 1;
    pub const ANSWER: u64 = 2;
    pub const ADD_TRACK: u64 = 4;
    pub const PING: u64 = 14;
}

/// Fields of `SignalResponse`.
mod response {
    pub const JOIN: u64 = 1;
    pub const ANSWER: u64 = 2;
    pub const OFFER: u64 = 3;
    pub const TRICKLE: u64 = 4;
    pub const TRACK_PUBLISHED: u64 = 6;
    pub const LEAVE: u64 = 8;
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub async fn join(context: &Context, who: &Participant, tasks: &mut JoinSet<()>) -> Fallible<()> {
    let subscribes = u8::from(who.subscribes);
    let url =
        format!("{}/rtc?access_token={}&auto_subscribe={subscribes}&protocol=16&sdk=load", context.url, who.token);
    let (mut socket, _) = connect_async(url).await?;
    // What comes in between, for whoever reads after that.
    let mut before = Vec::new();
    wait(&mut socket, response::JOIN, &mut before).await?;
    if who.publishes {
        for (index, plans) in context.tracks.iter().enumerate() {
            send(&mut socket, request::ADD_TRACK, add_track(index, plans)).await?;
            wait(&mut socket, response::TRACK_PUBLISHED, &mut before).await?;
        }
        let (reply, offer) = oneshot::channel();
        let publish = Command::Publish(who.publishing(), context.ip, context.tracks.clone(), reply);
        context.threads.send(who.publishing(), publish);
        send(&mut socket, request::OFFER, description("offer", &offer.await??.0, 1)).await?;
        let answer = wait(&mut socket, response::ANSWER, &mut before).await?;
        context.threads.send(who.publishing(), Command::Accept(who.publishing(), sdp_of(&answer)));
    }
    let (threads, ip, who) = (context.threads.clone(), context.ip, who.clone());
    tasks.spawn(async move {
        if let Err(error) = follow(socket, before, &who, ip, threads).await {
            eprintln!("{}: {error}", who.id);
        }
    });
    Ok(())
}

async fn follow(
    mut socket: Socket,
    before: Vec<Bytes>,
    who: &Participant,
    ip: IpAddr,
    threads: Threads,
) -> Fallible<()> {
    for bytes in before {
        take(&mut socket, &bytes, who, ip, &threads).await?;
    }
    let mut ping = tokio::time::interval(PING);
    loop {
        tokio::select! {
            _ = ping.tick() => {
                let mut bytes = Vec::new();
                number(&mut bytes, request::PING, 1);
                socket.send(Message::binary(bytes)).await?;
            }
            message = socket.next() => {
                if let Message::Binary(bytes) = message.ok_or("the socket was closed")?? {
                    take(&mut socket, &bytes, who, ip, &threads).await?;
                }
            }
        }
    }
}

async fn take(socket: &mut Socket, bytes: &[u8], who: &Participant, ip: IpAddr, threads: &Threads) -> Fallible<()> {
    for (field, value) in fields(bytes) {
        match field {
            response::OFFER => {
                let (reply, answer) = oneshot::channel();
                let offer = Command::Subscribe(who.subscribing(), ip, who.begin, sdp_of(value), reply);
                threads.send(who.subscribing(), offer);
                let answer = description("answer", &answer.await??, number_of(value, 3));
                send(socket, request::ANSWER, answer).await?;
            }
            response::TRICKLE => {
                let candidate: Value = serde_json::from_str(&text_of(value, 1))?;
                let candidate = candidate["candidate"].as_str().unwrap_or_default().to_owned();
                let peer = if number_of(value, 2) == 1 { who.subscribing() } else { who.publishing() };
                if !candidate.is_empty() {
                    threads.send(peer, Command::Candidate(peer, candidate));
                }
            }
            response::LEAVE => return Err("sent away".into()),
            _ => {}
        }
    }
    Ok(())
}

/// The next message of a kind. What comes before it is kept.
async fn wait(socket: &mut Socket, wanted: u64, before: &mut Vec<Bytes>) -> Fallible<Vec<u8>> {
    while let Some(message) = socket.next().await {
        let Message::Binary(bytes) = message? else { continue };
        if let Some((_, value)) = fields(&bytes).into_iter().find(|(field, _)| *field == wanted) {
            return Ok(value.to_vec());
        }
        before.push(bytes);
    }
    Err("the socket was closed".into())
}

async fn send(socket: &mut Socket, field: u64, message: Vec<u8>) -> Fallible<()> {
    let mut bytes = Vec::new();
    nested(&mut bytes, field, &message);
    Ok(socket.send(Message::binary(bytes)).await?)
}

fn add_track(index: usize, plans: &[Plan]) -> Vec<u8> {
    let (plan, mut bytes) = (&plans[plans.len() - 1], Vec::new());
    nested(&mut bytes, 1, format!("load-{index}").as_bytes());
    number(&mut bytes, 3, u64::from(!plan.is_audio()));
    number(&mut bytes, 4, plan.width.into());
    number(&mut bytes, 5, plan.height.into());
    number(&mut bytes, 8, if plan.is_audio() { 2 } else { 1 });
    bytes
}

fn description(kind: &str, sdp: &str, id: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    nested(&mut bytes, 1, kind.as_bytes());
    nested(&mut bytes, 2, sdp.as_bytes());
    number(&mut bytes, 3, id);
    bytes
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn number(bytes: &mut Vec<u8>, field: u64, value: u64) {
    varint(bytes, field << 3);
    varint(bytes, value);
}

fn nested(bytes: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(bytes, field << 3 | 2);
    varint(bytes, value.len() as u64);
    bytes.extend_from_slice(value);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The fields of a message that have bytes, and of the others what stands in their place.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut all = Vec::new();
    while let Some(key) = read_varint(&mut bytes) {
        let begin = bytes;
        let length = match key & 7 {
            0 => read_varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            2 => read_varint(&mut bytes),
            5 => Some(4),
            _ => None,
        };
        let Some((value, rest)) = length.and_then(|length| bytes.split_at_checked(length as usize)) else { break };
        all.push((key >> 3, if key & 7 == 0 { &begin[..begin.len() - rest.len()] } else { value }));
        bytes = rest;
    }
    all
}

fn number_of(bytes: &[u8], field: u64) -> u64 {
    let found = fields(bytes).into_iter().find(|(at, _)| *at == field);
    found.and_then(|(_, mut value)| read_varint(&mut value)).unwrap_or(0)
}

fn text_of(bytes: &[u8], field: u64) -> String {
    let found = fields(bytes).into_iter().find(|(at, _)| *at == field);
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

fn sdp_of(bytes: &[u8]) -> String {
    text_of(bytes, 2)
}

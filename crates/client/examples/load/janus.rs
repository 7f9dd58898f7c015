//! The signalling of Janus's videoroom, to have the same load on it: a session and a handle for each connection.
//! In: a participant. Out: its connections' descriptions, to and from the threads.
//! <https://janus.conf.meetecho.com/docs/videoroom.html>

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::peer::Fallible;
use crate::threads::Command;
use crate::{Context, Participant};

/// A session without a word for 60 s is ended.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A room that is there already.
const EXISTS: u64 = 427;

struct Session {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    id: u64,
    requests: u64,
}

pub async fn join(context: &Context, who: &Participant, tasks: &mut JoinSet<()>) -> Fallible<()> {
    let mut session = Session::open(&context.url).await?;
    let handle = session.attach().await?;
    let room: u64 = who.room.parse()?;
    if who.publishes {
        session.publish(context, who, handle, room).await?;
    } else {
        session.subscribe(context, who, handle, room).await?;
    }
    tasks.spawn(session.keep(who.id));
    Ok(())
}

impl Session {
    async fn open(url: &str) -> Fallible<Session> {
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("janus-protocol"));
        let (socket, _) = connect_async(request).await?;
        let mut session = Session { socket, id: 0, requests: 0 };
        session.id = id_of(&session.request(json!({ "janus": "create" })).await?)?;
        Ok(session)
    }

    async fn attach(&mut self) -> Fallible<u64> {
        id_of(&self.request(json!({ "janus": "attach", "plugin": "janus.plugin.videoroom" })).await?)
    }

    async fn publish(&mut self, context: &Context, who: &Participant, handle: u64, room: u64) -> Fallible<()> {
        let create = json!({
            "request": "create", "room": room, "publishers": 1000, "bitrate": 0, "audiocodec": "opus", "videocodec": "vp8",
            "notify_joining": false,
        });
        let created = self.message(handle, create, None).await?;
        if let Some(code) = data(&created)["error_code"].as_u64().filter(|code| *code != EXISTS) {
            return Err(format!("no room: {code}").into());
        }
        let (reply, offer) = oneshot::channel();
        let command = Command::Publish(who.publishing(), context.ip, context.tracks.clone(), reply);
        context.threads.send(who.publishing(), command);
        let (sdp, _) = offer.await??;
        let join =
            json!({ "request": "joinandconfigure", "room": room, "ptype": "publisher", "display": display(who) });
        let answer = self.message(handle, join, Some(json!({ "type": "offer", "sdp": sdp }))).await?;
        context.threads.send(who.publishing(), Command::Accept(who.publishing(), sdp_of(&answer)?));
        Ok(())
    }

    async fn subscribe(&mut self, context: &Context, who: &Participant, handle: u64, room: u64) -> Fallible<()> {
        let list = self.message(handle, json!({ "request": "listparticipants", "room": room }), None).await?;
        let others = data(&list)["participants"].as_array().ok_or("a list of participants")?.iter();
        let others = others.filter(|one| one["display"] != display(who).as_str());
        let streams: Vec<Value> = others.map(|one| json!({ "feed": one["id"] })).collect();
        let join = json!({ "request": "join", "room": room, "ptype": "subscriber", "streams": streams });
        let offer = sdp_of(&self.message(handle, join, None).await?)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Subscribe(who.subscribing(), context.ip, who.begin, offer, reply);
        context.threads.send(who.subscribing(), command);
        let answer = json!({ "type": "answer", "sdp": answer.await?? });
        self.message(handle, json!({ "request": "start" }), Some(answer)).await?;
        Ok(())
    }

    async fn message(&mut self, handle: u64, body: Value, jsep: Option<Value>) -> Fallible<Value> {
        let mut message = json!({ "janus": "message", "handle_id": handle, "body": body });
        if let Some(jsep) = jsep {
            message["jsep"] = jsep;
        }
        self.request(message).await
    }

    /// Waits for the reply, not for the mere receipt.
    async fn request(&mut self, mut message: Value) -> Fallible<Value> {
        self.requests += 1;
        let transaction = self.requests.to_string();
        message["transaction"] = transaction.as_str().into();
        if self.id != 0 {
            message["session_id"] = self.id.into();
        }
        self.socket.send(Message::text(message.to_string())).await?;
        while let Some(reply) = self.socket.next().await {
            let Message::Text(text) = reply? else { continue };
            let reply: Value = serde_json::from_str(&text)?;
            if reply["transaction"] == transaction.as_str() && reply["janus"] != "ack" {
                return if reply["janus"] == "error" { Err(reply["error"].to_string().into()) } else { Ok(reply) };
            }
        }
        Err("the socket was closed".into())
    }

    async fn keep(mut self, id: usize) {
        let mut keep_alive = tokio::time::interval(KEEP_ALIVE);
        loop {
            tokio::select! {
                _ = keep_alive.tick() => {
                    let message = json!({ "janus": "keepalive", "session_id": self.id, "transaction": "keep" });
                    let _ = self.socket.send(Message::text(message.to_string())).await; // the next reading says it
                }
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) if text.contains("\"hangup\"") => eprintln!("{id}: {text}"),
                    Some(Ok(_)) => {}
                    _ => return eprintln!("{id}: the connection is over"),
                },
            }
        }
    }
}

fn display(who: &Participant) -> String {
    format!("load-{}", who.id)
}

fn data(reply: &Value) -> &Value {
    &reply["plugindata"]["data"]
}

fn id_of(reply: &Value) -> Fallible<u64> {
    reply["data"]["id"].as_u64().ok_or_else(|| format!("no id: {reply}").into())
}

fn sdp_of(reply: &Value) -> Fallible<String> {
    reply["jsep"]["sdp"].as_str().map(str::to_owned).ok_or_else(|| format!("no description: {reply}").into())
}

//! A small server that speaks the protocol of `docs/protocol.md` with one client, and breaks when it is told to.
//! A second participant, `p2`, publishes whatever the client publishes as its own track `t101`.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::disallowed_methods, reason = "a test has no app whose shutdown would wait, and sends little")]

pub mod media;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use media::{Command, MediaPeer, Report};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Server {
    pub address: String,
    pub hub: Arc<Mutex<Hub>>,
    /// What the media connections report.
    pub media: tokio::sync::Mutex<mpsc::UnboundedReceiver<(&'static str, Report)>>,
    cut: watch::Sender<u32>,
}

#[derive(Default)]
pub struct Hub {
    /// Requests that were carried out, in order.
    pub requests: Vec<Value>,
    /// Takes requests from the socket and loses them.
    pub deaf: bool,
    /// Carries requests out and loses the replies.
    pub mute: bool,
    /// Knows no session any more.
    pub forgetful: bool,
    /// Whether p2 publishes what the client does.
    pub echo: bool,
    pub publisher: Option<MediaPeer>,
    pub subscriber: Option<MediaPeer>,
    socket: Option<mpsc::UnboundedSender<Message>>,
    seq: u64,
    events: Vec<(u64, Value)>,
    replies: BTreeMap<u64, Value>,
    secrets: u32,
    tracks: u32,
    offers: u32,
    reports: Option<mpsc::UnboundedSender<(&'static str, Report)>>,
}

type Shared = Arc<Mutex<Hub>>;

impl Server {
    pub async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
        let address = format!("ws://{}/ws", listener.local_addr().expect("it is bound"));
        // Without a limit: a test takes seconds, in which a few thousand packets are reported. With one, a test that reads
        // late would hold the media up or lose what it looks for.
        let (reports, media) = mpsc::unbounded_channel();
        let hub = Arc::new(Mutex::new(Hub { reports: Some(reports), ..Hub::default() }));
        let (cut, _) = watch::channel(0);
        // Over with the test's runtime, as is what it begins: no test outlives its server.
        tokio::spawn(accept(listener, hub.clone(), cut.subscribe()));
        Server { address, hub, media: media.into(), cut }
    }

    pub fn hub(&self) -> std::sync::MutexGuard<'_, Hub> {
        self.hub.lock().expect("no test panics with it")
    }

    /// Breaks the socket.
    pub fn cut(&self) {
        self.hub().socket = None;
        self.cut.send_modify(|cut| *cut += 1);
    }

    pub fn event(&self, event: Value) {
        self.hub().event(event);
    }

    /// The next report that `select` wants.
    pub async fn report<T>(&self, mut select: impl FnMut(&'static str, Report) -> Option<T>) -> T {
        let mut media = self.media.lock().await;
        let found = async {
            loop {
                let (peer, report) = media.recv().await.expect("the server runs");
                if let Some(found) = select(peer, report) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it is reported in time")
    }

    /// Waits until a request was carried out.
    pub async fn requested(&self, select: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                if let Some(request) = self.hub().requests.iter().find(|request| select(request)) {
                    return request.clone();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it is requested in time")
    }

    pub fn count(&self, kind: &str) -> usize {
        self.hub().requests.iter().filter(|request| request["type"] == kind).count()
    }
}

#[allow(clippy::result_large_err)] // the callback's type is the library's
async fn accept(listener: TcpListener, hub: Shared, cut: watch::Receiver<u32>) {
    while let Ok((stream, _)) = listener.accept().await {
        let subprotocol = |request: &Request, mut response: Response| {
            assert_eq!(request.headers()["sec-websocket-protocol"], "telstar.v1");
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("telstar.v1"));
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, subprotocol).await.expect("a WebSocket");
        // One for each socket of the one client; over with it.
        tokio::spawn(serve(socket, hub.clone(), cut.clone()));
    }
}

async fn serve(socket: tokio_tungstenite::WebSocketStream<TcpStream>, hub: Shared, mut cut: watch::Receiver<u32>) {
    cut.mark_unchanged();
    let (mut sink, mut stream) = socket.split();
    // Without a limit: replies to one client and the events of a test, a few dozen.
    let (sender, mut outgoing) = mpsc::unbounded_channel::<Message>();
    loop {
        tokio::select! {
            _ = cut.changed() => return, // dropped without a close frame, as a broken network does
            Some(message) = outgoing.recv() => {
                if sink.send(message).await.is_err() {
                    return;
                }
            }
            message = stream.next() => {
                let Some(Ok(message)) = message else { return };
                let Message::Text(text) = message else { continue };
                let request: Value = serde_json::from_str(&text).expect("a request is JSON");
                hub.lock().expect("no test panics with it").take(&request, &sender, &hub);
            }
        }
    }
}

impl Hub {
    fn take(&mut self, request: &Value, socket: &mpsc::UnboundedSender<Message>, hub: &Shared) {
        if self.deaf {
            return;
        }
        let id = request["id"].as_u64().expect("an id");
        if request["type"] == "resume" {
            return self.resume(id, request, socket);
        }
        self.socket = Some(socket.clone());
        let mut reply = self.carry_out(request, hub);
        reply["re"] = id.into();
        self.requests.push(request.clone());
        assert!(self.replies.insert(id, reply.clone()).is_none(), "request {id} came twice");
        if !self.mute {
            self.send(&reply);
        }
        if request["type"] == "publish" && reply["ok"] == true {
            self.after_publish(&reply, hub);
        }
    }

    fn resume(&mut self, id: u64, request: &Value, socket: &mpsc::UnboundedSender<Message>) {
        let secret = format!("secret-{}", self.secrets);
        if self.forgetful || request["secret"] != secret.as_str() {
            let gone = json!({ "re": id, "ok": false, "error": { "code": "gone", "detail": "no such session" } });
            let _ = socket.send(Message::text(gone.to_string()));
            return;
        }
        self.secrets += 1;
        self.socket = Some(socket.clone());
        let pending: Vec<u64> =
            request["pending"].as_array().expect("a list").iter().filter_map(Value::as_u64).collect();
        let unknown: Vec<u64> = pending.iter().copied().filter(|id| !self.replies.contains_key(id)).collect();
        self.send(&json!({ "re": id, "ok": true, "session": self.session(), "unknown": unknown }));
        let seq = request["seq"].as_u64().expect("a number");
        let missed: Vec<Value> =
            self.events.iter().filter(|(at, _)| *at > seq).map(|(_, event)| event.clone()).collect();
        let replies: Vec<Value> = pending.iter().filter_map(|id| self.replies.get(id)).cloned().collect();
        missed.iter().chain(&replies).for_each(|message| self.send(message));
    }

    fn carry_out(&mut self, request: &Value, hub: &Shared) -> Value {
        let ok = json!({ "ok": true });
        match request["type"].as_str().expect("a type") {
            "authenticate" if request["token"] != "good" => refused("unauthorised"),
            "join" => json!({
                "ok": true, "topic": "call:demo", "offset": 0, "epoch": 1, "participant": "p1",
                "session": self.session(), "ice_servers": [],
                "state": { "name": "demo", "title": "Demo", "mode": "sfu", "participants": [participant("p1"), participant("p2")] },
            }),
            "publish" => self.publish(request, hub),
            "candidate" => {
                let peer = if request["connection"] == "publish" { &self.publisher } else { &self.subscriber };
                let candidate = request["candidate"].as_str().expect("a text").to_owned();
                peer.as_ref().expect("candidates follow descriptions").send(Command::Candidate(candidate));
                ok
            }
            "answer" => {
                let subscriber = self.subscriber.as_ref().expect("it was offered");
                subscriber.send(Command::Answer(request["sdp"].as_str().expect("a text").to_owned()));
                let slots = json!([{ "mid": mid_of(request), "track": "t101", "participant": "p2", "flow": "active", "layer": null }]);
                self.event(json!({ "type": "slots", "version": self.offers, "slots": slots }));
                ok
            }
            "restart-ice" => {
                self.offer();
                ok
            }
            "mute" if request["track"] == "t999" => refused("not_found"),
            _ => ok,
        }
    }

    fn publish(&mut self, request: &Value, hub: &Shared) -> Value {
        if self.publisher.is_none() {
            let (reports, hub) = (self.reports.clone().expect("set at the start"), hub.clone());
            self.publisher = Some(MediaPeer::start(move |report| {
                if let Report::Rtp(packet, None) = &report
                    && let Some(subscriber) = &hub.lock().expect("no test panics with it").subscriber
                {
                    subscriber.send(Command::Rtp(packet.clone()));
                }
                let _ = reports.send(("publish", report)); // the test is over
            }));
        }
        let offer = request["sdp"].as_str().expect("a text").to_owned();
        let Ok(sdp) = self.publisher.as_ref().expect("just made").answer_to(offer) else { return refused("bad_sdp") };
        let tracks = request["tracks"].as_array().expect("a list").iter().map(|track| {
            self.tracks += 1;
            json!({ "mid": track["mid"], "track": format!("t{}", self.tracks) })
        });
        json!({ "ok": true, "sdp": sdp, "tracks": tracks.collect::<Vec<Value>>() })
    }

    fn after_publish(&mut self, reply: &Value, hub: &Shared) {
        if self.echo && self.subscriber.is_none() && reply["tracks"][0].is_object() {
            self.event(json!({ "type": "track-published", "offset": 1, "epoch": 1, "participant": "p2", "track":
                { "id": "t101", "kind": "video", "source": "camera", "name": "", "muted": false, "muted_by": null, "codec": "VP8", "layers": [] } }));
            let (reports, _) = (self.reports.clone().expect("set at the start"), hub);
            self.subscriber = Some(MediaPeer::start(move |report| {
                let _ = reports.send(("subscribe", report)); // the test is over
            }));
            self.offer();
        }
    }

    fn offer(&mut self) {
        let sdp = self.subscriber.as_ref().expect("there is one").offer();
        self.offers += 1;
        self.event(json!({ "type": "offer", "version": self.offers, "sdp": sdp }));
    }

    pub fn event(&mut self, mut event: Value) {
        self.seq += 1;
        event["seq"] = self.seq.into();
        event["topic"] = "call:demo".into();
        self.events.push((self.seq, event.clone()));
        self.send(&event);
    }

    fn send(&self, message: &Value) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(Message::text(message.to_string())); // broken
        }
    }

    fn session(&self) -> Value {
        json!({ "id": "s1", "secret": format!("secret-{}", self.secrets), "resume_secs": 30 })
    }
}

fn refused(code: &str) -> Value {
    json!({ "ok": false, "error": { "code": code, "detail": "as the test wants" } })
}

pub fn participant(id: &str) -> Value {
    json!({
        "id": id, "identity": format!("identity of {id}"), "name": id, "kind": "browser", "metadata": "",
        "grants": ["publish", "subscribe"], "state": "active", "joined_at": "2026-01-31T12:00:00Z", "tracks": [],
    })
}

/// The first video section of a description.
fn mid_of(request: &Value) -> String {
    let sdp = request["sdp"].as_str().expect("a text");
    let video = sdp.find("m=video").expect("a video section");
    let mid = sdp[video..].lines().find_map(|line| line.strip_prefix("a=mid:")).expect("a mid");
    mid.trim().to_owned()
}

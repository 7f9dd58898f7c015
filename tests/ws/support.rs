//! What a WebSocket client adds to the server of a test: upgrades, and a client that expects.

use futures_util::{SinkExt, StreamExt};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

#[allow(dead_code, reason = "shared with the tests of the ground, which use all of it")]
#[path = "../support/mod.rs"]
mod server;

pub use server::{PATIENCE, Rig};

/// An HTTP answer, its body as text, and as JSON if it is that.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Answer {
    /// The content security policy.
    pub fn policy(&self) -> &str {
        self.headers["content-security-policy"].to_str().expect("headers are ASCII")
    }
}

impl Rig {
    pub fn host(&self) -> String {
        self.running.addresses().http.expect("HTTP is on").to_string()
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.host())
    }

    /// One request of the API with this token.
    pub async fn api(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let answer = self.ask(method, path, &[("authorization", &format!("Bearer {token}"))], body).await;
        assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.text);
        answer
    }

    /// One request as a page of the server's own origin sends it.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let method = method.parse().expect("a method");
        let mut request = self.request(method, path).header("origin", self.origin());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("the body is text");
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text }
    }

    /// An upgrade request as a program sends it.
    pub fn upgrade(&self, headers: &[(&'static str, &str)]) -> Request {
        let mut request = format!("ws://{}/ws", self.host()).into_client_request().expect("a URL");
        let all = [("sec-websocket-protocol", "telstar.v1")].into_iter().chain(headers.iter().copied());
        for (name, value) in all.filter(|(_, value)| !value.is_empty()) {
            request.headers_mut().append(name, value.parse().expect("a header value"));
        }
        request
    }

    pub async fn connect(&self) -> Client {
        self.connect_with(&[]).await
    }

    pub async fn connect_with(&self, headers: &[(&'static str, &str)]) -> Client {
        let (socket, response) =
            tokio_tungstenite::connect_async(self.upgrade(headers)).await.expect("the upgrade is accepted");
        assert_eq!(response.headers()["sec-websocket-protocol"], "telstar.v1");
        Client { socket, next_id: 1, seq: 0 }
    }

    /// A connection over a stream of one's own.
    pub async fn connect_over(&self, stream: TcpStream) -> Client {
        let stream = MaybeTlsStream::Plain(stream);
        let (socket, _) =
            tokio_tungstenite::client_async(self.upgrade(&[]), stream).await.expect("the upgrade is accepted");
        Client { socket, next_id: 1, seq: 0 }
    }

    /// The status and problem code with which an upgrade is refused.
    pub async fn refused(&self, request: Request) -> (u16, String) {
        match tokio_tungstenite::connect_async(request).await {
            Err(Error::Http(response)) => {
                assert_eq!(response.headers()["content-type"], "application/problem+json");
                let body = response.body().as_deref().unwrap_or_default();
                let problem: Value = serde_json::from_slice(body).expect("a problem");
                (response.status().as_u16(), problem["code"].as_str().expect("a code").to_owned())
            }
            Err(other) => panic!("not an HTTP answer: {other}"),
            Ok(_) => panic!("the upgrade was accepted"),
        }
    }
}

/// A connection that reads in order and checks `seq` as it goes.
pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    seq: u64,
}

impl Client {
    /// The number of the last event.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Comes back on this socket: the reply to `resume`, after which events go on behind `seq`.
    pub async fn resume(&mut self, session: &Value, seq: u64, pending: &[u64]) -> Value {
        let (id, secret) = (&session["id"], &session["secret"]);
        let request = json!({ "type": "resume", "session": id, "secret": secret, "seq": seq, "pending": pending });
        let id = self.request(request).await;
        self.seq = seq;
        let reply = self.next().await;
        assert_eq!(reply["re"], id, "nothing comes before the reply");
        self.next_id = self.next_id.max(pending.iter().max().map_or(0, |last| last + 1));
        reply
    }

    pub async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.expect("the socket takes a message");
    }

    /// Sends a request; its id.
    pub async fn request(&mut self, mut request: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        request["id"] = json!(id);
        self.send(request.to_string()).await;
        id
    }

    /// Sends a request and reads up to its reply; events in between are lost.
    pub async fn ask(&mut self, request: Value) -> Value {
        let id = self.request(request).await;
        self.until(|message| message["re"] == id).await
    }

    pub async fn subscribe(&mut self, topic: &str) -> Value {
        self.ask(json!({ "type": "subscribe", "topic": topic })).await
    }

    pub async fn authenticate(&mut self, token: &str) -> Value {
        self.ask(json!({ "type": "authenticate", "token": token })).await
    }

    /// The first message for which this holds.
    #[track_caller]
    pub fn until(&mut self, holds: impl Fn(&Value) -> bool) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        let mut seen = Vec::new();
        async move {
            let found = async {
                loop {
                    let message = self.next().await;
                    if holds(&message) {
                        return message;
                    }
                    seen.push(message);
                }
            };
            // Keep-alives go on for ever, so the patience is for all messages together.
            let found = tokio::time::timeout(PATIENCE, found).await;
            found.unwrap_or_else(|_| panic!("what {caller} waits for never comes: {seen:#?}"))
        }
    }

    pub async fn next(&mut self) -> Value {
        loop {
            match self.frame().await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("the server speaks JSON");
                    if let Some(seq) = message.get("seq") {
                        self.seq += 1;
                        assert_eq!(*seq, self.seq, "seq has no gap");
                    }
                    return message;
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a message: {other:?}"),
            }
        }
    }

    pub async fn frame(&mut self) -> Option<Result<Message, Error>> {
        tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("the server says something")
    }

    /// Reads to the end; the close code.
    pub async fn closed(mut self) -> u16 {
        loop {
            match self.frame().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("expected a close frame: {other:?}"),
            }
        }
    }
}

/// The error code of a reply, or `ok`.
pub fn code(reply: &Value) -> &str {
    reply["error"]["code"].as_str().unwrap_or(if reply["ok"] == true { "ok" } else { "neither" })
}

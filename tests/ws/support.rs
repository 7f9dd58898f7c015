//! A server of its own for each test, and a client that expects.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use telstar::config::address::Listen;
use telstar::{Config, Running, Server};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Longer than anything here takes on a loaded machine: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server and its data folder.
pub struct Rig {
    pub running: Running,
    _data: TempDir,
}

/// The status line's code, the headers and the body of an HTTP answer: as text, and as JSON if it is that.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub text: String,
    pub body: Value,
}

impl Rig {
    pub async fn start() -> Rig {
        Rig::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Rig {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::default();
        config.general.data = data.path().join("data");
        config.general.http = Listen::At(([127, 0, 0, 1], 0).into());
        config.general.https = Listen::Off;
        config.general.rtmp = Listen::Off;
        change(&mut config);
        Rig { running: Server::start(config).await.expect("the server starts"), _data: data }
    }

    pub fn host(&self) -> String {
        self.running.addresses().http.expect("HTTP is on").to_string()
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.host())
    }

    /// An API token of the first account.
    pub async fn token(&self, lifetime_secs: i64) -> String {
        let state = self.running.state();
        let admin = state.store.first_admin().await.expect("the store answers").expect("there is an admin");
        let minted = state.authority.create_api_token(admin.id, lifetime_secs).await.expect("a token");
        minted.secret.expose().to_owned()
    }

    /// The cookie of a browser that has just signed in.
    pub async fn cookie(&self) -> String {
        let code = self.running.sign_in_code().expect("this is the first start").expose().to_owned();
        let answer = self.http("POST", "/api/v1/sessions", &[], Some(json!({ "code": code }))).await;
        assert!(answer.status < 300, "{}", answer.head);
        let line = answer.head.lines().find(|line| line.to_ascii_lowercase().starts_with("set-cookie:"));
        let cookie = line.and_then(|line| line.split_once(':')).and_then(|(_, value)| value.split(';').next());
        cookie.expect("a cookie is set").trim().to_owned()
    }

    /// One request of the API with this token.
    pub async fn api(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let answer = self.http(method, path, &[("authorization", &format!("Bearer {token}"))], body).await;
        assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.text);
        answer
    }

    pub async fn http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let mut stream = TcpStream::connect(self.host()).await.expect("the server listens");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.host());
        request += &format!("origin: {}\r\ncontent-type: application/json\r\n", self.origin());
        headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
        request += &format!("content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.expect("the request is written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("the answer is read");
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let text = body.to_owned();
        Answer { status, head: head.to_owned(), body: serde_json::from_str(&text).unwrap_or(Value::Null), text }
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

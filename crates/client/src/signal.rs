//! One signalling connection: requests and replies, events, and its resumption on a new socket.
//! In: [`Request`]s. Out: replies and [`Event`]s. One task owns the socket.
//!
//! When the socket breaks, requests wait and events stop; within the time that the server granted, a new socket takes
//! over with `resume`, and nothing is lost or doubled: what the server had not seen is sent again, and it replays what
//! this client had not seen.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use crate::Error;
use crate::wire::{Event, Refusal, Request, Session};

/// Requests without a reply. Beyond it, further ones wait in the queue; more would only hide a server that is stuck.
const REQUESTS_MAX: usize = 64;
/// Requests that wait for the task. A full queue makes [`Signal::request`] wait and [`Signal::send`] fail.
const QUEUE_MAX: usize = 256;
/// Events that nobody has read. Beyond it the socket is not read, until the server calls this client slow.
const EVENTS_MAX: usize = 1024;
/// Silence after which a socket is taken for dead. The server pings after 20 s of silence.
const SILENCE_MAX: Duration = Duration::from_secs(50);
/// For opening a socket and for the reply to `resume`; less gives up on slow networks, more delays the next attempt.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// The pauses between attempts grow from the first to the second, each shortened at random by up to a half.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(4));
/// Close codes after which coming back would end the same way: see `docs/protocol.md`, "Close codes".
const FINAL_CODES: [u16; 4] = [1009, 4400, 4401, 4410];
const SUBPROTOCOL: &str = "telstar.v1";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What TLS trusts; `None` trusts what the operating system does.
pub(crate) type Tls = Option<std::sync::Arc<rustls::ClientConfig>>;

/// A handle to the connection. When the last one is dropped, the socket is closed.
#[derive(Clone)]
pub struct Signal {
    commands: mpsc::Sender<Command>,
    peer: Option<IpAddr>,
}

struct Command {
    request: Request,
    reply: Option<oneshot::Sender<Result<Value, Error>>>,
}

/// A request on its way.
pub struct Pending(oneshot::Receiver<Result<Value, Error>>);

impl Pending {
    /// Waits for the reply.
    pub async fn reply(self) -> Result<Value, Error> {
        self.0.await.unwrap_or_else(|_| Err(Error::Closed("the connection ended before the reply".into())))
    }
}

impl Signal {
    /// Opens the socket; the receiver gets every event in order.
    pub(crate) async fn open(address: &str, tls: Tls) -> Result<(Signal, mpsc::Receiver<Event>), Error> {
        let socket = open_socket(address, &tls).await?;
        let peer = peer_of(&socket);
        let (commands, queue) = mpsc::channel(QUEUE_MAX);
        let (sink, events) = mpsc::channel(EVENTS_MAX);
        let task = Task {
            address: address.to_owned(),
            tls,
            queue,
            sink,
            backlog: VecDeque::new(),
            pending: BTreeMap::new(),
            next_id: 1,
            seq: 0,
            session: None,
        };
        crate::spawn(task.run(socket));
        Ok((Signal { commands, peer }, events))
    }

    /// The server's address.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Puts a request into the queue; requests are carried out in order, so that several can be on their way.
    pub async fn begin(&self, request: Request) -> Result<Pending, Error> {
        let (reply, receiver) = oneshot::channel();
        let command = Command { request, reply: Some(reply) };
        self.commands.send(command).await.map_err(|_| closed())?;
        Ok(Pending(receiver))
    }

    /// Sends a request and waits for its reply.
    pub async fn request(&self, request: Request) -> Result<Value, Error> {
        self.begin(request).await?.reply().await
    }

    /// Sends a request whose reply does not matter. Never waits, so that an event's handler may call it.
    pub fn send(&self, request: Request) -> Result<(), Error> {
        self.commands.try_send(Command { request, reply: None }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Closed("too many requests are waiting".into()),
            mpsc::error::TrySendError::Closed(_) => closed(),
        })
    }
}

fn closed() -> Error {
    Error::Closed("the connection has ended".into())
}

/// A request that was sent and not answered: its text, to send it again after a resume.
struct Sent {
    text: String,
    reply: Option<oneshot::Sender<Result<Value, Error>>>,
}

/// Why a socket is no longer pumped.
enum End {
    /// No handle is left.
    Unused,
    /// It broke, or the server asked to come back.
    Broken(String),
    /// The server does not want this client back.
    Final(String),
}

/// What a message of the server is, before it is known which.
#[derive(Deserialize)]
struct Incoming {
    re: Option<u64>,
    #[serde(default)]
    ok: bool,
    error: Option<Refusal>,
    seq: Option<u64>,
}

struct Task {
    address: String,
    tls: Tls,
    queue: mpsc::Receiver<Command>,
    sink: mpsc::Sender<Event>,
    backlog: VecDeque<Event>,
    pending: BTreeMap<u64, Sent>,
    next_id: u64,
    seq: u64,
    session: Option<Session>,
}

impl Task {
    async fn run(mut self, mut socket: Socket) {
        loop {
            let reason = match self.pump(&mut socket).await {
                End::Unused => {
                    let _ = timeout(ATTEMPT_MAX, socket.close(None)).await;
                    return;
                }
                End::Final(reason) => return self.give_up(&reason),
                End::Broken(reason) => reason,
            };
            let Some(session) = self.session.take() else { return self.give_up(&reason) };
            self.backlog.push_back(Event::Reconnecting);
            for event in self.backlog.drain(..) {
                let _ = self.sink.send(event).await; // nobody reads events any more
            }
            match self.come_back(session).await {
                Ok(resumed) => socket = resumed,
                Err(error) => return self.give_up(&format!("{reason}; {error}")),
            }
            self.backlog.push_back(Event::Resumed);
        }
    }

    /// Ends everything that waits; the events' end follows from dropping the sink.
    fn give_up(mut self, reason: &str) {
        self.queue.close();
        for sent in std::mem::take(&mut self.pending).into_values() {
            answer(sent.reply, Err(Error::Closed(reason.to_owned())));
        }
        while let Ok(command) = self.queue.try_recv() {
            answer(command.reply, Err(Error::Closed(reason.to_owned())));
        }
    }

    async fn pump(&mut self, socket: &mut Socket) -> End {
        let mut heard = Instant::now();
        let sink = self.sink.clone();
        loop {
            tokio::select! {
                permit = sink.reserve(), if !self.backlog.is_empty() => {
                    // Nobody reads events any more: they are dropped, the requests go on.
                    let event = self.backlog.pop_front();
                    if let (Ok(permit), Some(event)) = (permit, event) {
                        permit.send(event);
                    }
                }
                message = timeout_at(heard + SILENCE_MAX, socket.next()), if self.backlog.is_empty() => {
                    heard = Instant::now();
                    match message {
                        Ok(Some(Ok(message))) => {
                            if let Some(end) = self.take(message) {
                                return end;
                            }
                        }
                        Ok(Some(Err(error))) => return End::Broken(error.to_string()),
                        Ok(None) => return End::Broken("the server closed the socket".into()),
                        Err(_) => return End::Broken("nothing was heard for too long".into()),
                    }
                }
                command = self.queue.recv(), if self.pending.len() < REQUESTS_MAX => {
                    let Some(command) = command else { return End::Unused };
                    let text = self.remember(command);
                    if let Err(error) = socket.send(Message::text(text)).await {
                        return End::Broken(error.to_string());
                    }
                }
            }
        }
    }

    fn remember(&mut self, command: Command) -> String {
        let id = self.next_id;
        self.next_id += 1;
        let text = envelope(id, &command.request);
        self.pending.insert(id, Sent { text: text.clone(), reply: command.reply });
        text
    }

    /// Takes one message. `Some` ends the socket.
    fn take(&mut self, message: Message) -> Option<End> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(frame) => {
                let code = frame.as_ref().map_or(1005, |frame| u16::from(frame.code));
                let reason = format!("the server closed the socket with {code}");
                return Some(if FINAL_CODES.contains(&code) { End::Final(reason) } else { End::Broken(reason) });
            }
            _ => return None, // pings are answered by the WebSocket itself
        };
        let Ok(incoming) = serde_json::from_str::<Incoming>(&text) else {
            return Some(End::Final("a message of the server cannot be read".into()));
        };
        if let Some(id) = incoming.re {
            self.take_reply(id, incoming, &text);
        } else if incoming.seq.is_some_and(|seq| seq > self.seq) {
            self.seq = incoming.seq.unwrap_or(self.seq);
            // An event that this client cannot read is one that it does not know.
            self.backlog.push_back(serde_json::from_str(&text).unwrap_or(Event::Unknown));
        }
        None
    }

    fn take_reply(&mut self, id: u64, incoming: Incoming, text: &str) {
        let Some(sent) = self.pending.remove(&id) else { return };
        if !incoming.ok {
            let unknown = Refusal { code: "unknown".into(), detail: text.to_owned() };
            return answer(sent.reply, Err(Error::Refused(incoming.error.unwrap_or(unknown))));
        }
        let value = serde_json::from_str::<Value>(text).map_err(|error| Error::Protocol(error.to_string()));
        if let Ok(value) = &value
            && let Some(session) = value.get("session")
            && let Ok(session) = Session::deserialize(session)
        {
            self.session = Some(session);
        }
        answer(sent.reply, value);
    }

    /// Tries to resume until the time is over.
    async fn come_back(&mut self, session: Session) -> Result<Socket, Error> {
        let deadline = Instant::now() + Duration::from_secs(session.resume_secs);
        let mut pause = PAUSES.0;
        loop {
            if self.queue.is_closed() && self.queue.is_empty() {
                return Err(closed());
            }
            match timeout(ATTEMPT_MAX, self.resume(&session)).await {
                Ok(Err(error @ Error::Refused(_))) => return Err(error),
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(_)) | Err(_) => {}
            }
            if Instant::now() + pause > deadline {
                return Err(Error::Closed("it could not be resumed in time".into()));
            }
            sleep(pause.mul_f64(1.0 - crate::random_unit() / 2.0)).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn resume(&mut self, session: &Session) -> Result<Socket, Error> {
        let mut socket = open_socket(&self.address, &self.tls).await?;
        let id = self.next_id;
        self.next_id += 1;
        let request = Request::Resume {
            session: session.id.clone(),
            secret: session.secret.clone(),
            seq: self.seq,
            pending: self.pending.keys().copied().collect(),
        };
        socket.send(Message::text(envelope(id, &request))).await.map_err(broken)?;
        let reply = loop {
            let Some(message) = socket.next().await else { return Err(closed()) };
            let Message::Text(text) = message.map_err(broken)? else { continue };
            let value: Value = serde_json::from_str(&text).map_err(|error| Error::Protocol(error.to_string()))?;
            if value.get("re").and_then(Value::as_u64) == Some(id) {
                break value;
            }
        };
        let resumed = Resumed::deserialize(&reply).map_err(|error| Error::Protocol(error.to_string()))?;
        let Some(next) = resumed.session.filter(|_| resumed.ok) else {
            let gone = Refusal { code: "gone".into(), detail: String::new() };
            return Err(Error::Refused(resumed.error.unwrap_or(gone)));
        };
        self.session = Some(next);
        for sent in resumed.unknown.iter().filter_map(|id| self.pending.get(id)) {
            socket.send(Message::text(sent.text.clone())).await.map_err(broken)?;
        }
        Ok(socket)
    }
}

#[derive(Deserialize)]
struct Resumed {
    ok: bool,
    error: Option<Refusal>,
    session: Option<Session>,
    #[serde(default)]
    unknown: Vec<u64>,
}

fn answer(reply: Option<oneshot::Sender<Result<Value, Error>>>, with: Result<Value, Error>) {
    if let Some(reply) = reply {
        let _ = reply.send(with); // whoever asked may have gone
    }
}

fn broken(error: tungstenite::Error) -> Error {
    Error::Connect(Box::new(error))
}

fn envelope(id: u64, request: &Request) -> String {
    #[derive(Serialize)]
    struct Envelope<'a> {
        id: u64,
        #[serde(flatten)]
        request: &'a Request,
    }
    serde_json::to_string(&Envelope { id, request }).expect("a request has only text keys")
}

async fn open_socket(address: &str, tls: &Tls) -> Result<Socket, Error> {
    let mut request = address.into_client_request().map_err(|_| Error::Address(address.to_owned()))?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    let connector = tls.clone().map(Connector::Rustls);
    let opened = timeout(ATTEMPT_MAX, connect_async_tls_with_config(request, None, true, connector)).await;
    let opened = opened.map_err(|_| Error::Closed("the server did not answer in time".into()))?;
    Ok(opened.map_err(broken)?.0)
}

fn peer_of(socket: &Socket) -> Option<IpAddr> {
    let stream = match socket.get_ref() {
        MaybeTlsStream::Plain(stream) => stream,
        MaybeTlsStream::Rustls(stream) => stream.get_ref().0,
        _ => return None,
    };
    stream.peer_addr().ok().map(|address| address.ip())
}

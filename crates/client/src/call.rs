//! A joined call. In: what the application wants. Out: tracks, [`Event`]s.
//!
//! One task ([`task`]) does what the server's events ask for.

mod task;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::{broadcast, mpsc};
use webrtc::peer_connection::StatsSelector;

use crate::media::engine::{Peer, PeerEvent};
use crate::media::local::{LayerState, LocalTrack, LocalTrackOptions};
use crate::media::paths::Paths;
use crate::media::publisher::Publisher;
use crate::media::remote::{RemoteTrack, Routes};
use crate::signal::Signal;
use crate::wire::{Direction, Event, IceServer, Joined, Participant, Request, Subscription};
use crate::{Error, Stats, spawn};
use task::Engine;

/// Events that a reader has not read. Beyond it the oldest are dropped, and the reader is told how many.
const EVENTS_MAX: usize = 1024;
/// What the engine's driver told and the call's task has not taken. Beyond it events are lost; there are few of them.
const PEER_EVENTS_MAX: usize = 256;

/// The reason in [`Event::Left`] when the socket broke and could not be resumed. Join anew.
const CONNECTION_LOST: &str = "connection-lost";

/// A joined call. Dropping it closes its connections; [`Call::leave`] says goodbye first.
pub struct Call {
    inner: Arc<Inner>,
    engine: tokio::task::JoinHandle<()>,
}

/// What [`Call`] and its task share.
struct Inner {
    id: String,
    signal: Signal,
    servers: Vec<IceServer>,
    paths: Paths,
    /// Gone when the call is over, which ends every reader.
    events: Mutex<Option<broadcast::Sender<Event>>>,
    peer_events: mpsc::Sender<PeerEvent>,
    participants: Mutex<Vec<Participant>>,
    own_layers: Mutex<Vec<(String, Arc<[LayerState]>)>>,
    routes: Arc<Routes>,
    publisher: tokio::sync::Mutex<Option<Publisher>>,
    subscriber: tokio::sync::Mutex<Option<Peer>>,
}

/// The events of a call.
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    /// The next event; `None` when the call is over.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Event::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Call {
    pub(crate) fn start(signal: Signal, events: mpsc::Receiver<Event>, joined: Joined, paths: Paths) -> Call {
        let (peer_events, from_peers) = mpsc::channel(PEER_EVENTS_MAX);
        let inner = Arc::new(Inner {
            id: joined.participant,
            signal,
            servers: joined.ice_servers,
            paths,
            events: Mutex::new(Some(broadcast::Sender::new(EVENTS_MAX))),
            peer_events,
            participants: Mutex::new(joined.state.participants),
            own_layers: Mutex::default(),
            routes: Arc::default(),
            publisher: tokio::sync::Mutex::default(),
            subscriber: tokio::sync::Mutex::default(),
        });
        let engine = Engine { inner: inner.clone() };
        let engine = spawn(engine.run(events, from_peers));
        Call { inner, engine }
    }

    /// One's own id, such as `p7`.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Who is there now, oneself included.
    pub fn participants(&self) -> Vec<Participant> {
        self.inner.participants().clone()
    }

    /// Everything that happens from now on. May be called more than once; each reader gets everything.
    pub fn events(&self) -> Events {
        let events = self.inner.events.lock().expect("no one panics with it");
        // The readers of a call that is over end at once.
        Events(events.as_ref().map_or_else(|| broadcast::Sender::new(1).subscribe(), broadcast::Sender::subscribe))
    }

    /// Publishes a track.
    pub async fn publish(&self, options: LocalTrackOptions) -> Result<LocalTrack, Error> {
        let mut publisher = self.inner.publisher.lock().await;
        let track = self.inner.publisher_of(&mut publisher).await?.publish(options).await?;
        self.inner.own_layers().push((track.id().to_owned(), track.state()));
        Ok(track)
    }

    /// Removes an own track from the call.
    pub async fn unpublish(&self, track: &str) -> Result<(), Error> {
        self.inner.own_layers().retain(|(id, _)| id != track);
        self.inner.signal.request(Request::Unpublish { track: track.to_owned() }).await?;
        match self.inner.publisher.lock().await.as_mut() {
            Some(publisher) => publisher.unpublish(track).await,
            None => Ok(()),
        }
    }

    /// Reads a track, and asks the server for it.
    pub async fn subscribe(&self, track: &str, subscription: Subscription) -> Result<RemoteTrack, Error> {
        let remote = self.inner.routes.subscribe(track);
        self.update_subscription(track, subscription).await?;
        // Whoever was sent this track before it was read needs a picture to begin with.
        remote.request_keyframe().await?;
        Ok(remote)
    }

    /// Says how a track is wanted.
    pub async fn update_subscription(&self, track: &str, subscription: Subscription) -> Result<(), Error> {
        self.ask(Request::UpdateSubscription { track: track.to_owned(), subscription }).await
    }

    /// Mutes or unmutes a track; a moderator may mute another's.
    pub async fn mute(&self, track: &str, muted: bool) -> Result<(), Error> {
        self.ask(Request::Mute { track: track.to_owned(), muted }).await
    }

    /// Sends data to some or, if nobody is named, to all; reliably and in order.
    pub async fn send_data(&self, to: &[&str], label: Option<&str>, data: Value) -> Result<(), Error> {
        let to = to.iter().map(|id| (*id).to_owned()).collect();
        self.ask(Request::SendData { to, label: label.map(str::to_owned), data }).await
    }

    /// Sends data that may be lost or overtaken, at the price of a packet. Arrives as [`Event::Lossy`].
    pub async fn send_lossy(&self, to: &[&str], payload: &[u8]) -> Result<(), Error> {
        let numbers = to.iter().map(|id| number_of(id)).collect::<Result<Vec<u32>, Error>>()?;
        let mut publisher = self.inner.publisher.lock().await;
        self.inner.publisher_of(&mut publisher).await?.send_lossy(&numbers, payload).await
    }

    /// Any other request of the protocol.
    pub async fn ask(&self, request: Request) -> Result<(), Error> {
        self.inner.signal.request(request).await.map(|_| ())
    }

    /// New paths for both connections, as after a change of network. Happens by itself when a connection fails.
    pub async fn restart_ice(&self) -> Result<(), Error> {
        if let Some(publisher) = self.inner.publisher.lock().await.as_mut() {
            publisher.restart_ice().await?;
        }
        if self.inner.subscriber.lock().await.is_some() {
            self.ask(Request::RestartIce {}).await?;
        }
        Ok(())
    }

    /// What a connection has sent and received; `None` while there is none.
    pub async fn stats(&self, direction: Direction) -> Option<Stats> {
        let connection = match direction {
            Direction::Publish => self.inner.publisher.lock().await.as_ref()?.peer.connection.clone(),
            Direction::Subscribe => self.inner.subscriber.lock().await.as_ref()?.connection.clone(),
        };
        Some(connection.get_stats(Instant::now(), StatsSelector::None).await)
    }

    /// Says goodbye and ends the call. That it is over already is no error.
    pub async fn leave(self) -> Result<(), Error> {
        let left = self.ask(Request::Leave {}).await;
        self.inner.close().await;
        match left {
            Err(Error::Closed(_)) => Ok(()),
            Err(error) if error.code() == Some("not_joined") => Ok(()),
            left => left,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.engine.abort();
        let inner = self.inner.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { inner.close().await });
        }
    }
}

/// The number in `p7` or `t9`.
fn number_of(id: &str) -> Result<u32, Error> {
    let number = id.get(1..).and_then(|number| number.parse().ok());
    number.ok_or_else(|| Error::Protocol(format!("not an id: {id}")))
}

impl Inner {
    fn participants(&self) -> std::sync::MutexGuard<'_, Vec<Participant>> {
        self.participants.lock().expect("no one panics with it")
    }

    fn own_layers(&self) -> std::sync::MutexGuard<'_, Vec<(String, Arc<[LayerState]>)>> {
        self.own_layers.lock().expect("no one panics with it")
    }

    /// The publishing connection, made at its first use.
    async fn publisher_of<'a>(&self, publisher: &'a mut Option<Publisher>) -> Result<&'a mut Publisher, Error> {
        if publisher.is_none() {
            let events = self.peer_events.clone();
            *publisher = Some(Publisher::new(self.signal.clone(), &self.servers, &self.paths, events).await?);
        }
        Ok(publisher.as_mut().expect("it was just made"))
    }

    /// Tells every reader; there may be none.
    fn tell(&self, event: Event) {
        if let Some(events) = &*self.events.lock().expect("no one panics with it") {
            let _ = events.send(event);
        }
    }

    async fn close(&self) {
        self.events.lock().expect("no one panics with it").take();
        self.routes.end_all();
        let publisher = self.publisher.lock().await.take().map(|publisher| publisher.peer);
        let subscriber = self.subscriber.lock().await.take();
        for peer in [publisher, subscriber].into_iter().flatten() {
            let _ = peer.connection.close().await; // it is going anyway
        }
    }
}

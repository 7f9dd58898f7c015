//! The task of a call: takes the server's events in order, answers offers, keeps the list of participants, and passes
//! every event on. In: the server's events and the peer connections'. Out: requests, changes of the shared state.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{Buf, Bytes};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::RTCPeerConnectionState;

use super::{CONNECTION_LOST, Inner};
use crate::media::engine::{Peer, PeerEvent};
use crate::media::publisher::LOSSY_LABEL;
use crate::wire::{Demand, Direction, Event, Participant, Request};
use crate::{Error, spawn};

pub(super) struct Engine {
    pub inner: Arc<Inner>,
}

impl Engine {
    pub async fn run(self, mut events: mpsc::Receiver<Event>, mut from_peers: mpsc::Receiver<PeerEvent>) {
        loop {
            tokio::select! {
                event = events.recv() => {
                    let event = event.unwrap_or_else(|| Event::Left { reason: CONNECTION_LOST.into() });
                    self.take(&event).await;
                    let over = matches!(event, Event::Left { .. });
                    self.inner.tell(event);
                    if over {
                        break;
                    }
                }
                event = from_peers.recv() => {
                    if let Some(event) = event {
                        self.take_peer(event).await;
                    }
                }
            }
        }
        self.inner.close().await;
    }

    async fn take(&self, event: &Event) {
        match event {
            Event::Offer { version, sdp } => {
                if let Err(error) = self.answer(*version, sdp).await {
                    let reason = error.to_string();
                    self.inner.tell(Event::MediaFailed { connection: Direction::Subscribe, reason });
                }
            }
            Event::Candidate { connection, candidate } => self.add_candidate(*connection, candidate).await,
            Event::Slots { slots, .. } => self.inner.routes.assign(slots),
            Event::Demand { tracks } => self.apply_demand(tracks),
            Event::MediaFailed { connection, .. } => self.media_failed(*connection).await,
            Event::Grants { grants } => self.grants_changed(grants).await,
            _ => self.note(event),
        }
    }

    /// Keeps the list of participants.
    fn note(&self, event: &Event) {
        let mut all = self.inner.participants();
        let find = |id: &str| all.iter().position(|one| one.id == id);
        match event {
            Event::ParticipantJoined { participant } => match find(&participant.id) {
                Some(index) => all[index] = participant.clone(),
                None => all.push(participant.clone()),
            },
            Event::ParticipantUpdated { participant } => {
                if let Some(index) = find(&participant.id) {
                    let tracks = std::mem::take(&mut all[index].tracks);
                    all[index] = Participant { tracks, ..participant.clone() };
                }
            }
            Event::ParticipantLeft { participant, .. } => {
                if let Some(index) = find(participant) {
                    let gone = all.remove(index);
                    gone.tracks.iter().for_each(|track| self.inner.routes.end(&track.id));
                }
            }
            Event::TrackPublished { participant, track } | Event::TrackUpdated { participant, track } => {
                if let Some(index) = find(participant) {
                    let tracks = &mut all[index].tracks;
                    tracks.retain(|one| one.id != track.id);
                    tracks.push(track.clone());
                }
            }
            Event::TrackUnpublished { participant, track } => {
                self.inner.routes.end(track);
                if let Some(index) = find(participant) {
                    all[index].tracks.retain(|one| one.id != *track);
                }
            }
            _ => {}
        }
    }

    fn apply_demand(&self, demands: &[Demand]) {
        let own = self.inner.own_layers();
        for demand in demands {
            let Some((_, layers)) = own.iter().find(|(id, _)| *id == demand.track) else { continue };
            for layer in layers.iter() {
                let wanted = demand.wanted && (layer.rid.is_empty() || demand.rids.contains(&layer.rid));
                // A layer that starts again needs a keyframe, whether or not the request for it arrives.
                if wanted && !layer.wanted.swap(wanted, Relaxed) {
                    layer.keyframe.store(true, Relaxed);
                }
                layer.wanted.store(wanted, Relaxed);
            }
        }
    }

    /// Answers an offer of the subscribing connection, which is made at the first one.
    async fn answer(&self, version: u32, sdp: &str) -> Result<(), Error> {
        let inner = &self.inner;
        let mut subscriber = inner.subscriber.lock().await;
        if subscriber.is_none() {
            let events = inner.peer_events.clone();
            *subscriber = Some(Peer::new(Direction::Subscribe, &inner.servers, &inner.paths, events).await?);
        }
        let peer = subscriber.clone().expect("it was just made");
        drop(subscriber);
        peer.close_gate();
        peer.connection.set_remote_description(RTCSessionDescription::offer(inner.paths.of_server(sdp))?).await?;
        let answer = peer.connection.create_answer(None).await?;
        peer.connection.set_local_description(answer.clone()).await?;
        inner.signal.send(Request::Answer { version, sdp: inner.paths.of_client(&answer.sdp) })?;
        for event in peer.open_gate() {
            self.take_peer_candidate(event);
        }
        Ok(())
    }

    async fn add_candidate(&self, connection: Direction, candidate: &str) {
        let peer = match connection {
            Direction::Publish => self.inner.publisher.lock().await.as_ref().map(|publisher| publisher.peer.clone()),
            Direction::Subscribe => self.inner.subscriber.lock().await.clone(),
        };
        let Some(candidate) = self.inner.paths.server_candidate(candidate) else { return };
        let init = RTCIceCandidateInit { candidate, ..Default::default() };
        if let Some(peer) = peer
            && !init.candidate.is_empty()
        {
            let _ = peer.connection.add_ice_candidate(init).await; // one that cannot be read is no path
        }
    }

    fn take_peer_candidate(&self, event: PeerEvent) {
        if let PeerEvent::Candidate(connection, candidate) = event
            && self.inner.paths.relay.is_none()
        {
            let _ = self.inner.signal.send(Request::Candidate { connection, candidate }); // others will do
        }
    }

    async fn take_peer(&self, event: PeerEvent) {
        match event {
            PeerEvent::Candidate(..) => self.take_peer_candidate(event),
            PeerEvent::State(direction, RTCPeerConnectionState::Failed) => self.restart(direction),
            PeerEvent::State(..) => {}
            PeerEvent::Track(track) => self.forward(track).await,
            PeerEvent::Channel(channel) => {
                if channel.label().await.is_ok_and(|label| label == LOSSY_LABEL) {
                    spawn(read_lossy(channel, self.inner.clone()));
                }
            }
        }
    }

    /// The server gave a connection up. The next track or offer makes a new one; what was published on it is gone.
    async fn media_failed(&self, direction: Direction) {
        if direction == Direction::Subscribe {
            let _ = self.inner.signal.send(Request::RestartIce {}); // the socket is gone: so is the call
        }
        self.close(direction).await;
    }

    /// A connection that the grants no longer allow has ended at the server; with the grant comes a new one.
    async fn grants_changed(&self, grants: &[String]) {
        for (grant, direction) in [("publish", Direction::Publish), ("subscribe", Direction::Subscribe)] {
            if !grants.iter().any(|given| given == grant) {
                self.close(direction).await;
            }
        }
    }

    async fn close(&self, direction: Direction) {
        let peer = match direction {
            Direction::Publish => {
                self.inner.own_layers().clear();
                self.inner.publisher.lock().await.take().map(|publisher| publisher.peer)
            }
            Direction::Subscribe => {
                self.inner.routes.forget_sections();
                self.inner.subscriber.lock().await.take()
            }
        };
        if let Some(peer) = peer {
            let _ = peer.connection.close().await; // it is over either way
        }
    }

    /// A connection failed: looks for new paths.
    fn restart(&self, direction: Direction) {
        match direction {
            Direction::Subscribe => {
                let _ = self.inner.signal.send(Request::RestartIce {});
            }
            Direction::Publish => {
                let inner = self.inner.clone();
                spawn(async move {
                    if let Some(publisher) = inner.publisher.lock().await.as_mut()
                        && let Err(error) = publisher.restart_ice().await
                    {
                        let reason = error.to_string();
                        inner.tell(Event::MediaFailed { connection: Direction::Publish, reason });
                    }
                });
            }
        }
    }

    async fn forward(&self, track: Arc<dyn TrackRemote>) {
        let Some(peer) = self.inner.subscriber.lock().await.clone() else { return };
        for transceiver in peer.connection.get_transceivers().await {
            let Ok(Some(receiver)) = transceiver.receiver().await else { continue };
            if Arc::ptr_eq(receiver.track(), &track)
                && let Ok(Some(mid)) = transceiver.mid().await
            {
                spawn(self.inner.routes.clone().forward(mid, track));
                return;
            }
        }
    }
}

/// Takes lossy messages until the channel closes: `number of the sender, payload`.
async fn read_lossy(channel: Arc<dyn DataChannel>, inner: Arc<Inner>) {
    while let Some(event) = channel.poll().await {
        let DataChannelEvent::OnMessage(message) = event else { continue };
        let mut payload: Bytes = message.data.freeze();
        if payload.len() < 4 {
            continue;
        }
        let from = format!("p{}", payload.get_u32());
        inner.tell(Event::Lossy { from, payload });
    }
}

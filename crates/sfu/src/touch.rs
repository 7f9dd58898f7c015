//! The one way to work on a peer: it is taken out, worked on, drained of all that it then has to say, and put back.
//!
//! In: what is to be done to it. Out: datagrams, events, chores for others. Whoever fails or panics in there is gone afterwards, and
//! nobody else notices.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::api::{Event, Fault, Transmit};
use crate::demux::{Key, Told, told};
use crate::engine::{Figures, Happened, Output, Pair};
use crate::peer::{Link, Peer, Side};
use crate::sfu::{Chore, Sfu};

/// Datagrams waiting for the shell. It takes them after each batch; if it does not, new ones are dropped, as a full
/// socket would.
const TRANSMITS_MAX: usize = 65_536;
/// Rounds of one peer's engine at one time. An engine asks to be called again at once while a handshake goes on; a defect
/// that asks for ever must not stop the others.
const ROUNDS_MAX: usize = 4_096;
/// How long an engine waits that had all its rounds.
const PAUSE: Duration = Duration::from_millis(1);

impl Sfu {
    /// The only way to work on a peer's engine: `act`, then everything that the engine then has to say. A peer whose
    /// engine gives up or panics is gone afterwards, and nobody else notices.
    pub(crate) fn touch<R>(&mut self, key: Key, act: impl FnOnce(&mut Sfu, &mut Peer) -> R) -> Option<R> {
        self.touch_with(key, |sfu, peer| {
            let result = act(sfu, peer);
            sfu.drain(key, peer).map(|()| result)
        })
    }

    /// As [`Sfu::touch`], for what concerns media towards a subscriber only: the engine is left alone.
    pub(crate) fn touch_media(&mut self, key: Key, act: impl FnOnce(&mut Sfu, &mut Peer)) {
        self.touch_with(key, |sfu, peer| {
            act(sfu, peer);
            Ok(())
        });
    }

    fn touch_with<R>(&mut self, key: Key, act: impl FnOnce(&mut Sfu, &mut Peer) -> Result<R, Fault>) -> Option<R> {
        let mut peer = self.peers.take(key)?;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(feature = "probes")]
            assert!(!std::mem::take(&mut peer.trip), "tripped by a test");
            let result = act(self, &mut peer)?;
            self.drain_media(key, &mut peer);
            Ok(result)
        }));
        match outcome {
            Ok(Ok(result)) => {
                self.peers.put(key, peer);
                Some(result)
            }
            Ok(Err(fault)) => {
                // DTLS gives up on its own when ICE has no way for it.
                let fault = if fault == Fault::Handshake && peer.paths.is_empty() { Fault::NoPath } else { fault };
                self.bury(key, peer, Some(fault));
                None
            }
            Err(_) => {
                self.counters.panics += 1;
                tracing::error!(peer = peer.id.0, "a panic ended a connection");
                self.bury(key, peer, Some(Fault::Internal));
                None
            }
        }
    }

    fn drain(&mut self, key: Key, peer: &mut Peer) -> Result<(), Fault> {
        let mut rounds = 0;
        loop {
            match peer.engine.poll()? {
                Output::Transmit(transmit) => self.transmit(key, peer, transmit),
                Output::Happened(happened) => self.happened(key, peer, happened)?,
                Output::Idle(at) if at <= self.now && rounds < ROUNDS_MAX => {
                    rounds += 1;
                    peer.engine.advance(self.now);
                }
                Output::Idle(at) => {
                    // Later if it would not stop, so that others get their turn.
                    peer.engine_at = if at > self.now { at } else { self.now + PAUSE };
                    return if peer.engine.is_alive() { Ok(()) } else { Err(Fault::Handshake) };
                }
            }
        }
    }

    /// What leaves towards a subscriber now, and what is known of its path. Sets the peer's deadline.
    fn drain_media(&mut self, key: Key, peer: &mut Peer) {
        let now = self.now;
        peer.deadline = peer.engine_at;
        let Peer { side: Side::Subscriber(subscriber), .. } = peer else { return };
        subscriber.egress.handle_timeout(now);
        let known = subscriber.egress.poll_known();
        while let Some(slot) = subscriber.egress.poll_keyframe() {
            self.keyframe_wanted(subscriber, slot);
        }
        if let Some(known) = known {
            self.sample(key, peer, &known);
            self.figures(peer, Figures::of(&known));
        }
        let Peer { side: Side::Subscriber(subscriber), route, .. } = peer else { return };
        if let Some(path) = route.present() {
            while let Some(payload) = subscriber.egress.poll_datagram(now, &mut self.buffers) {
                self.push(Transmit { path, payload });
            }
        }
        if let Some(at) = subscriber.egress.poll_timeout() {
            peer.deadline = peer.deadline.min(if at > now { at } else { now + PAUSE });
        }
    }

    fn transmit(&mut self, key: Key, peer: &mut Peer, mut transmit: Transmit) {
        match told(&transmit.payload) {
            Told::Answered => {
                peer.heard = self.now;
                if self.demux.bind(self.now, transmit.path, key, &mut peer.paths) {
                    peer.route.checked(self.now, transmit.path, peer.nominates);
                }
            }
            Told::Asked(transaction) => self.demux.expect_answer(transaction, key),
            Told::Refused => {}
            Told::Nothing => transmit.path = peer.route.path(self.now, transmit.path),
        }
        self.push(transmit);
    }

    fn push(&mut self, transmit: Transmit) {
        if self.transmits.len() < TRANSMITS_MAX {
            self.transmits.push_back(transmit);
        } else {
            self.counters.overflowed += 1;
        }
    }

    fn happened(&mut self, key: Key, peer: &mut Peer, happened: Happened) -> Result<(), Fault> {
        match happened {
            Happened::Connected => {
                peer.link = Link::Up;
                peer.heard = self.now;
                self.events.push_back(Event::Connected { peer: peer.id });
                if let Peer { engine, side: Side::Subscriber(subscriber), .. } = peer {
                    if let Some(Pair { ours, theirs }) = engine.keys() {
                        subscriber.egress.open(self.now, ours, theirs);
                    }
                    // What its slots carry begins with keyframes.
                    subscriber.allocate_at = self.now;
                    self.chores.push_back(Chore::Assign(key));
                }
            }
            Happened::Packet(packet) => self.forward(peer, &packet),
            Happened::ChannelOpen(channel, label) => {
                // A viewer is nobody whom messages are for.
                let is_viewer = peer.as_subscriber().is_some_and(|subscriber| subscriber.is_viewer);
                if peer.channel.is_none() && label == crate::engine::CHANNEL && !is_viewer {
                    peer.channel = Some(channel);
                }
            }
            Happened::ChannelClosed(channel) => peer.channel = peer.channel.filter(|open| *open != channel),
            Happened::Message(channel, data) => {
                if peer.channel == Some(channel) && matches!(peer.side, Side::Publisher(_)) {
                    self.chores.push_back(Chore::Message { from: key, data });
                }
            }
            Happened::Figures(figures) => self.figures(peer, figures),
            Happened::Over => return Err(Fault::NoPath),
        }
        Ok(())
    }

    /// A peer is gone: everything that refers to it goes with it.
    pub(crate) fn bury(&mut self, key: Key, peer: Box<Peer>, fault: Option<Fault>) {
        self.peers.remove(key, peer.id);
        self.demux.forget(key, &peer.paths, &peer.fragments);
        if let Some(fault) = fault {
            self.events.push_back(Event::Failed { peer: peer.id, fault });
        }
        self.left(key, &peer);
        // What panicked once may panic again while it is taken down.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(peer)));
    }

    /// Ends a connection that is not wanted any more, and tells the peer.
    pub(crate) fn dismiss(&mut self, key: Key) {
        let Some(mut peer) = self.peers.take(key) else { return };
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let path = peer.route.present();
            if let (Some(path), Some(payload)) =
                (path, peer.subscriber().and_then(|subscriber| subscriber.egress.bye()))
            {
                self.push(Transmit { path, payload });
            }
            peer.engine.close();
            // What else happens in there is of no interest any more.
            while let Ok(output) = peer.engine.poll() {
                match output {
                    Output::Transmit(transmit) => self.transmit(key, &mut peer, transmit),
                    Output::Happened(_) => {}
                    Output::Idle(_) => break,
                }
            }
        }));
        self.bury(key, peer, None);
    }
}

//! One peer connection with all that belongs to it.

use std::time::{Duration, Instant};

use str0m::channel::ChannelId;
use telstar_units::ParticipantId;

use crate::api::{Path, PeerId, Quality, RoomId};
use crate::engine::{Engine, Figures};
use crate::police::{Ingress, TokenBucket};
use crate::publisher::Publisher;
use crate::route::Route;
use crate::sdp::Agreed;
use crate::subscriber::Subscriber;

/// Without an answered check for this long a connection counts as disconnected. Browsers check every 2.5 to 5 s;
/// lower reports hiccups, higher leaves people waiting before a restart.
pub(crate) const SILENCE: Duration = Duration::from_secs(9);

/// What a peer is.
#[expect(clippy::large_enum_variant, reason = "peers are boxed, and most of them are subscribers")]
pub(crate) enum Side {
    Publisher(Publisher),
    Subscriber(Subscriber),
}

/// How far its connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Nothing was negotiated yet; costs nothing but memory.
    New,
    /// ICE and DTLS are on their way since then.
    Connecting(Instant),
    /// Up.
    Up,
    /// Up, but nothing was heard for a while.
    Silent,
}

/// One peer connection.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) room: RoomId,
    pub(crate) participant: ParticipantId,
    pub(crate) engine: Engine,
    pub(crate) side: Side,
    pub(crate) link: Link,
    /// Its last answered check.
    pub(crate) heard: Instant,
    /// Paths it proved to own.
    pub(crate) paths: Vec<Path>,
    /// The one of them that it is sent to.
    pub(crate) route: Route,
    /// Whether its last check nominates the path that it came on.
    pub(crate) nominates: bool,
    /// Its ICE name fragments: one, or two during a restart.
    pub(crate) fragments: Vec<String>,
    pub(crate) candidates: usize,
    /// The sections of its last offer that was answered.
    pub(crate) agreed: Vec<Agreed>,
    pub(crate) channel: Option<ChannelId>,
    pub(crate) figures: Figures,
    /// When they were counted.
    pub(crate) counted: Instant,
    pub(crate) quality: Option<Quality>,
    /// Reports of this quality in a row, and it.
    pub(crate) trend: (Quality, u8),
    /// What it may send.
    pub(crate) ingress: Ingress,
    /// Streams that were not seen before.
    pub(crate) new_streams: TokenBucket,
    /// Checks on paths that it has not shown to be its own.
    pub(crate) new_paths: TokenBucket,
    /// When the engine wants to be called.
    pub(crate) engine_at: Instant,
    /// When it or the egress wants to.
    pub(crate) deadline: Instant,
    /// When it will be, at the latest.
    pub(crate) armed: Option<Instant>,
    /// Whether packets wait for [`Sfu::flush`](crate::sfu::Sfu::flush).
    pub(crate) dirty: bool,
    /// Makes the next call panic, for the test of what then happens to the others.
    #[cfg(feature = "probes")]
    pub(crate) trip: bool,
}

impl Peer {
    pub(crate) fn publisher(&mut self) -> Option<&mut Publisher> {
        match &mut self.side {
            Side::Publisher(publisher) => Some(publisher),
            Side::Subscriber(_) => None,
        }
    }

    pub(crate) fn subscriber(&mut self) -> Option<&mut Subscriber> {
        match &mut self.side {
            Side::Subscriber(subscriber) => Some(subscriber),
            Side::Publisher(_) => None,
        }
    }

    pub(crate) fn as_subscriber(&self) -> Option<&Subscriber> {
        match &self.side {
            Side::Subscriber(subscriber) => Some(subscriber),
            Side::Publisher(_) => None,
        }
    }

    /// Whether media can be sent to it.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.link, Link::Up | Link::Silent)
    }
}

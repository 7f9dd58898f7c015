//! Rooms and the tracks in them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use telstar_media::Codec;
use telstar_units::{ParticipantId, TrackId};

use crate::api::{Kind, NewLayer, NewTrack, RoomId, Source};
use crate::bitrate::BitrateMeter;
use crate::demux::Key;
use crate::engine::Format;
use crate::feed::{Clock, Feed};
use crate::rewrite::SenderClock;
use crate::select::{Layer, Selector, Shape};
use crate::speakers::Speakers;
use crate::throttle::KeyframeThrottle;

/// A layer of which nothing came for so long sends nothing. Longer than the pause between two frames of a still screen.
pub(crate) const LAYER_SILENT: Duration = Duration::from_secs(3);

/// Where a track's packets come from.
pub(crate) enum Origin {
    /// A publisher's connection.
    Peer(Key),
    /// The room's owner.
    Feed(Box<Feed>),
}

/// One room.
pub(crate) struct Room {
    pub(crate) peers: BTreeSet<Key>,
    /// The alternates of tracks, in the order in which they came.
    pub(crate) alternates: BTreeMap<TrackId, Vec<TrackId>>,
    /// Of the participants that have sources.
    pub(crate) clocks: BTreeMap<ParticipantId, Clock>,
    /// In the order in which they came.
    pub(crate) tracks: BTreeSet<TrackId>,
    /// Also says which sound has slots when there is too much of it.
    pub(crate) speakers: Speakers,
}

impl Room {
    pub(crate) fn new(audio_slots: usize, now: Instant) -> Room {
        Room {
            peers: BTreeSet::new(),
            alternates: BTreeMap::new(),
            clocks: BTreeMap::new(),
            tracks: BTreeSet::new(),
            speakers: Speakers::new(audio_slots, now),
        }
    }
}

/// A subscriber's slot that carries a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Viewer {
    pub(crate) peer: Key,
    pub(crate) slot: usize,
}

/// One stream of a track.
pub(crate) struct Rung {
    pub(crate) ssrc: Option<u32>,
    pub(crate) meter: BitrateMeter,
    pub(crate) throttle: KeyframeThrottle,
    pub(crate) clock: SenderClock,
    /// The sender report that the clock has.
    pub(crate) report: Option<(u64, u32)>,
    /// When somebody last wanted it.
    pub(crate) wanted: Instant,
    /// What the publisher was told.
    pub(crate) told: bool,
    /// When it was told so.
    pub(crate) turned: Instant,
    /// When it was last asked for after it had not been wanted.
    pub(crate) resumed: Option<Instant>,
}

impl Rung {
    /// Whether anything of it came lately.
    pub(crate) fn is_flowing(&self, now: Instant) -> bool {
        self.meter.last().is_some_and(|last| now.saturating_duration_since(last) < LAYER_SILENT)
    }
}

/// A published track.
pub(crate) struct Track {
    pub(crate) room: RoomId,
    pub(crate) origin: Origin,
    pub(crate) participant: ParticipantId,
    pub(crate) kind: Kind,
    pub(crate) source: Source,
    pub(crate) muted: bool,
    pub(crate) announced: Vec<NewLayer>,
    pub(crate) format: Option<Format>,
    /// Its streams; one without layers.
    pub(crate) rungs: Vec<Rung>,
    pub(crate) viewers: Vec<Viewer>,
    /// It is this track in another codec.
    pub(crate) alternate_of: Option<TrackId>,
    /// Only viewers get it.
    pub(crate) for_viewers: bool,
    /// What of it the owner gets copies of, if it does.
    pub(crate) tap: Option<Selector>,
}

impl Track {
    pub(crate) fn new(now: Instant, room: RoomId, origin: Origin, participant: ParticipantId, new: NewTrack) -> Track {
        let told = matches!(origin, Origin::Peer(_));
        let clock_rate = clock_rate(new.kind);
        let rung = || Rung {
            ssrc: None,
            meter: BitrateMeter::new(),
            throttle: KeyframeThrottle::new(),
            clock: SenderClock::new(clock_rate),
            report: None,
            wanted: now,
            told,
            turned: now,
            resumed: None,
        };
        Track {
            room,
            origin,
            participant,
            kind: new.kind,
            source: new.source,
            muted: new.muted,
            format: None,
            rungs: (0..new.layers.len().max(1)).map(|_| rung()).collect(),
            announced: new.layers,
            viewers: Vec::new(),
            alternate_of: None,
            for_viewers: false,
            tap: None,
        }
    }

    /// The connection that publishes it.
    pub(crate) fn publisher(&self) -> Option<Key> {
        match self.origin {
            Origin::Peer(key) => Some(key),
            Origin::Feed(_) => None,
        }
    }

    pub(crate) fn feed(&mut self) -> Option<&mut Feed> {
        match &mut self.origin {
            Origin::Peer(_) => None,
            Origin::Feed(feed) => Some(feed),
        }
    }

    /// Whether the owner was told to feed it.
    pub(crate) fn is_fed(&self) -> bool {
        matches!(&self.origin, Origin::Feed(feed) if feed.told)
    }

    pub(crate) fn is_source(&self) -> bool {
        self.publisher().is_none()
    }

    /// The place of a rid among the layers.
    pub(crate) fn layer(&self, rid: Option<&str>) -> Option<u8> {
        match rid {
            None => Some(0),
            Some(rid) => self.announced.iter().position(|layer| layer.rid == rid).map(|index| index as u8),
        }
    }

    /// One stream of a codec with spatial layers may have them.
    pub(crate) fn shape(&self) -> Shape {
        let scalable = matches!(self.format.map(|format| format.codec), Some(Codec::Vp9 | Codec::Av1));
        if scalable && self.rungs.len() == 1 { Shape::Svc } else { Shape::Simulcast }
    }

    /// What is copied begins anew, with the best layer that there is.
    pub(crate) fn retap(&mut self) {
        let (shape, top) = (self.shape(), self.rungs.len() - 1);
        if let Some(tap) = &mut self.tap {
            *tap = Selector::new(shape);
            tap.set_target(Some(match shape {
                Shape::Simulcast => Layer::whole(top as u8),
                Shape::Svc => Layer::whole(Layer::TOP_TEMPORAL),
            }));
        }
    }

    /// Whether anything of it came lately.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        !self.rungs.iter().any(|rung| rung.is_flowing(now))
    }
}

/// RTP clock rates of what is forwarded (RFC 7587 §4.1; video has 90 kHz).
pub(crate) fn clock_rate(kind: Kind) -> u32 {
    match kind {
        Kind::Audio => 48_000,
        Kind::Video => 90_000,
    }
}

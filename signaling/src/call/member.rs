//! One participant as its call keeps it, and how often identities join.

use std::collections::BTreeMap;
use std::time::Instant;

use telstar_units::TrackId;

use super::api::{
    CallGrants, ConnectionId, DATA_BYTES_BURST, DATA_BYTES_PER_SEC, JOIN_COUNTS_MAX, JOINS_WINDOW, Joining,
};
use super::media_api::{MediaDemand, PeerNumber};
use crate::bucket::Bucket;
use crate::wire::call::{Presence, Quality, TrackKind};
use crate::wire::{Participant, ParticipantInfo, ParticipantRef, Track};

/// A participant.
pub(super) struct Member {
    pub(super) connection: ConnectionId,
    pub(super) info: ParticipantInfo,
    pub(super) grants: CallGrants,
    pub(super) auto_subscribe: bool,
    /// In the order in which they were published; at most the limit.
    pub(super) tracks: Vec<OwnTrack>,
    pub(super) publish: Option<PeerNumber>,
    pub(super) subscribe: Option<PeerNumber>,
    /// Of its publishing and its subscribing connection; `None` until it is known.
    pub(super) quality: [Option<Quality>; 2],
    /// What the others were told.
    pub(super) told_quality: Option<Quality>,
    /// Bytes of data messages that may be delivered.
    pub(super) data: Bucket,
    /// It is the room's ingest.
    pub(super) ingest: Option<Ingest>,
}

/// What the room's ingest has beside its tracks.
#[derive(Default)]
pub(super) struct Ingest {
    /// Its tracks come as frames: they are sources, and there is no connection.
    pub(super) is_fed: bool,
    /// Its picture in another codec: of which track, and its own id. Nobody sees it as a track.
    pub(super) alternate: Option<(TrackId, TrackId)>,
}

/// A track and who wants what of it.
pub(super) struct OwnTrack {
    pub(super) track: Track,
    pub(super) demand: Option<MediaDemand>,
}

impl Member {
    pub(super) fn new(now: Instant, id: ParticipantRef, connection: ConnectionId, joining: Joining) -> Member {
        let info = ParticipantInfo {
            id,
            identity: joining.identity,
            name: joining.name,
            kind: joining.kind,
            metadata: joining.metadata,
            grants: joining.grants.list(),
            state: Presence::Active,
            joined_at: joining.joined_at.to_rfc3339_millis(),
        };
        Member {
            connection,
            info,
            grants: joining.grants,
            auto_subscribe: joining.auto_subscribe,
            tracks: Vec::new(),
            publish: None,
            subscribe: None,
            quality: [None; 2],
            told_quality: None,
            data: Bucket::new(DATA_BYTES_PER_SEC, DATA_BYTES_BURST, now),
            ingest: joining.ingest.map(|_| Ingest::default()),
        }
    }

    pub(super) fn participant(&self) -> Participant {
        Participant { info: self.info.clone(), tracks: self.tracks.iter().map(|own| own.track.clone()).collect() }
    }

    /// Whether it is told what happens.
    pub(super) fn hears(&self) -> bool {
        self.ingest.is_none()
    }

    /// Its first track of a kind.
    pub(super) fn first_track(&self, kind: TrackKind) -> Option<TrackId> {
        self.tracks.iter().find(|own| own.track.kind == kind).map(|own| own.track.id.0)
    }

    pub(super) fn track_mut(&mut self, id: TrackId) -> Option<&mut OwnTrack> {
        self.tracks.iter_mut().find(|own| own.track.id.0 == id)
    }

    /// The worse of its two connections.
    pub(super) fn worst_quality(&self) -> Option<Quality> {
        self.quality.iter().flatten().min().copied()
    }
}

/// How often each identity joined of late.
#[derive(Default)]
pub(super) struct JoinCounts {
    counts: BTreeMap<String, (Instant, u32)>,
}

impl JoinCounts {
    /// Counts one more, or says that it is too many.
    pub(super) fn take(&mut self, now: Instant, identity: &str, max: u32) -> bool {
        let is_over = |since: &Instant| now.saturating_duration_since(*since) >= JOINS_WINDOW;
        if !self.counts.contains_key(identity) && self.counts.len() >= JOIN_COUNTS_MAX {
            self.counts.retain(|_, (since, _)| !is_over(since));
            let oldest = self.counts.iter().min_by_key(|(_, (since, _))| *since).map(|(identity, _)| identity.clone());
            if let Some(oldest) = oldest.filter(|_| self.counts.len() >= JOIN_COUNTS_MAX) {
                self.counts.remove(&oldest);
            }
        }
        let (since, count) = self.counts.entry(identity.to_owned()).or_insert((now, 0));
        if is_over(since) {
            (*since, *count) = (now, 0);
        }
        if *count >= max {
            return false;
        }
        *count += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_are_counted_for_each_identity_and_forgotten_after_the_window() {
        let now = Instant::now();
        let mut counts = JoinCounts::default();
        assert_eq!((0..5).filter(|_| counts.take(now, "alice", 3)).count(), 3);
        assert!(counts.take(now, "bob", 3));
        assert!(counts.take(now + JOINS_WINDOW, "alice", 3));
        for number in 0..2 * JOIN_COUNTS_MAX {
            counts.take(now, &number.to_string(), 3);
        }
        assert!(counts.counts.len() <= JOIN_COUNTS_MAX);
    }
}

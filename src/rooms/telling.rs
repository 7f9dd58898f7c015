//! What of a room was told to those who follow rooms, and what is new.

use std::sync::Arc;

use telstar_media::MediaKind;
use telstar_signaling::room::RoomPhase;

use super::news::{FedIngest, IngestNews, Wanted};
use super::state::Publishing;
use super::{RoomEntry, Rooms};
use crate::shards::{IngestVia, ShardStatus, Want};

/// Characters of an encoder's name that a call shows. Encoders say what they like.
const NAME_CHARS_MAX: usize = 40;

/// What was told last.
#[derive(Default)]
pub(super) struct Told {
    ingest: Option<FedIngest>,
    wants: Vec<Want>,
}

impl Told {
    /// Tells what is new.
    pub(super) fn follow(
        &mut self,
        rooms: &Rooms,
        entry: &Arc<RoomEntry>,
        phase: RoomPhase,
        publishing: Option<&Publishing>,
        status: &ShardStatus,
    ) {
        let present = match publishing {
            _ if phase == RoomPhase::Offline => None,
            // It is in the call by itself, or made of it.
            Some(Publishing { via: IngestVia::Call | IngestVia::Mix, .. }) => None,
            Some(publishing) if status.participant == Some(publishing.participant) && !status.tracks.is_empty() => {
                Some(self.fed(publishing, status))
            }
            // It has just come or may come back: the sources of a stream stay as long as it does.
            _ => self.ingest.clone(),
        };
        self.tell_ingest(rooms, entry, present);
        self.tell_wants(rooms, entry, &status.wants);
    }

    /// Nothing is left of the stream.
    pub(super) fn end(&mut self, rooms: &Rooms, entry: &Arc<RoomEntry>) {
        self.tell_ingest(rooms, entry, None);
        self.tell_wants(rooms, entry, &[]);
    }

    fn fed(&self, publishing: &Publishing, status: &ShardStatus) -> FedIngest {
        let has = |kind| status.tracks.iter().any(|track| track.info.kind() == kind);
        let (video, audio) = (has(MediaKind::Video), has(MediaKind::Audio));
        match &self.ingest {
            Some(told) => FedIngest { video, audio, ..told.clone() },
            None => {
                let name = publishing.encoder.as_deref().unwrap_or(publishing.protocol);
                let name = name.chars().take(NAME_CHARS_MAX).collect();
                FedIngest { participant: publishing.participant, name, video, audio }
            }
        }
    }

    fn tell_ingest(&mut self, rooms: &Rooms, entry: &Arc<RoomEntry>, present: Option<FedIngest>) {
        if self.ingest != present {
            self.ingest.clone_from(&present);
            rooms.inner.ingests.put(entry.key(), IngestNews { entry: Arc::clone(entry), present });
        }
    }

    fn tell_wants(&mut self, rooms: &Rooms, entry: &Arc<RoomEntry>, wants: &[Want]) {
        if self.wants != wants {
            self.wants = wants.to_vec();
            let wants = wants.to_vec();
            rooms.inner.wanted.put(entry.key(), Wanted { entry: Arc::clone(entry), wants });
        }
    }
}

//! The playing half of RTMP: who may watch a room, and the room's frames on their way to the player.
//!
//! In: who asks to play. Out: items for the RTMP core, taken from a bounded ring of the room's media thread. Whoever may
//! watch a room over HLS may play it here, decided by the same rules: an open room, or a playback token. It knows no
//! socket.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use telstar_rtmp::{PlayItem, PlayRefusal, PlayRequest};
use telstar_units::RoomName;
use tokio::time::Instant;

use crate::auth::{Action, AuthError, Authority, Caller, Credential, RoomFacts, Secret, authorise};
use crate::door::Doorkeeper;
use crate::metrics::{Entered, Metrics};
use crate::mixes::Mixes;
use crate::rooms::{RoomEntry, Rooms, ViewerGuard, ViewerKey, ViewerKind, WatchHandle};
use crate::shards::{HLS_DEMAND, ViewerItem};
use crate::slots::{Slot, Slots};
use crate::state::{AppState, Shared};

/// How often it is looked at whether a player may still watch: its token may have ended, its room been closed. A player
/// keeps what it has for so long at most. Shorter asks the store more often for each player. Guess.
const RECHECK_INTERVAL: Duration = Duration::from_secs(10);
const _: () = assert!(RECHECK_INTERVAL.as_secs() < HLS_DEMAND.as_secs(), "each says that the player is still there");

/// The door for players. Cheap to clone.
#[derive(Clone)]
pub struct PlayDoor {
    authority: Arc<Authority>,
    doorkeeper: Arc<Doorkeeper>,
    rooms: Rooms,
    mixes: Mixes,
    metrics: Arc<Metrics>,
    slots: Slots,
    viewer_keys: RandomState,
    buffer_bytes_max: usize,
}

/// An admitted player's way out of its room. Dropping it says that the player is gone.
pub struct Watching {
    handle: WatchHandle,
    entry: Arc<RoomEntry>,
    token: Option<Secret>,
    recheck_at: Instant,
    _viewer: ViewerGuard,
    _counted: Entered,
    _slot: Slot,
}

impl PlayDoor {
    /// The door of one server.
    pub fn new(state: &AppState) -> PlayDoor {
        let Shared { authority, doorkeeper, rooms, mixes, metrics, viewer_keys, .. } = Shared::clone(state);
        let config = &state.config.play;
        let slots = Slots::new(config.players_max, config.players_per_address_max);
        let buffer_bytes_max = config.buffer_max_kib as usize * 1_024;
        PlayDoor { authority, doorkeeper, rooms, mixes, metrics, slots, viewer_keys, buffer_bytes_max }
    }

    /// Lets a player in, or says why not. An unknown room, a wrong token and a token of another room are one answer.
    pub async fn admit(&self, address: IpAddr, request: &PlayRequest) -> Result<Watching, PlayRefusal> {
        let name = request.name.as_deref().and_then(|name| RoomName::parse(name).ok());
        let entry = match &name {
            Some(name) => self.rooms.get(name).await.map_err(|error| unavailable(&error))?,
            None => None,
        };
        let token = request.token.as_ref().map(|token| Secret::new(token.expose().to_owned()));
        let entry = self.permit(Some(address), entry, token.as_ref()).await?;
        let slot = self.slots.take(address, false).ok_or(PlayRefusal::Busy)?;
        let handle = self.rooms.watch(&entry, self.buffer_bytes_max).ok_or(PlayRefusal::Busy)?;
        self.mixes.demand(&entry);
        let key = ViewerKey(self.viewer_keys.hash_one((address, &request.player.flash_ver)));
        Ok(Watching {
            handle,
            token,
            recheck_at: Instant::now() + RECHECK_INTERVAL,
            _viewer: entry.viewer(key, ViewerKind::Media),
            _counted: self.metrics.rtmp_players_count.enter(),
            _slot: slot,
            entry,
        })
    }

    /// Whether a player may still watch.
    pub async fn recheck(&self, watching: &mut Watching) -> Result<(), PlayRefusal> {
        watching.recheck_at = Instant::now() + RECHECK_INTERVAL;
        match self.permit(None, Some(Arc::clone(&watching.entry)), watching.token.as_ref()).await {
            Ok(_) => {
                self.mixes.demand(&watching.entry);
                Ok(())
            }
            Err(PlayRefusal::NotFound) => Err(PlayRefusal::Ended),
            // A store that cannot answer now is no reason to end what it allowed before.
            Err(_) => Ok(()),
        }
    }

    /// The one question, with the credential only where the room asks for one. `address` is counted when the credential is
    /// shown for the first time.
    async fn permit(
        &self,
        address: Option<IpAddr>,
        entry: Option<Arc<RoomEntry>>,
        token: Option<&Secret>,
    ) -> Result<Arc<RoomEntry>, PlayRefusal> {
        let facts = entry.as_ref().map(|entry| RoomFacts::from(&*entry.facts()));
        let mut allowed = authorise(&Caller::anonymous(), Action::WatchRoom, facts.as_ref());
        if let (Err(_), Some(token)) = (&allowed, token) {
            let caller = self.authenticate(address, token).await?;
            allowed = authorise(&caller, Action::WatchRoom, facts.as_ref());
        }
        match (allowed, entry) {
            (Ok(()), Some(entry)) => Ok(entry),
            _ => {
                self.metrics.auth_refused_requests.add(1);
                Err(PlayRefusal::NotFound)
            }
        }
    }

    async fn authenticate(&self, address: Option<IpAddr>, token: &Secret) -> Result<Caller, PlayRefusal> {
        if let Some(address) = address {
            self.doorkeeper.check(address).map_err(|_| {
                self.metrics.auth_refused_requests.add(1);
                PlayRefusal::Busy
            })?;
        }
        match self.authority.authenticate(Credential::Playback(Secret::new(token.expose().to_owned()))).await {
            Ok(caller) => Ok(caller),
            Err(AuthError::Rejected(reason)) => {
                if let Some(address) = address {
                    self.doorkeeper.refused(address, reason);
                }
                self.metrics.auth_refused_requests.add(1);
                tracing::debug!(?reason, "a playback token was refused");
                Err(PlayRefusal::NotFound)
            }
            Err(error) => Err(unavailable(&error)),
        }
    }
}

impl Watching {
    /// Moves what came into `items`, and waits for the first; false when the room is gone. Cancel-safe.
    pub async fn next(&self, items: &mut Vec<PlayItem>) -> bool {
        let mut taken = Vec::new();
        let there = self.handle.next(&mut taken).await;
        items.extend(taken.into_iter().map(|item| match item {
            ViewerItem::Tracks { tracks, restarts } => PlayItem::Tracks { tracks, restarts },
            ViewerItem::Frame(track, frame) => PlayItem::Frame(track, frame),
            ViewerItem::Ended => PlayItem::Ended,
        }));
        there
    }

    /// Completes when it is time for [`PlayDoor::recheck`]. Cancel-safe.
    pub async fn recheck_is_due(&self) {
        tokio::time::sleep_until(self.recheck_at).await;
    }
}

fn unavailable(error: &dyn std::fmt::Display) -> PlayRefusal {
    tracing::error!(%error, "cannot decide about a player");
    PlayRefusal::Unavailable
}

#[cfg(test)]
mod tests {
    use telstar_rtmp::Encoder;
    use telstar_store::RoomChange;

    use super::*;
    use crate::api::tests::server;

    #[tokio::test]
    async fn whoever_watches_is_let_go_when_the_room_closes_and_keeps_on_with_a_token() {
        let (running, _folder) = server().await;
        let state = running.state();
        let door = PlayDoor::new(state);
        let player = Encoder { flash_ver: "test".to_owned() };
        let request = PlayRequest { name: Some("demo".to_owned()), token: None, player };
        let admitted = door.admit(IpAddr::from([192, 0, 2, 1]), &request).await;
        let Ok(mut watching) = admitted else { panic!("the first room is open") };
        assert_eq!(door.recheck(&mut watching).await, Ok(()));

        let name = RoomName::parse("demo").expect("a room name");
        let change = RoomChange { title: None, open: Some(false), embed_origins: None };
        let room = state.store.change_room(name, change, state.authority.now()).await.expect("changed");
        let facts = RoomFacts::from(&room);
        state.rooms.room_changed(room);
        assert_eq!(door.recheck(&mut watching).await, Err(PlayRefusal::Ended));
        let refused = door.admit(IpAddr::from([192, 0, 2, 1]), &request).await;
        assert_eq!(refused.err(), Some(PlayRefusal::NotFound));

        watching.token = Some(state.authority.create_playback_token(&facts, 60).expect("a token").secret);
        assert_eq!(door.recheck(&mut watching).await, Ok(()));
        watching.token = Some(Secret::new("forged".to_owned()));
        assert_eq!(door.recheck(&mut watching).await, Err(PlayRefusal::Ended));
    }
}

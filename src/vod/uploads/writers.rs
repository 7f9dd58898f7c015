//! One writer for each upload, of which the newest wins: a client that lost its connection comes back before the server
//! has noticed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use telstar_units::UploadName;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// How long whoever writes may take to give way: what it has is written and synced in that time. Longer keeps a client
/// waiting that came back; shorter refuses it while a disk is slow.
const GIVES_WAY_WITHIN: Duration = Duration::from_secs(20);

/// Somebody else writes, and did not give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

#[derive(Default)]
struct Place {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Of whoever has the turn now.
    gives_way: CancellationToken,
    /// Who has it or waits for it.
    visitors: usize,
}

/// Who writes into which upload. As many entries as there are requests.
#[derive(Clone, Default)]
pub struct Writers(Arc<Mutex<HashMap<UploadName, Place>>>);

/// The right to write into an upload, until it is dropped.
pub struct Turn {
    writers: Writers,
    name: UploadName,
    gives_way: CancellationToken,
    held: Option<OwnedMutexGuard<()>>,
}

impl Writers {
    fn lock(&self) -> MutexGuard<'_, HashMap<UploadName, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn; whoever has it is asked to give way.
    pub async fn take(&self, name: &UploadName) -> Result<Turn, Busy> {
        let turn = {
            let mut places = self.lock();
            let place = places.entry(name.clone()).or_default();
            place.visitors += 1;
            place.gives_way.cancel();
            Arc::clone(&place.turn)
        };
        // Counts as a visitor from here on, whatever becomes of this future.
        let mut mine =
            Turn { writers: self.clone(), name: name.clone(), gives_way: CancellationToken::new(), held: None };
        let held = tokio::time::timeout(GIVES_WAY_WITHIN, turn.lock_owned()).await.map_err(|_| Busy)?;
        if let Some(place) = self.lock().get_mut(name) {
            // Those that came meanwhile ask again as soon as they see a turn that is not theirs.
            mine.gives_way = CancellationToken::new();
            place.gives_way = mine.gives_way.clone();
            if place.visitors > 1 {
                mine.gives_way.cancel();
            }
        }
        mine.held = Some(held);
        Ok(mine)
    }
}

impl Turn {
    /// Resolves when somebody else wants to write.
    pub async fn asked_to_give_way(&self) {
        self.gives_way.cancelled().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // First the turn, so that whoever finds no place finds a free upload.
        self.held = None;
        let mut places = self.writers.lock();
        if let Some(place) = places.get_mut(&self.name) {
            place.visitors -= 1;
            if place.visitors == 0 {
                places.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> UploadName {
        UploadName::parse("0123456789abcdefghijkm").expect("a name")
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_gets_the_turn_and_the_one_before_is_asked() {
        let writers = Writers::default();
        let Ok(first) = writers.take(&name()).await else { panic!("free") };
        let gives_way = async {
            first.asked_to_give_way().await;
            drop(first);
        };
        let name = name();
        let (second, ()) = tokio::join!(writers.take(&name), gives_way);
        assert!(second.is_ok());
        drop(second);
        assert!(writers.lock().is_empty(), "nothing is left of them");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_give_way_keeps_it() {
        let writers = Writers::default();
        let Ok(first) = writers.take(&name()).await else { panic!("free") };
        assert_eq!(writers.take(&name()).await.err(), Some(Busy));
        drop(first);
        assert!(writers.take(&name()).await.is_ok());
    }
}

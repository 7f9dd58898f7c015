//! Wiring: what is started, in which order, and how it ends in the reverse order.
//!
//! In: the checked configuration and the store. Out: the running media side of the server.
//! Shutdown: doors close to newcomers, encoders are sent away, every stream gets its last parts and ENDLIST, blocked
//! requests are answered with it, the rest drains, and a deadline ends what does not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use telstar_hls::{Budget, HlsConfig};
use telstar_signaling::room::{RoomConfig, SecondPublisher};
use telstar_store::Store;

use crate::config::{self, Config};
use crate::rooms::Rooms;
use crate::shards::{HlsSettings, Shards};
use crate::tasks::Tasks;

/// How far apart the discontinuity sequences of two runs begin, so that a player that stays open over a restart sees a
/// number it has not seen. Small, because hls.js keeps an array with a place for each number below the current one, which
/// costs some 16 ns each: 16 ms after a thousand runs, but half a minute for a Unix time. A room with more interruptions
/// in one run than this may repeat one.
const DISCONTINUITIES_PER_RUN: u64 = 1_024;

/// Media threads for `cores`. One for each two cores, because TLS, HTTP and the kernel's share need the rest; more
/// than eight have not been measured.
fn shard_count(cores: usize) -> usize {
    cores.div_ceil(2).clamp(1, 8)
}

fn packager_config(hls: &config::Hls) -> HlsConfig {
    HlsConfig {
        part: Duration::from_millis(hls.part_ms.into()),
        segment_min: Duration::from_millis(hls.segment_min_ms.into()),
        first_playlist_wait: Duration::from_secs(hls.first_playlist_secs.into()),
        ..HlsConfig::default()
    }
}

/// The rooms and the threads that carry their media.
#[derive(Clone)]
pub struct Media {
    /// Who publishes and watches what.
    pub rooms: Rooms,
    /// The media threads.
    pub shards: Arc<Shards>,
    /// The memory of all parts together.
    pub budget: Budget,
}

impl Media {
    /// Starts the media threads and the rooms' task of this server's `run`, see [`Store::begin_run`].
    pub fn start(config: &Config, store: Arc<dyn Store>, run: u64, tasks: &Tasks) -> io::Result<Media> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let budget = Budget::new(u64::from(config.hls.memory_budget_mib) * 1024 * 1024);
        let settings = HlsSettings {
            packager: packager_config(&config.hls),
            budget: budget.clone(),
            first_discontinuity_sequence: run * DISCONTINUITIES_PER_RUN,
        };
        let shards = Arc::new(Shards::start(shard_count(cores), settings)?);
        let room = RoomConfig {
            reconnect_window: Duration::from_secs(config.hls.reconnect_window_secs.into()),
            second_publisher: match config.rtmp.second_publisher {
                config::SecondPublisher::Refuse => SecondPublisher::Refuse,
                config::SecondPublisher::TakeOver => SecondPublisher::TakeOver,
            },
        };
        let rooms = Rooms::start(store, Arc::clone(&shards), room, tasks);
        Ok(Media { rooms, shards, budget })
    }

    /// Ends every stream: encoders go, the last parts and ENDLIST come out. Takes at most `deadline`.
    pub async fn finish(&self, tasks: &Tasks, deadline: Duration) {
        // Too late is said in the log by the threads themselves.
        let _ = tokio::time::timeout(deadline, self.rooms.close_all()).await;
        let shards = Arc::clone(&self.shards);
        tasks.blocking(move || shards.shutdown(deadline)).await;
    }
}

//! Wiring: what is started, in which order, and how it ends in the reverse order.
//!
//! In: the checked configuration and the store. Out: the running media side of the server.
//! Shutdown: doors close to newcomers, encoders are sent away, every stream gets its last parts and ENDLIST, blocked
//! requests are answered with it, the rest drains, and a deadline ends what does not.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use telstar_hls::{Budget, DvrWindow, HlsConfig};
use telstar_sfu::{Certificate, Limits, SfuConfig};
use telstar_signaling::room::{RoomConfig, SecondPublisher};
use telstar_store::{Store, StoreError};
use telstar_units::RoomName;
use tokio::net::TcpListener;

use crate::advertise::Candidates;
use crate::config::{self, Config, PlaylistType};
use crate::conversions;
use crate::dvr::{Dvr, DvrSettings, KeptRoom};
use crate::rooms::Rooms;
use crate::shards::{CallSettings, HlsSettings, Shards, TcpLimits};
use crate::tasks::Tasks;
use crate::workers::Workers;

/// How far apart the discontinuity sequences of two runs begin, so that a player that stays open over a restart sees a
/// number it has not seen. Small, because hls.js keeps an array with a place for each number below the current one, which
/// costs some 16 ns each: 16 ms after a thousand runs, but half a minute for a Unix time. A room with more interruptions
/// in one run than this may repeat one.
const DISCONTINUITIES_PER_RUN: u64 = 1_024;

/// Media threads of this machine. One for each two cores, because TLS, HTTP and the kernel's share need the rest; more
/// than eight have not been measured.
pub fn shard_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2).clamp(1, 8)
}

/// What the media threads need for calls, from the sockets and the addresses that peers are told.
pub fn call_settings(config: &Config, bound: Option<(Vec<UdpSocket>, Candidates)>) -> io::Result<Option<CallSettings>> {
    let Some((sockets, Candidates { candidates, ice_lite })) = bound else { return Ok(None) };
    let certificate =
        Certificate::generate().ok_or_else(|| io::Error::other("no certificate for DTLS could be made"))?;
    let media = &config.media;
    let limits = Limits {
        slots: media.slots as usize,
        audio_slots: media.audio_slots as usize,
        send_bps_max: u64::from(media.send_max_kbps) * 1_000,
        receive_bps_max: u64::from(media.receive_max_kbps) * 1_000,
        ..Limits::default()
    };
    Ok(Some(CallSettings { sockets, sfu: SfuConfig { candidates, ice_lite, limits, certificate } }))
}

fn packager_config(hls: &config::Hls) -> HlsConfig {
    HlsConfig {
        part: Duration::from_millis(hls.part_ms.into()),
        segment_min: Duration::from_millis(hls.segment_min_ms.into()),
        first_playlist_wait: Duration::from_secs(hls.first_playlist_secs.into()),
        dvr_window: match hls.playlist_type {
            PlaylistType::Event => DvrWindow::Event,
            PlaylistType::Live if hls.dvr_window_secs == 0 => DvrWindow::Off,
            PlaylistType::Live => DvrWindow::Last(Duration::from_secs(hls.dvr_window_secs.into())),
        },
        h264_beside: hls.h264_beside,
        ..HlsConfig::default()
    }
}

/// Opens the DVR window on disk, if the configuration wants one, with what earlier runs had kept. Touches the disk.
pub fn open_dvr(config: &Config) -> io::Result<(Option<Arc<Dvr>>, Vec<KeptRoom>)> {
    let data = &config.general.data;
    if packager_config(&config.hls).dvr_window == DvrWindow::Off {
        Dvr::clear(data)?;
        return Ok((None, Vec::new()));
    }
    let mib = |mib: u32| u64::from(mib) * 1024 * 1024;
    let settings = DvrSettings {
        data: data.clone(),
        bytes_max: mib(config.hls.dvr_disk_max_mib),
        free_bytes_min: mib(config.hls.dvr_disk_free_mib),
    };
    let (dvr, kept) = Dvr::start(&settings)?;
    Ok((Some(Arc::new(dvr)), kept))
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
    /// The DVR window on disk.
    pub dvr: Option<Arc<Dvr>>,
    /// Who converts.
    pub workers: Workers,
}

impl Media {
    /// Starts the media threads and the rooms' task of this server's `run`, see [`Store::begin_run`].
    pub fn start(
        config: &Config,
        store: Arc<dyn Store>,
        run: u64,
        dvr: Option<Arc<Dvr>>,
        calls: Option<CallSettings>,
        tasks: &Tasks,
    ) -> io::Result<Media> {
        let budget = Budget::new(u64::from(config.hls.memory_budget_mib) * 1024 * 1024);
        let settings = HlsSettings {
            packager: packager_config(&config.hls),
            budget: budget.clone(),
            first_discontinuity_sequence: run * DISCONTINUITIES_PER_RUN,
            dvr: dvr.clone(),
            reconnect_window: Duration::from_secs(config.hls.reconnect_window_secs.into()),
        };
        let shards = Arc::new(Shards::start(shard_count(), settings, calls)?);
        let room = RoomConfig {
            reconnect_window: Duration::from_secs(config.hls.reconnect_window_secs.into()),
            second_publisher: match config.rtmp.second_publisher {
                config::SecondPublisher::Refuse => SecondPublisher::Refuse,
                config::SecondPublisher::TakeOver => SecondPublisher::TakeOver,
            },
        };
        let rooms = Rooms::start(store, Arc::clone(&shards), room, tasks);
        let workers = Workers::new(&config.transcode, tasks.clone());
        conversions::start(&rooms, Arc::clone(&shards), workers.clone(), tasks);
        Ok(Media { rooms, shards, budget, dvr, workers })
    }

    /// Accepts WebRTC peers over TCP.
    pub fn listen_for_ice_tcp(&self, config: &Config, listener: TcpListener, tasks: &Tasks) {
        let limits = TcpLimits {
            connections_max: config.media.tcp_connections_max,
            connections_per_address_max: config.media.tcp_connections_per_address_max,
        };
        if let Some(ice_tcp) = self.shards.ice_tcp(limits, tasks) {
            ice_tcp.listen(listener);
        }
    }

    /// Lists what earlier runs had kept, of the rooms that still exist.
    pub async fn restore(&self, kept: Vec<KeptRoom>) -> Result<(), StoreError> {
        for KeptRoom { room, name, listing } in kept {
            let entry = match RoomName::parse(&name) {
                Ok(name) => self.rooms.get(&name).await?,
                Err(_) => None,
            };
            match entry.filter(|entry| entry.facts().id == room) {
                Some(entry) => self.rooms.restore(&entry, listing),
                // The room was deleted, and perhaps another has its name.
                None => self.dvr.iter().for_each(|dvr| dvr.remove(room)),
            }
        }
        Ok(())
    }

    /// Ends every stream: encoders go, the last parts and ENDLIST come out. Takes at most `deadline`.
    pub async fn finish(&self, tasks: &Tasks, deadline: Duration) {
        if let Some(dvr) = &self.dvr {
            dvr.begin_shutdown();
        }
        // Too late is said in the log by the threads themselves.
        let _ = tokio::time::timeout(deadline, self.rooms.close_all()).await;
        let (shards, dvr) = (Arc::clone(&self.shards), self.dvr.clone());
        let end = move || {
            shards.shutdown(deadline);
            dvr.iter().for_each(|dvr| dvr.shutdown(deadline));
        };
        tasks.blocking(end).await;
    }
}

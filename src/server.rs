//! Starting the server and ending it.
//!
//! In: a checked configuration. Out: a [`Running`] that knows its addresses and can be shut down. Start: data folder,
//! certificate, listeners, media, routes. Shutdown goes the other way: the doors close, streams end with their last
//! parts and ENDLIST, connections drain, and a deadline ends what does not.

mod observe;

use std::hash::RandomState;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::addresses::{Addresses, Links};
use crate::advertise::{self, Candidates};
use crate::api::changes::Changes;
use crate::app::Media;
use crate::auth::Secret;
use crate::calls::{Calls, ViewerSettings};
use crate::config::address::{Listen, PublicUrl};
use crate::config::{Config, TlsMode};
use crate::data::{Data, DataError, wall_now};
use crate::door::Doorkeeper;
use crate::http::HttpServer;
use crate::listen::{self, ListenError, MediaSockets};
use crate::metrics::Metrics;
use crate::mixes::Mixes;
use crate::routes;
use crate::rtmp::{Leaving, RtmpServer};
use crate::state::{AppState, Shared};
use crate::tasks::{Drained, Tasks};
use crate::tls::{self, Certificate, TlsError};
use crate::vod::{Vod, VodError};
use crate::webhooks::{Sender, Webhooks};
use crate::whx::Whx;

/// How often expired records are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Where the running server is, in its data folder. After a crash it tells of the last one.
const ADDRESSES_FILE: &str = "addresses.json";

/// What that file says. The commands beside the server need not be told its configuration again.
#[derive(Deserialize, Serialize)]
struct Whereabouts {
    #[serde(flatten)]
    addresses: Addresses,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_url: Option<String>,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// There is no usable certificate.
    #[error("{0}; see the section [tls], or turn HTTPS off with --https off")]
    Tls(#[from] TlsError),
    /// Video on demand cannot start.
    #[error(transparent)]
    Vod(#[from] VodError),
    /// A listener is not there.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// HTTPS is on without a certificate.
    #[error("https is {0}, but tls.mode is \"off\": turn HTTPS off as well with --https off, or choose another mode")]
    HttpsWithoutTls(String),
    /// RTMPS is on without a certificate.
    #[error("rtmps is {0}, but tls.mode is \"off\": turn RTMPS off as well with --rtmps off, or choose another mode")]
    RtmpsWithoutTls(String),
    /// The system refused a thread or an address.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

/// The server, not yet started.
pub struct Server;

/// A running server.
pub struct Running {
    state: AppState,
    media: Media,
    leaving: Leaving,
    first_stream_key: Option<Secret>,
    sign_in_code: Option<Secret>,
}

struct Listeners {
    http: Option<TcpListener>,
    https: Option<(TcpListener, TlsAcceptor)>,
    rtmp: Option<TcpListener>,
    rtmps: Option<(TcpListener, TlsAcceptor)>,
    media: Option<MediaSockets>,
    /// What both acceptors show.
    certificate: Option<Arc<Certificate>>,
}

impl Server {
    /// Starts everything; ready when it returns. Needs a tokio runtime.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let metrics = Arc::new(Metrics::default());
        let tasks = Tasks::new(Arc::clone(&metrics.tasks_panics));
        // Ports first: a busy one must not leave a half-made data folder behind.
        let mut listeners = listen_all(&config, &tasks).await?;
        let folder = config.general.data.clone();
        let data = tasks.blocking(move || Data::open_or_create(&folder)).await?;
        let started = data.start().await?;
        let links = Arc::new(Links::new(listeners.addresses()?, config.general.public_url.clone()));
        let run = data.begin_run().await?;
        let for_dvr = config.clone();
        let (dvr, kept) = tasks.blocking(move || crate::app::open_dvr(&for_dvr)).await?;
        let (sockets, ice_tcp) = listeners.media.take().map(|media| (media.udp, media.tcp)).unzip();
        let candidates = match links.addresses().media {
            Some(bound) => Some(peers_are_told(&config, bound, &tasks).await),
            None => None,
        };
        let calls = crate::app::call_settings(&config, sockets.zip(candidates))?;
        let media = Media::start(&config, Arc::clone(&data.store), run, dvr, calls, &tasks)?;
        media.restore(kept).await.map_err(|error| DataError::Auth(error.into()))?;
        let (store, authority, counts) = (Arc::clone(&data.store), Arc::clone(&data.authority), Arc::clone(&metrics));
        let vod = Vod::start(&config, store, authority, counts, &tasks).await?;
        let sender = Sender::new(config.webhooks.allow_private, tasks.clone());
        let (store, authority, counts) = (Arc::clone(&data.store), Arc::clone(&data.authority), Arc::clone(&metrics));
        let webhooks = Webhooks::start(store, authority, &media.rooms, &vod.listings, sender, counts, &tasks);
        let (shards, authority) = (Arc::clone(&media.shards), Arc::clone(&data.authority));
        let viewers = ViewerSettings {
            per_room_max: config.whep.viewers_per_room_max as usize,
            wait: Duration::from_secs(config.hls.reconnect_window_secs.into()),
        };
        let calls = Calls::start(shards, &media.rooms, viewers, authority, webhooks.clone(), tasks.clone());
        let shards = Arc::clone(&media.shards);
        let mixes = Mixes::new(&media.rooms, &calls, shards, media.workers.clone(), tasks.clone());
        let whx = Whx::new(&config);
        let state = AppState::new(Shared {
            config: Arc::new(config),
            store: data.store,
            authority: data.authority,
            doorkeeper: Arc::new(Doorkeeper::default()),
            rooms: media.rooms.clone(),
            dvr: media.dvr.clone(),
            calls,
            mixes,
            vod,
            webhooks,
            changes: Changes::new(tasks.clone()),
            metrics,
            tasks,
            whx,
            viewer_keys: RandomState::new(),
            links,
        });
        let (first_stream_key, sign_in_code) = match started.first {
            Some(first) => {
                let code = state.authority.create_sign_in_code(started.admin.id).await.map_err(DataError::Auth)?;
                (Some(first.stream_key), Some(code.secret))
            }
            None => (None, None),
        };
        record_addresses(&state).await;
        observe::observe(&state, &media);
        state.tasks.spawn("sweep", sweep(state.clone()));
        let leaving = Leaving::default();
        accept(listeners, &state, leaving.clone());
        if let Some(listener) = ice_tcp {
            media.listen_for_ice_tcp(&state.config, listener, &state.tasks);
        }
        info!(addresses = ?state.links.addresses(), "ready");
        Ok(Running { state, media, leaving, first_stream_key, sign_in_code })
    }
}

/// Binds everything that is on. The certificate is prepared in between, on a thread that may wait for the disk.
async fn listen_all(config: &Config, tasks: &Tasks) -> Result<Listeners, StartError> {
    let general = &config.general;
    let http = listen::bind("http", general.http)?;
    let https = listen::bind("https", general.https)?;
    let rtmp = listen::bind("rtmp", general.rtmp)?;
    let rtmps = listen::bind("rtmps", rtmps_of(config))?;
    let media = listen::bind_media(config.media.listen, crate::app::shard_count())?;
    if config.tls.mode == TlsMode::Off {
        // Before anything is made: what is on cannot be had.
        if https.is_some() {
            return Err(StartError::HttpsWithoutTls(general.https.to_string()));
        }
        if rtmps.is_some() {
            return Err(StartError::RtmpsWithoutTls(general.rtmps.to_string()));
        }
    }
    let mut listeners = Listeners { http, https: None, rtmp, rtmps: None, media, certificate: None };
    if https.is_none() && rtmps.is_none() {
        return Ok(listeners);
    }
    let (tls, folder) = (config.tls.clone(), general.data.clone());
    let opening = tasks.blocking(move || {
        crate::files::create_private_folder(&folder)
            .map_err(|source| TlsError::File { path: folder.clone(), source })?;
        Certificate::open(&tls, &folder, wall_now())
    });
    if let Some(certificate) = opening.await? {
        let acceptor = |protocols: &[&[u8]]| TlsAcceptor::from(certificate.config(protocols));
        listeners.https = https.map(|listener| (listener, acceptor(&[b"h2", b"http/1.1"])));
        listeners.rtmps = rtmps.map(|listener| (listener, acceptor(&[])));
        listeners.certificate = Some(certificate);
    }
    Ok(listeners)
}

/// The addresses for WebRTC peers. May wait for the resolver.
async fn peers_are_told(config: &Config, bound: SocketAddr, tasks: &Tasks) -> Candidates {
    let config = config.clone();
    let candidates =
        tasks.blocking(move || advertise::candidates(&config, bound, &advertise::Machine::look(&config))).await;
    let told: Vec<SocketAddr> = candidates.candidates.iter().map(|candidate| candidate.advertised).collect();
    info!(?told, ice_lite = candidates.ice_lite, "addresses for calls, each over UDP and TCP");
    candidates
}

/// Where RTMPS is to listen: the default only where there is a certificate.
pub fn rtmps_of(config: &Config) -> Listen {
    let rtmps = config.general.rtmps;
    let is_default = rtmps == Config::default().general.rtmps;
    if is_default && config.tls.mode == TlsMode::Off { Listen::Off } else { rtmps }
}

impl Listeners {
    fn addresses(&self) -> io::Result<Addresses> {
        let address = |listener: Option<&TcpListener>| listener.map(TcpListener::local_addr).transpose();
        Ok(Addresses {
            http: address(self.http.as_ref())?,
            https: address(self.https.as_ref().map(|(listener, _)| listener))?,
            rtmp: address(self.rtmp.as_ref())?,
            rtmps: address(self.rtmps.as_ref().map(|(listener, _)| listener))?,
            media: self.media.as_ref().map(|media| media.address),
        })
    }
}

fn accept(listeners: Listeners, state: &AppState, leaving: Leaving) {
    let tasks = state.tasks.clone();
    if let Some(certificate) = listeners.certificate {
        let interval = Duration::from_secs(state.config.tls.renew_interval_secs.into());
        let failures = Arc::clone(&state.metrics.tls_failed_renewals);
        state.tasks.spawn("certificate", tls::follow(certificate, interval, state.tasks.clone(), failures));
    }
    let http = HttpServer::new(routes::router(state), &state.config, tasks, Arc::clone(&state.metrics));
    if let Some(listener) = listeners.http {
        http.listen(listener, None);
    }
    if let Some((listener, acceptor)) = listeners.https {
        http.listen(listener, Some(acceptor));
    }
    let rtmp = RtmpServer::new(state, leaving);
    if let Some(listener) = listeners.rtmp {
        rtmp.listen(listener, None);
    }
    if let Some((listener, acceptor)) = listeners.rtmps {
        rtmp.listen(listener, Some(acceptor));
    }
}

/// Leaves the bound addresses and the public one in the data folder, for `telstar sign-in` and `telstar doctor`.
async fn record_addresses(state: &AppState) {
    let path = state.config.general.data.join(ADDRESSES_FILE);
    let public_url = state.links.public_url().map(str::to_owned);
    let whereabouts = Whereabouts { addresses: state.links.addresses(), public_url };
    let json = serde_json::to_vec(&whereabouts).expect("addresses are JSON");
    if let Err(error) = state.tasks.blocking(move || crate::files::write_private(&path, &json)).await {
        warn!(%error, "the addresses were not recorded");
    }
}

fn whereabouts(data: &Path) -> Option<Whereabouts> {
    let json = std::fs::read(data.join(ADDRESSES_FILE)).ok()?;
    serde_json::from_slice(&json).ok()
}

/// The addresses of the server that runs on this data folder, if one does.
pub fn recorded_addresses(data: &Path) -> Option<Addresses> {
    whereabouts(data).map(|whereabouts| whereabouts.addresses)
}

/// The links of the server that runs on the configured data folder, or of the one that would be started.
pub fn links_of(config: &Config) -> Links {
    let general = &config.general;
    let configured = |listen: Listen| listen.candidates().first().copied();
    let recorded = whereabouts(&general.data).unwrap_or_else(|| Whereabouts {
        addresses: Addresses {
            http: configured(general.http),
            https: configured(general.https),
            rtmp: configured(general.rtmp),
            rtmps: configured(rtmps_of(config)),
            media: configured(config.media.listen),
        },
        public_url: None,
    });
    let public_url = recorded.public_url.map_or_else(|| general.public_url.clone(), PublicUrl::Fixed);
    Links::new(recorded.addresses, public_url)
}

/// Removes what has expired, now and then.
async fn sweep(state: AppState) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    let mut stopping = std::pin::pin!(state.tasks.stopping());
    loop {
        // Cancel-safe: an interval and a token.
        tokio::select! {
            () = &mut stopping => return,
            _ = interval.tick() => {}
        }
        if let Err(error) = state.store.sweep(state.authority.now()).await {
            warn!(%error, "expired records were not removed");
        }
    }
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.state.links.addresses()
    }

    /// The links to it.
    pub fn links(&self) -> &Links {
        &self.state.links
    }

    /// Its parts, for tests that look inside.
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// The first room's stream key, at the first start only.
    pub fn first_stream_key(&self) -> Option<&Secret> {
        self.first_stream_key.as_ref()
    }

    /// The one-time sign-in code, at the first start only.
    pub fn sign_in_code(&self) -> Option<&Secret> {
        self.sign_in_code.as_ref()
    }

    /// Ends the server: doors, streams, connections, all within the configured deadline.
    pub async fn shutdown(self) -> Drained {
        let deadline = Duration::from_secs(self.state.config.shutdown.deadline_secs.into());
        let started = Instant::now();
        let tasks = self.state.tasks.clone();
        tasks.close_doors();
        // Encoders that were asked to connect elsewhere do so at their next keyframe, if they can.
        self.leaving.gone(deadline / 4).await;
        // Streams may take half of the time, so that viewers have the rest to fetch the end.
        self.media.finish(&tasks, deadline / 2).await;
        let drained = tasks.drain(deadline.saturating_sub(started.elapsed())).await;
        // The file tells others that a server runs here.
        let _ = std::fs::remove_file(self.state.config.general.data.join(ADDRESSES_FILE));
        match drained {
            Drained::Cleanly => info!("stopped"),
            Drained::Aborted(tasks) => warn!(tasks, "stopped at the deadline"),
        }
        drained
    }
}

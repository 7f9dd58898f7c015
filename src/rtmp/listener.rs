//! The RTMP listener: accepts within limits, and gives each connection a task.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use telstar_rtmp::Limits;
use telstar_rtmp::limits::ChunkLimits;
use tokio::net::{TcpListener, TcpStream};
use tracing::{Instrument, info_span, warn};

use super::admission::Admission;
use super::connection::{Connection, Settings};
use crate::auth::Authority;
use crate::config;
use crate::door::Doorkeeper;
use crate::metrics::Metrics;
use crate::rooms::Rooms;
use crate::slots::{Slot, Slots};
use crate::tasks::Tasks;

/// The pause after a failed accept, which mostly means that file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A peer that acknowledges nothing of what we sent for this long is gone.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// What all RTMP listeners share. Cheap to clone.
#[derive(Clone)]
pub struct RtmpServer {
    settings: Settings,
    admission: Admission,
    slots: Slots,
    tasks: Tasks,
    metrics: Arc<Metrics>,
}

impl RtmpServer {
    /// A server for encoders that `authority` knows and `rooms` take. The connection limits count over all listeners.
    pub fn new(
        config: &config::Rtmp,
        authority: Arc<Authority>,
        doorkeeper: Arc<Doorkeeper>,
        rooms: Rooms,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> RtmpServer {
        let settings = Settings { limits: limits_of(config), bitrate_max_kbps: config.bitrate_max_kbps };
        let admission = Admission::new(authority, doorkeeper, rooms, Arc::clone(&metrics));
        let slots = Slots::new(config.connections_max, config.connections_per_address_max);
        RtmpServer { settings, admission, slots, tasks, metrics }
    }

    /// Accepts on `listener` until the doors close; connections end when the task set stops.
    pub fn listen(&self, listener: TcpListener) {
        let server = self.clone();
        self.tasks.spawn("rtmp", async move { server.accept_all(listener).await });
    }

    async fn accept_all(&self, listener: TcpListener) {
        let mut doors_closed = std::pin::pin!(self.tasks.doors_closed());
        loop {
            // Cancel-safe: an accept that was not finished leaves the connection in the kernel's queue.
            let accepted = tokio::select! {
                () = &mut doors_closed => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.admit(stream, address),
                Err(error) => {
                    warn!(%error, "cannot accept an RTMP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Starts a connection's task, or closes it at once when there are too many.
    fn admit(&self, stream: TcpStream, address: SocketAddr) {
        let Some(slot) = self.slots.take(address.ip(), false) else {
            self.metrics.rtmp_refused_connections.add(1);
            return;
        };
        self.metrics.rtmp_accepted_connections.add(1);
        let server = self.clone();
        let span = info_span!("rtmp", peer = %address);
        self.tasks.spawn("rtmp connection", async move { server.serve(stream, address, slot).await }.instrument(span));
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr, _slot: Slot) {
        let _open = self.metrics.rtmp_connections_count.enter();
        // Answers are small and awaited.
        let _ = stream.set_nodelay(true);
        let unacknowledged_ms = u32::try_from(UNACKNOWLEDGED_MAX.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, unacknowledged_ms);
        let (settings, admission) = (self.settings.clone(), self.admission.clone());
        match Connection::new(stream, address.ip(), settings, admission, Arc::clone(&self.metrics)) {
            Ok(connection) => connection.run(self.tasks.child_token()).await,
            Err(error) => warn!(%error, "no random bytes for a handshake"),
        }
    }
}

fn limits_of(config: &config::Rtmp) -> Limits {
    let seconds = |secs: u32| Duration::from_secs(secs.into());
    let message_bytes_max = config.message_max_kib as usize * 1_024;
    Limits {
        // Sound and data must fit beside the largest picture.
        publisher: ChunkLimits { message_bytes_max, held_bytes_max: message_bytes_max * 2 },
        handshake_timeout: seconds(config.handshake_timeout_secs),
        connect_timeout: seconds(config.handshake_timeout_secs),
        publish_timeout: seconds(config.publish_timeout_secs),
        idle_timeout: seconds(config.idle_timeout_secs),
        ..Limits::default()
    }
}

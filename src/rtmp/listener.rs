//! The listeners: accept within limits, over TLS where that is asked for, and give each connection a task.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use telstar_rtmp::Limits;
use telstar_rtmp::limits::ChunkLimits;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument, debug, info_span, warn};

use super::connection::{Connection, Doors};
use super::leaving::Leaving;
use crate::config;
use crate::ingest::rtmp::Admission;
use crate::listen;
use crate::output::rtmp::PlayDoor;
use crate::slots::{Slot, Slots};
use crate::state::{AppState, Shared};

/// A peer that acknowledges nothing of what we sent for this long is gone.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// What all RTMP listeners share. Cheap to clone.
#[derive(Clone)]
pub struct RtmpServer {
    doors: Arc<Doors>,
}

impl RtmpServer {
    /// A server for the encoders and players that `state` knows. The connection limits count over all listeners;
    /// `leaving` counts who can be asked to connect elsewhere.
    pub fn new(state: &AppState, leaving: Leaving) -> RtmpServer {
        let config = &state.config.rtmp;
        let Shared { authority, doorkeeper, rooms, metrics, tasks, .. } = Shared::clone(state);
        let doors = Doors {
            limits: limits_of(config),
            bitrate_max_kbps: config.bitrate_max_kbps,
            publish: Admission::new(authority, doorkeeper, rooms, Arc::clone(&metrics)),
            play: PlayDoor::new(state),
            metrics,
            tasks,
            slots: Slots::new(config.connections_max, config.connections_per_address_max),
            leaving,
        };
        RtmpServer { doors: Arc::new(doors) }
    }

    /// Accepts on `listener`, with TLS if there is an acceptor, until the doors close; connections end when the task set
    /// stops.
    pub fn listen(&self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        let server = self.clone();
        let name = if tls.is_some() { "rtmps" } else { "rtmp" };
        let tasks = &self.doors.tasks;
        let admit = move |stream, address| server.admit(stream, address, tls.clone());
        tasks.spawn(name, listen::accept_all(listener, "an RTMP connection", tasks.clone(), admit));
    }

    /// Starts a connection's task, or closes it at once when there are too many.
    fn admit(&self, stream: TcpStream, address: SocketAddr, tls: Option<TlsAcceptor>) {
        let Some(slot) = self.doors.slots.take(address.ip(), false) else {
            self.doors.metrics.rtmp_refused_connections.add(1);
            return;
        };
        self.doors.metrics.rtmp_accepted_connections.add(1);
        let doors = Arc::clone(&self.doors);
        let span = info_span!("rtmp", peer = %address);
        let serving = async move { serve(doors, stream, address, tls, slot).await };
        self.doors.tasks.spawn("rtmp connection", serving.instrument(span));
    }
}

async fn serve(doors: Arc<Doors>, stream: TcpStream, address: SocketAddr, tls: Option<TlsAcceptor>, slot: Slot) {
    let _open = doors.metrics.rtmp_connections_count.enter();
    // Answers are small and awaited.
    let _ = stream.set_nodelay(true);
    let unacknowledged_ms = u32::try_from(UNACKNOWLEDGED_MAX.as_millis()).unwrap_or(u32::MAX);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, unacknowledged_ms);
    let stop = doors.tasks.child_token();
    let Some(acceptor) = tls else {
        return match Connection::new(stream, address.ip(), "rtmp", doors, slot) {
            Ok(connection) => connection.run(stop).await,
            Err(error) => warn!(%error, "no random bytes for a handshake"),
        };
    };
    // The TLS handshake has as long as RTMP's own, which follows it. A stopping server waits for neither.
    let accepted = tokio::select! {
        () = stop.cancelled() => return,
        accepted = tokio::time::timeout(doors.limits.handshake_timeout, acceptor.accept(stream)) => accepted,
    };
    match accepted {
        Ok(Ok(stream)) => match Connection::new(stream, address.ip(), "rtmps", doors, slot) {
            Ok(connection) => connection.run(stop).await,
            Err(error) => warn!(%error, "no random bytes for a handshake"),
        },
        Ok(Err(error)) => {
            doors.metrics.rtmp_failed_handshakes.add(1);
            debug!(%error, "a TLS handshake failed");
        }
        Err(_) => doors.metrics.rtmp_failed_handshakes.add(1),
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

//! A connection's socket of the moment. The connection may outlive it and take over another.
//!
//! In: a socket that was opened. Out: a socket that is read and written, and closed with the reason when another takes
//! its place. It knows nothing of what is said on it.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, WebSocket};
use telstar_signaling::wire::CloseCode;

use super::admission::Admitted;
use super::pump::Pump;

/// How long a socket that was replaced may take to hear of it.
const REPLACED_TIMEOUT: Duration = Duration::from_secs(3);

/// A socket and what its being open holds.
pub(super) struct Line {
    pub(super) pump: Pump,
    _admitted: Option<Admitted>,
}

impl Line {
    /// A socket that was just opened.
    pub(super) fn new(socket: WebSocket, admitted: Option<Admitted>) -> Line {
        Line { pump: Pump::new(socket), _admitted: admitted }
    }

    /// Tells a socket that another took its place.
    pub(super) async fn close_replaced(self) {
        let close = CloseFrame { code: CloseCode::Replaced.number(), reason: "resumed elsewhere".into() };
        // It is most likely dead.
        let _ = tokio::time::timeout(REPLACED_TIMEOUT, self.pump.close(close)).await;
    }
}

//! Clients whose socket was lost and who may come back: each new socket that shows a session finds its task here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use telstar_signaling::Resume;
use tokio::sync::{mpsc, oneshot};

use super::line::Line;

/// How long a new socket waits for the old one's task. It only has to be scheduled.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(5);

/// A new socket for a client that was here before.
pub(super) struct HandOver {
    /// The socket.
    pub(super) line: Line,
    /// What the client showed.
    pub(super) resume: Resume,
    /// Where the socket goes back to when the client may not come back.
    pub(super) refused: oneshot::Sender<Line>,
}

/// The sessions of this node that can be resumed, by their ids. Cheap to clone.
///
/// Bounded by the connections: each has one while it is in a call.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<String, mpsc::Sender<HandOver>>>>);

impl Sessions {
    /// Notes the task of a session.
    pub(super) fn insert(&self, id: String, task: mpsc::Sender<HandOver>) {
        self.map().insert(id, task);
    }

    /// Forgets a session.
    pub(super) fn remove(&self, id: &str) {
        self.map().remove(id);
    }

    /// Hands a socket over to the task of the session that it names, or back.
    pub(super) async fn hand_over(&self, line: Line, resume: Resume) -> Result<(), Line> {
        let Some(task) = self.map().get(&resume.session).cloned() else { return Err(line) };
        let (refused, answer) = oneshot::channel();
        match task.try_send(HandOver { line, resume, refused }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(over) | mpsc::error::TrySendError::Closed(over)) => {
                return Err(over.line);
            }
        }
        // The task drops the sender when it keeps the socket. If it does not come to it in time the socket closes with it.
        match tokio::time::timeout(HAND_OVER_TIMEOUT, answer).await {
            Ok(Ok(line)) => Err(line),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<HandOver>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

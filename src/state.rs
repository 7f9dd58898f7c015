//! What every HTTP handler is given.

use std::sync::Arc;

use telstar_store::Store;

use crate::addresses::Links;
use crate::auth::Authority;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::rooms::Rooms;
use crate::tasks::Tasks;

/// The parts of the running server. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// What the operator decided.
    pub config: Arc<Config>,
    /// Durable records.
    pub store: Arc<dyn Store>,
    /// Who may do what.
    pub authority: Arc<Authority>,
    /// What is live.
    pub rooms: Rooms,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where tasks run.
    pub tasks: Tasks,
    /// Where the server is.
    pub links: Arc<Links>,
}

//! What every HTTP handler is given.

use std::hash::RandomState;
use std::ops::Deref;
use std::sync::Arc;

use telstar_store::Store;

use crate::addresses::Links;
use crate::api::changes::Changes;
use crate::auth::Authority;
use crate::calls::Calls;
use crate::config::Config;
use crate::door::Doorkeeper;
use crate::dvr::Dvr;
use crate::metrics::Metrics;
use crate::mixes::Mixes;
use crate::rooms::Rooms;
use crate::tasks::Tasks;
use crate::vod::Vod;
use crate::webhooks::Webhooks;
use crate::whx::Whx;

/// The parts of the running server, behind one reference: axum clones a handler's state several times for each request.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

impl AppState {
    /// The state of these parts.
    pub fn new(shared: Shared) -> AppState {
        AppState(Arc::new(shared))
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What the handlers share. Each part can be cloned, for tasks that need few of them.
#[derive(Clone)]
pub struct Shared {
    /// What the operator decided.
    pub config: Arc<Config>,
    /// Durable records.
    pub store: Arc<dyn Store>,
    /// Who may do what.
    pub authority: Arc<Authority>,
    /// How often each address was wrong.
    pub doorkeeper: Arc<Doorkeeper>,
    /// What is live.
    pub rooms: Rooms,
    /// The DVR window on disk, if there is one.
    pub dvr: Option<Arc<Dvr>>,
    /// The running calls.
    pub calls: Calls,
    /// The calls that are mixed for those who watch.
    pub mixes: Mixes,
    /// Video on demand.
    pub vod: Vod,
    /// What tells apps what happens.
    pub webhooks: Webhooks,
    /// Through which durable records are changed.
    pub changes: Changes,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where tasks run.
    pub tasks: Tasks,
    /// The hash that makes a browser's sockets and players one viewer. It is drawn at every start and never leaves.
    pub viewer_keys: RandomState,
    /// The sessions of WHIP and WHEP.
    pub whx: Whx,
    /// Where the server is.
    pub links: Arc<Links>,
}

//! The route `/ws`: who may open a socket, and how many may be open.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use axum::routing::any;
use telstar_signaling::limits::CALL_MESSAGE_BYTES_MAX;
use telstar_signaling::wire::SUBPROTOCOL;

use super::admission::Admission;
use super::line::Line;
use super::session::Session;
use super::sessions::Sessions;
use super::topics::Topics;
use crate::api::error::{Code, Problem};
use crate::auth::Action;
use crate::client::Client;
use crate::door::{caller_of, permit};
use crate::rooms::ViewerKey;
use crate::state::AppState;

/// The read buffer of a socket. Larger: an idle socket costs more. Smaller: a 64 KiB message takes more reads than it needs.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// What the socket layer accepts as one message. The core allows at most half of it: between the two a client is told properly
/// what it did wrong, beyond it the rest of its message is never read.
const SOCKET_MESSAGE_BYTES_MAX: usize = 2 * CALL_MESSAGE_BYTES_MAX;

/// The sockets of this node. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    pub(super) state: AppState,
    pub(super) topics: Topics,
    pub(super) sessions: Sessions,
    admission: Admission,
    viewer_keys: RandomState,
}

/// The route, and the task behind its topics.
pub fn router(state: &AppState) -> Router<AppState> {
    let gateway = Gateway {
        topics: Topics::start(state.rooms.clone(), Arc::clone(&state.store), &state.tasks),
        sessions: Sessions::default(),
        admission: Admission::new(state.config.limits.websockets_max),
        viewer_keys: state.viewer_keys.clone(),
        state: state.clone(),
    };
    // GET over HTTP/1.1. The HTTP/2 server does not offer extended CONNECT (RFC 8441 §3), so a browser that came over
    // HTTP/2 opens a connection of HTTP/1.1 for its socket. Any method, so that the wrong ones get a problem, too.
    Router::new().route(
        "/ws",
        any(move |method, client, headers, upgrade| open(gateway.clone(), method, client, headers, upgrade)),
    )
}

async fn open(
    gateway: Gateway,
    method: Method,
    client: Client,
    mut headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let from_our_page = is_from_our_page(&gateway, &client, &headers)?;
    let upgrade = upgrade.map_err(refusal)?.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let detail = format!("Ask for the WebSocket subprotocol {SUBPROTOCOL}.");
        return Err(Problem::new(Code::BadRequest, detail));
    }
    let revocations = gateway.state.authority.revocations();
    if !from_our_page {
        headers.remove(header::COOKIE);
    }
    let caller = caller_of(&gateway.state, &client, &method, &headers).await?;
    permit(&caller, Action::OpenSocket, None)?;
    let admitted = gateway.admission.admit(client.address, client.is_on_this_machine());
    let id = gateway.state.calls.next_connection();
    let viewer = gateway.viewer_key(&client, &headers);
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        // Every message goes to the socket at once; what it does not take stays in the core, where it is limited.
        .write_buffer_size(0)
        .max_message_size(SOCKET_MESSAGE_BYTES_MAX)
        .max_frame_size(SOCKET_MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(async move |socket| {
        let tasks = gateway.state.tasks.clone();
        let metrics = Arc::clone(&gateway.state.metrics);
        let mut session = Session::new(gateway, id, caller, client, viewer, revocations);
        if admitted.is_none() {
            metrics.ws_refused_connections.add(1);
            session.refuse();
        }
        tasks.spawn("websocket", async move {
            let _open = metrics.ws_connections_count.enter();
            session.run(Line::new(socket, admitted)).await;
        });
    }))
}

impl Gateway {
    /// A browser's socket and its player are one viewer. The key of the hash is drawn at every start and never leaves.
    fn viewer_key(&self, client: &Client, headers: &HeaderMap) -> ViewerKey {
        ViewerKey(self.viewer_keys.hash_one((client.address, headers.get(header::USER_AGENT))))
    }
}

/// Whether one of our own pages opens this socket. Browsers say for every WebSocket where its page is from (Fetch
/// standard, "append a request Origin header"), so whoever says nothing is no browser and brings no cookie that counts.
fn is_from_our_page(gateway: &Gateway, client: &Client, headers: &HeaderMap) -> Result<bool, Problem> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => Ok(false),
        (Some(origin), None) => {
            let general = &gateway.state.config.general;
            let origin = origin.to_str().unwrap_or_default();
            if client.is_our_origin(origin, general) {
                return Ok(true);
            }
            // A page of an app has its own credential; the cookie of a person who happens to be signed in here is not its.
            let is_allowed = general.allowed_origins.iter().any(|allowed| allowed.is(origin));
            let detail = "Pages of other sites may open a WebSocket only if `allowed_origins` names their origin.";
            is_allowed.then_some(false).ok_or_else(|| Problem::new(Code::ForeignOrigin, detail))
        }
        (Some(_), Some(_)) => Err(Problem::new(Code::BadRequest, "There is more than one Origin.")),
    }
}

fn refusal(rejection: WebSocketUpgradeRejection) -> Problem {
    match rejection {
        WebSocketUpgradeRejection::MethodNotGet(_) | WebSocketUpgradeRejection::MethodNotConnect(_) => {
            let problem = Problem::new(Code::MethodNotAllowed, "A WebSocket is opened with GET.");
            problem.with(header::ALLOW, HeaderValue::from_static("GET"))
        }
        _ => Problem::new(Code::BadRequest, "Open this address as a WebSocket (RFC 6455)."),
    }
}

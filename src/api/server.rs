//! What pages need to know of the server.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Problem;
use crate::addresses::host_of_origin;
use crate::auth::{Action, Caller, authorise};
use crate::client::Client;
use crate::door::permit;
use crate::state::AppState;

/// Facts about the server.
#[derive(Serialize, ToSchema)]
pub(super) struct Server {
    /// The program's version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The origin of links to this server: the configured one, or the one that this request used.
    #[schema(example = "https://live.example.org")]
    public_url: String,
    /// An encoder's box "Server"; null for whoever is not signed in, and while RTMP is off.
    #[schema(example = "rtmp://live.example.org:1935/live")]
    rtmp_url: Option<String>,
    /// The same over TLS; null for whoever is not signed in, and while RTMPS is off.
    #[schema(example = "rtmps://live.example.org:1936/live")]
    rtmps_url: Option<String>,
    /// The HTTPS origin, for pages that were opened in the clear; null while HTTPS is off.
    #[schema(example = "https://192.168.1.5:8443")]
    https_url: Option<String>,
    /// Origins that others in the network can open; empty for whoever is not signed in.
    addresses: Vec<String>,
}

/// Facts about the server.
#[utoipa::path(get, path = "/api/v1/server", tag = "server", operation_id = "readServer",
    responses((status = 200, description = "The facts that this credential may know.", body = Server)))]
pub(super) async fn read(
    caller: Caller,
    client: Client,
    State(state): State<AppState>,
) -> Result<axum::Json<Server>, Problem> {
    permit(&caller, Action::ReadServerFacts, None)?;
    let insider = authorise(&caller, Action::ReadIngestAddresses, None).is_ok();
    let host = host_of_origin(&client.reached_origin);
    let links = &state.links;
    Ok(axum::Json(Server {
        version: env!("CARGO_PKG_VERSION"),
        public_url: links.public_url().unwrap_or(&client.reached_origin).to_owned(),
        rtmp_url: insider.then(|| links.rtmp_url(host)).flatten(),
        rtmps_url: insider.then(|| links.rtmps_url(host)).flatten(),
        https_url: host.and_then(|host| links.https_origin(host)),
        addresses: if insider { links.lan_origin().into_iter().collect() } else { Vec::new() },
    }))
}

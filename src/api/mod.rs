//! The REST API under `/api/v1`, one file per resource, and its description.
//!
//! In: requests that passed [`crate::client`]; every handler asks [`crate::door::permit`] before it does anything.
//! Out: JSON, or the problems of `error`. What is documented and what is routed is the same list here.

mod api_keys;
mod asset_schema;
mod assets;
mod call_schema;
pub mod changes;
pub mod error;
mod events;
pub mod extract;
mod health;
mod invites;
mod job_schema;
mod jobs;
mod on_demand;
mod openapi;
mod participants;
mod playback_tokens;
mod rendition_schema;
mod room_schema;
mod rooms;
mod server;
mod sessions;
mod stream_keys;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod tokens;
mod webhooks;

use axum::routing::get;
use axum::{Extension, Router};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::AppState;

/// The routes of the API and of health, with their description at `/api/v1/openapi.json`.
pub fn router() -> Router<AppState> {
    let (router, description) = routes_and_description();
    let json = description.to_json().expect("a description of strings always serialises");
    router.route("/api/v1/openapi.json", get(move |caller| openapi::description(caller, json.clone())))
}

/// The description of everything that can be asked over HTTP.
pub fn description() -> OpenApi {
    routes_and_description().1
}

fn routes_and_description() -> (Router<AppState>, OpenApi) {
    let (router, mut description) = OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(rooms::list, rooms::create))
        .routes(routes!(rooms::read, rooms::change, rooms::delete))
        .routes(routes!(stream_keys::list, stream_keys::create))
        .routes(routes!(stream_keys::revoke))
        .routes(routes!(playback_tokens::create))
        .routes(routes!(playback_tokens::create_of_asset))
        .routes(routes!(assets::list, assets::create))
        .routes(routes!(assets::read, assets::change, assets::delete))
        .routes(routes!(jobs::list_of_asset, jobs::create))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::read, jobs::cancel))
        .routes(routes!(jobs::retry))
        .merge(OpenApiRouter::new().routes(routes!(events::read)).layer(Extension(events::Streams::default())))
        .routes(routes!(tokens::create))
        .routes(routes!(invites::list, invites::create))
        .routes(routes!(invites::revoke))
        .routes(routes!(participants::list))
        .routes(routes!(participants::read, participants::change, participants::remove))
        .routes(routes!(participants::mute))
        .routes(routes!(participants::send_data))
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::revoke))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::delete))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(sessions::sign_in))
        .routes(routes!(sessions::read, sessions::sign_out))
        .routes(routes!(server::read))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .split_for_parts();
    openapi::finish(&mut description);
    (router, description)
}

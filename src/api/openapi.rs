//! The frame of the API's description, and what all operations have in common.

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Description, Ref, ResponseBuilder, SecurityRequirement};
use utoipa::{OpenApi, PartialSchema};

use super::error::{Problem, ProblemBody};
use super::on_demand;
use crate::auth::{Action, Caller, SESSION_COOKIE};
use crate::door::permit;

/// What every error is sent as.
const PROBLEM_TYPE: &str = "application/problem+json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Telstar",
        description = "Rooms, stream keys, videos on demand and sign-in of a Telstar server. Times are RFC 3339 in UTC. \
                       Unknown fields are ignored. Errors are problem details (RFC 9457) with a stable `code`. Live state \
                       comes over `/ws`, what happens to videos on demand over `/api/v1/events`.",
    ),
    paths(
        live_playlist,
        media_playlist,
        picture_playlist,
        media,
        socket,
        publish,
        watch,
        change_publication,
        end_publication,
        change_view,
        end_view,
        on_demand::read_playlist,
        on_demand::read_media_playlist,
        on_demand::read_pictures,
        on_demand::read_media,
        on_demand::read_key,
        on_demand::read_poster,
        on_demand::read_storyboard,
        on_demand::read_sheet,
        on_demand::read_source,
        on_demand::read_capabilities,
        on_demand::create_upload,
        on_demand::read_upload,
        on_demand::append_to_upload,
        on_demand::delete_upload
    )
)]
struct Frame;

/// The frame into which the routes are put.
pub(super) fn frame() -> Description {
    Frame::openapi()
}

/// Adds what all operations share: who may ask, and how errors look.
pub(super) fn finish(description: &mut Description) {
    let components = description.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API token (`tst_…`), or a room token where a room is concerned."));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    let cookie = ApiKeyValue::with_description(
        SESSION_COOKIE,
        "A signed-in browser; under TLS the name begins with `__Host-`. A request that changes something must carry our \
         `Origin`.",
    );
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    components.schemas.insert("Problem".to_owned(), ProblemBody::schema());
    let none: [&str; 0] = [];
    description.security = Some(vec![
        SecurityRequirement::default(),
        SecurityRequirement::new("bearer", none),
        SecurityRequirement::new("session", none),
    ]);
    let problem = ResponseBuilder::new()
        .description("Any error.")
        .content(PROBLEM_TYPE, ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build())
        .build();
    for item in description.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.patch,
            &mut item.put,
            &mut item.delete,
            &mut item.head,
            &mut item.options,
        ];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".to_owned(), problem.clone().into());
        }
    }
}

/// This description.
pub(super) async fn description(caller: Caller, json: String) -> Result<impl IntoResponse, Problem> {
    permit(&caller, Action::ReadApiDescription, None)?;
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], json))
}

/// The multivariant playlist of what is live in a room. `?t=` takes a playback token, which is copied to every URI in it.
#[utoipa::path(get, path = "/live/{room}/index.m3u8", tag = "watching", operation_id = "readLivePlaylist",
    params(("room" = String, Path, description = "The room's name."),
        ("t" = Option<String>, Query, description = "A playback token, for rooms that are not open.")),
    responses((status = 200, description = "HLS.", body = String, content_type = "application/vnd.apple.mpegurl")))]
#[expect(dead_code, reason = "only its description is used: src/output serves it")]
fn live_playlist() {}

/// A media playlist. `_HLS_msn` and `_HLS_part` wait for a part (RFC 8216bis §6.2.5.2).
#[utoipa::path(get, path = "/live/{room}/{rendition}/index.m3u8", tag = "watching", operation_id = "readMediaPlaylist",
    params(("room" = String, Path, description = "The room's name."),
        ("rendition" = String, Path, description = "`video` or `audio`."),
        ("t" = Option<String>, Query, description = "A playback token, for rooms that are not open."),
        ("_HLS_msn" = Option<u64>, Query, description = "Wait for this segment."),
        ("_HLS_part" = Option<u64>, Query, description = "Wait for this part of it."),
        ("_HLS_skip" = Option<String>, Query, description = "`YES` or `v2`: a delta update, where one is offered.")),
    responses((status = 200, description = "HLS.", body = String, content_type = "application/vnd.apple.mpegurl")))]
#[expect(dead_code, reason = "only its description is used: src/output serves it")]
fn media_playlist() {}

/// The I-frame playlist. `_HLS_msn` waits for an entry.
#[utoipa::path(get, path = "/live/{room}/{rendition}/iframes.m3u8", tag = "watching", operation_id = "readIFramePlaylist",
    params(("room" = String, Path, description = "The room's name."),
        ("rendition" = String, Path, description = "`video`."),
        ("t" = Option<String>, Query, description = "A playback token, for rooms that are not open."),
        ("_HLS_msn" = Option<u64>, Query, description = "Wait for this entry."),
        ("_HLS_skip" = Option<String>, Query, description = "`YES` or `v2`: a delta update, where one is offered.")),
    responses((status = 200, description = "HLS.", body = String, content_type = "application/vnd.apple.mpegurl")))]
#[expect(dead_code, reason = "only its description is used: src/output serves it")]
fn picture_playlist() {}

/// An initialisation section, a segment, a part or a picture, as the playlists name them.
#[utoipa::path(get, path = "/live/{room}/{rendition}/{epoch}/{file}", tag = "watching", operation_id = "readMedia",
    params(("room" = String, Path, description = "The room's name."),
        ("rendition" = String, Path, description = "`video` or `audio`."),
        ("epoch" = u64, Path, description = "One uninterrupted run of the stream."),
        ("file" = String, Path, description = "What of it."),
        ("t" = Option<String>, Query, description = "A playback token, for rooms that are not open.")),
    responses((status = 200, description = "CMAF.", body = Vec<u8>, content_type = "video/mp4"),
        (status = 206, description = "The range that was asked for.", body = Vec<u8>, content_type = "video/mp4")))]
#[expect(dead_code, reason = "only its description is used: src/output serves it")]
fn media() {}

/// The WebSocket of live state, subprotocol `telstar.v1`.
#[utoipa::path(get, path = "/ws", tag = "watching", operation_id = "openSocket",
    responses((status = 101, description = "Switched to WebSocket.")))]
#[expect(dead_code, reason = "only its description is used: src/gateway serves it")]
fn socket() {}

/// Publishes over WHIP (RFC 9725). The bearer is a stream key or a token.
#[utoipa::path(post, path = "/whip/{room}", tag = "webrtc", operation_id = "publishOverWhip",
    params(("room" = String, Path, description = "The room's name.")),
    request_body(content = String, content_type = "application/sdp", description = "An offer."),
    responses((status = 201, description = "The answer. `Location` is the session, `ETag` its ICE session.", body = String,
        content_type = "application/sdp")))]
#[expect(dead_code, reason = "only its description is used: src/whx serves it")]
fn publish() {}

/// Watches over WHEP. `?t=` takes a playback token.
#[utoipa::path(post, path = "/whep/{room}", tag = "webrtc", operation_id = "watchOverWhep",
    params(("room" = String, Path, description = "The room's name."),
        ("t" = Option<String>, Query, description = "A playback token, for rooms that are not open.")),
    request_body(content = String, content_type = "application/sdp", description = "An offer."),
    responses((status = 201, description = "The answer. `Location` is the session, `ETag` its ICE session.", body = String,
        content_type = "application/sdp")))]
#[expect(dead_code, reason = "only its description is used: src/whx serves it")]
fn watch() {}

/// Trickles candidates of a publisher, or restarts its ICE.
#[utoipa::path(patch, path = "/whip/{room}/sessions/{id}", tag = "webrtc", operation_id = "changePublication",
    params(("room" = String, Path, description = "The room's name."),
        ("id" = String, Path, description = "The session, as `Location` named it.")),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag",
        description = "Candidates, or the credentials of a restart, with `If-Match`."),
    responses((status = 204, description = "The candidates are taken."),
        (status = 200, description = "ICE is restarted: the server's fragment, with a new `ETag`.", body = String,
            content_type = "application/trickle-ice-sdpfrag")))]
#[expect(dead_code, reason = "only its description is used: src/whx serves it")]
fn change_publication() {}

/// Ends publishing.
#[utoipa::path(delete, path = "/whip/{room}/sessions/{id}", tag = "webrtc", operation_id = "endPublication",
    params(("room" = String, Path, description = "The room's name."),
        ("id" = String, Path, description = "The session, as `Location` named it.")),
    responses((status = 200, description = "Gone.")))]
#[expect(dead_code, reason = "only its description is used: src/whx serves it")]
fn end_publication() {}

/// Trickles candidates of a viewer, or restarts its ICE.
#[utoipa::path(patch, path = "/whep/{room}/sessions/{id}", tag = "webrtc", operation_id = "changeView",
    params(("room" = String, Path, description = "The room's name."),
        ("id" = String, Path, description = "The session, as `Location` named it.")),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag",
        description = "Candidates, or the credentials of a restart, with `If-Match`."),
    responses((status = 204, description = "The candidates are taken."),
        (status = 200, description = "ICE is restarted: the server's fragment, with a new `ETag`.", body = String,
            content_type = "application/trickle-ice-sdpfrag")))]
#[expect(dead_code, reason = "only its description is used: src/whx serves it")]
fn change_view() {}

/// Ends watching.
#[utoipa::path(delete, path = "/whep/{room}/sessions/{id}", tag = "webrtc", operation_id = "endView",
    params(("room" = String, Path, description = "The room's name."),
        ("id" = String, Path, description = "The session, as `Location` named it.")),
    responses((status = 200, description = "Gone.")))]
#[expect(dead_code, reason = "only its description is used: src/whx serves it")]
fn end_view() {}

//! The routes of WHIP and WHEP. In: requests of encoders, players and browsers of any site. Out: answers with the headers that
//! the protocols and CORS want, on errors as well.

use std::hash::BuildHasher;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use telstar_sfu::offer::Offer;

use super::access::{self, Lock};
use super::fragment::{FRAGMENT_BYTES_MAX, Fragment, complete};
use super::registry::{Asks, Protocol};
use super::session::{Beginning, Leg, Patched, Session};
use crate::api::error::{Code, Problem};
use crate::api::extract::read_body;
use crate::client::Client;
use crate::ingest::whip::{self, Entrant, Publication};
use crate::output::whep::{self, View};
use crate::rooms::ViewerKey;
use crate::state::AppState;

/// The longest offer. Chrome's with all codecs, simulcast and twenty candidates has 12 KiB.
const OFFER_BYTES_MAX: usize = 64 * 1024;
/// How long browsers may remember what a preflight said.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const OF_ENDPOINT: &str = "GET, HEAD, OPTIONS, POST";
const OF_SESSION: &str = "DELETE, GET, HEAD, OPTIONS, PATCH";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// The routes.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/whip/{room}", endpoint(Protocol::Whip))
        .route("/whip/{room}/sessions/{id}", resource(Protocol::Whip))
        .route("/whep/{room}", endpoint(Protocol::Whep))
        .route("/whep/{room}/sessions/{id}", resource(Protocol::Whep))
        .layer(middleware::from_fn(cross_origin))
}

fn endpoint(protocol: Protocol) -> MethodRouter<AppState> {
    on(MethodFilter::POST, move |state, asked, request| post(protocol, state, asked, request))
        .on(MethodFilter::GET, async || StatusCode::NO_CONTENT)
        .on(MethodFilter::HEAD, async move || match protocol {
            Protocol::Whip => StatusCode::NO_CONTENT.into_response(),
            // draft-ietf-wish-whep: by it a player finds out that this is WHEP.
            Protocol::Whep => [(header::CONTENT_TYPE, SDP)].into_response(),
        })
        .on(MethodFilter::OPTIONS, async || options(OF_ENDPOINT, ACCEPT_POST, SDP))
        .fallback(async || not_allowed(OF_ENDPOINT))
}

fn resource(protocol: Protocol) -> MethodRouter<AppState> {
    let exists = async move |State(state): State<AppState>, asked: Asked| {
        asked.session(&state, protocol).map(|_| StatusCode::NO_CONTENT)
    };
    on(MethodFilter::PATCH, move |state, asked, request| patch(protocol, state, asked, request))
        .on(MethodFilter::DELETE, move |state, asked| delete(protocol, state, asked))
        .on(MethodFilter::GET, exists)
        .on(MethodFilter::HEAD, exists)
        .on(MethodFilter::OPTIONS, async || options(OF_SESSION, ACCEPT_PATCH, FRAGMENT))
        .fallback(async || not_allowed(OF_SESSION))
}

/// Any page may publish and watch with a credential of its own. A person's cookie does not count across origins: `*` never
/// goes with it (Fetch standard, "CORS check"), and what changes something must come from a page of ours.
async fn cross_origin(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let exposed = "accept-patch, accept-post, etag, link, location, retry-after";
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

/// For everybody, whatever room it is about: a preflight shows no credential (Fetch standard, "CORS-preflight fetch"). Each
/// resource lists its own methods: a client that finds no PATCH at the endpoint (@eyevinn/whip-web-client 1.1.7) gathers its
/// candidates before it offers, and its trickling, which shows the tag as `etag`, would be refused.
fn options(methods: &'static str, accepts: HeaderName, media_type: &'static str) -> impl IntoResponse {
    let value = HeaderValue::from_static;
    let headers = [
        (header::ALLOW, value(methods)),
        (accepts, value(media_type)),
        (header::ACCESS_CONTROL_ALLOW_METHODS, value(methods)),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, value("authorization, content-type, etag, if-match")),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE),
    ];
    (StatusCode::OK, headers)
}

fn not_allowed(methods: &'static str) -> Problem {
    Problem::new(Code::MethodNotAllowed, "See the Allow header.").with(header::ALLOW, HeaderValue::from_static(methods))
}

/// What every handler starts from.
struct Asked {
    client: Client,
    params: RawPathParams,
    parts: Parts,
}

impl FromRequestParts<AppState> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Asked, Problem> {
        let client = Client::from_request_parts(parts, state).await?;
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found("room"))?;
        Ok(Asked { client, params, parts: parts.clone() })
    }
}

impl Asked {
    fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    fn session(&self, state: &AppState, protocol: Protocol) -> Result<std::sync::Arc<Session>, Problem> {
        let found = state.whx.get(protocol, self.param("room"), self.param("id"));
        found.ok_or_else(|| Problem::not_found("session"))
    }

    /// Refuses a body of another type. Parameters do not count, nor does case (RFC 9110 §8.3.1).
    fn check_type(&self, media_type: &'static str, accepts: HeaderName) -> Result<(), Problem> {
        let shown = self.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = shown.and_then(|value| value.split(';').next()).map(str::trim);
        if essence.is_some_and(|essence| essence.eq_ignore_ascii_case(media_type)) {
            return Ok(());
        }
        let problem = Problem::new(Code::UnsupportedMediaType, format!("The body must be {media_type}."));
        Err(problem.with(accepts, HeaderValue::from_static(media_type)))
    }
}

async fn text(request: Request, bytes_max: usize) -> Result<String, Problem> {
    let bytes = read_body(request, bytes_max).await?;
    String::from_utf8(bytes.into()).map_err(|_| Problem::new(Code::BadSdp, "The body is not UTF-8."))
}

async fn post(
    protocol: Protocol,
    State(state): State<AppState>,
    asked: Asked,
    request: Request,
) -> Result<Response, Problem> {
    state.whx.take_turn(asked.client.address, Asks::Offer)?;
    if !state.calls.are_on() || state.tasks.doors_are_closed() {
        return Err(Problem::new(Code::Unavailable, "This server takes no media over WebRTC now."));
    }
    let revocations = state.authority.revocations();
    let Asked { client, params, parts } = &asked;
    let (method, headers) = (&parts.method, asked.headers());
    let (caller, room) = match protocol {
        Protocol::Whip => access::publisher(&state, client, method, headers, asked.param("room")).await?,
        Protocol::Whep => {
            let query = parts.uri.query().unwrap_or_default();
            let viewing = whep::admit(&state, client, method, headers, params, query).await?;
            (viewing.caller, viewing.room)
        }
    };
    asked.check_type(SDP, ACCEPT_POST)?;
    let lock = Lock::of(headers, &caller)?;
    let place = state.whx.place(protocol, client)?;
    let sdp = text(request, OFFER_BYTES_MAX).await?;
    let offer = Offer::read(&sdp).map_err(|error| Problem::new(Code::BadSdp, format!("The offer: {error}.")))?;
    let (leg, answer) = match protocol {
        Protocol::Whip => {
            let tracks = whip::tracks_of(&offer)?;
            let entrant =
                Entrant { caller: caller.clone(), room: room.clone(), encoder: access::encoder_name(headers) };
            let (publication, answer) = Publication::begin(&state, entrant, sdp.clone(), tracks).await?;
            (Leg::Publication(publication), answer)
        }
        Protocol::Whep => {
            whep::check(&offer)?;
            let likeness = (client.address, headers.get(header::USER_AGENT));
            let key = ViewerKey(state.viewer_keys.hash_one(likeness));
            let (view, answer) = View::begin(&state, &room, key, sdp.clone()).await?;
            (Leg::View(view), answer)
        }
    };
    let offer = (sdp, offer.ice_ufrag);
    let beginning = Beginning { protocol, room, caller, lock, leg, offer, revocations, place };
    let (session, tag) = Session::start(&state, beginning)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(SDP)),
        (header::LOCATION, ours(session.location())?),
        (header::ETAG, ours(tag)?),
        (ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT)),
    ];
    Ok((StatusCode::CREATED, headers, complete(&answer)).into_response())
}

/// A header made of what this server drew and what it has checked: names of rooms, letters and digits.
fn ours(text: String) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(text).map_err(Problem::internal)
}

async fn patch(
    protocol: Protocol,
    State(state): State<AppState>,
    asked: Asked,
    request: Request,
) -> Result<Response, Problem> {
    state.whx.take_turn(asked.client.address, Asks::Patch)?;
    let session = asked.session(&state, protocol)?;
    session.lock().open(&state, &asked.client, &asked.parts.method, asked.headers()).await?;
    asked.check_type(FRAGMENT, ACCEPT_PATCH)?;
    let fragment = text(request, FRAGMENT_BYTES_MAX).await?;
    let fragment =
        Fragment::parse(&fragment).map_err(|error| Problem::new(Code::BadSdp, format!("The fragment: {error}.")))?;
    // Several fields of one name are one list (RFC 9110 §5.3). What is no text matches nothing.
    let conditions: Vec<&str> =
        asked.headers().get_all(header::IF_MATCH).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    let if_match = (!conditions.is_empty()).then(|| conditions.join(","));
    Ok(match session.patch(if_match, fragment).await? {
        Patched::Trickled => StatusCode::NO_CONTENT.into_response(),
        Patched::Restarted { fragment, tag } => {
            let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT)), (header::ETAG, ours(tag)?)];
            (StatusCode::OK, headers, fragment).into_response()
        }
    })
}

/// Entity tags do not count here (RFC 9725 §4.2).
async fn delete(protocol: Protocol, State(state): State<AppState>, asked: Asked) -> Result<Response, Problem> {
    state.whx.take_turn(asked.client.address, Asks::Delete)?;
    let session = asked.session(&state, protocol)?;
    session.lock().open(&state, &asked.client, &asked.parts.method, asked.headers()).await?;
    session.delete().await?;
    Ok((StatusCode::OK, Body::empty()).into_response())
}

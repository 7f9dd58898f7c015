//! HLS over HTTP: `/live/{room}/…`.
//!
//! In: requests of players. Out: playlists and media of the room's newest snapshot, at once or as soon as what was asked
//! for is there. Nothing here touches a media thread: a request reads a snapshot, or waits for the next one.
//! What a request means and whether it can be answered is decided in `telstar_hls::request`.
//!
//! - `access`: which room, and whether the caller may watch it;
//! - `file`: what an address below a rendition names;
//! - `holding`: how many requests may wait, in all and per address;
//! - `send`: responses: bodies without copies, ranges, gzip, cache headers;
//! - `body`: those bodies, from memory and from files.

pub(super) mod access;
mod body;
mod file;
mod holding;
mod send;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use telstar_hls::request::{Answer, CacheClass, DirectiveError, Directives, answer, answer_pictures, has_ended};
use telstar_hls::{Content, Rendered, RenditionId, Snapshot, State, rendition_name};
use telstar_media::MediaKind;
use tokio::sync::{Semaphore, watch};

use self::access::Viewing;
use self::body::Opened;
use self::file::{File, Source};
use self::holding::Holding;
use self::send::{Payload, Wishes};
use crate::api::error::{Code, Problem};
use crate::client::Client;
use crate::cross_origin::{self, preflight};
use crate::rooms::{RoomEntry, ViewerKey};
use crate::state::AppState;

/// A request is held for at most so many target durations, then answered 503 (RFC 8216bis §6.2.5.2).
const HOLD_TARGET_DURATIONS: u32 = 3;
/// How long the first request for a playlist of a room that is listed on demand is held: for a worker, one segment and some
/// more. hls.js gives up after 10 s. A guess.
const FIRST_LISTING_WAIT: Duration = Duration::from_secs(9);
/// Files of the DVR window that are open at once, a response each. Each costs a descriptor and 256 KiB while it is read.
/// Beyond it a request is answered 503; what nobody takes is closed after half a minute. Higher serves more viewers who
/// went back at once; lower spares descriptors, of which most systems give a process a few thousand at least. A guess.
const OPEN_FILES_MAX: usize = 1_024;
/// What has an I-frame playlist.
const PICTURE: RenditionId = RenditionId::Source(MediaKind::Video);
/// The target duration that cache lifetimes of errors count in while there is no playlist.
const TARGET_DURATION_SECS_WITHOUT_PLAYLIST: u64 = 1;

/// The routes of HLS. `viewer_keys` is the hash that WebSocket connections use too, so that a browser's player and its
/// socket count as one viewer.
pub fn router(viewer_keys: RandomState) -> Router<AppState> {
    let files = Arc::new(Semaphore::new(OPEN_FILES_MAX));
    let output = Arc::new(Output { holding: Arc::default(), files, viewer_keys });
    Router::new()
        .route("/live/{room}/index.m3u8", get(multivariant).options(preflight))
        .route("/live/{room}/{rendition}/index.m3u8", get(playlist).options(preflight))
        .route("/live/{room}/{rendition}/iframes.m3u8", get(pictures).options(preflight))
        .route("/live/{room}/{rendition}/{epoch}/{file}", get(media).options(preflight))
        .layer(Extension(output))
        .layer(middleware::from_fn(cross_origin::allow))
}

struct Output {
    holding: Arc<Holding>,
    /// Places for open files.
    files: Arc<Semaphore>,
    viewer_keys: RandomState,
}

/// What every handler starts from.
struct Player {
    state: AppState,
    output: Arc<Output>,
    client: Client,
    viewer: ViewerKey,
    wishes: Wishes,
    params: RawPathParams,
    query: String,
    viewing: Viewing,
}

/// Extracting a player is admitting it: no handler runs for one that may not watch.
impl FromRequestParts<AppState> for Player {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Player, Problem> {
        let output = parts.extensions.get::<Arc<Output>>().cloned().expect("the router of HLS adds it");
        let client = Client::from_request_parts(parts, state).await?;
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found("stream"))?;
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let viewing = access::admit(state, &client, &parts.method, &parts.headers, &params, &query).await?;
        let likeness = (client.address, parts.headers.get(header::USER_AGENT));
        let viewer = ViewerKey(output.viewer_keys.hash_one(likeness));
        let wishes = Wishes::of(&parts.headers);
        Ok(Player { state: state.clone(), output, client, viewer, wishes, params, query, viewing })
    }
}

impl Player {
    fn room(&self) -> &Arc<RoomEntry> {
        &self.viewing.room
    }

    /// This player watches: it asked for a playlist that is there.
    fn note_viewer(&self) {
        self.room().note_player(Instant::now(), self.viewer);
    }

    /// Somebody wants to play the room over HLS. Returns whether its call is mixed for that.
    fn demand(&self) -> bool {
        self.state.rooms.demand_hls(self.room());
        self.state.mixes.demand(self.room())
    }

    /// The room's first playlist. What comes over WebRTC is listed for those who ask, so the first of them waits for it, as for
    /// the H.264 beside a picture that not every player takes; and what is left of an earlier call says nothing of one that is
    /// mixed from now on.
    async fn listing(&self, is_mixed: bool) -> Option<(Arc<Rendered>, Arc<Snapshot>)> {
        let listed = |snapshot: &Option<Arc<Snapshot>>| {
            let snapshot = snapshot.clone().filter(|snapshot| !is_mixed || snapshot.state != State::Ended)?;
            Some((Arc::clone(snapshot.multivariant.as_ref()?), snapshot))
        };
        let complete = |snapshot: &Option<Arc<Snapshot>>| listed(snapshot).filter(|(_, found)| !found.lacks_alternate);
        let mut live = self.room().live();
        let found = listed(&live.borrow_and_update());
        let may_come = match &found {
            Some((_, snapshot)) => snapshot.lacks_alternate,
            None => is_mixed || self.room().is_live(),
        };
        if !may_come {
            return found;
        }
        let total_max = self.state.config.hls.waiting_requests_max as usize;
        let waiting = &self.state.metrics.hls_waiting_requests_count;
        let Ok(_held) = self.output.holding.hold(self.client.address, total_max, waiting) else { return found };
        // Cancel-safe: a receiver of a watch is. A room that goes offline meanwhile is waited for as long, no longer.
        let wait = async {
            live.wait_for(|snapshot| complete(snapshot).is_some()).await.ok().and_then(|seen| complete(&seen))
        };
        let complete = tokio::time::timeout(FIRST_LISTING_WAIT, wait).await.ok().flatten();
        // What has come by then is better than nothing.
        complete.or_else(|| listed(&self.room().live().borrow()))
    }

    /// Waits until `find` finds something in a snapshot, for at most [`HOLD_TARGET_DURATIONS`].
    async fn hold<T>(&self, find: impl Fn(&Snapshot) -> Found<T>) -> Result<(T, Arc<Snapshot>), Problem> {
        let mut live = self.room().live();
        let mut wait: Option<(tokio::time::Instant, holding::Held)> = None;
        loop {
            let snapshot = newest(&mut live).ok_or_else(|| Problem::not_found("stream"))?;
            match find(&snapshot) {
                Found::There(found) => return Ok((found, snapshot)),
                Found::No(problem) => return Err(problem),
                Found::NotYet => {}
            }
            if wait.is_none() {
                let target = Duration::from_secs(snapshot.target_duration_secs.unwrap_or(1));
                let deadline = tokio::time::Instant::now() + target * HOLD_TARGET_DURATIONS;
                let total_max = self.state.config.hls.waiting_requests_max as usize;
                let metrics = &self.state.metrics;
                let held =
                    self.output.holding.hold(self.client.address, total_max, &metrics.hls_waiting_requests_count);
                let held = held.map_err(|refusal| {
                    metrics.hls_refused_requests.add(1);
                    refusal.problem()
                })?;
                wait = Some((deadline, held));
            }
            let Some((deadline, _)) = &wait else { continue };
            // Cancel-safe: a change that was not seen stays marked as unseen.
            match tokio::time::timeout_at(*deadline, live.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Problem::not_found("stream")),
                Err(_) => {
                    self.state.metrics.hls_refused_requests.add(1);
                    return Err(Problem::new(Code::Unavailable, "What the request waits for did not come in time."));
                }
            }
        }
    }

    /// The bytes of what was found, or the way to them.
    async fn open(&self, source: Source, id: RenditionId) -> Result<Payload, Problem> {
        match source {
            Source::Init(bytes) => Ok(Payload::init(bytes)),
            Source::Media(Content::Memory(chunks)) => Ok(Payload::media(id.kind(), chunks)),
            Source::Media(Content::Kept { head, id: segment, range }) => {
                let gone = || Problem::not_found("file");
                let dvr = self.state.dvr.as_ref().ok_or_else(gone)?;
                let place = Arc::clone(&self.output.files).try_acquire_owned().map_err(|_| {
                    self.state.metrics.hls_refused_requests.add(1);
                    Problem::new(Code::Unavailable, "Too many viewers are behind the live edge.")
                })?;
                // It may have left the window since it was found.
                let file =
                    tokio::fs::File::open(dvr.path(self.room().facts().id, segment)).await.map_err(|_| gone())?;
                Ok(Payload::kept(id.kind(), head, Opened { file, _place: place }, range))
            }
        }
    }

    /// RFC 8216bis §6.2.5: with ENDLIST, directives are ignored.
    fn has_ended(&self, id: RenditionId) -> bool {
        let live = self.room().live();
        let snapshot = live.borrow().clone();
        snapshot.is_some_and(|snapshot| has_ended(&snapshot, id))
    }

    fn target_duration_secs(&self) -> u64 {
        let live = self.room().live();
        let snapshot = live.borrow().clone();
        snapshot.and_then(|snapshot| snapshot.target_duration_secs).unwrap_or(TARGET_DURATION_SECS_WITHOUT_PLAYLIST)
    }

    /// A cache that kept that it is not there would withhold it from everybody once it is: a hint that did not come true
    /// may name a later part, and anybody can guess names.
    fn may_come(&self, file: File, id: RenditionId) -> bool {
        let live = self.room().live();
        let snapshot = live.borrow().clone();
        let view = snapshot.as_ref().and_then(|snapshot| snapshot.rendition(id));
        !view.is_some_and(|view| file.is_past(view))
    }

    /// An error as caches may keep it: what was asked for is wrong or not there. That the server is busy or late says
    /// nothing about the next request, so it is kept by nobody.
    fn refuse(&self, problem: Problem, class: CacheClass) -> Problem {
        if !matches!(problem.code(), Code::BadRequest | Code::NotFound) {
            return problem;
        }
        problem.with(header::CACHE_CONTROL, self.cache_control(class, self.target_duration_secs()))
    }

    fn cache_control(&self, class: CacheClass, target_duration_secs: u64) -> HeaderValue {
        send::cache_control(class, target_duration_secs, self.viewing.is_private)
    }
}

enum Found<T> {
    There(T),
    NotYet,
    No(Problem),
}

fn newest(live: &mut watch::Receiver<Option<Arc<Snapshot>>>) -> Option<Arc<Snapshot>> {
    live.borrow_and_update().clone()
}

async fn multivariant(player: Player) -> Result<Response, Problem> {
    let is_mixed = player.demand();
    let Some((rendered, snapshot)) = player.listing(is_mixed).await else {
        return Err(player.refuse(Problem::not_found("stream"), CacheClass::PlaylistError));
    };
    player.note_viewer();
    let payload = Payload::playlist(&rendered, player.viewing.child_query(), &player.wishes);
    let cache = player.cache_control(CacheClass::Playlist, snapshot.target_duration_secs.unwrap_or_default());
    Ok(payload.respond(&player.wishes, cache, &player.state.metrics).await)
}

async fn playlist(player: Player) -> Result<Response, Problem> {
    let id = rendition_of(&player.params);
    respond_with(player, id, answer).await
}

async fn pictures(player: Player) -> Result<Response, Problem> {
    let id = rendition_of(&player.params).and_then(|id| match id {
        PICTURE => Ok(id),
        _ => Err(Problem::not_found("stream")),
    });
    respond_with(player, id, |snapshot, _, directives| answer_pictures(snapshot, directives)).await
}

async fn respond_with(
    player: Player,
    id: Result<RenditionId, Problem>,
    answer: impl Fn(&Snapshot, RenditionId, &Directives) -> Answer,
) -> Result<Response, Problem> {
    player.demand();
    let directives = match (Directives::parse(&player.query), &id) {
        (Err(_), Ok(id)) if player.has_ended(*id) => Ok(Directives::default()),
        (directives, _) => directives,
    };
    let blocking = !matches!(&directives, Ok(directives) if !directives.is_blocking());
    let error_class = if blocking { CacheClass::BlockingPlaylistError } else { CacheClass::PlaylistError };
    let found = async {
        let id = id?;
        let directives = directives.map_err(|error| player.refuse(bad_directives(error), error_class))?;
        let found = player.hold(|snapshot| match answer(snapshot, id, &directives) {
            Answer::Ready(rendered) => Found::There(rendered),
            Answer::Wait => Found::NotYet,
            // Too far ahead now, and not for long: a cache that kept it would refuse those who ask in time.
            Answer::BadRequest(error) => Found::No(bad_directives(error)),
            Answer::NotFound => Found::No(Problem::not_found("stream")),
        });
        found.await
    };
    let (rendered, snapshot) = found.await.map_err(|problem| match problem.code() {
        Code::NotFound => player.refuse(problem, error_class),
        _ => problem,
    })?;
    player.note_viewer();
    let payload = Payload::playlist(&rendered, player.viewing.child_query(), &player.wishes);
    let class = if blocking { CacheClass::BlockingPlaylist } else { CacheClass::Playlist };
    let cache = player.cache_control(class, snapshot.target_duration_secs.unwrap_or_default());
    Ok(payload.respond(&player.wishes, cache, &player.state.metrics).await)
}

async fn media(player: Player) -> Result<Response, Problem> {
    let id = rendition_of(&player.params);
    let file = File::parse(param(&player.params, "epoch"), param(&player.params, "file"));
    let found = async {
        let id = id.clone()?;
        let file = file.filter(|file| id == PICTURE || !matches!(file, File::Picture(..)));
        let file = file.ok_or_else(|| Problem::not_found("file"))?;
        let (source, snapshot) = player.hold(|snapshot| file.find(snapshot, id)).await?;
        Ok((player.open(source, id).await?, snapshot))
    };
    let (payload, snapshot) = found.await.map_err(|problem| match (&id, file) {
        (Ok(id), Some(file)) if player.may_come(file, *id) => problem,
        _ => player.refuse(problem, CacheClass::MediaError),
    })?;
    let cache = player.cache_control(CacheClass::Media, snapshot.target_duration_secs.unwrap_or_default());
    Ok(payload.respond(&player.wishes, cache, &player.state.metrics).await)
}

fn bad_directives(error: DirectiveError) -> Problem {
    Problem::new(Code::BadRequest, format!("Delivery directives: {error}."))
}

fn param<'a>(params: &'a RawPathParams, name: &str) -> &'a str {
    params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

fn rendition_of(params: &RawPathParams) -> Result<RenditionId, Problem> {
    let name = param(params, "rendition");
    let id = RenditionId::ALL.into_iter().find(|id| rendition_name(*id) == name);
    id.ok_or_else(|| Problem::not_found("rendition"))
}

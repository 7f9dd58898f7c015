//! Changes end with their effect, even when the client goes away in the middle. Events are told to whoever listens.

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::BodyExt;
use telstar_store::{AssetChange, NewAsset, PageRequest, Quota};
use telstar_units::{AssetName, BlobName, RoomName};
use tempfile::TempDir;

use super::extract::{AssetPath, IdPath, Json, RoomPath};
use super::{assets, events, rooms, sessions, stream_keys};
use crate::auth::{Caller, Credential, OriginCheck, Revocation, Secret};
use crate::client::Client;
use crate::config::address::Listen;
use crate::rooms::{IngestHandle, IngestRequest, IngestVia};
use crate::state::AppState;
use crate::{Config, Running, Server};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of its own with the room `demo`.
pub(crate) async fn server() -> (Running, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config::default();
    config.general.data = folder.path().join("data");
    (config.general.http, config.general.https) = (Listen::Off, Listen::Off);
    (config.general.rtmp, config.general.rtmps) = (Listen::Off, Listen::Off);
    config.media.listen = Listen::Off;
    (Server::start(config).await.expect("the server starts"), folder)
}

fn demo() -> RoomName {
    RoomName::parse("demo").expect("a room name")
}

async fn admin(state: &AppState) -> Caller {
    let account = state.store.first_admin().await.expect("answered").expect("an admin").id;
    let token = state.authority.create_api_token(account, 60).await.expect("a token").secret;
    state.authority.authenticate(Credential::Bearer(token)).await.expect("its own token")
}

/// Takes the first step of a handler, which hands the change over, and then lets it go as hyper does with the handler
/// of a client that went away.
fn begin_and_drop(handler: impl Future) {
    let mut handler = Box::pin(handler);
    let first = handler.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(first.is_pending(), "the store cannot have answered yet");
}

/// The same with a handler that asks the store first: until then nothing has begun that would have to end.
async fn hand_over_and_drop(state: &AppState, handler: impl Future) {
    let mut handler = Box::pin(handler);
    let handed_over = async {
        // The one before may not be over yet, though its effect is there.
        while state.changes.waiting() > 0 {
            tokio::task::yield_now().await;
        }
        while state.changes.waiting() == 0 {
            let polled = handler.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "the change cannot have come to its end yet");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, handed_over).await.expect("the store answers");
}

async fn publisher(state: &AppState) -> (IngestHandle, i64) {
    let keys = state.store.stream_keys(demo(), PageRequest::first()).await.expect("answered");
    let key = keys.items[0].id;
    let request = IngestRequest { room: demo(), key: Some(key), protocol: "rtmp", encoder: None, via: IngestVia::Ring };
    (state.rooms.open_ingest(request).await.expect("admitted"), key.0)
}

async fn eventually<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("the effect comes without the client")
}

#[tokio::test]
async fn a_key_is_revoked_to_the_end_when_its_client_goes() {
    let (running, _folder) = server().await;
    let state = running.state();
    let (encoder, key) = publisher(state).await;
    let caller = admin(state).await;
    begin_and_drop(stream_keys::revoke(caller, RoomPath(demo()), IdPath(key), State(state.clone())));
    eventually(encoder.kicked()).await;
}

#[tokio::test]
async fn a_room_is_closed_to_the_public_to_the_end_when_its_client_goes() {
    let (running, _folder) = server().await;
    let state = running.state();
    let entry = state.rooms.get(&demo()).await.expect("answered").expect("the first room");
    let change = rooms::ChangeRoom { title: None, open: Some(false), embed_origins: None };
    begin_and_drop(rooms::change(admin(state).await, RoomPath(demo()), State(state.clone()), Json(change)));
    eventually(async {
        while entry.facts().open {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_room_is_deleted_to_the_end_when_its_client_goes() {
    let (running, _folder) = server().await;
    let state = running.state();
    let (encoder, _) = publisher(state).await;
    begin_and_drop(rooms::delete(admin(state).await, RoomPath(demo()), State(state.clone())));
    eventually(encoder.kicked()).await;
    assert!(state.rooms.known(&demo()).is_none());
}

#[tokio::test]
async fn a_session_is_ended_to_the_end_when_its_client_goes() {
    let (running, _folder) = server().await;
    let state = running.state();
    let code = running.sign_in_code().expect("the first start").expose().to_owned();
    let session = state.authority.sign_in(&Secret::new(code)).await.expect("signed in").session;
    let caller = state.authority.authenticate(Credential::Session(session, OriginCheck::Ours)).await;
    let caller = caller.expect("its own session");
    let mut revocations = state.authority.revocations();
    begin_and_drop(sessions::sign_out(caller, State(state.clone())));
    assert!(matches!(eventually(revocations.recv()).await, Ok(Revocation::Session(_))));
}

#[tokio::test]
async fn the_last_of_many_changes_is_what_everybody_sees() {
    let (running, _folder) = server().await;
    let state = running.state();
    let caller = admin(state).await;
    let entry = state.rooms.get(&demo()).await.expect("answered").expect("the first room");
    for round in 0..20 {
        let change =
            rooms::ChangeRoom { title: Some(format!("{round}")), open: Some(round % 2 == 0), embed_origins: None };
        begin_and_drop(rooms::change(caller.clone(), RoomPath(demo()), State(state.clone()), Json(change)));
    }
    eventually(async {
        while entry.facts().title != "19" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let stored = state.store.room(demo()).await.expect("answered").expect("the first room");
    assert!(*entry.facts() == stored);
}

/// An asset of the admin whose name is one letter.
async fn asset(state: &AppState, letter: &str) -> AssetName {
    let text = letter.repeat(telstar_units::OPAQUE_NAME_LEN);
    let name = AssetName::parse(&text).expect("a name");
    let blob = BlobName::parse(&text).expect("a name");
    let owner = state.store.first_admin().await.expect("answered").expect("an admin").id;
    let new = NewAsset { name: name.clone(), title: "Film".to_owned(), blob, len: 1, work: String::new() };
    let quota = Quota { account_bytes_max: 1 << 40, total_bytes_max: 1 << 40 };
    state.store.create_asset(new, owner, quota, state.authority.now()).await.expect("made");
    name
}

#[tokio::test]
async fn an_asset_is_changed_and_deleted_to_the_end_when_its_client_goes() {
    let (running, _folder) = server().await;
    let state = running.state();
    let name = asset(state, "a").await;
    let change = assets::ChangeAsset { title: None, open: Some(true), embed_origins: None };
    let path = || AssetPath(name.clone());
    hand_over_and_drop(state, assets::change(admin(state).await, path(), State(state.clone()), Json(change))).await;
    let stored = || async { state.store.asset(name.clone()).await.expect("answered") };
    eventually(async { while stored().await.is_some_and(|asset| !asset.open) {} }).await;
    hand_over_and_drop(state, assets::delete(admin(state).await, path(), State(state.clone()))).await;
    eventually(async { while stored().await.is_some() {} }).await;
}

/// A stream of the admin's events.
async fn listen(state: &AppState, last_id: Option<&str>) -> Body {
    let account = state.store.first_admin().await.expect("answered").expect("an admin").id;
    let token = state.authority.create_api_token(account, 60).await.expect("a token").secret;
    let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose())).expect("a header");
    let mut headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
    if let Some(id) = last_id {
        headers.insert("last-event-id", HeaderValue::from_str(id).expect("a number"));
    }
    let client = Client {
        address: std::net::IpAddr::from([127, 0, 0, 1]),
        reached_origin: "http://127.0.0.1:8080".to_owned(),
        is_forwarded: false,
    };
    let streams = Extension(events::Streams::default());
    let opened = events::read(client, Method::GET, headers, streams, State(state.clone())).await;
    opened.expect("admitted").into_body()
}

/// What comes until `wanted` is in it.
async fn read_until(body: &mut Body, wanted: &str) -> String {
    let mut text = String::new();
    eventually(async {
        while !text.contains(wanted) {
            let frame = body.frame().await.expect("the stream goes on").expect("nothing fails");
            if let Ok(bytes) = frame.into_data() {
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    })
    .await;
    text
}

#[tokio::test]
async fn a_stream_of_events_goes_on_where_another_ended() {
    let (running, _folder) = server().await;
    let state = running.state();
    let mut first = listen(state, None).await;
    read_until(&mut first, "retry:").await;
    let name = asset(state, "a").await;
    let told = read_until(&mut first, "\"title\":\"Film\"").await;
    assert!(told.contains("event: asset\n") && told.contains("event: job\n"), "{told}");
    let mut ids = told.lines().filter_map(|line| line.strip_prefix("id: "));
    let last = ids.next_back().expect("the outbox has ids").to_owned();
    drop(first);

    let change = AssetChange { title: Some("Film 2".to_owned()), ..AssetChange::default() };
    state.store.change_asset(name.clone(), change, state.authority.now()).await.expect("changed");
    let mut second = listen(state, Some(&last)).await;
    read_until(&mut second, "\"title\":\"Film 2\"").await;
    state.store.delete_asset(name, state.authority.now()).await.expect("deleted");
    read_until(&mut second, "event: asset-deleted\n").await;
}

#[tokio::test]
async fn whoever_comes_with_an_id_that_is_not_known_is_told_to_read_everything_again() {
    let (running, _folder) = server().await;
    let mut stream = listen(running.state(), Some("999999")).await;
    read_until(&mut stream, "event: missed\n").await;
}

#[tokio::test]
async fn a_stream_of_events_ends_when_the_server_stops() {
    let (running, _folder) = server().await;
    let mut stream = listen(running.state(), None).await;
    read_until(&mut stream, "retry:").await;
    running.state().tasks.stop();
    eventually(async { while stream.frame().await.is_some() {} }).await;
}

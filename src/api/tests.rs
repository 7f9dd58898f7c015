//! Changes end with their effect, even when the client goes away in the middle.

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use axum::extract::State;
use telstar_store::PageRequest;
use telstar_units::RoomName;
use tempfile::TempDir;

use super::extract::{IdPath, Json, RoomPath};
use super::{rooms, sessions, stream_keys};
use crate::auth::{Caller, Credential, OriginCheck, Revocation, Secret};
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

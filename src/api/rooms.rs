//! Rooms: making, reading, changing, deleting.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use telstar_signaling::wire;
use telstar_signaling::wire::call::LeaveReason;
use telstar_store::{NewRoom, PageRequest, Room, RoomChange, RoomMode, RoomsOf, Store, StoreError};
use telstar_units::{AccountId, ROOM_NAME_LEN_MAX, ROOM_TITLE_CHARS_MAX, RoomName, WallTime};
use unicode_normalization::UnicodeNormalization;
use utoipa::ToSchema;

use super::error::{Code, Problem};
use super::extract::{Json, RoomPath};
use super::room_schema::{RoomDoc, RoomListDoc};
use crate::auth::{Action, Caller, RoomFacts, authorise};
use crate::config::address::parse_origin;
use crate::door::permit;
use crate::rooms::RoomEntry;
use crate::state::{AppState, Shared};

/// Bytes of randomness in a name that no title gave, or that was taken: five are ten hexadecimal digits.
const RANDOM_NAME_BYTES: usize = 5;
/// Names that are drawn until one is free. The second is free unless 2^40 rooms have the title.
const NAME_DRAWS_MAX: usize = 4;

/// A new room.
#[derive(Deserialize, ToSchema)]
pub(super) struct CreateRoom {
    /// 1 to 100 characters of any script.
    #[schema(min_length = 1, max_length = 100, example = "Friday show")]
    title: String,
    /// Its name in links; made from the title if absent.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$", example = "friday-show")]
    name: Option<String>,
    /// Whether whoever has the link may watch.
    #[serde(default = "yes")]
    #[schema(default = true)]
    open: bool,
    /// How the media of its calls travels. It stays as it is.
    #[serde(default)]
    mode: Mode,
}

/// How the media of a room's calls travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RoomMode)]
pub(super) enum Mode {
    /// Through the server, for calls of any size.
    #[default]
    Sfu,
    /// From browser to browser, for two to four people.
    P2p,
}

impl From<Mode> for RoomMode {
    fn from(mode: Mode) -> RoomMode {
        match mode {
            Mode::Sfu => RoomMode::Sfu,
            Mode::P2p => RoomMode::P2p,
        }
    }
}

fn yes() -> bool {
    true
}

/// What changes in a room; absent fields stay.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangeRoom {
    /// 1 to 100 characters of any script.
    #[schema(min_length = 1, max_length = 100)]
    pub(super) title: Option<String>,
    /// Whether whoever has the link may watch.
    pub(super) open: Option<bool>,
    /// The origins whose pages may frame the room, such as `https://blog.example`.
    #[schema(max_items = 32)]
    pub(super) embed_origins: Option<Vec<String>>,
}

/// Several rooms.
#[derive(Serialize)]
pub(super) struct RoomList {
    rooms: Vec<wire::Room>,
}

/// The account's own rooms, oldest first.
#[utoipa::path(get, path = "/api/v1/rooms", tag = "rooms", operation_id = "listRooms",
    responses((status = 200, description = "The account's own rooms.", body = RoomListDoc)))]
pub(super) async fn list(caller: Caller, State(state): State<AppState>) -> Result<axum::Json<RoomList>, Problem> {
    permit(&caller, Action::ListRooms, None)?;
    let (account, _) = caller.account_role().ok_or_else(Problem::unauthorised)?;
    let mut rooms = Vec::new();
    let mut request = PageRequest::first();
    // Ends because the store limits an account's rooms.
    loop {
        let page = state.store.rooms(RoomsOf::Owner(account), request).await?;
        for room in page.items {
            if let Some(entry) = state.rooms.get(&room.name).await? {
                rooms.push(body_of(&entry, &caller));
            }
        }
        match page.next {
            Some(next) => request = PageRequest::new(Some(next), telstar_store::PAGE_LIMIT_MAX),
            None => return Ok(axum::Json(RoomList { rooms })),
        }
    }
}

/// Makes a room.
#[utoipa::path(post, path = "/api/v1/rooms", tag = "rooms", operation_id = "createRoom", request_body = CreateRoom,
    responses((status = 201, description = "Made.", body = RoomDoc, headers(("location" = String)))))]
pub(super) async fn create(
    caller: Caller,
    State(state): State<AppState>,
    Json(body): Json<CreateRoom>,
) -> Result<impl IntoResponse, Problem> {
    permit(&caller, Action::CreateRoom, None)?;
    let (owner, _) = caller.account_role().ok_or_else(Problem::unauthorised)?;
    let title = checked_title(&body.title)?;
    let wanted = body.name.as_deref().map(RoomName::parse).transpose();
    let wanted = wanted.map_err(|error| Problem::new(Code::InvalidFields, format!("name: {error}.")))?;
    let Shared { store, rooms, authority, .. } = Shared::clone(&state);
    let change = async move {
        let new = |name| NewRoom { name, title: title.clone(), open: body.open, mode: body.mode.into() };
        let room = make_room(&*store, wanted, &title, new, owner, authority.now()).await?;
        Ok(rooms.room_changed(room))
    };
    let entry = state.changes.run(change).await?;
    let location = format!("/api/v1/rooms/{}", entry.facts().name);
    let headers = [(header::LOCATION, state.links.located(&location))];
    Ok((StatusCode::CREATED, headers, axum::Json(body_of(&entry, &caller))))
}

/// Makes a room of the wanted name, or of the first free one that its title suggests.
async fn make_room(
    store: &dyn Store,
    wanted: Option<RoomName>,
    title: &str,
    new: impl Fn(RoomName) -> NewRoom,
    owner: AccountId,
    now: WallTime,
) -> Result<Room, Problem> {
    if let Some(name) = wanted {
        return Ok(store.create_room(new(name), owner, now).await?);
    }
    let mut draws = 0;
    loop {
        let name = drawn_name(title, draws)?;
        match store.create_room(new(name), owner, now).await {
            Err(StoreError::Conflict(_)) if draws < NAME_DRAWS_MAX => draws += 1,
            outcome => return Ok(outcome?),
        }
    }
}

/// A room with its live state. What its encoder sends is told to whoever may administer it.
#[utoipa::path(get, path = "/api/v1/rooms/{room}", tag = "rooms", operation_id = "readRoom",
    params(("room" = String, Path, description = "The room's name.")),
    responses((status = 200, description = "The room.", body = RoomDoc)))]
pub(super) async fn read(
    caller: Caller,
    RoomPath(name): RoomPath,
    State(state): State<AppState>,
) -> Result<axum::Json<wire::Room>, Problem> {
    let room = permitted_room(&state, &caller, &name, Action::ReadRoom).await?;
    Ok(axum::Json(body_of(&room, &caller)))
}

/// Changes a room.
#[utoipa::path(patch, path = "/api/v1/rooms/{room}", tag = "rooms", operation_id = "changeRoom",
    request_body = ChangeRoom, params(("room" = String, Path, description = "The room's name.")),
    responses((status = 200, description = "The room after the change.", body = RoomDoc)))]
pub(super) async fn change(
    caller: Caller,
    RoomPath(name): RoomPath,
    State(state): State<AppState>,
    Json(body): Json<ChangeRoom>,
) -> Result<axum::Json<wire::Room>, Problem> {
    permitted_room(&state, &caller, &name, Action::ChangeRoom).await?;
    let change = RoomChange {
        title: body.title.as_deref().map(checked_title).transpose()?,
        open: body.open,
        embed_origins: body.embed_origins.map(checked_origins).transpose()?,
    };
    let Shared { store, rooms, authority, .. } = Shared::clone(&state);
    let change = async move {
        let room = store.change_room(name, change, authority.now()).await?;
        Ok(rooms.room_changed(room))
    };
    let entry = state.changes.run(change).await?;
    Ok(axum::Json(body_of(&entry, &caller)))
}

/// Deletes a room with its stream keys. Whoever publishes into it is sent away, and its call ends.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}", tag = "rooms", operation_id = "deleteRoom",
    params(("room" = String, Path, description = "The room's name.")),
    responses((status = 204, description = "Gone.")))]
pub(super) async fn delete(
    caller: Caller,
    RoomPath(name): RoomPath,
    State(state): State<AppState>,
) -> Result<StatusCode, Problem> {
    let room = permitted_room(&state, &caller, &name, Action::DeleteRoom).await?;
    let Shared { store, rooms, authority, calls, .. } = Shared::clone(&state);
    let change = async move {
        store.delete_room(name.clone(), authority.now()).await?;
        rooms.room_deleted(&name).await;
        calls.close(&room, LeaveReason::RoomDeleted).await;
        Ok(())
    };
    state.changes.run(change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The room of this name, if the caller may do `action` in it.
pub(super) async fn permitted_room(
    state: &AppState,
    caller: &Caller,
    name: &RoomName,
    action: Action,
) -> Result<Arc<RoomEntry>, Problem> {
    let entry = state.rooms.get(name).await?;
    let facts = entry.as_ref().map(|entry| RoomFacts::from(&*entry.facts()));
    permit(caller, action, facts.as_ref())?;
    entry.ok_or_else(|| Problem::not_found("room"))
}

fn body_of(entry: &RoomEntry, caller: &Caller) -> wire::Room {
    let facts: Arc<Room> = entry.facts();
    let administers = authorise(caller, Action::ReadIngest, Some(&RoomFacts::from(&*facts))).is_ok();
    let room = entry.to_wire();
    if administers { room } else { wire::Room { live: room.live.public(), ..room } }
}

/// The title in NFC (Unicode Standard Annex 15), without white space around it.
pub(super) fn checked_title(title: &str) -> Result<String, Problem> {
    let title: String = title.trim().nfc().collect();
    let length = title.chars().count();
    if length == 0 || length > ROOM_TITLE_CHARS_MAX || title.chars().any(char::is_control) {
        let detail = format!("title: 1 to {ROOM_TITLE_CHARS_MAX} characters, none of them a control character.");
        return Err(Problem::new(Code::InvalidFields, detail));
    }
    Ok(title)
}

pub(super) fn checked_origins(origins: Vec<String>) -> Result<Vec<String>, Problem> {
    let max = telstar_store::EMBED_ORIGINS_MAX;
    let mut checked = Vec::new();
    for origin in origins {
        let parsed = parse_origin(&origin).filter(|origin| origin.len() <= telstar_store::EMBED_ORIGIN_LEN_MAX);
        let parsed = parsed.ok_or_else(|| {
            Problem::new(Code::InvalidFields, "embed_origins: origins such as https://blog.example, without a path.")
        })?;
        if !checked.contains(&parsed) {
            checked.push(parsed);
        }
    }
    if checked.len() > max {
        return Err(Problem::new(Code::InvalidFields, format!("embed_origins: at most {max}.")));
    }
    Ok(checked)
}

/// The slug of the title; after a conflict the slug with a random end; a random name when the title gives none.
fn drawn_name(title: &str, draws: usize) -> Result<RoomName, Problem> {
    let slug = RoomName::from_title(title);
    if let (Some(slug), 0) = (&slug, draws) {
        return Ok(slug.clone());
    }
    let mut bytes = [0; RANDOM_NAME_BYTES];
    getrandom::fill(&mut bytes).map_err(Problem::internal)?;
    let end: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = match slug {
        // Slugs are ASCII, so any length is a boundary.
        Some(slug) => {
            let kept = slug.as_str().len().min(ROOM_NAME_LEN_MAX - end.len() - 1);
            format!("{}-{end}", slug.as_str()[..kept].trim_end_matches('-'))
        }
        None => end,
    };
    RoomName::parse(&name).map_err(Problem::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_title_gets_a_name_even_when_its_slug_is_taken() {
        for (title, first, second_starts) in [
            ("Friday Show", "friday-show", "friday-show-"),
            (&"a".repeat(100), &*"a".repeat(63), &*format!("{}-", "a".repeat(52))),
        ] {
            assert_eq!(drawn_name(title, 0).expect("a slug").as_str(), first);
            let second = drawn_name(title, 1).expect("a slug with an end");
            assert!(second.as_str().starts_with(second_starts), "{second}");
        }
        assert_eq!(drawn_name("회의실", 0).expect("random").as_str().len(), 2 * RANDOM_NAME_BYTES);
    }

    #[test]
    fn titles_are_composed_and_bounded() {
        assert_eq!(checked_title(" e\u{301} ").ok().as_deref(), Some("é"));
        assert_eq!(checked_title("회의실").ok().as_deref(), Some("회의실"));
        assert!(checked_title(&"회".repeat(100)).is_ok());
        for bad in ["", "  ", "a\nb", &"a".repeat(101)] {
            assert!(checked_title(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn embed_origins_are_origins_each_once() {
        let checked = checked_origins(vec!["https://A.example".into(), "https://a.example".into()]);
        assert_eq!(checked.ok(), Some(vec!["https://a.example".to_owned()]));
        for bad in ["https://a/b", "*", "'self'", "https://a;b"] {
            assert!(checked_origins(vec![bad.into()]).is_err(), "{bad}");
        }
    }
}

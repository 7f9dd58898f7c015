//! Rooms: rows, embed origins and the change events of each.

use rusqlite::{Connection, OptionalExtension, Row, params};
use telstar_units::{AccountId, RoomName, WallTime};

use super::accounts::{check_count, check_text};
use super::events;
use crate::{
    EMBED_ORIGIN_LEN_MAX, EMBED_ORIGINS_MAX, EventKind, NewRoom, Page, PageRequest, ROOMS_PER_ACCOUNT_MAX, Room,
    RoomChange, RoomId, RoomMode, RoomsOf, StoreError, Subject,
};

/// The columns of [`read_room`] in a query whose rooms table is called `r`.
pub(super) const ROOM_COLUMNS: &str = "r.id, r.name, r.title, r.owner, r.open, r.embed_origins, r.created_at, r.mode";

/// Reads a room whose columns begin at `at` in a row.
pub(super) fn read_room(row: &Row<'_>, at: usize) -> rusqlite::Result<Room> {
    let name: String = row.get(at + 1)?;
    let origins: String = row.get(at + 5)?;
    Ok(Room {
        id: RoomId(row.get(at)?),
        name: RoomName::parse(&name).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(at + 1, rusqlite::types::Type::Text, Box::new(error))
        })?,
        title: row.get(at + 2)?,
        owner: AccountId(row.get(at + 3)?),
        open: row.get(at + 4)?,
        embed_origins: origins.lines().map(str::to_owned).collect(),
        created_at: WallTime(row.get(at + 6)?),
        // The column's CHECK allows two values.
        mode: if row.get::<_, String>(at + 7)? == "p2p" { RoomMode::P2p } else { RoomMode::Sfu },
    })
}

pub(super) fn create_room(
    connection: &Connection,
    room: NewRoom,
    owner: AccountId,
    now: WallTime,
) -> Result<Room, StoreError> {
    check_text(&room.title)?;
    if super::accounts::account(connection, owner)?.is_none() {
        return Err(StoreError::NotFound("account"));
    }
    let count = connection
        .prepare_cached("SELECT count(*) FROM rooms WHERE owner = ?1")?
        .query_row([owner.0], |row| row.get(0))?;
    check_count(count, ROOMS_PER_ACCOUNT_MAX, "rooms of one account")?;
    let mode = match room.mode {
        RoomMode::Sfu => "sfu",
        RoomMode::P2p => "p2p",
    };
    let inserted = connection
        .prepare_cached(
            "INSERT INTO rooms (owner, name, title, open, created_at, mode) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (name) DO NOTHING",
        )?
        .execute(params![owner.0, room.name.as_str(), room.title, room.open, now.0, mode])?;
    if inserted == 0 {
        return Err(StoreError::Conflict("room"));
    }
    events::append(connection, EventKind::RoomCreated, owner, &Subject::Room(room.name.clone()), now)?;
    existing(connection, &room.name)
}

pub(super) fn room(connection: &Connection, name: &RoomName) -> Result<Option<Room>, StoreError> {
    let sql = format!("SELECT {ROOM_COLUMNS} FROM rooms r WHERE r.name = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([name.as_str()], |row| read_room(row, 0)).optional()?)
}

/// A room that the operation cannot do without.
pub(super) fn existing(connection: &Connection, name: &RoomName) -> Result<Room, StoreError> {
    room(connection, name)?.ok_or(StoreError::NotFound("room"))
}

pub(super) fn rooms(connection: &Connection, of: RoomsOf, page: PageRequest) -> Result<Page<Room>, StoreError> {
    let rows: Result<Vec<Room>, _> = match of {
        RoomsOf::Owner(owner) => connection
            .prepare_cached(&format!(
                "SELECT {ROOM_COLUMNS} FROM rooms r WHERE r.owner = ?1 AND r.id > ?2 ORDER BY r.id LIMIT ?3"
            ))?
            .query_map([owner.0, page.after(), page.rows()], |row| read_room(row, 0))?
            .collect(),
        RoomsOf::Everyone => connection
            .prepare_cached(&format!("SELECT {ROOM_COLUMNS} FROM rooms r WHERE r.id > ?1 ORDER BY r.id LIMIT ?2"))?
            .query_map([page.after(), page.rows()], |row| read_room(row, 0))?
            .collect(),
    };
    Ok(page.page(rows?, |room| room.id.0))
}

pub(super) fn change_room(
    connection: &Connection,
    name: &RoomName,
    change: RoomChange,
    now: WallTime,
) -> Result<Room, StoreError> {
    let room = existing(connection, name)?;
    let title = change.title.unwrap_or(room.title);
    let origins = change.embed_origins.unwrap_or(room.embed_origins);
    check_text(&title)?;
    check_origins(&origins)?;
    connection
        .prepare_cached("UPDATE rooms SET title = ?2, open = ?3, embed_origins = ?4 WHERE id = ?1")?
        .execute(params![room.id.0, title, change.open.unwrap_or(room.open), origins.join("\n")])?;
    events::append(connection, EventKind::RoomChanged, room.owner, &Subject::Room(name.clone()), now)?;
    existing(connection, name)
}

/// The origins whose pages may frame something.
pub(super) fn check_origins(origins: &[String]) -> Result<(), StoreError> {
    if origins.len() > EMBED_ORIGINS_MAX {
        return Err(StoreError::Limit { what: "embedding origins", max: EMBED_ORIGINS_MAX });
    }
    if origins.iter().any(|origin| origin.len() > EMBED_ORIGIN_LEN_MAX) {
        return Err(StoreError::Limit { what: "bytes in an origin", max: EMBED_ORIGIN_LEN_MAX });
    }
    // They are kept one a line and end up in a header: a line break in one would make two of it.
    if origins.iter().any(|origin| origin.is_empty() || origin.contains(|c: char| c.is_whitespace() || c.is_control()))
    {
        return Err(StoreError::Invalid("origin"));
    }
    Ok(())
}

pub(super) fn delete_room(connection: &Connection, name: &RoomName, now: WallTime) -> Result<Room, StoreError> {
    let room = existing(connection, name)?;
    connection.prepare_cached("DELETE FROM rooms WHERE id = ?1")?.execute([room.id.0])?;
    events::append(connection, EventKind::RoomDeleted, room.owner, &Subject::Room(name.clone()), now)?;
    Ok(room)
}

//! The outbox: what happened, written with the thing itself, so that it is never told twice or forgotten in a crash.

use rusqlite::Error::FromSqlConversionFailure;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use telstar_units::{AccountId, AssetName, RoomName, WallTime};

use crate::{EVENTS_KEPT_MAX, Event, EventId, EventKind, PAGE_LIMIT_MAX, StoreError, Subject};

const KINDS: [(EventKind, &str); 10] = [
    (EventKind::RoomCreated, "room-created"),
    (EventKind::RoomChanged, "room-changed"),
    (EventKind::RoomDeleted, "room-deleted"),
    (EventKind::StreamKeyRevoked, "stream-key-revoked"),
    (EventKind::AssetCreated, "asset-created"),
    (EventKind::AssetChanged, "asset-changed"),
    (EventKind::AssetReady, "asset-ready"),
    (EventKind::AssetFailed, "asset-failed"),
    (EventKind::AssetDeleted, "asset-deleted"),
    (EventKind::JobChanged, "job-changed"),
];

pub(super) fn append(
    connection: &Connection,
    kind: EventKind,
    owner: AccountId,
    subject: &Subject,
    now: WallTime,
) -> Result<(), StoreError> {
    let (_, word) = KINDS.iter().find(|(known, _)| *known == kind).expect("every kind has a word");
    connection
        .prepare_cached("INSERT INTO outbox (owner, kind, subject, at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![owner.0, word, subject.as_str(), now.0])?;
    let kept_after = connection.last_insert_rowid() - EVENTS_KEPT_MAX;
    connection.prepare_cached("DELETE FROM outbox WHERE id <= ?1")?.execute([kept_after])?;
    Ok(())
}

pub(super) fn events_after(connection: &Connection, after: EventId) -> Result<Vec<Event>, StoreError> {
    let rows: Result<Vec<Event>, _> = connection
        .prepare_cached("SELECT id, owner, kind, subject, at FROM outbox WHERE id > ?1 ORDER BY id LIMIT ?2")?
        .query_map([after.0, PAGE_LIMIT_MAX as i64], read_event)?
        .collect();
    Ok(rows?)
}

fn read_event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let (word, subject): (String, String) = (row.get(2)?, row.get(3)?);
    let kind = KINDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind);
    // A schema with more kinds has a higher number, and this program would not have opened it.
    let kind = kind.ok_or(rusqlite::Error::InvalidQuery)?;
    let subject = if kind.is_about_a_room() {
        let room = RoomName::parse(&subject);
        Subject::Room(room.map_err(|error| FromSqlConversionFailure(3, Type::Text, Box::new(error)))?)
    } else {
        let asset = AssetName::parse(&subject);
        Subject::Asset(asset.map_err(|error| FromSqlConversionFailure(3, Type::Text, Box::new(error)))?)
    };
    Ok(Event { id: EventId(row.get(0)?), owner: AccountId(row.get(1)?), kind, subject, at: WallTime(row.get(4)?) })
}

//! Stream keys, API keys and denied tokens.

use rusqlite::{Connection, OptionalExtension, Row, params};
use telstar_units::{AccountId, RoomName, WallTime};

use super::accounts::{ACCOUNT_COLUMNS, ACCOUNT_COLUMNS_LEN, account, check_count, check_text, read_account};
use super::events;
use super::rooms::{ROOM_COLUMNS, existing, read_room};
use crate::{
    API_KEYS_PER_ACCOUNT_MAX, ApiKey, EventKind, NewApiKey, NewStreamKey, Page, PageRequest, Room, RoomId,
    STREAM_KEYS_PER_ROOM_MAX, SecretHash, StoreError, StreamKey, StreamKeyId, Subject,
};

const STREAM_KEY_COLUMNS: &str =
    "k.id, k.room, k.owner, k.label, k.hint, k.hash, k.created_at, k.last_used_at, k.revoked_at";
const STREAM_KEY_COLUMNS_LEN: usize = 9;

fn read_stream_key(row: &Row<'_>) -> rusqlite::Result<StreamKey> {
    Ok(StreamKey {
        id: StreamKeyId(row.get(0)?),
        room: RoomId(row.get(1)?),
        owner: AccountId(row.get(2)?),
        label: row.get(3)?,
        hint: row.get(4)?,
        hash: SecretHash(row.get(5)?),
        created_at: WallTime(row.get(6)?),
        last_used_at: row.get::<_, Option<i64>>(7)?.map(WallTime),
        revoked_at: row.get::<_, Option<i64>>(8)?.map(WallTime),
    })
}

pub(super) fn create_stream_key(
    connection: &Connection,
    room: &RoomName,
    key: NewStreamKey,
    owner: AccountId,
    now: WallTime,
) -> Result<StreamKey, StoreError> {
    check_text(&key.label)?;
    check_text(&key.hint)?;
    let room = existing(connection, room)?;
    if account(connection, owner)?.is_none() {
        return Err(StoreError::NotFound("account"));
    }
    let count = connection
        .prepare_cached("SELECT count(*) FROM stream_keys WHERE room = ?1 AND revoked_at IS NULL")?
        .query_row([room.id.0], |row| row.get(0))?;
    check_count(count, STREAM_KEYS_PER_ROOM_MAX, "stream keys of one room")?;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO stream_keys (owner, room, label, hint, locator, hash, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (locator) DO NOTHING",
        )?
        .execute(params![owner.0, room.id.0, key.label, key.hint, key.locator, key.hash.0, now.0])?;
    if inserted == 0 {
        return Err(StoreError::Conflict("stream key"));
    }
    stream_key(connection, connection.last_insert_rowid())
}

fn stream_key(connection: &Connection, id: i64) -> Result<StreamKey, StoreError> {
    let sql = format!("SELECT {STREAM_KEY_COLUMNS} FROM stream_keys k WHERE k.id = ?1");
    let key = connection.prepare_cached(&sql)?.query_row([id], read_stream_key).optional()?;
    key.ok_or(StoreError::NotFound("stream key"))
}

pub(super) fn stream_keys(
    connection: &Connection,
    room: &RoomName,
    page: PageRequest,
) -> Result<Page<StreamKey>, StoreError> {
    let room = existing(connection, room)?;
    let sql = format!(
        "SELECT {STREAM_KEY_COLUMNS} FROM stream_keys k
         WHERE k.room = ?1 AND k.revoked_at IS NULL AND k.id > ?2 ORDER BY k.id LIMIT ?3"
    );
    let rows: Result<Vec<StreamKey>, _> =
        connection.prepare_cached(&sql)?.query_map([room.id.0, page.after(), page.rows()], read_stream_key)?.collect();
    Ok(page.page(rows?, |key| key.id.0))
}

pub(super) fn find_stream_key(connection: &Connection, locator: &str) -> Result<Option<(StreamKey, Room)>, StoreError> {
    let sql = format!(
        "SELECT {STREAM_KEY_COLUMNS}, {ROOM_COLUMNS} FROM stream_keys k JOIN rooms r ON r.id = k.room
         WHERE k.locator = ?1"
    );
    let found = connection
        .prepare_cached(&sql)?
        .query_row([locator], |row| Ok((read_stream_key(row)?, read_room(row, STREAM_KEY_COLUMNS_LEN)?)))
        .optional()?;
    Ok(found)
}

pub(super) fn stream_key_used(connection: &Connection, id: StreamKeyId, now: WallTime) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE stream_keys SET last_used_at = max(?2, coalesce(last_used_at, ?2)) WHERE id = ?1")?
        .execute([id.0, now.0])?;
    Ok(())
}

pub(super) fn revoke_stream_key(
    connection: &Connection,
    room: &RoomName,
    id: StreamKeyId,
    now: WallTime,
) -> Result<StreamKey, StoreError> {
    let room = existing(connection, room)?;
    let revoked = connection
        .prepare_cached("UPDATE stream_keys SET revoked_at = ?3 WHERE id = ?1 AND room = ?2 AND revoked_at IS NULL")?
        .execute([id.0, room.id.0, now.0])?;
    if revoked == 0 {
        return Err(StoreError::NotFound("stream key"));
    }
    events::append(connection, EventKind::StreamKeyRevoked, room.owner, &Subject::Room(room.name.clone()), now)?;
    stream_key(connection, id.0)
}

fn read_api_key(row: &Row<'_>) -> rusqlite::Result<(i64, ApiKey)> {
    let at = ACCOUNT_COLUMNS_LEN;
    let key = ApiKey {
        account: read_account(row)?,
        id: row.get(at)?,
        label: row.get(at + 1)?,
        sealed_secret: row.get(at + 2)?,
        created_at: WallTime(row.get(at + 3)?),
    };
    Ok((row.get(at + 4)?, key))
}

fn select_api_keys(condition: &str) -> String {
    format!(
        "SELECT {ACCOUNT_COLUMNS}, k.id, k.label, k.sealed_secret, k.created_at, k.number
         FROM api_keys k JOIN accounts a ON a.id = k.owner WHERE k.revoked_at IS NULL AND {condition}"
    )
}

pub(super) fn create_api_key(
    connection: &Connection,
    key: NewApiKey,
    owner: AccountId,
    now: WallTime,
) -> Result<ApiKey, StoreError> {
    check_text(&key.id)?;
    check_text(&key.label)?;
    let Some(account) = account(connection, owner)? else { return Err(StoreError::NotFound("account")) };
    let count = connection
        .prepare_cached("SELECT count(*) FROM api_keys WHERE owner = ?1 AND revoked_at IS NULL")?
        .query_row([owner.0], |row| row.get(0))?;
    check_count(count, API_KEYS_PER_ACCOUNT_MAX, "API keys of one account")?;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO api_keys (id, owner, label, sealed_secret, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![key.id, owner.0, key.label, key.sealed_secret, now.0])?;
    if inserted == 0 {
        return Err(StoreError::Conflict("API key"));
    }
    Ok(ApiKey { id: key.id, account, label: key.label, sealed_secret: key.sealed_secret, created_at: now })
}

pub(super) fn api_key(connection: &Connection, id: &str) -> Result<Option<ApiKey>, StoreError> {
    let found = connection.prepare_cached(&select_api_keys("k.id = ?1"))?.query_row([id], read_api_key).optional()?;
    Ok(found.map(|(_, key)| key))
}

pub(super) fn api_keys(
    connection: &Connection,
    owner: AccountId,
    page: PageRequest,
) -> Result<Page<ApiKey>, StoreError> {
    let sql = select_api_keys("k.owner = ?1 AND k.number > ?2 ORDER BY k.number LIMIT ?3");
    let rows: Result<Vec<(i64, ApiKey)>, _> =
        connection.prepare_cached(&sql)?.query_map([owner.0, page.after(), page.rows()], read_api_key)?.collect();
    let page = page.page(rows?, |(number, _)| *number);
    Ok(Page { items: page.items.into_iter().map(|(_, key)| key).collect(), next: page.next })
}

pub(super) fn revoke_api_key(connection: &Connection, id: &str, now: WallTime) -> Result<(), StoreError> {
    // The row stays, because `iss` names it in records of people; the secret goes.
    let revoked = connection
        .prepare_cached(
            "UPDATE api_keys SET revoked_at = ?2, sealed_secret = x'' WHERE id = ?1 AND revoked_at IS NULL",
        )?
        .execute(params![id, now.0])?;
    if revoked == 0 { Err(StoreError::NotFound("API key")) } else { Ok(()) }
}

pub(super) fn deny_token(
    connection: &Connection,
    issuer: &str,
    jti: &str,
    owner: AccountId,
    until: WallTime,
) -> Result<(), StoreError> {
    check_text(issuer)?;
    check_text(jti)?;
    if account(connection, owner)?.is_none() {
        return Err(StoreError::NotFound("account"));
    }
    connection
        .prepare_cached(
            "INSERT INTO denied_jti (issuer, jti, owner, expires_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (issuer, jti) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)",
        )?
        .execute(params![issuer, jti, owner.0, until.0])?;
    Ok(())
}

pub(super) fn token_denied(
    connection: &Connection,
    issuer: &str,
    jti: &str,
    now: WallTime,
) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM denied_jti WHERE issuer = ?1 AND jti = ?2 AND expires_at > ?3")?
        .exists(params![issuer, jti, now.0])?)
}

//! Invites: rows, and the one place that counts their uses.

use rusqlite::{Connection, OptionalExtension, Row, params};
use telstar_units::{AccountId, RoomName, WallTime};

use super::accounts::{account, check_count, check_text};
use super::rooms::{ROOM_COLUMNS, existing, read_room};
use crate::{
    INVITES_PER_ROOM_MAX, Invite, InviteId, NewInvite, Page, PageRequest, Room, RoomId, SecretHash, StoreError,
};

const INVITE_COLUMNS: &str =
    "i.id, i.room, i.owner, i.label, i.grants, i.hash, i.uses_left, i.created_at, i.expires_at";
const INVITE_COLUMNS_LEN: usize = 9;

fn read_invite(row: &Row<'_>) -> rusqlite::Result<Invite> {
    let grants: String = row.get(4)?;
    Ok(Invite {
        id: InviteId(row.get(0)?),
        room: RoomId(row.get(1)?),
        owner: AccountId(row.get(2)?),
        label: row.get(3)?,
        grants: grants.lines().map(str::to_owned).collect(),
        hash: SecretHash(row.get(5)?),
        uses_left: row.get(6)?,
        created_at: WallTime(row.get(7)?),
        expires_at: WallTime(row.get(8)?),
    })
}

pub(super) fn create_invite(
    connection: &Connection,
    room: &RoomName,
    invite: NewInvite,
    owner: AccountId,
    now: WallTime,
) -> Result<Invite, StoreError> {
    check_text(&invite.label)?;
    let grants = invite.grants.join("\n");
    check_text(&grants)?;
    let room = existing(connection, room)?;
    if account(connection, owner)?.is_none() {
        return Err(StoreError::NotFound("account"));
    }
    // What has expired does not count against the limit.
    connection
        .prepare_cached("DELETE FROM invites WHERE room = ?1 AND expires_at <= ?2")?
        .execute([room.id.0, now.0])?;
    let count = connection
        .prepare_cached("SELECT count(*) FROM invites WHERE room = ?1")?
        .query_row([room.id.0], |row| row.get(0))?;
    check_count(count, INVITES_PER_ROOM_MAX, "invites of one room")?;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO invites (owner, room, label, grants, locator, hash, uses_left, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (locator) DO NOTHING",
        )?
        .execute(params![
            owner.0,
            room.id.0,
            invite.label,
            grants,
            invite.locator,
            invite.hash.0,
            invite.uses,
            now.0,
            invite.expires_at.0
        ])?;
    if inserted == 0 {
        return Err(StoreError::Conflict("invite"));
    }
    let sql = format!("SELECT {INVITE_COLUMNS} FROM invites i WHERE i.id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([connection.last_insert_rowid()], read_invite)?)
}

pub(super) fn invites(
    connection: &Connection,
    room: &RoomName,
    page: PageRequest,
    now: WallTime,
) -> Result<Page<Invite>, StoreError> {
    let room = existing(connection, room)?;
    let sql = format!(
        "SELECT {INVITE_COLUMNS} FROM invites i
         WHERE i.room = ?1 AND i.id > ?2 AND i.expires_at > ?4 ORDER BY i.id LIMIT ?3"
    );
    let rows: Result<Vec<Invite>, _> = connection
        .prepare_cached(&sql)?
        .query_map([room.id.0, page.after(), page.rows(), now.0], read_invite)?
        .collect();
    Ok(page.page(rows?, |invite| invite.id.0))
}

pub(super) fn find_invite(
    connection: &Connection,
    locator: &str,
    now: WallTime,
) -> Result<Option<(Invite, Room)>, StoreError> {
    let sql = format!(
        "SELECT {INVITE_COLUMNS}, {ROOM_COLUMNS} FROM invites i JOIN rooms r ON r.id = i.room
         WHERE i.locator = ?1 AND i.expires_at > ?2 AND (i.uses_left IS NULL OR i.uses_left > 0)"
    );
    let found = connection
        .prepare_cached(&sql)?
        .query_row(params![locator, now.0], |row| Ok((read_invite(row)?, read_room(row, INVITE_COLUMNS_LEN)?)))
        .optional()?;
    Ok(found)
}

pub(super) fn use_invite(connection: &Connection, id: InviteId, now: WallTime) -> Result<(), StoreError> {
    // NULL minus one is NULL: an invite without a limit stays without one.
    let used = connection
        .prepare_cached(
            "UPDATE invites SET uses_left = uses_left - 1
             WHERE id = ?1 AND expires_at > ?2 AND (uses_left IS NULL OR uses_left > 0)",
        )?
        .execute([id.0, now.0])?;
    if used == 0 { Err(StoreError::NotFound("invite")) } else { Ok(()) }
}

pub(super) fn revoke_invite(connection: &Connection, room: &RoomName, id: InviteId) -> Result<(), StoreError> {
    let room = existing(connection, room)?;
    let gone =
        connection.prepare_cached("DELETE FROM invites WHERE id = ?1 AND room = ?2")?.execute([id.0, room.id.0])?;
    if gone == 0 { Err(StoreError::NotFound("invite")) } else { Ok(()) }
}

//! Accounts, the founding of a server, and principals.

use rusqlite::{Connection, OptionalExtension, Row, params};
use telstar_units::{AccountId, WallTime};

use super::{keys, rooms};
use crate::{Account, Founded, Founding, PrincipalId, PrincipalKind, PrincipalName, Role, StoreError, TEXT_LEN_MAX};

/// The columns of [`read_account`] in a query whose accounts table is called `a`.
pub(super) const ACCOUNT_COLUMNS: &str = "a.id, a.name, a.role, a.created_at";
/// How many columns [`ACCOUNT_COLUMNS`] has.
pub(super) const ACCOUNT_COLUMNS_LEN: usize = 4;

/// Reads an account whose columns begin a row.
pub(super) fn read_account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let role: String = row.get(2)?;
    Ok(Account {
        id: AccountId(row.get(0)?),
        name: row.get(1)?,
        // The column's CHECK allows two values; should a third ever come, it has the fewer rights.
        role: if role == "admin" { Role::Admin } else { Role::Member },
        created_at: WallTime(row.get(3)?),
    })
}

pub(super) fn begin_run(connection: &Connection, now: WallTime) -> Result<u64, StoreError> {
    connection.prepare_cached("INSERT INTO runs (began_at) VALUES (?1)")?.execute([now.0])?;
    let run = connection.last_insert_rowid();
    connection.prepare_cached("DELETE FROM runs WHERE id < ?1")?.execute([run])?;
    Ok(run as u64)
}

pub(super) fn found(connection: &Connection, founding: Founding, now: WallTime) -> Result<Founded, StoreError> {
    if let Some(admin) = first_admin(connection)? {
        return Ok(Founded { admin, fresh: false });
    }
    check_text(&founding.admin)?;
    connection
        .prepare_cached("INSERT INTO accounts (name, role, created_at) VALUES (?1, 'admin', ?2)")?
        .execute(params![founding.admin, now.0])?;
    let admin = AccountId(connection.last_insert_rowid());
    keys::create_api_key(connection, founding.api_key, admin, now)?;
    let room = rooms::create_room(connection, founding.room, admin, now)?;
    keys::create_stream_key(connection, &room.name, founding.stream_key, admin, now)?;
    let admin = account(connection, admin)?.ok_or(StoreError::NotFound("account"))?;
    Ok(Founded { admin, fresh: true })
}

pub(super) fn first_admin(connection: &Connection) -> Result<Option<Account>, StoreError> {
    let sql = format!("SELECT {ACCOUNT_COLUMNS} FROM accounts a WHERE a.role = 'admin' ORDER BY a.id LIMIT 1");
    Ok(connection.prepare_cached(&sql)?.query_row([], read_account).optional()?)
}

pub(super) fn account(connection: &Connection, id: AccountId) -> Result<Option<Account>, StoreError> {
    let sql = format!("SELECT {ACCOUNT_COLUMNS} FROM accounts a WHERE a.id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id.0], read_account).optional()?)
}

pub(super) fn principal(
    connection: &Connection,
    name: &PrincipalName,
    owner: AccountId,
    now: WallTime,
) -> Result<PrincipalId, StoreError> {
    check_text(&name.issuer)?;
    check_text(&name.subject)?;
    if account(connection, owner)?.is_none() {
        return Err(StoreError::NotFound("account"));
    }
    let kind = match name.kind {
        PrincipalKind::Account => "account",
        PrincipalKind::Identity => "identity",
        PrincipalKind::Ingest => "ingest",
    };
    connection
        .prepare_cached(
            "INSERT INTO principals (owner, issuer, subject, kind, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (issuer, subject, kind) DO NOTHING",
        )?
        .execute(params![owner.0, name.issuer, name.subject, kind, now.0])?;
    let id = connection
        .prepare_cached("SELECT id FROM principals WHERE issuer = ?1 AND subject = ?2 AND kind = ?3")?
        .query_row(params![name.issuer, name.subject, kind], |row| row.get(0))?;
    Ok(PrincipalId(id))
}

/// Labels, names and subjects have a limit here as well as at the door, so that no caller can forget it.
pub(super) fn check_text(text: &str) -> Result<(), StoreError> {
    if text.len() > TEXT_LEN_MAX {
        return Err(StoreError::Limit { what: "bytes in a text", max: TEXT_LEN_MAX });
    }
    Ok(())
}

/// The answer when a count of `what` has reached `max`.
pub(super) fn check_count(count: i64, max: usize, what: &'static str) -> Result<(), StoreError> {
    if count >= max as i64 {
        return Err(StoreError::Limit { what, max });
    }
    Ok(())
}

//! Bearer secrets of an account: sign-in codes, sessions, API tokens. They differ in their table and their limit.

use rusqlite::{Connection, OptionalExtension, params};
use telstar_units::{AccountId, WallTime};

use super::accounts::{ACCOUNT_COLUMNS, ACCOUNT_COLUMNS_LEN, account, check_count, read_account};
use crate::{
    API_TOKENS_PER_ACCOUNT_MAX, Bearer, NewBearer, REVOKED_KEPT_SECS, SESSIONS_PER_ACCOUNT_MAX,
    SIGN_IN_CODES_PER_ACCOUNT_MAX, SecretHash, SessionId, StoreError,
};

/// Which bearer secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    SignInCodes,
    Sessions,
    ApiTokens,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Table::SignInCodes => "sign_in_codes",
            Table::Sessions => "sessions",
            Table::ApiTokens => "api_tokens",
        }
    }
}

/// Makes one and returns its number. What of its owner has expired goes first, so that it does not count.
pub(super) fn create(
    connection: &Connection,
    table: Table,
    bearer: &NewBearer,
    now: WallTime,
) -> Result<i64, StoreError> {
    if account(connection, bearer.owner)?.is_none() {
        return Err(StoreError::NotFound("account"));
    }
    let name = table.name();
    connection
        .prepare_cached(&format!("DELETE FROM {name} WHERE owner = ?1 AND expires_at <= ?2"))?
        .execute([bearer.owner.0, now.0])?;
    match table {
        Table::SignInCodes => drop_oldest(connection, table, bearer.owner, SIGN_IN_CODES_PER_ACCOUNT_MAX)?,
        Table::Sessions => drop_oldest(connection, table, bearer.owner, SESSIONS_PER_ACCOUNT_MAX)?,
        // A script relies on its token until the token says that it ends, so here the newcomer loses.
        Table::ApiTokens => {
            let count = connection
                .prepare_cached("SELECT count(*) FROM api_tokens WHERE owner = ?1")?
                .query_row([bearer.owner.0], |row| row.get(0))?;
            check_count(count, API_TOKENS_PER_ACCOUNT_MAX, "API tokens of one account")?;
        }
    }
    let inserted = connection
        .prepare_cached(&format!(
            "INSERT INTO {name} (owner, locator, hash, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (locator) DO NOTHING"
        ))?
        .execute(params![bearer.owner.0, bearer.locator, bearer.hash.0, now.0, bearer.expires_at.0])?;
    if inserted == 0 { Err(StoreError::Conflict("secret")) } else { Ok(connection.last_insert_rowid()) }
}

/// Makes room for one more below `max`.
fn drop_oldest(connection: &Connection, table: Table, owner: AccountId, max: usize) -> Result<(), StoreError> {
    let name = table.name();
    connection
        .prepare_cached(&format!(
            "DELETE FROM {name} WHERE id IN
             (SELECT id FROM {name} WHERE owner = ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2)"
        ))?
        .execute([owner.0, max as i64 - 1])?;
    Ok(())
}

/// The one of a locator that has not expired.
pub(super) fn find(
    connection: &Connection,
    table: Table,
    locator: &str,
    now: WallTime,
) -> Result<Option<Bearer<i64>>, StoreError> {
    let sql = format!(
        "SELECT {ACCOUNT_COLUMNS}, b.id, b.hash, b.expires_at FROM {} b JOIN accounts a ON a.id = b.owner
         WHERE b.locator = ?1 AND b.expires_at > ?2",
        table.name()
    );
    let found = connection
        .prepare_cached(&sql)?
        .query_row(params![locator, now.0], |row| {
            Ok(Bearer {
                account: read_account(row)?,
                id: row.get(ACCOUNT_COLUMNS_LEN)?,
                hash: SecretHash(row.get(ACCOUNT_COLUMNS_LEN + 1)?),
                expires_at: WallTime(row.get(ACCOUNT_COLUMNS_LEN + 2)?),
            })
        })
        .optional()?;
    Ok(found)
}

pub(super) fn redeem(
    connection: &Connection,
    locator: &str,
    session: &NewBearer,
    now: WallTime,
) -> Result<Bearer<SessionId>, StoreError> {
    let code = find(connection, Table::SignInCodes, locator, now)?.ok_or(StoreError::NotFound("sign-in code"))?;
    if code.account.id != session.owner {
        return Err(StoreError::Invalid("session: a code signs its own account in"));
    }
    connection.prepare_cached("DELETE FROM sign_in_codes WHERE id = ?1")?.execute([code.id])?;
    let id = create(connection, Table::Sessions, session, now)?;
    Ok(Bearer { id: SessionId(id), account: code.account, hash: session.hash, expires_at: session.expires_at })
}

pub(super) fn delete_session(connection: &Connection, id: SessionId) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([id.0])?;
    Ok(())
}

/// Ends all of an account.
pub(super) fn end_all(connection: &Connection, owner: AccountId) -> Result<usize, StoreError> {
    let mut ended = 0;
    for table in [Table::SignInCodes, Table::Sessions, Table::ApiTokens] {
        let sql = format!("DELETE FROM {} WHERE owner = ?1", table.name());
        ended += connection.prepare_cached(&sql)?.execute([owner.0])?;
    }
    Ok(ended)
}

/// Removes what has ended, of every table in which something ends.
pub(super) fn sweep(connection: &Connection, now: WallTime) -> Result<usize, StoreError> {
    let mut removed = 0;
    for table in ["sign_in_codes", "sessions", "api_tokens", "denied_jti", "invites"] {
        removed +=
            connection.prepare_cached(&format!("DELETE FROM {table} WHERE expires_at <= ?1"))?.execute([now.0])?;
    }
    removed += connection
        .prepare_cached("DELETE FROM stream_keys WHERE revoked_at <= ?1")?
        .execute([now.plus_micros(-REVOKED_KEPT_SECS * 1_000_000).0])?;
    Ok(removed + super::webhooks::sweep(connection, now)?)
}

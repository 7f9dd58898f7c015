//! Assets, their renditions and what they take.

use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Row, params};
use telstar_units::{AccountId, AssetName, BlobName, OpaqueNameError, WallTime};

use super::accounts::{account, check_count, check_text};
use super::rooms::check_origins;
use super::{events, jobs};
use crate::job::Class;
use crate::{
    ASSETS_PER_ACCOUNT_MAX, Asset, AssetChange, AssetId, AssetState, AssetsOf, EventKind, JobKind, NewAsset, NewJob,
    NewRendition, Page, PageRequest, Quota, RENDITIONS_PER_ASSET_MAX, RenditionRecord, StoreError, Subject,
};

/// Stand-ins that are deleted at once. Higher holds the writer for longer.
const STAND_INS_MAX: i64 = 500;
/// The columns of [`read_asset`] in a query whose assets table is called `a`.
const COLUMNS: &str = "a.id, a.name, a.owner, a.title, a.open, a.embed_origins, a.state, a.source, a.source_len, a.facts, a.problem, \
                       a.created_at, a.ready_at, a.updated_at";

/// A name that a column holds.
pub(super) fn name<T>(row: &Row<'_>, at: usize, parse: fn(&str) -> Result<T, OpaqueNameError>) -> rusqlite::Result<T> {
    let text: String = row.get(at)?;
    parse(&text).map_err(|error| Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}

fn read_asset(row: &Row<'_>) -> rusqlite::Result<Asset> {
    let origins: String = row.get(5)?;
    let state: String = row.get(6)?;
    Ok(Asset {
        id: AssetId(row.get(0)?),
        name: name(row, 1, AssetName::parse)?,
        owner: AccountId(row.get(2)?),
        title: row.get(3)?,
        open: row.get(4)?,
        embed_origins: origins.lines().map(str::to_owned).collect(),
        // The column's CHECK allows three values.
        state: match state.as_str() {
            "ready" => AssetState::Ready,
            "failed" => AssetState::Failed,
            _ => AssetState::Processing,
        },
        source: name(row, 7, BlobName::parse)?,
        source_len: row.get::<_, i64>(8)? as u64,
        facts: row.get(9)?,
        problem: row.get(10)?,
        created_at: WallTime(row.get(11)?),
        ready_at: row.get::<_, Option<i64>>(12)?.map(WallTime),
        updated_at: WallTime(row.get(13)?),
    })
}

pub(super) fn asset(connection: &Connection, name: &AssetName) -> Result<Option<Asset>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM assets a WHERE a.name = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([name.as_str()], read_asset).optional()?)
}

pub(super) fn existing(connection: &Connection, name: &AssetName) -> Result<Asset, StoreError> {
    asset(connection, name)?.ok_or(StoreError::NotFound("asset"))
}

pub(super) fn by_id(connection: &Connection, id: AssetId) -> Result<Asset, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM assets a WHERE a.id = ?1");
    let found = connection.prepare_cached(&sql)?.query_row([id.0], read_asset).optional()?;
    found.ok_or(StoreError::NotFound("asset"))
}

pub(super) fn assets(connection: &Connection, of: AssetsOf, page: PageRequest) -> Result<Page<Asset>, StoreError> {
    let mine = match of {
        AssetsOf::Owner(_) => "AND a.owner = ?1",
        AssetsOf::Everyone => "",
    };
    // The newest first: what was uploaded just now is what one looks for.
    let sql = format!(
        "SELECT {COLUMNS} FROM assets a WHERE (?2 = 0 OR a.id < ?2) {mine} AND ?1 >= 0 ORDER BY a.id DESC LIMIT ?3"
    );
    let owner = match of {
        AssetsOf::Owner(owner) => owner.0,
        AssetsOf::Everyone => 0,
    };
    let rows: Result<Vec<Asset>, _> =
        connection.prepare_cached(&sql)?.query_map([owner, page.after(), page.rows()], read_asset)?.collect();
    Ok(page.page(rows?, |asset| asset.id.0))
}

/// Makes an asset and its first job; what it takes was weighed before.
pub(super) fn insert(
    connection: &Connection,
    asset: &NewAsset,
    owner: AccountId,
    now: WallTime,
) -> Result<Asset, StoreError> {
    check_text(&asset.title)?;
    let count = connection
        .prepare_cached("SELECT count(*) FROM assets WHERE owner = ?1")?
        .query_row([owner.0], |row| row.get(0))?;
    check_count(count, ASSETS_PER_ACCOUNT_MAX, "assets of one account")?;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO assets (name, owner, title, source, source_len, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT DO NOTHING",
        )?
        .execute(params![asset.name.as_str(), owner.0, asset.title, asset.blob.as_str(), asset.len as i64, now.0])?;
    if inserted == 0 {
        return Err(StoreError::Conflict("asset"));
    }
    let id = AssetId(connection.last_insert_rowid());
    let probe = NewJob { kind: JobKind::Probe, class: Class::First, work: asset.work.clone(), after: Vec::new() };
    jobs::insert_all(connection, id, owner, &[probe], now)?;
    events::append(connection, EventKind::AssetCreated, owner, &Subject::Asset(asset.name.clone()), now)?;
    by_id(connection, id)
}

pub(super) fn create(
    connection: &Connection,
    asset: &NewAsset,
    owner: AccountId,
    quota: Quota,
    now: WallTime,
) -> Result<Asset, StoreError> {
    if account(connection, owner)?.is_none() {
        return Err(StoreError::NotFound("account"));
    }
    check_quota(connection, owner, asset.len, quota)?;
    insert(connection, asset, owner, now)
}

pub(super) fn change(
    connection: &Connection,
    name: &AssetName,
    change: AssetChange,
    now: WallTime,
) -> Result<Asset, StoreError> {
    let asset = existing(connection, name)?;
    let title = change.title.unwrap_or(asset.title);
    check_text(&title)?;
    let origins = change.embed_origins.unwrap_or(asset.embed_origins);
    check_origins(&origins)?;
    connection
        .prepare_cached("UPDATE assets SET title = ?2, open = ?3, embed_origins = ?4, updated_at = ?5 WHERE id = ?1")?
        .execute(params![asset.id.0, title, change.open.unwrap_or(asset.open), origins.join("\n"), now.0])?;
    events::append(connection, EventKind::AssetChanged, asset.owner, &Subject::Asset(name.clone()), now)?;
    by_id(connection, asset.id)
}

/// The asset is in another state from now on.
pub(super) fn set_state(
    connection: &Connection,
    id: AssetId,
    state: AssetState,
    problem: &str,
    now: WallTime,
) -> Result<Asset, StoreError> {
    let (word, kind, ready_at) = match state {
        AssetState::Processing => ("processing", EventKind::AssetChanged, None),
        AssetState::Ready => ("ready", EventKind::AssetReady, Some(now.0)),
        AssetState::Failed => ("failed", EventKind::AssetFailed, None),
    };
    connection
        .prepare_cached(
            "UPDATE assets SET state = ?2, problem = ?3, ready_at = coalesce(ready_at, ?4), updated_at = ?5 WHERE id = ?1",
        )?
        .execute(params![id.0, word, problem, ready_at, now.0])?;
    let asset = by_id(connection, id)?;
    events::append(connection, kind, asset.owner, &Subject::Asset(asset.name.clone()), now)?;
    Ok(asset)
}

pub(super) fn set_facts(connection: &Connection, id: AssetId, facts: &str, now: WallTime) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE assets SET facts = ?2, updated_at = ?3 WHERE id = ?1")?
        .execute(params![id.0, facts, now.0])?;
    Ok(())
}

/// Deletes it with everything that is of it, and says which blobs that frees.
pub(super) fn delete(connection: &Connection, name: &AssetName, now: WallTime) -> Result<Vec<BlobName>, StoreError> {
    let asset = existing(connection, name)?;
    let mut freed: Vec<BlobName> =
        renditions(connection, asset.id)?.into_iter().map(|rendition| rendition.blob).collect();
    freed.push(asset.source);
    connection.prepare_cached("DELETE FROM assets WHERE id = ?1")?.execute([asset.id.0])?;
    events::append(connection, EventKind::AssetDeleted, asset.owner, &Subject::Asset(name.clone()), now)?;
    Ok(freed)
}

pub(super) fn renditions(connection: &Connection, id: AssetId) -> Result<Vec<RenditionRecord>, StoreError> {
    let read = |row: &Row<'_>| {
        Ok(RenditionRecord {
            name: row.get(0)?,
            blob: name(row, 1, BlobName::parse)?,
            len: row.get::<_, i64>(2)? as u64,
            facts: row.get(3)?,
            index: row.get(4)?,
            committed_at: WallTime(row.get(5)?),
        })
    };
    let rows: Result<Vec<RenditionRecord>, _> = connection
        .prepare_cached(
            "SELECT name, blob, len, facts, segment_index, committed_at FROM renditions WHERE asset = ?1 ORDER BY name",
        )?
        .query_map([id.0], read)?
        .collect();
    Ok(rows?)
}

/// Commits a rendition, and says which blob it takes the place of.
pub(super) fn put_rendition(
    connection: &Connection,
    asset: AssetId,
    rendition: &NewRendition,
    now: WallTime,
) -> Result<Option<BlobName>, StoreError> {
    check_text(&rendition.name)?;
    let before = renditions(connection, asset)?;
    let replaced = before.iter().find(|known| known.name == rendition.name).map(|known| known.blob.clone());
    if replaced.is_none() {
        check_count(before.len() as i64, RENDITIONS_PER_ASSET_MAX, "renditions of one asset")?;
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO renditions (asset, name, blob, len, facts, segment_index, committed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            asset.0,
            rendition.name,
            rendition.blob.as_str(),
            rendition.len as i64,
            rendition.facts,
            rendition.index,
            now.0
        ])?;
    Ok(replaced.filter(|blob| *blob != rendition.blob))
}

/// Deletes renditions that are called like another with `suffix` behind it, which is there since before `before`.
pub(super) fn delete_stand_ins(
    connection: &Connection,
    suffix: &str,
    before: WallTime,
) -> Result<Vec<(AssetName, BlobName)>, StoreError> {
    let read =
        |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, name(row, 2, AssetName::parse)?, name(row, 3, BlobName::parse)?));
    let found: Result<Vec<(i64, String, AssetName, BlobName)>, _> = connection
        .prepare_cached(
            "SELECT s.asset, s.name, a.name, s.blob FROM renditions r
             JOIN renditions s ON s.asset = r.asset AND s.name = r.name || ?1
             JOIN assets a ON a.id = s.asset
             WHERE r.committed_at < ?2 LIMIT ?3",
        )?
        .query_map(params![suffix, before.0, STAND_INS_MAX], read)?
        .collect();
    let found = found?;
    for (asset, name, ..) in &found {
        connection
            .prepare_cached("DELETE FROM renditions WHERE asset = ?1 AND name = ?2")?
            .execute(params![asset, name])?;
    }
    Ok(found.into_iter().map(|(_, _, asset, blob)| (asset, blob)).collect())
}

/// What each limit of `quota` leaves, and how its words are.
fn left_of(
    connection: &Connection,
    owner: AccountId,
    quota: Quota,
) -> Result<[(u64, u64, &'static str); 2], StoreError> {
    // What was uploaded is the asset's, once it is one.
    const USED: &str = "SELECT
        (SELECT coalesce(sum(coalesce(len, stored)), 0) FROM uploads WHERE asset IS NULL AND (?1 = 0 OR owner = ?1))
        + (SELECT coalesce(sum(source_len), 0) FROM assets WHERE ?1 = 0 OR owner = ?1)
        + (SELECT coalesce(sum(r.len), 0) FROM renditions r JOIN assets a ON a.id = r.asset WHERE ?1 = 0 OR a.owner = ?1)";
    let mut statement = connection.prepare_cached(USED)?;
    let mut left = |of: i64, max: u64| -> Result<u64, StoreError> {
        let used: i64 = statement.query_row([of], |row| row.get(0))?;
        Ok(max.saturating_sub(used as u64))
    };
    let (account_max, total_max) = (quota.account_bytes_max, quota.total_bytes_max);
    Ok([
        (left(owner.0, account_max)?, account_max, "bytes of one account"),
        (left(0, total_max)?, total_max, "bytes of all accounts"),
    ])
}

/// How much more the account may take.
pub(super) fn quota_left(connection: &Connection, owner: AccountId, quota: Quota) -> Result<u64, StoreError> {
    let [(of_account, ..), (of_all, ..)] = left_of(connection, owner, quota)?;
    Ok(of_account.min(of_all))
}

/// Whether `more` bytes have room beside what is there and what was set aside.
pub(super) fn check_quota(
    connection: &Connection,
    owner: AccountId,
    more: u64,
    quota: Quota,
) -> Result<(), StoreError> {
    for (left, max, what) in left_of(connection, owner, quota)? {
        if more > left {
            return Err(StoreError::Limit { what, max: usize::try_from(max).unwrap_or(usize::MAX) });
        }
    }
    Ok(())
}

/// Those of `blobs` that no row names.
pub(super) fn unknown_blobs(connection: &Connection, blobs: Vec<BlobName>) -> Result<Vec<BlobName>, StoreError> {
    let mut unknown = Vec::new();
    for blob in blobs {
        let is_known: bool = connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM uploads WHERE blob = ?1) OR EXISTS (SELECT 1 FROM assets WHERE source = ?1)
                 OR EXISTS (SELECT 1 FROM renditions WHERE blob = ?1)",
            )?
            .query_row([blob.as_str()], |row| row.get(0))?;
        if !is_known {
            unknown.push(blob);
        }
    }
    Ok(unknown)
}

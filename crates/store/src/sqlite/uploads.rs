//! Uploads: rows that grow, and become assets with their last byte.

use rusqlite::{Connection, OptionalExtension, Row, params};
use telstar_units::{AccountId, AssetName, BlobName, UploadName, WallTime};

use super::accounts::{account, check_count};
use super::assets;
use crate::{
    Advanced, Asset, NewAsset, NewUpload, Quota, StoreError, UPLOAD_METADATA_LEN_MAX, UPLOADS_PER_ACCOUNT_MAX, Upload,
    UploadId, UploadKind,
};

const COLUMNS: &str = "u.id, u.name, u.owner, u.blob, u.len, u.stored, u.metadata, u.kind, u.parts, a.name, u.created_at, \
                       u.expires_at";
/// Parts that were joined may be joined again for so long; then their room is free, whenever they would have expired.
const JOINED_KEPT_MICROS: i64 = 3_600 * 1_000_000;
/// Uploads that one call gives up.
const EXPIRED_MAX: i64 = 100;

fn read_upload(row: &Row<'_>) -> rusqlite::Result<Upload> {
    let kind: String = row.get(7)?;
    let parts: String = row.get(8)?;
    Ok(Upload {
        id: UploadId(row.get(0)?),
        name: assets::name(row, 1, UploadName::parse)?,
        owner: AccountId(row.get(2)?),
        blob: assets::name(row, 3, BlobName::parse)?,
        len: row.get::<_, Option<i64>>(4)?.map(|len| len as u64),
        stored: row.get::<_, i64>(5)? as u64,
        metadata: row.get(6)?,
        // The column's CHECK allows three values.
        kind: match kind.as_str() {
            "whole" => UploadKind::Whole,
            "part" => UploadKind::Part,
            _ => UploadKind::Final,
        },
        parts: parts.lines().filter_map(|part| UploadName::parse(part).ok()).collect(),
        asset: match row.get::<_, Option<String>>(9)? {
            Some(_) => Some(assets::name(row, 9, AssetName::parse)?),
            None => None,
        },
        created_at: WallTime(row.get(10)?),
        expires_at: WallTime(row.get(11)?),
    })
}

fn word(kind: UploadKind) -> &'static str {
    match kind {
        UploadKind::Whole => "whole",
        UploadKind::Part => "part",
        UploadKind::Final => "final",
    }
}

pub(super) fn upload(connection: &Connection, name: &UploadName) -> Result<Option<Upload>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM uploads u LEFT JOIN assets a ON a.id = u.asset WHERE u.name = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([name.as_str()], read_upload).optional()?)
}

fn existing(connection: &Connection, name: &UploadName) -> Result<Upload, StoreError> {
    upload(connection, name)?.ok_or(StoreError::NotFound("upload"))
}

pub(super) fn create(
    connection: &Connection,
    upload: &NewUpload,
    owner: AccountId,
    quota: Quota,
    now: WallTime,
) -> Result<Upload, StoreError> {
    if account(connection, owner)?.is_none() {
        return Err(StoreError::NotFound("account"));
    }
    if upload.metadata.len() > UPLOAD_METADATA_LEN_MAX {
        return Err(StoreError::Limit { what: "bytes of metadata", max: UPLOAD_METADATA_LEN_MAX });
    }
    let count = connection
        .prepare_cached("SELECT count(*) FROM uploads WHERE owner = ?1")?
        .query_row([owner.0], |row| row.get(0))?;
    check_count(count, UPLOADS_PER_ACCOUNT_MAX, "uploads of one account")?;
    assets::check_quota(connection, owner, upload.len.unwrap_or(0), quota)?;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO uploads (name, owner, blob, len, stored, metadata, kind, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            upload.name.as_str(),
            owner.0,
            upload.blob.as_str(),
            upload.len.map(|len| len as i64),
            upload.metadata,
            word(upload.kind),
            now.0,
            upload.expires_at.0,
        ])?;
    if inserted == 0 {
        return Err(StoreError::Conflict("upload"));
    }
    existing(connection, &upload.name)
}

pub(super) fn create_final(
    connection: &Connection,
    upload: &NewUpload,
    parts: &[UploadName],
    asset: &NewAsset,
    owner: AccountId,
    quota: Quota,
    now: WallTime,
) -> Result<Advanced, StoreError> {
    let mut len: u64 = 0;
    for part in parts {
        let part = upload_of(connection, part, owner)?;
        // What has been given up meanwhile is not a part any more.
        if part.kind != UploadKind::Part || !part.is_complete() {
            return Err(StoreError::Invalid("part of an upload"));
        }
        len = len.saturating_add(part.stored);
    }
    if upload.len != Some(len) || asset.len != len || upload.blob != asset.blob {
        return Err(StoreError::Invalid("length of an upload"));
    }
    create(connection, upload, owner, quota, now)?;
    let names: Vec<&str> = parts.iter().map(UploadName::as_str).collect();
    connection.prepare_cached("UPDATE uploads SET stored = ?2, parts = ?3 WHERE name = ?1")?.execute(params![
        upload.name.as_str(),
        len as i64,
        names.join("\n")
    ])?;
    let until = now.plus_micros(JOINED_KEPT_MICROS);
    for part in &names {
        connection
            .prepare_cached("UPDATE uploads SET expires_at = min(expires_at, ?2) WHERE name = ?1")?
            .execute(params![part, until.0])?;
    }
    let asset = become_asset(connection, &upload.name, asset, owner, now)?;
    Ok(Advanced { upload: existing(connection, &upload.name)?, asset: Some(asset) })
}

/// Another account's is as good as none.
fn upload_of(connection: &Connection, name: &UploadName, owner: AccountId) -> Result<Upload, StoreError> {
    existing(connection, name)
        .and_then(|upload| if upload.owner == owner { Ok(upload) } else { Err(StoreError::NotFound("upload")) })
}

pub(super) fn set_len(
    connection: &Connection,
    name: &UploadName,
    len: u64,
    quota: Quota,
) -> Result<Upload, StoreError> {
    let upload = existing(connection, name)?;
    if upload.len.is_some() {
        return Err(StoreError::Conflict("length"));
    }
    if len < upload.stored {
        return Err(StoreError::Invalid("length of an upload"));
    }
    assets::check_quota(connection, upload.owner, len - upload.stored, quota)?;
    connection
        .prepare_cached("UPDATE uploads SET len = ?2 WHERE name = ?1")?
        .execute(params![name.as_str(), len as i64])?;
    existing(connection, name)
}

pub(super) fn advance(
    connection: &Connection,
    name: &UploadName,
    (from, to): (u64, u64),
    expires_at: WallTime,
    asset: Option<&NewAsset>,
    quota: Quota,
    now: WallTime,
) -> Result<Advanced, StoreError> {
    let upload = existing(connection, name)?;
    if upload.stored != from || to < from {
        return Err(StoreError::Conflict("offset"));
    }
    match upload.len {
        Some(len) if to > len => return Err(StoreError::Invalid("offset")),
        // Nothing was set aside for it.
        None => assets::check_quota(connection, upload.owner, to - from, quota)?,
        Some(_) => {}
    }
    connection.prepare_cached("UPDATE uploads SET stored = ?2, expires_at = ?3 WHERE name = ?1")?.execute(params![
        name.as_str(),
        to as i64,
        expires_at.0
    ])?;
    let is_done = upload.len == Some(to) && upload.kind == UploadKind::Whole && upload.asset.is_none();
    let asset = match asset.filter(|_| is_done) {
        Some(asset) if asset.blob == upload.blob && asset.len == to => {
            Some(become_asset(connection, name, asset, upload.owner, now)?)
        }
        Some(_) => return Err(StoreError::Invalid("asset of an upload")),
        None => None,
    };
    Ok(Advanced { upload: existing(connection, name)?, asset })
}

/// The bytes are the asset's from here on; the row stays for a client that did not hear it.
fn become_asset(
    connection: &Connection,
    name: &UploadName,
    asset: &NewAsset,
    owner: AccountId,
    now: WallTime,
) -> Result<Asset, StoreError> {
    let asset = assets::insert(connection, asset, owner, now)?;
    connection
        .prepare_cached("UPDATE uploads SET asset = ?2 WHERE name = ?1")?
        .execute(params![name.as_str(), asset.id.0])?;
    Ok(asset)
}

pub(super) fn delete(connection: &Connection, name: &UploadName) -> Result<Upload, StoreError> {
    let upload = existing(connection, name)?;
    connection.prepare_cached("DELETE FROM uploads WHERE name = ?1")?.execute([name.as_str()])?;
    Ok(upload)
}

pub(super) fn delete_expired(connection: &Connection, now: WallTime) -> Result<Vec<Upload>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM uploads u LEFT JOIN assets a ON a.id = u.asset
         WHERE u.expires_at <= ?1 ORDER BY u.expires_at LIMIT ?2"
    );
    let rows: Result<Vec<Upload>, _> =
        connection.prepare_cached(&sql)?.query_map([now.0, EXPIRED_MAX], read_upload)?.collect();
    let rows = rows?;
    for upload in &rows {
        connection.prepare_cached("DELETE FROM uploads WHERE id = ?1")?.execute([upload.id.0])?;
    }
    Ok(rows)
}

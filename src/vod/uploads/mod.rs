//! Uploads: bytes become blobs as they come, and assets with the last of them.
//!
//! In: what the door has read of a request. Out: the upload as the store knows it. What is acknowledged is on disk;
//! what is not is cut off when somebody goes on. HTTP's words are `tus`'s.

pub mod body;
mod error;
pub mod linger;
pub mod places;
mod take;
pub mod writers;

use std::sync::Arc;
use std::time::Duration;

use telstar_store::{Advanced, BlobError, Blobs, NewAsset, NewUpload, Quota, StoreError, Upload, UploadKind};
use telstar_units::{AccountId, AssetName, BlobName, UploadName, WallTime};
use tokio::sync::oneshot;
use tracing::warn;

pub use self::error::UploadError;
use self::places::Places;
use self::writers::{Turn, Writers};
use super::{Means, draw};

/// What may be uploaded.
#[derive(Clone, Copy, Debug)]
pub struct UploadLimits {
    /// Whether anything is uploaded.
    pub is_on: bool,
    /// Bytes of one upload.
    pub bytes_max: u64,
    /// What accounts may take.
    pub quota: Quota,
    /// Bytes that stay free on disk.
    pub free_bytes_min: u64,
    /// An upload that nobody goes on with is given up after this.
    pub expires_after: Duration,
}

/// Whoever takes uploads. Cheap to clone.
#[derive(Clone)]
pub struct Uploads {
    means: Means,
    writers: Writers,
    places: Places,
    limits: UploadLimits,
}

/// What a new upload is.
pub struct Create {
    /// Whose it is.
    pub owner: AccountId,
    /// How long it will be, if that was told.
    pub len: Option<u64>,
    /// What the client says of it.
    pub metadata: String,
    /// What it is called as an asset.
    pub title: String,
    /// It is a part of another.
    pub is_part: bool,
}

impl Uploads {
    /// Uploads, as far as they are allowed.
    pub fn new(means: Means, limits: UploadLimits) -> Uploads {
        Uploads { means, writers: Writers::default(), places: Places::default(), limits }
    }

    /// What may be uploaded.
    pub fn limits(&self) -> &UploadLimits {
        &self.limits
    }

    fn expires_at(&self) -> WallTime {
        let after = i64::try_from(self.limits.expires_after.as_micros()).unwrap_or(i64::MAX);
        self.means.authority.now().plus_micros(after)
    }

    /// Does it to the end, even when whoever waits for it is dropped with its connection: nothing is left half done.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, UploadError>> + Send + 'static,
    ) -> Result<T, UploadError> {
        let (answer, answered) = oneshot::channel();
        self.means.tasks.spawn("upload", async move {
            // The client may have gone.
            let _ = answer.send(work.await);
        });
        answered.await.unwrap_or(Err(UploadError::Store(StoreError::Closed)))
    }

    /// Runs what may block.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Blobs) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, UploadError> {
        let blobs = Arc::clone(&self.means.blobs);
        Ok(self.means.tasks.blocking(move || work(&*blobs)).await?)
    }

    /// Whether so much more leaves enough of the disk free.
    async fn check_disk(&self, more: u64) -> Result<(), UploadError> {
        let free = self.on_disk(|blobs| blobs.free_bytes()).await?;
        let needed = self.limits.free_bytes_min.saturating_add(more);
        if free.is_some_and(|free| free < needed) { Err(UploadError::DiskFull) } else { Ok(()) }
    }

    fn check_on(&self) -> Result<(), UploadError> {
        if self.limits.is_on { Ok(()) } else { Err(UploadError::Off) }
    }

    fn check_len(&self, len: u64) -> Result<(), UploadError> {
        let max = self.limits.bytes_max;
        if len > max { Err(UploadError::TooLarge(max)) } else { Ok(()) }
    }

    /// Makes an upload. One of no bytes is whole at once.
    pub async fn create(&self, create: Create) -> Result<Upload, UploadError> {
        let uploads = self.clone();
        self.to_the_end(async move { uploads.make(create).await }).await
    }

    async fn make(&self, create: Create) -> Result<Upload, UploadError> {
        self.check_on()?;
        let len = create.len;
        len.map_or(Ok(()), |len| self.check_len(len))?;
        self.check_disk(len.unwrap_or(0)).await?;
        let (name, blob) = (draw(UploadName::parse)?, draw(BlobName::parse)?);
        let made = blob.clone();
        self.on_disk(move |blobs| blobs.create(&made)).await?;
        let kind = if create.is_part { UploadKind::Part } else { UploadKind::Whole };
        let metadata = create.metadata;
        let new =
            NewUpload { name: name.clone(), blob: blob.clone(), len, metadata, kind, expires_at: self.expires_at() };
        let quota = self.limits.quota;
        match self.means.store.create_upload(new, create.owner, quota, self.means.authority.now()).await {
            Ok(upload) if len == Some(0) => Ok(self.advance(&upload, 0, &create.title).await?.upload),
            Ok(upload) => Ok(upload),
            Err(error) => {
                self.discard(vec![blob]).await;
                Err(error.into())
            }
        }
    }

    /// The upload, as far as every byte of it is on disk: whoever writes into it gives way first.
    pub async fn read(&self, name: &UploadName, owner: AccountId) -> Result<(Upload, Turn), UploadError> {
        // Before the turn is taken, so that nobody disturbs another's upload.
        self.find(name, owner).await?;
        let turn = self.writers.take(name).await?;
        Ok((self.find(name, owner).await?, turn))
    }

    async fn find(&self, name: &UploadName, owner: AccountId) -> Result<Upload, UploadError> {
        let found = self.means.store.upload(name.clone()).await?.filter(|upload| upload.owner == owner);
        let upload = found.ok_or(UploadError::NotFound)?;
        if upload.expires_at <= self.means.authority.now() { Err(UploadError::Gone) } else { Ok(upload) }
    }

    /// Says how long it will be.
    pub async fn set_len(&self, upload: &Upload, len: u64) -> Result<Upload, UploadError> {
        self.check_len(len)?;
        self.check_disk(len - upload.stored.min(len)).await?;
        let told = self.means.store.set_upload_len(upload.name.clone(), len, self.limits.quota).await;
        told.map_err(|error| match error {
            StoreError::Conflict("length") | StoreError::Invalid(_) => UploadError::TooLong,
            error => error.into(),
        })
    }

    /// Acknowledges what is on disk. With the last byte there is an asset.
    async fn advance(&self, upload: &Upload, to: u64, title: &str) -> Result<Advanced, UploadError> {
        let is_last = upload.len == Some(to) && upload.kind == UploadKind::Whole && upload.asset.is_none();
        let asset = is_last.then(|| self.new_asset(upload.blob.clone(), to, title)).transpose()?;
        let span = (upload.stored, to);
        let (name, quota) = (upload.name.clone(), self.limits.quota);
        let advanced = self
            .means
            .store
            .advance_upload(name, span, self.expires_at(), asset, quota, self.means.authority.now())
            .await?;
        if let Some(asset) = &advanced.asset {
            self.made(&asset.name);
        }
        Ok(advanced)
    }

    /// There is an asset to work on.
    fn made(&self, asset: &AssetName) {
        self.means.listings.changed(asset);
        self.means.has_work.notify_one();
    }

    fn new_asset(&self, blob: BlobName, len: u64, title: &str) -> Result<NewAsset, UploadError> {
        Ok(NewAsset { name: draw(AssetName::parse)?, title: title.to_owned(), blob, len, work: String::new() })
    }

    /// Makes one upload of parts.
    pub async fn join(&self, create: Create, parts: Vec<UploadName>) -> Result<Upload, UploadError> {
        let uploads = self.clone();
        self.to_the_end(async move { uploads.concat(create, parts).await }).await
    }

    async fn concat(&self, create: Create, parts: Vec<UploadName>) -> Result<Upload, UploadError> {
        self.check_on()?;
        let mut blobs = Vec::new();
        let mut len: u64 = 0;
        for part in &parts {
            let (part, _turn) = self.read(part, create.owner).await?;
            if part.kind != UploadKind::Part || !part.is_complete() {
                return Err(StoreError::Invalid("part of an upload").into());
            }
            len = len.saturating_add(part.stored);
            blobs.push(part.blob);
        }
        self.check_len(len)?;
        self.check_disk(len).await?;
        let (name, blob) = (draw(UploadName::parse)?, draw(BlobName::parse)?);
        let to = blob.clone();
        self.on_disk(move |store| store.concat(&blobs, &to)).await.map_err(|error| match error {
            // It was given up meanwhile.
            UploadError::Blob(BlobError::NotFound) => UploadError::NotFound,
            error => error,
        })?;
        let kind = UploadKind::Final;
        let metadata = create.metadata;
        let new = NewUpload { name, blob: blob.clone(), len: Some(len), metadata, kind, expires_at: self.expires_at() };
        let asset = self.new_asset(blob.clone(), len, &create.title)?;
        let (quota, now) = (self.limits.quota, self.means.authority.now());
        match self.means.store.create_final_upload(new, parts, asset, create.owner, quota, now).await {
            Ok(made) => {
                made.asset.iter().for_each(|asset| self.made(&asset.name));
                Ok(made.upload)
            }
            Err(error) => {
                self.discard(vec![blob]).await;
                Err(error.into())
            }
        }
    }

    /// Gives an upload up. What it has become stays.
    pub async fn delete(&self, name: &UploadName, owner: AccountId) -> Result<(), UploadError> {
        let (uploads, name) = (self.clone(), name.clone());
        self.to_the_end(async move {
            let (_, _turn) = uploads.read(&name, owner).await?;
            uploads.forget(&name).await;
            Ok(())
        })
        .await
    }

    async fn forget(&self, name: &UploadName) {
        match self.means.store.delete_upload(name.clone()).await {
            Ok(upload) if upload.asset.is_none() => self.discard(vec![upload.blob]).await,
            Ok(_) | Err(StoreError::NotFound(_)) => {}
            Err(error) => warn!(%error, "an upload could not be given up; it expires"),
        }
    }

    /// Frees what no record names any more. What cannot be removed is swept at the next start.
    pub async fn discard(&self, freed: Vec<BlobName>) {
        let removed = self.on_disk(move |blobs| freed.iter().try_for_each(|blob| blobs.delete(blob))).await;
        if let Err(error) = removed {
            warn!(%error, "a blob could not be removed; it is swept at the next start");
        }
    }

    /// Gives up what nobody went on with.
    pub async fn expire(&self) -> Result<(), UploadError> {
        loop {
            let gone = self.means.store.delete_expired_uploads(self.means.authority.now()).await?;
            if gone.is_empty() {
                return Ok(());
            }
            let blobs = gone.into_iter().filter(|upload| upload.asset.is_none()).map(|upload| upload.blob).collect();
            self.discard(blobs).await;
        }
    }
}

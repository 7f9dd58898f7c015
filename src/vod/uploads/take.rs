//! Bodies of requests become bytes of uploads: appended to one that is there, or as all of a new one.

use std::sync::Arc;

use axum::body::Body;
use telstar_store::{Asset, Upload, UploadKind};
use telstar_units::AccountId;
use tracing::warn;

use super::body::{self, Ask, End, Stored, Target, Word};
use super::writers::Turn;
use super::{Create, UploadError, Uploads};
use crate::vod::Means;
use crate::vod::tus::headers::Checksum;

/// What became of a body.
struct Taken {
    upload: Upload,
    /// It came to its end.
    is_whole: bool,
}

impl Uploads {
    /// Appends a body at `offset`. What came before a connection broke is kept.
    pub async fn append(
        &self,
        upload: Upload,
        turn: Turn,
        offset: u64,
        checksum: Option<Checksum>,
        title: &str,
        body: Body,
    ) -> Result<Upload, UploadError> {
        let (uploads, title) = (self.clone(), title.to_owned());
        let taken = async move { uploads.take(upload, &turn, offset, checksum, &title, body).await };
        Ok(self.to_the_end(taken).await?.upload)
    }

    async fn take(
        &self,
        upload: Upload,
        turn: &Turn,
        offset: u64,
        checksum: Option<Checksum>,
        title: &str,
        body: Body,
    ) -> Result<Taken, UploadError> {
        if upload.kind == UploadKind::Final {
            return Err(UploadError::Final);
        }
        if offset != upload.stored {
            return Err(UploadError::WrongOffset(upload.stored));
        }
        let _place = self.places.take(upload.owner)?;
        self.check_disk(0).await?;
        let max = self.len_max(&upload).await?;
        let _counted = self.means.metrics.vod_uploads_count.enter();
        let (blob, from) = (upload.blob.clone(), upload.stored);
        let writer = self.on_disk(move |blobs| blobs.append(&blob, from)).await?;
        let target = Target { writer, from, max, checksum };
        let latest = Arc::new(tokio::sync::Mutex::new(upload));
        let answer = |ask| {
            let latest = Arc::clone(&latest);
            async move {
                let len = match ask {
                    Ask::OnDisk(len) => len,
                    Ask::GoOn => return self.check_disk(0).await.map_or_else(Word::Enough, |()| Word::More),
                };
                let mut upload = latest.lock().await;
                match self.advance(&upload, len, title).await {
                    Ok(advanced) => *upload = advanced.upload,
                    Err(error) => return Word::Refused(error),
                }
                Word::More
            }
        };
        let Means { tasks, metrics, .. } = &self.means;
        let Stored { len, end } = body::store(tasks, &metrics.vod_received_bytes, turn, target, body, answer).await;
        let upload = latest.lock().await.clone();
        let (is_whole, enough) = match end {
            End::Whole => (true, None),
            End::Broken => (false, None),
            End::Enough(error) => (false, Some(error)),
            End::TooLong if upload.len.is_some() => return Err(UploadError::TooLong),
            End::TooLong if max < self.limits.bytes_max => return Err(UploadError::NoRoom),
            End::TooLong => return Err(UploadError::TooLarge(self.limits.bytes_max)),
            End::Mismatch => return Err(UploadError::Mismatch),
            End::Failed(error) => return Err(error.into()),
            End::Refused(error) => return Err(error),
        };
        match self.advance(&upload, len, title).await {
            Ok(advanced) => enough.map_or(Ok(Taken { upload: advanced.upload, is_whole }), Err),
            Err(error) => {
                // What cannot be acknowledged takes no room.
                let cut = self.on_disk(move |blobs| blobs.append(&upload.blob, upload.stored).map(drop)).await;
                if let Err(error) = cut {
                    warn!(%error, "bytes that nobody was told of stay until somebody goes on");
                }
                Err(error)
            }
        }
    }

    /// How long it may become. What was told has its room.
    async fn len_max(&self, upload: &Upload) -> Result<u64, UploadError> {
        match upload.len {
            Some(len) => Ok(len),
            None => {
                let left = self.means.store.quota_left(upload.owner, self.limits.quota).await?;
                Ok(upload.stored.saturating_add(left).min(self.limits.bytes_max))
            }
        }
    }

    /// Takes a whole body as an asset. Of one that breaks off nothing stays, even when whoever waits for the answer is
    /// gone.
    pub async fn whole_body(
        &self,
        owner: AccountId,
        title: String,
        body: Body,
        len: Option<u64>,
    ) -> Result<Asset, UploadError> {
        let create = Create { owner, len, metadata: String::new(), title: title.clone(), is_part: false };
        let uploads = self.clone();
        self.to_the_end(async move {
            let upload = uploads.make(create).await?;
            let name = upload.name.clone();
            let outcome = uploads.fill(upload, &title, body).await;
            if outcome.is_err() {
                uploads.forget(&name).await;
            }
            outcome
        })
        .await
    }

    /// Fills an upload that ends with its first request.
    async fn fill(&self, mut upload: Upload, title: &str, body: Body) -> Result<Asset, UploadError> {
        if !upload.is_complete() {
            let turn = self.writers.take(&upload.name).await?;
            let taken = self.take(upload, &turn, 0, None, title, body).await?;
            if !taken.is_whole {
                return Err(UploadError::Broken);
            }
            upload = taken.upload;
        }
        if upload.len.is_none() {
            // It is known now.
            upload = self.set_len(&upload, upload.stored).await?;
            upload = self.advance(&upload, upload.stored, title).await?.upload;
        }
        let asset = upload.asset.ok_or(UploadError::Broken)?;
        self.means.store.asset(asset).await?.ok_or(UploadError::NotFound)
    }
}

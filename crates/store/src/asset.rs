//! Uploads, assets and the durable work on them.
//!
//! Bytes lie in blobs ([`crate::Blobs`]) whose names stand in rows. A blob is on disk before a row names it, and goes after the last
//! row that named it is gone: so a crash leaves blobs that nobody names, which are swept, and never a row without its bytes.

use telstar_units::{AccountId, AssetName, BlobName, UploadName, WallTime};

use crate::job::{Attempt, Class, Failure, Job};
use crate::{AssetId, JobId, UploadId};

/// What an account may take, and what everybody may take together, in bytes of blobs. What an upload will take counts from its
/// beginning on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Of one account.
    pub account_bytes_max: u64,
    /// Of all.
    pub total_bytes_max: u64,
}

/// What an upload is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UploadKind {
    /// An asset of its own.
    Whole,
    /// A part of another upload.
    Part,
    /// It was made of parts.
    Final,
}

/// An upload to be made. Nothing of it is there yet.
#[derive(Clone)]
pub struct NewUpload {
    /// What its address says.
    pub name: UploadName,
    /// Where its bytes will be.
    pub blob: BlobName,
    /// How many there will be, if that was told.
    pub len: Option<u64>,
    /// What the client says of it, as the door has read it.
    pub metadata: String,
    /// What it is to become.
    pub kind: UploadKind,
    /// When it is given up.
    pub expires_at: WallTime,
}

/// An upload.
#[derive(Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its number.
    pub id: UploadId,
    /// What its address says.
    pub name: UploadName,
    /// Whose it is.
    pub owner: AccountId,
    /// Where its bytes are.
    pub blob: BlobName,
    /// How many there will be, if that was told.
    pub len: Option<u64>,
    /// How many were acknowledged.
    pub stored: u64,
    /// What the client says of it.
    pub metadata: String,
    /// What it is to become.
    pub kind: UploadKind,
    /// Names of the parts that it was made of.
    pub parts: Vec<UploadName>,
    /// What it has become.
    pub asset: Option<AssetName>,
    /// When it was made.
    pub created_at: WallTime,
    /// When it is given up.
    pub expires_at: WallTime,
}

impl Upload {
    /// Everything is there.
    pub fn is_complete(&self) -> bool {
        self.len == Some(self.stored)
    }
}

/// An asset to be made of bytes that are on disk.
#[derive(Clone)]
pub struct NewAsset {
    /// What its addresses say.
    pub name: AssetName,
    /// What its owner calls it.
    pub title: String,
    /// Where its source is.
    pub blob: BlobName,
    /// How long that is.
    pub len: u64,
    /// The first job's work.
    pub work: String,
}

/// How an asset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AssetState {
    /// Nothing of it is whole yet; what is there can be watched.
    Processing,
    /// It can be watched from its beginning to its end.
    Ready,
    /// It cannot be watched, and will not be.
    Failed,
}

/// A video on demand.
#[derive(Clone, PartialEq, Eq)]
pub struct Asset {
    /// Its number.
    pub id: AssetId,
    /// What its addresses say.
    pub name: AssetName,
    /// Whose it is.
    pub owner: AccountId,
    /// What its owner calls it.
    pub title: String,
    /// Whether whoever has the link may watch it.
    pub open: bool,
    /// The origins whose pages may frame it.
    pub embed_origins: Vec<String>,
    /// How it is.
    pub state: AssetState,
    /// Where its source is.
    pub source: BlobName,
    /// How long that is.
    pub source_len: u64,
    /// What the probe found, as the caller wrote it down; empty until then.
    pub facts: String,
    /// Why it failed, for people; empty unless it did.
    pub problem: String,
    /// When it was made.
    pub created_at: WallTime,
    /// When it could be watched from its beginning to its end.
    pub ready_at: Option<WallTime>,
    /// When anything of it changed last.
    pub updated_at: WallTime,
}

/// A change to an asset: `None` leaves a field as it is.
#[derive(Clone, Default)]
pub struct AssetChange {
    /// The new title.
    pub title: Option<String>,
    /// Whether whoever has the link may watch.
    pub open: Option<bool>,
    /// The origins whose pages may frame it.
    pub embed_origins: Option<Vec<String>>,
}

/// Whose assets a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetsOf {
    /// One account's.
    Owner(AccountId),
    /// Everybody's.
    Everyone,
}

/// What the last byte of an upload made of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Advanced {
    /// The upload as it is now.
    pub upload: Upload,
    /// What it has become with this.
    pub asset: Option<Asset>,
}

/// What a job does to its asset when it comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// It finds out what the source is. If it fails, the asset does.
    Probe,
    /// It makes the asset playable. If it fails, the asset does.
    First,
    /// It makes more renditions.
    More,
    /// It makes the poster and the storyboard.
    Images,
}

/// Where a job is that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpenState {
    /// Others must be done before it.
    Blocked,
    /// It waits for its turn.
    Ready,
    /// Somebody works on it.
    Leased,
    /// It was given up.
    Failed,
    /// Its owner did not want it any more.
    Cancelled,
}

/// A job to be made.
#[derive(Clone)]
pub struct NewJob {
    /// What it does to its asset.
    pub kind: JobKind,
    /// How urgent it is.
    pub class: Class,
    /// What is to be done, as the caller wrote it down.
    pub work: String,
    /// Which of the jobs that are made with it have to be done before, by their places in the list.
    pub after: Vec<usize>,
}

/// A job.
#[derive(Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// Its number.
    pub id: JobId,
    /// What it is on.
    pub asset: AssetName,
    /// Whose asset that is.
    pub owner: AccountId,
    /// What it does to its asset.
    pub kind: JobKind,
    /// How urgent it is.
    pub class: Class,
    /// What is to be done.
    pub work: String,
    /// Where it is.
    pub job: Job,
    /// How far the current attempt was when it last said so, of 10,000.
    pub progress: u16,
    /// Why the last attempt ended without a result, for people.
    pub problem: String,
    /// Since when it is wanted.
    pub wanted_at: WallTime,
    /// When it changed last.
    pub updated_at: WallTime,
}

/// An attempt at a job.
#[derive(Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Its number.
    pub attempt: Attempt,
    /// When it began.
    pub began_at: WallTime,
    /// When it ended.
    pub ended_at: Option<WallTime>,
    /// How it ended, in words; empty while it lasts.
    pub outcome: String,
    /// What its worker said.
    pub log: String,
}

/// The next thing to do.
#[derive(Clone, PartialEq, Eq)]
pub enum NextJob {
    /// Do this one now, under this number.
    Leased(Box<JobRecord>, Attempt),
    /// Nothing before then.
    At(WallTime),
    /// Nothing waits for a time.
    Nothing,
}

/// A rendition that an attempt made.
#[derive(Clone)]
pub struct NewRendition {
    /// What its address says.
    pub name: String,
    /// Where its bytes are.
    pub blob: BlobName,
    /// How many.
    pub len: u64,
    /// What it is, as the caller wrote it down.
    pub facts: String,
    /// What is where in it, likewise.
    pub index: Vec<u8>,
}

/// A rendition of an asset.
#[derive(Clone, PartialEq, Eq)]
pub struct RenditionRecord {
    /// What its address says.
    pub name: String,
    /// Where its bytes are.
    pub blob: BlobName,
    /// How many.
    pub len: u64,
    /// What it is.
    pub facts: String,
    /// What is where in it.
    pub index: Vec<u8>,
    /// When it was committed.
    pub committed_at: WallTime,
}

/// What an attempt came to: all of it becomes true with the job's end, or nothing.
#[derive(Clone, Default)]
pub struct Completion {
    /// What the probe found.
    pub facts: Option<String>,
    /// What was made. One of a name that is there takes its place.
    pub renditions: Vec<NewRendition>,
    /// What is to be done next on the same asset.
    pub jobs: Vec<NewJob>,
    /// What the worker said.
    pub log: String,
}

/// What the end of an attempt left behind.
#[derive(Clone, PartialEq, Eq)]
pub struct Completed {
    /// The asset as it is now.
    pub asset: Asset,
    /// Blobs that nobody names any more.
    pub freed: Vec<BlobName>,
}

/// How an attempt ended without a result.
#[derive(Clone)]
pub struct AttemptFailure {
    /// Whether another may do better.
    pub failure: Failure,
    /// Why, for people.
    pub problem: String,
    /// What the worker said.
    pub log: String,
}

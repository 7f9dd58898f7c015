//! The records and their limits. Titles, labels and names are user content, hashes are secrets' shadows:
//! none of these types has `Debug`.

use telstar_units::{AccountId, AssetName, RoomName, WallTime};

/// Rooms of one account. More: a longer list for one owner; fewer: an app with a room per event stops creating. Guess.
pub const ROOMS_PER_ACCOUNT_MAX: usize = 1_000;
/// Stream keys of one room that are not revoked. A room has one per encoder; more only hides a leaked one. Guess.
pub const STREAM_KEYS_PER_ROOM_MAX: usize = 20;
/// Signed-in browsers of one account. One more signs the oldest out, so a person is never locked out. Guess.
pub const SESSIONS_PER_ACCOUNT_MAX: usize = 100;
/// Sign-in codes of one account that are neither used nor expired. One more voids the oldest. Guess.
pub const SIGN_IN_CODES_PER_ACCOUNT_MAX: usize = 20;
/// API tokens of one account that have not expired. A script that mints one per run in a loop meets it. Guess.
pub const API_TOKENS_PER_ACCOUNT_MAX: usize = 1_000;
/// API keys of one account that are not revoked. Guess.
pub const API_KEYS_PER_ACCOUNT_MAX: usize = 100;
/// Origins that may frame a room. They stand in a response header, so it must stay short. Guess.
pub const EMBED_ORIGINS_MAX: usize = 32;
/// The longest origin in bytes: a host name has at most 253 (RFC 1035 §2.3.4), scheme and port come on top.
pub const EMBED_ORIGIN_LEN_MAX: usize = 270;
/// The longest label, account name or subject in bytes.
pub const TEXT_LEN_MAX: usize = 512;
/// Events kept for readers that are behind; older ones are dropped, and a reader learns it from a gap in the numbers.
pub const EVENTS_KEPT_MAX: i64 = 10_000;
/// How long a revoked stream key stays, so that an encoder that still uses it can be told why it fails.
pub const REVOKED_KEPT_SECS: i64 = 30 * 86_400;
/// Invites of one room that have not expired. A link for each guest of a large meeting fits; one more is refused. Guess.
pub const INVITES_PER_ROOM_MAX: usize = 1_000;
/// Webhooks of one account. Each event of its rooms is written once for each of them. Guess.
pub const WEBHOOKS_PER_ACCOUNT_MAX: usize = 20;
/// The longest address of a webhook in bytes. RFC 9110 §4.1 recommends to support 8,000; real ones have a hundred.
pub const WEBHOOK_URL_LEN_MAX: usize = 2_048;
/// The largest body of a webhook delivery in bytes: a participant with its metadata takes a few KiB.
pub const WEBHOOK_BODY_LEN_MAX: usize = 64 * 1024;
/// Deliveries that wait for one webhook. Beyond it the oldest fail: more keep an endpoint's longer absence, at 1 KiB each.
pub const WEBHOOK_PENDING_MAX: usize = 10_000;
/// Deliveries of one webhook that have ended and are kept for looking at. Guess.
pub const WEBHOOK_FINISHED_KEPT_MAX: usize = 1_000;
/// How long a delivery that has ended stays, for looking at.
pub const WEBHOOK_FINISHED_KEPT_SECS: i64 = 7 * 86_400;
/// Uploads of one account that are not given up, with those that have become assets until they expire. Guess.
pub const UPLOADS_PER_ACCOUNT_MAX: usize = 1_000;
/// The longest that a client may say of an upload, in bytes as the door writes it down.
pub const UPLOAD_METADATA_LEN_MAX: usize = 128 * 1024;
/// Assets of one account. Guess.
pub const ASSETS_PER_ACCOUNT_MAX: usize = 100_000;
/// Renditions of one asset: two tasks' outputs, and what is made anew by hand.
pub const RENDITIONS_PER_ASSET_MAX: usize = 64;
/// Jobs of one asset, those included that have ended. Each rendition that is made anew by hand is one.
pub const JOBS_PER_ASSET_MAX: usize = 200;
/// The longest that is written down of what a job is to do, in bytes: the keyframes of a day are in it.
pub const JOB_WORK_LEN_MAX: usize = 8 * 1024 * 1024;
/// The end of what a worker said that is kept of each attempt, in bytes.
pub const JOB_LOG_LEN_MAX: usize = 16 * 1024;
/// The most records that one page holds; a request for more gets this many.
pub const PAGE_LIMIT_MAX: usize = 100;

const _: () = assert!(STREAM_KEYS_PER_ROOM_MAX <= PAGE_LIMIT_MAX, "a room's keys fit one page");

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);
    };
}

id! {
    /// A room's number. It is never used again, so a new room of an old name is a different room.
    RoomId
}
id! {
    /// A stream key's public number.
    StreamKeyId
}
id! {
    /// A signed-in browser.
    SessionId
}
id! {
    /// An API token's public number.
    ApiTokenId
}
id! {
    /// A row of the principals table.
    PrincipalId
}
id! {
    /// An event's number: it only grows.
    EventId
}
id! {
    /// Where a page ends and the next begins. Opaque outside the store.
    Cursor
}

id! {
    /// An invite's public number.
    InviteId
}
id! {
    /// A webhook's public number.
    WebhookId
}
id! {
    /// One event's way to one webhook.
    DeliveryId
}
id! {
    /// An upload's number.
    UploadId
}
id! {
    /// An asset's number.
    AssetId
}
id! {
    /// A job's public number.
    JobId
}

/// What an account may do beyond its own things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything on this server.
    Admin,
    /// Its own rooms.
    Member,
}

/// Who signs in.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// How it is called on pages.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: WallTime,
}

/// SHA-256 of a secret of at least 128 random bits. Such a secret needs no slow hash: it cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

/// What a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// A person or an app that has an account here.
    Account,
    /// Somebody that an app vouches for with a room token.
    Identity,
    /// An encoder with a stream key.
    Ingest,
}

/// Who somebody is: equal subjects of two issuers are different people.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PrincipalName {
    /// `local`, or the id of the API key that vouches for the subject.
    pub issuer: String,
    /// The issuer's name for it, such as `account:1`.
    pub subject: String,
    /// What it is.
    pub kind: PrincipalKind,
}

/// What the first start creates, all of it or nothing.
pub struct Founding {
    /// The first account's name.
    pub admin: String,
    /// The key that mints room tokens for the first account.
    pub api_key: NewApiKey,
    /// The first room.
    pub room: NewRoom,
    /// The first room's stream key.
    pub stream_key: NewStreamKey,
}

/// What [`crate::Store::found`] found or made.
pub struct Founded {
    /// The first admin.
    pub admin: Account,
    /// Whether this call made it. If not, nothing was written.
    pub fresh: bool,
}

/// How the media of a room's calls travels. Fixed when the room is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RoomMode {
    /// Through this server's SFU.
    #[default]
    Sfu,
    /// From browser to browser; the server passes on no media.
    P2p,
}

/// A room to be made.
pub struct NewRoom {
    /// Its name, unique on this server.
    pub name: RoomName,
    /// Its title.
    pub title: String,
    /// Whether whoever has the link may watch.
    pub open: bool,
    /// How the media of its calls travels.
    pub mode: RoomMode,
}

/// A room's durable part. What is live in it is not here.
#[derive(Clone, PartialEq, Eq)]
pub struct Room {
    /// Its number.
    pub id: RoomId,
    /// Its name in URLs.
    pub name: RoomName,
    /// Its title.
    pub title: String,
    /// Whose it is.
    pub owner: AccountId,
    /// Whether whoever has the link may watch.
    pub open: bool,
    /// The origins whose pages may frame it.
    pub embed_origins: Vec<String>,
    /// When it was made.
    pub created_at: WallTime,
    /// How the media of its calls travels.
    pub mode: RoomMode,
}

/// A change to a room: `None` leaves a field as it is.
#[derive(Clone, Default)]
pub struct RoomChange {
    /// The new title.
    pub title: Option<String>,
    /// Whether whoever has the link may watch.
    pub open: Option<bool>,
    /// The origins whose pages may frame it.
    pub embed_origins: Option<Vec<String>>,
}

/// Whose rooms a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomsOf {
    /// One account's.
    Owner(AccountId),
    /// Everybody's.
    Everyone,
}

/// A stream key to be made.
pub struct NewStreamKey {
    /// What its owner calls it.
    pub label: String,
    /// Its beginning, for recognising it on a page.
    pub hint: String,
    /// Its public part, by which it is found.
    pub locator: String,
    /// The hash of the whole key.
    pub hash: SecretHash,
}

/// A stream key, without the key.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey {
    /// Its public number.
    pub id: StreamKeyId,
    /// The room it publishes into.
    pub room: RoomId,
    /// Whose it is: the account that made it.
    pub owner: AccountId,
    /// What its owner calls it.
    pub label: String,
    /// Its beginning, for recognising it on a page.
    pub hint: String,
    /// The hash of the whole key.
    pub hash: SecretHash,
    /// When it was made.
    pub created_at: WallTime,
    /// When an encoder last came with it.
    pub last_used_at: Option<WallTime>,
    /// When it was revoked.
    pub revoked_at: Option<WallTime>,
}

/// A bearer secret of an account to be made: a session, a sign-in code or an API token.
#[derive(Clone)]
pub struct NewBearer {
    /// Whose it is.
    pub owner: AccountId,
    /// Its public part, by which it is found.
    pub locator: String,
    /// The hash of the whole secret.
    pub hash: SecretHash,
    /// When it ends.
    pub expires_at: WallTime,
}

/// A bearer secret that is good now, with the account it stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer<Id> {
    /// Its number.
    pub id: Id,
    /// The account it stands for.
    pub account: Account,
    /// The hash of the whole secret, still to be compared.
    pub hash: SecretHash,
    /// When it ends.
    pub expires_at: WallTime,
}

/// An API key to be made.
pub struct NewApiKey {
    /// Its public id, which tokens carry as `iss`.
    pub id: String,
    /// What its owner calls it.
    pub label: String,
    /// The secret, sealed by the caller: the store cannot read it.
    pub sealed_secret: Vec<u8>,
}

/// An API key that is not revoked.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public id.
    pub id: String,
    /// The account whose rights it has.
    pub account: Account,
    /// What its owner calls it.
    pub label: String,
    /// The secret, sealed by the caller.
    pub sealed_secret: Vec<u8>,
    /// When it was made.
    pub created_at: WallTime,
}

/// What happened, written in the same transaction as the thing itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub id: EventId,
    /// Whose thing it happened to.
    pub owner: AccountId,
    /// What happened.
    pub kind: EventKind,
    /// What it happened to.
    pub subject: Subject,
    /// When.
    pub at: WallTime,
}

/// The kinds of [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A room was made.
    RoomCreated,
    /// A room's title, openness or origins changed.
    RoomChanged,
    /// A room and its stream keys are gone.
    RoomDeleted,
    /// A stream key of the room was revoked.
    StreamKeyRevoked,
    /// An asset was made.
    AssetCreated,
    /// An asset's title, openness or origins changed, or it is being made anew.
    AssetChanged,
    /// An asset can be watched from its beginning to its end.
    AssetReady,
    /// An asset cannot be watched.
    AssetFailed,
    /// An asset is gone with all that was of it.
    AssetDeleted,
    /// A job of the asset began or ended.
    JobChanged,
}

impl EventKind {
    /// What it happens to is a room; otherwise an asset.
    pub fn is_about_a_room(self) -> bool {
        use EventKind::{RoomChanged, RoomCreated, RoomDeleted, StreamKeyRevoked};
        matches!(self, RoomCreated | RoomChanged | RoomDeleted | StreamKeyRevoked)
    }
}

/// What an event happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A room, which may be gone.
    Room(RoomName),
    /// An asset, which may be gone.
    Asset(AssetName),
}

impl Subject {
    /// Its name as text.
    pub fn as_str(&self) -> &str {
        match self {
            Subject::Room(name) => name.as_str(),
            Subject::Asset(name) => name.as_str(),
        }
    }
}

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    after: Option<Cursor>,
    limit: usize,
}

impl PageRequest {
    /// The `limit` records after `after`; a limit outside `1..=PAGE_LIMIT_MAX` becomes the nearest end.
    pub fn new(after: Option<Cursor>, limit: usize) -> PageRequest {
        PageRequest { after, limit: limit.clamp(1, PAGE_LIMIT_MAX) }
    }

    /// The first page, as long as a page can be.
    pub fn first() -> PageRequest {
        PageRequest::new(None, PAGE_LIMIT_MAX)
    }

    /// The number after which the page begins.
    pub(crate) fn after(self) -> i64 {
        self.after.map_or(0, |cursor| cursor.0)
    }

    /// How many records to read: one more than the page holds, which tells whether another page follows.
    pub(crate) fn rows(self) -> i64 {
        self.limit as i64 + 1
    }

    /// The page of `rows` that were read with [`Self::rows`].
    pub(crate) fn page<T>(self, mut rows: Vec<T>, cursor: impl Fn(&T) -> i64) -> Page<T> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = rows.last().filter(|_| more).map(|last| Cursor(cursor(last)));
        Page { items: rows, next }
    }
}

/// A part of a list.
pub struct Page<T> {
    /// The records, oldest first.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

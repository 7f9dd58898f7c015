//! The trait. One method is one domain operation and one transaction; no table shows through.

use telstar_units::{AccountId, AssetName, BlobName, RoomName, UploadName, WallTime};

use crate::job::{Attempt, Class};
use crate::{
    Account, Advanced, ApiKey, ApiTokenId, Asset, AssetChange, AssetsOf, AttemptFailure, AttemptOutcome, AttemptRecord,
    Bearer, Completed, Completion, Delivery, DeliveryId, Event, EventId, Founded, Founding, Invite, InviteId, JobId,
    JobRecord, NewApiKey, NewAsset, NewBearer, NewDelivery, NewInvite, NewJob, NewRoom, NewStreamKey, NewUpload,
    NewWebhook, NextDelivery, NextJob, OpenState, Page, PageRequest, Pending, PrincipalId, PrincipalName, Quota,
    RenditionRecord, Room, RoomChange, RoomsOf, SessionId, StreamKey, StreamKeyId, Upload, Webhook, WebhookId,
};

/// Durable records.
///
/// An answer `Ok` follows the commit: what it acknowledges survives a crash of the program and of the machine.
/// Whatever a call reads after such an answer includes it. Writes of one caller happen in the order of the calls.
/// `now` is the caller's wall clock; the store has none.
/// When more requests wait than a backend's queue holds, the call answers [`crate::StoreError::Busy`] at once.
pub trait Store: Send + Sync + 'static {
    /// Answers when the store can serve: it has read from its data.
    fn ping(&self) -> Pending<()>;

    /// Counts a run of a server: 1, 2, 3 and so on, never the same number twice.
    fn begin_run(&self, now: WallTime) -> Pending<u64>;

    /// Makes the first admin, its API key, the first room and its stream key, unless there is an account already.
    fn found(&self, founding: Founding, now: WallTime) -> Pending<Founded>;

    /// The account of the lowest number that is an admin, if the store was founded.
    fn first_admin(&self) -> Pending<Option<Account>>;

    /// An account.
    fn account(&self, id: AccountId) -> Pending<Option<Account>>;

    /// The row of a principal, made at first use. `owner` is the account that answers for it.
    fn principal(&self, name: PrincipalName, owner: AccountId, now: WallTime) -> Pending<PrincipalId>;

    /// Makes a room. Its name must be free and the owner below its limit.
    fn create_room(&self, room: NewRoom, owner: AccountId, now: WallTime) -> Pending<Room>;

    /// A room by its name.
    fn room(&self, name: RoomName) -> Pending<Option<Room>>;

    /// Rooms, in the order of their making.
    fn rooms(&self, of: RoomsOf, page: PageRequest) -> Pending<Page<Room>>;

    /// Changes a room.
    fn change_room(&self, name: RoomName, change: RoomChange, now: WallTime) -> Pending<Room>;

    /// Deletes a room and its stream keys, and returns what it was.
    fn delete_room(&self, name: RoomName, now: WallTime) -> Pending<Room>;

    /// Makes a stream key of a room.
    fn create_stream_key(
        &self,
        room: RoomName,
        key: NewStreamKey,
        owner: AccountId,
        now: WallTime,
    ) -> Pending<StreamKey>;

    /// A room's stream keys that are not revoked, in the order of their making.
    fn stream_keys(&self, room: RoomName, page: PageRequest) -> Pending<Page<StreamKey>>;

    /// The stream key of a locator and its room. It may be revoked, and its hash is still to be compared.
    fn find_stream_key(&self, locator: String) -> Pending<Option<(StreamKey, Room)>>;

    /// Notes that an encoder came with this key. A key that is gone is no error: its encoder leaves by another way.
    fn stream_key_used(&self, id: StreamKeyId, now: WallTime) -> Pending<()>;

    /// Revokes a stream key for good. Revoking it again finds no key.
    fn revoke_stream_key(&self, room: RoomName, id: StreamKeyId, now: WallTime) -> Pending<StreamKey>;

    /// Makes a one-time sign-in code.
    fn create_sign_in_code(&self, code: NewBearer, now: WallTime) -> Pending<()>;

    /// The sign-in code of a locator, if it is unused and has not expired. Its hash is still to be compared.
    fn find_sign_in_code(&self, locator: String, now: WallTime) -> Pending<Option<Bearer<()>>>;

    /// Uses up the sign-in code of `locator` and makes the session, both or neither. Of two calls for one code the
    /// second finds none. The session must belong to the code's account.
    fn redeem_sign_in_code(&self, locator: String, session: NewBearer, now: WallTime) -> Pending<Bearer<SessionId>>;

    /// The session of a locator, if it has not expired. Its hash is still to be compared.
    fn find_session(&self, locator: String, now: WallTime) -> Pending<Option<Bearer<SessionId>>>;

    /// Signs a browser out. A session that is gone is no error.
    fn delete_session(&self, id: SessionId) -> Pending<()>;

    /// Ends every sign-in code, session and API token of an account, and says how many there were.
    fn end_bearers(&self, owner: AccountId) -> Pending<usize>;

    /// Makes an API token.
    fn create_api_token(&self, token: NewBearer, now: WallTime) -> Pending<ApiTokenId>;

    /// The API token of a locator, if it has not expired. Its hash is still to be compared.
    fn find_api_token(&self, locator: String, now: WallTime) -> Pending<Option<Bearer<ApiTokenId>>>;

    /// Makes an API key.
    fn create_api_key(&self, key: NewApiKey, owner: AccountId, now: WallTime) -> Pending<ApiKey>;

    /// An API key that is not revoked.
    fn api_key(&self, id: String) -> Pending<Option<ApiKey>>;

    /// An account's API keys that are not revoked, in the order of their making.
    fn api_keys(&self, owner: AccountId, page: PageRequest) -> Pending<Page<ApiKey>>;

    /// Revokes an API key for good, and with it every token it ever signed.
    fn revoke_api_key(&self, id: String, now: WallTime) -> Pending<()>;

    /// Denies a token until it expires. `owner` is the account that answers for its issuer.
    fn deny_token(&self, issuer: String, jti: String, owner: AccountId, until: WallTime) -> Pending<()>;

    /// Whether a token is denied at `now`.
    fn token_denied(&self, issuer: String, jti: String, now: WallTime) -> Pending<bool>;

    /// Makes an invite to a room.
    fn create_invite(&self, room: RoomName, invite: NewInvite, owner: AccountId, now: WallTime) -> Pending<Invite>;

    /// A room's invites that have not expired, in the order of their making.
    fn invites(&self, room: RoomName, page: PageRequest, now: WallTime) -> Pending<Page<Invite>>;

    /// The invite of a locator and its room, if it has not expired and has a use left. Its hash is still to be
    /// compared.
    fn find_invite(&self, locator: String, now: WallTime) -> Pending<Option<(Invite, Room)>>;

    /// Uses an invite once. Of two calls for its last use the second finds none.
    fn use_invite(&self, id: InviteId, now: WallTime) -> Pending<()>;

    /// Takes an invite back for good.
    fn revoke_invite(&self, room: RoomName, id: InviteId) -> Pending<()>;

    /// Makes a webhook that hears of its owner's rooms.
    fn create_webhook(&self, webhook: NewWebhook, owner: AccountId, now: WallTime) -> Pending<Webhook>;

    /// A webhook.
    fn webhook(&self, id: WebhookId) -> Pending<Option<Webhook>>;

    /// An account's webhooks, in the order of their making.
    fn webhooks(&self, owner: AccountId, page: PageRequest) -> Pending<Page<Webhook>>;

    /// Deletes a webhook with everything that waits for it.
    fn delete_webhook(&self, owner: AccountId, id: WebhookId) -> Pending<()>;

    /// Queues an event of this time for every webhook of its owner that was there and wants it, and says for which. The same
    /// message twice is one.
    fn enqueue_delivery(&self, delivery: NewDelivery, now: WallTime) -> Pending<Vec<WebhookId>>;

    /// Forgets every lease: to be called once, by the server that begins to run. Says for which webhooks something
    /// waits.
    fn release_leases(&self) -> Pending<Vec<WebhookId>>;

    /// Takes the oldest delivery of a webhook that is due, and counts an attempt. Nobody else is given it before
    /// `lease_until`, unless the attempt ends first.
    fn take_delivery(&self, webhook: WebhookId, lease_until: WallTime, now: WallTime) -> Pending<NextDelivery>;

    /// Notes what an attempt came to. An attempt that is not the newest any more is not found, and changes nothing.
    fn finish_attempt(&self, id: DeliveryId, attempt: u32, outcome: AttemptOutcome, now: WallTime) -> Pending<()>;

    /// The newest deliveries of a webhook, newest first, at most `PAGE_LIMIT_MAX`.
    fn deliveries(&self, webhook: WebhookId) -> Pending<Vec<Delivery>>;

    /// Makes an upload, if what it will take has room.
    fn create_upload(&self, upload: NewUpload, owner: AccountId, quota: Quota, now: WallTime) -> Pending<Upload>;

    /// Makes an upload of others that are whole, of the same owner, in their order, and an asset of it. Its blob has
    /// their bytes.
    fn create_final_upload(
        &self,
        upload: NewUpload,
        parts: Vec<UploadName>,
        asset: NewAsset,
        owner: AccountId,
        quota: Quota,
        now: WallTime,
    ) -> Pending<Advanced>;

    /// An upload.
    fn upload(&self, name: UploadName) -> Pending<Option<Upload>>;

    /// Says how long an upload will be, once.
    fn set_upload_len(&self, name: UploadName, len: u64, quota: Quota) -> Pending<Upload>;

    /// Acknowledges the bytes from `span.0` to `span.1`, which are on disk. With the last one of a whole upload `asset`
    /// is made. Of two calls from one place the second finds another offset, and changes nothing.
    fn advance_upload(
        &self,
        name: UploadName,
        span: (u64, u64),
        expires_at: WallTime,
        asset: Option<NewAsset>,
        quota: Quota,
        now: WallTime,
    ) -> Pending<Advanced>;

    /// Gives an upload up, and returns what it was. Its blob is free unless it has become an asset.
    fn delete_upload(&self, name: UploadName) -> Pending<Upload>;

    /// Gives up some of the uploads that have expired, and returns what they were.
    fn delete_expired_uploads(&self, now: WallTime) -> Pending<Vec<Upload>>;

    /// Makes an asset of a blob that is on disk, with its first job.
    fn create_asset(&self, asset: NewAsset, owner: AccountId, quota: Quota, now: WallTime) -> Pending<Asset>;

    /// An asset.
    fn asset(&self, name: AssetName) -> Pending<Option<Asset>>;

    /// Assets, the newest first.
    fn assets(&self, of: AssetsOf, page: PageRequest) -> Pending<Page<Asset>>;

    /// Changes an asset.
    fn change_asset(&self, name: AssetName, change: AssetChange, now: WallTime) -> Pending<Asset>;

    /// Deletes an asset with everything that is of it. Returns the blobs that are free.
    fn delete_asset(&self, name: AssetName, now: WallTime) -> Pending<Vec<BlobName>>;

    /// What is committed of an asset, by name.
    fn renditions(&self, asset: AssetName) -> Pending<Vec<RenditionRecord>>;

    /// Deletes renditions that stood in for another until it was there: those that are called like another of the same
    /// asset with `suffix` behind it, if that was committed before `before`. At most so many at once; returns them by
    /// asset, with the blobs that are free. It looks at every rendition there is.
    fn delete_stand_ins(&self, suffix: &'static str, before: WallTime) -> Pending<Vec<(AssetName, BlobName)>>;

    /// Those of `blobs` that no record names.
    fn unknown_blobs(&self, blobs: Vec<BlobName>) -> Pending<Vec<BlobName>>;

    /// A job.
    fn job(&self, id: JobId) -> Pending<Option<JobRecord>>;

    /// The jobs of an asset, in the order of their making.
    fn jobs_of(&self, asset: AssetName) -> Pending<Vec<JobRecord>>;

    /// Jobs of an account that are not done, at most `PAGE_LIMIT_MAX`: those under way first, then those that are
    /// ready, blocked, failed and cancelled, each in the order of their making.
    fn open_jobs(&self, owner: AccountId, state: Option<OpenState>) -> Pending<Vec<JobRecord>>;

    /// The attempts at a job, in their order.
    fn job_attempts(&self, id: JobId) -> Pending<Vec<AttemptRecord>>;

    /// How many more bytes the account may take: what an upload of unknown length may grow by, and a rendition that
    /// nobody waits for.
    fn quota_left(&self, owner: AccountId, quota: Quota) -> Pending<u64>;

    /// Makes another job of an asset.
    fn add_job(&self, asset: AssetName, job: NewJob, now: WallTime) -> Pending<JobRecord>;

    /// Leases the job that is next ([`crate::job::next`]) of those that are at least so urgent.
    fn take_job(&self, least: Class, now: WallTime) -> Pending<NextJob>;

    /// The attempt is alive, and so far, of 10,000. An attempt that is not the current one is not found, here and
    /// below.
    fn heartbeat_job(&self, id: JobId, attempt: Attempt, progress: u16, now: WallTime) -> Pending<()>;

    /// Ends a job with what the attempt made, all of it or nothing.
    fn complete_job(&self, id: JobId, attempt: Attempt, completion: Completion, now: WallTime) -> Pending<Completed>;

    /// Ends an attempt without a result. The job waits for another, or is given up.
    fn fail_job(&self, id: JobId, attempt: Attempt, failure: AttemptFailure, now: WallTime) -> Pending<JobRecord>;

    /// Gives a job back that was begun, for a reason that is no fault of it: the server stops, there is no worker.
    fn release_job(&self, id: JobId, attempt: Attempt, reason: String, now: WallTime) -> Pending<()>;

    /// Gives every job back: to be called once, by the server that begins to run. Returns how many there were.
    fn release_jobs(&self, now: WallTime) -> Pending<usize>;

    /// Takes the leases that have ended, and returns their jobs.
    fn expire_leases(&self, now: WallTime) -> Pending<Vec<JobRecord>>;

    /// Its owner does not want a job any more.
    fn cancel_job(&self, id: JobId, now: WallTime) -> Pending<JobRecord>;

    /// A job that was given up or cancelled is wanted again.
    fn retry_job(&self, id: JobId, now: WallTime) -> Pending<JobRecord>;

    /// Up to `PAGE_LIMIT_MAX` events after one, oldest first.
    fn events_after(&self, after: EventId) -> Pending<Vec<Event>>;

    /// Removes what has expired, revoked stream keys after [`crate::REVOKED_KEPT_SECS`] and ended deliveries after
    /// [`crate::WEBHOOK_FINISHED_KEPT_SECS`]. Returns how many records.
    fn sweep(&self, now: WallTime) -> Pending<usize>;
}

//! Opening the file, the threads' lives, and the trait's methods, each handed to a thread.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use telstar_units::{AccountId, AssetName, BlobName, RoomName, UploadName, WallTime};

use super::bearers::Table;
use super::threads::{Call, Job, Operation, read_loop, undo_on_error, write_loop};
use super::{accounts, assets, attempts, bearers, events, invites, jobs, keys, migrate, rooms, uploads, webhooks};
use crate::job::{Attempt, Class};
use crate::{
    Account, Advanced, ApiKey, ApiTokenId, Asset, AssetChange, AssetsOf, AttemptFailure, AttemptOutcome, AttemptRecord,
    Bearer, Completed, Completion, Delivery, DeliveryId, Event, EventId, Founded, Founding, Invite, InviteId, JobId,
    JobRecord, NewApiKey, NewAsset, NewBearer, NewDelivery, NewInvite, NewJob, NewRoom, NewStreamKey, NewUpload,
    NewWebhook, NextDelivery, NextJob, OpenState, Page, PageRequest, Pending, PrincipalId, PrincipalName, Quota,
    RenditionRecord, Room, RoomChange, RoomsOf, SessionId, Store, StoreError, StreamKey, StreamKeyId, Upload, Webhook,
    WebhookId,
};

/// Requests that may wait for the writer, and as many for the readers; one more is answered `Busy`.
/// More: a longer burst is absorbed; fewer: an overload is told sooner. At 20 us each this is a tenth of a second. Guess.
const QUEUE_REQUESTS_MAX: usize = 4_096;
/// Reading connections. Each costs about 100 KiB idle; a look-up takes tens of microseconds. Guess.
const READERS: usize = 2;
/// How long a transaction waits for another process, such as `telstar token` beside a running server.
/// Its transactions take milliseconds; longer only delays the error when something holds the lock for good.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often opening is tried meanwhile.
const BUSY_RETRY: Duration = Duration::from_millis(10);
/// Prepared statements kept per connection: more than there are operations.
const STATEMENTS_MAX: usize = 128;

/// Records in one SQLite file, in WAL mode with `synchronous=FULL`.
///
/// Dropping it does what was accepted, then closes the file; that takes as long as the queue is.
pub struct SqliteStore {
    writer: Option<SyncSender<Box<dyn Job>>>,
    /// `None` in memory, where a second connection would be a second database: the writer reads as well.
    readers: Option<SyncSender<Box<dyn Job>>>,
    threads: Vec<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the file, making it (readable by its owner only) and its schema as needed.
    pub fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        // SQLite waits for locks of transactions, but neither for the change to WAL nor for the recovery or the last close of
        // another program (https://sqlite.org/wal.html §7): they take milliseconds.
        let begun = Instant::now();
        loop {
            match SqliteStore::open_once(path) {
                Err(StoreError::Busy) if begun.elapsed() < BUSY_TIMEOUT => std::thread::sleep(BUSY_RETRY),
                opened => return opened,
            }
        }
    }

    fn open_once(path: &Path) -> Result<SqliteStore, StoreError> {
        create_private(path)?;
        let writer = connect(path)?;
        // WAL: readers and the writer do not wait for each other. The mode is the file's and stays.
        writer.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))?;
        migrate::migrate(&writer)?;
        let mut store = SqliteStore { writer: None, readers: None, threads: Vec::new() };
        store.spawn_writer(writer)?;

        let (sender, receiver) = sync_channel(QUEUE_REQUESTS_MAX);
        store.readers = Some(sender);
        let queue = Arc::new(Mutex::new(receiver));
        for _ in 0..READERS {
            let connection = connect(path)?;
            connection.execute_batch("PRAGMA query_only = ON")?;
            let queue = Arc::clone(&queue);
            store.spawn("store-reader", move || read_loop(&connection, &queue))?;
        }
        Ok(store)
    }

    /// A store that ends with the process. For tests and tries; it has one thread for everything.
    pub fn in_memory() -> Result<SqliteStore, StoreError> {
        let connection = Connection::open_in_memory()?;
        configure(&connection)?;
        migrate::migrate(&connection)?;
        let mut store = SqliteStore { writer: None, readers: None, threads: Vec::new() };
        store.spawn_writer(connection)?;
        Ok(store)
    }

    fn spawn_writer(&mut self, connection: Connection) -> Result<(), StoreError> {
        let (sender, receiver): (_, Receiver<Box<dyn Job>>) = sync_channel(QUEUE_REQUESTS_MAX);
        self.writer = Some(sender);
        self.spawn("store-writer", move || write_loop(&connection, &receiver))
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        self.threads.push(std::thread::Builder::new().name(name.into()).spawn(body)?);
        Ok(())
    }

    pub(super) fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        enqueue(self.writer.as_ref(), Box::new(move |connection| undo_on_error(connection, operation)))
    }

    fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        enqueue(self.readers.as_ref().or(self.writer.as_ref()), Box::new(operation))
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.writer = None;
        self.readers = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on stderr; there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}

fn enqueue<T: Send + 'static>(queue: Option<&SyncSender<Box<dyn Job>>>, operation: Operation<T>) -> Pending<T> {
    let (promise, pending) = Pending::new();
    let job = Box::new(Call::new(operation, promise));
    match queue.map(|queue| queue.try_send(job)) {
        Some(Ok(())) => {}
        Some(Err(TrySendError::Full(job))) => job.finish(&Err(StoreError::Busy)),
        // The job is dropped, and its promise with it: the answer is `Closed`.
        Some(Err(TrySendError::Disconnected(_))) | None => {}
    }
    pending
}

/// SQLite gives its `-wal` and `-shm` files the mode of the main file, so the mode is set before SQLite sees it.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?;
    // SQLite syncs the folder for its log, not for a file that was there before it came.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    configure(&connection)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // FULL syncs the WAL at every commit; on macOS only F_FULLFSYNC reaches the disk.
    // `trusted_schema` is off because the file may come from elsewhere.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;
         PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;",
    )?;
    Ok(())
}

impl Store for SqliteStore {
    fn ping(&self) -> Pending<()> {
        self.read(|c| Ok(c.query_row("SELECT count(*) FROM accounts WHERE id = 1", [], |_| Ok(()))?))
    }

    fn begin_run(&self, now: WallTime) -> Pending<u64> {
        self.write(move |c| accounts::begin_run(c, now))
    }

    fn found(&self, founding: Founding, now: WallTime) -> Pending<Founded> {
        self.write(move |c| accounts::found(c, founding, now))
    }

    fn first_admin(&self) -> Pending<Option<Account>> {
        self.read(accounts::first_admin)
    }

    fn account(&self, id: AccountId) -> Pending<Option<Account>> {
        self.read(move |c| accounts::account(c, id))
    }

    fn principal(&self, name: PrincipalName, owner: AccountId, now: WallTime) -> Pending<PrincipalId> {
        self.write(move |c| accounts::principal(c, &name, owner, now))
    }

    fn create_room(&self, room: NewRoom, owner: AccountId, now: WallTime) -> Pending<Room> {
        self.write(move |c| rooms::create_room(c, room, owner, now))
    }

    fn room(&self, name: RoomName) -> Pending<Option<Room>> {
        self.read(move |c| rooms::room(c, &name))
    }

    fn rooms(&self, of: RoomsOf, page: PageRequest) -> Pending<Page<Room>> {
        self.read(move |c| rooms::rooms(c, of, page))
    }

    fn change_room(&self, name: RoomName, change: RoomChange, now: WallTime) -> Pending<Room> {
        self.write(move |c| rooms::change_room(c, &name, change, now))
    }

    fn delete_room(&self, name: RoomName, now: WallTime) -> Pending<Room> {
        self.write(move |c| rooms::delete_room(c, &name, now))
    }

    fn create_stream_key(
        &self,
        room: RoomName,
        key: NewStreamKey,
        owner: AccountId,
        now: WallTime,
    ) -> Pending<StreamKey> {
        self.write(move |c| keys::create_stream_key(c, &room, key, owner, now))
    }

    fn stream_keys(&self, room: RoomName, page: PageRequest) -> Pending<Page<StreamKey>> {
        self.read(move |c| keys::stream_keys(c, &room, page))
    }

    fn find_stream_key(&self, locator: String) -> Pending<Option<(StreamKey, Room)>> {
        self.read(move |c| keys::find_stream_key(c, &locator))
    }

    fn stream_key_used(&self, id: StreamKeyId, now: WallTime) -> Pending<()> {
        self.write(move |c| keys::stream_key_used(c, id, now))
    }

    fn revoke_stream_key(&self, room: RoomName, id: StreamKeyId, now: WallTime) -> Pending<StreamKey> {
        self.write(move |c| keys::revoke_stream_key(c, &room, id, now))
    }

    fn create_sign_in_code(&self, code: NewBearer, now: WallTime) -> Pending<()> {
        self.write(move |c| bearers::create(c, Table::SignInCodes, &code, now).map(|_| ()))
    }

    fn find_sign_in_code(&self, locator: String, now: WallTime) -> Pending<Option<Bearer<()>>> {
        self.read(move |c| find(c, Table::SignInCodes, &locator, now, |_| ()))
    }

    fn redeem_sign_in_code(&self, locator: String, session: NewBearer, now: WallTime) -> Pending<Bearer<SessionId>> {
        self.write(move |c| bearers::redeem(c, &locator, &session, now))
    }

    fn find_session(&self, locator: String, now: WallTime) -> Pending<Option<Bearer<SessionId>>> {
        self.read(move |c| find(c, Table::Sessions, &locator, now, SessionId))
    }

    fn delete_session(&self, id: SessionId) -> Pending<()> {
        self.write(move |c| bearers::delete_session(c, id))
    }

    fn end_bearers(&self, owner: AccountId) -> Pending<usize> {
        self.write(move |c| bearers::end_all(c, owner))
    }

    fn create_api_token(&self, token: NewBearer, now: WallTime) -> Pending<ApiTokenId> {
        self.write(move |c| bearers::create(c, Table::ApiTokens, &token, now).map(ApiTokenId))
    }

    fn find_api_token(&self, locator: String, now: WallTime) -> Pending<Option<Bearer<ApiTokenId>>> {
        self.read(move |c| find(c, Table::ApiTokens, &locator, now, ApiTokenId))
    }

    fn create_api_key(&self, key: NewApiKey, owner: AccountId, now: WallTime) -> Pending<ApiKey> {
        self.write(move |c| keys::create_api_key(c, key, owner, now))
    }

    fn api_key(&self, id: String) -> Pending<Option<ApiKey>> {
        self.read(move |c| keys::api_key(c, &id))
    }

    fn api_keys(&self, owner: AccountId, page: PageRequest) -> Pending<Page<ApiKey>> {
        self.read(move |c| keys::api_keys(c, owner, page))
    }

    fn revoke_api_key(&self, id: String, now: WallTime) -> Pending<()> {
        self.write(move |c| keys::revoke_api_key(c, &id, now))
    }

    fn deny_token(&self, issuer: String, jti: String, owner: AccountId, until: WallTime) -> Pending<()> {
        self.write(move |c| keys::deny_token(c, &issuer, &jti, owner, until))
    }

    fn token_denied(&self, issuer: String, jti: String, now: WallTime) -> Pending<bool> {
        self.read(move |c| keys::token_denied(c, &issuer, &jti, now))
    }

    fn create_invite(&self, room: RoomName, invite: NewInvite, owner: AccountId, now: WallTime) -> Pending<Invite> {
        self.write(move |c| invites::create_invite(c, &room, invite, owner, now))
    }

    fn invites(&self, room: RoomName, page: PageRequest, now: WallTime) -> Pending<Page<Invite>> {
        self.read(move |c| invites::invites(c, &room, page, now))
    }

    fn find_invite(&self, locator: String, now: WallTime) -> Pending<Option<(Invite, Room)>> {
        self.read(move |c| invites::find_invite(c, &locator, now))
    }

    fn use_invite(&self, id: InviteId, now: WallTime) -> Pending<()> {
        self.write(move |c| invites::use_invite(c, id, now))
    }

    fn revoke_invite(&self, room: RoomName, id: InviteId) -> Pending<()> {
        self.write(move |c| invites::revoke_invite(c, &room, id))
    }

    fn create_webhook(&self, webhook: NewWebhook, owner: AccountId, now: WallTime) -> Pending<Webhook> {
        self.write(move |c| webhooks::create_webhook(c, webhook, owner, now))
    }

    fn webhook(&self, id: WebhookId) -> Pending<Option<Webhook>> {
        self.read(move |c| webhooks::webhook(c, id))
    }

    fn webhooks(&self, owner: AccountId, page: PageRequest) -> Pending<Page<Webhook>> {
        self.read(move |c| webhooks::webhooks(c, owner, page))
    }

    fn delete_webhook(&self, owner: AccountId, id: WebhookId) -> Pending<()> {
        self.write(move |c| webhooks::delete_webhook(c, owner, id))
    }

    fn enqueue_delivery(&self, delivery: NewDelivery, now: WallTime) -> Pending<Vec<WebhookId>> {
        self.write(move |c| webhooks::enqueue_delivery(c, &delivery, now))
    }

    fn release_leases(&self) -> Pending<Vec<WebhookId>> {
        self.write(webhooks::release_leases)
    }

    fn take_delivery(&self, webhook: WebhookId, lease_until: WallTime, now: WallTime) -> Pending<NextDelivery> {
        self.write(move |c| webhooks::take_delivery(c, webhook, lease_until, now))
    }

    fn finish_attempt(&self, id: DeliveryId, attempt: u32, outcome: AttemptOutcome, now: WallTime) -> Pending<()> {
        self.write(move |c| webhooks::finish_attempt(c, id, attempt, outcome, now))
    }

    fn deliveries(&self, webhook: WebhookId) -> Pending<Vec<Delivery>> {
        self.read(move |c| webhooks::deliveries(c, webhook))
    }

    fn create_upload(&self, upload: NewUpload, owner: AccountId, quota: Quota, now: WallTime) -> Pending<Upload> {
        self.write(move |c| uploads::create(c, &upload, owner, quota, now))
    }

    fn create_final_upload(
        &self,
        upload: NewUpload,
        parts: Vec<UploadName>,
        asset: NewAsset,
        owner: AccountId,
        quota: Quota,
        now: WallTime,
    ) -> Pending<Advanced> {
        self.write(move |c| uploads::create_final(c, &upload, &parts, &asset, owner, quota, now))
    }

    fn upload(&self, name: UploadName) -> Pending<Option<Upload>> {
        self.read(move |c| uploads::upload(c, &name))
    }

    fn set_upload_len(&self, name: UploadName, len: u64, quota: Quota) -> Pending<Upload> {
        self.write(move |c| uploads::set_len(c, &name, len, quota))
    }

    fn advance_upload(
        &self,
        name: UploadName,
        span: (u64, u64),
        expires_at: WallTime,
        asset: Option<NewAsset>,
        quota: Quota,
        now: WallTime,
    ) -> Pending<Advanced> {
        self.write(move |c| uploads::advance(c, &name, span, expires_at, asset.as_ref(), quota, now))
    }

    fn delete_upload(&self, name: UploadName) -> Pending<Upload> {
        self.write(move |c| uploads::delete(c, &name))
    }

    fn delete_expired_uploads(&self, now: WallTime) -> Pending<Vec<Upload>> {
        self.write(move |c| uploads::delete_expired(c, now))
    }

    fn create_asset(&self, asset: NewAsset, owner: AccountId, quota: Quota, now: WallTime) -> Pending<Asset> {
        self.write(move |c| assets::create(c, &asset, owner, quota, now))
    }

    fn asset(&self, name: AssetName) -> Pending<Option<Asset>> {
        self.read(move |c| assets::asset(c, &name))
    }

    fn assets(&self, of: AssetsOf, page: PageRequest) -> Pending<Page<Asset>> {
        self.read(move |c| assets::assets(c, of, page))
    }

    fn change_asset(&self, name: AssetName, change: AssetChange, now: WallTime) -> Pending<Asset> {
        self.write(move |c| assets::change(c, &name, change, now))
    }

    fn delete_asset(&self, name: AssetName, now: WallTime) -> Pending<Vec<BlobName>> {
        self.write(move |c| assets::delete(c, &name, now))
    }

    fn renditions(&self, asset: AssetName) -> Pending<Vec<RenditionRecord>> {
        self.read(move |c| assets::renditions(c, assets::existing(c, &asset)?.id))
    }

    fn delete_stand_ins(&self, suffix: &'static str, before: WallTime) -> Pending<Vec<(AssetName, BlobName)>> {
        self.write(move |c| assets::delete_stand_ins(c, suffix, before))
    }

    fn quota_left(&self, owner: AccountId, quota: Quota) -> Pending<u64> {
        self.read(move |c| assets::quota_left(c, owner, quota))
    }

    fn unknown_blobs(&self, blobs: Vec<BlobName>) -> Pending<Vec<BlobName>> {
        self.write(move |c| assets::unknown_blobs(c, blobs))
    }

    fn job(&self, id: JobId) -> Pending<Option<JobRecord>> {
        self.read(move |c| jobs::job(c, id))
    }

    fn jobs_of(&self, asset: AssetName) -> Pending<Vec<JobRecord>> {
        self.read(move |c| jobs::jobs_of(c, &asset))
    }

    fn open_jobs(&self, owner: AccountId, state: Option<OpenState>) -> Pending<Vec<JobRecord>> {
        self.read(move |c| jobs::open(c, owner, state))
    }

    fn job_attempts(&self, id: JobId) -> Pending<Vec<AttemptRecord>> {
        self.read(move |c| attempts::of_job(c, id))
    }

    fn add_job(&self, asset: AssetName, job: NewJob, now: WallTime) -> Pending<JobRecord> {
        self.write(move |c| jobs::add(c, &asset, &job, now))
    }

    fn take_job(&self, least: Class, now: WallTime) -> Pending<NextJob> {
        self.write(move |c| jobs::take(c, least, now))
    }

    fn heartbeat_job(&self, id: JobId, attempt: Attempt, progress: u16, now: WallTime) -> Pending<()> {
        self.write(move |c| jobs::heartbeat(c, id, attempt, progress, now))
    }

    fn complete_job(&self, id: JobId, attempt: Attempt, completion: Completion, now: WallTime) -> Pending<Completed> {
        self.write(move |c| jobs::complete(c, id, attempt, &completion, now))
    }

    fn fail_job(&self, id: JobId, attempt: Attempt, failure: AttemptFailure, now: WallTime) -> Pending<JobRecord> {
        self.write(move |c| jobs::fail(c, id, attempt, &failure, now))
    }

    fn release_job(&self, id: JobId, attempt: Attempt, reason: String, now: WallTime) -> Pending<()> {
        self.write(move |c| jobs::release(c, id, attempt, &reason, now))
    }

    fn release_jobs(&self, now: WallTime) -> Pending<usize> {
        self.write(move |c| jobs::release_all(c, now))
    }

    fn expire_leases(&self, now: WallTime) -> Pending<Vec<JobRecord>> {
        self.write(move |c| jobs::expire(c, now))
    }

    fn cancel_job(&self, id: JobId, now: WallTime) -> Pending<JobRecord> {
        self.write(move |c| jobs::cancel(c, id, now))
    }

    fn retry_job(&self, id: JobId, now: WallTime) -> Pending<JobRecord> {
        self.write(move |c| jobs::retry(c, id, now))
    }

    fn events_after(&self, after: EventId) -> Pending<Vec<Event>> {
        self.read(move |c| events::events_after(c, after))
    }

    fn sweep(&self, now: WallTime) -> Pending<usize> {
        self.write(move |c| bearers::sweep(c, now))
    }
}

fn find<Id>(
    connection: &Connection,
    table: Table,
    locator: &str,
    now: WallTime,
    id: impl FnOnce(i64) -> Id,
) -> Result<Option<Bearer<Id>>, StoreError> {
    let found = bearers::find(connection, table, locator, now)?;
    Ok(found.map(|b| Bearer { id: id(b.id), account: b.account, hash: b.hash, expires_at: b.expires_at }))
}

//! The trait. One method is one domain operation and one transaction; no table shows through.

use telstar_units::{AccountId, RoomName, WallTime};

use crate::{
    Account, ApiKey, ApiTokenId, AttemptOutcome, Bearer, Delivery, DeliveryId, Event, EventId, Founded, Founding,
    Invite, InviteId, NewApiKey, NewBearer, NewDelivery, NewInvite, NewRoom, NewStreamKey, NewWebhook, NextDelivery,
    Page, PageRequest, Pending, PrincipalId, PrincipalName, Room, RoomChange, RoomsOf, SessionId, StreamKey,
    StreamKeyId, Webhook, WebhookId,
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

    /// The invite of a locator and its room, if it has not expired and has a use left. Its hash is still to be compared.
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

    /// Queues an event for every webhook of its owner that wants it, and says for which. The same message twice is one.
    fn enqueue_delivery(&self, delivery: NewDelivery, now: WallTime) -> Pending<Vec<WebhookId>>;

    /// Forgets every lease: to be called once, by the server that begins to run. Says for which webhooks something waits.
    fn release_leases(&self) -> Pending<Vec<WebhookId>>;

    /// Takes the oldest delivery of a webhook that is due, and counts an attempt. Nobody else is given it before
    /// `lease_until`, unless the attempt ends first.
    fn take_delivery(&self, webhook: WebhookId, lease_until: WallTime, now: WallTime) -> Pending<NextDelivery>;

    /// Notes what an attempt came to. An attempt that is not the newest any more is not found, and changes nothing.
    fn finish_attempt(&self, id: DeliveryId, attempt: u32, outcome: AttemptOutcome, now: WallTime) -> Pending<()>;

    /// The newest deliveries of a webhook, newest first, at most `PAGE_LIMIT_MAX`.
    fn deliveries(&self, webhook: WebhookId) -> Pending<Vec<Delivery>>;

    /// Up to `PAGE_LIMIT_MAX` events after one, oldest first.
    fn events_after(&self, after: EventId) -> Pending<Vec<Event>>;

    /// Removes what has expired, revoked stream keys after [`crate::REVOKED_KEPT_SECS`] and ended deliveries after
    /// [`crate::WEBHOOK_FINISHED_KEPT_SECS`]. Returns how many records.
    fn sweep(&self, now: WallTime) -> Pending<usize>;
}

//! The trait. One method is one domain operation and one transaction; no table shows through.

use telstar_units::{AccountId, RoomName, WallTime};

use crate::{
    Account, ApiKey, ApiTokenId, Bearer, Event, EventId, Founded, Founding, NewApiKey, NewBearer, NewRoom,
    NewStreamKey, Page, PageRequest, Pending, PrincipalId, PrincipalName, Room, RoomChange, RoomsOf, SessionId,
    StreamKey, StreamKeyId,
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

    /// Up to `PAGE_LIMIT_MAX` events after one, oldest first.
    fn events_after(&self, after: EventId) -> Pending<Vec<Event>>;

    /// Removes what has expired, and revoked stream keys after [`crate::REVOKED_KEPT_SECS`]. Returns how many records.
    fn sweep(&self, now: WallTime) -> Pending<usize>;
}

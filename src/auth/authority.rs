//! The authority: mints credentials and says who shows one. It decides nothing about what they may do (`rules`).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use telstar_store::{
    Account, ApiKey, Bearer, Founding, NewApiKey, NewBearer, NewRoom, NewStreamKey, SessionId, Store, StoreError,
    StreamKey, StreamKeyId,
};
use telstar_units::{AccountId, RoomName, WallTime};
use tokio::sync::broadcast;

use super::caller::{Caller, Principal, Standing, StreamKeyPass};
use super::jwt::Type;
use super::keyfile::KeyFile;
use super::origin::OriginCheck;
use super::secret::{Kind, NoRandomness, Opaque, Secret, locator_of, random_text};
use super::tokens::Minted;

/// How long a one-time sign-in code waits to be used.
pub const SIGN_IN_CODE_LIFETIME_SECS: i64 = 15 * 60;
/// How long a browser stays signed in. Longer: fewer trips to the terminal; shorter: a stolen cookie is worth less. Guess.
pub const SESSION_LIFETIME_SECS: i64 = 30 * 86_400;
/// How long an API token of `telstar token --admin` is good unless it is told otherwise. Guess.
pub const API_TOKEN_LIFETIME_SECS: i64 = 60 * 60;
/// The longest an API token may be made for. It has all rights of its account, and a script can mint the next. Guess.
pub const API_TOKEN_LIFETIME_SECS_MAX: i64 = 30 * 86_400;
/// The longest any other credential may be made for. Whoever needs longer renews it.
pub(super) const LIFETIME_SECS_MAX: i64 = 366 * 86_400;
/// Revocations kept for a listener that is behind. One that falls further behind is told so, and then has to ask again
/// about every credential it relies on.
const REVOCATIONS_MAX: usize = 256;
/// 80 bits: API-key ids are drawn by many servers and named by many apps.
const API_KEY_ID_CHARACTERS: usize = 16;
/// 260 bits. RFC 7518 §3.2: a key for HS256 has at least 256.
const API_KEY_SECRET_CHARACTERS: usize = 52;

const _: () = assert!(API_KEY_SECRET_CHARACTERS * 5 >= 256, "HS256 keys have at least 256 bits");

/// The wall clock, passed in so that tests own the time.
pub type Clock = Arc<dyn Fn() -> WallTime + Send + Sync>;

/// A credential, as a door found it in a request.
pub enum Credential {
    /// The session cookie, and what the request shows beside it.
    Session(Secret, OriginCheck),
    /// `Authorization: Bearer` or a WebSocket's `authenticate`: an API token, a room token or a playback token.
    Bearer(Secret),
    /// An encoder's stream key.
    StreamKey(Secret),
    /// `?t=`: a playback token and nothing else, because addresses end up in logs and histories.
    Playback(Secret),
}

impl Credential {
    /// What an encoder showed as a bearer: its stream key, or a token.
    pub fn of_encoder(secret: Secret) -> Credential {
        match secret.expose().starts_with(Kind::StreamKey.prefix()) {
            true => Credential::StreamKey(secret),
            false => Credential::Bearer(secret),
        }
    }
}

/// Why a credential is not good. For logs and counters: a peer is told no more than "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It does not look like one.
    Malformed,
    /// Nobody was given it.
    Unknown,
    /// It was signed with another key.
    Signature,
    /// It is good, but not here.
    WrongKind,
    /// Its end has passed.
    Expired,
    /// Its beginning has not come.
    NotYet,
    /// It was taken back.
    Revoked,
    /// The session has ended or never was.
    SignedOut,
    /// Another site's page sent the request.
    ForeignOrigin,
}

impl Reason {
    /// Whether it counts against the address. What was good once is not a guess.
    pub fn is_guess(self) -> bool {
        match self {
            Reason::Malformed | Reason::Unknown | Reason::Signature | Reason::WrongKind => true,
            Reason::Expired | Reason::NotYet | Reason::Revoked | Reason::SignedOut | Reason::ForeignOrigin => false,
        }
    }
}

/// Why the authority gave no answer, or a no.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The credential is not good.
    #[error("the credential is not good ({0:?})")]
    Rejected(Reason),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// An API key was sealed under another key file.
    #[error("the API key {0} was sealed under another key file: bring secret.key back from a copy of the data folder")]
    Sealed(String),
    /// The account has revoked all its API keys.
    #[error("the account has no API key to sign with")]
    NoApiKey,
    /// A lifetime outside what is allowed.
    #[error("a lifetime is 1 to {max} seconds")]
    Lifetime {
        /// The longest.
        max: i64,
    },
}

impl From<Reason> for AuthError {
    fn from(reason: Reason) -> AuthError {
        AuthError::Rejected(reason)
    }
}

/// A credential that was good and no longer is: whoever relies on it lets go at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// A stream key.
    StreamKey(StreamKeyId),
    /// A session.
    Session(SessionId),
    /// An API key, and with it every token that it ever signed.
    ApiKey(String),
    /// A token, by its issuer and its own name.
    Token {
        /// The issuer.
        issuer: String,
        /// The token's own name.
        jti: String,
    },
}

/// What [`Authority::start`] found or made.
pub struct Started {
    /// The first admin.
    pub admin: Account,
    /// What this start made, if it was the first.
    pub first: Option<FirstStart>,
}

/// What only the first start can tell.
pub struct FirstStart {
    /// The first room's stream key, which nobody can ask for again.
    pub stream_key: Secret,
}

/// A browser that has just signed in.
pub struct SignedIn {
    /// The cookie's value.
    pub session: Secret,
    /// Whom it stands for.
    pub account: Account,
    /// When it ends.
    pub expires_at: WallTime,
}

/// Mints and verifies credentials.
pub struct Authority {
    pub(super) store: Arc<dyn Store>,
    pub(super) keys: KeyFile,
    clock: Clock,
    revocations: broadcast::Sender<Revocation>,
    /// Whether the log says already that an API key cannot be opened.
    pub(super) sealed_is_told: AtomicBool,
}

impl Authority {
    /// An authority over these records, with the keys that sealed them.
    pub fn new(store: Arc<dyn Store>, keys: KeyFile, clock: Clock) -> Authority {
        let (revocations, _) = broadcast::channel(REVOCATIONS_MAX);
        Authority { store, keys, clock, revocations, sealed_is_told: AtomicBool::new(false) }
    }

    /// The wall time.
    pub fn now(&self) -> WallTime {
        (self.clock)()
    }

    /// Makes the first admin, its API key, and `room` with a stream key, unless there is an admin already.
    pub async fn start(&self, room: NewRoom) -> Result<Started, AuthError> {
        if let Some(admin) = self.store.first_admin().await? {
            return Ok(Started { admin, first: None });
        }
        let (secret, stream_key) = new_stream_key("first")?;
        let founding = Founding { admin: "admin".into(), api_key: self.new_api_key("telstar")?.0, room, stream_key };
        let founded = self.store.found(founding, self.now()).await?;
        Ok(Started { admin: founded.admin, first: founded.fresh.then_some(FirstStart { stream_key: secret }) })
    }

    /// Says who shows this credential.
    pub async fn authenticate(&self, credential: Credential) -> Result<Caller, AuthError> {
        match credential {
            Credential::Session(_, OriginCheck::Foreign) => Err(Reason::ForeignOrigin.into()),
            Credential::Session(secret, OriginCheck::Ours | OriginCheck::NotNeeded) => self.session(&secret).await,
            Credential::Bearer(secret) if secret.expose().starts_with(Kind::ApiToken.prefix()) => {
                self.api_token(&secret).await
            }
            Credential::Bearer(secret) => self.token(&secret, &[Type::Room, Type::Playback, Type::AssetPlayback]).await,
            Credential::Playback(secret) => self.token(&secret, &[Type::Playback, Type::AssetPlayback]).await,
            Credential::StreamKey(secret) => self.stream_key(&secret).await,
        }
    }

    async fn session(&self, secret: &Secret) -> Result<Caller, AuthError> {
        let locator = locator_of(Kind::Session, secret).ok_or(Reason::SignedOut)?;
        let found = self.store.find_session(locator, self.now()).await?;
        // Browsers keep showing a cookie after its session is gone, so a wrong one is no guess.
        let session = matching(found, secret).ok_or(Reason::SignedOut)?;
        let standing = Standing::Session(session.id, session.account.id, session.account.role);
        Ok(Caller::account(standing, session.account, session.expires_at))
    }

    async fn api_token(&self, secret: &Secret) -> Result<Caller, AuthError> {
        let locator = locator_of(Kind::ApiToken, secret).ok_or(Reason::Malformed)?;
        let found = self.store.find_api_token(locator, self.now()).await?;
        let token = matching(found, secret).ok_or(Reason::Unknown)?;
        let standing = Standing::ApiToken(token.id, token.account.id, token.account.role);
        Ok(Caller::account(standing, token.account, token.expires_at))
    }

    async fn stream_key(&self, secret: &Secret) -> Result<Caller, AuthError> {
        let locator = locator_of(Kind::StreamKey, secret).ok_or(Reason::Malformed)?;
        let found = self.store.find_stream_key(locator.clone()).await?;
        let (key, room) = found.filter(|(key, _)| secret.matches(&key.hash)).ok_or(Reason::Unknown)?;
        if key.revoked_at.is_some() {
            return Err(Reason::Revoked.into());
        }
        // Not waited for: an encoder does not stand still for a note about itself.
        drop(self.store.stream_key_used(key.id, self.now()));
        let principal = Principal {
            issuer: super::caller::LOCAL.into(),
            subject: format!("stream-key:{}", key.id.0),
            kind: telstar_store::PrincipalKind::Ingest,
        };
        let pass = StreamKeyPass { key: key.id, locator, room_id: room.id, room: room.name, label: key.label };
        Ok(Caller { standing: Standing::StreamKey(pass), principal: Some(principal), ..Caller::anonymous() })
    }

    /// Whether a stream key has not been revoked since it was shown.
    ///
    /// To be asked after the encoder was admitted: a key that was revoked between the look-up and the admission was
    /// announced while nobody published with it.
    pub async fn still_good(&self, pass: &StreamKeyPass) -> Result<bool, AuthError> {
        let found = self.store.find_stream_key(pass.locator.clone()).await?;
        Ok(found.is_some_and(|(key, _)| key.id == pass.key && key.revoked_at.is_none()))
    }

    /// Makes a stream key. The secret is shown now or never.
    pub async fn create_stream_key(
        &self,
        room: RoomName,
        label: &str,
        owner: AccountId,
    ) -> Result<(StreamKey, Secret), AuthError> {
        let (secret, key) = new_stream_key(label)?;
        Ok((self.store.create_stream_key(room, key, owner, self.now()).await?, secret))
    }

    /// Revokes a stream key, durably, and then tells whoever relies on it.
    pub async fn revoke_stream_key(&self, room: RoomName, key: StreamKeyId) -> Result<StreamKey, AuthError> {
        let revoked = self.store.revoke_stream_key(room, key, self.now()).await?;
        self.announce(Revocation::StreamKey(key));
        Ok(revoked)
    }

    /// Makes a one-time sign-in code.
    pub async fn create_sign_in_code(&self, account: AccountId) -> Result<Minted, AuthError> {
        let (minted, bearer) = self.new_bearer(Kind::SignInCode, account, SIGN_IN_CODE_LIFETIME_SECS)?;
        self.store.create_sign_in_code(bearer, self.now()).await?;
        Ok(minted)
    }

    /// Exchanges a sign-in code for a session. It works once.
    pub async fn sign_in(&self, code: &Secret) -> Result<SignedIn, AuthError> {
        let locator = locator_of(Kind::SignInCode, code).ok_or(Reason::Malformed)?;
        let now = self.now();
        let found = self.store.find_sign_in_code(locator.clone(), now).await?;
        let account = matching(found, code).ok_or(Reason::Unknown)?.account;
        let (minted, bearer) = self.new_bearer(Kind::Session, account.id, SESSION_LIFETIME_SECS)?;
        match self.store.redeem_sign_in_code(locator, bearer, now).await {
            Ok(session) => {
                Ok(SignedIn { session: minted.secret, account: session.account, expires_at: session.expires_at })
            }
            // Another request with the same code came first.
            Err(StoreError::NotFound(_)) => Err(Reason::Unknown.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a session.
    pub async fn sign_out(&self, session: SessionId) -> Result<(), AuthError> {
        self.store.delete_session(session).await?;
        self.announce(Revocation::Session(session));
        Ok(())
    }

    /// Ends every session, API token and sign-in code of an account, and says how many there were.
    ///
    /// For the command beside the server: the server looks each of them up at every request, but does not hear of it,
    /// so sockets that are open stay open until their credential would have ended.
    pub async fn end_all_of(&self, account: AccountId) -> Result<usize, AuthError> {
        Ok(self.store.end_bearers(account).await?)
    }

    /// Makes an API token with the rights of `account`.
    pub async fn create_api_token(&self, account: AccountId, lifetime_secs: i64) -> Result<Minted, AuthError> {
        self.end_of(lifetime_secs, API_TOKEN_LIFETIME_SECS_MAX)?;
        let (minted, bearer) = self.new_bearer(Kind::ApiToken, account, lifetime_secs)?;
        self.store.create_api_token(bearer, self.now()).await?;
        Ok(minted)
    }

    /// Revocations from now on. A listener that lags has missed some and asks again about what it relies on.
    pub fn revocations(&self) -> broadcast::Receiver<Revocation> {
        self.revocations.subscribe()
    }

    pub(super) fn announce(&self, revocation: Revocation) {
        // Nobody may be listening, which is no error.
        let _ = self.revocations.send(revocation);
    }

    /// When a credential that lives this long ends.
    pub(super) fn end_of(&self, lifetime_secs: i64, max: i64) -> Result<WallTime, AuthError> {
        if !(1..=max).contains(&lifetime_secs) {
            return Err(AuthError::Lifetime { max });
        }
        Ok(self.now().plus_micros(lifetime_secs * 1_000_000))
    }

    fn new_bearer(&self, kind: Kind, owner: AccountId, lifetime_secs: i64) -> Result<(Minted, NewBearer), AuthError> {
        let expires_at = self.end_of(lifetime_secs, LIFETIME_SECS_MAX)?;
        let drawn = Opaque::draw(kind)?;
        let bearer = NewBearer { owner, hash: drawn.secret.hash(), locator: drawn.locator, expires_at };
        Ok((Minted { secret: drawn.secret, expires_at }, bearer))
    }

    /// Makes an API key. The secret is shown now or never.
    pub async fn create_api_key(&self, account: AccountId, label: &str) -> Result<(ApiKey, Secret), AuthError> {
        let (key, secret) = self.new_api_key(label)?;
        Ok((self.store.create_api_key(key, account, self.now()).await?, secret))
    }

    /// Revokes an API key of an account, durably, and then tells whoever relies on a token that it signed.
    pub async fn revoke_api_key(&self, account: AccountId, id: String) -> Result<(), AuthError> {
        let key = self.store.api_key(id.clone()).await?.filter(|key| key.account.id == account);
        key.ok_or(StoreError::NotFound("API key"))?;
        self.store.revoke_api_key(id.clone(), self.now()).await?;
        self.announce(Revocation::ApiKey(id));
        Ok(())
    }

    fn new_api_key(&self, label: &str) -> Result<(NewApiKey, Secret), AuthError> {
        let id = format!("ak_{}", *random_text(API_KEY_ID_CHARACTERS)?);
        let secret = Secret::new(random_text(API_KEY_SECRET_CHARACTERS)?.to_string());
        Ok((NewApiKey { sealed_secret: self.keys.seal(&id, &secret)?, id, label: label.into() }, secret))
    }
}

/// The record, if the secret is its own. The comparison takes as long for a wrong secret as for the right one.
fn matching<Id>(found: Option<Bearer<Id>>, secret: &Secret) -> Option<Bearer<Id>> {
    found.filter(|bearer| secret.matches(&bearer.hash))
}

fn new_stream_key(label: &str) -> Result<(Secret, NewStreamKey), NoRandomness> {
    let drawn = Opaque::draw(Kind::StreamKey)?;
    let hint = drawn.hint(Kind::StreamKey);
    let key = NewStreamKey { label: label.into(), hint, hash: drawn.secret.hash(), locator: drawn.locator };
    Ok((drawn.secret, key))
}

//! Room tokens and playback tokens: what the authority does with signed credentials.
//!
//! A room token is signed with an API key's secret, by this server or by an app's own. A playback token is signed by
//! this server for one room or one asset, or by an app in the same way as its room tokens. A guest's room token is
//! signed by this server.

use std::sync::atomic::Ordering;

use telstar_store::{ApiKey, PageRequest, PrincipalId, PrincipalKind, Role, RoomId};
use telstar_units::{AccountId, AssetName, RoomName, WallTime};

use super::authority::{AuthError, Authority, LIFETIME_SECS_MAX, Reason, Revocation};
use super::caller::{
    AssetPass, Caller, Grant, Grants, Holder, LOCAL, Principal, RoomPass, Standing, TokenName, Voucher,
};
use super::jwt::{self, Claims, JwtError, LEEWAY_SECS, Type};
use super::keyfile::SEGMENT_KEY_LEN;
use super::rules::{AssetFacts, RoomFacts};
use super::secret::{Secret, random_text};

/// How long a room token is good unless it is told otherwise. Guess.
pub const ROOM_TOKEN_LIFETIME_SECS: i64 = 6 * 3_600;
/// How long a playback token is good unless it is told otherwise: longer than most shows. Guess.
pub const PLAYBACK_TOKEN_LIFETIME_SECS: i64 = 24 * 3_600;
/// The longest `name` of a room token in characters, as the names of participants.
pub const TOKEN_NAME_CHARS_MAX: usize = 100;
/// The longest `metadata` of a room token in bytes. The token stands in links, and has to stay below its own limit, in
/// base64 and however its characters are escaped. An app with more of it sends it once the user has joined.
pub const TOKEN_METADATA_BYTES_MAX: usize = 1_024;
/// The longest identity of a token in bytes.
pub const IDENTITY_BYTES_MAX: usize = jwt::NAME_LEN_MAX;
/// The longest a playback token may be made for. It stands in addresses, which are passed on. Guess.
pub const PLAYBACK_TOKEN_LIFETIME_SECS_MAX: i64 = 30 * 86_400;
/// 100 bits: no two tokens are ever called alike.
const JTI_CHARACTERS: usize = 20;

/// A room token to be made.
pub struct RoomToken {
    /// The room that it opens.
    pub room: RoomName,
    /// Whom it is about.
    pub identity: String,
    /// What others see of them.
    pub name: Option<String>,
    /// What else others get.
    pub metadata: Option<String>,
    /// What it allows there.
    pub grants: Grants,
    /// How long it is good.
    pub lifetime_secs: i64,
}

/// A credential that was just made.
pub struct Minted {
    /// It, shown now or never.
    pub secret: Secret,
    /// When it ends.
    pub expires_at: WallTime,
}

impl From<JwtError> for Reason {
    fn from(error: JwtError) -> Reason {
        match error {
            JwtError::Malformed | JwtError::Algorithm => Reason::Malformed,
            JwtError::WrongType => Reason::WrongKind,
            JwtError::Signature => Reason::Signature,
            JwtError::Expired => Reason::Expired,
            JwtError::NotYet => Reason::NotYet,
        }
    }
}

impl Authority {
    /// Says who shows this token, if it is of one of the kinds that are accepted here.
    pub(super) async fn token(&self, secret: &Secret, accepted: &[Type]) -> Result<Caller, AuthError> {
        let parsed = jwt::parse(secret.expose()).map_err(Reason::from)?;
        let typ = parsed.typ().filter(|typ| accepted.contains(typ)).ok_or(Reason::WrongKind)?;
        let now = self.now();
        let (claims, account) = if parsed.issuer() == LOCAL {
            // What this server signs with keys of its own belongs to a room and to no account: links and guests.
            let key = match typ {
                Type::Playback => self.keys.playback(),
                Type::AssetPlayback => self.keys.asset_playback(),
                Type::Room => self.keys.guest(),
            };
            (parsed.verify(typ, key, now).map_err(Reason::from)?, None)
        } else {
            let key = self.store.api_key(parsed.issuer().to_owned()).await?.ok_or(Reason::Unknown)?;
            let secret = self.open_api_key(&key).map_err(|error| self.cannot_verify(&error))?;
            let claims = parsed.verify(typ, secret.expose().as_bytes(), now);
            (claims.map_err(Reason::from)?, Some(key.account))
        };
        if self.store.token_denied(claims.iss.clone(), claims.jti.clone(), now).await? {
            return Err(Reason::Revoked.into());
        }
        if typ == Type::AssetPlayback {
            return asset_caller_of(claims, account.map(|account| (account.id, account.role)));
        }
        let voucher = match (account, claims.room_id) {
            (Some(account), _) => Voucher::Account(account.id, account.role),
            (None, Some(id)) => Voucher::Server(RoomId(id)),
            (None, None) => return Err(Reason::Malformed.into()),
        };
        caller_of(claims, typ, voucher)
    }

    /// Makes a room token, signed with the account's oldest API key.
    pub async fn create_room_token(&self, account: AccountId, token: RoomToken) -> Result<Minted, AuthError> {
        let expires_at = self.end_of(token.lifetime_secs, LIFETIME_SECS_MAX)?;
        let key = self.store.api_keys(account, PageRequest::new(None, 1)).await?.items.pop();
        let key = key.ok_or(AuthError::NoApiKey)?;
        let claims = self.claims_of(token, key.id.clone(), None, expires_at)?;
        let token = jwt::sign(Type::Room, &claims, self.open_api_key(&key)?.expose().as_bytes());
        Ok(Minted { secret: Secret::new(token), expires_at })
    }

    /// Makes the room token of a guest of the room `id`, signed by this server.
    pub(super) fn create_guest_token(&self, id: RoomId, token: RoomToken) -> Result<Minted, AuthError> {
        let expires_at = self.end_of(token.lifetime_secs, LIFETIME_SECS_MAX)?;
        let claims = self.claims_of(token, LOCAL.to_owned(), Some(id.0), expires_at)?;
        let token = jwt::sign(Type::Room, &claims, self.keys.guest());
        Ok(Minted { secret: Secret::new(token), expires_at })
    }

    fn claims_of(
        &self,
        token: RoomToken,
        iss: String,
        room_id: Option<i64>,
        expires_at: WallTime,
    ) -> Result<Claims, AuthError> {
        Ok(Claims {
            iss,
            sub: token.identity,
            exp: expires_at.0 / 1_000_000,
            nbf: Some(self.now().0 / 1_000_000),
            jti: random_text(JTI_CHARACTERS)?.to_string(),
            room: token.room.to_string(),
            asset: None,
            room_id,
            grants: token.grants.names(),
            name: token.name,
            metadata: token.metadata,
        })
    }

    /// Makes a playback token for one room.
    pub fn create_playback_token(&self, room: &RoomFacts, lifetime_secs: i64) -> Result<Minted, AuthError> {
        let (claims, expires_at) = self.playback_claims(lifetime_secs)?;
        let claims = Claims { room: room.name.to_string(), room_id: Some(room.id.0), ..claims };
        let token = jwt::sign(Type::Playback, &claims, self.keys.playback());
        Ok(Minted { secret: Secret::new(token), expires_at })
    }

    /// Makes a playback token for one asset.
    pub fn create_asset_playback_token(&self, asset: &AssetFacts, lifetime_secs: i64) -> Result<Minted, AuthError> {
        let (claims, expires_at) = self.playback_claims(lifetime_secs)?;
        let claims = Claims { asset: Some(asset.name.to_string()), ..claims };
        let token = jwt::sign(Type::AssetPlayback, &claims, self.keys.asset_playback());
        Ok(Minted { secret: Secret::new(token), expires_at })
    }

    /// Of a playback token of this server that opens nothing yet.
    fn playback_claims(&self, lifetime_secs: i64) -> Result<(Claims, WallTime), AuthError> {
        let expires_at = self.end_of(lifetime_secs, PLAYBACK_TOKEN_LIFETIME_SECS_MAX)?;
        let jti = random_text(JTI_CHARACTERS)?.to_string();
        let claims = Claims {
            iss: LOCAL.to_owned(),
            sub: format!("playback:{jti}"),
            exp: expires_at.0 / 1_000_000,
            nbf: None,
            jti,
            room: String::new(),
            asset: None,
            room_id: None,
            grants: Vec::new(),
            name: None,
            metadata: None,
        };
        Ok((claims, expires_at))
    }

    /// The key that encrypts the segments of an asset. It is made of the key file, so that nothing of it is stored, and
    /// the same at every start.
    pub fn segment_key(&self, asset: &AssetName) -> [u8; SEGMENT_KEY_LEN] {
        self.keys.segment_key(asset.as_str())
    }

    /// Denies the token that `caller` shows, until it expires: a kick, or a leaked link. Callers with another
    /// credential have none to deny. `room` is the room it opens; its owner answers for the denial.
    pub async fn deny(&self, caller: &Caller, room: &RoomFacts) -> Result<(), AuthError> {
        let Some(token) = caller.token() else { return Ok(()) };
        self.deny_from_now_on(&token, room.owner).await?;
        self.announce_denied(token);
        Ok(())
    }

    /// Denies a token until it expires. Who has relied on it since before is told by [`Self::announce_denied`].
    pub async fn deny_from_now_on(&self, token: &TokenName, owner: AccountId) -> Result<(), AuthError> {
        Ok(self.store.deny_token(token.issuer.clone(), token.jti.clone(), owner, token.expires_at).await?)
    }

    /// Tells whoever relies on this token that it was denied.
    pub fn announce_denied(&self, token: TokenName) {
        self.announce(Revocation::Token { issuer: token.issuer, jti: token.jti });
    }

    /// The row to which everything that is stored about this caller in this room refers, made at first use.
    pub async fn principal(&self, caller: &Caller, room: &RoomFacts) -> Result<Option<PrincipalId>, AuthError> {
        let Some(principal) = caller.principal.clone() else { return Ok(None) };
        let owner = match (&caller.standing, caller.account_role()) {
            (_, Some((account, _))) => account,
            (Standing::Token(RoomPass { voucher: Voucher::Account(account, _), .. }), None) => *account,
            (_, None) => room.owner,
        };
        Ok(Some(self.store.principal(principal, owner, self.now()).await?))
    }

    /// Nobody can say whether a token is good whose key cannot be opened, so it is not. The operator hears of it once:
    /// every token of that key will come this way.
    fn cannot_verify(&self, error: &AuthError) -> AuthError {
        if !self.sealed_is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "room tokens cannot be verified and are refused");
        }
        Reason::Signature.into()
    }

    fn open_api_key(&self, key: &ApiKey) -> Result<Secret, AuthError> {
        self.keys.open(&key.id, &key.sealed_secret).ok_or_else(|| AuthError::Sealed(key.id.clone()))
    }
}

/// A token is good for the leeway beyond its end, so a denial must last as long.
fn end_of(claims: &Claims) -> WallTime {
    WallTime(claims.exp.saturating_add(LEEWAY_SECS).saturating_mul(1_000_000))
}

fn asset_caller_of(claims: Claims, signer: Option<(AccountId, Role)>) -> Result<Caller, AuthError> {
    let asset = AssetName::parse(claims.asset.as_deref().unwrap_or_default()).map_err(|_| Reason::Malformed)?;
    let expires_at = end_of(&claims);
    Ok(Caller {
        standing: Standing::AssetToken(AssetPass { asset, signer, jti: claims.jti }),
        principal: Some(Principal { issuer: claims.iss, subject: claims.sub, kind: PrincipalKind::Identity }),
        expires_at: Some(expires_at),
        ..Caller::anonymous()
    })
}

fn caller_of(claims: Claims, typ: Type, voucher: Voucher) -> Result<Caller, AuthError> {
    let expires_at = end_of(&claims);
    let room = RoomName::parse(&claims.room).map_err(|_| Reason::Malformed)?;
    let grants = match typ {
        Type::Room => Grants::parse(claims.grants.iter().map(String::as_str)),
        Type::Playback => Grants::from_iter([Grant::Subscribe]),
        // What opens an asset opens no room.
        Type::AssetPlayback => return Err(Reason::WrongKind.into()),
    };
    let holder = match typ {
        Type::Room => Holder::Named { name: claims.name, metadata: claims.metadata },
        Type::Playback | Type::AssetPlayback => Holder::Anybody,
    };
    Ok(Caller {
        standing: Standing::Token(RoomPass { room, voucher, grants, jti: claims.jti, holder }),
        principal: Some(Principal { issuer: claims.iss, subject: claims.sub, kind: PrincipalKind::Identity }),
        expires_at: Some(expires_at),
        ..Caller::anonymous()
    })
}

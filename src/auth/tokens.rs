//! Room tokens and playback tokens: what the authority does with signed credentials.
//!
//! A room token is signed with an API key's secret, by this server or by an app's own. A playback token is signed by
//! this server for one room, or by an app in the same way as its room tokens.

use std::sync::atomic::Ordering;

use telstar_store::{ApiKey, PageRequest, PrincipalId, PrincipalKind, StoreError};
use telstar_units::{AccountId, RoomName, WallTime};

use super::authority::{AuthError, Authority, LIFETIME_SECS_MAX, Reason, Revocation};
use super::caller::{Caller, Grant, Grants, LOCAL, Principal, RoomPass, Standing, Voucher};
use super::jwt::{self, Claims, JwtError, LEEWAY_SECS, Type};
use super::rules::RoomFacts;
use super::secret::{Secret, random_text};

/// How long a room token is good unless it is told otherwise. Guess.
pub const ROOM_TOKEN_LIFETIME_SECS: i64 = 6 * 3_600;
/// How long a playback token is good unless it is told otherwise: longer than most shows. Guess.
pub const PLAYBACK_TOKEN_LIFETIME_SECS: i64 = 24 * 3_600;
/// The longest a playback token may be made for. It stands in addresses, which are passed on. Guess.
pub const PLAYBACK_TOKEN_LIFETIME_SECS_MAX: i64 = 30 * 86_400;
/// 100 bits: no two tokens are ever called alike.
const JTI_CHARACTERS: usize = 20;

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
            // This server signs no room token with a key of its own: it would belong to no account.
            if typ != Type::Playback {
                return Err(Reason::Unknown.into());
            }
            (parsed.verify(typ, self.keys.playback(), now).map_err(Reason::from)?, None)
        } else {
            let key = self.store.api_key(parsed.issuer().to_owned()).await?.ok_or(Reason::Unknown)?;
            let secret = self.open_api_key(&key).map_err(|error| self.cannot_verify(&error))?;
            let claims = parsed.verify(typ, secret.expose().as_bytes(), now);
            (claims.map_err(Reason::from)?, Some(key.account))
        };
        if self.store.token_denied(claims.iss.clone(), claims.jti.clone(), now).await? {
            return Err(Reason::Revoked.into());
        }
        let voucher = match (account, claims.room_id) {
            (Some(account), _) => Voucher::Account(account.id, account.role),
            (None, Some(id)) => Voucher::Server(telstar_store::RoomId(id)),
            (None, None) => return Err(Reason::Malformed.into()),
        };
        caller_of(claims, typ, voucher)
    }

    /// Makes a room token, signed with the account's oldest API key.
    pub async fn create_room_token(
        &self,
        account: AccountId,
        room: RoomName,
        identity: &str,
        grants: Grants,
        lifetime_secs: i64,
    ) -> Result<Minted, AuthError> {
        let expires_at = self.end_of(lifetime_secs, LIFETIME_SECS_MAX)?;
        let key = self.store.api_keys(account, PageRequest::new(None, 1)).await?.items.pop();
        let key = key.ok_or(StoreError::NotFound("API key"))?;
        let claims = Claims {
            iss: key.id.clone(),
            sub: identity.to_owned(),
            exp: expires_at.0 / 1_000_000,
            nbf: Some(self.now().0 / 1_000_000),
            jti: random_text(JTI_CHARACTERS)?.to_string(),
            room: room.to_string(),
            room_id: None,
            grants: grants.names(),
        };
        let token = jwt::sign(Type::Room, &claims, self.open_api_key(&key)?.expose().as_bytes());
        Ok(Minted { secret: Secret::new(token), expires_at })
    }

    /// Makes a playback token for one room.
    pub fn create_playback_token(&self, room: &RoomFacts, lifetime_secs: i64) -> Result<Minted, AuthError> {
        let expires_at = self.end_of(lifetime_secs, PLAYBACK_TOKEN_LIFETIME_SECS_MAX)?;
        let jti = random_text(JTI_CHARACTERS)?.to_string();
        let claims = Claims {
            iss: LOCAL.to_owned(),
            sub: format!("playback:{jti}"),
            exp: expires_at.0 / 1_000_000,
            nbf: None,
            jti,
            room: room.name.to_string(),
            room_id: Some(room.id.0),
            grants: Vec::new(),
        };
        let token = jwt::sign(Type::Playback, &claims, self.keys.playback());
        Ok(Minted { secret: Secret::new(token), expires_at })
    }

    /// Denies the token that `caller` shows, until it expires: a kick, or a leaked link. Callers with another
    /// credential have none to deny. `room` is the room it opens; its owner answers for the denial.
    pub async fn deny(&self, caller: &Caller, room: &RoomFacts) -> Result<(), AuthError> {
        let (Standing::Token(pass), Some(principal), Some(until)) =
            (&caller.standing, &caller.principal, caller.expires_at)
        else {
            return Ok(());
        };
        let (issuer, jti) = (principal.issuer.clone(), pass.jti.clone());
        self.store.deny_token(issuer.clone(), jti.clone(), room.owner, until).await?;
        self.announce(Revocation::Token { issuer, jti });
        Ok(())
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

fn caller_of(claims: Claims, typ: Type, voucher: Voucher) -> Result<Caller, AuthError> {
    let room = RoomName::parse(&claims.room).map_err(|_| Reason::Malformed)?;
    let grants = match typ {
        Type::Room => Grants::parse(claims.grants.iter().map(String::as_str)),
        Type::Playback => Grants::from_iter([Grant::Subscribe]),
    };
    // A token is good for the leeway beyond its end, so a denial must last as long.
    let expires_at = WallTime(claims.exp.saturating_add(LEEWAY_SECS).saturating_mul(1_000_000));
    Ok(Caller {
        standing: Standing::Token(RoomPass { room, voucher, grants, jti: claims.jti }),
        principal: Some(Principal { issuer: claims.iss, subject: claims.sub, kind: PrincipalKind::Identity }),
        expires_at: Some(expires_at),
        ..Caller::anonymous()
    })
}

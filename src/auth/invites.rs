//! Invites and webhook secrets: what the authority makes and looks at for calls.
//!
//! An invite is an opaque secret that is exchanged for a guest's room token. A webhook's secret signs what the webhook is
//! sent, so it is kept sealed, like an API key's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use telstar_store::{Invite, NewInvite, NewWebhook, RoomId, StoreError, Webhook};
use telstar_units::{AccountId, RoomName};
use zeroize::Zeroizing;

use super::authority::{AuthError, Authority, LIFETIME_SECS_MAX, Reason};
use super::caller::Grants;
use super::secret::{Kind, Opaque, Secret, locator_of, random_bytes, random_text};
use super::tokens::{Minted, ROOM_TOKEN_LIFETIME_SECS, RoomToken};

/// How long an invite is good unless it is told otherwise: a meeting next week. Guess.
pub const INVITE_LIFETIME_SECS: i64 = 7 * 86_400;
/// The longest an invite may be made for.
pub const INVITE_LIFETIME_SECS_MAX: i64 = LIFETIME_SECS_MAX;
/// 80 bits: no two guests are ever called alike.
const GUEST_CHARACTERS: usize = 16;
/// 100 bits: the name of a webhook's secret, and of an event.
const NAME_CHARACTERS: usize = 20;
/// Standard Webhooks: a secret has 24 to 64 bytes, `whsec_` and base64. 256 bits, as much as the signature has.
const WEBHOOK_SECRET_BYTES: usize = 32;
const WEBHOOK_SECRET_PREFIX: &str = "whsec_";

/// An invite to be made.
pub struct InviteTerms {
    /// What its maker calls it.
    pub label: String,
    /// What a guest may do.
    pub grants: Grants,
    /// How often it may be exchanged.
    pub uses: Option<u32>,
    /// How long it is good.
    pub lifetime_secs: i64,
}

/// What an invite was exchanged for.
pub struct GuestPass {
    /// The guest's room token.
    pub token: Minted,
    /// The room that it opens.
    pub room: RoomName,
    /// Who the guest is from now on.
    pub identity: String,
}

impl Authority {
    /// Makes an invite. The secret is shown now or never.
    pub async fn create_invite(
        &self,
        room: RoomName,
        terms: InviteTerms,
        owner: AccountId,
    ) -> Result<(Invite, Secret), AuthError> {
        let expires_at = self.end_of(terms.lifetime_secs, INVITE_LIFETIME_SECS_MAX)?;
        let drawn = Opaque::draw(Kind::Invite)?;
        let invite = NewInvite {
            label: terms.label,
            grants: terms.grants.names(),
            locator: drawn.locator,
            hash: drawn.secret.hash(),
            uses: terms.uses,
            expires_at,
        };
        Ok((self.store.create_invite(room, invite, owner, self.now()).await?, drawn.secret))
    }

    /// Exchanges an invite for a guest's room token, which uses it once.
    pub async fn redeem_invite(&self, secret: &Secret, name: &str) -> Result<GuestPass, AuthError> {
        let locator = locator_of(Kind::Invite, secret).ok_or(Reason::Malformed)?;
        let now = self.now();
        let found = self.store.find_invite(locator, now).await?;
        let (invite, room) = found.filter(|(invite, _)| secret.matches(&invite.hash)).ok_or(Reason::Unknown)?;
        let pass = self.guest_pass(room.id, room.name, name, &invite)?;
        match self.store.use_invite(invite.id, now).await {
            Ok(()) => Ok(pass),
            // Another guest had its last use, or it was revoked just now.
            Err(StoreError::NotFound(_)) => Err(Reason::Expired.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn guest_pass(&self, id: RoomId, room: RoomName, name: &str, invite: &Invite) -> Result<GuestPass, AuthError> {
        let identity = format!("guest:{}", *random_text(GUEST_CHARACTERS)?);
        let token = RoomToken {
            room: room.clone(),
            identity: identity.clone(),
            name: Some(name.to_owned()),
            metadata: None,
            grants: Grants::parse(invite.grants.iter().map(String::as_str)),
            lifetime_secs: ROOM_TOKEN_LIFETIME_SECS,
        };
        Ok(GuestPass { token: self.create_guest_token(id, token)?, room, identity })
    }

    /// Makes a webhook. The secret is shown now or never.
    pub async fn create_webhook(
        &self,
        owner: AccountId,
        url: String,
        events: Vec<String>,
    ) -> Result<(Webhook, Secret), AuthError> {
        let mut bytes = Zeroizing::new([0; WEBHOOK_SECRET_BYTES]);
        random_bytes(&mut *bytes)?;
        let secret = Secret::new(format!("{WEBHOOK_SECRET_PREFIX}{}", BASE64.encode(*bytes)));
        let secret_id = format!("wh_{}", *random_text(NAME_CHARACTERS)?);
        let sealed_secret = self.keys.seal(&secret_id, &secret)?;
        let webhook = NewWebhook { url, events, secret_id, sealed_secret };
        Ok((self.store.create_webhook(webhook, owner, self.now()).await?, secret))
    }

    /// The key that signs what this webhook is sent, or `None` if it was sealed under another key file.
    pub fn webhook_key(&self, webhook: &Webhook) -> Option<Zeroizing<Vec<u8>>> {
        let secret = self.keys.open(&webhook.secret_id, &webhook.sealed_secret)?;
        let text = secret.expose().strip_prefix(WEBHOOK_SECRET_PREFIX)?;
        BASE64.decode(text).ok().map(Zeroizing::new)
    }

    /// A new name for an event, the same at every attempt to tell it.
    pub fn new_message_name(&self) -> Result<String, AuthError> {
        Ok(format!("msg_{}", *random_text(NAME_CHARACTERS)?))
    }
}

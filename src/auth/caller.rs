//! Who asks: a principal, and what its credential allows.

use telstar_store::{Account, ApiTokenId, PrincipalKind, PrincipalName, Role, RoomId, SessionId, StreamKeyId};
use telstar_units::{AccountId, AssetName, RoomName, WallTime};

use super::authority::Revocation;

/// The issuer of principals that this server vouches for itself.
pub(super) const LOCAL: &str = "local";

/// Who somebody is: `(issuer, subject, kind)`. Equal subjects of two issuers are different people.
pub type Principal = PrincipalName;

/// What a room token allows in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// Take part in a call.
    Join,
    /// Publish tracks.
    Publish,
    /// Watch.
    Subscribe,
    /// Write in the chat.
    Chat,
    /// Upload files.
    Upload,
    /// Push a stream from an encoder.
    Ingest,
    /// Change and delete the room, and everything else in it.
    Admin,
}

impl Grant {
    /// Every grant.
    pub const ALL: [Grant; 7] =
        [Grant::Join, Grant::Publish, Grant::Subscribe, Grant::Chat, Grant::Upload, Grant::Ingest, Grant::Admin];

    /// How tokens spell it.
    pub fn name(self) -> &'static str {
        match self {
            Grant::Join => "join",
            Grant::Publish => "publish",
            Grant::Subscribe => "subscribe",
            Grant::Chat => "chat",
            Grant::Upload => "upload",
            Grant::Ingest => "ingest",
            Grant::Admin => "admin",
        }
    }
}

/// A set of grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants(u8);

impl Grants {
    /// Whether `grant` is in it.
    pub fn has(self, grant: Grant) -> bool {
        self.0 & (1 << grant as u8) != 0
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The grants of a token. A name that this program does not know grants nothing.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Grants {
        names.into_iter().filter_map(|name| Grant::ALL.into_iter().find(|grant| grant.name() == name)).collect()
    }

    /// The names, as tokens spell them.
    pub fn names(self) -> Vec<String> {
        Grant::ALL.into_iter().filter(|grant| self.has(*grant)).map(|grant| grant.name().to_owned()).collect()
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Grants {
        Grants(grants.into_iter().fold(0, |bits, grant| bits | 1 << grant as u8))
    }
}

/// Who answers for a token: a token can give away no more than its signer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// This server, for the one room of this number: playback tokens, and the tokens of guests.
    Server(RoomId),
    /// The account of the API key that signed it, for its rooms.
    Account(AccountId, Role),
}

/// What a room token or playback token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomPass {
    /// The room.
    pub room: RoomName,
    /// Who answers for it.
    pub voucher: Voucher,
    /// What it allows there.
    pub grants: Grants,
    /// The token's own name, by which it is denied.
    pub jti: String,
    /// Who shows it, as whoever signed it introduces them.
    pub holder: Holder,
}

/// What a playback token of an asset opens: that asset, to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetPass {
    /// The asset.
    pub asset: AssetName,
    /// The account of the API key that signed it, for its assets; `None` is this server.
    pub signer: Option<(AccountId, Role)>,
    /// The token's own name, by which it is denied.
    pub jti: String,
}

/// How the signer of a token introduces its holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Holder {
    /// A playback token: whoever has the link.
    #[default]
    Anybody,
    /// A room token: the one that its subject names.
    Named {
        /// What others see.
        name: Option<String>,
        /// The app's own words about them.
        metadata: Option<String>,
    },
}

/// A signed token's name: what it takes to deny it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenName {
    /// Who signed it.
    pub issuer: String,
    /// Its own name.
    pub jti: String,
    /// When nobody takes it any more.
    pub expires_at: WallTime,
}

/// What a stream key opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamKeyPass {
    /// The key.
    pub key: StreamKeyId,
    /// The key's public part, by which it is looked at again.
    pub(super) locator: String,
    /// Its room's number.
    pub room_id: RoomId,
    /// Its room's name, for encoders that do not name it.
    pub room: RoomName,
    /// What its owner calls it.
    pub label: String,
}

/// What a caller's credential is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// None was shown.
    Anonymous,
    /// A session cookie.
    Session(SessionId, AccountId, Role),
    /// An API token.
    ApiToken(ApiTokenId, AccountId, Role),
    /// A room token, or a playback token of a room.
    Token(RoomPass),
    /// A playback token of an asset.
    AssetToken(AssetPass),
    /// A stream key.
    StreamKey(StreamKeyPass),
}

/// Who asks, after the credential was found good.
#[derive(Clone)]
pub struct Caller {
    /// What the credential is worth.
    pub standing: Standing,
    /// Who it is; nobody without a credential.
    pub principal: Option<Principal>,
    /// The account behind it, for pages.
    pub account: Option<Account>,
    /// When the credential ends. A connection that outlives its request ends then, too.
    pub expires_at: Option<WallTime>,
    /// Whether the request comes from this machine, and not through a proxy on it.
    pub from_loopback: bool,
}

impl Caller {
    /// Somebody without a credential.
    pub fn anonymous() -> Caller {
        Caller { standing: Standing::Anonymous, principal: None, account: None, expires_at: None, from_loopback: false }
    }

    /// Somebody with an account.
    pub(super) fn account(standing: Standing, account: Account, expires_at: WallTime) -> Caller {
        let principal = Principal {
            issuer: LOCAL.into(),
            subject: format!("account:{}", account.id),
            kind: PrincipalKind::Account,
        };
        Caller {
            standing,
            principal: Some(principal),
            account: Some(account),
            expires_at: Some(expires_at),
            from_loopback: false,
        }
    }

    /// Says where the request comes from.
    #[must_use]
    pub fn at_loopback(self, from_loopback: bool) -> Caller {
        Caller { from_loopback, ..self }
    }

    /// Whether a credential was shown.
    pub fn is_anonymous(&self) -> bool {
        self.standing == Standing::Anonymous
    }

    /// The token that was shown, by which it can be denied, if it was one.
    pub fn token(&self) -> Option<TokenName> {
        let jti = match &self.standing {
            Standing::Token(pass) => &pass.jti,
            Standing::AssetToken(pass) => &pass.jti,
            Standing::Anonymous | Standing::Session(..) | Standing::ApiToken(..) | Standing::StreamKey(_) => {
                return None;
            }
        };
        let (principal, expires_at) = self.principal.as_ref().zip(self.expires_at)?;
        Some(TokenName { issuer: principal.issuer.clone(), jti: jti.clone(), expires_at })
    }

    /// Whether what was taken back is what this caller came with.
    pub fn relies_on(&self, revocation: &Revocation) -> bool {
        let issuer = self.principal.as_ref().map(|principal| principal.issuer.as_str());
        match (revocation, &self.standing) {
            (Revocation::Session(gone), Standing::Session(session, ..)) => gone == session,
            (Revocation::StreamKey(gone), Standing::StreamKey(pass)) => *gone == pass.key,
            (Revocation::Token { issuer: signer, jti }, Standing::Token(pass)) => {
                pass.jti == *jti && issuer == Some(signer)
            }
            (Revocation::Token { issuer: signer, jti }, Standing::AssetToken(pass)) => {
                pass.jti == *jti && issuer == Some(signer)
            }
            (Revocation::ApiKey(gone), Standing::Token(_) | Standing::AssetToken(_)) => issuer == Some(gone),
            (
                Revocation::Session(_) | Revocation::StreamKey(_) | Revocation::ApiKey(_) | Revocation::Token { .. },
                _,
            ) => false,
        }
    }

    /// The account that a session or an API token stands for. A room token has none: it is a guest of one.
    pub fn account_role(&self) -> Option<(AccountId, Role)> {
        match self.standing {
            Standing::Session(_, account, role) | Standing::ApiToken(_, account, role) => Some((account, role)),
            Standing::Anonymous | Standing::Token(_) | Standing::AssetToken(_) | Standing::StreamKey(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_what_was_named_and_known() {
        let grants = Grants::parse(["publish", "fly", "SUBSCRIBE", "chat", "publish"]);
        assert_eq!(grants.names(), ["publish", "chat"]);
        assert!(grants.has(Grant::Publish) && !grants.has(Grant::Subscribe) && !grants.is_empty());
        assert!(Grants::parse(["fly"]).is_empty());
        assert_eq!(Grant::ALL.into_iter().collect::<Grants>().names().len(), Grant::ALL.len());
    }
}

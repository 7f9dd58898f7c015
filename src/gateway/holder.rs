//! What a connection's credential says: who holds it, and for how long.
//!
//! In: a caller that was authenticated. Out: the core's principal, a name for others to see.

use std::time::{Duration, Instant};

use telstar_signaling::Principal;
use telstar_signaling::wire::{Metadata, Name};
use telstar_units::WallTime;

use super::ws::Gateway;
use crate::auth::{Caller, Holder, Standing};

/// What the credential says about its holder.
pub(super) fn introduction(caller: &Caller) -> (Name, Metadata) {
    let Standing::Token(pass) = &caller.standing else { return Default::default() };
    let Holder::Named { name, metadata } = &pass.holder else { return Default::default() };
    // What an app signed may still be too long for others to see.
    let name = name.as_deref().and_then(Name::parse).unwrap_or_default();
    (name, metadata.clone().and_then(Metadata::parse).unwrap_or_default())
}

/// Who the caller is, for the core.
pub(super) fn principal(gateway: &Gateway, caller: &Caller) -> Principal {
    let subject = caller.principal.as_ref().map(|principal| principal.subject.clone());
    // A playback token names nobody: its subject is only the token's own name.
    let is_pass = match &caller.standing {
        Standing::Token(pass) => pass.holder == Holder::Anybody,
        Standing::AssetToken(_) => true,
        Standing::Anonymous | Standing::Session(..) | Standing::ApiToken(..) | Standing::StreamKey(_) => false,
    };
    let left = |end: WallTime| u64::try_from(end.0.saturating_sub(gateway.state.authority.now().0)).unwrap_or(0);
    Principal {
        identity: subject.filter(|_| !is_pass),
        expires_at: caller.expires_at.map(|end| Instant::now() + Duration::from_micros(left(end))),
    }
}

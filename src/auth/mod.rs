//! Who somebody is, and what they may do.
//!
//! A credential goes in ([`Authority::authenticate`]), a [`Caller`] comes out; a caller, an [`Action`] and the facts
//! of a room go into [`authorise`], which every door on every transport asks and which denies what it does not name.
//!
//! - `secret`: opaque secrets, minted, hashed and compared;
//! - `jwt`: the one kind of JSON Web Token that is accepted, signed and verified;
//! - `keyfile`: the key at the root of all others, and what is sealed under it;
//! - `authority`, `tokens`, `invites`: minting and verifying against the store;
//! - `caller`, `rules`: who, what, and whether;
//! - `origin`, `cookie`: what a browser's request must show beside its cookie;
//! - `throttle`: how often an address may be wrong.
//!
//! Only this module sees a secret as text after it was read from a request, and none of its types prints one.

mod authority;
mod caller;
mod cookie;
mod invites;
mod jwt;
mod keyfile;
mod origin;
mod rules;
mod secret;
mod throttle;
mod tokens;

#[cfg(test)]
mod tests;

pub use authority::{
    API_TOKEN_LIFETIME_SECS, API_TOKEN_LIFETIME_SECS_MAX, AuthError, Authority, Clock, Credential, FirstStart, Reason,
    Revocation, SESSION_LIFETIME_SECS, SIGN_IN_CODE_LIFETIME_SECS, SignedIn, Started,
};
pub use caller::{
    AssetPass, Caller, Grant, Grants, Holder, Principal, RoomPass, Standing, StreamKeyPass, TokenName, Voucher,
};
pub use cookie::{SECURE_SESSION_COOKIE, SESSION_COOKIE, clear_session_cookies, session_cookie, sessions_of};
pub use invites::{GuestPass, INVITE_LIFETIME_SECS, INVITE_LIFETIME_SECS_MAX, InviteTerms};
pub use keyfile::{KeyFile, KeyFileError};
pub use origin::{OriginCheck, OurOrigin};
pub use rules::{About, Action, AssetFacts, Denied, RoomFacts, Subject, authorise, call_grants};
pub use secret::{NoRandomness, Secret, random_text};
pub use throttle::{Throttle, ThrottleConfig};
pub use tokens::{
    IDENTITY_BYTES_MAX, Minted, PLAYBACK_TOKEN_LIFETIME_SECS, PLAYBACK_TOKEN_LIFETIME_SECS_MAX,
    ROOM_TOKEN_LIFETIME_SECS, RoomToken, TOKEN_METADATA_BYTES_MAX, TOKEN_NAME_CHARS_MAX,
};

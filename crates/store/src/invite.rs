//! Invites: links that let guests into a room's calls.

use telstar_units::{AccountId, WallTime};

use crate::{InviteId, RoomId, SecretHash};

/// An invite to be made.
pub struct NewInvite {
    /// What its maker calls it.
    pub label: String,
    /// What a guest is given, in the words of tokens. The store does not know what they mean.
    pub grants: Vec<String>,
    /// Its public part, by which it is found.
    pub locator: String,
    /// The hash of the whole invite.
    pub hash: SecretHash,
    /// How often it may be exchanged; `None` is as often as one likes.
    pub uses: Option<u32>,
    /// When it ends.
    pub expires_at: WallTime,
}

/// An invite, without its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its public number.
    pub id: InviteId,
    /// The room it opens.
    pub room: RoomId,
    /// Whose it is.
    pub owner: AccountId,
    /// What its maker calls it.
    pub label: String,
    /// What a guest is given.
    pub grants: Vec<String>,
    /// The hash of the whole invite.
    pub hash: SecretHash,
    /// How often it may still be exchanged.
    pub uses_left: Option<u32>,
    /// When it was made.
    pub created_at: WallTime,
    /// When it ends.
    pub expires_at: WallTime,
}

//! The rules: one pure function that every door asks, and that denies what it does not name.

use telstar_store::{Role, Room, RoomId};
use telstar_units::{AccountId, RoomName};

use super::caller::{Caller, Grant, Grants, RoomPass, Standing, Voucher};

/// Everything that can be asked of this server, one for each kind of door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Liveness and readiness.
    ReadHealth,
    /// The web app's pages and scripts. What they show, they ask for themselves.
    ReadPages,
    /// Version and public address.
    ReadServerFacts,
    /// The description of the API.
    ReadApiDescription,
    /// Open a WebSocket. What is done over it is asked for by itself.
    OpenSocket,
    /// Exchange a one-time code for a session.
    SignIn,
    /// Prometheus.
    ReadMetrics,
    /// Where encoders connect.
    ReadIngestAddresses,
    /// Who is signed in.
    ReadSession,
    /// End the session.
    SignOut,
    /// The account's own rooms, as a list and as a topic.
    ListRooms,
    /// Make a room.
    CreateRoom,
    /// A room's facts and live state, as a resource and as a topic.
    ReadRoom,
    /// A room's playlists and segments.
    WatchRoom,
    /// What a room's encoder sends, and the warnings about it.
    ReadIngest,
    /// Title, openness, embedding.
    ChangeRoom,
    /// Delete the room with its keys.
    DeleteRoom,
    /// List, make and revoke stream keys.
    ManageStreamKeys,
    /// Make playback tokens.
    MintPlaybackTokens,
    /// Push a stream into the room.
    Publish,
    /// Take part in the room's call. What one may do there: [`call_grants`].
    JoinCall,
    /// See and change who takes part in the room's call, and send them data.
    ModerateCall,
    /// List, make and revoke invites.
    ManageInvites,
    /// Make room tokens.
    MintTokens,
    /// Exchange an invite for a guest's token.
    RedeemInvite,
    /// The account's own API keys.
    ManageApiKeys,
    /// The account's own webhooks.
    ManageWebhooks,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 27] = [
        Action::ReadHealth,
        Action::ReadPages,
        Action::ReadServerFacts,
        Action::ReadApiDescription,
        Action::OpenSocket,
        Action::SignIn,
        Action::ReadMetrics,
        Action::ReadIngestAddresses,
        Action::ReadSession,
        Action::SignOut,
        Action::ListRooms,
        Action::CreateRoom,
        Action::ReadRoom,
        Action::WatchRoom,
        Action::ReadIngest,
        Action::ChangeRoom,
        Action::DeleteRoom,
        Action::ManageStreamKeys,
        Action::MintPlaybackTokens,
        Action::Publish,
        Action::JoinCall,
        Action::ModerateCall,
        Action::ManageInvites,
        Action::MintTokens,
        Action::RedeemInvite,
        Action::ManageApiKeys,
        Action::ManageWebhooks,
    ];

    /// Whether it is asked about a room.
    pub fn is_about_a_room(self) -> bool {
        match self {
            Action::ReadHealth
            | Action::ReadPages
            | Action::ReadServerFacts
            | Action::ReadApiDescription
            | Action::OpenSocket
            | Action::SignIn
            | Action::ReadMetrics
            | Action::ReadIngestAddresses
            | Action::ReadSession
            | Action::SignOut
            | Action::ListRooms
            | Action::CreateRoom
            | Action::RedeemInvite
            | Action::ManageApiKeys
            | Action::ManageWebhooks => false,
            Action::ReadRoom
            | Action::WatchRoom
            | Action::ReadIngest
            | Action::ChangeRoom
            | Action::DeleteRoom
            | Action::ManageStreamKeys
            | Action::MintPlaybackTokens
            | Action::Publish
            | Action::JoinCall
            | Action::ModerateCall
            | Action::ManageInvites
            | Action::MintTokens => true,
        }
    }
}

/// What the rules need to know of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomFacts {
    /// Its number.
    pub id: RoomId,
    /// Its name.
    pub name: RoomName,
    /// Whose it is.
    pub owner: AccountId,
    /// Whether whoever has the link may watch.
    pub open: bool,
}

impl From<&Room> for RoomFacts {
    fn from(room: &Room) -> RoomFacts {
        RoomFacts { id: room.id, name: room.name.clone(), owner: room.owner, open: room.open }
    }
}

/// Why not, in the three answers that a door gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A credential is needed: 401.
    #[error("sign in, or show a credential")]
    Unauthenticated,
    /// This credential does not do: 403.
    #[error("this credential does not allow that")]
    Forbidden,
    /// There is no such room, or the caller may not know whether there is: 404, the same for both.
    #[error("there is no such room")]
    NotFound,
}

/// Whether `caller` may do `action`, in `room` where the action is about one.
///
/// A room that does not exist is `None`: the answer is then what a room that the caller may not see would get.
pub fn authorise(caller: &Caller, action: Action, room: Option<&RoomFacts>) -> Result<(), Denied> {
    let allowed = match (action.is_about_a_room(), room) {
        (false, _) => allows_on_server(caller, action),
        (true, Some(room)) => allows_in_room(caller, action, room),
        (true, None) => false,
    };
    if allowed {
        return Ok(());
    }
    // Reading and watching answer 404 to everybody, so that trying names tells nothing. Else whoever shows no
    // credential is asked for one, whether the room exists or not.
    let reads = matches!(action, Action::ReadRoom | Action::WatchRoom);
    if caller.is_anonymous() && !reads {
        return Err(Denied::Unauthenticated);
    }
    let hidden = action.is_about_a_room() && !room.is_some_and(|room| allows_in_room(caller, Action::ReadRoom, room));
    Err(if hidden { Denied::NotFound } else { Denied::Forbidden })
}

fn allows_on_server(caller: &Caller, action: Action) -> bool {
    match action {
        Action::ReadHealth
        | Action::ReadPages
        | Action::ReadServerFacts
        | Action::ReadApiDescription
        | Action::OpenSocket
        | Action::SignIn
        // The invite itself is the credential, as the code is of a sign-in.
        | Action::RedeemInvite => true,
        Action::ReadMetrics => {
            caller.from_loopback || caller.account_role().is_some_and(|(_, role)| role == Role::Admin)
        }
        Action::ReadIngestAddresses
        | Action::ReadSession
        | Action::ListRooms
        | Action::CreateRoom
        | Action::ManageApiKeys
        | Action::ManageWebhooks => caller.account_role().is_some(),
        Action::SignOut => matches!(caller.standing, Standing::Session(..)),
        Action::ReadRoom
        | Action::WatchRoom
        | Action::ReadIngest
        | Action::ChangeRoom
        | Action::DeleteRoom
        | Action::ManageStreamKeys
        | Action::MintPlaybackTokens
        | Action::Publish
        | Action::JoinCall
        | Action::ModerateCall
        | Action::ManageInvites
        | Action::MintTokens => false,
    }
}

fn allows_in_room(caller: &Caller, action: Action, room: &RoomFacts) -> bool {
    if room.open && matches!(action, Action::ReadRoom | Action::WatchRoom) {
        return true;
    }
    match &caller.standing {
        Standing::Anonymous => false,
        // An owner and an admin may do everything in a room, other accounts what anybody may.
        Standing::Session(_, account, role) | Standing::ApiToken(_, account, role) => {
            // Calls of an open room are for everybody who has an account here.
            let is_open_call = room.open && action == Action::JoinCall;
            *role == Role::Admin || *account == room.owner || is_open_call
        }
        Standing::Token(pass) => covers(pass, room) && grants_allow(pass, action),
        Standing::StreamKey(pass) => action == Action::Publish && pass.room_id == room.id,
    }
}

/// Whether the pass is for this room, and whoever signed it has it to give.
fn covers(pass: &RoomPass, room: &RoomFacts) -> bool {
    let given = match pass.voucher {
        Voucher::Server(id) => id == room.id,
        Voucher::Account(account, role) => role == Role::Admin || account == room.owner,
    };
    given && pass.room == room.name
}

fn grants_allow(pass: &RoomPass, action: Action) -> bool {
    let has = |grant| pass.grants.has(grant) || pass.grants.has(Grant::Admin);
    match action {
        // Whoever may do anything in a room may see that it is there.
        Action::ReadRoom => !pass.grants.is_empty(),
        Action::WatchRoom => has(Grant::Subscribe),
        Action::Publish => has(Grant::Publish) || has(Grant::Ingest),
        Action::JoinCall => has(Grant::Join),
        Action::ReadIngest
        | Action::ChangeRoom
        | Action::DeleteRoom
        | Action::ManageStreamKeys
        | Action::MintPlaybackTokens
        | Action::ModerateCall
        | Action::ManageInvites => has(Grant::Admin),
        // A token that could make tokens would outlive its own end, and a kick.
        Action::MintTokens => false,
        Action::ReadHealth
        | Action::ReadPages
        | Action::ReadServerFacts
        | Action::ReadApiDescription
        | Action::OpenSocket
        | Action::SignIn
        | Action::ReadMetrics
        | Action::ReadIngestAddresses
        | Action::ReadSession
        | Action::SignOut
        | Action::ListRooms
        | Action::CreateRoom
        | Action::RedeemInvite
        | Action::ManageApiKeys
        | Action::ManageWebhooks => false,
    }
}

/// What somebody with an account may do in the call of an open room that is not theirs.
const VISITOR: [Grant; 4] = [Grant::Join, Grant::Publish, Grant::Subscribe, Grant::Chat];

/// What `caller` may do in the room's call, or why it may not join.
pub fn call_grants(caller: &Caller, room: Option<&RoomFacts>) -> Result<Grants, Denied> {
    authorise(caller, Action::JoinCall, room)?;
    let moderates = authorise(caller, Action::ModerateCall, room).is_ok();
    Ok(match &caller.standing {
        _ if moderates => Grant::ALL.into_iter().collect(),
        Standing::Token(pass) => pass.grants,
        _ => VISITOR.into_iter().collect(),
    })
}

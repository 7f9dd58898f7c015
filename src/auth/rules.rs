//! The rules: one pure function that every door asks, and that denies what it does not name.

use telstar_store::{Asset, Role, Room, RoomId};
use telstar_units::{AccountId, AssetName, RoomName};

use super::caller::{AssetPass, Caller, Grant, Grants, RoomPass, Standing, Voucher};

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
    /// The account's own assets and their jobs, as lists.
    ListAssets,
    /// Make an asset, at once or by an upload, and do with one's own uploads whatever uploads allow.
    CreateAsset,
    /// What happens to the account's own assets, as it happens.
    ReadEvents,
    /// An asset's facts.
    ReadAsset,
    /// An asset's playlists, segments and pictures.
    WatchAsset,
    /// An asset's source.
    DownloadAsset,
    /// Title, openness, embedding.
    ChangeAsset,
    /// Delete the asset with all that is of it.
    DeleteAsset,
    /// Make playback tokens of an asset.
    MintAssetTokens,
    /// See, cancel and retry an asset's jobs, and have renditions made anew.
    ManageJobs,
}

/// What an action is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The server as a whole.
    Server,
    /// A room.
    Room,
    /// An asset.
    Asset,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 37] = [
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
        Action::ListAssets,
        Action::CreateAsset,
        Action::ReadEvents,
        Action::ReadAsset,
        Action::WatchAsset,
        Action::DownloadAsset,
        Action::ChangeAsset,
        Action::DeleteAsset,
        Action::MintAssetTokens,
        Action::ManageJobs,
    ];

    /// What it is asked about.
    pub fn about(self) -> About {
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
            | Action::ManageWebhooks
            | Action::ListAssets
            | Action::CreateAsset
            | Action::ReadEvents => About::Server,
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
            | Action::MintTokens => About::Room,
            Action::ReadAsset
            | Action::WatchAsset
            | Action::DownloadAsset
            | Action::ChangeAsset
            | Action::DeleteAsset
            | Action::MintAssetTokens
            | Action::ManageJobs => About::Asset,
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

/// What the rules need to know of an asset. Names are never drawn twice, so the name alone says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetFacts {
    /// Its name.
    pub name: AssetName,
    /// Whose it is.
    pub owner: AccountId,
    /// Whether whoever has the link may watch.
    pub open: bool,
}

impl From<&Asset> for AssetFacts {
    fn from(asset: &Asset) -> AssetFacts {
        AssetFacts { name: asset.name.clone(), owner: asset.owner, open: asset.open }
    }
}

/// The thing that an action is about. One that does not exist is `None`: the answer is then what a thing that the
/// caller may not see would get.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// The server as a whole.
    Server,
    /// A room. Where the action is about the server, it does not matter.
    Room(Option<&'a RoomFacts>),
    /// An asset.
    Asset(Option<&'a AssetFacts>),
}

impl<'a> From<Option<&'a RoomFacts>> for Subject<'a> {
    fn from(room: Option<&'a RoomFacts>) -> Subject<'a> {
        Subject::Room(room)
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
    /// There is no such thing, or the caller may not know whether there is: 404, the same for both.
    #[error("there is no such thing")]
    NotFound,
}

/// Whether `caller` may do `action` with `subject`.
pub fn authorise<'a>(caller: &Caller, action: Action, subject: impl Into<Subject<'a>>) -> Result<(), Denied> {
    let subject = subject.into();
    if allows(caller, action, subject) {
        return Ok(());
    }
    // Reading and watching answer 404 to everybody, so that trying names tells nothing. Else whoever shows no
    // credential is asked for one, whether the thing exists or not.
    let reads = matches!(
        action,
        Action::ReadRoom | Action::WatchRoom | Action::ReadAsset | Action::WatchAsset | Action::DownloadAsset
    );
    if caller.is_anonymous() && !reads {
        return Err(Denied::Unauthenticated);
    }
    let is_hidden = match action.about() {
        About::Server => false,
        About::Room => !allows(caller, Action::ReadRoom, subject),
        About::Asset => !allows(caller, Action::WatchAsset, subject),
    };
    Err(if is_hidden { Denied::NotFound } else { Denied::Forbidden })
}

fn allows(caller: &Caller, action: Action, subject: Subject<'_>) -> bool {
    match (action.about(), subject) {
        (About::Server, _) => allows_on_server(caller, action),
        (About::Room, Subject::Room(Some(room))) => allows_in_room(caller, action, room),
        (About::Asset, Subject::Asset(Some(asset))) => allows_on_asset(caller, action, asset),
        // It is not there, or is something else.
        (About::Room | About::Asset, _) => false,
    }
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
        | Action::ManageWebhooks
        | Action::ListAssets
        | Action::CreateAsset
        | Action::ReadEvents => caller.account_role().is_some(),
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
        | Action::MintTokens
        | Action::ReadAsset
        | Action::WatchAsset
        | Action::DownloadAsset
        | Action::ChangeAsset
        | Action::DeleteAsset
        | Action::MintAssetTokens
        | Action::ManageJobs => false,
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
        Standing::AssetToken(_) => false,
    }
}

fn allows_on_asset(caller: &Caller, action: Action, asset: &AssetFacts) -> bool {
    if asset.open && matches!(action, Action::ReadAsset | Action::WatchAsset | Action::DownloadAsset) {
        return true;
    }
    match &caller.standing {
        // Assets are an account's; whoever takes part in a room has none of them.
        Standing::Anonymous | Standing::Token(_) | Standing::StreamKey(_) => false,
        Standing::Session(_, account, role) | Standing::ApiToken(_, account, role) => {
            *role == Role::Admin || *account == asset.owner
        }
        // To watch is not to have the source.
        Standing::AssetToken(pass) => action == Action::WatchAsset && covers_asset(pass, asset),
    }
}

/// Whether the pass is for this asset, and whoever signed it has it to give.
fn covers_asset(pass: &AssetPass, asset: &AssetFacts) -> bool {
    let given = match pass.signer {
        None => true,
        Some((account, role)) => role == Role::Admin || account == asset.owner,
    };
    given && pass.asset == asset.name
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
        | Action::ManageWebhooks
        | Action::ListAssets
        | Action::CreateAsset
        | Action::ReadEvents
        | Action::ReadAsset
        | Action::WatchAsset
        | Action::DownloadAsset
        | Action::ChangeAsset
        | Action::DeleteAsset
        | Action::MintAssetTokens
        | Action::ManageJobs => false,
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

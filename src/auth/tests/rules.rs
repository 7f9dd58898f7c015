//! Every caller, every action, every kind of room and asset: what is not in the table is denied.

use telstar_store::{ApiTokenId, Role, RoomId, SessionId, StreamKeyId};
use telstar_units::{AccountId, AssetName, RoomName};

use crate::auth::caller::StreamKeyPass;
use crate::auth::{
    About, Action, AssetFacts, AssetPass, Caller, Denied, Grant, Grants, Holder, RoomFacts, RoomPass, Standing,
    Subject, Voucher, authorise, call_grants,
};

const OWNER: AccountId = AccountId(2);
const OTHER: AccountId = AccountId(3);
const ADMIN: AccountId = AccountId(1);

/// Server actions that need nothing.
const PUBLIC: &[Action] = &[
    Action::ReadHealth,
    Action::ReadPages,
    Action::ReadServerFacts,
    Action::ReadApiDescription,
    Action::OpenSocket,
    Action::SignIn,
    Action::RedeemInvite,
];
/// What an account may do on the server beyond that.
const ACCOUNT: &[Action] = &[
    Action::ReadIngestAddresses,
    Action::ReadSession,
    Action::ListRooms,
    Action::CreateRoom,
    Action::ManageApiKeys,
    Action::ManageWebhooks,
    Action::ListAssets,
    Action::CreateAsset,
    Action::ReadEvents,
];
/// Everything that can be done with an asset.
const ASSETS: &[Action] = &[
    Action::ReadAsset,
    Action::WatchAsset,
    Action::DownloadAsset,
    Action::ChangeAsset,
    Action::DeleteAsset,
    Action::MintAssetTokens,
    Action::ManageJobs,
];
/// What anybody may do with an open asset.
const OPEN_ASSETS: &[Action] = &[Action::ReadAsset, Action::WatchAsset, Action::DownloadAsset];
/// Everything in a room that a token may allow.
const TOKENS: &[Action] = &[
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
];
/// What anybody may do in an open room.
const OPEN: &[Action] = &[Action::ReadRoom, Action::WatchRoom];

fn name(text: &str) -> RoomName {
    RoomName::parse(text).expect("the test writes a slug")
}

fn facts(open: bool) -> RoomFacts {
    RoomFacts { id: RoomId(5), name: name("demo"), owner: OWNER, open }
}

fn asset_name(text: &str) -> AssetName {
    AssetName::parse(&format!("{text:0>22}")).expect("the test writes letters and digits")
}

fn asset_facts(open: bool) -> AssetFacts {
    AssetFacts { name: asset_name("holiday"), owner: OWNER, open }
}

fn asset_token(asset: &str, signer: Option<(AccountId, Role)>) -> Caller {
    caller(Standing::AssetToken(AssetPass { asset: asset_name(asset), signer, jti: "j".into() }))
}

fn caller(standing: Standing) -> Caller {
    Caller { standing, ..Caller::anonymous() }
}

fn token(room: &str, voucher: Voucher, grants: &[Grant]) -> Caller {
    let grants: Grants = grants.iter().copied().collect();
    caller(Standing::Token(RoomPass { room: name(room), voucher, grants, jti: "j".into(), holder: Holder::Anybody }))
}

fn stream_key(room: i64) -> Caller {
    let pass = StreamKeyPass {
        key: StreamKeyId(1),
        locator: "l".into(),
        room_id: RoomId(room),
        room: name("demo"),
        label: String::new(),
    };
    caller(Standing::StreamKey(pass))
}

/// Everything in a room.
fn everything() -> Vec<Action> {
    [TOKENS, &[Action::MintTokens]].concat()
}

/// A caller, what it may do on the server beyond what is public, and what it may do in the closed room.
type Row = (&'static str, Caller, Vec<Action>, Vec<Action>);

fn table() -> Vec<Row> {
    let with_sign_out = [ACCOUNT, &[Action::SignOut]].concat();
    let admin = [with_sign_out.as_slice(), &[Action::ReadMetrics]].concat();
    let by_owner = |grants: &[Grant]| token("demo", Voucher::Account(OWNER, Role::Member), grants);
    let all = &Grant::ALL;
    vec![
        ("nobody", Caller::anonymous(), vec![], vec![]),
        ("nobody, on this machine", Caller::anonymous().at_loopback(true), vec![Action::ReadMetrics], vec![]),
        (
            "the owner",
            caller(Standing::Session(SessionId(1), OWNER, Role::Member)),
            with_sign_out.clone(),
            everything(),
        ),
        (
            "the owner's script",
            caller(Standing::ApiToken(ApiTokenId(1), OWNER, Role::Member)),
            ACCOUNT.into(),
            everything(),
        ),
        ("another account", caller(Standing::Session(SessionId(1), OTHER, Role::Member)), with_sign_out, vec![]),
        ("another's script", caller(Standing::ApiToken(ApiTokenId(1), OTHER, Role::Member)), ACCOUNT.into(), vec![]),
        ("an admin", caller(Standing::Session(SessionId(1), ADMIN, Role::Admin)), admin.clone(), everything()),
        (
            "an admin's script",
            caller(Standing::ApiToken(ApiTokenId(1), ADMIN, Role::Admin)),
            [ACCOUNT, &[Action::ReadMetrics]].concat(),
            everything(),
        ),
        ("the room's encoder", stream_key(5), vec![], vec![Action::Publish]),
        ("the encoder of a room of the same name before", stream_key(4), vec![], vec![]),
        ("a token without grants", by_owner(&[]), vec![], vec![]),
        ("a token to join", by_owner(&[Grant::Join]), vec![], vec![Action::ReadRoom, Action::JoinCall]),
        ("a token to chat", by_owner(&[Grant::Chat]), vec![], vec![Action::ReadRoom]),
        ("a token to upload", by_owner(&[Grant::Upload]), vec![], vec![Action::ReadRoom]),
        ("a token to watch", by_owner(&[Grant::Subscribe]), vec![], OPEN.into()),
        ("a token to publish", by_owner(&[Grant::Publish]), vec![], vec![Action::ReadRoom, Action::Publish]),
        ("a token to push", by_owner(&[Grant::Ingest]), vec![], vec![Action::ReadRoom, Action::Publish]),
        ("a token to administer", by_owner(&[Grant::Admin]), vec![], TOKENS.into()),
        ("a token for everything", by_owner(all), vec![], TOKENS.into()),
        ("a token signed by an admin", token("demo", Voucher::Account(ADMIN, Role::Admin), all), vec![], TOKENS.into()),
        (
            "a guest",
            token("demo", Voucher::Server(RoomId(5)), &[Grant::Join, Grant::Subscribe]),
            vec![],
            vec![Action::ReadRoom, Action::WatchRoom, Action::JoinCall],
        ),
        ("a guest of a room of the same name before", token("demo", Voucher::Server(RoomId(4)), all), vec![], vec![]),
        ("a token signed by another", token("demo", Voucher::Account(OTHER, Role::Member), all), vec![], vec![]),
        ("a token for another room", token("other", Voucher::Account(OWNER, Role::Member), all), vec![], vec![]),
        ("an admin's for another room", token("other", Voucher::Account(ADMIN, Role::Admin), all), vec![], vec![]),
        ("a playback token", token("demo", Voucher::Server(RoomId(5)), &[Grant::Subscribe]), vec![], OPEN.into()),
        (
            "a playback token for a room of the same name before",
            token("demo", Voucher::Server(RoomId(4)), &[Grant::Subscribe]),
            vec![],
            vec![],
        ),
        (
            "a playback token for another room",
            token("other", Voucher::Server(RoomId(5)), &[Grant::Subscribe]),
            vec![],
            vec![],
        ),
        ("a playback token for an asset", asset_token("holiday", None), vec![], vec![]),
        ("the same of an app", asset_token("holiday", Some((OWNER, Role::Member))), vec![], vec![]),
    ]
}

/// A caller, and what it may do with the private asset.
fn asset_table() -> Vec<(&'static str, Caller, Vec<Action>)> {
    let session = |account, role| caller(Standing::Session(SessionId(1), account, role));
    let script = |account, role| caller(Standing::ApiToken(ApiTokenId(1), account, role));
    let watches = || vec![Action::WatchAsset];
    vec![
        ("nobody", Caller::anonymous(), vec![]),
        ("nobody, on this machine", Caller::anonymous().at_loopback(true), vec![]),
        ("the owner", session(OWNER, Role::Member), ASSETS.into()),
        ("the owner's script", script(OWNER, Role::Member), ASSETS.into()),
        ("another account", session(OTHER, Role::Member), vec![]),
        ("another's script", script(OTHER, Role::Member), vec![]),
        ("an admin", session(ADMIN, Role::Admin), ASSETS.into()),
        ("an admin's script", script(ADMIN, Role::Admin), ASSETS.into()),
        ("an encoder", stream_key(5), vec![]),
        ("a token of the owner's", token("demo", Voucher::Account(OWNER, Role::Member), &Grant::ALL), vec![]),
        ("a token of an admin's", token("demo", Voucher::Account(ADMIN, Role::Admin), &Grant::ALL), vec![]),
        ("a guest", token("demo", Voucher::Server(RoomId(5)), &Grant::ALL), vec![]),
        ("a playback token", asset_token("holiday", None), watches()),
        ("a playback token for another asset", asset_token("work", None), vec![]),
        ("one of the owner's app", asset_token("holiday", Some((OWNER, Role::Member))), watches()),
        ("one of an admin's app", asset_token("holiday", Some((ADMIN, Role::Admin))), watches()),
        ("one of another's app", asset_token("holiday", Some((OTHER, Role::Member))), vec![]),
        ("one of the owner's app for another asset", asset_token("work", Some((OWNER, Role::Member))), vec![]),
    ]
}

#[test]
fn the_table_says_all_that_is_allowed() {
    for (who, caller, on_server, in_room) in table() {
        for action in Action::ALL {
            let allowed = |room: Option<&RoomFacts>| authorise(&caller, action, room).is_ok();
            let (closed, open) = (facts(false), facts(true));
            match action.about() {
                About::Room => {
                    assert_eq!(allowed(Some(&closed)), in_room.contains(&action), "{who}: {action:?}, closed room");
                    let visits = action == Action::JoinCall && caller.account_role().is_some();
                    let expect = in_room.contains(&action) || OPEN.contains(&action) || visits;
                    assert_eq!(allowed(Some(&open)), expect, "{who}: {action:?}, open room");
                    assert!(!allowed(None), "{who}: {action:?}, no room");
                }
                About::Server => {
                    let expect = PUBLIC.contains(&action) || on_server.contains(&action);
                    assert_eq!(authorise(&caller, action, Subject::Server).is_ok(), expect, "{who}: {action:?}");
                    assert_eq!(allowed(Some(&closed)), expect, "{who}: {action:?}, a room that does not matter");
                }
                About::Asset => assert!(!allowed(Some(&open)), "{who}: {action:?}, a room is no asset"),
            }
        }
    }
}

#[test]
fn the_table_of_assets_says_all_that_is_allowed() {
    for (who, caller, on_asset) in asset_table() {
        for action in Action::ALL.into_iter().filter(|action| action.about() != About::Server) {
            let allowed = |asset: Option<&AssetFacts>| authorise(&caller, action, Subject::Asset(asset)).is_ok();
            let (closed, open) = (asset_facts(false), asset_facts(true));
            assert!(!allowed(None), "{who}: {action:?}, no asset");
            if action.about() == About::Room {
                assert!(!allowed(Some(&open)), "{who}: {action:?}, an asset is no room");
                continue;
            }
            assert_eq!(allowed(Some(&closed)), on_asset.contains(&action), "{who}: {action:?}, private asset");
            let expect = on_asset.contains(&action) || OPEN_ASSETS.contains(&action);
            assert_eq!(allowed(Some(&open)), expect, "{who}: {action:?}, open asset");
        }
    }
}

#[test]
fn every_action_is_in_the_lists_once() {
    let listed = [PUBLIC, ACCOUNT, &everything(), ASSETS, &[Action::SignOut, Action::ReadMetrics]].concat();
    for action in Action::ALL {
        assert_eq!(listed.iter().filter(|listed| **listed == action).count(), 1, "{action:?}");
    }
    assert_eq!(listed.len(), Action::ALL.len());
}

#[test]
fn a_room_that_is_hidden_answers_like_one_that_is_not_there() {
    for (who, caller, _, in_room) in table() {
        for action in Action::ALL.into_iter().filter(|action| action.about() == About::Room) {
            if in_room.contains(&Action::ReadRoom) || in_room.contains(&action) {
                continue;
            }
            let (missing, hidden) = (authorise(&caller, action, None), authorise(&caller, action, Some(&facts(false))));
            assert_eq!(missing, hidden, "{who}: {action:?}");
        }
    }
}

#[test]
fn an_asset_that_is_hidden_answers_like_one_that_is_not_there() {
    for (who, caller, on_asset) in asset_table() {
        for action in ASSETS.iter().copied().filter(|_| on_asset.is_empty()) {
            let closed = asset_facts(false);
            let missing = authorise(&caller, action, Subject::Asset(None));
            assert_eq!(missing, authorise(&caller, action, Subject::Asset(Some(&closed))), "{who}: {action:?}");
        }
    }
    let watcher = asset_token("holiday", None);
    let source = authorise(&watcher, Action::DownloadAsset, Subject::Asset(Some(&asset_facts(false))));
    assert_eq!(source, Err(Denied::Forbidden), "whoever may watch knows that there is an asset");
}

#[test]
fn a_no_says_what_would_help() {
    let anonymous = Caller::anonymous();
    let other = caller(Standing::Session(SessionId(1), OTHER, Role::Member));
    let watcher = token("demo", Voucher::Server(RoomId(5)), &[Grant::Subscribe]);
    let (open, closed) = (facts(true), facts(false));
    for (caller, action, room, expect) in [
        (&anonymous, Action::CreateRoom, None, Denied::Unauthenticated),
        (&anonymous, Action::ChangeRoom, Some(&open), Denied::Unauthenticated),
        (&anonymous, Action::ChangeRoom, None, Denied::Unauthenticated),
        (&anonymous, Action::WatchRoom, Some(&closed), Denied::NotFound),
        (&anonymous, Action::ReadRoom, None, Denied::NotFound),
        (&other, Action::ChangeRoom, Some(&open), Denied::Forbidden),
        (&other, Action::ChangeRoom, Some(&closed), Denied::NotFound),
        (&other, Action::ReadMetrics, None, Denied::Forbidden),
        (&watcher, Action::Publish, Some(&closed), Denied::Forbidden),
        (&watcher, Action::CreateRoom, None, Denied::Forbidden),
    ] {
        assert_eq!(authorise(caller, action, room), Err(expect), "{action:?} {room:?}");
    }
}

#[test]
fn a_call_gives_no_more_than_the_credential() {
    let (open, closed) = (facts(true), facts(false));
    let grants = |caller: &Caller, room: &RoomFacts| call_grants(caller, Some(room)).map(Grants::names);
    let account = |id, role| caller(Standing::Session(SessionId(1), id, role));
    let all: Grants = Grant::ALL.into_iter().collect();
    let by_owner = |grants: &[Grant]| token("demo", Voucher::Account(OWNER, Role::Member), grants);
    assert_eq!(grants(&Caller::anonymous(), &open), Err(Denied::Unauthenticated));
    assert_eq!(
        grants(&account(OTHER, Role::Member), &open),
        Ok(["join", "publish", "subscribe", "chat"].map(String::from).into())
    );
    assert_eq!(grants(&account(OTHER, Role::Member), &closed), Err(Denied::NotFound));
    assert_eq!(grants(&account(OWNER, Role::Member), &closed), Ok(all.names()));
    assert_eq!(grants(&account(ADMIN, Role::Admin), &closed), Ok(all.names()));
    assert_eq!(grants(&by_owner(&[Grant::Join]), &open), Ok(vec!["join".to_owned()]));
    assert_eq!(grants(&by_owner(&[Grant::Admin]), &closed), Ok(all.names()));
    assert_eq!(grants(&by_owner(&[Grant::Publish, Grant::Subscribe]), &open), Err(Denied::Forbidden), "without join");
    assert_eq!(grants(&stream_key(5), &open), Err(Denied::Forbidden));
}

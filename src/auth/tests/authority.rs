//! Minting and verifying, over time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use telstar_store::{
    NewApiKey, NewRoom, PageRequest, PrincipalKind, Role, Room, RoomMode, SqliteStore, Store, StoreError, StreamKeyId,
};
use telstar_units::{AccountId, AssetName, RoomName, WallTime};
use tokio::sync::broadcast::error::TryRecvError;

use crate::auth::jwt::{self, Claims, LEEWAY_SECS, Type};
use crate::auth::{
    API_TOKEN_LIFETIME_SECS, API_TOKEN_LIFETIME_SECS_MAX, Action, AssetFacts, AuthError, Authority, Caller, Credential,
    Grant, Grants, KeyFile, OriginCheck, PLAYBACK_TOKEN_LIFETIME_SECS_MAX, ROOM_TOKEN_LIFETIME_SECS, Reason,
    Revocation, RoomFacts, RoomToken, SESSION_LIFETIME_SECS, SIGN_IN_CODE_LIFETIME_SECS, Secret, Standing, Subject,
    Voucher, authorise,
};

/// An authority that was started for the first time, and its clock.
struct World {
    authority: Authority,
    store: Arc<SqliteStore>,
    clock_secs: Arc<AtomicI64>,
    admin: AccountId,
    stream_key: Secret,
}

fn name(text: &str) -> RoomName {
    RoomName::parse(text).expect("the test writes a slug")
}

fn new_room(text: &str) -> NewRoom {
    NewRoom { name: name(text), title: text.into(), open: false, mode: RoomMode::Sfu }
}

fn alice(grants: Grants, lifetime_secs: i64) -> RoomToken {
    let (name, metadata) = (Some("Alice".to_owned()), Some("{\"team\":7}".to_owned()));
    RoomToken { room: self::name("demo"), identity: "alice".to_owned(), name, metadata, grants, lifetime_secs }
}

impl World {
    async fn new() -> World {
        let store = Arc::new(SqliteStore::in_memory().expect("memory is there"));
        let clock_secs = Arc::new(AtomicI64::new(1_000_000));
        let clock = Arc::clone(&clock_secs);
        let authority = Authority::new(
            Arc::clone(&store) as Arc<dyn Store>,
            KeyFile::ephemeral().expect("randomness"),
            Arc::new(move || WallTime(clock.load(Ordering::Relaxed) * 1_000_000)),
        );
        let started = authority.start(new_room("demo")).await.expect("a first start");
        let stream_key = started.first.expect("it is the first").stream_key;
        World { authority, store, clock_secs, admin: started.admin.id, stream_key }
    }

    fn pass_secs(&self, secs: i64) {
        self.clock_secs.fetch_add(secs, Ordering::Relaxed);
    }

    async fn room(&self, text: &str) -> Room {
        self.store.room(name(text)).await.expect("readable").expect("the room is there")
    }

    async fn ask(&self, credential: Credential) -> Result<Caller, Reason> {
        match self.authority.authenticate(credential).await {
            Ok(caller) => Ok(caller),
            Err(AuthError::Rejected(reason)) => Err(reason),
            Err(error) => panic!("neither yes nor no: {error}"),
        }
    }

    async fn bearer(&self, text: &str) -> Result<Caller, Reason> {
        self.ask(Credential::Bearer(Secret::new(text.to_owned()))).await
    }

    async fn sign_in(&self) -> Secret {
        let code = self.authority.create_sign_in_code(self.admin).await.expect("a code").secret;
        self.authority.sign_in(&code).await.expect("a code works once").session
    }

    async fn room_token(&self, grants: &[Grant]) -> Secret {
        let grants: Grants = grants.iter().copied().collect();
        let made = self.authority.create_room_token(self.admin, alice(grants, ROOM_TOKEN_LIFETIME_SECS));
        made.await.expect("the admin has an API key").secret
    }
}

#[tokio::test]
async fn only_the_first_start_makes_something() {
    let world = World::new().await;
    let again = world.authority.start(new_room("demo")).await.expect("a second start");
    assert!(again.first.is_none() && again.admin.id == world.admin && again.admin.role == Role::Admin);
}

#[tokio::test]
async fn a_sign_in_code_makes_one_session() {
    let world = World::new().await;
    let code = world.authority.create_sign_in_code(world.admin).await.expect("a code");
    assert_eq!(code.expires_at, world.authority.now().plus_micros(SIGN_IN_CODE_LIFETIME_SECS * 1_000_000));
    let signed_in = world.authority.sign_in(&code.secret).await.expect("a code works once");
    assert!(signed_in.account.id == world.admin);
    let again = world.authority.sign_in(&code.secret).await;
    assert!(matches!(again, Err(AuthError::Rejected(Reason::Unknown))));

    let caller = world.ask(Credential::Session(signed_in.session, OriginCheck::Ours)).await.expect("signed in");
    assert_eq!(caller.account_role(), Some((world.admin, Role::Admin)));
    assert!(caller.principal.is_some_and(|p| p.issuer == "local" && p.subject == format!("account:{}", world.admin)));
}

#[tokio::test]
async fn a_sign_in_code_ends_after_its_minutes() {
    let world = World::new().await;
    let code = world.authority.create_sign_in_code(world.admin).await.expect("a code").secret;
    world.pass_secs(SIGN_IN_CODE_LIFETIME_SECS);
    assert!(matches!(world.authority.sign_in(&code).await, Err(AuthError::Rejected(Reason::Unknown))));
}

#[tokio::test]
async fn a_code_with_a_wrong_end_neither_works_nor_uses_it_up() {
    let world = World::new().await;
    let code = world.authority.create_sign_in_code(world.admin).await.expect("a code").secret;
    let end = if code.expose().ends_with('0') { "1" } else { "0" };
    let wrong = Secret::new(format!("{}{end}", &code.expose()[..code.expose().len() - 1]));
    assert!(matches!(world.authority.sign_in(&wrong).await, Err(AuthError::Rejected(Reason::Unknown))));
    assert!(world.authority.sign_in(&code).await.is_ok());
}

#[tokio::test]
async fn a_session_ends_by_signing_out_and_by_time() {
    let world = World::new().await;
    let mut revocations = world.authority.revocations();
    let (one, two) = (world.sign_in().await, world.sign_in().await);
    let ask = |secret: &Secret| world.ask(Credential::Session(secret.clone(), OriginCheck::NotNeeded));
    let Standing::Session(id, ..) = ask(&one).await.expect("signed in").standing else { panic!("a session") };
    world.authority.sign_out(id).await.expect("signed out");
    assert_eq!(revocations.try_recv(), Ok(Revocation::Session(id)));
    assert_eq!(ask(&one).await.err(), Some(Reason::SignedOut));
    assert!(ask(&two).await.is_ok());
    world.pass_secs(SESSION_LIFETIME_SECS);
    assert_eq!(ask(&two).await.err(), Some(Reason::SignedOut));
}

#[tokio::test]
async fn a_cookie_from_another_site_is_worth_nothing() {
    let world = World::new().await;
    let session = world.sign_in().await;
    let asked = world.ask(Credential::Session(session, OriginCheck::Foreign)).await;
    assert_eq!(asked.err(), Some(Reason::ForeignOrigin));
}

#[tokio::test]
async fn everything_an_account_is_signed_in_with_can_be_ended_at_once() {
    let world = World::new().await;
    let session = world.sign_in().await;
    let token = world.authority.create_api_token(world.admin, 60).await.expect("a token").secret;
    assert_eq!(world.authority.end_all_of(world.admin).await.ok(), Some(2));
    assert!(world.ask(Credential::Session(session, OriginCheck::NotNeeded)).await.is_err());
    assert!(world.bearer(token.expose()).await.is_err());
}

#[tokio::test]
async fn an_api_token_stands_for_its_account_until_it_ends() {
    let world = World::new().await;
    let token = world.authority.create_api_token(world.admin, API_TOKEN_LIFETIME_SECS).await.expect("a token");
    assert!(token.secret.expose().starts_with("tst_"));
    let caller = world.bearer(token.secret.expose()).await.expect("good");
    assert!(caller.account_role() == Some((world.admin, Role::Admin)) && caller.expires_at == Some(token.expires_at));
    world.pass_secs(API_TOKEN_LIFETIME_SECS);
    assert_eq!(world.bearer(token.secret.expose()).await.err(), Some(Reason::Unknown));
    for lifetime in [0, -1, API_TOKEN_LIFETIME_SECS_MAX + 1, i64::MAX] {
        let made = world.authority.create_api_token(world.admin, lifetime).await;
        assert!(matches!(made, Err(AuthError::Lifetime { .. })), "{lifetime}");
    }
}

#[tokio::test]
async fn a_credential_of_one_kind_is_not_taken_for_another() {
    let world = World::new().await;
    let session = world.sign_in().await;
    let api_token = world.authority.create_api_token(world.admin, 60).await.expect("a token").secret;
    let room_token = world.room_token(&[Grant::Subscribe]).await;
    let all = [&session, &api_token, &room_token, &world.stream_key, &Secret::new(String::new())];
    for (at, secret) in all.into_iter().enumerate() {
        let cookie = world.ask(Credential::Session(secret.clone(), OriginCheck::Ours)).await;
        let bearer = world.ask(Credential::Bearer(secret.clone())).await;
        let key = world.ask(Credential::StreamKey(secret.clone())).await;
        let playback = world.ask(Credential::Playback(secret.clone())).await;
        let good = [cookie.is_ok(), bearer.is_ok(), key.is_ok(), playback.is_ok()];
        assert_eq!(good, [at == 0, at == 1 || at == 2, at == 3, false], "credential {at}");
    }
}

#[tokio::test]
async fn a_stream_key_opens_its_room_until_it_is_revoked() {
    let world = World::new().await;
    let mut revocations = world.authority.revocations();
    let (key, secret) = world.authority.create_stream_key(name("demo"), "OBS", world.admin).await.expect("a key");
    assert!(secret.expose().starts_with("sk_") && key.label == "OBS" && key.hint.starts_with("sk_"));
    let ask = || world.ask(Credential::StreamKey(secret.clone()));

    let caller = ask().await.expect("good");
    let Standing::StreamKey(pass) = &caller.standing else { panic!("a stream key") };
    assert!(pass.key == key.id && pass.room == name("demo") && caller.expires_at.is_none());
    assert!(world.authority.still_good(pass).await.expect("an answer"));
    let room = world.room("demo").await;
    assert_eq!(authorise(&caller, Action::Publish, Some(&RoomFacts::from(&room))), Ok(()));
    let listed = world.store.stream_keys(name("demo"), PageRequest::first()).await.expect("readable");
    assert!(listed.items.iter().any(|listed| listed.id == key.id && listed.last_used_at.is_some()));

    assert_eq!(revocations.try_recv(), Err(TryRecvError::Empty));
    world.authority.revoke_stream_key(name("demo"), key.id).await.expect("revoked");
    assert_eq!(revocations.try_recv(), Ok(Revocation::StreamKey(key.id)), "whoever relies on it is told at once");
    assert_eq!(ask().await.err(), Some(Reason::Revoked));
    assert!(!world.authority.still_good(pass).await.expect("an answer"));
    let missing = world.authority.revoke_stream_key(name("demo"), StreamKeyId(99)).await;
    assert!(matches!(missing, Err(AuthError::Store(StoreError::NotFound(_)))));
    assert_eq!(revocations.try_recv(), Err(TryRecvError::Empty), "what did not happen is not announced");
}

#[tokio::test]
async fn a_stream_key_with_a_wrong_end_is_unknown() {
    let world = World::new().await;
    let good = world.stream_key.expose();
    let end = if good.ends_with('0') { "1" } else { "0" };
    let wrong = Secret::new(format!("{}{end}", &good[..good.len() - 1]));
    assert_eq!(world.ask(Credential::StreamKey(wrong)).await.err(), Some(Reason::Unknown));
    assert!(world.ask(Credential::StreamKey(world.stream_key.clone())).await.is_ok());
}

#[tokio::test]
async fn the_keys_of_a_deleted_room_open_nothing() {
    let world = World::new().await;
    let Standing::StreamKey(pass) =
        world.ask(Credential::StreamKey(world.stream_key.clone())).await.expect("good").standing
    else {
        panic!("a stream key")
    };
    world.store.delete_room(name("demo"), world.authority.now()).await.expect("deleted");
    world.store.create_room(new_room("demo"), world.admin, world.authority.now()).await.expect("made anew");
    assert_eq!(world.ask(Credential::StreamKey(world.stream_key.clone())).await.err(), Some(Reason::Unknown));
    assert!(!world.authority.still_good(&pass).await.expect("an answer"));
}

#[tokio::test]
async fn a_room_token_carries_its_grants_to_its_room() {
    let world = World::new().await;
    let token = world.room_token(&[Grant::Publish, Grant::Subscribe]).await;
    let caller = world.bearer(token.expose()).await.expect("good");
    let Standing::Token(pass) = &caller.standing else { panic!("a token") };
    assert_eq!(pass.grants.names(), ["publish", "subscribe"]);
    assert_eq!((pass.room.as_str(), pass.voucher), ("demo", Voucher::Account(world.admin, Role::Admin)));
    let principal = caller.principal.as_ref().expect("somebody");
    assert!(principal.subject == "alice" && principal.kind == PrincipalKind::Identity);
    assert!(principal.issuer.starts_with("ak_") && caller.account_role().is_none());
    let room = RoomFacts::from(&world.room("demo").await);
    assert_eq!(authorise(&caller, Action::Publish, Some(&room)), Ok(()));
    assert!(authorise(&caller, Action::ChangeRoom, Some(&room)).is_err());
    assert!(authorise(&caller, Action::CreateRoom, None).is_err());

    world.pass_secs(ROOM_TOKEN_LIFETIME_SECS + LEEWAY_SECS - 1);
    assert!(world.bearer(token.expose()).await.is_ok());
    world.pass_secs(1);
    assert_eq!(world.bearer(token.expose()).await.err(), Some(Reason::Expired));
}

#[tokio::test]
async fn revoking_an_api_key_ends_every_token_it_signed() {
    let world = World::new().await;
    let token = world.room_token(&[Grant::Subscribe]).await;
    let keys = world.store.api_keys(world.admin, PageRequest::first()).await.expect("readable");
    world.store.revoke_api_key(keys.items[0].id.clone(), world.authority.now()).await.expect("revoked");
    assert_eq!(world.bearer(token.expose()).await.err(), Some(Reason::Unknown));
}

#[tokio::test]
async fn an_app_signs_tokens_with_its_own_secret_and_no_other() {
    let world = World::new().await;
    let app_secret = Secret::new("the app's own secret of many characters".into());
    let sealed_secret = world.authority.keys.seal("ak_app", &app_secret).expect("randomness");
    let key = NewApiKey { id: "ak_app".into(), label: "app".into(), sealed_secret };
    world.store.create_api_key(key, world.admin, world.authority.now()).await.expect("an API key");
    let claims = |iss: &str| Claims {
        iss: iss.into(),
        sub: "bob".into(),
        exp: 2_000_000,
        nbf: None,
        jti: "j1".into(),
        room: "demo".into(),
        asset: None,
        room_id: Some(1),
        grants: vec!["admin".into()],
        name: None,
        metadata: None,
    };
    let sign = |typ, iss: &str, key: &[u8]| jwt::sign(typ, &claims(iss), key);
    let good = app_secret.expose().as_bytes();
    let outcome = |caller: Result<Caller, Reason>| match caller.map(|caller| caller.standing) {
        Ok(Standing::Token(pass)) => Ok((pass.voucher, pass.grants.names())),
        Ok(_) => panic!("a token"),
        Err(reason) => Err(reason),
    };
    let by_app = Voucher::Account(world.admin, Role::Admin);
    for (token, expect) in [
        (sign(Type::Room, "ak_app", good), Ok((by_app, vec!["admin".to_owned()]))),
        // An app's playback token lets watch, whatever it says.
        (sign(Type::Playback, "ak_app", good), Ok((by_app, vec!["subscribe".to_owned()]))),
        (sign(Type::Room, "ak_app", b"another secret"), Err(Reason::Signature)),
        (sign(Type::Room, "ak_nobody", good), Err(Reason::Unknown)),
        // This server's own name is no app's to use.
        (sign(Type::Room, "local", good), Err(Reason::Signature)),
        (sign(Type::Playback, "local", good), Err(Reason::Signature)),
        // Each of this server's own keys is for one kind of token.
        (sign(Type::Room, "local", world.authority.keys.playback()), Err(Reason::Signature)),
        (sign(Type::Playback, "local", world.authority.keys.guest()), Err(Reason::Signature)),
    ] {
        assert_eq!(outcome(world.bearer(&token).await), expect);
    }
    let in_address = world.ask(Credential::Playback(Secret::new(sign(Type::Room, "ak_app", good)))).await;
    assert_eq!(in_address.err(), Some(Reason::WrongKind), "a room token does not belong into an address");
}

#[tokio::test]
async fn a_playback_token_lets_watch_its_room_only() {
    let world = World::new().await;
    let room = RoomFacts::from(&world.room("demo").await);
    let token = world.authority.create_playback_token(&room, 60).expect("a token");
    let caller = world.ask(Credential::Playback(token.secret.clone())).await.expect("good");
    assert_eq!(authorise(&caller, Action::WatchRoom, Some(&room)), Ok(()));
    assert!(authorise(&caller, Action::Publish, Some(&room)).is_err());
    let other = RoomFacts { name: name("other"), ..room.clone() };
    assert!(authorise(&caller, Action::WatchRoom, Some(&other)).is_err());
    assert!(world.ask(Credential::Bearer(token.secret.clone())).await.is_ok(), "a socket takes it as well");

    world.store.delete_room(name("demo"), world.authority.now()).await.expect("deleted");
    let anew = world.store.create_room(new_room("demo"), world.admin, world.authority.now()).await.expect("made anew");
    assert!(authorise(&caller, Action::WatchRoom, Some(&RoomFacts::from(&anew))).is_err());
    world.pass_secs(60 + LEEWAY_SECS);
    assert_eq!(world.ask(Credential::Playback(token.secret)).await.err(), Some(Reason::Expired));
    let long = world.authority.create_playback_token(&room, PLAYBACK_TOKEN_LIFETIME_SECS_MAX + 1);
    assert!(matches!(long, Err(AuthError::Lifetime { .. })));
}

#[tokio::test]
async fn a_playback_token_of_an_asset_lets_watch_that_asset_only() {
    let world = World::new().await;
    let asset =
        |text: &str| AssetFacts { name: AssetName::parse(text).expect("a name"), owner: world.admin, open: false };
    let (one, other) = (asset("0123456789abcdefghijkm"), asset("0123456789abcdefghijkn"));
    let token = world.authority.create_asset_playback_token(&one, 60).expect("a token");
    for credential in [Credential::Playback(token.secret.clone()), Credential::Bearer(token.secret.clone())] {
        let caller = world.ask(credential).await.expect("good");
        assert_eq!(authorise(&caller, Action::WatchAsset, Subject::Asset(Some(&one))), Ok(()));
        assert!(authorise(&caller, Action::WatchAsset, Subject::Asset(Some(&other))).is_err());
        assert!(authorise(&caller, Action::DownloadAsset, Subject::Asset(Some(&one))).is_err());
    }
    world.pass_secs(60 + LEEWAY_SECS);
    assert_eq!(world.ask(Credential::Playback(token.secret)).await.err(), Some(Reason::Expired));
    let long = world.authority.create_asset_playback_token(&one, PLAYBACK_TOKEN_LIFETIME_SECS_MAX + 1);
    assert!(matches!(long, Err(AuthError::Lifetime { .. })));
}

#[tokio::test]
async fn a_denied_token_stays_denied_until_it_has_expired() {
    let world = World::new().await;
    let room = RoomFacts::from(&world.room("demo").await);
    let mut revocations = world.authority.revocations();
    let (kicked, stays) = (world.room_token(&[Grant::Join]).await, world.room_token(&[Grant::Join]).await);
    let caller = world.bearer(kicked.expose()).await.expect("good");
    world.authority.deny(&caller, &room).await.expect("denied");
    assert!(matches!(revocations.try_recv(), Ok(Revocation::Token { .. })));
    assert_eq!(world.bearer(kicked.expose()).await.err(), Some(Reason::Revoked));
    assert!(world.bearer(stays.expose()).await.is_ok(), "another token of the same person is another token");

    // The denial outlives the token's leeway, so a sweep never brings it back to life.
    world.pass_secs(ROOM_TOKEN_LIFETIME_SECS + LEEWAY_SECS - 1);
    world.store.sweep(world.authority.now()).await.expect("swept");
    assert_eq!(world.bearer(kicked.expose()).await.err(), Some(Reason::Revoked));
    world.pass_secs(1);
    world.store.sweep(world.authority.now()).await.expect("swept");
    assert_eq!(world.bearer(kicked.expose()).await.err(), Some(Reason::Expired));
}

#[tokio::test]
async fn the_same_person_has_one_row_and_anonymous_has_none() {
    let world = World::new().await;
    let room = RoomFacts::from(&world.room("demo").await);
    let row = async |caller: &Caller| world.authority.principal(caller, &room).await.expect("an answer");
    let one = world.bearer(world.room_token(&[Grant::Join]).await.expose()).await.expect("good");
    let two = world.bearer(world.room_token(&[Grant::Chat]).await.expose()).await.expect("good");
    let encoder = world.ask(Credential::StreamKey(world.stream_key.clone())).await.expect("good");
    assert!(row(&one).await.is_some() && row(&one).await == row(&two).await);
    assert!(row(&encoder).await.is_some() && row(&encoder).await != row(&one).await);
    assert_eq!(row(&Caller::anonymous()).await, None);
}

#[tokio::test]
async fn a_token_whose_key_cannot_be_opened_is_refused_and_none_is_made() {
    let world = World::new().await;
    let token = world.room_token(&[Grant::Join]).await;
    let store = Arc::clone(&world.store) as Arc<dyn Store>;
    let stranger = Authority::new(store, KeyFile::ephemeral().expect("randomness"), Arc::new(|| WallTime(1)));
    let error = stranger.authenticate(Credential::Bearer(token)).await.err().expect("refused");
    assert!(matches!(&error, AuthError::Rejected(Reason::Signature)), "{error}");
    let error = stranger.create_room_token(world.admin, alice(Grants::default(), 60)).await.err();
    let error = error.expect("it cannot sign");
    assert!(matches!(&error, AuthError::Sealed(_)) && error.to_string().contains("secret.key"), "{error}");
}

#[tokio::test]
async fn nonsense_is_refused_whatever_it_is_shown_as() {
    let world = World::new().await;
    let long = "a".repeat(100_000);
    for text in ["", ".", "..", "a.b.c", "tst_", "sk_", "회의실", "\0", long.as_str(), "eyJhbGciOiJub25lIn0.e30."] {
        let secret = Secret::new(text.to_owned());
        for credential in [
            Credential::Session(secret.clone(), OriginCheck::Ours),
            Credential::Bearer(secret.clone()),
            Credential::StreamKey(secret.clone()),
            Credential::Playback(secret.clone()),
        ] {
            assert!(world.ask(credential).await.is_err(), "{text:.20?}");
        }
        assert!(world.authority.sign_in(&secret).await.is_err());
    }
}

//! Tokens and invites: what opens, what does not, and what ends.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};

use super::hmac;
use super::support::{Answer, Rig};

/// A server with the closed room `private`, the admin's token and an API key.
struct App {
    rig: Rig,
    admin: String,
    key: String,
    secret: String,
}

impl App {
    async fn start() -> App {
        let rig = Rig::start().await;
        let admin = rig.token(600).await;
        for room in ["private", "other"] {
            rig.api(&admin, "POST", "/api/v1/rooms", Some(json!({ "title": room, "open": false }))).await;
        }
        let made = rig.api(&admin, "POST", "/api/v1/api-keys", Some(json!({ "label": "app" }))).await.body;
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        App { admin, key: text("id"), secret: text("secret"), rig }
    }

    /// Claims that are good, with these changes; null takes one out.
    fn claims(&self, changes: Value) -> Value {
        let now = now_secs();
        let mut claims = json!({
            "iss": self.key, "sub": "alice", "iat": now, "exp": now + 600, "jti": "j1", "room": "private",
            "grants": ["join", "subscribe"], "name": "Alice", "metadata": "{}",
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            match value {
                Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    fn sign(&self, header: Value, claims: &Value) -> String {
        let signed = format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()));
        let signature = BASE64URL.encode(hmac(self.secret.as_bytes(), signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// The status with which the closed room answers to this token.
    async fn status(&self, token: &str) -> u16 {
        let bearer = format!("Bearer {token}");
        self.rig.ask("GET", "/api/v1/rooms/private", &[("authorization", &bearer)], None).await.status
    }

    async fn tokens(&self, headers: &[(&str, &str)], body: Value) -> Answer {
        self.rig.ask("POST", "/api/v1/tokens", headers, Some(body)).await
    }

    async fn invite(&self, terms: Value) -> Value {
        self.rig.api(&self.admin, "POST", "/api/v1/rooms/private/invites", Some(terms)).await.body
    }
}

fn now_secs() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}

fn claims_of(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&BASE64URL.decode(claims).expect("base64url")).expect("JSON")
}

#[tokio::test]
async fn a_token_that_an_app_signs_opens_its_room_and_no_other_form_of_it_does() {
    let app = App::start().await;
    let good = json!({ "alg": "HS256", "typ": "JWT" });
    let claims = app.claims(json!({}));
    assert_eq!(app.status(&app.sign(good.clone(), &claims)).await, 200);
    let now = now_secs();
    for (what, header, changes) in [
        ("alg none", json!({ "alg": "none" }), json!({})),
        ("alg NONE", json!({ "alg": "NONE" }), json!({})),
        ("another length", json!({ "alg": "HS512" }), json!({})),
        ("a public key's algorithm", json!({ "alg": "RS256" }), json!({})),
        ("no alg", json!({ "typ": "JWT" }), json!({})),
        ("what must be understood", json!({ "alg": "HS256", "crit": ["b64"], "b64": false }), json!({})),
        ("another kind", json!({ "alg": "HS256", "typ": "at+jwt" }), json!({})),
        ("expired", good.clone(), json!({ "exp": now - 60 })),
        ("without an end", good.clone(), json!({ "exp": null })),
        ("an end in words", good.clone(), json!({ "exp": "tomorrow" })),
        ("not yet", good.clone(), json!({ "nbf": now + 300 })),
        ("another room", good.clone(), json!({ "room": "other" })),
        ("every room", good.clone(), json!({ "room": "*" })),
        ("no room", good.clone(), json!({ "room": null })),
        ("no name of its own", good.clone(), json!({ "jti": null })),
        ("an empty name of its own", good.clone(), json!({ "jti": "" })),
        ("nobody", good.clone(), json!({ "sub": null })),
        ("no grants", good.clone(), json!({ "grants": [] })),
        ("an unknown key", good.clone(), json!({ "iss": "ak_0000000000000000" })),
        ("this server", good.clone(), json!({ "iss": "local", "room_id": 2 })),
        ("no issuer", good.clone(), json!({ "iss": null })),
    ] {
        let status = app.status(&app.sign(header, &app.claims(changes))).await;
        assert!(matches!(status, 401 | 404), "{what}: {status}");
    }
    // The header's own keys and addresses are never read: with them, a rightly signed token is good, and no other.
    let theirs = json!({ "alg": "HS256", "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/", "kid": "../x",
        "jwk": { "kty": "oct", "k": BASE64URL.encode("theirs") } });
    assert_eq!(app.status(&app.sign(theirs.clone(), &claims)).await, 200);
    let stranger = App { secret: "theirs".to_owned(), ..app };
    assert_eq!(stranger.status(&stranger.sign(theirs, &claims)).await, 401);
    let unsigned = stranger.sign(json!({ "alg": "none" }), &claims);
    let unsigned = unsigned.rsplit_once('.').expect("a JWT").0;
    assert_eq!(stranger.status(&format!("{unsigned}.")).await, 401);
}

#[tokio::test]
async fn a_revoked_api_key_takes_its_tokens_and_their_sockets_along() {
    let app = App::start().await;
    let token = app.sign(json!({ "alg": "HS256" }), &app.claims(json!({})));
    let mut socket = app.rig.connect().await;
    assert_eq!(socket.authenticate(&token).await["ok"], json!(true));
    let stranger = app.rig.ask("DELETE", "/api/v1/api-keys/ak_0000000000000000", &[], None).await;
    assert_eq!(stranger.status, 401);
    app.rig.api(&app.admin, "DELETE", &format!("/api/v1/api-keys/{}", app.key), None).await;
    assert_eq!(socket.closed().await, 4401);
    assert_eq!(app.status(&token).await, 401);
    let again = format!("Bearer {}", app.admin);
    let path = format!("/api/v1/api-keys/{}", app.key);
    assert_eq!(app.rig.ask("DELETE", &path, &[("authorization", &again)], None).await.status, 404);
}

#[tokio::test]
async fn an_account_makes_tokens_and_a_token_makes_none() {
    let app = App::start().await;
    let admin = format!("Bearer {}", app.admin);
    let admin: [(&str, &str); 1] = [("authorization", &admin)];
    let wanted = json!({ "room": "private", "identity": "alice", "name": " Alice ", "metadata": "{\"team\":7}",
        "grants": ["join", "admin"], "expires_in_secs": 60 });
    let made = app.tokens(&admin, wanted).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let token = made.body["token"].as_str().expect("a token");
    let claims = claims_of(token);
    assert_eq!((&claims["name"], &claims["metadata"]), (&json!("Alice"), &json!("{\"team\":7}")));
    assert_eq!(claims["grants"], json!(["join", "admin"]));
    assert!(made.body["call_url"].as_str().is_some_and(|url| url.contains("/call/private#token=")));
    assert_eq!(app.status(token).await, 200);

    let bearer = format!("Bearer {token}");
    let more = app.tokens(&[("authorization", &bearer)], json!({ "room": "private", "identity": "bob" })).await;
    assert_eq!(more.status, 403, "a token that makes tokens would outlive itself");
    let lasting = json!({ "grants": ["join", "admin"] });
    let shown = [("authorization", bearer.as_str())];
    let invite = app.rig.ask("POST", "/api/v1/rooms/private/invites", &shown, Some(lasting)).await;
    assert_eq!(invite.status, 403);
    for body in [
        json!({}),
        json!({ "room": "private" }),
        json!({ "room": "private", "identity": "" }),
        json!({ "room": "private", "identity": "a".repeat(257) }),
        json!({ "room": "private", "identity": "alice", "grants": [] }),
        json!({ "room": "private", "identity": "alice", "grants": ["fly"] }),
        json!({ "room": "private", "identity": "alice", "name": "a".repeat(101) }),
        json!({ "room": "private", "identity": "alice", "metadata": "\u{1}".repeat(1_000) }),
        json!({ "room": "private", "identity": "alice", "expires_in_secs": 0 }),
        json!({ "room": "private", "identity": "alice", "expires_in_secs": 1e12 }),
    ] {
        assert_eq!(app.tokens(&admin, body.clone()).await.status, 422, "{body}");
    }
    assert_eq!(app.tokens(&admin, json!({ "room": "nowhere", "identity": "alice" })).await.status, 404);

    let keys = app.rig.api(&app.admin, "GET", "/api/v1/api-keys", None).await.body;
    for key in keys["api_keys"].as_array().expect("a list") {
        let path = format!("/api/v1/api-keys/{}", key["id"].as_str().expect("an id"));
        app.rig.api(&app.admin, "DELETE", &path, None).await;
    }
    let without = app.tokens(&admin, json!({ "room": "private", "identity": "alice" })).await;
    assert_eq!((without.status, &without.body["code"]), (409, &json!("no_api_key")));
}

#[tokio::test]
async fn an_invite_makes_guests_as_often_as_it_says() {
    let app = App::start().await;
    let made = app.invite(json!({ "uses": 2, "grants": ["join", "subscribe"] })).await;
    let invite = made["invite"].as_str().expect("an invite");
    assert!(made["url"].as_str().is_some_and(|url| url.ends_with(&format!("/call/private#invite={invite}"))));
    let come = async || app.tokens(&[], json!({ "invite": invite, "name": "Bob" })).await;
    let (one, two) = (come().await, come().await);
    assert_eq!((one.status, two.status), (201, 201), "{}", one.text);
    assert_ne!(one.body["identity"], two.body["identity"]);
    assert!(one.body["identity"].as_str().is_some_and(|identity| identity.starts_with("guest:")));
    let token = one.body["token"].as_str().expect("a token");
    assert_eq!(claims_of(token)["grants"], json!(["join", "subscribe"]));
    assert_eq!(app.status(token).await, 200);
    let replayed = come().await;
    assert_eq!((replayed.status, &replayed.body["code"]), (401, &json!("bad_invite")));
    let listed = app.rig.api(&app.admin, "GET", "/api/v1/rooms/private/invites", None).await.body;
    assert_eq!(listed["invites"][0]["uses_left"], 0);
    assert!(!listed.to_string().contains(invite), "the secret is shown once");

    // A guest opens nothing else.
    let bearer = format!("Bearer {token}");
    for (method, path) in [
        ("GET", "/api/v1/rooms"),
        ("GET", "/api/v1/rooms/other"),
        ("GET", "/api/v1/webhooks"),
        ("GET", "/api/v1/rooms/private/participants"),
        ("GET", "/api/v1/rooms/private/invites"),
    ] {
        let answer = app.rig.ask(method, path, &[("authorization", &bearer)], None).await;
        assert!(matches!(answer.status, 401 | 403 | 404), "{path}: {}", answer.status);
    }
    // The guest's room is this one, and not another of its name.
    app.rig.api(&app.admin, "DELETE", "/api/v1/rooms/private", None).await;
    app.rig.api(&app.admin, "POST", "/api/v1/rooms", Some(json!({ "title": "private", "open": false }))).await;
    assert_eq!(app.status(token).await, 404);
}

#[tokio::test]
async fn an_invite_that_is_revoked_cut_or_guessed_lets_nobody_in() {
    let app = App::start().await;
    let made = app.invite(json!({})).await;
    let invite = made["invite"].as_str().expect("an invite").to_owned();
    let other_end = if invite.ends_with('0') { "1" } else { "0" };
    let changed = format!("{}{other_end}", &invite[..invite.len() - 1]);
    for wrong in ["", "inv_", &invite[..invite.len() - 1], &changed, &invite.replace("inv_", "tst_"), &app.admin] {
        let answer = app.tokens(&[], json!({ "invite": wrong, "name": "Bob" })).await;
        assert_eq!((answer.status, &answer.body["code"]), (401, &json!("bad_invite")), "{wrong}");
    }
    assert_eq!(app.tokens(&[], json!({ "invite": invite })).await.status, 422, "a guest has a name");
    assert_eq!(app.tokens(&[], json!({ "invite": invite, "name": "Bob" })).await.status, 201);
    app.rig.api(&app.admin, "DELETE", &format!("/api/v1/rooms/private/invites/{}", made["id"]), None).await;
    assert_eq!(app.tokens(&[], json!({ "invite": invite, "name": "Bob" })).await.status, 401);
    // Whoever guesses is held up; another address is not.
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) && statuses.len() < 200 {
        let guess = format!("inv_{}", "0".repeat(34));
        let from = [("forwarded", "for=198.51.100.7")];
        statuses.push(app.tokens(&from, json!({ "invite": guess, "name": "Bob" })).await.status);
    }
    assert_eq!(statuses.last(), Some(&429));
    let elsewhere = app.tokens(&[("forwarded", "for=198.51.100.8")], json!({ "invite": invite, "name": "Bob" })).await;
    assert_eq!(elsewhere.status, 401);
}

#[tokio::test]
async fn a_rooms_mode_is_chosen_when_it_is_made() {
    let app = App::start().await;
    let make = |body: Value| app.rig.api(&app.admin, "POST", "/api/v1/rooms", Some(body));
    assert_eq!(make(json!({ "title": "a", "mode": "p2p" })).await.body["mode"], "p2p");
    assert_eq!(make(json!({ "title": "b" })).await.body["mode"], "sfu");
    let changed = app.rig.api(&app.admin, "PATCH", "/api/v1/rooms/a", Some(json!({ "mode": "sfu", "title": "c" })));
    assert_eq!(changed.await.body["mode"], "p2p");
    let bearer = format!("Bearer {}", app.admin);
    let wrong = json!({ "title": "d", "mode": "mesh" });
    let wrong = app.rig.ask("POST", "/api/v1/rooms", &[("authorization", &bearer)], Some(wrong)).await;
    assert_eq!(wrong.status, 422);
}

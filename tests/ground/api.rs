//! The API's promises: sessions and their Origin, rooms, stream keys, playback tokens.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::support::{Rig, assert_problem, client, header};

async fn send(rig: &Rig, token: &str, method: Method, path: &str, body: Value) -> Response {
    rig.request(method, path).bearer_auth(token).json(&body).send().await.expect("the server answers")
}

async fn json_of(response: Response, status: u16) -> Value {
    assert_eq!(response.status(), status, "{}", response.url());
    response.json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_link_works_once() {
    let rig = Rig::start().await;
    let cookie = rig.cookie().await;
    let code = rig.running.sign_in_code().expect("a first start").expose().to_owned();
    let again = rig.request(Method::POST, "/api/v1/sessions").json(&json!({ "code": code })).send().await;
    assert_problem(again.expect("answered"), 401, "bad_sign_in_code").await;
    let current = rig.request(Method::GET, "/api/v1/sessions/current").header("cookie", &cookie).send().await;
    let body = json_of(current.expect("answered"), 200).await;
    assert_eq!(body, json!({ "account": { "id": 1, "name": "admin", "role": "admin" } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_secure_under_tls_and_never_readable_by_scripts() {
    let rig = Rig::start().await;
    let code = rig.running.sign_in_code().expect("a first start").expose().to_owned();
    let request = client(|builder| builder).post(rig.https("/api/v1/sessions")).json(&json!({ "code": code }));
    let cookie = header(&request.send().await.expect("answered"), "set-cookie");
    for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
        assert!(cookie.split("; ").any(|found| found == part), "{part} in {cookie}");
    }
    assert!(cookie.starts_with("__Host-telstar_session="), "a plain page cannot replace it: {cookie}");
    let session = cookie.split(';').next().expect("a first part").to_owned();
    let stale = rig.request(Method::GET, "/api/v1/sessions/current").header("cookie", "telstar_session=old");
    let both = stale.header("cookie", session).send().await.expect("answered");
    assert_eq!(both.status(), 200, "the good one of two counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_changes_nothing_without_our_origin() {
    let rig = Rig::start().await;
    let cookie = rig.cookie().await;
    let own = rig.http("");
    for (origin, status) in [(None, 403), (Some("https://evil.example"), 403), (Some("null"), 403), (Some(&*own), 201)]
    {
        let mut request = rig.request(Method::POST, "/api/v1/rooms").header("cookie", &cookie);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let answer = request.json(&json!({ "title": "A show" })).send().await.expect("answered");
        assert_eq!(answer.status(), status, "{origin:?}");
    }
    // Reading needs none.
    let read = rig.request(Method::GET, "/api/v1/rooms").header("cookie", &cookie).send().await;
    assert_eq!(read.expect("answered").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sites_page_cannot_sign_a_browser_in() {
    let rig = Rig::start().await;
    let code = rig.running.sign_in_code().expect("a first start").expose().to_owned();
    let request = rig.request(Method::POST, "/api/v1/sessions").header("origin", "https://evil.example");
    assert_problem(request.json(&json!({ "code": code })).send().await.expect("answered"), 403, "foreign_origin").await;
    rig.cookie().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_and_a_stale_cookie_is_nobodys() {
    let rig = Rig::start().await;
    let cookie = rig.cookie().await;
    let out = rig.request(Method::DELETE, "/api/v1/sessions/current").header("cookie", &cookie);
    let out = out.header("origin", rig.http("")).send().await.expect("answered");
    assert_eq!(out.status(), 204);
    let cleared: Vec<_> = out.headers().get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()).collect();
    assert!(cleared.len() == 2 && cleared.iter().all(|cookie| cookie.contains("Max-Age=0")), "{cleared:?}");
    let with_cookie = |path: &str| rig.request(Method::GET, path).header("cookie", &cookie).send();
    assert_problem(with_cookie("/api/v1/sessions/current").await.expect("answered"), 401, "unauthorised").await;
    assert_eq!(with_cookie("/api/v1/rooms/demo").await.expect("answered").status(), 200, "what is open stays open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_made_read_changed_and_deleted() {
    let rig = Rig::start().await;
    let token = rig.token(600).await;
    let made = send(&rig, &token, Method::POST, "/api/v1/rooms", json!({ "title": " Friday Show " })).await;
    assert_eq!(header(&made, "location"), "/api/v1/rooms/friday-show");
    let made = json_of(made, 201).await;
    assert_eq!(
        (&made["name"], &made["title"], &made["open"]),
        (&json!("friday-show"), &json!("Friday Show"), &json!(true))
    );
    assert_eq!(made["owner"], "account:1");
    assert_eq!(made["live"]["state"], "offline");
    let twin = send(&rig, &token, Method::POST, "/api/v1/rooms", json!({ "title": "Friday Show" })).await;
    let twin = json_of(twin, 201).await;
    assert!(twin["name"].as_str().is_some_and(|name| name.starts_with("friday-show-")), "{twin}");
    let korean =
        json_of(send(&rig, &token, Method::POST, "/api/v1/rooms", json!({ "title": "회의실" })).await, 201).await;
    assert_eq!(korean["title"], "회의실");
    let taken = json!({ "title": "x", "name": "friday-show" });
    assert_problem(send(&rig, &token, Method::POST, "/api/v1/rooms", taken).await, 409, "conflict").await;
    let change = json!({ "title": "New", "open": false, "unknown": 1 });
    let changed = json_of(send(&rig, &token, Method::PATCH, "/api/v1/rooms/friday-show", change).await, 200).await;
    assert_eq!((&changed["title"], &changed["open"]), (&json!("New"), &json!(false)));
    assert_problem(rig.get("/api/v1/rooms/friday-show").await, 404, "not_found").await;
    let list =
        json_of(rig.request(Method::GET, "/api/v1/rooms").bearer_auth(&token).send().await.expect("answered"), 200)
            .await;
    assert_eq!(list["rooms"].as_array().map(Vec::len), Some(4), "{list}");
    let delete = || rig.request(Method::DELETE, "/api/v1/rooms/friday-show").bearer_auth(&token).send();
    assert_eq!(delete().await.expect("answered").status(), 204);
    assert_problem(delete().await.expect("answered"), 404, "not_found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_key_is_shown_once_and_revoked_for_good() {
    let rig = Rig::start().await;
    let token = rig.token(600).await;
    let keys = "/api/v1/rooms/demo/stream-keys";
    let made = json_of(send(&rig, &token, Method::POST, keys, json!({ "label": "Studio" })).await, 201).await;
    let key = made["key"].as_str().expect("the key is shown").to_owned();
    assert!(key.starts_with("sk_"));
    // A body is not needed.
    let bare = rig.request(Method::POST, keys).bearer_auth(&token).send().await.expect("answered");
    assert_eq!(bare.status(), 201);
    let list = rig.request(Method::GET, keys).bearer_auth(&token).send().await.expect("answered");
    let text = list.text().await.expect("a list");
    assert!(text.contains("Studio") && !text.contains(&key), "{text}");
    let path = format!("{keys}/{}", made["id"]);
    let revoke = || rig.request(Method::DELETE, &path).bearer_auth(&token).send();
    assert_eq!(revoke().await.expect("answered").status(), 204);
    assert_problem(revoke().await.expect("answered"), 404, "not_found").await;
    assert_problem(rig.get(keys).await, 401, "unauthorised").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playback_token_opens_its_room_only() {
    let rig = Rig::start().await;
    let token = rig.token(600).await;
    for title in ["One", "Two"] {
        let closed = json!({ "title": title, "open": false });
        json_of(send(&rig, &token, Method::POST, "/api/v1/rooms", closed).await, 201).await;
    }
    let path = "/api/v1/rooms/one/playback-tokens";
    let minted = json_of(send(&rig, &token, Method::POST, path, json!({ "expires_in_secs": 60 })).await, 201).await;
    let playback = minted["token"].as_str().expect("a token");
    let watch_url = minted["watch_url"].as_str().expect("a link");
    assert_eq!(watch_url, rig.http(&format!("/watch/one?t={playback}")));
    for (room, status) in [("one", 200), ("two", 404)] {
        let answer = rig.request(Method::GET, &format!("/api/v1/rooms/{room}")).bearer_auth(playback).send().await;
        assert_eq!(answer.expect("answered").status(), status, "{room}");
    }
    let bad = send(&rig, &token, Method::POST, path, json!({ "expires_in_secs": 0 })).await;
    assert_problem(bad, 422, "invalid_fields").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encoders_addresses_are_for_the_signed_in() {
    let rig = Rig::start().await;
    let public = json_of(rig.get("/api/v1/server").await, 200).await;
    assert_eq!(public["rtmp_url"], Value::Null);
    assert_eq!(public["rtmps_url"], Value::Null);
    let request = rig.request(Method::GET, "/api/v1/server").bearer_auth(rig.token(600).await);
    let own = json_of(request.send().await.expect("answered"), 200).await;
    let rtmp = rig.running.addresses().rtmp.expect("RTMP is on");
    assert_eq!(own["rtmp_url"], format!("rtmp://{rtmp}/live"));
    let rtmps = rig.running.addresses().rtmps.expect("RTMPS is on");
    assert_eq!(own["rtmps_url"], format!("rtmps://{rtmps}/live"));
}

//! Who may open a socket, and as whom.

use serde_json::json;
use telstar::config::address::WebOrigin;
use telstar::config::value::ListItem as _;

use crate::support::{Rig, code};

#[tokio::test]
async fn the_subprotocol_has_to_be_asked_for() {
    let rig = Rig::start().await;
    let mut request = rig.upgrade(&[]);
    request.headers_mut().remove("sec-websocket-protocol");
    assert_eq!(rig.refused(request).await, (400, "bad_request".into()));
    let mut request = rig.upgrade(&[]);
    request.headers_mut().insert("sec-websocket-protocol", "mqtt".parse().expect("a value"));
    assert_eq!(rig.refused(request).await, (400, "bad_request".into()));
    // One of several.
    rig.connect_with(&[("sec-websocket-protocol", "mqtt")]).await;
}

#[tokio::test]
async fn what_is_no_upgrade_is_a_problem() {
    let rig = Rig::start().await;
    for (method, status) in [("GET", 400), ("POST", 405), ("DELETE", 405)] {
        let answer = rig.ask(method, "/ws", &[], None).await;
        assert_eq!(answer.status, status, "{method}");
        assert_eq!(answer.body["status"], status);
    }
}

#[tokio::test]
async fn only_our_own_pages_and_programs_open_a_socket() {
    let rig = Rig::start().await;
    let other_port = format!("http://127.0.0.1:{}", rig.running.addresses().http.expect("on").port() ^ 1);
    for origin in ["https://evil.example", "null", "http://127.0.0.1", &other_port, &format!("{}.evil", rig.origin())] {
        let request = rig.upgrade(&[("origin", origin)]);
        assert_eq!(rig.refused(request).await, (403, "foreign_origin".into()), "{origin}");
    }
    let both = rig.upgrade(&[("origin", &rig.origin()), ("origin", "https://evil.example")]);
    assert_eq!(rig.refused(both).await.0, 400);
    rig.connect_with(&[("origin", &rig.origin())]).await;
    rig.connect().await;
}

#[tokio::test]
async fn a_cookie_counts_only_from_our_own_page() {
    let rig = Rig::start().await;
    let cookie = rig.cookie().await;
    let mut page = rig.connect_with(&[("cookie", &cookie), ("origin", &rig.origin())]).await;
    assert_eq!(code(&page.subscribe("rooms").await), "ok");
    let mut nobody = rig.connect_with(&[("cookie", &cookie)]).await;
    assert_eq!(code(&nobody.subscribe("rooms").await), "not_found");
    let foreign = rig.upgrade(&[("cookie", &cookie), ("origin", "https://evil.example")]);
    assert_eq!(rig.refused(foreign).await.0, 403);
    let mut stale = rig.connect_with(&[("cookie", "telstar_session=old"), ("origin", &rig.origin())]).await;
    assert_eq!(code(&stale.subscribe("room:demo").await), "ok", "like anybody");
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_opens_a_socket_and_brings_its_own_credential() {
    let rig = Rig::start_with(|config| {
        config.general.allowed_origins = vec![WebOrigin::parse_item("https://app.example").expect("an origin")];
    })
    .await;
    let cookie = rig.cookie().await;
    let mut page = rig.connect_with(&[("cookie", &cookie), ("origin", "https://App.example")]).await;
    assert_eq!(code(&page.subscribe("rooms").await), "not_found", "the cookie is not the app's");
    let token = rig.token(600).await;
    page.request(json!({ "type": "authenticate", "token": token })).await;
    assert_eq!(page.next().await["identity"], json!("account:1"));
    let other = rig.upgrade(&[("origin", "https://app.example.evil")]);
    assert_eq!(rig.refused(other).await.0, 403);
}

#[tokio::test]
async fn programs_bring_their_token_with_the_upgrade_or_behind_it() {
    let rig = Rig::start().await;
    let token = rig.token(600).await;
    let mut early = rig.connect_with(&[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(code(&early.subscribe("rooms").await), "ok");

    let mut late = rig.connect().await;
    // Both at once: the second is judged after the first.
    let first = late.request(json!({ "type": "authenticate", "token": token })).await;
    let second = late.request(json!({ "type": "subscribe", "topic": "rooms" })).await;
    let reply = late.next().await;
    assert_eq!((&reply["re"], &reply["identity"]), (&json!(first), &json!("account:1")));
    let reply = late.next().await;
    assert_eq!((&reply["re"], code(&reply)), (&json!(second), "ok"));

    for wrong in ["Bearer tst_wrong", "Bearer ", "Basic dGVzdDp0ZXN0", "x"] {
        let request = rig.upgrade(&[("authorization", wrong)]);
        assert_eq!(rig.refused(request).await, (401, "unauthorised".into()), "{wrong}");
    }
}

#[tokio::test]
async fn there_are_only_so_many_sockets() {
    let rig = Rig::start_with(|config| config.limits.websockets_max = 2).await;
    let mut first = rig.connect().await;
    let second = rig.connect().await;
    assert_eq!(rig.connect().await.closed().await, 4409);
    assert_eq!(code(&first.ask(json!({ "type": "ping" })).await), "ok", "those that are in notice nothing");
    assert_eq!(rig.running.state().metrics.ws_refused_connections.get(), 1);
    drop(second);
    while rig.running.state().metrics.ws_connections_count.get() > 1 {
        tokio::task::yield_now().await;
    }
    let mut third = rig.connect().await;
    assert_eq!(code(&third.ask(json!({ "type": "ping" })).await), "ok");
}

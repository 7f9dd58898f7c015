//! How connections end.

use serde_json::json;

use crate::support::{Rig, code};

#[tokio::test]
async fn a_credential_that_expires_closes_with_4401() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    assert_eq!(code(&client.authenticate(&rig.token(1).await).await), "ok");
    assert_eq!(client.closed().await, 4401);
}

#[tokio::test]
async fn signing_out_closes_the_sockets_of_that_browser_and_no_other() {
    let rig = Rig::start().await;
    let cookie = rig.cookie().await;
    let browser = rig.connect_with(&[("cookie", &cookie), ("origin", &rig.origin())]).await;
    let mut program = rig.connect().await;
    assert_eq!(code(&program.authenticate(&rig.token(600).await).await), "ok");
    let answer = rig.ask("DELETE", "/api/v1/sessions/current", &[("cookie", &cookie)], None).await;
    assert_eq!(answer.status, 204);
    assert_eq!(browser.closed().await, 4401);
    assert_eq!(code(&program.ask(json!({ "type": "ping" })).await), "ok");
}

#[tokio::test]
async fn the_third_wrong_token_closes_with_4401() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    for _ in 0..3 {
        assert_eq!(code(&client.authenticate("tst_wrong").await), "unauthorised");
    }
    assert_eq!(client.closed().await, 4401);
}

#[tokio::test]
async fn a_shutdown_closes_every_socket_with_1001() {
    let rig = Rig::start().await;
    let mut clients = vec![rig.connect().await, rig.connect().await, rig.connect().await];
    for client in &mut clients {
        assert_eq!(code(&client.subscribe("room:demo").await), "ok");
    }
    let readers = clients.into_iter().map(|client| client.closed());
    let (codes, drained) = tokio::join!(futures_util::future::join_all(readers), rig.running.shutdown());
    assert_eq!(codes, [1001, 1001, 1001]);
    assert_eq!(drained, telstar::tasks::Drained::Cleanly);
}

#[tokio::test]
async fn a_lost_connection_leaves_nothing_behind() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    client.ask(json!({ "type": "subscribe", "topic": "room:demo", "watch": true })).await;
    client.until(|message| message["state"]["viewers"] == 1).await;
    let mut other = rig.connect().await;
    other.subscribe("room:demo").await;
    // No close frame: the socket is just gone.
    drop(client);
    other.until(|message| message["state"]["viewers"] == 0).await;
    while rig.running.state().metrics.ws_connections_count.get() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.running.state().metrics.tasks_panics.get(), 0);
}

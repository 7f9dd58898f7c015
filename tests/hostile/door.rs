//! The door: foreign protocols, handshakes without end, keys, names, and too many at once.

use serde_json::json;
use telstar_rtmp::amf::Value;
use telstar_rtmp::chunk::message_type;
use tokio::net::TcpStream;

use super::encoder;
use super::rtmp::{Client, PATIENCE};
use super::stage::{SMALL_MIB, Stage};

#[tokio::test]
async fn tls_and_http_on_the_rtmp_port_are_closed_at_once() {
    let mut stage = Stage::set(|_| {}).await;
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let probes: [&[u8]; 6] = [
        &hello,
        b"POST /open/1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[6; 1_537],
        &[0xff; 1_537],
    ];
    for probe in probes {
        let mut client = stage.client().await;
        client.raw(probe).await;
        assert_eq!(client.last_words().await, "", "nothing is said to {:?}", &probe[..4]);
        stage.others_are_undisturbed().await;
    }
    assert_eq!(stage.metrics().rtmp_refused_connections.get(), probes.len() as u64);
    stage.memory_stays_below(SMALL_MIB);
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_at_its_deadline() {
    let mut stage = Stage::set(|config| config.rtmp.handshake_timeout_secs = 1).await;
    let mut silent = Vec::new();
    for sent in [0, 1, 100, 1_537, 3_072] {
        let mut client = stage.client().await;
        client.raw(&encoder::handshake()[..sent]).await;
        silent.push(client);
    }
    // Whoever sends a byte now and then has no more time.
    let mut dripping = stage.client().await;
    dripping.raw(&[3]).await;
    while dripping.raw(&[0]).await {
        stage.others_are_undisturbed().await;
    }
    for mut client in silent {
        client.last_words().await;
    }
    assert_eq!(stage.metrics().rtmp_refused_connections.get(), 6);
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
}

#[tokio::test]
async fn wrong_keys_are_one_answer_and_guessing_is_throttled() {
    let mut stage = Stage::set(|_| {}).await;
    let revoked = stage.rig.api(&stage.admin, "POST", "/api/v1/rooms/demo/stream-keys", None).await.body;
    let id = revoked["id"].as_str().map_or(revoked["id"].to_string(), str::to_owned);
    stage.rig.api(&stage.admin, "DELETE", &format!("/api/v1/rooms/demo/stream-keys/{id}"), None).await;
    let revoked = revoked["key"].as_str().expect("a key").to_owned();
    let foreign = format!("demo?key={}", stage.key);
    let names = ["sk_unknown", "demo?key=sk_x", "demo", "", &revoked, &foreign, "no-such-room?key=sk_x"];
    for name in names {
        let mut client = stage.introduced().await;
        client.publish(name).await;
        let words = client.last_words().await;
        assert!(words.contains("The stream key is not valid."), "{name}: {words}");
    }
    stage.others_are_undisturbed().await;
    // At speed: after a hundred the door does not even look.
    let mut throttled = 0;
    for guess in 0..120 {
        let mut client = stage.introduced().await;
        client.publish(&format!("sk_{guess:032}")).await;
        let words = client.last_words().await;
        throttled += u32::from(words.contains("The server takes no more streams at the moment."));
    }
    assert!(throttled >= 10, "{throttled} of 120");
    let mut client = stage.introduced().await;
    client.publish(&stage.key).await;
    let words = client.last_words().await;
    assert!(words.contains("takes no more streams"), "whoever guesses waits, even with a good key: {words}");
    stage.others_are_undisturbed().await;
    assert!(stage.metrics().auth_refused_requests.get() >= 120);
    stage.memory_stays_below(SMALL_MIB);
}

#[tokio::test]
async fn guessing_playback_tokens_is_throttled_and_open_rooms_stay_open() {
    let mut stage = Stage::set(|_| {}).await;
    stage.rig.api(&stage.admin, "PATCH", "/api/v1/rooms/attacker", Some(json!({ "open": false }))).await;
    let mut throttled = 0;
    for guess in 0..120 {
        let mut client = stage.introduced().await;
        client.play(&format!("attacker?t=eyJ.{guess}.x")).await;
        let words = client.last_words().await;
        let waits = words.contains("The server takes no more players at the moment.");
        assert!(waits || words.contains("There is no such stream."), "{words}");
        throttled += u32::from(waits);
    }
    assert!(throttled >= 10, "{throttled} of 120");
    // Who shows nothing guesses nothing.
    let mut client = stage.introduced().await;
    client.play("demo").await;
    client.until_code("NetStream.Play.Start").await;
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
}

#[tokio::test]
async fn names_that_lead_elsewhere_lead_nowhere() {
    let mut stage = Stage::set(|_| {}).await;
    let folder = stage.rig.running.state().config.general.data.clone();
    let files = || {
        let names = std::fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    let before = files();
    let key = stage.key.clone();
    let long = "x".repeat(10_000);
    for name in [
        "../../../etc/passwd",
        "..",
        "//..//",
        "a/b/c",
        "attacker/..",
        "attacker\0",
        "attacker\r\nx",
        "%2e%2e%2f",
        &long,
    ] {
        let mut publisher = stage.introduced().await;
        publisher.publish(&format!("{name}?key={key}")).await;
        let words = publisher.last_words().await;
        assert!(words.contains("is not valid") || words.contains("longer than 512 bytes"), "{name:?}: {words}");
        let mut player = stage.introduced().await;
        player.play(name).await;
        let words = player.last_words().await;
        assert!(words.contains("no such stream") || words.contains("longer than 512 bytes"), "{name:?}: {words}");
    }
    for app in ["..", "", "live/../..", "etc\0", &long] {
        let mut client = stage.client().await;
        client.raw(&encoder::handshake()).await;
        let object = encoder::object(&[("app", app.into())]);
        client.send(0, message_type::COMMAND_AMF0, &encoder::amf_bytes(&["connect".into(), 1.0.into(), object])).await;
        client.publish(&format!("x?key={key}")).await;
        let refused = ["NetConnection.Connect.Rejected", "NetConnection.Connect.Closed", "NetStream.Publish.BadName"];
        let mut last = String::new();
        while let Some(code) = client.code().await {
            last = code;
        }
        assert!(refused.contains(&last.as_str()), "{app:?}: {last}");
    }
    assert_eq!(files(), before, "no name becomes a file");
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
}

#[tokio::test]
async fn a_thousand_half_open_connections_of_one_address_take_fifty_places() {
    let mut stage = Stage::set(|config| config.rtmp.handshake_timeout_secs = 2).await;
    let address = stage.rig.running.addresses().rtmp.expect("RTMP is on");
    let mut half_open = Vec::new();
    for round in 0..10 {
        for _ in 0..100 {
            half_open.push(TcpStream::connect(address).await.expect("the kernel accepts"));
        }
        stage.others_are_undisturbed().await;
        assert!(stage.metrics().rtmp_connections_count.get() <= 51, "round {round}");
    }
    stage
        .becomes("all are accepted or refused", |metrics| {
            metrics.rtmp_accepted_connections.get() + metrics.rtmp_refused_connections.get() >= 1_002
        })
        .await;
    assert!(stage.metrics().rtmp_refused_connections.get() >= 900);
    stage.memory_stays_below(SMALL_MIB);
    // At their deadline they are gone, and the next encoder of the same address gets in.
    stage.becomes("the places are free again", |metrics| metrics.rtmp_connections_count.get() <= 2).await;
    stage.publisher().await;
    stage.others_are_undisturbed().await;
}

#[tokio::test]
async fn commands_without_end_and_without_sense_cost_the_connection() {
    let mut stage = Stage::set(|_| {}).await;
    // Streams without end: answered with errors beyond the limit.
    let mut client = stage.introduced().await;
    for number in 0..100 {
        client.command(&["createStream".into(), f64::from(number + 10).into(), Value::Null]).await;
    }
    client.until_code("NetConnection.Call.Failed").await;
    // Talk before a publish is limited in bytes.
    let talking = async { while client.command(&["nothing".into(), 0.0.into(), Value::Null]).await {} };
    tokio::time::timeout(PATIENCE, talking).await.expect("256 KiB are enough for everybody");
    stage.others_are_undisturbed().await;
    // A second `connect`, and commands before the first.
    let mut client = stage.introduced().await;
    client.send(0, message_type::COMMAND_AMF0, &encoder::connect("live")).await;
    assert!(client.last_words().await.contains("a command came out of order"));
    let mut client: Client = stage.client().await;
    client.raw(&encoder::handshake()).await;
    client.publish(&stage.key).await;
    assert!(client.last_words().await.contains("a command came out of order"));
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
}

//! A lost socket costs nothing: media goes on, no event is lost or doubled, and nobody else can take the place.
#![expect(clippy::disallowed_methods, reason = "the network of a test is no task of the server")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use telstar_client::{Event, JoinOptions, Kind};
use telstar_signaling::limits::RESUME_WINDOW;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::people::{EVERYTHING, Stage, id_of};
use crate::support::{Client, code};

/// A network between a client's socket and the server, which can be cut.
struct Network {
    address: String,
    up: watch::Sender<bool>,
}

impl Network {
    async fn to(server: String) -> Network {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("ws://{}/ws", listener.local_addr().expect("bound"));
        let (up, is_up) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, server.clone(), is_up.clone()));
            }
        });
        Network { address, up }
    }
}

async fn carry(mut near: TcpStream, server: String, mut is_up: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = is_up.wait_for(|up| !up) => {}
    }
    // A reset, as when the path breaks: neither side says goodbye.
    for stream in [near, far] {
        let _ = stream.set_zero_linger();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn media_goes_on_without_the_socket_and_what_was_missed_comes_once() {
    let stage = Stage::with_media().await;
    let network = Network::to(stage.rig.host()).await;
    let mut alice = stage.person_at(&network.address, "alice", JoinOptions::default()).await;
    let mut bob = stage.person("bob").await;
    let id = alice.call.id().to_owned();
    for person in [&alice, &bob] {
        person.publish(Kind::Audio).await;
    }
    let mut heard_by = [bob.watch_of("alice", Kind::Audio).await, alice.watch_of("bob", Kind::Audio).await];
    for sounds in &mut heard_by {
        sounds.more(10).await;
    }

    network.up.send_replace(false);
    let cut = Instant::now();
    alice.until(|event| matches!(event, Event::Reconnecting).then_some(())).await;
    let becomes = |state: &'static str| {
        let id = id.clone();
        move |event: &Event| match event {
            Event::ParticipantUpdated { participant } if participant.id == id && participant.state == state => Some(()),
            _ => None,
        }
    };
    bob.until(becomes("away")).await;
    for number in 0..20 {
        bob.call.send_data(&[], None, json!(number)).await.expect("it is kept for alice");
    }
    for sounds in &mut heard_by {
        sounds.more(100).await; // two seconds of sound
    }
    network.up.send_replace(true);
    let mut came = Vec::new();
    let all = |event: &Event| {
        if let Event::Data { data, .. } = event {
            came.push(data.clone());
        }
        (data_is(event, 20)).then_some(())
    };
    bob.until(becomes("active")).await;
    bob.call.send_data(&[], None, json!(20)).await.expect("sent");
    alice.until(all).await;
    assert_eq!(came, (0..=20).map(Value::from).collect::<Vec<Value>>(), "each once, in order");
    for sounds in &mut heard_by {
        sounds.more(10).await;
        let gap = sounds.longest_gap(cut);
        assert!(gap < Duration::from_secs(1), "media stopped for {gap:?}");
        sounds.assert_whole();
    }
}

fn data_is(event: &Event, number: u64) -> bool {
    matches!(event, Event::Data { data, .. } if *data == number)
}

/// The `data` of the events up to the one that carries `last`.
async fn data_up_to(client: &mut Client, last: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&last) {
        let message = client.until(|message| message["type"] == "data").await;
        numbers.push(message["data"].as_u64().expect("a number"));
    }
    numbers
}

#[tokio::test]
async fn requests_and_events_on_their_way_are_neither_lost_nor_done_twice() {
    let stage = Stage::start().await;
    let (mut alice, joined) = stage.guest("alice", &EVERYTHING).await;
    let (mut bob, _) = stage.guest("bob", &EVERYTHING).await;
    let send = |number: u64| json!({ "type": "send-data", "data": number });
    for number in 0..10 {
        assert_eq!(code(&bob.ask(send(number)).await), "ok");
    }
    assert_eq!(data_up_to(&mut alice, 4).await, [0, 1, 2, 3, 4]);
    let seq = alice.seq();
    // A request that arrives, whose reply is never read, and one that never leaves.
    let pending = alice.request(send(100)).await;
    assert_eq!(data_up_to(&mut bob, 100).await, [100]);
    drop(alice);
    bob.until(|message| message["participant"]["state"] == "away").await;
    assert_eq!(code(&bob.ask(send(10)).await), "ok");

    let never_sent = pending + 1;
    let mut alice = stage.rig.connect().await;
    let reply = alice.resume(&joined["session"], seq, &[pending, never_sent]).await;
    assert_eq!((code(&reply), &reply["unknown"]), ("ok", &json!([never_sent])), "{reply}");
    let (mut numbers, mut replies) = (Vec::new(), 0);
    while numbers.last() != Some(&10) || replies == 0 {
        let message = alice.next().await;
        if message["re"] == pending {
            assert_eq!(code(&message), "ok");
            replies += 1;
        } else if message["type"] == "data" {
            numbers.push(message["data"].as_u64().expect("a number"));
        }
    }
    assert_eq!((numbers, replies), ((5..=10).collect(), 1));
    bob.until(|message| message["participant"]["state"] == "active").await;
    assert_eq!(code(&alice.ask(send(101)).await), "ok");
    assert_eq!(data_up_to(&mut bob, 101).await, [101], "100 was not carried out again");
}

#[tokio::test]
async fn only_the_newest_secret_takes_a_session_over_and_the_old_socket_is_told() {
    let stage = Stage::start().await;
    let (first, joined) = stage.guest("alice", &EVERYTHING).await;
    let session = &joined["session"];
    assert_eq!(session["resume_secs"], RESUME_WINDOW.as_secs());
    let mut thief = stage.rig.connect().await;
    let wrong = json!({ "id": session["id"], "secret": "guessed" });
    assert_eq!(code(&thief.resume(&wrong, 0, &[]).await), "gone");

    let mut second = stage.rig.connect().await;
    let reply = second.resume(session, first.seq(), &[]).await;
    assert_eq!(code(&reply), "ok", "the thief has not ended it: {reply}");
    assert_ne!(reply["session"]["secret"], session["secret"]);
    assert_eq!(first.closed().await, 4410);
    let mut thief = stage.rig.connect().await;
    assert_eq!(code(&thief.resume(session, 0, &[]).await), "gone", "a secret is good once");
    assert_eq!(code(&second.ask(json!({ "type": "send-data", "data": 1 })).await), "ok");
    let seq = second.seq();
    let mut third = stage.rig.connect().await;
    assert_eq!(code(&third.resume(&reply["session"], seq, &[]).await), "ok");
    assert_eq!(second.closed().await, 4410);

    // Who says goodbye needs no waiting for.
    assert_eq!(code(&third.ask(json!({ "type": "leave" })).await), "ok");
    let none = stage.room("GET", "/participants", None).await;
    assert_eq!(none["participants"], json!([]), "{} has left", id_of(&joined));
}

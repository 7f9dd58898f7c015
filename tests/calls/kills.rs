//! Whoever is killed in the middle of everything is missed by the others, and that is all they notice.

use std::time::{Duration, Instant};

use serde_json::json;
use telstar_client::{Event, JoinOptions, Kind};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::people::{EVERYTHING, Person, Stage, id_of};
use crate::support::code;

/// Somebody whose program can be killed: nothing of it runs on, its sockets are closed by the system.
struct Program {
    runtime: Runtime,
    id: String,
}

impl Program {
    /// A program that publishes sound, and watches what `identity` publishes.
    async fn start(stage: &Stage, name: &str, publishes: bool, watches: &'static str) -> Program {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread can be made");
        let (address, token) = (stage.ws(), stage.token(name, &EVERYTHING).await);
        let (ready, is_ready) = oneshot::channel();
        runtime.spawn(async move {
            let mut person = Person::join(&address, token, JoinOptions::default()).await;
            if publishes {
                person.publish(Kind::Audio).await;
            }
            let mut sounds = person.watch_of(watches, Kind::Audio).await;
            sounds.more(10).await;
            let _ = ready.send(person.call.id().to_owned()); // the test waits
            std::future::pending::<()>().await;
        });
        let id = is_ready.await.expect("it works until it is killed");
        Program { runtime, id }
    }

    fn kill(self) -> String {
        self.runtime.shutdown_background();
        self.id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_a_publisher_and_a_socket_die_and_the_others_do_not_notice() {
    let stage = Stage::with_media().await;
    let (mut alice, mut carol) = (stage.person("alice").await, stage.person("carol").await);
    alice.publish(Kind::Video).await;
    alice.publish(Kind::Audio).await;
    carol.publish(Kind::Audio).await;
    let publisher = Program::start(&stage, "publisher", true, "alice").await;
    let viewer = Program::start(&stage, "viewer", false, "publisher").await;
    let (socket, joined) = stage.guest("socket", &EVERYTHING).await;
    let mut watches = [
        carol.watch_of("alice", Kind::Video).await,
        carol.watch_of("alice", Kind::Audio).await,
        alice.watch_of("carol", Kind::Audio).await,
    ];
    let mut lost = carol.watch_of("publisher", Kind::Audio).await;
    lost.more(10).await;
    for watch in &mut watches {
        watch.more(10).await;
    }

    let window = Duration::from_secs(joined["session"]["resume_secs"].as_u64().expect("a number"));
    let killed = Instant::now();
    let seq = socket.seq();
    drop(socket);
    let dead = [publisher.kill(), viewer.kill(), id_of(&joined)];
    let (mut away, mut left) = (Vec::new(), Vec::new());
    let told = |event: &Event| {
        match event {
            Event::ParticipantUpdated { participant } if participant.state == "away" => {
                away.push(participant.id.clone())
            }
            Event::ParticipantLeft { participant, reason } => {
                assert_eq!(reason, "timeout");
                assert!(away.contains(participant), "it was away before it was gone");
                assert!(killed.elapsed() + Duration::from_secs(1) > window, "it had its time to come back");
                left.push(participant.clone());
            }
            _ => {}
        }
        (left.len() == dead.len()).then_some(())
    };
    carol.until(told).await;
    assert!(killed.elapsed() < window + Duration::from_secs(10), "{:?}", killed.elapsed());
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!((sorted(away), sorted(left)), (sorted(dead.to_vec()), sorted(dead.to_vec())));
    lost.ended().await;
    for watch in &mut watches {
        watch.more(10).await;
        let gap = watch.longest_gap(killed);
        assert!(gap < Duration::from_secs(1), "nothing came for {gap:?}");
        watch.assert_whole();
    }

    // Too late is too late; the socket goes on as a new one.
    let mut back = stage.rig.connect().await;
    assert_eq!(code(&back.resume(&joined["session"], seq, &[]).await), "gone");
    assert_eq!(code(&back.ask(json!({ "type": "ping" })).await), "ok");
    assert_eq!(stage.rig.running.state().metrics.tasks_panics.get(), 0);
}

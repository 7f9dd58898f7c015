//! A server that is told to stop finishes what it has begun, takes nothing new, and ends by its deadline.

use std::time::{Duration, Instant};

use telstar::tasks::Drained;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{PATIENCE, Rig};

/// A request whose body has not come: the head of a sign-in.
async fn begun_request(rig: &Rig) -> TcpStream {
    let address = rig.running.addresses().http.expect("HTTP is on");
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let head = "POST /api/v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\
                expect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("the head is written");
    let mut line = [0; 25];
    // "HTTP/1.1 100 Continue" says that the handler waits for the body.
    stream.read_exact(&mut line).await.expect("the server asks for the body");
    assert!(line.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&line));
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_has_begun_is_answered_and_no_other_is_taken() {
    let rig = Rig::start().await;
    let address = rig.running.addresses().http.expect("HTTP is on");
    let mut stream = begun_request(&rig).await;
    let tasks = rig.running.state().tasks.clone();
    let stopping = tasks.stopping();
    let shutdown = async { rig.running.shutdown().await };
    let finish = async {
        stopping.await;
        assert!(TcpStream::connect(address).await.is_err(), "the doors are closed");
        stream.write_all(b"{\"code\":\"x\"}").await.expect("the body is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the answer comes, then the end");
        answer
    };
    let (drained, answer) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(shutdown, finish) }).await.expect("it ends");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(drained, Drained::Cleanly);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_finishes_is_cut_off_at_the_deadline() {
    let rig = Rig::start_with(|config| config.shutdown.deadline_secs = 1).await;
    let _stream = begun_request(&rig).await;
    let started = Instant::now();
    let drained = tokio::time::timeout(PATIENCE, rig.running.shutdown()).await.expect("it ends");
    assert!(matches!(drained, Drained::Aborted(_)), "{drained:?}");
    assert!(started.elapsed() >= Duration::from_millis(900), "not before the deadline");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_ends_when_the_doors_close_and_liveness_goes_on() {
    let rig = Rig::start().await;
    assert_eq!(rig.get("/readyz").await.status(), 200);
    rig.running.state().tasks.close_doors();
    // The client's connection from before is still served.
    super::support::assert_problem(rig.get("/readyz").await, 503, "unavailable").await;
    assert_eq!(rig.get("/healthz").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_starts_again_on_its_data() {
    let rig = Rig::start().await;
    let mut config = (*rig.running.state().config).clone();
    config.general.http = telstar::config::address::Listen::At(rig.running.addresses().http.expect("HTTP is on"));
    rig.running.shutdown().await;
    let again = telstar::Server::start(config).await.expect("the port and the data are free again");
    assert!(again.first_stream_key().is_none() && again.sign_in_code().is_none(), "only the first start tells");
    let room = rig.client.get(format!("http://{}/api/v1/rooms/demo", again.addresses().http.expect("HTTP is on")));
    assert_eq!(room.send().await.expect("the server answers").status(), 200);
    again.shutdown().await;
}

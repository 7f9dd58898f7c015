//! The machine at its ends: no file descriptors left, and what the kernel refuses.

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::peer::Pair;
use super::stage::{SMALL_MIB, Stage};

/// Gives the process its files back, whatever happens to the test.
struct Scarce(rustix::process::Rlimit);

impl Scarce {
    fn leave(files: u64) -> Scarce {
        let before = getrlimit(Resource::Nofile);
        let open = std::fs::read_dir("/proc/self/fd").expect("Linux has it").count() as u64;
        let mut now = before;
        now.current = Some(open + files);
        setrlimit(Resource::Nofile, now).expect("less is always allowed");
        Scarce(before)
    }
}

impl Drop for Scarce {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.0).expect("it was so before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_file_descriptors_keeps_its_calls_and_recovers() {
    let stage = Stage::set().await;
    let scarce = Scarce::leave(24);
    // Both ends are files of this process: soon there is none for the server to accept with.
    let mut held = Vec::new();
    for number in 0..200 {
        let address =
            if number % 2 == 0 { stage.media() } else { stage.rig.running.addresses().http.expect("HTTP is on") };
        match TcpStream::connect(address).await {
            Ok(stream) => held.push(stream),
            Err(_) => break,
        }
    }
    assert!(held.len() < 200, "the files came to an end");
    stage.others_are_undisturbed().await;
    drop(held);
    stage.others_are_undisturbed().await;
    drop(scarce);
    // Who waited in the kernel is served, and newcomers are.
    Pair::connect(&stage).await.forwards().await;
    let mut stream = TcpStream::connect(stage.rig.host()).await.expect("the server listens");
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /healthz HTTP/1.0\r\n\r\n").await.expect("written");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    assert!(text.contains(" 200 "), "{text}");
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

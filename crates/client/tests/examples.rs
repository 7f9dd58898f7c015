//! The examples work: they are run as their users run them.

mod support;

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use support::media::Report;
use support::{PATIENCE, Server};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// Cargo builds the examples before it runs the tests of a package, beside them.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test has a file");
    let folder: PathBuf = test.ancestors().nth(2).expect("target/PROFILE/deps/test").join("examples");
    let mut command = Command::new(folder.join(name));
    command.kill_on_drop(true).stdout(Stdio::piped());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_generator_counts_every_packet() {
    let server = Server::start().await;
    server.hub().echo = true;
    let tokens = std::env::temp_dir().join(format!("telstar-load-{}", std::process::id()));
    std::fs::write(&tokens, "good\n").expect("there is a temporary folder");
    let output = example("load")
        .args([
            "--url",
            &server.address,
            "--room",
            "demo",
            "--meeting",
            "1",
            "--no-audio",
            "--seconds",
            "2",
            "--tokens",
        ])
        .arg(&tokens)
        .output();
    let output = timeout(PATIENCE, output).await.expect("it ends").expect("it runs");
    std::fs::remove_file(&tokens).expect("it was written");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!((&report["subscribers"], &report["without_media"]), (&json!(1), &json!(0)), "{report}");
    // 1.5 Mbit/s for 2 s are about 340 packets.
    assert!(report["packets_received"].as_u64().expect("a number") > 200, "{report}");
    assert_eq!(report["packets_lost"], 0, "{report}");
    assert!(report["delay_us"]["samples"].as_u64().expect("a number") > 5, "{report}");
    assert!(report["first_picture_ms"]["max"].is_number(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_plays_a_clip_and_sends_data_back() {
    let server = Server::start().await;
    let clip = std::env::temp_dir().join(format!("telstar-bot-{}.ivf", std::process::id()));
    let mut file = b"DKIF\0\0\x20\0VP80\x40\x01\xb4\0\x1e\0\0\0\x01\0\0\0".to_vec();
    file.resize(32, 0);
    for index in 0..30_u8 {
        file.extend(100_u32.to_le_bytes());
        file.extend([0; 8]);
        file.extend([u8::from(index > 0); 100]);
    }
    std::fs::write(&clip, file).expect("there is a temporary folder");
    let mut bot = example("bot")
        .args(["--url", &server.address, "--token", "good", "--room", "demo"])
        .arg(&clip)
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(bot.stdout.take().expect("it is piped")).lines();
    server.report(|_, report| matches!(report, Report::Rtp(..)).then_some(())).await;
    server.event(json!({ "type": "data", "from": "p2", "label": "greeting", "data": { "hello": 1 } }));
    let sent = server.requested(|request| request["type"] == "send-data").await;
    assert_eq!(
        (&sent["to"], &sent["label"], &sent["data"]),
        (&json!(["p2"]), &json!("greeting"), &json!({ "hello": 1 }))
    );
    server.event(json!({ "type": "left", "reason": "removed" }));
    let status = timeout(PATIENCE, bot.wait()).await.expect("it ends").expect("it ran");
    assert!(status.success());
    std::fs::remove_file(&clip).expect("it was written");
    let mut said = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        said.push(line);
    }
    assert_eq!(
        said,
        [
            "in demo as p1",
            "p2 is here: identity of p2",
            "publishing video as t1",
            r#"p2 says {"hello":1}"#,
            "the call is over: removed",
        ]
    );
}

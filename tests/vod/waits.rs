//! Jobs that cannot be done now: they wait and say why, and go on by themselves.

use serde_json::{Value, json};
use telstar_store::job::Class;
use telstar_store::{JobKind, NewAsset, NewJob, Quota};
use telstar_units::{AssetName, BlobName};

use super::stage::Stage;
use super::worker::worker;

#[tokio::test]
async fn a_server_without_a_worker_keeps_what_is_uploaded_until_it_has_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let executable = folder.path().join("telstar-worker");
    let stage = Stage::set_with(|config| config.transcode.worker.clone_from(&executable)).await;
    let mut assets = Vec::new();
    for number in 0..3 {
        let whole = stage.rig.request(reqwest::Method::POST, &format!("/api/v1/assets?title={number}"));
        let made = super::stage::send(whole.bearer_auth(&stage.token).body("no video")).await;
        let made: Value = made.json().await.expect("JSON");
        assets.push(made["asset"].as_str().expect("a name").to_owned());
    }
    for asset in &assets {
        let path = format!("/assets/{asset}");
        let says = |text: &Value| text.as_str().is_some_and(|text| text.contains("transcode.worker"));
        let waits = stage.until(&path, |asset| says(&asset["problem"])).await;
        assert_eq!(waits["state"], "processing", "it may still become one");
        let jobs = stage.until(&format!("{path}/jobs"), |list| says(&list["jobs"][0]["problem"])).await;
        let job = &jobs["jobs"][0];
        assert_eq!((&job["state"], &job["failures"]), (&json!("ready"), &json!(0)), "{job}");
    }
    // However long it lasts, it is tried with one of them at most.
    let attempts = |asset: &String| {
        let path = format!("/assets/{asset}/jobs");
        let stage = &stage;
        async move { stage.json("GET", &path, None, 200).await["jobs"][0]["attempts"].as_u64().expect("a number") }
    };
    let mut begun = 0;
    for asset in &assets {
        begun += attempts(asset).await;
    }
    // Two places, each of which began one before it was known.
    assert!((1..=2).contains(&begun), "{begun}");
    assert_eq!(super::stage::send(stage.rig.request(reqwest::Method::GET, "/readyz")).await.status(), 200);

    std::os::unix::fs::symlink(worker(), &executable).expect("linked");
    for asset in &assets {
        let done = stage.until(&format!("/assets/{asset}"), |asset| asset["state"] != "processing").await;
        let problem = done["problem"].as_str().expect("words");
        assert!(done["state"] == "failed" && !problem.contains("transcode.worker"), "of the file now: {done}");
    }
}

#[tokio::test]
async fn an_account_that_has_taken_its_room_gets_no_more_renditions_and_is_told() {
    let stage = Stage::set_with(|config| config.vod.account_quota_mib = 1).await;
    let state = stage.rig.running.state();
    let (store, now) = (&state.store, state.authority.now());
    let name = AssetName::parse("0123456789abcdefghijkm").expect("a name");
    let blob = BlobName::parse("0123456789abcdefghijkm").expect("a name");
    // What was uploaded while there was more.
    let room = Quota { account_bytes_max: 1 << 30, total_bytes_max: 1 << 30 };
    let new = NewAsset { name: name.clone(), title: "Film".to_owned(), blob, len: 2 << 20, work: String::new() };
    store.create_asset(new, stage.owner().await, room, now).await.expect("made");
    let work = r#"{"renditions":[]}"#.to_owned();
    let more = NewJob { kind: JobKind::More, class: Class::Extra, work, after: Vec::new() };
    let job = store.add_job(name, more, now).await.expect("made").id.0;
    state.vod.has_work.notify_one();
    let failed = stage.until(&format!("/jobs/{job}"), |job| job["state"] == "failed").await;
    let problem = failed["problem"].as_str().expect("words");
    assert!(problem.contains("room") && failed["attempts"][0]["attempt"] == 1, "{failed}");
    // It can be asked for again, when there is room.
    stage.json("POST", &format!("/jobs/{job}/attempts"), None, 202).await;
}

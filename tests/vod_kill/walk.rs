//! Every state that a job can be in, and SIGKILL for the server and for the worker in each.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use tempfile::TempDir;

use super::life::{COPIED, ENCODED, Life, check_files, clip};
use super::server::{Gate, Server, is_worker, kill, until};

/// A folder with a server's data, whose workers wait for leave, and a clip to be uploaded.
struct Stage {
    folder: TempDir,
    gate: Gate,
    server: Server,
    life: Life,
}

impl Stage {
    fn set(codecs: &[&str], secs: u32) -> Stage {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let gate = Gate::new(folder.path());
        let extension = if codecs == COPIED { "clip.mp4" } else { "clip.webm" };
        let clip = clip(folder.path(), extension, secs, codecs);
        let data = folder.path().join("data");
        let server = Server::try_start(&data, &gate.worker()).expect("the server starts");
        let life = Life::new(&data, &clip);
        Stage { folder, gate, server, life }
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// The server dies here; another one finishes what it had been asked for. Returns the renditions.
    async fn kill_and_finish(self, others: Vec<Life>) -> Vec<String> {
        let Stage { folder, server, life, .. } = self;
        server.kill();
        finish(&folder.path().join("data"), life, others).await
    }
}

/// A new server makes of every upload the asset that it was to be. Returns the renditions of the first.
async fn finish(data: &Path, mut life: Life, mut others: Vec<Life>) -> Vec<String> {
    let server = Server::start(data);
    let mut names = Vec::new();
    for one in std::iter::once(&mut life).chain(&mut others) {
        one.end(&server).await.expect("nothing happens to this one");
        names.push(one.check(&server).await);
    }
    assert!(names.iter().all(|other| *other == names[0]), "{names:?}");
    assert_eq!(life.assets(&server).await, names.len(), "one asset of each upload");
    server.kill();
    let all: Vec<&Life> = std::iter::once(&life).chain(&others).collect();
    check_files(data, &all).await;
    names.remove(0)
}

const RENDITIONS: [&str; 4] = ["a1", "v-copy", "v240", "v360"];

#[tokio::test(flavor = "multi_thread")]
async fn the_server_dies_in_the_middle_of_an_upload() {
    let mut stage = Stage::set(COPIED, 3);
    // The first piece is acknowledged; the second never ends.
    stage.life.upload_one_piece(&stage.server).await.expect("acknowledged");
    let stuck = stage.life.stuck_piece(&stage.server);
    tokio::time::sleep(Duration::from_millis(100)).await;
    stuck.abort();
    assert_eq!(stage.kill_and_finish(Vec::new()).await, RENDITIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_dies_while_jobs_are_ready_that_nobody_has_begun() {
    // Three hold all places; the fourth's probe waits.
    let mut stage = Stage::set(COPIED, 3);
    let mut others = [(); 3].map(|()| stage.life.again());
    for other in &mut others {
        other.upload(&stage.server).await.expect("acknowledged");
        other.until(&stage.server, "probe", "leased").await;
    }
    stage.life.upload(&stage.server).await.expect("acknowledged");
    stage.life.until(&stage.server, "probe", "ready").await;
    assert_eq!(stage.kill_and_finish(others.into()).await, RENDITIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_dies_while_a_probed_asset_waits_for_its_first_rendition() {
    // One of the three that have a place ends its probe; the fourth, which came later, was wanted earlier than what follows.
    let mut stage = Stage::set(COPIED, 3);
    let mut others = [(); 3].map(|()| stage.life.again());
    stage.life.upload(&stage.server).await.expect("acknowledged");
    for other in &mut others {
        other.upload(&stage.server).await.expect("acknowledged");
    }
    others[2].until(&stage.server, "probe", "ready").await;
    stage.gate.let_one().await;
    until("a first rendition to be ready", async || {
        for life in [&stage.life, &others[0], &others[1]] {
            if life.state(&stage.server, "first").await.as_deref() == Some("ready") {
                return Some(());
            }
        }
        None
    })
    .await;
    assert_eq!(stage.kill_and_finish(others.into()).await, RENDITIONS);
}

/// Kinds of jobs in the order in which they run, and what the others are while each is under way.
const STEPS: [(&str, &[(&str, &str)]); 4] = [
    ("probe", &[]),
    ("first", &[("probe", "done"), ("images", "blocked"), ("more", "blocked")]),
    ("images", &[("first", "done"), ("more", "ready")]),
    ("more", &[("first", "done"), ("images", "done")]),
];

/// Goes on until this job is leased, and its worker waits for leave.
async fn walk_to(stage: &mut Stage, kind: &str) {
    stage.life.upload(&stage.server).await.expect("acknowledged");
    for (step, beside) in STEPS {
        stage.life.until(&stage.server, step, "leased").await;
        for (other, state) in beside {
            assert_eq!(stage.life.state(&stage.server, other).await.as_deref(), Some(*state), "{other}, at {step}");
        }
        if step == kind {
            return;
        }
        stage.gate.let_one().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_dies_with_each_kind_of_job_leased() {
    for (kind, _) in STEPS {
        let mut stage = Stage::set(COPIED, 3);
        walk_to(&mut stage, kind).await;
        assert_eq!(stage.kill_and_finish(Vec::new()).await, RENDITIONS, "{kind}");
    }
}

/// The worker itself, once it has begun.
async fn working(server: &Server) -> u32 {
    until("a worker", async || server.workers().into_iter().find(|pid| is_worker(*pid))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_dies_while_a_worker_writes() {
    for kind in ["first", "more"] {
        let mut stage = Stage::set(ENCODED, 5);
        walk_to(&mut stage, kind).await;
        stage.gate.let_one().await;
        working(&stage.server).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(stage.life.state(&stage.server, kind).await.as_deref(), Some("leased"), "{kind} is under way");
        assert_eq!(stage.kill_and_finish(Vec::new()).await, ["a1", "v240", "v360"], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_at_each_kind_of_job() {
    for (kind, _) in STEPS {
        let mut stage = Stage::set(ENCODED, 5);
        walk_to(&mut stage, kind).await;
        stage.gate.let_one().await;
        let worker = working(&stage.server).await;
        let lasts = matches!(kind, "first" | "more");
        if lasts {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        kill(worker);
        let attempts = stage.life.attempts(&stage.server, kind).await;
        // The others may have been faster.
        let died = attempts.iter().any(|outcome| outcome.contains("worker"));
        assert!(died || (!lasts && attempts == ["done"]), "{kind}: {attempts:?}");
        // While it rests between two attempts, the server dies as well.
        assert_eq!(stage.kill_and_finish(Vec::new()).await, ["a1", "v240", "v360"], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_stays_as_it_was() {
    let mut stage = Stage::set(COPIED, 3);
    walk_to(&mut stage, "more").await;
    let (data, cancelled) = (stage.data(), stage.life.job(&stage.server, "more").await);
    let answer = stage.life.request(&stage.server, Method::DELETE, &format!("/api/v1/jobs/{cancelled}")).send().await;
    assert_eq!(answer.expect("answered").status(), 204);
    let mut broken = stage.life.again();
    broken.take_bytes(b"no video, but text".repeat(100));
    broken.upload(&stage.server).await.expect("acknowledged");
    broken.until(&stage.server, "probe", "leased").await;
    stage.gate.let_one().await;
    broken.until(&stage.server, "probe", "failed").await;
    stage.server.kill();
    let server = Server::start(&data);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stage.life.state(&server, "more").await.as_deref(), Some("cancelled"));
    assert_eq!(broken.state(&server, "probe").await.as_deref(), Some("failed"));
    // What was cancelled can be wanted again.
    let again = stage.life.request(&server, Method::POST, &format!("/api/v1/jobs/{cancelled}/attempts")).send().await;
    assert_eq!(again.expect("answered").status(), 202);
    stage.life.end(&server).await.expect("nothing happens to this one");
    stage.life.check(&server).await;
    server.kill();
    check_files(&data, &[&stage.life, &broken]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_asset_that_is_deleted_nothing_is_left() {
    for (kind, _) in STEPS {
        let mut stage = Stage::set(COPIED, 3);
        walk_to(&mut stage, kind).await;
        let data = stage.data();
        stage.life.delete(&stage.server).await;
        stage.server.kill();
        let server = Server::start(&data);
        assert_eq!(stage.life.assets(&server).await, 0);
        let folder = data.join("vod");
        until("its files to go", async || files(&folder).is_empty().then_some(())).await;
        server.kill();
        check_files(&data, &[]).await;
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let shards = std::fs::read_dir(folder).expect("a folder").flatten();
    shards
        .flat_map(|shard| std::fs::read_dir(shard.path()).expect("a folder").flatten())
        .map(|file| file.path())
        .collect()
}

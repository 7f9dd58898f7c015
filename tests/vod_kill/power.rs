//! A loss of power at any sync. What a process has written is there when only the process dies; on this disk everything is
//! lost that was not synced, or some of it.

use std::path::Path;
use std::time::Duration;

use telstar_forgetful::{Forgetful, Loss, Moment};

use super::life::{COPIED, Life, check_files, clip};
use super::server::Server;
use super::support::worker;

/// Rounds where nobody asks for more.
const ROUNDS: u64 = 6;
const SEED: u64 = 1;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// One round: the power fails at this sync of an upload's life.
#[derive(Clone, Copy, Debug)]
struct Round {
    sync: u64,
    moment: Moment,
    loss: Loss,
}

/// Xorshift: the same seed has the same rounds.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % end
    }
}

/// Runs a whole life on a new disk, with or without a failure in it. Returns how many syncs it took.
async fn live(clip: &Path, round: Option<Round>) -> u64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut disk = Forgetful::mount(folder.path()).expect("a disk");
    let data = folder.path().join("data");
    let mut server = Server::start(&data);
    let mut life = Life::new(&data, clip);
    let before = disk.syncs();
    if let Some(round) = round {
        disk.fail_at(round.sync, round.moment);
    }
    let failed = async {
        while !disk.has_failed() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let ended = tokio::select! {
        ended = life.end(&server) => ended.is_ok(),
        () = failed => false,
    };
    assert!(ended || disk.has_failed(), "nothing else interrupts it");
    if round.is_some() {
        server.kill();
        disk.lose_power(round.map_or(Loss::Everything, |round| round.loss)).expect("mounted again");
        server = Server::try_start(&data, &worker()).expect("it starts on what is left");
        life.end(&server).await.expect("the power does not fail twice");
    }
    let syncs = disk.syncs() - before;
    let renditions = life.check(&server).await;
    assert_eq!(renditions, ["a1", "v-copy", "v240", "v360"]);
    assert_eq!(life.assets(&server).await, 1);
    server.kill();
    check_files(&data, &[&life]).await;
    syncs
}

#[tokio::test(flavor = "multi_thread")]
async fn the_power_fails_at_any_sync() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if let Err(error) = Forgetful::mount(folder.path()).map(drop) {
        assert!(std::env::var_os("TELSTAR_KILL_ROUNDS").is_none(), "nothing can be mounted here: {error}");
        eprintln!("skipped: nothing can be mounted here: {error}");
        return;
    }
    let clips = tempfile::tempdir().expect("a temporary folder");
    let clip = clip(clips.path(), "clip.mp4", 3, COPIED);
    let syncs = live(&clip, None).await;
    let (rounds, seed) =
        (setting("TELSTAR_KILL_ROUNDS").unwrap_or(ROUNDS), setting("TELSTAR_KILL_SEED").unwrap_or(SEED));
    println!("a life has {syncs} syncs; seed {seed}");
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let all = (1..=syncs).flat_map(|sync| [(sync, Moment::Before), (sync, Moment::Behind)]);
    let mut chosen: Vec<(u64, Moment)> = all.collect();
    while chosen.len() as u64 > rounds {
        let out = dice.below(chosen.len() as u64) as usize;
        chosen.remove(out);
    }
    for (sync, moment) in chosen {
        let loss = if dice.below(2) == 0 { Loss::Everything } else { Loss::Some(dice.below(1 << 32)) };
        let round = Round { sync, moment, loss };
        println!("{round:?}");
        live(&clip, Some(round)).await;
    }
}

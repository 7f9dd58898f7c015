//! Promises that need more than one process: what was acknowledged survives `kill -9`, and a command-line program may
//! use the file of a running server.
//!
//! The other process is this test binary, started again for the one test that does the child's work.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use telstar_store::{
    AttemptOutcome, DeliveryState, Founding, NewApiKey, NewBearer, NewDelivery, NewRoom, NewStreamKey, NewWebhook,
    NextDelivery, PageRequest, RoomMode, RoomsOf, SecretHash, SqliteStore, Store,
};
use telstar_units::{AccountId, RoomName, WallTime};

/// The child finds its work in these.
const CHILD_FILE: &str = "TELSTAR_STORE_TEST_FILE";
const CHILD_WORK: &str = "TELSTAR_STORE_TEST_WORK";
const CHILD_NAME: &str = "TELSTAR_STORE_TEST_NAME";
/// Threads of a child: their operations share transactions.
const CHILD_THREADS: usize = 4;

fn found(store: &SqliteStore) -> AccountId {
    let hash = SecretHash([7; 32]);
    let founding = Founding {
        admin: "admin".into(),
        api_key: NewApiKey { id: "ak_1".into(), label: String::new(), sealed_secret: vec![1; 48] },
        room: room("demo"),
        stream_key: NewStreamKey { label: String::new(), hint: "sk_a…".into(), locator: "a".into(), hash },
    };
    store.found(founding, WallTime(1)).wait().expect("a store can be founded").admin.id
}

fn room(name: &str) -> NewRoom {
    NewRoom { name: RoomName::parse(name).expect("a slug"), title: String::new(), open: true, mode: RoomMode::Sfu }
}

fn child(file: &Path, work: &str, name: &str) -> Child {
    Command::new(std::env::current_exe().expect("a test knows its program"))
        .args(["--exact", "the_work_of_a_child", "--nocapture", "--test-threads=1"])
        .env(CHILD_FILE, file)
        .env(CHILD_WORK, work)
        .env(CHILD_NAME, name)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary starts again")
}

/// Passes at once unless a parent asked for work.
#[test]
fn the_work_of_a_child() {
    let (Ok(file), Ok(work), Ok(name)) =
        (std::env::var(CHILD_FILE), std::env::var(CHILD_WORK), std::env::var(CHILD_NAME))
    else {
        return;
    };
    let store = Arc::new(SqliteStore::open(Path::new(&file)).expect("the file opens"));
    let owner = found(&store);
    match work.as_str() {
        "rooms" => {
            let threads: Vec<_> = (0..CHILD_THREADS)
                .map(|thread| (Arc::clone(&store), format!("{name}-{thread}")))
                .map(|(store, prefix)| std::thread::spawn(move || make_rooms(&store, owner, &prefix)))
                .collect();
            threads.into_iter().for_each(|thread| thread.join().expect("the parent kills us first"));
        }
        "events" => make_events(&store, owner, &name),
        "tokens" => {
            for n in 0..50 {
                let locator = format!("{name}{n}");
                let token = NewBearer { owner, locator, hash: SecretHash([7; 32]), expires_at: WallTime(1_000) };
                store.create_api_token(token, WallTime(2)).wait().expect("a busy server makes us wait, not fail");
            }
        }
        other => panic!("a parent asks for known work, not {other}"),
    }
}

/// Makes rooms until the end, and says so after each acknowledgement.
fn make_rooms(store: &SqliteStore, owner: AccountId, prefix: &str) {
    for n in 0.. {
        let name = format!("{prefix}-{n}");
        if store.create_room(room(&name), owner, WallTime(2)).wait().is_err() {
            return;
        }
        // One write call, not line buffered by the test harness: what the parent reads was acknowledged.
        let line = format!("acked {name}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
        std::io::stdout().flush().expect("the parent reads");
    }
}

/// Queues events for webhooks until the end, taking and ending every third, and says so after each acknowledgement.
fn make_events(store: &SqliteStore, owner: AccountId, prefix: &str) {
    let secret = NewWebhook {
        url: "https://app.example/".into(),
        events: vec!["joined".into()],
        secret_id: prefix.into(),
        sealed_secret: vec![1; 48],
    };
    let webhook = store.create_webhook(secret, owner, WallTime(2)).wait().expect("a webhook").id;
    let say = |line: String| {
        std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
        std::io::stdout().flush().expect("the parent reads");
    };
    for n in 0.. {
        let message = format!("{prefix}-{n}");
        let event = NewDelivery { owner, message: message.clone(), event: "joined".into(), body: "{}".into() };
        store.enqueue_delivery(event, WallTime(3)).wait().expect("the parent kills us first");
        say(format!("acked {message}\n"));
        let taken = store.take_delivery(webhook, WallTime(60), WallTime(4)).wait().expect("it can be taken");
        if let (0, NextDelivery::Due(delivery)) = (n % 3, taken) {
            let outcome = AttemptOutcome::Delivered("200".into());
            store.finish_attempt(delivery.id, delivery.attempts, outcome, WallTime(5)).wait().expect("the newest");
            say(format!("ended {}\n", delivery.message));
        }
    }
}

#[test]
fn no_event_for_a_webhook_is_lost_or_told_again_after_kill_9() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telstar.db");
    for (round, kill_after) in [1, 4, 30].into_iter().enumerate() {
        let mut child = child(&file, "events", &format!("e{round}"));
        let (mut acked, mut ended) = (BTreeSet::new(), BTreeSet::new());
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        while acked.len() < kill_after {
            let line = lines.next().expect("the child goes on").expect("the child writes text");
            acked.extend(line.strip_prefix("acked ").map(str::to_owned));
            ended.extend(line.strip_prefix("ended ").map(str::to_owned));
        }
        child.kill().expect("SIGKILL always goes through");
        child.wait().expect("a killed child can be reaped");
        for line in lines.map_while(Result::ok) {
            acked.extend(line.strip_prefix("acked ").map(str::to_owned));
            ended.extend(line.strip_prefix("ended ").map(str::to_owned));
        }
        let store = SqliteStore::open(&file).expect("a killed writer leaves a file that opens");
        store.release_leases().wait().expect("a start forgets leases");
        let webhook = WebhookId(round as i64 + 1);
        let mut waiting = BTreeSet::new();
        while let NextDelivery::Due(delivery) =
            store.take_delivery(webhook, WallTime(1_000), WallTime(10)).wait().expect("readable")
        {
            assert!(waiting.insert(delivery.message), "each is taken once");
        }
        assert!(ended.is_disjoint(&waiting), "round {round}: what was ended is told again");
        let kept = store.deliveries(webhook).wait().expect("readable");
        let done = kept.iter().filter(|kept| kept.state == DeliveryState::Delivered);
        let known: BTreeSet<String> = done.map(|kept| kept.message.clone()).chain(waiting).collect();
        let lost: Vec<_> = acked.difference(&known).collect();
        assert!(lost.is_empty(), "round {round} lost {lost:?} of {}", acked.len());
    }
}

#[test]
fn every_acknowledged_write_survives_kill_9() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telstar.db");
    let mut acked = BTreeSet::new();
    for (round, kill_after) in [1, 2, 3, 5, 17, 40, 90, 150].into_iter().enumerate() {
        let mut child = child(&file, "rooms", &format!("k{round}"));
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        for line in lines.by_ref() {
            let line = line.expect("the child writes text");
            acked.extend(line.strip_prefix("acked ").map(str::to_owned));
            if acked.iter().filter(|name| name.starts_with(&format!("k{round}-"))).count() == kill_after {
                break;
            }
        }
        child.kill().expect("SIGKILL always goes through");
        child.wait().expect("a killed child can be reaped");
        // What it said between the last line we read and its end was acknowledged as well.
        acked.extend(lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("acked ").map(str::to_owned)));

        let store = SqliteStore::open(&file).expect("a killed writer leaves a file that opens");
        let kept = all_rooms(&store);
        let lost: Vec<_> = acked.difference(&kept).collect();
        assert!(lost.is_empty(), "round {round} lost {lost:?} of {}", acked.len());
        drop(store);
        assert_eq!(integrity(&file), "ok", "round {round}");
    }
}

fn all_rooms(store: &SqliteStore) -> BTreeSet<String> {
    let (mut names, mut after) = (BTreeSet::new(), None);
    loop {
        let page = store.rooms(RoomsOf::Everyone, PageRequest::new(after, 100)).wait().expect("readable");
        names.extend(page.items.into_iter().map(|room| room.name.to_string()));
        after = page.next;
        if after.is_none() {
            return names;
        }
    }
}

fn integrity(file: &Path) -> String {
    let connection = rusqlite::Connection::open(file).expect("the file opens");
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check has an answer")
}

#[test]
fn a_program_can_mint_tokens_while_the_server_writes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telstar.db");
    let server = SqliteStore::open(&file).expect("the folder is writable");
    let owner = found(&server);
    let mut children = [child(&file, "tokens", "a"), child(&file, "tokens", "b")];
    for n in 0..200 {
        server.create_room(room(&format!("r{n}")), owner, WallTime(2)).wait().expect("the server is not held up");
    }
    for child in &mut children {
        assert!(child.wait().expect("a child ends").success());
    }
    for name in ["a", "b"] {
        for n in 0..50 {
            let found = server.find_api_token(format!("{name}{n}"), WallTime(3)).wait().expect("readable");
            assert!(found.is_some_and(|token| token.account.id == owner), "token {name}{n}");
        }
    }
    assert_eq!(all_rooms(&server).len(), 201);
}

#[test]
fn programs_that_start_together_found_one_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telstar.db");
    let mut children = ["a", "b", "c"].map(|name| child(&file, "tokens", name));
    for child in &mut children {
        assert!(child.wait().expect("a child ends").success());
    }
    let store = SqliteStore::open(&file).expect("the file opens");
    assert_eq!(all_rooms(&store).len(), 1);
    assert!(store.account(AccountId(2)).wait().expect("readable").is_none());
}

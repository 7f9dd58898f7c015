//! A server in a process of its own, which is killed without a word, and the workers below it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::worker;

const TELSTAR: &str = env!("CARGO_BIN_EXE_telstar");
/// Longer than anything here takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub struct Server {
    child: Child,
    pub http: String,
}

/// How long to wait for what, in small steps.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Server {
    /// Starts one over this folder, with workers as they are.
    pub fn start(data: &Path) -> Server {
        Server::try_start(data, &worker()).expect("the server starts")
    }

    /// Starts one whose workers come through another executable; none if it ends before it is ready.
    pub fn try_start(data: &Path, worker: &Path) -> Option<Server> {
        let mut child = Command::new(TELSTAR)
            .args(["serve", "--http", "127.0.0.1:0", "--https", "off", "--rtmp", "off", "--rtmps", "off"])
            .args(["--media", "off", "--print-addresses"])
            .env("TELSTAR_DATA", data)
            .env("TELSTAR_TRANSCODE_WORKER", worker)
            // What the disk of this machine has left is not the question.
            .env("TELSTAR_VOD_DISK_FREE_MIB", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the executable starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = lines.next().and_then(Result::ok);
        // Whoever prints into a closed pipe dies.
        std::thread::spawn(move || lines.for_each(drop));
        let addresses: Option<Value> = first.and_then(|line| serde_json::from_str(&line).ok());
        let Some(addresses) = addresses else {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        };
        let http = format!("http://{}", addresses["http"].as_str().expect("an address"));
        Some(Server { child, http })
    }

    /// SIGKILL: nothing is finished, nothing is said. Its workers are gone when this returns.
    pub fn kill(mut self) {
        let (workers, waiting): (Vec<u32>, Vec<u32>) = self.workers().into_iter().partition(|pid| is_worker(*pid));
        self.die();
        // What waits for leave is a script of this test, which does not notice.
        waiting.into_iter().for_each(kill);
        let began = Instant::now();
        while workers.iter().any(|pid| is_running(*pid)) {
            assert!(began.elapsed() < PATIENCE, "a worker outlives its server");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn die(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The processes that it has started.
    pub fn workers(&self) -> Vec<u32> {
        let is_ours = |pid: &u32| parent(*pid) == Some(self.child.id());
        let all = fs::read_dir("/proc").expect("Linux has it").flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.die();
    }
}

/// The fields of proc(5)'s `stat` behind the name, which may contain anything.
fn stat(pid: u32) -> Option<(String, Vec<String>)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = (stat.find('(')?, stat.rfind(')')?);
    Some((stat[name + 1..rest].to_owned(), stat[rest + 1..].split_whitespace().map(str::to_owned).collect()))
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.1.get(1)?.parse().ok()
}

/// It is there and no zombie.
fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|(_, fields)| fields.first().is_some_and(|state| state != "Z" && state != "X"))
}

/// The process is the worker itself, not what waits for leave to be it.
pub fn is_worker(pid: u32) -> bool {
    stat(pid).is_some_and(|(name, _)| name == "telstar-worker")
}

/// SIGKILL for a process that may be gone by then.
pub fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
    killed.expect("kill runs");
}

/// An API token of the admin of this folder, which a server has been started over.
pub fn token(data: &Path) -> String {
    let output = Command::new(TELSTAR).args(["token", "--admin"]).env("TELSTAR_DATA", data).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// Workers that wait for leave: each takes one ticket before it begins.
pub struct Gate {
    folder: PathBuf,
}

impl Gate {
    pub fn new(folder: &Path) -> Gate {
        let gate = Gate { folder: folder.to_owned() };
        let script = format!(
            "#!/bin/sh\nuntil /bin/rm {ticket} 2>/dev/null\n\
             do [ -e /proc/$PPID ] || exit 1; /bin/sleep 0.02; done\nexec {worker} \"$@\"\n",
            ticket = folder.join("ticket").display(),
            worker = worker().display(),
        );
        fs::write(gate.worker(), script).expect("written");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(gate.worker(), executable).expect("executable");
        gate
    }

    pub fn worker(&self) -> PathBuf {
        self.folder.join("gated-worker")
    }

    /// Lets one worker begin; it has when this returns.
    pub async fn let_one(&self) {
        let ticket = self.folder.join("ticket");
        fs::write(&ticket, "").expect("written");
        until("a worker to take its ticket", async || (!ticket.exists()).then_some(())).await;
    }
}

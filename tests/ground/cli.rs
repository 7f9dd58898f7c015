//! The executable: what each command prints, and what it never prints where.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const ANY: &str = "127.0.0.1:0";
const LISTENERS: &[&str] = &["--http", ANY, "--https", ANY, "--rtmp", ANY, "--rtmps", ANY, "--media", ANY];

fn telstar(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_telstar"));
    command.env_clear().env("TELSTAR_DATA", data).current_dir(data.parent().expect("a parent"));
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    telstar(data).args(arguments).output().expect("the executable runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A server in a process of its own; dropping it kills it.
struct Served {
    child: Child,
    addresses: Value,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Served {
    fn start(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Served {
        let mut command = telstar(data);
        command.args(["serve", "--print-addresses"]).args(LISTENERS).args(arguments).envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the executable runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let addresses = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Served { child, addresses, stdout }
    }

    fn http(&self) -> &str {
        self.addresses["http"].as_str().expect("HTTP is on")
    }

    /// The first room's stream key, from the box of a first start that shows it.
    fn stream_key(&mut self) -> String {
        let mut lines = self.stdout.by_ref().lines().map(|line| line.expect("UTF-8"));
        let line = lines.find(|line| line.contains("Stream Key   ")).expect("a box");
        line.split("Stream Key   ").nth(1).expect("a value").trim().to_owned()
    }

    /// Ends it with SIGTERM; what is left of its output and its log.
    fn end(mut self) -> (String, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let (mut out, mut log) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).expect("UTF-8");
        self.child.stderr.take().expect("piped").read_to_string(&mut log).expect("UTF-8");
        assert!(self.child.wait().expect("it ends").success(), "{log}");
        (out, log)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    (folder, data)
}

#[tokio::test]
async fn a_first_start_prints_what_going_live_needs_and_a_second_keeps_the_secrets() {
    let (_folder, data) = folder();
    let served = Served::start(&data, &["--print-secrets"], &[]);
    let (http, rtmp) = (served.http().to_owned(), served.addresses["rtmp"].as_str().expect("on").to_owned());
    let (first, _) = served.end();
    assert!(first.contains(&format!("http://{http}/sign-in#")), "{first}");
    assert!(first.contains(&format!("Server       rtmp://{rtmp}/live\n")), "{first}");
    let key: String =
        first.split("Stream Key   ").nth(1).expect("a box").chars().take_while(|c| !c.is_whitespace()).collect();
    assert!(key.starts_with("sk_") && key.len() > 30, "{key}");
    assert!(first.contains(&format!("-f flv rtmp://{rtmp}/live/{key}\n")), "{first}");
    assert!(first.contains("/watch/demo\n"), "{first}");
    let (second, _) = Served::start(&data, &["--print-secrets"], &[]).end();
    assert!(!second.contains("sk_") && second.contains("telstar sign-in"), "{second}");
}

#[tokio::test]
async fn no_secret_is_in_the_log_at_any_level() {
    let (_folder, data) = folder();
    let mut served = Served::start(&data, &["--log-level", "trace", "--print-secrets"], &[]);
    let http = served.http().to_owned();
    let key = served.stream_key();
    let token = stdout(&run(&data, &["token", "--admin"])).trim().to_owned();
    let playback = stdout(&run(&data, &["token", "--playback", "--room", "demo"])).trim().to_owned();
    let link = stdout(&run(&data, &["sign-in"]));
    let code = link.trim().split_once('#').expect("a link").1.to_owned();
    let client = super::support::client(|builder| builder);
    let url = |path: &str| format!("http://{http}{path}");
    let made = client.post(url("/api/v1/assets?title=Film")).bearer_auth(&token).body("no video").send().await;
    let made: serde_json::Value = made.expect("answered").json().await.expect("JSON");
    let asset = made["asset"].as_str().expect("a name");
    let minted = client.post(url(&format!("/api/v1/assets/{asset}/playback-tokens"))).bearer_auth(&token).send().await;
    let minted: serde_json::Value = minted.expect("answered").json().await.expect("JSON");
    let watching = minted["token"].as_str().expect("a token").to_owned();
    for request in [
        client.get(url(&format!("/vod/{asset}/index.m3u8?t={watching}"))),
        client.get(url(&format!("/vod/{asset}/v720/0.m4s?v=0123&t={watching}"))),
        client.get(url(&format!("/embed/vod/{asset}?t={watching}"))),
        client.get(url("/api/v1/rooms")).bearer_auth(&token),
        client.get(url(&format!("/live/demo/index.m3u8?t={playback}"))),
        client.get(url(&format!("/watch/demo?t={playback}"))),
        client.post(url("/api/v1/sessions")).json(&serde_json::json!({ "code": code })),
        client.get(url(&format!("/nothing?key=sk_{}&token={token}", "a".repeat(34)))),
    ] {
        request.send().await.expect("answered");
    }
    let session = client.post(url("/api/v1/sessions")).json(&serde_json::json!({ "code": code })).send().await;
    assert_eq!(session.expect("answered").status(), 401, "the code was used above");
    // As the stream's name, as its parameter, and with a letter too many: each is in the encoder's hands a secret.
    for (name, is_good) in [(key.clone(), true), (format!("demo?key={key}"), true), (format!("{key}x"), false)] {
        let url = format!("rtmp://{}/live/{name}", served.addresses["rtmp"].as_str().expect("on"));
        let source = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=5", "-t", "1", "-c:v", "libx264", "-f", "flv"];
        let push = Command::new("ffmpeg").args(["-v", "quiet"]).args(source).arg(&url).status();
        assert_eq!(push.expect("ffmpeg runs").success(), is_good, "whether the key is taken");
    }
    let (_, log) = served.end();
    assert!(log.contains("an HTTP request") && log.contains("an encoder publishes"), "the log is at work: {log}");
    for secret in [&token, &playback, &watching, &code, &key, &"a".repeat(34)] {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log");
    }
}

#[test]
fn what_is_no_terminal_gets_no_secret_unless_it_is_asked_for() {
    // A file keeps what it gets, as a container's log and the journal do.
    let started_into_a_file = |variables: &[(&str, &str)]| {
        let (_folder, data) = folder();
        let path = data.with_extension("out");
        let file = std::fs::File::create(&path).expect("a file");
        let mut command = telstar(&data);
        command.args(LISTENERS).envs(variables.iter().copied());
        let mut child = command.stdout(file).stderr(Stdio::piped()).spawn().expect("the executable runs");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert!(log.read_line(&mut line).expect("a line") > 0, "it starts");
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        child.wait().expect("it ends");
        std::fs::read_to_string(&path).expect("the banner")
    };
    let text = started_into_a_file(&[]);
    assert!(text.contains("telstar sign-in") && !text.contains("sk_") && !text.contains('#'), "{text}");
    let asked = started_into_a_file(&[("TELSTAR_PRINT_SECRETS", "1")]);
    assert!(asked.contains("sk_") && asked.contains("/sign-in#"), "{asked}");
}

#[tokio::test]
async fn tokens_and_links_open_the_running_server() {
    let (_folder, data) = folder();
    let served = Served::start(&data, &[], &[]);
    let client = super::support::client(|builder| builder);
    let rooms = format!("http://{}/api/v1/rooms", served.http());
    let token = stdout(&run(&data, &["token", "--admin", "--expires-in", "60"]));
    assert_eq!(client.get(&rooms).bearer_auth(token.trim()).send().await.expect("answered").status(), 200);
    let room = run(&data, &["token", "--room", "demo", "--identity", "alice", "--publish", "--subscribe"]);
    let demo = format!("{rooms}/demo");
    assert_eq!(client.get(&demo).bearer_auth(stdout(&room).trim()).send().await.expect("answered").status(), 200);
    let link = stdout(&run(&data, &["sign-in"]));
    assert!(link.starts_with(&format!("http://{}/sign-in#", served.http())), "{link}");
    let code = link.trim().split_once('#').expect("a code").1;
    let sessions = client.post(format!("http://{}/api/v1/sessions", served.http()));
    let signed_in = sessions.json(&serde_json::json!({ "code": code })).send().await.expect("answered");
    assert_eq!(signed_in.status(), 201);
}

#[test]
fn a_sign_in_link_begins_with_the_public_address_of_the_server_that_runs() {
    let (_folder, data) = folder();
    let served = Served::start(&data, &["--public-url", "https://live.example.org"], &[]);
    let link = stdout(&run(&data, &["sign-in"]));
    assert!(link.starts_with("https://live.example.org/sign-in#"), "{link}");
    served.end();
}

#[test]
fn a_token_that_would_open_nothing_is_not_made() {
    let (_folder, data) = folder();
    let served = Served::start(&data, &[], &[]);
    let long = "a".repeat(600);
    for (identity, grants, says) in [
        ("", &["--subscribe"][..], "--identity: 1 to"),
        (" ", &["--subscribe"], "--identity: 1 to"),
        (&long, &["--subscribe"], "--identity: 1 to"),
        ("alice", &[], "--publish, --subscribe or both"),
    ] {
        let output = run(&data, &[&["token", "--room", "demo", "--identity", identity][..], grants].concat());
        assert!(!output.status.success() && output.stdout.is_empty(), "{identity:.9} {grants:?}");
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
    let output = run(&data, &["token", "--admin", "--expires-in", "2592001"]);
    assert!(stderr(&output).contains("1 to 2592000 seconds"), "{}", stderr(&output));
    served.end();
}

#[test]
fn a_token_needs_a_kind_and_a_server_that_was_started() {
    let (_folder, data) = folder();
    for arguments in [
        &["token"][..],
        &["token", "--identity", "alice"],
        &["token", "--admin", "--room", "demo"],
        &["token", "--playback", "--room", "demo", "--publish"],
        &["token", "--admin"],
        &["sign-in"],
    ] {
        let output = run(&data, arguments);
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
    }
    assert!(stderr(&run(&data, &["sign-in"])).contains("start the server first"));
    assert!(!data.exists(), "asking makes no data");
}

#[test]
fn a_busy_port_is_named_with_its_flag() {
    let (_folder, data) = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    for flag in ["--rtmp", "--media"] {
        let output = run(&data, &["--http", "off", "--https", "off", "--rtmps", "off", flag, &address]);
        let error = stderr(&output);
        assert!(!output.status.success());
        assert!(error.contains(&format!("port {}", taken.local_addr().expect("bound").port())), "{error}");
        assert!(error.contains(flag), "{error}");
        assert!(!data.exists(), "a start that fails leaves nothing behind");
    }
}

#[test]
fn config_prints_a_file_that_it_accepts_and_names_mistakes() {
    let (_folder, data) = folder();
    let printed = run(&data, &["config"]);
    let path = data.with_extension("toml");
    std::fs::write(&path, &printed.stdout).expect("writable");
    let checked = run(&data, &["config", "--check", &path.display().to_string()]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    std::fs::write(&path, "[hls]\npart_ms = 1\n").expect("writable");
    let checked = run(&data, &["config", "--check", &path.display().to_string()]);
    assert!(!checked.status.success());
    assert!(stderr(&checked).contains(":2: `hls.part_ms` is 1, but must be"), "{}", stderr(&checked));
}

#[test]
fn a_file_in_the_working_folder_is_read_and_the_environment_goes_over_it() {
    let (_folder, data) = folder();
    let file = data.parent().expect("a parent").join("telstar.toml");
    std::fs::write(&file, "[log]\nformat = \"json\"\n").expect("writable");
    let (_, log) = Served::start(&data, &[], &[]).end();
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    let (_, log) = Served::start(&data, &[], &[("TELSTAR_LOG_FORMAT", "text")]).end();
    assert!(!log.starts_with('{'), "{log}");
}

#[test]
fn doctor_is_content_with_a_good_server_and_says_what_to_mend() {
    let (_folder, data) = folder();
    let served = Served::start(&data, &[], &[]);
    let http = served.http().to_owned();
    let free = ["doctor", "--https", "off", "--rtmp", "off", "--rtmps", "off", "--media", "off", "--http"];
    let good = run(&data, &[&free[..], &[&http]].concat());
    assert!(good.status.success(), "{}{}", stdout(&good), stderr(&good));
    assert!(stdout(&good).contains("held by the server of this data folder"), "{}", stdout(&good));
    served.end();
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    let bad = run(&data, &[&free[..], &["127.0.0.1:0"]].concat());
    assert!(!bad.status.success() && stdout(&bad).contains("chmod 700"), "{}", stdout(&bad));
}

#[test]
fn the_data_folder_and_its_keys_are_their_owners_only() {
    let (_folder, data) = folder();
    Served::start(&data, &[], &[]).end();
    let mode =
        |path: &Path| std::os::unix::fs::PermissionsExt::mode(&path.metadata().expect("there").permissions()) & 0o777;
    assert_eq!(mode(&data), 0o700);
    for entry in std::fs::read_dir(&data).expect("readable") {
        let path = entry.expect("an entry").path();
        let expect = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expect, "{}", path.display());
    }
}

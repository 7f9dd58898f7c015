//! The documentation is true: every `sh` block of every page is run against a server, and every list of what the code has is
//! compared with the code. CONTRIBUTING.md, "Documentation is run", says what the words behind `sh` mean.
//!
//! A page is one shell script, so that a variable set in one block is there in the next. The addresses that a page shows
//! (`localhost:8080`, `localhost:1935`) are replaced by those of the test's own server.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use telstar::api::error::Code;

const TELSTAR: &str = env!("CARGO_BIN_EXE_telstar");
/// A page that takes longer hangs. The longest one pushes ten seconds of video.
const PAGE_SECS_MAX: u32 = 120;
/// What runs in the background has a process group of its own (`set -m`), so that its children end with the page as well.
const PAGE_BEGINS: &str = "set -euo pipefail\n\
    trap 'for job in $(jobs -p); do kill -- -$job 2>/dev/null || true; done' EXIT\n";
/// Why a block may be left to a person.
const BY_HAND: &[&str] = &["root", "docker", "build", "server", "key", "clip", "camera", "player", "encoder"];
/// What a person has who follows the pages, and what `make test` installs.
const TOOLS: &[&str] = &["bash", "curl", "jq", "sqlite3", "ffmpeg", "ffprobe"];

#[test]
fn every_command_of_the_documentation_runs() {
    for tool in TOOLS {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().expect("sh runs");
        assert!(found.status.success(), "{tool} is missing: `scripts/packages test` installs it");
    }
    let failures: Vec<String> = pages().iter().filter_map(|page| run_page(page).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_error_code_is_explained() {
    let page = read(&root().join("docs/problems.md"));
    for code in Code::ALL {
        let row = format!("| `{}` | {} |", code.as_str(), code.status().as_u16());
        assert!(page.contains(&row), "docs/problems.md has no row `{row}`");
    }
}

#[test]
fn the_configuration_page_shows_every_setting() {
    let printed = Command::new(TELSTAR).arg("config").output().expect("the executable runs");
    assert!(printed.status.success());
    let file = String::from_utf8(printed.stdout).expect("the file is UTF-8");
    check_generated("docs/configuration.md", "config", &format!("```toml\n{}```\n", &file));
}

#[test]
fn the_monitoring_page_shows_every_metric() {
    let server = Server::start();
    let text = server.shell("curl -fsS -H \"Authorization: Bearer $(telstar token --admin)\" \"$HTTP/metrics\"");
    let mut table = String::from("| metric | kind | meaning |\n|---|---|---|\n");
    for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (family, help) = line.split_once(' ').expect("HELP has a name and a text");
        let counter = text.contains(&format!("# TYPE {family} counter"));
        let (kind, suffix) = if counter { ("counter", "_total") } else { ("gauge", "") };
        let name = if family.ends_with(suffix) { family.to_owned() } else { format!("{family}{suffix}") };
        writeln!(table, "| `{name}` | {kind} | {} |", help.trim().trim_end_matches('.'))
            .expect("a string takes everything");
    }
    check_generated("docs/monitoring.md", "metrics", &table);
}

/// Compares what stands between a page's markers with what the code says; with `UPDATE_GOLDEN=1` writes it there.
fn check_generated(page: &str, what: &str, expect: &str) {
    let path = root().join(page);
    let text = read(&path);
    let open = format!("<!-- generated: {what} -->\n");
    let start = text.find(&open).unwrap_or_else(|| panic!("{page} has no marker for {what}")) + open.len();
    let end = start + text[start..].find("<!-- end -->").expect("a marker has an end");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{}{expect}{}", &text[..start], &text[end..])).expect("the page can be written");
    } else {
        assert!(
            text[start..end] == *expect,
            "{page} is not what the code says: UPDATE_GOLDEN=1 cargo test --test docs_commands"
        );
    }
}

/// A fenced block whose language is `sh`.
struct Block {
    line: usize,
    /// The words behind `sh`.
    words: Vec<String>,
    text: String,
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = fs::read_dir(root().join("docs"))
        .expect("docs is a folder")
        .map(|entry| entry.expect("docs can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.push(root().join("README.md"));
    pages.push(root().join("CONTRIBUTING.md"));
    pages.push(root().join("examples/embed-call/README.md"));
    pages.sort();
    pages
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = None;
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(info), None) => {
                let mut words = info.split_whitespace().map(str::to_owned);
                open = Some(words.next().is_some_and(|language| language == "sh"));
                if open == Some(true) {
                    found.push(Block { line: index + 2, words: words.collect(), text: String::new() });
                }
            }
            (Some(_), Some(_)) => open = None,
            (None, Some(true)) => {
                let block = found.last_mut().expect("an open block was pushed");
                writeln!(block.text, "{line}").expect("a string takes everything");
            }
            (None, _) => {}
        }
    }
    found
}

fn run_page(page: &Path) -> Result<(), String> {
    let name = page.strip_prefix(root()).expect("pages are in the repository").display().to_string();
    let mut script = String::from(PAGE_BEGINS);
    let mut any = false;
    for block in blocks(&read(page)) {
        let words: Vec<&str> = block.words.iter().map(String::as_str).collect();
        let prepared = match words.as_slice() {
            [] => block.text,
            ["background"] => format!("set -m\n{{\n{}}} >/dev/null &\nset +m\n", block.text),
            ["live"] => format!(
                "until curl -fs http://localhost:8080/live/demo/index.m3u8 >/dev/null; do sleep 0.2; done\n{}",
                block.text
            ),
            ["config"] => format!("telstar config >telstar.toml\n{}", block.text),
            ["by-hand", why] if BY_HAND.contains(why) => continue,
            _ => return Err(format!("{name}:{}: unknown words behind sh: {words:?}", block.line)),
        };
        any = true;
        writeln!(script, "echo '# {name}:{}' >&2\n{prepared}", block.line).expect("a string takes everything");
    }
    if !any {
        return Ok(());
    }
    Server::start()
        .run(&script)
        .map(drop)
        .map_err(|log| format!("{name} fails after the last line below that begins with #:\n{log}"))
}

/// A server with the room `demo`, in a folder of its own.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
    http: String,
    https: String,
    rtmp: String,
    rtmps: String,
    media: String,
}

impl Server {
    fn start() -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).expect("a new folder");
        std::os::unix::fs::symlink(TELSTAR, bin.join("telstar")).expect("a new link");
        let mut child = Command::new(TELSTAR)
            .args([
                "serve",
                "--http",
                "127.0.0.1:0",
                "--https",
                "127.0.0.1:0",
                "--rtmp",
                "127.0.0.1:0",
                "--rtmps",
                "127.0.0.1:0",
                "--media",
                "127.0.0.1:0",
                "--print-addresses",
            ])
            .current_dir(folder.path())
            .env("TELSTAR_DATA", folder.path().join("telstar-data"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the executable starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let addresses: serde_json::Value = lines
            .by_ref()
            .map(|line| line.expect("stdout is text"))
            .find_map(|line| serde_json::from_str(&line).ok())
            .expect("the server prints its addresses when it is ready");
        // Whoever prints into a closed pipe dies, so the rest is read for as long as there is any.
        std::thread::spawn(move || lines.for_each(drop));
        let text = |key: &str| addresses[key].as_str().expect("an address is a string").to_owned();
        let (http, https, rtmp, rtmps, media) =
            (text("http"), text("https"), text("rtmp"), text("rtmps"), text("media"));
        Server { child, folder, http, https, rtmp, rtmps, media }
    }

    /// Runs a script that must succeed and returns what it printed.
    fn shell(&self, script: &str) -> String {
        self.run(script).unwrap_or_else(|log| panic!("{script}\n{log}"))
    }

    /// Runs a script where a reader of the pages would. The error is everything it printed to stderr.
    fn run(&self, script: &str) -> Result<String, String> {
        let script = script
            .replace("http://localhost:8080", &format!("http://{}", self.http))
            .replace("rtmp://localhost:1935", &format!("rtmp://{}", self.rtmp))
            .replace("rtmps://localhost:1936", &format!("rtmps://{}", self.rtmps));
        let path =
            format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let output = Command::new("timeout")
            .args([&PAGE_SECS_MAX.to_string(), "bash", "-c", &format!("{STREAM_KEY_OF_DEMO}\n{script}")])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("TELSTAR_DATA", self.folder.path().join("telstar-data"))
            .env("HTTP", format!("http://{}", self.http))
            // A reader's commands know the server's ports, which are the defaults; here another program may have those.
            .env("TELSTAR_HTTP", &self.http)
            .env("TELSTAR_HTTPS", &self.https)
            .env("TELSTAR_RTMP", &self.rtmp)
            .env("TELSTAR_RTMPS", &self.rtmps)
            .env("TELSTAR_MEDIA", &self.media)
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The temporary folder goes next; whether the server ends well is another test's question.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a reader has copied from the page by hand.
const STREAM_KEY_OF_DEMO: &str = r#"STREAM_KEY=$(curl -fsS -X POST -H "Authorization: Bearer $(telstar token --admin)" \
  -H 'Content-Type: application/json' -d '{}' "$HTTP/api/v1/rooms/demo/stream-keys" | jq -r .key)"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

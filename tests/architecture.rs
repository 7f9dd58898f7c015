//! The rules of ARCHITECTURE.md that a machine can check: who may import whom, what a core may touch, how long a file may be.
//!
//! Reads manifests through `cargo metadata` and sources as text. It knows nothing of what the code does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which crates of the workspace each crate may import. An edge that is not here is an error, and so is a crate that is not here.
/// The shell may import every core; nobody may import the shell.
const IMPORTS_ALLOWED: &[(&str, &[&str])] = &[
    ("telstar-units", &[]),
    ("telstar-media", &["telstar-units"]),
    ("telstar-rtmp", &["telstar-units", "telstar-media"]),
    ("telstar-fmp4", &["telstar-units", "telstar-media"]),
    ("telstar-hls", &["telstar-units", "telstar-media", "telstar-fmp4"]),
    ("telstar-sfu", &["telstar-units", "telstar-media"]),
    ("telstar-store", &["telstar-units"]),
    ("telstar-signaling", &["telstar-units"]),
    ("telstar-transcode", &["telstar-units", "telstar-media"]),
    // The only one that links codecs.
    ("telstar-worker", &["telstar-units", "telstar-media", "telstar-fmp4", "telstar-transcode"]),
    // A client: it speaks to a server over sockets, whichever server that is.
    ("telstar-bench", &["telstar-rtmp"]),
    ("telstar-client", &[]),
    // Only for tests: nothing that is shipped imports it.
    ("telstar-forgetful", &[]),
    ("telstar-sim", &["telstar-units", "telstar-media", "telstar-sfu", "telstar-signaling"]),
    (
        "telstar",
        &[
            "telstar-units",
            "telstar-media",
            "telstar-rtmp",
            "telstar-hls",
            "telstar-sfu",
            "telstar-store",
            "telstar-signaling",
            "telstar-transcode",
        ],
    ),
];

/// Edges of tests alone: a test of the whole server may be a client of it, and the SFU's tests use the simulation's clients. Nothing that is shipped has them.
const IMPORTS_OF_TESTS: &[(&str, &str)] =
    &[("telstar", "telstar-client"), ("telstar", "telstar-forgetful"), ("telstar-sfu", "telstar-sim")];

/// Crates that decide and never act: no runtime, no socket, no clock, no file, no randomness of their own.
const CORES: &[(&str, &str)] = &[
    ("telstar-units", "crates/units"),
    ("telstar-media", "crates/media"),
    ("telstar-rtmp", "crates/rtmp"),
    ("telstar-fmp4", "crates/fmp4"),
    ("telstar-hls", "crates/hls"),
    ("telstar-sfu", "crates/sfu"),
    ("telstar-signaling", "signaling"),
    ("telstar-transcode", "transcode"),
    ("telstar-sim", "crates/sim"),
];

/// Dependencies that would give a core hands. Their tests may not use them either.
const NOT_FOR_CORES: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "mio",
    "socket2",
    "rustix",
    "libc",
    "axum",
    "hyper",
    "reqwest",
    "rusqlite",
    "getrandom",
    "rand",
    "chrono",
];

/// Words that mean a core reads the world, with what to do instead.
const WORDS_NOT_FOR_CORES: &[(&str, &str)] = &[
    ("Instant::now", "take `now` as an argument"),
    ("SystemTime::now", "take the wall time as an argument"),
    ("std::fs", "files belong to the shell"),
    ("std::env", "configuration belongs to the shell"),
    ("std::thread", "threads belong to the shell"),
    ("TcpStream", "sockets belong to the shell"),
    ("UdpSocket", "sockets belong to the shell"),
    ("thread_rng", "take random bytes as an argument"),
];

/// Where people write code. Generated and fetched folders inside are skipped by [`sources`].
const SOURCE_ROOTS: &[&str] =
    &["src", "crates", "signaling", "transcode", "static", "tests", "benches", "fuzz", "examples"];
const FOLDERS_SKIPPED: &[&str] = &["node_modules", "dist", "target", "out", "corpus", "artifacts"];

/// What a file should stay below, so that it can be read in one sitting.
const FILE_LINES_AIM: usize = 400;
/// What a file may never reach, tests included.
const FILE_LINES_MAX: usize = 800;

#[test]
fn imports_go_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = IMPORTS_ALLOWED.iter().copied().collect();
    let mut errors = Vec::new();
    for package in packages() {
        let Some(edges) = allowed.get(package.name.as_str()) else {
            errors.push(format!("{} is not in IMPORTS_ALLOWED: say there whom it may import", package.name));
            continue;
        };
        for import in package.dependencies.iter().filter(|name| allowed.contains_key(name.as_str())) {
            let is_of_tests =
                IMPORTS_OF_TESTS.contains(&(package.name.as_str(), import.as_str())) && !package.ships(import);
            if !edges.contains(&import.as_str()) && !is_of_tests {
                errors.push(format!("{} must not import {import}", package.name));
            }
        }
    }
    assert_none("the direction of imports", &errors);
}

#[test]
fn the_server_links_no_codec() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--package",
            "telstar",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs the tests, so it can be run");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8_lossy(&output.stdout);
    let is_codec = |line: &&str| {
        ["ffmpeg", "openh264", "x264", "libvpx", "opus-sys", "audiopus"].iter().any(|name| line.contains(name))
    };
    let errors: Vec<String> = tree.lines().filter(is_codec).map(str::to_owned).collect();
    assert_none("codecs live in telstar-worker (docs/adr/0016)", &errors);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let mut errors = Vec::new();
    for package in packages() {
        let manifest = read(&package.manifest);
        if !manifest.replace(' ', "").contains("[lints]\nworkspace=true") {
            errors.push(format!("{}: add `[lints]` with `workspace = true`", package.name));
        }
    }
    assert_none("the workspace lints (they ban unwrap and unsafe)", &errors);
}

#[test]
fn a_core_depends_on_nothing_that_acts() {
    let packages = packages();
    let mut errors = Vec::new();
    for (name, _) in CORES {
        let package = packages.iter().find(|package| package.name == *name).expect("a core is in the workspace");
        for dependency in package.dependencies.iter().filter(|name| NOT_FOR_CORES.contains(&name.as_str())) {
            errors.push(format!("{name} must not depend on {dependency}"));
        }
    }
    assert_none("what a core may depend on", &errors);
}

#[test]
fn a_core_never_reads_the_world() {
    let mut errors = Vec::new();
    for (_, folder) in CORES {
        for file in sources(&[&format!("{folder}/src")], &["rs"]) {
            if is_test_file(&file) {
                continue;
            }
            for (number, line) in code_lines(&read(&file)) {
                for (word, instead) in WORDS_NOT_FOR_CORES.iter().filter(|(word, _)| line.contains(word)) {
                    errors.push(format!("{}:{number}: `{word}`: {instead}", show(&file)));
                }
            }
        }
    }
    assert_none("cores decide, the shell acts", &errors);
}

#[test]
fn ingest_and_output_never_import_each_other() {
    let mut errors = Vec::new();
    for (folder, other) in [("src/ingest", "output"), ("src/output", "ingest")] {
        for file in sources(&[folder], &["rs"]) {
            for (number, line) in code_lines(&read(&file)) {
                if line.contains(&format!("crate::{other}")) {
                    errors.push(format!("{}:{number}: {folder} must not know crate::{other}", show(&file)));
                }
            }
        }
    }
    assert_none("adapters know the hub, not each other", &errors);
}

#[test]
fn adapters_do_not_know_the_door_they_share() {
    let mut errors = Vec::new();
    for file in sources(&["src/ingest", "src/output"], &["rs"]) {
        for (number, line) in code_lines(&read(&file)) {
            if line.contains("crate::rtmp") {
                errors.push(format!("{}:{number}: the door imports its adapters (docs/adr/0011)", show(&file)));
            }
        }
    }
    assert_none("adapters do not know the door they share", &errors);
}

#[test]
fn what_is_sent_to_subscribers_does_not_know_the_webrtc_engine() {
    let mut errors = Vec::new();
    for path in sources(&["crates/sfu/src/egress", "crates/sfu/src/estimate"], &["rs"]) {
        for (number, line) in code_lines(&read(&path)) {
            if line.contains("str0m") || line.contains("crate::engine") {
                errors.push(format!("{}:{number}: {line}", show(&path)));
            }
        }
    }
    assert_none("media towards subscribers is ours (docs/adr/0014): the engine gives the keys and no more", &errors);
}

#[test]
fn files_stay_short_enough_to_read() {
    let mut errors = Vec::new();
    for file in sources(SOURCE_ROOTS, &["rs", "ts", "mjs"]) {
        let lines = read(&file).lines().count();
        if lines >= FILE_LINES_MAX {
            errors.push(format!("{}: {lines} lines, at most {}", show(&file), FILE_LINES_MAX - 1));
        } else if lines > FILE_LINES_AIM {
            eprintln!("warning: {}: {lines} lines, aim below {FILE_LINES_AIM}", show(&file));
        }
    }
    assert_none("file lengths", &errors);
}

#[test]
fn every_module_says_what_it_is() {
    let mut errors = Vec::new();
    let folders = ["src", "crates", "signaling", "tests"];
    for file in sources(&folders, &["rs"]).iter().filter(|file| !is_test_file(file)) {
        let text = read(file);
        let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
        if !first.is_some_and(|line| line.starts_with("//!") && line.len() > 10) {
            errors.push(format!("{}: open with a `//!` header", show(file)));
        }
    }
    assert_none("module headers", &errors);
}

#[test]
fn live_state_for_pages_never_uses_eventsource() {
    // A browser opens at most six HTTP/1.1 connections to a host; a handful of tabs with an EventSource each would starve the player.
    // The library's stream is one for all tabs.
    let (stream, shared) = ("static/client/asset-events.ts", "static/pages/library/shared-events.ts");
    let mut errors = Vec::new();
    for file in sources(&["static/client", "static/pages"], &["ts", "mjs", "html"]) {
        for (index, line) in read(&file).lines().enumerate() {
            if line.contains("EventSource") || (line.contains("text/event-stream") && !file.ends_with(stream)) {
                errors.push(format!("{}:{}: use the WebSocket of @telstar/client", show(&file), index + 1));
            }
            if line.contains("new AssetEvents(") && !file.ends_with(shared) {
                errors.push(format!("{}:{}: use the stream that all tabs share", show(&file), index + 1));
            }
        }
    }
    assert_none("EventSource", &errors);
}

#[test]
fn unfinished_work_names_its_issue() {
    let mut errors = Vec::new();
    let this = root().join("tests/architecture.rs");
    for file in sources(SOURCE_ROOTS, &["rs", "ts", "mjs"]).into_iter().filter(|file| *file != this) {
        for (index, line) in read(&file).lines().enumerate() {
            let marked = ["TODO", "FIXME", "XXX"].iter().any(|mark| has_word(line, mark));
            if marked && !line.contains("TODO(#") {
                errors.push(format!("{}:{}: write TODO(#issue) or do it", show(&file), index + 1));
            }
        }
    }
    assert_none("unfinished work", &errors);
}

struct Package {
    name: String,
    manifest: PathBuf,
    /// Names of all dependencies: normal, dev and build alike, because a test may not import against the grain either.
    dependencies: Vec<String>,
    /// Names of the normal and build ones.
    shipped: Vec<String>,
}

impl Package {
    fn ships(&self, name: &str) -> bool {
        self.shipped.iter().any(|shipped| shipped == name)
    }
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs the tests, so it can be run");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    list(&metadata["packages"])
        .iter()
        .map(|package| Package {
            name: text(&package["name"]),
            manifest: PathBuf::from(text(&package["manifest_path"])),
            dependencies: list(&package["dependencies"]).iter().map(|entry| text(&entry["name"])).collect(),
            shipped: list(&package["dependencies"])
                .iter()
                .filter(|entry| entry["kind"] != "dev")
                .map(|entry| text(&entry["name"]))
                .collect(),
        })
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn show(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// All files below `folders` with one of `extensions`, in a stable order.
fn sources(folders: &[&str], extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !FOLDERS_SKIPPED.contains(&name.as_str()) {
                open.push(path);
            } else if path.extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Whether a module exists in the test build only, where it may read golden files: `#[cfg(test)] mod name;` in the file that
/// declares it, or a folder of tests.
fn is_test_file(path: &Path) -> bool {
    let folder = path.parent().expect("a source file is in a folder");
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let declared = format!("#[cfg(test)] mod {name};");
    let parents = ["mod.rs", "lib.rs", "main.rs"].map(|parent| folder.join(parent));
    path.components().any(|part| part.as_os_str() == "tests")
        || parents.iter().chain([&folder.with_extension("rs")]).any(|parent| {
            let text = std::fs::read_to_string(parent).unwrap_or_default();
            text.split_whitespace().collect::<Vec<_>>().join(" ").contains(&declared)
        })
}

/// Numbered lines up to the unit tests at the bottom, without comments.
fn code_lines(text: &str) -> Vec<(usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|letter: char| !letter.is_alphanumeric()).any(|found| found == word)
}

fn assert_none(rule: &str, errors: &[String]) {
    assert!(errors.is_empty(), "{rule}:\n  {}", errors.join("\n  "));
}

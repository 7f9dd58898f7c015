//! `telstar doctor`: looks at what a server needs and says how to mend what is wrong.
//!
//! In: the configuration and this machine. Out: one line per finding, and a failure when something is wrong.
//! It changes nothing and needs no running server; one that runs is recognised by the file it leaves.

mod media;
mod workers;

use std::io::{self, Write};
use std::path::Path;

use anyhow::bail;
use telstar_units::WallTime;

use crate::config::address::Listen;
use crate::config::{Config, TlsMode};
use crate::data::wall_now;
use crate::{files, listen, machine, server, tls};

/// Less free space than this is a warning: the database must never meet a full disk. Guess.
const FREE_BYTES_MIN: u64 = 1024 * 1024 * 1024;
/// A certificate that ends sooner is a warning; certificate authorities renew 30 days before.
const CERT_DAYS_MIN: i64 = 14;
const DAY_MICROS: i64 = 86_400_000_000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Good,
    /// Works, but somebody should know.
    Note,
    /// Does not work; the text says what to do.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// What was found, and what to do about it.
    pub text: String,
}

impl Finding {
    fn good(text: impl Into<String>) -> Finding {
        Finding { grade: Grade::Good, text: text.into() }
    }
    fn note(text: impl Into<String>) -> Finding {
        Finding { grade: Grade::Note, text: text.into() }
    }
    fn bad(text: impl Into<String>) -> Finding {
        Finding { grade: Grade::Bad, text: text.into() }
    }
}

/// Prints every finding.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(async { examine(config, wall_now()) });
    let mut stdout = io::stdout().lock();
    for finding in &findings {
        let mark = match finding.grade {
            Grade::Good => "ok  ",
            Grade::Note => "note",
            Grade::Bad => "BAD ",
        };
        writeln!(stdout, "{mark}  {}", finding.text)?;
    }
    match findings.iter().filter(|finding| finding.grade == Grade::Bad).count() {
        0 => Ok(()),
        1 => bail!("one thing is wrong"),
        wrong => bail!("{wrong} things are wrong"),
    }
}

/// Everything that is worth saying. Needs a tokio runtime, because it binds ports for a moment.
pub fn examine(config: &Config, now: WallTime) -> Vec<Finding> {
    let mut findings = folder(&config.general.data);
    findings.extend(disk(&config.general.data));
    findings.extend(uploads(config));
    findings.extend(ports(config));
    findings.extend(media::examine(config));
    findings.push(addresses(config));
    findings.extend(certificate(config, now));
    findings.extend(workers::examine(config));
    findings.push(ffmpeg());
    findings
}

fn folder(path: &Path) -> Vec<Finding> {
    let shown = path.display();
    if !path.exists() {
        return vec![Finding::note(format!("data folder {shown}: not there yet; the first start makes it"))];
    }
    let mut findings = Vec::new();
    match files::is_open_to_others(path) {
        Ok(false) => findings.push(Finding::good(format!("data folder {shown}: its owner's only"))),
        Ok(true) => {
            findings.push(Finding::bad(format!("data folder {shown}: other users can look in: chmod 700 {shown}")))
        }
        Err(error) => findings.push(Finding::bad(format!("data folder {shown}: {error}"))),
    }
    if rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() {
        findings.push(Finding::bad(format!(
            "data folder {shown}: this user cannot write in it: chown it to the server's user"
        )));
    }
    for name in ["secret.key", "telstar.db", "tls-key.pem"] {
        let file = path.join(name);
        if files::is_open_to_others(&file).unwrap_or(false) {
            let file = file.display();
            findings.push(Finding::bad(format!("{file}: other users can read it: chmod 600 {file}")));
        }
    }
    findings
}

fn free_bytes(path: &Path) -> Option<u64> {
    // The folder may not be there yet; its nearest parent is on the same disk.
    let absolute = std::path::absolute(path).ok()?;
    let existing = absolute.ancestors().find(|ancestor| ancestor.exists())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Uploads are refused long before the database meets a full disk.
fn uploads(config: &Config) -> Option<Finding> {
    let vod = &config.vod;
    if !vod.enabled {
        return Some(Finding::note("uploads: off (vod.enabled)"));
    }
    let (free, kept) = (free_bytes(&config.general.data)? / (1024 * 1024), u64::from(vod.disk_free_mib));
    Some(match free.checked_sub(kept) {
        Some(room @ 1..) => Finding::good(format!("uploads: room for {room} MiB")),
        Some(0) | None => Finding::note(format!(
            "uploads: the disk has {free} MiB free, of which vod.disk_free_mib keeps {kept}: each is refused until there is more"
        )),
    })
}

fn disk(path: &Path) -> Option<Finding> {
    let free = free_bytes(path)?;
    let text = format!("disk of the data folder: {} MiB free", free / (1024 * 1024));
    Some(if free < FREE_BYTES_MIN {
        Finding::bad(format!("{text}: make room, or choose another disk with --data DIR"))
    } else {
        Finding::good(text)
    })
}

fn ports(config: &Config) -> Vec<Finding> {
    let general = &config.general;
    let running = server::recorded_addresses(&general.data).unwrap_or_default();
    let listeners = [
        ("http", general.http, running.http),
        ("https", general.https, running.https),
        ("rtmp", general.rtmp, running.rtmp),
        ("rtmps", server::rtmps_of(config), running.rtmps),
    ];
    let mut findings = Vec::new();
    for (name, listen, running) in listeners {
        findings.push(match (listen, listen::bind(name, listen)) {
            (Listen::Off, _) => Finding::note(format!("{name}: off")),
            (_, Ok(_)) => Finding::good(format!("{name}: {listen} is free")),
            (_, Err(_)) if running.is_some_and(|address| listen.candidates().contains(&address)) => {
                Finding::good(format!("{name}: {listen} is held by the server of this data folder"))
            }
            (_, Err(error)) => Finding::bad(error.to_string()),
        });
    }
    findings
}

fn addresses(config: &Config) -> Finding {
    let lan: Vec<String> = machine::lan_addresses().iter().map(ToString::to_string).collect();
    let public = config.general.public_url.fixed();
    match (public, lan.is_empty()) {
        (Some(origin), _) => Finding::good(format!("links use {origin} (public_url)")),
        (None, true) => Finding::note(
            "this machine has no address in a network: only programs on it reach the server; connect it, or set public_url",
        ),
        (None, false) => {
            Finding::good(format!("this machine is reached at {} ({})", lan.join(", "), machine::host_name()))
        }
    }
}

fn certificate(config: &Config, now: WallTime) -> Vec<Finding> {
    let rtmps = server::rtmps_of(config);
    let name = if config.general.https.is_on() { "https" } else { "rtmps" };
    if !config.general.https.is_on() && !rtmps.is_on() {
        return Vec::new();
    }
    let Some((cert, key)) = tls::paths(&config.tls, &config.general.data) else {
        let text = format!("{name} is on, but tls.mode is \"off\": choose another mode, or --{name} off");
        return vec![Finding::bad(text)];
    };
    if config.tls.mode == TlsMode::SelfSigned && !cert.exists() {
        return vec![Finding::note("certificate: not there yet; the first start makes a self-signed one")];
    }
    let mut findings = vec![validity(config, &cert, now)];
    if let Err(error) = tls::load(&cert, &key) {
        findings.push(Finding::bad(format!(
            "certificate: {error}: browsers and encoders cannot connect; mend tls.cert and tls.key"
        )));
    }
    findings
}

fn validity(config: &Config, cert: &Path, now: WallTime) -> Finding {
    let facts = match tls::inspect(cert) {
        Ok(facts) => facts,
        Err(error) => return Finding::bad(format!("certificate: {error}")),
    };
    let days = (facts.not_after.0 - now.0).div_euclid(DAY_MICROS);
    let names = facts.names.join(", ");
    let mend = match config.tls.mode {
        TlsMode::SelfSigned => "restart the server, which makes a new one",
        TlsMode::Files | TlsMode::Off => "renew it, which a running server sees by itself",
    };
    if days < 0 {
        Finding::bad(format!("certificate {}: it ended {} days ago: {mend}", cert.display(), -days))
    } else if days < CERT_DAYS_MIN {
        Finding::note(format!("certificate {}: it ends in {days} days: {mend}", cert.display()))
    } else {
        Finding::good(format!("certificate: good for {days} days, for {names}"))
    }
}

/// The server and its workers run no `ffmpeg`; the banner's test line does.
fn ffmpeg() -> Finding {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join("ffmpeg").is_file()));
    if found {
        Finding::good("ffmpeg is there, for the test line that the first start prints")
    } else {
        Finding::note(
            "ffmpeg is not there; the server does not need it, only the test line that the first start prints",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grades(findings: &[Finding], about: &str) -> Vec<Grade> {
        findings.iter().filter(|finding| finding.text.contains(about)).map(|finding| finding.grade).collect()
    }

    #[tokio::test]
    async fn every_bad_finding_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut permissions = std::fs::metadata(folder.path()).expect("there").permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        std::fs::set_permissions(folder.path(), permissions).expect("ours");
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut config = Config::default();
        config.general.data = folder.path().to_owned();
        config.general.http = Listen::At(taken.local_addr().expect("bound"));
        config.general.https = Listen::At(([127, 0, 0, 1], 0).into());
        (config.general.rtmp, config.general.rtmps) = (Listen::Off, Listen::Off);
        config.media.listen = Listen::Off;
        config.tls.mode = TlsMode::Files;
        config.tls.cert = folder.path().join("absent.pem");
        let findings = examine(&config, wall_now());
        assert_eq!(grades(&findings, "chmod 700"), [Grade::Bad]);
        assert_eq!(grades(&findings, "--http"), [Grade::Bad]);
        assert!(grades(&findings, "absent.pem").contains(&Grade::Bad));
    }

    #[test]
    fn an_ended_certificate_is_bad_and_one_about_to_end_is_noted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::default();
        config.general.data = folder.path().to_owned();
        let now = wall_now();
        tls::Certificate::open(&config.tls, folder.path(), now).expect("made");
        for (days, expect) in [(0, Grade::Good), (810, Grade::Note), (830, Grade::Bad)] {
            let findings = certificate(&config, now.plus_micros(days * DAY_MICROS));
            assert_eq!(findings.first().map(|finding| finding.grade), Some(expect), "{days}");
        }
    }
}

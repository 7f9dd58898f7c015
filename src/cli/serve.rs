//! `telstar serve`: the server until a signal.

use std::io::Write;

use anyhow::Context;
use rustix::process::Resource;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::banner::Banner;
use crate::config::{Config, TlsMode};
use crate::server::{Running, Server};
use crate::telemetry;

pub(super) fn run(config: Config, print_addresses: bool) -> anyhow::Result<()> {
    telemetry::start(&config.log);
    raise_file_limit();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config, print_addresses))
}

async fn serve(config: Config, print_addresses: bool) -> anyhow::Result<()> {
    let is_self_signed = config.tls.mode == TlsMode::SelfSigned;
    let data = config.general.data.clone();
    let data_flag = (data != Config::default().general.data).then(|| format!("--data {}", data.display()));
    // Before the start, so that a signal during it is not lost.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let running = Server::start(config).await?;
    let banner = banner(&running, data_flag, is_self_signed, stdout_is_a_log());
    let mut stdout = std::io::stdout().lock();
    if print_addresses {
        let line = serde_json::to_string(&running.addresses()).context("addresses are JSON")?;
        writeln!(stdout, "{line}")?;
    }
    stdout.write_all(banner.as_bytes())?;
    stdout.flush()?;
    drop(stdout);
    either(&mut interrupt, &mut terminate).await;
    info!("stopping: the doors are closed, streams end, connections drain; a second signal ends at once");
    // Cancel-safe: when the second signal comes there is nothing left to continue.
    tokio::select! {
        _ = running.shutdown() => Ok(()),
        () = either(&mut interrupt, &mut terminate) => {
            warn!("ended at once");
            std::process::exit(1);
        }
    }
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    // Cancel-safe: a signal that was not taken is taken by the next call.
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn banner(running: &Running, data_flag: Option<String>, is_self_signed: bool, hide_secrets: bool) -> String {
    let shown = |secret: Option<&'_ crate::auth::Secret>| {
        secret.filter(|_| !hide_secrets).map(|secret| secret.expose().to_owned())
    };
    let (sign_in_code, stream_key) = (shown(running.sign_in_code()), shown(running.first_stream_key()));
    let banner = Banner {
        links: running.links(),
        sign_in_code: sign_in_code.as_deref(),
        stream_key: stream_key.as_deref(),
        data_flag,
        is_self_signed,
    };
    banner.text()
}

/// Whether standard output is systemd's journal, which keeps what it gets: a log, where no secret may be.
/// systemd.exec(5), `JOURNAL_STREAM`: the device and inode of the stream that is connected to the journal.
fn stdout_is_a_log() -> bool {
    let Ok(journal) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(std::io::stdout()).is_ok_and(|stat| journal == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// A viewer is a file descriptor; the usual soft limit of 1,024 is for programs that use select(2).
fn raise_file_limit() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, limit) {
        warn!(%error, "the limit of open files stays low");
    }
}

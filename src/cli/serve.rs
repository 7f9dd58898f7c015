//! `telstar serve`: the server until a signal.

use std::io::{IsTerminal, Write};

use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches};
use rustix::process::Resource;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::banner::Banner;
use crate::config::{Config, TlsMode};
use crate::server::{Running, Server};
use crate::telemetry;

/// The variable that stands for `--print-secrets`.
const PRINT_SECRETS_VARIABLE: &str = "TELSTAR_PRINT_SECRETS";

/// What goes to standard output beside the banner.
pub(super) struct Printing {
    addresses: bool,
    secrets: bool,
}

impl Printing {
    /// What the arguments and the environment ask for.
    ///
    /// What is not a terminal is a file, a pipe, a container's or systemd's log: something that keeps what it gets, so
    /// secrets go there only when they are asked for.
    pub(super) fn asked(matches: &ArgMatches) -> Printing {
        let variable = std::env::var(PRINT_SECRETS_VARIABLE).is_ok_and(|value| matches!(&*value, "1" | "true"));
        let secrets = matches.get_flag("print-secrets") || variable || std::io::stdout().is_terminal();
        Printing { addresses: matches.get_flag("print-addresses"), secrets }
    }
}

/// The flags that only the server has.
pub(super) fn arguments() -> [Arg; 2] {
    [
        Arg::new("print-addresses")
            .long("print-addresses")
            .help("Prints the bound addresses as the first line of standard output, in JSON")
            .action(ArgAction::SetTrue),
        Arg::new("print-secrets")
            .long("print-secrets")
            .help(
                "Prints the first start's sign-in link and stream key even when standard output is no terminal [env: \
                 TELSTAR_PRINT_SECRETS=1]",
            )
            .action(ArgAction::SetTrue),
    ]
}

pub(super) fn run(config: Config, printing: Printing) -> anyhow::Result<()> {
    telemetry::start(&config.log);
    raise_file_limit();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config, printing))
}

async fn serve(config: Config, printing: Printing) -> anyhow::Result<()> {
    let is_self_signed = config.tls.mode == TlsMode::SelfSigned;
    let data = config.general.data.clone();
    let data_flag = (data != Config::default().general.data).then(|| format!("--data {}", data.display()));
    // Before the start, so that a signal during it is not lost.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let running = Server::start(config).await?;
    let banner = banner(&running, data_flag, is_self_signed, printing.secrets);
    let mut stdout = std::io::stdout().lock();
    if printing.addresses {
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

fn banner(running: &Running, data_flag: Option<String>, is_self_signed: bool, show_secrets: bool) -> String {
    let shown = |secret: Option<&'_ crate::auth::Secret>| {
        secret.filter(|_| show_secrets).map(|secret| secret.expose().to_owned())
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

/// A viewer is a file descriptor; the usual soft limit of 1,024 is for programs that use select(2).
fn raise_file_limit() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, limit) {
        warn!(%error, "the limit of open files stays low");
    }
}

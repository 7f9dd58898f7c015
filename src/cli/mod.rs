//! The command line: `serve` (the default), `token`, `sign-in`, `config`, `doctor`.
//!
//! In: arguments and the environment. Out: what each command prints, or an error for the terminal. Every configuration
//! key is a flag of every command, made from the same list as the file.

mod config;
mod serve;
mod sign_in;
mod token;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command};

use crate::config::{Config, Layers, flag_of, variable_of};

/// Runs the command that the arguments name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        // Help and version are answers, not failures; clap knows the stream and the exit code of each.
        Err(error) => error.exit(),
    };
    match matches.subcommand() {
        Some(("token", matches)) => token::run(matches, &load(matches)?),
        Some(("sign-in", matches)) => sign_in::run(matches, &load(matches)?),
        Some(("config", matches)) => config::run(matches),
        Some(("doctor", matches)) => crate::doctor::run(&load(matches)?),
        Some((_, matches)) => serve::run(load(matches)?, serve::Printing::asked(matches)),
        None => serve::run(load(&matches)?, serve::Printing::asked(&matches)),
    }
}

/// The whole command line.
pub fn command() -> Command {
    let serve = Command::new("serve").about("The server; also without a command").args(serve::arguments());
    let doctor =
        Command::new("doctor").about("Checks ports, addresses, certificate, disk and rights, and says what to do");
    let mut root = Command::new("telstar")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Real-time media and signalling server: RTMP in, low-latency HLS out")
        .subcommands([serve, token::command(), sign_in::command(), config::command(), doctor])
        .args(serve::arguments())
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help("The configuration file; ./telstar.toml if there is one [env: TELSTAR_CONFIG]")
                .value_parser(clap::value_parser!(PathBuf))
                .global(true),
        );
    for section in Config::describe() {
        for key in section.keys {
            let flag = flag_of(section.name, key.name);
            let is_listener = flag == section.name;
            let help = format!(
                "{} Allowed: {} [default: {}] [env: {}]",
                key.docs.join(" ").trim(),
                key.allowed,
                key.default,
                variable_of(section.name, key.name)
            );
            let heading =
                if section.name.is_empty() { "Configuration".to_owned() } else { format!("[{}]", section.name) };
            // The short help shows the keys that scripts rely on; the long one (--help) shows all.
            let arg = Arg::new(id_of(section.name, key.name)).long(flag).value_name("VALUE").long_help(help);
            let arg = arg.help(key.docs.first().map(|line| line.trim().to_owned()).unwrap_or_default());
            root = root
                .arg(arg.help_heading(heading).hide_short_help(!is_listener && !section.name.is_empty()).global(true));
        }
    }
    root
}

fn id_of(section: &str, key: &str) -> String {
    format!("{section}.{key}")
}

/// Flags over environment over file over defaults.
fn load(matches: &ArgMatches) -> anyhow::Result<Config> {
    let mut layers = Layers {
        file: matches.get_one::<PathBuf>("config").cloned(),
        variables: std::env::vars_os().collect(),
        flags: Vec::new(),
    };
    for section in Config::describe() {
        for key in section.keys {
            if let Some(value) = matches.get_one::<String>(&id_of(section.name, key.name)) {
                layers.flags.push((section.name.to_owned(), key.name.to_owned(), value.clone()));
            }
        }
    }
    Ok(layers.load()?)
}

/// A runtime for commands that ask the store a few things and end.
fn small_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_configuration_key_is_a_flag_of_every_command() {
        for words in [vec!["telstar"], vec!["telstar", "serve"], vec!["telstar", "token", "--admin"]] {
            let arguments = words.into_iter().chain(["--hls-part-ms", "200"]);
            let matches = command().try_get_matches_from(arguments).expect("flags are global");
            let matches = matches.subcommand().map_or(&matches, |(_, matches)| matches);
            assert_eq!(matches.get_one::<String>("hls.part_ms").map(String::as_str), Some("200"));
        }
    }
}

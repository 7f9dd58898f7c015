//! `telstar sign-in`: a new one-time link for the admin.

use std::io::Write;

use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::small_runtime;
use crate::config::Config;
use crate::data::Data;
use crate::server::links_of;

pub(super) fn command() -> Command {
    Command::new("sign-in").about("Prints a new one-time sign-in link for the admin").arg(
        Arg::new("revoke-all")
            .long("revoke-all")
            .help("Ends every session, API token and older sign-in link of the admin first")
            .action(ArgAction::SetTrue),
    )
}

pub(super) fn run(matches: &ArgMatches, config: &Config) -> anyhow::Result<()> {
    let data = Data::open(&config.general.data)?;
    let links = links_of(config);
    let code = small_runtime()?.block_on(async {
        let admin = data.store.first_admin().await?.context("the server has not been started yet")?;
        if matches.get_flag("revoke-all") {
            let ended = data.authority.end_all_of(admin.id).await?;
            // Not to standard output, from which scripts take the link.
            writeln!(std::io::stderr(), "{ended} sessions, API tokens and sign-in links ended")?;
        }
        anyhow::Ok(data.authority.create_sign_in_code(admin.id).await?)
    })?;
    let url = links.sign_in_url(code.secret.expose());
    let url = url.context("neither http nor https is on, so there is no page to sign in on")?;
    writeln!(std::io::stdout(), "{url}")?;
    Ok(())
}

//! `telstar sign-in`: a new one-time link for the admin.

use std::io::Write;

use anyhow::Context;

use super::small_runtime;
use crate::config::Config;
use crate::data::Data;
use crate::server::links_of;

pub(super) fn run(config: &Config) -> anyhow::Result<()> {
    let data = Data::open(&config.general.data)?;
    let links = links_of(config);
    let code = small_runtime()?.block_on(async {
        let admin = data.store.first_admin().await?.context("the server has not been started yet")?;
        anyhow::Ok(data.authority.create_sign_in_code(admin.id).await?)
    })?;
    let url = links.sign_in_url(code.secret.expose());
    let url = url.context("neither http nor https is on, so there is no page to sign in on")?;
    writeln!(std::io::stdout(), "{url}")?;
    Ok(())
}

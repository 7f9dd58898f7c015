//! `telstar token`: mints room tokens, playback tokens and API tokens.

use std::io::Write;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use telstar_units::RoomName;

use super::small_runtime;
use crate::auth::{
    API_TOKEN_LIFETIME_SECS, Grant, Grants, IDENTITY_BYTES_MAX, Minted, PLAYBACK_TOKEN_LIFETIME_SECS,
    ROOM_TOKEN_LIFETIME_SECS, RoomFacts, RoomToken,
};
use crate::config::Config;
use crate::data::Data;

pub(super) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    Command::new("token")
        .about("Prints a token: for a room (--room --identity), to watch a room (--playback), or for the API (--admin)")
        .arg(flag("admin", "A short-lived API token of the admin"))
        .arg(flag("playback", "A playback token of the room, for links with ?t="))
        .arg(Arg::new("room").long("room").value_name("NAME").help("The room that the token is for"))
        .arg(Arg::new("identity").long("identity").value_name("NAME").help("Whom the room token is about"))
        .arg(flag("publish", "The room token allows to take part in calls and to publish"))
        .arg(flag("subscribe", "The room token allows to take part in calls, to subscribe and to watch"))
        .arg(
            Arg::new("expires-in")
                .long("expires-in")
                .value_name("SECS")
                .help("How long it is good [default: 3600 for --admin, 86400 for --playback, else 21600]")
                .value_parser(clap::value_parser!(i64).range(1..)),
        )
        .group(ArgGroup::new("kind").args(["admin", "playback", "identity"]).required(true))
        .group(
            ArgGroup::new("grants")
                .args(["publish", "subscribe"])
                .multiple(true)
                .conflicts_with_all(["admin", "playback"]),
        )
        .mut_arg("room", |room| room.required_unless_present("admin").conflicts_with("admin"))
}

pub(super) fn run(matches: &ArgMatches, config: &Config) -> anyhow::Result<()> {
    let data = Data::open(&config.general.data)?;
    let minted = small_runtime()?.block_on(mint(matches, &data))?;
    writeln!(std::io::stdout(), "{}", minted.secret.expose())?;
    Ok(())
}

async fn mint(matches: &ArgMatches, data: &Data) -> anyhow::Result<Minted> {
    let lifetime = |default: i64| matches.get_one::<i64>("expires-in").copied().unwrap_or(default);
    let admin = data.store.first_admin().await?.context("the server has not been started yet")?;
    if matches.get_flag("admin") {
        return Ok(data.authority.create_api_token(admin.id, lifetime(API_TOKEN_LIFETIME_SECS)).await?);
    }
    let name = matches.get_one::<String>("room").context("--room is required")?;
    let name = RoomName::parse(name).with_context(|| format!("--room {name}"))?;
    if matches.get_flag("playback") {
        let room = data.store.room(name.clone()).await?.with_context(|| format!("there is no room {name}"))?;
        let lifetime = lifetime(PLAYBACK_TOKEN_LIFETIME_SECS);
        return Ok(data.authority.create_playback_token(&RoomFacts::from(&room), lifetime)?);
    }
    let identity = matches.get_one::<String>("identity").context("--identity is required")?;
    let identity = checked_identity(identity)?;
    let granted = [("publish", Grant::Publish), ("subscribe", Grant::Subscribe)];
    let granted = granted.into_iter().filter(|(flag, _)| matches.get_flag(flag)).map(|(_, grant)| grant);
    let mut grants: Vec<Grant> = granted.collect();
    if grants.is_empty() {
        bail!("a room token without a grant opens nothing: add --publish, --subscribe or both");
    }
    // Whoever may send or receive in a room means to take part in its calls; playback tokens are for those who only watch.
    grants.push(Grant::Join);
    let grants: Grants = grants.into_iter().collect();
    let lifetime = lifetime(ROOM_TOKEN_LIFETIME_SECS);
    let identity = identity.to_owned();
    let token = RoomToken { room: name, identity, name: None, metadata: None, grants, lifetime_secs: lifetime };
    Ok(data.authority.create_room_token(admin.id, token).await?)
}

/// What the token's user is stored under. A longer one would be refused where it is first used, by whoever got it.
fn checked_identity(identity: &str) -> anyhow::Result<&str> {
    let identity = identity.trim();
    if identity.is_empty() || identity.len() > IDENTITY_BYTES_MAX || identity.chars().any(char::is_control) {
        bail!("--identity: 1 to {IDENTITY_BYTES_MAX} bytes, none of them a control character");
    }
    Ok(identity)
}

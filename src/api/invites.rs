//! A room's invites: links that let guests into its calls.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use telstar_store::{Cursor, INVITES_PER_ROOM_MAX, Invite, InviteId, PAGE_LIMIT_MAX, PageRequest};
use telstar_units::RoomName;
use utoipa::ToSchema;

use super::error::{Code, Problem};
use super::extract::{IdPath, OptionalJson, RoomPath};
use super::rooms::permitted_room;
use super::text::checked_label;
use super::tokens::checked_grants;
use crate::auth::{Action, Caller, Grant, INVITE_LIFETIME_SECS, InviteTerms, Secret};
use crate::client::Client;
use crate::state::AppState;

/// The most guests of one invite that is counted at all. One without a limit is the other choice. Guess.
const USES_MAX: u32 = 100_000;

/// A new invite.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewInvite {
    /// At most 100 characters.
    #[serde(default)]
    #[schema(max_length = 100)]
    label: String,
    /// What a guest may do: of `join`, `publish`, `subscribe`, `chat`, `upload`, `ingest`, `admin`; the first four if absent.
    #[schema(max_items = 7)]
    grants: Option<Vec<String>>,
    /// From 1 to 31,622,400; a week if absent.
    #[schema(minimum = 1, maximum = 31_622_400, default = 604_800)]
    expires_in_secs: Option<i64>,
    /// How often it may be exchanged, from 1 to 100,000; as often as one likes if absent.
    #[schema(minimum = 1, maximum = 100_000)]
    uses: Option<u32>,
}

/// An invite, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Invite)]
pub(super) struct InviteBody {
    /// Its number.
    id: i64,
    /// What its maker calls it.
    label: String,
    /// What a guest may do.
    grants: Vec<String>,
    /// When it ends (RFC 3339).
    #[schema(format = "date-time")]
    expires_at: String,
    /// How often it may still be exchanged; null without a limit.
    uses_left: Option<u32>,
}

impl From<Invite> for InviteBody {
    fn from(invite: Invite) -> InviteBody {
        InviteBody {
            id: invite.id.0,
            label: invite.label,
            grants: invite.grants,
            expires_at: invite.expires_at.to_rfc3339_millis(),
            uses_left: invite.uses_left,
        }
    }
}

/// A room's invites.
#[derive(Serialize, ToSchema)]
pub(super) struct InviteList {
    /// Those that have not expired, oldest first.
    invites: Vec<InviteBody>,
}

/// An invite, with its secret. It is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedInvite {
    /// What can be seen later, too.
    #[serde(flatten)]
    details: InviteBody,
    /// The secret, for `POST /api/v1/tokens`.
    #[schema(example = "inv_…")]
    invite: String,
    /// The call's page with the invite, for the guest. It is behind `#`, which browsers do not send.
    url: String,
}

/// A room's invites.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/invites", tag = "invites", operation_id = "listInvites",
    params(("room" = String, Path, description = "The room's name.")),
    responses((status = 200, description = "Those that have not expired.", body = InviteList)))]
pub(super) async fn list(
    caller: Caller,
    RoomPath(name): RoomPath,
    State(state): State<AppState>,
) -> Result<axum::Json<InviteList>, Problem> {
    permitted_room(&state, &caller, &name, Action::ManageInvites).await?;
    let (mut invites, mut after): (_, Option<Cursor>) = (Vec::new(), None);
    // Ends because the store limits a room's invites.
    loop {
        let page = PageRequest::new(after, PAGE_LIMIT_MAX);
        let page = state.store.invites(name.clone(), page, state.authority.now()).await?;
        invites.extend(page.items.into_iter().map(InviteBody::from));
        after = page.next.filter(|_| invites.len() < INVITES_PER_ROOM_MAX);
        if after.is_none() {
            return Ok(axum::Json(InviteList { invites }));
        }
    }
}

/// Makes an invite. The answer shows it once.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/invites", tag = "invites", operation_id = "createInvite",
    request_body = Option<NewInvite>, params(("room" = String, Path, description = "The room's name.")),
    responses((status = 201, description = "Made; the secret is shown this once.", body = CreatedInvite,
        headers(("location" = String)))))]
pub(super) async fn create(
    caller: Caller,
    client: Client,
    RoomPath(name): RoomPath,
    State(state): State<AppState>,
    OptionalJson(body): OptionalJson<NewInvite>,
) -> Result<impl IntoResponse, Problem> {
    let room = permitted_room(&state, &caller, &name, Action::ManageInvites).await?;
    let terms = checked_terms(&caller, body)?;
    let owner = caller.account_role().map_or(room.facts().owner, |(account, _)| account);
    let (invite, secret) = state.authority.create_invite(name.clone(), terms, owner).await?;
    let location = format!("/api/v1/rooms/{name}/invites/{}", invite.id.0);
    let origin = state.links.public_url().unwrap_or(&client.reached_origin);
    let url = call_url(origin, &name, &secret);
    let body = CreatedInvite { details: invite.into(), invite: secret.expose().to_owned(), url };
    let headers = [(header::LOCATION, state.links.located(&location)), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::CREATED, headers, axum::Json(body)))
}

fn call_url(origin: &str, room: &RoomName, invite: &Secret) -> String {
    format!("{origin}/call/{room}#invite={}", invite.expose())
}

fn checked_terms(caller: &Caller, body: NewInvite) -> Result<InviteTerms, Problem> {
    let grants = checked_grants(body.grants.as_deref())?;
    // Else a moderator with a token of an hour could make moderators for a year, and come back after being sent away.
    if grants.has(Grant::Admin) && caller.account_role().is_none() {
        return Err(Problem::new(Code::Forbidden, "Only an account makes invites that grant admin."));
    }
    if body.uses.is_some_and(|uses| !(1..=USES_MAX).contains(&uses)) {
        return Err(Problem::new(Code::InvalidFields, format!("uses: from 1 to {USES_MAX}.")));
    }
    Ok(InviteTerms {
        label: checked_label(&body.label)?.to_owned(),
        grants,
        uses: body.uses,
        lifetime_secs: body.expires_in_secs.unwrap_or(INVITE_LIFETIME_SECS),
    })
}

/// Revokes an invite. Guests who came with it stay until their tokens end or somebody removes them.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/invites/{id}", tag = "invites", operation_id = "revokeInvite",
    params(("room" = String, Path, description = "The room's name."), ("id" = i64, Path, description = "Its number.")),
    responses((status = 204, description = "Revoked; nobody comes in with it any more.")))]
pub(super) async fn revoke(
    caller: Caller,
    RoomPath(name): RoomPath,
    IdPath(id): IdPath,
    State(state): State<AppState>,
) -> Result<StatusCode, Problem> {
    permitted_room(&state, &caller, &name, Action::ManageInvites).await?;
    state.store.revoke_invite(name, InviteId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

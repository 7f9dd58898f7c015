//! A room's call, for moderators: who takes part, and what happens to them.

use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use telstar_signaling::limits::{DATA_BYTES_MAX, DATA_RECEIVERS_MAX as RECEIVERS_MAX, METADATA_BYTES_MAX};
use telstar_signaling::wire::{
    Label, Metadata, Name, Participant, ParticipantChange, ParticipantRef, Payload, TrackRef,
};
use telstar_units::{ParticipantId, RoomName};
use utoipa::ToSchema;

use super::call_schema::{ParticipantDoc, ParticipantListDoc};
use super::error::{Code, Problem};
use super::extract::{Json, RoomPath};
use super::rooms::permitted_room;
use super::text::{checked_label, checked_name};
use super::tokens::checked_grants;
use crate::auth::{Action, Caller};
use crate::calls::{self, CallRefusal, DataMessage};
use crate::state::{AppState, Shared};

impl From<CallRefusal> for Problem {
    fn from(refusal: CallRefusal) -> Problem {
        match refusal {
            CallRefusal::NoParticipant => Problem::not_found("participant"),
            CallRefusal::NoTrack => Problem::not_found("track"),
            CallRefusal::Busy => Problem::new(Code::Unavailable, "The server has too much to do; try again."),
        }
    }
}

/// Who takes part.
#[derive(Serialize)]
pub(super) struct ParticipantList {
    participants: Vec<Participant>,
}

/// What changes of a participant; absent fields stay.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangeParticipant {
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// At most 8,192 bytes.
    #[schema(max_length = 8192)]
    metadata: Option<String>,
    /// Of `join`, `publish`, `subscribe`, `chat`, `upload`, `ingest`, `admin`.
    #[schema(max_items = 7)]
    grants: Option<Vec<String>>,
}

/// What changes of a track.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangeTrack {
    /// `true`: only its owner unmutes it.
    #[serde(default)]
    #[schema(example = true)]
    muted: bool,
}

/// A message from the server.
#[derive(Deserialize, ToSchema)]
pub(super) struct SendData {
    /// To whom, such as `p2`: at most 64; everybody if absent.
    #[serde(default)]
    #[schema(max_items = 64)]
    to: Vec<String>,
    /// What it is about, in the app's words.
    #[schema(max_length = 100)]
    label: Option<String>,
    /// Any JSON of at most 16 KiB.
    #[serde(default)]
    #[schema(value_type = Object)]
    data: Value,
}

fn participant_of(params: &RawPathParams) -> Result<ParticipantId, Problem> {
    let id = params.iter().find(|(key, _)| *key == "participant").and_then(|(_, id)| ParticipantRef::parse(id));
    id.map(|id| id.0).ok_or_else(|| Problem::not_found("participant"))
}

/// Who takes part in the room's call.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/participants", tag = "calls", operation_id = "listParticipants",
    params(("room" = String, Path, description = "The room's name.")),
    responses((status = 200, description = "In the order in which they came.", body = ParticipantListDoc)))]
pub(super) async fn list(
    caller: Caller,
    RoomPath(name): RoomPath,
    State(state): State<AppState>,
) -> Result<axum::Json<ParticipantList>, Problem> {
    let room = permitted_room(&state, &caller, &name, Action::ModerateCall).await?;
    Ok(axum::Json(ParticipantList { participants: state.calls.participants(&room).await? }))
}

/// One participant.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/participants/{participant}", tag = "calls",
    operation_id = "readParticipant",
    params(("room" = String, Path, description = "The room's name."),
        ("participant" = String, Path, description = "Such as `p7`.")),
    responses((status = 200, description = "It.", body = ParticipantDoc)))]
pub(super) async fn read(
    caller: Caller,
    RoomPath(name): RoomPath,
    params: RawPathParams,
    State(state): State<AppState>,
) -> Result<axum::Json<Participant>, Problem> {
    let room = permitted_room(&state, &caller, &name, Action::ModerateCall).await?;
    Ok(axum::Json(state.calls.participant(&room, participant_of(&params)?).await?))
}

/// Changes a participant's name, metadata or grants. Everybody in the call is told.
#[utoipa::path(patch, path = "/api/v1/rooms/{room}/participants/{participant}", tag = "calls",
    operation_id = "changeParticipant", request_body = ChangeParticipant,
    params(("room" = String, Path, description = "The room's name."),
        ("participant" = String, Path, description = "Such as `p7`.")),
    responses((status = 200, description = "It after the change.", body = ParticipantDoc)))]
pub(super) async fn change(
    caller: Caller,
    RoomPath(name): RoomPath,
    params: RawPathParams,
    State(state): State<AppState>,
    Json(body): Json<ChangeParticipant>,
) -> Result<axum::Json<Participant>, Problem> {
    let room = permitted_room(&state, &caller, &name, Action::ModerateCall).await?;
    let participant = participant_of(&params)?;
    let invalid = |detail: String| Problem::new(Code::InvalidFields, detail);
    let name = body.name.as_deref().map(checked_name).transpose()?;
    let metadata = body.metadata.map(|text| {
        Metadata::parse(text).ok_or_else(|| invalid(format!("metadata: at most {METADATA_BYTES_MAX} bytes.")))
    });
    let grants = body.grants.map(|grants| checked_grants(Some(&grants))).transpose()?;
    let change = ParticipantChange {
        name: name.as_deref().and_then(Name::parse),
        metadata: metadata.transpose()?,
        grants: grants.map(|grants| calls::grants(grants).list()),
    };
    Ok(axum::Json(state.calls.update(&room, participant, change).await?))
}

/// Sends a participant away. The token that it joined with is good for nothing from then on.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/participants/{participant}", tag = "calls",
    operation_id = "removeParticipant",
    params(("room" = String, Path, description = "The room's name."),
        ("participant" = String, Path, description = "Such as `p7`.")),
    responses((status = 204, description = "Gone.")))]
pub(super) async fn remove(
    caller: Caller,
    RoomPath(name): RoomPath,
    params: RawPathParams,
    State(state): State<AppState>,
) -> Result<StatusCode, Problem> {
    match participant_of(&params) {
        Ok(participant) => remove_one(caller, name, participant, state).await,
        Err(problem) => permitted_room(&state, &caller, &name, Action::ModerateCall).await.and(Err(problem)),
    }
}

pub(super) async fn remove_one(
    caller: Caller,
    name: RoomName,
    participant: ParticipantId,
    state: AppState,
) -> Result<StatusCode, Problem> {
    let room = permitted_room(&state, &caller, &name, Action::ModerateCall).await?;
    let owner = room.facts().owner;
    let Shared { authority, calls, .. } = Shared::clone(&state);
    let change = async move {
        let token = calls.token_of(&room, participant).await?;
        // Durably first, so that whoever is sent away finds the door closed; told last, so that it hears why it left.
        if let Some(token) = &token {
            authority.deny_from_now_on(token, owner).await?;
        }
        let removed = calls.remove(&room, participant).await;
        if let Some(token) = token {
            authority.announce_denied(token);
        }
        // Who left by itself in between is gone as well, and its token is denied.
        match removed {
            Err(CallRefusal::NoParticipant) | Ok(()) => Ok(()),
            Err(refusal) => Err(refusal.into()),
        }
    };
    state.changes.run(change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Mutes a track for everybody. Only its owner unmutes it.
#[utoipa::path(patch, path = "/api/v1/rooms/{room}/participants/{participant}/tracks/{track}", tag = "calls",
    operation_id = "changeTrack", request_body = ChangeTrack,
    params(("room" = String, Path, description = "The room's name."),
        ("participant" = String, Path, description = "Such as `p7`."),
        ("track" = String, Path, description = "Such as `t9`.")),
    responses((status = 200, description = "Its participant after the change.", body = ParticipantDoc)))]
pub(super) async fn mute(
    caller: Caller,
    RoomPath(name): RoomPath,
    params: RawPathParams,
    State(state): State<AppState>,
    Json(body): Json<ChangeTrack>,
) -> Result<axum::Json<Participant>, Problem> {
    let room = permitted_room(&state, &caller, &name, Action::ModerateCall).await?;
    let participant = participant_of(&params)?;
    let track = params.iter().find(|(key, _)| *key == "track").and_then(|(_, id)| TrackRef::parse(id));
    let track = track.ok_or_else(|| Problem::not_found("track"))?.0;
    if !body.muted {
        return Err(Problem::new(Code::InvalidFields, "muted: true. Only its owner unmutes a track."));
    }
    Ok(axum::Json(state.calls.mute(&room, participant, track).await?))
}

/// Sends a message to participants in the server's name.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/data", tag = "calls", operation_id = "sendData",
    request_body = SendData, params(("room" = String, Path, description = "The room's name.")),
    responses((status = 202, description = "On its way to whoever is there.")))]
pub(super) async fn send_data(
    caller: Caller,
    RoomPath(name): RoomPath,
    State(state): State<AppState>,
    Json(body): Json<SendData>,
) -> Result<StatusCode, Problem> {
    let room = permitted_room(&state, &caller, &name, Action::ModerateCall).await?;
    state.calls.send_data(&room, checked_message(body)?).await?;
    Ok(StatusCode::ACCEPTED)
}

fn checked_message(body: SendData) -> Result<DataMessage, Problem> {
    let invalid = |detail: String| Problem::new(Code::InvalidFields, detail);
    if body.to.len() > RECEIVERS_MAX {
        return Err(invalid(format!("to: at most {RECEIVERS_MAX}; absent is everybody.")));
    }
    let to: Option<Vec<_>> = body.to.iter().map(|id| ParticipantRef::parse(id)).collect();
    let to = to.ok_or_else(|| invalid("to: ids such as p2.".to_owned()))?;
    let data = serde_json::value::to_raw_value(&body.data).map_err(Problem::internal)?;
    let data = Payload::new(data).ok_or_else(|| invalid(format!("data: at most {DATA_BYTES_MAX} bytes.")))?;
    let label = body.label.as_deref().map(checked_label).transpose()?.map(str::to_owned);
    let label =
        label.map(|label| Label::parse(label).ok_or_else(|| invalid("label: too long.".to_owned()))).transpose()?;
    Ok(DataMessage { to: (!to.is_empty()).then_some(to), label, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_few_receivers_and_little_data() {
        let message = |to: usize, bytes: usize| SendData {
            to: (0..to).map(|n| format!("p{n}")).collect(),
            label: Some("chat".to_owned()),
            data: Value::String("a".repeat(bytes)),
        };
        assert!(checked_message(message(RECEIVERS_MAX, DATA_BYTES_MAX - 2)).is_ok());
        assert!(checked_message(message(RECEIVERS_MAX + 1, 1)).is_err());
        assert!(checked_message(message(0, DATA_BYTES_MAX - 1)).is_err());
        assert!(
            checked_message(SendData { to: vec!["everybody".to_owned()], label: None, data: Value::Null }).is_err()
        );
    }
}

//! A room's call, for moderators: who takes part, and what happens to them.

use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use telstar_units::RoomName;
use utoipa::ToSchema;

use super::call_schema::{ParticipantDoc, ParticipantListDoc};
use super::error::{Code, Problem};
use super::extract::{Json, RoomPath};
use super::rooms::permitted_room;
use super::text::{checked_label, checked_name};
use super::tokens::checked_grants;
use crate::auth::{Action, Caller};
use crate::calls::{CallRefusal, DataMessage, ParticipantChange, ParticipantNumber, TrackNumber};
use crate::state::{AppState, Shared};

/// The longest metadata in bytes. It is in every participant's state.
const METADATA_BYTES_MAX: usize = 8 * 1024;
/// The largest data message in bytes of JSON, as over `/ws`.
const DATA_BYTES_MAX: usize = 16 * 1024;
/// Receivers that one data message names; more are everybody. As over `/ws`.
const RECEIVERS_MAX: usize = 64;

impl From<CallRefusal> for Problem {
    fn from(refusal: CallRefusal) -> Problem {
        match refusal {
            CallRefusal::NoParticipant => Problem::not_found("participant"),
            CallRefusal::NoTrack => Problem::not_found("track"),
            CallRefusal::Invalid => Problem::new(Code::InvalidFields, "The call does not take that."),
            CallRefusal::Busy => Problem::new(Code::Unavailable, "The server has too much to do; try again."),
            CallRefusal::Closed => Problem::new(Code::Unavailable, "The server is shutting down."),
        }
    }
}

/// Who takes part.
#[derive(Serialize)]
pub(super) struct ParticipantList {
    participants: Vec<Value>,
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

/// `p7` is 7. What is no id is no participant.
fn number(id: &str, prefix: char) -> Option<u64> {
    let digits = id.strip_prefix(prefix)?;
    // One spelling for each: no sign, no zero before it.
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

fn participant_of(params: &RawPathParams) -> Result<ParticipantNumber, Problem> {
    let id = params.iter().find(|(key, _)| *key == "participant").and_then(|(_, id)| number(id, 'p'));
    id.map(ParticipantNumber).ok_or_else(|| Problem::not_found("participant"))
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
    permitted_room(&state, &caller, &name, Action::ModerateCall).await?;
    let participants = state.calls.participants(name).await?;
    let participants = participants.into_iter().map(|participant| participant.body).collect();
    Ok(axum::Json(ParticipantList { participants }))
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
) -> Result<axum::Json<Value>, Problem> {
    permitted_room(&state, &caller, &name, Action::ModerateCall).await?;
    Ok(axum::Json(state.calls.participant(name, participant_of(&params)?).await?.body))
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
) -> Result<axum::Json<Value>, Problem> {
    permitted_room(&state, &caller, &name, Action::ModerateCall).await?;
    let participant = participant_of(&params)?;
    if body.metadata.as_ref().is_some_and(|metadata| metadata.len() > METADATA_BYTES_MAX) {
        return Err(Problem::new(Code::InvalidFields, format!("metadata: at most {METADATA_BYTES_MAX} bytes.")));
    }
    let change = ParticipantChange {
        name: body.name.as_deref().map(checked_name).transpose()?,
        metadata: body.metadata,
        grants: body.grants.map(|grants| checked_grants(Some(&grants))).transpose()?,
    };
    Ok(axum::Json(state.calls.update(name, participant, change).await?.body))
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
    participant: ParticipantNumber,
    state: AppState,
) -> Result<StatusCode, Problem> {
    let room = permitted_room(&state, &caller, &name, Action::ModerateCall).await?;
    let owner = room.facts().owner;
    let Shared { authority, calls, .. } = Shared::clone(&state);
    let change = async move {
        let token = calls.participant(name.clone(), participant).await?.token;
        // Durably first, so that whoever is sent away finds the door closed; told last, so that it hears why it left.
        if let Some(token) = &token {
            authority.deny_from_now_on(token, owner).await?;
        }
        let removed = calls.remove(name, participant).await;
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
) -> Result<axum::Json<Value>, Problem> {
    permitted_room(&state, &caller, &name, Action::ModerateCall).await?;
    let participant = participant_of(&params)?;
    let track = params.iter().find(|(key, _)| *key == "track").and_then(|(_, id)| number(id, 't'));
    let track = track.map(TrackNumber).ok_or_else(|| Problem::not_found("track"))?;
    if !body.muted {
        return Err(Problem::new(Code::InvalidFields, "muted: true. Only its owner unmutes a track."));
    }
    Ok(axum::Json(state.calls.mute(name, participant, track).await?.body))
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
    permitted_room(&state, &caller, &name, Action::ModerateCall).await?;
    let message = checked_message(body)?;
    state.calls.send_data(name, message).await?;
    Ok(StatusCode::ACCEPTED)
}

fn checked_message(body: SendData) -> Result<DataMessage, Problem> {
    let invalid = |detail: String| Problem::new(Code::InvalidFields, detail);
    if body.to.len() > RECEIVERS_MAX {
        return Err(invalid(format!("to: at most {RECEIVERS_MAX}; absent is everybody.")));
    }
    let to: Option<Vec<_>> = body.to.iter().map(|id| number(id, 'p').map(ParticipantNumber)).collect();
    let to = to.ok_or_else(|| invalid("to: ids such as p2.".to_owned()))?;
    let length = serde_json::to_vec(&body.data).map_err(Problem::internal)?.len();
    if length > DATA_BYTES_MAX {
        return Err(invalid(format!("data: at most {DATA_BYTES_MAX} bytes.")));
    }
    let label = body.label.as_deref().map(checked_label).transpose()?.map(str::to_owned);
    Ok(DataMessage { to, label, data: body.data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        for (id, expect) in [
            ("p7", Some(7)),
            ("p18446744073709551615", Some(u64::MAX)),
            ("p18446744073709551616", None),
            ("p07", None),
            ("p+7", None),
            ("p", None),
            ("7", None),
            ("t7", None),
            ("p7 ", None),
        ] {
            assert_eq!(number(id, 'p'), expect, "{id}");
        }
    }

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

//! An account's webhooks: where its app is told what happens in its rooms.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use telstar_store::{
    Delivery, DeliveryState, PAGE_LIMIT_MAX, PageRequest, StoreError, WEBHOOKS_PER_ACCOUNT_MAX, Webhook, WebhookId,
};
use telstar_units::{AccountId, WallTime};
use utoipa::ToSchema;

use super::error::{Code, Problem};
use super::extract::{IdPath, Json};
use crate::auth::{Action, Caller};
use crate::door::permit;
use crate::state::AppState;
use crate::webhooks::{Endpoint, EventKind};

const _: () = assert!(WEBHOOKS_PER_ACCOUNT_MAX <= PAGE_LIMIT_MAX, "an account's webhooks fit one page");

/// A new webhook.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewWebhook {
    /// `https://`, and with `webhooks.allow_private` also `http://`.
    #[serde(default)]
    #[schema(example = "https://app.example/hooks/telstar", max_length = 2048)]
    url: String,
    /// Which events; all of them if absent.
    #[schema(max_items = 14, example = json!(["participant-joined", "participant-left"]))]
    events: Option<Vec<String>>,
}

/// A webhook, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct WebhookBody {
    /// Its number.
    id: i64,
    /// Where it is told.
    url: String,
    /// Which events.
    events: Vec<String>,
    /// When it was made (RFC 3339).
    #[schema(format = "date-time")]
    created_at: String,
}

impl From<Webhook> for WebhookBody {
    fn from(webhook: Webhook) -> WebhookBody {
        WebhookBody {
            id: webhook.id.0,
            url: webhook.url,
            events: webhook.events,
            created_at: webhook.created_at.to_rfc3339_millis(),
        }
    }
}

/// An account's webhooks.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookList {
    /// Oldest first.
    webhooks: Vec<WebhookBody>,
}

/// A webhook, with its secret. It is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedWebhook {
    /// What can be seen later, too.
    #[serde(flatten)]
    webhook: WebhookBody,
    /// What signs each delivery (Standard Webhooks).
    #[schema(example = "whsec_…")]
    secret: String,
}

/// One event on its way to a webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub(super) struct DeliveryBody {
    /// The event's name, the header `webhook-id`.
    #[schema(example = "msg_3n8v0qk2c5w7r1tz4y6x")]
    id: String,
    /// What happened.
    #[schema(example = "participant-joined")]
    event: String,
    /// `pending`, `delivered` or `failed`.
    #[schema(pattern = "^(pending|delivered|failed)$")]
    state: &'static str,
    /// Attempts so far.
    attempts: u32,
    /// What the latest attempt came to.
    #[schema(example = "answered 503")]
    outcome: String,
    /// When it happened (RFC 3339).
    #[schema(format = "date-time")]
    created_at: String,
    /// When the next attempt is due (RFC 3339), while it is pending.
    #[schema(format = "date-time")]
    next_at: Option<String>,
    /// When it was delivered or given up (RFC 3339).
    #[schema(format = "date-time")]
    finished_at: Option<String>,
}

impl From<Delivery> for DeliveryBody {
    fn from(delivery: Delivery) -> DeliveryBody {
        let is_pending = delivery.state == DeliveryState::Pending;
        DeliveryBody {
            id: delivery.message,
            event: delivery.event,
            state: match delivery.state {
                DeliveryState::Pending => "pending",
                DeliveryState::Delivered => "delivered",
                DeliveryState::Failed => "failed",
            },
            attempts: delivery.attempts,
            outcome: delivery.outcome,
            created_at: delivery.created_at.to_rfc3339_millis(),
            next_at: is_pending.then(|| delivery.next_at.to_rfc3339_millis()),
            finished_at: delivery.finished_at.map(WallTime::to_rfc3339_millis),
        }
    }
}

/// What a webhook was sent, or is going to be.
#[derive(Serialize, ToSchema)]
pub(super) struct DeliveryList {
    /// The newest hundred, newest first.
    deliveries: Vec<DeliveryBody>,
}

fn permitted_account(caller: &Caller) -> Result<AccountId, Problem> {
    permit(caller, Action::ManageWebhooks, None)?;
    caller.account_role().map(|(account, _)| account).ok_or_else(Problem::unauthorised)
}

/// The account's own webhooks.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "listWebhooks",
    responses((status = 200, description = "All of them.", body = WebhookList)))]
pub(super) async fn list(caller: Caller, State(state): State<AppState>) -> Result<axum::Json<WebhookList>, Problem> {
    let account = permitted_account(&caller)?;
    let page = state.store.webhooks(account, PageRequest::first()).await?;
    Ok(axum::Json(WebhookList { webhooks: page.items.into_iter().map(WebhookBody::from).collect() }))
}

/// Makes a webhook. The answer shows its secret once; for another secret, make another webhook.
#[utoipa::path(post, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "createWebhook",
    request_body = NewWebhook,
    responses((status = 201, description = "Made; the secret is shown this once.", body = CreatedWebhook,
        headers(("location" = String)))))]
pub(super) async fn create(
    caller: Caller,
    State(state): State<AppState>,
    Json(body): Json<NewWebhook>,
) -> Result<impl IntoResponse, Problem> {
    let account = permitted_account(&caller)?;
    let endpoint = Endpoint::parse(&body.url, state.config.webhooks.allow_private)
        .map_err(|refusal| Problem::new(Code::InvalidFields, format!("url: {refusal}.")))?;
    let events = checked_events(body.events)?;
    let (webhook, secret) = state.authority.create_webhook(account, endpoint.url().to_owned(), events).await?;
    let location = format!("/api/v1/webhooks/{}", webhook.id.0);
    let body = CreatedWebhook { webhook: webhook.into(), secret: secret.expose().to_owned() };
    let headers = [(header::LOCATION, state.links.located(&location)), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::CREATED, headers, axum::Json(body)))
}

/// The events in the order in which they are documented, each once.
fn checked_events(events: Option<Vec<String>>) -> Result<Vec<String>, Problem> {
    let all = EventKind::ALL.iter().map(|kind| kind.as_str());
    let Some(events) = events else { return Ok(all.map(str::to_owned).collect()) };
    let is_known = |event: &String| EventKind::ALL.iter().any(|kind| kind.as_str() == event);
    if events.is_empty() || events.len() > EventKind::ALL.len() || !events.iter().all(is_known) {
        let all: Vec<&str> = all.collect();
        return Err(Problem::new(Code::InvalidFields, format!("events: at least one of {}.", all.join(", "))));
    }
    Ok(all.filter(|word| events.iter().any(|event| event == word)).map(str::to_owned).collect())
}

/// Deletes a webhook with what waits for it.
#[utoipa::path(delete, path = "/api/v1/webhooks/{id}", tag = "webhooks", operation_id = "deleteWebhook",
    params(("id" = i64, Path, description = "Its number.")),
    responses((status = 204, description = "Gone.")))]
pub(super) async fn delete(
    caller: Caller,
    IdPath(id): IdPath,
    State(state): State<AppState>,
) -> Result<StatusCode, Problem> {
    let account = permitted_account(&caller)?;
    state.store.delete_webhook(account, WebhookId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a webhook was sent lately, and what waits for it.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/deliveries", tag = "webhooks", operation_id = "listDeliveries",
    params(("id" = i64, Path, description = "Its number.")),
    responses((status = 200, description = "The newest hundred.", body = DeliveryList)))]
pub(super) async fn deliveries(
    caller: Caller,
    IdPath(id): IdPath,
    State(state): State<AppState>,
) -> Result<axum::Json<DeliveryList>, Problem> {
    let account = permitted_account(&caller)?;
    let webhook = state.store.webhook(WebhookId(id)).await?.filter(|webhook| webhook.owner == account);
    let webhook = webhook.ok_or(StoreError::NotFound("webhook"))?;
    let deliveries = state.store.deliveries(webhook.id).await?;
    Ok(axum::Json(DeliveryList { deliveries: deliveries.into_iter().map(DeliveryBody::from).collect() }))
}

//! Webhooks and their queue: rows that a sender takes, tries and ends.

use rusqlite::{Connection, OptionalExtension, Row, params};
use telstar_units::{AccountId, WallTime};

use super::accounts::{account, check_count, check_text};
use crate::{
    AttemptOutcome, Delivery, DeliveryId, DeliveryState, NewDelivery, NewWebhook, NextDelivery, PAGE_LIMIT_MAX, Page,
    PageRequest, StoreError, TEXT_LEN_MAX, WEBHOOK_BODY_LEN_MAX, WEBHOOK_FINISHED_KEPT_MAX, WEBHOOK_FINISHED_KEPT_SECS,
    WEBHOOK_PENDING_MAX, WEBHOOK_URL_LEN_MAX, WEBHOOKS_PER_ACCOUNT_MAX, Webhook, WebhookId,
};

const WEBHOOK_COLUMNS: &str = "w.id, w.owner, w.url, w.events, w.secret_id, w.sealed_secret, w.created_at";
const DELIVERY_COLUMNS: &str = "d.id, d.webhook, d.message, d.event, d.body, d.state, d.attempts, d.next_at, \
                                d.outcome, d.created_at, d.finished_at";
/// What a delivery that gave way to newer ones is told to have come to.
const TOO_MANY_WAIT: &str = "too many deliveries waited for this webhook";

fn read_webhook(row: &Row<'_>) -> rusqlite::Result<Webhook> {
    let events: String = row.get(3)?;
    Ok(Webhook {
        id: WebhookId(row.get(0)?),
        owner: AccountId(row.get(1)?),
        url: row.get(2)?,
        events: events.lines().map(str::to_owned).collect(),
        secret_id: row.get(4)?,
        sealed_secret: row.get(5)?,
        created_at: WallTime(row.get(6)?),
    })
}

fn read_delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let state: String = row.get(5)?;
    Ok(Delivery {
        id: DeliveryId(row.get(0)?),
        webhook: WebhookId(row.get(1)?),
        message: row.get(2)?,
        event: row.get(3)?,
        body: row.get(4)?,
        // The column's CHECK allows three values.
        state: match state.as_str() {
            "pending" => DeliveryState::Pending,
            "delivered" => DeliveryState::Delivered,
            _ => DeliveryState::Failed,
        },
        attempts: row.get(6)?,
        next_at: WallTime(row.get(7)?),
        outcome: row.get(8)?,
        created_at: WallTime(row.get(9)?),
        finished_at: row.get::<_, Option<i64>>(10)?.map(WallTime),
    })
}

pub(super) fn create_webhook(
    connection: &Connection,
    webhook: NewWebhook,
    owner: AccountId,
    now: WallTime,
) -> Result<Webhook, StoreError> {
    if webhook.url.len() > WEBHOOK_URL_LEN_MAX {
        return Err(StoreError::Limit { what: "bytes in an address", max: WEBHOOK_URL_LEN_MAX });
    }
    // They are kept one a line.
    if webhook.events.is_empty() || webhook.events.iter().any(|event| event.is_empty() || event.contains('\n')) {
        return Err(StoreError::Invalid("list of events"));
    }
    let events = webhook.events.join("\n");
    check_text(&events)?;
    if account(connection, owner)?.is_none() {
        return Err(StoreError::NotFound("account"));
    }
    let count = connection
        .prepare_cached("SELECT count(*) FROM webhooks WHERE owner = ?1")?
        .query_row([owner.0], |row| row.get(0))?;
    check_count(count, WEBHOOKS_PER_ACCOUNT_MAX, "webhooks of one account")?;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO webhooks (owner, url, events, secret_id, sealed_secret, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (secret_id) DO NOTHING",
        )?
        .execute(params![owner.0, webhook.url, events, webhook.secret_id, webhook.sealed_secret, now.0])?;
    if inserted == 0 {
        return Err(StoreError::Conflict("webhook"));
    }
    let id = WebhookId(connection.last_insert_rowid());
    self::webhook(connection, id)?.ok_or(StoreError::NotFound("webhook"))
}

pub(super) fn webhook(connection: &Connection, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
    let sql = format!("SELECT {WEBHOOK_COLUMNS} FROM webhooks w WHERE w.id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id.0], read_webhook).optional()?)
}

pub(super) fn webhooks(
    connection: &Connection,
    owner: AccountId,
    page: PageRequest,
) -> Result<Page<Webhook>, StoreError> {
    let sql =
        format!("SELECT {WEBHOOK_COLUMNS} FROM webhooks w WHERE w.owner = ?1 AND w.id > ?2 ORDER BY w.id LIMIT ?3");
    let rows: Result<Vec<Webhook>, _> =
        connection.prepare_cached(&sql)?.query_map([owner.0, page.after(), page.rows()], read_webhook)?.collect();
    Ok(page.page(rows?, |webhook| webhook.id.0))
}

pub(super) fn delete_webhook(connection: &Connection, owner: AccountId, id: WebhookId) -> Result<(), StoreError> {
    let gone =
        connection.prepare_cached("DELETE FROM webhooks WHERE id = ?1 AND owner = ?2")?.execute([id.0, owner.0])?;
    if gone == 0 { Err(StoreError::NotFound("webhook")) } else { Ok(()) }
}

pub(super) fn enqueue_delivery(
    connection: &Connection,
    delivery: &NewDelivery,
    now: WallTime,
) -> Result<Vec<WebhookId>, StoreError> {
    check_text(&delivery.message)?;
    if delivery.body.len() > WEBHOOK_BODY_LEN_MAX {
        return Err(StoreError::Limit { what: "bytes in the body of a delivery", max: WEBHOOK_BODY_LEN_MAX });
    }
    let wanted: Vec<WebhookId> = webhooks(connection, delivery.owner, PageRequest::first())?
        .items
        .into_iter()
        // What happened before a webhook was made is none of its business, whenever it is told.
        .filter(|webhook| webhook.created_at <= now && webhook.events.contains(&delivery.event))
        .map(|webhook| webhook.id)
        .collect();
    for webhook in &wanted {
        // The same event a second time is the caller trying again.
        connection
            .prepare_cached(
                "INSERT INTO webhook_deliveries (owner, webhook, message, event, body, next_at, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (webhook, message) DO NOTHING",
            )?
            .execute(params![delivery.owner.0, webhook.0, delivery.message, delivery.event, delivery.body, now.0])?;
        fail_the_oldest(connection, *webhook, now)?;
    }
    Ok(wanted)
}

/// Keeps what waits for one webhook below its limit. One that is under way is left to its attempt.
fn fail_the_oldest(connection: &Connection, webhook: WebhookId, now: WallTime) -> Result<(), StoreError> {
    let failed = connection
        .prepare_cached(
            "UPDATE webhook_deliveries SET state = 'failed', outcome = ?3, finished_at = ?4, leased_until = NULL
             WHERE webhook = ?1 AND state = 'pending' AND id <= (
                 SELECT id FROM webhook_deliveries WHERE webhook = ?1 AND state = 'pending'
                 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![webhook.0, WEBHOOK_PENDING_MAX as i64, TOO_MANY_WAIT, now.0])?;
    if failed > 0 { drop_old_finished(connection, webhook) } else { Ok(()) }
}

fn drop_old_finished(connection: &Connection, webhook: WebhookId) -> Result<(), StoreError> {
    for state in ["delivered", "failed"] {
        connection
            .prepare_cached(
                "DELETE FROM webhook_deliveries WHERE webhook = ?1 AND state = ?2 AND id <= (
                     SELECT id FROM webhook_deliveries WHERE webhook = ?1 AND state = ?2
                     ORDER BY id DESC LIMIT 1 OFFSET ?3)",
            )?
            .execute(params![webhook.0, state, WEBHOOK_FINISHED_KEPT_MAX as i64])?;
    }
    Ok(())
}

pub(super) fn release_leases(connection: &Connection) -> Result<Vec<WebhookId>, StoreError> {
    connection
        .prepare_cached("UPDATE webhook_deliveries SET leased_until = NULL WHERE leased_until IS NOT NULL")?
        .execute([])?;
    let waiting: Result<Vec<WebhookId>, _> = connection
        .prepare_cached(
            "SELECT w.id FROM webhooks w WHERE EXISTS
             (SELECT 1 FROM webhook_deliveries d WHERE d.webhook = w.id AND d.state = 'pending')",
        )?
        .query_map([], |row| Ok(WebhookId(row.get(0)?)))?
        .collect();
    Ok(waiting?)
}

pub(super) fn take_delivery(
    connection: &Connection,
    webhook: WebhookId,
    lease_until: WallTime,
    now: WallTime,
) -> Result<NextDelivery, StoreError> {
    // By the index, which stops at the first: a queue that drains is not sorted for each of its deliveries.
    let due: Option<i64> = connection
        .prepare_cached(
            "SELECT id FROM webhook_deliveries
             WHERE webhook = ?1 AND state = 'pending' AND max(next_at, coalesce(leased_until, 0)) <= ?2
             ORDER BY id LIMIT 1",
        )?
        .query_row([webhook.0, now.0], |row| row.get(0))
        .optional()?;
    let Some(id) = due else {
        let next: Option<i64> = connection
            .prepare_cached(
                "SELECT min(max(next_at, coalesce(leased_until, 0))) FROM webhook_deliveries
                 WHERE webhook = ?1 AND state = 'pending'",
            )?
            .query_row([webhook.0], |row| row.get(0))?;
        return Ok(next.map_or(NextDelivery::Nothing, |at| NextDelivery::At(WallTime(at))));
    };
    connection
        .prepare_cached("UPDATE webhook_deliveries SET attempts = attempts + 1, leased_until = ?2 WHERE id = ?1")?
        .execute([id, lease_until.0])?;
    let sql = format!("SELECT {DELIVERY_COLUMNS} FROM webhook_deliveries d WHERE d.id = ?1");
    Ok(NextDelivery::Due(Box::new(connection.prepare_cached(&sql)?.query_row([id], read_delivery)?)))
}

pub(super) fn finish_attempt(
    connection: &Connection,
    id: DeliveryId,
    attempt: u32,
    outcome: AttemptOutcome,
    now: WallTime,
) -> Result<(), StoreError> {
    let (state, next_at, finished_at, mut words) = match outcome {
        AttemptOutcome::Delivered(words) => ("delivered", now, Some(now.0), words),
        AttemptOutcome::Retry(at, words) => ("pending", at, None, words),
        AttemptOutcome::Failed(words) => ("failed", now, Some(now.0), words),
    };
    while words.len() > TEXT_LEN_MAX {
        words.pop();
    }
    let webhook: Option<i64> = connection
        .prepare_cached(
            "UPDATE webhook_deliveries
             SET state = ?3, next_at = ?4, finished_at = ?5, outcome = ?6, leased_until = NULL
             WHERE id = ?1 AND attempts = ?2 AND state = 'pending' RETURNING webhook",
        )?
        .query_row(params![id.0, attempt, state, next_at.0, finished_at, words], |row| row.get(0))
        .optional()?;
    let webhook = webhook.ok_or(StoreError::NotFound("attempt"))?;
    if finished_at.is_some() { drop_old_finished(connection, WebhookId(webhook)) } else { Ok(()) }
}

pub(super) fn deliveries(connection: &Connection, webhook: WebhookId) -> Result<Vec<Delivery>, StoreError> {
    let sql =
        format!("SELECT {DELIVERY_COLUMNS} FROM webhook_deliveries d WHERE d.webhook = ?1 ORDER BY d.id DESC LIMIT ?2");
    let rows: Result<Vec<Delivery>, _> =
        connection.prepare_cached(&sql)?.query_map([webhook.0, PAGE_LIMIT_MAX as i64], read_delivery)?.collect();
    Ok(rows?)
}

/// Removes deliveries that ended long ago.
pub(super) fn sweep(connection: &Connection, now: WallTime) -> Result<usize, StoreError> {
    let before = now.plus_micros(-WEBHOOK_FINISHED_KEPT_SECS * 1_000_000);
    Ok(connection.prepare_cached("DELETE FROM webhook_deliveries WHERE finished_at <= ?1")?.execute([before.0])?)
}

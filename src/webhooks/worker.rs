//! One endpoint's queue: one attempt after the other, and the waits between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::HeaderName;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use telstar_store::{AttemptOutcome, Delivery, NextDelivery, StoreError, Webhook, WebhookId};
use telstar_units::WallTime;
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::Inner;
use super::endpoint::Endpoint;

/// How long an attempt may hold a delivery: longer than any request takes. A server that is killed leaves the lease behind,
/// and the next start forgets it.
const LEASE: Duration = Duration::from_secs(60);
/// How long after each failed attempt the next comes. The last one is 22 hours after the first: endpoints that are repaired
/// within a day miss nothing.
const RETRIES_SECS: [i64; 8] = [5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200];
/// The longest sleep, so that a wall clock that is set does not stop the queue.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// How long the store rests after it failed.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// Who looks after one endpoint.
#[derive(Default)]
pub(super) struct Worker {
    notify: Notify,
    /// Something came since the queue was last looked at.
    is_woken: AtomicBool,
}

impl Worker {
    pub(super) fn wake(&self) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.notify.notify_one();
    }
}

/// Takes the worker out of the list however it ends, so that the next event starts another.
struct Listed {
    inner: Arc<Inner>,
    webhook: WebhookId,
    worker: Arc<Worker>,
}

impl Listed {
    /// Leaves the list, unless something came just now.
    fn retire(&self) -> bool {
        let mut workers = self.inner.workers();
        if self.worker.is_woken.load(Ordering::SeqCst) {
            return false;
        }
        workers.remove(&self.webhook);
        true
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut workers = self.inner.workers();
        if workers.get(&self.webhook).is_some_and(|listed| Arc::ptr_eq(listed, &self.worker)) {
            workers.remove(&self.webhook);
        }
    }
}

/// Works until nothing waits any more or the server stops.
pub(super) async fn run(inner: Arc<Inner>, webhook: WebhookId, worker: Arc<Worker>) {
    let stopping = inner.tasks.stopping();
    let listed = Listed { inner, webhook, worker };
    // Cancel-safe: an attempt that is dropped has its lease, and is made again after the next start.
    tokio::select! {
        () = stopping => {}
        () = work(&listed) => {}
    }
}

async fn work(listed: &Listed) {
    let Listed { inner, webhook, worker } = listed;
    loop {
        worker.is_woken.store(false, Ordering::SeqCst);
        let now = inner.authority.now();
        let lease_until = now.plus_micros(LEASE.as_micros() as i64);
        match inner.store.take_delivery(*webhook, lease_until, now).await {
            Ok(NextDelivery::Due(delivery)) => attempt(inner, *delivery).await,
            Ok(NextDelivery::At(at)) => {
                let wait = Duration::from_micros(u64::try_from(at.0 - now.0).unwrap_or(0));
                // Cancel-safe: a sleep, and a Notify that keeps its permit.
                tokio::select! {
                    () = tokio::time::sleep(wait.min(SLEEP_MAX)) => {}
                    () = worker.notify.notified() => {}
                }
            }
            Ok(NextDelivery::Nothing) => {
                if listed.retire() {
                    return;
                }
            }
            Err(StoreError::Closed) => return,
            Err(error) => {
                warn!(%error, "webhooks: the queue cannot be read");
                tokio::time::sleep(STORE_WAIT).await;
            }
        }
    }
}

/// Tries a delivery once and notes what came of it.
async fn attempt(inner: &Inner, delivery: Delivery) {
    let (id, number) = (delivery.id, delivery.attempts);
    let outcome = match inner.store.webhook(delivery.webhook).await {
        Ok(Some(webhook)) => try_once(inner, &webhook, delivery).await,
        // It was deleted, and its deliveries with it.
        Ok(None) => return,
        Err(error) => retry(inner, number, format!("the server's store failed: {error}")),
    };
    match &outcome {
        AttemptOutcome::Delivered(_) => inner.metrics.webhooks_delivered_events.add(1),
        AttemptOutcome::Retry(..) => inner.metrics.webhooks_failed_attempts.add(1),
        AttemptOutcome::Failed(_) => {
            inner.metrics.webhooks_failed_attempts.add(1);
            inner.metrics.webhooks_failed_events.add(1);
        }
    }
    debug!(delivery = id.0, attempt = number, ?outcome, "a webhook was tried");
    match inner.store.finish_attempt(id, number, outcome, inner.authority.now()).await {
        // Deleted meanwhile, or given up because too many waited.
        Ok(()) | Err(StoreError::NotFound(_)) => {}
        Err(error) => warn!(%error, "webhooks: what an attempt came to was not noted; it will be made again"),
    }
}

async fn try_once(inner: &Inner, webhook: &Webhook, delivery: Delivery) -> AttemptOutcome {
    let number = delivery.attempts;
    let endpoint = match Endpoint::parse(&webhook.url, inner.sender.allows_private()) {
        Ok(endpoint) => endpoint,
        // The operator changed what is allowed since the webhook was made.
        Err(error) => return AttemptOutcome::Failed(error.to_string()),
    };
    let Some(key) = inner.authority.webhook_key(webhook) else {
        return AttemptOutcome::Failed(
            "the secret was sealed under another key file: make the webhook anew".to_owned(),
        );
    };
    let timestamp = inner.authority.now().0.div_euclid(1_000_000);
    let headers = [
        (HeaderName::from_static("webhook-id"), delivery.message.clone()),
        (HeaderName::from_static("webhook-timestamp"), timestamp.to_string()),
        (HeaderName::from_static("webhook-signature"), signature(&key, &delivery.message, timestamp, &delivery.body)),
    ];
    match inner.sender.post(&endpoint, headers, delivery.body).await {
        Ok(status @ 200..=299) => AttemptOutcome::Delivered(format!("answered {status}")),
        // Standard Webhooks: "gone" asks for no more.
        Ok(410) => AttemptOutcome::Failed("answered 410".to_owned()),
        Ok(status @ 300..=399) => retry(inner, number, format!("answered {status}; redirects are not followed")),
        Ok(status) => retry(inner, number, format!("answered {status}")),
        Err(error) => retry(inner, number, error.to_string()),
    }
}

/// When the attempt of this number is followed by another.
fn retry(inner: &Inner, number: u32, words: String) -> AttemptOutcome {
    match next_attempt(inner.authority.now(), number) {
        Some(at) => AttemptOutcome::Retry(at, words),
        None => AttemptOutcome::Failed(format!("{words}; given up after {number} attempts")),
    }
}

/// The first attempt is number 1.
fn next_attempt(now: WallTime, number: u32) -> Option<WallTime> {
    let wait_secs = RETRIES_SECS.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
    Some(now.plus_micros(wait_secs * 1_000_000))
}

/// Standard Webhooks, "Signature scheme": `v1` is HMAC-SHA256 over id, timestamp and body.
fn signature(key: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body.as_bytes());
    format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_is_signed_as_the_standard_says() {
        // Standard Webhooks' libraries test with this secret, id, timestamp and body.
        let key = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("the standard's secret");
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn attempts_come_ever_more_seldom_and_end_within_a_day() {
        let start = WallTime(0);
        assert_eq!(next_attempt(start, 1), Some(WallTime(5_000_000)));
        assert_eq!(next_attempt(start, RETRIES_SECS.len() as u32), Some(WallTime(43_200_000_000)));
        assert_eq!(next_attempt(start, RETRIES_SECS.len() as u32 + 1), None);
        assert!(RETRIES_SECS.is_sorted() && RETRIES_SECS.iter().sum::<i64>() <= 86_400);
    }
}

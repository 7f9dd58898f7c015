//! Webhooks and the queue of their deliveries.

use telstar_units::AccountId;

use super::{Fixture, at, founded};
use crate::{
    AttemptOutcome, Delivery, DeliveryState, NewDelivery, NewWebhook, NextDelivery, PageRequest, Store, StoreError,
    WEBHOOK_FINISHED_KEPT_MAX, WEBHOOK_FINISHED_KEPT_SECS, WEBHOOK_PENDING_MAX, WEBHOOKS_PER_ACCOUNT_MAX, Webhook,
    WebhookId,
};

fn hook(store: &dyn Store, owner: AccountId, secret_id: &str, events: &[&str]) -> Result<Webhook, StoreError> {
    let webhook = NewWebhook {
        url: "https://example.org/hook".into(),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
        secret_id: secret_id.into(),
        sealed_secret: vec![5; 40],
    };
    store.create_webhook(webhook, owner, at(1)).wait()
}

fn delivery(owner: AccountId, message: &str, event: &str) -> NewDelivery {
    NewDelivery { owner, message: message.into(), event: event.into(), body: format!("{{\"m\":\"{message}\"}}") }
}

fn take(store: &dyn Store, webhook: WebhookId, now: i64) -> Option<Delivery> {
    match store.take_delivery(webhook, at(now + 30), at(now)).wait().expect("a store that works") {
        NextDelivery::Due(delivery) => Some(*delivery),
        NextDelivery::At(_) | NextDelivery::Nothing => None,
    }
}

pub(crate) fn an_event_goes_to_every_webhook_that_wants_it(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let both = hook(&*store, owner, "a", &["joined", "left"]).expect("a webhook").id;
    let left = hook(&*store, owner, "b", &["left"]).expect("a webhook").id;
    let queue = |message: &str, event: &str| {
        store.enqueue_delivery(delivery(owner, message, event), at(2)).wait().expect("queued")
    };
    assert!(queue("m1", "joined") == [both] && queue("m2", "left") == [both, left] && queue("m3", "other").is_empty());
    queue("m1", "joined");
    let foreign = store.enqueue_delivery(delivery(AccountId(9), "m4", "left"), at(2)).wait();
    assert!(foreign.is_ok_and(|webhooks| webhooks.is_empty()), "another account's rooms are not its own");
    let first = take(&*store, both, 3).expect("the oldest");
    assert!(first.message == "m1" && first.attempts == 1 && first.state == DeliveryState::Pending);
    assert!(first.body == r#"{"m":"m1"}"# && first.created_at == at(2));
    assert_eq!(take(&*store, both, 3).map(|delivery| delivery.message), Some("m2".into()));
    assert!(take(&*store, both, 3).is_none(), "the same message twice is one");
    assert_eq!(take(&*store, left, 3).map(|delivery| delivery.message), Some("m2".into()));
}

pub(crate) fn an_attempt_ends_once_and_only_the_newest_counts(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let id = hook(&*store, owner, "a", &["joined"]).expect("a webhook").id;
    store.enqueue_delivery(delivery(owner, "m1", "joined"), at(2)).wait().expect("queued");
    let first = take(&*store, id, 3).expect("due");
    assert!(store.take_delivery(id, at(99), at(32)).wait() == Ok(NextDelivery::At(at(33))), "it is leased");
    let second = take(&*store, id, 33).expect("the lease is over");
    assert_eq!((second.id, second.attempts), (first.id, 2));
    let end = |attempt, outcome| store.finish_attempt(first.id, attempt, outcome, at(34)).wait();
    let late = end(1, AttemptOutcome::Delivered("200".into()));
    assert_eq!(late, Err(StoreError::NotFound("attempt")), "another attempt has begun");
    assert_eq!(end(2, AttemptOutcome::Retry(at(40), "503".into())), Ok(()));
    assert!(take(&*store, id, 39).is_none());
    let third = take(&*store, id, 40).expect("due again");
    assert!(third.attempts == 3 && third.outcome == "503");
    assert_eq!(end(3, AttemptOutcome::Delivered("200".into())), Ok(()));
    assert_eq!(end(3, AttemptOutcome::Delivered("200".into())), Err(StoreError::NotFound("attempt")));
    assert!(store.take_delivery(id, at(99), at(98)).wait() == Ok(NextDelivery::Nothing));
    let kept = store.deliveries(id).wait().expect("readable");
    assert!(kept.len() == 1 && kept[0].state == DeliveryState::Delivered && kept[0].finished_at == Some(at(34)));
}

pub(crate) fn what_was_under_way_is_free_after_a_start(fixture: Fixture) {
    let owner = founded(&*fixture.store);
    let id = hook(&*fixture.store, owner, "a", &["joined"]).expect("a webhook").id;
    let idle = hook(&*fixture.store, owner, "b", &["left"]).expect("a webhook").id;
    fixture.store.enqueue_delivery(delivery(owner, "m1", "joined"), at(2)).wait().expect("queued");
    take(&*fixture.store, id, 3).expect("due");
    let store = match &fixture.again {
        Some(again) => {
            drop(fixture.store);
            again()
        }
        None => fixture.store,
    };
    assert!(store.release_leases().wait() == Ok(vec![id]), "nothing waits for {idle:?}");
    assert_eq!(take(&*store, id, 4).map(|delivery| delivery.attempts), Some(2));
}

pub(crate) fn what_waits_for_a_webhook_has_a_limit_and_the_oldest_goes(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let id = hook(&*store, owner, "a", &["joined"]).expect("a webhook").id;
    let mut waits = Vec::new();
    for n in 0..WEBHOOK_PENDING_MAX + WEBHOOK_FINISHED_KEPT_MAX + 10 {
        waits.push(store.enqueue_delivery(delivery(owner, &format!("m{n}"), "joined"), at(2)));
        if waits.len() == 1_000 {
            waits.drain(..).for_each(|wait| drop(wait.wait().expect("queued")));
        }
    }
    waits.into_iter().for_each(|wait| drop(wait.wait().expect("queued")));
    let oldest = take(&*store, id, 3).expect("due");
    assert_eq!(oldest.message, format!("m{}", WEBHOOK_FINISHED_KEPT_MAX + 10));
    // The list shows the newest; what was given up is older than all that waits, so it is counted by the sweep.
    let swept = store.sweep(at(3 + WEBHOOK_FINISHED_KEPT_SECS)).wait();
    assert_eq!(swept, Ok(WEBHOOK_FINISHED_KEPT_MAX), "and no more of it was kept");
}

pub(crate) fn a_deleted_webhook_takes_its_deliveries_along(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let id = hook(&*store, owner, "a", &["joined"]).expect("a webhook").id;
    store.enqueue_delivery(delivery(owner, "m1", "joined"), at(2)).wait().expect("queued");
    let taken = take(&*store, id, 3).expect("due");
    let stranger = AccountId(owner.0 + 1);
    assert_eq!(store.delete_webhook(stranger, id).wait(), Err(StoreError::NotFound("webhook")));
    assert_eq!(store.delete_webhook(owner, id).wait(), Ok(()));
    assert!(store.webhook(id).wait().expect("readable").is_none());
    assert!(store.take_delivery(id, at(99), at(98)).wait() == Ok(NextDelivery::Nothing));
    let late = store.finish_attempt(taken.id, 1, AttemptOutcome::Delivered(String::new()), at(4)).wait();
    assert_eq!(late, Err(StoreError::NotFound("attempt")));
}

pub(crate) fn an_account_has_a_limit_of_webhooks(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    for n in 0..WEBHOOKS_PER_ACCOUNT_MAX {
        hook(&*store, owner, &format!("s{n}"), &["joined"]).expect("below the limit");
    }
    assert!(matches!(hook(&*store, owner, "more", &["joined"]).err(), Some(StoreError::Limit { .. })));
    let listed = store.webhooks(owner, PageRequest::first()).wait().expect("readable").items;
    assert_eq!(listed.len(), WEBHOOKS_PER_ACCOUNT_MAX);
    assert!(listed[0].events == ["joined"] && listed[0].sealed_secret == [5; 40]);
    assert_eq!(hook(&*store, owner, "none", &[]).err(), Some(StoreError::Invalid("list of events")));
}

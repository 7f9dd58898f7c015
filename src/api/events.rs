//! Server-sent events: what happens to the account's own assets and jobs, as it happens (HTML, "Server-sent events").
//!
//! In: the store's outbox, and how far the jobs under way are. Out: `asset`, `asset-deleted` and `job`, each with the
//! state of that moment, so that a client that missed some needs only the last. Events of the outbox have its ids, with
//! which a stream goes on where another ended; progress has none. A stream holds nothing but its place: whoever reads
//! slowly gets fewer, newer events, and is dropped when it reads nothing for long.

mod streams;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::poll_fn;
use serde::Serialize;
use telstar_store::{EventId, EventKind, OpenState, PAGE_LIMIT_MAX, StoreError};
use telstar_units::{AccountId, AssetName, WallTime};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;

pub(super) use self::streams::Streams;
use super::asset_schema::{AssetBody, Sight};
use super::assets::body_of;
use super::error::Problem;
use super::job_schema::{JobBody, JobStateBody};
use crate::auth::{Action, Caller, Revocation, Subject};
use crate::client::Client;
use crate::door::{caller_of, permit};
use crate::state::AppState;

/// Events that wait for a reader. What waits is older than what could be said instead, so there are few.
const WAITING_MAX: usize = 16;
/// A reader that takes nothing for so long is dropped; it comes back with the id of the last event that it has. Shorter
/// gives a phone in a tunnel up sooner, longer keeps its place taken. Guess.
const READER_PATIENCE: Duration = Duration::from_secs(30);
/// The outbox is looked at no more often, and when something changed at least so soon.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The outbox is looked at so often when nothing told that it changed: a title that was changed, a job that was leased.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_millis(500);
/// Progress of one asset is told no more often, but that it can be played at once.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// An asset of which no job is under way any more is looked at so many times again: what its jobs made is listed a
/// moment after their end.
const LAST_LOOKS: u32 = 2;
/// A comment this often keeps proxies from closing a quiet stream (HTML recommends 15 seconds).
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How long a browser waits before it comes back.
const RETRY: Duration = Duration::from_secs(2);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What happens to the account's own assets: `asset` with an asset, `job` with a job, `asset-deleted` with `{asset}`,
/// and `missed` with `{}` when the outbox does not have any more what came behind `Last-Event-ID`: then whatever is
/// shown has to be read again.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "readEvents",
    params(("Last-Event-ID" = Option<String>, Header,
            description = "Goes on behind this event, as browsers do by themselves.")),
    responses((status = 200, description = "Events until the client goes, its credential ends, or the server stops.",
        body = String, content_type = "text/event-stream")))]
pub(super) async fn read(
    client: Client,
    method: Method,
    headers: HeaderMap,
    Extension(streams): Extension<Streams>,
    State(state): State<AppState>,
) -> Result<Response, Problem> {
    // Before the credential is looked at, so that no revocation is missed.
    let revocations = state.authority.revocations();
    let caller = caller_of(&state, &client, &method, &headers).await?;
    permit(&caller, Action::ReadEvents, Subject::Server)?;
    let (account, _) = caller.account_role().ok_or_else(Problem::unauthorised)?;
    let place = streams.take(account)?;
    let changes = state.vod.listings.watch();
    let newest = streams.newest(&*state.store).await?;
    // An id from the future is of another database: a copy from before was put back.
    let (after, is_lost) = match last_id(&headers) {
        Some(id) if id <= newest => (id, false),
        Some(_) => (newest, true),
        None => (newest, false),
    };
    let (sender, mut receiver) = mpsc::channel(WAITING_MAX);
    let open = state.store.open_jobs(account, Some(OpenState::Leased)).await?;
    let active = open.into_iter().map(|job| (job.asset, Active::default())).collect();
    let teller = Teller { state: state.clone(), account, after, active, sender };
    state.tasks.spawn("events", async move {
        // Ends with the stream, however that ends.
        let _place = place;
        let _ = teller.run(&caller, is_lost, changes, revocations).await;
    });
    let events = poll_fn(move |context| receiver.poll_recv(context).map(|event| event.map(Ok::<_, Infallible>)));
    // A buffering proxy would hold back what is not much (nginx reads this).
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    Ok((unbuffered, Sse::new(events)).into_response())
}

fn last_id(headers: &HeaderMap) -> Option<EventId> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.parse().ok().filter(|id| *id >= 0).map(EventId)
}

/// The stream is over, for whatever reason.
struct Over;

impl From<StoreError> for Over {
    fn from(error: StoreError) -> Over {
        // The client comes back, and finds what it missed.
        warn!(%error, "a stream of events ends");
        Over
    }
}

/// An asset that changes without an event: a job of it is under way, or has just ended.
struct Active {
    /// When it was last told of; `None` is never.
    told: Option<Instant>,
    body: Option<AssetBody>,
    looks_left: u32,
}

impl Default for Active {
    fn default() -> Active {
        Active { told: None, body: None, looks_left: LAST_LOOKS }
    }
}

/// What the outbox has of one asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Happened {
    first_at: WallTime,
    last: EventId,
    is_deleted: bool,
}

#[derive(Serialize)]
struct Deleted<'a> {
    asset: &'a str,
}

#[derive(Serialize)]
struct Missed {}

/// One stream.
struct Teller {
    state: AppState,
    account: AccountId,
    /// Everything up to this event is told.
    after: EventId,
    /// Bounded: those of whom a job is under way, and what a second's events were about.
    active: BTreeMap<AssetName, Active>,
    sender: mpsc::Sender<Event>,
}

impl Teller {
    async fn run(
        mut self,
        caller: &Caller,
        is_lost: bool,
        mut changes: watch::Receiver<u64>,
        mut revocations: broadcast::Receiver<Revocation>,
    ) -> Result<(), Over> {
        let mut stopping = std::pin::pin!(self.state.tasks.stopping());
        let mut expiry = std::pin::pin!(self.expiry(caller));
        self.send(Event::default().retry(RETRY).id(self.after.0.to_string())).await?;
        if is_lost {
            self.tell("missed", &Missed {}, None).await?;
        }
        let mut comment_at = Instant::now() + COMMENT_EVERY;
        loop {
            let looked = Instant::now();
            while self.tell_outbox().await? {}
            self.tell_progress().await?;
            let sender = self.sender.clone();
            let changed = async {
                sleep_until(looked + LOOK_EVERY).await;
                // A channel that is closed means that the server stops, which is seen below.
                let _ = timeout(LOOK_AT_LEAST_EVERY, changes.changed()).await;
            };
            // Cancel-safe: timers, cancellations and channels; a change that is not waited for to the end is found by
            // looking.
            tokio::select! {
                () = &mut stopping => return Ok(()),
                () = &mut expiry => return Ok(()),
                () = sender.closed() => return Ok(()),
                revocation = revocations.recv() => match revocation {
                    Ok(revocation) if caller.relies_on(&revocation) => return Ok(()),
                    Ok(_) => {}
                    // It may have been this one's: the client comes back, and its credential is looked at again.
                    Err(_) => return Ok(()),
                },
                () = sleep_until(comment_at) => {
                    // An id without data moves the client's place and dispatches nothing (HTML §9.2.6), so that it does
                    // not come back with one that the outbox has forgotten.
                    self.send(Event::default().comment("").id(self.after.0.to_string())).await?;
                    comment_at = Instant::now() + COMMENT_EVERY;
                }
                () = changed => {}
            }
        }
    }

    /// Resolves when the credential ends.
    fn expiry(&self, caller: &Caller) -> impl Future<Output = ()> + Send + use<> {
        let now = self.state.authority.now();
        let left = caller.expires_at.map(|end| u64::try_from(end.0.saturating_sub(now.0)).unwrap_or(0));
        async move {
            match left {
                Some(micros) => sleep(Duration::from_micros(micros)).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Tells what the outbox has, up to a page of it. True if there may be more.
    async fn tell_outbox(&mut self) -> Result<bool, Over> {
        let events = self.state.store.events_after(self.after).await?;
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(false) };
        if first.id.0 > self.after.0 + 1 {
            self.tell("missed", &Missed {}, None).await?;
        }
        let newest = last.id;
        for (name, happened) in by_asset(&events, self.account) {
            if happened.is_deleted {
                self.active.remove(&name);
                self.tell("asset-deleted", &Deleted { asset: name.as_str() }, Some(happened.last)).await?;
            } else {
                self.tell_asset(name, happened).await?;
            }
        }
        self.after = newest;
        Ok(events.len() == PAGE_LIMIT_MAX)
    }

    /// Tells how an asset is, and those of its jobs that changed.
    async fn tell_asset(&mut self, name: AssetName, happened: Happened) -> Result<(), Over> {
        let Some((body, jobs)) = self.look(&name).await? else { return Ok(()) };
        // The form of these times sorts as the times do.
        let since = happened.first_at.to_rfc3339_millis();
        for job in jobs.iter().filter(|job| job.facts.updated_at >= since) {
            self.tell("job", job, None).await?;
        }
        self.tell("asset", &body, Some(happened.last)).await?;
        self.active.insert(name, Active { told: Some(Instant::now()), body: Some(body), looks_left: LAST_LOOKS });
        Ok(())
    }

    /// Tells how far the assets are that jobs are under way of.
    async fn tell_progress(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (name, active) in &self.active {
            let is_due = active.told.is_none_or(|told| now >= told + PROGRESS_EVERY);
            if is_due || self.has_become_playable(name, active).await? {
                due.push(name.clone());
            }
        }
        for name in due {
            let before = self.active.remove(&name).unwrap_or_default();
            let Some((body, jobs)) = self.look(&name).await? else { continue };
            let leased: Vec<&JobBody> = jobs.iter().filter(|job| job.facts.state == JobStateBody::Leased).collect();
            if before.body.as_ref() != Some(&body) {
                for job in &leased {
                    self.tell("job", job, None).await?;
                }
                self.tell("asset", &body, None).await?;
            }
            let looks_left = if leased.is_empty() { before.looks_left.saturating_sub(1) } else { LAST_LOOKS };
            if looks_left > 0 {
                self.active.insert(name, Active { told: Some(now), body: Some(body), looks_left });
            }
        }
        Ok(())
    }

    /// Whoever waits for the first picture is not kept waiting for the next time that progress is told.
    async fn has_become_playable(&self, name: &AssetName, active: &Active) -> Result<bool, Over> {
        if active.body.as_ref().is_none_or(|body| body.playable) {
            return Ok(false);
        }
        let found = self.state.vod.listings.find(name).await?;
        Ok(found.is_some_and(|(_, listing)| listing.is_playable()))
    }

    async fn look(&self, name: &AssetName) -> Result<Option<(AssetBody, Vec<JobBody>)>, Over> {
        let Some(asset) = self.state.store.asset(name.clone()).await? else { return Ok(None) };
        match body_of(&self.state, &asset, Sight::OWNER).await {
            Ok(looked) => Ok(Some(looked)),
            // It was deleted in between: the outbox says so.
            Err(StoreError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn tell(&self, kind: &str, body: &(impl Serialize + Sync), id: Option<EventId>) -> Result<(), Over> {
        let event = Event::default().event(kind);
        let event = match id {
            Some(id) => event.id(id.0.to_string()),
            None => event,
        };
        let event = event.json_data(body).map_err(|error| {
            warn!(%error, "an event could not be written");
            Over
        })?;
        self.send(event).await
    }

    async fn send(&self, event: Event) -> Result<(), Over> {
        match timeout(READER_PATIENCE, self.sender.send(event)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }
}

/// What happened to each of the account's assets, in the order of the last of it: whoever has had an event with an id
/// has had everything before it.
fn by_asset(events: &[telstar_store::Event], account: AccountId) -> Vec<(AssetName, Happened)> {
    let mut happened: BTreeMap<AssetName, Happened> = BTreeMap::new();
    for event in events.iter().filter(|event| event.owner == account) {
        let telstar_store::Subject::Asset(name) = &event.subject else { continue };
        let known = happened.get(name).copied();
        let first_at = known.map_or(event.at, |known| known.first_at.min(event.at));
        let is_deleted = event.kind == EventKind::AssetDeleted || known.is_some_and(|known| known.is_deleted);
        happened.insert(name.clone(), Happened { first_at, last: event.id, is_deleted });
    }
    let mut ordered: Vec<(AssetName, Happened)> = happened.into_iter().collect();
    ordered.sort_by_key(|(_, happened)| happened.last);
    ordered
}

#[cfg(test)]
mod tests {
    use telstar_units::RoomName;

    use super::*;

    fn name(letter: &str) -> AssetName {
        AssetName::parse(&letter.repeat(22)).expect("a name")
    }

    fn event(id: i64, owner: i64, kind: EventKind, subject: &str) -> telstar_store::Event {
        let subject = telstar_store::Subject::Asset(name(subject));
        telstar_store::Event { id: EventId(id), owner: AccountId(owner), kind, subject, at: WallTime(id * 10) }
    }

    #[test]
    fn an_asset_is_told_of_once_and_behind_everything_that_its_id_stands_for() {
        let mut events = vec![
            event(1, 1, EventKind::AssetCreated, "a"),
            event(2, 1, EventKind::AssetCreated, "b"),
            event(3, 2, EventKind::AssetCreated, "c"),
            event(4, 1, EventKind::JobChanged, "a"),
            event(5, 1, EventKind::AssetDeleted, "b"),
            event(6, 1, EventKind::AssetCreated, "d"),
        ];
        let room = RoomName::parse("demo").expect("a room name");
        events.push(telstar_store::Event {
            id: EventId(7),
            owner: AccountId(1),
            kind: EventKind::RoomChanged,
            subject: telstar_store::Subject::Room(room),
            at: WallTime(70),
        });
        let told = by_asset(&events, AccountId(1));
        let brief: Vec<_> =
            told.iter().map(|(name, it)| (name.as_str().chars().next(), it.last.0, it.is_deleted)).collect();
        assert_eq!(brief, [(Some('a'), 4, false), (Some('b'), 5, true), (Some('d'), 6, false)]);
        assert_eq!(told[0].1.first_at, WallTime(10), "jobs that changed since then are told of");
    }

    #[test]
    fn only_a_number_is_an_id() {
        for (value, expect) in [("12", Some(EventId(12))), ("-1", None), ("x", None), ("", None)] {
            let value = HeaderValue::from_static(value);
            assert_eq!(last_id(&HeaderMap::from_iter([(LAST_EVENT_ID, value)])), expect);
        }
        assert_eq!(last_id(&HeaderMap::new()), None);
    }
}

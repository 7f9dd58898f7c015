//! One session's task: it owns what the offer became, and ends it.
//!
//! In: PATCH and DELETE, one after the other. Out: their answers. It ends by DELETE, when the other side of it is over (kicked,
//! removed, ICE never came or was lost), when its credential is, and with the server. With it goes everything that it held.

use std::sync::Arc;
use std::time::{Duration, Instant};

use telstar_sfu::offer::{Offer, answer_credentials};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::access::Lock;
use super::fragment::{Credentials, Fragment, of_answer};
use super::ice::{Ice, Refusal, Step};
use super::registry::{Protocol, Whx};
use crate::api::error::{Code, Problem};
use crate::auth::{Action, Caller, Revocation, RoomFacts, authorise, random_text};
use crate::ingest::whip::Publication;
use crate::output::whep::View;
use crate::rooms::RoomEntry;
use crate::slots::Slot;
use crate::state::AppState;

/// Requests that wait for one session. A client sends one after the other; what is more is answered 503.
const REQUESTS_MAX: usize = 16;
/// How often it is looked at whether a session may still be there: a room that was closed to the public, a credential that
/// has expired. What is revoked ends it at once. Guess: what a person would call soon.
const RECHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Characters of an address and of an entity tag: 130 bits.
const NAME_CHARACTERS: usize = 26;

/// What an offer became.
pub(super) enum Leg {
    /// Of WHIP.
    Publication(Publication),
    /// Of WHEP.
    View(View),
}

impl Leg {
    async fn restart(&mut self, sdp: String) -> Result<String, Problem> {
        match self {
            Leg::Publication(publication) => publication.restart(sdp).await,
            Leg::View(view) => view.restart(sdp).await,
        }
    }

    fn candidate(&mut self, candidate: String) {
        match self {
            Leg::Publication(publication) => publication.candidate(candidate),
            Leg::View(view) => view.candidate(candidate),
        }
    }

    /// Whether the room's stream is over with it. Cancel-safe.
    async fn over(&mut self) -> bool {
        match self {
            Leg::Publication(publication) => publication.over().await,
            Leg::View(view) => {
                view.over().await;
                false
            }
        }
    }

    async fn leave(self, stream_over: bool) {
        match self {
            Leg::Publication(publication) => publication.leave(stream_over).await,
            Leg::View(view) => view.leave().await,
        }
    }
}

/// The way to one session.
pub(super) struct Session {
    id: String,
    protocol: Protocol,
    room: Arc<RoomEntry>,
    lock: Lock,
    requests: mpsc::Sender<Request>,
}

/// A PATCH that was carried out.
pub(super) enum Patched {
    /// Its candidates are on their way.
    Trickled,
    /// The new ICE session: the server's fragment, and its entity tag.
    Restarted { fragment: String, tag: String },
}

enum Request {
    Patch { if_match: Option<String>, fragment: Fragment, answer: oneshot::Sender<Result<Patched, Problem>> },
    Delete { answer: oneshot::Sender<()> },
}

/// What a session begins with.
pub(super) struct Beginning {
    pub(super) protocol: Protocol,
    pub(super) room: Arc<RoomEntry>,
    pub(super) caller: Caller,
    pub(super) lock: Lock,
    pub(super) leg: Leg,
    /// The offer, and the peer's name in it.
    pub(super) offer: (String, String),
    /// Subscribed to before the credential was looked at, so that none is missed.
    pub(super) revocations: broadcast::Receiver<Revocation>,
    pub(super) place: Slot,
}

impl Session {
    /// Starts a session's task: the session, and its first entity tag.
    pub(super) fn start(state: &AppState, beginning: Beginning) -> Result<(Arc<Session>, String), Problem> {
        let Beginning { protocol, room, caller, lock, leg, offer: (offer, ufrag), revocations, place } = beginning;
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let (id, tag) = (name()?, tag()?);
        let session = Arc::new(Session { id, protocol, room: Arc::clone(&room), lock, requests });
        let task = Task {
            state: state.clone(),
            listed: Listed { whx: state.whx.clone(), id: session.id.clone() },
            protocol,
            room,
            caller,
            offer,
            ice: Ice::new(tag.clone(), ufrag),
            _place: place,
        };
        state.whx.insert(Arc::clone(&session));
        state.tasks.spawn("whip or whep", task.run(leg, inbox, revocations));
        Ok((session, tag))
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn is_at(&self, protocol: Protocol, room: &str) -> bool {
        self.protocol == protocol && self.room.facts().name.as_str() == room
    }

    pub(super) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Its address: a path, so that it is right behind every proxy.
    pub(super) fn location(&self) -> String {
        format!("/{}/{}/sessions/{}", self.protocol.name(), self.room.facts().name, self.id)
    }

    pub(super) async fn patch(&self, if_match: Option<String>, fragment: Fragment) -> Result<Patched, Problem> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Patch { if_match, fragment, answer })?;
        answered.await.unwrap_or_else(|_| Err(Problem::not_found("session")))
    }

    pub(super) async fn delete(&self) -> Result<(), Problem> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Delete { answer })?;
        answered.await.map_err(|_| Problem::not_found("session"))
    }

    fn ask(&self, request: Request) -> Result<(), Problem> {
        self.requests.try_send(request).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                Problem::new(Code::Unavailable, "Earlier requests of this session are not answered yet.")
            }
            mpsc::error::TrySendError::Closed(_) => Problem::not_found("session"),
        })
    }
}

/// Takes the session out of the list however its task ends.
struct Listed {
    whx: Whx,
    id: String,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.whx.remove(&self.id);
    }
}

struct Task {
    state: AppState,
    listed: Listed,
    protocol: Protocol,
    room: Arc<RoomEntry>,
    caller: Caller,
    /// What was offered last, with the candidates of then.
    offer: String,
    ice: Ice,
    _place: Slot,
}

impl Task {
    async fn run(
        mut self,
        mut leg: Leg,
        mut inbox: mpsc::Receiver<Request>,
        mut revocations: broadcast::Receiver<Revocation>,
    ) {
        let mut stopping = std::pin::pin!(self.state.tasks.stopping());
        let mut recheck = tokio::time::interval(RECHECK_INTERVAL);
        let mut deleted = None;
        let stream_over = loop {
            // Cancel-safe: channels, an interval, a cancellation; `over` says so itself.
            tokio::select! {
                Some(request) = inbox.recv() => match request {
                    Request::Patch { if_match, fragment, answer } => {
                        let outcome = self.patch(&mut leg, if_match.as_deref(), fragment).await;
                        // The client may have gone.
                        let _ = answer.send(outcome);
                    }
                    Request::Delete { answer } => {
                        deleted = Some(answer);
                        break false;
                    }
                },
                stream_over = leg.over() => break stream_over,
                revocation = revocations.recv() => match revocation {
                    Ok(revocation) if self.caller.relies_on(&revocation) => break false,
                    Ok(_) => {}
                    // Some were missed: whoever has a credential comes back with it and is judged anew.
                    Err(RecvError::Lagged(_)) if self.caller.is_anonymous() => {}
                    Err(RecvError::Lagged(_) | RecvError::Closed) => break false,
                },
                _ = recheck.tick() => if !self.may_go_on() { break false },
                () = &mut stopping => break true,
            }
        };
        // From here on its address is nobody's.
        let Task { listed, .. } = self;
        drop((listed, inbox));
        leg.leave(stream_over).await;
        if let Some(answer) = deleted {
            let _ = answer.send(());
        }
    }

    fn may_go_on(&self) -> bool {
        let facts = RoomFacts::from(&*self.room.facts());
        let action = match self.protocol {
            Protocol::Whip => Action::Publish,
            Protocol::Whep => Action::WatchRoom,
        };
        let is_current = self.caller.expires_at.is_none_or(|end| self.state.authority.now() < end);
        is_current && !self.room.is_deleted() && authorise(&self.caller, action, Some(&facts)).is_ok()
    }

    async fn patch(&mut self, leg: &mut Leg, if_match: Option<&str>, fragment: Fragment) -> Result<Patched, Problem> {
        let step = self.ice.decide(Instant::now(), if_match, &fragment).map_err(|refusal| match refusal {
            Refusal::NoCondition => {
                Problem::new(Code::PreconditionRequired, "If-Match: the ETag of the ICE session, or * to restart it.")
            }
            Refusal::Stale => Problem::new(Code::PreconditionFailed, "This ICE session was replaced by another."),
            Refusal::TooOften(secs) => {
                Problem::new(Code::TooManyRequests, "ICE was restarted too often.").retry_after_secs(secs)
            }
        })?;
        let Fragment { credentials, candidates, is_last } = fragment;
        let patched = match (step, credentials) {
            (Step::Restart, Some(credentials)) => self.restart(leg, credentials).await?,
            _ => Patched::Trickled,
        };
        candidates.into_iter().for_each(|candidate| leg.candidate(candidate));
        if is_last {
            leg.candidate(String::new());
        }
        Ok(patched)
    }

    /// A restart that fails leaves everything as it was (RFC 9725 §4.3.3).
    async fn restart(&mut self, leg: &mut Leg, credentials: Credentials) -> Result<Patched, Problem> {
        let tag = tag()?;
        let sdp = Offer::restart(&self.offer, &credentials.ufrag, &credentials.password);
        let answer = leg.restart(sdp.clone()).await?;
        let (ufrag, password, candidates) =
            answer_credentials(&answer).ok_or_else(|| Problem::internal("an answer without ICE credentials"))?;
        self.offer = sdp;
        self.ice.restarted(tag, credentials.ufrag);
        let fragment = of_answer(&answer, &ufrag, &password, &candidates);
        Ok(Patched::Restarted { fragment, tag: self.ice.tag().to_owned() })
    }
}

fn name() -> Result<String, Problem> {
    random_text(NAME_CHARACTERS).map(|text| text.to_string()).map_err(Problem::internal)
}

fn tag() -> Result<String, Problem> {
    Ok(format!("\"{}\"", name()?))
}

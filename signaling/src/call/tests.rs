//! Timelines of one call, and a model of two calls with random clients around them.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use telstar_units::{RoomName, WallTime};

use super::*;
use crate::limits::JSON_DEPTH_MAX;
use crate::wire::call::{LeaveReason, MediaFault, Mode, Quality};
use crate::wire::{CallRequest, Parsed, parse};

mod ingests;
mod model;

/// A call, whoever is in it, and what came out since the last look.
struct Rig {
    now: Instant,
    ids: SequentialIds,
    call: Call,
    tickets: u64,
    replies: Vec<(u64, Result<CallReply, ErrorCode>)>,
    events: Vec<(u64, Value)>,
    media: Vec<MediaCommand>,
    facts: Vec<&'static str>,
    overs: Vec<(u64, LeaveReason)>,
}

fn room(mode: Mode) -> CallRoom {
    CallRoom { name: RoomName::parse("demo").expect("a name"), title: "Demo".into(), mode }
}

fn joining(identity: &str, grants: CallGrants) -> Joining {
    Joining {
        identity: identity.into(),
        name: Default::default(),
        metadata: Default::default(),
        kind: Default::default(),
        grants,
        auto_subscribe: true,
        joined_at: WallTime(0),
        ingest: None,
    }
}

fn request(mut value: Value) -> CallRequest {
    value["id"] = json!(1);
    match parse(&value.to_string(), JSON_DEPTH_MAX) {
        Ok(Parsed::Call(_, request)) => request,
        _ => panic!("not a request of a call: {value}"),
    }
}

fn member() -> CallGrants {
    CallGrants { admin: false, ..CallGrants::ALL }
}

impl Rig {
    fn new(mode: Mode) -> Rig {
        Rig {
            now: Instant::now(),
            ids: SequentialIds::default(),
            call: Call::new(CallConfig::default(), room(mode), 7),
            tickets: 0,
            replies: Vec::new(),
            events: Vec::new(),
            media: Vec::new(),
            facts: Vec::new(),
            overs: Vec::new(),
        }
    }

    fn drain(&mut self) {
        while let Some(effect) = self.call.poll_effect() {
            match effect {
                CallEffect::Reply { connection, reply, .. } => self.replies.push((connection.0, reply)),
                CallEffect::Event { to, event } => {
                    let value: Value = serde_json::from_str(&format!("{{{}", event.tail)).expect("JSON");
                    self.events.extend(to.iter().map(|to| (to.0, value.clone())));
                }
                CallEffect::Over { connection, reason } => self.overs.push((connection.0, reason)),
                CallEffect::Media(command) => self.media.push(command),
                CallEffect::Fact(fact) => self.facts.push(match fact {
                    Fact::Started => "started",
                    Fact::Ended => "ended",
                    Fact::Joined(_) => "joined",
                    Fact::Left { .. } => "left",
                    Fact::Published { .. } => "published",
                    Fact::Unpublished { .. } => "unpublished",
                }),
            }
        }
    }

    fn join(&mut self, connection: u64, identity: &str, grants: CallGrants) {
        self.tickets += 1;
        let joining = joining(identity, grants);
        self.call.handle_join(self.now, &mut self.ids, ConnectionId(connection), Ticket(self.tickets), joining);
        self.drain();
    }

    fn ask(&mut self, connection: u64, value: Value) {
        self.tickets += 1;
        let (ticket, request) = (Ticket(self.tickets), request(value));
        self.call.handle_request(self.now, &mut self.ids, ConnectionId(connection), ticket, request);
        self.drain();
    }

    fn tell(&mut self, event: MediaEvent) {
        self.call.handle_media(self.now, event);
        self.drain();
    }

    /// The one reply since the last look: `ok` or the error's code.
    fn verdict(&mut self) -> String {
        let [(_, reply)] = &std::mem::take(&mut self.replies)[..] else { panic!("one reply") };
        match reply {
            Ok(_) => "ok".into(),
            Err(code) => serde_json::to_value(code).expect("a text").as_str().expect("a text").to_owned(),
        }
    }

    fn events_of(&mut self, connection: u64) -> Vec<Value> {
        let (its, others) = std::mem::take(&mut self.events).into_iter().partition(|(to, _)| *to == connection);
        self.events = others;
        its.into_iter().map(|(_, event)| event).collect()
    }

    fn kinds_of(&mut self, connection: u64) -> Vec<String> {
        self.events_of(connection).iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
    }

    /// Publishes one track and answers for the media thread.
    fn publish(&mut self, connection: u64, kind: &str) -> TrackId {
        let source = if kind == "audio" { "microphone" } else { "camera" };
        self.ask(
            connection,
            json!({ "type": "publish", "sdp": "o", "tracks": [{ "mid": "0", "kind": kind, "source": source }] }),
        );
        let (peer, ticket, track) = self.offered();
        self.tell(MediaEvent::Answer { peer, ticket, sdp: "a".into() });
        track
    }

    fn offered(&mut self) -> (PeerNumber, u64, TrackId) {
        let offer = self.media.iter().rev().find_map(|command| match command {
            MediaCommand::Offer { peer, ticket, tracks, .. } => Some((*peer, *ticket, tracks[0].track)),
            _ => None,
        });
        offer.expect("an offer went to the media thread")
    }

    fn forget(&mut self) {
        self.replies.clear();
        self.events.clear();
        self.media.clear();
        self.facts.clear();
        self.overs.clear();
    }
}

#[test]
fn a_newcomer_gets_the_state_and_the_others_hear_of_it() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "alice", member());
    rig.join(2, "bob", member());
    let (_, Ok(CallReply::Joined { version, state, .. })) = &rig.replies[1] else { panic!("bob joined") };
    assert_eq!((version.epoch, version.offset), (7, 2));
    let state: Value = serde_json::from_str(state.get()).expect("JSON");
    assert_eq!(state["participants"].as_array().map(Vec::len), Some(2), "oneself included");
    let events = rig.events_of(1);
    assert_eq!((&events[0]["type"], &events[0]["offset"]), (&json!("participant-joined"), &json!(2)));
    assert!(rig.events_of(2).is_empty(), "its own coming is in its state");
    assert_eq!(rig.facts, ["started", "joined", "joined"]);
}

#[test]
fn a_track_exists_when_its_offer_was_answered() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "alice", member());
    rig.join(2, "bob", member());
    rig.forget();
    let offer =
        json!({ "type": "publish", "sdp": "o", "tracks": [{ "mid": "0", "kind": "video", "source": "camera" }] });
    rig.ask(1, offer.clone());
    assert!(rig.replies.is_empty() && rig.events.is_empty());
    let (peer, ticket, _) = rig.offered();
    rig.tell(MediaEvent::Rejected { peer, ticket: Some(ticket), fault: MediaFault::NoCodec });
    assert_eq!(rig.verdict(), "no_codec");
    assert!(rig.events.is_empty());

    rig.ask(1, offer);
    let (peer, ticket, _) = rig.offered();
    rig.tell(MediaEvent::Answer { peer, ticket, sdp: "a".into() });
    rig.tell(MediaEvent::Answer { peer, ticket, sdp: "again".into() });
    assert_eq!(rig.verdict(), "ok");
    assert_eq!(rig.kinds_of(2), ["track-published"]);
    rig.tell(MediaEvent::Failed { peer, fault: MediaFault::NoPath });
    assert_eq!(rig.kinds_of(2), ["track-unpublished"]);
    assert_eq!(rig.kinds_of(1), ["track-published", "track-unpublished", "media-failed"]);
}

#[test]
fn an_offer_that_is_never_answered_is_given_up() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "alice", member());
    rig.forget();
    rig.ask(
        1,
        json!({ "type": "publish", "sdp": "o", "tracks": [{ "mid": "0", "kind": "audio", "source": "microphone" }] }),
    );
    let (peer, ticket, track) = rig.offered();
    rig.now = rig.call.poll_timeout().expect("a deadline");
    rig.call.handle_timeout(rig.now);
    rig.drain();
    assert_eq!(rig.verdict(), "unavailable");
    assert!(rig.media.contains(&MediaCommand::Unpublish { track }));
    rig.tell(MediaEvent::Answer { peer, ticket, sdp: "late".into() });
    assert!(rig.replies.is_empty() && rig.call.participants()[0].tracks.is_empty());
    assert_eq!(rig.call.poll_timeout(), None);
}

#[test]
fn the_newcomer_of_one_identity_wins_and_ping_pong_ends() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "bob", member());
    rig.join(2, "alice", member());
    rig.forget();
    rig.join(3, "alice", member());
    assert_eq!(rig.verdict(), "ok");
    let left = rig.events_of(2);
    assert_eq!((&left[0]["type"], &left[0]["reason"]), (&json!("left"), &json!("duplicate-identity")));
    assert_eq!(left.len(), 1, "nothing after it");
    assert_eq!(rig.kinds_of(1), ["participant-left", "participant-joined"]);
    rig.ask(2, json!({ "type": "report", "enabled": true }));
    assert_eq!(rig.verdict(), "not_joined");
    let refused = (4..40).filter(|connection| {
        rig.join(*connection, "alice", member());
        rig.verdict() == "rate_limited"
    });
    assert_eq!(refused.count(), 36 - (JOINS_PER_IDENTITY_MAX as usize - 2));
    assert!(!rig.facts.contains(&"ended") && !rig.facts.contains(&"started"));
}

#[test]
fn a_moderator_mutes_and_removes_but_never_unmutes() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "alice", member());
    rig.join(2, "admin", CallGrants::ALL);
    rig.join(3, "bob", member());
    let track = rig.publish(1, "audio");
    rig.forget();
    let mute = |muted| json!({ "type": "mute", "track": format!("t{track}"), "muted": muted });
    for (who, muted, expect) in
        [(3, true, "forbidden"), (2, true, "ok"), (2, false, "forbidden"), (1, false, "ok"), (1, true, "ok")]
    {
        rig.ask(who, mute(muted));
        assert_eq!(rig.verdict(), expect, "{who} {muted}");
    }
    let by: Vec<Value> = rig.events_of(3).iter().map(|event| event["track"]["muted_by"].clone()).collect();
    assert_eq!(by, [json!("moderator"), json!(null), json!("self")]);

    rig.ask(3, json!({ "type": "remove", "participant": "p1" }));
    assert_eq!(rig.verdict(), "forbidden");
    rig.ask(2, json!({ "type": "remove", "participant": "p1" }));
    assert_eq!(rig.verdict(), "ok");
    assert_eq!(rig.events_of(1).last().map(|event| event["reason"].clone()), Some(json!("removed")));
    assert_eq!(rig.kinds_of(3), ["participant-left"]);
    assert!(rig.facts.contains(&"unpublished"));
}

#[test]
fn what_grants_no_longer_allow_ends() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "alice", member());
    rig.join(2, "admin", CallGrants::ALL);
    rig.publish(1, "video");
    rig.forget();
    rig.ask(1, json!({ "type": "update-participant", "grants": ["admin"] }));
    assert_eq!(rig.verdict(), "forbidden");
    rig.ask(2, json!({ "type": "update-participant", "participant": "p1", "grants": [] }));
    assert_eq!(rig.verdict(), "ok");
    assert_eq!(rig.kinds_of(1), ["track-unpublished", "grants", "participant-updated"]);
    assert_eq!(rig.media.len(), 2, "both peer connections are removed");
    for (value, expect) in [
        (json!({ "type": "publish", "sdp": "o" }), "forbidden"),
        (json!({ "type": "send-data", "data": 1 }), "forbidden"),
        (json!({ "type": "restart-ice" }), "forbidden"),
        (json!({ "type": "update-subscription", "track": "t1" }), "forbidden"),
        (json!({ "type": "update-participant", "name": "A" }), "ok"),
    ] {
        rig.ask(1, value.clone());
        assert_eq!(rig.verdict(), expect, "{value}");
    }
    rig.forget();
    rig.call.handle_grants(&mut rig.ids, ConnectionId(1), None);
    rig.drain();
    assert_eq!(rig.events_of(1)[0]["reason"], "credential-ended");
}

#[test]
fn a_message_reaches_whom_it_names_and_nobody_else() {
    let mut rig = Rig::new(Mode::Sfu);
    for connection in 1..=3 {
        rig.join(connection, &connection.to_string(), member());
    }
    rig.forget();
    rig.ask(1, json!({ "type": "send-data", "to": ["p2", "p2", "p99"], "label": "chat", "data": { "x": 1.50 } }));
    let told = rig.events_of(2);
    assert_eq!(
        told,
        [json!({ "topic": "call:demo", "type": "data", "from": "p1", "label": "chat", "data": { "x": 1.5 } })]
    );
    assert!(rig.events.is_empty());
    rig.ask(1, json!({ "type": "send-data", "data": null }));
    assert_eq!((rig.kinds_of(1).len(), rig.kinds_of(2).len(), rig.kinds_of(3).len()), (0, 1, 1));
    rig.replies.clear();
    rig.ask(1, json!({ "type": "send-data", "to": ["p99"], "data": 1 }));
    assert_eq!(rig.verdict(), "not_found");
    let long = "x".repeat(16_000);
    let delivered = (0..1_000).filter(|_| {
        rig.ask(1, json!({ "type": "send-data", "data": long }));
        rig.verdict() == "ok"
    });
    let delivered = delivered.count();
    assert!((200..300).contains(&delivered), "8 MiB at once: {delivered}");
}

#[test]
fn media_news_are_told_to_whom_they_concern() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "alice", member());
    rig.join(2, "bob", member());
    let track = rig.publish(1, "video");
    let (publisher, ..) = rig.offered();
    let subscriber = rig.call.members[&ParticipantId(2)].subscribe.expect("bob may subscribe");
    rig.forget();
    rig.tell(MediaEvent::Track { track, codec: "VP8".into() });
    rig.tell(MediaEvent::Track { track, codec: "VP8".into() });
    assert_eq!(rig.events_of(2).len(), 1);
    let slot = |track| MediaSlot { mid: "0".into(), track, flow: crate::wire::call::Flow::Active, layer: Some(1) };
    rig.tell(MediaEvent::Slots {
        peer: subscriber,
        version: 1,
        slots: vec![slot(Some(track)), slot(Some(TrackId(99))), slot(None)],
    });
    let slots = rig.events_of(2)[0]["slots"].clone();
    assert_eq!((&slots[0]["track"], &slots[0]["participant"]), (&json!(format!("t{track}")), &json!("p1")));
    assert_eq!((&slots[1]["track"], &slots[2]["participant"]), (&json!(null), &json!(null)));
    rig.events.clear();
    let demand = MediaDemand { track, wanted: true, rids: vec!["l".into()] };
    rig.tell(MediaEvent::Demand { peer: publisher, demands: vec![demand] });
    assert_eq!(rig.events_of(1)[0]["tracks"][0]["rids"], json!(["l"]));
    assert!(rig.events.is_empty());
    rig.tell(MediaEvent::Speakers { speakers: vec![(ParticipantId(1), 20), (ParticipantId(77), 1)] });
    assert_eq!(rig.events_of(2)[0]["speakers"], json!([{ "participant": "p1", "level": 20 }]));
    rig.events.clear();

    rig.tell(MediaEvent::Quality { peer: publisher, quality: Quality::Poor });
    rig.tell(MediaEvent::Quality { peer: subscriber, quality: Quality::Good });
    assert!(rig.events.is_empty(), "collected");
    rig.now = rig.call.poll_timeout().expect("it is due");
    rig.call.handle_timeout(rig.now);
    rig.drain();
    assert_eq!(rig.events_of(1)[0]["participants"].as_array().map(Vec::len), Some(2));
    rig.join(3, "carol", member());
    assert_eq!(rig.kinds_of(3), ["quality"], "a newcomer learns what is known");
}

#[test]
fn a_p2p_room_only_relays_and_holds_four() {
    let mut rig = Rig::new(Mode::P2p);
    for connection in 1..=4 {
        rig.join(connection, &connection.to_string(), member());
        assert_eq!(rig.verdict(), "ok");
    }
    rig.join(5, "5", member());
    assert_eq!(rig.verdict(), "room_full");
    assert!(rig.media.is_empty());
    rig.forget();
    for (value, expect) in [
        (json!({ "type": "publish", "sdp": "o" }), "wrong_mode"),
        (json!({ "type": "restart-ice" }), "wrong_mode"),
        (json!({ "type": "signal", "to": "p2" }), "bad_request"),
        (json!({ "type": "signal", "to": "p1", "candidate": { "candidate": "" } }), "bad_request"),
        (json!({ "type": "signal", "to": "p9", "candidate": { "candidate": "" } }), "not_found"),
        (json!({ "type": "signal", "to": "p2", "description": { "type": "offer", "sdp": "v=0" } }), "ok"),
        (json!({ "type": "send-data", "data": 1 }), "ok"),
    ] {
        rig.ask(1, value.clone());
        assert_eq!(rig.verdict(), expect, "{value}");
    }
    assert_eq!(rig.kinds_of(2), ["signal", "data"]);
    assert_eq!(rig.kinds_of(3), ["data"]);
    let mut sfu = Rig::new(Mode::Sfu);
    sfu.join(1, "a", member());
    sfu.forget();
    sfu.ask(1, json!({ "type": "signal", "to": "p1", "candidate": { "candidate": "" } }));
    assert_eq!(sfu.verdict(), "wrong_mode");
}

#[test]
fn tracks_and_offers_are_limited() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "alice", member());
    rig.forget();
    let tracks = |from: usize, count: usize| {
        let track = |mid: usize| json!({ "mid": mid.to_string(), "kind": "audio", "source": "other" });
        json!({ "type": "publish", "sdp": "o", "tracks": (from..from + count).map(track).collect::<Vec<_>>() })
    };
    rig.ask(
        1,
        json!({ "type": "publish", "sdp": "o", "tracks": [
        { "mid": "0", "kind": "audio", "source": "other" }, { "mid": "0", "kind": "audio", "source": "other" }] }),
    );
    assert_eq!(rig.verdict(), "bad_request");
    rig.ask(1, tracks(0, 10));
    rig.ask(1, tracks(10, 7));
    assert_eq!(rig.verdict(), "too_many_tracks", "those that wait count");
    for _ in 1..OFFERS_MAX {
        rig.ask(1, tracks(0, 0));
    }
    rig.ask(1, tracks(0, 0));
    assert_eq!(rig.verdict(), "busy");
    rig.call.handle_gone(ConnectionId(1), LeaveReason::Timeout);
    rig.drain();
    assert_eq!(rig.replies.len(), OFFERS_MAX, "each has its reply");
    assert_eq!(rig.facts, ["left", "ended"]);
}

#[test]
fn missed_changes_are_told_while_they_are_kept() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "alice", member());
    rig.join(2, "bob", member());
    let position = rig.call.version();
    for away in [true, false, true] {
        rig.call.handle_presence(ConnectionId(2), away);
    }
    rig.call.handle_presence(ConnectionId(2), true);
    let missed = rig.call.events_since(position).expect("kept");
    let offsets: Vec<u64> = missed.iter().filter_map(CallEvent::version).map(|version| version.offset).collect();
    assert_eq!(offsets, [3, 4, 5]);
    assert!(rig.call.events_since(Version { epoch: 6, offset: 5 }).is_none());
    assert!(rig.call.events_since(Version { epoch: 7, offset: 6 }).is_none());
    for number in 0..LOG_EVENTS_MAX {
        rig.call.handle_presence(ConnectionId(1), number % 2 == 0);
    }
    assert!(rig.call.events_since(position).is_none());
    rig.drain();
}

#[test]
fn a_room_that_closes_tells_everybody_once() {
    let mut rig = Rig::new(Mode::Sfu);
    for connection in 1..=3 {
        rig.join(connection, &connection.to_string(), member());
    }
    rig.forget();
    rig.call.handle_close(LeaveReason::RoomDeleted);
    rig.call.handle_close(LeaveReason::RoomDeleted);
    rig.drain();
    for connection in 1..=3 {
        assert_eq!(rig.kinds_of(connection), ["left"]);
    }
    assert_eq!(rig.facts, ["left", "left", "left", "ended"]);
    assert!(rig.call.is_empty());
}

#[test]
fn a_moderator_over_rest_needs_no_connection() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "alice", member());
    let track = rig.publish(1, "audio");
    rig.forget();
    let (alice, nobody) = (ParticipantId(1), ParticipantId(9));
    assert!(rig.call.admin_mute(alice, track).is_ok_and(|track| track.muted));
    assert!(rig.call.admin_mute(nobody, track).is_err());
    let change = crate::wire::ParticipantChange { grants: Some(Vec::new()), ..Default::default() };
    let changed = rig.call.admin_update(&mut rig.ids, alice, change.clone());
    assert!(changed.is_ok_and(|participant| participant.info.grants.is_empty() && participant.tracks.is_empty()));
    assert!(rig.call.admin_update(&mut rig.ids, nobody, change).is_err());
    assert_eq!(rig.call.admin_remove(nobody), Err(ErrorCode::NotFound));
    assert_eq!(rig.call.admin_remove(alice), Ok(()));
    rig.drain();
    assert_eq!(rig.events_of(1).last().map(|event| event["reason"].clone()), Some(json!("removed")));
    rig.now += Duration::from_secs(1);
}

//! Every kind of message of a call that the server sends, as the manual shows it.

use serde_json::{Value, json, value::to_raw_value};
use telstar_units::{ParticipantId, TrackId};

use super::call::{
    Bandwidth, CallGrant, CallState, Demand, Flow, IceServer, LeaveReason, MediaConnection, MediaFault, Mode, MutedBy,
    ParticipantKind, ParticipantQuality, Presence, Quality, Session, Slot, Speaker, TrackKind, TrackSource,
};
use super::*;

const P1: ParticipantRef = ParticipantRef(ParticipantId(1));
const P2: ParticipantRef = ParticipantRef(ParticipantId(2));
const T3: TrackRef = TrackRef(TrackId(3));

fn info(id: ParticipantRef, name: &str, grants: &[CallGrant]) -> ParticipantInfo {
    ParticipantInfo {
        id,
        identity: name.to_lowercase(),
        name: Name::parse(name).expect("a name"),
        kind: ParticipantKind::Browser,
        metadata: Metadata::default(),
        grants: grants.to_vec(),
        state: Presence::Active,
        joined_at: "2026-01-31T12:00:00.000Z".into(),
    }
}

fn alice() -> Participant {
    let grants = [CallGrant::Publish, CallGrant::Subscribe, CallGrant::Chat, CallGrant::Admin];
    Participant { info: info(P1, "Alice", &grants), tracks: vec![] }
}

fn bob() -> Participant {
    let grants = [CallGrant::Publish, CallGrant::Subscribe, CallGrant::Chat];
    Participant { info: info(P2, "Bob", &grants), tracks: vec![] }
}

fn camera() -> Track {
    let layer = |rid: &str, width, height, bitrate_bps| Layer {
        rid: Mid::parse(rid.into()).expect("short"),
        width,
        height,
        frame_rate: 30,
        bitrate_bps,
    };
    Track {
        id: T3,
        kind: TrackKind::Video,
        source: TrackSource::Camera,
        name: Name::default(),
        muted: false,
        muted_by: None,
        codec: None,
        layers: vec![layer("l", 320, 180, 150_000), layer("m", 640, 360, 500_000), layer("h", 1280, 720, 1_700_000)],
    }
}

fn replies() -> Vec<String> {
    let id = RequestId::Number(2.into());
    let secret = |text: &str| Secret::parse(text.into()).expect("short");
    let session = |word| Session { id: secret("cs_1"), secret: secret(word), resume_secs: 40 };
    let state =
        CallState { name: "demo".into(), title: "Demo".into(), mode: Mode::Sfu, participants: vec![alice(), bob()] };
    let state = to_raw_value(&state).expect("JSON");
    let ice_servers = [IceServer { urls: vec!["stun:example.org:3478".into()], username: None, credential: None }];
    let unknown = RequestId::Number(9.into());
    let replies = [
        Reply::Joined {
            re: &id,
            ok: true,
            topic: "call:demo",
            offset: 4,
            epoch: 1_769_860_800,
            participant: P2,
            session: &session("first"),
            ice_servers: &ice_servers,
            state: &state,
        },
        Reply::Published {
            re: &id,
            ok: true,
            sdp: "v=0\r\n",
            tracks: vec![PublishedMid { mid: "0".into(), track: T3 }],
        },
        Reply::Resumed { re: &id, ok: true, session: &session("second"), unknown: vec![&unknown] },
        Reply::Error { re: &id, ok: false, error: ErrorCode::Gone.into() },
    ];
    replies.iter().map(Reply::to_text).collect()
}

/// What has an offset, and what has none.
fn events() -> (Vec<Value>, Vec<Value>) {
    let value = |kind: CallEventKind<'_>| serde_json::to_value(kind).expect("JSON");
    let track = camera();
    let away = ParticipantInfo { state: Presence::Away, ..bob().info };
    let muted = Track { muted: true, muted_by: Some(MutedBy::Moderator), codec: Some("VP8".into()), ..camera() };
    let changes = vec![
        value(CallEventKind::ParticipantJoined { participant: &bob() }),
        value(CallEventKind::ParticipantUpdated { participant: &away }),
        value(CallEventKind::ParticipantLeft { participant: P2, reason: LeaveReason::Timeout }),
        value(CallEventKind::TrackPublished { participant: P2, track: &track }),
        value(CallEventKind::TrackUpdated { participant: P2, track: &muted }),
        value(CallEventKind::TrackUnpublished { participant: P2, track: T3 }),
    ];
    let slot = |mid: &str, track: Option<TrackRef>, flow, layer| Slot {
        mid: mid.into(),
        track,
        participant: track.map(|_| P2),
        flow,
        layer,
    };
    let slots = [slot("0", Some(T3), Flow::Active, Some(2)), slot("1", None, Flow::Paused, None)];
    let label = Label::parse("chat".into()).expect("short");
    let data = to_raw_value(&json!({ "text": "hello" })).expect("JSON");
    let bandwidth = Bandwidth {
        estimate_bps: 2_400_000,
        allocated_bps: 1_850_000,
        sent_bps: 1_790_000,
        round_trip_ms: Some(24.5),
        loss: Some(0.0),
    };
    let sdp = Sdp::parse("v=0\r\n".into()).expect("short");
    let description = Description { kind: DescriptionKind::Offer, sdp };
    let moment = vec![
        value(CallEventKind::Offer { version: 1, sdp: "v=0\r\n" }),
        value(CallEventKind::Candidate { connection: MediaConnection::Subscribe, candidate: "" }),
        value(CallEventKind::Slots { version: 3, slots: &slots }),
        value(CallEventKind::Demand {
            tracks: &[Demand { track: T3, wanted: true, rids: vec!["l".into(), "m".into()] }],
        }),
        value(CallEventKind::Speakers { speakers: &[Speaker { participant: P1, level: 24 }] }),
        value(CallEventKind::Quality {
            participants: &[ParticipantQuality { participant: P2, quality: Quality::Poor }],
        }),
        value(CallEventKind::Data { from: Some(P1), label: Some(&label), data: &data }),
        value(CallEventKind::Data { from: None, label: None, data: &data }),
        value(CallEventKind::Bandwidth(bandwidth)),
        value(CallEventKind::MediaFailed { connection: MediaConnection::Publish, reason: MediaFault::NoPath }),
        value(CallEventKind::Signal { from: P1, description: Some(&description), candidate: None }),
        value(CallEventKind::Grants { grants: &[CallGrant::Subscribe, CallGrant::Chat] }),
        value(CallEventKind::Left { reason: LeaveReason::DuplicateIdentity }),
    ];
    (changes, moment)
}

pub(super) fn messages() -> Vec<Value> {
    let mut messages: Vec<Value> =
        replies().iter().map(|text| serde_json::from_str(text).expect("what we send is JSON")).collect();
    let (changes, moment) = events();
    for (index, mut change) in changes.into_iter().enumerate() {
        change["offset"] = json!(index + 5);
        change["epoch"] = json!(1_769_860_800);
        messages.push(change);
    }
    messages.extend(moment);
    for event in messages.iter_mut().filter(|message| message.get("re").is_none()) {
        event["seq"] = json!(1);
        event["topic"] = json!("call:demo");
    }
    messages
}

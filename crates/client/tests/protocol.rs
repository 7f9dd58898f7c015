//! The client's wire types against the examples of `docs/protocol.md`, each of which the server really reads or writes.

use serde_json::Value;
use telstar_client::wire::{
    Event, Joined, Kind, Layer, NewTrack, Participant, Published, Request, Session, Source, Subscription,
};
use telstar_client::{Direction, Track};

/// The examples of the chapter about calls.
fn examples() -> Vec<Value> {
    let manual = include_str!("../../../docs/protocol.md");
    let calls = &manual[manual.find("\n## Calls").expect("there is a chapter about calls")..];
    let blocks = calls.split("```json\n").skip(1).map(|rest| rest.split("```").next().expect("a block has an end"));
    let examples: Vec<Value> = blocks.map(|block| serde_json::from_str(block).expect("an example is JSON")).collect();
    assert!(examples.len() > 30, "{} examples", examples.len());
    examples
}

#[test]
fn every_event_of_a_call_is_understood() {
    // Peer-to-peer mode is not for this client.
    let not_ours = ["signal"];
    for example in examples().iter().filter(|example| example.get("seq").is_some() && example.get("topic").is_some()) {
        let kind = example["type"].as_str().expect("a type");
        let event: Event = serde_json::from_value(example.clone()).expect("it is readable");
        assert_eq!(event == Event::Unknown, not_ours.contains(&kind), "{example}");
    }
}

#[test]
fn replies_are_understood() {
    let examples = examples();
    let reply_with = |field: &str| {
        let found = examples.iter().find(|example| example.get("re").is_some() && example.get(field).is_some());
        found.unwrap_or_else(|| panic!("a reply with {field}")).clone()
    };
    let joined: Joined = serde_json::from_value(reply_with("participant")).expect("it is readable");
    assert_eq!((joined.participant.as_str(), joined.session.resume_secs), ("p2", 40));
    assert_eq!(joined.state.participants.len(), 2);
    let published: Published = serde_json::from_value(reply_with("sdp")).expect("it is readable");
    assert_eq!((published.tracks[0].mid.as_str(), published.tracks[0].track.as_str()), ("0", "t3"));
    let resumed = reply_with("unknown");
    serde_json::from_value::<Session>(resumed["session"].clone()).expect("it is readable");
}

#[test]
fn participants_and_tracks_are_read_whole() {
    let examples = examples();
    let event = |kind: &str| examples.iter().find(|example| example["type"] == kind && example["seq"].is_number());
    let joined = &event("participant-joined").expect("an example")["participant"];
    let participant: Participant = serde_json::from_value(joined.clone()).expect("it is readable");
    assert_eq!((participant.identity.as_str(), participant.state.as_str()), ("bob", "active"));
    assert!(participant.grants.contains(&"publish".to_owned()));
    let muted = &event("track-updated").expect("an example")["track"];
    let track: Track = serde_json::from_value(muted.clone()).expect("it is readable");
    assert_eq!((track.kind, track.source, track.layers.len()), (Kind::Video, Source::Camera, 3));
    assert_eq!(
        (track.muted, track.muted_by.as_deref(), track.codec.as_deref()),
        (true, Some("moderator"), Some("VP8"))
    );
}

/// Each request that this client makes has exactly the fields of the manual's example, as far as it sets them.
#[test]
fn requests_are_those_of_the_manual() {
    let layer = Layer { rid: "l".into(), width: 320, height: 180, frame_rate: 30, bitrate_bps: 150_000 };
    let track = NewTrack {
        mid: "0".into(),
        kind: Kind::Video,
        source: Source::Camera,
        name: String::new(),
        muted: false,
        layers: vec![layer],
    };
    let requests = [
        Request::Join {
            room: "demo".into(),
            name: Some("Bob".into()),
            metadata: Some(String::new()),
            kind: "device",
            auto_subscribe: true,
        },
        Request::Leave {},
        Request::Publish { sdp: String::new(), tracks: vec![track] },
        Request::Unpublish { track: "t3".into() },
        Request::Mute { track: "t3".into(), muted: true },
        Request::Candidate { connection: Direction::Publish, candidate: String::new() },
        Request::Answer { version: 1, sdp: String::new() },
        Request::RestartIce {},
        Request::UpdateSubscription { track: "t3".into(), subscription: Subscription::default() },
        Request::UpdateParticipant { participant: Some("p2".into()), name: None, metadata: None, grants: Some(vec![]) },
        Request::Remove { participant: "p2".into() },
        Request::SendData { to: vec!["p2".into()], label: Some("chat".into()), data: Value::Null },
        Request::Report { enabled: true },
        Request::Resume { session: "cs_1".into(), secret: "first".into(), seq: 17, pending: vec![8, 9] },
    ];
    let examples = examples();
    for request in requests {
        let ours = serde_json::to_value(&request).expect("it is JSON");
        let kind = ours["type"].as_str().expect("a type");
        let example = examples.iter().find(|example| example["type"] == kind && example.get("id").is_some());
        let example = example.unwrap_or_else(|| panic!("the manual has no example of {kind}"));
        same_shape(&ours, example, kind);
        assert_eq!(
            ours.as_object().map(|ours| ours.len() + 1),
            example.as_object().map(serde_json::Map::len),
            "{kind}"
        );
    }
}

/// Every field of ours is in the example, and of the same type.
fn same_shape(ours: &Value, example: &Value, at: &str) {
    match (ours, example) {
        (Value::Object(ours), Value::Object(example)) => {
            for (name, value) in ours {
                let other = example.get(name).unwrap_or_else(|| panic!("{at}: the manual has no {name}"));
                same_shape(value, other, &format!("{at}.{name}"));
            }
        }
        (Value::Array(ours), Value::Array(example)) => {
            for value in ours {
                same_shape(value, &example[0], at);
            }
        }
        // `data` is any JSON.
        _ if at.ends_with(".data") => {}
        _ => assert_eq!(std::mem::discriminant(ours), std::mem::discriminant(example), "{at}"),
    }
}

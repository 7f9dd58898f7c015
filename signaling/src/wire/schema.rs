//! Holds `docs/protocol.md` and `docs/protocol.schema.json` against the code. `UPDATE_GOLDEN=1` rewrites the schema.

use std::fs;
use std::path::PathBuf;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json, value::to_raw_value};

use super::*;
use crate::call::{
    DATA_BYTES_BURST, DATA_BYTES_PER_SEC, JOINS_PER_IDENTITY_MAX, JOINS_WINDOW, OFFERS_MAX, P2P_PARTICIPANTS_MAX,
    PARTICIPANTS_MAX,
};
use crate::limits::{self, JSON_DEPTH_MAX};

/// The state of any topic.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "TopicState")]
#[expect(dead_code, clippy::large_enum_variant, reason = "only its schema is used")]
pub(super) enum AnyState {
    Rooms(RoomsState),
    Room(RoomTopicState),
}

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

fn manual() -> String {
    fs::read_to_string(docs("protocol.md")).expect("docs/protocol.md is readable")
}

/// A schema with members that its type does not carry, written in front as JSON objects flatten.
fn with(mut schema: Schema, members: Value) -> Schema {
    let extra = json!({ "type": "object", "properties": members, "required": members.as_object().map(|m| m.keys().collect::<Vec<_>>()) });
    let own = schema.as_value().clone();
    schema = Schema::try_from(json!({ "allOf": [extra, own] })).expect("an object is a schema");
    schema
}

/// The definitions that a generator has made, and a schema that refers to them. Where the other side's definition of the same
/// name is another one (a field that may be absent in a request is always there in an event), this side's is renamed.
fn renamed(schema: Schema, mut own: SchemaGenerator, other: &Map<String, Value>) -> (Value, Map<String, Value>) {
    let definitions = own.take_definitions(true);
    let clash = |(name, schema): &(&String, &Value)| other.get(*name).is_some_and(|theirs| theirs != *schema);
    let clashes: Vec<String> = definitions.iter().filter(clash).map(|(name, _)| name.clone()).collect();
    let mut text = json!([schema, definitions]).to_string();
    for name in &clashes {
        text = text.replace(&format!("\"#/$defs/{name}\""), &format!("\"#/$defs/{name}Request\""));
    }
    let [schema, Value::Object(definitions)] = serde_json::from_str::<[Value; 2]>(&text).expect("it was just written")
    else {
        panic!("definitions are an object")
    };
    let rename = |name: String| if clashes.contains(&name) { format!("{name}Request") } else { name };
    (schema, definitions.into_iter().map(|(name, schema)| (rename(name), schema)).collect())
}

pub(super) fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let reply = generator.subschema_for::<Reply<'static>>();
    let seq = json!({ "type": "integer", "minimum": 1, "description": "Counts this connection's events." });
    let event = with(generator.subschema_for::<EventBody<'static, EventKind<'static>>>(), json!({ "seq": seq }));
    let call_event =
        with(generator.subschema_for::<EventBody<'static, CallEventKind<'static>>>(), json!({ "seq": seq }));
    let mut definitions = generator.take_definitions(true);

    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let id = generator.subschema_for::<RequestId>();
    let request = with(generator.subschema_for::<Request>(), json!({ "id": id }));
    let call_request = with(generator.subschema_for::<CallRequest>(), json!({ "id": id }));
    let request = Schema::try_from(json!({ "anyOf": [request, call_request] })).expect("an object is a schema");
    let (request, requests) = renamed(request, generator, &definitions);

    definitions.extend(requests);
    definitions.insert("ClientMessage".into(), request);
    definitions.insert("ServerMessage".into(), json!({ "anyOf": [reply, event, call_event] }));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SUBPROTOCOL,
        "description": "One text message on /ws. Generated from the code; docs/protocol.md explains it.",
        "oneOf": [{ "$ref": "#/$defs/ClientMessage" }, { "$ref": "#/$defs/ServerMessage" }],
        "$defs": definitions,
    })
}

#[test]
fn the_schema_file_is_the_code() {
    let path = docs("protocol.schema.json");
    let current = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &current).expect("docs/ is writable");
    }
    let written = fs::read_to_string(&path).expect("docs/protocol.schema.json is readable");
    assert!(written == current, "docs/protocol.schema.json is old: UPDATE_GOLDEN=1 cargo test -p telstar-signaling");
}

fn live() -> RoomState {
    RoomState {
        state: LiveState::Live,
        viewers: 3,
        started_at: Some("2026-01-31T12:00:00Z".into()),
        playlist: Some("/live/demo/index.m3u8".into()),
        has_call: false,
        ingest: Some(Ingest {
            protocol: "rtmp".into(),
            encoder: Some("obs-output module".into()),
            tracks: vec![
                IngestTrack::Video {
                    codec: "H.264".into(),
                    rfc6381: "avc1.64001f".into(),
                    width: Some(1280),
                    height: Some(720),
                    frame_rate: Some(30.0),
                    bitrate_bps: Some(2_500_000),
                    keyframe_interval_secs: Some(8.3),
                    b_frames: true,
                },
                IngestTrack::Audio {
                    codec: "AAC".into(),
                    rfc6381: "mp4a.40.2".into(),
                    sample_rate: 48_000,
                    channels: 2,
                    bitrate_bps: Some(160_000),
                },
            ],
            dropped_frames: 0,
        }),
        warnings: vec![Warning::KeyframeInterval { seconds: 8.3 }],
        conversions: vec![Conversion {
            from: "AAC".into(),
            to: "Opus".into(),
            state: ConversionState::Running,
            cpu_percent: 1.4,
            error: None,
        }],
    }
}

/// Every kind of message that the server sends, as the manual shows it.
fn server_messages() -> Vec<Value> {
    let id = RequestId::Number(2.into());
    let room = RoomTopicState { name: "demo".into(), title: "Demo".into(), open: true, live: live() };
    let public = RoomTopicState { live: live().public(), ..room.clone() };
    let owned = Room {
        name: "demo".into(),
        title: "Demo".into(),
        open: true,
        owner: "account:1".into(),
        embed_origins: vec!["https://example.org".into()],
        mode: call::Mode::Sfu,
        created_at: "2026-01-31T11:00:00Z".into(),
        live: live().public(),
    };
    let (admin, public) = (to_raw_value(&room).expect("JSON"), to_raw_value(&public).expect("JSON"));
    let rooms = to_raw_value(&RoomsState { rooms: vec![owned.clone()] }).expect("JSON");
    let owned = to_raw_value(&owned).expect("JSON");
    let replies = [
        Reply::Done { re: &id, ok: true },
        Reply::Authenticated { re: &id, ok: true, identity: Some("account:1") },
        Reply::Error { re: &id, ok: false, error: ErrorCode::NotFound.into() },
        Reply::Subscribed { re: &id, ok: true, topic: "room:demo", offset: 5, epoch: 1_769_860_800, state: &public },
        Reply::Subscribed { re: &id, ok: true, topic: "rooms", offset: 0, epoch: 1_769_860_800, state: &rooms },
    ];
    let event = |seq: u64, topic, kind, position: Option<u64>| {
        let body = EventBody { topic, kind, offset: position, epoch: position.map(|_| 1_769_860_800) };
        format!("{{\"seq\":{seq},{}", body.to_tail())
    };
    let events = [
        event(1, "room:demo", EventKind::State { state: &admin }, Some(6)),
        event(2, "rooms", EventKind::Room { room: &owned }, Some(1)),
        event(3, "rooms", EventKind::RoomDeleted { name: "demo" }, Some(2)),
        event(4, "room:demo", EventKind::Ended, None),
    ];
    let texts = replies.iter().map(Reply::to_text).chain(events);
    let own = texts.map(|text| serde_json::from_str(&text).expect("what we send is JSON"));
    own.chain(call_examples::messages()).collect()
}

/// The fenced JSON blocks of the manual.
fn examples(manual: &str) -> Vec<Value> {
    let blocks = manual.split("```json\n").skip(1).map(|rest| rest.split("```").next().expect("split gives one"));
    blocks.map(|text| serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))).collect()
}

#[test]
fn the_manual_shows_every_message_as_the_code_writes_it() {
    let examples = examples(&manual());
    for message in server_messages() {
        assert!(examples.contains(&message), "docs/protocol.md lacks this example:\n{message:#}");
    }
    let mut seen = Vec::new();
    for example in &examples {
        if example.get("id").is_some() {
            let text = example.to_string();
            assert!(
                matches!(parse(&text, JSON_DEPTH_MAX), Ok(Parsed::Request(..) | Parsed::Call(..))),
                "not a request: {text}"
            );
            seen.push(example["type"].as_str().expect("a request has a type"));
        } else {
            assert!(server_messages().contains(example), "the server never sends this:\n{example:#}");
        }
    }
    for kind in REQUEST_TYPES.into_iter().chain(CALL_REQUEST_TYPES) {
        assert!(seen.contains(&kind), "docs/protocol.md has no example of {kind}");
    }
}

#[test]
fn the_manual_lists_every_code_and_limit() {
    let manual = manual();
    let rows: Vec<&str> = manual.lines().filter(|line| line.starts_with('|')).collect();
    let has_row = |first: &str| rows.iter().any(|row| row.split('|').nth(1).is_some_and(|cell| cell.trim() == first));
    for code in ErrorCode::ALL {
        let text = serde_json::to_value(code).expect("a text");
        let text = text.as_str().expect("codes are texts");
        assert!(has_row(&format!("`{text}`")), "docs/protocol.md lacks the error {text}");
    }
    for code in CloseCode::ALL {
        assert!(has_row(&code.number().to_string()), "docs/protocol.md lacks the close code {}", code.number());
    }
    for (what, value) in [
        ("message", format!("{} bytes", limits::MESSAGE_BYTES_MAX)),
        ("message in a call", format!("{} bytes", limits::CALL_MESSAGE_BYTES_MAX)),
        ("SDP", format!("{} bytes", limits::SDP_BYTES_MAX)),
        ("candidate", format!("{} bytes", limits::CANDIDATE_BYTES_MAX)),
        ("name", format!("{} characters", limits::NAME_CHARS_MAX)),
        ("metadata", format!("{} bytes", limits::METADATA_BYTES_MAX)),
        ("label", format!("{} bytes", limits::LABEL_BYTES_MAX)),
        ("data", format!("{} bytes", limits::DATA_BYTES_MAX)),
        (
            "delivered data of one participant",
            format!("{} bytes a second, {} at once", DATA_BYTES_PER_SEC, DATA_BYTES_BURST),
        ),
        ("receivers in `to`", limits::DATA_RECEIVERS_MAX.to_string()),
        ("tracks of one participant", limits::TRACKS_MAX.to_string()),
        ("layers of one track", limits::LAYERS_MAX.to_string()),
        ("offers that wait", OFFERS_MAX.to_string()),
        ("participants", PARTICIPANTS_MAX.to_string()),
        ("participants of a p2p room", P2P_PARTICIPANTS_MAX.to_string()),
        ("joins of one identity", format!("{} in {} s", JOINS_PER_IDENTITY_MAX, JOINS_WINDOW.as_secs())),
        (
            "`candidate`, `signal`, `send-data`",
            format!("{} a second, {} at once", limits::MESSAGES_PER_SEC, limits::MESSAGES_BURST),
        ),
        ("time to resume", format!("{} s", limits::RESUME_WINDOW.as_secs())),
        ("ids in `pending`", limits::PENDING_MAX.to_string()),
        ("waiting messages in a call", limits::CALL_OUTBOX_MESSAGES_MAX.to_string()),
        ("waiting bytes in a call", format!("{} bytes", limits::CALL_OUTBOX_BYTES_MAX)),
        ("nesting", limits::JSON_DEPTH_MAX.to_string()),
        ("text `id`", format!("{} bytes", limits::REQUEST_ID_BYTES_MAX)),
        ("token", format!("{} bytes", limits::TOKEN_BYTES_MAX)),
        ("subscriptions", limits::SUBSCRIPTIONS_MAX.to_string()),
        ("requests", format!("{} a second, {} at once", limits::REQUESTS_PER_SEC, limits::REQUESTS_BURST)),
        ("requests over the rate in a row", limits::OVERRUNS_MAX.to_string()),
        ("wrong tokens", limits::AUTHENTICATION_FAILURES_MAX.to_string()),
        ("waiting messages", limits::OUTBOX_MESSAGES_MAX.to_string()),
        ("waiting bytes", format!("{} bytes", limits::OUTBOX_BYTES_MAX)),
        ("silence before a ping", format!("{} s", limits::HEARTBEAT_INTERVAL.as_secs())),
        ("silence before the end", format!("{} s", limits::IDLE_TIMEOUT.as_secs())),
        ("a message that cannot be written", format!("{} s", limits::STALL_TIMEOUT.as_secs())),
        ("time between events about one thing", format!("{} ms", limits::PUBLISH_INTERVAL.as_millis())),
    ] {
        let row = format!("| {what} | {value} |");
        assert!(rows.iter().any(|line| line.starts_with(&row)), "docs/protocol.md lacks the row: {row}");
    }
}

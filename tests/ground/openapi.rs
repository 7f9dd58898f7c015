//! The description of the API is true: every documented route answers as documented, and every route is documented.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::support::{Rig, header};

/// Routes of pages and of the description itself: what a browser opens is not part of the API.
const PAGES: &[&str] = &[
    "/",
    "/sign-in",
    "/watch/{room}",
    "/studio/{room}",
    "/embed/watch/{room}",
    "/call/{room}",
    "/embed/call/{room}",
    "/library",
    "/library/{asset}",
    "/embed/vod/{asset}",
    "/docs/problems",
    "/assets/{name}",
    "/client/v1.js",
    "/api/v1/openapi.json",
];

/// What anybody may do without a credential: the rest answers 401, or 404 where existence is not told.
const PUBLIC: &[&str] = &[
    "signIn",
    "readServer",
    "readLiveness",
    "readReadiness",
    // The tests come from this machine, where metrics are open.
    "readMetrics",
    // The room of the walk is open.
    "readRoom",
    "readLivePlaylist",
    "readMediaPlaylist",
    "readIFramePlaylist",
    "readMedia",
    "openSocket",
    // Of an open room; and the address of a session is a secret of its own.
    "watchOverWhep",
    "changePublication",
    "endPublication",
    "changeView",
    "endView",
    // The asset of the walk is open, and nothing of it is made.
    "readAsset",
    "readAssetPlaylist",
    "readAssetMediaPlaylist",
    "readAssetIFramePlaylist",
    "readAssetMedia",
    "readAssetKey",
    "readPoster",
    "readStoryboard",
    "readStoryboardSheet",
    "readSource",
    "readUploadCapabilities",
];

/// A server whose jobs wait, as those of one without a worker do.
async fn rig() -> Rig {
    Rig::start_with(|config| config.transcode.worker = "/nonexistent/telstar-worker".into()).await
}

/// An open asset of its own, and its first job.
async fn asset(rig: &Rig, token: &str) -> (String, String) {
    let created = rig.request(Method::POST, "/api/v1/assets?title=Walk").bearer_auth(token).body("no video").send();
    let made: Value = created.await.expect("answered").json().await.expect("JSON");
    let name = made["asset"].as_str().expect("a name").to_owned();
    let path = format!("/api/v1/assets/{name}");
    let open = rig.request(Method::PATCH, &path).bearer_auth(token).json(&json!({ "open": true })).send().await;
    assert_eq!(open.expect("answered").status(), 200);
    let jobs = rig.request(Method::GET, &format!("{path}/jobs")).bearer_auth(token).send().await.expect("answered");
    let jobs: Value = jobs.json().await.expect("JSON");
    (name, jobs["jobs"][0]["job"].to_string())
}

/// The address of an upload of three bytes.
async fn upload(rig: &Rig, token: &str) -> String {
    let created = rig.request(Method::POST, "/api/v1/uploads").bearer_auth(token).header("tus-resumable", "1.0.0");
    header(&created.header("upload-length", "3").send().await.expect("answered"), "location")
}

fn description() -> Value {
    serde_json::to_value(telstar::api::description()).expect("the description is JSON")
}

/// Every documented operation as method, path and operation.
fn operations(description: &Value) -> Vec<(Method, String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in description["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("a path item") {
            let method = method.to_uppercase().parse().expect("a method");
            operations.push((method, path.clone(), operation.clone()));
        }
    }
    operations
}

fn id(operation: &Value) -> &str {
    operation["operationId"].as_str().expect("every operation has an id")
}

/// A request that a documented operation takes; deleting comes with a thing of its own to delete.
async fn request(rig: &Rig, token: &str, method: &Method, path: &str, operation: &Value) -> RequestBuilder {
    let room = match id(operation) {
        "deleteRoom" => "to-delete",
        _ => "demo",
    };
    let created = |path: &str, body: Value| rig.request(Method::POST, path).bearer_auth(token).json(&body).send();
    let mut key = Value::Null;
    match id(operation) {
        "deleteRoom" => drop(created("/api/v1/rooms", json!({ "title": "To delete" })).await.expect("answered")),
        "revokeInvite" | "revokeApiKey" | "deleteWebhook" | "listDeliveries" => {
            let (path, body) = match id(operation) {
                "revokeInvite" => ("/api/v1/rooms/demo/invites", json!({})),
                "revokeApiKey" => ("/api/v1/api-keys", json!({})),
                _ => ("/api/v1/webhooks", json!({ "url": "https://app.example/hook" })),
            };
            let made = created(path, body).await.expect("answered");
            key = made.json::<Value>().await.expect("JSON")["id"].clone();
        }
        "revokeStreamKey" => {
            let made = created("/api/v1/rooms/demo/stream-keys", json!({})).await.expect("answered");
            key = made.json::<Value>().await.expect("JSON")["id"].clone();
        }
        _ => {}
    }
    let number = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
    let path = path.replace("{room}", room).replace("{id}", &number).replace("{key}", &number);
    let path = path.replace("{participant}", "p1").replace("{track}", "t1");
    let path = path.replace("{rendition}", "video").replace("{epoch}", "1").replace("{file}", "init-0.mp4");
    let mut path = path;
    if path.contains("{asset}") || path.contains("{job}") {
        let (asset, job) = asset(rig, token).await;
        if id(operation) == "createAttempt" {
            let cancelled = rig.request(Method::DELETE, &format!("/api/v1/jobs/{job}")).bearer_auth(token).send().await;
            assert_eq!(cancelled.expect("answered").status(), 204);
        }
        path = path.replace("{asset}", &asset).replace("{job}", &job);
    }
    if path.contains("/uploads/{upload}") {
        path = upload(rig, token).await;
    }
    let request = rig.request(method.clone(), &path);
    let tus = |request: RequestBuilder| request.header("tus-resumable", "1.0.0");
    match id(operation) {
        "createUpload" => tus(request).header("upload-length", "3"),
        "readUpload" | "deleteUpload" => tus(request),
        "appendToUpload" => tus(request)
            .header("upload-offset", "0")
            .header("content-type", "application/offset+octet-stream")
            .body("abc"),
        "createAsset" => request.body("no video"),
        "changeAsset" => request.json(&json!({ "title": "Changed" })),
        "createJob" => request.json(&json!({ "rendition": "v720" })),
        "createRoom" => request.json(&json!({ "title": "From the walk" })),
        "changeRoom" => request.json(&json!({ "title": "Changed" })),
        "createStreamKey" => request.json(&json!({ "label": "From the walk" })),
        "createToken" => request.json(&json!({ "room": "demo", "identity": "alice", "name": "Alice" })),
        "createInvite" => request.json(&json!({ "label": "From the walk", "uses": 3 })),
        "createApiKey" => request.json(&json!({ "label": "From the walk" })),
        "createWebhook" => request.json(&json!({ "url": "https://app.example/hook" })),
        "changeParticipant" => request.json(&json!({ "name": "Alice" })),
        "changeTrack" => request.json(&json!({ "muted": true })),
        "sendData" => request.json(&json!({ "data": { "hello": 1 } })),
        "createPlaybackToken" | "createAssetPlaybackToken" => request.json(&json!({ "expires_in_secs": 60 })),
        "signIn" => {
            let state = rig.running.state();
            let admin = state.store.first_admin().await.expect("the store answers").expect("there is an admin");
            let code = state.authority.create_sign_in_code(admin.id).await.expect("a code");
            request.json(&json!({ "code": code.secret.expose() }))
        }
        _ => request,
    }
}

/// Checks an answer against what its operation documents.
async fn check(description: &Value, operation: &Value, answer: Response) {
    let about = format!("{} {}", id(operation), answer.status());
    let status = answer.status().as_u16().to_string();
    let documented = &operation["responses"];
    let documented = documented.get(&status).unwrap_or(&documented["default"]);
    let content_type = header(&answer, "content-type");
    let essence = content_type.split(';').next().unwrap_or_default().to_owned();
    // It does not end, or is no answer to a HEAD.
    if essence == "text/event-stream" || id(operation) == "readUpload" {
        return;
    }
    let body = answer.bytes().await.expect("a body");
    let Some(content) = documented.get("content").and_then(Value::as_object) else {
        assert!(body.is_empty(), "{about}: documented without a body");
        return;
    };
    let (_, media) = content
        .iter()
        .find(|(documented, _)| documented.split(';').next() == Some(&*essence))
        .unwrap_or_else(|| panic!("{about}: {content_type} is not documented"));
    if essence.ends_with("json") {
        let value: Value = serde_json::from_slice(&body).expect("JSON");
        let schema = media.get("schema").expect("a schema");
        if let Err(error) = matches(description, schema, &value) {
            panic!("{about}: {error}\n{value:#}");
        }
    }
}

/// Whether `value` is what `schema` says, nothing less and nothing more. Knows what our description uses of JSON Schema.
fn matches(description: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("a reference within the description");
        let target = description.pointer(pointer).ok_or_else(|| format!("{reference} leads nowhere"))?;
        return matches(description, target, value);
    }
    if let Some(choices) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        let fits = choices.iter().any(|choice| matches(description, choice, value).is_ok());
        return fits.then_some(()).ok_or_else(|| format!("{value} is none of {choices:?}"));
    }
    let names = match &schema["type"] {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let fits = |name: &&str| match *name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("the type {other} is new here"),
    };
    if !names.is_empty() && !names.iter().any(fits) {
        return Err(format!("{value} is not of type {names:?}"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return Err(format!("{value} is not one of {}", schema["enum"]));
    }
    for item in value.as_array().into_iter().flatten() {
        matches(description, &schema["items"], item)?;
    }
    match value.as_object() {
        Some(object) => members(description, schema, object),
        None => Ok(()),
    }
}

fn members(description: &Value, schema: &Value, object: &serde_json::Map<String, Value>) -> Result<(), String> {
    let parts = parts_of(description, schema);
    let known = |name: &str| parts.iter().find_map(|part| part["properties"].get(name));
    for part in &parts {
        for name in part["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            object.get(name).ok_or_else(|| format!("{name} is missing"))?;
        }
    }
    // An object without documented members is open.
    if parts.iter().all(|part| part.get("properties").is_none()) {
        return Ok(());
    }
    for (name, member) in object {
        let schema = known(name).ok_or_else(|| format!("{name} is not documented"))?;
        matches(description, schema, member).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

/// An object's schema, with everything that it is composed of.
fn parts_of(description: &Value, schema: &Value) -> Vec<Value> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = description.pointer(reference.trim_start_matches('#')).expect("a reference");
        return parts_of(description, target);
    }
    let composed = schema["allOf"].as_array().into_iter().flatten();
    let mut parts: Vec<Value> = composed.flat_map(|part| parts_of(description, part)).collect();
    parts.push(schema.clone());
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_route_answers_as_documented() {
    let rig = rig().await;
    let served: Value = rig.get("/api/v1/openapi.json").await.json().await.expect("JSON");
    assert_eq!(served, description());
    let token = rig.token(600).await;
    let mut succeeded = BTreeSet::new();
    let all = operations(&served);
    for (method, path, operation) in &all {
        // A session signs itself out; everything else is asked for with an API token.
        let request = request(&rig, &token, method, path, operation).await;
        let answer = match id(operation) {
            "signOut" => request.header("cookie", rig.cookie().await).header("origin", rig.http("")).send().await,
            _ => request.bearer_auth(&token).send().await,
        };
        let answer = answer.expect("the server answers");
        if answer.status().is_success() {
            succeeded.insert(id(operation).to_owned());
        }
        assert_ne!(answer.status(), 405, "{path}");
        check(&served, operation, answer).await;
    }
    let expect: BTreeSet<String> = all.iter().map(|(_, _, operation)| id(operation).to_owned()).collect();
    // Nothing is live here, nobody is in a call, the socket wants an upgrade and WebRTC an offer; tests of their own show those.
    let elsewhere = [
        "readLivePlaylist",
        "readMediaPlaylist",
        "readIFramePlaylist",
        "readMedia",
        "openSocket",
        "readParticipant",
        "changeParticipant",
        "removeParticipant",
        "changeTrack",
        "publishOverWhip",
        "watchOverWhep",
        "changePublication",
        "endPublication",
        "changeView",
        "endView",
        // Nothing is made here, and nothing is encrypted.
        "readAssetPlaylist",
        "readAssetMediaPlaylist",
        "readAssetIFramePlaylist",
        "readAssetMedia",
        "readAssetKey",
        "readPoster",
        "readStoryboard",
        "readStoryboardSheet",
        "createJob",
    ]
    .map(str::to_owned);
    let missing: Vec<_> = expect.difference(&succeeded).filter(|id| !elsewhere.contains(id)).collect();
    assert!(missing.is_empty(), "{missing:?} did not succeed");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_documented_route_is_open_without_a_credential_or_with_a_wrong_one() {
    let rig = rig().await;
    let token = rig.token(600).await;
    let described = description();
    for (method, path, operation) in operations(&described) {
        let is_public = PUBLIC.contains(&id(&operation));
        let anonymous = request(&rig, &token, &method, &path, &operation).await.send().await.expect("answered");
        let status = anonymous.status().as_u16();
        assert!(is_public || status == 401, "{} answered {status} to nobody", id(&operation));
        check(&described, &operation, anonymous).await;
        let wrong = format!("tst_{}", "0".repeat(34));
        let wrong = request(&rig, &token, &method, &path, &operation).await.bearer_auth(wrong).send().await;
        let wrong = wrong.expect("answered");
        let refused = match operation["tags"][0].as_str() {
            // What may be watched tells nothing about credentials; here nothing is live.
            Some("watching") => [400, 401, 404].contains(&wrong.status().as_u16()),
            // Whoever may watch anyhow is not asked who they are; nothing of the asset is made here.
            Some("watching on demand") => [200, 404].contains(&wrong.status().as_u16()),
            // Neither is there a session, nor is it told to whom an open room's viewer shows a token.
            Some("webrtc") => [401, 404, 415].contains(&wrong.status().as_u16()),
            _ => wrong.status() == 401,
        };
        assert!(refused, "{} answered {} to a wrong token", id(&operation), wrong.status());
        check(&described, &operation, wrong).await;
    }
}

#[test]
fn every_route_in_the_code_is_documented() {
    let described = description();
    let documented: BTreeSet<String> = described["paths"].as_object().expect("paths").keys().cloned().collect();
    let mut undocumented = Vec::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut routes = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).expect("UTF-8");
            for route in source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                routes += 1;
                if !documented.contains(route) && !PAGES.contains(&route) {
                    undocumented.push(format!("{route} in {}", path.display()));
                }
            }
        }
    }
    assert!(routes > PAGES.len(), "the search finds routes");
    assert!(undocumented.is_empty(), "{undocumented:?}");
}

#[test]
fn a_room_that_is_live_is_what_the_description_says() {
    use telstar_signaling::wire::call::Mode;
    use telstar_signaling::wire::{
        Conversion, ConversionState, Ingest, IngestTrack, LiveState, Room, RoomState, Warning,
    };
    let video = IngestTrack::Video {
        codec: "H.264".to_owned(),
        rfc6381: "avc1.64001f".to_owned(),
        width: Some(1280),
        height: None,
        frame_rate: Some(30.0),
        bitrate_bps: Some(2_500_000),
        keyframe_interval_secs: Some(2.0),
        b_frames: true,
    };
    let audio = IngestTrack::Audio {
        codec: "AAC".to_owned(),
        rfc6381: "mp4a.40.2".to_owned(),
        sample_rate: 48_000,
        channels: 2,
        bitrate_bps: None,
    };
    let ingest = Ingest { protocol: "rtmp".into(), encoder: None, tracks: vec![video, audio], dropped_frames: 0 };
    let warnings = vec![
        Warning::KeyframeInterval { seconds: 8.3 },
        Warning::NoAudio {},
        Warning::CodecUnsupported { codec: "x".to_owned() },
    ];
    let conversions: Vec<Conversion> = [ConversionState::Starting, ConversionState::Running, ConversionState::Waiting]
        .map(|state| {
            let error = (state == ConversionState::Waiting).then(|| "it cannot be confined".to_owned());
            Conversion { from: "AAC".to_owned(), to: "Opus".to_owned(), state, cpu_percent: 1.4, error }
        })
        .into();
    for state in [LiveState::Offline, LiveState::Waiting, LiveState::Live, LiveState::Reconnecting] {
        let live = RoomState {
            state,
            viewers: 3,
            started_at: Some("2026-01-31T12:00:00.250Z".to_owned()),
            playlist: Some("/live/demo/index.m3u8".to_owned()),
            has_call: state == LiveState::Offline,
            ingest: Some(ingest.clone()),
            warnings: warnings.clone(),
            conversions: conversions.clone(),
        };
        let room = Room {
            name: "demo".to_owned(),
            title: "Demo".to_owned(),
            open: true,
            owner: "account:1".to_owned(),
            embed_origins: vec!["https://blog.example".to_owned()],
            mode: Mode::Sfu,
            created_at: "2026-01-31T12:00:00.250Z".to_owned(),
            live,
        };
        let value = serde_json::to_value(&room).expect("JSON");
        let outcome = matches(&description(), &json!({ "$ref": "#/components/schemas/Room" }), &value);
        assert_eq!(outcome, Ok(()), "{value:#}");
    }
}

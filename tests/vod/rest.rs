//! Assets, jobs and events over the REST API.

use reqwest::{Method, Response};
use serde_json::{Value, json};
use telstar_store::NextJob;
use telstar_store::job::{Class, Failure};

use super::stage::{SOURCE, Stage, send};
use super::support::{assert_problem, header};

async fn stage() -> Stage {
    Stage::set_with(|config| config.vod.enabled = false).await
}

impl Stage {
    async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = self.rig.request(method, &format!("/api/v1{path}")).bearer_auth(&self.token);
        send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub async fn json(&self, method: &str, path: &str, body: Option<Value>, status: u16) -> Value {
        let response = self.api(method, path, body).await;
        assert_eq!(response.status(), status, "{method} {path}");
        response.json().await.expect("JSON")
    }
}

#[tokio::test]
async fn a_whole_body_becomes_an_asset_under_its_title() {
    let stage = Stage::set().await;
    let request = |query: &str| {
        let path = format!("/api/v1/assets{query}");
        stage.rig.request(Method::POST, &path).bearer_auth(&stage.token).body("a film")
    };
    let response = send(request("?title=%ED%9A%8C%EC%9D%98").header("content-type", "video/mp4")).await;
    assert_eq!(response.status(), 201);
    let location = header(&response, "location");
    let made: Value = response.json().await.expect("JSON");
    assert_eq!(location, format!("/api/v1/assets/{}", made["asset"].as_str().expect("a name")));
    assert_eq!((&made["title"], &made["bytes"], &made["state"]), (&json!("회의"), &json!(6), &json!("processing")));
    assert_eq!((&made["playable"], &made["source"], &made["open"]), (&json!(false), &Value::Null, &json!(false)));
    let named = request("").header("content-disposition", "attachment; filename=\"holiday.mp4\"");
    let named: Value = send(named).await.json().await.expect("JSON");
    assert_eq!(named["title"], "holiday");
    let listed = stage.json("GET", "/assets", None, 200).await;
    assert_eq!(listed["assets"][0]["asset"], named["asset"], "newest first");
    assert_problem(send(request("?title=%00")).await, 422, "invalid_fields").await;
    let anonymous = stage.rig.request(Method::POST, "/api/v1/assets").body("x");
    assert_problem(send(anonymous).await, 401, "unauthorised").await;
}

#[tokio::test]
async fn the_list_is_read_page_by_page() {
    let stage = stage().await;
    for name in ["a", "b", "c"] {
        stage.asset(name, name).await;
    }
    let first = stage.json("GET", "/assets?limit=2", None, 200).await;
    let titles = |page: &Value| -> Vec<String> {
        let assets = page["assets"].as_array().expect("a list").iter();
        assets.map(|asset| asset["title"].as_str().expect("a title").to_owned()).collect()
    };
    assert_eq!(titles(&first), ["c", "b"]);
    let next = first["next"].as_str().expect("there is more");
    let second = stage.json("GET", &format!("/assets?limit=2&cursor={next}"), None, 200).await;
    assert_eq!((titles(&second), &second["next"]), (vec!["a".to_owned()], &Value::Null));
    assert_problem(stage.api("GET", "/assets?cursor=x", None).await, 422, "invalid_fields").await;
}

#[tokio::test]
async fn an_asset_says_what_it_is_and_what_can_be_watched_of_it() {
    let stage = stage().await;
    let asset = stage.asset("film", "Film").await;
    let path = format!("/assets/{}", asset.name);
    let body = stage.json("GET", &path, None, 200).await;
    assert_eq!((&body["state"], &body["playable"], &body["progress"]), (&json!("ready"), &json!(true), &json!(1.0)));
    assert_eq!(body["source"]["duration_secs"], 4.0);
    assert_eq!((&body["source"]["audio"][0]["codec"], &body["source"]["video"]), (&json!("aac"), &Value::Null));
    let rendition = &body["renditions"][0];
    assert_eq!(
        (&rendition["name"], &rendition["kind"], &rendition["whole"]),
        (&json!("a1"), &json!("audio"), &json!(true))
    );
    assert_eq!(
        (&rendition["channels"], &rendition["width"], &rendition["secs"]),
        (&json!(2), &Value::Null, &json!(4.0))
    );
    let made = 2 * super::stage::SEGMENT_LEN + 10 + 20;
    assert_eq!(body["kept_bytes"], SOURCE.len() + made);
    for (link, end) in
        [("playlist", "index.m3u8"), ("poster", "poster.jpg"), ("storyboard", "storyboard.vtt"), ("source", "source")]
    {
        assert_eq!(body["links"][link], format!("/vod/{}/{end}", asset.name));
    }
    assert_problem(stage.api("GET", "/assets/0000000000000000000000", None).await, 404, "not_found").await;
    assert_problem(stage.api("GET", "/assets/..", None).await, 404, "not_found").await;
}

#[tokio::test]
async fn an_asset_is_changed_shared_and_deleted() {
    let stage = stage().await;
    let asset = stage.asset("film", "Film").await;
    let path = format!("/assets/{}", asset.name);
    let anonymous = || stage.rig.request(Method::GET, &format!("/api/v1{path}"));
    assert_problem(send(anonymous()).await, 404, "not_found").await;

    let minted = stage.json("POST", &format!("{path}/playback-tokens"), None, 201).await;
    let token = minted["token"].as_str().expect("a token");
    assert!(
        minted["watch_url"].as_str().is_some_and(|url| url.ends_with(&format!("/library/{}?t={token}", asset.name)))
    );
    let seen: Value = send(anonymous().bearer_auth(token)).await.json().await.expect("JSON");
    assert_eq!((&seen["title"], &seen["links"]["source"]), (&json!("Film"), &Value::Null), "to watch is not to have");

    let change = json!({ "title": " New ", "open": true, "embed_origins": ["https://Blog.example"] });
    let changed = stage.json("PATCH", &path, Some(change), 200).await;
    assert_eq!((&changed["title"], &changed["embed_origins"]), (&json!("New"), &json!(["https://blog.example"])));
    let seen: Value = send(anonymous()).await.json().await.expect("JSON");
    assert_eq!(
        (&seen["title"], &seen["embed_origins"]),
        (&json!("New"), &json!([])),
        "who may frame it is its owner's"
    );
    assert!(seen["links"]["source"].is_string());
    for bad in [json!({ "title": "" }), json!({ "embed_origins": ["*"] }), json!({ "open": 1 })] {
        assert_problem(stage.api("PATCH", &path, Some(bad)).await, 422, "invalid_fields").await;
    }
    let stranger = stage.rig.request(Method::DELETE, &format!("/api/v1{path}"));
    assert_problem(send(stranger).await, 401, "unauthorised").await;
    assert_eq!(stage.api("DELETE", &path, None).await.status(), 204);
    assert_problem(stage.api("GET", &path, None).await, 404, "not_found").await;
    assert_problem(stage.api("DELETE", &path, None).await, 404, "not_found").await;
}

#[tokio::test]
async fn a_job_that_fails_keeps_its_log_and_is_wanted_again() {
    let stage = stage().await;
    let asset = stage.asset("film", "Film").await;
    let jobs = stage.json("GET", &format!("/assets/{}/jobs", asset.name), None, 200).await;
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(2));
    assert_eq!(jobs["jobs"][0]["state"], "done");
    let state = stage.rig.running.state();
    let (store, now) = (&state.store, || state.authority.now());
    let new = telstar_store::NewJob {
        kind: telstar_store::JobKind::More,
        class: telstar_store::job::Class::Extra,
        work: String::new(),
        after: Vec::new(),
    };
    let id = store.add_job(asset.name.clone(), new, now()).await.expect("made").id;
    let path = format!("/jobs/{}", id.0);
    let open = stage.json("GET", "/jobs", None, 200).await;
    assert_eq!((&open["jobs"][0]["job"], &open["jobs"][0]["state"]), (&json!(id.0), &json!("ready")));

    let Ok(NextJob::Leased(_, attempt)) = store.take_job(Class::Extra, now()).await else { panic!("it is ready") };
    assert_eq!(stage.json("GET", "/jobs?state=leased", None, 200).await["jobs"][0]["job"], id.0);
    let failure = telstar_store::AttemptFailure {
        failure: Failure::Permanent,
        problem: "the file is not what it should be".to_owned(),
        log: "moov atom not found".to_owned(),
    };
    store.fail_job(id, attempt, failure, now()).await.expect("noted");
    let failed = stage.json("GET", &path, None, 200).await;
    assert_eq!((&failed["state"], &failed["problem"]), (&json!("failed"), &json!("the file is not what it should be")));
    assert_eq!(failed["attempts"][0]["log"], "moov atom not found");
    assert_problem(stage.api("DELETE", &path, None).await, 409, "conflict").await;

    let again = stage.json("POST", &format!("{path}/attempts"), None, 202).await;
    assert_eq!((&again["state"], &again["attempts"], &again["failures"]), (&json!("ready"), &json!(1), &json!(0)));
    assert_problem(stage.api("POST", &format!("{path}/attempts"), None).await, 409, "conflict").await;
    assert_eq!(stage.api("DELETE", &path, None).await.status(), 204);
    assert_eq!(stage.json("GET", &path, None, 200).await["state"], "cancelled");
    for (method, path) in [("GET", "/jobs/999"), ("GET", "/jobs/x"), ("DELETE", "/jobs/999")] {
        assert_problem(stage.api(method, path, None).await, 404, "not_found").await;
    }
    assert_problem(stage.api("GET", "/jobs?state=odd", None).await, 422, "invalid_fields").await;
    let stranger = stage.rig.request(Method::GET, &format!("/api/v1{path}"));
    assert_problem(send(stranger).await, 401, "unauthorised").await;
}

#[tokio::test]
async fn only_a_rendition_that_was_planned_is_made_again() {
    let stage = stage().await;
    let asset = stage.asset("film", "Film").await;
    let path = format!("/assets/{}/jobs", asset.name);
    assert_problem(stage.api("POST", &path, Some(json!({ "rendition": "v9000" }))).await, 404, "not_found").await;
    assert_problem(stage.api("POST", &path, Some(json!({}))).await, 422, "invalid_fields").await;
}

#[tokio::test]
async fn events_are_for_accounts_and_there_are_so_many_streams() {
    let stage = stage().await;
    let anonymous = stage.rig.request(Method::GET, "/api/v1/events");
    assert_problem(send(anonymous).await, 401, "unauthorised").await;
    let mut open = Vec::new();
    loop {
        let response = stage.api("GET", "/events", None).await;
        if response.status() != 200 {
            assert_problem(response, 429, "too_many_requests").await;
            break;
        }
        assert_eq!(header(&response, "content-type"), "text/event-stream");
        open.push(response);
        assert!(open.len() <= 64, "there is a limit");
    }
    let name = stage.asset("film", "Film").await.name;
    let mut text = String::new();
    let stream = open.first_mut().expect("the first was let in");
    while !text.contains("\"title\":\"Film\"") {
        let chunk = stream.chunk().await.expect("it goes on").expect("it does not end");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(text.contains("event: asset\n") && text.contains(name.as_str()), "{text}");
}

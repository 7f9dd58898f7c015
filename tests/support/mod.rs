//! A server of its own for each test, and a client for it.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use telstar::config::address::Listen;
use telstar::{Config, Running, Server};
use tempfile::TempDir;

/// Longer than anything here takes on a loaded machine: a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running server, its data folder and a client.
pub struct Rig {
    pub running: Running,
    pub client: reqwest::Client,
    _data: TempDir,
}

impl Rig {
    pub async fn start() -> Rig {
        Rig::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Rig {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::default();
        config.general.data = data.path().join("data");
        let any = Listen::At(([127, 0, 0, 1], 0).into());
        (config.general.http, config.general.https) = (any, any);
        (config.general.rtmp, config.general.rtmps) = (any, any);
        config.media.listen = any;
        change(&mut config);
        let running = Server::start(config).await.expect("the server starts");
        Rig { running, client: client(|builder| builder), _data: data }
    }

    pub fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.addresses().http.expect("HTTP is on"))
    }

    pub fn https(&self, path: &str) -> String {
        format!("https://{}{path}", self.running.addresses().https.expect("HTTPS is on"))
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.http(path))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("the server answers")
    }

    /// An API token of the first account.
    pub async fn token(&self, lifetime_secs: i64) -> String {
        let state = self.running.state();
        let admin = state.store.first_admin().await.expect("the store answers").expect("there is an admin");
        let minted = state.authority.create_api_token(admin.id, lifetime_secs).await.expect("a token");
        minted.secret.expose().to_owned()
    }

    /// The cookie of a browser that has just signed in over plain HTTP.
    pub async fn cookie(&self) -> String {
        let code = self.running.sign_in_code().expect("this is the first start").expose().to_owned();
        let sign_in = self.request(Method::POST, "/api/v1/sessions").json(&serde_json::json!({ "code": code }));
        let answer = sign_in.send().await.expect("the server answers");
        assert_eq!(answer.status(), 201);
        let cookie = header(&answer, "set-cookie");
        cookie.split(';').next().expect("a first part").to_owned()
    }
}

/// A client that takes our self-signed certificate.
pub fn client(change: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> reqwest::Client {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).timeout(PATIENCE);
    change(builder).build().expect("a client")
}

pub fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name).map(|value| value.to_str().expect("headers are ASCII"));
    value.unwrap_or_default().to_owned()
}

/// Asserts that this is a problem with this code, and that it is well formed (RFC 9457).
pub async fn assert_problem(response: Response, status: u16, code: &str) {
    let url = response.url().clone();
    assert_eq!(response.status(), status, "{url}");
    assert_eq!(header(&response, "content-type"), "application/problem+json", "{url}");
    let body: Value = response.json().await.expect("a problem is JSON");
    assert_eq!(body["code"], code, "{url} {body}");
    assert_eq!(body["status"], status, "{url} {body}");
    assert_eq!(body["type"], format!("/docs/problems#{code}"), "{url}");
    assert!(body["title"].is_string() && body["detail"].is_string(), "{url} {body}");
}

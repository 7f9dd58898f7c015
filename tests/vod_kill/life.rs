//! The life of an upload as its client has it: it goes on after whatever happened to the server, and knows what it was told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use telstar_store::{Blobs, LocalBlobs, SqliteStore, Store};
use telstar_units::{AssetName, BlobName};
use tokio::task::JoinHandle;

use super::server::{Server, token, until};

/// Pieces that a file is uploaded in.
const PIECES: usize = 3;

/// The server answered with an error, or not at all.
#[derive(Debug)]
#[expect(dead_code, reason = "it is printed")]
pub struct Interrupted(String);

impl From<reqwest::Error> for Interrupted {
    fn from(error: reqwest::Error) -> Interrupted {
        Interrupted(format!("{error:?}"))
    }
}

/// The answer, if it is this one.
async fn expect(response: Response, status: u16) -> Result<Response, Interrupted> {
    if response.status() == status {
        return Ok(response);
    }
    Err(Interrupted(format!("{} {}", response.status(), response.text().await.unwrap_or_default())))
}

/// What a client remembers.
pub struct Life {
    client: Client,
    token: String,
    bytes: Vec<u8>,
    /// Its upload, once that was acknowledged.
    upload: Option<String>,
    /// Bytes that were acknowledged.
    stored: usize,
    /// Its asset, once that was acknowledged.
    pub asset: Option<String>,
}

impl Life {
    /// Of this file, over the API of a server whose data lie there.
    pub fn new(data: &Path, file: &Path) -> Life {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(super::server::PATIENCE).build().expect("a client");
        let bytes = std::fs::read(file).expect("readable");
        Life { client, token: token(data), bytes, upload: None, stored: 0, asset: None }
    }

    /// Another upload of the same client.
    pub fn again(&self) -> Life {
        let (client, token, bytes) = (self.client.clone(), self.token.clone(), self.bytes.clone());
        Life { client, token, bytes, upload: None, stored: 0, asset: None }
    }

    pub fn request(&self, server: &Server, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", server.http)).bearer_auth(&self.token)
    }

    async fn json(&self, server: &Server, path: &str) -> Result<Value, Interrupted> {
        let response = self.request(server, Method::GET, path).send().await?;
        Ok(expect(response, 200).await?.json().await?)
    }

    /// What is uploaded instead.
    pub fn take_bytes(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }

    fn tus(&self, server: &Server, method: Method, path: &str) -> RequestBuilder {
        self.request(server, method, path).header("tus-resumable", "1.0.0")
    }

    /// Goes on until the last byte is acknowledged.
    pub async fn upload(&mut self, server: &Server) -> Result<String, Interrupted> {
        loop {
            if let Some(asset) = &self.asset {
                return Ok(asset.clone());
            }
            self.upload_one_piece(server).await?;
        }
    }

    /// Where its upload is.
    async fn path(&mut self, server: &Server) -> Result<String, Interrupted> {
        if let Some(path) = &self.upload {
            return Ok(path.clone());
        }
        let request = self.tus(server, Method::POST, "/api/v1/uploads").header("upload-length", self.bytes.len());
        let made = expect(request.send().await?, 201).await?;
        let path = made.headers()["location"].to_str().expect("a path").to_owned();
        self.upload = Some(path.clone());
        Ok(path)
    }

    /// Asks how far it is and goes on by one piece.
    pub async fn upload_one_piece(&mut self, server: &Server) -> Result<(), Interrupted> {
        let path = self.path(server).await?;
        let head = self.tus(server, Method::HEAD, &path).send().await?;
        if head.status().is_server_error() {
            return Err(Interrupted(head.status().to_string()));
        }
        assert_eq!(head.status(), 200, "an upload that was acknowledged is there");
        let at: usize = head.headers()["upload-offset"].to_str().expect("text").parse().expect("a number");
        assert!(at >= self.stored && at <= self.bytes.len(), "{at}, and {} were acknowledged", self.stored);
        self.stored = at;
        let asset_of = |response: &Response| {
            response.headers().get("telstar-asset").map(|asset| asset.to_str().expect("text").to_owned())
        };
        if at == self.bytes.len() {
            self.asset = Some(asset_of(&head).expect("it is whole"));
            return Ok(());
        }
        let end = (at + self.bytes.len().div_ceil(PIECES)).min(self.bytes.len());
        let patch = self.patch(server, &path, at).body(self.bytes[at..end].to_vec());
        let answer = expect(patch.send().await?, 204).await?;
        self.stored = end;
        self.asset = asset_of(&answer);
        assert_eq!(self.asset.is_some(), end == self.bytes.len(), "with the last byte there is an asset");
        Ok(())
    }

    fn patch(&self, server: &Server, path: &str, at: usize) -> RequestBuilder {
        self.tus(server, Method::PATCH, path)
            .header("upload-offset", at)
            .header("content-type", "application/offset+octet-stream")
    }

    /// Sends half of what is left, and then nothing.
    pub fn stuck_piece(&self, server: &Server) -> JoinHandle<()> {
        let rest = self.bytes[self.stored..].to_vec();
        let len = rest.len() / 2;
        let half = Frame::data(Bytes::from(rest[..len].to_vec()));
        let head = futures_util::stream::iter([Ok::<_, std::io::Error>(half)]);
        let body = reqwest::Body::wrap(StreamBody::new(head.chain(futures_util::stream::pending())));
        let request = self.patch(server, self.upload.as_ref().expect("it has begun"), self.stored).body(body);
        #[expect(clippy::disallowed_methods, reason = "the client is no part of the server")]
        tokio::spawn(async move { drop(request.send().await) })
    }

    /// The number of its job of this kind.
    pub async fn job(&self, server: &Server, kind: &str) -> u64 {
        let jobs = self.jobs(server).await.expect("answered");
        jobs.iter().find(|job| job["kind"] == kind).expect("there is one")["job"].as_u64().expect("a number")
    }

    /// How the attempts at its job of this kind ended, once the last has.
    pub async fn attempts(&self, server: &Server, kind: &str) -> Vec<String> {
        let path = format!("/api/v1/jobs/{}", self.job(server, kind).await);
        until("an attempt to end", async || {
            let job = self.json(server, &path).await.expect("there");
            let attempts = job["attempts"].as_array().expect("a list");
            let outcomes: Vec<String> =
                attempts.iter().filter_map(|attempt| Some(attempt["outcome"].as_str()?.to_owned())).collect();
            attempts.iter().all(|attempt| !attempt["ended_at"].is_null()).then_some(outcomes)
        })
        .await
    }

    /// The jobs of its asset.
    pub async fn jobs(&self, server: &Server) -> Result<Vec<Value>, Interrupted> {
        let asset = self.asset.as_ref().expect("it is whole");
        let jobs = self.json(server, &format!("/api/v1/assets/{asset}/jobs")).await?;
        Ok(jobs["jobs"].as_array().expect("a list").clone())
    }

    /// The state of its job of this kind.
    pub async fn state(&self, server: &Server, kind: &str) -> Option<String> {
        let jobs = self.jobs(server).await.ok()?;
        jobs.iter().find(|job| job["kind"] == kind).map(|job| job["state"].as_str().expect("a word").to_owned())
    }

    /// Waits until its job of this kind is in this state.
    pub async fn until(&self, server: &Server, kind: &str, state: &str) {
        let what = format!("{kind} to be {state}");
        until(&what, async || (self.state(server, kind).await.as_deref() == Some(state)).then_some(())).await;
    }

    /// Goes on until nothing more is to be done for it.
    pub async fn end(&mut self, server: &Server) -> Result<(), Interrupted> {
        self.upload(server).await?;
        let mut is_over = false;
        until("an asset to be made", async || {
            let Ok(jobs) = self.jobs(server).await else { return Some(()) };
            is_over =
                jobs.iter().all(|job| ["done", "failed", "cancelled"].contains(&job["state"].as_str().unwrap_or("")));
            // Behind a probe come others, in one transaction.
            is_over.then_some(())
        })
        .await;
        if is_over { Ok(()) } else { Err(Interrupted("jobs".to_owned())) }
    }

    pub async fn delete(&self, server: &Server) {
        let asset = self.asset.as_ref().expect("it is whole");
        let deleted = self.request(server, Method::DELETE, &format!("/api/v1/assets/{asset}")).send().await;
        assert_eq!(deleted.expect("answered").status(), 204);
    }

    async fn bytes_of(&self, server: &Server, path: &str) -> Vec<u8> {
        let response = self.request(server, Method::GET, path).send().await.expect("answered");
        assert_eq!(response.status(), 200, "{path}");
        response.bytes().await.expect("whole").to_vec()
    }

    /// Its asset is what it should be: of every job one attempt was done, what was uploaded is there byte for byte, and
    /// everything that is listed can be had. Returns the names of its renditions.
    pub async fn check(&self, server: &Server) -> Vec<String> {
        let name = self.asset.as_ref().expect("it is whole");
        let asset = self.json(server, &format!("/api/v1/assets/{name}")).await.expect("there");
        assert_eq!((&asset["state"], &asset["playable"]), (&"ready".into(), &true.into()), "{asset}");
        for job in self.jobs(server).await.expect("answered") {
            let job = self.json(server, &format!("/api/v1/jobs/{}", job["job"])).await.expect("there");
            assert_eq!(job["state"], "done", "{job}");
            let attempts = job["attempts"].as_array().expect("a list");
            let done = attempts.iter().filter(|attempt| attempt["outcome"] == "done").count();
            assert_eq!(done, 1, "exactly once: {job}");
            assert!(attempts.iter().all(|attempt| !attempt["ended_at"].is_null()), "{job}");
        }
        assert!(
            self.bytes_of(server, &format!("/vod/{name}/source")).await == self.bytes,
            "the source is what was uploaded"
        );
        let mut names = Vec::new();
        for rendition in asset["renditions"].as_array().expect("a list") {
            let rendition_name = rendition["name"].as_str().expect("a name");
            let folder = format!("/vod/{name}/{rendition_name}");
            let playlist =
                String::from_utf8(self.bytes_of(server, &format!("{folder}/index.m3u8")).await).expect("text");
            assert!(playlist.contains("#EXT-X-ENDLIST"), "{playlist}");
            let mut len = 0;
            for line in playlist.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                let segment = self.bytes_of(server, &format!("{folder}/{line}")).await;
                assert_eq!(&segment[4..8], b"moof", "{folder}/{line}");
                len += segment.len() as u64;
            }
            assert_eq!(rendition["bytes"], len, "{rendition}");
            names.push(rendition_name.to_owned());
        }
        for image in ["poster.jpg", "storyboard.vtt"] {
            assert!(!self.bytes_of(server, &format!("/vod/{name}/{image}")).await.is_empty());
        }
        names.sort();
        names
    }

    /// How many assets there are.
    pub async fn assets(&self, server: &Server) -> usize {
        self.json(server, "/api/v1/assets").await.expect("answered")["assets"].as_array().expect("a list").len()
    }
}

/// Every file belongs to something, and everything that a record names is there. The server is not running.
pub async fn check_files(data: &Path, assets: &[&Life]) {
    let blobs = LocalBlobs::open(&data.join("vod")).expect("a folder");
    let there = blobs.list().expect("readable");
    let store = SqliteStore::open(&data.join("telstar.db")).expect("readable");
    let unknown = store.unknown_blobs(there.clone()).await.expect("answered");
    assert_eq!(unknown, [], "files that belong to nothing, of {}", there.len());
    let lens: BTreeMap<&BlobName, u64> =
        there.iter().map(|name| (name, blobs.open(name).and_then(|blob| blob.len()).expect("readable"))).collect();
    for life in assets {
        let name = AssetName::parse(life.asset.as_ref().expect("it is whole")).expect("a name");
        let asset = store.asset(name.clone()).await.expect("answered").expect("there");
        assert_eq!(lens.get(&asset.source), Some(&asset.source_len));
        for rendition in store.renditions(name).await.expect("answered") {
            assert_eq!(lens.get(&rendition.blob), Some(&rendition.len), "{}", rendition.name);
        }
    }
}

/// A clip of a few seconds with sound.
pub fn clip(folder: &Path, name: &str, secs: u32, codecs: &[&str]) -> PathBuf {
    let file = folder.join(name);
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", &format!("testsrc2=s=640x360:r=25:d={secs}")])
        .args(["-f", "lavfi", "-i", &format!("sine=frequency=440:sample_rate=48000:duration={secs}")])
        .args(codecs)
        .arg(&file)
        .status();
    assert!(status.expect("ffmpeg runs").success());
    file
}

/// What is repackaged.
pub const COPIED: &[&str] =
    &["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac"];
/// What is encoded.
pub const ENCODED: &[&str] =
    &["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "500k", "-c:a", "libopus"];

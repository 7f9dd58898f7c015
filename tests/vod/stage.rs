//! A server, uploads as a tus client sends them, and assets as workers would leave them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Body, Method, RequestBuilder, Response};
use serde_json::Value;
use telstar::Config;
use telstar::vod::jobs::records::{Facts, KeptImage, KeptIndex, POSTER, STORYBOARD};
use telstar_store::job::Class;
use telstar_store::{Asset, Completion, JobKind, NewAsset, NewJob, NewRendition, NextJob, Quota};
use telstar_transcode::file::{
    CLOCK, Index, Output, Rendition, RenditionKind, Segment, Source, SourceAudio, Storyboard,
};
use telstar_transcode::map::SegmentMap;
use telstar_units::{AccountId, AssetName, BlobName};

use super::support::{PATIENCE, Rig, header};

/// Where uploads are made.
pub const UPLOADS: &str = "/api/v1/uploads";
/// What the source of [`Stage::asset`] is.
pub const SOURCE: &[u8] = b"the source, as it was uploaded";
/// Bytes of each of its two segments.
pub const SEGMENT_LEN: usize = 1_000;
const SECOND: i64 = 90_000;
const ROOM: Quota = Quota { account_bytes_max: 1 << 40, total_bytes_max: 1 << 40 };

pub struct Stage {
    pub rig: Rig,
    /// Of the admin, whose everything is.
    pub token: String,
}

impl Stage {
    /// Asks until the answer is as wanted. What changes it is the worker, another process, which tells only the server.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let asked = async {
            loop {
                let found = self.json("GET", path, None, 200).await;
                if wanted(&found) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{path} is as wanted in time"))
    }

    pub async fn set() -> Stage {
        Stage::set_with(|_| {}).await
    }

    pub async fn set_with(change: impl FnOnce(&mut Config)) -> Stage {
        let rig = Rig::start_with(|config| {
            // Jobs wait for one that never comes.
            config.transcode.worker = "/nonexistent/telstar-worker".into();
            change(config);
        })
        .await;
        let token = rig.token(600).await;
        Stage { rig, token }
    }

    /// A request in the words of tus.
    pub fn tus(&self, method: Method, path: &str) -> RequestBuilder {
        self.rig.request(method, path).bearer_auth(&self.token).header("tus-resumable", "1.0.0")
    }

    /// Makes an upload of this length; its path.
    pub async fn upload(&self, len: u64) -> String {
        self.upload_with(&[("upload-length", &len.to_string())]).await
    }

    pub async fn upload_with(&self, headers: &[(&str, &str)]) -> String {
        let mut request = self.tus(Method::POST, UPLOADS);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = send(request).await;
        assert_eq!(response.status(), 201, "{headers:?}");
        header(&response, "location")
    }

    pub async fn patch(&self, path: &str, offset: u64, body: impl Into<Body>) -> Response {
        send(self.patch_request(path, offset).body(body)).await
    }

    pub fn patch_request(&self, path: &str, offset: u64) -> RequestBuilder {
        self.tus(Method::PATCH, path)
            .header("upload-offset", offset.to_string())
            .header("content-type", "application/offset+octet-stream")
    }

    /// How far an upload is.
    pub async fn offset(&self, path: &str) -> String {
        let response = send(self.tus(Method::HEAD, path)).await;
        assert_eq!((response.status().as_u16(), &*header(&response, "cache-control")), (200, "no-store"), "{path}");
        header(&response, "upload-offset")
    }

    pub async fn owner(&self) -> AccountId {
        let admin = self.rig.running.state().store.first_admin().await;
        admin.expect("the store answers").expect("there is an admin").id
    }

    fn put(&self, name: &str, bytes: &[u8]) -> BlobName {
        let blobs = &self.rig.running.state().vod.blobs;
        let blob = BlobName::parse(&format!("{name:0<22}")).expect("a name");
        blobs.create(&blob).expect("made");
        let mut writer = blobs.append(&blob, 0).expect("opened");
        writer.write(bytes).expect("written");
        writer.sync().expect("synced");
        blob
    }

    /// An asset of sound alone with two segments, a poster and a storyboard, as its jobs leave it. Of a server that
    /// does no jobs.
    pub async fn asset(&self, name: &str, title: &str) -> Asset {
        let state = self.rig.running.state();
        let (store, now) = (&state.store, || state.authority.now());
        let asset = AssetName::parse(&format!("{name:0<22}")).expect("a name");
        let blob = self.put(&format!("{name}s"), SOURCE);
        let new = NewAsset {
            name: asset.clone(),
            title: title.to_owned(),
            blob,
            len: SOURCE.len() as u64,
            work: String::new(),
        };
        store.create_asset(new, self.owner().await, ROOM, now()).await.expect("made");
        let first = NewJob { kind: JobKind::First, class: Class::First, work: String::new(), after: Vec::new() };
        let facts = serde_json::to_string(&facts()).expect("JSON");
        let probe = Completion { facts: Some(facts), jobs: vec![first], ..Completion::default() };
        let renditions = vec![self.sound(name), self.images(name, POSTER, 1), self.images(name, STORYBOARD, 2)];
        for completion in [probe, Completion { renditions, ..Completion::default() }] {
            let Ok(NextJob::Leased(job, attempt)) = store.take_job(Class::Extra, now()).await else {
                panic!("there is a job")
            };
            store.complete_job(job.id, attempt, completion, now()).await.expect("committed");
        }
        store.asset(asset).await.expect("answered").expect("there")
    }

    /// What jobs made of an asset that is there, or made anew.
    pub async fn commit(&self, asset: &Asset, renditions: Vec<NewRendition>) {
        let state = self.rig.running.state();
        let (store, now) = (&state.store, || state.authority.now());
        let more = NewJob { kind: JobKind::More, class: Class::Extra, work: String::new(), after: Vec::new() };
        store.add_job(asset.name.clone(), more, now()).await.expect("made");
        let Ok(NextJob::Leased(job, attempt)) = store.take_job(Class::Extra, now()).await else {
            panic!("it is ready")
        };
        let completion = Completion { renditions, ..Completion::default() };
        store.complete_job(job.id, attempt, completion, now()).await.expect("committed");
        state.vod.listings.changed(&asset.name);
    }

    pub fn sound(&self, name: &str) -> NewRendition {
        let map = facts().map;
        let mut index = Index::default();
        for (number, (start, end)) in map.segments().enumerate() {
            let (offset, len) = ((number * SEGMENT_LEN) as u64, SEGMENT_LEN as u64);
            let segment = Segment { offset, len, start, duration: end - start, keys: Vec::new() };
            index.push(segment, CLOCK, &map).expect("as the map has it");
        }
        let bytes: Vec<u8> = (0..2 * SEGMENT_LEN).map(|at| (at % 251) as u8).collect();
        let kind = RenditionKind::Audio { channels: 2, sample_rate: 48_000 };
        let rendition = Rendition { kind, codecs: "mp4a.40.2".to_owned(), timescale: CLOCK.hz() };
        let kept = KeptIndex { rendition, init: b"the init segment".to_vec(), index };
        NewRendition {
            name: "a1".to_owned(),
            blob: self.put(&format!("{name}a"), &bytes),
            len: bytes.len() as u64,
            facts: serde_json::to_string(&Output::CopyAudio { stream: 0 }).expect("JSON"),
            index: postcard::to_allocvec(&kept).expect("bytes"),
        }
    }

    /// So many images of ten bytes, each of its number.
    pub fn images(&self, name: &str, rendition: &str, count: u8) -> NewRendition {
        let bytes: Vec<u8> = (0..count).flat_map(|number| [number; 10]).collect();
        let image = |number: u8| KeptImage {
            offset: u64::from(number) * 10,
            len: 10,
            width: 160,
            height: 90,
            times: vec![i64::from(number) * 2 * SECOND],
        };
        let images: Vec<KeptImage> = (0..count).map(image).collect();
        let layout = Storyboard { every: 2 * SECOND, width: 160, height: 90, columns: 1, rows: 1 };
        NewRendition {
            name: rendition.to_owned(),
            blob: self.put(&format!("{name}{count}"), &bytes),
            len: bytes.len() as u64,
            facts: serde_json::to_string(&layout).expect("JSON"),
            index: postcard::to_allocvec(&images).expect("bytes"),
        }
    }
}

fn facts() -> Facts {
    let audio = SourceAudio {
        stream: 0,
        codec: "aac".to_owned(),
        channels: 2,
        sample_rate: 48_000,
        language: "und".to_owned(),
        title: String::new(),
        copy: Ok(()),
    };
    let source = Source {
        container: "mov,mp4,m4a,3gp,3g2,mj2".to_owned(),
        duration: 4 * SECOND,
        shift: 0,
        video: None,
        audio: vec![audio],
        subtitles: Vec::new(),
        left_out: Vec::new(),
    };
    Facts { source, map: SegmentMap::even(4 * SECOND).expect("short"), encoded_because: None }
}

pub async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("the server answers")
}

/// A value of `Upload-Metadata`.
pub fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
    pairs.join(",")
}

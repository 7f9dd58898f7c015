//! The attacker's side: a room of its own with something live in it, and requests by hand.

use reqwest::header::HeaderMap;
use serde_json::Value;
use telstar_client::{Codec, LocalTrackOptions, Publication, Source, WhxOptions};

use super::stage::Stage;
use super::support::PATIENCE;

pub const SDP: &str = "application/sdp";
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn location(&self) -> String {
        let location = self.headers.get("location").and_then(|value| value.to_str().ok());
        location.unwrap_or_else(|| panic!("{} {}", self.status, self.text)).to_owned()
    }

    pub fn tag(&self) -> String {
        self.headers["etag"].to_str().expect("ASCII").to_owned()
    }
}

impl Stage {
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let mut request = self.rig.request(method.parse().expect("a method"), path).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.expect("a text") }
    }

    pub async fn key(&self) -> String {
        let made = self.rig.api(&self.admin, "POST", "/api/v1/rooms/attacker/stream-keys", None).await.body;
        made["key"].as_str().expect("a key").to_owned()
    }

    /// Something live in the attacker's room.
    pub async fn live(&self) -> (Publication, String) {
        let key = self.key().await;
        let endpoint = self.rig.http("/whip/attacker");
        let addresses = vec![([127, 0, 0, 1], 0).into()];
        let options = WhxOptions { bearer: Some(key.clone()), addresses, quiet: false };
        let track = LocalTrackOptions {
            codec: Codec::Opus,
            source: Source::Microphone,
            name: String::new(),
            layers: Vec::new(),
        };
        let (mut publication, tracks) = Publication::open(&endpoint, &options, vec![track]).await.expect("it is taken");
        tokio::time::timeout(PATIENCE, publication.connected()).await.expect("in time").expect("there is a way");
        // What it sends nobody asks.
        std::mem::forget(tracks);
        (publication, key)
    }

    pub fn sessions(&self) -> usize {
        self.rig.running.state().whx.count()
    }

    pub async fn participants(&self) -> usize {
        let list = self.rig.api(&self.admin, "GET", "/api/v1/rooms/attacker/participants", None).await.body;
        list["participants"].as_array().map_or(0, Vec::len)
    }
}

/// A sound's offer, as short as it may be, in this direction.
pub fn offer(direction: &str) -> String {
    let fingerprint = (0..32).map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
         c=IN IP4 0.0.0.0\r\na=ice-ufrag:them\r\na=ice-pwd:thempasswordthempassword\r\na=fingerprint:sha-256 {fingerprint}\r\n\
         a=setup:actpass\r\na=mid:0\r\na={direction}\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
    )
}

/// The stable word of a problem.
pub fn code(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    body["code"].as_str().unwrap_or_default().to_owned()
}

//! The requests of WHIP and WHEP. In: SDP and fragments of it. Out: the same from the server. Knows no media.

use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{CONTENT_TYPE, ETAG, HeaderMap, IF_MATCH, LOCATION};
use reqwest::{Client, Method, RequestBuilder, Response, Url};

use crate::Error;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// ICE credentials with the first section's `m=` line and `a=mid`, which a fragment names (RFC 8840 §4.4).
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    section: [String; 2],
    ufrag: String,
    password: String,
}

/// A session at the server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    bearer: Option<String>,
    location: Url,
    ice: Arc<Mutex<Ice>>,
}

/// The present ICE session.
#[derive(Debug)]
struct Ice {
    tag: Option<String>,
    credentials: Credentials,
}

impl Http {
    /// Offers: the session, and the answer.
    pub(super) async fn open(endpoint: &str, bearer: Option<String>, offer: String) -> Result<(Http, String), Error> {
        // Another part of the program may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().build()?;
        let endpoint = Url::parse(endpoint).map_err(|_| Error::Address(endpoint.to_owned()))?;
        let credentials = credentials(&offer);
        let request = client.post(endpoint).header(CONTENT_TYPE, SDP).body(offer);
        let response = good(with(request, bearer.as_deref()).send().await?).await?;
        // Relative to where a redirect led (RFC 3986 §5.1.3).
        let location =
            text(response.headers(), LOCATION.as_str()).and_then(|location| response.url().join(location).ok());
        let location = location.ok_or_else(|| Error::Protocol("the answer has no Location".into()))?;
        let tag = text(response.headers(), ETAG.as_str()).map(str::to_owned);
        let ice = Arc::new(Mutex::new(Ice { tag, credentials }));
        let http = Http { client, bearer, location, ice };
        Ok((http, response.text().await?))
    }

    /// Where the session is.
    pub fn location(&self) -> &Url {
        &self.location
    }

    /// The entity tag of the present ICE session.
    pub fn tag(&self) -> Option<String> {
        self.ice().tag.clone()
    }

    /// Ends the session.
    pub async fn delete(&self) -> Result<(), Error> {
        good(self.request(Method::DELETE).send().await?).await.map(drop)
    }

    /// Sends candidates; an empty one is the end of them.
    pub(super) async fn trickle(&self, candidates: &[String]) -> Result<(), Error> {
        let (tag, credentials) = {
            let ice = self.ice();
            (ice.tag.clone().unwrap_or_else(|| "*".to_owned()), ice.credentials.clone())
        };
        self.patch(&tag, &credentials, candidates).await.map(drop)
    }

    /// Restarts ICE: the server's fragment.
    pub(super) async fn restart(&self, credentials: Credentials) -> Result<String, Error> {
        let response = self.patch("*", &credentials, &[]).await?;
        let tag = text(response.headers(), ETAG.as_str()).map(str::to_owned);
        *self.ice() = Ice { tag, credentials };
        Ok(response.text().await?)
    }

    async fn patch(&self, tag: &str, credentials: &Credentials, candidates: &[String]) -> Result<Response, Error> {
        let Credentials { section: [media, mid], ufrag, password } = credentials;
        let mut fragment = format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n{media}\r\n{mid}\r\n");
        for candidate in candidates {
            match candidate.as_str() {
                "" => fragment.push_str("a=end-of-candidates\r\n"),
                candidate => fragment.push_str(&format!("a={candidate}\r\n")),
            }
        }
        let request = self.request(Method::PATCH).header(CONTENT_TYPE, FRAGMENT).header(IF_MATCH, tag).body(fragment);
        good(request.send().await?).await
    }

    fn ice(&self) -> std::sync::MutexGuard<'_, Ice> {
        self.ice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self, method: Method) -> RequestBuilder {
        with(self.client.request(method, self.location.clone()), self.bearer.as_deref())
    }
}

fn with(request: RequestBuilder, bearer: Option<&str>) -> RequestBuilder {
    match bearer {
        Some(bearer) => request.bearer_auth(bearer),
        None => request,
    }
}

async fn good(response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body: serde_json::Value = serde_json::from_str(&response.text().await?).unwrap_or_default();
    let word = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    Err(Error::Status { status: status.as_u16(), code: word("code"), detail: word("detail") })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The ICE credentials of a description.
pub(super) fn credentials(sdp: &str) -> Credentials {
    let line = |start: &str| sdp.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
    let value = |start: &str| line(start).split_off(start.len().min(line(start).len()));
    Credentials { section: [line("m="), line("a=mid:")], ufrag: value("a=ice-ufrag:"), password: value("a=ice-pwd:") }
}

/// An earlier answer with the ICE of a fragment.
pub(super) fn with_ice_of(answer: &str, fragment: &str) -> String {
    let Credentials { ufrag, password, .. } = credentials(fragment);
    let mut candidates: String =
        fragment.lines().filter(|line| line.starts_with("a=candidate:")).map(|line| format!("{line}\r\n")).collect();
    candidates.push_str("a=end-of-candidates\r\n");
    let mut changed = String::with_capacity(answer.len());
    for line in answer.lines() {
        if line.starts_with("a=candidate:") || line == "a=end-of-candidates" {
            continue;
        }
        if line.starts_with("a=ice-ufrag:") {
            changed.push_str(&format!("a=ice-ufrag:{ufrag}\r\n"));
        } else if line.starts_with("a=ice-pwd:") {
            changed.push_str(&format!("a=ice-pwd:{password}\r\n"));
        } else {
            changed.push_str(&format!("{line}\r\n"));
        }
        if line.starts_with("a=mid:") {
            changed.push_str(&candidates);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_takes_the_ice_of_a_fragment() {
        let answer = "v=0\r\nm=audio 9 X 111\r\na=ice-ufrag:old\r\na=ice-pwd:oldp\r\na=mid:0\r\na=candidate:1 old\r\n";
        let fragment =
            "a=ice-lite\r\nm=audio 9 X 0\r\na=mid:0\r\na=ice-ufrag:new\r\na=ice-pwd:newp\r\na=candidate:2 new\r\n";
        assert_eq!(
            with_ice_of(answer, fragment),
            "v=0\r\nm=audio 9 X 111\r\na=ice-ufrag:new\r\na=ice-pwd:newp\r\na=mid:0\r\na=candidate:2 new\r\n\
             a=end-of-candidates\r\n"
        );
    }
}

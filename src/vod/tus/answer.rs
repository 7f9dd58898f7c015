//! Answers in the words of tus.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use telstar_store::{Upload, UploadKind};

use super::headers::Algorithm;
use super::{
    EXTENSIONS, UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET, UPLOADS_PATH,
    VERSION,
};
use crate::representation::http_date;
use crate::state::AppState;

static UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// What an upload has become, which is ours and not the protocol's.
static TELSTAR_ASSET: HeaderName = HeaderName::from_static("telstar-asset");

/// An answer that is no problem.
pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, self.headers).into_response()
    }
}

/// What the server can.
pub(super) fn options(bytes_max: u64) -> Response {
    let mut answer = Answer::plain(StatusCode::NO_CONTENT);
    for (name, value) in [
        ("tus-version", HeaderValue::from_static(VERSION)),
        ("tus-extension", HeaderValue::from_static(EXTENSIONS)),
        ("tus-max-size", HeaderValue::from(bytes_max)),
        ("tus-checksum-algorithm", HeaderValue::from_static(Algorithm::NAMES)),
    ] {
        answer.headers.insert(HeaderName::from_static(name), value);
    }
    answer.into_response()
}

impl Answer {
    pub(super) fn plain(status: StatusCode) -> Answer {
        Answer { status, headers: HeaderMap::new() }
    }

    fn with(mut self, name: &HeaderName, value: impl Into<HeaderValue>) -> Answer {
        self.headers.insert(name, value.into());
        self
    }

    /// An upload that has become an asset does not expire for a client.
    fn expires(self, upload: &Upload) -> Answer {
        if upload.asset.is_some() {
            return self;
        }
        match http_date(upload.expires_at) {
            Some(date) => self.with(&UPLOAD_EXPIRES, date),
            None => self,
        }
    }

    pub(super) fn created(state: &AppState, upload: &Upload) -> Answer {
        let path = format!("{UPLOADS_PATH}/{}", upload.name);
        let located = HeaderValue::try_from(state.links.located(&path)).or_else(|_| HeaderValue::try_from(&path));
        let answer =
            Answer::plain(StatusCode::CREATED).with(&UPLOAD_OFFSET, upload.stored).asset(upload).expires(upload);
        match located {
            Ok(location) => answer.with(&header::LOCATION, location),
            Err(_) => answer,
        }
    }

    pub(super) fn patched(upload: &Upload) -> Answer {
        Answer::plain(StatusCode::NO_CONTENT).with(&UPLOAD_OFFSET, upload.stored).asset(upload).expires(upload)
    }

    pub(super) fn head(upload: &Upload) -> Answer {
        let mut answer =
            Answer::plain(StatusCode::OK).with(&header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer = match upload.len {
            Some(len) => answer.with(&UPLOAD_LENGTH, len),
            None => answer.with(&UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1")),
        };
        if !upload.metadata.is_empty() {
            // Written anew from decoded values, so that it always is one.
            answer = match HeaderValue::from_str(&upload.metadata) {
                Ok(metadata) => answer.with(&UPLOAD_METADATA, metadata),
                Err(_) => answer,
            };
        }
        let concat = match upload.kind {
            UploadKind::Whole => None,
            UploadKind::Part => Some("partial".to_owned()),
            UploadKind::Final => {
                let parts: Vec<String> = upload.parts.iter().map(|part| format!("{UPLOADS_PATH}/{part}")).collect();
                Some(format!("final;{}", parts.join(" ")))
            }
        };
        if let Some(Ok(concat)) = concat.map(|concat| HeaderValue::from_str(&concat)) {
            answer = answer.with(&UPLOAD_CONCAT, concat);
        }
        // "Concatenation": a final upload has an offset once its parts are joined, which ours are from the beginning
        // on.
        answer.with(&UPLOAD_OFFSET, upload.stored).asset(upload).expires(upload)
    }

    fn asset(self, upload: &Upload) -> Answer {
        let asset = upload.asset.as_ref().and_then(|asset| HeaderValue::try_from(asset.as_str()).ok());
        match asset {
            Some(asset) => self.with(&TELSTAR_ASSET, asset),
            None => self,
        }
    }
}

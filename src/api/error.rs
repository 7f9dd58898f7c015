//! Every HTTP error: RFC 9457 problem details with a stable `code`. No other file builds one.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use telstar_signaling::wire::ErrorCode;
use telstar_store::StoreError;
use tracing::error;
use utoipa::ToSchema;

use crate::auth::{AuthError, Denied, Reason};
use crate::vod::uploads::UploadError;

/// RFC 9457 §3.
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
/// Where each code is explained; the code follows. RFC 9457 §3.1.1 allows a relative reference.
const TYPE_BASE: &str = "/docs/problems#";
/// After how many seconds a request that met a full queue is worth repeating.
const RETRY_AFTER_SECS: u32 = 1;
/// After how many seconds it is worth looking again for a stream that is not live. Shorter: everybody who waits asks more
/// often; longer: the beginning is missed. Guess.
const RETRY_NOT_LIVE_SECS: u32 = 3;

/// tus 1.0, "Checksum": the status is the protocol's own.
const CHECKSUM_MISMATCH: StatusCode = match StatusCode::from_u16(460) {
    Ok(status) => status,
    Err(_) => panic!("three digits are a status"),
};

macro_rules! codes {
    ($( $(#[doc = $doc:literal])* $variant:ident = $code:literal, $status:expr, $title:literal; )*) => {
        /// What went wrong. The code is stable; titles and details may change their words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $( $(#[doc = $doc])* $variant, )* }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The stable word.
            pub fn as_str(self) -> &'static str {
                match self { $( Code::$variant => $code, )* }
            }

            /// The status it is answered with.
            pub fn status(self) -> StatusCode {
                match self { $( Code::$variant => $status, )* }
            }

            /// The same words for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $( Code::$variant => $title, )* }
            }
        }
    };
}

codes! {
    /// The request is not what the route takes, in a way that no other code names.
    BadRequest = "bad_request", StatusCode::BAD_REQUEST, "Bad request";
    /// The body is not JSON.
    BadJson = "bad_json", StatusCode::BAD_REQUEST, "Not JSON";
    /// The body is no session description, or no fragment of one.
    BadSdp = "bad_sdp", StatusCode::BAD_REQUEST, "Not SDP";
    /// No credential, or one that is not good any more.
    Unauthorised = "unauthorised", StatusCode::UNAUTHORIZED, "Sign in first";
    /// A one-time sign-in code that is unknown, used or expired.
    BadSignInCode = "bad_sign_in_code", StatusCode::UNAUTHORIZED, "This sign-in link is not good any more";
    /// An invite that is unknown, used up, expired or revoked.
    BadInvite = "bad_invite", StatusCode::UNAUTHORIZED, "This invite is not good any more";
    /// A good credential without the right.
    Forbidden = "forbidden", StatusCode::FORBIDDEN, "Not allowed";
    /// A signed-in browser's request that comes from another site.
    ForeignOrigin = "foreign_origin", StatusCode::FORBIDDEN, "From another site";
    /// No such thing, or none that this credential may know of.
    NotFound = "not_found", StatusCode::NOT_FOUND, "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed";
    /// The client took too long to send its request.
    RequestTimeout = "request_timeout", StatusCode::REQUEST_TIMEOUT, "Too slow";
    /// Something of that name exists.
    Conflict = "conflict", StatusCode::CONFLICT, "Already there";
    /// One more would be too many.
    LimitReached = "limit_reached", StatusCode::CONFLICT, "Limit reached";
    /// Room tokens are signed with an API key, and the account has none.
    NoApiKey = "no_api_key", StatusCode::CONFLICT, "No API key";
    /// Somebody else publishes into the room.
    InUse = "in_use", StatusCode::CONFLICT, "In use";
    /// Nothing is live that could be watched.
    NotLive = "not_live", StatusCode::CONFLICT, "Not live";
    /// A room whose browsers send to each other has no such thing.
    WrongMode = "wrong_mode", StatusCode::CONFLICT, "Not in a room of this mode";
    /// The upload is at another byte than the request says (`Upload-Offset`).
    WrongOffset = "wrong_offset", StatusCode::CONFLICT, "Another offset";
    /// It was there, and has been given up or deleted.
    Gone = "gone", StatusCode::GONE, "Gone";
    /// What the request is about is not what it was (`If-Match`).
    PreconditionFailed = "precondition_failed", StatusCode::PRECONDITION_FAILED, "Something else meanwhile";
    /// The body is too large.
    BodyTooLarge = "body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "Body too large";
    /// The body is of a type that the route does not take.
    UnsupportedMediaType = "unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type";
    /// The body is JSON, but its fields are not what they must be.
    InvalidFields = "invalid_fields", StatusCode::UNPROCESSABLE_ENTITY, "Invalid fields";
    /// The session description is well formed, but offers what cannot be taken.
    UnacceptableOffer = "unacceptable_offer", StatusCode::UNPROCESSABLE_ENTITY, "Unacceptable offer";
    /// Somebody else writes into it.
    Locked = "locked", StatusCode::LOCKED, "Locked";
    /// The request must say what it is about (`If-Match`).
    PreconditionRequired = "precondition_required", StatusCode::PRECONDITION_REQUIRED, "Say what it is about";
    /// Too many requests of this kind.
    TooManyRequests = "too_many_requests", StatusCode::TOO_MANY_REQUESTS, "Too many requests";
    /// The bytes that came are not those that the checksum is of.
    ChecksumMismatch = "checksum_mismatch", CHECKSUM_MISMATCH, "Another checksum";
    /// A bug of ours; the log says more.
    Internal = "internal", StatusCode::INTERNAL_SERVER_ERROR, "Internal error";
    /// The server has too much to do, or is shutting down.
    Unavailable = "unavailable", StatusCode::SERVICE_UNAVAILABLE, "Unavailable";
    /// The server has no room for it on its disk.
    DiskFull = "disk_full", StatusCode::INSUFFICIENT_STORAGE, "Disk full";
}

/// An HTTP error on its way out.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    /// Headers that belong to the answer, such as `Allow` and `Retry-After`.
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// An error as it stands in a body (RFC 9457).
#[derive(Serialize, ToSchema)]
pub struct ProblemBody {
    /// Where the code is explained, relative to the server.
    #[schema(example = "/docs/problems#not_found")]
    r#type: String,
    /// The same words for every occurrence of the code.
    title: &'static str,
    /// The status again.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened this time.
    detail: String,
    /// A stable word for programs.
    #[schema(example = "not_found")]
    code: &'static str,
}

impl Problem {
    /// An error with what happened this time, in a sentence without a secret.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        let problem = Problem { code, detail: detail.into(), headers: Vec::new() };
        match code {
            // RFC 9110 §11.6.1: a 401 names a scheme.
            Code::Unauthorised | Code::BadSignInCode | Code::BadInvite => {
                problem.with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            Code::Unavailable | Code::TooManyRequests => problem.retry_after_secs(RETRY_AFTER_SECS),
            _ => problem,
        }
    }

    /// Nothing there, or nothing that the credential may know of: both look the same.
    pub fn not_found(what: &str) -> Problem {
        Problem::new(Code::NotFound, format!("There is no such {what}."))
    }

    /// No credential, or a bad one.
    pub fn unauthorised() -> Problem {
        Problem::new(Code::Unauthorised, "This needs a signed-in browser or an API token.")
    }

    /// A bug of ours. The reason goes to the log only.
    pub fn internal(reason: impl std::fmt::Display) -> Problem {
        error!(%reason, "an internal error");
        Problem::new(Code::Internal, "The server failed. Its log says more.")
    }

    /// Adds a header to the answer, replacing one of the same name.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value));
        self
    }

    /// Says when to try again (RFC 9110 §10.2.3).
    pub fn retry_after_secs(self, secs: u32) -> Problem {
        self.with(header::RETRY_AFTER, HeaderValue::from(secs))
    }

    /// The stable word.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The body.
    pub fn body(&self) -> ProblemBody {
        ProblemBody {
            r#type: format!("{TYPE_BASE}{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone(),
            code: self.code.as_str(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body()).expect("strings and numbers always serialise");
        let mut response = (self.code.status(), body).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::NotFound(what) => Problem::not_found(what),
            StoreError::Conflict(what) => Problem::new(Code::Conflict, format!("That {what} exists already.")),
            StoreError::Limit { what, max } => {
                Problem::new(Code::LimitReached, format!("There can be at most {max} {what}."))
            }
            StoreError::Invalid(what) => {
                Problem::new(Code::InvalidFields, format!("The {what} cannot be kept as it is."))
            }
            StoreError::Busy => Problem::new(Code::Unavailable, "The server has too much to do; try again."),
            StoreError::Full => Problem::new(Code::DiskFull, "The disk is full."),
            StoreError::Closed => Problem::new(Code::Unavailable, "The server is shutting down."),
            StoreError::SchemaTooNew { .. } | StoreError::NotOurs | StoreError::Backend(_) => Problem::internal(error),
        }
    }
}

impl From<ErrorCode> for Problem {
    /// Why a call did not take an ingest or a viewer.
    fn from(code: ErrorCode) -> Problem {
        match code {
            ErrorCode::BadSdp | ErrorCode::NoCodec | ErrorCode::TooManyTracks => {
                Problem::new(Code::UnacceptableOffer, format!("The offer was not taken: {}.", code.detail()))
            }
            ErrorCode::NotFound => {
                Problem::new(Code::NotLive, "Nothing is live in this room.").retry_after_secs(RETRY_NOT_LIVE_SECS)
            }
            ErrorCode::WrongMode => Problem::new(Code::WrongMode, "In this room browsers send to each other."),
            ErrorCode::Forbidden => Problem::new(Code::Forbidden, "This credential does not allow that."),
            _ => Problem::new(Code::Unavailable, "The server has too much to do; try again."),
        }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Problem {
        let text = sentence(&error);
        match error {
            UploadError::NotFound => Problem::not_found("upload"),
            UploadError::Off | UploadError::Final => Problem::new(Code::Forbidden, text),
            UploadError::Gone => Problem::new(Code::Gone, text),
            UploadError::WrongOffset(_) | UploadError::Store(StoreError::Conflict("offset")) => {
                Problem::new(Code::WrongOffset, text)
            }
            UploadError::TooLong | UploadError::Broken => Problem::new(Code::BadRequest, text),
            UploadError::TooLarge(_) => Problem::new(Code::BodyTooLarge, text),
            UploadError::Mismatch => Problem::new(Code::ChecksumMismatch, text),
            UploadError::Busy => Problem::new(Code::Locked, text),
            UploadError::Crowded => Problem::new(Code::Unavailable, text).retry_after_secs(RETRY_AFTER_SECS),
            UploadError::NoRoom => Problem::new(Code::LimitReached, text),
            UploadError::DiskFull => Problem::new(Code::DiskFull, text),
            UploadError::Store(StoreError::Invalid(_)) => Problem::new(Code::BadRequest, text),
            UploadError::Store(error) => error.into(),
            UploadError::Blob(_) | UploadError::NoRandomness(_) => Problem::internal(error),
        }
    }
}

/// An error's words as a sentence.
fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut characters = text.chars();
    let first: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", characters.as_str())
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Problem {
        match error {
            AuthError::Rejected(Reason::ForeignOrigin) => {
                Problem::new(Code::ForeignOrigin, "A signed-in browser must send this from a page of this server.")
            }
            // Why a credential is not good tells a guesser something, so nobody is told.
            AuthError::Rejected(_) => Problem::new(Code::Unauthorised, "This credential is not good."),
            AuthError::Store(error) => error.into(),
            AuthError::Lifetime { max } => {
                Problem::new(Code::InvalidFields, format!("expires_in_secs must be from 1 to {max}."))
            }
            AuthError::NoApiKey => {
                Problem::new(Code::NoApiKey, "The account has no API key to sign with: make one at /api/v1/api-keys.")
            }
            AuthError::Random(_) | AuthError::Sealed(_) => Problem::internal(error),
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Problem {
        match denied {
            Denied::Unauthenticated => Problem::unauthorised(),
            Denied::Forbidden => Problem::new(Code::Forbidden, "This credential does not allow that."),
            Denied::NotFound => Problem::not_found("room"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_distinct_words() {
        let words: HashSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for word in words {
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{word}");
        }
    }

    #[test]
    fn a_problem_repeats_its_status_and_names_its_code() {
        for code in Code::ALL {
            let response = Problem::new(*code, "x").into_response();
            assert_eq!(response.status(), code.status());
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        }
    }
}

//! What clients send.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::call_request::CallRequest;
use super::text::Secret;
use crate::limits::{PENDING_MAX, REQUEST_ID_BYTES_MAX, TOKEN_BYTES_MAX};

/// The name that a client gives to a request; the reply repeats it as `re`.
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum RequestId {
    /// A number.
    Number(serde_json::Number),
    /// A text of at most 64 bytes.
    Text(#[cfg_attr(test, schemars(length(max = "REQUEST_ID_BYTES_MAX")))] String),
}

/// A request, without its id.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Request {
    /// Says who this connection is.
    Authenticate {
        /// An API token, a room token or a playback token.
        #[cfg_attr(test, schemars(length(max = "TOKEN_BYTES_MAX")))]
        token: String,
    },
    /// Asks for a topic's state and its events from then on.
    Subscribe {
        /// The topic: `rooms` or `room:{name}`.
        topic: String,
        /// Whether this connection counts as a viewer of the room.
        #[serde(default)]
        watch: bool,
    },
    /// Ends a subscription.
    Unsubscribe {
        /// The topic.
        topic: String,
    },
    /// Takes up a call whose socket was lost. The first message of a socket.
    Resume {
        /// Which.
        session: Secret,
        /// That it is ours.
        secret: Secret,
        /// The last event that was received; 0 for none.
        seq: u64,
        /// The requests that have no reply yet.
        #[serde(default)]
        #[cfg_attr(test, schemars(length(max = "PENDING_MAX")))]
        pending: Vec<RequestId>,
    },
    /// Asks for a reply and nothing else: browsers cannot send WebSocket pings.
    Ping,
}

/// The `type` of every [`Request`].
pub const REQUEST_TYPES: [&str; 5] = ["authenticate", "subscribe", "unsubscribe", "resume", "ping"];

/// What a text message turned out to be.
pub enum Parsed {
    /// A request that can be carried out.
    Request(RequestId, Request),
    /// One of a call's.
    Call(RequestId, CallRequest),
    /// A request of a type that this server does not know.
    UnknownType(RequestId),
    /// A request of a known type whose fields are missing or of the wrong type.
    BadFields(RequestId),
}

/// Why a message cannot even be answered. The connection closes with 4400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not a JSON object, or it has no usable `id` and `type`.
    #[error("not a request: a JSON object with id and type")]
    NoEnvelope,
    /// Nested deeper than the limit.
    #[error("nested too deep")]
    TooDeep,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: RequestId,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

/// Reads one text message. The caller has checked its length.
pub fn parse(text: &str, depth_max: usize) -> Result<Parsed, Unreadable> {
    if depth_exceeds(text, depth_max) {
        return Err(Unreadable::TooDeep);
    }
    // serde reads a struct from an array as well; the protocol does not.
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(Unreadable::NoEnvelope);
    }
    let Envelope { id, kind } = serde_json::from_str(text).map_err(|_| Unreadable::NoEnvelope)?;
    if !id.is_usable() {
        return Err(Unreadable::NoEnvelope);
    }
    if let Some(request) = CallRequest::parse(&kind, text) {
        return Ok(match request {
            Ok(request) => Parsed::Call(id, request),
            Err(_) => Parsed::BadFields(id),
        });
    }
    if !REQUEST_TYPES.contains(&kind.as_ref()) {
        return Ok(Parsed::UnknownType(id));
    }
    match serde_json::from_str(text) {
        Ok(Request::Authenticate { token }) if token.len() > TOKEN_BYTES_MAX => Ok(Parsed::BadFields(id)),
        Ok(Request::Resume { pending, .. }) if !are_usable(&pending) => Ok(Parsed::BadFields(id)),
        Ok(request) => Ok(Parsed::Request(id, request)),
        Err(_) => Ok(Parsed::BadFields(id)),
    }
}

impl RequestId {
    fn is_usable(&self) -> bool {
        !matches!(self, RequestId::Text(text) if text.len() > REQUEST_ID_BYTES_MAX)
    }
}

fn are_usable(ids: &[RequestId]) -> bool {
    ids.len() <= PENDING_MAX && ids.iter().all(RequestId::is_usable)
}

/// Whether arrays and objects are nested deeper than `depth_max`, without building anything. The text may be any text.
fn depth_exceeds(text: &str, depth_max: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > depth_max {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::JSON_DEPTH_MAX;
    use proptest::prelude::*;

    /// One word for what a text is read as.
    fn verdict(text: &str) -> &'static str {
        match parse(text, JSON_DEPTH_MAX) {
            Ok(Parsed::Request(_, Request::Authenticate { .. })) => "authenticate",
            Ok(Parsed::Request(_, Request::Subscribe { watch: false, .. })) => "subscribe",
            Ok(Parsed::Request(_, Request::Subscribe { watch: true, .. })) => "subscribe and watch",
            Ok(Parsed::Request(_, Request::Unsubscribe { .. })) => "unsubscribe",
            Ok(Parsed::Request(_, Request::Ping)) => "ping",
            Ok(Parsed::Request(_, Request::Resume { .. })) => "resume",
            Ok(Parsed::Call(..)) => "call",
            Ok(Parsed::UnknownType(_)) => "unknown type",
            Ok(Parsed::BadFields(_)) => "bad fields",
            Err(Unreadable::NoEnvelope) => "no envelope",
            Err(Unreadable::TooDeep) => "too deep",
        }
    }

    #[test]
    fn messages_are_read_as_documented() {
        let deep = |depth: usize| {
            format!(r#"{{"id":1,"type":"ping","x":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1))
        };
        let long_id = format!(r#"{{"id":"{}","type":"ping"}}"#, "a".repeat(REQUEST_ID_BYTES_MAX + 1));
        let long_token = format!(r#"{{"id":1,"type":"authenticate","token":"{}"}}"#, "a".repeat(TOKEN_BYTES_MAX + 1));
        for (text, expect) in [
            (r#"{"id":1,"type":"ping"}"#, "ping"),
            (r#" {"type":"ping","id":"a","extra":{"x":[1]}} "#, "ping"),
            (r#"{"id":1.5,"type":"\u0070ing"}"#, "ping"),
            (r#"{"id":1,"type":"authenticate","token":"tst_x"}"#, "authenticate"),
            (r#"{"id":1,"type":"subscribe","topic":"rooms"}"#, "subscribe"),
            (r#"{"id":1,"type":"subscribe","topic":"rooms","watch":true}"#, "subscribe and watch"),
            (r#"{"id":1,"type":"unsubscribe","topic":"rooms"}"#, "unsubscribe"),
            (r#"{"id":1,"type":"Ping"}"#, "unknown type"),
            (r#"{"id":1,"type":""}"#, "unknown type"),
            (r#"{"id":1,"type":"authenticate"}"#, "bad fields"),
            (r#"{"id":1,"type":"subscribe","topic":7}"#, "bad fields"),
            (r#"{"id":1,"type":"subscribe","topic":"rooms","watch":"yes"}"#, "bad fields"),
            (&long_token, "bad fields"),
            (r#"{"id":null,"type":"ping"}"#, "no envelope"),
            (r#"{"id":[1],"type":"ping"}"#, "no envelope"),
            (r#"{"type":"ping"}"#, "no envelope"),
            (r#"{"id":1}"#, "no envelope"),
            (r#"{"id":1,"id":2,"type":"ping"}"#, "no envelope"),
            (r#"[1,"ping"]"#, "no envelope"),
            (r#"{"id":1,"type":"ping"}{}"#, "no envelope"),
            (&long_id, "no envelope"),
            ("", "no envelope"),
            ("null", "no envelope"),
            (&deep(JSON_DEPTH_MAX), "ping"),
            (&deep(JSON_DEPTH_MAX + 1), "too deep"),
            (&"[".repeat(60_000), "too deep"),
            (r#"{"id":"[[[[[[[[[[[[[[[[[[\"{{{{{{","type":"ping"}"#, "ping"),
        ] {
            assert_eq!(verdict(text), expect, "{text}");
        }
    }

    #[test]
    fn a_message_truncated_at_any_byte_is_refused_whole() {
        for text in [
            r#"{"id":1,"type":"authenticate","token":"회의실"}"#,
            r#"{"id":"a\"b","type":"subscribe","topic":"room:demo","watch":true}"#,
            r#"{"type":"ping","id":12,"x":{"y":[{}]}}"#,
        ] {
            for length in (0..text.len()).filter(|length| text.is_char_boundary(*length)) {
                assert_eq!(verdict(&text[..length]), "no envelope", "{}", &text[..length]);
            }
        }
    }

    #[test]
    fn every_request_type_is_listed() {
        for kind in REQUEST_TYPES {
            let text =
                format!(r#"{{"id":1,"type":"{kind}","topic":"rooms","token":"t","session":"s","secret":"s","seq":0}}"#);
            assert_eq!(verdict(&text), kind);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = verdict(&text);
        }

        #[test]
        fn no_text_that_looks_like_json_panics(text in r#"[\[\]{}":,\\a-z0-9e.+ -]{0,200}"#) {
            let _ = verdict(&text);
        }
    }
}

//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): the HTTP of both, and the session resource that both have.
//!
//! In: offers, candidates, ICE restarts, DELETE. Out: answers, and a session for each, whose address is its secret.
//! What an offer becomes is the adapters': [`crate::ingest::whip`] and [`crate::output::whep`], which do not know each other.
//!
//! - `http`: the routes, their headers, and CORS;
//! - `access`: who may begin a session, and who may go on with one;
//! - `registry`: the sessions there are, and how many there may be;
//! - `session`: one session's task;
//! - `ice`: what a PATCH means: the core of a session;
//! - `fragment`: fragments of SDP (RFC 8840 §9).

mod access;
mod fragment;
mod http;
mod ice;
mod registry;
mod session;

pub use http::router;
pub use registry::Whx;

//! The way out to a subscriber, beyond ICE and DTLS.
//!
//! In: what is forwarded, RTCP that comes. Out: datagrams.
#![allow(dead_code, unused_imports)] // until the engine sends by it

pub(crate) mod rtcp;
pub(crate) mod srtp;

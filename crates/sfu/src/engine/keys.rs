//! SRTP's keys of a subscribing connection: taken from its DTLS handshake and kept from the engine.
//!
//! Media towards subscribers is ours (`egress.rs`), so the engine must not have the keys as well: two writers under one key would
//! use the same nonce twice, which AES-GCM does not survive (RFC 7714 §8). Without keys the engine sends and reads no RTP and RTCP.
//!
//! The engine's DTLS is replaceable as a whole; what stands in its place here has an ear at the outputs.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::config::CryptoProvider;
use str0m::crypto::dtls::{DtlsOutput, SrtpProfile};
use str0m::crypto::from_feature_flags;

use super::dtls::ByHello;
use crate::egress::srtp::{Keys, Profile};

/// What we send under, and what the peer does.
pub(crate) struct Pair {
    pub(crate) ours: Keys,
    pub(crate) theirs: Keys,
}

/// Where a handshake leaves them.
pub(super) type Cell = Arc<OnceLock<Pair>>;

thread_local! {
    /// The cell of the connection that was made last: an engine makes its DTLS while it is built.
    static NEWEST: RefCell<Option<Cell>> = const { RefCell::new(None) };
}

/// The engine's cryptography, with an ear at the handshake.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| with(&ByHello { with_ear: true })).clone()
}

/// The same without the ear, for connections whose SRTP is the engine's.
pub(super) fn provider_with_srtp() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| with(&ByHello { with_ear: false })).clone()
}

fn with(dtls_provider: &'static ByHello) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { dtls_provider, ..from_feature_flags() })
}

/// The cell of the engine that this thread built last with [`provider`].
pub(super) fn newest() -> Cell {
    NEWEST.take().unwrap_or_default()
}

/// Keeps the keys of one handshake.
pub(super) struct Ear {
    cell: Cell,
    made: Instant,
}

impl Ear {
    /// Of the connection that this thread makes now.
    pub(super) fn new(now: Instant) -> Ear {
        let cell = Cell::default();
        NEWEST.set(Some(cell.clone()));
        Ear { cell, made: now }
    }

    /// What the handshake says, without keys.
    pub(super) fn hear<'a>(&self, is_active: bool, output: DtlsOutput<'a>) -> DtlsOutput<'a> {
        let DtlsOutput::KeyingMaterial(material, profile) = output else { return output };
        if let Some(pair) = split(is_active, &material, profile) {
            // Once per connection: there is no renegotiation (RFC 9147 §2).
            let _ = self.cell.set(pair);
        }
        // A time that has passed: the engine comes back at once for what follows.
        DtlsOutput::Timeout(self.made)
    }
}

fn split(is_client: bool, material: &[u8], profile: SrtpProfile) -> Option<Pair> {
    let profile = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Profile::Aes128CmSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
        _ => return None,
    };
    let (client, server) = Keys::split(profile, material)?;
    Some(if is_client { Pair { ours: client, theirs: server } } else { Pair { ours: server, theirs: client } })
}

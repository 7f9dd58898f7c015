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
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{CryptoError, from_feature_flags};

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

/// The engine's cryptography, with the ear.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(CryptoProvider { dtls_provider: &Ear, ..from_feature_flags() })).clone()
}

/// The same without the ear, for connections whose SRTP is the engine's.
pub(super) fn provider_with_srtp() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(CryptoProvider { dtls_provider: &ByHello, ..from_feature_flags() })).clone()
}

/// The cell of the engine that this thread built last with [`provider`].
pub(super) fn newest() -> Cell {
    NEWEST.take().unwrap_or_default()
}

#[derive(Debug)]
struct Ear;

impl DtlsProvider for Ear {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        ByHello.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = ByHello.new_dtls(certificate, now, version, mtu)?;
        let cell = Cell::default();
        NEWEST.set(Some(cell.clone()));
        Ok(Box::new(Listening { inner, cell, made: now }))
    }
}

struct Listening {
    inner: Box<dyn DtlsInstance>,
    cell: Cell,
    made: Instant,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening").finish_non_exhaustive()
    }
}

impl DtlsInstance for Listening {
    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.inner.poll_output(buffer) {
            DtlsOutput::KeyingMaterial(material, profile) => {
                let pair = split(self.inner.is_active(), &material, profile);
                if let Some(pair) = pair {
                    // Once per connection: there is no renegotiation (RFC 9147 §2).
                    let _ = self.cell.set(pair);
                }
                // A time that has passed: the engine comes back at once for what follows.
                DtlsOutput::Timeout(self.made)
            }
            other => other,
        }
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
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

//! Which DTLS a connection gets.
//!
//! The engine's own knows DTLS 1.3, and only ECDSA (docs/adr/0018). GStreamer, and what else stands on OpenSSL's DTLS, brings a
//! certificate with an RSA key, of which the first message says nothing; but none of these offers 1.3. So who offers
//! no more than 1.2 is answered by the DTLS of webrtc-rs, which takes both kinds of certificates.

pub(crate) mod hello;
mod only12;

use std::time::Instant;

use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};
use str0m::crypto::{CryptoError, from_feature_flags};

use super::keys::Ear;
use hello::{Hello, Offers};
use only12::Only12;

/// For the fuzzer: what a peer without DTLS 1.3 meets.
pub(crate) fn only12(now: Instant) -> Option<impl DtlsInstance> {
    Only12::new(&generate_certificate()?, now, None)
}

/// Makes connections that choose by the peer's first message.
#[derive(Debug)]
pub(super) struct ByHello {
    /// SRTP's keys are kept from the engine (`keys.rs`).
    pub(super) with_ear: bool,
}

impl DtlsProvider for ByHello {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let chosen = from_feature_flags().dtls_provider.new_dtls(certificate, now, version, mtu)?;
        let undecided = Some(Undecided {
            certificate: certificate.clone(),
            mtu,
            now,
            hello: Hello::default(),
            waiting: Vec::new(),
        });
        let ear = self.with_ear.then(|| Ear::new(now));
        Ok(Box::new(Chosen { chosen, undecided, ear }))
    }
}

fn generate_certificate() -> Option<DtlsCert> {
    from_feature_flags().dtls_provider.generate_certificate()
}

/// What the other DTLS would be made from.
struct Undecided {
    certificate: DtlsCert,
    mtu: Option<usize>,
    now: Instant,
    hello: Hello,
    /// The datagrams that it came in, for the one that is chosen. As many as a hello has pieces.
    waiting: Vec<Vec<u8>>,
}

/// One of the two; the engine's until the peer's first message came.
struct Chosen {
    chosen: Box<dyn DtlsInstance>,
    undecided: Option<Undecided>,
    ear: Option<Ear>,
}

impl std::fmt::Debug for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chosen").field("decided", &self.undecided.is_none()).finish_non_exhaustive()
    }
}

impl DtlsInstance for Chosen {
    fn set_active(&mut self, active: bool) {
        if active {
            // Who begins speaks first, and what it offers is the engine's.
            self.undecided = None;
        }
        self.chosen.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        let Some(undecided) = &mut self.undecided else { return self.chosen.handle_packet(packet) };
        if packet.is_empty() {
            // The engine's way to have the first message made, of which there is none on this side.
            return Ok(());
        }
        undecided.waiting.push(packet.to_vec());
        let Some(offers) = undecided.hello.read(packet) else { return Ok(()) };
        if offers == Offers::UpTo12
            && let Some(other) = Only12::new(&undecided.certificate, undecided.now, undecided.mtu)
        {
            self.chosen = Box::new(other);
        }
        let waiting = std::mem::take(&mut undecided.waiting);
        self.undecided = None;
        waiting.iter().try_for_each(|packet| self.chosen.handle_packet(packet))
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.chosen.poll_output(buffer);
        match &self.ear {
            Some(ear) => ear.hear(self.chosen.is_active(), output),
            None => output,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        if let Some(undecided) = &mut self.undecided {
            undecided.now = now;
        }
        self.chosen.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.chosen.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.chosen.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.chosen.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.chosen.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.chosen.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.chosen.close()
    }
}

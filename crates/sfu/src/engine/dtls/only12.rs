//! DTLS 1.2 by webrtc-rs, as the side that answers.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_crypto::providers::RingProvider;
use rtc_crypto::{RTCCryptoProvider, SignatureScheme};
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::{Certificate, CryptoPrivateKey};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, KeyingMaterial, ProtocolVersion, SrtpProfile,
};

use super::hello::is_application_data;

/// Datagrams that may carry anything but data, in a connection's life. A handshake takes four, one that loses much takes
/// thirty; what is above is somebody who fills the memory of a handshake that he does not mean to end.
const HANDSHAKE_DATAGRAMS_MAX: u32 = 256;
/// Data that waits to be fetched. Above that a datagram is lost, which SCTP sends again.
const DATA_WAITING_MAX: usize = 256;
/// A time at which nothing has to be done.
const NOTHING_TO_DO: Duration = Duration::from_secs(3600);
/// What the keys of SRTP are exported under (RFC 5764 §4.2).
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";
/// Several peers are told apart by their addresses; here there is one, and the engine knows where it is.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// In the order in which we want them: as the engine's own has them.
const PROFILES: [(SrtpProtectionProfile, SrtpProfile); 3] = [
    (SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm, SrtpProfile::AEAD_AES_256_GCM),
    (SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm, SrtpProfile::AEAD_AES_128_GCM),
    (SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80, SrtpProfile::AES128_CM_SHA1_80),
];

/// One connection that the peer begins.
pub(super) struct Only12 {
    /// Never locked: the engine's trait asks for `Sync`, which webrtc-rs's ciphers are not, and all that is done here has the
    /// instance to itself.
    endpoint: Mutex<Endpoint>,
    now: Instant,
    handshake_datagrams: u32,
    happened: VecDeque<Happened>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Handshaking,
    Connected,
    Closed,
}

/// What the engine fetches.
enum Happened {
    Packet(BytesMut),
    PeerCertificate(Vec<u8>),
    Keys(KeyingMaterial, SrtpProfile),
    Connected,
    Data(BytesMut),
    ClosedByPeer,
}

impl Only12 {
    /// `None`: the certificate is none that signs with ECDSA on P-256, as ours do.
    pub(super) fn new(certificate: &DtlsCert, now: Instant, mtu: Option<usize>) -> Option<Only12> {
        let config = Arc::new(config(certificate, mtu)?);
        let endpoint = Endpoint::new(PEER, TransportProtocol::UDP, Some(config));
        Some(Only12 {
            endpoint: Mutex::new(endpoint),
            now,
            handshake_datagrams: 0,
            happened: VecDeque::new(),
            state: State::Handshaking,
        })
    }

    fn endpoint(&mut self) -> &mut Endpoint {
        self.endpoint.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch_packets(&mut self) {
        while let Some(packet) = self.endpoint().poll_transmit() {
            self.happened.push_back(Happened::Packet(packet.message));
        }
    }

    fn on_event(&mut self, event: EndpointEvent) -> Result<(), DtlsImplError> {
        match event {
            EndpointEvent::HandshakeComplete => self.on_handshake_complete(),
            EndpointEvent::ApplicationData(data) => {
                if self.happened.len() < DATA_WAITING_MAX {
                    self.happened.push_back(Happened::Data(data));
                }
                Ok(())
            }
            EndpointEvent::PeerClosed => {
                self.state = State::Closed;
                self.happened.push_back(Happened::ClosedByPeer);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The certificate comes before the keys: the engine compares its fingerprint, and uses no key of another's.
    fn on_handshake_complete(&mut self) -> Result<(), DtlsImplError> {
        let state = self.endpoint().get_connection_state(PEER).ok_or(DtlsImplError::ConnectionClosed)?;
        let certificate = state.peer_certificates.first().ok_or(DtlsImplError::ConnectionClosed)?.clone();
        let negotiated = state.srtp_protection_profile();
        let (_, profile) =
            PROFILES.into_iter().find(|(ours, _)| *ours == negotiated).ok_or(DtlsImplError::ConnectionClosed)?;
        let material = state
            .export_keying_material(EXPORTER_LABEL, &[], profile.keying_material_len())
            .map_err(|_| DtlsImplError::ConnectionClosed)?;
        self.state = State::Connected;
        self.happened.push_back(Happened::PeerCertificate(certificate));
        self.happened.push_back(Happened::Keys(KeyingMaterial::new(material.as_ref()), profile));
        self.happened.push_back(Happened::Connected);
        Ok(())
    }
}

fn config(certificate: &DtlsCert, mtu: Option<usize>) -> Option<HandshakeConfig> {
    let provider: Arc<dyn RTCCryptoProvider> = Arc::new(RingProvider::new());
    let key = provider.crypto().import_signing_key(SignatureScheme::EcdsaP256Sha256, &certificate.private_key).ok()?;
    let certificate = Certificate {
        certificate: vec![certificate.certificate.clone().into()],
        private_key: CryptoPrivateKey::from_signing_key(key),
    };
    ConfigBuilder::default()
        .with_crypto_provider(provider)
        .with_certificates(vec![certificate])
        .with_srtp_protection_profiles(PROFILES.map(|(profile, _)| profile).to_vec())
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        // No authority vouches for it: the engine compares its fingerprint with the offer's (RFC 8122 §5).
        .with_insecure_skip_verify(true)
        .with_extended_master_secret(ExtendedMasterSecretType::Require)
        .with_mtu(mtu.unwrap_or_default())
        .build(false, None)
        .ok()
}

impl std::fmt::Debug for Only12 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Only12").field("connected", &(self.state == State::Connected)).finish_non_exhaustive()
    }
}

impl DtlsInstance for Only12 {
    fn set_active(&mut self, active: bool) {
        debug_assert!(!active, "it was made because the peer began");
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        if self.state == State::Closed {
            return Err(DtlsImplError::ConnectionClosed);
        }
        if self.state == State::Handshaking || !is_application_data(packet) {
            if self.handshake_datagrams == HANDSHAKE_DATAGRAMS_MAX {
                return Err(DtlsImplError::ReceiveQueueFull);
            }
            self.handshake_datagrams += 1;
        }
        let now = self.now;
        let read = self.endpoint().read(now, PEER, None, packet.into());
        self.fetch_packets();
        for event in read.map_err(|error| refused(&error))? {
            self.on_event(event)?;
        }
        Ok(())
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let waiting = match self.happened.front() {
            Some(Happened::Packet(bytes) | Happened::Data(bytes)) => bytes.len(),
            Some(Happened::PeerCertificate(bytes)) => bytes.len(),
            _ => 0,
        };
        if waiting > buffer.len() {
            return DtlsOutput::BufferTooSmall { needed: waiting };
        }
        match self.happened.pop_front() {
            Some(Happened::Packet(bytes)) => DtlsOutput::Packet(copied(&bytes, buffer)),
            Some(Happened::Data(bytes)) => DtlsOutput::ApplicationData(copied(&bytes, buffer)),
            Some(Happened::PeerCertificate(bytes)) => DtlsOutput::PeerCert(copied(&bytes, buffer)),
            Some(Happened::Keys(material, profile)) => DtlsOutput::KeyingMaterial(material, profile),
            Some(Happened::Connected) => DtlsOutput::Connected,
            Some(Happened::ClosedByPeer) => DtlsOutput::CloseNotify,
            None => {
                let idle = self.now + NOTHING_TO_DO;
                DtlsOutput::Timeout(self.endpoint().poll_timeout(&PEER).unwrap_or(idle))
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        // Before the first message there is nothing to send again.
        if self.endpoint().get_connection_state(PEER).is_none() {
            return Ok(());
        }
        let timed = self.endpoint().handle_timeout(PEER, now);
        self.fetch_packets();
        timed.map_err(|error| refused(&error))
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        match self.state {
            // Nothing is taken: the engine keeps it until the handshake is through.
            State::Handshaking => Ok(0),
            State::Closed => Err(DtlsImplError::ConnectionClosed),
            State::Connected => {
                let now = self.now;
                self.endpoint().write(now, PEER, data).map_err(|error| refused(&error))?;
                self.fetch_packets();
                Ok(data.len())
            }
        }
    }

    fn is_active(&self) -> bool {
        false
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        (self.state == State::Connected).then_some(ProtocolVersion::DTLS1_2)
    }

    fn is_closing(&self) -> bool {
        self.state == State::Closed
    }

    fn is_closed(&self) -> bool {
        self.state == State::Closed && self.happened.is_empty()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        let now = self.now;
        self.endpoint().stop(now, PEER);
        self.state = State::Closed;
        self.fetch_packets();
        Ok(())
    }
}

fn copied<'a>(bytes: &[u8], buffer: &'a mut [u8]) -> &'a [u8] {
    let filled = &mut buffer[..bytes.len()];
    filled.copy_from_slice(bytes);
    filled
}

/// The engine goes on after an error of a datagram, whose sender nobody has authenticated; the words are for the log.
fn refused(error: &rtc_shared::error::Error) -> DtlsImplError {
    tracing::debug!(%error, "DTLS 1.2: a datagram or a handshake was refused");
    DtlsImplError::ConnectionClosed
}

#[cfg(test)]
mod tests;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use str0m::crypto::dtls::{DtlsProvider, DtlsVersion};

use super::super::{ByHello, generate_certificate};
use super::*;

/// The peer: the other end of the same library, which begins.
struct Client {
    endpoint: Endpoint,
    /// What it exported, once it is connected.
    keys: Option<Vec<u8>>,
    received: Vec<Vec<u8>>,
}

#[derive(Clone, Copy)]
enum Key {
    Rsa,
    Ecdsa,
}

fn key(kind: Key) -> (rcgen::KeyPair, SignatureScheme) {
    match kind {
        Key::Ecdsa => (rcgen::KeyPair::generate().expect("a key"), SignatureScheme::EcdsaP256Sha256),
        Key::Rsa => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
            let der: Pkcs8V1Der<'static> = key.as_der().expect("it can be written");
            let key = rcgen::KeyPair::try_from(der.as_ref()).expect("it can be read");
            (key, SignatureScheme::RsaPkcs1Sha256)
        }
    }
}

impl Client {
    fn new(kind: Key, now: Instant) -> (Client, Vec<u8>) {
        let (key, scheme) = key(kind);
        let parameters = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        let certificate = parameters.self_signed(&key).expect("it signs").der().to_owned();
        let provider: Arc<dyn RTCCryptoProvider> = Arc::new(RingProvider::new());
        let signing = provider.crypto().import_signing_key(scheme, &key.serialize_der()).expect("it is taken");
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider)
            .with_certificates(vec![Certificate {
                certificate: vec![certificate.clone()],
                private_key: CryptoPrivateKey::from_signing_key(signing),
            }])
            .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm])
            .with_insecure_skip_verify(true)
            .build(true, Some(PEER))
            .expect("it can be used");
        let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, None);
        endpoint.connect(now, PEER, Arc::new(config), None).expect("it begins");
        (Client { endpoint, keys: None, received: Vec::new() }, certificate.to_vec())
    }

    fn read(&mut self, now: Instant, packet: &[u8]) {
        if self.endpoint.get_connection_state(PEER).is_none() {
            // It has gone, and what comes still is the answer to that.
            return;
        }
        for event in self.endpoint.read(now, PEER, None, packet.into()).expect("nothing is wrong with it") {
            match event {
                EndpointEvent::HandshakeComplete => {
                    let state = self.endpoint.get_connection_state(PEER).expect("it is there");
                    let keys = state.export_keying_material(EXPORTER_LABEL, &[], 56).expect("it is connected");
                    self.keys = Some(keys.as_ref().to_vec());
                }
                EndpointEvent::ApplicationData(data) => self.received.push(data.to_vec()),
                _ => {}
            }
        }
    }
}

/// What came out of ours, besides packets.
#[derive(Default)]
struct Seen {
    certificate: Option<Vec<u8>>,
    keys: Option<Vec<u8>>,
    connected: bool,
    data: Vec<Vec<u8>>,
    closed: bool,
}

/// Lets everything go back and forth until nobody says anything. A datagram that `is_lost` is not delivered; time passes
/// as long as somebody waits for it.
fn exchange(
    ours: &mut dyn DtlsInstance,
    client: &mut Client,
    now: &mut Instant,
    mut is_lost: impl FnMut() -> bool,
) -> Seen {
    let mut seen = Seen::default();
    let mut buffer = vec![0; 2_000];
    for _ in 0..40 {
        ours.handle_timeout(*now).expect("it goes on");
        let mut is_quiet = true;
        while let Some(packet) = client.endpoint.poll_transmit() {
            is_quiet = false;
            if !is_lost() {
                ours.handle_packet(&packet.message).expect("nothing is wrong with it");
            }
        }
        let timeout = loop {
            match ours.poll_output(&mut buffer) {
                DtlsOutput::Packet(packet) => {
                    is_quiet = false;
                    if !is_lost() {
                        client.read(*now, packet);
                    }
                }
                DtlsOutput::PeerCert(der) => seen.certificate = Some(der.to_vec()),
                DtlsOutput::KeyingMaterial(material, profile) => {
                    assert!(seen.certificate.is_some(), "who it is comes first");
                    assert_eq!(profile, SrtpProfile::AEAD_AES_128_GCM);
                    seen.keys = Some(material.as_ref().to_vec());
                }
                DtlsOutput::Connected => seen.connected = true,
                DtlsOutput::ApplicationData(data) => seen.data.push(data.to_vec()),
                DtlsOutput::CloseNotify => seen.closed = true,
                DtlsOutput::Timeout(at) => break at,
                other => panic!("{other:?}"),
            }
        };
        if is_quiet {
            let next = client.endpoint.poll_timeout(&PEER).map_or(timeout, |at| at.min(timeout));
            if next >= *now + NOTHING_TO_DO {
                return seen;
            }
            *now = next.max(*now);
            client.endpoint.handle_timeout(PEER, *now).expect("it goes on");
        }
    }
    seen
}

fn ours(now: Instant) -> Box<dyn DtlsInstance> {
    let certificate = generate_certificate().expect("there is randomness");
    let mut ours =
        ByHello { with_ear: false }.new_dtls(&certificate, now, DtlsVersion::Auto, Some(1_200)).expect("it is made");
    ours.set_active(false);
    ours
}

#[test]
fn peers_with_rsa_and_with_ecdsa_certificates_connect_and_talk() {
    for kind in [Key::Rsa, Key::Ecdsa] {
        let mut now = Instant::now();
        let (mut ours, (mut client, certificate)) = (ours(now), Client::new(kind, now));
        let seen = exchange(&mut *ours, &mut client, &mut now, || false);
        assert!(seen.connected);
        assert_eq!(seen.certificate, Some(certificate));
        assert!(seen.keys.is_some() && seen.keys == client.keys);
        assert_eq!(ours.protocol_version(), Some(ProtocolVersion::DTLS1_2));

        assert_eq!(ours.send_application_data(b"from us").expect("it goes out"), 7);
        client.endpoint.write(now, PEER, b"from the peer").expect("it goes out");
        let seen = exchange(&mut *ours, &mut client, &mut now, || false);
        assert_eq!((seen.data, client.received.clone()), (vec![b"from the peer".to_vec()], vec![b"from us".to_vec()]));

        client.endpoint.close(now).expect("it ends");
        assert!(exchange(&mut *ours, &mut client, &mut now, || false).closed);
        assert!(ours.is_closed() && ours.handle_packet(&[22]).is_err());
    }
}

#[test]
fn a_handshake_gets_through_whichever_datagram_is_lost() {
    for lost in 0..9 {
        let mut now = Instant::now();
        let (mut ours, (mut client, _)) = (ours(now), Client::new(Key::Rsa, now));
        let mut count = 0;
        let seen = exchange(&mut *ours, &mut client, &mut now, || {
            count += 1;
            count - 1 == lost
        });
        assert!(seen.connected && client.keys == seen.keys && client.keys.is_some(), "without datagram {lost}");
    }
}

#[test]
fn nothing_is_taken_before_the_handshake_is_through() {
    let now = Instant::now();
    let certificate = generate_certificate().expect("there is randomness");
    let mut ours = Only12::new(&certificate, now, None).expect("it is one of ours");
    assert_eq!(ours.send_application_data(b"too early").expect("it waits"), 0);
    assert_eq!(ours.protocol_version(), None);
}

#[test]
fn who_never_ends_a_handshake_fills_no_memory() {
    let now = Instant::now();
    let certificate = generate_certificate().expect("there is randomness");
    let mut ours = Only12::new(&certificate, now, None).expect("it is one of ours");
    // Records of the next epoch, which wait for keys that never come.
    let mut record = vec![23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0x04, 0];
    record.resize(13 + 1024, 7);
    for _ in 0..HANDSHAKE_DATAGRAMS_MAX {
        let _ = ours.handle_packet(&record);
    }
    assert_eq!(ours.handle_packet(&record), Err(DtlsImplError::ReceiveQueueFull));
}

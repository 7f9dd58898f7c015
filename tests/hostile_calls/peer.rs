//! A peer that has shown everything it must, and then sends whatever it likes: ICE, DTLS and SRTP by hand, so that every
//! byte behind the keys is its own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::shared::TransportProtocol;
use rtc::srtp::config::{Config, LABEL_EXTRACTOR_DTLS_SRTP};
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;
use serde_json::{Value, json};
use sha2::Digest;
use tokio::net::UdpSocket;

use super::beside::room_token;
use super::sdp;
use super::stage::Stage;
use super::stun::{self, Credentials, SUCCESS};
use super::support::{Client, PATIENCE};

/// The attacker's own side of USERNAME.
pub const UFRAG: &str = "evil";
pub const PASSWORD: &str = "abcdefghijklmnopqrstuvwx";
/// Packets of SCTP that are kept for whoever waits for one.
const MESSAGES_KEPT: usize = 32;
/// Datagrams between two waits for the server.
const WINDOW: u32 = 64;
/// How often what was lost on the way is said again.
const REPEAT: std::time::Duration = std::time::Duration::from_millis(300);

/// Somebody in the attacker's room, before any media.
pub struct Member {
    pub client: Client,
    pub id: String,
}

impl Member {
    pub async fn join(stage: &Stage, identity: &str) -> Member {
        Member::enter(stage, stage.rig.connect().await, identity).await
    }

    /// The same over a connection that there is.
    pub async fn enter(stage: &Stage, mut client: Client, identity: &str) -> Member {
        let token = room_token(&stage.rig, &stage.admin, "attacker", identity).await;
        assert_eq!(client.authenticate(&token).await["ok"], true);
        let joined = client.ask(json!({ "type": "join", "room": "attacker", "kind": "device" })).await;
        let id = joined["participant"].as_str().unwrap_or_else(|| panic!("{joined}")).to_owned();
        Member { client, id }
    }

    /// Offers `sections` and gets the server's answer and the tracks' ids.
    pub async fn offer(&mut self, identity: &Identity, sections: &[sdp::Section]) -> (String, Vec<String>) {
        let tracks: Vec<Value> = sections.iter().filter_map(sdp::Section::track).collect();
        let offer = sdp::offer(&identity.fingerprint, sections);
        let reply = self.client.ask(json!({ "type": "publish", "sdp": offer, "tracks": tracks })).await;
        let answer = reply["sdp"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned();
        let tracks = reply["tracks"].as_array().expect("a list");
        (answer, tracks.iter().map(|track| track["track"].as_str().expect("an id").to_owned()).collect())
    }
}

/// A certificate and what an SDP says of it.
pub struct Identity {
    certificate: Certificate,
    pub fingerprint: String,
}

impl Identity {
    pub fn new() -> Identity {
        let provider = rtc::crypto::default_provider().expect("ring is there");
        let certificate = Certificate::generate_self_signed(vec!["evil".to_owned()], provider.crypto());
        let certificate = certificate.expect("a certificate");
        let digest = sha2::Sha256::digest(&certificate.certificate[0]);
        let bytes: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        Identity { certificate, fingerprint: bytes.join(":") }
    }
}

/// What came from the server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Media packets that were sent for the first time.
    pub media: u64,
    /// Retransmissions and padding, which the server makes of its own accord too, looking for bandwidth.
    pub repeats: u64,
    /// Bytes of both as they were on the wire.
    pub bytes: u64,
    /// Keyframes asked for (PLI, RFC 4585 §6.3.1, or FIR, RFC 5104 §4.3.1).
    pub keyframes: u64,
    /// Messages of SCTP.
    pub sctp: u64,
    /// Of the repeats, those of the packet that is watched.
    pub watched: u64,
}

/// A connection with keys.
pub struct Peer {
    pub member: Member,
    pub tracks: Vec<String>,
    pub server: Credentials,
    pub socket: UdpSocket,
    remote: SocketAddr,
    dtls: Endpoint,
    keys: Option<(Context, Context)>,
    pub came: Tally,
    /// The last packets of SCTP.
    pub messages: VecDeque<Vec<u8>>,
    /// The sequence number whose resends are counted (RFC 4588 §4).
    pub watched: Option<u16>,
    /// Payload types that mean retransmission.
    repeats: Vec<u8>,
    /// The last packet's stream, its number there and on the path, and the id of the extension with it.
    pub stream: u32,
    pub sequence: u16,
    pub transport: u16,
    transport_id: u8,
    transaction: u32,
    answered: u32,
}

impl Peer {
    /// A publisher of these sections.
    pub async fn publisher(stage: &Stage, identity: &str, sections: &[sdp::Section]) -> Peer {
        let mut member = Member::join(stage, identity).await;
        let own = Identity::new();
        let (answer, tracks) = member.offer(&own, sections).await;
        let mut peer = Peer::new(stage, member, &own, &answer).await;
        peer.tracks = tracks;
        peer.connect().await;
        peer
    }

    /// A viewer of whatever there is.
    pub async fn viewer(stage: &Stage, identity: &str) -> Peer {
        let mut member = Member::join(stage, identity).await;
        let offer = member.client.until(|message| message["type"] == "offer").await;
        let own = Identity::new();
        let text = offer["sdp"].as_str().expect("an SDP");
        let answer = sdp::answer(text, &own.fingerprint);
        let version = &offer["version"];
        let reply = member.client.ask(json!({ "type": "answer", "version": version, "sdp": answer })).await;
        assert_eq!(reply["ok"], true, "{reply}");
        let mut peer = Peer::new(stage, member, &own, text).await;
        peer.connect().await;
        peer
    }

    /// One that has done nothing yet but to read the server's SDP.
    pub async fn new(stage: &Stage, member: Member, own: &Identity, sdp: &str) -> Peer {
        let socket = stage.stranger().await;
        let (local, remote) = (socket.local_addr().expect("bound"), stage.media());
        let provider = rtc::crypto::default_provider().expect("ring is there");
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider)
            .with_certificates(vec![own.certificate.clone()])
            .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80])
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_insecure_skip_verify(true)
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .build(true, None)
            .expect("a configuration");
        let mut dtls = Endpoint::new(local, TransportProtocol::UDP, None);
        dtls.connect(Instant::now(), remote, Arc::new(config), None).expect("a first flight");
        let server = Credentials::of(sdp);
        let repeats = sdp::retransmissions(sdp);
        Peer {
            member,
            tracks: Vec::new(),
            server,
            socket,
            remote,
            dtls,
            keys: None,
            came: Tally::default(),
            messages: VecDeque::new(),
            watched: None,
            repeats,
            stream: 0,
            sequence: 0,
            transport: 0,
            transport_id: sdp::transport_id(sdp),
            transaction: 0,
            answered: 0,
        }
    }

    async fn connect(&mut self) {
        self.check().await;
        let connecting = async {
            while self.keys.is_none() {
                self.flush_dtls().await;
                if tokio::time::timeout(REPEAT, self.socket.readable()).await.is_err() {
                    let _ = self.dtls.handle_timeout(self.remote, Instant::now());
                }
                self.take();
            }
            self.flush_dtls().await;
        };
        tokio::time::timeout(PATIENCE, connecting).await.expect("DTLS comes up");
        self.check().await;
    }

    /// The first flight of its handshake.
    pub fn first_flight(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.dtls.poll_transmit()).map(|transmit| transmit.message.to_vec()).collect()
    }

    pub async fn flush_dtls(&mut self) {
        while let Some(transmit) = self.dtls.poll_transmit() {
            self.raw(&transmit.message).await;
        }
    }

    /// Sends these bytes.
    pub async fn raw(&self, bytes: &[u8]) {
        self.socket.send(bytes).await.expect("sent");
    }

    /// A connectivity check, and waits for its answer. The server works in order, so everything before it has been taken.
    pub async fn check(&mut self) {
        let checking = async {
            self.transaction += 1;
            while self.answered < self.transaction {
                self.raw(&stun::check(&self.server, self.transaction)).await;
                let _ = tokio::time::timeout(REPEAT, self.socket.readable()).await;
                self.take();
            }
        };
        tokio::time::timeout(PATIENCE, checking).await.expect("the server answers a check");
    }

    /// Whether the server still answers: `false` after the patience of one who repeats a few times.
    pub async fn is_known(&mut self) -> bool {
        self.transaction += 1;
        for _ in 0..5 {
            self.raw(&stun::check(&self.server, self.transaction)).await;
            let _ = tokio::time::timeout(REPEAT, self.socket.readable()).await;
            self.take();
            if self.answered >= self.transaction {
                return true;
            }
        }
        false
    }

    /// What has come until now, everything taken.
    pub fn tally(&mut self) -> Tally {
        self.take();
        self.came
    }

    /// What has come since then.
    pub fn since(&self, before: Tally) -> Tally {
        let (now, before) = (&self.came, &before);
        Tally {
            media: now.media - before.media,
            repeats: now.repeats - before.repeats,
            bytes: now.bytes - before.bytes,
            keyframes: now.keyframes - before.keyframes,
            sctp: now.sctp - before.sctp,
            watched: now.watched - before.watched,
        }
    }

    /// Takes what comes until nothing came for a while: what the pacer holds leaves within it.
    pub async fn settle(&mut self) {
        loop {
            let before = self.came.media;
            while tokio::time::timeout(REPEAT, self.socket.readable()).await.is_ok() {
                let had = self.came.media;
                self.take();
                // Reports and padding go on for ever.
                if self.came.media == had {
                    break;
                }
            }
            if self.came.media == before {
                return;
            }
        }
    }

    /// Takes everything that has come.
    pub fn take(&mut self) {
        let mut bytes = [0; 4_096];
        while let Ok(length) = self.socket.try_recv(&mut bytes) {
            self.take_one(&bytes[..length]);
        }
    }

    fn take_one(&mut self, bytes: &[u8]) {
        match bytes.first() {
            Some(0..=3) if bytes[..2] == SUCCESS && bytes.len() >= 20 => {
                let transaction = u32::from_be_bytes(bytes[16..20].try_into().expect("four bytes"));
                self.answered = self.answered.max(transaction);
            }
            Some(20..=63) => {
                let events = self.dtls.read(Instant::now(), self.remote, None, BytesMut::from(bytes));
                for event in events.unwrap_or_default() {
                    match event {
                        EndpointEvent::HandshakeComplete => self.take_keys(),
                        EndpointEvent::ApplicationData(message) => {
                            self.came.sctp += 1;
                            self.messages.truncate(MESSAGES_KEPT - 1);
                            self.messages.push_front(message.to_vec());
                        }
                        _ => {}
                    }
                }
            }
            Some(128..=191) if bytes.len() > 8 && (192..=223).contains(&bytes[1]) => self.take_rtcp(bytes),
            Some(128..=191) if bytes.len() > 12 => {
                let is_repeat = bytes[0] & 0x20 != 0 || self.repeats.contains(&(bytes[1] & 0x7f));
                if is_repeat {
                    self.note_repeat(bytes);
                } else {
                    self.sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
                    self.stream = u32::from_be_bytes(bytes[8..12].try_into().expect("four bytes"));
                }
                if let Some(number) = sdp::element(bytes, self.transport_id) {
                    self.transport = u16::from_be_bytes([number[0], number[1]]);
                }
                *if is_repeat { &mut self.came.repeats } else { &mut self.came.media } += 1;
                self.came.bytes += bytes.len() as u64;
            }
            _ => {}
        }
    }

    /// Whether it repeats the packet that is watched.
    fn note_repeat(&mut self, bytes: &[u8]) {
        let (Some(watched), Some((_, remote))) = (self.watched, &mut self.keys) else { return };
        if !self.repeats.contains(&(bytes[1] & 0x7f)) {
            return;
        }
        let Ok(plain) = remote.decrypt_rtp(bytes) else { return };
        let mut begin = 12 + 4 * usize::from(plain[0] & 15);
        if plain[0] & 0x10 != 0 && plain.len() > begin + 4 {
            begin += 4 + 4 * usize::from(u16::from_be_bytes([plain[begin + 2], plain[begin + 3]]));
        }
        self.came.watched += u64::from(plain.get(begin..begin + 2) == Some(&watched.to_be_bytes()));
    }

    fn take_rtcp(&mut self, bytes: &[u8]) {
        let Some((_, remote)) = &mut self.keys else { return };
        let Ok(plain) = remote.decrypt_rtcp(bytes) else { return };
        let mut rest = &plain[..];
        while let [first, kind, high, low, ..] = *rest {
            self.came.keyframes += u64::from(kind == 206 && matches!(first & 31, 1 | 4));
            let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
            rest = rest.get(length..).unwrap_or_default();
        }
    }

    fn take_keys(&mut self) {
        let state = self.dtls.get_connection_state(self.remote).expect("it is up");
        let mut config = Config { profile: ProtectionProfile::Aes128CmHmacSha1_80, ..Config::default() };
        let material = state.export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], config.keying_material_len());
        config.set_session_keys_from_keying_material(material.expect("keys").as_ref(), true).expect("keys");
        let provider = rtc::crypto::default_provider().expect("ring is there");
        let context = |key: &[u8], salt: &[u8]| {
            Context::new(key, salt, config.profile, None, None, provider.crypto()).expect("a context")
        };
        let keys = &config.keys;
        self.keys = Some((
            context(&keys.local_master_key, &keys.local_master_salt),
            context(&keys.remote_master_key, &keys.remote_master_salt),
        ));
    }

    /// A packet under the connection's keys. `clear` is how many bytes of it are in front of what is encrypted, as the
    /// receiver will find it; they need not make sense.
    pub fn seal(&mut self, packet: &[u8], clear: usize) -> Vec<u8> {
        let (local, _) = self.keys.as_mut().expect("it is connected");
        let header = rtc::rtp::Header {
            version: 2,
            sequence_number: u16::from_be_bytes([packet[2], packet[3]]),
            ssrc: u32::from_be_bytes(packet[8..12].try_into().expect("four bytes")),
            // Only its length counts.
            csrc: vec![0; (clear - 12) / 4],
            ..Default::default()
        };
        local.encrypt_rtp_with_header(packet, &header).expect("encrypted").to_vec()
    }

    /// A packet with a header of twelve bytes.
    pub async fn rtp(&mut self, packet: &[u8]) {
        let sealed = self.seal(packet, 12);
        self.raw(&sealed).await;
    }

    /// RTCP under the connection's keys.
    pub async fn rtcp(&mut self, packet: &[u8]) {
        let (local, _) = self.keys.as_mut().expect("it is connected");
        let sealed = local.encrypt_rtcp(packet).expect("encrypted");
        self.raw(&sealed).await;
    }

    /// A packet of SCTP in DTLS.
    pub async fn sctp(&mut self, packet: &[u8]) {
        self.dtls.write(Instant::now(), self.remote, packet).expect("it is connected");
        self.flush_dtls().await;
    }

    /// Waits for the server after every so many, so that the kernel's queue holds the others' packets too.
    pub async fn pace(&mut self, number: u32) {
        if number % WINDOW == WINDOW - 1 {
            self.check().await;
        }
    }
}

/// A publisher in the attacker's room, and a viewer who says whether its honest packets still arrive.
pub struct Pair {
    pub publisher: Peer,
    pub viewer: Peer,
    sequence: u16,
    time: u32,
}

impl Pair {
    pub async fn connect(stage: &Stage) -> Pair {
        Pair::of(stage, &sdp::USUAL).await
    }

    pub async fn of(stage: &Stage, sections: &[sdp::Section]) -> Pair {
        let publisher = Peer::publisher(stage, "eve", sections).await;
        let viewer = Peer::viewer(stage, "mallory").await;
        Pair { publisher, viewer, sequence: 0, time: 0 }
    }

    /// The next honest picture of one packet.
    pub fn picture(&mut self, is_key: bool) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        self.time = self.time.wrapping_add(3_000);
        packet(sdp::VP8, self.sequence, self.time, sdp::VIDEO_SSRC, &vp8(is_key, &[0; 100]))
    }

    /// Honest keyframes of the publisher reach the viewer.
    pub async fn forwards(&mut self) {
        let before = self.viewer.came.media;
        let mut interval = tokio::time::interval(std::time::Duration::from_millis(20));
        let forwarding = async {
            while self.viewer.came.media < before + 3 {
                interval.tick().await;
                let picture = self.picture(true);
                self.publisher.rtp(&picture).await;
                self.publisher.take();
                self.viewer.take();
            }
        };
        tokio::time::timeout(PATIENCE, forwarding).await.expect("what the publisher sends reaches its viewer");
        // What is still on its way does not count for anything later.
        self.publisher.check().await;
        self.viewer.check().await;
    }

    /// A publisher that has spoiled its own stream may begin anew, in the room that is as it was.
    pub async fn recovers(self, stage: &Stage) {
        let Pair { publisher, viewer, .. } = self;
        for peer in [publisher, viewer] {
            let Peer { mut member, .. } = peer;
            assert_eq!(member.client.ask(json!({ "type": "leave" })).await["ok"], true);
        }
        Pair::connect(stage).await.forwards().await;
    }
}

/// A packet of RTP (RFC 3550 §5.1) without anything behind its header but the payload.
pub fn packet(payload_type: u8, sequence: u16, time: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&time.to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// A packet that says more in its header: `extension` stands whole, with its profile and length (RFC 8285 §4).
pub fn extended(packet: &[u8], extension: &[u8]) -> Vec<u8> {
    let mut bytes = packet[..12].to_vec();
    bytes[0] |= 0x10;
    bytes.extend_from_slice(extension);
    bytes.extend_from_slice(&packet[12..]);
    bytes
}

/// VP8 in one packet (RFC 7741 §4.2): a keyframe or not, and anything behind it.
pub fn vp8(is_key: bool, body: &[u8]) -> Vec<u8> {
    [&[0x10, u8::from(!is_key), 0, 0][..], body].concat()
}

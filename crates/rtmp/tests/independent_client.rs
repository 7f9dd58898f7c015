//! The client of rml_rtmp, which shares no code with ours, publishes into a session: handshake with digests, chunks
//! with compressed headers, commands, metadata and media.

mod support;

use bytes::Bytes;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType, StreamMetadata,
};
use rml_rtmp::time::RtmpTimestamp;
use support::{IDR, P_SLICE, PPS, SPS, aac_frame, aac_header, avc_frame, avc_header, word};
use telstar_rtmp::{Config, Session};

/// Both ends, and what the server told.
struct Dialogue {
    now: std::time::Instant,
    server: Session,
    client: ClientSession,
    client_events: Vec<ClientSessionEvent>,
    words: Vec<String>,
}

impl Dialogue {
    fn connected() -> Dialogue {
        let now = std::time::Instant::now();
        let mut server = Session::new(Config::new([3; 32]), now);
        let mut handshake = Handshake::new(PeerType::Client);
        let mut bytes = handshake.generate_outbound_p0_and_p1().expect("a handshake");
        loop {
            server.handle_input(now, &bytes);
            let answer = server.poll_output().expect("the server answers");
            match handshake.process_bytes(&answer).expect("the client likes the answer") {
                HandshakeProcessResult::InProgress { response_bytes } => bytes = response_bytes,
                HandshakeProcessResult::Completed { response_bytes, .. } => {
                    server.handle_input(now, &response_bytes);
                    break;
                }
            }
        }
        let (client, results) = ClientSession::new(ClientSessionConfig::new()).expect("a client");
        let mut dialogue = Dialogue { now, server, client, client_events: Vec::new(), words: Vec::new() };
        dialogue.carry(results);
        dialogue
    }

    fn one(&mut self, act: impl FnOnce(&mut ClientSession) -> ClientSessionResult) {
        let result = act(&mut self.client);
        self.carry(vec![result]);
    }

    /// Carries bytes to and fro until nobody has anything to say.
    fn carry(&mut self, mut results: Vec<ClientSessionResult>) {
        loop {
            for result in results.drain(..) {
                match result {
                    ClientSessionResult::OutboundResponse(packet) => self.server.handle_input(self.now, &packet.bytes),
                    ClientSessionResult::RaisedEvent(event) => self.client_events.push(event),
                    ClientSessionResult::UnhandleableMessageReceived(_) => {}
                }
            }
            while let Some(event) = self.server.poll_event() {
                self.words.push(word(&event));
                if self.words.last().is_some_and(|word| word.starts_with("request")) {
                    self.server.accept_publish(self.now);
                }
            }
            let Some(output) = self.server.poll_output() else { return };
            results = self.client.handle_input(&output).expect("the client understands");
        }
    }
}

#[test]
fn rml_rtmp_publishes_pictures_and_sound() {
    let mut dialogue = Dialogue::connected();
    dialogue.one(|client| client.request_connection("live".into()).expect("connects"));
    assert!(matches!(dialogue.client_events[0], ClientSessionEvent::ConnectionRequestAccepted));
    let name = "demo?key=sk_test".to_owned();
    dialogue.one(|client| client.request_publishing(name, PublishRequestType::Live).expect("publishes"));
    assert!(matches!(dialogue.client_events[1], ClientSessionEvent::PublishRequestAccepted));
    let metadata = StreamMetadata { video_width: Some(128), ..StreamMetadata::new() };
    dialogue.one(|client| client.publish_metadata(&metadata).expect("metadata"));

    let stamp = RtmpTimestamp::new;
    let video = |client: &mut ClientSession, ms, body: Vec<u8>| {
        client.publish_video_data(Bytes::from(body), stamp(ms), false).expect("video")
    };
    let audio = |client: &mut ClientSession, ms, body: Vec<u8>| {
        client.publish_audio_data(Bytes::from(body), stamp(ms), false).expect("audio")
    };
    dialogue.one(|client| video(client, 0, avc_header(SPS, PPS)));
    dialogue.one(|client| audio(client, 0, aac_header()));
    let large = [0x41, 0b1001_1010].iter().copied().chain(std::iter::repeat_n(7, 20_000)).collect::<Vec<u8>>();
    for index in 0..4u32 {
        let unit = [IDR, P_SLICE, &large, P_SLICE][index as usize];
        dialogue.one(|client| video(client, index * 40, avc_frame(index == 0, 40, &[unit])));
        dialogue.one(|client| audio(client, index * 23, aac_frame()));
    }
    let results = dialogue.client.stop_publishing().expect("stops");
    dialogue.carry(results);
    assert_eq!(
        dialogue.words,
        [
            "request live demo sk_test",
            "metadata",
            "track 0 H.264",
            "track 1 AAC",
            "frame 0 0 3600 8 key",
            "frame 1 0 0 4 key",
            "frame 0 3600 7200 7",
            "frame 1 1024 1024 4 key",
            "frame 0 7200 10800 20006",
            "frame 1 2048 2048 4 key",
            "frame 0 10800 14400 7",
            "frame 1 3072 3072 4 key",
            "ended Unpublished",
        ]
    );
}

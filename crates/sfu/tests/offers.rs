//! Offers as clients write them: what is answered to Chrome's, with three layers and all its codecs, and to those of others.

use std::time::Instant;

use telstar_sfu::{
    Certificate, Command, Event, Kind, Limits, LocalCandidate, NewLayer, NewTrack, PeerId, Role, RoomId, Sfu,
    SfuConfig, Source, Transport,
};
use telstar_units::{ParticipantId, TrackId};

const OFFER: &str = include_str!("chrome-offer.sdp");

#[test]
fn the_answer_to_chrome_has_its_layers_its_order_of_codecs_and_feedback() {
    let now = Instant::now();
    let address = "192.0.2.1:10000".parse().expect("a literal address");
    let candidates = vec![LocalCandidate { transport: Transport::Udp, base: address, advertised: address }];
    let certificate = Certificate::generate().expect("the crypto library makes certificates");
    let config = SfuConfig { candidates, ice_lite: true, limits: Limits::default(), certificate };
    let mut sfu = Sfu::new(config, now);
    let peer = PeerId(1);
    let (room, participant) = (RoomId(1), ParticipantId(1));
    sfu.handle_command(now, Command::AddPeer { peer, room, participant, role: Role::Publisher, auto_subscribe: false });
    let layer = |rid: &str| NewLayer { rid: rid.to_owned(), width: 320, height: 180, frame_rate: 30, bitrate_bps: 0 };
    let track = |mid: &str, id, kind, rids: &[&str]| NewTrack {
        mid: mid.to_owned(),
        track: TrackId(id),
        kind,
        source: Source::Person,
        muted: false,
        layers: rids.iter().map(|rid| layer(rid)).collect(),
    };
    let tracks = vec![track("0", 1, Kind::Audio, &[]), track("1", 2, Kind::Video, &["l", "m", "h"])];
    sfu.handle_command(now, Command::Offer { peer, ticket: 5, sdp: OFFER.to_owned(), tracks });
    let mut answer = None;
    while let Some(event) = sfu.poll_event() {
        match event {
            Event::Answer { sdp, ticket: 5, .. } => answer = Some(sdp),
            Event::Rejected { fault, .. } => panic!("rejected: {fault:?}"),
            _ => {}
        }
    }
    let answer = answer.expect("an answer");
    let lines: Vec<&str> = answer.lines().collect();
    let media: Vec<&&str> = lines.iter().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(media.len(), 3, "{answer}");
    assert!(media[0].ends_with(" 111"), "{answer}");
    assert!(media[1].starts_with("m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104"), "{answer}");
    for line in [
        "a=ice-lite",
        "a=recvonly",
        "a=rid:l recv",
        "a=simulcast:recv l;m;h",
        "a=setup:passive",
        "a=rtcp-fb:96 transport-cc",
        "a=rtcp-fb:96 nack pli",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
    ] {
        assert!(lines.contains(&line), "{line} in {answer}");
    }
    for extension in ["transport-wide-cc", "rtp-stream-id", "repaired-rtp-stream-id", "sdes:mid", "ssrc-audio-level"] {
        assert!(answer.contains(extension), "{extension} in {answer}");
    }
    assert!(answer.contains("a=candidate:") && answer.contains("192.0.2.1 10000 typ host"), "{answer}");
    assert!(!answer.contains("H265") && !answer.contains("red/"), "{answer}");
}

/// What the offer of a client is answered with, when its first section of each kind is a track.
fn answer(sdp: &str, role: Role) -> String {
    let now = Instant::now();
    let address = "192.0.2.1:10000".parse().expect("a literal address");
    let candidates = vec![LocalCandidate { transport: Transport::Udp, base: address, advertised: address }];
    let certificate = Certificate::generate().expect("the crypto library makes certificates");
    let config = SfuConfig { candidates, ice_lite: true, limits: Limits::default(), certificate };
    let mut sfu = Sfu::new(config, now);
    let (peer, room, participant) = (PeerId(1), RoomId(1), ParticipantId(1));
    sfu.handle_command(now, Command::AddPeer { peer, room, participant, role, auto_subscribe: false });
    let offer = telstar_sfu::offer::Offer::read(sdp).expect("an offer");
    let track = |(index, section): (usize, &telstar_sfu::offer::OfferedSection)| NewTrack {
        mid: section.mid.clone(),
        track: TrackId(index as u64),
        kind: section.kind.expect("sound or pictures"),
        source: Source::Person,
        muted: false,
        layers: Vec::new(),
    };
    let tracks = match role {
        Role::Publisher => offer.sections.iter().enumerate().map(track).collect(),
        Role::Subscriber | Role::Viewer => Vec::new(),
    };
    sfu.handle_command(now, Command::Offer { peer, ticket: 5, sdp: sdp.to_owned(), tracks });
    while let Some(event) = sfu.poll_event() {
        match event {
            Event::Answer { sdp, .. } => return sdp,
            Event::Rejected { fault, .. } => panic!("rejected: {fault:?}"),
            _ => {}
        }
    }
    panic!("no answer");
}

#[test]
fn other_clients_are_answered_as_a_whole() {
    let (obs, gstreamer, aiortc) =
        (include_str!("obs-offer.sdp"), include_str!("gstreamer-offer.sdp"), include_str!("aiortc-offer.sdp"));
    for (sdp, role, direction) in [
        (obs, Role::Publisher, "a=recvonly"),
        (gstreamer, Role::Publisher, "a=recvonly"),
        (&aiortc.replace("a=recvonly", "a=sendonly"), Role::Publisher, "a=recvonly"),
        (gstreamer, Role::Viewer, "a=sendonly"),
        (aiortc, Role::Viewer, "a=sendonly"),
    ] {
        let answer = answer(sdp, role);
        let lines: Vec<&str> = answer.lines().collect();
        let count = |line: &str| lines.iter().filter(|other| **other == line).count();
        assert_eq!((count(direction), count("a=rtcp-mux"), count("a=setup:passive")), (2, 2, 2), "{answer}");
        let media = lines.iter().filter(|line| line.starts_with("m="));
        assert!(
            media.clone().count() == 2 && media.clone().all(|line| line.contains(" 9 UDP/TLS/RTP/SAVPF ")),
            "{answer}"
        );
        assert!(
            answer.contains("opus/48000/2") && answer.contains("H264/90000") && answer.contains("a=candidate:"),
            "{answer}"
        );
        let (offered, answered) = (first(sdp, "a=group:BUNDLE"), first(&answer, "a=group:BUNDLE"));
        assert_eq!(offered, answered);
    }
}

fn first<'a>(sdp: &'a str, begin: &str) -> Option<&'a str> {
    sdp.lines().find(|line| line.starts_with(begin))
}

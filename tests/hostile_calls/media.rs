//! The media plane: packets under good keys that no honest peer would send, and forged ones.

use serde_json::json;

use super::peer::{Identity, Member, Pair, Peer, Tally, extended, packet, vp8};
use super::sdp::{
    self, AUDIO_SSRC, AV1, DESCRIPTOR_ID, H264, MID_ID, OPUS, RID_ID, RTX, RTX_SSRC, Section, USUAL, VIDEO_SSRC, VP8,
    VP9,
};
use super::stage::{SMALL_MIB, Stage};

/// Honest pictures that a busy machine may bring so late that they seem to come of the attack: thousands would be its own.
const LATE_MAX: u64 = 10;
/// The payload type that Chromium gives to redundant sound.
const RED: u8 = 63;

/// A one-byte header extension (RFC 8285 §4.2) of elements.
fn extension(elements: &[(u8, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (id, value) in elements {
        body.push(id << 4 | (value.len() - 1) as u8);
        body.extend_from_slice(value);
    }
    body.resize(body.len().next_multiple_of(4), 0);
    whole(0xbede, &body)
}

/// A header extension with this profile and body.
fn whole(profile: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = profile.to_be_bytes().to_vec();
    bytes.extend_from_slice(&((body.len() / 4) as u16).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_packets_change_nothing() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    pair.viewer.settle().await;
    let before = pair.viewer.tally();
    // From the right address, for streams that there are and for four thousand that there are not: the tag is wrong.
    let honest = pair.picture(true);
    let mut sealed = pair.publisher.seal(&honest, 12);
    for number in 0..4_000u32 {
        let at = sealed.len() - 1 - (number as usize % 10);
        sealed[at] ^= 1 << (number % 8);
        if number % 2 == 0 {
            sealed[2..4].copy_from_slice(&(number as u16).to_be_bytes());
            sealed[8..12].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
        }
        pair.publisher.raw(&sealed).await;
        pair.publisher.pace(number).await;
    }
    // From elsewhere, with the right stream: nobody's.
    let stranger = stage.stranger().await;
    stage.nobody_is_answered(&stranger, 1_000, |number| packet(VP8, number as u16, 0, VIDEO_SSRC, &[0x10; 200])).await;
    pair.viewer.check().await;
    assert!(pair.viewer.since(before).media <= LATE_MAX, "no forged packet is forwarded");
    pair.forwards().await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_without_end_and_names_without_end_are_not_kept() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    let before = pair.viewer.tally();
    for number in 0..4_000u32 {
        let ssrc = number.wrapping_mul(0x9e37_79b9) | 1;
        let mid = number.to_string();
        let named = extension(&[(MID_ID, mid.as_bytes()), (RID_ID, mid.as_bytes())]);
        let payload_type = [VP8, RTX, OPUS, (number % 128) as u8][number as usize % 4];
        let plain = packet(payload_type & 0x7f, number as u16, number, ssrc, &vp8(true, &[0; 50]));
        // RTCP's numbers are not for media (RFC 5761 §4).
        if (64..96).contains(&(payload_type & 0x7f)) {
            continue;
        }
        let packet = extended(&plain, &named);
        let sealed = pair.publisher.seal(&packet, 12 + named.len());
        pair.publisher.raw(&sealed).await;
        pair.publisher.pace(number).await;
    }
    // The known stream under payload types that mean sound, nothing, or retransmission.
    for number in 0..500u16 {
        let payload_type = [OPUS, 0, 127, RTX][usize::from(number) % 4];
        pair.publisher.rtp(&packet(payload_type, 30_000 + number, 0, AUDIO_SSRC + 7, &[0; 50])).await;
        pair.publisher.pace(number.into()).await;
    }
    pair.viewer.check().await;
    assert!(pair.viewer.since(before).media < 500, "{:?}", pair.viewer.since(before));
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
    // Somebody else of the room has the same SSRC: both are who they are.
    let mut double = Peer::publisher(&stage, "eves-double", &USUAL).await;
    for number in 0..200u16 {
        double.rtp(&packet(VP8, number, u32::from(number), VIDEO_SSRC, &vp8(true, &[1; 60]))).await;
        double.pace(number.into()).await;
    }
    // A track of two layers under four thousand names of layers.
    let layered = [Section::Audio, Section::Simulcast(&["l", "h"])];
    let mut layered = Peer::publisher(&stage, "layers", &layered).await;
    for number in 0..4_000u32 {
        let rid = format!("r{number}");
        let named = extension(&[(MID_ID, b"1"), (RID_ID, rid.as_bytes())]);
        let plain = packet(VP8, number as u16, number, number.wrapping_mul(0x9e37_79b9) | 1, &vp8(true, &[0; 50]));
        let sealed = layered.seal(&extended(&plain, &named), 12 + named.len());
        layered.raw(&sealed).await;
        layered.pace(number).await;
    }
    pair.recovers(&stage).await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_jumps_and_headers_that_lie_are_survived() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    pair.viewer.settle().await;
    // The same packet again: once is enough (RFC 3711 §3.3.2).
    let before = pair.viewer.tally();
    let honest = pair.picture(true);
    let sealed = pair.publisher.seal(&honest, 12);
    for number in 0..500 {
        pair.publisher.raw(&sealed).await;
        pair.publisher.pace(number).await;
    }
    pair.publisher.check().await;
    pair.viewer.settle().await;
    assert!(pair.viewer.since(before).media <= 1 + LATE_MAX, "{:?}", pair.viewer.since(before));
    // Sequence numbers that jump by half of their range, times that go back, stamps at their ends.
    for number in 0..500u32 {
        let sequence = (number as u16).wrapping_mul(32_767);
        let time = [0, u32::MAX, number, u32::MAX / 2][number as usize % 4];
        pair.publisher.rtp(&packet(VP8, sequence, time, VIDEO_SSRC, &vp8(number % 3 == 0, &[0; 30]))).await;
        pair.publisher.pace(number).await;
    }
    stage.others_are_undisturbed().await;
    // Headers that promise more than there is, each with a tag that is right for what the receiver reads.
    let plain = packet(VP8, 1, 1, VIDEO_SSRC, &vp8(true, &[0; 80]));
    let mut lies: Vec<(Vec<u8>, usize)> = Vec::new();
    for count in 1..16u8 {
        // CSRCs that are part of the payload, or of nothing.
        let mut packet = plain.clone();
        packet[0] |= count;
        lies.push((packet.clone(), 12 + 4 * usize::from(count)));
        packet.truncate(16);
        lies.push((packet, 12));
    }
    for padding in [0u8, 1, 83, 84, 85, 200, 255] {
        // Padding of more than the payload, and of nothing (RFC 3550 §5.1).
        let mut packet = plain.clone();
        packet[0] |= 0x20;
        *packet.last_mut().expect("a payload") = padding;
        lies.push((packet, 12));
    }
    lies.push((plain[..12].to_vec(), 12));
    lies.push(([&[0xa0][..], &plain[1..12], &[1]].concat(), 12));
    for body in [vec![0xf0; 8], vec![0x1f, 1, 2, 3], vec![0x4f; 4], vec![0; 64], vec![0xff; 4]] {
        lies.push((extended(&plain, &whole(0xbede, &body)), 16 + body.len()));
        // Two-byte elements (RFC 8285 §4.3) whose lengths leave the block.
        lies.push((extended(&plain, &whole(0x1000, &body)), 16 + body.len()));
        lies.push((extended(&plain, &whole(0x1234, &body)), 16 + body.len()));
    }
    // Blocks that are longer than the packet.
    for claimed in [30u16, 300, 65_535] {
        let mut block = whole(0xbede, &[0x10; 4]);
        block[2..4].copy_from_slice(&claimed.to_be_bytes());
        lies.push((extended(&plain, &block), 20));
    }
    for round in 0..10u16 {
        for (number, (packet, clear)) in lies.iter_mut().enumerate() {
            let sequence = 2_000 + round * 100 + number as u16;
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            let sealed = pair.publisher.seal(packet, (*clear).min(packet.len()));
            pair.publisher.raw(&sealed).await;
            pair.publisher.pace(number as u32).await;
        }
    }
    pair.recovers(&stage).await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn retransmissions_and_descriptors_that_make_no_sense_are_dropped() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    let before = pair.viewer.tally();
    // Retransmissions of what never was, of themselves, of nothing (RFC 4588 §4).
    for number in 0..1_000u32 {
        let body = match number % 4 {
            0 => [&(number as u16).to_be_bytes()[..], &vp8(true, &[0; 40])].concat(),
            1 => vec![0],
            2 => Vec::new(),
            _ => [&60_000u16.to_be_bytes()[..], &[0xff; 4]].concat(),
        };
        pair.publisher.rtp(&packet(RTX, number as u16, 0, RTX_SSRC, &body)).await;
        pair.publisher.pace(number).await;
    }
    pair.viewer.settle().await;
    assert!(pair.viewer.since(before).media <= 1_000, "nothing becomes more on its way");
    // Dependency descriptors: templates without end, targets without end, cut at every byte.
    for number in 0..600u32 {
        let mut value = vec![0x80, 0, 1, 0x80];
        value.extend((0..(number % 12) as u8).map(|byte| byte.wrapping_mul(number as u8 | 1) | 0xc0));
        let block = extension(&[(DESCRIPTOR_ID, &value[..value.len().min(16)])]);
        let plain = packet(VP8, 10_000 + number as u16, number, VIDEO_SSRC, &vp8(true, &[0; 20]));
        let sealed = pair.publisher.seal(&extended(&plain, &block), 12 + block.len());
        pair.publisher.raw(&sealed).await;
        pair.publisher.pace(number).await;
    }
    // VP8 descriptors cut at every byte.
    for length in 0..20u16 {
        let whole = [0xff; 20];
        pair.publisher.rtp(&packet(VP8, 20_000 + length, 0, VIDEO_SSRC, &whole[..usize::from(length)])).await;
    }
    pair.recovers(&stage).await;
    let others: [(u8, &[&[u8]]); 3] = [
        // Flexible mode with references without end, scalability structures of nothing (RFC 9628 §4.2).
        (VP9, &[&[0xff; 30], &[0x9a], &[0x02, 0xff, 0xff], &[0xb2, 0x80], &[0xea, 1, 2, 3, 4, 5]]),
        // STAP-A units longer than the packet, nested, FU-A without a beginning, of nothing (RFC 6184 §5.7, §5.8).
        (H264, &[&[24, 0xff, 0xff, 5], &[24, 0, 2, 24, 0], &[28], &[28, 0x05], &[28, 0xc5, 1], &[24], &[0], &[31, 1]]),
        // Sizes that overflow (AV1 RTP §4.4, leb128 of ten bytes), counts that are wrong.
        (
            AV1,
            &[
                &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
                &[0x80],
                &[0x30, 1],
                &[8, 0x0a, 0x8b],
            ],
        ),
    ];
    for (payload_type, payloads) in others {
        let identity = format!("eve-{payload_type}");
        let mut peer = Peer::publisher(&stage, &identity, &[Section::Audio, Section::Video(payload_type)]).await;
        for number in 0..200u16 {
            let payload = payloads[usize::from(number) % payloads.len()];
            let mut packet = packet(payload_type, number, u32::from(number), VIDEO_SSRC, payload);
            packet[1] |= 0x80 * u8::from(number % 2 == 0);
            peer.rtp(&packet).await;
            peer.pace(number.into()).await;
        }
        assert!(peer.is_known().await, "its connection goes on");
    }
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn redundant_sound_is_declined_and_what_comes_of_it_is_nobodys() {
    let stage = Stage::set().await;
    // RED (RFC 2198) in front of Opus, as Chromium offers it.
    let mut member = Member::join(&stage, "redundant").await;
    let own = Identity::new();
    let opus = format!("a=rtpmap:{OPUS} opus/48000/2\r\n");
    let offer = sdp::offer(&own.fingerprint, &USUAL)
        .replace(&format!("SAVPF {OPUS}\r\n"), &format!("SAVPF {RED} {OPUS}\r\n"))
        .replace(&opus, &format!("{opus}a=rtpmap:{RED} red/48000/2\r\na=fmtp:{RED} {OPUS}/{OPUS}\r\n"));
    assert!(offer.contains(" red/48000"));
    let tracks: Vec<_> = USUAL.iter().filter_map(Section::track).collect();
    let reply = member.client.ask(json!({ "type": "publish", "sdp": offer, "tracks": tracks })).await;
    let answer = reply["sdp"].as_str().unwrap_or_else(|| panic!("{reply}"));
    assert!(answer.contains(" opus/48000") && !answer.contains(" red/"), "{answer}");
    // Blocks in blocks, longer than the packet, without a last one, of nothing, a hundred of them (RFC 2198 §3).
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    pair.viewer.settle().await;
    let before = pair.viewer.tally();
    let block = |payload_type: u8, length: u16| [0x80 | payload_type, 0xff, 0xfc | (length >> 8) as u8, length as u8];
    for number in 0..3_000u16 {
        let payload = match number % 6 {
            0 => [block(RED, 60).repeat(15), vec![RED], vec![0x78; 900]].concat(),
            1 => [block(OPUS, 1_023).repeat(100), vec![OPUS]].concat(),
            2 => block(OPUS, 0).repeat(250),
            3 => vec![0x80 | RED],
            4 => vec![OPUS],
            _ => [&block(RED, 8)[..], &[RED], &block(RED, 4), &[RED], &block(OPUS, 0), &[OPUS]].concat(),
        };
        pair.publisher.rtp(&packet(RED, number, u32::from(number) * 960, AUDIO_SSRC, &payload)).await;
        pair.publisher.pace(number.into()).await;
    }
    pair.viewer.check().await;
    assert!(pair.viewer.since(before).media <= LATE_MAX, "what was declined is not forwarded");
    pair.forwards().await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_of_too_much_is_cut_to_its_limits() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    let (before, limited) = (pair.viewer.tally(), stage.metric("call_limited_packets_total"));
    let begun = std::time::Instant::now();
    // As fast as this machine can: many times what one may send.
    for number in 0..20_000u32 {
        let packet = packet(VP8, number as u16, number / 30, VIDEO_SSRC, &vp8(false, &[0; 1_000]));
        pair.publisher.rtp(&packet).await;
        if number % 64 == 63 {
            // No check: what is over the limit is not answered. The server is given the time to read.
            tokio::task::yield_now().await;
            pair.viewer.take();
        }
    }
    stage
        .becomes("the rest is dropped before anything is done with it", |stage| {
            stage.metric("call_limited_packets_total") > limited
        })
        .await;
    let second = begun.elapsed().as_secs() + 2;
    pair.viewer.settle().await;
    let Tally { media, bytes, .. } = pair.viewer.since(before);
    assert!(media <= second * 4_000, "{media} packets in {second} s");
    assert!(bytes * 8 <= second * 30_000_000, "{bytes} bytes in {second} s");
    stage.calms_down().await;
    pair.recovers(&stage).await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_of_keyframes_only_of_none_and_of_silence_are_asked_seldom() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    let begun = std::time::Instant::now();
    let asked = stage.metric("call_asked_keyframes_total");
    // Keyframes only, each of another size (RFC 6386 §9.1).
    for number in 0..300u32 {
        let size = [0x9d, 0x01, 0x2a, number as u8, 1 + (number % 7) as u8, number as u8, 1];
        let picture = pair.picture(true);
        let picture = [&picture[..16], &size, &[0; 60]].concat();
        pair.publisher.rtp(&picture).await;
        pair.publisher.pace(number).await;
    }
    stage.others_are_undisturbed().await;
    // None at all, for viewers that come and go and ask.
    let mut late = Peer::viewer(&stage, "late").await;
    for number in 0..300u32 {
        let picture = pair.picture(false);
        pair.publisher.rtp(&picture).await;
        pair.publisher.pace(number).await;
        late.take();
    }
    // Sound that stops and begins (DTX), with nothing in it.
    for number in 0..300u16 {
        let payload: &[u8] = if number % 50 < 25 { &[0x78] } else { &[] };
        pair.publisher.rtp(&packet(OPUS, number, u32::from(number) * 960, AUDIO_SSRC, payload)).await;
        pair.publisher.pace(number.into()).await;
    }
    let requests = stage.metric("call_asked_keyframes_total") - asked;
    // Twice a second for each picture, whoever asks (crates/sfu/src/throttle.rs); the call beside has one too.
    let allowed = 2 * 2 * (begun.elapsed().as_secs() + 2);
    assert!(requests <= allowed, "{requests} in {:?}", begun.elapsed());
    pair.recovers(&stage).await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

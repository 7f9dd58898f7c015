//! What viewers say back: RTCP that asks for too much, lies, or is none. And sound levels.

use std::time::{Duration, Instant};

use super::peer::{Pair, Peer, Tally, extended, packet};
use super::sdp::{AUDIO_SSRC, LEVEL_ID, OPUS, USUAL, VIDEO_SSRC};
use super::stage::{SMALL_MIB, Stage};

/// A packet of RTCP (RFC 3550 §6.4): its count or format, its type, what follows.
fn rtcp(count: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | count, kind];
    bytes.extend_from_slice(&((body.len() / 4) as u16).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Feedback of one stream about another (RFC 4585 §6.1).
fn feedback(format: u8, kind: u8, about: u32, body: &[u8]) -> Vec<u8> {
    rtcp(format, kind, &[&1u32.to_be_bytes()[..], &about.to_be_bytes(), body].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn storms_of_keyframe_requests_reach_the_publisher_as_a_few() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    let mut viewers = [Peer::viewer(&stage, "one").await, Peer::viewer(&stage, "two").await];
    let stream = pair.viewer.stream;
    let (begun, before) = (Instant::now(), pair.publisher.tally());
    let asked = stage.metric("call_asked_keyframes_total");
    for number in 0..1_000u32 {
        for viewer in viewers.iter_mut().chain([&mut pair.viewer]) {
            // PLI and FIR (RFC 5104 §4.3.1), for the stream that there is and for others.
            viewer.rtcp(&feedback(1, 206, stream, &[])).await;
            let entry = [&stream.to_be_bytes()[..], &[number as u8, 0, 0, 0]].concat();
            viewer.rtcp(&feedback(4, 206, stream, &entry.repeat(1 + number as usize % 60))).await;
            viewer.rtcp(&feedback(1, 206, number, &[])).await;
            if number % 20 == 19 {
                viewer.take();
            }
        }
        if number % 20 == 19 {
            let picture = pair.picture(true);
            pair.publisher.rtp(&picture).await;
            pair.publisher.check().await;
        }
    }
    pair.publisher.check().await;
    let reached = pair.publisher.since(before).keyframes;
    let allowed = 2 * (begun.elapsed().as_secs() + 2);
    assert!(reached <= allowed, "{reached} of 9,000 in {:?}", begun.elapsed());
    let asked = stage.metric("call_asked_keyframes_total") - asked;
    assert!(asked <= 2 * allowed, "{asked}, the call beside included");
    stage.calms_down().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_65_536_packets_bring_no_more_than_the_budget() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    // A thousand packets that could be asked for, of a thousand bytes each.
    for number in 0..400u32 {
        let mut picture = pair.picture(number % 50 == 0);
        picture.resize(1_100, 0);
        pair.publisher.rtp(&picture).await;
        pair.publisher.pace(number).await;
        pair.viewer.take();
    }
    pair.viewer.settle().await;
    let (stream, last) = (pair.viewer.stream, pair.viewer.sequence);
    // One that was lost is sent again.
    pair.viewer.watched = Some(last.wrapping_sub(1));
    let before = pair.viewer.tally();
    let one = [last.wrapping_sub(1).to_be_bytes(), [0, 0]].concat();
    pair.viewer.rtcp(&feedback(1, 205, stream, &one)).await;
    // A report may come before it.
    let repeated = async {
        while pair.viewer.since(before).watched == 0 {
            pair.viewer.socket.readable().await.expect("it is open");
            pair.viewer.take();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), repeated).await.expect("what was lost is sent again");
    let (begun, before) = (Instant::now(), pair.viewer.tally());
    // Every sequence number there is, thirty times: 17 packets for four bytes (RFC 4585 §6.2.1).
    let mut asked = 0u64;
    for round in 0..30u32 {
        for block in 0..16u32 {
            let lost: Vec<u8> = (0..241u32)
                .flat_map(|index| {
                    let first = ((block * 241 + index) * 17) as u16;
                    [first.to_be_bytes(), [0xff, 0xff]].concat()
                })
                .collect();
            asked += 241 * 17;
            pair.viewer.rtcp(&feedback(1, 205, stream, &lost)).await;
        }
        pair.viewer.take();
        pair.viewer.pace(63 + 64 * round).await;
    }
    pair.viewer.settle().await;
    let Tally { repeats, bytes, .. } = pair.viewer.since(before);
    let seconds = begun.elapsed().as_secs() + 1;
    // Each packet that there is at most five times, and what is looked for bandwidth with.
    assert!(repeats <= 5 * 500 + 400 * seconds, "{repeats} packets for {asked} asked for");
    assert!(bytes * 8 <= 10_000_000 * seconds, "{bytes} bytes in {seconds} s");
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_packet_asked_for_65_536_times_is_sent_a_few_times() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    let (before, mut asked) = (pair.viewer.tally(), 0u32);
    let mut interval = tokio::time::interval(Duration::from_millis(5));
    while asked < 65_536 {
        interval.tick().await;
        // The stream goes on, so that there is something of which resends may be a share.
        let mut picture = pair.picture(asked == 0);
        picture.resize(1_000, 0);
        pair.publisher.rtp(&picture).await;
        pair.publisher.take();
        pair.viewer.take();
        if pair.viewer.watched.is_none() && pair.viewer.since(before).media > 20 {
            pair.viewer.watched = Some(pair.viewer.sequence);
        }
        if let Some(watched) = pair.viewer.watched {
            let lost = [watched.to_be_bytes(), [0, 0]].concat().repeat(200);
            pair.viewer.rtcp(&feedback(1, 205, pair.viewer.stream, &lost)).await;
            asked += 200;
        }
    }
    pair.viewer.settle().await;
    let Tally { watched, media, .. } = pair.viewer.since(before);
    // A share of what is sent (`crates/sfu/src/egress/write.rs`), whatever it is that is asked for.
    assert!((1..=media / 2).contains(&watched), "{watched} of {asked} beside {media} pictures");
    pair.recovers(&stage).await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_are_absurd_are_passed_over() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    let stream = pair.viewer.stream;
    let twcc = |base: u16, count: u16, chunks: &[u8]| {
        let mut body = base.to_be_bytes().to_vec();
        body.extend_from_slice(&count.to_be_bytes());
        body.extend_from_slice(&[0xff, 0xff, 0xff, 1]);
        body.extend_from_slice(chunks);
        body.resize(body.len().next_multiple_of(4), 0);
        feedback(15, 205, stream, &body)
    };
    let remb = |mantissa: [u8; 3]| {
        let body = [&b"REMB"[..], &[1], &mantissa, &stream.to_be_bytes()].concat();
        rtcp(15, 206, &[&1u32.to_be_bytes()[..], &[0; 4], &body].concat())
    };
    let mut absurd = vec![
        // Transport feedback: every number at once, deltas of hours, fewer deltas than packets.
        twcc(0, 65_535, &[0x3f, 0xff]),
        twcc(0, 65_535, &[0x5f, 0xff, 0x80, 0x00, 0x7f, 0xff]),
        twcc(65_000, 8_191, &[0x20; 40]),
        twcc(1, 1, &[]),
        twcc(0, 0, &[0xff; 200]),
        // REMB of nothing and of 2^63 and more.
        remb([0, 0, 0]),
        remb([0xff, 0xff, 0xff]),
        // Farewell of streams that are somebody else's, thirty-one of them, with a reason beyond the end.
        rtcp(1, 203, &stream.to_be_bytes()),
        rtcp(1, 203, &VIDEO_SSRC.to_be_bytes()),
        rtcp(31, 203, &[7; 124]),
        rtcp(0, 203, &[200, 0, 0, 0]),
        // Reports about everything, with more blocks than there are, from the end of time.
        rtcp(31, 201, &[0xff; 4 + 31 * 24]),
        rtcp(31, 201, &[0xff; 8]),
        rtcp(0, 200, &[0xff; 24]),
        rtcp(31, 200, &[0; 24]),
        // Descriptions without an end (RFC 3550 §6.5).
        rtcp(31, 202, &[0xff; 1_200]),
        rtcp(1, 202, &[0, 0, 0, 1, 1, 255, 65, 65]),
        rtcp(5, 204, &[0; 8]),
        rtcp(9, 207, &[0xff; 64]),
        rtcp(0, 192, &[0; 8]),
    ];
    // Lengths of nothing and of everything, compounds of a hundred, padding beyond the beginning.
    absurd.push([&[0x80, 201, 0, 0][..], &[0; 8]].concat());
    absurd.push([&[0x80, 201, 0xff, 0xff][..], &[0; 8]].concat());
    absurd.push(rtcp(0, 201, &[0, 0, 0, 1]).repeat(100));
    absurd.push([&[0xa0, 201, 0, 1][..], &[0, 0, 0, 255]].concat());
    absurd.push([rtcp(0, 201, &[0, 0, 0, 1]), vec![0x80, 206, 0, 200]].concat());
    for round in 0..40u32 {
        for (number, packet) in absurd.iter().enumerate() {
            pair.viewer.rtcp(packet).await;
            pair.publisher.rtcp(packet).await;
            pair.viewer.pace(round * 25 + number as u32).await;
            pair.publisher.pace(round * 25 + number as u32).await;
        }
        pair.viewer.take();
    }
    pair.recovers(&stage).await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_claims_any_bandwidth_is_sent_no_more_than_the_cap() {
    let stage = Stage::set_with(|config| config.media.send_max_kbps = 500).await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    let stream = pair.viewer.stream;
    let (begun, before) = (Instant::now(), pair.viewer.tally());
    // The publisher sends 8 Mbit/s; the viewer says that everything arrives, at once, without loss.
    let mut number = 0u32;
    while begun.elapsed() < Duration::from_secs(4) {
        let mut picture = pair.picture(number.is_multiple_of(30));
        picture.resize(1_100, 0);
        pair.publisher.rtp(&picture).await;
        pair.publisher.pace(number).await;
        pair.viewer.take();
        if number % 16 == 15 && pair.viewer.transport > 64 {
            // All of the last 64 arrived within a quarter of a millisecond (run length of small deltas).
            let sequence = pair.viewer.transport.wrapping_sub(63);
            let body = [
                &sequence.to_be_bytes()[..],
                &64u16.to_be_bytes(),
                &(number / 4).to_be_bytes()[1..],
                &[number as u8],
                &[0x20, 64],
                &[1; 64],
                &[0; 2],
            ]
            .concat();
            pair.viewer.rtcp(&feedback(15, 205, stream, &body)).await;
            let body = [&b"REMB"[..], &[1, 0xff, 0xff, 0xff], &stream.to_be_bytes()].concat();
            pair.viewer.rtcp(&rtcp(15, 206, &[&1u32.to_be_bytes()[..], &[0; 4], &body].concat())).await;
        }
        number += 1;
    }
    pair.viewer.take();
    let bits = pair.viewer.since(before).bytes * 8;
    let millis = begun.elapsed().as_millis() as u64;
    // Twice the cap, for what the pacer had when it began and what is sent again.
    assert!(bits <= 2 * 500 * millis + 1_000_000, "{bits} bits in {millis} ms");
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_about_packets_before_the_first_harms_nobody() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    for base in [u16::MAX, u16::MAX - 2, 0x8000, 0x8001, 40_000] {
        let body =
            [&base.to_be_bytes()[..], &64u16.to_be_bytes(), &[0, 0, 1, 1], &[0x20, 64], &[1; 64], &[0; 2]].concat();
        pair.viewer.rtcp(&feedback(15, 205, pair.viewer.stream, &body)).await;
    }
    pair.publisher.check().await;
    stage.others_are_undisturbed().await;
    pair.recovers(&stage).await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_about_loudness_cannot_make_the_speaker_flicker() {
    let stage = Stage::set().await;
    let mut liars = [Peer::publisher(&stage, "loud", &USUAL).await, Peer::publisher(&stage, "louder", &USUAL).await];
    let mut member = super::peer::Member::join(&stage, "witness").await;
    let begun = Instant::now();
    let (mut sent, mut interval) = (0u16, tokio::time::interval(Duration::from_millis(10)));
    while begun.elapsed() < Duration::from_secs(4) {
        interval.tick().await;
        sent += 1;
        for (index, liar) in liars.iter_mut().enumerate() {
            // Every 600 ms another is as loud as counts, with the movement of speech, and the rest is silent.
            let speaks = usize::from(sent) / 60 % 2 == index;
            let level = if speaks { 0x80 | (26 + sent % 2 * 14) as u8 } else { 0xff };
            let block = [0xbe, 0xde, 0, 1, LEVEL_ID << 4, level, 0, 0];
            let plain = packet(OPUS, sent, u32::from(sent) * 480, AUDIO_SSRC, &[0x78; 20]);
            let sealed = liar.seal(&extended(&plain, &block), 20);
            liar.raw(&sealed).await;
        }
    }
    // A last word marks the end of what was said before it.
    let seconds = begun.elapsed().as_secs() + 1;
    let end = member.client.request(serde_json::json!({ "type": "report", "enabled": false })).await;
    let changes = std::cell::Cell::new(0);
    let is_end = |message: &serde_json::Value| {
        changes.set(changes.get() + u64::from(message["type"] == "speakers"));
        message["re"] == end
    };
    member.client.until(is_end).await;
    let speakers = changes.get();
    // The list changes at most every 300 ms (crates/sfu/src/speakers.rs).
    assert!((1..=4 * seconds).contains(&speakers), "{speakers} changes in {seconds} s");
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

use std::sync::Arc;

use bytes::Bytes;
use telstar_units::{LayerId, Timescale, TrackId};

use super::*;
use crate::codec::{Codec, CodecConfig, H264Config};
use crate::frame::{KeyframeMode, Origin};
use crate::rtp::Packetiser;

const RECORD: [u8; 41] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10,
    0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0xf1, 0x42, 0xa4, 0x80, 0x01, 0x00, 0x05, 0x68, 0xcb,
    0x83, 0xcb, 0x20,
];

const CAMERA: TrackId = TrackId(1);
const ENCODER: TrackId = TrackId(2);

fn info(id: TrackId, keyframes: KeyframeMode) -> TrackInfo {
    TrackInfo { id, codec: Codec::H264, timescale: Timescale::VIDEO, keyframes, origin: Origin::Publisher }
}

fn frame(index: i64, gop: i64, len: usize) -> Frame {
    let config = Arc::new(CodecConfig::H264(H264Config::parse(&RECORD).expect("valid")));
    let key = index % gop == 0;
    let mut payload = (len as u32).to_be_bytes().to_vec();
    payload.push(if key { 0x65 } else { 0x41 });
    payload.extend((1..len).map(|at| (at as i64 + index) as u8));
    Frame { config, dts: index * 3_000, pts: index * 3_000, duration: 0, key, payload: payload.into() }
}

fn spec(track: TrackId, layer: u8, view: View) -> SubscriberSpec {
    let (start, when_full) = (Start::Gop, WhenFull::DropToKeyframe);
    SubscriberSpec { track, layer: LayerId(layer), view, start, when_full, items_max: 1_000 }
}

fn taken(hub: &mut Hub, id: SubscriberId) -> Vec<Item> {
    let mut items = Vec::new();
    hub.drain(id, &mut items);
    items
}

fn frames_of(items: Vec<Item>) -> Vec<(i64, bool, Bytes)> {
    let facts = |item| match item {
        Item::Frame(_, frame) => Some((frame.pts, frame.key, frame.payload)),
        Item::Packet(..) | Item::Ended => None,
    };
    items.into_iter().filter_map(facts).collect()
}

fn effects(hub: &mut Hub) -> Vec<Effect> {
    std::iter::from_fn(|| hub.poll_effect()).collect()
}

/// Issue 2 item 6: a packet-only ingest with three layers and a frame-only ingest, each through a packet output and a
/// frame output.
#[test]
fn either_ingest_reaches_either_output() {
    let mut hub = Hub::new();
    hub.add_track(info(CAMERA, KeyframeMode::OnRequest)).expect("fits");
    hub.add_track(info(ENCODER, KeyframeMode::Periodic)).expect("fits");
    for layer in 0..3 {
        hub.add_layer(CAMERA, LayerId(layer), View::Packets).expect("fits");
    }
    hub.add_layer(ENCODER, LayerId(0), View::Frames).expect("fits");
    let camera_frames = hub.subscribe(spec(CAMERA, 2, View::Frames)).expect("H.264 converts");
    let camera_packets = hub.subscribe(spec(CAMERA, 0, View::Packets)).expect("native");
    let encoder_frames = hub.subscribe(spec(ENCODER, 0, View::Frames)).expect("native");
    let encoder_packets = hub.subscribe(spec(ENCODER, 0, View::Packets)).expect("H.264 converts");

    let mut senders: Vec<_> = (0..3).map(|_| Packetiser::new(Codec::H264).expect("H.264")).collect();
    let mut sent = [0; 3];
    for index in 0..60 {
        for (layer, sender) in senders.iter_mut().enumerate() {
            let mut packets = Vec::new();
            sender.push(&frame(index, 30, 500 << (2 * layer)), &mut packets);
            sent[layer] += packets.len();
            for packet in &packets {
                hub.push_packet(CAMERA, LayerId(layer as u8), packet).expect("there");
            }
        }
        hub.push_frame(ENCODER, LayerId(0), &frame(index, 30, 4_000)).expect("there");
    }

    let expect = |len| (0..60).map(|at| frame(at, 30, len)).map(|f| (f.pts, f.key, f.payload)).collect::<Vec<_>>();
    assert_eq!(frames_of(taken(&mut hub, camera_frames)), expect(8_000), "layer 2 as frames");
    assert_eq!(taken(&mut hub, camera_packets).len(), sent[0], "layer 0 untouched");
    assert_eq!(frames_of(taken(&mut hub, encoder_frames)), expect(4_000), "the encoder as it came");
    let mut receiver = crate::rtp::Depacketiser::new(Codec::H264).expect("H.264");
    let mut received = Vec::new();
    for item in taken(&mut hub, encoder_packets) {
        let Item::Packet(_, packet) = item else { panic!("a packet output gets packets") };
        receiver.push(&packet, &mut received);
    }
    assert_eq!(received.into_iter().map(|f| (f.pts, f.key, f.payload)).collect::<Vec<_>>(), expect(4_000));
    assert_eq!(hub.counters(), HubCounters::default(), "nothing was dropped");
}

#[test]
fn demand_is_told_when_the_first_comes_and_the_last_leaves() {
    let mut hub = Hub::new();
    hub.add_track(info(CAMERA, KeyframeMode::OnRequest)).expect("fits");
    hub.add_layer(CAMERA, LayerId(0), View::Packets).expect("fits");
    let demand = |wanted| Effect::Demand { track: CAMERA, layer: LayerId(0), wanted };
    let keyframe = Effect::KeyframeWanted { track: CAMERA, layer: LayerId(0) };
    let first = hub.subscribe(spec(CAMERA, 0, View::Packets)).expect("native");
    assert_eq!(effects(&mut hub), [demand(true), keyframe.clone()]);
    let second = hub.subscribe(spec(CAMERA, 0, View::Frames)).expect("converts");
    assert_eq!(effects(&mut hub), [keyframe]);
    hub.unsubscribe(first);
    assert_eq!(effects(&mut hub), []);
    hub.unsubscribe(second);
    hub.unsubscribe(second);
    assert_eq!(effects(&mut hub), [demand(false)]);
}

#[test]
fn a_viewer_who_joins_gets_the_newest_group_at_once_unless_it_is_too_long() {
    let mut hub = Hub::new();
    hub.add_track(info(ENCODER, KeyframeMode::Periodic)).expect("fits");
    hub.add_layer(ENCODER, LayerId(0), View::Frames).expect("fits");
    for index in 0..75 {
        hub.push_frame(ENCODER, LayerId(0), &frame(index, 30, 100)).expect("there");
    }
    let viewer = hub.subscribe(spec(ENCODER, 0, View::Frames)).expect("native");
    let times: Vec<i64> = frames_of(taken(&mut hub, viewer)).iter().map(|(pts, ..)| pts / 3_000).collect();
    assert_eq!(times, (60..75).collect::<Vec<_>>());

    // 30 frames a second: after 4 s without a keyframe the ring is given up.
    for index in 75..200 {
        hub.push_frame(ENCODER, LayerId(0), &frame(index, 1_000, 100)).expect("there");
    }
    let late = hub.subscribe(spec(ENCODER, 0, View::Frames)).expect("native");
    assert!(taken(&mut hub, late).is_empty());
    hub.push_frame(ENCODER, LayerId(0), &frame(300, 30, 100)).expect("there");
    assert_eq!(frames_of(taken(&mut hub, late)).len(), 1, "from the next keyframe on");
}

#[test]
fn a_full_ring_has_the_answer_that_was_asked_for() {
    for (when_full, expect_left, expect_dropped) in
        [(WhenFull::DropOldest, 10, 15), (WhenFull::DropToKeyframe, 5, 20), (WhenFull::Close, 0, 0)]
    {
        let mut hub = Hub::new();
        hub.add_track(info(ENCODER, KeyframeMode::Periodic)).expect("fits");
        hub.add_layer(ENCODER, LayerId(0), View::Frames).expect("fits");
        let slow = SubscriberSpec { when_full, items_max: 10, ..spec(ENCODER, 0, View::Frames) };
        let slow = hub.subscribe(slow).expect("native");
        let brisk = hub.subscribe(spec(ENCODER, 0, View::Frames)).expect("native");
        for index in 0..25 {
            hub.push_frame(ENCODER, LayerId(0), &frame(index, 20, 100)).expect("there");
        }
        let left = frames_of(taken(&mut hub, slow));
        assert_eq!(left.len(), expect_left, "{when_full:?}");
        assert_eq!(hub.counters().items_dropped, expect_dropped, "{when_full:?}");
        let closed = effects(&mut hub).contains(&Effect::Closed { subscriber: slow });
        assert_eq!(closed, when_full == WhenFull::Close);
        if when_full == WhenFull::DropToKeyframe {
            assert!(left[0].1, "decoding goes on at a keyframe");
        }
        assert_eq!(frames_of(taken(&mut hub, brisk)).len(), 25, "the other subscriber lost nothing");
    }
}

#[test]
fn a_layer_switch_waits_for_the_new_layers_keyframe() {
    let mut hub = Hub::new();
    hub.add_track(info(CAMERA, KeyframeMode::OnRequest)).expect("fits");
    for layer in 0..2 {
        hub.add_layer(CAMERA, LayerId(layer), View::Frames).expect("fits");
    }
    let viewer = hub.subscribe(spec(CAMERA, 0, View::Frames)).expect("native");
    for index in 0..60 {
        if index == 10 {
            hub.select_layer(viewer, LayerId(1)).expect("there");
        }
        hub.push_frame(CAMERA, LayerId(0), &frame(index, 30, 100)).expect("there");
        hub.push_frame(CAMERA, LayerId(1), &frame(index + 5, 30, 900)).expect("there");
    }
    let layers: Vec<u8> = taken(&mut hub, viewer)
        .iter()
        .filter_map(|item| match item {
            Item::Frame(layer, _) => Some(layer.0),
            _ => None,
        })
        .collect();
    let switch = layers.iter().position(|layer| *layer == 1).expect("it switched");
    assert_eq!(switch, 26, "layer 1 has its keyframe with frame 25");
    assert!(layers[switch..].iter().all(|layer| *layer == 1));
}

#[test]
fn the_end_of_a_track_is_told_and_refusals_are_named() {
    let mut hub = Hub::new();
    hub.add_track(info(ENCODER, KeyframeMode::Periodic)).expect("fits");
    hub.add_layer(ENCODER, LayerId(0), View::Frames).expect("fits");
    assert_eq!(hub.add_track(info(ENCODER, KeyframeMode::Periodic)), Err(HubError::TrackExists(ENCODER)));
    assert_eq!(hub.subscribe(spec(CAMERA, 0, View::Frames)), Err(HubError::NoTrack(CAMERA)));
    assert_eq!(hub.subscribe(spec(ENCODER, 4, View::Frames)), Err(HubError::NoLayer(ENCODER, LayerId(4))));
    let sound = TrackInfo { codec: Codec::Aac, ..info(CAMERA, KeyframeMode::None) };
    hub.add_track(sound).expect("fits");
    hub.add_layer(CAMERA, LayerId(0), View::Frames).expect("fits");
    assert_eq!(hub.subscribe(spec(CAMERA, 0, View::Packets)), Err(HubError::NoConversion(CAMERA)));
    let viewer = hub.subscribe(spec(ENCODER, 0, View::Frames)).expect("native");
    hub.remove_track(ENCODER);
    assert!(matches!(taken(&mut hub, viewer)[..], [Item::Ended]));
    assert_eq!(hub.push_frame(ENCODER, LayerId(0), &frame(0, 1, 9)), Err(HubError::NoTrack(ENCODER)));
}

#[test]
fn a_keyframe_is_asked_for_after_a_drop_only_where_the_source_can_be_asked() {
    for (mode, asked) in [(KeyframeMode::OnRequest, 1), (KeyframeMode::Periodic, 0)] {
        let mut hub = Hub::new();
        hub.add_track(info(ENCODER, mode)).expect("fits");
        hub.add_layer(ENCODER, LayerId(0), View::Frames).expect("fits");
        let slow = SubscriberSpec { items_max: 4, ..spec(ENCODER, 0, View::Frames) };
        hub.subscribe(slow).expect("native");
        effects(&mut hub);
        for index in 0..8 {
            hub.push_frame(ENCODER, LayerId(0), &frame(index, 30, 50)).expect("there");
        }
        assert!(hub.counters().items_dropped > 0);
        let wanted = effects(&mut hub).iter().filter(|e| matches!(e, Effect::KeyframeWanted { .. })).count();
        assert_eq!(wanted, asked, "{mode:?}");
    }
}

//! Open groups of pictures: pictures behind a keyframe that are shown before it and need what was decoded before it.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use support::checker::{Expect, Playlist};
use support::room::{Room, UNIX_SECS};
use support::source::{Arrival, Source, VIDEO, video_track};
use telstar_hls::Snapshot;
use telstar_media::codec::H265Config;
use telstar_media::{Codec, CodecConfig, Frame, MediaKind, TrackInfo};
use telstar_units::{Epoch, WallTime};

/// HEVCDecoderConfigurationRecord of x265, 128x96 at 25 frames per second.
const HVCC: &str = "0101600000009000000000001ef000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003001e959409a10001002942010101600000030090000003000003001ea01020616595952930bc05a02000000300200000030321a2000100064401c073c189";
const FRAME_MS: i64 = 40;
const GOP_FRAMES: usize = 50;

/// `nal_unit_type`s (ITU-T H.265 table 7-1).
const TRAIL: u8 = 1;
const RADL: u8 = 6;
const RASL: u8 = 8;
const IDR: u8 = 19;
const CRA: u8 = 21;

/// What comes behind each keyframe but the first, and is shown before it.
#[derive(Clone, Copy)]
struct Kind {
    hevc: bool,
    key: u8,
    leading: Option<u8>,
}

fn frames(kind: Kind, secs: usize) -> Vec<Arrival> {
    let record: Vec<u8> =
        (0..HVCC.len()).step_by(2).map(|at| u8::from_str_radix(&HVCC[at..at + 2], 16).expect("hex")).collect();
    let h264 = Source::default().frames().remove(0).frame.config;
    let h265 = Arc::new(CodecConfig::H265(H265Config::parse(&record).expect("x265's record")));
    let frame = |n: usize| {
        let (gop, at) = (n / GOP_FRAMES, n % GOP_FRAMES);
        let key = at == 0;
        let leading = kind.leading.filter(|_| gop > 0);
        // Two pictures lead: the keyframe is the third of its group to be shown.
        let (shown, nal_type) = match (at, leading) {
            (0, None) => (0, if gop == 0 { IDR } else { kind.key }),
            (0, Some(_)) => (2, kind.key),
            (1 | 2, Some(leading)) => (at - 1, leading),
            _ => (at, TRAIL),
        };
        let dts = n as i64 * FRAME_MS * 90;
        let pts = ((gop * GOP_FRAMES + shown + 2) as i64 * FRAME_MS) * 90;
        let name = format!("v{n:08}");
        let unit = [&[nal_type << 1, 1], name.as_bytes()].concat();
        let payload: Bytes = match kind.hevc {
            true => [&(unit.len() as u32).to_be_bytes()[..], &unit].concat().into(),
            false => name.into_bytes().into(),
        };
        let config = if kind.hevc { h265.clone() } else { h264.clone() };
        Arrival {
            at_ms: n as i64 * FRAME_MS,
            track: VIDEO,
            frame: Frame { config, dts, pts, duration: 0, key, payload },
        }
    };
    (0..secs * 1_000 / FRAME_MS as usize).map(frame).collect()
}

fn playlist(snapshot: &Snapshot) -> Option<Playlist> {
    let text = snapshot.video.as_ref()?.playlist()?.text().clone();
    Some(Playlist::read(std::str::from_utf8(&text).expect("text")))
}

/// Plays it for 40 s. Returns the room and what each playlist said of EXT-X-INDEPENDENT-SEGMENTS, in order of change.
fn play(kind: Kind) -> (Room, Vec<bool>) {
    let expect = Expect { even: false, keyframes_in_time: false, aligned: false };
    let mut room = Room::new(expect, vec![MediaKind::Video]);
    let track = TrackInfo { codec: if kind.hevc { Codec::H265 } else { Codec::H264 }, ..video_track() };
    let wall = WallTime(UNIX_SECS as i64 * 1_000_000);
    room.packager.start_epoch(room.now(), Epoch(UNIX_SECS), wall, vec![track]);
    room.drain();
    let mut said = Vec::new();
    for arrival in frames(kind, 40) {
        room.advance_to(arrival.at_ms);
        room.play_one(&arrival);
        if let Some(playlist) = playlist(&room.snapshot) {
            said.push(playlist.independent_segments);
            let multivariant = room.snapshot.multivariant.as_ref().expect("listed").text().clone();
            let multivariant = String::from_utf8(multivariant.to_vec()).expect("text");
            assert_eq!(multivariant.contains("#EXT-X-INDEPENDENT-SEGMENTS"), playlist.independent_segments);
        }
    }
    said.dedup();
    (room, said)
}

/// Segments begin with keyframes, which are entries of the I-frame playlist too, whatever the group of pictures.
fn check_segments(room: &Room) {
    let segments = room.checker.segments(MediaKind::Video);
    assert!(segments.len() > 15 && segments.iter().all(|segment| segment.parts[0].independent), "L4");
    let pictures = room.snapshot.video.as_ref().and_then(|view| view.picture_playlist()).expect("there").text().clone();
    let pictures = String::from_utf8(pictures.to_vec()).expect("text");
    assert!(!pictures.contains("EXT-X-GAP") && pictures.contains(".i0.m4s"), "{pictures}");
}

#[test]
fn a_playlist_with_open_groups_does_not_claim_independent_segments() {
    for kind in [Kind { hevc: true, key: CRA, leading: Some(RASL) }, Kind { hevc: false, key: 0, leading: Some(0) }] {
        let (room, said) = play(kind);
        // The first group is closed. What was taken back is not said again.
        assert!(said == [true, false] || said == [false], "{said:?}");
        check_segments(&room);
    }
}

#[test]
fn leading_pictures_that_need_only_their_keyframe_leave_segments_independent() {
    let closed = [
        Kind { hevc: true, key: IDR, leading: Some(RADL) },
        // An encoder without B-frames may write CRA pictures all the same.
        Kind { hevc: true, key: CRA, leading: None },
        Kind { hevc: false, key: 0, leading: None },
    ];
    for kind in closed {
        let (room, said) = play(kind);
        assert_eq!(said, [true]);
        check_segments(&room);
    }
}

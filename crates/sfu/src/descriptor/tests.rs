use super::*;
use proptest::prelude::*;

const CODECS: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

fn read(codec: Codec, payload: &[u8]) -> Descriptor {
    Descriptor::read(codec, payload, true).unwrap_or_else(|_| panic!("{codec:?} {payload:02x?}"))
}

/// Every prefix is read or refused, and a number's position always lies within it.
fn truncated_at_every_byte(codec: Codec, payload: &[u8], shortest: usize) {
    for len in 0..=payload.len() {
        match Descriptor::read(codec, &payload[..len], false) {
            Ok(descriptor) => assert!(len >= shortest && within(&descriptor, len), "{len} bytes of {payload:02x?}"),
            Err(Malformed) => assert!(len < shortest, "{len} bytes of {payload:02x?}"),
        }
    }
}

fn within(descriptor: &Descriptor, len: usize) -> bool {
    let id = descriptor.picture_id.is_none_or(|id| usize::from(id.at) + usize::from(id.wide) < len);
    let tl0 = descriptor.tl0.is_none_or(|tl0| usize::from(tl0.at) < len);
    id && tl0 && usize::from(descriptor.temporal) < LAYERS_MAX && usize::from(descriptor.spatial) < LAYERS_MAX
}

#[test]
fn vp8_key_frame_with_all_fields() {
    // X S, I L T K, picture id 0x1234, TL0PICIDX 9, temporal 0 key index 3, P = 0.
    let payload = [0x90, 0xf0, 0x92, 0x34, 9, 0x03, 0x10, 2, 3];
    let descriptor = read(Codec::Vp8, &payload);
    assert!(descriptor.key_start && descriptor.key && descriptor.start && descriptor.end);
    assert_eq!(descriptor.picture_id, Some(PictureId { at: 2, value: 0x1234, wide: true }));
    assert_eq!(descriptor.tl0, Some(Tl0 { at: 4, value: 9 }));
    assert!(descriptor.contiguous_ids);
    truncated_at_every_byte(Codec::Vp8, &payload, 7);
}

#[test]
fn vp8_seven_bit_ids_and_layer_sync() {
    // Temporal layer 2 with Y; P = 1.
    let payload = [0x90, 0xe0, 0x55, 4, 0xa0, 0x11];
    let descriptor = read(Codec::Vp8, &payload);
    assert!(!descriptor.key && descriptor.start);
    assert_eq!(descriptor.picture_id, Some(PictureId { at: 2, value: 0x55, wide: false }));
    assert_eq!((descriptor.temporal, descriptor.switch_up), (2, SwitchUp::Here));
    truncated_at_every_byte(Codec::Vp8, &payload, 6);
}

#[test]
fn vp8_later_partitions_and_packets_are_no_key_start() {
    for first in [0x00, 0x11, 0x12] {
        let descriptor = read(Codec::Vp8, &[first, 0x00]);
        assert!(!descriptor.key_start && !descriptor.start, "{first:02x}");
    }
    assert!(read(Codec::Vp8, &[0x10, 0x00]).key_start, "without any extension");
}

#[test]
fn vp9_key_picture_of_svc_begins_at_its_lowest_layer() {
    // I L B E V, picture id, layers, TL0PICIDX, structure of 2 spatial layers with sizes and 2 pictures.
    let structure = [0x38, 1, 64, 0, 180, 2, 128, 1, 104, 2, 0x04, 1, 0x08, 1, 2];
    let mut payload = vec![0xae, 0x81, 0x02, 0x00, 7];
    payload.extend(structure);
    payload.push(0x82);
    let base = read(Codec::Vp9, &payload);
    assert!(base.key_start && base.start && base.end && !base.contiguous_ids);
    assert_eq!(base.picture_id, Some(PictureId { at: 1, value: 0x102, wide: true }));
    assert_eq!(base.tl0, Some(Tl0 { at: 4, value: 7 }));
    truncated_at_every_byte(Codec::Vp9, &payload, payload.len());
    // The layer above in the same picture: SID 1, D.
    let upper = read(Codec::Vp9, &[0xac, 0x81, 0x02, 0x03, 7, 0x82]);
    assert!(upper.key && !upper.key_start);
    assert_eq!(upper.spatial, 1);
}

#[test]
fn vp9_flexible_mode_has_references_and_no_base_layer_index() {
    // I P L F B, 7-bit id, temporal 1 with U, two references.
    let payload = [0xf8, 0x05, 0x30, 0x03, 0x04, 0x86];
    let descriptor = read(Codec::Vp9, &payload);
    assert_eq!((descriptor.temporal, descriptor.switch_up), (1, SwitchUp::After(7)));
    assert!(!descriptor.key && descriptor.tl0.is_none());
    truncated_at_every_byte(Codec::Vp9, &payload, 6);
    assert_eq!(
        Descriptor::read(Codec::Vp9, &[0xf8, 0x05, 0x30, 3, 3, 3, 2, 0x86], true),
        Err(Malformed),
        "four references"
    );
}

#[test]
fn h264_begins_with_its_parameter_sets() {
    let (sps, pps, idr, slice) = (0x67, 0x68, 0x65, 0x61);
    let single = read(Codec::H264, &[sps, 0x42, 0xe0, 0x1f]);
    assert!(single.key_start && single.start);
    let stap = [0x78, 0, 2, sps, 0x42, 0, 1, pps, 0, 2, idr, 0x88];
    assert!(read(Codec::H264, &stap).key_start);
    let picture = read(Codec::H264, &[idr, 0x88]);
    assert!(picture.key && picture.start && !picture.key_start, "a new decoder has no parameter sets");
    assert!(!read(Codec::H264, &[slice, 0x9a]).key);
    assert!(!read(Codec::H264, &[slice, 0x1a]).start, "first_mb_in_slice is not 0");
}

#[test]
fn h264_fragments_begin_a_frame_with_the_first_one() {
    let first = read(Codec::H264, &[0x7c, 0x85, 0x88]);
    assert!(first.key && first.start);
    let second = Descriptor::read(Codec::H264, &[0x7c, 0x05, 0x88], false).unwrap();
    assert!(second.key && !second.start && !second.end);
    assert_eq!(Descriptor::read(Codec::H264, &[0x7c], false), Err(Malformed));
}

#[test]
fn h264_aggregates_that_overlap_their_packet_are_refused() {
    let stap = [0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68];
    for len in 0..stap.len() {
        let whole = len == 5;
        assert_eq!(Descriptor::read(Codec::H264, &stap[..len], false).is_ok(), whole, "{len} bytes");
    }
    for payload in [&[0x78, 0xff, 0xff, 0x67][..], &[0x78, 0, 0], &[25, 0], &[0x79], &[0x7d, 0], &[0]] {
        assert_eq!(Descriptor::read(Codec::H264, payload, false), Err(Malformed), "{payload:02x?}");
    }
}

#[test]
fn av1_begins_a_sequence_with_its_header() {
    // N, W = 2: sequence header of 3 bytes, then a frame to the end.
    let payload = [0x28, 3, 0x08, 1, 2, 0x30, 5, 6];
    let descriptor = read(Codec::Av1, &payload);
    assert!(descriptor.key_start && descriptor.key && descriptor.start && descriptor.end);
    assert!(!read(Codec::Av1, &[0x18, 0x30, 5]).key_start, "a sequence without its header");
    let goes_on = read(Codec::Av1, &[0x58, 0x08, 5]);
    assert!(goes_on.key_start && !goes_on.end, "Y: the element goes on");
    assert!(!read(Codec::Av1, &[0x90, 0xff]).start, "Z: it continues one");
}

#[test]
fn av1_layers_are_those_of_the_obu_extension() {
    let descriptor = read(Codec::Av1, &[0x10, 0x34, 0x48, 5]);
    assert_eq!((descriptor.temporal, descriptor.spatial), (2, 1));
}

#[test]
fn av1_elements_that_overlap_their_packet_are_refused() {
    let payload = [0x28, 3, 0x08, 1, 2, 0x30];
    truncated_at_every_byte(Codec::Av1, &payload, 6);
    let malformed: [&[u8]; 6] = [
        &[0x00, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x00, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x30],
        &[0x20, 9, 0x30],
        &[0x30, 1, 0x30, 1],
        &[0x98, 0x30],
        &[0x10, 0x80],
    ];
    for payload in malformed {
        assert_eq!(Descriptor::read(Codec::Av1, payload, false), Err(Malformed), "{payload:02x?}");
    }
}

#[test]
fn sound_stands_alone() {
    let descriptor = read(Codec::Opus, &[0xfc]);
    assert!(descriptor.key_start && descriptor.start && descriptor.end && descriptor.picture_id.is_none());
}

#[test]
fn the_dependency_descriptor_overrules_what_av1_cannot_say() {
    let dependency = DependencyDescriptor {
        start_of_frame: true,
        end_of_frame: false,
        frame_number: 9,
        spatial: 0,
        temporal: 1,
        has_structure: false,
        is_intra: false,
        switch_up: Some(2),
        active_targets: None,
    };
    let payload = [0x28, 3, 0x08, 1, 2, 0x30, 5, 6];
    let descriptor = read(Codec::Av1, &payload).with_dependency(&dependency);
    assert!(!descriptor.key_start && !descriptor.end, "receivers could not read what follows without the structure");
    assert_eq!((descriptor.temporal, descriptor.switch_up), (1, SwitchUp::After(2)));
    assert_eq!(descriptor.frame_number, Some(9));
    let with_structure = DependencyDescriptor { has_structure: true, is_intra: true, temporal: 0, ..dependency };
    assert!(read(Codec::Av1, &payload).with_dependency(&with_structure).key_start);
}

proptest! {
    #[test]
    fn hostile_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..300), marker: bool) {
        for codec in CODECS {
            if let Ok(descriptor) = Descriptor::read(codec, &payload, marker) {
                prop_assert!(within(&descriptor, payload.len()));
                prop_assert!(descriptor.key || !descriptor.key_start);
            }
        }
    }
}

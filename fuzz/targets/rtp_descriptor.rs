//! What RTP payloads say about their frames: VP8, VP9, H.264 and AV1.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_media::Codec;
use telstar_sfu::descriptor::{Descriptor, LAYERS_MAX};
use telstar_sfu::rewrite::{Incoming, Rewriter};

fuzz_target!(|data: &[u8]| {
    // A byte that chooses codec and marker, then the payload.
    let [choice, payload @ ..] = data else { return };
    let codec = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1][usize::from(choice & 3)];
    let Ok(descriptor) = Descriptor::read(codec, payload, choice & 4 != 0) else { return };
    assert!(usize::from(descriptor.temporal) < LAYERS_MAX && usize::from(descriptor.spatial) < LAYERS_MAX);
    assert!(descriptor.key || !descriptor.key_start, "a beginning is a keyframe's");
    // Rewritten, the payload says the same but for its numbers.
    let now = std::time::Instant::now();
    let mut rewriter = Rewriter::new(90_000, 1, 1);
    let mut copy = payload.to_vec();
    for sequence in 0..3 {
        let packet = Incoming { sequence, time: 0, wall: None, descriptor: Some(&descriptor) };
        let outgoing = rewriter.forward(now, &packet).expect("contiguous packets pass");
        copy.copy_from_slice(payload);
        outgoing.patches.apply(&mut copy);
        rewriter.switch();
    }
    let again = Descriptor::read(codec, &copy, choice & 4 != 0).expect("still well formed");
    let numbers = |read: Descriptor| (read.picture_id.map(|id| (id.at, id.wide)), read.tl0.map(|tl0| tl0.at));
    assert_eq!(numbers(again), numbers(descriptor));
    assert_eq!(
        (again.key_start, again.temporal, again.spatial),
        (descriptor.key_start, descriptor.temporal, descriptor.spatial)
    );
    let next = |value: u16, mask: u16| value.wrapping_add(2) & mask;
    assert_eq!(again.picture_id.map(|id| id.value), descriptor.picture_id.map(|id| next(id.value, id.mask())));
});

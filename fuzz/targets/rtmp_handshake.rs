//! The handshake of a stranger, in pieces of any size, with the early answer at any moment. Whatever comes: no more is
//! answered than S0, S1 and S2, and what follows C2 is left for the chunks.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use telstar_rtmp::handshake::{Handshake, PACKET_LEN};

const ANSWER_LEN: usize = 1 + 2 * PACKET_LEN;

fuzz_target!(|data: &[u8]| {
    let [piece, early, data @ ..] = data else { return };
    let mut handshake = Handshake::new([7; 32]);
    let mut out = BytesMut::new();
    let mut taken = 0;
    for (index, chunk) in data.chunks(usize::from(*piece).max(1)).enumerate() {
        if index == usize::from(*early) {
            handshake.send_early(&mut out);
        }
        let mut rest = chunk;
        if handshake.read(&mut rest, &mut out).is_err() {
            assert_eq!(taken, 0, "only the first byte can be wrong");
            return;
        }
        taken += chunk.len() - rest.len();
        assert!(rest.is_empty() || handshake.is_done());
    }
    assert!(out.len() <= ANSWER_LEN && taken <= ANSWER_LEN);
    assert_eq!(handshake.is_done(), data.len() >= ANSWER_LEN);
});

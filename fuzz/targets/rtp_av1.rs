//! AV1 out of RTP: payloads in any order, with losses.
#![no_main]

mod rtp_packets;

use libfuzzer_sys::fuzz_target;
use telstar_media::Codec;

fuzz_target!(|data: &[u8]| rtp_packets::take(Codec::Av1, data));

//! An SDP as the engine reads it: offer and answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use str0m::_internal_test_exports::fuzz::{sdp_answer, sdp_offer};

fuzz_target!(|data: &[u8]| {
    let _ = (sdp_offer(data), sdp_answer(data));
});

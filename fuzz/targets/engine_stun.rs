//! STUN as the engine reads it (RFC 8489), once its sender's name is known.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = str0m::_internal_test_exports::fuzz::stun(data);
});

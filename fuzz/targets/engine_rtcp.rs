//! RTCP (RFC 3550, RFC 4585, transport feedback) as the engine reads it, and what it makes of it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = str0m::_internal_test_exports::fuzz::rtcp(data);
});

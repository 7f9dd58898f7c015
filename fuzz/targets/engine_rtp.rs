//! RTP with its header extensions (RFC 3550, RFC 8285) as the engine reads it, with any map of extensions.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = str0m::_internal_test_exports::fuzz::rtp_packet(data);
});

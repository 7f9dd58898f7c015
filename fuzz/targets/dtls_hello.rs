//! The first message of a peer's DTLS, which says what it speaks.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| telstar_sfu::fuzz::hello(data));

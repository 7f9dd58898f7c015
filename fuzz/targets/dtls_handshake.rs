//! Datagrams at a handshake of DTLS 1.2.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| telstar_sfu::fuzz::handshake(std::time::Instant::now(), data));

//! What a subscriber says in RTCP: reports, NACK, PLI, FIR, transport feedback.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| telstar_sfu::fuzz::rtcp(data));

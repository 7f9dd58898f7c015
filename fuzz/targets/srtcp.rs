//! SRTCP that comes, in each of the three profiles, and what was sealed with one bit changed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| telstar_sfu::fuzz::srtcp(data));

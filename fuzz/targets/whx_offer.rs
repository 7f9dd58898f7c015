//! An offer of WHIP or WHEP, as HTTP brings it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        telstar_sfu::fuzz::offer(text);
    }
});

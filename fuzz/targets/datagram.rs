//! The first look at a datagram from anybody: what it is, and whom a STUN request names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_sfu::{Sort, sort};

fuzz_target!(|data: &[u8]| {
    if let Sort::Request(ufrag) = sort(data) {
        assert!(data.windows(ufrag.len()).any(|bytes| bytes == ufrag.as_bytes()) || ufrag.is_empty());
    }
});

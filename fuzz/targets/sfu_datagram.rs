//! What of a datagram is read before its sender is known: STUN's header and USERNAME.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| telstar_sfu::fuzz::datagram(data));

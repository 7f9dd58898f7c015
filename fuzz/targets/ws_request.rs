//! One text message of the WebSocket protocol.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_signaling::Limits;
use telstar_signaling::wire::parse;

fuzz_target!(|text: &str| {
    let _ = parse(text, Limits::default().json_depth_max);
});

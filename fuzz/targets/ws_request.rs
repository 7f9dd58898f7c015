//! One text message of the WebSocket protocol, of any type. What is read keeps its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_signaling::Limits;
use telstar_signaling::wire::{CALL_REQUEST_TYPES, CallRequest, Parsed, parse};

fuzz_target!(|text: &str| {
    if let Ok(Parsed::Call(_, request)) = parse(text, Limits::default().json_depth_max) {
        assert!(CALL_REQUEST_TYPES.contains(&request.kind()));
        match request {
            CallRequest::Join(join) => assert!(join.name.is_none_or(|name| name.as_str().chars().count() <= 100)),
            CallRequest::Publish(publish) => assert!(publish.tracks.len() <= 16),
            CallRequest::SendData(message) => assert!(message.data.json().get().len() <= 16 * 1024),
            _ => {}
        }
    }
});

//! Room names and topics from URLs, stream names and messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_signaling::TopicName;
use telstar_units::{ROOM_NAME_LEN_MAX, RoomName};

fuzz_target!(|text: &str| {
    if let Ok(name) = RoomName::parse(text) {
        assert!(text.len() <= ROOM_NAME_LEN_MAX && !text.starts_with("sk_") && !text.contains(['/', '.', '%']));
        assert_eq!(name.to_string(), text);
    }
    let _ = TopicName::parse(text);
});

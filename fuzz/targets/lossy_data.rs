//! Lossy data messages on their way in and out.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use telstar_sfu::data::{DATA_PAYLOAD_LEN_MAX, read_down, read_up, write_down, write_up};

fuzz_target!(|data: &[u8]| {
    let frame = Bytes::copy_from_slice(data);
    if let Ok(message) = read_up(&frame) {
        assert!(message.payload.len() <= DATA_PAYLOAD_LEN_MAX && message.to.is_sorted());
        let written = write_up(&message.to, &message.payload).expect("what was read can be written");
        assert_eq!(read_up(&written.into()).as_ref(), Ok(&message));
        for from in &message.to {
            let down = write_down(*from, &message.payload).expect("numbers that were read fit");
            assert_eq!(read_down(&down.into()), Ok((*from, message.payload.clone())));
        }
    }
    if let Ok((from, payload)) = read_down(&frame) {
        assert_eq!(write_down(from, &payload).as_deref(), Ok(data));
    }
});

//! AMF0 from a stranger: commands and metadata, before anything is known of the peer. What is read can be written and read again.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use telstar_rtmp::amf::{decode, decode_lenient, encode};

fuzz_target!(|data: &[u8]| {
    let _ = decode_lenient(data);
    let Ok(values) = decode(data) else { return };
    let mut out = BytesMut::new();
    values.iter().for_each(|value| encode(value, &mut out));
    // NaN is not equal to itself, so the comparison is of the bytes.
    if let Ok(again) = decode(&out) {
        let mut twice = BytesMut::new();
        again.iter().for_each(|value| encode(value, &mut twice));
        assert_eq!(out, twice, "reading and writing again changes nothing");
    }
});

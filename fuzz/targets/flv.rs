//! The bodies of RTMP's audio and video messages, legacy and Enhanced.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use telstar_rtmp::flv::{parse_audio, parse_video};

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    let _ = parse_audio(body.clone(), &mut |tag| drop(tag));
    let _ = parse_video(body, &mut |tag| drop(tag));
});

//! Files before FFmpeg sees them: what they are by their first bytes, the index of an MP4, the tracks of a Matroska
//! file.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;

// The worker is a program and no library, and these know nothing of the rest of it.
#[path = "../../transcode/worker/src/file/boxes.rs"]
mod boxes;
#[path = "../../transcode/worker/src/file/elements.rs"]
mod elements;
#[path = "../../transcode/worker/src/file/sniff.rs"]
mod sniff;

fuzz_target!(|data: &[u8]| {
    let head = &data[..data.len().min(sniff::SNIFFED_BYTES)];
    if let Some((demuxer, name)) = sniff::sniff(head) {
        assert!(!demuxer.is_empty() && !name.is_empty() && !["hls", "concat", "dash", "sdp"].contains(&demuxer));
    }
    // A file may have been cut off since somebody asked how long it is, or have grown.
    for len in [data.len() as u64, 0, u64::MAX] {
        let looked = boxes::look(&mut Cursor::new(data), len).expect("memory can be read");
        assert!(looked.aspects.len() <= data.len() / 8, "a track takes a box");
    }
    let aspects = elements::aspects(&mut Cursor::new(data)).expect("memory can be read");
    assert!(aspects.len() <= data.len() / 2, "a track takes an element");
});

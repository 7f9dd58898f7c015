//! What an encoder writes: start codes and NAL units into samples, and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_media::codec::annexb::{AnnexBReader, to_annex_b};

fuzz_target!(|data: &[u8]| {
    let mut reader = AnnexBReader::default();
    if let Ok(Some(sample)) = reader.read(data) {
        let stream = to_annex_b(&sample.config, sample.key, &sample.payload).expect("its lengths are ours");
        let again = reader.read(&stream).expect("the same parameter sets").expect("the same picture");
        assert_eq!((again.key, again.payload), (sample.key, sample.payload));
    }
});

//! AAC's AudioSpecificConfig.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use telstar_media::codec::AacConfig;

fuzz_target!(|data: &[u8]| {
    if let Ok(config) = AacConfig::parse(Bytes::copy_from_slice(data)) {
        let _ = config.rfc6381();
    }
});

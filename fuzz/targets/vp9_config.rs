//! VP9's configuration record and the headers of key frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_media::codec::{Vp9Config, Vp9Record};

fuzz_target!(|data: &[u8]| {
    let record = Vp9Record::parse(data).ok();
    // The frame stands behind the record.
    for frame in [data, data.get(8..).unwrap_or_default()] {
        if let Ok(Some(config)) = Vp9Config::from_key_frame(frame, record.as_ref()) {
            assert!(config.width > 0 && config.height > 0 && config.record.level > 0);
            let _ = config.rfc6381();
        }
    }
});

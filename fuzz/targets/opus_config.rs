//! Opus' identification header and packets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_media::codec::{OpusConfig, opus_channels, opus_duration};

fuzz_target!(|data: &[u8]| {
    assert!(opus_duration(data) <= 5_760);
    let _ = opus_channels(data);
    if let Ok(config) = OpusConfig::parse(data) {
        assert_eq!(OpusConfig::parse(&config.header()), Ok(config));
    }
});

//! FLAC's streaminfo block and frame headers; AC-3's and E-AC-3's sync frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_media::codec::{Ac3Config, FlacConfig, flac_frame_samples};

fuzz_target!(|data: &[u8]| {
    assert!(flac_frame_samples(data).is_none_or(|samples| (1..=65_536).contains(&samples)));
    if let Ok(config) = FlacConfig::parse(data) {
        assert_eq!(FlacConfig::parse(&config.stream_info), Ok(config));
    }
    if let Some(config) = Ac3Config::parse(data) {
        assert!(config.channels > 0 && config.sample_rate > 0 && config.samples() > 0);
    }
});

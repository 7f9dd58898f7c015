//! AV1's configuration record, OBUs, and temporal units on their way to samples.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use telstar_media::codec::{Av1Config, Av1Unit, ObuKind, obus};

fuzz_target!(|data: &[u8]| {
    let _ = Av1Config::check_ts_descriptor(data);
    if let Ok(config) = Av1Config::parse(data) {
        let _ = config.rfc6381();
        let again = Av1Config::parse(&config.av1c).expect("what was written can be read");
        assert_eq!(again, config);
        assert!(!config.sequence_header().is_empty());
    }
    for obu in obus(data).map_while(Result::ok).filter(|obu| obu.kind == ObuKind::SequenceHeader) {
        if let Ok(config) = Av1Config::from_sequence_header(&obu) {
            assert_eq!(config.sequence_header(), obu.body);
        }
    }
    let payload = Bytes::copy_from_slice(data);
    for reduced in [false, true] {
        let Ok(unit) = Av1Unit::read(&payload, reduced) else { return };
        let sample = unit.sample(&payload);
        let again = Av1Unit::read(&sample, reduced).expect("a sample is a unit");
        assert_eq!((again.key, again.has_frame), (unit.key, unit.has_frame));
        assert_eq!(again.sample(&sample), sample, "nothing is left to take away");
    }
});

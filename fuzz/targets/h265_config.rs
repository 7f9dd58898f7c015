//! H.265's configuration record, in either wrapping, and the NAL units that change it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_media::codec::{H265Config, H265NalKind, h265_parameter_set_id, nal_units};

fuzz_target!(|data: &[u8]| {
    for length_size in [1, 2, 4] {
        for unit in nal_units(data, length_size).map_while(Result::ok) {
            let _ = (H265NalKind::of(unit), h265_parameter_set_id(unit));
        }
    }
    let Ok(config) = H265Config::parse(data) else { return };
    assert!(config.width > 0 && config.height > 0 && config.bit_depth >= 8);
    let _ = config.rfc6381();
    let again = H265Config::parse(&config.hvcc).expect("what was written can be read");
    assert_eq!(again, H265Config { source_length_size: 4, ..config.clone() });
    let sets = config.parameter_sets();
    let rebuilt = H265Config::from_parameter_sets(&sets).expect("what was read can be put together again");
    assert_eq!(rebuilt.parameter_sets(), sets);
    assert_eq!((rebuilt.width, rebuilt.height, rebuilt.rfc6381()), (config.width, config.height, config.rfc6381()));
});

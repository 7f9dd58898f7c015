//! H.264's configuration record and NAL units behind lengths, as RTMP brings them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_media::codec::{H264Config, nal_kinds};

fuzz_target!(|data: &[u8]| {
    for length_size in [1, 2, 4] {
        let _ = nal_kinds(data, length_size).take_while(Result::is_ok).count();
    }
    let Ok(config) = H264Config::parse(data) else { return };
    let _ = config.rfc6381();
    let (sps, pps) = config.parameter_sets();
    let again = H264Config::from_parameter_sets(&sps, &pps).expect("what was read can be put together again");
    assert_eq!(again.parameter_sets(), (sps, pps));
});

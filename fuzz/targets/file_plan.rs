//! What a worker says of a file, which may have taken it over: whatever it is, what is made of it is a plan that can be
//! carried out.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use telstar_transcode::file::{OUTPUTS_MAX, Output, Source};
use telstar_transcode::plan::{Options, plan};

fuzz_target!(|data: &[u8]| {
    let Some((flags, told)) = data.split_first() else { return };
    let Ok(source) = postcard::from_bytes::<Source>(told) else { return };
    let has = |bit: u8| flags & bit != 0;
    let options = Options { has_ladder: has(1), has_hevc: has(2), has_av1: has(4), stereo_bps: 128_000 };
    let Ok(plan) = plan(&source, &options) else { return };
    for made in [&plan.first, &plan.more] {
        assert!(made.len() <= OUTPUTS_MAX);
        for one in made {
            assert!(!one.name.is_empty() && one.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
            if let Output::Video { rung, .. } = &one.output {
                let video = source.video.as_ref().expect("there are pictures to encode");
                assert!(
                    rung.width.is_multiple_of(2) && rung.height.is_multiple_of(2) && rung.width > 0 && rung.height > 0
                );
                assert!(
                    rung.width <= video.width.max(2) + 1 && rung.height <= video.height.max(2) + 1,
                    "never upscaled"
                );
            }
        }
    }
    assert!(!plan.first.is_empty(), "something plays");
    let names: BTreeSet<&str> = plan.first.iter().chain(&plan.more).map(|one| one.name.as_str()).collect();
    assert_eq!(names.len(), plan.first.len() + plan.more.len(), "no two have one address");
    let mut end = 0;
    for (from, to) in plan.map.segments() {
        assert!(from == end && (to > from || plan.map.end() == from), "segments follow each other");
        end = to;
    }
    assert_eq!(end, plan.map.end());
});

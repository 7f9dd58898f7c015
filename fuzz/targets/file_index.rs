//! The segments that a worker tells, which may have been taken over: whatever they are, what is taken of them is true
//! of itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_transcode::file::{Index, Segment};
use telstar_transcode::map::SegmentMap;
use telstar_units::Timescale;

fuzz_target!(|data: &[u8]| {
    let Ok((map, hz, told)) = postcard::from_bytes::<(SegmentMap, u32, Vec<Segment>)>(data) else { return };
    let Some(timescale) = Timescale::new(hz) else { return };
    let mut index = Index::default();
    for segment in told {
        let _ = index.push(segment, timescale, &map);
    }
    let (mut bytes, mut time) = (0, None);
    for segment in index.segments() {
        assert_eq!(segment.offset, bytes);
        assert!(time.is_none_or(|time| time == segment.start) && segment.duration > 0);
        assert!(segment.keys.iter().all(|key| key.offset + key.len <= segment.len));
        bytes += segment.len;
        time = Some(segment.start + segment.duration);
    }
    assert_eq!((index.len(), index.is_empty()), (bytes, bytes == 0));
    assert!(index.segments().len() <= map.count());
    assert_eq!(index.is_whole(&map), index.segments().len() == map.count());
    // What is kept of it comes back.
    let kept = postcard::to_allocvec(&(&map, &index)).expect("bytes");
    assert_eq!(postcard::from_bytes::<(SegmentMap, Index)>(&kept), Ok((map, index)));
});

//! Dependency descriptors of one source, in any order, with structures of any kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_sfu::dependency::{DependencyReader, set_frame_number};

fuzz_target!(|data: &[u8]| {
    let mut reader = DependencyReader::default();
    let mut rest = data;
    // Each extension: a length, its bytes.
    while let [len, tail @ ..] = rest {
        let (extension, after) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = after;
        let mut other = reader.clone();
        let Ok(read) = reader.read(extension) else { continue };
        assert!(read.spatial <= 3 && read.temporal <= 7);
        assert!(read.switch_up.is_none_or(|temporal| temporal <= 7));
        let mut renumbered = extension.to_vec();
        assert!(set_frame_number(&mut renumbered, 0xbeef), "what was read is long enough");
        let mut expect = read;
        expect.frame_number = 0xbeef;
        assert_eq!(other.read(&renumbered), Ok(expect), "nothing else changes with the number");
    }
});

use super::*;
use proptest::prelude::*;

/// Writes descriptors as the appendix lays them out.
#[derive(Default)]
struct Bits {
    bits: Vec<bool>,
}

impl Bits {
    fn put(&mut self, count: u32, value: u32) -> &mut Bits {
        self.bits.extend((0..count).rev().map(|at| value >> at & 1 == 1));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        self.bits
            .chunks(8)
            .map(|byte| byte.iter().enumerate().fold(0, |sum, (at, bit)| sum | u8::from(*bit) << (7 - at)))
            .collect()
    }
}

/// One template: how the next layer is told (0 same, 1 temporal, 2 spatial, 3 end), indications, references, chains.
type Line = (u32, &'static str, &'static [u32], &'static [u32]);

/// Appendix A.10 of the specification, L1T2 and L1T3.
const L1T2: &[Line] = &[(0, "SS", &[], &[0]), (1, "SS", &[2], &[2]), (3, "-D", &[1], &[1])];
const L1T3: &[Line] = &[
    (0, "SSS", &[], &[0]),
    (1, "SSS", &[4], &[4]),
    (1, "-DS", &[2], &[2]),
    (0, "--D", &[1], &[1]),
    (3, "--D", &[1], &[3]),
];
/// Two spatial layers of one temporal layer each.
const L2T1: &[Line] =
    &[(0, "SR", &[], &[0, 0]), (2, "SR", &[2], &[2, 2]), (0, "-S", &[1], &[1, 1]), (3, "-S", &[2, 1], &[1, 1])];

fn indication(letter: char) -> u32 {
    "-DSR".find(letter).expect("one of four") as u32
}

fn structure(lines: &[Line], first_id: u32, out: &mut Bits) {
    let targets = lines[0].1.len() as u32;
    out.put(6, first_id).put(5, targets - 1);
    for (next, ..) in lines {
        out.put(2, *next);
    }
    for (_, indications, ..) in lines {
        for letter in indications.chars() {
            out.put(2, indication(letter));
        }
    }
    for (_, _, references, _) in lines {
        for reference in *references {
            out.put(1, 1).put(4, reference - 1);
        }
        out.put(1, 0);
    }
    let chains = lines[0].3.len() as u32;
    put_non_symmetric(out, targets + 1, chains);
    for target in 0..targets {
        put_non_symmetric(out, chains, target.min(chains - 1));
    }
    for (.., chains) in lines {
        for chain in *chains {
            out.put(4, *chain);
        }
    }
    let spatial = 1 + lines.iter().filter(|line| line.0 == 2).count() as u32;
    out.put(1, 1);
    for layer in 1..=spatial {
        out.put(16, 320 * layer - 1).put(16, 180 * layer - 1);
    }
}

fn put_non_symmetric(out: &mut Bits, count: u32, value: u32) {
    let width = count.ilog2() + 1;
    let short = (1 << width) - count;
    if value < short {
        out.put(width - 1, value)
    } else {
        out.put(width, value + short)
    };
}

fn key(lines: &[Line], first_id: u32, number: u32) -> Vec<u8> {
    let mut out = Bits::default();
    out.put(2, 0b11).put(6, first_id).put(16, number).put(5, 0x10);
    structure(lines, first_id, &mut out);
    out.bytes()
}

fn delta(template_id: u32, number: u32) -> Vec<u8> {
    Bits::default().put(2, 0b11).put(6, template_id).put(16, number).bytes()
}

#[test]
fn l1t3_names_its_layers_and_where_more_can_be_taken() {
    let mut reader = DependencyReader::default();
    let read = reader.read(&key(L1T3, 60, 7)).expect("the key carries its structure");
    assert!(read.has_structure && read.is_intra && read.start_of_frame && read.end_of_frame);
    assert_eq!((read.frame_number, read.spatial, read.temporal, read.switch_up), (7, 0, 0, Some(2)));
    assert_eq!(read.active_targets, Some(0b111));
    // Template ids wrap at 64: 61, 62, 63, 0 are the templates after the first.
    let layers: Vec<_> = [61, 62, 63, 0].map(|id| reader.read(&delta(id, 8)).expect("the structure is known")).to_vec();
    let temporal: Vec<_> = layers.iter().map(|read| (read.temporal, read.switch_up)).collect();
    assert_eq!(temporal, [(0, Some(2)), (1, Some(2)), (2, None), (2, None)]);
    assert!(layers.iter().all(|read| !read.is_intra && !read.has_structure && read.active_targets.is_none()));
}

#[test]
fn spatial_layers_are_counted_by_their_templates() {
    let mut reader = DependencyReader::default();
    reader.read(&key(L2T1, 0, 0)).expect("the descriptor is whole");
    let read: Vec<_> = (0..4)
        .map(|id| reader.read(&delta(id, 1)).expect("the descriptor is whole"))
        .map(|read| (read.spatial, read.switch_up))
        .collect();
    assert_eq!(read, [(0, Some(0)), (0, Some(0)), (1, Some(0)), (1, Some(0))]);
}

#[test]
fn a_frame_may_say_its_own_indications_references_chains_and_targets() {
    let mut reader = DependencyReader::default();
    reader.read(&key(L1T2, 0, 0)).expect("the descriptor is whole");
    let mut out = Bits::default();
    // Flags: active targets, indications, references, chains. Target 1 is off; "S-"; a reference of 300; chain 9.
    out.put(2, 0b10).put(6, 1).put(16, 5).put(5, 0x0f).put(2, 0b01);
    out.put(2, indication('S')).put(2, indication('-')).put(2, 3).put(12, 299).put(2, 0).put(8, 9);
    let read = reader.read(&out.bytes()).expect("the descriptor is whole");
    assert_eq!((read.switch_up, read.active_targets, read.is_intra), (Some(0), Some(0b01), false));
    assert!(read.start_of_frame && !read.end_of_frame);
}

#[test]
fn without_a_structure_nothing_is_guessed() {
    let mut reader = DependencyReader::default();
    assert_eq!(reader.read(&delta(0, 0)), Err(DependencyError::NoStructure));
    reader.read(&key(L1T2, 10, 0)).expect("the descriptor is whole");
    assert_eq!(reader.read(&delta(13, 1)), Err(DependencyError::Invalid), "three templates from 10 on");
    assert_eq!(reader.read(&delta(9, 1)), Err(DependencyError::Invalid));
}

#[test]
fn a_descriptor_truncated_at_every_byte_is_refused_and_the_old_structure_stays() {
    let mut reader = DependencyReader::default();
    reader.read(&key(L1T2, 0, 0)).expect("the descriptor is whole");
    let whole = key(L1T3, 20, 1);
    for len in 0..whole.len() {
        if len != MANDATORY_LEN {
            assert_eq!(reader.read(&whole[..len]), Err(DependencyError::Truncated), "{len} bytes");
        }
    }
    assert_eq!(reader.read(&whole[..MANDATORY_LEN]), Err(DependencyError::Invalid), "template 20 is not known");
    assert_eq!(reader.read(&delta(2, 1)).expect("the descriptor is whole").temporal, 1, "still L1T2");
}

#[test]
fn more_templates_or_layers_than_there_may_be_are_refused() {
    let mut reader = DependencyReader::default();
    let bomb = |next: u32| {
        let mut out = Bits::default();
        out.put(2, 0b11).put(6, 0).put(16, 0).put(5, 0x10).put(6, 0).put(5, 31);
        for _ in 0..500 {
            out.put(2, next);
        }
        out.bytes()
    };
    for next in 0..3 {
        assert_eq!(reader.read(&bomb(next)), Err(DependencyError::Invalid), "{next}");
    }
}

#[test]
fn the_frame_number_is_patched_in_place() {
    let mut bytes = key(L1T2, 0, 3);
    assert!(set_frame_number(&mut bytes, 0xbeef));
    let mut reader = DependencyReader::default();
    assert_eq!(reader.read(&bytes).expect("the descriptor is whole").frame_number, 0xbeef);
    assert!(!set_frame_number(&mut [0; 2], 1));
}

proptest! {
    #[test]
    fn hostile_descriptors_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), flags: u8) {
        let mut reader = DependencyReader::default();
        let _ = reader.read(&key(L1T3, 0, 0));
        let _ = reader.read(&bytes);
        let mut with_structure = vec![0xc0, 0, 0, 0x80 | flags];
        with_structure.extend(&bytes);
        if let Ok(read) = reader.read(&with_structure) {
            prop_assert!(read.spatial <= SPATIAL_ID_MAX && read.temporal <= TEMPORAL_ID_MAX);
        }
        let _ = reader.read(&delta(u32::from(flags & 0x3f), 1));
    }
}

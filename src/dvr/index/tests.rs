//! Records read back, torn and changed indexes, and what of them is listed again.

use super::*;

fn segment(kind: Kind, msn: u64, from: u64) -> Record {
    Record::Segment(SegmentRecord {
        kind,
        epoch: 7,
        msn,
        init: 1,
        discontinuity: false,
        discontinuity_sequence: 3,
        wall: 1_795_270_942_000_000,
        independent: true,
        gap: false,
        secs: 2.002_f64.to_bits(),
        hz: 90_000,
        entry: 2 * msn,
        pictures: vec![(140, 6_000, 180_180 * msn, 3_000, 180_180)],
        lens: vec![7_000, 900],
        from,
    })
}

fn records() -> Vec<Record> {
    let init = InitRecord {
        kind: Kind::Video,
        epoch: 7,
        number: 1,
        hz: 90_000,
        part_target_ms: 334,
        target_duration_secs: 2,
        frame_rate: Some(29.97_f64.to_bits()),
        rfc6381: Some("avc1.64001f".into()),
        size: Some((1_280, 720)),
        channels: None,
        range: None,
    };
    let mut records = vec![Record::Room { layout: LAYOUT, name: "demo".into() }, Record::Init(init)];
    records.extend((10..14).map(|msn| segment(Kind::Video, msn, 10)));
    records.push(Record::Next { msn: 15 });
    records
}

#[test]
fn records_read_back_and_a_torn_tail_is_cut_at_every_byte() {
    let records = records();
    let lines: Vec<Vec<u8>> = records.iter().map(line).collect();
    let bytes = lines.concat();
    for len in 0..=bytes.len() {
        let (read, valid) = parse(&bytes[..len]);
        let whole = lines
            .iter()
            .scan(0, |at, line| {
                Some({
                    *at += line.len();
                    *at
                })
            })
            .filter(|end| *end <= len);
        let ends: Vec<usize> = whole.collect();
        assert_eq!((read.as_slice(), valid), (&records[..ends.len()], ends.last().copied().unwrap_or(0)));
    }
}

#[test]
fn a_byte_that_changed_ends_the_index_before_its_line() {
    let bytes: Vec<u8> = records().iter().flat_map(line).collect();
    let first_len = line(&records()[0]).len();
    for at in first_len..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let (read, valid) = parse(&changed);
        assert!(valid <= at && read.len() < records().len(), "byte {at}");
    }
}

#[test]
fn what_had_left_the_list_is_not_listed_again() {
    let mut records = records();
    records.push(segment(Kind::Video, 14, 11));
    records.push(Record::Next { msn: 17 });
    let mut facts = Facts::of(records).expect("an index");
    facts.forget_unlisted();
    let left: Vec<u64> = facts.segments.iter().map(|segment| segment.msn).collect();
    // Number 10 had left; players may have seen two more numbers than were kept (15 and 16), and the window slid.
    assert_eq!(left, [14]);
    let listing = facts.listing(|_| Some(vec![1]));
    assert_eq!((listing.next_msn, listing.segments[0].1.len(), listing.inits.len()), (17, 7_900, 1));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_up_to_where_they_make_sense(bytes: Vec<u8>, at in 0_usize..600) {
        let mut index: Vec<u8> = records().iter().flat_map(line).collect();
        let at = at.min(index.len());
        index.splice(at..at, bytes.iter().copied());
        for bytes in [&bytes, &index] {
            let (read, valid) = parse(bytes);
            proptest::prop_assert!(valid <= bytes.len());
            let again: Vec<u8> = read.iter().flat_map(line).collect();
            proptest::prop_assert_eq!(&again, &bytes[..valid]);
            if let Some(mut facts) = Facts::of(read) {
                facts.forget_unlisted();
                facts.listing(|_| Some(Vec::new()));
            }
        }
    }
}

#[test]
fn a_rendition_that_was_given_up_and_came_back_is_listed_again() {
    let mut records = records();
    records.extend((10..14).map(|msn| segment(Kind::Audio, msn, 10)));
    records.push(Record::Discard { kind: Kind::Audio, below: u64::MAX });
    records.extend((14..16).map(|msn| segment(Kind::Video, msn, 10)));
    records.push(segment(Kind::Audio, 15, 15));
    records.push(Record::Next { msn: 17 });
    let mut facts = Facts::of(records).expect("an index");
    facts.forget_unlisted();
    let sound = facts.segments.iter().filter(|segment| segment.kind == Kind::Audio);
    assert_eq!(sound.map(|segment| segment.msn).collect::<Vec<_>>(), [15]);
    assert_eq!(facts.segments.len(), 7, "and of the pictures nothing is missing");
}

#[test]
fn what_another_listing_follows_is_not_listed_again() {
    let mut records = records();
    records.push(Record::Over);
    let facts = Facts::of(records).expect("an index");
    assert!(facts.segments.is_empty() && facts.next_msn == 15);
    assert!(Facts::of(vec![Record::Over]).is_none(), "an index begins with its room");
}

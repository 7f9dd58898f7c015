use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::descriptor::{PictureId, Tl0};

const HZ: u32 = 90_000;

/// A slot, its clock, and whatever the test says came.
struct Slot {
    rewriter: Rewriter,
    start: Instant,
}

impl Slot {
    fn new() -> Slot {
        Slot { rewriter: Rewriter::new(HZ, 1_000, 5_000), start: Instant::now() }
    }

    fn sound(&mut self, millis: u64, sequence: u64, time: u32) -> Result<(u64, u32), Refused> {
        let packet = Incoming { sequence, time, wall: None, descriptor: None };
        let now = self.start + Duration::from_millis(millis);
        self.rewriter.forward(now, &packet).map(|out| (out.sequence, out.time))
    }

    fn video(&mut self, millis: u64, sequence: u64, descriptor: &Descriptor) -> Result<Outgoing, Refused> {
        let time = sequence as u32 * 3_000;
        let packet = Incoming { sequence, time, wall: None, descriptor: Some(descriptor) };
        self.rewriter.forward(self.start + Duration::from_millis(millis), &packet)
    }

    fn skip(&mut self, sequence: u64, descriptor: Option<&Descriptor>) -> Option<u64> {
        self.rewriter.skip(&Incoming { sequence, time: 0, wall: None, descriptor })
    }
}

fn vp8(picture: u16, tl0: u8) -> Descriptor {
    Descriptor {
        picture_id: Some(PictureId { at: 2, value: picture & 0x7fff, wide: true }),
        tl0: Some(Tl0 { at: 4, value: tl0 }),
        contiguous_ids: true,
        ..Descriptor::default()
    }
}

/// The numbers that a VP8 packet shows to the receiver.
fn ids(out: &Outgoing, descriptor: &Descriptor) -> (u16, u8) {
    let id = descriptor.picture_id.expect("VP8");
    let [high, low] = (id.value | 0x8000).to_be_bytes();
    let mut payload = [0x90, 0xc0, high, low, descriptor.tl0.expect("VP8").value, 0xee];
    out.patches.apply(&mut payload);
    assert_eq!((payload[0], payload[1], payload[5]), (0x90, 0xc0, 0xee), "only the numbers change");
    (u16::from_be_bytes([payload[2], payload[3]]) & 0x7fff, payload[4])
}

#[test]
fn a_switch_of_the_source_leaves_no_gap() {
    let mut slot = Slot::new();
    assert_eq!(slot.sound(0, 70, 0), Ok((1_000, 5_000)));
    assert_eq!(slot.sound(20, 71, 1_800), Ok((1_001, 6_800)));
    slot.rewriter.switch();
    assert_eq!(slot.sound(40, 30_000, 999).map(|out| out.0), Ok(1_002));
    assert_eq!(slot.sound(60, 30_001, 2_799).map(|out| out.0), Ok(1_003));
}

#[test]
fn late_packets_get_the_numbers_kept_for_them_and_duplicates_none() {
    let mut slot = Slot::new();
    assert_eq!(slot.sound(0, 10, 0).map(|out| out.0), Ok(1_000));
    assert_eq!(slot.sound(0, 14, 0).map(|out| out.0), Ok(1_004));
    assert_eq!(slot.sound(0, 12, 0).map(|out| out.0), Ok(1_002));
    assert_eq!(slot.sound(0, 12, 0), Err(Refused::Duplicate));
    assert_eq!(slot.sound(0, 14, 0), Err(Refused::Duplicate));
    assert_eq!(slot.sound(0, 9, 0), Err(Refused::TooOld), "before the first");
}

#[test]
fn left_out_packets_close_the_gap_and_late_ones_between_them_still_fit() {
    let mut slot = Slot::new();
    let _ = slot.sound(0, 10, 0);
    assert_eq!(slot.skip(11, None), None);
    // 12 is missing.
    assert_eq!(slot.sound(0, 13, 0).map(|out| out.0), Ok(1_002));
    assert_eq!(slot.skip(14, None), None);
    assert_eq!(slot.sound(0, 15, 0).map(|out| out.0), Ok(1_003));
    assert_eq!(slot.sound(0, 12, 0).map(|out| out.0), Ok(1_001));
    assert_eq!(slot.sound(0, 11, 0), Err(Refused::Dropped { hole: None }));
}

#[test]
fn a_late_packet_that_is_left_out_names_its_hole_once() {
    let mut slot = Slot::new();
    let _ = slot.sound(0, 10, 0);
    let _ = slot.sound(0, 12, 0);
    assert_eq!(slot.skip(11, None), Some(1_001));
    assert_eq!(slot.skip(11, None), None);
    assert_eq!(slot.sound(0, 11, 0), Err(Refused::Duplicate));
}

#[test]
fn packets_of_the_old_source_after_a_switch_are_refused() {
    let mut slot = Slot::new();
    let _ = slot.sound(0, 500, 0);
    slot.rewriter.switch();
    assert_eq!(slot.skip(501, None), None, "nothing has begun");
    assert_eq!(slot.sound(0, 510, 0).map(|out| out.0), Ok(1_001));
    assert_eq!(slot.sound(0, 509, 0), Err(Refused::TooOld));
}

#[test]
fn a_jump_of_32768_shows_as_one_lost_packet() {
    let mut slot = Slot::new();
    let _ = slot.sound(0, 500, 0);
    assert_eq!(slot.sound(0, 500 + 32_768, 0).map(|out| out.0), Ok(1_002));
    assert_eq!(slot.sound(0, 501, 0), Err(Refused::TooOld));
}

#[test]
fn times_go_on_by_the_wall_clock_over_a_pause() {
    let mut slot = Slot::new();
    assert_eq!(slot.sound(0, 1, 0).map(|out| out.1), Ok(5_000));
    slot.rewriter.switch();
    assert_eq!(slot.sound(10_000, 2, 4_000_000_000).map(|out| out.1), Ok(905_000));
}

#[test]
fn sender_reports_place_layers_of_one_sender_to_the_tick() {
    let mut slot = Slot::new();
    let (mut low, mut high) = (SenderClock::new(HZ), SenderClock::new(HZ));
    low.handle_report(100 << 32, 10_000);
    high.handle_report((100 << 32) + (1 << 31), 777_000);
    let descriptor = Descriptor::default();
    let mut send = |millis: u64, clock: &SenderClock, sequence, time| {
        let wall = clock.micros(time).map(|micros| Wall { clock: 4, micros });
        let packet = Incoming { sequence, time, wall, descriptor: Some(&descriptor) };
        slot.rewriter.forward(slot.start + Duration::from_millis(millis), &packet).unwrap().time
    };
    assert_eq!(send(0, &low, 1, 10_000), 5_000);
    assert_eq!(send(0, &low, 2, 13_000), 8_000);
    // The higher layer was captured 100 ms after the report's half second and took 90 ms longer to arrive.
    let mut slot_two = Slot::new();
    std::mem::swap(&mut slot_two.rewriter, &mut slot.rewriter);
    slot_two.rewriter.switch();
    let time = 777_000 + 9_000;
    let wall = high.micros(time).map(|micros| Wall { clock: 4, micros });
    let packet = Incoming { sequence: 9, time, wall, descriptor: Some(&descriptor) };
    let out = slot_two.rewriter.forward(slot_two.start + Duration::from_millis(690), &packet).unwrap();
    assert_eq!(out.time, 5_000 + 54_000, "600 ms after the first frame was captured");
}

#[test]
fn sender_reports_of_a_liar_are_not_believed() {
    let mut slot = Slot::new();
    let descriptor = Descriptor::default();
    let mut send = |millis: u64, sequence: u64, micros: i64| {
        let wall = Some(Wall { clock: 4, micros });
        let packet = Incoming { sequence, time: 0, wall, descriptor: Some(&descriptor) };
        slot.rewriter.switch();
        slot.rewriter.forward(slot.start + Duration::from_millis(millis), &packet).unwrap().time
    };
    assert_eq!(send(0, 1, 0), 5_000);
    assert_eq!(send(100, 2, i64::MAX), 14_000);
    assert_eq!(send(200, 3, i64::MIN), 23_000);
}

#[test]
fn the_same_picture_of_another_layer_comes_a_tick_later_never_earlier() {
    let mut slot = Slot::new();
    let first = slot.video(0, 1, &vp8(1, 1)).unwrap();
    slot.rewriter.switch();
    let second = slot.video(0, 100, &vp8(50, 7)).unwrap();
    assert_eq!(second.time, first.time + 1);
}

#[test]
fn sound_of_another_source_does_not_overlap() {
    let mut slot = Slot { rewriter: Rewriter::new(48_000, 1_000, 5_000), ..Slot::new() };
    for at in 0..10 {
        let _ = slot.sound(u64::from(at) * 20, u64::from(at), at * 960);
    }
    slot.rewriter.switch();
    let (_, time) = slot.sound(180, 5_000, 0).unwrap();
    assert_eq!(time, 5_000 + 10 * 960);
}

#[test]
fn picture_ids_go_on_over_switches_and_roll_over() {
    let mut slot = Slot::new();
    let first = vp8(0x7ffe, 0xff);
    let out = slot.video(0, 1, &first).unwrap();
    assert!(out.patches.is_empty(), "before the first switch nothing changes");
    for (sequence, picture, tl0, expect) in [(2, 0x7fff, 0xff, (0x7fff, 0xff)), (3, 0, 0, (0, 0))] {
        let descriptor = vp8(picture, tl0);
        assert_eq!(ids(&slot.video(0, sequence, &descriptor).unwrap(), &descriptor), expect);
    }
    slot.rewriter.switch();
    let other = vp8(300, 77);
    assert_eq!(ids(&slot.video(0, 900, &other).unwrap(), &other), (1, 1));
    let other = vp8(301, 77);
    assert_eq!(ids(&slot.video(0, 901, &other).unwrap(), &other), (2, 1));
}

#[test]
fn vp8_pictures_that_are_left_out_leave_no_gap_and_their_late_packets_are_refused() {
    let mut slot = Slot::new();
    let pictures: Vec<_> = (10..14).map(|picture| vp8(picture, 0)).collect();
    let _ = slot.video(0, 1, &pictures[0]);
    assert_eq!(slot.skip(2, Some(&pictures[1])), None);
    // 3 is the second packet of the same picture and comes late.
    let out = slot.video(0, 4, &pictures[2]).unwrap();
    assert_eq!((out.sequence, ids(&out, &pictures[2]).0), (1_002, 11));
    assert_eq!(slot.video(0, 3, &pictures[1]), Err(Refused::Dropped { hole: Some(1_001) }));
    let out = slot.video(0, 5, &pictures[3]).unwrap();
    assert_eq!((out.sequence, ids(&out, &pictures[3]).0), (1_003, 12));
}

#[test]
fn vp9_picture_ids_keep_their_distances() {
    let mut slot = Slot::new();
    let vp9 = |picture| Descriptor { contiguous_ids: false, ..vp8(picture, 0) };
    let _ = slot.video(0, 1, &vp9(10));
    slot.skip(2, Some(&vp9(11)));
    assert_eq!(ids(&slot.video(0, 3, &vp9(12)).unwrap(), &vp9(12)).0, 12);
    slot.rewriter.switch();
    assert_eq!(ids(&slot.video(0, 50, &vp9(900)).unwrap(), &vp9(900)).0, 13);
    assert_eq!(ids(&slot.video(0, 51, &vp9(903)).unwrap(), &vp9(903)).0, 16);
}

#[test]
fn frame_numbers_go_on_over_switches() {
    let mut slot = Slot::new();
    let av1 = |number| Descriptor { frame_number: Some(number), ..Descriptor::default() };
    assert_eq!(slot.video(0, 1, &av1(65_535)).unwrap().frame_number, Some(65_535));
    slot.rewriter.switch();
    assert_eq!(slot.video(0, 9, &av1(400)).unwrap().frame_number, Some(0));
    assert_eq!(slot.video(0, 10, &av1(402)).unwrap().frame_number, Some(2));
}

#[test]
fn seven_bit_picture_ids_stay_in_one_byte() {
    let mut slot = Slot::new();
    let narrow = |value| Descriptor {
        picture_id: Some(PictureId { at: 2, value, wide: false }),
        contiguous_ids: true,
        ..Descriptor::default()
    };
    let _ = slot.video(0, 1, &narrow(126));
    slot.rewriter.switch();
    let out = slot.video(0, 9, &narrow(3)).unwrap();
    let mut payload = [0x90, 0x80, 3, 0xee];
    out.patches.apply(&mut payload);
    assert_eq!(payload, [0x90, 0x80, 127, 0xee]);
}

/// What the numbers should be, from everything that ever happened to one source.
#[derive(Default)]
struct Model {
    first: Option<(u64, u64)>,
    highest: u64,
    left_out: BTreeSet<u64>,
    done: BTreeSet<u64>,
}

impl Model {
    fn out(&self, number: u64) -> u64 {
        let (first_in, first_out) = self.first.expect("begun");
        first_out + (number - first_in) - self.left_out.range(first_in..number).count() as u64
    }

    /// The number behind everything.
    fn next(&self, before: u64) -> u64 {
        self.first.map_or(before, |_| self.out(self.highest + 1))
    }
}

proptest! {
    /// Packets come in any order, again, or never; some are left out; sources change.
    #[test]
    fn every_packet_gets_the_models_number_and_no_number_is_used_twice(
        steps in proptest::collection::vec((0u8..10, -6i64..12), 1..400)
    ) {
        let mut slot = Slot::new();
        let mut model = Model::default();
        let mut used = BTreeMap::new();
        let (mut next, mut at, mut source) = (1_000, 10_000i64, 0);
        for (what, distance) in steps {
            if what == 0 {
                next = model.next(next);
                slot.rewriter.switch();
                model = Model::default();
                source += 1;
                continue;
            }
            at += distance;
            let number = at as u64;
            let late = model.first.is_some() && number <= model.highest;
            if what < 4 {
                let hole = slot.skip(number, None);
                if let Some((first, _)) = model.first {
                    let open = number >= first && !model.done.contains(&number);
                    prop_assert_eq!(hole, (late && open).then(|| model.out(number)));
                    if open {
                        model.done.insert(number);
                        if !late { model.left_out.insert(number); }
                    }
                    model.highest = model.highest.max(number);
                }
                continue;
            }
            let result = slot.sound(0, number, 0).map(|out| out.0);
            let first = *model.first.get_or_insert((number, next));
            if number < first.0 || model.done.contains(&number) {
                prop_assert!(result.is_err());
                continue;
            }
            model.highest = model.highest.max(number);
            model.done.insert(number);
            prop_assert_eq!(result, Ok(model.out(number)));
            prop_assert!(used.insert(model.out(number), (source, number)).is_none(), "used twice");
        }
        // In the order of outgoing numbers, sources follow each other and packets of one keep their order.
        prop_assert!(used.values().is_sorted());
    }

    #[test]
    fn hostile_packets_never_panic(
        packets in proptest::collection::vec((any::<u16>(), any::<u32>(), any::<i64>(), any::<u16>(), 0u8..8), 1..200)
    ) {
        let mut slot = Slot::new();
        for (sequence, time, micros, number, flags) in packets {
            let descriptor = Descriptor {
                picture_id: Some(PictureId { at: 2, value: number & 0x7f, wide: flags & 1 != 0 }),
                contiguous_ids: flags & 2 != 0,
                frame_number: Some(number),
                ..vp8(number, number as u8)
            };
            let wall = Some(Wall { clock: 1, micros });
            let packet = Incoming { sequence: sequence.into(), time, wall, descriptor: Some(&descriptor) };
            match flags {
                0 => slot.rewriter.switch(),
                1 => { slot.rewriter.skip(&packet); }
                _ => { let _ = slot.rewriter.forward(slot.start, &packet); }
            }
        }
    }
}

//! Packets of several sources in any order, again, left out or never sent, against a model that keeps everything.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use telstar_sfu::descriptor::{Descriptor, PictureId, Tl0};
use telstar_sfu::rewrite::{Incoming, Rewriter, Wall};

/// One source since its first forwarded packet.
#[derive(Default)]
struct Source {
    first: Option<(u64, u64)>,
    highest: u64,
    left_out: BTreeSet<u64>,
    done: BTreeSet<u64>,
}

impl Source {
    fn out(&self, number: u64) -> u64 {
        let (first_in, first_out) = self.first.expect("begun");
        first_out + (number - first_in) - self.left_out.range(first_in..number).count() as u64
    }
}

fuzz_target!(|data: &[u8]| {
    let start = Instant::now();
    let (mut rewriter, mut used) = (Rewriter::new(90_000, 7, 7), BTreeMap::new());
    let (mut source, mut index, mut next, mut at, mut millis) = (Source::default(), 0u64, 7, 1u64 << 20, 0);
    // Each step: what happens, and how far the number moves.
    for &[what, distance] in data.as_chunks::<2>().0 {
        millis += u64::from(what >> 4);
        if what & 7 == 0 {
            next = source.first.map_or(next, |_| source.out(source.highest + 1));
            (source, index) = (Source::default(), index + 1);
            rewriter.switch();
            continue;
        }
        at = at.wrapping_add_signed(i64::from(distance as i8));
        let value = (at as u16) & 0x7fff;
        let descriptor = Descriptor {
            picture_id: Some(PictureId { at: 0, value, wide: true }),
            tl0: Some(Tl0 { at: 2, value: value as u8 }),
            frame_number: Some(value),
            ..Descriptor::default()
        };
        let descriptor = (what & 8 != 0).then_some(&descriptor);
        let wall = Some(Wall { clock: index, micros: i64::from(distance) << (what & 63) });
        let packet = Incoming { sequence: at, time: at as u32 * 3_000, wall, descriptor };
        let is_open = !source.done.contains(&at) && source.first.is_none_or(|(first, _)| at >= first);
        // Beyond what the rewriter remembers it may forget, but must not use a number again.
        let is_near = source.first.is_none() || at + 1_900 > source.highest && at < source.highest + 1_900;
        let is_late = source.first.is_some() && at <= source.highest;
        if what & 7 < 3 {
            let hole = rewriter.skip(&packet);
            if source.first.is_some() && is_near {
                assert_eq!(hole, (is_open && is_late).then(|| source.out(at)));
                if is_open && !is_late {
                    source.left_out.insert(at);
                }
                source.done.insert(at);
                source.highest = source.highest.max(at);
            }
            continue;
        }
        let outgoing = rewriter.forward(start + Duration::from_millis(millis), &packet);
        if !is_near {
            return;
        }
        source.first.get_or_insert((at, next));
        assert_eq!(outgoing.is_ok(), is_open);
        let Ok(outgoing) = outgoing else { continue };
        source.done.insert(at);
        source.highest = source.highest.max(at);
        assert_eq!(outgoing.sequence, source.out(at));
        assert!(used.insert(outgoing.sequence, (index, at)).is_none(), "a number is used twice");
        outgoing.patches.apply(&mut [0; 3]);
    }
    assert!(used.values().is_sorted(), "sources follow each other, and each keeps its order");
});

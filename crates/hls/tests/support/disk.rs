//! A disk under test: it keeps what it is told to in memory, and can be told to fail.

use std::collections::HashMap;

use telstar_hls::{Content, Effect, KeptInit, KeptListing, Segment, SegmentId};
use telstar_media::MediaKind;

/// What was kept.
#[derive(Default)]
pub struct Disk {
    pub files: HashMap<SegmentId, Vec<u8>>,
    /// What an index would say of the listing.
    pub inits: Vec<KeptInit>,
    pub segments: Vec<(MediaKind, Segment)>,
    pub listed_from: HashMap<MediaKind, u64>,
    /// The next so many segments are not answered for.
    pub hangs: usize,
    /// The next so many segments after them are not kept.
    pub fails: usize,
}

impl Disk {
    /// Does what an effect says. Returns the answer that it wants.
    pub fn handle(&mut self, effect: Effect) -> Option<(SegmentId, bool)> {
        match effect {
            Effect::KeepInit(init) => self.inits.push(init),
            Effect::Keep { kind, segment, listed_from } => {
                let id = SegmentId { kind, epoch: segment.epoch, msn: segment.msn };
                if self.hangs > 0 {
                    self.hangs -= 1;
                    return None;
                }
                if self.fails > 0 {
                    self.fails -= 1;
                    return Some((id, false));
                }
                assert!(segment.duration_secs.is_some() && segment.kept.is_none());
                let init = self.inits.iter().any(|kept| {
                    kept.kind == kind && (kept.init.epoch, kept.init.number) == (segment.epoch, segment.init)
                });
                assert!(init || segment.gap, "the init segment comes before {id:?}");
                self.files.insert(id, segment.chunks().flat_map(|chunk| chunk.iter().copied()).collect());
                self.listed_from.insert(kind, listed_from);
                let lens = segment.part_lens().map(|len| len as u32).collect();
                let kept = (!segment.gap).then_some(lens);
                self.segments.push((kind, Segment { parts: Vec::new(), kept, ..(*segment).clone() }));
                return Some((id, true));
            }
            Effect::Discard { kind, below } => {
                self.files.retain(|id, _| id.kind != kind || id.msn >= below);
                self.segments.retain(|(of, segment)| *of != kind || segment.msn >= below);
            }
            Effect::ListingOver => {
                self.inits.clear();
                self.segments.clear();
            }
            other => panic!("not for a disk: {other:?}"),
        }
        None
    }

    /// The bytes of an answer.
    pub fn read(&self, content: &Content) -> Vec<u8> {
        match content {
            Content::Memory(chunks) => chunks.concat(),
            Content::Kept { head, id, range } => {
                let file = self.files.get(id).unwrap_or_else(|| panic!("{id:?} is there"));
                [head, &file[range.start as usize..range.end as usize]].concat()
            }
        }
    }

    /// What a restarted server reads.
    pub fn listing(&self, next_msn: u64) -> KeptListing {
        let is_listed = |kind: &MediaKind, msn| msn >= self.listed_from.get(kind).copied().unwrap_or(0);
        let listed = self.segments.iter().filter(|(kind, segment)| is_listed(kind, segment.msn));
        KeptListing {
            inits: self.inits.clone(),
            segments: listed.cloned().collect(),
            next_msn,
            ended: false,
            shortened: false,
        }
    }
}

//! Picture ids, TL0PICIDX (RFC 7741 §4.2, RFC 9628 §4.2) and frame numbers (AV1's dependency descriptor), continued
//! over sources.
//!
//! A source's numbers go out as they are until the first switch; behind a switch they go on by one, as if one encoder
//! had made both.

use std::num::NonZeroU8;

use super::Patches;
use super::window::Window;
use crate::descriptor::{Descriptor, PictureId};

/// 256 pictures: eight seconds at 30 frames per second.
const PICTURE_WORDS: usize = 4;
/// Where extended picture ids begin, so that those before the first packet's have a place. A multiple of both widths.
const PICTURES_BEGIN: u64 = 1 << 20;

/// The numbers of one outgoing stream.
#[derive(Debug, Default)]
pub(super) struct Ids {
    pictures: Pictures,
    tl0: Counter<u8>,
    frame: Counter<u16>,
}

impl Ids {
    /// Another source begins with the next number of each kind.
    pub(super) fn begin(&mut self) {
        self.pictures.source = None;
        self.tl0.offset = None;
        self.frame.offset = None;
    }

    /// What changes in a packet; `None` when its picture was left out.
    pub(super) fn forward(&mut self, descriptor: &Descriptor) -> Option<(Patches, Option<u16>)> {
        let mut patches = Patches::default();
        if let Some(id) = descriptor.picture_id {
            let out = self.pictures.forward(id, descriptor.contiguous_ids)?;
            if out != id.value {
                let bytes = (out | if id.wide { 0x8000 } else { 0 }).to_be_bytes();
                patches.picture_id = Some((id.at, bytes, id.wide));
            }
        }
        if let Some(tl0) = descriptor.tl0 {
            let out = self.tl0.forward(tl0.value);
            patches.tl0 = NonZeroU8::new(tl0.at).filter(|_| out != tl0.value).map(|at| (at, out));
        }
        Some((patches, descriptor.frame_number.map(|number| self.frame.forward(number))))
    }

    /// A packet is left out.
    pub(super) fn skip(&mut self, descriptor: &Descriptor) {
        if let Some(id) = descriptor.picture_id.filter(|_| descriptor.contiguous_ids) {
            self.pictures.skip(id);
        }
    }
}

#[derive(Debug, Default)]
struct Pictures {
    window: Window<PICTURE_WORDS>,
    /// The number behind the highest that was sent; `None` before the first.
    next_out: Option<u64>,
    source: Option<Source>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    /// The highest number, extended.
    highest: u64,
    wide: bool,
    /// For numbers that keep their distances: what is added.
    offset: u64,
}

impl Pictures {
    fn forward(&mut self, id: PictureId, contiguous: bool) -> Option<u16> {
        let number = self.extend(id);
        let out = if contiguous {
            self.window.map(number)?
        } else {
            number.wrapping_add(self.source.map_or(0, |source| source.offset))
        };
        self.next_out = Some(self.next_out.map_or(out + 1, |next| next.max(out.wrapping_add(1))));
        Some(out as u16 & id.mask())
    }

    fn skip(&mut self, id: PictureId) {
        let number = self.extend(id);
        self.window.skip(number);
        self.next_out = Some(self.next_out.unwrap_or(0).max(self.window.next()));
    }

    /// The number without its roll-overs. A source whose ids change their width begins anew.
    fn extend(&mut self, id: PictureId) -> u64 {
        let mask = u64::from(id.mask());
        let source = match self.source {
            Some(source) if source.wide == id.wide => source,
            _ => {
                let first = PICTURES_BEGIN + u64::from(id.value);
                let out = self.next_out.unwrap_or(first);
                self.window.begin(first, out);
                Source { highest: first, wide: id.wide, offset: out.wrapping_sub(first) }
            }
        };
        let ahead = u64::from(id.value).wrapping_sub(source.highest) & mask;
        let number = if ahead <= mask / 2 { source.highest + ahead } else { (source.highest + ahead) - (mask + 1) };
        self.source = Some(Source { highest: source.highest.max(number), ..source });
        number
    }
}

/// A number that only an offset is added to.
#[derive(Debug, Default)]
struct Counter<T> {
    offset: Option<T>,
    highest_out: Option<T>,
}

macro_rules! counter {
    ($number:ty, $signed:ty) => {
        impl Counter<$number> {
            fn forward(&mut self, number: $number) -> $number {
                let highest = self.highest_out;
                let offset = *self
                    .offset
                    .get_or_insert_with(|| highest.map_or(0, |highest| highest.wrapping_add(1).wrapping_sub(number)));
                let out = number.wrapping_add(offset);
                if highest.is_none_or(|highest| out.wrapping_sub(highest) as $signed > 0) {
                    self.highest_out = Some(out);
                }
                out
            }
        }
    };
}

counter!(u8, i8);
counter!(u16, i16);

//! Files below a rendition: what an address names, and whether a snapshot has it.
//!
//! In: the last two segments of a path, a snapshot. Out: the bytes or the way to them, or that they may still come.

use bytes::Bytes;
use telstar_hls::request::{Media, part, picture, segment};
use telstar_hls::{Content, PartId, RenditionId, RenditionView, Snapshot};
use telstar_units::Epoch;

use super::Found;
use crate::api::error::Problem;

/// A file below a rendition, by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    Init(Epoch, u32),
    Segment(Epoch, u64),
    Part(PartId),
    /// An entry of the I-frame playlist.
    Picture(Epoch, u64, u32),
}

/// What was found at an address.
pub(super) enum Source {
    Init(Bytes),
    Media(Content),
}

impl File {
    /// Reads `{epoch}` and `init-{n}.mp4`, `{msn}.m4s`, `{msn}.{part}.m4s` or `{msn}.i{n}.m4s`; numbers only as we write
    /// them.
    pub(super) fn parse(epoch: &str, file: &str) -> Option<File> {
        let epoch = Epoch(number(epoch)?);
        if let Some(init) = file.strip_prefix("init-") {
            return Some(File::Init(epoch, number(init.strip_suffix(".mp4")?)?.try_into().ok()?));
        }
        let stem = file.strip_suffix(".m4s")?;
        Some(match stem.split_once('.') {
            None => File::Segment(epoch, number(stem)?),
            Some((msn, part)) => match part.strip_prefix('i') {
                Some(index) => File::Picture(epoch, number(msn)?, number(index)?.try_into().ok()?),
                None => File::Part(PartId { epoch, msn: number(msn)?, part: number(part)?.try_into().ok()? }),
            },
        })
    }

    /// What is not there under this name never will be.
    pub(super) fn is_past(self, view: &RenditionView) -> bool {
        match self {
            File::Init(epoch, _) => view.is_past(epoch, u64::MAX),
            File::Segment(epoch, msn) | File::Picture(epoch, msn, _) => view.is_past(epoch, msn),
            File::Part(PartId { epoch, msn, .. }) => view.is_past(epoch, msn),
        }
    }

    pub(super) fn find(self, snapshot: &Snapshot, rendition: RenditionId) -> Found<Source> {
        let content = match self {
            File::Init(epoch, init) => {
                let bytes = snapshot.rendition(rendition).and_then(|view| view.init(epoch, init));
                return match bytes {
                    Some(bytes) => Found::There(Source::Init(bytes.clone())),
                    None => Found::No(Problem::not_found("file")),
                };
            }
            File::Segment(epoch, msn) => segment(snapshot, rendition, epoch, msn),
            File::Part(id) => part(snapshot, rendition, id),
            File::Picture(epoch, msn, index) => picture(snapshot, epoch, msn, index),
        };
        match content {
            Media::Ready(content) => Found::There(Source::Media(content)),
            Media::Wait => Found::NotYet,
            Media::NotFound => Found::No(Problem::not_found("file")),
        }
    }
}

/// One address for each file: no leading zeros, no signs.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_address() {
        let epoch = Epoch(17);
        for (path, expect) in [
            ("init-3.mp4", Some(File::Init(epoch, 3))),
            ("12.m4s", Some(File::Segment(epoch, 12))),
            ("12.0.m4s", Some(File::Part(PartId { epoch, msn: 12, part: 0 }))),
            ("12.i1.m4s", Some(File::Picture(epoch, 12, 1))),
            ("12.i01.m4s", None),
            ("12.i.m4s", None),
            ("12.007.m4s", None),
            ("+1.m4s", None),
            ("-1.m4s", None),
            ("12.0.1.m4s", None),
            (".m4s", None),
            ("init-.mp4", None),
            ("init-99999999999.mp4", None),
            ("12.mp4", None),
            ("", None),
        ] {
            assert_eq!(File::parse("17", path), expect, "{path}");
        }
        assert_eq!(File::parse("017", "12.m4s"), None);
    }
}

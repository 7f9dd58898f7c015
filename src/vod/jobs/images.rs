//! The poster and the storyboard of an asset.

use telstar_store::{Asset, Completion, NewRendition};
use telstar_transcode::file::{FileNews, FileTask, Images, Source, Storyboard};
use telstar_units::BlobName;

use super::Jobs;
use super::attempt::{Lease, Unfinished};
use super::records::{Facts, KeptImage, POSTER, STORYBOARD};

/// Pixels of the longer side of a poster.
const POSTER_SIDE: u16 = 1_280;
/// A tile of a storyboard is so wide.
const TILE_WIDTH: u16 = 160;
/// Tiles of one sheet, across and down.
const SHEET: (u16, u16) = (5, 5);
/// Tiles of one storyboard at most.
const TILES_MAX: i64 = 200;
/// Tiles are no nearer, in ticks: two seconds.
const TILE_EVERY_MIN: i64 = 2 * 90_000;

impl Jobs {
    pub(super) async fn images(
        &self,
        lease: &Lease,
        asset: &Asset,
        blobs: &mut Vec<BlobName>,
    ) -> Result<Completion, Unfinished> {
        let facts: Facts = serde_json::from_str(&asset.facts).map_err(Unfinished::broken)?;
        let files = self.files_for(asset, 2, blobs).await?;
        let storyboard = storyboard_of(&facts.source);
        let duration = facts.map.end();
        let limits = self.settings.limits;
        let task = FileTask::Images(Images { source: facts.source, limits, poster_side: POSTER_SIDE, storyboard });
        let mut images: [Vec<KeptImage>; 2] = [Vec::new(), Vec::new()];
        self.run_worker(lease, asset, task, files, duration, |told| {
            take_image(&mut images, told)?;
            Ok(None)
        })
        .await?;
        let mut renditions = Vec::new();
        for ((name, blob), kept) in [POSTER, STORYBOARD].into_iter().zip(blobs.iter()).zip(images) {
            let len = self.sync(blob).await?;
            if end_of(&kept) != len || len == 0 {
                return Err(Unfinished::broken("the images are not what was told"));
            }
            let facts = serde_json::to_string(&storyboard).map_err(Unfinished::broken)?;
            let index = postcard::to_allocvec(&kept).map_err(Unfinished::broken)?;
            renditions.push(NewRendition { name: name.to_owned(), blob: blob.clone(), len, facts, index });
        }
        Ok(Completion { renditions, ..Completion::default() })
    }
}

fn end_of(images: &[KeptImage]) -> u64 {
    images.last().map_or(0, |last| last.offset + last.len)
}

/// Images follow each other in their output; nothing else is told of this task.
fn take_image(images: &mut [Vec<KeptImage>; 2], told: FileNews) -> Result<(), Unfinished> {
    let FileNews::Image { output, offset, len, width, height, times } = told else { return Ok(()) };
    let list = images.get_mut(usize::from(output)).ok_or_else(|| Unfinished::broken("an image of nothing"))?;
    let is_behind = offset == end_of(list) && len > 0 && offset.checked_add(len).is_some();
    if !is_behind || list.len() as i64 >= TILES_MAX || times.len() as i64 > TILES_MAX {
        return Err(Unfinished::broken("an image is not where it should be"));
    }
    list.push(KeptImage { offset, len, width, height, times });
    Ok(())
}

/// As many tiles as there is room for, in the shape of the picture.
fn storyboard_of(source: &Source) -> Storyboard {
    let (width, height) = source.video.as_ref().map_or((16, 9), |video| (video.width.max(1), video.height.max(1)));
    let tile_height = u64::from(TILE_WIDTH) * u64::from(height) / u64::from(width);
    let tile_height = tile_height.clamp(2, 2 * u64::from(TILE_WIDTH)) & !1;
    // One more, because the first is at zero.
    let every = (source.duration / (TILES_MAX - 1)).max(TILE_EVERY_MIN);
    let (columns, rows) = SHEET;
    Storyboard { every, width: TILE_WIDTH, height: tile_height as u16, columns, rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(width: u32, height: u32, secs: i64) -> Source {
        let video = telstar_transcode::file::SourceVideo {
            stream: 0,
            codec: "h264".to_owned(),
            width,
            height,
            fps_millis: 25_000,
            first: 0,
            rotation: 0,
            mirrored: false,
            interlaced: false,
            bits: 8,
            hdr: false,
            bps: 1,
            copy: Err("a test".to_owned()),
        };
        Source {
            container: "mp4".to_owned(),
            duration: secs * 90_000,
            shift: 0,
            video: Some(video),
            audio: Vec::new(),
            subtitles: Vec::new(),
            left_out: Vec::new(),
        }
    }

    #[test]
    fn a_storyboard_has_the_shape_of_the_picture_and_an_end() {
        for (width, height, secs, expect) in [
            (1_920, 1_080, 60, (90, TILE_EVERY_MIN)),
            (1_080, 1_920, 60, (284, TILE_EVERY_MIN)),
            (1, 100_000, 60, (320, TILE_EVERY_MIN)),
            (100_000, 1, 60, (2, TILE_EVERY_MIN)),
            (1_920, 1_080, 86_400, (90, 86_400 * 90_000 / 199)),
        ] {
            let storyboard = storyboard_of(&source(width, height, secs));
            assert_eq!((storyboard.height, storyboard.every), expect, "{width}x{height}, {secs} s");
            assert!(secs * 90_000 / storyboard.every < TILES_MAX);
        }
    }

    #[test]
    fn images_follow_each_other() {
        let image =
            |output, offset, len| FileNews::Image { output, offset, len, width: 160, height: 90, times: vec![0] };
        let mut images = [Vec::new(), Vec::new()];
        for told in [image(1, 0, 10), image(1, 10, 5), image(0, 0, 7)] {
            assert!(take_image(&mut images, told).is_ok());
        }
        for wrong in [image(1, 10, 5), image(1, 15, 0), image(2, 0, 1), image(1, 15, u64::MAX)] {
            assert!(take_image(&mut images, wrong).is_err());
        }
    }
}

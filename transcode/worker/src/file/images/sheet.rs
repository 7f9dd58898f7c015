//! A sheet of a storyboard: tiles beside and below each other, each with its picture in the middle.

use ffmpeg::format::Pixel;
use ffmpeg::frame;
use ffmpeg_next as ffmpeg;
use telstar_transcode::file::Storyboard;

use super::jpeg::encoded;
use crate::failure::Failure;

/// Black in 8-bit 4:2:0 of full range, by plane.
const BLACK: [u8; 3] = [0, 128, 128];
/// Sides of a tile and of a sheet at most, whatever the task says: what JPEG can count.
const TILE_MAX: u32 = 1_024;
const SHEET_MAX: u32 = 16_384;

/// See the module.
pub struct Sheet {
    tile: (u32, u32),
    columns: u32,
    picture: frame::Video,
}

impl Sheet {
    /// For so many tiles: no larger than they need.
    pub fn new(layout: &Storyboard, tiles: usize) -> Sheet {
        let even = |side: u16| (u32::from(side).clamp(2, TILE_MAX)) & !1;
        let tile = (even(layout.width), even(layout.height));
        let tiles = u32::try_from(tiles).unwrap_or(1).max(1);
        let columns = u32::from(layout.columns).clamp(1, SHEET_MAX / tile.0).min(tiles);
        let rows = tiles.div_ceil(columns).min(SHEET_MAX / tile.1);
        let mut picture = frame::Video::new(Pixel::YUVJ420P, columns * tile.0, rows * tile.1);
        for (plane, black) in BLACK.into_iter().enumerate() {
            picture.data_mut(plane).fill(black);
        }
        Sheet { tile, columns, picture }
    }

    /// How large a picture is in its tile: whole, and with its shape.
    pub fn fit(&self, picture: &frame::Video) -> (u32, u32) {
        let (width, height) = (u64::from(picture.width().max(1)), u64::from(picture.height().max(1)));
        let (across, down) = (u64::from(self.tile.0), u64::from(self.tile.1));
        let (width, height) = match width * down > height * across {
            true => (across, height * across / width),
            false => (width * down / height, down),
        };
        ((width as u32 & !1).max(2), (height as u32 & !1).max(2))
    }

    /// Puts a picture that fits into the tile at this place.
    pub fn paste(&mut self, place: usize, picture: &frame::Video) {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let (column, row) = (place % self.columns, place / self.columns);
        let middle = |tile: u32, side: u32| (tile.saturating_sub(side) / 2) & !1;
        let left = column * self.tile.0 + middle(self.tile.0, picture.width());
        let top = row.saturating_mul(self.tile.1).saturating_add(middle(self.tile.1, picture.height()));
        for plane in 0..BLACK.len() {
            let part = |side: u32| (if plane == 0 { side } else { side / 2 }) as usize;
            let (to_stride, from_stride) = (self.picture.stride(plane).max(1), picture.stride(plane).max(1));
            let (left, top, wide, high) = (part(left), part(top), part(picture.width()), part(picture.height()));
            let rows = self.picture.data_mut(plane).chunks_mut(to_stride).skip(top);
            for (to, from) in rows.zip(picture.data(plane).chunks(from_stride)).take(high) {
                if let (Some(to), Some(from)) = (to.get_mut(left..left + wide), from.get(..wide)) {
                    to.copy_from_slice(from);
                }
            }
        }
    }

    /// As JPEG, with its size.
    pub fn encoded(&self) -> Result<(Vec<u8>, (u32, u32)), Failure> {
        Ok((encoded(&self.picture)?, (self.picture.width(), self.picture.height())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_in_the_middle_of_their_tiles() {
        let layout = Storyboard { every: 1, width: 16, height: 8, columns: 3, rows: 2 };
        let mut sheet = Sheet::new(&layout, 5);
        assert_eq!((sheet.picture.width(), sheet.picture.height()), (48, 16));
        let mut tall = frame::Video::new(Pixel::YUVJ420P, 40, 80);
        assert_eq!(sheet.fit(&tall), (4, 8));
        tall = frame::Video::new(Pixel::YUVJ420P, 4, 8);
        (0..3).for_each(|plane| tall.data_mut(plane).fill(200));
        sheet.paste(4, &tall);
        let stride = sheet.picture.stride(0);
        let row = &sheet.picture.data(0)[8 * stride..][..48];
        let lit: Vec<usize> = (0..48).filter(|at| row[*at] == 200).collect();
        assert_eq!(lit, [22, 23, 24, 25]);
        sheet.paste(1_000, &tall);
        assert_eq!(Sheet::new(&layout, 2).encoded().expect("it has the encoder").1, (32, 8), "no larger than needed");
    }
}

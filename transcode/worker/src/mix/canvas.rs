//! The picture under way: pictures are drawn into their tiles, and stay until another takes the place.

use ffmpeg::format::Pixel;
use ffmpeg::frame;
use ffmpeg_next as ffmpeg;
use telstar_units::TrackId;

use super::tiles::{Tile, tiles};
use super::view::View;
use crate::failure::Failure;

/// Black in 8-bit 4:2:0 of limited range (ITU-T H.264 table E-3), by plane.
const BLACK: [u8; 3] = [16, 128, 128];

/// See the module.
pub struct Canvas {
    width: u32,
    height: u32,
    planes: [Vec<u8>; 3],
    /// Whose tiles these are.
    shown: Vec<TrackId>,
    featured: bool,
    tiles: Vec<Tile>,
    /// Where in its tile each picture was drawn last.
    drawn: Vec<Option<Tile>>,
}

impl Canvas {
    /// A black one. Both sides are even.
    pub fn new(width: u32, height: u32) -> Canvas {
        let (luma, chroma) = ((width * height) as usize, (width / 2 * (height / 2)) as usize);
        let planes = [vec![BLACK[0]; luma], vec![BLACK[1]; chroma], vec![BLACK[2]; chroma]];
        Canvas { width, height, planes, shown: Vec::new(), featured: false, tiles: Vec::new(), drawn: Vec::new() }
    }

    /// These pictures are shown from here on. If that is news, everything is to be drawn again.
    pub fn arrange(&mut self, shown: &[TrackId], featured: bool) {
        if self.shown == shown && self.featured == featured {
            return;
        }
        (self.shown, self.featured) = (shown.to_vec(), featured);
        self.tiles = tiles(shown.len(), featured, self.width, self.height);
        self.drawn = vec![None; shown.len()];
        self.clear(Tile { x: 0, y: 0, width: self.width, height: self.height });
    }

    /// Draws what is new of a picture into its tile.
    pub fn draw(&mut self, place: usize, view: &mut View) -> Result<(), Failure> {
        let (Some(tile), Some(drawn)) = (self.tiles.get(place).copied(), self.drawn.get(place).copied()) else {
            return Ok(());
        };
        let (width, height) = view.shape();
        let part = tile.fit(width, height);
        if drawn == Some(part) && !view.is_new() {
            return Ok(());
        }
        if drawn.is_some_and(|drawn| drawn != part) {
            // Another shape than before.
            self.clear(tile);
        }
        self.drawn[place] = Some(part);
        if let Some(picture) = view.scaled(part)? {
            self.paste(part, &picture);
        }
        Ok(())
    }

    /// The picture as an encoder takes it. It is the encoder's own, which may look at it later.
    pub fn frame(&self) -> frame::Video {
        let mut frame = frame::Video::new(Pixel::YUV420P, self.width, self.height);
        for (index, plane) in self.planes.iter().enumerate() {
            let (wide, stride) = (self.row_len(index), frame.stride(index));
            let rows = frame.data_mut(index).chunks_mut(stride.max(1));
            for (to, from) in rows.zip(plane.chunks_exact(wide)) {
                to[..wide].copy_from_slice(from);
            }
        }
        frame
    }

    fn row_len(&self, plane: usize) -> usize {
        (if plane == 0 { self.width } else { self.width / 2 }) as usize
    }

    fn clear(&mut self, tile: Tile) {
        for (index, black) in BLACK.into_iter().enumerate() {
            self.rows(index, tile).for_each(|row| row.fill(black));
        }
    }

    fn paste(&mut self, part: Tile, picture: &frame::Video) {
        for index in 0..BLACK.len() {
            let (stride, data) = (picture.stride(index).max(1), picture.data(index));
            for (to, from) in self.rows(index, part).zip(data.chunks(stride)) {
                let wide = to.len().min(from.len());
                to[..wide].copy_from_slice(&from[..wide]);
            }
        }
    }

    /// The rows of a plane inside a tile.
    fn rows(&mut self, plane: usize, tile: Tile) -> impl Iterator<Item = &mut [u8]> {
        let row_len = self.row_len(plane);
        let part = |side: u32| (if plane == 0 { side } else { side / 2 }) as usize;
        let (x, y, width, height) = (part(tile.x), part(tile.y), part(tile.width), part(tile.height));
        self.planes[plane].chunks_exact_mut(row_len).skip(y).take(height).map(move |row| &mut row[x..x + width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cleared_is_black_and_nothing_beside_it() {
        let mut canvas = Canvas::new(16, 8);
        canvas.planes.iter_mut().for_each(|plane| plane.fill(200));
        canvas.clear(Tile { x: 4, y: 2, width: 8, height: 4 });
        let black = |plane: usize| canvas.planes[plane].iter().filter(|value| **value == BLACK[plane]).count();
        assert_eq!([black(0), black(1), black(2)], [32, 8, 8]);
        assert_eq!(canvas.planes[0][2 * 16 + 4], BLACK[0]);
        let frame = canvas.frame();
        assert_eq!((frame.width(), frame.height()), (16, 8));
        assert_eq!(frame.data(0)[2 * frame.stride(0) + 3..][..2], [200, BLACK[0]]);
    }
}

//! Where pictures are in a picture: pure geometry. Every side and place is even, as 4:2:0 needs.

/// The part of the height and of the width that the strip beside a large picture takes: a fifth. Five pictures of the whole's
/// shape then fill it.
const STRIP: u32 = 5;

/// A part of a picture, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tile {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Tile {
    /// The largest part in the middle of this one that has the shape of `width` by `height`.
    pub fn fit(self, width: u64, height: u64) -> Tile {
        let (width, height) = (width.max(1), height.max(1));
        let (own_width, own_height) = (u64::from(self.width), u64::from(self.height));
        let (fit_width, fit_height) = match own_width * height <= own_height * width {
            true => (own_width, own_width * height / width),
            false => (own_height * width / height, own_height),
        };
        let even = |side: u64, most: u32| (side.min(u64::from(most)) as u32 & !1).max(2).min(most);
        let (width, height) = (even(fit_width, self.width), even(fit_height, self.height));
        let x = self.x + (((self.width - width) / 2) & !1);
        let y = self.y + (((self.height - height) / 2) & !1);
        Tile { x, y, width, height }
    }
}

/// The places of `count` pictures in one of `width` by `height`: the first large and the others in a strip at its right, or
/// all alike in rows.
pub fn tiles(count: usize, featured: bool, width: u32, height: u32) -> Vec<Tile> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    match count {
        0 => Vec::new(),
        1 => vec![Tile { x: 0, y: 0, width, height }],
        count if featured => {
            let strip = (width / STRIP) & !1;
            let first = Tile { x: 0, y: 0, width: width - strip, height };
            let tall = (height / (count - 1).max(STRIP)) & !1;
            let top = ((height - tall * (count - 1)) / 2) & !1;
            let beside = |at: u32| Tile { x: width - strip, y: top + at * tall, width: strip, height: tall };
            std::iter::once(first).chain((0..count - 1).map(beside)).collect()
        }
        count => {
            let columns = (1..=count).find(|columns| columns * columns >= count).unwrap_or(count);
            let rows = count.div_ceil(columns);
            let (wide, tall) = ((width / columns) & !1, (height / rows) & !1);
            let place = |at: u32| {
                let (row, column) = (at / columns, at % columns);
                // A last row that is not full stands in the middle.
                let in_row = (count - row * columns).min(columns);
                let left = ((width - in_row * wide) / 2) & !1;
                Tile { x: left + column * wide, y: row * tall, width: wide, height: tall }
            };
            (0..count).map(place).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_is_inside_even_and_apart_from_the_others() {
        for (width, height) in [(1_280, 720), (320, 180), (720, 1_280), (64, 64)] {
            for count in 0..=16 {
                for featured in [false, true] {
                    let all = tiles(count, featured, width, height);
                    assert_eq!(all.len(), count);
                    for (index, tile) in all.iter().enumerate() {
                        let Tile { x, y, width: w, height: h } = *tile;
                        assert!(x + w <= width && y + h <= height && w >= 2 && h >= 2, "{tile:?} of {count}");
                        assert!([x, y, w, h].iter().all(|side| side % 2 == 0), "{tile:?} of {count}");
                        let apart = |other: &Tile| {
                            x + w <= other.x
                                || other.x + other.width <= x
                                || y + h <= other.y
                                || other.y + other.height <= y
                        };
                        assert!(all[..index].iter().all(apart), "{all:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn who_is_first_is_large_and_nobody_is_without() {
        let featured = tiles(3, true, 1_280, 720);
        assert_eq!(featured[0], Tile { x: 0, y: 0, width: 1_024, height: 720 });
        assert_eq!(featured[1], Tile { x: 1_024, y: 216, width: 256, height: 144 });
        let alike = tiles(3, false, 1_280, 720);
        assert_eq!(alike[2], Tile { x: 320, y: 360, width: 640, height: 360 }, "in the middle of its row");
        assert_eq!(tiles(1, true, 1_280, 720), tiles(1, false, 1_280, 720));
    }

    #[test]
    fn a_picture_keeps_its_shape_in_the_middle_of_its_tile() {
        let tile = Tile { x: 100, y: 0, width: 640, height: 360 };
        assert_eq!(tile.fit(640, 360), tile);
        assert_eq!(tile.fit(4, 3), Tile { x: 180, y: 0, width: 480, height: 360 });
        assert_eq!(tile.fit(9, 16), Tile { x: 318, y: 0, width: 202, height: 360 });
        assert_eq!(tile.fit(10_000, 1), Tile { x: 100, y: 178, width: 640, height: 2 });
        assert_eq!(tile.fit(0, 0).height, 360);
    }
}

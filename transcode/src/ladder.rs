//! Which renditions an asset gets.
//!
//! In: what its source is. Out: the pictures to encode, each with its size, rate, quality and cap. Nothing is scaled up; the
//! shape of the picture is kept, as it is shown and not as it is stored; easy content costs little, because each rung aims at a
//! quality (CRF) and is only capped in bits.

use serde::{Deserialize, Serialize};

/// The short sides of the rungs, from the best on: what televisions, laptops and telephones show.
const SHORT_SIDES: [u32; 7] = [2_160, 1_440, 1_080, 720, 480, 360, 240];
/// A rung whose short side is above this part of the next better one's is not worth its work.
const STEP_MAX: f64 = 0.85;
/// Frames per second at most: what is more is for slow motion, not for watching.
pub const FPS_MAX_MILLIS: u32 = 60_000;
/// Rungs up to this short side get no more than [`SMALL_FPS_MAX_MILLIS`]: whoever is on them has no bits for motion.
const SMALL_SIDE: u32 = 480;
const SMALL_FPS_MAX_MILLIS: u32 = 30_000;
/// A rung's cap in bits per second is this times pixels per second to [`CAP_POWER`]: larger pictures need fewer bits for each
/// pixel. Chosen so that 1080p at 30 may take 6 Mbit/s and 360p 0.9, near what Apple's authoring specification lists.
const CAP_FACTOR: f64 = 2.57;
const CAP_POWER: f64 = 0.815;
/// No cap is below this: a keyframe must get through.
const CAP_MIN_BPS: u64 = 200_000;

/// What a source's pictures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels across as they are shown: with the shape of a pixel and the rotation taken into account.
    pub width: u32,
    /// Pixels down, likewise.
    pub height: u32,
    /// Pictures in a thousand seconds; of a variable rate the highest that lasts.
    pub fps_millis: u32,
}

/// One picture to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// Pixels across, even.
    pub width: u32,
    /// Pixels down, even.
    pub height: u32,
    /// Pictures in a thousand seconds at most.
    pub fps_millis: u32,
    /// x264's constant rate factor: lower is better.
    pub crf: u8,
    /// Bits per second at most, over a buffer of two seconds.
    pub bps_max: u64,
}

/// The rungs of a source, the best first; never none.
pub fn ladder(source: Picture) -> Vec<Rung> {
    let own = source.width.min(source.height).max(2);
    let mut sides = vec![own.min(SHORT_SIDES[0])];
    for side in SHORT_SIDES {
        let above = sides.last().copied().unwrap_or(own);
        if f64::from(side) <= f64::from(above) * STEP_MAX {
            sides.push(side);
        }
    }
    sides.into_iter().map(|side| rung(source, own, side)).collect()
}

fn rung(source: Picture, own: u32, side: u32) -> Rung {
    let scale = f64::from(side) / f64::from(own);
    // 4:2:0 has no half samples of colour; never up.
    let even = |pixels: u32| ((f64::from(pixels) * scale / 2.0).round() as u32 * 2).clamp(2, (pixels & !1).max(2));
    let (width, height) = (even(source.width), even(source.height));
    let fps_millis = source.fps_millis.min(if side <= SMALL_SIDE { SMALL_FPS_MAX_MILLIS } else { FPS_MAX_MILLIS });
    let rate = f64::from(width) * f64::from(height) * f64::from(fps_millis) / 1_000.0;
    let bps_max = ((CAP_FACTOR * rate.powf(CAP_POWER)) as u64).max(CAP_MIN_BPS);
    // Small pictures are shown large, where faults are seen; large ones hide them.
    let crf = if side >= 1_080 { 23 } else { 22 };
    Rung { width, height, fps_millis, crf, bps_max }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sizes(width: u32, height: u32) -> Vec<(u32, u32)> {
        ladder(Picture { width, height, fps_millis: 30_000 })
            .into_iter()
            .map(|rung| (rung.width, rung.height))
            .collect()
    }

    #[test]
    fn rungs_keep_the_shape_and_go_down_from_the_source() {
        assert_eq!(sizes(1_920, 1_080), [(1_920, 1_080), (1_280, 720), (854, 480), (640, 360), (426, 240)]);
        assert_eq!(sizes(1_080, 1_920)[1], (720, 1_280), "portrait");
        assert_eq!(sizes(1_000, 500), [(1_000, 500), (720, 360), (480, 240)], "480 is too near to 500");
        assert_eq!(sizes(7_680, 4_320)[0], (3_840, 2_160), "no more than players show");
        assert_eq!(sizes(321, 241), [(320, 240)], "odd, and 240 is too near");
        assert_eq!(sizes(2, 2), [(2, 2)]);
    }

    #[test]
    fn caps_are_near_what_is_recommended() {
        let rungs = ladder(Picture { width: 1_920, height: 1_080, fps_millis: 30_000 });
        let kbps: Vec<u64> = rungs.iter().map(|rung| rung.bps_max / 1_000).collect();
        assert!((5_500..6_500).contains(&kbps[0]) && (800..1_100).contains(&kbps[3]), "{kbps:?}");
        let fast = ladder(Picture { width: 1_280, height: 720, fps_millis: 240_000 });
        assert_eq!(fast.iter().map(|rung| rung.fps_millis).collect::<Vec<_>>(), [60_000, 30_000, 30_000, 30_000]);
    }

    proptest! {
        #[test]
        fn nothing_is_scaled_up_and_each_rung_is_smaller(width in 1..20_000_u32, height in 1..20_000_u32, fps_millis in 1_000..1_000_000_u32) {
            let rungs = ladder(Picture { width, height, fps_millis });
            prop_assert!(!rungs.is_empty());
            for rung in &rungs {
                prop_assert!(rung.width % 2 == 0 && rung.height % 2 == 0 && rung.fps_millis <= fps_millis.min(FPS_MAX_MILLIS));
                prop_assert!(rung.width <= width.max(2) && rung.height <= height.max(2));
            }
            for pair in rungs.windows(2) {
                prop_assert!(pair[1].bps_max <= pair[0].bps_max);
                prop_assert!(pair[1].width.min(pair[1].height) < pair[0].width.min(pair[0].height));
            }
        }
    }
}

//! What a file's pictures are when they are shown: how large, which way up, how many a second.

use ffmpeg::codec::packet::side_data;
use ffmpeg::format::Pixel;
use ffmpeg::{Stream, color};
use ffmpeg_next as ffmpeg;
use telstar_transcode::ladder::FPS_MAX_MILLIS;

use super::look::VideoLook;
use super::scan::Rate;

/// Pictures in a thousand seconds where the file does not tell.
const FPS_MILLIS_UNKNOWN: u32 = 30_000;
/// A rate that the container tells is taken for the one that was counted if it is so near, in percent: counting knows nothing of 1001.
const FPS_NEAR_PERCENT: u32 = 2;
/// Seconds that have so many pictures more than the average, in percent, are no sign of a variable rate: Matroska counts
/// in milliseconds and has no decode times.
const FPS_EVEN_PERCENT: u32 = 10;
/// Tracks that are called so, by telephones of one maker, have no matrix; behind it stand the degrees.
const TURNED_NAME: &str = "htc_video_rotA-";

/// How pictures are to be turned before they are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// First from left to right.
    pub mirrored: bool,
    /// And then clockwise, in degrees: 0, 90, 180 or 270.
    pub degrees: u16,
}

/// How large the pictures are when their pixels are square and they are the right way up. Nothing is made smaller for
/// it.
pub fn shown_size(look: &VideoLook, rotation: u16) -> (u32, u32) {
    let (mut width, mut height) = (look.width, look.height);
    match look.aspect_millis {
        wide @ 1_001.. => width = (u64::from(width) * u64::from(wide) + 500).div_euclid(1_000) as u32,
        narrow => height = (u64::from(height) * 1_000 / u64::from(narrow.max(1))) as u32,
    }
    if rotation % 180 == 90 { (height, width) } else { (width, height) }
}

/// As the container's matrix has it, or the name of the track.
pub fn turn(stream: &Stream<'_>) -> Turn {
    let matrix = stream.side_data().find(|data| data.kind() == side_data::Type::DisplayMatrix);
    matrix.map_or_else(|| named(stream.metadata().get("title")), |matrix| turned(matrix.data()))
}

fn named(title: Option<&str>) -> Turn {
    // FFmpeg hands on what is in the file, which need not be text.
    let degrees = title.and_then(|title| match title.as_bytes().strip_prefix(TURNED_NAME.as_bytes())? {
        b"090" => Some(90),
        b"180" => Some(180),
        b"270" => Some(270),
        _ => None,
    });
    Turn { mirrored: false, degrees: degrees.unwrap_or(0) }
}

/// ISO/IEC 14496-12 §6.2.2: of nine numbers the first two say where a pixel's right-hand neighbour is, the fourth and fifth where the
/// one below.
fn turned(matrix: &[u8]) -> Turn {
    let number = |at: usize| matrix.get(at..at + 4)?.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes));
    let [Some(a), Some(b), Some(c), Some(d)] = [0, 4, 12, 16].map(number) else { return Turn::default() };
    let [a, b, c, d] = [a, b, c, d].map(f64::from);
    let mirrored = a * d - b * c < 0.0;
    let sign = if mirrored { -1.0 } else { 1.0 };
    let degrees = (sign * b).atan2(sign * a).to_degrees();
    // The nearest right angle: nobody watches a picture askew.
    let degrees = if (a, b) == (0.0, 0.0) { 0 } else { ((degrees / 90.0).round() as i32).rem_euclid(4) as u16 * 90 };
    Turn { mirrored, degrees }
}

/// Pictures in a thousand seconds. What was counted is true; what containers say need not be.
pub fn fps_millis(stream: &Stream<'_>, look: &VideoLook, counted: Option<Rate>) -> u32 {
    let millis = |rate: ffmpeg::Rational| {
        let (num, den) = (i64::from(rate.numerator()), i64::from(rate.denominator()));
        (num > 0 && den > 0).then(|| u32::try_from(num * 1_000 / den).unwrap_or(u32::MAX)).filter(|millis| *millis > 0)
    };
    of_rates(millis(stream.avg_frame_rate()), millis(stream.rate()), look.interlaced, counted)
}

/// Of the average and the guess that FFmpeg has, and what was counted.
fn of_rates(average: Option<u32>, guessed: Option<u32>, interlaced: bool, counted: Option<Rate>) -> u32 {
    if let Some(Rate { average_millis, most }) = counted {
        // Half pictures may be counted on their own.
        if interlaced {
            return average.map_or(average_millis, |average| average.min(average_millis));
        }
        // A second has room for one more, depending on where it begins, and for others where times are rounded or guessed.
        let lasting = most.saturating_sub(1).saturating_mul(1_000).max(average_millis);
        let room = (average_millis / 100 * FPS_EVEN_PERCENT).saturating_add(1_000);
        let is_even = lasting <= average_millis.saturating_add(room);
        let counted = if is_even { average_millis } else { lasting };
        let is_near = |told: &u32| told.abs_diff(counted) <= counted / 100 * FPS_NEAR_PERCENT;
        return guessed.into_iter().chain(average).find(is_near).unwrap_or(counted);
    }
    match (average, guessed) {
        // The guess is a rate at which all times fall on ticks. Of a variable rate it is the highest, unless it is only
        // what the container's clock can count.
        (Some(average), Some(guessed)) if !interlaced && guessed > average => match guessed {
            ..=FPS_MAX_MILLIS => guessed,
            _ if guessed / 2 > average => average.max(FPS_MILLIS_UNKNOWN),
            _ => average,
        },
        (Some(average), _) => average,
        // One picture has no average, and a guess of what its clock can count.
        (None, Some(guessed)) if guessed <= 2 * FPS_MILLIS_UNKNOWN => guessed,
        (None, _) => FPS_MILLIS_UNKNOWN,
    }
}

pub fn is_hdr(look: &VideoLook) -> bool {
    use color::TransferCharacteristic::{ARIB_STD_B67, SMPTE2084};
    matches!(look.transfer, SMPTE2084 | ARIB_STD_B67)
}

/// Bits of a sample, as the name of its format has them: FFmpeg's ends with the number where it is not 8.
pub fn bits(format: Pixel) -> u8 {
    let name = format.descriptor().map_or("", |descriptor| descriptor.name());
    let name = name.trim_end_matches("le").trim_end_matches("be");
    // The numbers of these say how their planes lie.
    if name.starts_with("nv") {
        return 8;
    }
    let number: String = name.chars().rev().take_while(char::is_ascii_digit).collect();
    let bits = number.chars().rev().collect::<String>().parse::<u8>().ok();
    bits.filter(|bits| (9..=16).contains(bits)).unwrap_or(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(width: u32, height: u32, aspect_millis: u32) -> VideoLook {
        let transfer = color::TransferCharacteristic::Unspecified;
        VideoLook { first: 0, width, height, aspect_millis, format: Pixel::YUV420P, interlaced: false, transfer }
    }

    #[test]
    fn pictures_are_as_large_as_they_are_shown() {
        assert_eq!(shown_size(&look(1_920, 1_080, 1_000), 0), (1_920, 1_080));
        assert_eq!(shown_size(&look(1_920, 1_080, 1_000), 90), (1_080, 1_920));
        assert_eq!(shown_size(&look(1_440, 1_080, 1_333), 0), (1_920, 1_080), "HDV");
        assert_eq!(shown_size(&look(720, 576, 1_067), 0), (768, 576), "PAL");
        assert_eq!(shown_size(&look(720, 480, 889), 180), (720, 539), "NTSC: taller, never narrower");
    }

    #[test]
    fn a_matrix_says_how_a_picture_is_turned() {
        let one = 65_536;
        let cases = [
            ([one, 0, 0, one], false, 0),
            ([0, one, -one, 0], false, 90),
            ([-one, 0, 0, -one], false, 180),
            ([0, -one, one, 0], false, 270),
            ([one, 9, -9, one], false, 0),
            ([0, 0, 0, 0], false, 0),
            ([-one, 0, 0, one], true, 0),
            ([one, 0, 0, -one], true, 180),
            ([0, one, one, 0], true, 270),
            ([0, -one, -one, 0], true, 90),
        ];
        for ([a, b, c, d], mirrored, degrees) in cases {
            let matrix: Vec<u8> = [a, b, 0, c, d, 0, 0, 0, 1 << 30].into_iter().flat_map(i32::to_ne_bytes).collect();
            assert_eq!(turned(&matrix), Turn { mirrored, degrees }, "{a} {b} {c} {d}");
        }
        assert_eq!(turned(&[1, 2, 3]), Turn::default());
        assert_eq!(named(Some("htc_video_rotA-270")).degrees, 270);
        assert_eq!(named(Some("htc_video_rotA-45")), Turn::default());
        assert_eq!(named(None), Turn::default());
    }

    #[test]
    fn what_was_counted_is_believed_before_what_the_container_says() {
        let counted = |average_millis, most| Some(Rate { average_millis, most });
        let cases = [
            (Some(1_000_000), Some(60_000), counted(30_010, 31), 30_010, "a clock of milliseconds"),
            (Some(29_950), Some(29_970), counted(29_960, 30), 29_970, "told to the thousandth"),
            (Some(30_000), Some(30_000), counted(29_990, 32), 30_000, "guessed decode times"),
            (Some(12_000), Some(90_000), counted(12_000, 60), 59_000, "a screen that moves at times"),
            (Some(25_000), Some(50_000), None, 50_000, "not counted"),
            (Some(24_000), Some(1_000_000), None, 30_000, "the clock's own"),
            (None, Some(90_000), None, 30_000, "one picture"),
        ];
        for (average, guessed, counted, expect, why) in cases {
            assert_eq!(of_rates(average, guessed, false, counted), expect, "{why}");
        }
        assert_eq!(of_rates(Some(25_000), Some(50_000), true, counted(50_000, 50)), 25_000, "half pictures");
    }

    #[test]
    fn formats_have_as_many_bits_as_their_names_say() {
        let cases = [
            (Pixel::YUV420P, 8),
            (Pixel::YUV420P10LE, 10),
            (Pixel::YUV422P12BE, 12),
            (Pixel::P010LE, 10),
            (Pixel::GRAY8, 8),
            (Pixel::NV12, 8),
            (Pixel::None, 8),
        ];
        for (format, expect) in cases {
            assert_eq!(bits(format), expect, "{format:?}");
        }
    }
}

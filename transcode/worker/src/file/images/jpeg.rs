//! A picture as JPEG.

use ffmpeg::format::Pixel;
use ffmpeg::{Packet, Rational, codec, color, encoder, frame};
use ffmpeg_next as ffmpeg;

use crate::failure::Failure;
use crate::picture::Scaler;

/// FFmpeg's own encoder.
const ENCODER: &str = "mjpeg";
/// Its quantiser: 2 is the best and 31 the worst. 4 is about what others call a quality of 85.
const QUANTISER: i32 = 4;
/// What FFmpeg counts quantisers in (FF_QP2LAMBDA).
const LAMBDA: i32 = 118;

/// The picture in this size.
pub fn jpeg(scaler: &mut Scaler, picture: &frame::Video, size: (u32, u32)) -> Result<Vec<u8>, Failure> {
    encoded(&scaler.run(picture, size)?)
}

/// A picture that is in 8-bit 4:2:0 of full range.
pub fn encoded(picture: &frame::Video) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::broken("JPEG", error);
    let found = encoder::find_by_name(ENCODER);
    let found = found.ok_or_else(|| Failure::unsupported("this FFmpeg has no encoder of JPEG"))?;
    let mut context = codec::Context::new_with_codec(found);
    context.set_flags(codec::Flags::QSCALE);
    let mut video = context.encoder().video().map_err(failed)?;
    video.set_width(picture.width());
    video.set_height(picture.height());
    video.set_format(Pixel::YUVJ420P);
    video.set_color_range(color::Range::JPEG);
    video.set_time_base(Rational(1, 25));
    video.set_global_quality(LAMBDA * QUANTISER);
    video.set_qmin(QUANTISER);
    let mut encoder = video.open_as(found).map_err(failed)?;
    encoder.send_frame(picture).map_err(failed)?;
    encoder.send_eof().map_err(failed)?;
    let mut packet = Packet::empty();
    encoder.receive_packet(&mut packet).map_err(failed)?;
    Ok(packet.data().unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_becomes_a_jpeg_of_its_size() {
        let mut picture = frame::Video::new(Pixel::YUV420P, 64, 48);
        (0..picture.planes()).for_each(|plane| picture.data_mut(plane).fill(128));
        let bytes = jpeg(&mut Scaler::full_range(), &picture, (32, 24)).expect("it has the encoder");
        assert!(bytes.starts_with(&[0xff, 0xd8]) && bytes.ends_with(&[0xff, 0xd9]));
        // ITU-T T.81 §B.2.2: the frame header has the height, then the width.
        let at = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a baseline frame");
        assert_eq!(bytes[at + 5..at + 9], [0, 24, 0, 32]);
    }
}

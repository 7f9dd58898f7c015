//! What is in frames: decoded here, by the same library but not by the worker's code.

use ffmpeg::codec::{Context, Id};
use ffmpeg::format::sample::{Sample, Type};
use ffmpeg::{ChannelLayout, Packet, frame};
use ffmpeg_next as ffmpeg;

/// A packet and its time.
pub struct Piece<'a> {
    pub at: i64,
    pub bytes: &'a [u8],
}

/// When each tone begins, in seconds: louder than a quarter of full scale after a tenth of a second without.
pub fn onsets(name: &str, hz: u32, pieces: &[Piece<'_>]) -> Vec<f64> {
    let codec = ffmpeg::codec::decoder::find_by_name(name).expect("this FFmpeg has it");
    let mut context = Context::new_with_codec(codec).decoder();
    context.set_packet_time_base((1, hz as i32));
    let mut decoder = context.open_as(codec).and_then(|opened| opened.audio()).expect("it opens");
    let (mut onsets, mut quiet_since) = (Vec::new(), f64::MIN);
    for piece in pieces {
        let mut packet = Packet::copy(piece.bytes);
        packet.set_pts(Some(piece.at));
        decoder.send_packet(&packet).expect("it decodes");
        let mut decoded = frame::Audio::empty();
        while decoder.receive_frame(&mut decoded).is_ok() {
            let at = decoded.timestamp().expect("it has a time") as f64 / f64::from(hz);
            let rate = f64::from(decoded.rate());
            for (index, sample) in mono(&mut decoded).into_iter().enumerate() {
                let now = at + index as f64 / rate;
                if sample.abs() > 0.25 {
                    if now - quiet_since > 0.1 {
                        onsets.push(now);
                    }
                    quiet_since = now;
                }
            }
        }
    }
    onsets
}

fn mono(decoded: &mut frame::Audio) -> Vec<f32> {
    match decoded.format() {
        Sample::F32(Type::Planar) => decoded.plane::<f32>(0).to_vec(),
        other => {
            if decoded.channel_layout().is_empty() {
                decoded.set_channel_layout(ChannelLayout::default(i32::from(decoded.channels())));
            }
            panic!("{other:?} is not expected of FFmpeg's own decoders")
        }
    }
}

/// Times and sizes of the pictures, and for each how bright its left half is against its right one.
pub fn pictures(id: Id, pieces: &[Piece<'_>]) -> Vec<(i64, (u32, u32), i64)> {
    let codec = ffmpeg::codec::decoder::find(id).expect("this FFmpeg has it");
    let mut decoder =
        Context::new_with_codec(codec).decoder().open_as(codec).and_then(|opened| opened.video()).expect("it opens");
    let mut pictures = Vec::new();
    let mut receive = |decoder: &mut ffmpeg::codec::decoder::Video| {
        let mut decoded = frame::Video::empty();
        while decoder.receive_frame(&mut decoded).is_ok() {
            let at = decoded.timestamp().expect("it has a time");
            pictures.push((at, (decoded.width(), decoded.height()), brightness(&decoded)));
        }
    };
    for piece in pieces {
        let mut packet = Packet::copy(piece.bytes);
        packet.set_pts(Some(piece.at));
        decoder.send_packet(&packet).expect("it decodes");
        receive(&mut decoder);
    }
    decoder.send_eof().expect("it takes the end");
    receive(&mut decoder);
    pictures
}

/// The mean of the luma samples in the middle.
fn brightness(picture: &frame::Video) -> i64 {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let middle = &picture.data(0)[picture.stride(0) * (height / 2)..][..width];
    middle.iter().map(|sample| i64::from(*sample)).sum::<i64>() / width as i64
}

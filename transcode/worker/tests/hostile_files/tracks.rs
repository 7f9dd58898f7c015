//! Too many of something, or of what nobody can hear.

use super::attack::{Ending, attack};
use super::support::boxes::{boxed, boxes, chunk, list};
use super::support::files::Media;

const X264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

#[test]
fn thousands_of_streams() {
    let file = Media::new("a.mp4", &format!("-f lavfi -i testsrc2=s=64x64:r=10:d=1 {X264}")).bytes();
    for count in [65, 900, 5_000] {
        let whole: Vec<u8> = boxes(&file)
            .into_iter()
            .flat_map(|(kind, body)| {
                let parts = boxes_of(&kind, &body, count);
                boxed(&kind, &parts)
            })
            .collect();
        let ending = attack(&format!("an MP4 with {count} tracks"), &Media::of_bytes(&whole));
        assert!(ending.refused().contains("streams"), "{ending:?}");
    }
    // A transport stream begins a stream for each number that a packet has.
    let mut packets = Vec::new();
    for number in 0..20_000_u16 {
        let id = 0x20 + number % 0x1f00;
        let start = [0x47, 0x40 | (id >> 8) as u8, id as u8, 0x10 | (number / 0x1f00) as u8 & 0xf];
        let packet = [&start[..], &[0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1], &[0; 170]].concat();
        packets.extend(packet);
    }
    attack("a transport stream with 7,936 streams", &Media::of_bytes(&packets)).refused();
}

/// The index with its track so many times.
fn boxes_of(kind: &[u8; 4], body: &[u8], count: usize) -> Vec<u8> {
    if kind != b"moov" {
        return body.to_vec();
    }
    let parts = boxes(body).into_iter();
    parts.flat_map(|(kind, body)| boxed(&kind, &body).repeat(if &kind == b"trak" { count } else { 1 })).collect()
}

#[test]
fn sound_that_is_none() {
    // WAV says of itself what it likes: channels, rate, and how much there is.
    let wav = |channels: u16, rate: u32, bits: u16, len: usize| {
        let block = channels.wrapping_mul(bits / 8);
        let format = [
            &1_u16.to_le_bytes()[..],
            &channels.to_le_bytes(),
            &rate.to_le_bytes(),
            &rate.wrapping_mul(block.into()).to_le_bytes(),
            &block.to_le_bytes(),
            &bits.to_le_bytes(),
        ];
        list(b"RIFF", b"WAVE", &[chunk(b"fmt ", &format.concat()), chunk(b"data", &vec![1; len])])
    };
    for (channels, rate, bits) in [
        (1, 1, 8),
        (2, u32::MAX, 16),
        (65_535, 48_000, 8),
        (255, 48_000, 16),
        (0, 48_000, 16),
        (1, 0, 8),
        (1, 48_000, 0),
    ] {
        let name = format!("a WAV of {channels} channels, {rate} samples a second, {bits} bits");
        let ending = attack(&name, &Media::of_bytes(&wav(channels, rate, bits, 60_000)));
        assert!(!matches!(ending, Ending::Asset { .. }), "{ending:?}");
    }
    let mut long = wav(1, 48_000, 16, 96_000);
    long[4..8].copy_from_slice(&[0xff; 4]);
    long[40..44].copy_from_slice(&[0xff; 4]);
    let ending = attack("a WAV that says it has 4 GiB", &Media::of_bytes(&long));
    assert!((ending.asset().0.duration - 90_000).abs() < 9_000, "{ending:?}");
}

#[test]
fn subtitles_that_nobody_could_read() {
    // Each is shown for the whole film, and would stand in each of its segments.
    let cue =
        |number: usize| format!("{number}\n00:00:00,{:03} --> 00:58:00,000\n{}\n\n", number % 1_000, "x".repeat(200));
    let text = Media::of_bytes((1..4_000).map(cue).collect::<String>().as_bytes());
    let path = text.path.display();
    let film = "-f lavfi -i color=black:s=64x64:r=1:d=3500";
    let media = Media::new("a.mkv", &format!("{film} -f srt -i {path} {X264} -g 2 -map 0 -map 1 -c:s srt"));
    let ending = attack("4,000 subtitles that are shown for an hour", &media);
    assert!(ending.refused().contains("larger than is allowed"), "{ending:?}");
}

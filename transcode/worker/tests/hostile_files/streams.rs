//! Streams that are small to send and large to decode: sizes, rates, lengths, and configurations that change.

use telstar_transcode::file::Limits;

use super::attack::{Ending, MEANS, Means, attack, attack_with};
use super::support::boxes::{element, matroska, with_table, without};
use super::support::files::Media;

const X264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

#[test]
fn pictures_of_65535_pixels() {
    // Coded as they are: the widest that an encoder takes, a few kilobytes.
    let wide = Media::new("a.mkv", "-f lavfi -i color=black:s=65535x64:r=10:d=0.2 -c:v ffv1");
    assert!(attack("a picture of 65,535 pixels across", &wide).refused().contains("65534x64"));
    let wide = Media::new("a.mp4", &format!("-f lavfi -i color=black:s=16384x64:r=10:d=0.2 {X264}"));
    assert!(attack("H.264 of 16,384 pixels across", &wide).refused().contains("no side"));
    let large = Media::new("a.mkv", "-f lavfi -i color=black:s=12000x12000:r=1 -frames:v 1 -c:v png");
    let bytes = large.bytes().len();
    assert!(attack(&format!("a PNG of 12,000 x 12,000 in {bytes} bytes"), &large).refused().contains("12000x12000"));
    let large = Media::new("a.mkv", "-f lavfi -i color=black:s=8000x8000:r=1 -frames:v 1 -c:v mjpeg");
    assert!(attack("a JPEG of 8,000 x 8,000", &large).refused().contains("8000x8000"));
}

/// The container says that they are small.
#[test]
fn pictures_that_are_larger_than_their_container_says() {
    let jpeg = Media::new("a.avi", "-f lavfi -i color=black:s=64x64:r=10:d=0.5 -c:v mjpeg").bytes();
    // SOF0: a length, the bits of a sample, then height and width.
    let patched = |height: [u8; 2], width: [u8; 2]| {
        let mut bytes = jpeg.clone();
        let starts: Vec<usize> =
            bytes.windows(2).enumerate().filter(|(_, two)| *two == [0xff, 0xc0]).map(|(at, _)| at).collect();
        for at in &starts {
            bytes[at + 5..at + 7].copy_from_slice(&height);
            bytes[at + 7..at + 9].copy_from_slice(&width);
        }
        assert!(!starts.is_empty());
        bytes
    };
    attack("JPEGs of 65,500 x 65,500 in an AVI of 64 x 64", &Media::of_bytes(&patched([0xff, 0xdc], [0xff, 0xdc])));
    attack("JPEGs of 65,500 x 1", &Media::of_bytes(&patched([0, 1], [0xff, 0xdc])));
    // VP8's key frame says it behind its start code; the first is true, so that it is found out on the way.
    let mut vp8 =
        Media::new("a.webm", "-f lavfi -i testsrc2=s=64x64:r=10:d=2 -c:v libvpx -g 5 -deadline realtime").bytes();
    let codes: Vec<usize> =
        vp8.windows(3).enumerate().filter(|(_, code)| *code == [0x9d, 0x01, 0x2a]).map(|(at, _)| at).collect();
    assert!(codes.len() > 2);
    for at in &codes[1..] {
        vp8[at + 3..at + 7].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    }
    attack("VP8 of 64 x 64 whose later pictures have 16,383 x 16,383", &Media::of_bytes(&vp8));
    let entry = |width: u16| {
        let size = [element(&[0xb0], &width.to_be_bytes()), element(&[0xba], &width.to_be_bytes())].concat();
        let entry = [
            element(&[0xd7], &[1]),
            element(&[0x73, 0xc5], &[1]),
            element(&[0x83], &[1]),
            element(&[0x86], b"V_UNCOMPRESSED"),
            element(&[0xe0], &size),
        ];
        matroska(&element(&[0x16, 0x54, 0xae, 0x6b], &element(&[0xae], &entry.concat())))
    };
    attack("raw pictures of 65,535 x 65,535 that are not there", &Media::of_bytes(&entry(u16::MAX))).refused();
}

#[test]
fn a_thousand_pictures_a_second() {
    for name in ["a.mp4", "a.mkv"] {
        let media = Media::new(name, &format!("-f lavfi -i color=black:s=64x64:r=1000:d=2 {X264}"));
        let ending = attack(&format!("1,000 pictures a second in {name}"), &media);
        assert!(ending.refused().contains("1000 pictures a second, and 120 are allowed"), "{ending:?}");
    }
    // What the container says is no reason: it says a thousand, and thirty are there.
    let media = Media::new("a.flv", &format!("-f lavfi -i testsrc2=s=64x64:r=30:d=2 {X264}"));
    let ending = attack("30 pictures a second in a container that counts milliseconds", &media);
    assert_eq!(ending.asset().0.video.as_ref().map(|video| video.fps_millis), Some(30_000));
}

#[test]
fn ten_years() {
    let media =
        Media::new("a.mp4", &format!("-f lavfi -i testsrc2=s=64x64:r=10:d=2 {X264} -video_track_timescale 1000"));
    // No edit list, which would say how long it really is. Each picture lasts 11 days.
    let file = without(&media.bytes(), &[b"moov", b"trak"], b"edts");
    let long = with_table(&file, b"stts", &[0, 1, 20, 1_000_000_000]);
    let ending = attack("an MP4 of pictures that last weeks", &Media::of_bytes(&long));
    assert!(ending.refused().contains("1:00:00 hours are allowed"), "{ending:?}");
    // Only the header says so: whoever believes it makes a map of ten years.
    let mut lying = file.clone();
    let at = lying.windows(4).position(|window| window == b"mvhd").expect("it has one");
    lying[at + 20..at + 24].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    let ending = attack("an MP4 whose header says 24 days", &Media::of_bytes(&lying));
    if let Ending::Asset { source, .. } = &ending {
        assert!(source.duration < 3 * 90_000, "{source:?}");
    }
    let media = Media::new("a.mkv", &format!("-f lavfi -i testsrc2=s=64x64:r=10:d=2 -vf setpts=N*1000000/TB {X264}"));
    let ending = attack("a Matroska file of a picture every 11 days", &media);
    assert!(ending.refused().contains("hours are allowed"), "{ending:?}");
}

#[test]
fn hours_of_black() {
    let pictures = format!(
        "-f lavfi -i color=black:s=64x64:r=1:d=180 -f lavfi -i anullsrc=r=48000:d=180 {X264} -g 5 -c:a aac -b:a 16k"
    );
    let media = Media::new("a.mp4", &pictures);
    let bytes = media.bytes().len();
    let ending = attack(&format!("three minutes of nothing in {bytes} bytes"), &media);
    assert!(matches!(ending, Ending::Asset { bytes, .. } if bytes < 4 << 20), "{ending:?}");
    let limits = Limits { output_bytes_max: 100_000, ..MEANS.limits };
    let ending = attack_with("the same, where 100 kB may be made of it", &media, Means { limits, ..MEANS });
    assert!(ending.refused().contains("larger than is allowed"), "{ending:?}");
    // Two pictures, and a long time between them.
    let media = Media::new("a.mkv", &format!("-f lavfi -i color=black:s=640x360:r=1:d=2 -vf setpts=N*1200/TB {X264}"));
    attack("two pictures 20 minutes apart", &media);
}

#[test]
fn a_configuration_that_changes() {
    let part = |size: &str, name: &str, more: &str| {
        Media::new(name, &format!("-f lavfi -i testsrc2=s={size}:r=10:d=1 {X264} -profile:v high -g 10 {more}")).bytes()
    };
    // Each with the times behind those of the one before.
    let offset = |secs: u32| format!("-output_ts_offset {secs}");
    let sizes = ["320x180", "640x360", "180x320", "64x64", "320x180"];
    let parts = sizes.iter().zip(0..).map(|(size, secs)| part(size, "a.ts", &offset(secs)));
    let media = Media::of_bytes(&parts.collect::<Vec<_>>().concat());
    let ending = attack("another size each second", &media);
    let (source, plan) = ending.asset();
    assert!(plan.encoded_because.is_some(), "it is not passed on: {source:?}");
    let Ending::Asset { sizes, .. } = &ending else { panic!("{ending:?}") };
    assert_eq!(sizes.first(), Some(&(320, 180)), "one size for all");
    let huge = [
        part("320x180", "a.ts", &offset(0)),
        part("8192x4320", "a.ts", &offset(1)),
        part("320x180", "a.ts", &offset(2)),
    ];
    attack("a picture that grows to 8192 x 4320 on the way", &Media::of_bytes(&huge.concat()));
    // The sound changes its rate and its channels.
    let sound = |rate: u32, channels: u8, secs: u32| {
        let arguments = format!("-f lavfi -i sine=f=500:r={rate}:d=1 -ac {channels} -c:a aac {}", offset(secs));
        Media::new("a.ts", &arguments).bytes()
    };
    let media = Media::of_bytes(&[sound(48_000, 2, 0), sound(44_100, 1, 1), sound(48_000, 2, 2)].concat());
    let ending = attack("sound that changes its rate and its channels", &media);
    let audio = &ending.asset().0.audio[0];
    assert!(audio.copy.as_ref().is_err_and(|why| why.contains("changes")), "{audio:?}");
    // In FLV a new configuration comes in a tag of its own: two files behind each other.
    let flv = |size: &str, secs: u32| part(size, "a.flv", &offset(secs));
    let second = flv("640x360", 1);
    let media = Media::of_bytes(&[&flv("320x180", 0)[..], &second[13..]].concat());
    let ending = attack("FLV with a second configuration", &media);
    assert!(ending.asset().1.encoded_because.is_some(), "{ending:?}");
}

#[test]
fn processor_time_and_memory_end() {
    let media = Media::new("a.mkv", "-f lavfi -i testsrc2=s=1920x1080:r=30:d=4 -c:v mjpeg");
    let short = Means { cpu_secs: 1, may_die: true, ..MEANS };
    let ending = attack_with("a heavy file, where a second of processor time is allowed", &media, short);
    assert!(matches!(ending, Ending::Died), "{ending:?}");
    let media = Media::new("a.mp4", &format!("-f lavfi -i color=black:s=4096x2176:r=10:d=1 {X264} -bf 3 -refs 8"));
    let tight = Means { memory_mib: 300, may_die: true, ..MEANS };
    let ending = attack_with("4096 x 2176 pixels, where 300 MiB are allowed", &media, tight);
    // Whichever came first: FFmpeg's own error, or the end of the process.
    assert!(matches!(ending, Ending::Died | Ending::Failed(_) | Ending::Refused(_)), "{ending:?}");
}

//! Files that are cut off, turned over, or not what they are called.

use super::attack::{Ending, attack};
use super::support::files::{LIMITS, Media};
use telstar_transcode::file::{FileNews, FileTask};

use super::support::files::FileWorker;

const SOURCES: &str = "-f lavfi -i sine=f=500:r=48000:d=3 -f lavfi -i testsrc2=s=64x64:r=10:d=3";
const PICTURES: &str = "-f lavfi -i testsrc2=s=64x64:r=10:d=3 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 10";
const CODECS: &str = "-c:a aac -b:a 64k -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 10";

/// One of each container, small.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let made = |name: &'static str, more: &str| (name, Media::new(name, &format!("{SOURCES} {CODECS} {more}")).bytes());
    vec![
        made("index-first.mp4", "-movflags +faststart"),
        made("fragmented.mp4", "-movflags +frag_keyframe+empty_moov+default_base_moof"),
        made("a.mkv", ""),
        made("a.ts", ""),
        made("a.flv", "-ar 44100"),
        made("a.avi", "-c:a mp2"),
    ]
}

#[test]
fn files_that_are_cut_off_are_what_is_left_of_them_or_nothing() {
    for (name, bytes) in files() {
        for part in [1, 10, 60, 99] {
            let left = &bytes[..bytes.len() * part / 100];
            let ending = attack(&format!("{name}, the first {part} %"), &Media::of_bytes(left));
            if let Ending::Asset { source, .. } = &ending {
                assert!(source.duration < 4 * 90_000, "{name}: {source:?}");
            }
            assert!(part < 99 || matches!(ending, Ending::Asset { .. }), "{name}: {ending:?}");
        }
        let without_head = &bytes[bytes.len() / 3..];
        attack(&format!("{name} without its head"), &Media::of_bytes(without_head));
    }
}

/// Bytes that are changed at random; the seed says which.
#[test]
fn files_with_changed_bytes_end_in_any_way_but_badly() {
    for (name, bytes) in files() {
        for seed in 1..=3_u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut random = move || {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            };
            let mut changed = bytes.clone();
            // Behind what says which container it is, most of them in what describes the streams.
            for _ in 0..bytes.len() / 200 {
                let reach = if random() % 2 == 0 { 2_000 } else { bytes.len() };
                let at = 16 + random() as usize % (reach.min(bytes.len()) - 16);
                changed[at] = random() as u8;
            }
            attack(&format!("{name} with changed bytes, seed {seed}"), &Media::of_bytes(&changed));
        }
    }
}

#[test]
fn what_is_no_media_is_refused() {
    for (name, bytes) in [
        ("nothing", &b""[..]),
        ("one byte", b"\0"),
        ("a picture: GIF", b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"),
        ("a picture: PNG of 2^31 pixels", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x06\0\0\0"),
        ("an archive", b"PK\x03\x04\x14\0\0\0\x08\0"),
        ("a program", b"\x7fELF\x02\x01\x01\0"),
        ("a page", b"<!DOCTYPE html><script>alert(1)</script>"),
        ("a billion laughs", b"<?xml version=\"1.0\"?><!DOCTYPE tt [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]><tt>&c;</tt>"),
        ("TTML", b"<tt xmlns=\"http://www.w3.org/ns/ttml\"><body><div><p begin=\"0s\" end=\"1s\">a</p></div></body></tt>"),
        ("subtitles", b"WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n"),
        ("zeros", &[0; 100_000]),
    ] {
        let ending = attack(&format!("no media: {name}"), &Media::of_bytes(bytes));
        assert!(ending.refused().contains("neither") || ending.refused().contains("empty"), "{name}: {ending:?}");
    }
    let encryption = "-encryption_scheme cenc-aes-ctr -encryption_key 00112233445566778899aabbccddeeff \
                      -encryption_kid 00112233445566778899aabbccddeeff";
    let media = Media::new("a.mp4", &format!("{PICTURES} {encryption}"));
    assert!(attack("encrypted", &media).refused().contains("encrypted"));
}

/// A full disk is nobody's fault: the attempt fails, and another is made.
#[test]
fn a_disk_that_is_full_ends_the_attempt_and_not_the_asset() {
    let media = Media::new("a.mp4", PICTURES);
    let (source, plan) = media.plan();
    let outputs = plan.first.iter().map(|one| one.output.clone()).collect();
    let preset = telstar_transcode::file::EncoderPreset::Veryfast;
    let task = telstar_transcode::file::Make { source, map: plan.map, outputs, limits: LIMITS, preset };
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("the system has it");
    let news = FileWorker::start().run(FileTask::Make(task), &media.file(), &[full]);
    let Some(FileNews::Failed { is_permanent: false, text }) = news.last() else { panic!("{news:?}") };
    assert!(text.contains("the disk is full"), "{text}");
}

//! Indexes that lie: tables, boxes and elements that say they are more than they are.

use super::attack::{Ending, attack};
use super::support::boxes::{SAMPLE_TABLE, boxed, boxes, edited, element, element_of, matroska, with_table, without};
use super::support::files::Media;

/// A small file whose index stands behind its media.
fn mp4() -> Vec<u8> {
    let pictures = "-f lavfi -i testsrc2=s=64x64:r=10:d=2 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 10";
    Media::new("a.mp4", pictures).bytes()
}

#[test]
fn tables_that_say_more_than_they_have() {
    let file = mp4();
    let most = u32::MAX;
    for (kind, numbers) in [
        (b"stsz", &[0, 0, most][..]),
        (b"stsz", &[0, 1, most]),
        (b"stsz", &[0, 1, 150_000_000]),
        (b"stsz", &[0, most, most]),
        (b"stts", &[0, most]),
        (b"ctts", &[0, most, 1, 1]),
        (b"stsc", &[0, most, 1, 1, 1]),
        (b"stco", &[0, most, 0]),
        (b"co64", &[0, 0x2000_0000, 0]),
        (b"stss", &[0, most, 1]),
    ] {
        let name = format!("{} of {numbers:x?}", std::str::from_utf8(kind).expect("letters"));
        let bomb = Media::of_bytes(&with_table(&file, kind, numbers));
        assert!(attack(&name, &bomb).refused().contains("more is in it than there is"), "{name}");
    }
}

#[test]
fn tables_that_have_what_they_say_and_lie_none_the_less() {
    let file = mp4();
    let most = u32::MAX;
    // Each count fits into its table; what it counts does not.
    for (kind, numbers) in [
        (b"stts", &[0, 1, most, 1][..]),
        (b"stts", &[0, 1, 20, most]),
        (b"stts", &[0, 2, 0, 0, 20, 0]),
        (b"ctts", &[0, 1, most, 0x7fff_ffff]),
        (b"ctts", &[0, 1, 20, 0x8000_0000]),
        (b"stsc", &[0, 1, 1, most, 1]),
        (b"stsc", &[0, 2, 5, 1, 1, 1, 1, 1]),
        (b"stsc", &[0, 1, 0, 0, 0]),
        (b"stco", &[0, 1, most]),
        (b"stco", &[0, 0]),
        (b"co64", &[0, 1, 0x7fff_ffff, most]),
        (b"stss", &[0, 3, 0, most, 5]),
        (b"stsz", &[0, 0, 3, most, 0x7fff_ffff, 1]),
        (b"stsz", &[0, 0, 0]),
    ] {
        let name = format!("{} {numbers:x?}", std::str::from_utf8(kind).expect("letters"));
        let ending = attack(&name, &Media::of_bytes(&with_table(&file, kind, numbers)));
        if let Ending::Asset { source, .. } = &ending {
            assert!(source.duration < 3_600 * 90_000, "{name}: {source:?}");
        }
    }
}

#[test]
fn boxes_that_are_too_deep_too_long_or_too_many() {
    let file = mp4();
    for kind in [b"trak", b"moov", b"udta"] {
        let name = format!("10,000 of {} in each other", std::str::from_utf8(kind).expect("letters"));
        let deep = (0..10_000).fold(Vec::new(), |inner: Vec<u8>, _| boxed(kind, &inner));
        let whole = [boxed(b"ftyp", b"isom\0\0\0\0isom"), boxed(b"moov", &deep)].concat();
        attack(&name, &Media::of_bytes(&whole)).refused();
    }
    let top = boxes(&file);
    let of = |kind: &[u8; 4]| top.iter().find(|(found, _)| found == kind).expect("it has one").1.clone();
    let long =
        |kind: &[u8; 4], len: u64, body: &[u8]| [&1_u32.to_be_bytes(), &kind[..], &len.to_be_bytes(), body].concat();
    let head = boxed(b"ftyp", &of(b"ftyp"));
    let (index, media) = (of(b"moov"), of(b"mdat"));
    let gigabytes = 100 << 30;
    let cases = [
        ("an index of 100 GB", [&head[..], &long(b"moov", gigabytes, &index)].concat()),
        ("an index of 2^63 bytes", [&head[..], &long(b"moov", 1 << 63, &index)].concat()),
        ("an index of 2^64-1 bytes", [&head[..], &long(b"moov", u64::MAX, &index)].concat()),
        ("an index of 64-bit size 3", [&head[..], &long(b"moov", 3, &index)].concat()),
        (
            "media of 2^63 bytes before the index",
            [&head[..], &long(b"mdat", 1 << 63, &media), &boxed(b"moov", &index)].concat(),
        ),
        (
            "media of 100 GB before the index",
            [&head[..], &long(b"mdat", gigabytes, &media), &boxed(b"moov", &index)].concat(),
        ),
        ("200,000 empty boxes", [head.clone(), boxed(b"free", b"").repeat(200_000), boxed(b"moov", &index)].concat()),
        ("media that is not there", [&head[..], &boxed(b"moov", &index)].concat()),
        ("an index without media, and zeros", [&head[..], &boxed(b"moov", &index), &[0; 5_000]].concat()),
    ];
    for (name, bytes) in cases {
        attack(name, &Media::of_bytes(&bytes));
    }
    // Metadata: FFmpeg takes memory for each key.
    let item = boxed(b"\xa9nam", &boxed(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0][..], &[b'x'; 1_000]].concat()));
    let items = boxed(
        b"meta",
        &[
            &[0; 4][..],
            &boxed(b"hdlr", b"\0\0\0\0\0\0\0\0mdirappl\0\0\0\0\0\0\0\0\0"),
            &boxed(b"ilst", &item.repeat(5_000)),
        ]
        .concat(),
    );
    let tagged = edited(&file, &[b"moov"], &mut |body| [body, &boxed(b"udta", &items)].concat());
    attack("5,000 titles of a kilobyte", &Media::of_bytes(&tagged));
}

#[test]
fn edits_that_go_nowhere() {
    let file = mp4();
    let edits = |entries: &[(u32, u32)]| {
        let table: Vec<u32> = entries.iter().flat_map(|(lasts, at)| [*lasts, *at, 0x1_0000]).collect();
        let numbers = [&[0, entries.len() as u32][..], &table].concat();
        let body: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let path = [b"moov", b"trak"];
        edited(&without(&file, &path, b"edts"), &path, &mut |track| {
            [&boxed(b"edts", &boxed(b"elst", &body)), track].concat()
        })
    };
    for (name, entries) in [
        ("an edit that begins behind the end", vec![(2_000, 0x7fff_fff0)]),
        ("an edit of ten years", vec![(u32::MAX, u32::MAX), (2_000, 0)]),
        ("an edit of nothing", vec![(0, 0)]),
        ("20,000 times the same second", vec![(1_000, 0); 20_000]),
        ("300 edits backwards", (0..300).map(|n| (50, 2_000 - n)).collect()),
    ] {
        attack(name, &Media::of_bytes(&edits(&entries)));
    }
}

#[test]
fn elements_of_matroska_that_are_bombs() {
    let track = |more: &[u8]| {
        let video = element(&[0xe0], &[element(&[0xb0], &[0, 64]), element(&[0xba], &[0, 64])].concat());
        let entry = [
            element(&[0xd7], &[1]),
            element(&[0x73, 0xc5], &[1]),
            element(&[0x83], &[1]),
            element(&[0x86], b"V_VP8"),
            video,
        ];
        element(&[0xae], &[&entry.concat()[..], more].concat())
    };
    let tracks = |entries: &[u8]| element(&[0x16, 0x54, 0xae, 0x6b], entries);
    let most = (1 << 56) - 2;
    let block =
        |body: &[u8]| element(&[0x1f, 0x43, 0xb6, 0x75], &[element(&[0xe7], &[0]), element(&[0xa3], body)].concat());
    // zlib: a gigabyte of zeros, as far as anybody reads it.
    let zeros = Media::new("a.png", "-f lavfi -i color=s=8000x8000:d=0.04:r=25 -frames:v 1").bytes();
    let deflated =
        zeros.windows(4).position(|window| window == b"IDAT").map_or(&[][..], |at| &zeros[at + 4..zeros.len() - 16]);
    let compression = element(&[0x50, 0x34], &[element(&[0x42, 0x54], &[0])].concat());
    let encoding = element(&[0x6d, 0x80], &element(&[0x62, 0x40], &compression));
    let nested = (0..10_000).fold(Vec::new(), |inner: Vec<u8>, _| element(&[0xb6], &inner));
    let tags = (0..10_000).fold(Vec::new(), |inner: Vec<u8>, _| element(&[0x67, 0xc8], &inner));
    let cases = [
        ("an element of 2^56 bytes", matroska(&element_of(&[0x16, 0x54, 0xae, 0x6b], most, &track(&[])))),
        ("a configuration of a gigabyte", matroska(&tracks(&track(&element_of(&[0x63, 0xa2], 1 << 30, &[0; 100]))))),
        ("a name of a gigabyte", matroska(&tracks(&track(&element_of(&[0x53, 0x6e], 1 << 30, b"x"))))),
        (
            "10,000 chapters in each other",
            matroska(&element(&[0x10, 0x43, 0xa7, 0x70], &element(&[0x45, 0xb9], &nested))),
        ),
        ("10,000 tags in each other", matroska(&element(&[0x12, 0x54, 0xc3, 0x67], &element(&[0x73, 0x73], &tags)))),
        ("5,000 tracks", matroska(&tracks(&track(&[]).repeat(5_000)))),
        (
            "a block with a thousand laced frames of nothing",
            matroska(&[tracks(&track(&[])), block(&[0x81, 0, 0, 0x04, 0xff])].concat()),
        ),
        (
            "a packet that is deflated",
            matroska(&[tracks(&track(&encoding)), block(&[&[0x81, 0, 0, 0x80], deflated].concat())].concat()),
        ),
        ("a million empty elements", matroska(&[tracks(&track(&[])), [0xec, 0x80].repeat(1_000_000)].concat())),
    ];
    for (name, bytes) in cases {
        attack(&format!("Matroska: {name}"), &Media::of_bytes(&bytes)).refused();
    }
}

/// What is walked to is there, or the tests above would change nothing.
#[test]
fn the_file_has_the_tables_that_are_changed() {
    let mut found = Vec::new();
    let same = edited(&mp4(), &SAMPLE_TABLE, &mut |tables| {
        found = boxes(tables).into_iter().map(|(kind, _)| kind).collect();
        tables.to_vec()
    });
    assert_eq!(same, mp4());
    assert!([b"stsz", b"stts", b"stsc", b"stco"].iter().all(|kind| found.contains(kind)), "{found:?}");
    attack("nothing, for comparison", &Media::of_bytes(&same)).asset();
}

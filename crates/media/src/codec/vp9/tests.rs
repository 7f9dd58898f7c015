use super::*;

/// Records of FFmpeg and key frames of libvpx: 322x180; 320x180 in 4:4:4 of 10 bits with PQ.
const PLAIN: (&[u8], &[u8]) = (
    &[0x00, 0x0b, 0x82, 0x02, 0x02, 0x02, 0x00, 0x00],
    &[0x82, 0x49, 0x83, 0x42, 0x00, 0x14, 0x10, 0x0b, 0x36, 0x06, 0x38, 0x24, 0x1c, 0x18, 0x4a, 0x00],
);
const HDR: (&[u8], &[u8]) = (
    &[0x03, 0x0b, 0xa6, 0x09, 0x10, 0x09, 0x00, 0x00],
    &[0xb1, 0x24, 0xc1, 0xa1, 0x28, 0x00, 0x9f, 0x80, 0x59, 0xb0, 0x31, 0xc1, 0x20, 0xe0, 0xc2, 0xc0],
);

fn complete((record, frame): (&[u8], &[u8])) -> Vp9Config {
    let record = Vp9Record::parse(record).expect("valid");
    Vp9Config::from_key_frame(frame, Some(&record)).expect("valid").expect("a key frame")
}

#[test]
fn a_key_frame_completes_the_record() {
    let plain = complete(PLAIN);
    assert_eq!((plain.rfc6381().as_str(), plain.width, plain.height), ("vp09.00.11.08", 322, 180));
    assert_eq!(plain.record, Vp9Record::parse(PLAIN.0).expect("valid"));
    let hdr = complete(HDR);
    assert_eq!((hdr.rfc6381().as_str(), hdr.width, hdr.height), ("vp09.03.11.10.03.09.16.09.00", 320, 180));
    assert_eq!(hdr.record, Vp9Record::parse(HDR.0).expect("valid"));
    let boxed = [&FULL_BOX_HEADER, HDR.0].concat();
    assert_eq!(Vp9Record::parse(&boxed), Vp9Record::parse(HDR.0), "version and flags of the box before it");
}

#[test]
fn without_a_record_the_frame_says_what_it_can() {
    let config = |frame| Vp9Config::from_key_frame(frame, None).expect("valid").expect("a key frame");
    assert_eq!(config(PLAIN.1).rfc6381(), "vp09.00.11.08");
    assert_eq!(config(HDR.1).rfc6381(), "vp09.03.11.10.03.09.14.09.00");
    // A record that knows neither level nor colour adds nothing.
    let ignorant = Vp9Record::parse(&[0, 0, 0x82, 0, 0, 0, 0, 0]).expect("valid");
    let completed = Vp9Config::from_key_frame(PLAIN.1, Some(&ignorant));
    assert_eq!(completed.map(|config| config.map(|config| config.record.level)), Ok(Some(11)));
}

#[test]
fn levels_are_those_of_the_size() {
    for (width, height, level) in
        [(256, 144, 10), (640, 360, 21), (1_280, 720, 31), (1_920, 1_080, 41), (3_840, 2_160, 52), (16_384, 16_384, 62)]
    {
        let size = |side: u32| (side - 1) as u16;
        let packed = u64::from(size(width)) << 28 | u64::from(size(height)) << 12;
        let frame = [&[0x82, 0x49, 0x83, 0x42], &(packed | 0x4 << 60 >> 12).to_be_bytes()[2..], &[0; 4]].concat();
        let config = Vp9Config::from_key_frame(&frame, None).expect("valid").expect("a key frame");
        assert_eq!((config.width, config.height, config.record.level), (width, height, level));
    }
}

#[test]
fn other_frames_are_no_configuration() {
    for frame in [&[0x86, 0x49, 0x83, 0x42, 0, 0][..], &[0x8a, 0, 0, 0], &[0x40, 0, 0, 0], &[0xb9, 0, 0, 0]] {
        assert_eq!(Vp9Config::from_key_frame(frame, None), Ok(None), "{frame:02x?}");
    }
    assert_eq!(Vp9Config::from_key_frame(&[0x82, 0x49, 0x83, 0x43, 0, 0, 0, 0, 0, 0], None), Err(Vp9Error::Invalid));
}

#[test]
fn truncation_at_every_byte_and_every_flipped_byte_never_panics() {
    for (record, frame) in [PLAIN, HDR] {
        for len in 0..RECORD_LEN {
            assert_eq!(Vp9Record::parse(&record[..len]), Err(Vp9Error::Truncated), "{len}");
        }
        for len in 0..9 {
            assert_eq!(Vp9Config::from_key_frame(&frame[..len], None), Err(Vp9Error::Truncated), "{len}");
        }
        for at in 0..frame.len() {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut broken = frame.to_vec();
                broken[at] ^= flip;
                if let Ok(Some(config)) = Vp9Config::from_key_frame(&broken, None) {
                    let _ = config.rfc6381();
                }
            }
        }
    }
    assert_eq!(Vp9Record::parse(&[4, 0, 0x82, 1, 1, 1]), Err(Vp9Error::Invalid), "a profile beyond 3");
    assert_eq!(Vp9Record::parse(&[0, 0, 0x92, 1, 1, 1]), Err(Vp9Error::Invalid), "nine bits");
    assert_eq!(Vp9Record::parse(&[0, 0, 0x88, 1, 1, 1]), Err(Vp9Error::Invalid), "a chroma format beyond 3");
}

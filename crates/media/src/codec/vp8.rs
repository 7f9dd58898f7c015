//! VP8: the header of key frames (RFC 6386 §9.1). There is no configuration record; a key frame says everything.

/// What a key frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp8Config {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Vp8Config {
    /// Reads the header of a key frame; `None` for every other frame and for what is none.
    pub fn from_key_frame(frame: &[u8]) -> Option<Vp8Config> {
        let &[tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = frame else { return None };
        // Fourteen bits of size, two of how a player may scale it up.
        let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
        let config = Vp8Config { width: side(w0, w1), height: side(h0, h1) };
        (tag & 1 == 0 && config.width > 0 && config.height > 0).then_some(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a key frame of libvpx, 320x180.
    const KEY: [u8; 10] = [0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00];

    #[test]
    fn a_key_frame_says_its_size_and_nothing_else_does() {
        let check = |at: usize, value: u8, expect: Option<(u32, u32)>| {
            let mut frame = KEY;
            frame[at] = value;
            let config = Vp8Config::from_key_frame(&frame);
            assert_eq!(config.map(|config| (config.width, config.height)), expect, "{frame:02x?}");
        };
        check(0, 0x50, Some((320, 180)));
        check(7, 0x41, Some((320, 180)));
        check(0, 0x51, None);
        check(3, 0x9c, None);
        check(8, 0, None);
        for len in 0..KEY.len() {
            assert_eq!(Vp8Config::from_key_frame(&KEY[..len]), None);
        }
    }
}

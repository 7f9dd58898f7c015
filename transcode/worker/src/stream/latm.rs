//! AAC in LATM with LOAS synchronisation (ISO/IEC 14496-3 §1.7), the form of AAC that carries its AudioSpecificConfig in
//! band, whatever it says. ADTS cannot say explicit SBR, 960 samples or a program config element.

use super::bits::BitWriter;

/// §1.7.2: the sync word and how many bits tell the length behind it.
const SYNC_WORD: u32 = 0x2b7;
const SYNC_BITS: u32 = 11;
const LENGTH_BITS: u32 = 13;
const LENGTH_MAX: usize = (1 << LENGTH_BITS) - 1;

/// One AudioSyncStream element with one AAC frame. `None`: it does not fit, as no frame of up to eight channels.
pub(super) fn packet(asc: &[u8], frame: &[u8]) -> Option<Vec<u8>> {
    let mut mux = BitWriter::default();
    mux.put(0, 1); // useSameStreamMux: the configuration follows
    mux.put(1, 1); // audioMuxVersion: with the length of the AudioSpecificConfig
    mux.put(0, 1); // audioMuxVersionA
    latm_value(&mut mux, 0); // taraBufferFullness
    mux.put(1, 1); // allStreamsSameTimeFraming
    mux.put(0, 6); // numSubFrames: one
    mux.put(0, 4); // numProgram: one
    mux.put(0, 3); // numLayer: one
    latm_value(&mut mux, asc.len() as u32 * 8);
    mux.put_bytes(asc);
    mux.put(0, 3); // frameLengthType: bytes
    mux.put(0xff, 8); // latmBufferFullness: variable rate
    mux.put(0, 1); // otherDataPresent
    mux.put(0, 1); // crcCheckPresent
    // PayloadLengthInfo: as many 255s as go, then the rest.
    (0..frame.len() / 255).for_each(|_| mux.put(255, 8));
    mux.put((frame.len() % 255) as u32, 8);
    mux.put_bytes(frame);
    let mux = mux.into_bytes();
    if mux.len() > LENGTH_MAX {
        return None;
    }
    let mut stream = BitWriter::default();
    stream.put(SYNC_WORD, SYNC_BITS);
    stream.put(mux.len() as u32, LENGTH_BITS);
    stream.put_bytes(&mux);
    Some(stream.into_bytes())
}

/// §1.7.3, LatmGetValue: how many bytes less one, then the bytes.
fn latm_value(bits: &mut BitWriter, value: u32) {
    let bytes = (32 - value.leading_zeros()).div_ceil(8).max(1);
    bits.put(bytes - 1, 2);
    bits.put(value, bytes * 8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_stands_behind_its_configuration_and_says_how_long_it_is() {
        let bytes = packet(&[0x11, 0x90], &[0xab; 300]).expect("it fits");
        assert_eq!(u32::from(bytes[0]) << 3 | u32::from(bytes[1] >> 5), SYNC_WORD);
        let len = usize::from(bytes[1] & 0x1f) << 8 | usize::from(bytes[2]);
        assert_eq!(len, bytes.len() - 3);
        assert!(packet(&[0x11, 0x90], &[0; 8_192]).is_none());
    }
}

//! H.264 of a file as samples of fMP4, as long as it stays what its configuration says.

use std::sync::Arc;

use telstar_media::CodecConfig;
use telstar_media::codec::annexb::AnnexBReader;
use telstar_media::codec::{H264Config, NalKind, nal_kinds};

/// ITU-T H.264 table 7-1: filler data, which samples do not hold (ISO/IEC 14496-15 §5.2.2).
const FILLER: u8 = 12;

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// It is an instantaneous decoder refresh: nothing behind it needs anything before it.
    pub key: bool,
    /// NAL units behind lengths of four bytes, without parameter sets, delimiters and filler.
    pub payload: Vec<u8>,
}

/// Why a picture cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Its bytes are broken.
    #[error("a picture is broken")]
    Broken,
    /// Players that have one configuration cannot decode it.
    #[error("the configuration of its pictures changes")]
    Changed,
}

/// How pictures stand in the file.
#[derive(Debug)]
enum Form {
    /// Behind lengths of so many bytes.
    Lengths(u8),
    /// Between start codes, with parameter sets among them.
    ByteStream(AnnexBReader),
}

/// Reads packets in their order; see the module.
#[derive(Debug)]
pub struct Pictures {
    form: Form,
    config: Option<Arc<CodecConfig>>,
}

impl Pictures {
    /// As MP4 and its like hold them.
    pub fn of_samples(config: H264Config) -> Pictures {
        let form = Form::Lengths(config.source_length_size);
        Pictures { form, config: Some(Arc::new(CodecConfig::H264(config))) }
    }

    /// As transport streams hold them.
    pub fn of_byte_stream() -> Pictures {
        Pictures { form: Form::ByteStream(AnnexBReader::default()), config: None }
    }

    /// What they are, as soon as it is known.
    pub fn config(&self) -> Option<&Arc<CodecConfig>> {
        self.config.as_ref()
    }

    /// From here on this configuration is in force, as the container has it.
    pub fn reconfigure(&mut self, record: &[u8]) -> Result<(), PictureError> {
        let Some(CodecConfig::H264(known)) = self.config.as_deref() else { return Ok(()) };
        let told = H264Config::parse(record).map_err(|_| PictureError::Broken)?;
        let is_same = told.avcc == known.avcc && told.source_length_size == known.source_length_size;
        if is_same { Ok(()) } else { Err(PictureError::Changed) }
    }

    /// The next picture; none where nothing can be shown of a packet.
    pub fn read(&mut self, packet: &[u8]) -> Result<Option<Picture>, PictureError> {
        match &mut self.form {
            Form::Lengths(size) => {
                let Some(CodecConfig::H264(config)) = self.config.as_deref() else { return Ok(None) };
                sample(packet, *size, config)
            }
            Form::ByteStream(reader) => {
                let Some(sample) = reader.read(packet).map_err(|_| PictureError::Broken)? else { return Ok(None) };
                if self.config.get_or_insert_with(|| Arc::clone(&sample.config)) != &sample.config {
                    return Err(PictureError::Changed);
                }
                Ok(Some(Picture { key: sample.key, payload: sample.payload.into() }))
            }
        }
    }
}

fn sample(packet: &[u8], length_size: u8, config: &H264Config) -> Result<Option<Picture>, PictureError> {
    let (mut key, mut has_slice, mut payload) = (false, false, Vec::with_capacity(packet.len() + 16));
    for unit in nal_kinds(packet, length_size) {
        let (kind, unit) = unit.map_err(|_| PictureError::Broken)?;
        match kind {
            NalKind::Sps | NalKind::Pps => {
                let (sps, pps) = config.parameter_sets();
                if !sps.contains(&unit) && !pps.contains(&unit) {
                    return Err(PictureError::Changed);
                }
            }
            NalKind::Delimiter | NalKind::Other(FILLER | 0) => {}
            kind => {
                key |= kind == NalKind::Idr;
                has_slice |= matches!(kind, NalKind::Idr | NalKind::Slice);
                let len = u32::try_from(unit.len()).map_err(|_| PictureError::Broken)?;
                payload.extend_from_slice(&len.to_be_bytes());
                payload.extend_from_slice(unit);
            }
        }
    }
    Ok(has_slice.then_some(Picture { key, payload }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// libx264's record for 320x180 Baseline.
    const RECORD: [u8; 41] = [
        0x01, 0x42, 0xc0, 0x0c, 0xfd, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01,
        0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0xf1, 0x42, 0xa4, 0x80, 0x01, 0x00, 0x05,
        0x68, 0xcb, 0x83, 0xcb, 0x20,
    ];

    fn pictures() -> Pictures {
        Pictures::of_samples(H264Config::parse(&RECORD).expect("valid"))
    }

    fn packet(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&(unit.len() as u16).to_be_bytes()[..], unit].concat()).collect()
    }

    #[test]
    fn lengths_become_four_bytes_and_known_parameter_sets_are_left_out() {
        let (sps, pps, idr) = (&RECORD[8..33], &RECORD[36..], &[0x65, 0x88][..]);
        let read = pictures().read(&packet(&[&[0x09, 0xf0], sps, pps, idr, &[0x0c, 0xff]]));
        assert_eq!(read, Ok(Some(Picture { key: true, payload: vec![0, 0, 0, 2, 0x65, 0x88] })));
        let slice = pictures().read(&packet(&[&[0x41, 0x9a, 1]]));
        assert_eq!(slice, Ok(Some(Picture { key: false, payload: vec![0, 0, 0, 3, 0x41, 0x9a, 1] })));
        assert_eq!(pictures().read(&packet(&[&[0x06, 5]])), Ok(None), "nothing to show");
    }

    #[test]
    fn what_players_could_not_decode_is_said() {
        let mut other = RECORD[36..].to_vec();
        other[2] ^= 1;
        assert_eq!(pictures().read(&packet(&[&other, &[0x65, 1]])), Err(PictureError::Changed));
        assert_eq!(pictures().read(&[0, 9, 0x65]), Err(PictureError::Broken));
        assert_eq!(pictures().reconfigure(&RECORD), Ok(()));
        let mut record = RECORD;
        record[38] ^= 1;
        assert_eq!(pictures().reconfigure(&record), Err(PictureError::Changed));
        assert_eq!(pictures().reconfigure(&record[..9]), Err(PictureError::Broken));
        let mut stream = Pictures::of_byte_stream();
        let unit = |unit: &[u8]| [&[0, 0, 0, 1], unit].concat();
        let key = [unit(&RECORD[8..33]), unit(&RECORD[36..]), unit(&[0x65, 0x88, 1])].concat();
        assert!(stream.read(&key).expect("valid").is_some_and(|picture| picture.key));
        assert!(stream.config().is_some());
        let changed = [unit(&RECORD[8..33]), unit(&other), unit(&[0x65, 0x88, 1])].concat();
        assert_eq!(stream.read(&changed), Err(PictureError::Changed));
    }
}

//! What x265 and libaom write, as samples of fMP4: the configuration told apart, lengths instead of start codes.

use std::sync::Arc;

use telstar_media::CodecConfig;
use telstar_media::codec::{Av1Config, Av1Error, H265Config, H265Error, H265ParameterSets, ObuKind, obus};

/// A configuration, whether the picture stands alone, and its bytes.
type Read = (Arc<CodecConfig>, bool, Vec<u8>);

/// ITU-T H.265 table 7-1.
const IDR: std::ops::RangeInclusive<u8> = 19..=20;
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;
const DELIMITER: u8 = 35;
const FILLER: u8 = 38;

/// HEVC between start codes, with parameter sets before each picture that stands alone.
#[derive(Debug, Default)]
pub struct HevcReader {
    config: Option<Arc<CodecConfig>>,
}

impl HevcReader {
    /// Reads one access unit. None: nothing can be shown of it.
    pub fn read(&mut self, access_unit: &[u8]) -> Result<Option<Read>, H265Error> {
        let (mut sets, mut key, mut payload) = (H265ParameterSets::default(), false, Vec::new());
        for unit in units(access_unit) {
            let Some(&header) = unit.first() else { continue };
            match header >> 1 & 0x3f {
                VPS => sets.vps.push(unit),
                SPS => sets.sps.push(unit),
                PPS => sets.pps.push(unit),
                DELIMITER | FILLER => {}
                kind => {
                    key |= IDR.contains(&kind);
                    payload.extend_from_slice(&(unit.len() as u32).to_be_bytes());
                    payload.extend_from_slice(unit);
                }
            }
        }
        if self.config.is_none() && !sets.sps.is_empty() {
            self.config = Some(Arc::new(CodecConfig::H265(H265Config::from_parameter_sets(&sets)?)));
        }
        Ok(self.config.clone().filter(|_| !payload.is_empty()).map(|config| (config, key, payload)))
    }
}

/// The units between start codes of three or four bytes. None ends in a zero (ITU-T H.265 §7.4.1.1).
fn units(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts: Vec<usize> =
        bytes.windows(3).enumerate().filter(|(_, window)| *window == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([bytes.len()]).collect();
    starts.into_iter().zip(ends).map(move |(start, end)| {
        let unit = &bytes[start + 3..end];
        let len = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        &unit[..len]
    })
}

/// AV1 as temporal units, with a sequence header where one stands alone.
#[derive(Debug, Default)]
pub struct Av1Reader {
    config: Option<Arc<CodecConfig>>,
}

impl Av1Reader {
    /// Reads one temporal unit. None: nothing can be shown of it.
    pub fn read(&mut self, temporal_unit: &[u8]) -> Result<Option<Read>, Av1Error> {
        let (mut key, mut payload) = (false, Vec::with_capacity(temporal_unit.len()));
        for obu in obus(temporal_unit) {
            let obu = obu?;
            if obu.kind == ObuKind::SequenceHeader {
                key = true;
                if self.config.is_none() {
                    self.config = Some(Arc::new(CodecConfig::Av1(Av1Config::from_sequence_header(&obu)?)));
                }
            }
            // AV1-ISOBMFF §2.4: samples hold no delimiters.
            if obu.kind != ObuKind::TemporalDelimiter {
                payload.extend_from_slice(obu.whole);
            }
        }
        Ok(self.config.clone().filter(|_| !payload.is_empty()).map(|config| (config, key, payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_what_stands_between_start_codes() {
        let stream = [0, 0, 0, 1, 0x40, 1, 9, 0, 0, 1, 0x42, 1, 0, 0, 3, 7, 0, 0, 0, 0, 1, 0x44, 1, 0, 0];
        let found: Vec<&[u8]> = units(&stream).collect();
        assert_eq!(found, [&[0x40, 1, 9][..], &[0x42, 1, 0, 0, 3, 7], &[0x44, 1]]);
        assert_eq!(units(&[0, 0]).count(), 0);
    }

    #[test]
    fn what_has_no_configuration_yet_is_left_out() {
        assert_eq!(HevcReader::default().read(&[0, 0, 1, 0x02, 1, 9]), Ok(None));
        assert_eq!(Av1Reader::default().read(&[0x12, 0]), Ok(None));
        assert!(Av1Reader::default().read(&[0x80]).is_err());
    }
}

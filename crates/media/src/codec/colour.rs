//! Colour as every codec and container here names it: the code points of ITU-T H.273.

/// Code points of ITU-T H.273 (ISO/IEC 23091-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// ColourPrimaries, table 2.
    pub primaries: u8,
    /// TransferCharacteristics, table 3.
    pub transfer: u8,
    /// MatrixCoefficients, table 4.
    pub matrix: u8,
    /// VideoFullRangeFlag.
    pub full_range: bool,
}

/// The dynamic range as `VIDEO-RANGE` names it (RFC 8216bis §4.4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoRange {
    /// Everything that is not one of the others.
    Sdr,
    /// SMPTE ST 2084: HDR10 and what builds on it.
    Pq,
    /// ARIB STD-B67, hybrid log-gamma.
    Hlg,
}

impl Colour {
    const UNSPECIFIED_CODE: u8 = 2;
    const TRANSFER_PQ: u8 = 16;
    const TRANSFER_HLG: u8 = 18;

    /// What a stream that says nothing says.
    pub const UNSPECIFIED: Colour = Colour {
        primaries: Self::UNSPECIFIED_CODE,
        transfer: Self::UNSPECIFIED_CODE,
        matrix: Self::UNSPECIFIED_CODE,
        full_range: false,
    };
    /// Rec. ITU-R BT.709, which players assume where nothing is said.
    pub const BT709: Colour = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };

    /// Whether it says more than nothing.
    pub fn is_specified(self) -> bool {
        self != Colour { full_range: self.full_range, ..Colour::UNSPECIFIED }
    }

    /// What `other` says where this says nothing.
    pub fn or(self, other: Colour) -> Colour {
        let pick = |own: u8, others: u8| if own == Self::UNSPECIFIED_CODE { others } else { own };
        Colour {
            primaries: pick(self.primaries, other.primaries),
            transfer: pick(self.transfer, other.transfer),
            matrix: pick(self.matrix, other.matrix),
            full_range: self.full_range,
        }
    }

    /// The dynamic range of the transfer function.
    pub fn video_range(self) -> VideoRange {
        match self.transfer {
            Self::TRANSFER_PQ => VideoRange::Pq,
            Self::TRANSFER_HLG => VideoRange::Hlg,
            _ => VideoRange::Sdr,
        }
    }
}

impl VideoRange {
    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            VideoRange::Sdr => "SDR",
            VideoRange::Pq => "PQ",
            VideoRange::Hlg => "HLG",
        }
    }

    /// The range with this name.
    pub fn from_name(name: &str) -> Option<VideoRange> {
        [VideoRange::Sdr, VideoRange::Pq, VideoRange::Hlg].into_iter().find(|range| range.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_stream_says_goes_before_what_is_said_about_it() {
        let pq = Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false };
        assert_eq!(Colour::UNSPECIFIED.or(pq), pq);
        assert_eq!(Colour::BT709.or(pq), Colour::BT709);
        assert_eq!(Colour { transfer: 2, ..Colour::BT709 }.or(pq).video_range(), VideoRange::Pq);
        assert!(!Colour { full_range: true, ..Colour::UNSPECIFIED }.is_specified() && pq.is_specified());
        assert_eq!(Colour { transfer: 18, ..pq }.video_range().name(), "HLG");
        assert_eq!(VideoRange::from_name("PQ"), Some(VideoRange::Pq));
        assert_eq!(VideoRange::from_name("pq"), None);
    }
}

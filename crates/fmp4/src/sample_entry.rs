//! Sample entries: what a codec's configuration becomes in `stsd`.
//!
//! Parameter sets stand here and nowhere else (`avc1`, `hvc1`, never `avc3`, `hev1`). Colour is repeated in a `colr` box,
//! for players that plan before they decode; mastering display and light level stay in the stream, where encoders put
//! them.

use mp4_atom::{
    Ac3, Ac3SpecificBox, Atom, Audio, Av01, Av1c, Avc1, Avcc, Codec, Colr, Dfla, Dops, Eac3, Ec3IndependentSubstream,
    Ec3SpecificBox, FixedPoint, Flac, FlacMetadataBlock, Hvc1, Hvcc, Mp4a, Opus, OpusChannelMapping, Visual, Vp09,
    VpcC,
    esds::{DecoderConfig, DecoderSpecific, EsDescriptor, Esds, SLConfig},
};
use telstar_media::CodecConfig;
use telstar_media::codec::{Ac3Config, FlacConfig, OPUS_SAMPLE_RATE, OpusConfig, Vp9Config};

use super::InitError;

/// ISO/IEC 14496-1 Table 5, objectTypeIndication: MPEG-4 audio.
const OBJECT_TYPE_AAC: u8 = 0x40;
/// ISO/IEC 14496-1 Table 5, objectTypeIndication: MPEG-1 audio, which is how MP3 is carried.
const OBJECT_TYPE_MP3: u8 = 0x6b;
/// ISO/IEC 14496-1 Table 6, streamType: audio.
const STREAM_TYPE_AUDIO: u8 = 5;
/// The data reference of every sample entry: the file itself.
const DATA_REFERENCE: u16 = 1;
const SAMPLE_SIZE_BITS: u16 = 16;

/// The sample entry for `config`, with the record as it came.
pub(super) fn sample_entry(config: &CodecConfig) -> Result<Codec, InitError> {
    let visual = || visual(config);
    let colr = colr(config);
    Ok(match config {
        CodecConfig::H264(h264) => {
            let avcc = Avcc::decode_body(&mut h264.avcc.as_ref()).map_err(|_| InitError::Record)?;
            Avc1 { visual: visual(), avcc, colr, ..Avc1::default() }.into()
        }
        CodecConfig::H265(h265) => {
            let hvcc = Hvcc::decode_body(&mut h265.hvcc.as_ref()).map_err(|_| InitError::Record)?;
            Hvc1 { visual: visual(), hvcc, colr, ..Hvc1::default() }.into()
        }
        CodecConfig::Av1(av1) => {
            let av1c = Av1c::decode_body(&mut av1.av1c.as_ref()).map_err(|_| InitError::Record)?;
            Av01 { visual: visual(), av1c, colr, ..Av01::default() }.into()
        }
        CodecConfig::Vp9(vp9) => Vp09 { visual: visual(), vpcc: vpcc(vp9), colr, ..Vp09::default() }.into(),
        CodecConfig::Aac(aac) => {
            let specific = DecoderSpecific { raw: aac.asc.to_vec(), ..DecoderSpecific::default() };
            mp4a(OBJECT_TYPE_AAC, Some(specific), aac.sample_rate, aac.channels)
        }
        CodecConfig::Mp3 { sample_rate, channels } => mp4a(OBJECT_TYPE_MP3, None, *sample_rate, *channels),
        CodecConfig::Opus(config) => opus(config),
        CodecConfig::Flac(config) => flac(config),
        CodecConfig::Ac3(config) => ac3(config)?,
        CodecConfig::Vp8(_) => return Err(InitError::Codec(config.codec())),
        CodecConfig::Opaque { codec, .. } => return Err(InitError::Codec(*codec)),
    })
}

fn visual(config: &CodecConfig) -> Visual {
    let (width, height) = super::init::size(config);
    Visual { data_reference_index: DATA_REFERENCE, width, height, ..Visual::default() }
}

/// ISO/IEC 14496-12 §12.1.5, where the stream says anything.
fn colr(config: &CodecConfig) -> Option<Colr> {
    let colour = config.colour().filter(|colour| colour.is_specified())?;
    Some(Colr::Nclx {
        colour_primaries: colour.primaries.into(),
        transfer_characteristics: colour.transfer.into(),
        matrix_coefficients: colour.matrix.into(),
        full_range_flag: colour.full_range,
    })
}

fn vpcc(config: &Vp9Config) -> VpcC {
    let record = &config.record;
    VpcC {
        profile: record.profile,
        level: record.level,
        bit_depth: record.bit_depth,
        chroma_subsampling: record.chroma,
        video_full_range_flag: record.colour.full_range,
        color_primaries: record.colour.primaries,
        transfer_characteristics: record.colour.transfer,
        matrix_coefficients: record.colour.matrix,
        codec_initialization_data: Vec::new(),
    }
}

fn mp4a(object_type_indication: u8, dec_specific: Option<DecoderSpecific>, sample_rate: u32, channels: u8) -> Codec {
    let dec_config = DecoderConfig {
        object_type_indication,
        stream_type: STREAM_TYPE_AUDIO,
        dec_specific,
        ..DecoderConfig::default()
    };
    let es_desc = EsDescriptor { dec_config, sl_config: SLConfig {}, ..EsDescriptor::default() };
    Mp4a { audio: audio(sample_rate, channels), esds: Esds { es_desc }, btrt: None, taic: None }.into()
}

/// Encapsulation of Opus in ISO Base Media File Format §4.3.2: the identification header in other words.
fn opus(config: &OpusConfig) -> Codec {
    let mapping = config.mapping.as_ref().map(|mapping| OpusChannelMapping {
        family: mapping.family,
        stream_count: mapping.streams,
        coupled_count: mapping.coupled,
        channel_mapping: mapping.table.clone(),
    });
    let dops = Dops {
        output_channel_count: config.channels,
        pre_skip: config.pre_skip,
        input_sample_rate: config.input_sample_rate,
        output_gain: config.output_gain,
        channel_mapping: mapping,
    };
    Opus { audio: audio(OPUS_SAMPLE_RATE, config.channels), dops, btrt: None }.into()
}

/// Encapsulation of FLAC in ISO Base Media File Format §3.3: the streaminfo block as it came.
fn flac(config: &FlacConfig) -> Codec {
    let block = &config.stream_info;
    let u16_at = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    let u24_at = |at: usize| [block[at], block[at + 1], block[at + 2]].into();
    let samples = block[14..18].iter().fold(u64::from(block[13] & 0xf), |sum, byte| sum << 8 | u64::from(*byte));
    let stream_info = FlacMetadataBlock::StreamInfo {
        minimum_block_size: u16_at(0),
        maximum_block_size: u16_at(2),
        minimum_frame_size: u24_at(4),
        maximum_frame_size: u24_at(7),
        sample_rate: config.sample_rate,
        num_channels_minus_one: config.channels - 1,
        bits_per_sample_minus_one: config.bits_per_sample - 1,
        number_of_interchannel_samples: samples,
        md5_checksum: block[18..].to_vec(),
    };
    let audio = Audio {
        sample_size: config.bits_per_sample.into(),
        sample_rate: FixedPoint::from(flac_rate(config.sample_rate)),
        ..audio(config.sample_rate, config.channels)
    };
    Flac { audio, dfla: Dfla { blocks: vec![stream_info] } }.into()
}

/// §3.3: a rate that does not fit into 16 bits is halved until it does, as 96 and 192 kHz are to 48; one that cannot be
/// is the largest there is. The block has the true one.
fn flac_rate(mut sample_rate: u32) -> u16 {
    while sample_rate > u16::MAX.into() && sample_rate.is_multiple_of(2) {
        sample_rate /= 2;
    }
    u16::try_from(sample_rate).unwrap_or(u16::MAX)
}

/// ETSI TS 102 366 §F.3 and §F.5.
fn ac3(config: &Ac3Config) -> Result<Codec, InitError> {
    let audio = audio(config.sample_rate, config.channels);
    let Ac3Config { fscod, bsid, bsmod, acmod, lfeon, bit_rate_code, .. } = *config;
    if !config.enhanced {
        let dac3 = Ac3SpecificBox { fscod, bsid, bsmod, acmod, lfeon, bit_rate_code };
        return Ok(Ac3 { audio, dac3 }.into());
    }
    if !config.fits_iso() {
        return Err(InitError::Codec(telstar_media::Codec::Eac3));
    }
    let substream =
        Ec3IndependentSubstream { fscod, bsid, asvc: false, bsmod, acmod, lfeon, num_dep_sub: 0, chan_loc: None };
    let dec3 = Ec3SpecificBox { data_rate: config.bitrate_kbps, substreams: vec![substream] };
    Ok(Eac3 { audio, dec3 }.into())
}

fn audio(sample_rate: u32, channels: u8) -> Audio {
    Audio {
        data_reference_index: DATA_REFERENCE,
        channel_count: channels.into(),
        sample_size: SAMPLE_SIZE_BITS,
        // The field has 16 bits: rates beyond it (88.2 and 96 kHz) are left to the codec's own record.
        sample_rate: FixedPoint::from(u16::try_from(sample_rate).unwrap_or(0)),
    }
}

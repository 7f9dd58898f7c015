//! ISO BMFF boxes written by hand, as little as a reader needs. Nothing here knows the server's packager.

/// One sample of a fragment.
#[derive(Clone, Debug)]
pub struct Sample {
    pub duration: u32,
    pub sync: bool,
    pub payload: Vec<u8>,
}

fn boxed(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len() + 8).expect("boxes here are small");
    [&len.to_be_bytes(), kind.as_slice(), payload].concat()
}

/// A full box: version, flags, payload.
fn full(kind: &[u8; 4], version_and_flags: u32, fields: &[u32]) -> Vec<u8> {
    let words = std::iter::once(version_and_flags).chain(fields.iter().copied());
    boxed(kind, &words.flat_map(u32::to_be_bytes).collect::<Vec<u8>>())
}

/// An init segment of one track with this clock and sample entry.
pub fn init(timescale: u32, entry: &[u8; 4]) -> Vec<u8> {
    let ftyp = boxed(b"ftyp", b"cmfc\0\0\0\0iso6cmfc");
    let mdhd = full(b"mdhd", 0, &[0, 0, timescale, 0, 0x55c4_0000]);
    let stsd = boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], boxed(entry, &[0; 28]).as_slice()].concat());
    let minf = boxed(b"minf", &boxed(b"stbl", &stsd));
    let mdia = boxed(b"mdia", &[mdhd, minf].concat());
    let tkhd = full(b"tkhd", 3, &[0, 0, 1, 0, 0]);
    let trak = boxed(b"trak", &[tkhd, mdia].concat());
    let mvex = boxed(b"mvex", &full(b"trex", 0, &[1, 1, 0, 0, 0]));
    [ftyp, boxed(b"moov", &[trak, mvex].concat())].concat()
}

/// ISO/IEC 14496-12 §8.8.3.1.
const SYNC: u32 = 0x0200_0000;
const NON_SYNC: u32 = 0x0101_0000;

/// One fragment. `claimed` bytes more than there are stand in its last sample's size.
pub fn fragment(decode_time: u64, samples: &[Sample], claimed: u32) -> Vec<u8> {
    let moof = |data_offset: u32| {
        let mut fields = vec![samples.len() as u32, data_offset];
        for (index, sample) in samples.iter().enumerate() {
            let more = if index + 1 == samples.len() { claimed } else { 0 };
            let flags = if sample.sync { SYNC } else { NON_SYNC };
            fields.extend([sample.duration, sample.payload.len() as u32 + more, flags]);
        }
        let trun = full(b"trun", 0x701, &fields);
        let tfhd = full(b"tfhd", 0x2_0000, &[1]);
        let tfdt = full(b"tfdt", 0x100_0000, &[(decode_time >> 32) as u32, decode_time as u32]);
        let traf = boxed(b"traf", &[tfhd, tfdt, trun].concat());
        boxed(b"moof", &[full(b"mfhd", 0, &[1]), traf].concat())
    };
    let header = moof(moof(0).len() as u32 + 8);
    let payload: Vec<u8> = samples.iter().flat_map(|sample| sample.payload.iter().copied()).collect();
    [header, boxed(b"mdat", &payload)].concat()
}

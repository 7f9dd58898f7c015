//! Samples of CMAF media (ISO/IEC 14496-12, ISO/IEC 23000-19): its own small reader, so that nobody's writer judges itself.
//!
//! Bytes go in, samples with absolute times come out, or what is wrong with the bytes. Nothing is read behind the end.

/// A byte string that is read from the front. Every read says what it wanted when the bytes do not suffice.
#[derive(Clone, Copy, Debug)]
struct Bytes<'a>(&'a [u8]);

/// What is wrong with the bytes.
pub type Complaint = String;

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Complaint> {
        let (head, rest) =
            self.0.split_at_checked(len).ok_or_else(|| format!("{len} bytes wanted, {} there", self.0.len()))?;
        self.0 = rest;
        Ok(head)
    }

    fn uint(&mut self, len: usize) -> Result<u64, Complaint> {
        Ok(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn u32(&mut self) -> Result<u32, Complaint> {
        Ok(self.uint(4)? as u32)
    }
}

/// A box: its type, where it begins, its payload.
#[derive(Clone, Copy, Debug)]
struct Box<'a> {
    kind: [u8; 4],
    payload: &'a [u8],
    /// Bytes of the box with its header.
    len: usize,
}

fn boxes(bytes: &[u8]) -> Result<Vec<Box<'_>>, Complaint> {
    let mut rest = Bytes(bytes);
    let mut found = Vec::new();
    while !rest.0.is_empty() {
        let size = rest.u32()? as usize;
        let kind: [u8; 4] = rest.take(4)?.try_into().expect("four bytes were taken");
        let (header, size) = if size == 1 { (16, rest.uint(8)? as usize) } else { (8, size) };
        let len = size.checked_sub(header).ok_or_else(|| format!("a box of {size} bytes"))?;
        let payload = rest.take(len).map_err(|error| format!("{}: {error}", name(kind)))?;
        found.push(Box { kind, payload, len: size });
    }
    Ok(found)
}

fn name(kind: [u8; 4]) -> String {
    String::from_utf8_lossy(&kind).into_owned()
}

fn child<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Result<&'a [u8], Complaint> {
    let found = boxes(bytes)?.into_iter().find(|found| found.kind == *kind);
    found.map(|found| found.payload).ok_or_else(|| format!("no box {}", name(*kind)))
}

fn path<'a>(bytes: &'a [u8], kinds: &[&[u8; 4]]) -> Result<&'a [u8], Complaint> {
    kinds.iter().try_fold(bytes, |bytes, kind| child(bytes, kind))
}

/// What an init segment says of its one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    pub timescale: u64,
    /// Four letters of the sample entry, `avc1`.
    pub codec: String,
    pub default_duration: u32,
    pub default_size: u32,
    pub default_flags: u32,
    /// What an edit list takes off presentation times.
    pub edit: i64,
}

/// Reads an init segment.
pub fn init(bytes: &[u8]) -> Result<Init, Complaint> {
    let top = boxes(bytes)?;
    if top.first().is_none_or(|first| first.kind != *b"ftyp") {
        return Err("an init segment begins with ftyp (RFC 8216bis §3.1.2)".into());
    }
    let moov = child(bytes, b"moov")?;
    child(moov, b"mvex")?;
    let trak = child(moov, b"trak")?;
    let mut mdhd = Bytes(path(trak, &[b"mdia", b"mdhd"])?);
    let version = mdhd.u32()? >> 24;
    mdhd.take(if version == 1 { 16 } else { 8 })?;
    let timescale = u64::from(mdhd.u32()?);
    let mut stsd = Bytes(path(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])?);
    stsd.take(8)?;
    let entry = boxes(stsd.0)?.first().map(|entry| name(entry.kind)).ok_or("stsd is empty")?;
    let mut trex = Bytes(path(moov, &[b"mvex", b"trex"])?);
    trex.take(12)?;
    let (default_duration, default_size, default_flags) = (trex.u32()?, trex.u32()?, trex.u32()?);
    let edit = path(trak, &[b"edts", b"elst"]).map_or(Ok(0), edit_of)?;
    if timescale == 0 {
        return Err("a timescale of zero".into());
    }
    Ok(Init { timescale, codec: entry, default_duration, default_size, default_flags, edit })
}

/// The media time of the first edit that is not empty.
fn edit_of(elst: &[u8]) -> Result<i64, Complaint> {
    let mut elst = Bytes(elst);
    let version = elst.u32()? >> 24;
    for _ in 0..elst.u32()? {
        let time = if version == 1 {
            elst.take(8)?;
            elst.uint(8)? as i64
        } else {
            elst.take(4)?;
            i64::from(elst.u32()? as i32)
        };
        elst.take(4)?;
        if time >= 0 {
            return Ok(time);
        }
    }
    Ok(0)
}

/// One sample with absolute times in ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub dts: i64,
    pub pts: i64,
    pub duration: i64,
    pub sync: bool,
    pub payload: Vec<u8>,
}

/// One `moof` and its `mdat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    pub decode_time: i64,
    pub samples: Vec<Sample>,
}

/// ISO/IEC 14496-12 §8.8.3.1: sample_is_non_sync_sample.
const NON_SYNC: u32 = 0x1_0000;

/// Reads a run of fragments.
pub fn fragments(bytes: &[u8], init: &Init) -> Result<Vec<Fragment>, Complaint> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut moof = None;
    for top in boxes(bytes)? {
        match &top.kind {
            b"moof" => moof = Some((at, top)),
            b"mdat" => {
                let (moof_at, header) = moof.take().ok_or("mdat without moof")?;
                let end = at + top.len;
                found.push(fragment(header.payload, &bytes[moof_at..end], init)?);
            }
            b"styp" | b"sidx" | b"prft" | b"emsg" | b"free" | b"skip" => {}
            other => return Err(format!("a box {} between fragments", name(*other))),
        }
        at += top.len;
    }
    if moof.is_some() {
        return Err("moof without mdat".into());
    }
    if found.is_empty() { Err("no fragment".into()) } else { Ok(found) }
}

/// The first sample of a fragment of which nothing more is there (RFC 8216bis §4.4.3.6): its bytes end with the sample.
pub fn picture(bytes: &[u8], init: &Init) -> Result<Sample, Complaint> {
    let mut rest = Bytes(bytes);
    let size = rest.u32()? as usize;
    let moof = bytes.get(..size).filter(|_| bytes.get(4..8) == Some(b"moof")).ok_or("it does not begin with moof")?;
    let mdat = Bytes(&bytes[size..]).u32()? as usize;
    // As if the rest were there.
    let mut whole = bytes.to_vec();
    whole.resize(size + mdat, 0);
    let payload = moof.get(8..).ok_or("moof has no room for its header")?;
    let fragment = fragment(payload, &whole, init)?;
    let first = fragment.samples.into_iter().next().ok_or("a fragment without samples")?;
    let end = size + 8 + first.payload.len();
    if end == bytes.len() { Ok(first) } else { Err(format!("its picture ends at {end}, the range at {}", bytes.len())) }
}

/// `whole` begins at `moof` and ends with `mdat`.
fn fragment(moof: &[u8], whole: &[u8], init: &Init) -> Result<Fragment, Complaint> {
    let trafs: Vec<Box<'_>> = boxes(moof)?.into_iter().filter(|found| found.kind == *b"traf").collect();
    let [traf] = trafs.as_slice() else { return Err(format!("{} tracks in a fragment, one expected", trafs.len())) };
    let mut tfhd = Bytes(child(traf.payload, b"tfhd")?);
    let flags = tfhd.u32()?;
    tfhd.take(4)?;
    if flags & 0x1 != 0 {
        return Err("base-data-offset, which CMAF forbids (ISO/IEC 23000-19 §7.3.2.3)".into());
    }
    if flags & 0x2 != 0 {
        tfhd.take(4)?;
    }
    let mut default = |bit: u32, otherwise: u32| if flags & bit != 0 { tfhd.u32() } else { Ok(otherwise) };
    let duration = default(0x8, init.default_duration)?;
    let size = default(0x10, init.default_size)?;
    let sample_flags = default(0x20, init.default_flags)?;
    let mut tfdt = Bytes(child(traf.payload, b"tfdt")?);
    let decode_time = if tfdt.u32()? >> 24 == 1 { tfdt.uint(8)? } else { tfdt.uint(4)? } as i64;
    let mut samples = Vec::new();
    let mut dts = decode_time;
    let mut read = 0;
    for trun in boxes(traf.payload)?.into_iter().filter(|found| found.kind == *b"trun") {
        read += run(trun.payload, whole, (duration, size, sample_flags), &mut dts, &mut samples, init)?;
    }
    let mdat = boxes(whole)?.into_iter().find(|found| found.kind == *b"mdat").map_or(0, |found| found.payload.len());
    if read != mdat {
        return Err(format!("samples of {read} bytes in an mdat of {mdat}"));
    }
    Ok(Fragment { decode_time, samples })
}

/// Reads one `trun`. Returns how many bytes its samples have.
fn run(
    trun: &[u8],
    whole: &[u8],
    (duration, size, sample_flags): (u32, u32, u32),
    dts: &mut i64,
    samples: &mut Vec<Sample>,
    init: &Init,
) -> Result<usize, Complaint> {
    let mut trun = Bytes(trun);
    let version_and_flags = trun.u32()?;
    let has = |bit: u32| version_and_flags & bit != 0;
    let count = trun.u32()?;
    if count as usize > whole.len() {
        return Err(format!("{count} samples in {} bytes", whole.len()));
    }
    if !has(0x1) {
        return Err("trun without data-offset".into());
    }
    let data_offset = trun.u32()? as usize;
    let first_flags = if has(0x4) { Some(trun.u32()?) } else { None };
    let mut data = Bytes(whole.get(data_offset..).ok_or("data-offset behind the end")?);
    let mut read = 0;
    for index in 0..count {
        let mut field = |bit: u32, otherwise: u32| if has(bit) { trun.u32() } else { Ok(otherwise) };
        let duration = i64::from(field(0x100, duration)?);
        let size = field(0x200, size)? as usize;
        let own_flags = field(0x400, sample_flags)?;
        let offset = field(0x800, 0)?;
        let flags = first_flags.filter(|_| index == 0).unwrap_or(own_flags);
        let offset = if version_and_flags >> 24 == 0 { i64::from(offset) } else { i64::from(offset as i32) };
        let payload = data.take(size)?.to_vec();
        read += size;
        samples.push(Sample {
            dts: *dts,
            pts: *dts + offset - init.edit,
            duration,
            sync: flags & NON_SYNC == 0,
            payload,
        });
        *dts += duration;
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::boxes;

    fn fragment_of_two() -> Vec<u8> {
        let sample = |sync, text: &str| boxes::Sample { duration: 1_000, sync, payload: text.as_bytes().to_vec() };
        boxes::fragment(5_000, &[sample(true, "key"), sample(false, "picture")], 0)
    }

    #[test]
    fn samples_come_out_as_they_went_in() {
        let init = init(&boxes::init(20_000, b"avc1")).expect("an init segment");
        assert_eq!((init.timescale, init.codec.as_str(), init.edit), (20_000, "avc1", 0));
        let fragments = fragments(&fragment_of_two(), &init).expect("a fragment");
        let [Fragment { decode_time: 5_000, samples }] = fragments.as_slice() else { panic!("{fragments:?}") };
        let facts: Vec<_> = samples.iter().map(|s| (s.dts, s.duration, s.sync, s.payload.as_slice())).collect();
        assert_eq!(facts, [(5_000, 1_000, true, b"key".as_slice()), (6_000, 1_000, false, b"picture".as_slice())]);
    }

    #[test]
    fn a_picture_is_the_fragment_up_to_its_end() {
        let init = init(&boxes::init(20_000, b"avc1")).expect("an init segment");
        let whole = fragment_of_two();
        let end = whole.len() - "picture".len();
        assert_eq!(picture(&whole[..end], &init).map(|sample| sample.payload), Ok(b"key".to_vec()));
        for len in (0..whole.len()).filter(|len| *len != end) {
            assert!(picture(&whole[..len], &init).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn bytes_that_are_cut_anywhere_are_refused_and_nothing_panics() {
        let (header, media) = (boxes::init(20_000, b"avc1"), fragment_of_two());
        let known = init(&header).expect("an init segment");
        for len in 0..header.len() {
            assert!(init(&header[..len]).is_err(), "{len} bytes");
        }
        for len in 0..media.len() {
            assert!(fragments(&media[..len], &known).is_err(), "{len} bytes");
        }
        for at in 0..media.len() {
            let mut wrong = media.clone();
            wrong[at] ^= 0xff;
            let _ = fragments(&wrong, &known);
        }
    }
}

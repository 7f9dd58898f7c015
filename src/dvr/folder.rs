//! One room's folder: the index, init segments and segments, each written aside and renamed.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use telstar_hls::{KeptInit, KeptListing, Segment};
use telstar_media::MediaKind;
use telstar_store::RoomId;

use super::index::{self, Facts, InitRecord, Kind, Record, SegmentRecord, init_file_name, segment_file_name};
use crate::files;

const INDEX: &str = "index";
/// What is being written.
const DRAFT: &str = "draft";
/// A longer index is not ours, or not worth reading: a day of segments takes 40 MiB.
const INDEX_BYTES_MAX: u64 = 512 << 20;
/// Files are their owner's only, like everything in the data folder.
const FILE_MODE: u32 = 0o600;
/// Records that say nothing any more, before the index is written anew. Less writes it more often, more makes it longer;
/// beyond this it is at most three times as long as it must be.
const DEAD_RECORDS_MIN: usize = 4_096;

/// Where a room's files are.
pub(super) fn path(folder: &Path, room: RoomId) -> PathBuf {
    folder.join(room.0.to_string())
}

/// A room's files, open for more.
pub(super) struct Folder {
    path: PathBuf,
    index: File,
    index_len: u64,
    /// A record was cut short behind `index_len`, and could not be taken back.
    is_torn: bool,
    records: usize,
    /// Init segments that could not be written yet: no segment is kept before them.
    inits: Vec<KeptInit>,
    video: Kept,
    audio: Kept,
}

/// What is there of a rendition, oldest first.
#[derive(Default)]
struct Kept {
    segments: VecDeque<KeptSegment>,
    inits: VecDeque<(u64, u32)>,
}

struct KeptSegment {
    epoch: u64,
    msn: u64,
    init: u32,
    has_file: bool,
}

impl Kept {
    fn of(facts: &Facts, kind: Kind) -> Kept {
        let segments = facts.segments.iter().filter(|segment| segment.kind == kind).map(KeptSegment::of).collect();
        let inits = facts.inits.iter().filter(|init| init.kind == kind).map(|init| (init.epoch, init.number)).collect();
        Kept { segments, inits }
    }

    /// Takes out the segments below a number and the init segments that no other needs. Returns the names of their files.
    fn take_below(&mut self, kind: Kind, below: u64) -> Vec<String> {
        let mut gone = Vec::new();
        while self.segments.front().is_some_and(|segment| segment.msn < below)
            && let Some(segment) = self.segments.pop_front()
        {
            gone.extend(segment.has_file.then(|| segment_file_name(kind, segment.epoch, segment.msn)));
        }
        // Numbers of init segments grow, and the newest is needed by what follows.
        let needed = self.segments.front().map_or(u32::MAX, |segment| segment.init);
        while self.inits.len() > 1
            && self.inits.front().is_some_and(|(_, number)| *number < needed)
            && let Some((epoch, number)) = self.inits.pop_front()
        {
            gone.push(init_file_name(kind, epoch, number));
        }
        gone
    }
}

impl KeptSegment {
    fn of(record: &SegmentRecord) -> KeptSegment {
        KeptSegment { epoch: record.epoch, msn: record.msn, init: record.init, has_file: !record.gap }
    }
}

impl Folder {
    /// An empty folder for a room that begins to list.
    pub fn create(path: PathBuf, name: &str) -> io::Result<Folder> {
        remove(&path)?;
        files::create_private_folder(&path)?;
        Folder::open(path, &Facts::of_room(name))
    }

    /// What an earlier run had left, without what cannot be listed again. `None`: nothing of use.
    pub fn recover(path: PathBuf) -> io::Result<Option<(Folder, String, KeptListing)>> {
        let index = path.join(INDEX);
        if fs::metadata(&index).map_or(0, |facts| facts.len()) > INDEX_BYTES_MAX {
            return Ok(None);
        }
        let bytes = match fs::read(&index) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let Some(mut facts) = Facts::of(index::parse(&bytes).0) else { return Ok(None) };
        let is_whole = |name: &str, len: u64| fs::metadata(path.join(name)).is_ok_and(|facts| facts.len() == len);
        facts.segments.retain(|segment| segment.gap || is_whole(&segment.file_name(), segment.len()));
        facts.forget_unplayable(|init| path.join(init.file_name()).exists());
        facts.forget_unlisted();
        if facts.segments.is_empty() {
            return Ok(None);
        }
        let listing = facts.listing(|init: &InitRecord| fs::read(path.join(init.file_name())).ok());
        sweep(&path, &facts)?;
        let name = facts.name.clone();
        Ok(Some((Folder::open(path, &facts)?, name, listing)))
    }

    /// Writes the index anew with these facts, and goes on behind it.
    fn open(path: PathBuf, facts: &Facts) -> io::Result<Folder> {
        let records = facts.records();
        let bytes: Vec<u8> = records.iter().flat_map(index::line).collect();
        write(&path, INDEX, &[bytes.clone().into()])?;
        let index = OpenOptions::new().append(true).open(path.join(INDEX))?;
        let (video, audio) = (Kept::of(facts, Kind::Video), Kept::of(facts, Kind::Audio));
        Ok(Folder {
            path,
            index,
            index_len: bytes.len() as u64,
            is_torn: false,
            records: records.len(),
            inits: Vec::new(),
            video,
            audio,
        })
    }

    /// Appends one record, or nothing at all.
    pub fn append(&mut self, record: &Record) -> io::Result<()> {
        let line = index::line(record);
        // What is torn would end the index for all that come after.
        if self.is_torn {
            self.index.set_len(self.index_len)?;
            self.is_torn = false;
        }
        if let Err(error) = self.index.write_all(&line) {
            self.is_torn = self.index.set_len(self.index_len).is_err();
            return Err(error);
        }
        self.index_len += line.len() as u64;
        self.records += 1;
        Ok(())
    }

    pub fn keep_init(&mut self, init: KeptInit) -> io::Result<()> {
        self.inits.push(init);
        self.write_inits()
    }

    fn write_inits(&mut self) -> io::Result<()> {
        while let Some(init) = self.inits.first() {
            let record = InitRecord::of(init);
            write(&self.path, &record.file_name(), std::slice::from_ref(&init.init.bytes))?;
            let (kind, id) = (init.kind, (record.epoch, record.number));
            self.append(&Record::Init(record))?;
            self.of(kind).inits.push_back(id);
            self.inits.remove(0);
        }
        Ok(())
    }

    pub fn keep(&mut self, kind: MediaKind, segment: &Segment, listed_from: u64) -> io::Result<()> {
        self.write_inits()?;
        let record = SegmentRecord::of(kind, segment, listed_from);
        let (name, kept) = (record.file_name(), KeptSegment::of(&record));
        if !segment.gap {
            let chunks: Vec<Bytes> = segment.chunks().cloned().collect();
            write(&self.path, &name, &chunks)?;
        }
        if let Err(error) = self.append(&Record::Segment(record)) {
            let _ = fs::remove_file(self.path.join(&name));
            return Err(error);
        }
        self.of(kind).segments.push_back(kept);
        Ok(())
    }

    /// Deletes the segments below a number.
    pub fn discard(&mut self, kind: MediaKind, below: u64) -> io::Result<()> {
        // The record first: a segment that is listed has its file.
        let outcome = self.append(&Record::Discard { kind: kind.into(), below });
        for name in self.of(kind).take_below(kind.into(), below) {
            // A file that stays is found by the next start.
            let _ = fs::remove_file(self.path.join(name));
        }
        outcome?;
        self.compact_if_long()
    }

    fn of(&mut self, kind: MediaKind) -> &mut Kept {
        match kind {
            MediaKind::Video => &mut self.video,
            MediaKind::Audio => &mut self.audio,
        }
    }

    fn compact_if_long(&mut self) -> io::Result<()> {
        let live = self.video.segments.len() + self.audio.segments.len();
        if self.records < live * 3 + DEAD_RECORDS_MIN {
            return Ok(());
        }
        let bytes = fs::read(self.path.join(INDEX))?;
        let Some(facts) = Facts::of(index::parse(&bytes).0) else {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        };
        // What is there stays known: segments of a listing that is over have files, but no record any more.
        let Folder { index, index_len, is_torn, records, .. } = Folder::open(self.path.clone(), &facts)?;
        (self.index, self.index_len, self.is_torn, self.records) = (index, index_len, is_torn, records);
        Ok(())
    }
}

/// Deletes a room's folder with everything in it.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Deletes files that the index does not name: those of a write that was cut short, or of a listing that is over.
fn sweep(path: &Path, facts: &Facts) -> io::Result<()> {
    let mut named: BTreeSet<String> = facts.segments.iter().map(SegmentRecord::file_name).collect();
    named.extend(facts.inits.iter().map(InitRecord::file_name));
    named.insert(INDEX.to_owned());
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().to_str().is_none_or(|name| !named.contains(name)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a file aside and renames it: it is whole or not there.
fn write(folder: &Path, name: &str, chunks: &[Bytes]) -> io::Result<()> {
    let draft = folder.join(DRAFT);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&draft)?;
    let mut slices: Vec<io::IoSlice<'_>> = chunks.iter().map(|chunk| io::IoSlice::new(chunk)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) if rest.iter().any(|slice| !slice.is_empty()) => {
                return Err(io::Error::from(io::ErrorKind::WriteZero));
            }
            Ok(written) => io::IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    drop(file);
    fs::rename(&draft, folder.join(name))
}

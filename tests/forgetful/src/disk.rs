//! Files and folders as they are, and as they would be after a loss of power.
//!
//! In: what programs do to files. Out: the same, and on demand what is left of it. The model is as strict as POSIX allows: bytes are
//! on disk once their file is synced, a name once its folder is, a new folder is found once the one above it is synced.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

/// Bytes that are lost or kept together.
const PAGE_LEN: usize = 4_096;

/// The number of a file or folder.
pub type Number = u64;
/// The folder that everything is in.
pub const ROOT: Number = 1;

/// What of the unsynced is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of it.
    Everything,
    /// Each page and each name or not, as this seed has it: the order in which a disk writes is its own.
    Some(u64),
}

/// Why something cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is none.
    NotFound,
    /// There is one already.
    Exists,
    /// A file is no folder.
    NotAFolder,
    /// A folder is no file.
    IsAFolder,
    /// The folder is not empty.
    NotEmpty,
}

/// The bytes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bytes {
    len: u64,
    pages: Vec<Arc<Vec<u8>>>,
}

type Names = BTreeMap<OsString, Number>;

#[derive(Clone, Debug)]
enum Node {
    File { now: Bytes, synced: Bytes, mode: u16 },
    Folder { now: Names, synced: Names, mode: u16 },
}

/// What is asked of a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its number.
    pub number: Number,
    /// Bytes of a file.
    pub len: u64,
    /// It is a folder.
    pub is_folder: bool,
    /// Permissions.
    pub mode: u16,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Disk {
    nodes: BTreeMap<Number, Node>,
    next: Number,
}

impl Default for Disk {
    fn default() -> Disk {
        let root = Node::Folder { now: Names::new(), synced: Names::new(), mode: 0o755 };
        Disk { nodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1 }
    }
}

impl Bytes {
    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let end = self.len.min(offset.saturating_add(len as u64));
        let mut read = Vec::new();
        let mut at = offset;
        while at < end {
            let (page, from) = ((at / PAGE_LEN as u64) as usize, (at % PAGE_LEN as u64) as usize);
            let to = PAGE_LEN.min(from + (end - at) as usize);
            match self.pages.get(page) {
                Some(bytes) => read.extend_from_slice(&bytes[from..to]),
                None => read.resize(read.len() + to - from, 0),
            }
            at += (to - from) as u64;
        }
        read
    }

    fn write(&mut self, offset: u64, mut data: &[u8]) {
        self.grow(self.len.max(offset + data.len() as u64));
        let mut at = offset;
        while !data.is_empty() {
            let (page, from) = ((at / PAGE_LEN as u64) as usize, (at % PAGE_LEN as u64) as usize);
            let (head, rest) = data.split_at(data.len().min(PAGE_LEN - from));
            Arc::make_mut(&mut self.pages[page])[from..from + head.len()].copy_from_slice(head);
            (at, data) = (at + head.len() as u64, rest);
        }
    }

    fn grow(&mut self, len: u64) {
        self.len = len;
        self.pages.resize_with(len.div_ceil(PAGE_LEN as u64) as usize, || Arc::new(vec![0; PAGE_LEN]));
    }

    fn set_len(&mut self, len: u64) {
        let is_cut = len < self.len;
        self.grow(len);
        let rest = (len % PAGE_LEN as u64) as usize;
        if is_cut
            && rest > 0
            && let Some(last) = self.pages.last_mut()
        {
            Arc::make_mut(last)[rest..].fill(0);
        }
    }
}

impl Disk {
    fn node(&self, number: Number) -> Result<&Node, Refusal> {
        self.nodes.get(&number).ok_or(Refusal::NotFound)
    }

    fn names(&self, folder: Number) -> Result<&Names, Refusal> {
        match self.node(folder)? {
            Node::Folder { now, .. } => Ok(now),
            Node::File { .. } => Err(Refusal::NotAFolder),
        }
    }

    fn names_mut(&mut self, folder: Number) -> Result<&mut Names, Refusal> {
        match self.nodes.get_mut(&folder).ok_or(Refusal::NotFound)? {
            Node::Folder { now, .. } => Ok(now),
            Node::File { .. } => Err(Refusal::NotAFolder),
        }
    }

    fn bytes(&self, file: Number) -> Result<&Bytes, Refusal> {
        match self.node(file)? {
            Node::File { now, .. } => Ok(now),
            Node::Folder { .. } => Err(Refusal::IsAFolder),
        }
    }

    fn bytes_mut(&mut self, file: Number) -> Result<&mut Bytes, Refusal> {
        match self.nodes.get_mut(&file).ok_or(Refusal::NotFound)? {
            Node::File { now, .. } => Ok(now),
            Node::Folder { .. } => Err(Refusal::IsAFolder),
        }
    }

    /// What a file or folder is.
    pub fn facts(&self, number: Number) -> Result<Facts, Refusal> {
        Ok(match self.node(number)? {
            Node::File { now, mode, .. } => Facts { number, len: now.len, is_folder: false, mode: *mode },
            Node::Folder { mode, .. } => Facts { number, len: 0, is_folder: true, mode: *mode },
        })
    }

    /// What has this name in a folder.
    pub fn find(&self, folder: Number, name: &OsStr) -> Result<Facts, Refusal> {
        let number = self.names(folder)?.get(name).ok_or(Refusal::NotFound)?;
        self.facts(*number)
    }

    /// What is in a folder.
    pub fn list(&self, folder: Number) -> Result<Vec<(OsString, Facts)>, Refusal> {
        self.names(folder)?.iter().map(|(name, number)| Ok((name.clone(), self.facts(*number)?))).collect()
    }

    /// Makes a file or folder.
    pub fn make(&mut self, folder: Number, name: &OsStr, mode: u16, is_folder: bool) -> Result<Facts, Refusal> {
        let number = self.next;
        let names = self.names_mut(folder)?;
        if names.contains_key(name) {
            return Err(Refusal::Exists);
        }
        names.insert(name.to_owned(), number);
        self.next += 1;
        let node = match is_folder {
            true => Node::Folder { now: Names::new(), synced: Names::new(), mode },
            false => Node::File { now: Bytes::default(), synced: Bytes::default(), mode },
        };
        self.nodes.insert(number, node);
        self.facts(number)
    }

    /// Takes a name away. What had it stays, for whoever has it open and for a disk that has not heard of it.
    pub fn remove(&mut self, folder: Number, name: &OsStr) -> Result<(), Refusal> {
        let found = self.find(folder, name)?;
        if found.is_folder && !self.names(found.number)?.is_empty() {
            return Err(Refusal::NotEmpty);
        }
        self.names_mut(folder)?.remove(name);
        Ok(())
    }

    /// Gives something another name, which takes the place of what had it.
    pub fn rename(&mut self, from: (Number, &OsStr), to: (Number, &OsStr)) -> Result<(), Refusal> {
        let moved = self.find(from.0, from.1)?.number;
        self.names(to.0)?;
        self.names_mut(from.0)?.remove(from.1);
        self.names_mut(to.0)?.insert(to.1.to_owned(), moved);
        Ok(())
    }

    /// Gives a file one more name.
    pub fn link(&mut self, file: Number, folder: Number, name: &OsStr) -> Result<Facts, Refusal> {
        let facts = self.facts(file)?;
        if facts.is_folder {
            return Err(Refusal::IsAFolder);
        }
        let names = self.names_mut(folder)?;
        if names.contains_key(name) {
            return Err(Refusal::Exists);
        }
        names.insert(name.to_owned(), file);
        Ok(facts)
    }

    /// Bytes of a file.
    pub fn read(&self, file: Number, offset: u64, len: usize) -> Result<Vec<u8>, Refusal> {
        Ok(self.bytes(file)?.read(offset, len))
    }

    /// Writes bytes.
    pub fn write(&mut self, file: Number, offset: u64, data: &[u8]) -> Result<(), Refusal> {
        self.bytes_mut(file)?.write(offset, data);
        Ok(())
    }

    /// Cuts a file, or makes it longer.
    pub fn set_len(&mut self, file: Number, len: u64) -> Result<(), Refusal> {
        self.bytes_mut(file)?.set_len(len);
        Ok(())
    }

    /// Sets permissions.
    pub fn set_mode(&mut self, number: Number, to: u16) -> Result<(), Refusal> {
        match self.nodes.get_mut(&number).ok_or(Refusal::NotFound)? {
            Node::File { mode, .. } | Node::Folder { mode, .. } => *mode = to,
        }
        Ok(())
    }

    /// What a file or folder is now is on disk.
    pub fn sync(&mut self, number: Number) -> Result<(), Refusal> {
        match self.nodes.get_mut(&number).ok_or(Refusal::NotFound)? {
            Node::File { now, synced, .. } => synced.clone_from(now),
            Node::Folder { now, synced, .. } => synced.clone_from(now),
        }
        Ok(())
    }

    /// The power fails.
    pub fn lose(&mut self, loss: Loss) {
        let mut dice = Dice(match loss {
            Loss::Everything => 0,
            Loss::Some(seed) => seed | 1,
        });
        let mut keeps = |_: ()| loss != Loss::Everything && dice.roll();
        for node in self.nodes.values_mut() {
            match node {
                Node::File { now, synced, .. } => {
                    *now = left_of_bytes(now, synced, &mut || keeps(()));
                    synced.clone_from(now);
                }
                Node::Folder { now, synced, .. } => {
                    *now = left_of_names(now, synced, &mut || keeps(()));
                    synced.clone_from(now);
                }
            }
        }
        self.drop_unreachable();
    }

    fn drop_unreachable(&mut self) {
        let (mut found, mut rest) = (BTreeSet::from([ROOT]), vec![ROOT]);
        while let Some(number) = rest.pop() {
            if let Ok(names) = self.names(number) {
                rest.extend(names.values().copied().filter(|number| found.insert(*number)));
            }
        }
        self.nodes.retain(|number, _| found.contains(number));
    }
}

fn left_of_bytes(now: &Bytes, synced: &Bytes, keeps: &mut impl FnMut() -> bool) -> Bytes {
    if now == synced {
        return now.clone();
    }
    let mut left = synced.clone();
    if now.len != synced.len && keeps() {
        left.set_len(now.len);
    }
    for (at, page) in left.pages.iter_mut().enumerate() {
        let written = now.pages.get(at).filter(|written| *written != page);
        if let Some(written) = written.filter(|_| keeps()) {
            *page = Arc::clone(written);
        }
    }
    // Nothing stands behind the end.
    left.set_len(left.len);
    let rest = (left.len % PAGE_LEN as u64) as usize;
    if rest > 0
        && let Some(last) = left.pages.last_mut()
    {
        Arc::make_mut(last)[rest..].fill(0);
    }
    left
}

fn left_of_names(now: &Names, synced: &Names, keeps: &mut impl FnMut() -> bool) -> Names {
    let all: BTreeSet<&OsString> = now.keys().chain(synced.keys()).collect();
    let pick = |name: &OsString, keeps: &mut dyn FnMut() -> bool| {
        let (is, was) = (now.get(name), synced.get(name));
        let number = if is == was || keeps() { is } else { was };
        number.map(|number| (name.clone(), *number))
    };
    all.into_iter().filter_map(|name| pick(name, keeps)).collect()
}

/// Xorshift: the same seed loses the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 0x100 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    #[test]
    fn what_is_not_synced_is_lost() {
        let mut disk = Disk::default();
        let file = disk.make(ROOT, name("a"), 0o600, false).expect("new").number;
        disk.write(file, 3, b"kept").expect("a file");
        disk.sync(file).expect("a file");
        disk.write(file, 5_000, b"lost").expect("a file");
        let mut without_name = disk.clone();
        without_name.lose(Loss::Everything);
        assert_eq!(without_name.find(ROOT, name("a")), Err(Refusal::NotFound), "its folder was not synced");
        disk.sync(ROOT).expect("a folder");
        disk.lose(Loss::Everything);
        let facts = disk.find(ROOT, name("a")).expect("its name is on disk");
        assert_eq!(facts.len, 7);
        assert_eq!(disk.read(facts.number, 0, 100), Ok(b"\0\0\0kept".to_vec()));
    }

    #[test]
    fn a_removal_or_a_new_name_that_is_not_synced_did_not_happen() {
        let mut disk = Disk::default();
        for text in ["a", "b"] {
            let file = disk.make(ROOT, name(text), 0o600, false).expect("new").number;
            disk.write(file, 0, text.as_bytes()).expect("a file");
            disk.sync(file).expect("a file");
        }
        disk.sync(ROOT).expect("a folder");
        disk.remove(ROOT, name("a")).expect("there");
        disk.rename((ROOT, name("b")), (ROOT, name("c"))).expect("there");
        let mut later = disk.clone();
        disk.lose(Loss::Everything);
        let names =
            |disk: &Disk| disk.list(ROOT).expect("a folder").into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&disk), ["a", "b"]);
        later.sync(ROOT).expect("a folder");
        later.lose(Loss::Everything);
        assert_eq!(names(&later), ["c"]);
    }

    #[test]
    fn of_what_is_not_synced_some_may_be_there_and_the_same_seed_keeps_the_same() {
        let mut disk = Disk::default();
        let file = disk.make(ROOT, name("a"), 0o600, false).expect("new").number;
        disk.sync(ROOT).expect("a folder");
        disk.write(file, 0, &[7; 64 * PAGE_LEN]).expect("a file");
        let left = |seed| {
            let mut disk = disk.clone();
            disk.lose(Loss::Some(seed));
            disk.read(file, 0, 64 * PAGE_LEN).expect("it is there")
        };
        assert_eq!(left(3), left(3));
        let kinds: BTreeSet<(usize, usize)> = (0..20)
            .map(|seed| {
                let bytes = left(seed * 7 + 1);
                (bytes.len(), bytes.iter().filter(|byte| **byte == 7).count())
            })
            .collect();
        assert!(kinds.iter().any(|(len, sevens)| sevens > &0 && sevens < len), "{kinds:?}");
        assert!(kinds.iter().any(|(len, _)| *len == 0), "{kinds:?}");
    }

    #[test]
    fn a_file_that_is_cut_and_grows_again_has_zeros_there() {
        let mut disk = Disk::default();
        let file = disk.make(ROOT, name("a"), 0o600, false).expect("new").number;
        disk.write(file, 0, &[1; 6_000]).expect("a file");
        disk.set_len(file, 10).expect("a file");
        disk.set_len(file, 20).expect("a file");
        assert_eq!(disk.read(file, 0, 100), Ok([[1_u8; 10], [0; 10]].concat()));
    }
}

//! A file system that forgets what was not synced, mounted by FUSE, so that whole programs can be tested on it: a process that is
//! killed loses nothing that it has written, only a loss of power does.
//!
//! In: a folder to mount at. Out: a file system in memory, which can be taken away and mounted again with what a loss of power would
//! have left. `disk` is the model, and knows nothing of FUSE.

mod disk;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::disk::{Disk, Facts, Number, Refusal};
pub use disk::Loss;

/// The kernel may believe what it was told: nobody else changes anything.
const TTL: Duration = Duration::from_secs(3_600);
const BLOCK_LEN: u32 = 4_096;
/// What is said to be free.
const FREE_BLOCKS: u64 = 1 << 20;

/// Whether the power fails just before a sync is done, or just behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It is as if it had never been asked for.
    Before,
    /// It is done, and nobody was told.
    Behind,
}

/// A file system that can lose its power.
pub struct Forgetful {
    power: Arc<Mutex<Power>>,
    at: PathBuf,
    session: Option<BackgroundSession>,
}

/// The disk, and whether it has power.
#[derive(Default)]
struct Power {
    disk: Disk,
    /// Syncs so far.
    syncs: u64,
    fails_at: Option<(u64, Moment)>,
    has_failed: bool,
}

impl Forgetful {
    /// Mounts an empty one at this folder. It needs `/dev/fuse`, and the right to mount or `fusermount3`.
    pub fn mount(at: &Path) -> io::Result<Forgetful> {
        let mut mounted = Forgetful { power: Arc::default(), at: at.to_owned(), session: None };
        mounted.attach()?;
        Ok(mounted)
    }

    fn attach(&mut self) -> io::Result<()> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("forgetful".into()), MountOption::NoAtime];
        let volume = Volume(Arc::clone(&self.power));
        self.session = Some(fuser::spawn_mount(volume, &self.at, &config)?);
        Ok(())
    }

    /// How many files and folders have been synced so far.
    pub fn syncs(&self) -> u64 {
        lock(&self.power).syncs
    }

    /// The power fails at this sync, counted from now on: from that moment on nothing is done any more, and everything
    /// is answered with an error.
    pub fn fail_at(&self, sync: u64, moment: Moment) {
        let mut power = lock(&self.power);
        power.fails_at = Some((power.syncs + sync, moment));
    }

    /// Whether it has failed as it was to.
    pub fn has_failed(&self) -> bool {
        lock(&self.power).has_failed
    }

    /// The power fails, if it has not yet, and comes back. Whoever had files open must be dead by then.
    pub fn lose_power(&mut self, loss: Loss) -> io::Result<()> {
        if let Some(session) = self.session.take() {
            // What the kernel still has to write is too late.
            lock(&self.power).has_failed = true;
            session.umount_and_join()?;
        }
        {
            let mut power = lock(&self.power);
            power.disk.lose(loss);
            (power.fails_at, power.has_failed) = (None, false);
        }
        self.attach()
    }
}

fn lock(power: &Mutex<Power>) -> MutexGuard<'_, Power> {
    power.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Power {
    /// The disk, while there is power.
    fn disk(&mut self) -> Result<&mut Disk, Errno> {
        if self.has_failed { Err(Errno::EIO) } else { Ok(&mut self.disk) }
    }

    fn sync(&mut self, number: Number) -> Result<(), Errno> {
        self.disk()?;
        self.syncs += 1;
        let fails = self.fails_at.filter(|(sync, _)| *sync == self.syncs).map(|(_, moment)| moment);
        if fails != Some(Moment::Before) {
            self.disk.sync(number).map_err(errno)?;
        }
        self.has_failed = fails.is_some();
        self.disk().map(|_| ())
    }
}

/// What the kernel talks to.
struct Volume(Arc<Mutex<Power>>);

fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::NotFound => Errno::ENOENT,
        Refusal::Exists => Errno::EEXIST,
        Refusal::NotAFolder => Errno::ENOTDIR,
        Refusal::IsAFolder => Errno::EISDIR,
        Refusal::NotEmpty => Errno::ENOTEMPTY,
    }
}

fn attributes(request: &Request, facts: Facts) -> FileAttr {
    let epoch = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(facts.number),
        size: facts.len,
        blocks: facts.len.div_ceil(512),
        atime: epoch,
        mtime: epoch,
        ctime: epoch,
        crtime: epoch,
        kind: if facts.is_folder { FileType::Directory } else { FileType::RegularFile },
        perm: facts.mode,
        nlink: if facts.is_folder { 2 } else { 1 },
        uid: request.uid(),
        gid: request.gid(),
        rdev: 0,
        blksize: BLOCK_LEN,
        flags: 0,
    }
}

impl Volume {
    fn with<T>(&self, act: impl FnOnce(&mut Disk) -> Result<T, Refusal>) -> Result<T, Errno> {
        lock(&self.0).disk().and_then(|disk| act(disk).map_err(errno))
    }
}

fn entry(request: &Request, made: Result<Facts, Errno>, reply: ReplyEntry) {
    match made {
        Ok(facts) => reply.entry(&TTL, &attributes(request, facts), Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn done(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Volume {
    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(request, self.with(|disk| disk.find(parent.0, name)), reply);
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.with(|disk| disk.facts(ino.0)) {
            Ok(facts) => reply.attr(&TTL, &attributes(request, facts)),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = self.with(|disk| {
            size.map_or(Ok(()), |len| disk.set_len(ino.0, len))?;
            mode.map_or(Ok(()), |mode| disk.set_mode(ino.0, (mode & 0o7777) as u16))?;
            disk.facts(ino.0)
        });
        match set {
            Ok(facts) => reply.attr(&TTL, &attributes(request, facts)),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let mode = (mode & !umask & 0o7777) as u16;
        entry(request, self.with(|disk| disk.make(parent.0, name, mode, true)), reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.with(|disk| disk.make(parent.0, name, (mode & !umask & 0o7777) as u16, false)) {
            Ok(facts) => {
                let attributes = attributes(request, facts);
                reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.with(|disk| disk.remove(parent.0, name)), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.with(|disk| disk.remove(parent.0, name)), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        done(self.with(|disk| disk.rename((parent.0, name), (newparent.0, newname))), reply);
    }

    fn link(&self, request: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        entry(request, self.with(|disk| disk.link(ino.0, newparent.0, newname)), reply);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.with(|disk| disk.read(ino.0, offset, size as usize)) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.with(|disk| disk.write(ino.0, offset, data)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(lock(&self.0).sync(ino.0), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(lock(&self.0).sync(ino.0), reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = match self.with(|disk| disk.list(ino.0)) {
            Ok(listed) => listed,
            Err(error) => return reply.error(error),
        };
        let of = |facts: &Facts| if facts.is_folder { FileType::Directory } else { FileType::RegularFile };
        let entries = listed.iter().map(|(name, facts)| (facts.number, of(facts), name.as_os_str()));
        let own: [(Number, FileType, &OsStr); 2] =
            [(ino.0, FileType::Directory, OsStr::new(".")), (disk::ROOT, FileType::Directory, OsStr::new(".."))];
        for (at, (number, kind, name)) in own.into_iter().chain(entries).enumerate().skip(offset as usize) {
            if reply.add(INodeNo(number), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(FREE_BLOCKS, FREE_BLOCKS, FREE_BLOCKS, FREE_BLOCKS, FREE_BLOCKS, BLOCK_LEN, 255, BLOCK_LEN);
    }
}

//! What the worker does to itself before it reads a byte of anybody's media.
//!
//! Each part is independent of the others, so that a hole in one is not a way out. Out: what the kernel took, which the
//! server judges; a worker never decides that less is enough.

mod calls;

use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};
use rustix::thread::set_no_new_privs;
use telstar_transcode::Sandbox;

/// Descriptors: the socket and its copy, stdout, stderr, and one for a moment. No codec opens any.
const DESCRIPTORS_MAX: u64 = 8;
/// What work on files needs beside: to take the files from the socket, and to read the source anywhere. Nothing here
/// opens one.
const FILE_CALLS: &[libc::c_long] = &[libc::SYS_recvmsg, libc::SYS_lseek, libc::SYS_pread64];
/// Seconds of processor time behind the limit: who has not ended by then is killed.
const CPU_SECS_MORE: u64 = 2;
/// Behind the server, so that pictures which are converted never delay those which are passed through. Higher yields more.
const NICE: i32 = 5;

/// What differs between a worker and its check.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Address space.
    pub memory_mib: u64,
    /// The longest file that it may write into. A worker for live media writes into none, the check to what may be one:
    /// standard output.
    pub file_bytes: u64,
    /// How many files it is given through its socket.
    pub files_max: u64,
    /// Seconds of processor time, of all threads. What is live has no end.
    pub cpu_secs: Option<u64>,
}

/// Confines this process for good. Call before there is another thread.
pub fn confine(limits: Limits) -> Sandbox {
    // Worse than wished, but no hole: a worker at the server's own priority.
    let _ = nice(NICE);
    Sandbox {
        dies_with_parent: set_parent_process_death_signal(Some(Signal::KILL)).is_ok(),
        limits: limit(limits),
        no_new_privileges: set_no_new_privs(true).is_ok(),
        landlock: see_no_file(),
        seccomp: calls::allow_few(if limits.files_max > 0 { FILE_CALLS } else { &[] }),
    }
}

fn limit(limits: Limits) -> bool {
    // Hard as well as soft: it cannot be raised again.
    let both = |resource, most| (resource, most, most);
    // At the soft one it ends by a signal that says why, at the hard one by whatever it does.
    let cpu = limits.cpu_secs.map(|secs| (Resource::Cpu, secs, secs.saturating_add(CPU_SECS_MORE)));
    let limits = [
        both(Resource::As, limits.memory_mib.saturating_mul(1024 * 1024)),
        both(Resource::Fsize, limits.file_bytes),
        both(Resource::Nofile, DESCRIPTORS_MAX + limits.files_max),
        both(Resource::Core, 0),
    ];
    limits.into_iter().chain(cpu).all(|(resource, current, maximum)| {
        setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) }).is_ok()
    })
}

/// No file can be opened, made or run, no TCP port bound or reached, and no process signalled. The libraries are loaded:
/// the dynamic linker did that before `main`.
fn see_no_file() -> bool {
    let restricted = Ruleset::default()
        // Older kernels take what they know; without files it is not landlock.
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V5)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
        .and_then(|rules| rules.create())
        .and_then(|rules| rules.restrict_self());
    restricted.is_ok_and(|status| status.ruleset != RulesetStatus::NotEnforced)
}

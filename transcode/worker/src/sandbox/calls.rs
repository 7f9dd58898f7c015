//! The system calls that codecs need, and what becomes of the others.
//!
//! Three filters, of which the kernel takes the strictest answer: those of networks and programs kill the process, because
//! only somebody who has taken it over makes them; whatever is not on the list fails, because libraries try things and go
//! on without; `clone3` is said not to exist, so that the C library falls back to `clone`, whose flags can be looked at.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// Memory, threads, clocks, and reading and writing what is open.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What no codec ever does.
const DEADLY: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_bpf,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_mount,
    libc::SYS_setns,
    libc::SYS_unshare,
];

/// Puts the filters in force for this thread and all that it starts; `also` is allowed as well. False: the kernel has
/// no seccomp.
pub(super) fn allow_few(also: &[libc::c_long]) -> bool {
    programs(also).is_ok_and(|programs| programs.iter().all(|program| apply_filter(program).is_ok()))
}

fn programs(also: &[libc::c_long]) -> Result<[BpfProgram; 3], BackendError> {
    let errno = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    let any = |calls: &[libc::c_long]| calls.iter().map(|call| (*call, Vec::new())).collect();
    let mut allowed: BTreeMap<libc::c_long, Vec<SeccompRule>> = any(ALLOWED);
    allowed.extend(any(also));
    // A thread, and nothing that is less of the same process than one.
    let thread = libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND;
    allowed.insert(libc::SYS_clone, vec![masked(0, thread as u64, thread as u64)?]);
    // Memory that is code stays what the linker loaded: none is made, and none that was written becomes some.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        allowed.insert(call, vec![masked(2, libc::PROT_EXEC as u64, 0)?]);
    }
    // Codecs name their threads.
    allowed.insert(libc::SYS_prctl, vec![masked(0, u64::MAX, libc::PR_SET_NAME as u64)?]);
    Ok([
        compile(any(&[libc::SYS_clone3]), SeccompAction::Allow, errno(libc::ENOSYS))?,
        compile(any(DEADLY), SeccompAction::Allow, SeccompAction::KillProcess)?,
        // The last, because to put a filter in force is not on the list.
        compile(allowed, errno(libc::EPERM), SeccompAction::Allow)?,
    ])
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompRule, BackendError> {
    let comparison = SeccompCmpOp::MaskedEq(mask);
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Qword, comparison, value)?])
}

fn compile(
    calls: BTreeMap<libc::c_long, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    on_match: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(calls, otherwise, on_match, arch)?.try_into()
}

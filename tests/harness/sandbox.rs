//! Refusals of the kernel from a program's first instruction on: more of a resource, or a system call.

use std::io::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;

const fn statement(code: u32, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k: value }
}

const fn skip_unless(value: u32, skipped: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: 0, jf: skipped, k: value }
}

/// The child of `command` sees system call `number` fail with `errno`.
pub fn refuse(command: &mut Command, number: libc::c_long, errno: i32) {
    let rules = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        skip_unless(number as u32, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let mut rules = rules;
        let program = libc::sock_fprog { len: rules.len() as u16, filter: rules.as_mut_ptr() };
        // SAFETY: prctl with these arguments takes no pointer.
        let bound = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: the program and its rules live until the call returns.
        let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        if bound == 0 && set == 0 { Ok(()) } else { Err(Error::last_os_error()) }
    };
    // SAFETY: the closure makes two system calls, which is allowed between fork and exec.
    unsafe { command.pre_exec(install) };
}

/// A resource as `setrlimit` names it.
pub type Resource = libc::__rlimit_resource_t;

/// The child of `command` has no more than `bytes` of `resource`.
pub fn limit(command: &mut Command, resource: Resource, bytes: u64) {
    let wanted = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    let set = move || {
        // SAFETY: `wanted` is a live rlimit; setrlimit is async-signal-safe.
        let status = unsafe { libc::setrlimit(resource, &raw const wanted) };
        if status == 0 { Ok(()) } else { Err(Error::last_os_error()) }
    };
    // SAFETY: the closure only calls setrlimit, which is allowed between fork and exec.
    unsafe { command.pre_exec(set) };
}

#![expect(unsafe_code, reason = "fills pages with a file, which the start publishes")]
//! The limits of accounts, by the file that `SPANDREL_ACCOUNT_LIMITS` names. The file is read and checked once, at the
//! start; its text stays, and each new account finds its line there.

use core::ffi::CStr;

use super::name::NAME_MAX;
use crate::config::{Account, ModeName, Options, Rule};
use crate::pages::limits::UNLIMITED;
use crate::process::state::PROCESS;
use crate::sys::cell::SetOnce;
use crate::sys::startup::Startup;
use crate::sys::{file, memory};

const NAME: &[u8] = b"SPANDREL_ACCOUNT_LIMITS=";
/// More than the names of a process need. The pages behind the text stay untouched.
const BYTES_MAX: usize = 64 << 10;
/// Most bytes of a thread's name.
const THREAD_NAME_MAX: usize = 15;

/// The text of the file. Written by the start if the option is set; read by any thread then.
static TEXT: SetOnce<&'static [u8]> = SetOnce::new();

/// The reason why limits cannot be kept, so that the process must not go on.
pub(crate) struct Fault {
    /// The value of the option.
    pub(crate) path: &'static [u8],
    pub(crate) what: &'static [u8],
    /// The line of the file at fault, if it is one.
    pub(crate) line: &'static [u8],
}

/// Reads the limits, if `options` name a file of them. Part of the start.
pub(crate) fn prepare(options: &Options, startup: Startup) -> Result<(), Fault> {
    if !options.account_limits {
        return Ok(());
    }
    let path = startup.variable(NAME).unwrap_or_default();
    let fault = |what: &'static [u8], line| Fault { path: path.to_bytes(), what, line };
    if !matches!(options.account, Account::ThreadName | Account::CgroupThread) {
        return Err(fault(b"needs SPANDREL_ACCOUNT=thread-name or cgroup-thread", &[]));
    }
    if matches!(options.mode(), ModeName::Libc | ModeName::Custom) {
        return Err(fault(b"has no meaning where Spandrel serves no call", &[]));
    }
    let text = read(path).map_err(|what| fault(what, &[]))?;
    let longest = if options.account == Account::ThreadName { THREAD_NAME_MAX } else { NAME_MAX };
    for (line, rule) in Rule::each(text) {
        let Some(rule) = rule else { return Err(fault(FORM.as_bytes(), line)) };
        if rule.names.iter().filter(|&&byte| byte != b'*').count() > longest {
            return Err(fault(
                b"names are cut to 15 bytes of a thread's, 63 of a group's; no name is as long as in",
                line,
            ));
        }
    }
    // SAFETY: one thread starts the process, and no other one reads the text before.
    unsafe { TEXT.set(text) };
    Ok(())
}

/// The reason why a line is refused.
const FORM: &str = "takes lines NAME SOFT HARD, limits in bytes with K, M, G or T, or `none`, the soft one not above the hard one; not";

/// The contents of the file; what is wrong with it.
fn read(path: &CStr) -> Result<&'static [u8], &'static [u8]> {
    let address = memory::map(BYTES_MAX).map_err(|_| &b"no memory to read it"[..])?;
    // SAFETY: the pages were just mapped, readable and writable, and nothing unmaps them.
    let room =
        unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut::<u8>(address), BYTES_MAX) };
    let text = file::read(path, room).ok_or(&b"cannot be read"[..])?;
    if text.len() == BYTES_MAX { Err(b"has 64 KiB or more") } else { Ok(text) }
}

/// The soft and the hard limit of the account `name`, by the first line for it; [`UNLIMITED`] for none.
pub(super) fn of(name: &[u8]) -> (usize, usize) {
    if !PROCESS.options().account_limits {
        return (UNLIMITED, UNLIMITED);
    }
    // SAFETY: with that option the start has set the text, before any thread had a heap.
    let text = unsafe { TEXT.get() };
    let mut rules = Rule::each(text).filter_map(|(_, rule)| rule);
    let rule = rules.find(|rule| rule.is_for(name));
    rule.map_or((UNLIMITED, UNLIMITED), |rule| (rule.soft, rule.hard))
}

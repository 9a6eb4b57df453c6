//! The mode in force, for programs that ask for its name or switch it.

use core::ffi::CStr;

use super::start;
use crate::config;
use crate::modes::counting::{self, COUNTING};
use crate::slow_path::table::{IN_FORCE, NoSwitch};

/// The name of the mode in force.
pub(crate) fn mode_name() -> &'static CStr {
    start::ensure();
    IN_FORCE.get().map_or(c"fast", |mode| mode.name)
}

/// Puts the mode of that name into force. Only `fast` and `counting` can be switched, into each other: neither keeps
/// anything about a block, so blocks of one are blocks of the other.
pub(crate) fn set_mode(name: &[u8]) -> Result<(), NoSwitch> {
    let wanted = config::ModeName::named(name).ok_or(NoSwitch::Unknown)?;
    if mode_name().to_bytes() == name {
        return Ok(());
    }
    match (wanted, IN_FORCE.get()) {
        (config::ModeName::Counting, None) => counting::switch(true),
        (config::ModeName::Fast, Some(mode)) if core::ptr::eq(mode, &COUNTING) => counting::switch(false),
        _ => return Err(NoSwitch::Unsafe),
    }
    Ok(())
}

//! Requests to a process: it starts a heap profile, or ends it. They are words in its memory and a byte of its pending
//! work; the next slow call of any of its threads does what they say, so that no signal disturbs it and nothing has to
//! be prepared.

use super::Parts;
use anyhow::{Result, anyhow, bail, ensure};
use spandrel::descriptor::REQUEST_WORDS;
use std::io;

const WORD: usize = size_of::<usize>();
/// Words of a request: what to do, the bytes between samples, and what came of it.
const ACTION: usize = 0;
const RATE: usize = 1;
const RESULT: usize = 2;

/// Asks the process for `action`, which the next slow call of any of its threads does.
pub(super) fn ask(parts: &Parts, action: usize, rate: usize) -> Result<()> {
    let id = parts.process.id();
    let [byte, value, request] = parts.descriptor.sampling;
    ensure!(byte != 0, "process {id} takes no samples: that needs mode fast or counting");
    let mut words = [0; REQUEST_WORDS * WORD];
    words[ACTION * WORD..][..WORD].copy_from_slice(&action.to_le_bytes());
    words[RATE * WORD..][..WORD].copy_from_slice(&rate.to_le_bytes());
    parts.process.write(request, &words)?;
    parts.process.write(byte, &[value as u8])
}

/// Whether the process has done what it was asked for.
pub(super) fn is_done(parts: &Parts) -> Result<bool> {
    let id = parts.process.id();
    let [.., request] = parts.descriptor.sampling;
    match parts.process.word(request.wrapping_add(RESULT * WORD))? {
        0 => Ok(false),
        1 => Ok(true),
        result => {
            let error = i32::try_from(result - 1).map(io::Error::from_raw_os_error);
            bail!("process {id} cannot do that: {}", error.map_or_else(|_| anyhow!("?"), anyhow::Error::from));
        }
    }
}

//! Requests to a process: it starts a heap profile, or writes it. They are words in its memory and a byte of its pending
//! work; the next slow call of any of its threads does what they say, so that no signal disturbs it and nothing has to
//! be prepared.

use super::Parts;
use anyhow::{Result, anyhow, bail, ensure};
use spandrel::descriptor::{FINISH, PATH_WORDS, REQUEST_WORDS, STOP};
use std::io;

const WORD: usize = size_of::<usize>();
/// Words of a request: what to do, the bytes between samples, and what came of it.
const ACTION: usize = 0;
const RATE: usize = 1;
const RESULT: usize = 2;
const PATH: usize = REQUEST_WORDS - PATH_WORDS;

/// Asks the process for `action`, which the next slow call of any of its threads does.
pub(super) fn ask(parts: &Parts, action: usize, rate: usize, path: &str) -> Result<()> {
    let id = parts.process.id();
    let [byte, value, request] = parts.descriptor.sampling;
    ensure!(byte != 0, "process {id} takes no samples: that needs mode fast or counting");
    ensure!(path.len() < PATH_WORDS * WORD, "{path}: a longer path than process {id} has room for");
    let mut words = [0; REQUEST_WORDS * WORD];
    words[ACTION * WORD..][..WORD].copy_from_slice(&action.to_le_bytes());
    words[RATE * WORD..][..WORD].copy_from_slice(&rate.to_le_bytes());
    words[PATH * WORD..][..path.len()].copy_from_slice(path.as_bytes());
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

/// Takes a request back for which the process made no slow call. Samples that were to end with it end at the next one.
pub(super) fn withdraw(parts: &Parts, action: usize) -> Result<()> {
    ask(parts, if action == FINISH { STOP } else { 0 }, 0, "")
}

//! Requests to a process: it starts a heap profile, or writes it. They are words in its memory and a byte of its pending
//! work; the next slow call of any of its threads does what they say, so that no signal disturbs it and nothing has to
//! be prepared.

use super::Parts;
use anyhow::{Result, anyhow, bail, ensure};
use spandrel::descriptor::{PATH_WORDS, REQUEST_WORDS};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

const WORD: usize = size_of::<usize>();
/// Words of a request: what to do, the bytes between samples, and what came of it.
const ACTION: usize = 0;
const RATE: usize = 1;
const RESULT: usize = 2;
const PATH: usize = REQUEST_WORDS - PATH_WORDS;
/// How long a process may make no slow call, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(2);

/// Has the process do `action`, and waits until it is done.
pub(super) fn send(parts: &Parts, action: usize, rate: usize, path: &str) -> Result<()> {
    let id = parts.process.id();
    let [byte, value, request] = parts.descriptor.sampling;
    ensure!(byte != 0, "process {id} takes no samples: that needs mode fast or counting");
    ensure!(path.len() < PATH_WORDS * WORD, "{path}: a longer path than process {id} has room for");
    let mut words = [0; REQUEST_WORDS * WORD];
    words[ACTION * WORD..][..WORD].copy_from_slice(&action.to_le_bytes());
    words[RATE * WORD..][..WORD].copy_from_slice(&rate.to_le_bytes());
    words[PATH * WORD..][..path.len()].copy_from_slice(path.as_bytes());
    parts.process.write(request, &words)?;
    parts.process.write(byte, &[value as u8])?;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match parts.process.word(request.wrapping_add(RESULT * WORD))? {
            0 => thread::sleep(STEP),
            1 => return Ok(()),
            result => {
                let error = i32::try_from(result - 1).map(io::Error::from_raw_os_error);
                bail!("process {id} cannot do that: {}", error.map_or_else(|_| anyhow!("?"), anyhow::Error::from));
            }
        }
    }
    bail!("process {id} does not answer: none of its threads came to a slow path of malloc or free for {PATIENCE:?}")
}

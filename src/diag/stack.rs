//! How call stacks are printed: a line for each frame. Must not know what the stacks are of.

use crate::base::text::Line;
use crate::sys::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sys::local::Local;
use crate::unwind::{self, FRAMES_MAX, Trace};

/// Room for the answer of a symbolizer: a frame, and those inlined there.
const ANSWER_BYTES: usize = 1024;
/// Before the place of a frame.
const INDENT: &str = "   ";
/// Before frames that belong to a line of no mode.
const NAME: &str = "spandrel: ";

/// Frames that follow a misuse. Set at start; any thread reads.
static FRAMES: AtomicUsize = AtomicUsize::new(0);
/// The number of the symbolizer's socket, 0 for none. Set at start; any thread reads.
static SYMBOLIZER: AtomicU64 = AtomicU64::new(0);

/// Sets how many frames follow a misuse, and the number of the symbolizer's socket.
pub(crate) fn set_stacks(frames: usize, symbolizer: usize) {
    // Relaxed: words on their own, and any value is valid.
    FRAMES.store(frames.min(FRAMES_MAX), Ordering::Relaxed);
    SYMBOLIZER.store(symbolizer as u64, Ordering::Relaxed);
}

/// Hands `print` a line for each frame: `name`, then its object and function, as tools such as addr2line need them.
/// Frames are return addresses. A symbolizer adds lines of the sources, if `spandrel run` started the program.
#[cold]
#[inline(never)]
pub(crate) fn print_frames(name: &str, frames: impl Iterator<Item = usize>, print: &mut dyn FnMut(&[u8])) {
    // Relaxed: see `set_stacks`.
    let mut symbolizer = Local::connect(SYMBOLIZER.load(Ordering::Relaxed));
    for frame in frames {
        let mut line = Line::new();
        unwind::describe(frame, line.text(name).text(INDENT));
        let line = line.finish();
        if symbolizer.as_ref().is_some_and(|asked| print_answer(asked, line, print)) {
            continue;
        }
        // A further question might take as long.
        symbolizer = None;
        print(line);
    }
}

/// Prints what the symbolizer makes of `line`; false if it does not answer. A function of its own, because a signal
/// handler's stack may have no room for answers.
#[inline(never)]
fn print_answer(asked: &Local, line: &[u8], print: &mut dyn FnMut(&[u8])) -> bool {
    let mut room = [0; ANSWER_BYTES];
    let answer = asked.ask(line, &mut room);
    answer.is_some_and(|answer| {
        print(answer);
        true
    })
}

/// Stacks of which a hash is kept: each is printed in full once.
const KEPT: usize = 64;

/// The hashes of stacks that were printed, 0 for none. Any thread writes and reads.
static PRINTED: [AtomicU64; KEPT] = [const { AtomicU64::new(0) }; KEPT];

/// Prints the stack of `trace`; its first frame alone if the whole was printed before, or many others were.
pub(super) fn print_trace(trace: &mut Trace, print: &mut dyn FnMut(&[u8])) {
    let mut frames = [0; FRAMES_MAX];
    // Relaxed: see `set_stacks`.
    let wanted = frames.get_mut(..FRAMES.load(Ordering::Relaxed)).unwrap_or_default();
    let count = trace.frames(wanted);
    let frames = frames.get(..count).unwrap_or_default();
    if frames.is_empty() || is_first(hash(frames)) {
        return print_frames(NAME, frames.iter().copied(), print);
    }
    print_frames(NAME, frames.iter().copied().take(1), print);
    if frames.len() > 1 {
        print(Line::new().text(NAME).text(INDENT).text("and further frames, as printed before").finish());
    }
}

/// Whether a stack of this hash is the first one, and among the first ones of the process.
fn is_first(hash: u64) -> bool {
    for kept in &PRINTED {
        // Relaxed: the words publish nothing; of threads that race here one finds the empty word.
        match kept.compare_exchange(0, hash, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(known) if known == hash => return false,
            Err(_) => {}
        }
    }
    false
}

/// FNV-1a over whole words, never 0.
fn hash(frames: &[usize]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x100_0000_01b3;
    let mixed = frames.iter().fold(BASIS, |hash, &frame| (hash ^ frame as u64).wrapping_mul(PRIME));
    mixed.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stack_is_first_once_until_many_were() {
        assert!(is_first(hash(&[1, 2])) && !is_first(hash(&[1, 2])));
        assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
        let firsts = (0..2 * KEPT).filter(|&n| is_first(hash(&[n, 7]))).count();
        assert_eq!(firsts, KEPT - 1);
    }

    #[test]
    fn a_frame_is_a_line_behind_its_name() {
        let mut text = Vec::new();
        print_frames("x: ", [18, 35].into_iter(), &mut |line| text.extend_from_slice(line));
        assert_eq!(text, b"x:    0x11\nx:    0x22\n");
    }
}

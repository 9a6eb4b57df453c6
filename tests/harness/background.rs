//! A process beside a test: it is killed when the test is done with it, however the test ends.

use std::process::Child;

/// The process.
#[derive(Debug)]
pub struct Background(pub Child);

impl Background {
    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, number: i32) {
        signal(self.id(), number);
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal to a child of this process, or a child of one, which was not waited for yet.
pub fn signal(process: u32, number: i32) {
    if let Ok(process) = i32::try_from(process) {
        // SAFETY: takes no pointers; the number is still that process's.
        unsafe { libc::kill(process, number) };
    }
}

//! A server of figures about all processes under Spandrel: for Prometheus and its kin, and for readers of heap profiles.
//!
//! Knows: connections and their bounds. Must not know: the command line, what is answered (`site`).

mod address;
mod exposition;
mod heap;
mod http;
mod site;
mod textfile;

pub(crate) use address::{Address, Listener};
pub(crate) use exposition::Detail;
pub(crate) use heap::{pack, print as print_heap};
pub(crate) use site::Site;
pub(crate) use textfile::TextFile;

use crate::signals::{Came, Held};
use crate::system::wait_for_input;
use anyhow::Result;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// How long to wait where the kernel has no room for a connection.
const NO_ROOM: Duration = Duration::from_millis(50);

/// A count of things under way, of which there may be so many.
#[derive(Debug)]
struct Room {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// A place that is given back.
#[derive(Debug)]
struct Taken(Arc<AtomicUsize>);

impl Room {
    fn new(most: usize) -> Self {
        Self { taken: Arc::new(AtomicUsize::new(0)), most }
    }

    /// A place, if one is free.
    fn take(&self) -> Option<Taken> {
        let free = |taken: usize| (taken < self.most).then_some(taken + 1);
        // Relaxed: a count, which guards nothing else.
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok().map(|_| Taken(Arc::clone(&self.taken)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Relaxed: as in `Room::take`.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers until a signal ends it. Each client has a thread of its own, so one that waits keeps no other waiting.
///
/// # Errors
/// Where the kernel refuses what a server needs.
pub(crate) fn serve(listener: &Listener, site: &Arc<Site>, signals: &mut Held) -> Result<()> {
    let room = Room::new(CONNECTIONS_MAX);
    loop {
        let [asked, signalled] = wait_for_input([listener.as_fd(), signals.as_fd()], None)?;
        if signalled && signals.next(Some(Duration::ZERO))?.is_some_and(ends) {
            return Ok(());
        }
        if !asked {
            continue;
        }
        let mut client = match listener.accept() {
            Ok(client) => client,
            // The client may be gone again.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => continue,
            Err(_) => {
                thread::sleep(NO_ROOM);
                continue;
            }
        };
        let Some(place) = room.take() else {
            http::refuse(client.as_mut());
            continue;
        };
        let site = Arc::clone(site);
        let answer = move || {
            let _place = place;
            http::serve(client.as_mut(), |request| site.answer(request));
        };
        // Without a thread the client is gone with what it was moved to.
        if thread::Builder::new().spawn(answer).is_err() {
            thread::sleep(NO_ROOM);
        }
    }
}

/// Whether a signal ends the server.
pub(crate) fn ends(came: Came) -> bool {
    came.signal != libc::SIGCHLD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_and_given_back() {
        let room = Room::new(2);
        let (first, second) = (room.take(), room.take());
        assert!(first.is_some() && second.is_some() && room.take().is_none());
        drop(first);
        assert!(room.take().is_some() && second.is_some());
    }
}

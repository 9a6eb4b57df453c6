#![expect(unsafe_code, reason = "passes addresses to the kernel")]
//! Questions to another process by a local socket: a line goes out, a text comes back. Never waits longer than a bound,
//! and allocates nothing. Must not know what is asked.

use super::call::{self, Errno, raw};

/// Before the number in the socket's name, which lies in the kernel's table of names and in no file.
const NAME: &[u8] = b"\0spandrel-symbolizer-";
/// Milliseconds until an answer is given up.
const PATIENCE: usize = 5000;
/// Ends an answer.
const END: u8 = 0;
/// Interrupted waits that are begun anew.
const INTERRUPTIONS: usize = 16;

/// A connection.
pub(crate) struct Local {
    descriptor: usize,
}

impl Local {
    /// Connects to the socket of that number; `None` if nobody listens, or if the number is 0.
    pub(crate) fn connect(number: u64) -> Option<Self> {
        if number == 0 {
            return None;
        }
        // SAFETY: all-zero bytes are a valid value of this C structure.
        let mut name = unsafe { core::mem::zeroed::<libc::sockaddr_un>() };
        name.sun_family = libc::AF_UNIX as libc::sa_family_t;
        let mut len = 0;
        let mut push = |byte: u8| {
            if let Some(place) = name.sun_path.get_mut(len) {
                *place = byte.cast_signed();
                len += 1;
            }
        };
        NAME.iter().for_each(|&byte| push(byte));
        crate::base::text::each_digit(number, 10, &mut push);
        let kind = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as usize;
        // SAFETY: touches no memory.
        let descriptor = unsafe { raw(libc::SYS_socket, [libc::AF_UNIX as usize, kind, 0, 0, 0, 0]) }.ok()?;
        let socket = Self { descriptor };
        let bytes = core::mem::offset_of!(libc::sockaddr_un, sun_path) + len;
        // SAFETY: the kernel reads the address, which has so many bytes.
        unsafe { raw(libc::SYS_connect, [descriptor, (&raw const name).addr(), bytes, 0, 0, 0]) }.ok()?;
        Some(socket)
    }

    /// The answer to `question`, in `room`; `None` if none came, or one that does not fit.
    pub(crate) fn ask<'a>(&self, question: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
        self.send(question)?;
        let mut len = 0;
        loop {
            let free = room.get_mut(len..).filter(|free| !free.is_empty())?;
            len += self.receive(free)?;
            if room.get(..len)?.last() == Some(&END) {
                return room.get(..len - 1);
            }
        }
    }

    fn send(&self, mut bytes: &[u8]) -> Option<()> {
        // A reader that is gone must not raise SIGPIPE, nor a full buffer stop this thread.
        let flags = (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) as usize;
        while !bytes.is_empty() {
            // SAFETY: `bytes` is readable for its length.
            let sent =
                unsafe { raw(libc::SYS_sendto, [self.descriptor, bytes.as_ptr().addr(), bytes.len(), flags, 0, 0]) };
            match sent {
                Ok(count) => bytes = bytes.get(count..)?,
                Err(Errno(libc::EINTR)) => {}
                Err(_) => return None,
            }
        }
        Some(())
    }

    /// Receives bytes, at least one; how many.
    fn receive(&self, room: &mut [u8]) -> Option<usize> {
        for _ in 0..INTERRUPTIONS {
            let mut wanted = libc::pollfd { fd: self.descriptor as i32, events: libc::POLLIN, revents: 0 };
            // SAFETY: the kernel reads and writes one structure.
            match unsafe { raw(libc::SYS_poll, [(&raw mut wanted).addr(), 1, PATIENCE, 0, 0, 0]) } {
                Ok(0) => return None,
                Err(Errno(libc::EINTR)) => continue,
                Err(_) => return None,
                Ok(_) => {}
            }
            match call::read(self.descriptor, room) {
                Ok(0) => return None,
                Ok(count) => return Some(count),
                Err(Errno(libc::EINTR)) => {}
                Err(_) => return None,
            }
        }
        None
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = call::close(self.descriptor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    #[test]
    fn a_line_goes_out_and_a_text_comes_back() {
        let number = u64::from(std::process::id()) << 32 | 1;
        let name = SocketAddr::from_abstract_name(format!("spandrel-symbolizer-{number}")).unwrap();
        let listener = UnixListener::bind_addr(&name).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in [&b"one\ntwo\n\0"[..], b"too long for the room, which is small\0"] {
                let mut question = [0; 9];
                stream.read_exact(&mut question).unwrap();
                assert_eq!(&question, b"question\n");
                stream.write_all(answer).unwrap();
            }
        });
        let local = Local::connect(number).unwrap();
        let mut room = [0; 16];
        assert_eq!(local.ask(b"question\n", &mut room), Some(&b"one\ntwo\n"[..]));
        assert_eq!(local.ask(b"question\n", &mut room), None);
        server.join().unwrap();
        assert_eq!(local.ask(b"question\n", &mut room), None);
        assert!(Local::connect(number).is_none() && Local::connect(0).is_none());
    }
}

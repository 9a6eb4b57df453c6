//! Where the server listens: on this machine alone, unless the user says otherwise in so many words.
//!
//! Must not know: what is served.

use super::http::Connection;
use crate::system;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

const UNIX: &str = "unix:";
const LOCALHOST: &str = "localhost:";

/// A place to listen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Address {
    /// `ADDRESS:PORT`, `localhost:PORT`, or the path of a socket.
    ///
    /// # Errors
    /// Where it is none; the text is for the user.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix(UNIX).or_else(|| text.starts_with('/').then_some(text));
        if let Some(path) = path {
            return if path.is_empty() { Err("names no socket".to_owned()) } else { Ok(Self::Unix(path.into())) };
        }
        let local = text.strip_prefix(LOCALHOST).and_then(|port| port.parse().ok());
        let address = local.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).or_else(|| text.parse().ok());
        address.map(Self::Tcp).ok_or_else(|| {
            "takes ADDRESS:PORT (such as 127.0.0.1:9317, [::1]:9317 or localhost:9317) or unix:PATH".to_owned()
        })
    }

    /// Whether processes of this machine alone can reach it.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Refuses an address that other machines can reach, unless the user has said that they may.
    ///
    /// # Errors
    /// See above.
    pub(crate) fn check(&self, exposed: bool) -> Result<()> {
        if self.is_local() || exposed {
            return Ok(());
        }
        bail!(
            "--listen {self} is refused: everybody who can reach that address could read the names, figures and call \
             stacks of the processes here; say --expose-to-network if they may, or listen on 127.0.0.1 or unix:PATH"
        )
    }

    /// Listens there. A socket in the file system gets these permissions, and takes the place of one that no server
    /// listens on any more.
    ///
    /// # Errors
    /// Where that cannot be.
    pub(crate) fn listen(&self, mode: u32) -> Result<Listener> {
        let listener = match self {
            Self::Tcp(address) => Listener::Tcp(TcpListener::bind(address).with_context(|| self.to_string())?),
            Self::Unix(path) => {
                let is_socket = fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
                let is_left = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
                if is_socket && UnixStream::connect(path).is_err_and(is_left) {
                    fs::remove_file(path).with_context(|| self.to_string())?;
                }
                // Nobody else may connect before the permissions are those that are wanted.
                let bound = system::with_private_files(|| UnixListener::bind(path));
                let listener = Listener::Unix(bound.with_context(|| self.to_string())?, path.clone());
                fs::set_permissions(path, Permissions::from_mode(mode)).with_context(|| self.to_string())?;
                listener
            }
        };
        match &listener {
            Listener::Tcp(socket) => socket.set_nonblocking(true)?,
            Listener::Unix(socket, _) => socket.set_nonblocking(true)?,
        }
        Ok(listener)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "{address}"),
            Self::Unix(path) => write!(out, "{UNIX}{}", path.display()),
        }
    }
}

/// A socket that listens. One in the file system goes with this.
pub(crate) enum Listener {
    /// See [`Address::Tcp`].
    Tcp(TcpListener),
    /// See [`Address::Unix`].
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// The next connection; an error of kind `WouldBlock` where none waits.
    pub(super) fn accept(&self) -> io::Result<Box<dyn Connection + Send>> {
        Ok(match self {
            Self::Tcp(socket) => Box::new(socket.accept()?.0),
            Self::Unix(socket, _) => Box::new(socket.accept()?.0),
        })
    }

    /// Where it listens, as a client names it.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Tcp(socket) => socket.local_addr().map_or_else(|_| String::new(), |at| format!("http://{at}/")),
            Self::Unix(_, path) => format!("{UNIX}{}", path.display()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket, _) => socket.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // It may be gone already.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(parsed("localhost:80"), parsed("127.0.0.1:80"));
        assert_eq!(parsed("unix:/run/a b"), parsed("/run/a b"));
        assert_eq!(parsed("unix:rel").to_string(), "unix:rel");
        for bad in ["", ":9317", "9317", "example.com:80", "unix:", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_this_machine_is_served_without_the_word() {
        for local in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "/a"] {
            assert!(parsed(local).check(false).is_ok(), "{local}");
        }
        for public in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[fe80::1]:1", "[::ffff:10.0.0.1]:1"] {
            let refusal = parsed(public).check(false).unwrap_err().to_string();
            assert!(refusal.contains("--expose-to-network") && !refusal.contains('\n'), "{refusal}");
            assert!(parsed(public).check(true).is_ok());
        }
    }

    #[test]
    fn a_socket_is_private_replaces_one_that_is_left_and_goes_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let address = Address::Unix(path.clone());
        // A server that was killed leaves its socket behind.
        drop(UnixListener::bind(&path).unwrap());
        let listener = address.listen(0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(listener.accept().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
        assert!(address.listen(0o600).is_err(), "one that is in use stays");
        drop(listener);
        assert!(!path.exists());
        fs::write(&path, "a file").unwrap();
        assert!(address.listen(0o600).is_err() && fs::read_to_string(&path).unwrap() == "a file");
    }
}

//! As much of HTTP/1.1 as scrapers need: one GET or HEAD for each connection, within bounds of bytes and time.
//!
//! Must not know: what is asked for and answered.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Bytes of a request at most.
const REQUEST_MAX: usize = 8 << 10;
/// How long a request may take to arrive, an answer to be taken, and what a client sends besides to be passed over.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
const LINGERS: Duration = Duration::from_millis(200);
/// Bytes that are passed over at most.
const PASSED_MAX: usize = 64 << 10;

/// A connection, of whichever kind.
pub(super) trait Connection: Read + Write {
    /// Has the next read or write end after so long.
    fn wait_at_most(&self, time: Duration) -> io::Result<()>;
    /// Says that nothing more comes.
    fn finish(&self) -> io::Result<()>;
}

macro_rules! connection {
    ($($kind:ty),+) => {
        $(impl Connection for $kind {
            fn wait_at_most(&self, time: Duration) -> io::Result<()> {
                self.set_read_timeout(Some(time))?;
                self.set_write_timeout(Some(time))
            }

            fn finish(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        })+
    };
}

connection!(TcpStream, UnixStream);

/// A request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Request {
    /// Whether only the head of the answer is wanted.
    is_head: bool,
    pub(super) path: String,
    query: String,
    /// The names of headers in small letters.
    headers: Vec<(String, String)>,
}

impl Request {
    /// The value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// The value of a header; of several the first.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The request of which this is the text up to the empty line; else the status that refuses it.
    fn parse(text: &str) -> Result<Self, u16> {
        let mut lines = text.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target, version) = (words.next(), words.next(), words.next());
        let (Some(method), Some(target), Some(version), None) = (method, target, version, words.next()) else {
            return Err(400);
        };
        if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
            return Err(400);
        }
        if !matches!(method, "GET" | "HEAD") {
            return Err(405);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(400_u16)?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let (path, query) = (path.to_owned(), query.to_owned());
        Ok(Self { is_head: method == "HEAD", path, query, headers })
    }

    #[cfg(test)]
    pub(super) fn get(target: &str, headers: &[(&str, &str)]) -> Self {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Self::parse(&format!("GET {target} HTTP/1.1\r\n{headers}")).unwrap()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The kind of its body.
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

impl Answer {
    /// A line of text.
    pub(super) fn text(status: u16, text: impl AsRef<str>) -> Self {
        Self { status, kind: TEXT, body: format!("{}\n", text.as_ref()).into_bytes() }
    }

    fn head(&self) -> String {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            421 => "Misdirected Request",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        let allow = if self.status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        // pprof shows the text of an error only with its own header.
        format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Security-Policy: default-src \
             'none'; style-src 'unsafe-inline'\r\nX-Go-Pprof: 1\r\n\r\n",
            self.status,
            self.kind,
            self.body.len()
        )
    }
}

/// Reads one request and answers it. A client that is gone, or keeps this waiting, gets no answer.
pub(super) fn serve(client: &mut dyn Connection, answer: impl FnOnce(&Request) -> Answer) {
    let (answer, is_head) = match read(client) {
        Ok(Ok(request)) => (answer(&request), request.is_head),
        Ok(Err(status)) => {
            let said = match status {
                405 => "only GET and HEAD are answered here",
                408 => "the request did not come in time",
                431 => "the request is too long",
                _ => "that is no request of HTTP/1.1",
            };
            (Answer::text(status, said), false)
        }
        Err(_) => return,
    };
    let head = answer.head();
    let body = if is_head { &[] } else { answer.body.as_slice() };
    let end = Instant::now() + TAKEN_WITHIN;
    if write(client, head.as_bytes(), end).and_then(|()| write(client, body, end)).is_ok() {
        linger(client);
    }
}

/// Refuses a connection for which there is no room, without waiting for its client.
pub(super) fn refuse(client: &mut dyn Connection) {
    let answer = Answer::text(503, "too many connections");
    let refused = [answer.head().into_bytes(), answer.body].concat();
    // As much as there is room for at once.
    let _ = client.wait_at_most(Duration::from_millis(1)).and_then(|()| client.write(&refused));
}

/// The time that is left until `end`.
fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn read(client: &mut dyn Connection) -> io::Result<Result<Request, u16>> {
    let end = Instant::now() + ASKED_WITHIN;
    let (mut bytes, mut piece) = (Vec::new(), [0; 1 << 10]);
    loop {
        let Ok(left) = left(end) else { return Ok(Err(408)) };
        client.wait_at_most(left)?;
        let count = match client.read(&mut piece) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
            Err(error) => return Err(error),
        };
        // Of the pieces before, an end may have come in part.
        let from = bytes.len().saturating_sub(3);
        bytes.extend_from_slice(&piece[..count]);
        let ends = |end: &[u8]| bytes[from..].windows(end.len()).position(|window| window == end).map(|at| from + at);
        if let Some(end) = ends(b"\r\n\r\n").or_else(|| ends(b"\n\n")) {
            return Ok(str::from_utf8(&bytes[..end]).map_err(|_| 400).and_then(Request::parse));
        }
        if bytes.len() > REQUEST_MAX {
            return Ok(Err(431));
        }
    }
}

fn write(client: &mut dyn Connection, mut bytes: &[u8], end: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        client.wait_at_most(left(end)?)?;
        match client.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Passes over what the client still sends: a connection that is closed with bytes unread may take the answer along.
fn linger(client: &mut dyn Connection) {
    let end = Instant::now() + LINGERS;
    let (mut piece, mut passed) = ([0; 1 << 10], 0);
    if client.finish().is_err() {
        return;
    }
    while passed < PASSED_MAX
        && let Ok(left) = left(end)
        && client.wait_at_most(left).is_ok()
    {
        match client.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(count) => passed += count,
        }
    }
}

/// Whether the name of a host, with or without a port, can mean this machine alone: an address, or `localhost`. Any
/// other name may be that of a page in somebody's browser which has its name lead here.
pub(super) fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    name.is_some_and(|name| name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn requests_are_taken_apart() {
        let request = Request::get("/a?pid=7&x=&pid=8", &[("Accept", " text/plain "), ("HOST", "[::1]:9")]);
        assert_eq!((request.path.as_str(), request.parameter("pid")), ("/a", Some("7")));
        assert_eq!((request.parameter("x"), request.parameter("y"), request.parameter("pi")), (Some(""), None, None));
        assert_eq!((request.header("accept"), request.header("host")), (Some("text/plain"), Some("[::1]:9")));
        assert!(Request::parse("HEAD / HTTP/1.0").unwrap().is_head);
    }

    #[test]
    fn other_requests_are_refused() {
        for bad in ["", "GET /", "GET  / HTTP/1.1", "GET / HTTP/2", "GET x HTTP/1.1", "GET / HTTP/1.1 x"] {
            assert_eq!(Request::parse(bad), Err(400), "{bad}");
        }
        assert_eq!(Request::parse("GET / HTTP/1.1\r\nno header"), Err(400));
        assert_eq!(Request::parse("POST / HTTP/1.1"), Err(405));
    }

    #[test]
    fn hosts_are_addresses_or_this_machine() {
        assert!(
            ["localhost", "LOCALHOST:9317", "127.0.0.1:9317", "10.1.2.3", "[::1]:9317", "[fe80::1]"].map(is_here)
                == [true; 6]
        );
        assert!(["evil.example", "evil.example:9317", "", "127.0.0.1.evil.example", "[x]"].map(is_here) == [false; 5]);
    }

    fn exchange(pieces: &[&[u8]]) -> String {
        let (mut client, mut server) = UnixStream::pair().unwrap();
        let answer = |request: &Request| Answer::text(200, format!("path {}", request.path));
        let served = thread::spawn(move || serve(&mut server, answer));
        for piece in pieces {
            client.write_all(piece).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
        client.finish().unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        served.join().unwrap();
        text
    }

    #[test]
    fn a_request_may_come_in_pieces() {
        let text = exchange(&[b"GET /x HT", b"TP/1.1\r\nA: b\r", b"\n\r", b"\nmore"]);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\npath /x\n"), "{text}");
        assert!(text.contains("Content-Length: 8\r\n") && text.contains("Connection: close\r\n"), "{text}");
        assert!(exchange(&[b"GET /y HTTP/1.0\n\n"]).ends_with("path /y\n"));
        let head = exchange(&[b"HEAD /y HTTP/1.1\r\n\r\n"]);
        assert!(head.contains("Content-Length: 8\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[test]
    fn what_is_no_request_gets_a_status_or_nothing() {
        assert!(exchange(&[b"junk\r\n\r\n"]).starts_with("HTTP/1.1 400 Bad Request"));
        assert!(exchange(&[b"GET /\xff HTTP/1.1\r\n\r\n"]).starts_with("HTTP/1.1 400"));
        assert!(exchange(&[b"PUT / HTTP/1.1\r\n\r\n"]).contains("\r\nAllow: GET, HEAD\r\n"));
        assert_eq!(exchange(&[b"GET / HTTP/1.1\r\n"]), "");
        let long = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(REQUEST_MAX));
        assert!(exchange(&[long.as_bytes()]).starts_with("HTTP/1.1 431"));
    }

    #[test]
    fn a_client_that_sends_slowly_is_given_up() {
        let (client, mut server) = UnixStream::pair().unwrap();
        let start = Instant::now();
        let feeder = thread::spawn(move || {
            let mut client = client;
            while start.elapsed() < ASKED_WITHIN * 3 && client.write_all(b"A").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
            let mut text = String::new();
            let _ = client.read_to_string(&mut text);
            text
        });
        serve(&mut server, |_| Answer::text(200, "never"));
        drop(server);
        assert!(start.elapsed() < ASKED_WITHIN * 2, "{:?}", start.elapsed());
        assert!(feeder.join().unwrap().starts_with("HTTP/1.1 408"));
    }
}

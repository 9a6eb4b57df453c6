//! A client of HTTP: one request on a connection, and its whole answer.
//!
//! Must not know: which server answers.

use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The number in its first line.
    pub status: u16,
    /// Its first line and its headers.
    pub head: String,
    /// The bytes behind them.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, if the status is 200.
    pub fn ok(&self) -> Result<String, String> {
        self.wants(200, "")
    }

    /// The body, if it has this status and contains that.
    pub fn wants(&self, status: u16, part: &str) -> Result<String, String> {
        let text = self.text();
        if self.status == status && text.contains(part) {
            return Ok(text);
        }
        Err(format!("not {status} with `{part}`: {}\n{text}", self.head))
    }
}

/// Connects to `127.0.0.1:PORT`.
pub fn connect(place: &str) -> Result<TcpStream, String> {
    TcpStream::connect(place).map_err(|error| format!("{place}: {error}"))
}

/// The whole answer to a GET with these header lines.
pub fn get(stream: impl Read + Write, path: &str, headers: &[&str]) -> Result<Answer, String> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let text = request(stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"))?;
    let end = text.windows(4).position(|window| window == b"\r\n\r\n").ok_or("no head")?;
    let head = String::from_utf8_lossy(&text[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(|| head.clone())?;
    Ok(Answer { status, head, body: text[end + 4..].to_vec() })
}

/// Sends these bytes; all that the server sends until it closes the connection.
pub fn request(mut stream: impl Read + Write, text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let done = stream.write_all(text.as_bytes()).and_then(|()| stream.read_to_end(&mut bytes));
    done.map(|_| bytes).map_err(|error| error.to_string())
}

/// Asks again until the answer contains all of these.
pub fn get_until(place: &str, path: &str, parts: &[&str]) -> Result<String, String> {
    let start = Instant::now();
    loop {
        let answer = connect(place).and_then(|stream| get(stream, path, &["Connection: close"]));
        match answer {
            Ok(answer) if parts.iter().all(|part| answer.text().contains(part)) => return Ok(answer.text()),
            answer if start.elapsed() > Duration::from_secs(60) => {
                return Err(format!("{path}: no {parts:?} in {answer:?}"));
            }
            _ => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// A port that is free now.
pub fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

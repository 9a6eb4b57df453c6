//! A small load for memcached: several connections at once set, get, append and delete; what they get back becomes a
//! checksum.
//!
//! Knows: memcached's text protocol. Must not know: how the server was started.

use super::generate::Numbers;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;

const CONNECTIONS: u64 = 8;
const REQUESTS: u64 = 6_000;
const KEYS: u64 = 1_500;
const VALUE_LIMIT: u64 = 3_000;
const CHECKSUM_FACTOR: u64 = 1_099_511_628_211;

/// Runs the load, then stops the server. Each connection has its own keys, so the replies do not depend on their order.
///
/// # Errors
/// When the server answers anything unexpected.
pub(super) fn load(port: u16) -> Result<String> {
    let workers: Vec<_> = (0..CONNECTIONS).map(|connection| thread::spawn(move || session(port, connection))).collect();
    let mut output = String::new();
    for (connection, worker) in workers.into_iter().enumerate() {
        let checksum = worker.join().ok().context("a client thread failed")??;
        output.push_str(&format!("connection {connection}: {checksum:016x}\n"));
    }
    Client::new(port)?.send(b"shutdown\r\n")?;
    Ok(output)
}

struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    fn new(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    fn send(&mut self, request: &[u8]) -> Result<()> {
        Ok(self.reader.get_mut().write_all(request)?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// The value of a key, or none.
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        self.send(format!("get {key}\r\n").as_bytes())?;
        let header = self.line()?;
        if header == "END" {
            return Ok(None);
        }
        let size: usize = header
            .rsplit(' ')
            .next()
            .and_then(|size| size.parse().ok())
            .with_context(|| format!("bad reply {header:?}"))?;
        let mut value = vec![0; size + "\r\nEND\r\n".len()];
        self.reader.read_exact(&mut value)?;
        value.truncate(size);
        Ok(Some(value))
    }

    fn store(&mut self, command: &str, key: &str, value: &[u8]) -> Result<bool> {
        let mut request = format!("{command} {key} 0 0 {}\r\n", value.len()).into_bytes();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
        self.send(&request)?;
        match self.line()?.as_str() {
            "STORED" => Ok(true),
            "NOT_STORED" => Ok(false),
            other => bail!("memcached answered {other:?} to {command}"),
        }
    }
}

fn session(port: u16, connection: u64) -> Result<u64> {
    let mut client = Client::new(port)?;
    let mut numbers = Numbers::new(connection + 1);
    let mut checksum = connection;
    let mut mix = |value: u64| checksum = (checksum ^ value).wrapping_mul(CHECKSUM_FACTOR);
    for _ in 0..REQUESTS {
        let key = format!("c{connection}-{}", numbers.below(KEYS));
        let fill = u8::try_from(numbers.below(26)).unwrap_or(0) + b'a';
        let value = vec![fill; usize::try_from(numbers.below(VALUE_LIMIT)).unwrap_or(0)];
        match numbers.below(8) {
            0..=2 => mix(u64::from(client.store("set", &key, &value)?)),
            3 => mix(u64::from(client.store("append", &key, &value[..value.len() / 8])?)),
            4 => {
                client.send(format!("delete {key}\r\n").as_bytes())?;
                mix(client.line()?.len() as u64);
            }
            _ => client.get(&key)?.unwrap_or_default().iter().for_each(|byte| mix(u64::from(*byte))),
        }
    }
    Ok(checksum)
}

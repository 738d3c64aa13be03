//! `ratelimit-server healthy`: asks the instance on this machine whether it lives.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::settings::{from_here, Settings};

/// Shorter than what asks is itself given, by Docker for example.
const WITHIN: Duration = Duration::from_secs(2);
const LINE: &[u8] = b"HTTP/1.1 200 ";

/// `Err`: what is wrong.
pub fn ask(settings: &Settings) -> Result<(), String> {
    let address = from_here(settings.listen);
    if address.port() == 0 {
        return Err("PORT must say which instance is asked, not 0".to_owned());
    }
    match answer(address) {
        Ok(line) if line == LINE => Ok(()),
        Ok(line) => Err(format!("{address} answered {:?}", String::from_utf8_lossy(&line))),
        Err(error) => Err(format!("{address} does not answer: {error}")),
    }
}

/// As many bytes as tell the status.
fn answer(address: SocketAddr) -> io::Result<[u8; LINE.len()]> {
    let end = Instant::now() + WITHIN;
    let mut stream = TcpStream::connect_timeout(&address, WITHIN)?;
    stream.set_write_timeout(Some(WITHIN))?;
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut line = [0; LINE.len()];
    let mut read = 0;
    while read < line.len() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut line[read..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
    }
    Ok(line)
}

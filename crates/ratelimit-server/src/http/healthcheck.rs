//! `ratelimit-server healthy`: asks the instance on this machine for `/healthz`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::settings::{from_here, Settings};

/// Shorter than the deadline that Docker, for example, gives a health check.
const TIMEOUT: Duration = Duration::from_secs(2);
const HEALTHY: &[u8] = b"HTTP/1.1 200 ";

/// Asks the instance that listens at this address of the settings.
///
/// # Errors
/// Why it is not healthy.
pub fn check_health(settings: &Settings) -> Result<(), String> {
    let address = from_here(settings.admin.unwrap_or(settings.listen));
    if address.port() == 0 {
        return Err("PORT must be the port of the instance, not 0".to_owned());
    }
    match status_line(address) {
        Ok(line) if line == HEALTHY => Ok(()),
        Ok(line) => Err(format!("{address} answered {:?}", String::from_utf8_lossy(&line))),
        Err(error) => Err(format!("{address} does not answer: {error}")),
    }
}

/// The beginning of the answer, as far as the status.
fn status_line(address: SocketAddr) -> io::Result<[u8; HEALTHY.len()]> {
    let deadline = Instant::now() + TIMEOUT;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut line = [0; HEALTHY.len()];
    let mut read = 0;
    while read < line.len() {
        let left = deadline.saturating_duration_since(Instant::now());
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

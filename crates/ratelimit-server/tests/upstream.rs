//! An API without limits, behind a proxy.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Counts its requests, keeps the head of the last one, and answers each with the same function.
pub struct Upstream {
    pub port: u16,
    requests: Arc<AtomicUsize>,
    last: Arc<Mutex<String>>,
}

impl Upstream {
    /// Answers 200 `hello`, or 403 to `/secret`.
    pub fn start() -> Self {
        Self::answering(|head| {
            let status = if head.starts_with("GET /secret") { "403 Forbidden" } else { "200 OK" };
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello")
        })
    }

    /// Closes the connection without an answer.
    pub fn dying() -> Self {
        Self::answering(|_| String::new())
    }

    pub fn answering(answer: fn(&str) -> String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let upstream = Self { port, requests: Arc::default(), last: Arc::default() };
        let (requests, last) = (Arc::clone(&upstream.requests), Arc::clone(&upstream.last));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (requests, last) = (Arc::clone(&requests), Arc::clone(&last));
                // A proxy may open a connection before it has a request for it.
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    let Some(head) = receive(&mut stream) else { return };
                    requests.fetch_add(1, Relaxed);
                    let answer = answer(&head);
                    *last.lock().expect("no panic") = head;
                    let _ = stream.get_mut().write_all(answer.as_bytes());
                });
            }
        });
        upstream
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Relaxed)
    }

    /// The first line and the fields of the last request.
    pub fn last(&self) -> String {
        self.last.lock().expect("no panic").clone()
    }
}

/// Reads a whole request and returns its head. `None`: the connection ended before.
fn receive(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(0, |(_, length)| length.parse().expect("a length"));
    std::io::copy(&mut stream.take(length), &mut std::io::sink()).ok()?;
    Some(head)
}

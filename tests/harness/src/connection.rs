//! One connection to a server.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;

use super::wait::DEADLINE;
use super::Reply;

/// The value of a key as DUMP has it, and its expiry.
pub type Snapshot = (Reply, Reply);

pub struct Connection {
    source: BufReader<TcpStream>,
    raw: Vec<u8>,
}

impl Connection {
    pub fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        // If a server does not answer, the test fails instead of hanging.
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self { source: BufReader::new(stream), raw: Vec::new() })
    }

    /// Sends a command, such as `GET k`, and returns the reply, which may be an error.
    #[track_caller]
    pub fn reply_to(&mut self, line: &str) -> Reply {
        self.call(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// The same, where an error fails the test.
    #[track_caller]
    pub fn must(&mut self, line: &str) -> Reply {
        let reply = self.reply_to(line);
        assert!(!matches!(reply, Reply::Error(_)), "{line}: {reply:?}");
        reply
    }

    /// Sends words of any bytes, and returns the reply.
    #[track_caller]
    pub fn call(&mut self, words: &[impl AsRef<[u8]>]) -> Reply {
        self.try_call(words).expect("the server answers")
    }

    /// The same, where the server may be gone.
    pub fn try_call(&mut self, words: &[impl AsRef<[u8]>]) -> io::Result<Reply> {
        self.send_bytes(&encode(words))?;
        self.try_receive()
    }

    /// Sends all commands at once, and returns their replies.
    #[track_caller]
    pub fn pipeline(&mut self, lines: &[impl AsRef<str>]) -> Vec<Reply> {
        let words = |line| str::split_whitespace(line).collect::<Vec<_>>();
        let calls: Vec<_> = lines.iter().map(|line| words(line.as_ref())).collect();
        self.pipeline_calls(&calls)
    }

    /// The same, with words of any bytes.
    #[track_caller]
    pub fn pipeline_calls(&mut self, calls: &[Vec<impl AsRef<[u8]>>]) -> Vec<Reply> {
        let bytes: Vec<u8> = calls.iter().flat_map(|words| encode(words)).collect();
        self.send_bytes(&bytes).expect("the server listens");
        calls.iter().map(|_| self.receive()).collect()
    }

    pub fn send(&mut self, words: &[impl AsRef<[u8]>]) {
        self.send_bytes(&encode(words)).expect("the server listens");
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.source.get_mut().write_all(bytes)
    }

    #[track_caller]
    pub fn receive(&mut self) -> Reply {
        self.try_receive().expect("the server answers")
    }

    pub fn try_receive(&mut self) -> io::Result<Reply> {
        self.raw.clear();
        Reply::read(&mut self.source, &mut self.raw)
    }

    /// The last reply as it came over the wire.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    pub fn source(&mut self) -> &mut BufReader<TcpStream> {
        &mut self.source
    }

    /// A field of INFO. Empty if the server has no such field.
    #[track_caller]
    pub fn info(&mut self, field: &str) -> String {
        let info = self.must("INFO everything").text();
        let mut fields = info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| *name == field).map_or(String::new(), |(_, v)| v.to_owned())
    }

    #[track_caller]
    pub fn info_number(&mut self, field: &str) -> i64 {
        let value = self.info(field);
        value.parse().unwrap_or_else(|_| panic!("INFO {field} is `{value}`"))
    }

    /// Whether the server has a command, such as `COPY` or `CLUSTER|MIGRATESLOTS`.
    pub fn knows_command(&mut self, name: &str) -> bool {
        matches!(self.reply_to(&format!("COMMAND INFO {name}")).array(), [Reply::Array(_)])
    }

    /// The value and the expiry of a key, to compare them. If there is no key, the value is `Nil`.
    pub fn snapshot(&mut self, key: &[u8]) -> Snapshot {
        let dump = self.call(&[b"DUMP", key]);
        (dump, self.call(&[b"PEXPIRETIME", key]))
    }
}

fn encode(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

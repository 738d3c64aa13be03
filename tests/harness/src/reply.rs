//! A server's reply, in RESP2 or RESP3.

use std::io::{self, BufRead};

/// Maps and sets of RESP3 become arrays, as in RESP2. A push has a variant of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Status(String),
    Error(String),
    Integer(i64),
    Bytes(Vec<u8>),
    Nil,
    Array(Vec<Reply>),
    Push(Vec<Reply>),
}

impl Reply {
    /// Reads one reply, and appends its bytes as they came to `raw`.
    pub fn read(source: &mut impl BufRead, raw: &mut Vec<u8>) -> io::Result<Self> {
        let line = read_line(source, raw)?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| invalid("an empty line"))?;
        Ok(match kind {
            "+" => Self::Status(rest.to_owned()),
            "-" => Self::Error(rest.to_owned()),
            ":" => Self::Integer(number(rest)?),
            "$" | "=" => read_bytes(source, number(rest)?, raw)?,
            "*" | "~" => read_array(source, number(rest)?, raw)?.map_or(Self::Nil, Self::Array),
            "%" => read_array(source, 2 * number(rest)?, raw)?.map_or(Self::Nil, Self::Array),
            ">" => read_array(source, number(rest)?, raw)?.map_or(Self::Nil, Self::Push),
            "_" => Self::Nil,
            "," | "#" | "(" => Self::Bytes(rest.into()),
            _ => return Err(invalid(&line)),
        })
    }

    #[track_caller]
    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(n) => *n,
            other => panic!("expected an integer, got {other:?}"),
        }
    }

    #[track_caller]
    pub fn array(&self) -> &[Reply] {
        match self {
            Self::Array(items) | Self::Push(items) => items,
            other => panic!("expected an array, got {other:?}"),
        }
    }

    #[track_caller]
    pub fn integers(&self) -> Vec<i64> {
        self.array().iter().map(Reply::integer).collect()
    }

    #[track_caller]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            other => panic!("expected bytes, got {other:?}"),
        }
    }

    /// A status or a bulk string.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Self::Status(text) => text.clone(),
            other => String::from_utf8_lossy(other.bytes()).into_owned(),
        }
    }

    /// The texts of an array of texts.
    #[track_caller]
    pub fn texts(&self) -> Vec<String> {
        self.array().iter().map(Reply::text).collect()
    }

    #[track_caller]
    pub fn error(&self) -> &str {
        match self {
            Self::Error(text) => text,
            other => panic!("expected an error, got {other:?}"),
        }
    }

    /// Fails unless the reply is an error that begins so.
    #[track_caller]
    pub fn expect_error(&self, start: &str) {
        assert!(self.error().starts_with(start), "expected {start}, got {self:?}");
    }

    /// Whether a limiter's reply allows the call. An error fails the test.
    #[track_caller]
    pub fn allowed(&self) -> bool {
        self.numbers()[0] == 1
    }

    /// The five numbers at the start of a limiter's reply.
    #[track_caller]
    pub fn numbers(&self) -> [i64; 5] {
        std::array::from_fn(|i| self.array()[i].integer())
    }

    /// The `remaining` of a limiter's reply.
    #[track_caller]
    pub fn remaining(&self) -> i64 {
        self.numbers()[2]
    }

    /// The `retry_after_ms` of a limiter's reply.
    #[track_caller]
    pub fn retry_after_ms(&self) -> i64 {
        self.numbers()[3]
    }

    /// The value of a field in a map.
    #[track_caller]
    pub fn field(&self, name: &str) -> &Reply {
        self.optional_field(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The same, if the map has such a field.
    #[track_caller]
    pub fn optional_field(&self, name: &str) -> Option<&Reply> {
        let mut fields = self.array().chunks_exact(2);
        fields.find(|field| field[0].text() == name).map(|field| &field[1])
    }
}

fn read_line(source: &mut impl BufRead, raw: &mut Vec<u8>) -> io::Result<String> {
    let start = raw.len();
    source.read_until(b'\n', raw)?;
    let line = raw[start..].strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn read_bytes(source: &mut impl BufRead, len: i64, raw: &mut Vec<u8>) -> io::Result<Reply> {
    let Ok(len) = usize::try_from(len) else { return Ok(Reply::Nil) };
    let start = raw.len();
    raw.resize(start + len + 2, 0);
    source.read_exact(&mut raw[start..])?;
    Ok(Reply::Bytes(raw[start..start + len].into()))
}

fn read_array(
    source: &mut impl BufRead,
    len: i64,
    raw: &mut Vec<u8>,
) -> io::Result<Option<Vec<Reply>>> {
    let Ok(len) = usize::try_from(len) else { return Ok(None) };
    (0..len).map(|_| Reply::read(source, raw)).collect::<io::Result<_>>().map(Some)
}

fn number(digits: &str) -> io::Result<i64> {
    digits.parse().map_err(|_| invalid(digits))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

//! Reads `tests/vectors.txt`: the contract in examples. The head of that file explains its lines.

use super::{error_text, Reply, T0_MICROS};

pub const VECTORS: &str = include_str!("../../vectors.txt");

/// A case starts with no key.
pub struct Case {
    pub line: usize,
    pub title: &'static str,
    pub steps: Vec<Step>,
}

pub struct Step {
    pub line: usize,
    /// The line of the file.
    pub text: &'static str,
    pub now_micros: i64,
    pub action: Action,
}

pub enum Action {
    /// Another client sets the key, or deletes it.
    Plant(Option<Held>),
    Send(Request),
}

/// A string and its expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub value: Vec<u8>,
    /// `None` if it never expires.
    pub expiry_ms: Option<i64>,
}

/// A call, and what must come of it.
pub struct Request {
    /// CHECK or PEEK.
    pub verb: &'static str,
    /// The words after the key.
    pub words: Vec<Vec<u8>>,
    pub expected: Reply,
    /// What an allowed CHECK stores. Any other call leaves the key as it was.
    pub leaves: Option<Held>,
}

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (i, text) in VECTORS.lines().enumerate() {
        let (line, text) = (i + 1, text.trim());
        if let Some(title) = text.strip_prefix("case ") {
            cases.push(Case { line, title, steps: Vec::new() });
        } else if !text.is_empty() && !text.starts_with('#') {
            let step = step(line, text).filter(Step::stores_as_it_must);
            let step = step.unwrap_or_else(|| panic!("tests/vectors.txt:{line}: no step: {text}"));
            cases.last_mut().expect("a case comes first").steps.push(step);
        }
    }
    cases
}

impl Step {
    /// An allowed CHECK must say what it stores, and no other call may.
    fn stores_as_it_must(&self) -> bool {
        let Action::Send(request) = &self.action else { return true };
        let allowed =
            matches!(&request.expected, Reply::Array(items) if items[0] == Reply::Integer(1));
        request.leaves.is_some() == (allowed && request.verb == "CHECK")
    }
}

fn step(line: usize, text: &'static str) -> Option<Step> {
    let tokens = tokens(text)?;
    let mut columns = tokens.split(|token| *token == "|");
    let (moment, doing) = columns.next()?.split_first()?;
    let action = match doing {
        ["DEL"] => Action::Plant(None),
        ["SET", planted @ ..] => Action::Plant(Some(held(planted)?)),
        [verb @ ("CHECK" | "PEEK"), words @ ..] => Action::Send(Request {
            verb,
            words: words.iter().map(|word| bytes(word.trim_matches('"'))).collect::<Option<_>>()?,
            expected: reply(columns.next()?)?,
            leaves: match columns.next() {
                Some(column) => Some(held(column)?),
                None => None,
            },
        }),
        _ => return None,
    };
    let now_micros = moment_micros(moment)?;
    columns.next().is_none().then_some(Step { line, text, now_micros, action })
}

/// The parts between spaces. Quotes hold a part together and stay in it.
fn tokens(text: &'static str) -> Option<Vec<&'static str>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = match rest.strip_prefix('"') {
            Some(inside) => inside.find('"')? + 2,
            None => rest.find(' ').unwrap_or(rest.len()),
        };
        tokens.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    Some(tokens)
}

/// `"value" until end`, or `"value" for ever`.
fn held(tokens: &[&str]) -> Option<Held> {
    let (value, expiry_ms) = match tokens {
        [value, "for", "ever"] => (value, None),
        [value, "until", end] => (value, Some(end_ms(end)?)),
        _ => return None,
    };
    let value = value.strip_prefix('"')?.strip_suffix('"')?;
    let words: Vec<_> = value.split(' ').map(stored_word).collect::<Option<_>>()?;
    Some(Held { value: bytes(&words.join(" "))?, expiry_ms })
}

/// A moment inside a value becomes a number in its own unit.
fn stored_word(word: &str) -> Option<String> {
    if !word.starts_with('@') {
        return Some(word.to_owned());
    }
    let micros = moment_micros(word)?;
    Some(if word.ends_with("us") { micros } else { micros / 1000 }.to_string())
}

fn end_ms(token: &str) -> Option<i64> {
    match moment_micros(token) {
        Some(micros) => (micros % 1000 == 0).then_some(micros / 1000),
        None => token.parse().ok(),
    }
}

/// `@15ms` is 15 ms after T0.
fn moment_micros(token: &str) -> Option<i64> {
    let time = token.strip_prefix('@')?;
    let (number, unit) = time.split_at(time.find(|c: char| c.is_ascii_alphabetic())?);
    let micros = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    Some(T0_MICROS + number.parse::<i64>().ok()? * micros)
}

/// `1 5 4 0 1000 [5 4 0 1000] [9 8 0 60000]`, or `error Limit`.
fn reply(tokens: &[&str]) -> Option<Reply> {
    if let ["error", name] = tokens {
        return Some(Reply::Error(error_text(name).to_owned()));
    }
    let line = tokens.join(" ");
    let mut groups = line.split('[').map(|group| integers(group.trim().trim_end_matches(']')));
    let mut reply = groups.next()?.filter(|head| head.len() == 5)?;
    let pairs: Vec<_> = groups.map(|pair| pair.map(Reply::Array)).collect::<Option<_>>()?;
    if !pairs.is_empty() {
        reply.push(Reply::Array(pairs));
    }
    Some(Reply::Array(reply))
}

fn integers(text: &str) -> Option<Vec<Reply>> {
    text.split(' ').map(|word| word.parse().ok().map(Reply::Integer)).collect()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('\\');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (byte, rest) = match part.as_bytes() {
            [b'0', rest @ ..] => (0, rest),
            [b'n', rest @ ..] => (b'\n', rest),
            [b'x', _, _, rest @ ..] => (u8::from_str_radix(part.get(1..3)?, 16).ok()?, rest),
            _ => return None,
        };
        bytes.push(byte);
        bytes.extend_from_slice(rest);
    }
    Some(bytes)
}

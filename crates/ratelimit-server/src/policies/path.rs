//! The path of a request as servers read it, so that no other spelling of a route escapes its
//! policy.

use std::borrow::Cow;

/// The ways in which servers may read one path. A plain path is not copied.
#[derive(Debug)]
pub(super) struct RequestPath<'a> {
    /// `/a/..//%6cogin` is `/login`: escapes are decoded once, then empty segments and `.` are
    /// removed, and `..` removes the segment before it. nginx does the same before it looks for a
    /// location.
    pub(super) normal: Cow<'a, str>,
    /// The same in lower case, where that needs more than ASCII.
    lower: Option<String>,
    /// The same without path parameters and with `\` for `/`, if the path has any of them:
    /// `/x/..;a=1/login` is `/login` for Java's servers, and something below `/x/` for others.
    bare: Option<String>,
}

impl<'a> RequestPath<'a> {
    pub(super) fn new(path: &'a str) -> Self {
        if is_plain(path) || !path.starts_with('/') {
            return Self { normal: Cow::Borrowed(path), lower: None, bare: None };
        }
        let decoded = decoded(path);
        let normal = resolved(decoded.split('/'));
        let lower = (!normal.is_ascii()).then(|| normal.to_lowercase());
        let bare = decoded.contains([';', '\\']).then(|| {
            let segments = decoded.split(['/', '\\']);
            resolved(segments.map(without_parameters)).to_lowercase()
        });
        Self { normal: Cow::Owned(normal), lower, bare }
    }

    /// Each reading, without what frameworks ignore at the end. ASCII letters keep their case.
    pub(super) fn readings(&self) -> impl Iterator<Item = &str> {
        let first = self.lower.as_deref().unwrap_or(&self.normal);
        std::iter::once(first).chain(self.bare.as_deref()).map(without_end)
    }
}

/// Without slashes, white space and control characters at the end: `/login/`, `/login%20`.
fn without_end(path: &str) -> &str {
    path.trim_end_matches(|c: char| c == '/' || c.is_whitespace() || c.is_control())
}

fn without_parameters(segment: &str) -> &str {
    segment.split(';').next().unwrap_or(segment)
}

/// Whether servers read the path as it is written, but for its case and its end.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    path.bytes().all(|byte| {
        let begins_special = before == b'/' && matches!(byte, b'/' | b'.');
        before = byte;
        byte.is_ascii() && !matches!(byte, b'%' | b';' | b'\\') && !begins_special
    })
}

/// Removes empty segments and `.`, and with `..` the segment before it.
fn resolved<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let (mut segments, mut last) = (Vec::new(), "");
    for segment in all {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
        last = segment;
    }
    let is_folder = matches!(last, "" | "." | "..");
    let end = if is_folder && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

/// Text that is not an escape stays as it is. Bytes that are not UTF-8 are replaced: they match no
/// route.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        match behind.split_first_chunk().and_then(hex).filter(|_| byte == b'%') {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &behind[2..];
            }
            None => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex((digits, _): (&[u8; 2], &[u8])) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> String {
        RequestPath::new(path).normal.into_owned()
    }

    #[test]
    fn every_spelling_of_a_path_is_one() {
        let cases = [
            ("/login", "/login"),
            ("/", "/"),
            ("/%6cogin", "/login"),
            ("/%6C%6fgin", "/login"),
            ("//login", "/login"),
            ("/./login", "/login"),
            ("/a/../login", "/login"),
            ("/%2e%2E/login", "/login"),
            ("/a%2f..%2Flogin", "/login"),
            ("/../../login", "/login"),
            ("/login/", "/login/"),
            ("/login//", "/login/"),
            ("/login/.", "/login/"),
            ("/login/a/..", "/login/"),
            ("/..", "/"),
            ("/.login", "/.login"),
            ("/lo..gin", "/lo..gin"),
        ];
        for (path, expected) in cases {
            assert_eq!(normal(path), expected, "{path}");
        }
    }

    #[test]
    fn only_escapes_are_decoded_and_only_once() {
        let cases = [
            ("/%", "/%"),
            ("/%6", "/%6"),
            ("/%zz", "/%zz"),
            ("/%+6", "/%+6"),
            ("/%256c", "/%6c"),
            ("/%ff", "/\u{fffd}"),
            ("/%ä1", "/%ä1"),
            ("*", "*"),
            ("", ""),
            ("a//b", "a//b"),
        ];
        for (path, expected) in cases {
            assert_eq!(normal(path), expected, "{path}");
        }
    }

    #[test]
    fn a_plain_path_is_not_copied() {
        for path in ["/", "/login", "/Login/", "/a/b.c/d-e_f~g", "/lo..gin", "*"] {
            let read = RequestPath::new(path);
            assert!(matches!(read.normal, Cow::Borrowed(_)), "{path}");
            assert!(read.lower.is_none() && read.bare.is_none(), "{path}");
        }
    }

    #[test]
    fn a_path_with_parameters_or_backslashes_has_two_readings() {
        let cases: [(&str, &[&str]); 7] = [
            ("/login/", &["/login"]),
            ("/login%20/%09", &["/login"]),
            ("/login;x=1", &["/login;x=1", "/login"]),
            ("/x/..;a/Login%3Bb", &["/x/..;a/Login;b", "/login"]),
            ("/x\\..\\login", &["/x\\..\\login", "/login"]),
            ("/%C3%9Cber", &["/über"]),
            ("/", &[""]),
        ];
        for (path, expected) in cases {
            let read = RequestPath::new(path);
            assert_eq!(read.readings().collect::<Vec<_>>(), expected, "{path}");
        }
    }
}

//! The path of a request as servers read it, so that no other spelling of a route escapes its policy.

use std::borrow::Cow;

/// `/a/..//%6cogin` is `/login`: escapes are decoded once, then empty segments and `.` are removed, and
/// `..` removes the segment before it. nginx does the same before it looks for a location.
pub(super) fn normal(path: &str) -> Cow<'_, str> {
    let is_plain = !path.contains('%') && !path.contains("//") && !path.contains("/.");
    if is_plain || !path.starts_with('/') {
        return Cow::Borrowed(path);
    }
    let decoded = decoded(path);
    let mut segments = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let is_folder = ["/", "/.", "/.."].iter().any(|end| decoded.ends_with(end));
    let end = if is_folder && !segments.is_empty() { "/" } else { "" };
    Cow::Owned(format!("/{}{end}", segments.join("/")))
}

/// Text that is not an escape stays as it is. Bytes that are not UTF-8 are replaced: they match no route.
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
}

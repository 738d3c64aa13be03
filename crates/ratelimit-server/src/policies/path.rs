//! The path of a request as servers read it, so that another spelling of a route is not another route.

use std::borrow::Cow;

/// `/a/..//%6cogin` is `/login`: escapes are decoded once; then empty segments and `.` are left out, and
/// `..` takes back the one before it. So nginx does before it looks for a location.
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

/// What is no escape stays as it is; what is no UTF-8 equals no route.
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
    Some((digit(digits[0])? * 16 + digit(digits[1])?) as u8)
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
    fn what_is_no_escape_stays_and_an_escape_is_decoded_once() {
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

//! The file `.env`: lines `NAME=value`. A value is taken as it is written: nothing in it is
//! expanded, so a password may have a `$`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const RULE: &str = "must be NAME=value; a value with spaces, quotes or # stands in quotes";

/// The variables of the file in their order. Without a file there are none.
///
/// `Err`: the message. It does not repeat the line, which may hold a password.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>, String> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text).map_err(|line| format!(".env line {line} {RULE}")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!(".env cannot be read: {error}")),
    }
}

/// `Err`: the number of the first wrong line.
fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(i, line)| variable(line).ok_or(i + 1)).collect()
}

fn variable(line: &str) -> Option<(String, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = name.bytes().all(is_plain) && !name.starts_with(|c: char| c.is_ascii_digit());
    (is_name && !name.is_empty()).then_some((name.to_owned(), value_of(value.trim())?))
}

fn value_of(text: &str) -> Option<String> {
    match text.chars().next() {
        Some('\'') => {
            let (value, rest) = text[1..].split_once('\'')?;
            is_comment(rest).then(|| value.to_owned())
        }
        Some('"') => double_quoted(&text[1..]),
        _ => {
            let value = text.split_once(" #").map_or(text, |(value, _)| value).trim_end();
            let is_plain = !value.starts_with('#')
                && !value.contains(|c: char| c.is_whitespace() || c == '"' || c == '\'');
            is_plain.then(|| value.to_owned())
        }
    }
}

/// `\"` is a quote, `\\` a backslash, `\n` a line end and `\$` a dollar; any other backslash is
/// itself.
fn double_quoted(text: &str) -> Option<String> {
    let (mut value, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next()? {
            '"' => return is_comment(chars.as_str()).then_some(value),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                c @ ('"' | '\\' | '$') => value.push(c),
                c => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
}

/// What may stand behind a value in quotes.
fn is_comment(rest: &str) -> bool {
    let behind = rest.trim_start();
    behind.is_empty() || behind.starts_with('#') && behind.len() < rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_taken_as_it_is_written() {
        let cases = [
            ("A=b", "b"),
            ("export A = b", "b"),
            ("A=", ""),
            ("A=pa$word${B}$", "pa$word${B}$"),
            (r"A=a\b\$", r"a\b\$"),
            ("A=a#b", "a#b"),
            ("A=b # a comment", "b"),
            ("A=b=c", "b=c"),
            ("A='$x \"y\" \\n'", "$x \"y\" \\n"),
            ("A=\"$x 'y'\\n\\\"\\\\\\$\\q\" # a comment", "$x 'y'\n\"\\$\\q"),
            ("\u{feff}A=b\r", "b"),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), Ok(vec![("A".into(), expected.into())]), "{line:?}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number() {
        for line in [
            "A",
            "=b",
            "1A=b",
            "A B=c",
            "A=b c",
            "A=it's",
            "A='b",
            "A=\"b",
            "A='b'c",
            "A=\"b\"#c",
            "A=#b",
        ] {
            assert_eq!(parse(&format!("# one\n\n{line}\nC=d\n")), Err(3), "{line:?}");
        }
        assert_eq!(parse("\n# nothing\n  \n"), Ok(Vec::new()));
    }
}

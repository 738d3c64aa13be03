//! The length of a window as the command has it: `60`, `500ms`, `1h`.

use std::time::Duration;

/// What is said of a length that is none, in the server's own words.
pub(crate) const RULE: &str =
    "must be an integer with an optional unit ms, s, m, h or d, between 1ms and 366d";

const MAX_MS: u64 = 366 * 24 * 60 * 60 * 1000;

/// Seconds without a unit; units in lower case.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.len() > 1 && number.starts_with('0') {
        return None;
    }
    let millis_each: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    from_millis(number.parse::<u64>().ok()?.checked_mul(millis_each)?)
}

/// A plain number of seconds.
pub(crate) fn from_seconds(seconds: u64) -> Option<Duration> {
    from_millis(seconds.checked_mul(1_000)?)
}

fn from_millis(millis: u64) -> Option<Duration> {
    (1..=MAX_MS).contains(&millis).then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_a_number_with_a_unit_within_the_bounds() {
        let good =
            [("60", 60_000), ("500ms", 500), ("1ms", 1), ("1h", 3_600_000), ("366d", MAX_MS)];
        for (text, millis) in good {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        let bad = ["", "0", "0ms", "01", "+1", "-1", " 1", "1 ", "1M", "1.5", "s", "367d", "1ms1"];
        for text in bad.into_iter().chain(["99999999999999999999", "18446744073709551615d"]) {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}

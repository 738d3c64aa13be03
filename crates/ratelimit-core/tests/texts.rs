//! The words and sentences that have their home in the core: names, windows, errors.

use ratelimit_core::policy::{MAX_LIMIT, MAX_PAIRS};
use ratelimit_core::time::{MAX_REFILL_MS, MAX_WINDOW_MS};
use ratelimit_core::{Algorithm, ArgumentError, ClockError, PolicyError, StateError, Window};

#[test]
fn an_algorithm_is_found_by_its_name_in_any_case() {
    for &algorithm in Algorithm::ALL {
        let name = algorithm.name();
        assert_eq!(Algorithm::from_name(name.as_bytes()), Some(algorithm));
        assert_eq!(Algorithm::from_name(name.to_lowercase().as_bytes()), Some(algorithm));
        assert_eq!(Algorithm::from_name(&name.as_bytes()[1..]), None);
    }
    assert_eq!(Algorithm::from_name(b""), None);
}

#[test]
fn a_window_is_written_in_its_largest_unit_and_read_back() {
    let cases = [
        (1, "1ms"),
        (500, "500ms"),
        (1_500, "1500ms"),
        (1_000, "1s"),
        (60_000, "1m"),
        (90_000, "90s"),
        (3_600_000, "1h"),
        (86_400_000, "1d"),
        (MAX_WINDOW_MS, "366d"),
    ];
    for (millis, text) in cases {
        let window = Window::from_millis(millis).unwrap();
        assert_eq!(window.to_string(), text);
        assert_eq!(Window::parse(text.as_bytes()), Some(window));
    }
    assert_eq!(Window::parse(b"60"), Window::from_millis(60_000));
    for wrong in ["", "0", "ms", "060", "1 s", "1S", "1w", "-1", "367d", "1.5s"] {
        assert_eq!(Window::parse(wrong.as_bytes()), None, "{wrong:?}");
    }
}

#[test]
fn a_bound_in_a_text_is_the_enforced_bound() {
    let days = |millis: u64| format!("{}d", millis / 86_400_000);
    let cases = [
        (PolicyError::Limit.text(), format!("between 0 and {MAX_LIMIT}")),
        (PolicyError::Burst.text(), format!("between 1 and {MAX_LIMIT}")),
        (PolicyError::TooManyPairs.text(), format!("at most {MAX_PAIRS}")),
        (PolicyError::BurstRefill.text(), format!("within {}:", days(MAX_REFILL_MS))),
        (PolicyError::BurstRefill.text(), format!("limit x {}", days(MAX_REFILL_MS))),
        (ArgumentError::Cost.text(), format!("between 1 and {MAX_LIMIT}")),
        (ArgumentError::Window.text(), format!("between 1ms and {}", days(MAX_WINDOW_MS))),
    ];
    for (text, bound) in cases {
        assert!(text.contains(&bound), "{text:?} does not say {bound:?}");
    }
    for algorithm in Algorithm::ALL {
        assert!(ArgumentError::Algorithm.text().contains(algorithm.name()));
        assert!(ratelimit_core::command::SYNTAX.contains(algorithm.name()));
    }
}

#[test]
fn each_error_has_its_own_text() {
    let arguments = ArgumentError::all().map(ArgumentError::text);
    let states = StateError::ALL.iter().map(|error| error.text());
    let mut texts: Vec<_> = arguments.chain(states).chain([ClockError.text()]).collect();
    let len = texts.len();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), len);
    for text in texts {
        assert!(text.starts_with(|c: char| c.is_ascii_lowercase()), "{text:?}");
        assert!(!text.ends_with('.') && text.is_ascii(), "{text:?}");
    }
}

#[test]
fn a_text_about_one_argument_begins_with_its_name() {
    for error in PolicyError::ALL {
        let first = error.text().split(' ').next().unwrap();
        match error.argument() {
            Some(argument) => assert_eq!(first.trim_end_matches('s'), argument),
            None => assert_eq!(*error, PolicyError::TooManyPairs),
        }
    }
    for (error, argument) in [
        (ArgumentError::Window, "window "),
        (ArgumentError::Cost, "cost "),
        (ArgumentError::Algorithm, "algorithm "),
    ] {
        assert!(error.text().starts_with(argument), "{error}");
    }
}

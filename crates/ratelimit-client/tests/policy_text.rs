//! A policy as text: every policy is read back as it was written.

use std::time::Duration;

use ratelimit_client::{Algorithm, ArgumentError, Policy, PolicyError};
use ratelimit_harness::Random;

const MAX_LIMIT: u64 = 1_000_000_000_000;

/// Any valid policy. Numbers of every length are as likely as small ones.
fn any_policy(random: &mut Random) -> Policy {
    let number = |random: &mut Random, max: u64| {
        let digits = 1 + random.below(13) as u32;
        random.below(10_u64.pow(digits)).min(max)
    };
    let window = |random: &mut Random| {
        let unit_ms = random.pick(&[1, 1_000, 60_000, 3_600_000, 86_400_000]);
        Duration::from_millis(unit_ms * (1 + random.below(366)))
    };
    let algorithm = random.pick(Algorithm::ALL);
    let mut policy =
        Policy::new(algorithm, number(random, MAX_LIMIT), window(random)).expect("within bounds");
    for _ in 0..random.below(8) {
        // Two windows of one length are an error; then the policy stays as it is.
        policy = policy.try_and(number(random, MAX_LIMIT), window(random)).unwrap_or(policy);
    }
    policy.try_burst(number(random, MAX_LIMIT)).unwrap_or(policy)
}

#[test]
fn every_policy_is_read_back_as_it_was_written() {
    let mut random = Random(3);
    for _ in 0..20_000 {
        let policy = any_policy(&mut random);
        let text = policy.to_string();
        assert_eq!(text.parse(), Ok(policy), "{text}");
    }
}

#[test]
fn a_damaged_text_is_an_error_or_another_policy() {
    let mut random = Random(4);
    for _ in 0..20_000 {
        let mut bytes = any_policy(&mut random).to_string().into_bytes();
        for _ in 0..random.below(4) {
            random.damage(&mut bytes);
        }
        if let Ok(policy) = String::from_utf8_lossy(&bytes).parse::<Policy>() {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
    }
}

/// The grammar in the documentation of `Policy`, and the error about a text without that form.
#[test]
fn the_grammar_names_every_algorithm() {
    let source = include_str!("../src/policy.rs");
    let (_, rest) = source.split_once("/// algorithm = ").expect("the grammar");
    let grammar = rest.lines().next().expect("its line");
    let error = "".parse::<Policy>().expect_err("no policy").to_string();
    for name in Algorithm::ALL.iter().map(|algorithm| algorithm.name().to_lowercase()) {
        assert!(grammar.contains(&format!("\"{name}\"")), "{grammar}");
        assert!(error.contains(&name), "{error}");
    }
}

#[test]
fn both_texts_about_a_window_have_the_same_bounds() {
    let (_, bounds) = ArgumentError::Window.text().rsplit_once(", ").expect("the bounds");
    assert!(PolicyError::Window.text().ends_with(bounds));
}

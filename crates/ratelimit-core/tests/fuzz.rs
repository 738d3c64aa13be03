//! The bodies of the fuzz targets, on their corpus with random damage from a fixed seed.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test may panic, and its numbers are small"
)]

use ratelimit_core::Algorithm;
use ratelimit_harness::Random;
use std::path::Path;

#[path = "../../../fuzz/src/lib.rs"]
pub mod bodies;

const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz");
const ROUNDS: u64 = 300_000;

fn run(target: &str, body: fn(&[u8])) {
    let corpus = Path::new(FUZZ).join("corpus").join(target);
    let mut seeds: Vec<_> =
        std::fs::read_dir(&corpus).unwrap().map(|e| e.unwrap().path()).collect();
    seeds.sort();
    let seeds: Vec<_> = seeds.iter().map(|path| std::fs::read(path).unwrap()).collect();
    seeds.iter().for_each(|seed| body(seed));
    let mut random = Random(1);
    for round in 0..ROUNDS {
        let mut bytes = seeds[random.below(seeds.len() as u64) as usize].clone();
        for _ in 0..1 + random.below(4) {
            random.damage(&mut bytes);
        }
        let result = std::panic::catch_unwind(|| body(&bytes));
        assert!(result.is_ok(), "round {round} of {target}: \"{}\"", bytes.escape_ascii());
    }
}

#[test]
fn damaged_arguments_are_rejected_or_within_bounds() {
    run("arguments", bodies::arguments);
}

#[test]
fn damaged_states_are_rejected_or_decided() {
    run("state", bodies::state);
}

#[test]
fn dictionary_and_corpus_have_every_algorithm() {
    let dictionary = std::fs::read_to_string(Path::new(FUZZ).join("words.dict")).unwrap();
    for name in Algorithm::ALL.iter().map(|algorithm| algorithm.name()) {
        assert!(dictionary.contains(&format!("\"{name}\"\n")), "{name}");
        let seed = Path::new(FUZZ).join("corpus/state").join(name.to_lowercase());
        assert!(seed.exists(), "{}", seed.display());
    }
}

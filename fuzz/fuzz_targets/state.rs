//! The target `state`; its body is in src/lib.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ratelimit_fuzz::state(bytes));

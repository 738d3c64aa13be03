//! The target `arguments`; its body is in src/lib.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ratelimit_fuzz::arguments(bytes));

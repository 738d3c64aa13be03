//! Random numbers, by the only way that the standard library offers.

use std::hash::{BuildHasher, RandomState};

/// 64 bits of the system's randomness, as 16 hexadecimal digits.
pub(crate) fn random_hex() -> String {
    format!("{:016x}", RandomState::new().hash_one(0))
}

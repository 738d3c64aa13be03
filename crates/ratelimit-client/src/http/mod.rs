//! Limits for HTTP: whose request it is, and what its answer says.

mod address;
pub mod fields;
mod key;

pub use address::Addresses;
pub use key::Key;

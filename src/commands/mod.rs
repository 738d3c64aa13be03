//! One command a file.

pub(crate) mod check;
pub(crate) mod peek;

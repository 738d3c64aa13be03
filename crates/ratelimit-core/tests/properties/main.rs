//! What holds for every call: the core against a naive oracle, and each promise of the contract by
//! itself. Random, and the same in every run; a failure shows the seed and the whole run.

mod agreement;
mod bounds;
mod oracle;
mod run;
mod states;
mod waits;

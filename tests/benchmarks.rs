//! The benchmarks against the code that they measure.

use ratelimit_harness::{page, ALGORITHMS};

#[test]
fn the_benchmarks_measure_every_algorithm() {
    let list = format!("\nalgorithms=({})\n", ALGORITHMS.join(" "));
    assert!(page("bench/lib.sh").contains(&list), "bench/lib.sh must have the line {list:?}");
}

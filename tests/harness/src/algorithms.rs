//! The algorithms, for tests that try each of them.

use ratelimit_core::Algorithm;

/// The names of all algorithms, as a call has them.
pub const ALGORITHMS: [&str; Algorithm::ALL.len()] = {
    let mut names = [""; Algorithm::ALL.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = Algorithm::ALL[i].name();
        i += 1;
    }
    names
};

/// For each algorithm and each list of pairs, such as `5 60 9 1h`: a key, and the words after it.
/// The key is named after the algorithm and the number of pairs, such as `FIXED-2`.
pub fn policies(pairs: &[&str]) -> Vec<(String, String)> {
    let policy = |algorithm, pairs: &str| {
        let key = format!("{algorithm}-{}", pairs.split(' ').count() / 2);
        (key, format!("{pairs} ALGORITHM {algorithm}"))
    };
    let of = |algorithm| pairs.iter().map(move |pairs| policy(algorithm, pairs));
    ALGORITHMS.into_iter().flat_map(of).collect()
}

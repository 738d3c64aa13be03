//! The algorithms, for tests that try each of them.

/// The algorithms by their names in a call.
pub const ALGORITHMS: [&str; 3] = ["FIXED", "SLIDING", "BUCKET"];

/// For each algorithm and each list of pairs, such as `5 60 9 1h`: a key, and the words behind it.
/// The key is named after the algorithm and the number of pairs, such as `FIXED-2`.
pub fn policies(pairs: &[&str]) -> Vec<(String, String)> {
    let policy = |algorithm, pairs: &str| {
        let key = format!("{algorithm}-{}", pairs.split(' ').count() / 2);
        (key, format!("{pairs} ALGORITHM {algorithm}"))
    };
    let of = |algorithm| pairs.iter().map(move |pairs| policy(algorithm, pairs));
    ALGORITHMS.into_iter().flat_map(of).collect()
}

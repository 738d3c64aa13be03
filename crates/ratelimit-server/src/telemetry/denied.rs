//! Denials: a line in the log for each, fewer in a flood, and the keys that are denied most.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Mutex;

use ratelimit_client::Retry;

use super::sampler::Sampler;
use crate::random::random_hex;
use crate::sync::lock;

/// How many keys are counted. A new key takes the place of the key with the lowest count.
const COUNTED_KEYS: usize = 200;
/// How many keys are shown.
const TOP_KEYS: usize = 10;
/// Longer keys are cut, in the log and in metrics.
const MAX_CHARS: usize = 128;

/// The denials since the start.
pub(crate) struct Denied {
    /// Mixed into the digests of keys; `None` if keys are written as they are.
    secret: Option<String>,
    sampler: Sampler,
    left_out: AtomicU64,
    counts: Mutex<HashMap<Box<str>, u64>>,
}

impl Denied {
    pub(crate) fn new(hash_keys: bool, secret: Option<String>) -> Self {
        let secret = hash_keys.then(|| secret.unwrap_or_else(|| random_hex() + &random_hex()));
        Self {
            secret,
            sampler: Sampler::default(),
            left_out: AtomicU64::new(0),
            counts: Mutex::new(HashMap::with_capacity(COUNTED_KEYS)),
        }
    }

    pub(crate) fn note(&self, key: &str, policy: &str, retry: Retry) {
        self.count(key);
        if !self.sampler.permits() {
            self.left_out.fetch_add(1, Relaxed);
            return;
        }
        let key = self.shown(key);
        let left_out = self.sampler.take_left_out();
        tracing::info!(key, policy, retry_after_ms = retry.to_wire(), left_out, "denied");
    }

    /// To be called each second, because after the end of a flood no next denial reports the number.
    pub(crate) fn report_left_out(&self) {
        if let Some(left_out) = self.sampler.take_left_out_if_quiet() {
            tracing::info!(left_out, "denials left out");
        }
    }

    /// How many lines were left out since the start.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }

    /// The keys that are denied most, as they may be shown. A count is never too low; it may be too
    /// high by the count of the key that had its place before (Space-Saving, Metwally et al. 2005).
    pub(crate) fn top(&self) -> Vec<(String, u64)> {
        let counts = lock(&self.counts);
        let mut top: Vec<_> = counts.iter().map(|(key, count)| (&**key, *count)).collect();
        top.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        top.into_iter().take(TOP_KEYS).map(|(key, count)| (self.shown(key), count)).collect()
    }

    fn count(&self, key: &str) {
        let key = &key[..cut(key)];
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(key) {
            *count += 1;
            return;
        }
        let mut before = 0;
        if counts.len() == COUNTED_KEYS {
            let least = counts.iter().min_by_key(|(_, count)| **count);
            let (least, count) =
                least.map(|(key, count)| (key.clone(), *count)).expect("the table is full");
            counts.remove(&least);
            before = count;
        }
        counts.insert(key.into(), before + 1);
    }

    fn shown(&self, key: &str) -> String {
        match &self.secret {
            Some(secret) => {
                let digest = sha1_smol::Sha1::from(format!("{secret}\0{key}")).digest();
                format!("#{}", &digest.to_string()[..16])
            }
            None => key[..cut(key)].to_owned(),
        }
    }
}

fn cut(key: &str) -> usize {
    key.char_indices().nth(MAX_CHARS).map_or(key.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_keys_stay_among_many_new_ones_in_bounded_memory() {
        let denied = Denied::new(false, None);
        for i in 0..10_000 {
            denied.count(&format!("once-{i}"));
            if i % 10 == 0 {
                denied.count("often");
            }
        }
        let top = denied.top();
        assert_eq!(top.len(), TOP_KEYS);
        assert!(top.iter().any(|(key, count)| key == "often" && *count >= 1000), "{top:?}");
        assert_eq!(denied.counts.lock().unwrap().len(), COUNTED_KEYS);
    }

    #[test]
    fn a_key_is_shown_cut_or_as_a_digest() {
        let plain = Denied::new(false, None);
        assert_eq!(plain.shown("ip:127.0.0.1"), "ip:127.0.0.1");
        assert_eq!(plain.shown(&"ä".repeat(500)), "ä".repeat(128));
        let [a, b] = ["a", "b"].map(|secret| Denied::new(true, Some(secret.to_owned())));
        assert_eq!(a.shown("k"), a.shown("k"));
        assert!(a.shown("k") != b.shown("k") && a.shown("k") != a.shown("l"));
        assert_ne!(Denied::new(true, None).shown("k"), Denied::new(true, None).shown("k"));
    }
}

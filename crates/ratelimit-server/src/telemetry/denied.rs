//! Who was denied: a line in the log for each denial, thinned out in a flood, and the keys denied most.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Mutex;

use ratelimit_client::Retry;

use super::retry_after_ms;
use super::sampler::Sampler;
use crate::sync::lock;

/// Keys that are counted; a new one takes the place of the least.
const COUNTED_KEYS: usize = 200;
/// Keys that are shown.
const TOP_KEYS: usize = 10;
/// Longer keys are cut in the log and in metrics.
const MOST_CHARACTERS: usize = 128;

/// The log of denials.
pub(crate) struct Denied {
    /// Goes into the digests, if keys are not to be read.
    secret: Option<String>,
    sampler: Sampler,
    left_out: AtomicU64,
    /// Of these, those that no line has told yet.
    untold: AtomicU64,
    counts: Mutex<HashMap<Box<str>, u64>>,
}

impl Denied {
    pub(crate) fn new(hash_keys: bool, secret: Option<String>) -> Self {
        let secret = hash_keys.then(|| secret.unwrap_or_else(random));
        Self {
            secret,
            sampler: Sampler::default(),
            left_out: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            counts: Mutex::new(HashMap::with_capacity(COUNTED_KEYS)),
        }
    }

    pub(crate) fn note(&self, key: &str, policy: &str, retry: Retry) {
        self.count(key);
        if !self.sampler.permits() {
            self.left_out.fetch_add(1, Relaxed);
            self.untold.fetch_add(1, Relaxed);
            return;
        }
        let key = self.shown(key);
        let left_out = match self.untold.swap(0, Relaxed) {
            0 => None,
            number => Some(number),
        };
        tracing::info!(key, policy, retry_after_ms = retry_after_ms(retry), left_out, "denied");
    }

    /// To be called each second: a flood that has ended leaves no next line to tell it.
    pub(crate) fn tell_left_out(&self) {
        if !self.sampler.is_quiet() {
            return;
        }
        let left_out = self.untold.swap(0, Relaxed);
        if left_out > 0 {
            tracing::info!(left_out, "denials left out");
        }
    }

    /// Lines left out since the start.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }

    /// The keys denied most, as they may be shown. A count is at most too high, by what the key
    /// before it in its place had (the algorithm is Space-Saving, Metwally et al. 2005).
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
            let (least, count) = least.map(|(key, count)| (key.clone(), *count)).expect("some");
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
    key.char_indices().nth(MOST_CHARACTERS).map_or(key.len(), |(at, _)| at)
}

/// 128 bits of the system's randomness, which the standard library hands out in this form alone.
fn random() -> String {
    let half = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", half(), half())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_denied_most_stay_among_ever_new_ones_and_the_memory_is_bounded() {
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
    fn a_key_is_shown_short_or_as_a_digest_of_the_secret() {
        let plain = Denied::new(false, None);
        assert_eq!(plain.shown("ip:127.0.0.1"), "ip:127.0.0.1");
        assert_eq!(plain.shown(&"ä".repeat(500)), "ä".repeat(128));
        let [a, b] = ["a", "b"].map(|secret| Denied::new(true, Some(secret.to_owned())));
        assert_eq!(a.shown("k"), a.shown("k"));
        assert!(a.shown("k") != b.shown("k") && a.shown("k") != a.shown("l"));
        assert_ne!(Denied::new(true, None).shown("k"), Denied::new(true, None).shown("k"));
    }
}

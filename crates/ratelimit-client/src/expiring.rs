//! A map with a bound on its keys, whose entries expire.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A full map takes a new key only in the place of an expired one. Each insert removes at most two
/// expired entries, so that no single call pays for many.
#[derive(Debug)]
pub(crate) struct ExpiringMap<V> {
    entries: HashMap<Arc<[u8]>, (V, u64)>,
    /// The same keys, the first to expire first.
    ends: BTreeSet<(u64, Arc<[u8]>)>,
    max_keys: usize,
}

/// There is no room, and no entry has expired.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<V> ExpiringMap<V> {
    pub(crate) fn new(max_keys: usize) -> Self {
        Self { entries: HashMap::new(), ends: BTreeSet::new(), max_keys }
    }

    /// The value and its end, if the entry has not expired.
    pub(crate) fn get(&self, key: &[u8], now: u64) -> Option<(&V, u64)> {
        let (value, end) = self.entries.get(key)?;
        (now < *end).then_some((value, *end))
    }

    pub(crate) fn insert(&mut self, key: &[u8], value: V, end: u64, now: u64) -> Result<(), Full> {
        if let Some((key, (_, old_end))) = self.entries.get_key_value(key) {
            let key = Arc::clone(key);
            if *old_end != end {
                self.ends.remove(&(*old_end, Arc::clone(&key)));
                self.ends.insert((end, Arc::clone(&key)));
            }
            self.entries.insert(key, (value, end));
            return Ok(());
        }
        self.remove_two_expired(now);
        if self.entries.len() >= self.max_keys {
            return Err(Full);
        }
        let key: Arc<[u8]> = key.into();
        self.ends.insert((end, Arc::clone(&key)));
        self.entries.insert(key, (value, end));
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        if let Some((key, (_, end))) = self.entries.remove_entry(key) {
            self.ends.remove(&(end, key));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// One for the place that is needed, and one more so that the map shrinks.
    fn remove_two_expired(&mut self, now: u64) {
        for _ in 0..2 {
            let Some((_, key)) = self.ends.first().filter(|(end, _)| *end <= now) else { return };
            let key = Arc::clone(key);
            self.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stays_until_its_end() {
        let mut map = ExpiringMap::new(2);
        map.insert(b"a", 1, 10, 0).unwrap();
        assert_eq!(map.get(b"a", 9), Some((&1, 10)));
        assert_eq!(map.get(b"a", 10), None);
    }

    #[test]
    fn a_full_map_takes_a_new_key_only_in_place_of_an_expired_one() {
        let mut map = ExpiringMap::new(2);
        map.insert(b"a", 1, 10, 0).unwrap();
        map.insert(b"b", 2, 20, 0).unwrap();
        assert_eq!(map.insert(b"c", 3, 30, 9), Err(Full));
        assert_eq!(map.insert(b"b", 4, 20, 9), Ok(()));
        assert_eq!(map.insert(b"c", 3, 30, 10), Ok(()));
        assert_eq!((map.get(b"a", 0), map.get(b"b", 10), map.len()), (None, Some((&4, 20)), 2));
        assert_eq!(map.insert(b"d", 5, 30, 19), Err(Full));
        assert_eq!(map.insert(b"d", 5, 30, 20), Ok(()));
    }

    #[test]
    fn a_new_end_replaces_the_old_one() {
        let mut map = ExpiringMap::new(2);
        map.insert(b"later", 1, 10, 0).unwrap();
        map.insert(b"later", 1, 30, 0).unwrap();
        map.insert(b"earlier", 2, 40, 0).unwrap();
        map.insert(b"earlier", 2, 20, 0).unwrap();
        assert_eq!(map.insert(b"new", 3, 50, 19), Err(Full));
        assert_eq!(map.insert(b"new", 3, 50, 20), Ok(()));
        assert_eq!(map.get(b"later", 20), Some((&1, 30)));
    }

    #[test]
    fn each_insert_removes_two_expired_entries() {
        let mut map = ExpiringMap::new(9);
        for key in 0..9u8 {
            map.insert(&[key], (), 10, 0).unwrap();
        }
        for (key, left) in [(10, 8), (11, 7), (12, 6)] {
            map.insert(&[key], (), 99, 10).unwrap();
            assert_eq!(map.len(), left);
        }
        for key in 0..20u8 {
            map.remove(&[key]);
        }
        assert!(map.entries.is_empty() && map.ends.is_empty());
    }
}

//! A map that is bounded in keys, and whose entries end.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Full, it forgets what has ended, and takes nothing new as long as nothing has.
#[derive(Debug)]
pub(crate) struct ExpiringMap<V> {
    entries: HashMap<Box<[u8]>, (V, u64)>,
    most: usize,
    /// Nothing ends before, so that a full map is not searched in vain at each call.
    first_end: u64,
}

/// There is no room, and nothing has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<V> ExpiringMap<V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), most, first_end: u64::MAX }
    }

    /// The value and its end, if it has not come.
    pub(crate) fn get(&self, key: &[u8], now: u64) -> Option<(&V, u64)> {
        let (value, end) = self.entries.get(key)?;
        (now < *end).then_some((value, *end))
    }

    pub(crate) fn insert(&mut self, key: &[u8], value: V, end: u64, now: u64) -> Result<(), Full> {
        self.first_end = self.first_end.min(end);
        if let Some(entry) = self.entries.get_mut(key) {
            *entry = (value, end);
            return Ok(());
        }
        if self.entries.len() >= self.most {
            self.forget_ended(now);
        }
        if self.entries.len() >= self.most {
            return Err(Full);
        }
        self.entries.insert(key.into(), (value, end));
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        self.entries.remove(key);
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn forget_ended(&mut self, now: u64) {
        if now < self.first_end {
            return;
        }
        self.entries.retain(|_, (_, end)| now < *end);
        self.first_end = self.entries.values().map(|(_, end)| *end).min().unwrap_or(u64::MAX);
    }
}

/// What a panic elsewhere left behind is whole: each change is one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_there_until_its_end() {
        let mut map = ExpiringMap::new(2);
        map.insert(b"a", 1, 10, 0).unwrap();
        assert_eq!(map.get(b"a", 9), Some((&1, 10)));
        assert_eq!(map.get(b"a", 10), None);
    }

    #[test]
    fn a_full_map_takes_a_new_key_only_in_the_place_of_one_that_ended() {
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
}

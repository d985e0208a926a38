//! A bounded map.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
};

/// A map that forgets what was not asked for lately: when the young half is full it becomes the old half, and what is
/// still in the old half is dropped. Cheaper than a list of uses, and never larger than twice its half.
#[derive(Debug)]
pub(crate) struct Cache<K, V, S = RandomState> {
    young: HashMap<K, V, S>,
    old: HashMap<K, V, S>,
    half: usize,
}

impl<K: Eq + Hash, V: Clone, S: BuildHasher + Default> Cache<K, V, S> {
    pub(crate) fn new(half: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), half }
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    /// Notes the value of a key, which is cloned only when it is new.
    pub(crate) fn set(&mut self, key: &K, value: V)
    where
        K: Clone,
    {
        match self.young.get_mut(key) {
            Some(known) => *known = value,
            None => self.insert(key.clone(), value),
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut cache = Cache::<_, _>::new(10);
        cache.insert(0, "kept");
        for key in 1..100 {
            cache.insert(key, "passing");
            assert_eq!(cache.get(&0), Some("kept"));
        }
        assert_eq!(cache.get(&1), None);
        assert!(cache.young.len() + cache.old.len() <= 20);
    }

    #[test]
    fn the_newest_value_counts_wherever_the_key_was() {
        let mut cache = Cache::<_, _>::new(2);
        for value in 0..5 {
            cache.set(&"key", value);
            cache.insert("other", value);
            cache.insert("third", value);
            assert_eq!(cache.get("key"), Some(value));
        }
    }
}

//! A persistent, ordered table.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// What has a key of its own.
pub trait Keyed {
    /// What it is known by.
    type Key: Ord + Clone + fmt::Debug;

    /// Its key.
    fn key(&self) -> Self::Key;
}

/// Things by key. A clone shares everything; a change copies the path to what it changes. It is written as a list in order of
/// keys, and read from a list in any order.
#[derive(Clone, PartialEq)]
pub struct Table<T: Keyed>(RedBlackTreeMapSync<T::Key, Arc<T>>);

impl<T: Keyed> Table<T> {
    /// By key.
    pub fn get<Q>(&self, key: &Q) -> Option<&Arc<T>>
    where
        T::Key: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.0.get(key)
    }

    /// In order of keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<T>> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.size()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts one in, in place of another of its key. Returns whether that changed anything.
    pub fn put(&mut self, item: impl Into<Arc<T>>) -> bool
    where
        T: PartialEq,
    {
        let item = item.into();
        let key = item.key();
        if self.0.get(&key).is_some_and(|old| Arc::ptr_eq(old, &item) || **old == *item) {
            return false;
        }
        self.0.insert_mut(key, item);
        true
    }

    /// Takes one out. Returns whether it was there.
    pub fn remove<Q>(&mut self, key: &Q) -> bool
    where
        T::Key: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.0.remove_mut(key)
    }
}

impl<T: Keyed> Default for Table<T> {
    fn default() -> Self {
        Self(RedBlackTreeMapSync::new_sync())
    }
}

impl<T: Keyed + fmt::Debug> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Keyed, I: Into<Arc<T>>> FromIterator<I> for Table<T> {
    fn from_iter<It: IntoIterator<Item = I>>(items: It) -> Self {
        let mut table = Self::default();
        for item in items {
            let item = item.into();
            table.0.insert_mut(item.key(), item);
        }
        table
    }
}

impl<T: Keyed + Serialize> Serialize for Table<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|item| &**item))
    }
}

impl<'de, T: Keyed + Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = Vec::<T>::deserialize(deserializer)?;
        let count = items.len();
        let table: Self = items.into_iter().collect();
        if table.len() < count {
            return Err(D::Error::custom("a list has two entries of the same name"));
        }
        Ok(table)
    }
}

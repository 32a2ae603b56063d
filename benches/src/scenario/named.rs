//! A map from names to values that remembers where it stands in its file.
//!
//! A name that refers to something elsewhere in the file can be wrong although
//! the map itself is well formed; the error must point at the map all the same.

use serde::Deserialize;
use serde::de::Deserializer;
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;

/// Values by name. Empty if its key is absent.
#[derive(Clone, Debug)]
pub(crate) struct Named<T> {
    values: BTreeMap<String, T>,
    /// Where it stands.
    pub(crate) location: Location,
}

impl<T> Named<T> {
    /// The value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.values.get(name)
    }

    /// All values with their names, in the order of the names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl<T> Default for Named<T> {
    fn default() -> Named<T> {
        Named { values: BTreeMap::new(), location: Location::UNKNOWN }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Named<T>, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<BTreeMap<String, T>>::deserialize(deserializer)?;
        Ok(Named { values: value, location: referenced })
    }
}

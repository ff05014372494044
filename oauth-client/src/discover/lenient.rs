//! Members of a document that do not fit, and must not cost the rest of it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A member as what it should be, else as if it were absent: `null`, an empty string, a relative reference for a URL.
pub(crate) fn fitting<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + DeserializeOwned,
{
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => T::default(),
        Value::String(text) if text.is_empty() => T::default(),
        value => serde_json::from_value(value).unwrap_or_default(),
    })
}

/// The entries of a table that are what they should be.
pub(crate) fn fitting_entries<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let entries: Map<String, Value> = fitting(deserializer)?;
    let fits = |(name, value)| Some((name, serde_json::from_value(value).ok()?));
    Ok(entries.into_iter().filter_map(fits).collect())
}

//! What the targets for configurations have in common.

use serde_json::Value;

/// Whether a text may be read here: none that names devices, whose reading may have no end.
pub(crate) fn is_harmless(text: &str) -> bool {
    !["dev", "proc", "sys", "\\u", "\\U"].iter().any(|word| text.contains(word))
}

/// The document as JSON, by the `toml` crate. `None` where JSON has no such value.
pub(crate) fn as_json(text: &str) -> Option<Value> {
    let table: toml::Table = toml::from_str(text).ok()?;
    let has_others = |value: &toml::Value| matches!(value, toml::Value::Datetime(_) | toml::Value::Float(_));
    let value = toml::Value::Table(table);
    (!any(&value, &has_others)).then(|| serde_json::to_value(value).ok()).flatten()
}

fn any(value: &toml::Value, is_it: &impl Fn(&toml::Value) -> bool) -> bool {
    is_it(value)
        || match value {
            toml::Value::Array(items) => items.iter().any(|item| any(item, is_it)),
            toml::Value::Table(members) => members.iter().any(|(_, member)| any(member, is_it)),
            _ => false,
        }
}

/// The same document with one more key at its top. A byte order mark counts at the very beginning only.
pub(crate) fn with_unknown_key(text: &str) -> String {
    format!("{UNKNOWN} = 1\n{}", text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// A key that no configuration has.
pub(crate) const UNKNOWN: &str = "zzz_no_such_key";

/// The values of all members of these names, wherever they stand.
pub(crate) fn values_of(value: &Value, names: &[&str], all: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| values_of(item, names, all)),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if names.contains(&name.as_str()) => all.push(text.clone()),
                    other => values_of(other, names, all),
                }
            }
        }
        _ => {}
    }
}

/// Every example of a reference, in the tables where it stands, as documents.
pub(crate) fn examples(reference: &str) -> Vec<String> {
    reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|example| example.contains('=') || example.starts_with('['))
        .map(str::to_owned)
        .collect()
}

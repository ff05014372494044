//! The example of a key as it is written in a variable.

use serde_json::Value;

use super::super::schema::{Key, Kind};

/// `NAME=value`, by the example that the key has as TOML.
pub(super) fn of(key: &Key, name: &str) -> String {
    let value = key.example.split_once(" = ").and_then(|(_, value)| parse(value));
    format!("{name}={}", value.map(|value| written(key.kind, &value)).unwrap_or_default())
}

/// A value as the text of a variable.
pub(super) fn written(kind: Kind, value: &Value) -> String {
    let texts = |items: &[Value]| items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
    match (kind, value) {
        (_, Value::String(text)) => text.clone(),
        (Kind::Texts | Kind::SomeOf(_), Value::Array(items)) => texts(items),
        (Kind::Pairs, Value::Object(pairs)) => {
            let pairs = pairs.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
        }
        _ => value.to_string(),
    }
}

/// The value of an example, which is TOML in one line: JSON but for `=`, and for names without quotes.
pub(super) fn parse(toml: &str) -> Option<Value> {
    let mut json = String::new();
    // Where the last word without quotes is.
    let mut word = 0..0;
    let (mut quoted, mut escaped) = (false, false);
    for letter in toml.chars() {
        match letter {
            _ if quoted => {
                quoted = letter != '"' || escaped;
                escaped = letter == '\\' && !escaped;
                json.push(letter);
            }
            '=' => {
                if !word.is_empty() {
                    json.insert(word.end, '"');
                    json.insert(word.start, '"');
                }
                json.push(':');
                word = 0..0;
            }
            '"' => {
                (quoted, word) = (true, 0..0);
                json.push(letter);
            }
            _ if letter.is_alphanumeric() || matches!(letter, '_' | '-') => {
                let start = if word.end == json.len() { word.start } else { json.len() };
                json.push(letter);
                word = start..json.len();
            }
            _ => json.push(letter),
        }
    }
    serde_json::from_str(&json).ok()
}

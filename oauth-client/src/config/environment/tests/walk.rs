//! For tests of this crate and of the guard: the examples of a configuration's keys, as variables.

use serde_json::{Map, Value};

use super::parts::{Key, Kind, from_toml, from_variables};

/// Every example, alone in its table, is the same from TOML and from the variables that it makes.
pub(crate) fn every_example(keys: &'static [Key]) {
    let mut count = 0;
    walk(keys, keys, &|tree| tree, &mut count);
    assert!(count > 50, "{count}");
}

fn walk(
    all: &'static [Key],
    keys: &'static [Key],
    within: &dyn Fn(Map<String, Value>) -> Map<String, Value>,
    count: &mut usize,
) {
    for key in keys {
        let mut tree = within(from_toml(key.example).unwrap());
        // Whoever sets a variable has the secret at hand.
        for value in tree.values_mut() {
            inline(value);
        }
        let mut variables = Vec::new();
        table("X_", all, &tree, &mut variables);
        assert!(!variables.is_empty(), "{}", key.name);
        let read = from_variables("X_", all, variables.clone());
        assert_eq!(read.unwrap(), tree, "{} by {variables:?}", key.name);
        *count += 1;
        let inside = |tree: Map<String, Value>| {
            let value = match key.kind {
                Kind::Tables(_) => Value::Array(vec![tree.into()]),
                _ => tree.into(),
            };
            within(Map::from_iter([(key.name.to_owned(), value)]))
        };
        if let Kind::Table(keys) | Kind::Tables(keys) = key.kind {
            walk(all, keys, &inside, count);
        }
    }
}

/// `{ env = "NAME" }` as what the variable has.
fn inline(value: &mut Value) {
    match value {
        Value::Object(object) if object.len() == 1 && object.contains_key("env") => *value = "s3cr3t".into(),
        Value::Object(object) => object.values_mut().for_each(inline),
        Value::Array(items) => items.iter_mut().for_each(inline),
        _ => {}
    }
}

fn table(prefix: &str, keys: &[Key], values: &Map<String, Value>, out: &mut Vec<(String, String)>) {
    for (key_name, value) in values {
        let key = keys.iter().find(|key| key.name == key_name).unwrap();
        let name = format!("{prefix}{}", key_name.to_uppercase());
        match (key.kind, value) {
            (Kind::Table(inner), Value::Object(values)) => {
                if values.is_empty() {
                    out.push((name.clone(), String::new()));
                }
                table(&format!("{name}_"), inner, values, out);
            }
            (Kind::Tables(inner), Value::Array(items)) => {
                for (n, item) in items.iter().enumerate() {
                    let own = format!("{name}_{n}");
                    if item.as_object().unwrap().is_empty() {
                        out.push((own.clone(), String::new()));
                    }
                    table(&format!("{own}_"), inner, item.as_object().unwrap(), out);
                }
            }
            (Kind::Secrets, Value::Object(secrets)) => {
                for (secret, value) in secrets {
                    out.push(one(&format!("{name}_{}", secret.to_uppercase().replace('-', "_")), value));
                }
            }
            (Kind::Pairs, Value::Object(pairs)) => {
                let mut text = url::form_urlencoded::Serializer::new(String::new());
                text.extend_pairs(pairs.iter().map(|(name, value)| (name, value.as_str().unwrap())));
                out.push((name, text.finish()));
            }
            (Kind::Texts | Kind::SomeOf(_), Value::Array(items)) => {
                let items: Vec<_> = items.iter().map(|item| item.as_str().unwrap()).collect();
                out.push((name, items.join(" ")));
            }
            (_, value) => out.push(one(&name, value)),
        }
    }
}

/// A string as it is, a file by its name, all else as JSON.
fn one(name: &str, value: &Value) -> (String, String) {
    match (value, value.get("file").and_then(Value::as_str)) {
        (Value::String(text), _) => (name.to_owned(), text.clone()),
        (Value::Object(object), Some(path)) if object.len() == 1 => (format!("{name}_FILE"), path.to_owned()),
        _ => (name.to_owned(), value.to_string()),
    }
}

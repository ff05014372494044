//! How a configuration is described: its keys as data, from which it is checked, read from the environment and
//! documented, so that the three cannot disagree. `oauth-guard` describes its own configuration with it.

use serde_json::{Map, Value};

use crate::error::Problem;

/// One key of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name, as it stands in the file.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds when it is absent, in words.
    pub default: &'static str,
    /// An example of its value, as TOML.
    pub example: &'static str,
    /// What it means.
    pub help: &'static str,
}

impl Key {
    /// A key, in the order of its fields.
    #[must_use]
    pub const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        example: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, kind, default, example, help }
    }
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// A list of strings.
    Texts,
    /// A whole number, no less than this.
    Number(u64),
    /// `true` or `false`.
    Flag,
    /// A string, `{ env = "NAME" }` or `{ file = "path" }`.
    Secret,
    /// What [`Secret`](Self::Secret) takes, or a list of it.
    SecretOrSecrets,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A list of these strings.
    SomeOf(&'static [&'static str]),
    /// Names with strings.
    Pairs,
    /// Names with what [`Secret`](Self::Secret) takes.
    Secrets,
    /// A table with keys of its own.
    Table(&'static [Key]),
    /// A list of such tables.
    Tables(&'static [Key]),
    /// What has a form of its own: described in words, and a function that reports what is wrong with a value, given
    /// its full name. In an environment variable it is written as JSON.
    Expression(&'static str, fn(&Value, &str, &mut Vec<Problem>)),
}

impl Kind {
    /// What is expected, in words.
    #[must_use]
    pub fn expected(&self) -> String {
        let quoted =
            |values: &[&str]| values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Text => "a string".to_owned(),
            Self::Texts => "a list of strings".to_owned(),
            Self::Number(least) => format!("a whole number from {least} up"),
            Self::Flag => "true or false".to_owned(),
            Self::Secret => "a string, { env = \"NAME\" } or { file = \"path\" }".to_owned(),
            Self::SecretOrSecrets => {
                "a string, { env = \"NAME\" } or { file = \"path\" }, or a list of these".to_owned()
            }
            Self::OneOf(values) => format!("one of {}", quoted(values)),
            Self::SomeOf(values) => format!("a list of some of {}", quoted(values)),
            Self::Pairs => "a table of names with strings".to_owned(),
            Self::Secrets => {
                "a table of names with strings, { env = \"NAME\" } or { file = \"path\" }".to_owned()
            }
            Self::Table(_) => "a table".to_owned(),
            Self::Tables(_) => "a list of tables".to_owned(),
            Self::Expression(words, _) => (*words).to_owned(),
        }
    }

    pub(super) fn takes(&self, value: &Value) -> bool {
        let all = |fits: fn(&Value) -> bool| value.as_array().is_some_and(|items| items.iter().all(fits));
        match self {
            Self::Text => value.is_string(),
            Self::Texts => all(Value::is_string),
            Self::Number(least) => value.as_u64().is_some_and(|number| number >= *least),
            Self::Flag => value.is_boolean(),
            Self::Secret => match value {
                Value::String(_) => true,
                Value::Object(object) => {
                    let [from] = object.keys().map(String::as_str).collect::<Vec<_>>()[..] else {
                        return false;
                    };
                    matches!(from, "env" | "file") && object[from].is_string()
                }
                _ => false,
            },
            Self::SecretOrSecrets => {
                Self::Secret.takes(value)
                    || value
                        .as_array()
                        .is_some_and(|all| !all.is_empty() && all.iter().all(|one| Self::Secret.takes(one)))
            }
            Self::OneOf(values) => value.as_str().is_some_and(|text| values.contains(&text)),
            Self::SomeOf(values) => value.as_array().is_some_and(|items| {
                items.iter().all(|item| item.as_str().is_some_and(|text| values.contains(&text)))
            }),
            Self::Pairs => value.as_object().is_some_and(|pairs| pairs.values().all(Value::is_string)),
            Self::Secrets => {
                value.as_object().is_some_and(|pairs| pairs.values().all(|one| Self::Secret.takes(one)))
            }
            Self::Table(_) => value.is_object(),
            Self::Tables(_) => all(Value::is_object),
            // Its function says more than that it does not fit.
            Self::Expression(..) => true,
        }
    }
}

/// Checks a tree against its keys: every unknown key and every value of the wrong kind is one [`Problem`]. No value is
/// quoted, since a secret may stand in the wrong place.
pub fn check(tree: &Map<String, Value>, keys: &[Key], path: &str, problems: &mut Vec<Problem>) {
    for (name, value) in tree {
        let field = join(path, name);
        let Some(key) = keys.iter().find(|key| key.name == name) else {
            problems.push(Problem { field, message: unknown(name, keys) });
            continue;
        };
        if !key.kind.takes(value) {
            let message =
                format!("expected {}, for instance {}", key.kind.expected(), key.example.replace('\n', " "));
            problems.push(Problem { field, message });
            continue;
        }
        match (key.kind, value) {
            (Kind::Table(keys), Value::Object(table)) => check(table, keys, &field, problems),
            (Kind::Expression(_, check), value) => check(value, &field, problems),
            (Kind::Tables(keys), Value::Array(tables)) => {
                for (n, table) in tables.iter().enumerate() {
                    if let Value::Object(table) = table {
                        check(table, keys, &format!("{field}[{n}]"), problems);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Keeps the first problem of each field, because the others follow from it, and leaves out what is missing only
/// because it stands there under a slightly wrong name.
#[must_use]
pub fn settle(problems: impl IntoIterator<Item = Problem>) -> Vec<Problem> {
    let mut kept: Vec<Problem> = Vec::new();
    let mut meant = Vec::new();
    for problem in problems {
        if let Some(name) = problem.message.strip_prefix(DID_YOU_MEAN) {
            let table = problem.field.rsplit_once('.').map_or("", |(table, _)| table);
            meant.push(join(table, name.trim_end_matches('?')));
        }
        if !meant.contains(&problem.field) && kept.iter().all(|other| other.field != problem.field) {
            kept.push(problem);
        }
    }
    kept
}

/// The full name of a key inside a table.
#[must_use]
pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The keys as a Markdown table, for the docs.
#[must_use]
pub fn reference(keys: &[Key]) -> String {
    let mut out = String::from("| key | takes | default | example | meaning |\n|---|---|---|---|---|\n");
    rows(keys, "", &mut out);
    out
}

fn rows(keys: &[Key], path: &str, out: &mut String) {
    for key in keys {
        let name = join(path, key.name);
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        out.push_str(&format!(
            "| `{name}` | {} | {} | `{}` | {} |\n",
            cell(&key.kind.expected()),
            cell(key.default),
            cell(key.example),
            cell(key.help)
        ));
        match key.kind {
            Kind::Table(keys) => rows(keys, &name, out),
            Kind::Tables(keys) => rows(keys, &format!("{name}[]"), out),
            _ => {}
        }
    }
}

const DID_YOU_MEAN: &str = "is not a known key; did you mean ";

fn unknown(name: &str, keys: &[Key]) -> String {
    match keys.iter().find(|key| distance(name, key.name) <= 2) {
        Some(near) => format!("{DID_YOU_MEAN}{}?", near.name),
        None => {
            let known: Vec<_> = keys.iter().map(|key| key.name).collect();
            format!("is not a known key; known are {}", known.join(", "))
        }
    }
}

/// How many letters must change to make one name of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[Key] = &[
        Key { name: "issuer", kind: Kind::Text, default: "", example: "issuer = \"https://a\"", help: "" },
        Key {
            name: "secret",
            kind: Kind::Secret,
            default: "",
            example: "secret = { env = \"S\" }",
            help: "",
        },
        Key {
            name: "cache",
            kind: Kind::Table(&[Key {
                name: "max_bytes",
                kind: Kind::Number(1),
                default: "",
                example: "max_bytes = 1024",
                help: "",
            }]),
            default: "",
            example: "[cache]",
            help: "",
        },
    ];

    fn problems(tree: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        check(tree.as_object().unwrap(), KEYS, "", &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_problems_are_reported_together_and_no_value_is_quoted() {
        let found = problems(&serde_json::json!({
            "isuer": "https://a", "secret": {"env": "A", "file": "s3cr3t"}, "cache": {"max_bytes": 0}, "issuer": 5
        }));
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(
            found.iter().any(|line| line == "isuer: is not a known key; did you mean issuer?"),
            "{found:?}"
        );
        assert!(
            found.iter().any(|line| line.starts_with("cache.max_bytes: expected a whole number from 1 up"))
        );
        assert!(!found.concat().contains("s3cr3t"));
    }

    #[test]
    fn what_fits_has_no_problems() {
        for secret in
            [serde_json::json!("s"), serde_json::json!({"env": "S"}), serde_json::json!({"file": "/run/s"})]
        {
            assert!(problems(&serde_json::json!({"issuer": "a", "secret": secret})).is_empty());
        }
    }
}

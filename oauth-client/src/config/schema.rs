//! How a configuration is described: its keys as data, from which it is checked, read from the environment and
//! documented, so that the three cannot disagree. `oauth-guard` describes its own configuration with it.

mod reference;

use std::collections::HashSet;

use serde_json::{Map, Value};

pub use self::reference::{environment, reference, table};
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

/// Checks a tree against its keys: every unknown key and every value of the wrong kind is one [`Problem`]. A value is
/// quoted only where it is a number or a flag, or looks like one, since a secret may stand in the wrong place.
pub fn check(tree: &Map<String, Value>, keys: &[Key], path: &str, problems: &mut Vec<Problem>) {
    check_table(tree, keys, path, keys, problems);
}

/// The same for a table inside the configuration whose keys are `all`.
fn check_table(
    tree: &Map<String, Value>,
    keys: &[Key],
    path: &str,
    all: &[Key],
    problems: &mut Vec<Problem>,
) {
    for (name, value) in tree {
        let field = join(path, name);
        let Some(key) = keys.iter().find(|key| key.name == name) else {
            problems.push(Problem { field, message: unknown(name, keys, all) });
            continue;
        };
        if !key.kind.takes(value) {
            let example = match key.kind {
                // A table's name stands on a line of its own.
                Kind::Table(_) | Kind::Tables(_) => key.example.lines().next().unwrap_or_default().to_owned(),
                _ => key.example.replace('\n', " "),
            };
            problems.push(Problem { field, message: misfit(key, value, &example) });
            continue;
        }
        match (key.kind, value) {
            (Kind::Table(keys), Value::Object(table)) => check_table(table, keys, &field, all, problems),
            (Kind::Expression(_, check), value) => check(value, &field, problems),
            (Kind::Tables(keys), Value::Array(tables)) => {
                for (n, table) in tables.iter().enumerate() {
                    if let Value::Object(table) = table {
                        check_table(table, keys, &format!("{field}[{n}]"), all, problems);
                    }
                }
            }
            _ => {}
        }
    }
}

/// What is wrong with a value that its key does not take.
pub(super) fn misfit(key: &Key, value: &Value, example: &str) -> String {
    let expected = key.kind.expected();
    if let (Kind::OneOf(values), Some(text)) = (key.kind, value.as_str())
        // With half of its letters changed, a short word is another word: "open" is no misspelt "token".
        && let Some(near) = values.iter().find(|near| distance(text, near).is_some_and(|n| 2 * n < text.len()))
    {
        return format!("expected {expected}; did you mean {near:?}?");
    }
    if let (Kind::OneOf(values), Some(text)) = (key.kind, value.as_str())
        && let Some(whole) = only_one_ending_in(text, values)
    {
        return format!("expected {expected}; did you mean {whole:?}?");
    }
    match harmless(key.kind, value) {
        Some(found) => format!("expected {expected}, not {found}; for instance {example}"),
        None => format!("expected {expected}, for instance {example}"),
    }
}

/// The only value of which this is the last word, as "basic" is of "client_secret_basic".
fn only_one_ending_in<'v>(word: &str, values: &[&'v str]) -> Option<&'v str> {
    let ends = |value: &&&str| value.strip_suffix(word).is_some_and(|before| before.ends_with('_'));
    let mut found = values.iter().filter(ends);
    found.next().copied().filter(|_| found.next().is_none())
}

/// A value that can be shown: no secret has its form, and none belongs there.
fn harmless(kind: Kind, value: &Value) -> Option<String> {
    const LONGEST: usize = 16;
    if !matches!(kind, Kind::Number(_) | Kind::Flag) {
        return None;
    }
    let shown = match value {
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::String(text) => {
            let unit =
                text.trim_start_matches(|letter: char| letter.is_ascii_digit() || "-+._ ".contains(letter));
            let is_amount =
                unit.len() < text.len() && unit.len() <= 8 && unit.chars().all(char::is_alphabetic);
            let is_flag = ["true", "false", "yes", "no", "on", "off"].contains(&&*text.to_ascii_lowercase());
            if !is_amount && !is_flag {
                return None;
            }
            format!("{text:?}")
        }
        _ => return None,
    };
    (shown.len() <= LONGEST).then_some(shown)
}

/// Keeps the first problem of each field, because the others follow from it, and leaves out what is missing only
/// because it stands there under a slightly wrong name.
#[must_use]
pub fn settle(problems: impl IntoIterator<Item = Problem>) -> Vec<Problem> {
    let mut kept = Vec::new();
    let (mut seen, mut meant) = (HashSet::new(), HashSet::new());
    for problem in problems {
        if let Some(name) = problem.message.strip_prefix(DID_YOU_MEAN) {
            let table = problem.field.rsplit_once('.').map_or("", |(table, _)| table);
            meant.insert(join(table, name.trim_end_matches('?')));
        }
        if !meant.contains(&problem.field) && seen.insert(problem.field.clone()) {
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

/// What a key is called elsewhere, and here.
const OTHER_NAMES: &[(&str, &str)] = &[("grant_type", "grant")];

const DID_YOU_MEAN: &str = "is not a known key; did you mean ";

fn unknown(name: &str, keys: &[Key], all: &[Key]) -> String {
    if let Some(near) = keys.iter().find(|key| distance(name, key.name).is_some()) {
        return format!("{DID_YOU_MEAN}{}?", near.name);
    }
    let meant = |key: &&Key| OTHER_NAMES.contains(&(name, key.name));
    if let Some(meant) = keys.iter().find(meant) {
        return format!("{DID_YOU_MEAN}{}?", meant.name);
    }
    if let Some(place) = place_of(name, all, "") {
        return format!("is not a key here; {place}");
    }
    let known: Vec<_> = keys.iter().map(|key| key.name).collect();
    format!("is not a known key; known are {}", known.join(", "))
}

/// Where in the configuration a key belongs, in words.
fn place_of(name: &str, keys: &[Key], path: &str) -> Option<String> {
    if keys.iter().any(|key| key.name == name) {
        return Some(match path {
            "" => "it belongs above the first [table] of the file".to_owned(),
            path => format!("it belongs into {path}"),
        });
    }
    keys.iter().find_map(|key| match key.kind {
        Kind::Table(keys) => place_of(name, keys, &format!("[{}]", join(bare(path), key.name))),
        Kind::Tables(keys) => place_of(name, keys, &format!("[[{}]]", join(bare(path), key.name))),
        _ => None,
    })
}

/// The name of a table, without its brackets.
fn bare(path: &str) -> &str {
    path.trim_matches(['[', ']'])
}

/// So many letters apart, one name is taken for the other misspelt.
const NEAR: usize = 2;

/// How many letters must change to make one name of the other, when [`NEAR`] are enough.
pub(super) fn distance(a: &str, b: &str) -> Option<usize> {
    // A name may be as long as the whole text that it stands in.
    if a.chars().count().abs_diff(b.chars().count()) > NEAR {
        return None;
    }
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
    Some(row[b.len()]).filter(|distance| *distance <= NEAR)
}

#[cfg(test)]
mod tests;

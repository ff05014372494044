//! A configuration from environment variables: the tree that a file would give, and every problem by its variable.

mod example;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use serde_json::{Map, Value, json};

pub use self::names::Names;
use super::schema::{Key, Kind, distance, join, misfit, settle};
use crate::error::{Error, Kind as ErrorKind, Problem};

/// What the environment says, before it is checked as a whole.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The tree of the configuration.
    pub tree: Map<String, Value>,
    /// What is wrong with single values, by their keys.
    misfits: Vec<Problem>,
    /// The variables that have no place, by their names.
    strays: Vec<Problem>,
    names: Names,
}

impl Environment {
    /// Reads the variables with this prefix.
    #[must_use]
    pub fn read(
        prefix: &str,
        keys: &'static [Key],
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let (known, mut strays) = texts(prefix, variables);
        let mut environment = Self::of(prefix, keys, known);
        strays.append(&mut environment.strays);
        Self { strays, ..environment }
    }

    fn of(prefix: &str, keys: &'static [Key], variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let left: BTreeMap<_, _> =
            variables.into_iter().filter(|(name, _)| name.starts_with(prefix)).collect();
        let given: BTreeSet<_> = left.keys().cloned().collect();
        let mut reader = Reader { left, misfits: Vec::new() };
        let tree = reader.table(prefix, "", keys);
        let Reader { left, misfits } = reader;
        let stray = |field: &String| Problem {
            field: field.clone(),
            message: stray(prefix, keys, field, &given, !left.contains_key(&format!("{field}_FILE"))),
        };
        let strays = match without_underscore(prefix, &given) {
            Some(problem) if !left.is_empty() => vec![problem],
            _ => left.keys().map(stray).collect(),
        };
        Self { tree, misfits, strays, names: Names::new(prefix, keys) }
    }

    /// What is wrong already, to which the checks of the tree add theirs.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.strays.iter().chain(&self.misfits).cloned().collect()
    }

    /// How the variables are named.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }
}

/// Reads a configuration from environment variables: the key in capitals behind the prefix, tables joined by `_`,
/// lists of tables numbered from 0 (`PREFIX_ISSUER_0_AUDIENCE`), list items separated by blanks, pairs written
/// `a=1&b=2`, expressions written as JSON, and a secret's file named by `…_FILE`. A table of secrets is one variable
/// for each (`PREFIX_HEADERS_X_API_KEY`, or `…_X_API_KEY_FILE`, for `headers = { x-api-key = … }`). A table's own
/// variable is empty, which switches it on, or has the table as JSON.
///
/// # Errors
/// `config`, with every variable that has the prefix and cannot be placed.
pub fn from_variables(
    prefix: &str,
    keys: &'static [Key],
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Map<String, Value>, Error> {
    let environment = Environment::of(prefix, keys, variables);
    match environment.strays.is_empty() {
        // The check of the tree finds the other problems again.
        true => Ok(environment.tree),
        false => Err(Error::new(ErrorKind::Config(settle(environment.problems())))),
    }
}

/// The same, from variables as the operating system has them.
///
/// # Errors
/// As [`from_variables`], and for those that have the prefix and are not UTF-8.
pub fn from_environment(
    prefix: &str,
    keys: &'static [Key],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Map<String, Value>, Error> {
    let environment = Environment::read(prefix, keys, variables);
    match environment.strays.is_empty() {
        true => Ok(environment.tree),
        false => Err(Error::new(ErrorKind::Config(settle(environment.problems())))),
    }
}

/// The variables that are text, and a problem for each other one with the prefix.
fn texts(
    prefix: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Vec<(String, String)>, Vec<Problem>) {
    let (mut known, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => known.push((name, value)),
            (name, _) => {
                let field = name.unwrap_or_else(|name| name.to_string_lossy().into_owned());
                // The value may be a secret.
                let message = "is not UTF-8; set it to a text in UTF-8, or unset it".to_owned();
                problems.push(Problem { field, message });
            }
        }
    }
    problems.retain(|problem| problem.field.starts_with(prefix));
    problems.sort_by(|one, other| one.field.cmp(&other.field));
    (known, problems)
}

/// Takes variables, so that those without a place are left.
struct Reader {
    left: BTreeMap<String, String>,
    misfits: Vec<Problem>,
}

impl Reader {
    fn table(&mut self, prefix: &str, path: &str, keys: &[Key]) -> Map<String, Value> {
        let mut table = Map::new();
        for key in keys {
            let name = format!("{prefix}{}", key.name.to_uppercase());
            let value = self.value(key, &name, &join(path, key.name));
            table.extend(value.map(|value| (key.name.to_owned(), value)));
        }
        table
    }

    fn value(&mut self, key: &Key, name: &str, path: &str) -> Option<Value> {
        match key.kind {
            Kind::Table(keys) => self.one_table(name, path, keys).map(Value::Object),
            Kind::Tables(keys) => {
                let tables: Vec<_> = (0..)
                    .map_while(|n| self.one_table(&format!("{name}_{n}"), &format!("{path}[{n}]"), keys))
                    .map(Value::Object)
                    .collect();
                (!tables.is_empty()).then_some(tables.into())
            }
            Kind::Secrets => {
                let secrets = self.secrets(&format!("{name}_"));
                (!secrets.is_empty()).then_some(secrets.into())
            }
            Kind::Secret | Kind::SecretOrSecrets => match self.left.remove(&format!("{name}_FILE")) {
                Some(path) => Some(json!({ "file": path })),
                None => self.left.remove(name).map(|text| match key.kind {
                    Kind::SecretOrSecrets => as_list(&text).unwrap_or(Value::String(text)),
                    _ => Value::String(text),
                }),
            },
            _ => {
                let text = self.left.remove(name)?;
                Some(self.leaf(key, name, path, text))
            }
        }
    }

    /// A table of which anything is there: its own variable, or one of its keys'.
    fn one_table(&mut self, name: &str, path: &str, keys: &[Key]) -> Option<Map<String, Value>> {
        let own = self.left.remove(name);
        let mut table = self.table(&format!("{name}_"), path, keys);
        let Some(text) = own else { return (!table.is_empty()).then_some(table) };
        match serde_json::from_str::<Map<String, Value>>(&text) {
            Ok(whole) => table = whole.into_iter().chain(table).collect(),
            Err(_) if text.trim().is_empty() => {}
            Err(_) => self.misfits.push(Problem {
                field: path.to_owned(),
                message: "expected nothing, which switches the table on, or the table as JSON".to_owned(),
            }),
        }
        Some(table)
    }

    /// Names of variables have neither small letters nor hyphens.
    fn secrets(&mut self, prefix: &str) -> Map<String, Value> {
        let mine: Vec<_> = self.left.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        let mut secrets = Map::new();
        for variable in mine {
            // The file counts, and the other one is reported.
            if self.left.contains_key(&format!("{variable}_FILE")) {
                continue;
            }
            let Some(text) = self.left.remove(&variable) else { continue };
            let name = variable.strip_prefix(prefix).unwrap_or_default();
            let (name, value) = match name.strip_suffix("_FILE") {
                Some(name) => (name, json!({ "file": text })),
                None => (name, Value::String(text)),
            };
            secrets.insert(name.to_ascii_lowercase().replace('_', "-"), value);
        }
        secrets
    }

    /// What does not fit stays a string, so that nothing is missing, and is reported here in the words of a variable.
    fn leaf(&mut self, key: &Key, name: &str, path: &str, text: String) -> Value {
        if matches!(key.kind, Kind::Texts | Kind::SomeOf(_)) && has_commas(key, &text) {
            self.misfits.push(Problem {
                field: path.to_owned(),
                message: "has commas, and lists are separated by blanks; an item that has a comma itself is written in a list as JSON, [\"a,b\"]".to_owned(),
            });
            return Value::Array(Vec::new());
        }
        let value = to_value(key.kind, text);
        let message = match key.kind {
            Kind::Expression(_, check) if value.is_string() => {
                let mut found = Vec::new();
                check(&value, path, &mut found);
                (!found.is_empty()).then(|| {
                    format!("is not the JSON that is expected, for instance {}", example::of(key, name))
                })
            }
            Kind::Pairs if value.is_string() => {
                Some(format!("expected {}, for instance {}", key.kind.expected(), example::of(key, name)))
            }
            kind if !kind.takes(&value) => Some(misfit(key, &value, &example::of(key, name))),
            _ => None,
        };
        self.misfits.extend(message.map(|message| Problem { field: path.to_owned(), message }));
        value
    }
}

fn as_list(text: &str) -> Option<Value> {
    serde_json::from_str::<Vec<Value>>(text).ok().map(Value::Array)
}

/// Whether a list was written with commas, where none can be meant: scopes may have some, and so may a URL.
fn has_commas(key: &Key, text: &str) -> bool {
    if as_list(text).is_some() {
        return false;
    }
    text.split_whitespace().any(|item| {
        let mut parts = item.split(',').skip(1).peekable();
        let is_url = item.contains("://") && !parts.clone().all(|part| part.contains("://"));
        item.ends_with(',') || parts.peek().is_some() && key.name != "scope" && !is_url
    })
}

fn to_value(kind: Kind, text: String) -> Value {
    match kind {
        Kind::Texts | Kind::SomeOf(_) => {
            as_list(&text).unwrap_or_else(|| text.split_whitespace().map(Value::from).collect())
        }
        Kind::Number(_) => text.parse::<u64>().map_or(Value::String(text), Value::from),
        Kind::Flag => text.parse::<bool>().map_or(Value::String(text), Value::from),
        Kind::Expression(..) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Kind::Pairs if text.starts_with('{') => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Kind::Pairs => url::form_urlencoded::parse(text.as_bytes())
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
            .collect::<Map<_, _>>()
            .into(),
        _ => Value::String(text),
    }
}

/// The one problem of a prefix that lacks its underscore.
fn without_underscore(prefix: &str, given: &BTreeSet<String>) -> Option<Problem> {
    let goes_on = |name: &String| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_'));
    (!prefix.is_empty() && given.iter().all(goes_on)).then(|| Problem {
        field: prefix.to_owned(),
        message: format!("is the prefix, and each variable goes on with \"_\"; did you mean \"{prefix}_\"?"),
    })
}

/// Why a variable has no place.
fn stray(prefix: &str, keys: &[Key], field: &str, given: &BTreeSet<String>, file_is_taken: bool) -> String {
    let file = format!("{field}_FILE");
    if given.contains(&file) && file_is_taken {
        return format!("is given beside {file}; unset one of them");
    }
    match suggestion(prefix, keys, field) {
        Some(name) if name != field => format!("{}{name}?", names::DID_YOU_MEAN),
        _ => names::misnumbered(prefix, keys, field, given).unwrap_or_else(|| {
            format!("is not a known variable; the prefix is {prefix}, the rest a key in capitals")
        }),
    }
}

/// The known variable that differs from this one in two letters at most. Indices stay as they are.
fn suggestion(prefix: &str, keys: &[Key], variable: &str) -> Option<String> {
    let is_index = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let rest = variable.strip_prefix(prefix)?;
    let indices: Vec<&str> = rest.split('_').filter(|part| is_index(part)).collect();
    let form: Vec<&str> = rest.split('_').map(|part| if is_index(part) { "0" } else { part }).collect();
    let form = form.join("_");
    let mut known = Vec::new();
    names::all("", keys, &mut known);
    let (near, _) = known
        .into_iter()
        .filter_map(|name| Some((distance(&form, &name)?, name)))
        .min()
        .map(|(distance, name)| (name, distance))?;
    let mut indices = indices.into_iter();
    let parts =
        near.split('_').map(|part| if is_index(part) { indices.next().unwrap_or(part) } else { part });
    Some(format!("{prefix}{}", parts.collect::<Vec<_>>().join("_")))
}

#[cfg(test)]
mod tests;

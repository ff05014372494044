//! Reading a checked configuration: values by key, secrets from where they are, and the tree from the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use serde_json::{Map, Value};

use super::schema::{Key, Kind, distance, join};
#[cfg(feature = "toml")]
use crate::error::printable;
use crate::error::{Error, Kind as ErrorKind, Problem};
use crate::secret::SecretSource;
use crate::token::Secret;

/// A table of a configuration that was [checked](super::schema::check): reading a value of the wrong kind gives
/// `None`, because the check has reported it already.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    values: &'a Map<String, Value>,
}

impl<'a> Table<'a> {
    /// A table over these values.
    #[must_use]
    pub fn new(values: &'a Map<String, Value>) -> Self {
        Self { values }
    }

    /// Whether the key is there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.values.get(name)?.as_str()
    }

    /// A list of strings; empty when absent.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<&'a str> {
        let items = self.values.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_str).collect()
    }

    /// A whole number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.values.get(name)?.as_u64()
    }

    /// A flag; `false` when absent.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.values.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Names with strings.
    #[must_use]
    pub fn pairs(&self, name: &str) -> Vec<(&'a str, &'a str)> {
        let Some(Value::Object(pairs)) = self.values.get(name) else { return Vec::new() };
        pairs.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect()
    }

    /// Whatever stands there, for those who read an [expression](Kind::Expression).
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        self.values.get(name)
    }

    /// A table inside this one.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<Table<'a>> {
        self.values.get(name)?.as_object().map(Table::new)
    }

    /// A list of tables inside this one; empty when absent.
    #[must_use]
    pub fn tables(&self, name: &str) -> Vec<Table<'a>> {
        let items = self.values.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_object).map(Table::new).collect()
    }

    /// A secret, fetched from where it is: given outright, in an environment variable, or in a file, whose line end
    /// is taken off as container platforms mount it.
    pub fn secret(&self, name: &str, problems: &mut Vec<Problem>) -> Option<Secret> {
        let value = self.values.get(name).filter(|value| Kind::Secret.takes(value))?;
        if let Some(text) = value.as_str() {
            return Some(Secret::from(text));
        }
        let mut cannot = |from: &str, message: String| {
            problems.push(Problem { field: join(name, from), message });
            None
        };
        if let Some(variable) = value.get("env").and_then(Value::as_str) {
            return match std::env::var(variable) {
                Ok(text) => Some(Secret::new(text)),
                Err(_) => {
                    cannot("env", format!("the environment variable {variable} is not set, or is not UTF-8"))
                }
            };
        }
        let path = value.get("file").and_then(Value::as_str)?;
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            Err(error) => cannot(
                "file",
                format!("{path} cannot be read ({}); check path and permissions", error.kind()),
            ),
        }
    }
}

impl Table<'_> {
    /// One secret, or a list of them; empty when absent.
    pub fn secrets(&self, name: &str, problems: &mut Vec<Problem>) -> Vec<Secret> {
        let Some(Value::Array(items)) = self.values.get(name) else {
            return self.secret(name, problems).into_iter().collect();
        };
        let named = items.iter().enumerate().map(|(n, value)| (format!("{name}[{n}]"), value.clone()));
        let list: Map<_, _> = named.collect();
        let table = Table::new(&list);
        (0..items.len()).filter_map(|n| table.secret(&format!("{name}[{n}]"), problems)).collect()
    }

    /// The same secret as what it will be when it is needed: a file is read again when it is replaced.
    pub fn secret_source(&self, name: &str, problems: &mut Vec<Problem>) -> Option<SecretSource> {
        let secret = self.secret(name, problems)?;
        let path = self.values.get(name).and_then(|value| value.get("file")).and_then(Value::as_str);
        Some(match path {
            Some(path) => SecretSource::file(path, secret),
            None => secret.into(),
        })
    }
}

impl<'a> Table<'a> {
    /// Names with secrets, each as what it will be when it is needed.
    pub fn secret_sources(&self, name: &str, problems: &mut Vec<Problem>) -> Vec<(&'a str, SecretSource)> {
        let Some(Value::Object(pairs)) = self.values.get(name) else { return Vec::new() };
        let table = Table::new(pairs);
        let mut found = Vec::new();
        for one in pairs.keys() {
            let mut own = Vec::new();
            found.extend(table.secret_source(one, &mut own).map(|source| (one.as_str(), source)));
            problems.extend(
                own.into_iter().map(|problem| Problem { field: join(name, &problem.field), ..problem }),
            );
        }
        found
    }
}

/// Parses TOML. An error names the line and column, not the text, which may be a secret.
///
/// # Errors
/// `config`, naming line and column.
#[cfg(feature = "toml")]
pub fn from_toml(text: &str) -> Result<Map<String, Value>, Error> {
    // Editors of some platforms put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let error = match toml::from_str::<Map<String, Value>>(text) {
        Ok(tree) => return Ok(tree),
        Err(error) => error,
    };
    let span = error.span().unwrap_or(0..0);
    let at = span.start.min(text.len());
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    if error.message() == "duplicate key" {
        let name = twice(text, at, text.get(span).unwrap_or_default());
        let message = format!("is given twice, again in line {line}, column {column}; keep one of them");
        return Err(Error::config(&printable(&name, 256), message));
    }
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let hint = match text.get(start..).and_then(|rest| rest.lines().next()).map(str::trim_start) {
        Some(written) if written.starts_with('[') => {
            "is not TOML; a table is headed by [name], each table of a list by [[name]]"
        }
        _ => "is not TOML; strings stand in quotes, tables in [brackets]",
    };
    Err(Error::config(&format!("line {line}, column {column}"), hint))
}

/// The full name of a key that stands at `at` for the second time, by the table that it is in.
#[cfg(feature = "toml")]
fn twice(text: &str, at: usize, key: &str) -> String {
    let bare = |name: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        (!name.is_empty() && name.bytes().all(fits)).then(|| name.to_owned())
    };
    let header = |line: &str| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let list = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]"));
        let table = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        Some((list.is_some(), bare(list.or(table)?.trim())?))
    };
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let (before, rest) = text.split_at_checked(start).unwrap_or((text, ""));
    // A table that is opened twice.
    if let Some((_, name)) = rest.lines().next().and_then(header) {
        return name;
    }
    let headers: Vec<_> = before.lines().filter_map(header).collect();
    let key = key.trim_matches(['"', '\'']);
    match headers.last() {
        None => key.to_owned(),
        Some((false, table)) => join(table, key),
        Some((true, table)) => {
            let count = headers.iter().filter(|(_, name)| name == table).count();
            join(&format!("{table}[{}]", count - 1), key)
        }
    }
}

/// Reads a TOML file.
///
/// # Errors
/// As [`from_toml`], and `config` when the file cannot be read.
#[cfg(feature = "toml")]
pub fn from_file(path: &std::path::Path) -> Result<Map<String, Value>, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot be read ({}); check path and permissions", error.kind());
        Error::config(&path.display().to_string(), message)
    })?;
    from_toml(&text)
}

/// Reads a configuration from environment variables: the key in capitals behind the prefix, tables joined by `_`,
/// lists of tables numbered from 0 (`PREFIX_ISSUER_0_AUDIENCE`), list items separated by spaces, pairs written
/// `a=1&b=2`, expressions written as JSON, and a secret's file named by `…_FILE`. A table of secrets is one variable
/// for each (`PREFIX_HEADERS_X_API_KEY`, or `…_X_API_KEY_FILE`, for `headers = { x-api-key = … }`).
///
/// # Errors
/// `config`, with every variable that has the prefix and cannot be placed.
pub fn from_variables(
    prefix: &str,
    keys: &[Key],
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Map<String, Value>, Error> {
    let mut left: BTreeMap<String, String> =
        variables.into_iter().filter(|(name, _)| name.starts_with(prefix)).collect();
    let given: BTreeSet<String> = left.keys().cloned().collect();
    let tree = take_table(prefix, keys, &mut left);
    if left.is_empty() {
        return Ok(tree);
    }
    let stray = left.keys().cloned().map(|field| {
        let file = format!("{field}_FILE");
        let message = match suggestion(prefix, keys, &field) {
            _ if given.contains(&file) && !left.contains_key(&file) => {
                format!("is given beside {file}; unset one of them")
            }
            Some(name) => format!("is not a known variable; did you mean {name}?"),
            None => format!("is not a known variable; the prefix is {prefix}, the rest a key in capitals"),
        };
        Problem { field, message }
    });
    Err(Error::new(ErrorKind::Config(stray.collect())))
}

/// The same, from variables as the operating system has them.
///
/// # Errors
/// As [`from_variables`], and for those that have the prefix and are not UTF-8.
pub fn from_environment(
    prefix: &str,
    keys: &[Key],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Map<String, Value>, Error> {
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
    let tree = from_variables(prefix, keys, known);
    if problems.is_empty() {
        return tree;
    }
    if let Err(error) = tree {
        problems.extend(error.problems().iter().cloned());
    }
    Err(Error::new(ErrorKind::Config(problems)))
}

/// The known variable that differs from this one in two letters at most. Indices stay as they are.
fn suggestion(prefix: &str, keys: &[Key], variable: &str) -> Option<String> {
    let is_index = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let rest = variable.strip_prefix(prefix)?;
    let indices: Vec<&str> = rest.split('_').filter(|part| is_index(part)).collect();
    let form: Vec<&str> = rest.split('_').map(|part| if is_index(part) { "0" } else { part }).collect();
    let form = form.join("_");
    let mut known = Vec::new();
    names("", keys, &mut known);
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

/// Every variable that these keys know, with 0 for each index.
fn names(prefix: &str, keys: &[Key], out: &mut Vec<String>) {
    for key in keys {
        let name = format!("{prefix}{}", key.name.to_uppercase());
        match key.kind {
            Kind::Table(keys) => names(&format!("{name}_"), keys, out),
            Kind::Tables(keys) => names(&format!("{name}_0_"), keys, out),
            Kind::Secret => out.extend([format!("{name}_FILE"), name]),
            Kind::Secrets => {}
            _ => out.push(name),
        }
    }
}

fn take_table(prefix: &str, keys: &[Key], left: &mut BTreeMap<String, String>) -> Map<String, Value> {
    let mut table = Map::new();
    for key in keys {
        let name = format!("{prefix}{}", key.name.to_uppercase());
        let value = match key.kind {
            Kind::Table(keys) => {
                Some(take_table(&format!("{name}_"), keys, left)).filter(|t| !t.is_empty()).map(Value::Object)
            }
            Kind::Tables(keys) => {
                let tables = (0..).map(|n| take_table(&format!("{name}_{n}_"), keys, left));
                let tables: Vec<_> =
                    tables.take_while(|table| !table.is_empty()).map(Value::Object).collect();
                Some(tables).filter(|tables| !tables.is_empty()).map(Value::Array)
            }
            Kind::Secrets => Some(take_secrets(&format!("{name}_"), left))
                .filter(|secrets| !secrets.is_empty())
                .map(Value::Object),
            Kind::Secret | Kind::SecretOrSecrets => match left.remove(&format!("{name}_FILE")) {
                Some(path) => Some(serde_json::json!({ "file": path })),
                None => left.remove(&name).map(|text| match key.kind {
                    // A list is written as JSON.
                    Kind::SecretOrSecrets if text.starts_with('[') => {
                        serde_json::from_str(&text).unwrap_or(Value::String(text))
                    }
                    _ => Value::String(text),
                }),
            },
            kind => left.remove(&name).map(|text| to_value(kind, text)),
        };
        table.extend(value.map(|value| (key.name.to_owned(), value)));
    }
    table
}

/// Names of variables have neither small letters nor hyphens.
fn take_secrets(prefix: &str, left: &mut BTreeMap<String, String>) -> Map<String, Value> {
    let mine: Vec<_> = left.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
    let mut secrets = Map::new();
    for variable in mine {
        // The file counts, and the other one is reported.
        if left.contains_key(&format!("{variable}_FILE")) {
            continue;
        }
        let Some(text) = left.remove(&variable) else { continue };
        let name = variable.strip_prefix(prefix).unwrap_or_default();
        let (name, value) = match name.strip_suffix("_FILE") {
            Some(name) => (name, serde_json::json!({ "file": text })),
            None => (name, Value::String(text)),
        };
        secrets.insert(name.to_ascii_lowercase().replace('_', "-"), value);
    }
    secrets
}

/// What does not fit stays a string, and the check will say what was expected.
fn to_value(kind: Kind, text: String) -> Value {
    match kind {
        Kind::Texts | Kind::SomeOf(_) => text.split_whitespace().map(Value::from).collect(),
        Kind::Number(_) => text.parse::<u64>().map_or(Value::String(text), Value::from),
        Kind::Flag => text.parse::<bool>().map_or(Value::String(text), Value::from),
        Kind::Expression(..) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Kind::Pairs => url::form_urlencoded::parse(text.as_bytes())
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
            .collect::<Map<_, _>>()
            .into(),
        _ => Value::String(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::KEYS;
    use super::*;

    #[test]
    fn a_secret_and_its_file_are_not_given_together() {
        let variables = [
            ("APP_CLIENT_SECRET", "s3cr3t"),
            ("APP_CLIENT_SECRET_FILE", "/run/client"),
            ("APP_STORE_SEAL_KEY", "s3cr3t"),
            ("APP_STORE_SEAL_KEY_FILE", "/run/seal"),
            ("APP_HEADERS_X_API_KEY", "s3cr3t"),
            ("APP_HEADERS_X_API_KEY_FILE", "/run/key"),
            ("APP_OTHER", "x"),
            ("APP_OTHER_FILE", "x"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let error = from_variables("APP_", KEYS, variables).unwrap_err();
        let said: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "APP_CLIENT_SECRET: is given beside APP_CLIENT_SECRET_FILE; unset one of them",
                "APP_HEADERS_X_API_KEY: is given beside APP_HEADERS_X_API_KEY_FILE; unset one of them",
                "APP_OTHER: is not a known variable; the prefix is APP_, the rest a key in capitals",
                "APP_OTHER_FILE: is not a known variable; the prefix is APP_, the rest a key in capitals",
                "APP_STORE_SEAL_KEY: is given beside APP_STORE_SEAL_KEY_FILE; unset one of them",
            ]
        );
    }
}

//! Reading a checked configuration: values by key, secrets from where they are, and the tree from TOML or the environment.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

#[doc(hidden)]
pub use super::environment::{Environment, Names};
pub use super::environment::{from_environment, from_variables};
use super::schema::{Kind, join};
use crate::error::Problem;
#[cfg(feature = "toml")]
use crate::error::{Error, printable};
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
            Err(error) => cannot("file", unreadable(path.as_ref(), &error)),
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
pub fn from_file(path: &Path) -> Result<Map<String, Value>, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot be read: {error}; check path and permissions");
        Error::config(&absolute(path).display().to_string(), message)
    })?;
    from_toml(&text)
}

/// Why a file cannot be read: where it was looked for, and what the system says.
#[doc(hidden)]
#[must_use]
pub fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be read: {error}; check path and permissions", absolute(path).display())
}

/// A relative path begins at the working directory of the process, which a message has to show.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

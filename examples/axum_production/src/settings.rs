//! The service's configuration: a file, and over it the environment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;

/// What the prefix of every variable is.
const PREFIX: &str = "ORDERS_";
/// The keys that a variable can set.
const KEYS: [&str; 6] =
    ["listen", "admin_listen", "allowed_origins", "guard", "request_timeout_seconds", "drain_seconds"];

/// How the service is run. The guard has a file of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where probes and metrics are.
    pub admin_listen: SocketAddr,
    /// The origins whose pages may call the API.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// The guard's file, from the folder of the service's file.
    pub guard: PathBuf,
    /// When a request is given up, with 503. Not 0.
    #[serde(default = "ten")]
    pub request_timeout_seconds: u64,
    /// How long new requests are still taken after the service says that it is not ready any more.
    #[serde(default)]
    pub drain_seconds: u64,
}

fn ten() -> u64 {
    10
}

/// What is wrong with the configuration. The text names the key.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("{file}: {error}")]
    Unreadable {
        /// Its path.
        file: String,
        /// Why not.
        error: std::io::Error,
    },
    /// The file is no TOML, or a key is missing, unknown or wrong.
    #[error("the service's settings: {0}")]
    Malformed(#[from] toml::de::Error),
    /// An origin is none.
    #[error("allowed_origins: {0:?} is no origin; write it as https://app.example.com")]
    Origin(String),
    /// A limit is zero.
    #[error(
        "{0}: is 0, so that every request would be given up at once; write a number of seconds, such as 10"
    )]
    Zero(&'static str),
}

impl Settings {
    /// Reads a file, and takes what `variable` has over it.
    ///
    /// # Errors
    /// The file cannot be read, or a key is wrong.
    pub fn read(file: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| SettingsError::Unreadable { file: file.display().to_string(), error })?;
        let mut table: toml::Table = text.parse()?;
        for key in KEYS {
            if let Some(value) = variable(&format!("{PREFIX}{}", key.to_uppercase())) {
                table.insert(key.to_owned(), parsed(key, &value));
            }
        }
        let mut settings: Self = table.try_into()?;
        settings.guard = file.parent().unwrap_or(Path::new("")).join(&settings.guard);
        settings.origins()?;
        if settings.request_timeout_seconds == 0 {
            return Err(SettingsError::Zero("request_timeout_seconds"));
        }
        Ok(settings)
    }

    /// The allowed origins, as header values.
    ///
    /// # Errors
    /// One of them is no origin.
    pub fn origins(&self) -> Result<Vec<HeaderValue>, SettingsError> {
        let origin = |origin: &String| {
            let is_origin =
                origin.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
            HeaderValue::from_str(origin)
                .ok()
                .filter(|_| is_origin)
                .ok_or_else(|| SettingsError::Origin(origin.clone()))
        };
        self.allowed_origins.iter().map(origin).collect()
    }

    /// When a request is given up.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds)
    }
}

/// The value of a variable in the type of its key.
fn parsed(key: &str, value: &str) -> toml::Value {
    match key {
        "allowed_origins" => value.split_whitespace().map(toml::Value::from).collect::<Vec<_>>().into(),
        _ => value.parse::<i64>().map_or_else(|_| value.into(), toml::Value::Integer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("service.toml");
        Settings::read(&file, |name| {
            variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_variable_stands_over_the_file() {
        let settings = read(&[("ORDERS_LISTEN", "0.0.0.0:80"), ("ORDERS_DRAIN_SECONDS", "0")]).unwrap();
        assert_eq!((settings.listen.port(), settings.drain_seconds), (80, 0));
        assert_eq!(settings.admin_listen.port(), 3001);
        assert!(settings.guard.ends_with("examples/axum_production/guard.toml"));
        let several = read(&[("ORDERS_ALLOWED_ORIGINS", "https://a.example https://b.example")]).unwrap();
        assert_eq!(several.origins().unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        for (variable, value, named) in [
            ("ORDERS_LISTEN", "somewhere", "listen"),
            ("ORDERS_ALLOWED_ORIGINS", "https://app.example.com/", "allowed_origins"),
            ("ORDERS_DRAIN_SECONDS", "-1", "drain_seconds"),
            ("ORDERS_REQUEST_TIMEOUT_SECONDS", "0", "request_timeout_seconds"),
        ] {
            let error = read(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}

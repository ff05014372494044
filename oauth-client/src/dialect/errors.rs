//! The shapes of a provider's error bodies.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::path::Path;

/// One shape that a provider's error bodies have: where the code is, and where the text. A dialect has several; the
/// first that finds something in a body is the body's shape.
#[derive(Clone, Debug, Default)]
pub struct ErrorShape {
    pub(crate) code: Option<Path>,
    pub(crate) description: Option<Path>,
    pub(crate) uri: Option<Path>,
    /// Whether the code is one of OAuth's, whatever it is.
    pub(crate) speaks_oauth: bool,
    pub(crate) codes_are_words: bool,
}

impl ErrorShape {
    /// RFC 6749 section 5.2: `error`, `error_description` and `error_uri`.
    #[must_use]
    pub fn oauth() -> Self {
        let path = |name: &str| Some(Path::new(name));
        Self {
            code: path("error"),
            description: path("error_description"),
            uri: path("error_uri"),
            speaks_oauth: true,
            codes_are_words: false,
        }
    }

    /// A shape of the provider's own; set where its parts are.
    #[must_use]
    pub fn own() -> Self {
        Self::default()
    }

    /// Where the provider's code is, such as `result.code`. A code that is neither one of OAuth's own nor
    /// [mapped](super::Dialect::code) to one is kept beside the code that follows from the status.
    #[must_use]
    pub fn code(mut self, path: impl Into<String>) -> Self {
        self.code = Some(Path::new(path));
        self
    }

    /// Where the human-readable text is.
    #[must_use]
    pub fn description(mut self, path: impl Into<String>) -> Self {
        self.description = Some(Path::new(path));
        self
    }

    /// A text with a space in it is a sentence and not a code, even where the code should be: it becomes the
    /// description.
    #[must_use]
    pub fn codes_are_words(mut self) -> Self {
        self.codes_are_words = true;
        self
    }
}

/// The whole of an error body, as the provider's own type. What is private here is public as `Error::provider`.
pub(crate) trait Details: Any + fmt::Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
}

impl<T: Any + fmt::Debug + Send + Sync> Details for T {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Reads the whole of an error body as one type.
#[derive(Clone)]
pub(crate) struct ReadDetails {
    read: fn(&Value) -> Option<Arc<dyn Details>>,
    name: &'static str,
}

impl ReadDetails {
    pub(crate) fn of<T: DeserializeOwned + fmt::Debug + Send + Sync + 'static>() -> Self {
        Self {
            read: |body| Some(Arc::new(serde_json::from_value::<T>(body.clone()).ok()?)),
            name: std::any::type_name::<T>(),
        }
    }

    pub(crate) fn read(&self, body: &Value) -> Option<Arc<dyn Details>> {
        (self.read)(body)
    }
}

impl fmt::Debug for ReadDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

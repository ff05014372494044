//! What the suites for stores and feeds of one's own report, in the shape of `oauth_client::store::conformance`.

use std::error::Error as StdError;
use std::fmt;

/// A rule that is broken.
#[derive(Debug)]
pub struct Violation {
    suite: &'static str,
    rule: &'static str,
    found: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Violation {
    /// The rule, in words.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} breaks a rule: {}; found: {}", self.suite, self.rule, self.found)
    }
}

impl StdError for Violation {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// What was checked.
#[derive(Clone, Debug, Default)]
pub struct Report {
    passed: Vec<&'static str>,
    skipped: Vec<&'static str>,
    suite: &'static str,
}

impl Report {
    /// A report about what a suite calls this.
    pub(crate) fn of(suite: &'static str) -> Self {
        Self { suite, ..Self::default() }
    }

    /// The rules that are kept.
    #[must_use]
    pub fn passed(&self) -> &[&'static str] {
        &self.passed
    }

    /// The rules about what is not offered.
    #[must_use]
    pub fn skipped(&self) -> &[&'static str] {
        &self.skipped
    }

    /// Goes on to this rule. It counts as kept, since a violation ends the suite.
    pub(crate) fn begin(&mut self, rule: &'static str) {
        self.passed.push(rule);
    }

    pub(crate) fn skip(&mut self, rule: &'static str) {
        self.skipped.push(rule);
    }

    /// The rule that is checked at present is broken.
    pub(crate) fn violation(&self, found: impl Into<String>) -> Violation {
        let rule = self.passed.last().copied().unwrap_or_default();
        Violation { suite: self.suite, rule, found: found.into(), source: None }
    }
}

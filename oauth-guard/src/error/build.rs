//! Errors of a guard's configuration.

use std::fmt;

pub use oauth_client::Problem;

/// Why a guard cannot be built: all configuration errors together, each with its field.
///
/// ```
/// use oauth_guard::{Guard, Issuer};
///
/// let error = Guard::builder().issuer(Issuer::new("https://auth.example.com")).realm("a\nb").build().unwrap_err();
/// assert_eq!(error.problems().len(), 2);
/// assert_eq!(error.problems()[0].field, "realm");
/// assert_eq!(error.problems()[1].field, "issuer[0].audience");
/// ```
///
/// Its `Debug` is as readable as its `Display`, since a program whose `main` returns the error shows its `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct BuildError {
    problems: Vec<Problem>,
}

impl BuildError {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// All of them, in the order of the settings.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the guard cannot be built")?;
        for problem in &self.problems {
            write!(f, "\n  {}: {}", problem.field, problem.message)?;
        }
        Ok(())
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BuildError {}

/// Collects problems while a guard is built.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { field: field.into(), message: message.into() });
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_error(self) -> BuildError {
        BuildError::new(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_main_returns_is_shown_a_problem_a_line() {
        let mut problems = Problems::default();
        problems.add("realm", "is empty");
        problems.add("issuer[0].audience", "is missing");
        let shown = format!("{:?}", problems.into_error());
        assert_eq!(shown, "the guard cannot be built\n  realm: is empty\n  issuer[0].audience: is missing");
    }
}

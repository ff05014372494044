//! What the problems of a guard call its settings: as the author of the configuration wrote them.

use oauth_client::config::tree::Names;

use super::KEYS;
use crate::error::{BuildError, Problem};

/// How settings are named.
#[derive(Clone, Debug, Default)]
pub(crate) enum Spelling {
    /// As in code.
    #[default]
    Fields,
    /// As in a file.
    Keys,
    /// As in the environment.
    Variables(Names),
}

impl Spelling {
    /// The same error, with the settings named in this way.
    pub(crate) fn of(&self, error: BuildError) -> BuildError {
        let problems = error.problems().iter().cloned();
        match self {
            Self::Fields => error,
            Self::Keys => BuildError::new(problems.map(with_unit).collect()),
            Self::Variables(names) => {
                let named = |problem: Problem| match is_key(&problem.field) {
                    true => names.rename([with_unit(problem)]),
                    false => vec![problem],
                };
                BuildError::new(problems.flat_map(named).collect())
            }
        }
    }
}

/// Whether a file can have it. Other settings are in code only, and no variable is named after them.
fn is_key(field: &str) -> bool {
    let in_code_only = ["keys", "keys.timeout"];
    let first = field.split(['.', '[']).next();
    !in_code_only.contains(&field) && KEYS.iter().any(|key| Some(key.name) == first)
}

/// The builder has durations where a file has seconds.
fn with_unit(mut problem: Problem) -> Problem {
    if matches!(&*problem.field, "keys.cooldown" | "keys.max_age" | "keys.max_stale") {
        problem.field.push_str("_seconds");
    }
    problem
}

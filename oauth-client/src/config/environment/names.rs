//! How variables are named: by the keys of the configuration.

use std::collections::BTreeSet;

use super::super::schema::{Key, Kind};
use crate::error::Problem;

/// The names of the variables of a configuration.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
    keys: &'static [Key],
}

impl Names {
    pub(super) fn new(prefix: &str, keys: &'static [Key]) -> Self {
        Self { prefix: prefix.to_owned(), keys }
    }

    /// The problems by their variables instead of their keys. What is missing only because its variable is misspelt is left
    /// out: that shows only by the variables.
    #[must_use]
    pub fn rename(&self, problems: impl IntoIterator<Item = Problem>) -> Vec<Problem> {
        let named = |problem: Problem| match problem.field.starts_with(&self.prefix) {
            // It is a variable's own.
            true => problem,
            false => Problem { field: self.variable(&problem.field), ..problem },
        };
        let mut named: Vec<_> = problems.into_iter().map(named).collect();
        let meant: BTreeSet<String> = named.iter().flat_map(meant).map(str::to_owned).collect();
        named
            .retain(|problem| !(problem.message.starts_with("is missing") && meant.contains(&problem.field)));
        named
    }

    /// The variable of a key that is written `issuer[0].audience`. What is inside of one variable follows its name.
    fn variable(&self, path: &str) -> String {
        let (mut name, mut keys, mut rest) = (self.prefix.clone(), self.keys, path);
        loop {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            name.push_str(&part.to_uppercase().replace('-', "_"));
            let after_dot = after.strip_prefix('.').unwrap_or(after);
            let kind = keys.iter().find(|key| key.name == part).map(|key| key.kind);
            match kind {
                Some(Kind::Table(inner)) if !after.is_empty() => (keys, rest) = (inner, after_dot),
                Some(Kind::Tables(inner)) => {
                    let Some((number, after)) = after.strip_prefix('[').and_then(|rest| rest.split_once(']'))
                    else {
                        return format!("{name}_0{after}");
                    };
                    name.push_str(&format!("_{number}"));
                    let Some(after) = after.strip_prefix('.') else { return name };
                    (keys, rest) = (inner, after);
                }
                Some(Kind::Secrets) if !after.is_empty() => {
                    let (secret, file) = match after_dot.strip_suffix(".file") {
                        Some(secret) => (secret, "_FILE"),
                        None => (after_dot, ""),
                    };
                    return format!("{name}_{}{file}", secret.to_uppercase().replace('-', "_"));
                }
                Some(Kind::Secret | Kind::SecretOrSecrets) if after == ".file" => {
                    return format!("{name}_FILE");
                }
                _ => return name + after,
            }
            name.push('_');
        }
    }
}

pub(super) const DID_YOU_MEAN: &str = "is not a known variable; did you mean ";

/// The variable that was meant by a misspelt one. That of a secret's file stands for the secret, too.
fn meant(problem: &Problem) -> Vec<&str> {
    let name = problem.message.strip_prefix(DID_YOU_MEAN).and_then(|name| name.strip_suffix('?'));
    name.into_iter().flat_map(|name| [name, name.strip_suffix("_FILE").unwrap_or(name)]).collect()
}

/// Every variable that these keys know, with 0 for each index.
pub(super) fn all(prefix: &str, keys: &[Key], out: &mut Vec<String>) {
    for key in keys {
        let name = format!("{prefix}{}", key.name.to_uppercase());
        match key.kind {
            Kind::Table(keys) => {
                all(&format!("{name}_"), keys, out);
                out.push(name);
            }
            Kind::Tables(keys) => all(&format!("{name}_0_"), keys, out),
            Kind::Secret | Kind::SecretOrSecrets => out.extend([format!("{name}_FILE"), name]),
            Kind::Secrets => {}
            _ => out.push(name),
        }
    }
}

/// What is wrong with the number in the name of a variable, if it is in a list of tables.
pub(super) fn misnumbered(
    prefix: &str,
    keys: &[Key],
    variable: &str,
    given: &BTreeSet<String>,
) -> Option<String> {
    keys.iter().find_map(|key| {
        let name = format!("{prefix}{}", key.name.to_uppercase());
        match key.kind {
            Kind::Table(keys) => misnumbered(&format!("{name}_"), keys, variable, given),
            Kind::Tables(_) if variable == name => {
                Some(format!("is a list of tables, which are numbered: {name}_0_…, {name}_1_…"))
            }
            Kind::Tables(keys) => {
                let rest = variable.strip_prefix(&name)?.strip_prefix('_')?;
                let digits =
                    rest.split('_').next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
                let number: usize = digits.parse().ok()?;
                let is_given = |n: usize| {
                    let (own, inner) = (format!("{name}_{n}"), format!("{name}_{n}_"));
                    given.iter().any(|other| *other == own || other.starts_with(&inner))
                };
                let missing = (0..=number).find(|n| !is_given(*n));
                match missing {
                    _ if digits != number.to_string() => {
                        Some(format!("has the number {digits}; lists are numbered 0, 1, 2 and so on"))
                    }
                    Some(n) => Some(format!(
                        "cannot be placed; lists are numbered from 0 without gaps: {name}_{n}_… is missing"
                    )),
                    None => misnumbered(&format!("{name}_{digits}_"), keys, variable, given),
                }
            }
            _ => None,
        }
    })
}

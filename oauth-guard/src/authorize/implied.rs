//! Scopes that include others: `implies = { admin = ["read", "write"] }`.

use std::collections::{BTreeSet, HashMap};

use super::requirement::is_word;
use crate::error::Problems;

/// For each scope, the other scopes of which each grants it too, directly or through others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Implied(HashMap<Box<str>, Box<[Box<str>]>>);

impl Implied {
    /// From what was configured: a scope, and those that it includes.
    pub(crate) fn new(configured: &[(String, Vec<String>)], problems: &mut Problems) -> Self {
        let mut includes = HashMap::<&str, Vec<&str>>::new();
        for (scope, included) in configured {
            let field = || format!("implies.{scope}");
            if included.is_empty() {
                problems.add(field(), "includes no scope; name those that it includes, or leave it out");
            }
            if let Some(odd) = [scope].into_iter().chain(included).find(|scope| !is_word(scope)) {
                let message = format!(
                    "{odd:?} is not a scope: one word of visible ASCII characters without quotes and backslashes"
                );
                problems.add(field(), message);
            }
            includes.entry(scope).or_default().extend(included.iter().map(String::as_str));
        }
        let mut granted_by = HashMap::<&str, BTreeSet<&str>>::new();
        for scope in includes.keys() {
            let mut reached = BTreeSet::new();
            let mut next = vec![*scope];
            while let Some(one) = next.pop() {
                for included in includes.get(one).into_iter().flatten() {
                    if reached.insert(*included) {
                        next.push(included);
                    }
                }
            }
            for included in reached.into_iter().filter(|included| included != scope) {
                granted_by.entry(included).or_default().insert(scope);
            }
        }
        let boxed = |scopes: BTreeSet<&str>| scopes.into_iter().map(Into::into).collect();
        Self(granted_by.into_iter().map(|(scope, by)| (scope.into(), boxed(by))).collect())
    }

    /// Whether a token that `has` some scopes is granted this one by another. Asked only where it lacks the scope
    /// itself.
    pub(crate) fn grants(&self, scope: &str, has: impl Fn(&str) -> bool) -> bool {
        self.0.get(scope).is_some_and(|others| others.iter().any(|other| has(other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn implied(pairs: &[(&str, &[&str])]) -> Implied {
        let owned = |(scope, included): &(&str, &[&str])| {
            ((*scope).to_owned(), included.iter().map(|one| (*one).to_owned()).collect())
        };
        let mut problems = Problems::default();
        let implied = Implied::new(&pairs.iter().map(owned).collect::<Vec<_>>(), &mut problems);
        assert!(problems.is_empty());
        implied
    }

    #[test]
    fn inclusion_is_transitive_and_goes_one_way() {
        let implied = implied(&[("root", &["admin"]), ("admin", &["read", "write"]), ("write", &["draft"])]);
        for (scope, by) in [
            ("read", &["admin", "root"][..]),
            ("write", &["admin", "root"]),
            ("draft", &["write", "admin", "root"]),
            ("admin", &["root"]),
            ("root", &[]),
            ("other", &[]),
        ] {
            for one in ["root", "admin", "read", "write", "draft", "other", ""] {
                assert_eq!(implied.grants(scope, |has| has == one), by.contains(&one), "{one} for {scope}");
            }
        }
    }

    #[test]
    fn a_circle_ends_and_makes_its_scopes_equal() {
        let implied = implied(&[("a", &["b"]), ("b", &["c", "b"]), ("c", &["a"])]);
        for scope in ["a", "b", "c"] {
            for one in ["a", "b", "c"] {
                assert_eq!(implied.grants(scope, |has| has == one), one != scope, "{one} for {scope}");
            }
        }
    }
}

//! A requirement as lists of scopes, for documents that know nothing but scopes.

use std::collections::BTreeSet;

use super::requirement::{Requirement, Term};

/// More alternatives than this are given as the one list of all scopes.
const MOST: usize = 32;

/// Which sets of scopes are enough, as far as scopes go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Alternatives {
    pub(crate) scopes: Vec<BTreeSet<String>>,
    /// Whether the sets say all of it: neither roles nor claims, clients, logins or `!` are required beside them.
    pub(crate) complete: bool,
}

impl Alternatives {
    /// Of requirements that all have to be met.
    pub(crate) fn of<'a>(requirements: impl IntoIterator<Item = &'a Requirement>) -> Self {
        requirements.into_iter().map(Self::of_one).fold(Self::nothing(), Self::and)
    }

    fn nothing() -> Self {
        Self { scopes: vec![BTreeSet::new()], complete: true }
    }

    fn of_one(requirement: &Requirement) -> Self {
        match requirement.term() {
            Term::Scope(scope) => Self { scopes: vec![BTreeSet::from([scope.to_string()])], complete: true },
            Term::All(terms) => Self::of(terms.iter()),
            Term::Any(terms) => {
                let mut all = Self { scopes: Vec::new(), complete: true };
                for one in terms.iter().map(Self::of_one) {
                    all.complete &= one.complete;
                    all.scopes.extend(one.scopes);
                }
                all.settled()
            }
            _ => Self { complete: false, ..Self::nothing() },
        }
    }

    fn and(self, other: Self) -> Self {
        let pairs = self.scopes.iter().flat_map(|one| other.scopes.iter().map(move |two| one | two));
        // Neither has more than `MOST`, so that this is bounded.
        Self { scopes: pairs.collect(), complete: self.complete && other.complete }.settled()
    }

    /// Without repetitions and without sets that contain another one.
    fn settled(mut self) -> Self {
        self.scopes.sort_by(|one, two| one.len().cmp(&two.len()).then_with(|| one.cmp(two)));
        self.scopes.dedup();
        let mut kept: Vec<BTreeSet<String>> = Vec::new();
        for set in self.scopes.drain(..) {
            if !kept.iter().any(|smaller| smaller.is_subset(&set)) {
                kept.push(set);
            }
        }
        if kept.len() > MOST {
            kept = vec![kept.into_iter().flatten().collect()];
            self.complete = false;
        }
        Self { scopes: kept, complete: self.complete }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(requirement: &Requirement) -> (Vec<String>, bool) {
        let found = Alternatives::of([requirement]);
        let joined = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        (found.scopes.iter().map(joined).collect(), found.complete)
    }

    #[test]
    fn all_and_any_become_sets_of_scopes() {
        let (a, b, c) = (Requirement::scope("a"), Requirement::scope("b"), Requirement::scope("c"));
        assert_eq!(sets(&(a.clone() & (b.clone() | c))), (vec!["a b".into(), "a c".into()], true));
        assert_eq!(sets(&(a.clone() | (a.clone() & b.clone()))), (vec!["a".into()], true));
        assert_eq!(sets(&(a.clone() & Requirement::role("admin"))), (vec!["a".into()], false));
        assert_eq!(sets(&(a | Requirement::role("admin"))), (vec![String::new()], false));
        assert_eq!(sets(&!b), (vec![String::new()], false));
    }

    #[test]
    fn many_alternatives_are_bounded() {
        let pair = |n: usize| Requirement::scope(format!("a{n}")) | Requirement::scope(format!("b{n}"));
        let (found, complete) = sets(&Requirement::all((0..20).map(pair)));
        assert!(found.len() <= MOST && !complete);
        assert!(found.iter().all(|set| set.contains("a0") && set.contains("b0")), "{found:?}");
    }
}

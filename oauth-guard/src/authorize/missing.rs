//! What the challenge of a rejection asks the caller for.

use std::time::Duration;

use crate::reject::{Rejection, RequiredBinding};

/// What a requirement needs, and which kind of it the token lacks.
#[derive(Debug, Default)]
pub(super) struct Missing<'a> {
    scopes: Vec<&'a str>,
    acr: Option<Vec<&'a str>>,
    max_login_age: Option<u64>,
    pub(super) scope_lacks: bool,
    pub(super) login_lacks: bool,
    pub(super) binding_lacks: bool,
    /// The token lacks something that no challenge can name: a role, a claim, another client.
    pub(super) out_of_reach: bool,
}

impl<'a> Missing<'a> {
    pub(super) fn needs_scope(&mut self, scope: &'a str) {
        if !self.scopes.contains(&scope) {
            self.scopes.push(scope);
        }
    }

    pub(super) fn needs_acr(&mut self, values: &'a [Box<str>]) {
        self.needs_one_of(values.iter().map(|value| &**value).collect());
    }

    /// The values that satisfy both, if there are any: one login has only one `acr`.
    fn needs_one_of(&mut self, values: Vec<&'a str>) {
        let both: Vec<_> = match &self.acr {
            Some(before) => before.iter().copied().filter(|value| values.contains(value)).collect(),
            None => values,
        };
        if !both.is_empty() {
            self.acr = Some(both);
        }
    }

    pub(super) fn needs_login_within(&mut self, seconds: u64) {
        self.max_login_age = Some(self.max_login_age.map_or(seconds, |before| before.min(seconds)));
    }

    pub(super) fn merge(&mut self, other: Self) {
        other.scopes.into_iter().for_each(|scope| self.needs_scope(scope));
        other.acr.into_iter().for_each(|values| self.needs_one_of(values));
        other.max_login_age.into_iter().for_each(|age| self.needs_login_within(age));
        self.scope_lacks |= other.scope_lacks;
        self.login_lacks |= other.login_lacks;
        self.binding_lacks |= other.binding_lacks;
        self.out_of_reach |= other.out_of_reach;
    }

    /// A new login is requested only when it would be enough: RFC 9470 is for tokens that lack nothing else.
    pub(super) fn into_rejection(self) -> Rejection {
        // Another token is needed whatever this one grants.
        if self.binding_lacks {
            return Rejection::TokenNotBound(RequiredBinding::Key);
        }
        if self.login_lacks && !self.scope_lacks && !self.out_of_reach {
            return Rejection::InsufficientAuthentication {
                acr_values: self.acr.unwrap_or_default().join(" ").into(),
                max_age: self.max_login_age.map(Duration::from_secs),
            };
        }
        Rejection::InsufficientScope { needed: self.scopes.join(" ").into() }
    }
}

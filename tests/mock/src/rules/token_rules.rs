//! Claims and responses that differ by client, scope, grant or parameter.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use crate::rules::faults::When;
use crate::rules::matching::{Match, Scenarios, Turn};

/// What some tokens, ID tokens, userinfo and token responses have that others have not.
///
/// It holds over all that the server would put there itself, `iss` and `cnf` included; `null` leaves a member out.
///
/// ```
/// use oauth_mock::{Match, MockServer, TokenRule};
/// use serde_json::{Value, json};
///
/// let server = MockServer::builder().in_process();
/// server.token_rule(TokenRule::new(Match::any().client("svc").scope("read")).claim("roles", json!(["reader"])));
/// server.token_rule(TokenRule::new(Match::any().param("resource", "x")).response("expires_in", Value::Null));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it does nothing until it is given to `MockServer::token_rule`"]
pub struct TokenRule {
    pub(crate) matching: Match,
    pub(crate) set: Rulings,
    pub(crate) when: When,
    pub(crate) turn: Option<Turn>,
    pub(crate) id: u64,
    seen: usize,
}

/// What all rules say together of one token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rulings {
    /// Access tokens, and what introspection says of them.
    pub(crate) access: Map<String, Value>,
    pub(crate) id_token: Map<String, Value>,
    pub(crate) userinfo: Map<String, Value>,
    /// The response of the token endpoint.
    pub(crate) response: Map<String, Value>,
}

impl TokenRule {
    /// A rule for these requests. For tokens the scope that counts is the one granted.
    pub fn new(matching: Match) -> Self {
        Self { matching, ..Self::default() }
    }

    /// Puts a claim into access tokens and into what introspection says of them.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set.access.insert(name.into(), value.into());
        self
    }

    /// Puts a claim into ID tokens.
    pub fn id_token(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set.id_token.insert(name.into(), value.into());
        self
    }

    /// Puts a claim into userinfo.
    pub fn userinfo(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set.userinfo.insert(name.into(), value.into());
        self
    }

    /// Puts a member into the response of the token endpoint.
    pub fn response(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set.response.insert(name.into(), value.into());
        self
    }

    /// Holds for the next `n` of these requests only.
    pub fn times(mut self, n: usize) -> Self {
        self.when = When::Times(n);
        self
    }

    /// Holds only while `scenario` is in `state`, and takes it to `next`; see
    /// [`FaultScript::in_scenario`](crate::FaultScript::in_scenario).
    pub fn in_scenario(mut self, scenario: &str, state: &str, next: Option<&str>) -> Self {
        let (scenario, state, next) = (scenario.to_owned(), state.to_owned(), next.map(str::to_owned));
        self.turn = Some(Turn { scenario, state, next });
        self
    }
}

impl Rulings {
    fn add(&mut self, other: &Self) {
        for (into, from) in [
            (&mut self.access, &other.access),
            (&mut self.id_token, &other.id_token),
            (&mut self.userinfo, &other.userinfo),
            (&mut self.response, &other.response),
        ] {
            into.extend(from.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
    }
}

/// Puts these members over those of `object`; `null` leaves one out.
pub(crate) fn set(object: &mut Map<String, Value>, members: &Map<String, Value>) {
    for (name, value) in members {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct TokenRules(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    rules: Vec<TokenRule>,
    last_id: u64,
}

impl TokenRules {
    pub(crate) fn new(rules: &[TokenRule]) -> Self {
        let list = Self::default();
        list.reset(rules);
        list
    }

    /// The number of the rule.
    pub(crate) fn add(&self, rule: TokenRule) -> u64 {
        let mut list = self.list();
        list.last_id += 1;
        let id = list.last_id;
        list.rules.push(TokenRule { id, ..rule });
        id
    }

    pub(crate) fn all(&self) -> Vec<TokenRule> {
        self.list().rules.clone()
    }

    pub(crate) fn clear(&self) {
        self.list().rules.clear();
    }

    pub(crate) fn reset(&self, rules: &[TokenRule]) {
        self.clear();
        rules.iter().cloned().for_each(|rule| {
            self.add(rule);
        });
    }

    /// What the rules that fit say of a token, later ones over earlier ones.
    pub(crate) fn of(&self, scenarios: &Scenarios, fits: impl Fn(&Match) -> bool) -> Rulings {
        let mut rulings = Rulings::default();
        for rule in &mut self.list().rules {
            let turn = rule.turn.as_ref();
            if !fits(&rule.matching) || !scenarios.is_in(turn) {
                continue;
            }
            rule.seen += 1;
            if rule.when.meets(rule.seen) {
                scenarios.go_on(turn);
                rulings.add(&rule.set);
            }
        }
        rulings
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

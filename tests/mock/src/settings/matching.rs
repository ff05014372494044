//! Conditions and token rules, as they are written and shown.

use serde_json::{Map, Value, json};

use super::fault::read_when;
use super::reader::Fields;
use crate::clients::GrantType;
use crate::rules::faults::When;
use crate::rules::matching::{FIRST_STATE, Match, Turn};
use crate::rules::token_rules::TokenRule;

/// Reads `when`: which requests something is about. Without it, every one.
pub(crate) fn read_match(fields: &Fields<'_>) -> Match {
    fields.nested("when", read_conditions).unwrap_or_default()
}

fn read_conditions(fields: &Fields<'_>) -> Match {
    let pairs = |name| {
        let members = fields.object(name).unwrap_or_default();
        let text = |(key, value): (String, Value)| match value {
            Value::String(text) => Some((key, text)),
            _ => {
                fields.mistake(name, format!("{key}: a string is needed"));
                None
            }
        };
        members.into_iter().filter_map(text).collect::<Vec<_>>()
    };
    let grants = GrantType::ALL.map(|grant| (grant.as_str(), grant.as_str()));
    let headers = pairs("headers").into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    Match {
        client: fields.text("client_id"),
        grant: fields.choice("grant_type", &grants).map(str::to_owned),
        scopes: fields.scopes("scope").unwrap_or_default(),
        params: pairs("params"),
        headers: headers.collect(),
        method: fields.text("method").map(|method| method.to_ascii_uppercase()),
        path: fields.text("path"),
    }
}

/// Reads `scenario`, `state` and `next_state`.
pub(crate) fn read_turn(fields: &Fields<'_>) -> Option<Turn> {
    let scenario = fields.text("scenario");
    let (state, next) = (fields.text("state"), fields.text("next_state"));
    if scenario.is_none() && (state.is_some() || next.is_some()) {
        fields.mistake("scenario", "missing: whose states `state` and `next_state` are");
    }
    let state = state.unwrap_or_else(|| FIRST_STATE.to_owned());
    scenario.map(|scenario| Turn { scenario, state, next })
}

/// Puts the condition and the scenario of a rule into what is shown of it.
pub(crate) fn show_condition(shown: &mut Value, matching: &Match, turn: Option<&Turn>) {
    let about = matching.described();
    if !about.is_empty() {
        shown["when"] = json!(about);
    }
    if let Some(Turn { scenario, state, next }) = turn {
        shown["scenario"] = json!(scenario);
        shown["state"] = json!(state);
        if let Some(next) = next {
            shown["next_state"] = json!(next);
        }
    }
}

/// Reads a rule for claims and responses.
pub(crate) fn read_token_rule(fields: &Fields<'_>) -> TokenRule {
    let mut rule = TokenRule::new(read_match(fields));
    let members = |name| fields.object(name).unwrap_or_default();
    let (access, id_token) = (members("access_token"), members("id_token"));
    let (userinfo, response) = (members("userinfo"), members("response"));
    if [&access, &id_token, &userinfo, &response].into_iter().all(Map::is_empty) {
        let needed =
            "one or more of `access_token`, `id_token`, `userinfo` and `response` are needed: what they get";
        fields.mistake("", needed);
    }
    (rule.set.access, rule.set.id_token) = (access, id_token);
    (rule.set.userinfo, rule.set.response) = (userinfo, response);
    rule.when = read_when(fields);
    rule.turn = read_turn(fields);
    rule
}

/// A rule in force. Conditions are shown without secrets, claims as they are.
pub(crate) fn show_token_rule(rule: &TokenRule) -> Value {
    let mut shown = json!({ "id": rule.id });
    for (name, members) in [
        ("access_token", &rule.set.access),
        ("id_token", &rule.set.id_token),
        ("userinfo", &rule.set.userinfo),
        ("response", &rule.set.response),
    ] {
        if !members.is_empty() {
            shown[name] = json!(members);
        }
    }
    if let When::Times(left) = rule.when {
        shown["left"] = json!(left);
    }
    show_condition(&mut shown, &rule.matching, rule.turn.as_ref());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::reader::read;

    #[test]
    fn a_rule_reads_as_it_is_shown_and_mistakes_are_named() {
        let rule = read(
            json!({"when": {"client_id": "svc", "grant_type": "password", "scope": "a b", "params": {"x": "y"},
                "headers": {"X-Tenant": "t"}, "method": "post", "path": "/token"},
                "access_token": {"roles": ["admin"], "jti": null}, "scenario": "s", "next_state": "2", "times": 1}),
            read_token_rule,
        );
        let shown = show_token_rule(&rule.unwrap());
        let about = "client=svc grant_type=password method=POST path=/token scope=a scope=b x=y x-tenant=t";
        assert_eq!((&shown["when"], &shown["left"]), (&json!(about), &json!(1)));
        assert_eq!((&shown["state"], &shown["next_state"]), (&json!("start"), &json!("2")));
        let mistakes = read(
            json!({"when": {"client": "x", "grant_type": "code", "params": {"a": 1}}, "state": "s"}),
            read_token_rule,
        );
        let mistakes = mistakes.unwrap_err().to_string();
        for field in [
            "when.client: unknown",
            "when.grant_type: ",
            "when.params: a: ",
            "scenario: missing",
            "one or more",
        ] {
            assert!(mistakes.lines().any(|line| line.starts_with(field)), "{field} in {mistakes}");
        }
    }
}

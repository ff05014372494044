//! The client that `POST /oauth-clients` creates: every member of the page, checked by type and by its listed values.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::clients::{GrantType, MockClient};
use crate::encode::{hex, random};
use crate::providers::object;
use crate::providers::request::Problem;
use crate::shared::Shared;

/// "If no scope is specified, the client will be created with the default scope".
pub(super) const DEFAULT_SCOPE: &str = "sp:scopes:all";

/// What a member may be.
enum Kind {
    Text,
    Seconds,
    Flag,
    Texts,
    OneOf(&'static [&'static str]),
    SomeOf(&'static [&'static str]),
}

const GRANTS: &[&str] = &["CLIENT_CREDENTIALS", "AUTHORIZATION_CODE", "REFRESH_TOKEN"];

/// The members of the request, named as in the response, in the response's order: the page lost the request's own
/// names.
const MEMBERS: [(&str, Kind); 15] = [
    ("businessName", Kind::Text),
    ("homepageUrl", Kind::Text),
    ("name", Kind::Text),
    ("description", Kind::Text),
    ("accessTokenValiditySeconds", Kind::Seconds),
    ("refreshTokenValiditySeconds", Kind::Seconds),
    ("redirectUris", Kind::Texts),
    ("grantTypes", Kind::SomeOf(GRANTS)),
    ("accessType", Kind::OneOf(&["ONLINE", "OFFLINE"])),
    ("type", Kind::OneOf(&["CONFIDENTIAL", "PUBLIC"])),
    ("internal", Kind::Flag),
    ("enabled", Kind::Flag),
    ("strongAuthSupported", Kind::Flag),
    ("claimsSupported", Kind::Flag),
    ("scope", Kind::Texts),
];

/// Creates the client, so that it can ask for tokens, and returns what was created; the secret is returned this once.
pub(super) fn create(shared: &Shared, members: &Map<String, Value>) -> Result<String, Problem> {
    check(members)?;
    let (id, secret) = (hex(&random::<16>()), hex(&random::<32>()));
    let now = timestamp(shared.clock.now_unix());
    let mut created = vec![("id", json!(id)), ("secret", json!(secret))];
    let returned = MEMBERS[..14].iter().map(|(name, _)| *name);
    let value = |name| members.get(name).cloned().or_else(|| left_out(name));
    created.extend(returned.filter_map(|name| Some((name, value(name)?))));
    created.extend([("created", json!(now)), ("modified", json!(now))]);
    let scope = members.get("scope").filter(|scope| **scope != json!([])).cloned();
    let scope = scope.unwrap_or_else(|| json!([DEFAULT_SCOPE]));
    created.push(("scope", scope.clone()));
    if let Some(client) = registered(members, id, secret, &scope) {
        shared.register(client);
    }
    Ok(object(&created))
}

/// What is returned for a member that the request left out: numbers and flags of the printed client, and what lets the
/// new client ask for tokens and nothing more. A text has no value then.
fn left_out(name: &str) -> Option<Value> {
    Some(match name {
        "accessTokenValiditySeconds" => json!(750),
        "refreshTokenValiditySeconds" => json!(86_400),
        "redirectUris" => json!([]),
        "grantTypes" => json!(["CLIENT_CREDENTIALS"]),
        "accessType" => json!("OFFLINE"),
        "type" => json!("CONFIDENTIAL"),
        "enabled" => json!(true),
        "internal" | "strongAuthSupported" | "claimsSupported" => json!(false),
        _ => return None,
    })
}

fn check(members: &Map<String, Value>) -> Result<(), Problem> {
    for (name, value) in members {
        let Some((_, kind)) = MEMBERS.iter().find(|(known, _)| known == name) else {
            return Err(Problem::new(name, "no property of an OAuth client"));
        };
        kind.check(value).map_err(|why| Problem::new(name, why))?;
    }
    let some = |name: &str| members.get(name).and_then(Value::as_array).into_iter().flatten();
    if some("grantTypes").any(|grant| grant == "AUTHORIZATION_CODE") && some("redirectUris").next().is_none()
    {
        return Err(Problem::new("redirectUris", "the grant type AUTHORIZATION_CODE needs one or more"));
    }
    Ok(())
}

impl Kind {
    fn check(&self, value: &Value) -> Result<(), &'static str> {
        let texts = |good: &dyn Fn(&str) -> bool| {
            value.as_array().is_some_and(|all| all.iter().all(|one| one.as_str().is_some_and(good)))
        };
        let (good, why) = match self {
            Self::Text => (value.is_string(), "must be a string"),
            Self::Seconds => (value.is_u64(), "must be a whole number of seconds"),
            Self::Flag => (value.is_boolean(), "must be true or false"),
            Self::Texts => (texts(&|_| true), "must be a list of strings"),
            Self::OneOf(values) => {
                (value.as_str().is_some_and(|one| values.contains(&one)), "not one of the possible values")
            }
            Self::SomeOf(values) => {
                (texts(&|one| values.contains(&one)), "not a list of the possible values")
            }
        };
        if good { Ok(()) } else { Err(why) }
    }
}

/// The client for the token endpoint, unless it is disabled or may not use client_credentials.
fn registered(members: &Map<String, Value>, id: String, secret: String, scope: &Value) -> Option<MockClient> {
    let grants = members.get("grantTypes").and_then(Value::as_array);
    let may_ask = grants.is_none_or(|grants| grants.iter().any(|grant| grant == GRANTS[0]));
    if !may_ask || members.get("enabled") == Some(&json!(false)) {
        return None;
    }
    let scopes = scope.as_array().into_iter().flatten().filter_map(Value::as_str);
    let client = MockClient::new(id).secret(secret).grants([GrantType::ClientCredentials]).scopes(scopes);
    Some(match members.get("accessTokenValiditySeconds").and_then(Value::as_u64) {
        Some(seconds) => client.token_lifetime(Duration::from_secs(seconds)),
        None => client,
    })
}

/// "The date and time, down to the millisecond" as printed: RFC 3339 in UTC. The server's clock has whole seconds.
fn timestamp(unix: i64) -> String {
    let (days, second) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    // Days since 0000-03-01, so that a leap day is the last of its year: eras of 400 years, then years, then months.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z", year + era * 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_calendar_dates() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_499_798_737, "2017-07-11T18:45:37.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_799, "2000-02-29T23:59:59.000Z"),
            (1_893_456_000, "2030-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(timestamp(unix), text);
        }
    }

    #[test]
    fn a_clock_set_far_away_does_no_harm() {
        assert!(timestamp(i64::MAX).ends_with(".000Z") && timestamp(i64::MIN).ends_with(".000Z"));
    }
}

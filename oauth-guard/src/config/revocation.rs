//! The table `revocation`.

use std::time::Duration;

use oauth_client::config::schema::{Key, Kind, join};
use oauth_client::config::tree::Table;

use crate::error::Problem;
use crate::revocation::{OnOutage, Poll, RevocationSettings};

/// Its keys.
pub(super) const REVOCATION: &[Key] = &[
    Key::new(
        "backchannel_logout",
        Kind::Text,
        "no endpoint",
        "backchannel_logout = \"/backchannel-logout\"",
        "The path of the endpoint for logout tokens (OpenID Connect Back-Channel Logout 1.0); needs client_ids. A reload does not move a route in use.",
    ),
    Key::new(
        "client_ids",
        Kind::Texts,
        "none",
        "client_ids = [\"shop\"]",
        "The clients whose logout tokens and security events are accepted: their aud.",
    ),
    Key::new(
        "security_events",
        Kind::Text,
        "no endpoint",
        "security_events = \"/security-events\"",
        "The path of the endpoint to which security event tokens are pushed (RFC 8935); their aud is one of client_ids, or the resource. A reload does not move a route in use.",
    ),
    Key::new(
        "poll",
        Kind::Table(POLL),
        "no polling",
        "poll = { endpoint = \"https://auth.example.com/poll\", token = { file = \"poll.token\" } }",
        "A transmitter of security events that is polled (RFC 8936), as below.",
    ),
    Key::new(
        "file",
        Kind::Text,
        "none",
        "file = \"revoked.jsonl\"",
        "A file of revocations that is followed: one JSON object on each line, see oauth_guard::revocation::Revocation. It has to exist, empty is fine: while it does not, on_outage applies.",
    ),
    Key::new(
        "max_stale_seconds",
        Kind::Number(0),
        "30",
        "max_stale_seconds = 30",
        "How long a source may be away before on_outage applies.",
    ),
    Key::new(
        "on_outage",
        Kind::OneOf(&["refuse", "serve"]),
        "\"refuse\"",
        "on_outage = \"refuse\"",
        "What happens then: requests get 503, or are served with what is known. Log and health say so in both cases.",
    ),
    Key::new(
        "max_entries",
        Kind::Number(1),
        "1048576",
        "max_entries = 1048576",
        "How many revocations are kept. A full list takes no more and forgets nothing: endpoints answer 503, and a source counts as away.",
    ),
    Key::new(
        "longest_token_seconds",
        Kind::Number(1),
        "the longest max_token_age_seconds where every issuer has one, else 30 days",
        "longest_token_seconds = 86400",
        "The longest lifetime of an access token: how long a revocation is kept that does not say when it ends, and twice the largest leeway longer.",
    ),
];

const POLL: &[Key] = &[
    Key::new(
        "endpoint",
        Kind::Text,
        "none; required",
        "endpoint = \"https://auth.example.com/poll\"",
        "Where to ask.",
    ),
    Key::new(
        "token",
        Kind::Secret,
        "none",
        "token = { file = \"poll.token\" }",
        "The bearer token of these requests. A file is read again when it is replaced.",
    ),
    Key::new(
        "every_seconds",
        Kind::Number(1),
        "30",
        "every_seconds = 30",
        "How often it is asked; at once again while it has more.",
    ),
];

/// Reads the table. What is wrong with a secret is reported by its key.
pub(super) fn read(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<RevocationSettings> {
    let table = table.table("revocation")?;
    let seconds = |table: Table<'_>, name| table.number(name).map(Duration::from_secs);
    let mut settings = RevocationSettings::new();
    if let Some(path) = table.text("backchannel_logout") {
        settings = settings.backchannel_logout(path);
    }
    settings = table.texts("client_ids").into_iter().fold(settings, RevocationSettings::client_id);
    if let Some(path) = table.text("security_events") {
        settings = settings.security_events(path);
    }
    if let Some(poll) = table.table("poll") {
        let mut own = Vec::new();
        let mut read = Poll::new(poll.text("endpoint").unwrap_or_default());
        if let Some(token) = poll.secret_source("token", &mut own) {
            read = read.token(token);
        }
        if let Some(every) = seconds(poll, "every_seconds") {
            read = read.every(every);
        }
        problems.extend(
            own.into_iter()
                .map(|problem| Problem { field: join("revocation.poll", &problem.field), ..problem }),
        );
        settings = settings.poll(read);
    }
    if let Some(path) = table.text("file") {
        settings = settings.file(path);
    }
    if let Some(time) = seconds(table, "max_stale_seconds") {
        settings = settings.max_stale(time);
    }
    if table.text("on_outage") == Some("serve") {
        settings = settings.on_outage(OnOutage::Serve);
    }
    if let Some(entries) = table.number("max_entries") {
        settings = settings.max_entries(usize::try_from(entries).unwrap_or(usize::MAX));
    }
    if let Some(lifetime) = seconds(table, "longest_token_seconds") {
        settings = settings.longest_token(lifetime);
    }
    Some(settings)
}

#[cfg(test)]
#[cfg(feature = "reqwest")]
mod tests {
    use oauth_client::config::tree::from_variables;
    use serde_json::{Map, Value, json};

    use super::super::{GuardConfig, KEYS};

    fn with(revocation: Value) -> Map<String, Value> {
        let issuer = json!({ "issuer": "https://as.example", "audience": ["a"] });
        json!({ "issuer": [issuer], "revocation": revocation }).as_object().unwrap().clone()
    }

    #[test]
    fn the_table_of_the_contract_is_read() {
        let config = with(json!({
            "backchannel_logout": "/backchannel-logout",
            "client_ids": ["shop"],
            "security_events": "/security-events",
            "poll": { "endpoint": "https://as.example/poll", "token": "t", "every_seconds": 30 },
            "max_stale_seconds": 30,
            "on_outage": "serve",
        }));
        let guard = GuardConfig::from_tree(&config).unwrap().build().unwrap();
        assert_eq!(guard.backchannel_logout_path().as_deref(), Some("/backchannel-logout"));
        assert_eq!(guard.security_events_path().as_deref(), Some("/security-events"));
        let health = guard.health().revocations;
        assert_eq!(health.feeds[0].name, "poll of https://as.example/poll");
    }

    #[test]
    fn it_is_read_from_the_environment_too() {
        let variables = [
            ("G_ISSUER_0_ISSUER", "https://as.example"),
            ("G_ISSUER_0_AUDIENCE", "a"),
            ("G_REVOCATION_BACKCHANNEL_LOGOUT", "/logout"),
            ("G_REVOCATION_CLIENT_IDS", "shop web"),
            ("G_REVOCATION_POLL_ENDPOINT", "https://as.example/poll"),
            ("G_REVOCATION_ON_OUTAGE", "serve"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let tree = from_variables("G_", KEYS, variables).unwrap();
        let guard = GuardConfig::from_tree(&tree).unwrap().build().unwrap();
        assert_eq!(guard.backchannel_logout_path().as_deref(), Some("/logout"));
        assert_eq!(guard.health().revocations.feeds.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        let config = with(json!({
            "backchannel_logout": "logout",
            "poll": { "endpoint": "ftp://x", "every_seconds": 0 },
            "on_outage": "perhaps",
            "max_entries": 0,
        }));
        let error = GuardConfig::from_tree(&config).unwrap_err();
        let mut fields: Vec<_> = error.problems().iter().map(|problem| problem.field.as_str()).collect();
        fields.sort_unstable();
        let expected = [
            "backchannel_logout",
            "client_ids",
            "max_entries",
            "on_outage",
            "poll.endpoint",
            "poll.every_seconds",
        ];
        assert_eq!(fields, expected.map(|name| format!("revocation.{name}")));
    }
}

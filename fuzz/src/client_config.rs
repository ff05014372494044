//! The client's configuration: TOML and JSON of the same content mean the same, a key that is not known is named, and no
//! secret is shown.

use oauth_client::config::ClientConfig;
use serde_json::Value;

use crate::config::{UNKNOWN, as_json, examples, is_harmless, values_of, with_unknown_key};
use crate::secrets::{assert_hidden_in_debug, assert_hidden_in_error};
use crate::target::{Target, bounded};

pub const TARGET: Target = Target { check, seeds };

const SECRETS: [&str; 8] = [
    "client_secret",
    "password",
    "private_key",
    "refresh_token",
    "assertion",
    "subject_token",
    "actor_token",
    "seal_key",
];

fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if !is_harmless(text) {
        return;
    }
    let parsed = bounded(text.len() + 64 * 1024, || ClientConfig::from_toml(text));
    let json = as_json(text);
    let mut secrets = Vec::new();
    values_of(json.as_ref().unwrap_or(&Value::Null), &SECRETS, &mut secrets);
    // Any value may be a secret in a wrong place; in an error none is quoted.
    match &parsed {
        Ok(config) => {
            shown_elsewhere(&mut secrets, text);
            assert_hidden_in_debug(config, &secrets);
        }
        Err(error) => {
            shown_elsewhere(&mut secrets, text);
            assert_hidden_in_error(error, &secrets);
            assert!(!error.to_string().is_empty());
        }
    }
    if let Some(json) = json {
        let other = serde_json::from_value::<ClientConfig>(json);
        assert_eq!(parsed.is_ok(), other.is_ok(), "{:?} and {:?}", parsed.err(), other.err());
        // A key for proofs is drawn each time.
        if let (Ok(one), Ok(other), false) = (&parsed, &other, text.contains("dpop")) {
            assert_eq!(format!("{one:?}"), format!("{other:?}"));
        }
    }
    if parsed.is_ok() {
        let error = ClientConfig::from_toml(&with_unknown_key(text)).expect_err("an unknown key");
        assert!(error.problems().iter().any(|problem| problem.field == UNKNOWN), "{error:?}");
    }
}

/// A secret that stands in the text twice may be another value as well, which is no secret.
fn shown_elsewhere(secrets: &mut Vec<String>, text: &str) {
    secrets.retain(|secret| {
        text.matches(secret.as_str()).count() == 1 && secret.bytes().any(|byte| byte.is_ascii_digit())
    });
}

fn seeds() -> Vec<Vec<u8>> {
    let base =
        "issuer = \"https://auth.example.com\"\nclient_id = \"svc\"\nclient_secret = \"s3cr3t-s3cr3t\"\n";
    let mut seeds =
        vec![base.to_owned(), format!("{base}grant = \"client_credentials\"\nscope = [\"read\"]\n")];
    seeds.extend(
        examples(include_str!("../../oauth-client/CONFIG.md")).iter().map(|line| format!("{base}{line}\n")),
    );
    seeds
        .push(format!("{base}[custom]\nname = \"x\"\n[store]\nkind = \"file\"\npath = \"t.json\"\n[dpop]\n"));
    seeds.into_iter().map(String::into_bytes).collect()
}

//! The guard's configuration: TOML and JSON of the same content mean the same, a key that is not known is named, no secret
//! is shown, and what is accepted protects.

use http::Request;
use oauth_guard::config::GuardConfig;
use serde_json::Value;

use crate::config::{UNKNOWN, as_json, examples, is_harmless, values_of, with_unknown_key};
use crate::fixture::{check as ask, json_server, within};
use crate::secrets::{assert_hidden_in_debug, assert_hidden_in_error};
use crate::target::{Target, bounded};

pub const TARGET: Target = Target { check, seeds };

const SECRETS: [&str; 5] = ["client_secret", "password", "private_key", "nonce_key", "client_assertion"];

fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if !is_harmless(text) {
        return;
    }
    let parsed = bounded(text.len() + 256 * 1024, || within(|| GuardConfig::from_toml(text)));
    let json = as_json(text);
    let mut secrets = Vec::new();
    values_of(json.as_ref().unwrap_or(&Value::Null), &SECRETS, &mut secrets);
    // One that stands in the text twice may be another value as well.
    let is_odd = |secret: &String| secret.bytes().any(|byte| byte.is_ascii_digit());
    secrets.retain(|secret| text.matches(secret.as_str()).count() == 1 && is_odd(secret));
    match &parsed {
        Ok(config) => assert_hidden_in_debug(config, &secrets),
        Err(error) => assert_hidden_in_error(error, &secrets),
    }
    if let Some(json) = &json {
        let other = within(|| serde_json::from_value::<GuardConfig>(json.clone()));
        assert_eq!(parsed.is_ok(), other.is_ok(), "{:?} and {:?}", parsed.err(), other.err());
        if let (Ok(one), Ok(other)) = (&parsed, &other) {
            assert_eq!(format!("{one:?}"), format!("{other:?}"));
        }
    }
    let Ok(config) = parsed else { return };
    let error = within(|| GuardConfig::from_toml(&with_unknown_key(text))).expect_err("an unknown key");
    assert!(error.problems().iter().any(|problem| problem.field == UNKNOWN), "{error:?}");
    // No file is read, and nothing fetched: a service of no use takes the place of the network.
    if text.contains("file") || text.contains("token") && text.contains('/') {
        return;
    }
    let guard = within(|| config.into_builder().http(json_server(bytes::Bytes::new())).build());
    match guard {
        Ok(guard) => {
            // Without a token there are never claims.
            let request = Request::get("https://api.example.com/orders").body(()).expect("a request");
            assert!(!matches!(ask(&guard, &request), Ok(Some(_))));
            let is_public = text.contains("public") || text.contains("optional") || text.contains("dry_run");
            assert!(guard.authorize(&request, None).is_err() || is_public, "{text}");
        }
        Err(error) => assert_hidden_in_error(&error, &secrets),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let base = "[[issuer]]\nissuer = \"https://auth.example.com\"\naudience = [\"orders-api\"]\n";
    let mut seeds = vec![base.to_owned()];
    let tables = ["dpop", "certificates", "cache", "keys", "revocation", "issuer.introspection"];
    let mut tables = tables.map(|table| (table, String::new()));
    for example in examples(include_str!("../../oauth-guard/CONFIG.md")) {
        if !example.starts_with('[') {
            // At the top, of the issuer, and of each table that may be the one.
            seeds.push(format!("{example}\n{base}"));
            seeds.push(format!("{base}{example}\n"));
            seeds.push(format!("{base}[[rule]]\npath = \"/orders/{{id}}\"\n{example}\n"));
            seeds.push(format!("{base}[[rule]]\npath = \"/orders\"\nrequire = {{ {example} }}\n"));
        }
        if !example.starts_with('[') {
            tables.iter_mut().for_each(|(_, lines)| lines.push_str(&format!("{example}\n")));
        }
    }
    // Whole tables of whatever stands in the reference; the fuzzer takes the wrong lines out.
    seeds.extend(tables.iter().map(|(table, lines)| format!("{base}[{table}]\n{lines}")));
    seeds.sort_unstable();
    seeds.dedup();
    seeds.into_iter().map(String::into_bytes).collect()
}

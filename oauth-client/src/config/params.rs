//! `params`: what a request has besides. What has a key of its own is not given there: it would replace what that key
//! says, and a secret would be shown.

use super::problem;
use super::tree::Table;
use crate::error::Problem;

/// Parameters that are keys of the configuration, by the same name.
const KEYS: &[&str] = &[
    "actor_token",
    "actor_token_type",
    "assertion",
    "audience",
    "authorization_details",
    "client_assertion",
    "client_id",
    "client_secret",
    "password",
    "refresh_token",
    "requested_token_type",
    "resource",
    "scope",
    "subject_token",
    "subject_token_type",
    "username",
];

/// Parameters that are sent by themselves where a grant or an authentication has them.
const SENT: &[&str] = &["auth_req_id", "client_assertion_type", "code", "code_verifier", "device_code"];

/// Reports the parameters that do not belong into `params`.
pub(super) fn check(table: Table<'_>, problems: &mut Vec<Problem>) {
    for (name, _) in table.pairs("params") {
        let message = match name {
            "grant_type" => "has a key of its own, grant; set that".to_owned(),
            _ if KEYS.contains(&name) => format!("has a key of its own, {name}; set that"),
            _ if SENT.contains(&name) => "is sent by itself where it is needed; remove it".to_owned(),
            _ => continue,
        };
        problems.push(problem(&format!("params.{name}"), &message));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::ClientConfig;

    /// There it would replace what the key says, and a secret would be shown in `Debug`.
    #[test]
    fn what_has_a_key_of_its_own_is_refused_among_the_further_parameters() {
        let with = |grant: &str, name: &str| {
            let mut values = json!({"issuer": "https://auth.example.com", "client_id": "svc", "client_secret": "s3cr3t",
                    "grant": grant, "params": {"tenant": "a"}});
            values["params"][name] = "s3cr3t".into();
            ClientConfig::from_tree(values.as_object().unwrap())
        };
        assert!(with("client_credentials", "colour").is_ok());
        let own = [
            "audience",
            "authorization_details",
            "client_assertion",
            "client_id",
            "client_secret",
            "password",
            "refresh_token",
            "resource",
            "scope",
            "subject_token",
            "username",
        ];
        for grant in ["client_credentials", "device_code"] {
            for name in own {
                let error = with(grant, name).unwrap_err();
                let said: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
                assert_eq!(
                    said,
                    [format!("params.{name}: has a key of its own, {name}; set that")],
                    "{grant}"
                );
            }
            let error = with(grant, "grant_type").unwrap_err();
            assert!(error.to_string().contains("params.grant_type: has a key of its own, grant;"), "{error}");
            let error = with(grant, "code_verifier").unwrap_err();
            assert!(error.to_string().contains("params.code_verifier: is sent by itself"), "{error}");
        }
    }
}

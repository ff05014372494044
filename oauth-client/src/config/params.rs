//! `params`: what a request has besides. What has a key of its own is not given there: it would replace what that key
//! says, and a secret would be shown.

use super::tree::Table;
use super::{assertion_grants, problem};
use crate::error::Problem;

/// Parameters with a secret that are keys of the configuration, by the same name.
const SECRETS: &[&str] = &[
    "actor_token",
    "assertion",
    "client_assertion",
    "client_secret",
    "password",
    "refresh_token",
    "subject_token",
];

/// Other parameters that are keys of the configuration, by the same name.
const KEYS: &[&str] = &[
    "actor_token_type",
    "audience",
    "authorization_details",
    "client_id",
    "requested_token_type",
    "resource",
    "scope",
    "subject_token_type",
    "username",
];

/// Parameters that are sent by themselves where a grant or an authentication has them.
const SENT: &[&str] = &["auth_req_id", "client_assertion_type", "code", "code_verifier", "device_code"];

/// Reports the parameters that do not belong into the `params` of this grant.
pub(super) fn check(table: Table<'_>, grant: &str, problems: &mut Vec<Problem>) {
    for (name, value) in table.pairs("params") {
        let has_key = is_key_for(name, grant);
        let message = match name {
            "grant_type" => "has a key of its own, grant; set that".to_owned(),
            // Some servers want it in the body beside the Authorization header.
            "client_id" if table.text(name) == Some(value) => continue,
            _ if SECRETS.contains(&name) && !has_key => {
                "is a secret, so not in params: write it in code, in a Grant of your own (Parameters::set_secret)"
                    .to_owned()
            }
            _ if has_key && (SECRETS.contains(&name) || KEYS.contains(&name)) => {
                format!("has a key of its own, {name}; set that")
            }
            _ if SENT.contains(&name) => "is sent by itself where it is needed; remove it".to_owned(),
            _ => continue,
        };
        problems.push(problem(&format!("params.{name}"), &message));
    }
}

/// Whether the key with this name says what is in the token request of this grant.
fn is_key_for(name: &str, grant: &str) -> bool {
    match (name, grant) {
        // `ciba` has none, and that of `id_jag` is for the identity provider.
        ("audience", "ciba" | "id_jag") => false,
        _ => assertion_grants::is_for(name, grant),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::config::ClientConfig;

    fn with(grant: &str, name: &str, value: &str, more: &Value) -> Result<ClientConfig, Vec<String>> {
        let mut values = json!({"issuer": "https://auth.example.com", "client_id": "svc", "client_secret": "s3cr3t",
            "grant": grant, "params": {"tenant": "a"}});
        values["params"][name] = value.into();
        values.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        ClientConfig::from_tree(values.as_object().unwrap())
            .map_err(|error| error.problems().iter().map(ToString::to_string).collect())
    }

    fn problems(grant: &str, name: &str) -> Vec<String> {
        with(grant, name, "s3cr3t", &Value::Null).err().unwrap_or_default()
    }

    /// What the grants need that are not given a parameter only.
    fn of(grant: &str) -> Value {
        match grant {
            "password" => json!({"username": "alice", "password": "wonderland"}),
            "refresh_token" => json!({"refresh_token": "r0"}),
            "jwt_bearer" => json!({"assertion": "a0"}),
            "token_exchange" => json!({"subject_token": "t0"}),
            "id_jag" => json!({"subject_token": "t0", "identity_provider":
                {"issuer": "https://idp.example.com", "client_id": "wiki", "client_auth": "none"}}),
            "ciba" => json!({"login_hint": "alice"}),
            _ => Value::Null,
        }
    }

    /// There it would replace what the key says.
    #[test]
    fn what_has_a_key_of_its_own_is_refused_among_the_further_parameters() {
        assert!(with("client_credentials", "colour", "red", &Value::Null).is_ok());
        let own = [
            "audience",
            "authorization_details",
            "client_assertion",
            "client_id",
            "client_secret",
            "resource",
            "scope",
        ];
        for grant in ["client_credentials", "device_code"] {
            for name in own {
                let expected = format!("params.{name}: has a key of its own, {name}; set that");
                assert_eq!(problems(grant, name), [expected], "{grant}");
            }
            let said = problems(grant, "grant_type");
            assert_eq!(said, ["params.grant_type: has a key of its own, grant; set that"]);
            let said = problems(grant, "code_verifier");
            assert_eq!(said, ["params.code_verifier: is sent by itself where it is needed; remove it"]);
        }
        for (grant, name) in [
            ("password", "username"),
            ("password", "password"),
            ("refresh_token", "refresh_token"),
            ("jwt_bearer", "assertion"),
            ("token_exchange", "subject_token"),
            ("token_exchange", "subject_token_type"),
            ("token_exchange", "actor_token"),
            ("token_exchange", "actor_token_type"),
            ("token_exchange", "requested_token_type"),
            ("id_jag", "subject_token_type"),
        ] {
            let said = with(grant, name, "s3cr3t", &of(grant)).unwrap_err();
            assert_eq!(said, [format!("params.{name}: has a key of its own, {name}; set that")], "{grant}");
        }
    }

    /// The key of another grant would be refused, too, in favour of nothing.
    #[test]
    fn what_has_no_key_with_the_grant_is_a_further_parameter_unless_it_is_a_secret() {
        for (grant, name) in [
            ("client_credentials", "username"),
            ("client_credentials", "requested_token_type"),
            ("client_credentials", "subject_token_type"),
            ("jwt_bearer", "requested_token_type"),
            ("device_code", "username"),
            ("id_jag", "requested_token_type"),
            ("id_jag", "audience"),
            ("ciba", "audience"),
        ] {
            let read = with(grant, name, "given", &of(grant));
            let config = read.unwrap_or_else(|said| panic!("{grant}: {said:?}"));
            let shown = format!("{config:?}");
            assert!(shown.contains("given") && shown.contains(name), "{grant}: {shown}");
        }
        for (grant, name) in [
            ("client_credentials", "password"),
            ("client_credentials", "refresh_token"),
            ("jwt_bearer", "subject_token"),
            ("password", "actor_token"),
            ("id_jag", "actor_token"),
            ("device_code", "assertion"),
        ] {
            let said = with(grant, name, "s3cr3t", &of(grant)).unwrap_err();
            let expected = format!(
                "params.{name}: is a secret, so not in params: write it in code, in a Grant of your own \
                 (Parameters::set_secret)"
            );
            assert_eq!(said, [expected], "{grant}");
        }
    }

    /// Some servers want it in the body, too.
    #[test]
    fn the_client_id_may_be_a_further_parameter_where_it_is_the_same() {
        let config = with("client_credentials", "client_id", "svc", &Value::Null).unwrap();
        assert_eq!(config.request.to_parameters().plain("client_id"), Some("svc"));
        let said = with("client_credentials", "client_id", "another", &Value::Null).unwrap_err();
        assert_eq!(said, ["params.client_id: has a key of its own, client_id; set that"]);
    }

    /// The key goes to the identity provider.
    #[test]
    fn the_audience_of_the_second_leg_of_id_jag_is_a_further_parameter() {
        let mut more = of("id_jag");
        more["audience"] = "https://auth.example.com".into();
        let config = with("id_jag", "audience", "orders", &more).unwrap();
        assert_eq!(config.request.to_parameters().plain("audience"), Some("orders"));
    }
}

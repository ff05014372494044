//! The grants that present a token or an assertion. A file with one is read for every request, since they are short-lived
//! and are replaced by the platform that mounts them; an assertion may be signed here, too.

use std::time::Duration;

use super::schema::join;
use super::tree::Table;
use super::{auth, needed, problem};
use crate::client::{Client, ClientBuilder};
use crate::dialect;
use crate::error::{Error, Problem};
use crate::grant::{self, Assertion, IdJag, SignedAssertion, TokenExchange, TokenRequest};
use crate::sign::{Algorithm, KeySource, SigningKey};
use crate::token::TokenType;

const SIGNED: &str = "signed_assertion";

/// Which grants each of these keys is for.
const FOR: &[(&str, &[&str])] = &[
    ("username", &["password"]),
    ("password", &["password"]),
    ("refresh_token", &["refresh_token"]),
    ("assertion", &["jwt_bearer"]),
    (SIGNED, &["jwt_bearer"]),
    ("subject_token", &["token_exchange", "id_jag"]),
    ("subject_token_type", &["token_exchange", "id_jag"]),
    ("actor_token", &["token_exchange"]),
    ("actor_token_type", &["token_exchange"]),
    ("requested_token_type", &["token_exchange"]),
    (PROVIDER, &["id_jag"]),
];

const PROVIDER: &str = "identity_provider";

/// Reports keys that belong to another grant.
pub(super) fn misplaced(table: Table<'_>, grant: &str, problems: &mut Vec<Problem>) {
    for (field, belongs_to) in FOR {
        if table.has(field) && !belongs_to.contains(&grant) {
            let instead = if belongs_to.len() == 1 { "that" } else { "one of them" };
            let belongs_to = belongs_to.join("\" or \"");
            let message = format!("is for grant = \"{belongs_to}\"; set grant to {instead}, or remove it");
            problems.push(problem(field, &message));
        }
    }
}

/// Whether a key is for this grant. Most are for all.
pub(super) fn is_for(field: &str, grant: &str) -> bool {
    FOR.iter().find(|(name, _)| *name == field).is_none_or(|(_, grants)| grants.contains(&grant))
}

/// `jwt_bearer` (RFC 7523 section 2.1): an assertion from elsewhere, or one that is signed here.
pub(super) fn assertion(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<TokenRequest> {
    match (table.has("assertion"), table.table(SIGNED)) {
        (true, None) => table.secret_source("assertion", problems).map(grant::jwt_bearer),
        (false, Some(signed)) => {
            let mut own = Vec::new();
            let assertion = signed_assertion(table, signed, &mut own);
            problems.extend(own.iter().map(|found| problem(&join(SIGNED, &found.field), &found.message)));
            assertion.map(grant::jwt_bearer)
        }
        (true, Some(_)) => {
            problems.push(problem(SIGNED, "is given beside assertion; remove one of them"));
            None
        }
        (false, None) => {
            let message = "is missing; grant = \"jwt_bearer\" needs it, as { file = \"assertion.jwt\" }, or signed_assertion = { private_key = { file = \"key.pem\" } }";
            problems.push(problem("assertion", message));
            None
        }
    }
}

fn signed_assertion(
    table: Table<'_>,
    signed: Table<'_>,
    problems: &mut Vec<Problem>,
) -> Option<SignedAssertion> {
    needed(signed, "private_key", "the assertion", problems)?;
    let text = signed.secret("private_key", problems)?;
    let key_id = signed.text("key_id");
    let usable = signed.text("signing_alg").map(str::parse::<Algorithm>).transpose().and_then(|algorithm| {
        KeySource::adjusted(SigningKey::from_text(text.expose())?, algorithm, key_id).map(|_| algorithm)
    });
    let algorithm = usable.map_err(|error: Error| problems.extend(error.problems().iter().cloned())).ok()?;
    let key = signed.secret_source("private_key", problems)?;
    // Who the client is has been asked for elsewhere.
    let issuer = signed.text("issuer").or_else(|| table.text("client_id"))?;
    let mut assertion = Assertion::signed(key, issuer);
    if let Some(algorithm) = algorithm {
        assertion = assertion.algorithm(algorithm);
    }
    assertion = key_id.into_iter().fold(assertion, SignedAssertion::key_id);
    assertion = signed.text("subject").into_iter().fold(assertion, SignedAssertion::subject);
    assertion = signed.text("audience").into_iter().fold(assertion, SignedAssertion::audience);
    // Zero has been reported under the key's own name.
    if let Some(seconds) = signed.number("lifetime_seconds").filter(|seconds| *seconds > 0) {
        assertion = assertion.lifetime(Duration::from_secs(seconds));
    }
    Some(
        signed
            .pairs("claims")
            .into_iter()
            .fold(assertion, |assertion, (name, value)| assertion.claim(name, value)),
    )
}

/// `token_exchange` (RFC 8693).
pub(super) fn exchange(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<TokenRequest> {
    needed(table, "subject_token", "grant = \"token_exchange\"", problems)?;
    let types = ["subject_token_type", "actor_token_type", "requested_token_type"];
    let [subject_type, actor_type, requested] =
        types.map(|field| token_type(table, field, TokenType::AccessToken, problems));
    let subject = table.secret_source("subject_token", problems);
    let mut exchange = TokenExchange::new(subject?, subject_type);
    if table.has("actor_token") {
        exchange = exchange.actor(table.secret_source("actor_token", problems)?, actor_type);
    } else if table.has("actor_token_type") {
        problems.push(problem("actor_token", "is missing; actor_token_type says what it is"));
    }
    if table.has("requested_token_type") {
        exchange = exchange.requested_token_type(requested);
    }
    Some(grant::token_exchange(exchange))
}

/// What kind of token a key says that something is: a name, or a URI, which has a colon.
fn token_type(table: Table<'_>, field: &str, usual: TokenType, problems: &mut Vec<Problem>) -> TokenType {
    match table.text(field).map(TokenType::from) {
        Some(TokenType::Other(name)) if !name.contains(':') => {
            let message = "is no kind of token; expected access_token, refresh_token, id_token, jwt, saml1, saml2, or a URI";
            problems.push(problem(field, message));
            usual
        }
        named => named.unwrap_or(usual),
    }
}

/// What an `id_jag` grant rests on. The client of the identity provider is built with the other one, since both use the same
/// transport and clock.
#[derive(Clone, Debug)]
pub(super) struct IdentityProvider {
    pub(super) client: ClientBuilder,
    exchange: TokenExchange,
    audience: Option<String>,
}

impl IdentityProvider {
    pub(super) fn grant(&self, client: &Client) -> IdJag {
        let grant = IdJag::new(client, self.exchange.clone());
        self.audience.iter().fold(grant, |grant, audience| grant.audience(audience))
    }
}

/// `id_jag` (draft-ietf-oauth-identity-assertion-authz-grant).
pub(super) fn identity_provider(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<IdentityProvider> {
    let by = "grant = \"id_jag\"";
    let (subject, own) =
        (needed(table, "subject_token", by, problems), needed(table, PROVIDER, by, problems));
    let subject = subject.and_then(|()| table.secret_source("subject_token", problems));
    own?;
    let own = table.table(PROVIDER)?;
    let mut found = Vec::new();
    // Both clients use the same connections, and so the same certificate.
    let auth = auth::auth_with_tls(own, table.table("tls"), &dialect::standard(), &mut found);
    let mut client = Client::builder();
    client = own.text("issuer").into_iter().fold(client, ClientBuilder::issuer);
    client = own.text("token_endpoint").into_iter().fold(client, ClientBuilder::token_endpoint);
    if table.flag("danger_allow_http") {
        client = client.danger_allow_http();
    }
    if let Some(seconds) = table.number("timeout_seconds").filter(|seconds| *seconds > 0) {
        client = client.timeout(Duration::from_secs(seconds));
    }
    client = auth.into_iter().fold(client, ClientBuilder::auth);
    client = auth::mutual_tls(table, client);
    let known = |problem: &Problem| matches!(&*problem.field, "auth" | "http");
    found.extend(client.problems().into_iter().filter(|problem| !known(problem)));
    let place = |field: &str| match field.starts_with("tls.") {
        true => field.to_owned(),
        false => join(PROVIDER, field),
    };
    problems.extend(found.iter().map(|found| problem(&place(&found.field), &found.message)));
    let subject_type = token_type(table, "subject_token_type", TokenType::IdToken, problems);
    let exchange = TokenExchange::new(subject?, subject_type);
    let audience = table.text("audience").map(str::to_owned);
    found.is_empty().then_some(IdentityProvider { client, exchange, audience })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::config::ClientConfig;
    use crate::error::Error;

    fn read(more: Value) -> Result<ClientConfig, Error> {
        let mut values =
            json!({"issuer": "https://auth.example.com", "client_id": "svc", "client_secret": "s3cr3t"});
        values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ClientConfig::from_tree(values.as_object().unwrap())
    }

    fn problems(more: Value) -> Vec<String> {
        read(more)
            .map_or_else(|error| error.problems().iter().map(ToString::to_string).collect(), |_| Vec::new())
    }

    #[test]
    fn a_user_and_a_refresh_token_are_not_left_out_in_silence() {
        let user = json!({"username": "alice", "password": "w0nderland"});
        assert_eq!(
            problems(user.clone()),
            [
                "username: is for grant = \"password\"; set grant to that, or remove it",
                "password: is for grant = \"password\"; set grant to that, or remove it"
            ]
        );
        let mut asked = user;
        asked["grant"] = "password".into();
        assert!(problems(asked.clone()).is_empty());
        asked["refresh_token"] = "r".into();
        assert_eq!(
            problems(asked),
            ["refresh_token: is for grant = \"refresh_token\"; set grant to that, or remove it"]
        );
        assert_eq!(
            problems(json!({"subject_token": "t"})),
            [
                "subject_token: is for grant = \"token_exchange\" or \"id_jag\"; set grant to one of them, or remove it"
            ]
        );
    }

    #[test]
    fn a_misspelt_kind_of_token_is_not_sent() {
        for field in ["subject_token_type", "actor_token_type", "requested_token_type"] {
            let exchange = |kind: &str| {
                let mut values = json!({"grant": "token_exchange", "subject_token": "t", "actor_token": "a"});
                values[field] = kind.into();
                problems(values)
            };
            for kind in ["id_token", "saml2", "urn:ietf:params:oauth:token-type:jwt", "urn:x:y", "https://x"]
            {
                assert!(exchange(kind).is_empty(), "{kind}");
            }
            for kind in ["acess_token", "JWT", ""] {
                let expected = format!(
                    "{field}: is no kind of token; expected access_token, refresh_token, id_token, jwt, saml1, saml2, or a URI"
                );
                assert_eq!(exchange(kind), [expected], "{kind}");
            }
        }
        let jag = json!({"grant": "id_jag", "subject_token": "t", "subject_token_type": "idtoken",
            "identity_provider": {"issuer": "https://idp.example.com", "client_id": "wiki", "client_auth": "none"}});
        assert!(problems(jag)[0].starts_with("subject_token_type: is no kind of token"));
    }

    #[test]
    fn a_client_of_an_identity_provider_proves_itself_by_the_certificate_of_the_connections() {
        let jag = |tls: Option<Value>| {
            let mut values = json!({"grant": "id_jag", "subject_token": "t", "identity_provider": {
                "issuer": "https://idp.example.com", "client_id": "wiki", "client_auth": "tls_client_auth"}});
            values.as_object_mut().unwrap().extend(tls.map(|tls| ("tls".to_owned(), tls)));
            values
        };
        assert_eq!(
            problems(jag(None)),
            [
                "tls.cert: is missing; client_auth = \"tls_client_auth\" needs a certificate, tls = { cert, key }"
            ]
        );
        let file = std::env::temp_dir().join(format!("oauth-client-jag-{}.pem", std::process::id()));
        std::fs::write(&file, "x").unwrap();
        let file_name = file.to_str().unwrap();
        let config = read(jag(Some(json!({"cert": file_name, "key": file_name}))));
        std::fs::remove_file(&file).unwrap();
        #[cfg(feature = "reqwest")]
        {
            let provider = config.unwrap().identity_provider.unwrap();
            let shown = format!("{:?}", provider.client);
            assert!(shown.contains("tls_client_auth"), "{shown}");
        }
        #[cfg(not(feature = "reqwest"))]
        assert_eq!(config.unwrap_err().problems()[0].field, "tls");
    }
}

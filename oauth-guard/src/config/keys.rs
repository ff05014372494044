//! The keys of a guard's configuration.

use oauth_client::config::schema::{Key, Kind, join};
use serde_json::Value;

use super::rules::{RULE, check_scalar};
use crate::error::Problem;

const ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519"];

/// Every key that a guard's configuration may have.
pub const KEYS: &[Key] = &[
    Key::new(
        "resource",
        Kind::Text,
        "none",
        "resource = \"https://api.example.com\"",
        "This API's own URL; enables the RFC 9728 document and names it in every challenge.",
    ),
    Key::new("realm", Kind::Text, "none", "realm = \"orders\"", "The realm of every challenge."),
    Key::new(
        "issuer",
        Kind::Tables(ISSUER),
        "none; at least one is required",
        "[[issuer]]\nissuer = \"https://auth.example.com\"",
        "The issuers whose tokens are accepted.",
    ),
    Key::new(
        "token_header",
        Kind::Text,
        "none",
        "token_header = \"x-access-token\"",
        "A header that may carry the token, without a scheme, instead of Authorization.",
    ),
    Key::new(
        "token_cookie",
        Kind::Text,
        "none",
        "token_cookie = \"access_token\"",
        "A cookie that may carry the token. State-changing routes then need protection against cross-site request forgery.",
    ),
    Key::new(
        "strip_token",
        Kind::Flag,
        "false",
        "strip_token = true",
        "Strips the token from each request before it is forwarded.",
    ),
    Key::new(
        "rule",
        Kind::Tables(RULE),
        "none",
        "[[rule]]\npath = \"/orders/{*rest}\"\nrequire = { scope = \"orders:read\" }",
        "What the requests of a route need; the most specific rule applies.",
    ),
    Key::new(
        "dry_run",
        Kind::Flag,
        "false",
        "dry_run = true",
        "Logs requests that rules would reject, and forwards them; invalid tokens are still rejected.",
    ),
    Key::new(
        "allow_preflight",
        Kind::Flag,
        "false",
        "allow_preflight = true",
        "Forwards CORS preflight requests, which never have a token.",
    ),
    Key::new(
        "cache",
        Kind::Table(CACHE),
        "as below",
        "[cache]\nmax_bytes = 67108864",
        "The cache of valid tokens.",
    ),
    Key::new(
        "keys",
        Kind::Table(KEY_POLICY),
        "as below",
        "[keys]\ncooldown_seconds = 30",
        "When key sets are fetched.",
    ),
];

const ISSUER: &[Key] = &[
    Key::new(
        "issuer",
        Kind::Text,
        "none; required",
        "issuer = \"https://auth.example.com\"",
        "The exact iss of its tokens; its keys are discovered from it unless set below. {tenantid} in it stands for the claim tid (Microsoft Entra); it needs jwks_uri.",
    ),
    Key::new(
        "audience",
        Kind::Texts,
        "none; required, or any_audience",
        "audience = [\"orders-api\"]",
        "The names of this API; aud must contain one of them.",
    ),
    Key::new(
        "algorithms",
        Kind::SomeOf(ALGORITHMS),
        "all of them",
        "algorithms = [\"RS256\", \"ES256\"]",
        "The only signature algorithms to accept.",
    ),
    Key::new(
        "profile",
        Kind::OneOf(&["rfc9068", "jwt"]),
        "\"rfc9068\"",
        "profile = \"jwt\"",
        "Whether tokens are RFC 9068 access tokens (typ at+jwt, with sub, client_id, iat and jti) or any JWT.",
    ),
    Key::new(
        "jwks_uri",
        Kind::Text,
        "discovered",
        "jwks_uri = \"https://auth.example.com/jwks\"",
        "The URL of its JWK Set.",
    ),
    Key::new(
        "jwks_file",
        Kind::Text,
        "none",
        "jwks_file = \"keys.json\"",
        "A file with its JWK Set; nothing is fetched then.",
    ),
    Key::new(
        "leeway_seconds",
        Kind::Number(0),
        "60",
        "leeway_seconds = 60",
        "The tolerated clock difference.",
    ),
    Key::new(
        "max_token_age_seconds",
        Kind::Number(1),
        "any",
        "max_token_age_seconds = 86400",
        "The maximum age of a token since iat.",
    ),
    Key::new(
        "max_token_bytes",
        Kind::Number(1),
        "8192",
        "max_token_bytes = 8192",
        "The longest token to accept.",
    ),
    Key::new(
        "clients",
        Kind::Texts,
        "any",
        "clients = [\"svc\"]",
        "The only clients (client_id, else azp) to accept.",
    ),
    Key::new(
        "scope_claim",
        Kind::Text,
        "scope, else scp",
        "scope_claim = \"scp\"",
        "The claim with the scopes, a string or a list; a path may have dots.",
    ),
    Key::new(
        "roles_claim",
        Kind::Text,
        "roles",
        "roles_claim = \"realm_access.roles\"",
        "The claim with the roles.",
    ),
    Key::new(
        "scope_separator",
        Kind::OneOf(&[" ", ","]),
        "\" \"",
        "scope_separator = \",\"",
        "What separates the scopes of a string, beside blanks. A comma may be part of a scope (RFC 6749 section 3.3), so it separates only where the issuer means it so.",
    ),
    Key::new(
        "any_audience",
        Kind::Flag,
        "false",
        "any_audience = true",
        "Accepts tokens whatever their aud, or without one, from clients and from no other; needs clients, and goes with no audience.",
    ),
    Key::new(
        "require",
        Kind::Expression(REQUIRED, check_required),
        "none",
        "require = { token_use = \"access\" }",
        "Claims that every token of this issuer must have, with exactly these values; a name may be a path with dots.",
    ),
    Key::new(
        "headers",
        Kind::Secrets,
        "none",
        "headers = { x-api-key = { file = \"gateway.key\" } }",
        "Headers of the requests for its metadata and keys. They go to the issuer's origin and to a jwks_uri given here, never to another origin that metadata names.",
    ),
    Key::new(
        "token_file",
        Kind::Text,
        "none",
        "token_file = \"/var/run/secrets/kubernetes.io/serviceaccount/token\"",
        "A file with a bearer token for the requests for its metadata and keys, read for each of them; it goes where headers go.",
    ),
    Key::new(
        "tls",
        Kind::Table(TLS),
        "the platform's authorities",
        "tls = { ca = \"ca.crt\" }",
        "What the requests for its metadata and keys trust.",
    ),
    Key::new(
        "danger_allow_http",
        Kind::Flag,
        "false",
        "danger_allow_http = false",
        "Fetches keys over plain http from other machines. Only for networks that you trust as much as the issuer.",
    ),
];

const TLS: &[Key] = &[Key::new(
    "ca",
    Kind::Text,
    "the platform's authorities",
    "ca = \"/etc/ssl/cluster-ca.crt\"",
    "A PEM file with the certificate authorities to trust instead; it is read again when it is replaced.",
)];

const REQUIRED: &str = "a table of claims with their values, such as { token_use = \"access\" }";

fn check_required(value: &Value, field: &str, problems: &mut Vec<Problem>) {
    let Some(claims) = value.as_object().filter(|claims| !claims.is_empty()) else {
        return problems.push(Problem { field: field.to_owned(), message: format!("expected {REQUIRED}") });
    };
    for (name, value) in claims {
        check_scalar(value, &join(field, name), problems);
    }
}

const CACHE: &[Key] = &[Key::new(
    "max_bytes",
    Kind::Number(0),
    "67108864",
    "max_bytes = 67108864",
    "The capacity of the token cache in bytes; 0 disables it.",
)];

const KEY_POLICY: &[Key] = &[
    Key::new(
        "cooldown_seconds",
        Kind::Number(1),
        "30",
        "cooldown_seconds = 30",
        "The shortest time between two fetches that tokens with an unknown key id cause.",
    ),
    Key::new(
        "max_age_seconds",
        Kind::Number(1),
        "600",
        "max_age_seconds = 600",
        "How long a key set is fresh; a shorter Cache-Control max-age of the server is followed.",
    ),
    Key::new(
        "max_stale_seconds",
        Kind::Number(1),
        "86400",
        "max_stale_seconds = 86400",
        "The maximum age of a key set while no newer one is available.",
    ),
];

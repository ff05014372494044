//! The keys of a guard's configuration.

use oauth_client::config::schema::{Key, Kind, join};
use serde_json::Value;

use super::possession::{CERTIFICATES, DPOP};
use super::revocation::REVOCATION;
use super::rules::{RULE, check_scalar};
use crate::error::Problem;

pub(super) const ALGORITHMS: &[&str] =
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
    Key::new("realm", Kind::Text, "\"api\"", "realm = \"orders\"", "The realm of every challenge."),
    Key::new(
        "issuer",
        Kind::Tables(ISSUER),
        "none; at least one is required, or resolve_issuers in the program",
        "[[issuer]]\nissuer = \"https://auth.example.com\"",
        "The issuers whose tokens are accepted.",
    ),
    Key::new(
        "allow_private_jwks",
        Kind::Flag,
        "false",
        "allow_private_jwks = true",
        "The same for every issuer, those resolved at run time included.",
    ),
    Key::new(
        "token_header",
        Kind::Text,
        "none",
        "token_header = \"x-access-token\"",
        "A header that may carry the token too, without a scheme; Authorization is always read. A request with two tokens is rejected with 400.",
    ),
    Key::new(
        "token_cookie",
        Kind::Text,
        "none",
        "token_cookie = \"access_token\"",
        "A cookie that may carry the token too. State-changing routes then need protection against cross-site request forgery.",
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
        "What the requests of a route need; the most specific rule applies. Rules that code adds are not kept by a reload: build the guard and its reloads from one function.",
    ),
    Key::new(
        "revocation",
        Kind::Table(REVOCATION),
        "revocations from code only",
        "revocation = { backchannel_logout = \"/backchannel-logout\", client_ids = [\"shop\"] }",
        "Where revocations come from, as below.",
    ),
    Key::new(
        "default_access",
        Kind::OneOf(&["token", "deny"]),
        "\"token\"",
        "default_access = \"deny\"",
        "What a route without a rule needs: a valid token, or deny: nothing is forwarded, with 403. A reload takes it from what it is given alone, as everything here.",
    ),
    Key::new(
        "dry_run",
        Kind::Flag,
        "false",
        "dry_run = true",
        "Logs requests that rules would reject, and forwards them; invalid tokens are still rejected, and so is what lacks a requirement in code.",
    ),
    Key::new(
        "implies",
        Kind::Expression("a table of scopes with lists of scopes", super::rules::check_implies),
        "none",
        "implies = { admin = [\"read\", \"write\"] }",
        "Scopes that include others, and those that these include; a token with the first meets rules that ask for the others.",
    ),
    Key::new(
        "allowed_origins",
        Kind::Texts,
        "all",
        "allowed_origins = [\"https://app.example.com\"]",
        "The only origins whose pages may send requests; another Origin is 403. Name this service's own too if it has pages.",
    ),
    Key::new(
        "mcp_body_bytes",
        Kind::Number(1),
        "1048576",
        "mcp_body_bytes = 1048576",
        "The longest body that is read for a rule with mcp; a longer one is 400.",
    ),
    Key::new(
        "danger_trust_mcp_headers",
        Kind::Flag,
        "false",
        "danger_trust_mcp_headers = false",
        "Believes Mcp-Method and Mcp-Name without a look at the body. Only where something in front of this service compares them.",
    ),
    Key::new(
        "allow_preflight",
        Kind::Flag,
        "false",
        "allow_preflight = true",
        "Forwards CORS preflight requests, which never have a token; not where code requires something of the token.",
    ),
    Key::new(
        "grpc",
        Kind::Flag,
        "true",
        "grpc = false",
        "Whether gRPC calls get rejections in gRPC, with HTTP status 200; false where no gRPC is served.",
    ),
    Key::new(
        "public_url",
        Kind::Text,
        "the origin of resource, else what trusted_proxies forward, else the request's Host",
        "public_url = \"https://api.example.com/base\"",
        "The URL that callers see, with the path prefix that a proxy strips: what DPoP proofs name. Without dpop it has no effect.",
    ),
    Key::new(
        "trusted_proxies",
        Kind::Texts,
        "none",
        "trusted_proxies = [\"10.0.0.0/8\", \"127.0.0.1/32\"]",
        "Whose Forwarded, X-Forwarded-Proto, -Host and -Prefix, and certificate headers count. The proxy has to overwrite or remove all of them, since one that it passes on lets the caller choose the URL that proofs are compared with; with public_url only the certificate headers count. Without dpop and certificates it has no effect.",
    ),
    Key::new(
        "dpop",
        Kind::Table(DPOP),
        "bound tokens are refused",
        "[dpop]\nmode = \"require\"",
        "Accepts tokens that are bound to a key of the client's, with a proof in each request (RFC 9449).",
    ),
    Key::new(
        "certificates",
        Kind::Table(CERTIFICATES),
        "bound tokens are refused",
        "[certificates]\nsource = \"connection\"",
        "Accepts tokens that are bound to a client certificate (RFC 8705). All headers that speak of certificates are then taken out of each request.",
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
    Key::new(
        "redis",
        Kind::Table(REDIS),
        "none: each guard is on its own",
        "redis = { url = \"redis://127.0.0.1:6379\" }",
        "The Redis or Valkey that the guards of a fleet share: used proofs and revocations. The package tower-oauth-guard-redis connects to it.",
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
        "The claim with the scopes, a string or a list; an exact path, as in roles_claim.",
    ),
    Key::new(
        "roles_claim",
        Kind::Expression("a string or a list of strings", check_roles_claim),
        "roles",
        "roles_claim = [\"realm_access.roles\", \"/resource_access/orders.api/roles\"]",
        "The claims with the roles, exact paths; all that a token has count. A name with dots is written as a JSON Pointer.",
    ),
    Key::new(
        "token_prefix",
        Kind::Text,
        "any opaque token",
        "token_prefix = \"ory_at_\"",
        "How its opaque tokens begin; it is asked about no others. Needed where several issuers are asked.",
    ),
    Key::new(
        "introspection",
        Kind::Table(INTROSPECTION),
        "no questions",
        "introspection = { client_id = \"orders-api\", client_secret = { file = \"introspection.secret\" } }",
        "Asks the issuer about tokens that are not JWTs (RFC 7662), as below.",
    ),
    Key::new(
        "allow_private_jwks",
        Kind::Flag,
        "false",
        "allow_private_jwks = true",
        "Fetches keys from private addresses too, where the issuer's metadata names them; a jwks_uri set here may be anywhere.",
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
        "require = { token_use = \"access\", hd = [\"example.com\", \"example.org\"] }",
        "Claims that every token of this issuer must have, with exactly these values, or with one of a list; a name may be a path with dots.",
    ),
    Key::new(
        "headers",
        Kind::Secrets,
        "none",
        "headers = { x-api-key = { file = \"gateway.key\" } }",
        "Headers of the requests for its metadata, keys and introspection. They go to the issuer's origin and to a jwks_uri or endpoint given here, never to another origin that metadata names.",
    ),
    Key::new(
        "token_file",
        Kind::Text,
        "none",
        "token_file = \"/var/run/secrets/kubernetes.io/serviceaccount/token\"",
        "A file with a bearer token for the requests for its metadata and keys, read for each of them; it goes where headers go, unless a request has an Authorization of its own.",
    ),
    Key::new(
        "tls",
        Kind::Table(TLS),
        "the platform's authorities",
        "tls = { ca = \"ca.crt\" }",
        "What the requests for its metadata and keys trust, and those of introspection without a tls of its own.",
    ),
    Key::new(
        "danger_allow_http",
        Kind::Flag,
        "false",
        "danger_allow_http = false",
        "Fetches keys over plain http from other machines. Only for networks that you trust as much as the issuer.",
    ),
];

/// What a path may be is checked by the builder.
fn check_roles_claim(value: &Value, field: &str, problems: &mut Vec<Problem>) {
    let fits = match value {
        Value::Array(items) => items.iter().all(Value::is_string),
        other => other.is_string(),
    };
    if !fits {
        problems.push(Problem {
            field: field.to_owned(),
            message:
                "expected a string or a list of strings, for instance roles_claim = \"realm_access.roles\""
                    .to_owned(),
        });
    }
}

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
        let field = join(field, name);
        match value.as_array() {
            Some(values) if values.is_empty() => problems.push(Problem {
                field,
                message:
                    "an empty list rejects every token; list the values of which the claim must have one"
                        .to_owned(),
            }),
            Some(values) => values.iter().for_each(|value| check_scalar(value, &field, problems)),
            None => check_scalar(value, &field, problems),
        }
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
        "Tokens with unknown key ids cause one fetch per cool-down, and two at once, a sixth of it apart.",
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

const INTROSPECTION: &[Key] = &[
    Key::new(
        "tokens",
        Kind::OneOf(&["opaque", "both", "any"]),
        "\"opaque\"",
        "tokens = \"opaque\"",
        "Which tokens it is asked about: those that are no JWT; valid JWTs as well; or all, without keys.",
    ),
    Key::new(
        "endpoint",
        Kind::Text,
        "from the metadata",
        "endpoint = \"https://auth.example.com/introspect\"",
        "The introspection endpoint.",
    ),
    Key::new(
        "client_id",
        Kind::Text,
        "none; required",
        "client_id = \"orders-api\"",
        "The client that this API is at the issuer.",
    ),
    Key::new(
        "client_secret",
        Kind::Secret,
        "none",
        "client_secret = { env = \"INTROSPECTION_SECRET\" }",
        "Its secret. A file is read again when it is replaced.",
    ),
    Key::new(
        "client_auth",
        Kind::OneOf(&[
            "client_secret_basic",
            "client_secret_post",
            "client_secret_jwt",
            "private_key_jwt",
            "assertion",
            "tls_client_auth",
            "self_signed_tls_client_auth",
            "none",
        ]),
        "\"client_secret_basic\"",
        "client_auth = \"private_key_jwt\"",
        "How it authenticates.",
    ),
    Key::new(
        "private_key",
        Kind::Secret,
        "none",
        "private_key = { file = \"client.pem\" }",
        "The key of client_auth = \"private_key_jwt\", as PEM or JWK.",
    ),
    Key::new(
        "certificate",
        Kind::Secret,
        "none",
        "certificate = { file = \"client.crt\" }",
        "The certificate of private_key, by which the server knows the key (x5t#S256).",
    ),
    Key::new(
        "client_assertion",
        Kind::Secret,
        "none",
        "client_assertion = { file = \"/var/run/secrets/tokens/auth\" }",
        "The assertion of client_auth = \"assertion\", made by the platform; a file is read for each question.",
    ),
    Key::new("key_id", Kind::Text, "none", "key_id = \"2026-01\"", "The kid of its assertions."),
    Key::new(
        "signing_alg",
        Kind::Text,
        "by the key",
        "signing_alg = \"ES256\"",
        "The algorithm of its assertions.",
    ),
    Key::new(
        "client_assertion_audience",
        Kind::Texts,
        "the issuer",
        "client_assertion_audience = [\"https://auth.example.com/introspect\"]",
        "The audience of its assertions.",
    ),
    Key::new(
        "tls",
        Kind::Table(TLS_IDENTITY),
        "the system's authorities, no certificate",
        "tls = { ca = \"ca.crt\", cert = \"client.crt\", key = \"client.key\" }",
        "The certificates of connections to the endpoint, as PEM files.",
    ),
    Key::new(
        "cache_seconds",
        Kind::Number(0),
        "60",
        "cache_seconds = 60",
        "How long a response about an active token is used; 0 asks about every request.",
    ),
    Key::new(
        "negative_cache_seconds",
        Kind::Number(0),
        "10",
        "negative_cache_seconds = 10",
        "How long a token counts as inactive without a further question; 0 asks every time.",
    ),
    Key::new(
        "timeout_seconds",
        Kind::Number(1),
        "5",
        "timeout_seconds = 5",
        "The time limit of a question, waiting for its turn included.",
    ),
    Key::new(
        "max_concurrent",
        Kind::Number(1),
        "64",
        "max_concurrent = 64",
        "How many questions are under way at a time.",
    ),
    Key::new(
        "jwt_response",
        Kind::Flag,
        "false",
        "jwt_response = true",
        "Asks for signed responses (RFC 9701), which are verified with the issuer's keys, and accepts no others.",
    ),
];

const TLS_IDENTITY: &[Key] = &[
    Key::new("ca", Kind::Text, "the system's", "ca = \"ca.crt\"", "The only authorities to trust."),
    Key::new("cert", Kind::Text, "none", "cert = \"client.crt\"", "This client's certificate."),
    Key::new("key", Kind::Text, "none", "key = \"client.key\"", "The certificate's private key."),
];

const REDIS: &[Key] = &[
    Key::new(
        "url",
        Kind::Text,
        "none; needed",
        "url = \"redis://127.0.0.1:6379\"",
        "The server; rediss:// with TLS. A path is the number of the database.",
    ),
    Key::new(
        "password",
        Kind::Secret,
        "none",
        "password = { file = \"redis.password\" }",
        "Its password; a file is read again for each connection. A user name stands in the URL.",
    ),
    Key::new(
        "prefix",
        Kind::Text,
        "\"oauth:\"",
        "prefix = \"orders:\"",
        "What the names of all keys there begin with.",
    ),
    Key::new(
        "tls",
        Kind::Table(TLS_IDENTITY),
        "the platform's authorities, no certificate",
        "tls = { ca = \"redis-ca.crt\" }",
        "What a connection with rediss:// trusts and shows, as PEM files, which are read again for each connection.",
    ),
];

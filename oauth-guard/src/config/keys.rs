//! The keys of a guard's configuration.

use oauth_client::config::schema::{Key, Kind};

use super::rules::RULE;

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
        "The exact iss of its tokens; its keys are discovered from it unless set below.",
    ),
    Key::new(
        "audience",
        Kind::Texts,
        "none; required",
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
        "allow_private_jwks",
        Kind::Flag,
        "false",
        "allow_private_jwks = true",
        "Fetches keys from private addresses too, where the issuer's metadata names them; a jwks_uri set here may be anywhere.",
    ),
    Key::new(
        "danger_allow_http",
        Kind::Flag,
        "false",
        "danger_allow_http = false",
        "Fetches keys over plain http from other machines. Only for networks that you trust as much as the issuer.",
    ),
];

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

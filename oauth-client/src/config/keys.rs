//! The keys of a client's configuration.

use super::custom::CUSTOM;
use super::schema::{Key, Kind};

const PROVIDERS: &[&str] = &["standard", "ils", "infolink", "sailpoint", "comm100", "teen-quotes", "custom"];
const CLIENT_AUTH: &[&str] = &[
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
];
const GRANTS: &[&str] = &[
    "client_credentials",
    "password",
    "refresh_token",
    "authorization_code",
    "device_code",
    "jwt_bearer",
    "token_exchange",
];

/// The values that work, of the keys some of whose values are not built yet.
pub(super) const SUPPORTED: &[(&str, &[&str])] =
    &[("grant", &["client_credentials", "password", "refresh_token", "authorization_code", "device_code"])];

/// The keys that only values use which are not built yet.
pub(super) const NOT_YET: &[&str] = &["assertion", "subject_token", "subject_token_type"];

/// Whether the format has this value for the field at all.
pub(super) fn names(field: &str, value: &str) -> bool {
    KEYS.iter()
        .any(|key| key.name == field && matches!(key.kind, Kind::OneOf(values) if values.contains(&value)))
}

/// Every key that a client's configuration may have.
pub const KEYS: &[Key] = &[
    Key::new(
        "provider",
        Kind::OneOf(PROVIDERS),
        "\"standard\"",
        "provider = \"standard\"",
        "Whose deviations from RFC 6749 apply.",
    ),
    Key::new(
        "base_url",
        Kind::Text,
        "the provider's own; needed by infolink, sailpoint and custom",
        "base_url = \"https://api.example.com\"",
        "Scheme, host and port of the provider.",
    ),
    Key::new(
        "issuer",
        Kind::Text,
        "none; this, token_endpoint or a provider is needed",
        "issuer = \"https://auth.example.com\"",
        "The server's issuer; its endpoints are discovered there (RFC 8414).",
    ),
    Key::new(
        "token_endpoint",
        Kind::Text,
        "discovered",
        "token_endpoint = \"https://auth.example.com/token\"",
        "The token endpoint, for servers without metadata.",
    ),
    Key::new(
        "client_id",
        Kind::Text,
        "none; needed",
        "client_id = \"orders-service\"",
        "The identifier the server gave this client.",
    ),
    Key::new(
        "client_secret",
        Kind::Secret,
        "none; needed by client_auth client_secret_*",
        "client_secret = { env = \"CLIENT_SECRET\" }",
        "The client's secret; a file is read again when it is replaced.",
    ),
    Key::new(
        "client_auth",
        Kind::OneOf(CLIENT_AUTH),
        "\"client_secret_basic\", or the provider's",
        "client_auth = \"client_secret_post\"",
        "How the client proves who it is (RFC 6749 section 2.3).",
    ),
    Key::new(
        "private_key",
        Kind::Secret,
        "none; needed by client_auth \"private_key_jwt\"",
        "private_key = { file = \"client.pem\" }",
        "The key that signs the client's assertions (RFC 7523), as PEM or JWK; a file is read again when it is replaced.",
    ),
    Key::new(
        "key_id",
        Kind::Text,
        "the JWK's own",
        "key_id = \"2030-01\"",
        "The name of the key (kid) that signs the client's assertions.",
    ),
    Key::new(
        "signing_alg",
        Kind::Text,
        "by the key, RS256 for RSA; HS256 for client_secret_jwt",
        "signing_alg = \"ES256\"",
        "The algorithm that the client's assertions are signed with.",
    ),
    Key::new(
        "client_assertion_audience",
        Kind::Texts,
        "the issuer, else the token endpoint",
        "client_assertion_audience = [\"https://auth.example.com\"]",
        "To whom the client's assertions are addressed.",
    ),
    Key::new(
        "grant",
        Kind::OneOf(GRANTS),
        "\"client_credentials\", or the provider's",
        "grant = \"client_credentials\"",
        "How tokens are had. Supported yet: client_credentials, password, refresh_token, authorization_code, device_code.",
    ),
    Key::new(
        "username",
        Kind::Text,
        "none; needed by grant \"password\"",
        "username = \"alice\"",
        "The resource owner's name; Comm100's e-mail address.",
    ),
    Key::new(
        "password",
        Kind::Secret,
        "none; needed by grant \"password\"",
        "password = { env = \"PASSWORD\" }",
        "The resource owner's password.",
    ),
    Key::new(
        "refresh_token",
        Kind::Secret,
        "none; needed by grant \"refresh_token\"",
        "refresh_token = { file = \"refresh_token\" }",
        "The refresh token to start from; what the store holds wins.",
    ),
    Key::new(
        "subject",
        Kind::Text,
        "the username, where there is one",
        "subject = \"alice\"",
        "Whose tokens these are, where several people's are kept in one store. It is not sent.",
    ),
    Key::new(
        "assertion",
        Kind::Secret,
        "none",
        "assertion = { file = \"assertion.jwt\" }",
        "The assertion of grant \"jwt_bearer\". Not supported yet.",
    ),
    Key::new(
        "subject_token",
        Kind::Secret,
        "none",
        "subject_token = { file = \"subject.jwt\" }",
        "The token that is exchanged. Not supported yet.",
    ),
    Key::new(
        "subject_token_type",
        Kind::Text,
        "access_token",
        "subject_token_type = \"access_token\"",
        "What it is. Not supported yet.",
    ),
    Key::new(
        "scope",
        Kind::Texts,
        "the server's choice",
        "scope = [\"read\", \"write\"]",
        "The scopes to ask for.",
    ),
    Key::new("audience", Kind::Text, "none", "audience = \"orders-api\"", "The API the token is for."),
    Key::new(
        "resource",
        Kind::Texts,
        "none",
        "resource = [\"urn:orders\"]",
        "The resources the token is for (RFC 8707).",
    ),
    Key::new(
        "params",
        Kind::Pairs,
        "none",
        "params = { partnerId = \"10000\" }",
        "Further parameters of the token request; of the authorization request where the grant begins with one.",
    ),
    Key::new(
        "dpop",
        Kind::Flag,
        "false",
        "dpop = true",
        "Whether tokens are bound to a key (RFC 9449): a stolen one is then worth nothing.",
    ),
    Key::new(
        "dpop_key",
        Kind::Secret,
        "made at each start",
        "dpop_key = { file = \"dpop.pem\" }",
        "The private key that tokens are bound to, as PEM or JWK. Give one where tokens are kept in a file: they are of no use without it, and a login of a client without a secret is lost.",
    ),
    Key::new(
        "par",
        Kind::Flag,
        "false",
        "par = false",
        "Whether authorization requests are pushed (RFC 9126), even where the server does not demand it.",
    ),
    Key::new(
        "redirect_uri",
        Kind::Text,
        "\"http://127.0.0.1/callback\"",
        "redirect_uri = \"http://127.0.0.1/callback\"",
        "Where the browser comes back to on this machine, with grant \"authorization_code\"; without a port, to any that is free.",
    ),
    Key::new(
        "authorization_details",
        Kind::Text,
        "none",
        "authorization_details = '[{\"type\":\"payment\"}]'",
        "What exactly is asked for (RFC 9396), as JSON.",
    ),
    Key::new(
        "tls",
        Kind::Table(TLS),
        "none",
        "tls = { cert = \"client.crt\", key = \"client.key\" }",
        "What connections trust and show (RFC 8705); files are read again when they are replaced. With a certificate, requests go to mtls_endpoint_aliases where the server has them.",
    ),
    Key::new(
        "custom",
        Kind::Table(CUSTOM),
        "none; needed by provider \"custom\"",
        "custom = { encoding = \"json\" }",
        "What is different from the provider named; for provider \"custom\", from RFC 6749.",
    ),
    Key::new(
        "danger_allow_http",
        Kind::Flag,
        "false",
        "danger_allow_http = false",
        "Sends secrets over plain http to other machines. Only for tests.",
    ),
    Key::new(
        "refresh_margin_seconds",
        Kind::Number(0),
        "60",
        "refresh_margin_seconds = 60",
        "How long before its end a token is replaced, half its lifetime at most; 0 means no early refresh.",
    ),
    Key::new(
        "timeout_seconds",
        Kind::Number(1),
        "10",
        "timeout_seconds = 10",
        "How long getting one token may take in all.",
    ),
    Key::new(
        "store",
        Kind::Table(STORE),
        "{ kind = \"memory\" }",
        "store = { kind = \"file\", path = \"tokens.json\" }",
        "Where tokens are kept.",
    ),
];

const TLS: &[Key] = &[
    Key::new(
        "ca",
        Kind::Text,
        "the platform's",
        "ca = \"ca.crt\"",
        "The certificate authorities to trust instead, as PEM.",
    ),
    Key::new(
        "cert",
        Kind::Text,
        "none",
        "cert = \"client.crt\"",
        "The client's certificate and those in between, as PEM.",
    ),
    Key::new("key", Kind::Text, "none", "key = \"client.key\"", "Its key, as PEM."),
];

const STORE: &[Key] = &[
    Key::new(
        "kind",
        Kind::OneOf(&["memory", "file"]),
        "none; needed",
        "kind = \"file\"",
        "What kind of store.",
    ),
    Key::new("path", Kind::Text, "none; needed by kind \"file\"", "path = \"tokens.json\"", "The file."),
];

//! A client and a user, as they are written and shown.

use serde_json::{Value, json};

use super::reader::Fields;
use crate::clients::{AuthMethod, CertificateSubject, GrantType, MockClient, TokenFormat};
use crate::keys::Alg;
use crate::shared::seconds;
use crate::state::tokens::is_reserved;
use crate::state::users::User;
use crate::wire::names::Origin;

const FORMATS: [(&str, bool); 2] = [("jwt", false), ("opaque", true)];

/// Reads a client; what is not said is as [`MockClient`] has it.
pub(crate) fn read_client(fields: &Fields<'_>) -> MockClient {
    let mut client = MockClient::new(fields.required("client_id"));
    if let Some(jwks) = fields.object("jwks") {
        match jwks.get("keys") {
            Some(Value::Array(_)) => client = client.jwks(&Value::Object(jwks)),
            _ => fields.mistake("jwks", "a JWK set has the member `keys`, a list (RFC 7517 section 5)"),
        }
    }
    if let Some(subject) = read_subject(fields) {
        client = client.certificate_subject(subject);
    }
    if let Some(secret) = fields.text("client_secret") {
        if secret.is_empty() {
            fields.mistake("client_secret", "empty; leave it out for a public client");
        }
        client = client.secret(secret);
    }
    if let Some(methods) =
        fields.choices("auth_methods", &AuthMethod::ALL.map(|method| (method.as_str(), method)))
    {
        client.methods = methods;
    }
    if let Some(algs) = fields.choices("assertion_algs", &algorithms()) {
        client.assertion_algs = Some(algs);
    }
    if let Some(grants) = fields.choices("grant_types", &GrantType::ALL.map(|grant| (grant.as_str(), grant)))
    {
        client.grants = grants;
    }
    if let Some(scopes) = fields.scopes("scope") {
        client.scopes = scopes;
    }
    client.redirect_uris = read_uris(fields, "redirect_uris");
    if let Some(lifetime) = fields.seconds("token_lifetime") {
        client.token_lifetime = Some(lifetime);
    }
    if let Some(lifetime) = fields.seconds("refresh_lifetime") {
        client.refresh_lifetime = lifetime;
    }
    let opaque = fields.choice("token_format", &FORMATS).unwrap_or(false);
    let alg = fields.choice("token_alg", &signing_algorithms());
    client.format = if opaque { TokenFormat::Opaque } else { TokenFormat::Jwt(alg) };
    if opaque && alg.is_some() {
        fields.mistake(
            "token_alg",
            "opaque tokens are not signed; leave one of `token_alg` and `token_format` out",
        );
    }
    let set = |target: &mut bool, name| *target = fields.flag(name).unwrap_or(*target);
    set(&mut client.rotate_refresh_tokens, "rotate_refresh_tokens");
    set(&mut client.refresh_with_every_grant, "refresh_token_with_every_grant");
    set(&mut client.announce_lifetime, "announce_expires_in");
    set(&mut client.needs_pkce, "require_pkce");
    set(&mut client.dpop_bound, "dpop_bound_access_tokens");
    set(&mut client.certificate_bound, "tls_client_certificate_bound_access_tokens");
    set(&mut client.needs_par, "require_pushed_authorization_requests");
    client.details_types = fields.texts("authorization_details_types");
    client.post_logout_redirect_uris = read_uris(fields, "post_logout_redirect_uris");
    client.backchannel_logout_uri = fields.text("backchannel_logout_uri");
    client.exchange_audiences = fields.texts("exchange_audiences").unwrap_or_default();
    client
}

/// Addresses that users are sent to, which requests must name exactly.
fn read_uris(fields: &Fields<'_>, name: &'static str) -> Vec<String> {
    let uris = fields.texts(name).unwrap_or_default();
    for (at, uri) in uris.iter().enumerate() {
        if let Some(why) = redirect_uri_problem(uri) {
            fields.mistake(&format!("{name}[{at}]"), format!("{uri:?}: {why}"));
        }
    }
    uris
}

/// Why users cannot be sent to this address (RFC 6749 section 3.1.2, RFC 9700 section 4.1.3).
fn redirect_uri_problem(uri: &str) -> Option<&'static str> {
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if uri.contains('*') {
        return Some("it is compared exactly, and nothing in it stands for anything else");
    }
    if !is_scheme || uri.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Some("an absolute URI is needed, like \"https://app.example/callback\"");
    }
    if uri.contains('#') {
        return Some("it must have no fragment");
    }
    let is_web = matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https");
    (is_web && Origin::split(uri).is_none()).then_some("it has no host")
}

/// Whom its certificate must be for, under the names of RFC 8705 section 2.1.2.
pub(crate) fn read_subject(fields: &Fields<'_>) -> Option<CertificateSubject> {
    let address = |text: String| match text.parse() {
        Ok(address) => Some(CertificateSubject::Ip(address)),
        Err(_) => {
            fields.mistake("tls_client_auth_san_ip", "an IP address is needed");
            None
        }
    };
    let found = [
        fields.text("tls_client_auth_subject_dn").map(CertificateSubject::Dn),
        fields.text("tls_client_auth_san_dns").map(CertificateSubject::Dns),
        fields.text("tls_client_auth_san_uri").map(CertificateSubject::Uri),
        fields.text("tls_client_auth_san_ip").and_then(address),
        fields.text("tls_client_auth_san_email").map(CertificateSubject::Email),
    ];
    let mut found = found.into_iter().flatten();
    let subject = found.next();
    if found.next().is_some() {
        fields.mistake("", "only one of the `tls_client_auth_…` fields can say whom a certificate is for");
    }
    subject
}

fn show_subject(subject: &CertificateSubject) -> (&'static str, String) {
    match subject {
        CertificateSubject::Dn(text) => ("tls_client_auth_subject_dn", text.clone()),
        CertificateSubject::Dns(text) => ("tls_client_auth_san_dns", text.clone()),
        CertificateSubject::Uri(text) => ("tls_client_auth_san_uri", text.clone()),
        CertificateSubject::Ip(address) => ("tls_client_auth_san_ip", address.to_string()),
        CertificateSubject::Email(text) => ("tls_client_auth_san_email", text.clone()),
    }
}

/// A client in the form that [`read_client`] reads, the secret included: it is a mock.
pub(crate) fn show_client(client: &MockClient) -> Value {
    let mut shown = json!({
        "client_id": client.id,
        "auth_methods": client.methods.iter().map(|method| method.as_str()).collect::<Vec<_>>(),
        "grant_types": client.grants.iter().map(|grant| grant.as_str()).collect::<Vec<_>>(),
        "scope": client.scopes,
        "redirect_uris": client.redirect_uris,
        "refresh_lifetime": seconds(client.refresh_lifetime),
        "token_format": if client.format == TokenFormat::Opaque { "opaque" } else { "jwt" },
        "rotate_refresh_tokens": client.rotate_refresh_tokens,
        "refresh_token_with_every_grant": client.refresh_with_every_grant,
        "announce_expires_in": client.announce_lifetime,
        "require_pkce": client.needs_pkce,
        "dpop_bound_access_tokens": client.dpop_bound,
        "require_pushed_authorization_requests": client.needs_par,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
    });
    if let Some(secret) = &client.secret {
        shown["client_secret"] = json!(secret);
    }
    if !client.jwks.is_empty() {
        shown["jwks"] = json!({ "keys": client.jwks });
    }
    if let Some((name, text)) = client.certificate_subject.as_ref().map(show_subject) {
        shown[name] = json!(text);
    }
    if !client.exchange_audiences.is_empty() {
        shown["exchange_audiences"] = json!(client.exchange_audiences);
    }
    if client.certificate_bound {
        shown["tls_client_certificate_bound_access_tokens"] = json!(true);
    }
    if client.needs_par {
        shown["require_pushed_authorization_requests"] = json!(true);
    }
    if let Some(types) = &client.details_types {
        shown["authorization_details_types"] = json!(types);
    }
    if let Some(uri) = &client.backchannel_logout_uri {
        shown["backchannel_logout_uri"] = json!(uri);
    }
    if !client.post_logout_redirect_uris.is_empty() {
        shown["post_logout_redirect_uris"] = json!(client.post_logout_redirect_uris);
    }
    if let Some(algs) = &client.assertion_algs {
        shown["assertion_algs"] = algs.iter().map(|alg| alg.as_str()).collect();
    }
    if let Some(types) = &client.details_types {
        shown["authorization_details_types"] = json!(types);
    }
    if let Some(lifetime) = client.token_lifetime {
        shown["token_lifetime"] = json!(seconds(lifetime));
    }
    if let TokenFormat::Jwt(Some(alg)) = client.format {
        shown["token_alg"] = json!(alg.as_str());
    }
    shown
}

pub(crate) fn read_user(fields: &Fields<'_>) -> User {
    let mut user = User::new(fields.required("name"), fields.required("password"));
    if let Some(subject) = fields.text("subject") {
        user = user.subject(subject);
    }
    user.claims = fields.object("claims").unwrap_or_default();
    for name in user.claims.keys().filter(|name| is_reserved(name)) {
        fields.mistake(
            "claims",
            format!("{name}: the server says it itself; use a rule of `claims` to change it"),
        );
    }
    user
}

/// A user in the form that [`read_user`] reads.
pub(crate) fn show_user(user: &User) -> Value {
    json!({"name": user.name, "password": user.password, "subject": user.subject, "claims": user.claims})
}

pub(crate) fn algorithms() -> Vec<(&'static str, Alg)> {
    Alg::ALL.iter().map(|alg| (alg.as_str(), *alg)).collect()
}

/// Those of an authorization server: neither HMAC nor `none`.
pub(crate) fn signing_algorithms() -> Vec<(&'static str, Alg)> {
    algorithms().into_iter().filter(|(_, alg)| alg.is_asymmetric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::TestKey;
    use crate::settings::reader::read;

    #[test]
    fn what_is_shown_reads_as_the_same_client_and_user() {
        let key = TestKey::generate(Alg::Es256);
        let clients = [
            MockClient::default().opaque_tokens().without_pkce().without_rotation().without_expires_in(),
            MockClient::new("public")
                .redirect_uri("http://127.0.0.1/cb")
                .dpop_bound_tokens()
                .with_refresh_token(),
            MockClient::new("tls")
                .certificate_subject("a, b")
                .certificate_bound_tokens()
                .require_pushed_authorization_requests()
                .authorization_details_types(["payment"])
                .post_logout_redirect_uri("http://127.0.0.1/bye"),
            MockClient::new("address").certificate_subject(CertificateSubject::Ip([127, 0, 0, 1].into())),
            MockClient::new("key").key(&key).assertion_algs([Alg::Es256]).token_alg(Alg::Ps256).scopes(["a"]),
        ];
        for client in clients {
            let shown = show_client(&client);
            let again = read(shown.clone(), read_client).unwrap();
            assert_eq!(show_client(&again), shown);
            assert_eq!((again.format, &again.methods), (client.format, &client.methods));
        }
        let user = show_user(&User::new("alice", "wonderland").subject("u1").claim("email", "a@example.com"));
        assert_eq!(show_user(&read(user.clone(), read_user).unwrap()), user);
    }
}

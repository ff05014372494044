//! Ways around the token: other methods, paths, origins and headers, and what a refusal gives away.

use http::Method;
use serde_json::json;

use super::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};
use crate::encode::{hex, random, to_b64};

const AREA: Area = Area::Http;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "http-token-in-a-cookie",
        "G120",
        "RFC 6750 section 2",
        "a token in a cookie is not looked at",
        "A browser sends cookies along with requests of any page: the page acts as the user (CSRF).",
        http_token_in_a_cookie,
    )
    .expecting(Expected::NO_TOKEN.or(&[400, 403])),
    Attack::refused(
        AREA,
        "http-other-methods",
        "G124",
        "RFC 9110 section 9.1",
        "no method lets a request without a token in",
        "A check that is bound to one method leaves the others open, which may do the same.",
        http_other_methods,
    )
    .expecting(Expected::NO_TOKEN.or(REFUSALS)),
    Attack::refused(
        AREA,
        "http-neighbouring-paths",
        "G124",
        "RFC 3986 section 6",
        "no other spelling of the path lets a request without a token in",
        "The check compares one spelling, and the router understands more of them.",
        http_neighbouring_paths,
    )
    .expecting(Expected::NO_TOKEN.or(REFUSALS)),
    Attack::refused(
        AREA,
        "http-identity-headers",
        "G110",
        "RFC 6750 section 3.1",
        "a header that a proxy might have set says nothing about the caller, without a token or beside one",
        "Any client can send such a header, and is then taken for the user it names.",
        http_identity_headers,
    )
    .expecting(Expected::NO_TOKEN.or(&[400, 403])),
    Attack::accepted(
        AREA,
        "http-cors-any-origin",
        "G124",
        "Fetch section 3.2.4",
        "not every origin may send requests with credentials and read the response",
        "Any page that a user visits could read the API in that user's name.",
        http_cors_any_origin,
    )
    .expecting(Expected::ACCEPTED.or(REFUSALS)),
    Attack::refused(
        AREA,
        "http-claims-in-errors",
        "G127",
        "RFC 6750 section 5.3",
        "a refusal repeats neither the token nor what it says",
        "Error pages end up in logs and on screens; and what a caller can have repeated, an attacker can.",
        http_claims_in_errors,
    ),
];

/// What no request without a token gets past: it is refused, or the API has no such path or method.
const REFUSALS: &[u16] = &[301, 302, 307, 308, 400, 401, 403, 404, 405, 406, 410, 421, 501];

/// OPTIONS may also get the response of a framework, with the methods there are and nothing of the resource.
const OPTIONS: &[u16] = &[200, 204, 301, 302, 307, 308, 400, 401, 403, 404, 405, 406, 410, 421, 501];

/// A name that no API knows, and that no other request holds.
fn stranger() -> String {
    format!("mallory-{}", hex(&random::<6>()))
}

fn http_token_in_a_cookie(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    let names = [
        "access_token",
        "accessToken",
        "token",
        "jwt",
        "id_token",
        "auth",
        "auth_token",
        "session",
        "sid",
        "bearer",
        "__Host-access_token",
        "__Secure-token",
    ];
    let cookie =
        |name: &str, value: &str| AttackRequest::plain(name).with_header("Cookie", format!("{name}={value}"));
    let mut requests: Vec<_> = names.iter().map(|name| cookie(name, &good)).collect();
    requests.push(cookie("Authorization", &format!("Bearer%20{good}")));
    requests
}

fn http_other_methods(context: &AttackContext) -> Vec<AttackRequest> {
    let usual = context.usual_method();
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    let without = |method: Method| {
        let request = AttackRequest::plain(method.as_str()).with_method(method.clone()).refused_in_any_way();
        if method == Method::OPTIONS { request.expecting(Expected::NO_TOKEN.or(OPTIONS)) } else { request }
    };
    let mut requests: Vec<_> = methods.into_iter().filter(|method| method != usual).map(without).collect();
    requests.push(
        AttackRequest::plain("a preflight")
            .with_method(Method::OPTIONS)
            .with_header("Origin", "https://evil.example")
            .with_header("Access-Control-Request-Method", usual.as_str())
            .expecting(Expected::NO_TOKEN.or(OPTIONS))
            .refused_in_any_way(),
    );
    let carrier = if usual == Method::POST { Method::GET } else { Method::POST };
    for name in ["X-HTTP-Method-Override", "X-Method-Override"] {
        let carried =
            AttackRequest::plain(format!("{carrier}, {name}: {usual}")).with_method(carrier.clone());
        requests.push(carried.with_header(name, usual.as_str()).refused_in_any_way());
    }
    requests
}

fn http_neighbouring_paths(_: &AttackContext) -> Vec<AttackRequest> {
    type Respell = fn(&str) -> String;
    let spellings: [(&str, Respell); 12] = [
        ("a slash behind", |path| format!("{path}/")),
        ("two slashes before", |path| format!("/{path}")),
        ("a dot segment before", |path| format!("/.{path}")),
        ("a dot segment behind", |path| format!("{path}/.")),
        ("out and in again", |path| format!("/x/..{path}")),
        ("a parameter behind", |path| format!("{path};x=y")),
        ("an extension", |path| format!("{path}.json")),
        ("an encoded blank behind", |path| format!("{path}%20")),
        ("an encoded NUL behind", |path| format!("{path}%00")),
        ("upper case", str::to_uppercase),
        ("its last letter encoded", last_letter_encoded),
        ("a name behind", |path| format!("{path}/x")),
    ];
    let mut requests: Vec<_> = spellings
        .into_iter()
        .map(|(name, respell)| AttackRequest::plain(name).at(respell).refused_in_any_way())
        .collect();
    for name in ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"] {
        requests.push(AttackRequest::plain(name).with_header(name, "/").refused_in_any_way());
    }
    requests
}

fn last_letter_encoded(path: &str) -> String {
    match path.char_indices().next_back() {
        Some((at, last)) if last.is_ascii_alphanumeric() => {
            format!("{}%{:02X}", &path[..at], u32::from(last))
        }
        _ => format!("{path}%2E"),
    }
}

/// Headers by which proxies hand on whom they authenticated.
const IDENTITY: [&str; 16] = [
    "X-User",
    "X-User-Id",
    "X-Username",
    "X-Remote-User",
    "Remote-User",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Preferred-Username",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Authenticated-User",
    "X-WebAuth-User",
    "X-Goog-Authenticated-User-Email",
    "X-Amzn-Oidc-Identity",
    "X-MS-Client-Principal-Name",
    "X-Auth-Subject",
];

fn http_identity_headers(context: &AttackContext) -> Vec<AttackRequest> {
    let mut requests: Vec<_> = IDENTITY
        .iter()
        .map(|name| AttackRequest::plain(format!("{name} alone")).with_header(name, "admin"))
        .collect();
    let principal = json!({"auth_typ": "aad", "claims": [{"typ": "sub", "val": "admin"}]}).to_string();
    let good = context.good().build();
    let further: [(&str, &'static str, String); 5] = [
        ("X-MS-Client-Principal alone", "X-MS-Client-Principal", to_b64(principal)),
        ("X-Forwarded-Access-Token alone", "X-Forwarded-Access-Token", good.clone()),
        ("X-Userinfo alone", "X-Userinfo", to_b64(json!({"sub": "admin"}).to_string())),
        ("an inner address alone", "X-Forwarded-For", "127.0.0.1".to_owned()),
        ("X-Real-IP alone", "X-Real-IP", "127.0.0.1".to_owned()),
    ];
    requests
        .extend(further.map(|(variant, name, value)| AttackRequest::plain(variant).with_header(name, value)));
    requests.extend(IDENTITY.iter().map(|header| {
        let name = stranger();
        AttackRequest::bearer(format!("{header} beside a token"), &good)
            .with_header(header, name.clone())
            .never_mentioning(name)
            .expecting(Expected::ACCEPTED.or(&[400, 401, 403]))
    }));
    requests
}

/// Requests of pages that are not the API's own.
fn http_cors_any_origin(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    let foreign = format!("https://{}.example", stranger());
    let preflight = |variant: &str, origin: &str| {
        AttackRequest::plain(variant)
            .with_method(Method::OPTIONS)
            .with_header("Origin", origin)
            .with_header("Access-Control-Request-Method", context.usual_method().as_str())
            .with_header("Access-Control-Request-Headers", "authorization")
            .expecting(Expected::NO_TOKEN.or(OPTIONS))
            .refused_in_any_way()
    };
    vec![
        AttackRequest::bearer("a foreign origin", &good).with_header("Origin", foreign.clone()),
        AttackRequest::bearer("the origin null", &good).with_header("Origin", "null"),
        AttackRequest::plain("a foreign origin, no token")
            .with_header("Origin", foreign.clone())
            .expecting(Expected::NO_TOKEN)
            .refused_in_any_way(),
        preflight("a preflight of a foreign origin", &foreign),
        preflight("a preflight of the origin null", "null"),
    ]
}

/// Bad tokens with text in them that a careless message repeats.
fn http_claims_in_errors(context: &AttackContext) -> Vec<AttackRequest> {
    let telling = |variant: &str, make: &dyn Fn(&str) -> String| {
        let name = stranger();
        AttackRequest::bearer(variant, &make(&name)).never_mentioning(name)
    };
    let whole = |token: crate::TokenBuilder, name: &str| token.subject(name).claim("email", name).build();
    let mut requests = vec![
        telling("expired", &|name| whole(context.good().expires_in(-7_200), name)),
        telling("for another audience", &|name| context.good().subject(name).audience(name).build()),
        telling("by another issuer", &|name| {
            context.good().subject(name).issuer(format!("https://{name}.example")).build()
        }),
        telling("by a foreign key", &|name| whole(context.good().signed_with(context.foreign()), name)),
        telling("an expiry in words", &|name| context.good().claim("exp", name).build()),
        telling("broken JSON", &|name| context.with_payload(format!("{{\"sub\":\"{name}\",}}"))),
        telling("no JSON", &|name| context.with_payload(name)),
        // What stands in the header says nothing about a user.
        telling("an unknown key id", &|name| context.good().signed_with(context.foreign()).kid(name).build())
            .with_level(RequirementLevel::Strict),
        telling("an unknown algorithm", &|name| context.good().header("alg", name).build())
            .with_level(RequirementLevel::Strict),
        telling("no token at all", &|name| name.to_owned()).expecting(Expected::INVALID_TOKEN.or(&[400])),
    ];
    if context.wanted_scope().is_some() {
        let of_scope = telling("without the scope", &|name| {
            context.good().subject(name).claim("email", name).scope(format!("{name}:read")).build()
        });
        requests.push(of_scope.expecting(Expected::INSUFFICIENT_SCOPE));
    }
    requests
}

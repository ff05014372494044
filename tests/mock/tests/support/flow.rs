//! The parts of an authorization code flow.

use http::Request;
use http_body_util::Full;
use oauth_mock::{Endpoint, MockServer};

use super::{Reply, post, send};

pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(crate) const CALLBACK: &str = "https://app.test/cb";

/// A good request of the client `app`, with these parameters changed, added or left out.
pub(crate) fn request(change: &[(&str, Option<&str>)]) -> String {
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid read"),
        ("state", "s&1"),
        ("nonce", "n-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in change {
        parameters.retain(|(known, _)| known != name);
        parameters.extend(value.map(|value| (*name, value)));
    }
    let query: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    query.join("&")
}

pub(crate) fn authorize_url(server: &MockServer, change: &[(&str, Option<&str>)]) -> String {
    format!("{}?{}", server.endpoint(Endpoint::Authorize), request(change))
}

pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// The parameters of the query of `url` by this name, decoded.
pub(crate) fn parameters(url: &str, name: &str) -> Vec<String> {
    let query = url.split_once('?').unwrap().1;
    assert!(!query.contains('+'), "spaces are %20 here");
    query.split('&').filter_map(|pair| pair.strip_prefix(&format!("{name}="))).map(decoded).collect()
}

pub(crate) fn parameter(url: &str, name: &str) -> Option<String> {
    parameters(url, name).into_iter().next()
}

fn decoded(value: &str) -> String {
    let mut parts = value.split('%');
    let mut out = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).unwrap());
        out.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(out).unwrap()
}

/// Where the browser goes after alice said yes to the request of this URL.
pub(crate) fn back(server: &MockServer, url: &str) -> String {
    server.log_in(url, "alice").unwrap()
}

/// The response of the token endpoint after alice said yes to this request.
pub(crate) async fn tokens(server: &MockServer, change: &[(&str, Option<&str>)]) -> Reply {
    let code = parameter(&back(server, &authorize_url(server, change)), "code").unwrap();
    post(server, Endpoint::Token, None, &redemption(&code)).await
}

pub(crate) fn redemption(code: &str) -> String {
    format!(
        "grant_type=authorization_code&client_id=app&code={code}&redirect_uri={}&code_verifier={VERIFIER}",
        encoded(CALLBACK)
    )
}

/// What a browser with these cookies gets.
pub(crate) async fn browse(server: &MockServer, url: &str, cookie: &str) -> Reply {
    let request = Request::get(url).header("cookie", cookie).body(Full::default()).unwrap();
    send(server, request).await.unwrap()
}

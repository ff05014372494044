//! `WWW-Authenticate`: what is read can be written and is read again, and what the guard writes the client reads.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, Request};
use oauth_client::discover::Challenge;
use oauth_guard::Requirement;

use crate::fixture::{builder, check as ask, claims, issuer, token, within};
use crate::target::{Target, bounded};

pub const TARGET: Target = Target { check, seeds };

/// Either header values, one in each line, or the realm of a guard.
fn check(data: &[u8]) {
    match data.split_first() {
        Some((b'G', text)) => written(text),
        _ => read(data),
    }
}

fn read(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(WWW_AUTHENTICATE, value);
    }
    let challenges = bounded(data.len(), || Challenge::from_headers(&headers));
    assert!(challenges.len() <= 32);
    for challenge in &challenges {
        let names: Vec<String> = challenge.parameters().map(|(name, _)| name.to_ascii_lowercase()).collect();
        assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)), "{challenge:?}");
        assert!(challenge.token68().is_none() || names.is_empty(), "{challenge:?}");
        assert!(names.len() <= 64);
    }
    // Written anew, in one header or in many, they are the same.
    let texts: Vec<String> = challenges.iter().map(write).collect();
    assert_eq!(reread(&[texts.join(", ")]), challenges);
    assert_eq!(reread(&texts), challenges);
    // One header does not change how another one is read.
    if headers.get_all(WWW_AUTHENTICATE).iter().count() == 1 && challenges.len() < 32 {
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
        let more = Challenge::from_headers(&headers);
        assert_eq!(more[..challenges.len()], challenges);
        assert_eq!(more.last().and_then(|last| last.parameter("error")), Some("invalid_token"));
    }
}

fn write(challenge: &Challenge) -> String {
    let mut text = challenge.scheme().to_owned();
    if let Some(token68) = challenge.token68() {
        text.push(' ');
        text.push_str(token68);
    }
    for (number, (name, value)) in challenge.parameters().enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        text.push_str(if number == 0 { " " } else { ", " });
        text.push_str(&format!("{name}=\"{value}\""));
    }
    text
}

fn reread(texts: &[String]) -> Vec<Challenge> {
    let mut headers = HeaderMap::new();
    for text in texts {
        headers
            .append(WWW_AUTHENTICATE, HeaderValue::from_bytes(text.as_bytes()).expect("it was in a header"));
    }
    Challenge::from_headers(&headers)
}

/// A realm, and a scope that is missing.
fn written(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (realm, scope) = text.split_once('\n').unwrap_or((text, "read"));
    let guard = within(|| builder().issuer(issuer()).realm(realm).build());
    let Ok(guard) = guard else { return };
    let mut request = Request::get("https://api.example.com/orders").body(()).expect("a request");
    request.headers_mut().append("authorization", HeaderValue::from_static("Bearer x"));
    let rejection = ask(&guard, &request).expect_err("it is no token");
    let response = guard.rejection_response(&rejection, &request);
    let challenges = Challenge::from_headers(response.headers());
    assert_eq!(challenges.len(), 1, "{response:?}");
    assert_eq!(challenges[0].parameter("realm"), Some(realm));
    assert_eq!(challenges[0].parameter("error"), Some("invalid_token"));

    let request = crate::fixture::bearer(&token(&claims()));
    let claims = ask(&guard, &request).expect("a good token").expect("claims");
    let Err(rejection) = guard.require(&Requirement::scope(scope), &claims) else {
        panic!("it has no scope")
    };
    let response = guard.rejection_response(&rejection, &request);
    let challenges = Challenge::from_headers(response.headers());
    assert_eq!(challenges.len(), 1, "{response:?}");
    assert_eq!(challenges[0].parameter("error"), Some("insufficient_scope"));
    // What no token can grant is not asked for.
    assert!(challenges[0].parameter("scope").is_none_or(|needed| needed == scope), "{response:?}");
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "Bearer",
        "Bearer realm=\"a\"",
        "Basic realm=x, Bearer a=1 , b = \"2\"",
        "Negotiate abc==, Bearer",
        "Bearer x=\"\\\"\"",
        "Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\", Basic realm=\"simple\"",
        ", ,Bearer a=1,, b=2,",
        "Bearer a=1, A=2, DPoP b=1",
        "Bearer a=\"open",
        "(bad, \"in, quotes\"), DPoP error=\"x\"",
        "Bearer a=1\nDPoP algs=\"ES256\"",
        "Gapi\nread",
        "Gsay \"hi\"\nread write",
        "G\u{e9}\nadmin",
        "Ga\\b",
        "G",
        "Bearer a=",
        "Bearer =",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

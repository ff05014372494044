//! What a configuration may not say, in a file and in code.

use std::panic::catch_unwind;

use oauth_mock::{Config, MockServer};

#[test]
fn what_could_never_work_is_a_mistake_with_its_field() {
    let client = |fields: &str| format!(r#"{{"clients": [{{"client_id": "a", {fields}}}]}}"#);
    for (text, field) in [
        (client(r#""redirect_uris": ["*"]"#), "clients[0].redirect_uris[0]: "),
        (client(r#""redirect_uris": ["https://a.test/*"]"#), "clients[0].redirect_uris[0]: "),
        (client(r#""redirect_uris": ["https://a.test/cb#x"]"#), "clients[0].redirect_uris[0]: "),
        (client(r#""redirect_uris": ["https://a.test/cb", "/cb"]"#), "clients[0].redirect_uris[1]: "),
        (client(r#""redirect_uris": ["https://"]"#), "clients[0].redirect_uris[0]: "),
        (client(r#""redirect_uris": [""]"#), "clients[0].redirect_uris[0]: "),
        (client(r#""post_logout_redirect_uris": ["*"]"#), "clients[0].post_logout_redirect_uris[0]: "),
        (client(r#""client_secret": """#), "clients[0].client_secret: "),
        (client(r#""scope": "a", "scope": "b""#), "not valid JSON: the member \"scope\" is there twice"),
        (r#"{"clock": 1, "clock": 2}"#.into(), "not valid JSON: the member \"clock\" is there twice"),
        (
            r#"{"registration": {"initial_access_tokens": [""]}}"#.into(),
            "registration.initial_access_tokens[0]: ",
        ),
        (r#"{"users": [{"name": "a", "password": ""}]}"#.into(), "users[0].password: "),
        (
            r#"{"users": [{"name": "a", "password": "b", "claims": {"iss": "x"}}]}"#.into(),
            "users[0].claims: iss",
        ),
        (
            r#"{"users": [{"name": "a", "password": "b", "claims": {"cnf": {}}}]}"#.into(),
            "users[0].claims: cnf",
        ),
        (r#"{"issuer_url": "mock"}"#.into(), "issuer_url: "),
        (r#"{"issuer_url": "ftp://mock"}"#.into(), "issuer_url: "),
        (r#"{"issuer_url": "http://mock?a"}"#.into(), "issuer_url: "),
        (r#"{"public_url": "http://mock/a"}"#.into(), "public_url: "),
        (r#"{"public_url": "mock:9000"}"#.into(), "public_url: "),
        (r#"{"hosts": ["mock", "http://mock"]}"#.into(), "hosts[1]: "),
        (r#"{"cors_origins": ["app.test"]}"#.into(), "cors_origins[0]: "),
        (r#"{"journal_entries": 0}"#.into(), "journal_entries: "),
        (r#"{"issuers": [{"name": "token"}]}"#.into(), "issuers[0].name: "),
        (r#"{"issuers": [{"name": "/api/"}]}"#.into(), "issuers[0].name: "),
        (r#"{"issuers": [{"name": "register/x"}]}"#.into(), "issuers[0].name: "),
        (r#"{"issuers": [{"name": ".well-known"}]}"#.into(), "issuers[0].name: "),
        (r#"{"issuers": [{"name": "health"}]}"#.into(), "issuers[0].name: "),
        (r#"{"issuers": [{"name": "a"}, {"name": "/a"}]}"#.into(), "issuers[1].name: "),
        (r#"{"issuers": [{"name": "a b"}]}"#.into(), "issuers[0].name: "),
        (r#"{"claims": [{"when": {"grant": "x"}}]}"#.into(), "claims[0].when.grant: unknown"),
    ] {
        let mistakes = Config::from_json(&text).unwrap_err().to_string();
        assert!(mistakes.lines().any(|line| line.starts_with(field)), "{field} in {mistakes}");
    }
    for good in [
        client(r#""redirect_uris": ["http://127.0.0.1/cb", "com.example.app:/cb", "https://a.test/cb?x=y"]"#),
        r#"{"issuers": [{"name": "tokens"}, {"name": "a/token"}], "issuer_url": "http://mock:9000/a"}"#.into(),
        r#"{"hosts": ["mock", "mock:9000", "[::1]:9000", "10.0.0.7"], "cors_origins": ["http://a.test:3000"]}"#.into(),
    ] {
        let _ = Config::from_json(&good).unwrap();
    }
}

#[test]
fn the_same_holds_in_code() {
    for bad in ["token", "a/../b", "", "jwks"] {
        assert!(catch_unwind(|| MockServer::builder().issuer(bad)).is_err(), "{bad}");
    }
    assert!(catch_unwind(|| MockServer::builder().issuer("a").issuer("a/")).is_err());
    assert!(catch_unwind(|| MockServer::builder().public_url("mock")).is_err());
    assert!(catch_unwind(|| MockServer::builder().host("http://mock")).is_err());
}

//! The authorization code flow with PKCE (RFC 6749 section 4.1, RFC 7636), from the login page to userinfo.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod support;

use http::{Request, StatusCode};
use http_body_util::Full;
use oauth_mock::{Endpoint, GrantType, MockClient, MockServer, User};
use support::flow::*;
use support::*;

fn server() -> MockServer {
    let app = MockClient::new("app")
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken])
        .redirect_uri(CALLBACK)
        .redirect_uri("http://127.0.0.1/cb")
        .scopes(["openid", "read"]);
    MockServer::builder()
        .client(app)
        .client(MockClient::default())
        .user(User::new("alice", "wonderland").subject("u-1").claim("email", "alice@example.com"))
        .in_process()
}

fn code(server: &MockServer) -> String {
    parameter(&server.log_in(&authorize_url(server, &[]), "alice").unwrap(), "code").unwrap()
}

async fn redeem(server: &MockServer, code: &str, redirect_uri: &str, verifier: &str) -> Reply {
    let form = format!(
        "grant_type=authorization_code&client_id=app&code={code}&redirect_uri={}&code_verifier={verifier}",
        encoded(redirect_uri)
    );
    post(server, Endpoint::Token, None, &form).await
}

#[tokio::test]
async fn the_login_page_leads_to_a_code_and_the_code_to_tokens() {
    let server = server();
    let url = authorize_url(&server, &[]);
    let page = send(&server, Request::get(&url).body(Full::default()).unwrap()).await.unwrap();
    assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    assert!(
        page.text().contains("<strong>app</strong>")
            && page.text().contains(r#"name="state" value="s&amp;1""#)
    );

    let query = url.split_once('?').unwrap().1;
    let submit =
        |rest: &str| form_request(&server.endpoint(Endpoint::Authorize), None, &format!("{query}&{rest}"));
    let wrong = send(&server, submit("username=alice&password=no&decision=allow")).await.unwrap();
    assert!(wrong.text().contains("Wrong name or password."));
    assert!(!wrong.text().contains(r#"value="no""#), "a password never comes back");

    let back = send(&server, submit("username=alice&password=wonderland&decision=allow")).await.unwrap();
    // RFC 9700 section 4.12: no other redirect makes every browser forget the password.
    assert_eq!(back.status, StatusCode::SEE_OTHER);
    let location = back.header("location").to_owned();
    assert!(location.starts_with("https://app.test/cb?code="));
    assert_eq!(parameter(&location, "state").unwrap(), "s&1");
    assert_eq!(parameter(&location, "iss").unwrap(), server.issuer());

    let tokens = redeem(&server, &parameter(&location, "code").unwrap(), CALLBACK, VERIFIER).await.json();
    let claims = jwt_part(tokens["access_token"].as_str().unwrap(), 1);
    assert_eq!((&claims["sub"], &claims["client_id"]), (&"u-1".into(), &"app".into()));
    let id = jwt_part(tokens["id_token"].as_str().unwrap(), 1);
    assert_eq!((&id["aud"], &id["nonce"], &id["sub"]), (&"app".into(), &"n-1".into(), &"u-1".into()));
    assert_eq!(id["at_hash"].as_str().unwrap().len(), 22);

    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let me = Request::get(server.endpoint(Endpoint::Userinfo)).header("authorization", bearer);
    let me = send(&server, me.body(Full::default()).unwrap()).await.unwrap().json();
    assert_eq!(me, serde_json::json!({"sub": "u-1", "email": "alice@example.com"}));
}

#[tokio::test]
async fn a_refusing_user_and_bad_requests_are_sent_back_with_an_error() {
    let server = server();
    let query = authorize_url(&server, &[]).split_once('?').unwrap().1.to_owned();
    let deny = form_request(&server.endpoint(Endpoint::Authorize), None, &format!("{query}&decision=deny"));
    let denied = send(&server, deny).await.unwrap();
    assert_eq!(parameter(denied.header("location"), "error").unwrap(), "access_denied");

    for (change, error) in [
        (("response_type", Some("token")), "unsupported_response_type"),
        (("scope", Some("admin")), "invalid_scope"),
        (("code_challenge", None), "invalid_request"),
        (("code_challenge", Some("short")), "invalid_request"),
        (("code_challenge_method", Some("plain")), "invalid_request"),
        (("code_challenge_method", None), "invalid_request"),
        (("prompt", Some("none")), "login_required"),
        (("resource", Some("elsewhere")), "invalid_target"),
    ] {
        let back = server.log_in(&authorize_url(&server, &[change]), "alice").unwrap();
        assert_eq!(parameter(&back, "error").unwrap(), error, "{change:?}");
        assert_eq!(parameter(&back, "state").unwrap(), "s&1", "{change:?}");
        assert_eq!(parameter(&back, "code"), None);
    }
}

#[tokio::test]
async fn nobody_is_sent_to_an_address_that_is_not_the_clients() {
    let server = server();
    for change in [
        ("redirect_uri", Some("https://app.test/cb/")),
        ("redirect_uri", Some("https://evil.test/cb")),
        ("redirect_uri", None),
        ("client_id", Some("<script>")),
        ("client_id", None),
    ] {
        let url = authorize_url(&server, &[change]);
        let page = send(&server, Request::get(&url).body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{change:?}");
        assert!(page.headers.get("location").is_none() && !page.text().contains("<script>"));
        assert!(server.log_in(&url, "alice").is_err());
    }
    let loopback = authorize_url(&server, &[("redirect_uri", Some("http://127.0.0.1:5123/cb"))]);
    assert!(server.log_in(&loopback, "alice").unwrap().starts_with("http://127.0.0.1:5123/cb?code="));
    assert!(server.log_in(&loopback, "mallory").is_err());
}

#[tokio::test]
async fn a_code_works_once_for_its_client_address_and_verifier() {
    let server = server();
    let wrong = "x".repeat(43);
    for (uri, verifier) in
        [("https://app.test/other", VERIFIER), (CALLBACK, wrong.as_str()), (CALLBACK, "short")]
    {
        let code = code(&server);
        assert_eq!(redeem(&server, &code, uri, verifier).await.error(), "invalid_grant", "{uri} {verifier}");
        assert_eq!(
            redeem(&server, &code, CALLBACK, VERIFIER).await.error(),
            "invalid_grant",
            "there is no second try"
        );
    }
    let without = format!(
        "grant_type=authorization_code&client_id=app&code={}&redirect_uri={}",
        code(&server),
        encoded(CALLBACK)
    );
    assert_eq!(post(&server, Endpoint::Token, None, &without).await.error(), "invalid_grant");

    let late = code(&server);
    server.clock().step(60);
    assert_eq!(redeem(&server, &late, CALLBACK, VERIFIER).await.error(), "invalid_grant");
    assert_eq!(redeem(&server, "unknown", CALLBACK, VERIFIER).await.error(), "invalid_grant");
}

#[tokio::test]
async fn a_code_used_twice_costs_its_tokens() {
    let server = server();
    let code = code(&server);
    let tokens = redeem(&server, &code, CALLBACK, VERIFIER).await.json();
    assert_eq!(redeem(&server, &code, CALLBACK, VERIFIER).await.error(), "invalid_grant");
    let form = format!(
        "grant_type=refresh_token&client_id=app&refresh_token={}",
        tokens["refresh_token"].as_str().unwrap()
    );
    assert_eq!(post(&server, Endpoint::Token, None, &form).await.error(), "invalid_grant");
}

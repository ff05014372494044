//! OpenID Connect: ID tokens, logins that are remembered, logging out, and everything about them that can be wrong.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod support;

use http::StatusCode;
use oauth_mock::{Alg, Endpoint, GrantType, MockClient, MockServer, Tamper, User};
use serde_json::{Value, json};
use support::flow::*;
use support::*;

const GOODBYE: &str = "https://app.test/bye";

fn server() -> MockServer {
    let grants = [GrantType::AuthorizationCode, GrantType::RefreshToken];
    let app = MockClient::new("app").grants(grants).redirect_uri(CALLBACK);
    MockServer::builder()
        .client(app.post_logout_redirect_uri(GOODBYE).scopes(["openid", "read", "offline_access"]))
        .client(MockClient::default())
        .user(User::new("alice", "wonderland").subject("u-1"))
        .acr_values(["0", "gold"])
        .algorithms([Alg::Es256])
        .in_process()
}

fn text(reply: &Value, name: &str) -> String {
    reply[name].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_response_can_be_wrong_in_one_point() {
    let server = server();
    let url = authorize_url(&server, &[]);
    let tampered = |tamper: Tamper| {
        server.tamper(tamper).times(1);
        back(&server, &url)
    };
    let good = back(&server, &url);
    assert_eq!(parameters(&good, "iss"), [server.issuer()]);
    assert_eq!((parameters(&good, "state").len(), parameters(&good, "code").len()), (1, 1));

    assert_ne!(parameters(&tampered(Tamper::IssWrong), "iss"), [server.issuer()]);
    assert!(parameters(&tampered(Tamper::IssMissing), "iss").is_empty());
    assert_ne!(parameters(&tampered(Tamper::StateWrong), "state"), ["s&1"]);
    assert!(parameters(&tampered(Tamper::StateMissing), "state").is_empty());
    assert_eq!(parameters(&tampered(Tamper::CodeTwice), "code").len(), 2);
    assert!(parameters(&tampered(Tamper::CodeMissing), "code").is_empty());
    assert_eq!(parameters(&tampered(Tamper::CodeWithError), "error"), ["access_denied"]);
    assert_eq!(parameters(&back(&server, &url), "iss"), [server.issuer()], "one response each");

    // An error names the issuer, too (RFC 9207 section 2), and can be tampered alike.
    let denied = authorize_url(&server, &[("scope", Some("admin"))]);
    assert_eq!(parameters(&back(&server, &denied), "iss"), [server.issuer()]);
    server.tamper(Tamper::IssWrong).always();
    assert_ne!(parameters(&back(&server, &denied), "iss"), [server.issuer()]);
    server.clear_faults();
    assert_eq!(parameters(&back(&server, &denied), "iss"), [server.issuer()]);
}

#[tokio::test]
async fn an_id_token_can_be_wrong_in_one_point() {
    let server = server();
    let now = server.clock().now_unix();
    let good = tokens(&server, &[]).await.json();
    let good = (jwt_part(&text(&good, "id_token"), 0), jwt_part(&text(&good, "id_token"), 1));
    assert_eq!(good.1["acr"], "0");
    assert_eq!(good.1["auth_time"], now);

    for (tamper, changed) in [
        (Tamper::IdTokenIssuer, "iss"),
        (Tamper::IdTokenAudience, "aud"),
        (Tamper::IdTokenSecondAudience, "aud"),
        (Tamper::IdTokenAuthorizedParty, "azp"),
        (Tamper::IdTokenExpired, "exp"),
        (Tamper::IdTokenFuture, "iat"),
        (Tamper::IdTokenNonce, "nonce"),
        (Tamper::IdTokenNonceMissing, "nonce"),
        (Tamper::IdTokenAcr, "acr"),
        (Tamper::IdTokenAuthTime, "auth_time"),
        (Tamper::IdTokenSubjectMissing, "sub"),
    ] {
        server.tamper(tamper).times(1);
        let token = text(&tokens(&server, &[]).await.json(), "id_token");
        assert_ne!(jwt_part(&token, 1).get(changed), good.1.get(changed), "{tamper:?}");
        assert_eq!(jwt_part(&token, 0), good.0, "{tamper:?}");
    }
    server.tamper(Tamper::IdTokenUnsigned).times(1);
    let token = text(&tokens(&server, &[]).await.json(), "id_token");
    assert!(token.ends_with('.') && jwt_part(&token, 0)["alg"] == "none");
    server.tamper(Tamper::IdTokenHash).times(1);
    let response = tokens(&server, &[]).await.json();
    assert_eq!(jwt_part(&text(&response, "id_token"), 1)["at_hash"].as_str().unwrap().len(), 22);
    server.tamper(Tamper::IdTokenMissing).times(1);
    assert_eq!(tokens(&server, &[]).await.json().get("id_token"), None);

    // The logout endpoint verifies: a signature by another key, or over other claims, is not the issuer's.
    for tamper in [Tamper::IdTokenKey, Tamper::IdTokenSignature] {
        server.tamper(tamper).times(1);
        let token = text(&tokens(&server, &[]).await.json(), "id_token");
        assert_eq!(jwt_part(&token, 0), good.0, "{tamper:?}");
        let out = post(&server, Endpoint::EndSession, None, &format!("id_token_hint={token}")).await;
        assert!(out.text().contains("not signed by this issuer"), "{tamper:?}");
    }
    let token = text(&tokens(&server, &[]).await.json(), "id_token");
    let out = post(&server, Endpoint::EndSession, None, &format!("id_token_hint={token}")).await;
    assert_eq!(out.status, StatusCode::OK);
}

#[tokio::test]
async fn a_refreshed_id_token_tells_of_the_login_back_then() {
    let server = server();
    let first = tokens(&server, &[("acr_values", Some("silver gold"))]).await.json();
    server.clock().step(100);
    let form =
        format!("grant_type=refresh_token&client_id=app&refresh_token={}", text(&first, "refresh_token"));
    let next = post(&server, Endpoint::Token, None, &form).await.json();
    let (before, after) = (jwt_part(&text(&first, "id_token"), 1), jwt_part(&text(&next, "id_token"), 1));
    for same in ["iss", "sub", "aud", "auth_time", "acr", "sid"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_eq!((&after["acr"], after.get("nonce")), (&json!("gold"), None));
    assert_eq!(after["iat"], before["iat"].as_i64().unwrap() + 100);
    let access = jwt_part(&text(&next, "access_token"), 1);
    assert_eq!((&access["acr"], &access["auth_time"]), (&json!("gold"), &before["auth_time"]));
}

/// Logs alice in at the page of `url`; gives the cookie and where the browser went.
async fn sign_in(server: &MockServer, url: &str) -> (String, String) {
    let form =
        format!("{}&username=alice&password=wonderland&decision=allow", url.split_once('?').unwrap().1);
    let back = post(server, Endpoint::Authorize, None, &form).await;
    let cookie = back.header("set-cookie");
    assert!(cookie.contains("HttpOnly; SameSite=Lax; Secure"), "{cookie}");
    (cookie.split(';').next().unwrap().to_owned(), back.header("location").to_owned())
}

#[tokio::test]
async fn a_browser_that_is_logged_in_is_not_asked_for_a_password() {
    let server = server();
    let url = authorize_url(&server, &[]);
    let silent = authorize_url(&server, &[("prompt", Some("none"))]);
    assert_eq!(
        parameter(browse(&server, &silent, "").await.header("location"), "error").unwrap(),
        "login_required"
    );

    let (cookie, _) = sign_in(&server, &url).await;
    let page = browse(&server, &url, &cookie).await;
    assert!(page.text().contains("Signed in as <strong>alice</strong>") && !page.text().contains("password"));
    let at_once = browse(&server, &silent, &cookie).await;
    let code = parameter(at_once.header("location"), "code").unwrap();
    let response = post(&server, Endpoint::Token, None, &redemption(&code)).await.json();
    assert_eq!(jwt_part(&text(&response, "id_token"), 1)["sub"], "u-1");

    // The form of that page carries no name, and its cookie says who it is.
    let form = format!("{}&decision=allow", url.split_once('?').unwrap().1);
    let mut with_cookie = form_request(&server.endpoint(Endpoint::Authorize), None, &form);
    with_cookie.headers_mut().insert("cookie", cookie.parse().unwrap());
    assert!(parameter(send(&server, with_cookie).await.unwrap().header("location"), "code").is_some());
    let stranger = post(&server, Endpoint::Authorize, None, &form).await;
    assert!(stranger.text().contains("Wrong name or password."));
}

#[tokio::test]
async fn a_login_can_be_too_old_too_weak_or_not_wanted() {
    let server = server();
    let (cookie, _) = sign_in(&server, &authorize_url(&server, &[])).await;
    server.clock().step(100);
    for (change, error) in [
        (("max_age", "100"), None),
        (("max_age", "99"), Some("login_required")),
        (("acr_values", "gold"), Some("login_required")),
        (("acr_values", "0"), None),
    ] {
        let url = authorize_url(&server, &[("prompt", Some("none")), (change.0, Some(change.1))]);
        let back = browse(&server, &url, &cookie).await;
        assert_eq!(parameter(back.header("location"), "error").as_deref(), error, "{change:?}");
        let asked = authorize_url(&server, &[(change.0, Some(change.1))]);
        let asks = browse(&server, &asked, &cookie).await.text().contains(r#"type="password""#);
        assert_eq!(asks, error.is_some(), "{change:?}");
    }
    let again = browse(&server, &authorize_url(&server, &[("prompt", Some("login"))]), &cookie).await;
    assert!(again.text().contains(r#"type="password""#));
    let metadata = get(&server, Endpoint::OpenidMetadata).await.unwrap().json();
    assert_eq!(metadata["acr_values_supported"], json!(["0", "gold"]));
}

async fn refreshes(server: &MockServer, tokens: &Value) -> bool {
    let form =
        format!("grant_type=refresh_token&client_id=app&refresh_token={}", text(tokens, "refresh_token"));
    post(server, Endpoint::Token, None, &form).await.status == StatusCode::OK
}

#[tokio::test]
async fn logging_out_ends_the_session_and_its_tokens() {
    let server = server();
    let (cookie, location) = sign_in(&server, &authorize_url(&server, &[])).await;
    let redeem = |code: String| {
        let server = &server;
        async move { post(server, Endpoint::Token, None, &redemption(&code)).await.json() }
    };
    let ours = redeem(parameter(&location, "code").unwrap()).await;
    let offline =
        authorize_url(&server, &[("prompt", Some("none")), ("scope", Some("openid offline_access"))]);
    let location = browse(&server, &offline, &cookie).await.header("location").to_owned();
    let offline = redeem(parameter(&location, "code").unwrap()).await;
    let others = tokens(&server, &[]).await.json();

    server.clock().step(3600); // the hint has long expired, and is taken (section 2)
    let hint = text(&ours, "id_token");
    let url = format!(
        "{}?id_token_hint={hint}&post_logout_redirect_uri={}&state=s%261",
        server.endpoint(Endpoint::EndSession),
        encoded(GOODBYE)
    );
    let out = browse(&server, &url, &cookie).await;
    assert_eq!((out.status, out.header("location")), (StatusCode::FOUND, "https://app.test/bye?state=s%261"));
    assert!(out.header("set-cookie").starts_with("oauth-mock-session=; Max-Age=0"));

    assert!(!refreshes(&server, &ours).await);
    assert!(refreshes(&server, &others).await, "another session goes on");
    assert!(refreshes(&server, &offline).await, "offline_access outlasts the session");
    let silent = authorize_url(&server, &[("prompt", Some("none"))]);
    let back = browse(&server, &silent, &cookie).await;
    assert_eq!(parameter(back.header("location"), "error").unwrap(), "login_required");
    assert!(!server.journal().of(Endpoint::EndSession)[0].query.iter().any(|(_, value)| *value == hint));
}

#[tokio::test]
async fn logging_out_sends_nobody_to_an_address_that_is_not_the_clients() {
    let server = server();
    let hint = text(&tokens(&server, &[]).await.json(), "id_token");
    let other = server.mint().build();
    for (what, query) in [
        ("another address", format!("id_token_hint={hint}&post_logout_redirect_uri=https%3A%2F%2Fevil.test")),
        (
            "a longer address",
            format!("id_token_hint={hint}&post_logout_redirect_uri={}%2F", encoded(GOODBYE)),
        ),
        ("unregistered address", format!("post_logout_redirect_uri={}", encoded(GOODBYE))),
        ("another client's", format!("client_id=svc&post_logout_redirect_uri={}", encoded(GOODBYE))),
        ("two clients", format!("client_id=svc&id_token_hint={hint}")),
        ("an access token", format!("id_token_hint={other}")),
        ("no token", "id_token_hint=abc".to_owned()),
    ] {
        let url = format!("{}?{query}", server.endpoint(Endpoint::EndSession));
        let page = browse(&server, &url, "").await;
        assert_eq!((page.status, page.header("location")), (StatusCode::BAD_REQUEST, ""), "{what}");
    }
    let bare = browse(&server, &server.endpoint(Endpoint::EndSession), "").await;
    assert!(bare.status == StatusCode::OK && bare.text().contains("Signed out"));
    let named = format!(
        "{}?client_id=app&post_logout_redirect_uri={}",
        server.endpoint(Endpoint::EndSession),
        encoded(GOODBYE)
    );
    assert_eq!(browse(&server, &named, "").await.header("location"), GOODBYE);
}

#[tokio::test]
async fn userinfo_can_be_about_somebody_else() {
    let server = server();
    let bearer = format!("Bearer {}", text(&tokens(&server, &[]).await.json(), "access_token"));
    let me = || {
        let request =
            http::Request::get(server.endpoint(Endpoint::Userinfo)).header("authorization", &bearer);
        send(&server, request.body(http_body_util::Full::default()).unwrap())
    };
    server.tamper(Tamper::UserinfoSubject).times(1);
    assert_ne!(me().await.unwrap().json()["sub"], "u-1");
    assert_eq!(me().await.unwrap().json()["sub"], "u-1");
}

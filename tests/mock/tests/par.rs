//! Pushed authorization requests (RFC 9126), with DPoP (RFC 9449 section 10) and authorization details (RFC 9396).

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod support;

use http::{Request, StatusCode};
use http_body_util::Full;
use oauth_mock::{Alg, AuthorizationDetailsType, Endpoint, GrantType, MockClient, MockServer, TestKey, User};
use serde_json::json;
use support::flow::*;
use support::*;

fn app() -> MockClient {
    let grants = [GrantType::AuthorizationCode, GrantType::RefreshToken];
    MockClient::new("app").grants(grants).redirect_uri(CALLBACK).scopes(["openid", "read"])
}

fn server_with(app: MockClient) -> MockServer {
    let payment = AuthorizationDetailsType::new("payment").required("amount").optional("reference");
    MockServer::builder()
        .client(app)
        .client(MockClient::default().redirect_uri(CALLBACK))
        .user(User::new("alice", "wonderland"))
        .authorization_details_type(payment)
        .authorization_details_type(AuthorizationDetailsType::new("files"))
        .in_process()
}

async fn push(server: &MockServer, form: &str) -> Reply {
    post(server, Endpoint::Par, None, form).await
}

fn pushed_url(server: &MockServer, pushed: &Reply) -> String {
    let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
    format!("{}?client_id=app&request_uri={}", server.endpoint(Endpoint::Authorize), encoded(&uri))
}

#[tokio::test]
async fn a_pushed_request_is_good_once() {
    let server = server_with(app());
    let pushed = push(&server, &request(&[])).await;
    assert_eq!((pushed.status, pushed.header("cache-control")), (StatusCode::CREATED, "no-store"));
    assert_eq!(pushed.json()["expires_in"], 60);
    let url = pushed_url(&server, &pushed);
    let page = send(&server, Request::get(&url).body(Full::default()).unwrap()).await.unwrap();
    assert!(page.text().contains("<strong>app</strong>") && !page.text().contains("code_challenge"));
    let again = send(&server, Request::get(&url).body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(again.status, StatusCode::OK, "reloading the page uses nothing up");

    let query = url.split_once('?').unwrap().1;
    let form = format!("{query}&username=alice&password=wonderland&decision=allow");
    let back = post(&server, Endpoint::Authorize, None, &form).await.header("location").to_owned();
    assert_eq!(parameter(&back, "state").unwrap(), "s&1");
    let response =
        post(&server, Endpoint::Token, None, &redemption(&parameter(&back, "code").unwrap())).await;
    assert_eq!(response.json()["scope"], "openid read");

    assert!(server.log_in(&url, "alice").unwrap_err().starts_with("invalid_request_uri"));
    let page = send(&server, Request::get(&url).body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    let metadata = get(&server, Endpoint::OauthMetadata).await.unwrap().json();
    assert_eq!(metadata["pushed_authorization_request_endpoint"], server.endpoint(Endpoint::Par));
    assert_eq!(metadata["require_pushed_authorization_requests"], false);
}

#[tokio::test]
async fn a_pushed_request_expires_and_belongs_to_its_client() {
    let server = server_with(app());
    let url = pushed_url(&server, &push(&server, &request(&[])).await);
    assert!(server.log_in(&url.replace("client_id=app", "client_id=svc"), "alice").is_err());
    server.clock().step(60);
    assert!(server.log_in(&url, "alice").is_err());
}

#[tokio::test]
async fn what_stands_in_the_url_beside_a_pushed_request_counts_for_nothing() {
    let server = server_with(app());
    let url = pushed_url(&server, &push(&server, &request(&[])).await);
    let back =
        server.log_in(&format!("{url}&scope=admin&state=evil&redirect_uri=https%3A%2F%2Fevil.test"), "alice");
    let back = back.unwrap();
    assert!(back.starts_with(CALLBACK));
    assert_eq!(parameter(&back, "state").unwrap(), "s&1");
}

#[tokio::test]
async fn everything_is_checked_when_it_is_pushed() {
    let server = server_with(app());
    for (change, error) in [
        (("redirect_uri", Some("https://evil.test/cb")), "invalid_request"),
        (("response_type", Some("token")), "unsupported_response_type"),
        (("response_mode", Some("fragment")), "invalid_request"),
        (("scope", Some("admin")), "invalid_scope"),
        (("code_challenge", None), "invalid_request"),
        (("resource", Some("elsewhere")), "invalid_target"),
        (("request", Some("e30.e30.")), "request_not_supported"),
        (("request_uri", Some("urn:ietf:params:oauth:request_uri:x")), "invalid_request"),
        (("client_id", Some("unknown")), "invalid_client"),
        (("client_id", None), "invalid_client"),
        (("dpop_jkt", Some("short")), "invalid_request"),
        (("max_age", Some("-1")), "invalid_request"),
        (("acr_values", Some("gold")), "unmet_authentication_requirements"),
        (("prompt", Some("none login")), "invalid_request"),
        (("authorization_details", Some("{}")), "invalid_authorization_details"),
    ] {
        let response = push(&server, &request(&[change])).await;
        assert_eq!(response.error(), error, "{change:?}");
        let status = if error == "invalid_client" { 401 } else { 400 };
        assert_eq!(response.status, status, "{change:?}");
    }
    // A client that can authenticate must.
    let of_svc = request(&[("client_id", Some("svc"))]);
    assert_eq!(push(&server, &of_svc).await.error(), "invalid_client");
    let other = post(&server, Endpoint::Par, Some(&svc()), &request(&[])).await;
    assert_eq!(other.error(), "invalid_request");
}

#[tokio::test]
async fn a_client_or_a_server_may_take_pushed_requests_only() {
    let strict = server_with(app().require_pushed_authorization_requests());
    let back = strict.log_in(&authorize_url(&strict, &[]), "alice").unwrap();
    assert_eq!(parameter(&back, "error").unwrap(), "invalid_request");
    let url = pushed_url(&strict, &push(&strict, &request(&[])).await);
    assert!(parameter(&strict.log_in(&url, "alice").unwrap(), "code").is_some());

    let all_clients = MockServer::builder()
        .client(app())
        .user(User::new("alice", "wonderland"))
        .require_pushed_authorization_requests()
        .in_process();
    let back = all_clients.log_in(&authorize_url(&all_clients, &[]), "alice").unwrap();
    assert_eq!(parameter(&back, "error").unwrap(), "invalid_request");
    let metadata = get(&all_clients, Endpoint::OauthMetadata).await.unwrap().json();
    assert_eq!(metadata["require_pushed_authorization_requests"], true);
}

/// Redeems a code with a proof by this key, if any.
async fn redeem(server: &MockServer, code: &str, key: Option<&TestKey>) -> Reply {
    let url = server.endpoint(Endpoint::Token);
    let mut request = form_request(&url, None, &redemption(code));
    if let Some(key) = key {
        let proof = server.dpop_proof(key, "POST", &url).build();
        request.headers_mut().insert("dpop", proof.parse().unwrap());
    }
    send(server, request).await.unwrap()
}

#[tokio::test]
async fn a_code_is_bound_to_the_key_of_dpop_jkt() {
    let server = server_with(app());
    let (key, thief) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Es256));
    let jkt = key.thumbprint();
    let url = authorize_url(&server, &[("dpop_jkt", Some(&jkt))]);
    let code = || parameter(&back(&server, &url), "code").unwrap();
    assert_eq!(redeem(&server, &code(), None).await.error(), "invalid_grant");
    assert_eq!(redeem(&server, &code(), Some(&thief)).await.error(), "invalid_grant");
    assert_eq!(redeem(&server, &code(), Some(&key)).await.json()["token_type"], "DPoP");
}

#[tokio::test]
async fn a_proof_beside_a_pushed_request_names_the_key_too() {
    let server = server_with(app());
    let (key, thief) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Es256));
    let par = server.endpoint(Endpoint::Par);
    let with_proof = |form: &str| {
        let mut request = form_request(&par, None, form);
        let proof = server.dpop_proof(&key, "POST", &par).build();
        request.headers_mut().insert("dpop", proof.parse().unwrap());
        request
    };
    let other = thief.thumbprint();
    let torn = with_proof(&request(&[("dpop_jkt", Some(&other))]));
    assert_eq!(send(&server, torn).await.unwrap().error(), "invalid_dpop_proof");

    let pushed = send(&server, with_proof(&request(&[]))).await.unwrap();
    let code = parameter(&back(&server, &pushed_url(&server, &pushed)), "code").unwrap();
    assert_eq!(redeem(&server, &code, Some(&thief)).await.error(), "invalid_grant");

    let pushed = send(&server, with_proof(&request(&[]))).await.unwrap();
    let code = parameter(&back(&server, &pushed_url(&server, &pushed)), "code").unwrap();
    assert_eq!(redeem(&server, &code, Some(&key)).await.json()["token_type"], "DPoP");
}

#[tokio::test]
async fn authorization_details_reach_the_token_and_can_be_narrowed() {
    let server = server_with(app());
    let payment = json!({"type": "payment", "amount": "12.50", "locations": ["https://pay.test"]});
    let files = json!({"type": "files", "actions": ["read"], "path": "/home"});
    let both = json!([payment, files]).to_string();
    let pushed = push(&server, &request(&[("authorization_details", Some(&both))])).await;
    let url = pushed_url(&server, &pushed);
    let page = send(&server, Request::get(&url).body(Full::default()).unwrap()).await.unwrap();
    assert!(page.text().contains("12.50"), "the user sees what it is about");

    let code = parameter(&back(&server, &url), "code").unwrap();
    let response = post(&server, Endpoint::Token, None, &redemption(&code)).await.json();
    assert_eq!(response["authorization_details"], json!([payment, files]));
    let token = response["access_token"].as_str().unwrap();
    assert_eq!(jwt_part(token, 1)["authorization_details"], json!([payment, files]));
    let seen = post(&server, Endpoint::Introspect, Some(&svc()), &format!("token={token}")).await;
    assert_eq!(seen.json()["authorization_details"], json!([payment, files]));

    let less = encoded(&json!([files]).to_string());
    let more = encoded(&json!([{"type": "files", "actions": ["write"]}]).to_string());
    let refresh = |token: &str, details: &str| {
        format!(
            "grant_type=refresh_token&client_id=app&refresh_token={token}&authorization_details={details}"
        )
    };
    let token = response["refresh_token"].as_str().unwrap();
    let wider = post(&server, Endpoint::Token, None, &refresh(token, &more)).await;
    assert_eq!(wider.error(), "invalid_authorization_details");
    let narrower = post(&server, Endpoint::Token, None, &refresh(token, &less)).await.json();
    assert_eq!(narrower["authorization_details"], json!([files]));
}

#[tokio::test]
async fn bad_authorization_details_are_refused_at_every_endpoint() {
    let server = server_with(app().authorization_details_types(["payment"]));
    for bad in [
        "no JSON",
        "{}",
        "[]",
        "[1]",
        "[{}]",
        r#"[{"type":7}]"#,
        r#"[{"type":"unknown"}]"#,
        r#"[{"type":"payment"}]"#,
        r#"[{"type":"payment","amount":"1","color":"red"}]"#,
        r#"[{"type":"payment","amount":"1","actions":"read"}]"#,
        r#"[{"type":"files"}]"#,
    ] {
        let change = [("authorization_details", Some(bad))];
        let back = server.log_in(&authorize_url(&server, &change), "alice").unwrap();
        assert_eq!(parameter(&back, "error").unwrap(), "invalid_authorization_details", "{bad}");
        assert_eq!(push(&server, &request(&change)).await.error(), "invalid_authorization_details", "{bad}");
        if bad != r#"[{"type":"files"}]"# {
            let form = format!("grant_type=client_credentials&authorization_details={}", encoded(bad));
            let response = post(&server, Endpoint::Token, Some(&svc()), &form).await;
            assert_eq!(response.error(), "invalid_authorization_details", "{bad}");
        }
    }
    let good = encoded(r#"[{"type":"payment","amount":"1","reference":"r"}]"#);
    let form = format!("grant_type=client_credentials&authorization_details={good}");
    let response = post(&server, Endpoint::Token, Some(&svc()), &form).await.json();
    assert_eq!(response["authorization_details"][0]["reference"], "r");
    let metadata = get(&server, Endpoint::OauthMetadata).await.unwrap().json();
    assert_eq!(metadata["authorization_details_types_supported"], json!(["payment", "files"]));
}

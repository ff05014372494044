//! The token endpoint validates for real (RFC 6749).

mod support;

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::Full;
use oauth_mock::{AuthMethod, Endpoint, GrantType, MockClient, MockServer};
use support::*;

#[tokio::test]
async fn client_credentials_gives_a_token_of_rfc_9068() {
    let server = MockServer::builder().in_process();
    let reply = token(&server).await;
    assert_eq!((reply.status, reply.header("cache-control")), (StatusCode::OK, "no-store"));
    let body = reply.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&"Bearer".into(), &300.into()));
    assert_eq!(body.get("refresh_token"), None);
    let access = body["access_token"].as_str().unwrap();
    let (header, claims) = (jwt_part(access, 0), jwt_part(access, 1));
    assert_eq!((&header["typ"], &header["kid"]), (&"at+jwt".into(), &server.keys().current_kid().into()));
    assert_eq!((&claims["iss"], &claims["aud"]), (&server.issuer().into(), &"orders-api".into()));
    assert_eq!((&claims["sub"], &claims["scope"]), (&"svc".into(), &"read write".into()));
    assert_eq!(claims["exp"], server.clock().now_unix() + 300);
}

#[tokio::test]
async fn a_secret_in_the_form_works_and_both_ways_at_once_do_not() {
    let server = MockServer::builder().in_process();
    let form = "grant_type=client_credentials&client_id=svc&client_secret=s3cr3t&scope=read";
    let reply = post(&server, Endpoint::Token, None, form).await;
    assert_eq!((reply.status, &reply.json()["scope"]), (StatusCode::OK, &"read".into()));
    let both = post(&server, Endpoint::Token, Some(&svc()), form).await;
    assert_eq!((both.status, both.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_request"));
}

#[tokio::test]
async fn ids_and_secrets_are_form_decoded_before_they_are_compared() {
    let client = MockClient::new("a:b").secret("p% +ü");
    let server = MockServer::builder().client(client).in_process();
    for (secret, expected) in [("p%25%20%2B%C3%BC", 200), ("p%25+%2B%C3%BC", 200), ("p% +ü", 401)] {
        let reply =
            post(&server, Endpoint::Token, Some(&basic("a%3Ab", secret)), "grant_type=client_credentials")
                .await;
        assert_eq!(reply.status.as_u16(), expected, "{secret}");
    }
}

#[tokio::test]
async fn wrong_clients_are_refused_with_the_error_of_the_rfc() {
    let only_post = MockClient::new("form").secret("x").auth_methods([AuthMethod::Post]);
    let server = MockServer::builder()
        .client(MockClient::default().grants([GrantType::ClientCredentials]))
        .client(only_post)
        .client(MockClient::new("public"))
        .in_process();
    let (right, wrong, unknown) = (svc(), basic("svc", "no"), basic("who", "s3cr3t"));
    let form_only = basic("form", "x");
    let grant = "grant_type=client_credentials";
    #[rustfmt::skip]
    let cases: [(Option<&str>, &str, u16, &str); 15] = [
        (Some(&wrong), grant, 401, "invalid_client"),
        (Some(&unknown), grant, 401, "invalid_client"),
        (Some(&form_only), grant, 401, "invalid_client"),
        (Some("Basic ???"), grant, 401, "invalid_client"),
        (Some("Bearer abc"), grant, 401, "invalid_client"),
        (None, grant, 401, "invalid_client"),
        (None, "grant_type=client_credentials&client_id=svc", 401, "invalid_client"),
        (None, "grant_type=client_credentials&client_id=svc&client_secret=no", 401, "invalid_client"),
        (None, "grant_type=client_credentials&client_id=public", 400, "unauthorized_client"),
        (Some(&right), "", 400, "invalid_request"),
        (Some(&right), "grant_type=magic", 400, "unsupported_grant_type"),
        (Some(&right), "grant_type=refresh_token&refresh_token=x", 400, "unauthorized_client"),
        (Some(&right), "grant_type=client_credentials&scope=admin", 400, "invalid_scope"),
        (Some(&right), "grant_type=client_credentials&scope=read++write", 400, "invalid_scope"),
        (Some(&right), "grant_type=client_credentials&scope=read&scope=write", 400, "invalid_request"),
    ];
    for (authorization, form, status, error) in cases {
        let reply = post(&server, Endpoint::Token, authorization, form).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (status, error),
            "{authorization:?} {form}"
        );
        // RFC 9110 section 15.5.2, wherever the secret was sent.
        let challenged = status == 401 && (authorization.is_some() || form.contains("client_secret"));
        assert_eq!(reply.headers.contains_key("www-authenticate"), challenged, "{authorization:?} {form}");
    }
    for parameter in ["audience", "resource"] {
        let form = format!("{grant}&audience=orders-api&{parameter}=https://elsewhere.test");
        let other = post(&server, Endpoint::Token, Some(&right), &form).await.json();
        assert_eq!(other["error"], "invalid_target");
        assert_eq!(other["error_description"], format!("{parameter}: unknown to this server"));
    }
}

#[tokio::test]
async fn method_content_type_and_query_are_checked() {
    let server = MockServer::builder().in_process();
    assert_eq!(get(&server, Endpoint::Token).await.unwrap().status, StatusCode::METHOD_NOT_ALLOWED);
    let url = server.endpoint(Endpoint::Token);
    let json = Request::post(&url).header("content-type", "application/json").body(Full::from("{}")).unwrap();
    assert_eq!(send(&server, json).await.unwrap().error(), "invalid_request");
    let leaked = form_request(
        &format!("{url}?client_secret=s3cr3t"),
        None,
        "grant_type=client_credentials&client_id=svc",
    );
    assert_eq!(send(&server, leaked).await.unwrap().error(), "invalid_request");
}

#[tokio::test]
async fn refresh_tokens_rotate_and_reuse_revokes_the_family() {
    let server = MockServer::builder().client(MockClient::default().with_refresh_token()).in_process();
    let refresh = |token: String| {
        let server = &server;
        async move {
            let form = format!("grant_type=refresh_token&refresh_token={token}");
            post(server, Endpoint::Token, Some(&svc()), &form).await
        }
    };
    let text = |reply: &Reply| reply.json()["refresh_token"].as_str().unwrap().to_owned();
    let first = text(&token(&server).await);
    let second = text(&refresh(first.clone()).await);
    assert_ne!(first, second);
    let third = text(&refresh(second.clone()).await);

    let reused = refresh(first).await;
    assert_eq!((reused.status, reused.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_grant"));
    assert_eq!(refresh(third).await.error(), "invalid_grant", "the whole family is gone");
}

#[tokio::test]
async fn refresh_tokens_belong_to_their_client_and_expire() {
    let lasting = MockClient::default().with_refresh_token().without_rotation();
    let server = MockServer::builder()
        .client(lasting.refresh_lifetime(Duration::from_secs(100)))
        .client(MockClient::new("other").secret("x"))
        .in_process();
    let refresh_token = server.issue("svc", "alice", "read write").unwrap().refresh_token.unwrap();
    let form = format!("grant_type=refresh_token&refresh_token={refresh_token}");
    let narrowed = post(&server, Endpoint::Token, Some(&svc()), &format!("{form}&scope=read")).await;
    assert_eq!(narrowed.json()["scope"], "read");
    assert_eq!(narrowed.json().get("refresh_token"), None, "without rotation there is no new one");
    let wider = post(&server, Endpoint::Token, Some(&svc()), &format!("{form}&scope=admin")).await;
    assert_eq!(wider.error(), "invalid_scope");
    let stolen = post(&server, Endpoint::Token, Some(&basic("other", "x")), &form).await;
    assert_eq!(stolen.error(), "invalid_grant");
    server.clock().advance(Duration::from_secs(100));
    assert_eq!(post(&server, Endpoint::Token, Some(&svc()), &form).await.error(), "invalid_grant");
}

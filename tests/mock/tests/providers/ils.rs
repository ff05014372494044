//! ILS, page "Authentication".

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use oauth_mock::{Endpoint, MockClient, MockServer, Provider};

use crate::support::{Reply, basic, form_request, jwt_part, send};
use crate::{failing, get_with, json_request, member, order, plays, post_json, rows};

rows! { Ils:
    request "POST /api/oauth/token with JSON {clientId, clientSecret} and no grant type" => takes_id_and_secret_as_json,
    request "consumes application/json only" => takes_no_form,
    request "the schema OAuth Request has two fields" => takes_no_other_field,
    request "the schema's fields are strings, each needed" => takes_no_part_of_it,
    response "200: access_token, expires_in (number), token_type bearer" => responds_with_a_bearer_token,
    response "the access token is a JWT" => the_token_is_a_jwt,
    response "the token opens protected resources until it expires" => the_token_opens_a_resource_until_it_expires,
    error "400 with errors[] (location, reason, message), statusCode as a string, statusInfoSet" => bad_request,
    error "401 when the secret is wrong" => unauthorized,
    error "429" => too_many_requests,
    error "500" => internal_server_error,
    error "every value of ils_codeMajor, ils_codeMinor and ils_codeSeverity" => every_code_can_be_sent,
}

const GOOD: &str = r#"{"clientId":"svc","clientSecret":"s3cr3t"}"#;

async fn token(server: &MockServer) -> Reply {
    post_json(server, Endpoint::Token, GOOD).await
}

async fn takes_id_and_secret_as_json() {
    let server = MockServer::builder()
        .personality(Provider::Ils)
        .client(MockClient::new("our-id").secret("our-secret"))
        .in_process();
    assert_eq!(server.endpoint(Endpoint::Token), format!("{}/api/oauth/token", server.url()));
    let reply =
        post_json(&server, Endpoint::Token, r#"{"clientId":"our-id","clientSecret":"our-secret"}"#).await;
    assert_eq!(reply.status, 200);
    let recorded = &server.journal().of(Endpoint::Token)[0];
    assert_eq!((recorded.path.as_str(), recorded.param("clientId")), ("/api/oauth/token", Some("our-id")));
    assert_eq!(recorded.param("clientSecret"), Some(server.journal().fingerprint("our-secret").as_str()));
}

async fn takes_no_form() {
    let server = plays(Provider::Ils);
    let url = server.endpoint(Endpoint::Token);
    let form = form_request(&url, None, "clientId=svc&clientSecret=s3cr3t");
    let as_text = Request::post(&url).header("content-type", "text/plain").body(Full::from(GOOD)).unwrap();
    for request in [form, as_text] {
        let reply = send(&server, request).await.unwrap();
        assert_eq!((reply.status.as_u16(), location(&reply).as_str()), (400, "Content-Type"));
    }
    let with_charset = Request::post(&url).header("content-type", "application/json; charset=utf-8");
    assert_eq!(send(&server, with_charset.body(Full::from(GOOD)).unwrap()).await.unwrap().status, 200);
}

async fn takes_no_other_field() {
    let server = plays(Provider::Ils);
    for (body, field) in [
        (r#"{"clientId":"svc","clientSecret":"s3cr3t","grant_type":"client_credentials"}"#, "grant_type"),
        (r#"{"client_id":"svc","client_secret":"s3cr3t"}"#, "client_id"),
        (r#"{"clientId":"svc","clientSecret":"s3cr3t","scope":"a"}"#, "scope"),
    ] {
        let reply = post_json(&server, Endpoint::Token, body).await;
        assert_eq!((reply.status.as_u16(), location(&reply).as_str()), (400, field));
    }
    let url = server.endpoint(Endpoint::Token);
    let mut twice = json_request(&url, GOOD);
    twice.headers_mut().insert("authorization", basic("svc", "s3cr3t").parse().unwrap());
    assert_eq!(location(&send(&server, twice).await.unwrap()), "Authorization");
    let in_query = json_request(&format!("{url}?clientId=svc"), GOOD);
    assert_eq!(location(&send(&server, in_query).await.unwrap()), "clientId");
}

async fn takes_no_part_of_it() {
    let server = plays(Provider::Ils);
    for (body, field) in [
        ("{}", "clientId"),
        (r#"{"clientId":"svc"}"#, "clientSecret"),
        (r#"{"clientId":"svc","clientSecret":""}"#, "clientSecret"),
        (r#"{"clientId":7,"clientSecret":"s3cr3t"}"#, "clientId"),
        (r#"["svc","s3cr3t"]"#, "body"),
        (r#"{"clientId":"svc","#, "body"),
    ] {
        let reply = post_json(&server, Endpoint::Token, body).await;
        assert_eq!((reply.status.as_u16(), location(&reply).as_str()), (400, field), "{body}");
    }
}

async fn responds_with_a_bearer_token() {
    let reply = token(&plays(Provider::Ils)).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/json"));
    assert_eq!(order(reply.text()), ["access_token", "expires_in", "token_type"]);
    assert_eq!(reply.json()["expires_in"], 3600);
    assert_eq!(member(&reply, "token_type"), "bearer");
}

async fn the_token_is_a_jwt() {
    let server = plays(Provider::Ils);
    let token = member(&token(&server).await, "access_token");
    assert_eq!(jwt_part(&token, 0)["kid"], server.keys().current_kid());
    assert_eq!(jwt_part(&token, 1)["exp"], server.clock().now_unix() + 3600);
}

async fn the_token_opens_a_resource_until_it_expires() {
    let client = MockClient::default().token_lifetime(Duration::from_secs(60));
    let server = MockServer::builder().personality(Provider::Ils).client(client).in_process();
    let reply = token(&server).await;
    assert_eq!(reply.json()["expires_in"], 60);
    let token = member(&reply, "access_token");
    assert_eq!(get_with(&server, Endpoint::Api, &token).await.status, 200);
    server.clock().advance(Duration::from_secs(60));
    let refused = get_with(&server, Endpoint::Api, &token).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), r#"Bearer error="invalid_token""#);
}

async fn bad_request() {
    let reply = post_json(&plays(Provider::Ils), Endpoint::Token, r#"{"clientId":"svc"}"#).await;
    assert_eq!(reply.status, 400);
    assert_eq!(order(reply.text()), ["errors", "statusCode", "statusInfoSet"]);
    let body = reply.json();
    let error = body["errors"][0].as_object().unwrap();
    assert_eq!(error["location"], "clientSecret");
    assert!(error["reason"].is_string() && error["message"].is_string() && error.len() == 3);
    assert_eq!(body["statusCode"], "400", "a string");
    assert_eq!(codes(&reply), ("failure".into(), "invalid data".into(), "error".into()));
    assert!(body["statusInfoSet"]["ils_description"].is_string());
    assert_eq!(failing(Provider::Ils, "bad_request").await.json()["statusCode"], "400");
    let unknown = failing(Provider::Ils, "unknown_object").await;
    assert_eq!((unknown.status.as_u16(), codes(&unknown).1.as_str()), (400, "unknown object"));
}

async fn unauthorized() {
    let server = plays(Provider::Ils);
    for body in
        [r#"{"clientId":"svc","clientSecret":"guess"}"#, r#"{"clientId":"who","clientSecret":"s3cr3t"}"#]
    {
        let reply = post_json(&server, Endpoint::Token, body).await;
        assert_eq!((reply.status.as_u16(), reply.json()["statusCode"].as_str()), (401, Some("401")));
        assert_eq!(codes(&reply), ("failure".into(), "unauthorized".into(), "error".into()));
    }
    assert_eq!(failing(Provider::Ils, "unauthorized").await.status, 401);
    let forbidden = failing(Provider::Ils, "forbidden").await;
    assert_eq!((forbidden.status.as_u16(), codes(&forbidden).1.as_str()), (401, "forbidden"));
}

async fn too_many_requests() {
    let reply = failing(Provider::Ils, "too_many_requests").await;
    assert_eq!((reply.status.as_u16(), codes(&reply).1.as_str()), (429, "server_busy"));
    assert_eq!(reply.json()["statusCode"], "429");
    // The page lost its list of headers; a test that wants one adds it.
    assert_eq!(reply.header("retry-after"), "");
    let server = plays(Provider::Ils);
    let failures = Provider::Ils.failures();
    let busy = failures.iter().find(|failure| failure.name() == "too_many_requests").unwrap();
    server.fault(busy.endpoint(), busy.fault().retry_after_secs(7)).times(1);
    assert_eq!(token(&server).await.header("retry-after"), "7");
}

async fn internal_server_error() {
    let reply = failing(Provider::Ils, "internal_server_error").await;
    assert_eq!((reply.status.as_u16(), reply.json()["statusCode"].as_str()), (500, Some("500")));
}

async fn every_code_can_be_sent() {
    let mut seen = (Vec::new(), Vec::new(), Vec::new());
    for failure in Provider::Ils.failures() {
        let (major, minor, severity) = codes(&failing(Provider::Ils, failure.name()).await);
        seen.0.push(major);
        seen.1.push(minor);
        seen.2.push(severity);
    }
    for list in [&mut seen.0, &mut seen.1, &mut seen.2] {
        list.sort();
        list.dedup();
    }
    assert_eq!(seen.0, ["failure", "success"]);
    let minor = [
        "forbidden",
        "full success",
        "invalid data",
        "partial success",
        "server_busy",
        "unauthorized",
        "unknown object",
    ];
    assert_eq!(seen.1, minor);
    assert_eq!(seen.2, ["error", "status", "warning"]);
}

fn location(reply: &Reply) -> String {
    reply.json()["errors"][0]["location"].as_str().unwrap().to_owned()
}

fn codes(reply: &Reply) -> (String, String, String) {
    let info = &reply.json()["statusInfoSet"];
    let code = |name: &str| info[name].as_str().unwrap().to_owned();
    (code("ils_codeMajor"), code("ils_codeMinor"), code("ils_codeSeverity"))
}

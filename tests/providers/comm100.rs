//! Comm100, page "OAuth API".

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Request;
use oauth_client::manage::Api;
use oauth_client::manage::comm100::{Role, userinfo};
use oauth_client::{ClientAuth, Error, TokenSource, dialect, grant};
use oauth_guard::clock::TestClock;
use oauth_guard::{Claims, Guard, HttpClient, Issuer, Rejection};
use oauth_mock::{Endpoint, MockServer, Provider};
use serde::Deserialize;
use serde_json::Value;

use crate::rows;
use crate::support::{Wire, form, pairs, read_as, refused};

rows! { "Comm100":
    request "POST https://partner.comm100.io/oauth/token?partnerId=…, form with email and password" => password,
    request "partnerId is required" => partner_is_required,
    request "GET /oauth/userinfo with Authorization: Bearer" => userinfo_request,
    response "access_token (a JWT), token_type Bearer, expires_in 43200" => token,
    response "User Info: agentId, siteId as string or number, role" => user_info,
    response "the printed token's claims, scope as a list among them" => printed_claims,
    response "such a token passes the guard: scopes, partnerId and role typed, http issuer" => guarded,
    error "the printed token is refused by the guard as expired, and explained with its claims" => printed_token_is_refused,
    error "such a token that has expired is refused as expired" => expired,
    error "no error is documented: RFC 6749 section 5.2" => errors,
}

const ISSUER: &str = "http://internalpartner.testing.comm100dev.io";
const PRINTED: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJuYmYiOjE2NTI5MzkzOTEsImV4cCI6MTY1Mjk4MjU5MSwiaXNzIjoiaHR0cDovL2ludGVybmFscGFydG5lci50ZXN0aW5nLmNvbW0xMDBkZXYuaW8iLCJhdWQiOiJpZHMucmVzb3VyY2UuMSIsImNsaWVudF9pZCI6ImRhdGFzeW5jIDEwMDAwIiwic3ViIjoiYmZlYjQ1ZDctNTBkYy00MTZkLWIzYzgtMzVkYjY0ZDI4OGYzIiwiYXV0aF90aW1lIjoxNjUyOTM5MzkxLCJpZHAiOiJsb2NhbCIsInVzZXJJZCI6ImJmZWI0NWQ3LTUwZGMtNDE2ZC1iM2M4LTM1ZGI2NGQyODhmMyIsInBhcnRuZXJJZCI6IjEwMDAwIiwidGh1bWJwcmludCI6Ijk2MTY2Q0EzQjM0QUJGMkQwNERGOTZBMDE1QkJEREQwOUIwQTdDNTkiLCJzdWNjZXNzIjoiVHJ1ZSIsInJvbGUiOiJVc2VyIiwianRpIjoiODVFNzUzQTYwRDY4MzI4MjlEMkU4MDEwNUU3NTAwNjIiLCJpYXQiOjE2NTI5MzkzOTEsInNjb3BlIjpbImlkcy5zY29wZSIsIm9wZW5pZCIsInByb2ZpbGUiLCJvZmZsaW5lX2FjY2VzcyJdLCJhbXIiOlsicHdkIl19.ADZQq2R3-zJl_Bg9jOUREvrXvvmLc669iZSUZhU6oRmd6vu1UXU8VkXgxQZSk4pFxCW7j2UGuDi0jTF27e5W4PzyGWmE-qj9gE-iY9b7PSOPwYENS8rylFwB3dL7f_qlQCbzQ2kUoCoAlIPLqVbQHN76ftMoo57Ge9rg0xOw-BJT4GBKiflgE6dz8ikQhlg7_DAM-JY51Vk7bmsvny356P5Rv5cdJnBvrCCqAJeV-Y5jzUblAKx61HSZE9gBoRhYOprYgK37pw3XMqG9H5BvCr32DSufA0U91rA1sOX945yNLrYAAsDHlMO2-nmEHgOMFrnIOvzsgjnMktcxkR0NQG";

fn printed_response() -> String {
    format!("{{\n\"access_token\": \"{PRINTED}\",\n\"token_type\": \"Bearer\",\n\"expires_in\": 43200\n}}")
}

async fn password() {
    let wire = Wire::with(200, &printed_response());
    let client = wire.client(dialect::comm100(), ClientAuth::none("1d29e6d7-18cf-407d-a064-e4f8c4baefab"));
    let request = grant::password("client1@company.com", "pa55word").parameter("partnerId", "10000");
    client.request(&request).await.unwrap();
    let sent = wire.request(0);
    assert_eq!(sent.uri().to_string(), "https://partner.comm100.io/oauth/token?partnerId=10000");
    let expected = pairs([
        ("grant_type", "password"),
        ("email", "client1@company.com"),
        ("password", "pa55word"),
        ("client_id", "1d29e6d7-18cf-407d-a064-e4f8c4baefab"),
    ]);
    assert_eq!(form(&sent), expected);
}

async fn partner_is_required() {
    let wire = Wire::default();
    let client = wire.client(dialect::comm100(), ClientAuth::none("id-1"));
    let error = client.request(&grant::password("a@b.example", "pa55word")).await.unwrap_err();
    assert_eq!((error.problems()[0].field.as_str(), wire.requests()), ("params.partnerId", 0));
}

async fn user(wire: &Wire) -> Result<oauth_client::manage::comm100::UserInfo, Error> {
    let source = TokenSource::fixed("t0ken-1").unwrap();
    userinfo(&Api::new(wire.http(), source, "https://partner.comm100.io").unwrap()).await
}

async fn userinfo_request() {
    let wire = Wire::with(200, "{}");
    user(&wire).await.unwrap();
    let sent = wire.request(0);
    assert_eq!((sent.method().as_str(), sent.uri().path()), ("GET", "/oauth/userinfo"));
    assert_eq!(sent.headers()["authorization"], "Bearer t0ken-1");
}

async fn token() {
    let tokens = read_as(dialect::comm100(), 200, &printed_response()).await.unwrap();
    assert_eq!(tokens.access_token().expose(), PRINTED);
    assert_eq!(tokens.lifetime(), Some(Duration::from_secs(43_200)));
    assert!(tokens.refresh_token().is_none());
}

async fn user_info() {
    let printed = r#"{"agentId": "f9683b7b-e332-4864-b725-ac6cdc207dbd","siteId": 10115,"role": "AGENT"}"#;
    for body in [printed, &printed.replace("10115", "\"10115\"")] {
        let user = user(&Wire::with(200, body)).await.unwrap();
        assert_eq!(user.agent_id.as_deref(), Some("f9683b7b-e332-4864-b725-ac6cdc207dbd"));
        assert_eq!(user.site_id.as_deref(), Some("10115"));
        assert_eq!(user.role, Some(Role::Agent));
    }
    let other = user(&Wire::with(200, r#"{"role":"JANITOR"}"#)).await.unwrap();
    assert_eq!((other.role, other.site_id), (Some(Role::Other("JANITOR".to_owned())), None));
    let refused = user(&Wire::with(401, "")).await.unwrap_err();
    assert_eq!(refused.code(), "invalid_token");
}

fn part(token: &str, n: usize) -> Value {
    let part = token.split('.').nth(n).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn printed_claims() {
    let (header, claims) = (part(PRINTED, 0), part(PRINTED, 1));
    assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("RS256"), Some("at+jwt")));
    assert_eq!((claims["iss"].as_str(), claims["aud"].as_str()), (Some(ISSUER), Some("ids.resource.1")));
    let scopes: Vec<String> = serde_json::from_value(claims["scope"].clone()).unwrap();
    assert_eq!(scopes, ["ids.scope", "openid", "profile", "offline_access"]);
    let own: Own = serde_json::from_value(claims.clone()).unwrap();
    assert_eq!((own.partner_id.as_str(), own.role), ("10000", Role::User));
    assert_eq!(claims["exp"], 1_652_982_591);
}

/// The claims that are Comm100's own.
#[derive(Deserialize)]
struct Own {
    #[serde(rename = "partnerId")]
    partner_id: String,
    role: Role,
}

/// A guard of an API that takes Comm100's tokens: the issuer is http, so its keys come from elsewhere.
fn guard(server: &MockServer, clock: &TestClock) -> Guard<Own> {
    let issuer = Issuer::new(ISSUER).audience("ids.resource.1").jwks_uri(server.endpoint(Endpoint::Jwks));
    let http = HttpClient::from_service(server.transport());
    Guard::builder().claims::<Own>().issuer(issuer).http(http).clock(clock.clone()).build().unwrap()
}

async fn check(guard: &Guard<Own>, token: &str) -> Result<Claims<Own>, Rejection> {
    let request = Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap();
    let (head, ()) = request.into_parts();
    guard.check(&head).resolve().await.map(|claims| claims.unwrap())
}

async fn token_of(server: &MockServer, clock: &TestClock) -> String {
    let client = oauth_client::Client::builder()
        .provider(dialect::comm100())
        .base_url(server.url())
        .auth(ClientAuth::none("1d29e6d7-18cf-407d-a064-e4f8c4baefab"))
        .http(HttpClient::from_service(server.transport()))
        .clock(clock.clone())
        .build()
        .unwrap();
    let request = grant::password("client1@company.com", "******").parameter("partnerId", "10000");
    client.request(&request).await.unwrap().access_token().expose().to_owned()
}

async fn guarded() {
    let (server, clock) =
        (MockServer::builder().personality(Provider::Comm100).in_process(), TestClock::new());
    let token = token_of(&server, &clock).await;
    let claims = check(&guard(&server, &clock), &token).await.unwrap();
    let scopes: Vec<_> = claims.scopes().collect();
    assert_eq!(scopes, ["ids.scope", "openid", "profile", "offline_access"]);
    assert_eq!((claims.issuer(), claims.client_id()), (ISSUER, Some("1d29e6d7-18cf-407d-a064-e4f8c4baefab")));
    assert_eq!((claims.custom().partner_id.as_str(), &claims.custom().role), ("10000", &Role::User));
    let asks = http::HeaderMap::from_iter([(
        http::header::AUTHORIZATION,
        format!("Bearer {token}").parse().unwrap(),
    )]);
    let status = crate::support::through(guard(&server, &clock).layer(), asks).await;
    assert_eq!(status, 200);
}

async fn printed_token_is_refused() {
    let server = MockServer::builder().personality(Provider::Comm100).in_process();
    let clock = TestClock::new();
    let explained = guard(&server, &clock).explain_fetching(PRINTED).await;
    assert_eq!((explained.code, explained.reason), (Some("invalid_token"), Some("expired")), "{explained}");
    let claim = |name: &str| {
        explained.claims.iter().find(|claim| claim.name == name).map(|claim| claim.value.as_str())
    };
    assert_eq!(
        (claim("exp"), claim("partnerId"), claim("role")),
        (Some("1652982591"), Some("\"10000\""), Some("\"User\""))
    );
    // Both when it was good and long after: no party here has the key it is signed with.
    for clock in [TestClock::at(1_652_940_000), TestClock::new()] {
        let refusal = check(&guard(&server, &clock), PRINTED).await.err().unwrap();
        assert_eq!(refusal.code(), "invalid_token");
        let asks = http::HeaderMap::from_iter([(
            http::header::AUTHORIZATION,
            format!("Bearer {PRINTED}").parse().unwrap(),
        )]);
        assert_eq!(crate::support::through(guard(&server, &clock).layer(), asks).await, 401);
    }
}

async fn expired() {
    let (server, clock) =
        (MockServer::builder().personality(Provider::Comm100).in_process(), TestClock::new());
    let token = token_of(&server, &clock).await;
    let guard = guard(&server, &clock);
    assert!(check(&guard, &token).await.is_ok());
    clock.step_wall(43_200 + 61);
    let refusal = check(&guard, &token).await.err().unwrap();
    assert_eq!((refusal.code(), refusal.reason()), ("invalid_token", "expired"));
}

async fn errors() {
    let error =
        refused(dialect::comm100(), 400, r#"{"error":"invalid_grant","error_description":"no"}"#).await;
    assert_eq!((error.code(), error.description()), ("invalid_grant", Some("no")));
    assert_eq!(refused(dialect::comm100(), 401, "").await.code(), "invalid_client");
}

//! The table of rejections (RFC 6750 section 3): each case through the real layer, with a valid token afterwards.

use crate::support::{Fixture, call, send, send_request};
use bytes::Bytes;
use http::{Request, Version, header};
use http_body_util::Full;
use oauth_guard::Requirement;
use oauth_mock::{Endpoint, Fault};

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_accepted_with_its_claims() {
    let fixture = Fixture::new();
    let reply = call(&fixture.guard(), &fixture.server.mint().subject("ada").build()).await;
    assert_eq!((reply.status, &*reply.body), (200, "ada"));
}

#[tokio::test(start_paused = true)]
async fn every_asymmetric_algorithm_is_accepted_by_default() {
    use oauth_mock::Alg::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    let algorithms = [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512, Es256, Es384, EdDsa];
    let fixture = Fixture::with(&algorithms);
    let guard = fixture.guard();
    for algorithm in algorithms {
        let reply = call(&guard, &fixture.server.mint().alg(algorithm).build()).await;
        assert_eq!(reply.status, 200, "{algorithm:?}");
    }
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), 1);
}

#[tokio::test(start_paused = true)]
async fn no_token_is_challenged_without_an_error_code() {
    let fixture = Fixture::new();
    let guard = fixture
        .builder()
        .issuer(fixture.issuer())
        .realm("orders")
        .resource_metadata("https://api.example.com/.well-known/oauth-protected-resource")
        .build()
        .unwrap();
    let challenge = "Bearer realm=\"orders\", \
                     resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\"";
    for headers in [&[][..], &[&b"Basic YTpi"[..]], &[&b"DPoP a.b.c"[..]]] {
        let reply = send(&guard.layer(), headers).await;
        assert_eq!((reply.status, reply.challenge.as_deref()), (401, Some(challenge)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_request_is_400_and_an_invalid_token_401() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let good = fixture.server.mint().build();
    let header = format!("Bearer {good}");
    let twice = send(&guard.layer(), &[header.as_bytes(), header.as_bytes()]).await;
    assert_eq!(twice.summary(), (400, Some("invalid_request")));
    let no_space = send(&guard.layer(), &[format!("Bearer{good}").as_bytes()]).await;
    assert_eq!(no_space.summary(), (400, Some("invalid_request")));
    let expired = call(&guard, &fixture.server.mint().expires_in(-3600).build()).await;
    assert_eq!(expired.summary(), (401, Some("invalid_token")));
    assert_eq!(call(&guard, &good).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn too_little_scope_is_403_and_names_what_is_needed() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let layer = guard.layer().require(Requirement::scope("read")).require(Requirement::scope("write"));
    let reader = format!("Bearer {}", fixture.server.mint().scope("read readwrite").build());
    let reply = send(&layer, &[reader.as_bytes()]).await;
    assert_eq!(reply.summary(), (403, Some("insufficient_scope")));
    assert!(reply.challenge.unwrap().ends_with("scope=\"read write\""));
    let writer = format!("Bearer {}", fixture.server.mint().scope("write read").build());
    assert_eq!(send(&layer, &[writer.as_bytes()]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn scope_is_never_looked_at_before_the_signature() {
    let fixture = Fixture::new();
    let layer = fixture.guard().layer().require(Requirement::scope("write"));
    let forged = format!("Bearer {}", fixture.server.mint().signature([7; 64]).build());
    assert_eq!(send(&layer, &[forged.as_bytes()]).await.summary(), (401, Some("invalid_token")));
}

#[tokio::test(start_paused = true)]
async fn optional_accepts_a_missing_token_but_no_invalid_one() {
    let fixture = Fixture::new();
    let layer = fixture.guard().layer().optional().require(Requirement::scope("read"));
    assert_eq!(send(&layer, &[]).await.body, "no claims");
    let bad = format!("Bearer {}", fixture.server.mint().scope("read").expires_in(-3600).build());
    assert_eq!(send(&layer, &[bad.as_bytes()]).await.status, 401);
    let good = format!("Bearer {}", fixture.server.mint().subject("ada").scope("read").build());
    assert_eq!(send(&layer, &[good.as_bytes()]).await.body, "ada");
    let poor = format!("Bearer {}", fixture.server.mint().scope("write").build());
    assert_eq!(send(&layer, &[poor.as_bytes()]).await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn missing_keys_are_503_and_never_401() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    fixture.server.fault(Endpoint::Jwks, Fault::status(500)).always();
    let reply = call(&guard, &fixture.server.mint().build()).await;
    assert_eq!((reply.status, reply.challenge), (503, None));
    assert!(reply.retry_after.unwrap().parse::<u64>().unwrap() >= 1);
}

#[tokio::test(start_paused = true)]
async fn the_response_does_not_show_which_check_failed() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let mint = || fixture.server.mint();
    let expired = call(&guard, &mint().expires_in(-3600).build()).await;
    for other in [
        mint().signature([7; 64]).build(),
        mint().kid("unknown").build(),
        mint().audience("another").build(),
        mint().issuer("https://evil.example").build(),
        mint().unsigned().build(),
        mint().claim("cnf", serde_json::json!({"jkt": "x"})).build(),
    ] {
        assert_eq!(call(&guard, &other).await, expired);
    }
    assert!(!expired.challenge.unwrap().contains("expired"));
}

#[tokio::test(start_paused = true)]
async fn grpc_callers_get_a_status_in_the_headers() {
    let fixture = Fixture::new();
    let layer = fixture.guard().layer().require(Requirement::scope("write"));
    let request = |token: Option<String>| {
        let mut request = Request::post("/orders.Orders/List")
            .header(header::CONTENT_TYPE, "application/grpc")
            .version(Version::HTTP_2);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(Full::<Bytes>::default()).unwrap()
    };
    let anonymous = send_request_raw(&layer, request(None)).await;
    assert_eq!((anonymous.0, &*anonymous.1), (200, "16"));
    let poor = send_request_raw(&layer, request(Some(fixture.server.mint().build()))).await;
    assert_eq!((poor.0, &*poor.1), (200, "7"));
    let good = fixture.server.mint().scope("write").build();
    assert_eq!(send_request(&layer, request(Some(good))).await.body, "svc");
}

async fn send_request_raw(layer: &oauth_guard::GuardLayer, request: Request<Full<Bytes>>) -> (u16, String) {
    use tower::{Layer, ServiceExt};
    let service = layer.layer(tower::service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default()))
    }));
    let response = service.oneshot(request).await.unwrap();
    (response.status().as_u16(), response.headers()["grpc-status"].to_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn only_a_grpc_call_is_rejected_in_grpc_and_none_if_switched_off() {
    use tower::{Layer, ServiceExt};
    let fixture = Fixture::new();
    let ask = async |guard: &oauth_guard::Guard, method: &str, version| {
        let service = guard.layer().layer(tower::service_fn(|_: Request<()>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default()))
        }));
        let request = Request::builder().method(method).version(version);
        let request = request.header(header::CONTENT_TYPE, "application/grpc+proto").body(()).unwrap();
        let response = service.oneshot(request).await.unwrap();
        (response.status().as_u16(), response.headers().contains_key("grpc-status"))
    };
    let guard = fixture.guard();
    assert_eq!(ask(&guard, "POST", Version::HTTP_2).await, (200, true));
    // The caller chooses method and content type: neither alone makes a rejection look like a success.
    for method in ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"] {
        assert_eq!(ask(&guard, method, Version::HTTP_2).await, (401, false), "{method}");
    }
    for version in [Version::HTTP_10, Version::HTTP_11] {
        assert_eq!(ask(&guard, "POST", version).await, (401, false), "{version:?}");
    }
    let off = fixture.builder().issuer(fixture.issuer()).grpc(false).build().unwrap();
    assert_eq!(ask(&off, "POST", Version::HTTP_2).await, (401, false));
}

#[tokio::test(start_paused = true)]
async fn every_challenge_has_a_parameter() {
    let fixture = Fixture::new();
    let challenge = async |builder: oauth_guard::GuardBuilder| {
        send(&builder.issuer(fixture.issuer()).build().unwrap().layer(), &[]).await.challenge.unwrap()
    };
    assert_eq!(challenge(fixture.builder()).await, r#"Bearer realm="api""#);
    assert_eq!(challenge(fixture.builder().realm("orders")).await, r#"Bearer realm="orders""#);
    assert_eq!(
        challenge(fixture.builder().resource_metadata("https://a.example/doc")).await,
        r#"Bearer realm="api", resource_metadata="https://a.example/doc""#
    );
    let guard = fixture.guard();
    let invalid = call(&guard, "a.b.c").await.challenge.unwrap();
    assert!(invalid.starts_with(r#"Bearer realm="api", error="invalid_token""#), "{invalid}");
}

#[test]
fn the_debug_of_a_request_head_shows_no_token() {
    let request = Request::get("https://api.example.com/orders?access_token=in-the-query")
        .header(header::AUTHORIZATION, "Bearer in-the-header")
        .header(header::COOKIE, "at=in-the-cookie")
        .body(())
        .unwrap();
    let shown = format!("{:?}", oauth_guard::RequestHead::from(&request));
    assert_eq!(shown, r#"RequestHead { method: GET, version: HTTP/1.1, path: "/orders", .. }"#);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_not_access_tokens_are_accepted_only_if_configured() {
    let fixture = Fixture::new();
    let plain = |typ: &str| fixture.server.mint().typ(typ).without("jti").without("iat").build();
    assert_eq!(call(&fixture.guard(), &plain("JWT")).await.status, 401);
    let lenient = fixture.guard_of(fixture.issuer().profile(oauth_guard::Profile::Jwt));
    assert_eq!(call(&lenient, &plain("JWT")).await.status, 200);
    assert_eq!(call(&lenient, &plain("logout+jwt")).await.status, 401);
}

/// The token that Comm100's page "OAuth API" prints as an example of a response.
pub(crate) const PRINTED: &str = "\
        eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJuYmYiOjE2NTI5MzkzOTEsImV4cCI6MTY1Mjk4MjU5MSwiaXNzIjo\
        iaHR0cDovL2ludGVybmFscGFydG5lci50ZXN0aW5nLmNvbW0xMDBkZXYuaW8iLCJhdWQiOiJpZHMucmVzb3VyY2UuMSIsImN\
        saWVudF9pZCI6ImRhdGFzeW5jIDEwMDAwIiwic3ViIjoiYmZlYjQ1ZDctNTBkYy00MTZkLWIzYzgtMzVkYjY0ZDI4OGYzIiw\
        iYXV0aF90aW1lIjoxNjUyOTM5MzkxLCJpZHAiOiJsb2NhbCIsInVzZXJJZCI6ImJmZWI0NWQ3LTUwZGMtNDE2ZC1iM2M4LTM\
        1ZGI2NGQyODhmMyIsInBhcnRuZXJJZCI6IjEwMDAwIiwidGh1bWJwcmludCI6Ijk2MTY2Q0EzQjM0QUJGMkQwNERGOTZBMDE\
        1QkJEREQwOUIwQTdDNTkiLCJzdWNjZXNzIjoiVHJ1ZSIsInJvbGUiOiJVc2VyIiwianRpIjoiODVFNzUzQTYwRDY4MzI4Mjl\
        EMkU4MDEwNUU3NTAwNjIiLCJpYXQiOjE2NTI5MzkzOTEsInNjb3BlIjpbImlkcy5zY29wZSIsIm9wZW5pZCIsInByb2ZpbGU\
        iLCJvZmZsaW5lX2FjY2VzcyJdLCJhbXIiOlsicHdkIl19.ADZQq2R3-zJl_Bg9jOUREvrXvvmLc669iZSUZhU6oRmd6vu1UX\
        U8VkXgxQZSk4pFxCW7j2UGuDi0jTF27e5W4PzyGWmE-qj9gE-iY9b7PSOPwYENS8rylFwB3dL7f_qlQCbzQ2kUoCoAlIPLqV\
        bQHN76ftMoo57Ge9rg0xOw-BJT4GBKiflgE6dz8ikQhlg7_DAM-JY51Vk7bmsvny356P5Rv5cdJnBvrCCqAJeV-Y5jzUblAK\
        x61HSZE9gBoRhYOprYgK37pw3XMqG9H5BvCr32DSufA0U91rA1sOX945yNLrYAAsDHlMO2-nmEHgOMFrnIOvzsgjnMktcxkR\
        0NQG";

#[tokio::test(start_paused = true)]
async fn a_token_printed_in_a_providers_page_is_rejected() {
    let fixture = Fixture::new();
    let printed = oauth_guard::Issuer::new("http://internalpartner.testing.comm100dev.io")
        .audience("ids.resource.1")
        .jwks_json(fixture.with_rsa_keys());
    let check = async |guard: oauth_guard::Guard| {
        let bearer = format!("Bearer {PRINTED}");
        let request = Request::get("/").header(header::AUTHORIZATION, bearer).body(()).unwrap();
        guard.check(&request).resolve().await.unwrap_err()
    };
    let rejection = check(fixture.guard_of(printed.clone())).await;
    assert_eq!((rejection.code(), rejection.reason()), ("invalid_token", "expired"));
    // On the day it was issued only the signature is invalid: its last character has bits set that no encoder
    // sets, so it was edited before it was printed.
    let then = fixture.builder().clock(oauth_guard::clock::TestClock::at(1_652_939_400)).issuer(printed);
    let rejection = check(then.build().unwrap()).await;
    assert_eq!((rejection.code(), rejection.reason()), ("invalid_token", "token_malformed"));
}

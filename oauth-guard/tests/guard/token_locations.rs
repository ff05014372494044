//! Where a request may carry its token.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use oauth_guard::{Guard, GuardBuilder};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::Fixture;

type Headers<'a> = &'a [(&'a str, &'a str)];

/// The status of a request, and what the service saw of it.
async fn ask(guard: &Guard, uri: &str, headers: Headers<'_>) -> (u16, String) {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let service = guard.layer().layer(service_fn(|request: Request<Full<Bytes>>| async move {
        let mut seen = vec![request.uri().to_string()];
        for (name, value) in request.headers() {
            seen.push(format!("{name}={value:?}"));
        }
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(seen.join("|")))))
    }));
    let response = service.oneshot(request.body(Full::default()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn everywhere(fixture: &Fixture) -> GuardBuilder {
    fixture
        .builder()
        .issuer(fixture.issuer())
        .token_header("X-Access-Token")
        .token_cookie("at")
        .danger_accept_query_parameter("access_token")
}

#[tokio::test(start_paused = true)]
async fn only_the_authorization_header_counts_unless_more_is_configured() {
    let fixture = Fixture::new();
    let token = fixture.server.mint().build();
    let (cookie, uri) = (format!("at={token}"), format!("/?access_token={token}"));
    let elsewhere: [(&str, Headers<'_>); 3] =
        [("/", &[("x-access-token", &token)]), ("/", &[("cookie", &cookie)]), (&uri, &[])];
    for (uri, headers) in elsewhere {
        assert_eq!(ask(&fixture.guard(), uri, headers).await.0, 401);
        assert_eq!(ask(&everywhere(&fixture).build().unwrap(), uri, headers).await.0, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_in_two_places_is_a_malformed_request() {
    let fixture = Fixture::new();
    let guard = everywhere(&fixture).build().unwrap();
    let token = fixture.server.mint().build();
    let (bearer, cookie) = (format!("Bearer {token}"), format!("a=b; at={token}"));
    let uri = format!("/?access_token={token}&x=1");
    let twice = format!("at={token}; at={token}");
    let uri_twice = format!("/?access_token={token}&access_token={token}");
    let cases: [(&str, Headers<'_>); 9] = [
        ("/", &[("authorization", &bearer), ("x-access-token", &token)]),
        ("/", &[("authorization", &bearer), ("cookie", &cookie)]),
        (&uri, &[("authorization", &bearer)]),
        ("/", &[("x-access-token", &token), ("cookie", &cookie)]),
        (&uri, &[("cookie", &cookie)]),
        ("/", &[("x-access-token", &token), ("x-access-token", &token)]),
        ("/", &[("cookie", &twice)]),
        ("/", &[("cookie", &cookie), ("cookie", &cookie)]),
        (&uri_twice, &[]),
    ];
    for (number, (uri, headers)) in cases.into_iter().enumerate() {
        let (status, body) = ask(&guard, uri, headers).await;
        let start = r#"{"error":"invalid_request","error_description":"the request has more than one "#;
        assert!(status == 400 && body.starts_with(start), "{number}: {status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn cookies_and_parameters_are_found_among_others_by_their_whole_name() {
    let fixture = Fixture::new();
    let guard = everywhere(&fixture).build().unwrap();
    let token = fixture.server.mint().build();
    for cookie in [
        format!("a=b; at={token}; c=d"),
        format!("at=\"{token}\""),
        format!("xat=1;at={token}"),
        format!("at=; at={token}"),
    ] {
        assert_eq!(ask(&guard, "/", &[("cookie", &cookie)]).await.0, 200, "{cookie}");
    }
    // HTTP/2 may split the header.
    let (one, other) = (("cookie", "a=b"), format!("at={token}"));
    assert_eq!(ask(&guard, "/", &[one, ("cookie", &other)]).await.0, 200);
    for cookie in [format!("xat={token}"), format!("at2={token}"), "at=".into(), format!("AT={token}")] {
        assert_eq!(ask(&guard, "/", &[("cookie", &cookie)]).await.0, 401, "{cookie}");
    }
    let spelled = token.replace('.', "%2E");
    assert_eq!(ask(&guard, &format!("/?a=b&access_token={spelled}"), &[]).await.0, 200);
    assert_eq!(ask(&guard, &format!("/?xaccess_token={token}"), &[]).await.0, 401);
    // Another scheme is no token; an empty header is malformed.
    let basic = ("authorization", "Basic YTpi");
    assert_eq!(ask(&guard, "/", &[basic, ("x-access-token", &token)]).await.0, 200);
    assert_eq!(ask(&guard, "/", &[("x-access-token", "")]).await.0, 400);
    assert_eq!(ask(&guard, "/", &[("x-access-token", &format!("Bearer {token}"))]).await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn the_token_is_redacted_or_stripped_at_every_location() {
    let fixture = Fixture::new();
    let token = fixture.server.mint().build();
    let (bearer, cookie) = (format!("Bearer {token}"), format!("a=b; at={token}; c=d"));
    let uri = format!("/path?a=b&access_token={token}&c=d");
    let covering = everywhere(&fixture).build().unwrap();
    let taking = everywhere(&fixture).strip_token().build().unwrap();
    let cases: [(&str, Headers<'_>, &str, &str); 4] = [
        ("/", &[("authorization", &bearer)], "/|authorization=Sensitive", "/"),
        ("/", &[("x-access-token", &token)], "/|x-access-token=Sensitive", "/"),
        ("/", &[("cookie", &cookie)], "/|cookie=Sensitive", "/|cookie=Sensitive"),
        (&uri, &[], &uri, "/path?a=b&c=d"),
    ];
    for (uri, headers, covered, taken) in cases {
        assert_eq!(ask(&covering, uri, headers).await, (200, covered.to_owned()));
        assert_eq!(ask(&taking, uri, headers).await, (200, taken.to_owned()));
    }
    assert_eq!(ask(&taking, "/", &[("cookie", &format!("at={token}"))]).await, (200, "/".into()));
    assert_eq!(ask(&taking, &format!("/?access_token={token}"), &[]).await, (200, "/".into()));
    // The guard removes nothing from a request without a token.
    let optional = taking.layer().optional().layer(service_fn(|request: Request<Full<Bytes>>| async move {
        assert_eq!(request.headers()[header::AUTHORIZATION], "Basic YTpi");
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let basic = Request::get("/").header(header::AUTHORIZATION, "Basic YTpi").body(Full::default()).unwrap();
    assert_eq!(optional.oneshot(basic).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn on_a_public_route_every_bearer_token_is_stripped_or_redacted_and_other_credentials_stay() {
    let fixture = Fixture::new();
    let public = || everywhere(&fixture).rule(oauth_guard::Rule::new("/{*rest}").public());
    let (stripping, keeping) = (public().strip_token().build().unwrap(), public().build().unwrap());
    let (basic, bearer) = (("authorization", "Basic YTpi"), ("authorization", "Bearer a.b.c"));
    let cases: [(Headers<'_>, &str); 9] = [
        (&[bearer, bearer], ""),
        (&[basic, bearer], "|authorization=Sensitive"),
        (&[bearer, basic], "|authorization=Sensitive"),
        (&[basic], "|authorization=Sensitive"),
        (&[("authorization", "Bearera.b.c")], ""),
        (&[("authorization", "Basic YTpi, bearer a.b.c")], ""),
        (&[("authorization", "Bearers a.b.c")], "|authorization=Sensitive"),
        (&[("x-access-token", "a.b.c"), ("x-access-token", "d.e.f")], ""),
        (&[("cookie", "at=a.b.c; x=y; at=d.e.f")], "|cookie=Sensitive"),
    ];
    for (headers, left) in cases {
        assert_eq!(
            ask(&stripping, "/?access_token=a.b.c", headers).await,
            (200, format!("/{left}")),
            "{headers:?}"
        );
        let kept = ask(&keeping, "/", headers).await.1;
        assert!(!kept.contains("a.b.c") && kept.matches("Sensitive").count() == headers.len(), "{kept}");
    }
}

/// `Debug` of what is handed on shows no credentials, also where they are none of this guard's.
#[tokio::test(start_paused = true)]
async fn without_a_token_of_the_guards_other_credentials_are_redacted_too() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let optional = guard.layer().optional().layer(service_fn(|request: Request<Full<Bytes>>| async move {
        assert!(request.headers().contains_key(header::AUTHORIZATION));
        assert!(!format!("{request:?}").contains("secret"), "{request:?}");
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    for credentials in ["DPoP secret", "Basic secret", "Bearers secret", "secret"] {
        let request = Request::get("/").header(header::AUTHORIZATION, credentials);
        let response = optional.clone().oneshot(request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200, "{credentials}");
    }
}

#[tokio::test(start_paused = true)]
async fn basic_credentials_stay_beside_a_token_that_is_stripped() {
    let fixture = Fixture::new();
    let guard = everywhere(&fixture).strip_token().build().unwrap();
    let token = fixture.server.mint().build();
    let headers = [("authorization", "Basic YTpi"), ("x-access-token", &*token)];
    assert_eq!(ask(&guard, "/", &headers).await, (200, "/|authorization=Sensitive".into()));
}

#[test]
fn invalid_names_are_rejected_at_build() {
    let fixture = Fixture::new();
    let fields = |builder: GuardBuilder| {
        let error = builder.issuer(fixture.issuer()).build().map(|_| ()).unwrap_err();
        error.problems().iter().map(|problem| problem.field.clone()).collect::<Vec<_>>()
    };
    assert_eq!(fields(fixture.builder().token_header("authorization")), ["token_header"]);
    assert_eq!(fields(fixture.builder().token_header("two words")), ["token_header"]);
    assert_eq!(fields(fixture.builder().token_header("cookie")), ["token_header"]);
    assert_eq!(fields(fixture.builder().token_cookie("")), ["token_cookie"]);
    assert_eq!(fields(fixture.builder().token_cookie("a=b")), ["token_cookie"]);
    assert_eq!(fields(fixture.builder().danger_accept_query_parameter("")), ["token_query"]);
}

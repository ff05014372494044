//! What the log contains, and what it never contains.

use std::time::Duration;

use oauth_guard::{Guard, Issuer, RejectionBody, Requirement};
use oauth_mock::{Endpoint, Fault};
use serde_json::json;
use tokio::time::advance;

use crate::log::Log;
use crate::support::{Fixture, call, send};

#[tokio::test(start_paused = true)]
async fn rejections_are_logged_with_code_reason_issuer_and_key_id_and_nothing_of_the_token() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let layer = guard.layer().require(Requirement::scope("write"));
    let mint = || {
        fixture
            .server
            .mint()
            .subject("subject-of-the-token")
            .client_id("client-of-the-token")
            .claim("tenant", "tenant-of-the-token")
    };
    assert_eq!(call(&guard, &mint().build()).await.status, 200);
    let kid = fixture.server.keys().current().kid().to_owned();
    let lines = Log::listen();
    let known = format!("issuer=\"{}\" key_id=\"{kid}\"", fixture.server.issuer());
    let cases = [
        (mint().expires_in(-3600).build(), "invalid_token", "expired", known.as_str()),
        (mint().audience("audience-of-the-token").build(), "invalid_token", "audience_mismatch", &known),
        (mint().signature([7; 64]).build(), "invalid_token", "signature_invalid", &known),
        (mint().build(), "insufficient_scope", "insufficient_scope", &known),
        (mint().kid("new\nline").build(), "invalid_token", "key_unknown", "key_id=\"new\\\\nline\""),
        (mint().issuer("https://evil.example/\u{7}").build(), "invalid_token", "issuer_unknown", "\\\\u{7}"),
        ("a.b.c".into(), "invalid_token", "token_malformed", ""),
        ("a b".into(), "invalid_request", "invalid_request", ""),
    ];
    for (token, code, reason, origin) in cases {
        let reply = send(&layer, &[format!("Bearer {token}").as_bytes()]).await;
        let said = lines.take();
        let line = said.lines().find(|line| line.contains(&format!("reason=\"{reason}\"")));
        let line = line.unwrap_or_else(|| panic!("{reason}: {said}"));
        assert!(line.contains(&format!("code=\"{code}\"")) && line.contains(origin), "{origin}: {line}");
        for part in token.split('.').filter(|part| part.len() > 8) {
            assert!(!said.contains(part), "a part of the token: {said}");
        }
        assert!(!said.contains("-of-the-token"), "a claim: {said}");
        assert!(reply.leaks_nothing(Some(&token)));
    }
    assert_eq!(send(&layer, &[]).await.status, 401);
    assert!(lines.take().contains("code=\"missing_token\""));
}

#[tokio::test(start_paused = true)]
async fn the_first_rejection_of_each_reason_is_a_warning_that_says_what_to_change() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let lines = Log::listen();
    let id_token = || fixture.server.mint().typ("JWT").build();
    let foreign = || fixture.server.mint().audience("another-api").build();
    for minute in 0..3 {
        for (token, reason, change) in [
            (id_token(), "type_mismatch", "profile = \"jwt\""),
            (foreign(), "audience_mismatch", "set audience of the issuer"),
            ("a.b.c".to_owned(), "token_malformed", "[issuer.introspection]"),
        ] {
            assert_eq!(call(&guard, &token).await.status, 401);
            let said = lines.take().replace('\\', "");
            let warned = warnings(&said);
            assert!(
                warned.len() == 1 && warned[0].contains(&format!("reason=\"{reason}\"")),
                "{minute} {said}"
            );
            assert!(
                warned[0].contains(change) && warned[0].contains("code=\"invalid_token\""),
                "{}",
                warned[0]
            );
            assert_eq!(warned[0].contains("typ=\"JWT\""), reason == "type_mismatch", "{}", warned[0]);
        }
        // The rest of the minute, however many, and over a reload.
        guard.reload(fixture.builder().issuer(fixture.issuer())).unwrap();
        lines.take();
        for _ in 0..100 {
            assert_eq!(call(&guard, &id_token()).await.status, 401);
        }
        let said = lines.take();
        assert!(warnings(&said).is_empty(), "{said}");
        assert!(said.matches("type_mismatch").count() >= 100, "at debug level");
        advance(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_warning_names_the_scopes_that_were_needed_or_that_it_was_something_else() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let lines = Log::listen();
    for (requirement, needed, change) in [
        (Requirement::scope("write"), Some("needed=\"write\""), "the scopes of the challenge"),
        (Requirement::claim("tenant", "acme"), None, "a role or another claim"),
    ] {
        let layer = guard.layer().require(requirement);
        let token = fixture.server.mint().scope("read").build();
        assert_eq!(send(&layer, &[format!("Bearer {token}").as_bytes()]).await.status, 403);
        let said = lines.take().replace('\\', "");
        let warned = warnings(&said);
        assert!(warned.len() == 1 && warned[0].contains(change), "{said}");
        assert!(needed.map_or(!said.contains("needed="), |needed| warned[0].contains(needed)), "{said}");
        advance(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_warning_names_the_claim_that_does_not_fit_and_not_its_value() {
    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Mine {
        level: u8,
    }
    let fixture = Fixture::new();
    let guard = fixture.builder().claims::<Mine>().issuer(fixture.issuer()).build().unwrap();
    let lines = Log::listen();
    let good = fixture.server.mint().claim("level", 7).build();
    let misfit = fixture.server.mint().claim("level", "a secret").build();
    for (token, status) in [(good, 200), (misfit, 401)] {
        let sent = send(&guard.layer(), &[format!("Bearer {token}").as_bytes()]).await;
        assert_eq!(sent.status, status);
    }
    let said = lines.take();
    let warned = warnings(&said);
    assert!(
        warned.len() == 1 && warned[0].contains("misfit=\"the claim `level`: the type expects u8\""),
        "{said}"
    );
    assert!(!said.contains("a secret"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn text_of_the_caller_is_cut() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let lines = Log::listen();
    let long = format!("https://evil.example/{}", "x".repeat(1000));
    assert_eq!(call(&guard, &fixture.server.mint().issuer(long).build()).await.status, 401);
    assert!(!lines.take().contains(&"x".repeat(100)));
}

fn warnings(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect()
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_one_warning_for_each_fetch_and_none_for_each_request() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let lines = Log::listen();
    fixture.server.fault(Endpoint::Jwks, Fault::status(500)).always();
    for _ in 0..100 {
        assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 503);
    }
    let said = lines.take();
    assert!(said.contains("code=\"keys_unavailable\""));
    let warned = warnings(&said);
    assert!(warned.len() == 1 && warned[0].contains("keys could not be fetched"), "{warned:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broken_key_is_warned_of_once_and_a_key_for_others_never() {
    let fixture = Fixture::new();
    let keys = fixture.server.keys();
    keys.add_raw(json!({"kty": "RSA", "use": "enc", "kid": "for-encryption", "n": "AQAB", "e": "AQAB"}));
    keys.add_raw(json!({"kty": "EC", "crv": "secp256k1", "kid": "for-others", "x": "AA", "y": "AA"}));
    let guard = fixture.guard();
    let lines = Log::listen();
    let refresh = async || {
        advance(Duration::from_secs(601)).await;
        assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
        lines.take()
    };
    let said = refresh().await;
    assert!(said.contains("for-encryption") && said.contains("for-others"), "{said}");
    assert_eq!(warnings(&said), Vec::<&str>::new());
    keys.add_raw(json!({"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"}));
    let said = refresh().await;
    assert!(warnings(&said).len() == 1 && warnings(&said)[0].contains("short"), "{said}");
    assert_eq!(warnings(&refresh().await), Vec::<&str>::new(), "no news");
    keys.add_raw(json!({"kty": "RSA", "kid": "another", "n": "AQAB", "e": "AQAB"}));
    assert_eq!(warnings(&refresh().await).len(), 2, "what is broken by now");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_is_down_is_one_warning_a_second() {
    let fixture = Fixture::new();
    let guard = fixture
        .builder()
        .resolve_issuers(|_| async { Err::<Option<Issuer>, _>("the database is unavailable") });
    let guard = guard.build().unwrap();
    let lines = Log::listen();
    for n in 0..100 {
        let token = fixture.server.mint().issuer(format!("https://{n}.example")).build();
        assert_eq!(call(&guard, &token).await.status, 503);
    }
    assert_eq!(warnings(&lines.take()).len(), 1);
    advance(Duration::from_secs(1)).await;
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 503);
    assert_eq!(warnings(&lines.take()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hook_supplies_body_and_headers_and_never_status_or_challenge() {
    use http::{HeaderName, HeaderValue, Request, header};
    use tower::{Layer, ServiceExt, service_fn};
    let fixture = Fixture::new();
    let guard = fixture
        .builder()
        .issuer(fixture.issuer())
        .on_rejection(|rejection| {
            let forged = [
                "www-authenticate",
                "retry-after",
                "cache-control",
                "grpc-status",
                "grpc-message",
                "content-length",
                "transfer-encoding",
                "connection",
                "content-type",
            ];
            let body =
                RejectionBody::new(HeaderValue::from_static("text/x-own"), format!("<{}>", rejection.code()))
                    .header(HeaderName::from_static("x-own"), HeaderValue::from_static("1"))
                    .header(HeaderName::from_static("x-own"), HeaderValue::from_static("2"));
            forged.into_iter().fold(body, |body, name| {
                body.header(HeaderName::from_static(name), HeaderValue::from_static("forged"))
            })
        })
        .build()
        .unwrap();
    let ask = async |content_type: &'static str| {
        let service = guard.layer().layer(service_fn(|_: Request<()>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(
                http_body_util::Empty::<bytes::Bytes>::new(),
            ))
        }));
        let request =
            Request::post("/").version(http::Version::HTTP_2).header(header::CONTENT_TYPE, content_type);
        let request = request.body(()).unwrap();
        let (head, body) = service.oneshot(request).await.unwrap().into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        assert!(head.headers.values().all(|value| value != "forged"), "{:?}", head.headers);
        assert_eq!(head.headers.get_all("x-own").iter().count(), 2);
        assert_eq!(head.headers[header::WWW_AUTHENTICATE], r#"Bearer realm="api""#);
        assert_eq!(head.headers[header::CACHE_CONTROL], "no-store");
        let kind = head.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        (head.status.as_u16(), kind, String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(ask("application/json").await, (401, "text/x-own".into(), "<missing_token>".into()));
    assert_eq!(ask("application/grpc").await, (200, "application/grpc".into(), String::new()));
}

#[tokio::test(start_paused = true)]
async fn a_warning_about_a_missing_token_says_what_is_there_in_its_place() {
    use http::{Method, Request};

    const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl";
    let fixture = Fixture::new();
    let lines = Log::listen();
    for (headers, change) in [
        (vec![("authorization", format!("DPoP {TOKEN}"))], "set [dpop]"),
        (vec![("authorization", TOKEN.to_owned())], "write `Bearer `"),
        (vec![("authorization", format!("Token {TOKEN}"))], "has to send `Authorization: Bearer`"),
        (
            vec![
                ("origin", "https://app.example.com".to_owned()),
                ("access-control-request-method", "PUT".to_owned()),
            ],
            "allow_preflight",
        ),
        (vec![("origin", "https://app.example.com".to_owned())], "has to send `Authorization: Bearer`"),
        (
            // What a proxy adds to another request makes no preflight request of it.
            vec![
                ("origin", "https://app.example.com".to_owned()),
                ("access-control-request-method", "PUT".to_owned()),
                ("x-method", "GET".to_owned()),
            ],
            "has to send `Authorization: Bearer`",
        ),
        (vec![], "has to send `Authorization: Bearer`"),
    ] {
        let guard = fixture.guard();
        let mut request = Request::new(http_body_util::Full::<bytes::Bytes>::default());
        let is_get = headers.iter().any(|(name, _)| *name == "x-method");
        *request.method_mut() = if is_get { Method::GET } else { Method::OPTIONS };
        for (name, value) in &headers {
            request.headers_mut().append(*name, value.try_into().unwrap());
        }
        let explained = guard.explain_request(&request);
        assert!(explained.change.unwrap().contains(change), "{explained}");
        let reply = crate::support::send_request(&guard.layer(), request).await;
        assert_eq!(reply.status, 401);
        let said = lines.take();
        let warned = warnings(&said);
        assert!(warned.len() == 1 && warned[0].contains("missing_token"), "{said}");
        assert!(warned[0].contains(change), "{headers:?}: {said}");
        let parts = TOKEN.split('.').chain([TOKEN]);
        assert!(parts.into_iter().all(|part| !said.contains(part)), "a part of the token: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_of_revocations_that_is_not_there_says_what_to_do() {
    let fixture = Fixture::new();
    let file = std::env::temp_dir().join(format!("oauth-guard-{}-no-file.jsonl", std::process::id()));
    let settings = oauth_guard::revocation::RevocationSettings::new().file(file);
    let guard = fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap();
    let lines = Log::listen();
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 503);
    let said = lines.take().replace('\\', "");
    let warned: Vec<_> =
        warnings(&said).into_iter().filter(|line| line.contains("revocations_unavailable")).collect();
    assert_eq!(warned.len(), 1, "{said}");
    for part in ["change=", "empty is fine", "on_outage = \"serve\""] {
        assert!(warned[0].contains(part), "{part}: {said}");
    }
}

#[test]
fn the_warning_about_a_name_of_no_tenant_has_no_password() {
    let lines = Log::listen();
    for name in
        ["https://us3r:s3cr3t@login.microsoftonline.com/common/v2.0", "https://us3r:s3cr3t@[x/common/v2.0"]
    {
        let error =
            Guard::builder().issuer(Issuer::new(name).audience("api")).build().map(|_| ()).unwrap_err();
        assert_eq!(error.problems()[0].field, "issuer[0].issuer");
        let said = lines.take();
        assert!(said.contains("Microsoft Entra"), "{said}");
        assert!(!said.contains("s3cr3t") && !error.to_string().contains("s3cr3t"), "{said} {error}");
    }
}

#[test]
fn the_url_of_metadata_as_a_name_is_a_warning_where_keys_are_elsewhere() {
    let lines = Log::listen();
    let issuer = Issuer::new("https://auth.example.com/.well-known/openid-configuration").audience("api");
    Guard::builder().issuer(issuer.jwks_uri("https://auth.example.com/jwks")).build().unwrap();
    let said = lines.take();
    let warned = warnings(&said);
    assert!(warned.len() == 1 && warned[0].contains("meant=\"https://auth.example.com\""), "{said}");
}

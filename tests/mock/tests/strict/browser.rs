//! Pages, cookies and what other pages can make a browser do.

use std::sync::{Arc, Barrier};
use std::thread;

use http::{Request, StatusCode};
use http_body_util::Full;
use oauth_mock::{Endpoint, GrantType, MockClient, MockServer, User};
use serde_json::{Value, json};

use crate::support::flow::*;
use crate::support::*;

const EVIL: &str = "https://evil.test";
const GOODBYE: &str = "https://app.test/bye";

fn server() -> MockServer {
    let grants = [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::DeviceCode];
    let app = MockClient::new("app").grants(grants).redirect_uri(CALLBACK).post_logout_redirect_uri(GOODBYE);
    let other = MockClient::new("other").grants(grants).redirect_uri(CALLBACK).scopes(["openid", "read"]);
    MockServer::builder()
        .client(app.scopes(["openid", "read", "write", "offline_access"]))
        .client(other)
        .client(MockClient::default())
        .user(User::new("alice", "wonderland").subject("u-1"))
        .user(User::new("bob", "builder").subject("u-2"))
        .issuer("tenant-a")
        .in_process()
}

/// Posts a form as a browser with these headers does.
async fn submit(server: &MockServer, url: &str, form: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = form_request(url, None, form);
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    send(server, request).await.unwrap()
}

/// Logs a user in at the page; gives the browser's cookie and where it went.
async fn sign_in(server: &MockServer, user: &str, password: &str) -> (String, String) {
    let form = format!("{}&username={user}&password={password}&decision=allow", request(&[]));
    let back = submit(server, &server.endpoint(Endpoint::Authorize), &form, &[]).await;
    let cookie = back.header("set-cookie").split(';').next().unwrap().to_owned();
    (cookie, back.header("location").to_owned())
}

async fn redeemed(server: &MockServer, location: &str) -> Reply {
    post(server, Endpoint::Token, None, &redemption(&parameter(location, "code").unwrap())).await
}

async fn silently(server: &MockServer, cookie: &str, change: &[(&str, Option<&str>)]) -> String {
    let url = authorize_url(server, &[&[("prompt", Some("none"))], change].concat());
    let back = browse(server, &url, cookie).await.header("location").to_owned();
    parameter(&back, "error").unwrap_or_default()
}

#[tokio::test]
async fn no_form_of_another_page_is_taken() {
    let server = server();
    let (cookie, _) = sign_in(&server, "alice", "wonderland").await;
    let own = server.url().to_owned();
    let consent = format!("{}&decision=allow", request(&[]));
    let log_in = format!("{}&username=alice&password=wonderland&decision=allow", request(&[]));
    let device = post(&server, Endpoint::DeviceAuthorization, None, "client_id=app").await.json();
    let device = format!("user_code={}&decision=allow", device["user_code"].as_str().unwrap());
    for (endpoint, form) in [
        (Endpoint::Authorize, &consent),
        (Endpoint::Authorize, &log_in),
        (Endpoint::Device, &device),
        (Endpoint::EndSession, &"decision=allow".to_owned()),
    ] {
        let url = server.endpoint(endpoint);
        for foreign in [
            ("origin", EVIL),
            ("origin", "null"),
            ("origin", &own.replace("https:", "http:")),
            ("origin", &format!("{own}.evil.test")),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let refused = submit(&server, &url, form, &[("cookie", &cookie), foreign]).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{endpoint:?} {foreign:?}");
            assert_eq!((refused.header("location"), refused.header("set-cookie")), ("", ""), "{foreign:?}");
        }
        let torn = [("cookie", &*cookie), ("origin", &*own), ("origin", EVIL)];
        assert_eq!(submit(&server, &url, form, &torn).await.status, StatusCode::FORBIDDEN);
        let good = [("cookie", &*cookie), ("origin", &*own), ("sec-fetch-site", "same-origin")];
        let taken = submit(&server, &url, form, &good).await;
        assert!(
            taken.status == StatusCode::OK || taken.status == StatusCode::SEE_OTHER,
            "{endpoint:?} {taken:?}"
        );
    }
}

#[tokio::test]
async fn without_asking_a_client_gets_what_the_user_has_allowed_it_before() {
    let server = server();
    let (cookie, _) = sign_in(&server, "alice", "wonderland").await;
    assert_eq!(silently(&server, &cookie, &[]).await, "");
    assert_eq!(silently(&server, &cookie, &[("client_id", Some("other"))]).await, "consent_required");
    assert_eq!(silently(&server, &cookie, &[("scope", Some("openid write"))]).await, "consent_required");
    assert_eq!(silently(&server, &cookie, &[("scope", Some("read"))]).await, "");
    let (bob, _) = sign_in(&server, "bob", "builder").await;
    assert_eq!(silently(&server, &bob, &[("client_id", Some("other"))]).await, "consent_required");

    let form = format!("{}&decision=allow", request(&[("client_id", Some("other"))]));
    submit(&server, &server.endpoint(Endpoint::Authorize), &form, &[("cookie", &cookie)]).await;
    assert_eq!(silently(&server, &cookie, &[("client_id", Some("other"))]).await, "");
    server.reset();
    let (cookie, _) = sign_in(&server, "bob", "builder").await;
    assert_eq!(silently(&server, &cookie, &[("client_id", Some("other"))]).await, "consent_required");
}

#[tokio::test]
async fn a_hint_says_who_must_be_logged_in() {
    let server = server();
    let (alice, location) = sign_in(&server, "alice", "wonderland").await;
    let (bob, _) = sign_in(&server, "bob", "builder").await;
    let hint = redeemed(&server, &location).await.json()["id_token"].as_str().unwrap().to_owned();
    let hinted = [("id_token_hint", Some(hint.as_str()))];
    assert_eq!(silently(&server, &alice, &hinted).await, "");
    assert_eq!(silently(&server, &bob, &hinted).await, "login_required");
    assert_eq!(silently(&server, &alice, &[("id_token_hint", Some("x.y.z"))]).await, "invalid_request");

    let url = authorize_url(&server, &hinted);
    assert!(
        browse(&server, &url, &bob).await.text().contains(r#"type="password""#),
        "bob is not asked to consent"
    );
    assert!(browse(&server, &url, &alice).await.text().contains("Signed in as <strong>alice</strong>"));
    assert_eq!(parameter(&server.log_in(&url, "bob").unwrap(), "error").unwrap(), "login_required");
    assert!(parameter(&server.log_in(&url, "alice").unwrap(), "code").is_some());
    let form = format!("{}&username=bob&password=builder&decision=allow", request(&hinted));
    let back = submit(&server, &server.endpoint(Endpoint::Authorize), &form, &[]).await;
    assert_eq!(parameter(back.header("location"), "error").unwrap(), "login_required");
}

#[tokio::test]
async fn logging_out_asks_unless_a_hint_is_about_this_session() {
    let server = server();
    let (alice, location) = sign_in(&server, "alice", "wonderland").await;
    let (bob, bobs) = sign_in(&server, "bob", "builder").await;
    let hint_of = |reply: Reply| reply.json()["id_token"].as_str().unwrap().to_owned();
    let alices = hint_of(redeemed(&server, &location).await);
    let bobs = hint_of(redeemed(&server, &bobs).await);
    let logout = server.endpoint(Endpoint::EndSession);
    let back = format!("post_logout_redirect_uri={}&client_id=app", encoded(GOODBYE));

    for query in
        [String::new(), back.clone(), format!("id_token_hint={bobs}"), format!("id_token_hint={bobs}&{back}")]
    {
        let page = browse(&server, &format!("{logout}?{query}"), &alice).await;
        assert_eq!(
            (page.status, page.header("location"), page.header("set-cookie")),
            (StatusCode::OK, "", "")
        );
        assert!(page.text().contains("Do you want to sign out?"), "{query}");
        let posted = submit(&server, &logout, &query, &[("cookie", &alice), ("origin", EVIL)]).await;
        assert!(posted.text().contains("Do you want to sign out?"), "{query}");
    }
    // A decision in a URL is none.
    assert!(
        browse(&server, &format!("{logout}?decision=allow"), &alice).await.text().contains("Do you want")
    );
    assert_eq!(silently(&server, &alice, &[]).await, "", "nothing has ended");
    assert_eq!(silently(&server, &bob, &[]).await, "", "and nothing of bob's");
    let stays = submit(&server, &logout, &format!("{back}&decision=deny"), &[("cookie", &alice)]).await;
    assert!(stays.text().contains("Still signed in"));
    assert_eq!(silently(&server, &alice, &[]).await, "");

    let left = submit(&server, &logout, &format!("{back}&decision=allow"), &[("cookie", &alice)]).await;
    assert_eq!(left.header("location"), GOODBYE);
    assert_eq!(silently(&server, &alice, &[]).await, "login_required");
    // Of the same user, of an earlier session: nothing to ask.
    let (again, _) = sign_in(&server, "alice", "wonderland").await;
    let out = browse(&server, &format!("{logout}?id_token_hint={alices}"), &again).await;
    assert!(out.text().contains("Signed out"));
    assert_eq!(silently(&server, &again, &[]).await, "login_required");
}

#[tokio::test]
async fn what_waits_to_be_fetched_ends_with_its_session() {
    let server = server();
    let (cookie, location) = sign_in(&server, "alice", "wonderland").await;
    let device = post(&server, Endpoint::DeviceAuthorization, None, "client_id=app").await.json();
    let form = format!("user_code={}&decision=allow", device["user_code"].as_str().unwrap());
    let done = submit(&server, &server.endpoint(Endpoint::Device), &form, &[("cookie", &cookie)]).await;
    assert!(done.text().contains("Device connected"));
    submit(&server, &server.endpoint(Endpoint::EndSession), "decision=allow", &[("cookie", &cookie)]).await;
    assert_eq!(redeemed(&server, &location).await.error(), "invalid_grant");
    let form = format!(
        "grant_type={}&client_id=app&device_code={}",
        encoded(GrantType::DeviceCode.as_str()),
        device["device_code"].as_str().unwrap()
    );
    assert_eq!(post(&server, Endpoint::Token, None, &form).await.error(), "access_denied");
}

#[tokio::test]
async fn each_server_and_issuer_has_a_cookie_of_its_own() {
    let server = server();
    let tenant = server.issuer_named("tenant-a").endpoint(Endpoint::Authorize);
    let form = format!("{}&username=alice&password=wonderland&decision=allow", request(&[]));
    let name = |reply: &Reply| reply.header("set-cookie").split('=').next().unwrap().to_owned();
    let first = submit(&server, &server.endpoint(Endpoint::Authorize), &form, &[]).await;
    let second = submit(&server, &tenant, &form, &[]).await;
    assert_ne!(name(&first), name(&second));
    assert!(second.header("set-cookie").contains("Path=/tenant-a;"), "{}", second.header("set-cookie"));

    // The port is the one that the browser knows.
    let named = |host: &'static str| {
        let (server, form) = (&server, &form);
        async move {
            let request = Request::post("/authorize").header("host", host);
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            send(server, request.body(Full::new(form.clone().into())).unwrap()).await.unwrap()
        }
    };
    let names = [name(&named("localhost:9001").await), name(&named("localhost:9002").await)];
    assert_eq!(names, ["oauth-mock-session-9001", "oauth-mock-session-9002"]);
}

#[tokio::test]
async fn no_page_can_be_framed() {
    let server = server();
    let (cookie, _) = sign_in(&server, "alice", "wonderland").await;
    for url in [
        authorize_url(&server, &[]),
        authorize_url(&server, &[("redirect_uri", None)]),
        authorize_url(&server, &[("response_mode", Some("form_post")), ("prompt", Some("none"))]),
        server.endpoint(Endpoint::Device),
        server.endpoint(Endpoint::EndSession),
    ] {
        let page = browse(&server, &url, &cookie).await;
        assert!(page.text().starts_with("<!doctype html>"), "{url}");
        assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"), "{url}");
        let more =
            ["x-frame-options", "x-content-type-options", "referrer-policy"].map(|name| page.header(name));
        assert_eq!(more, ["DENY", "nosniff", "same-origin"], "{url}");
    }
}

#[tokio::test]
async fn a_response_can_be_posted_to_the_client() {
    let server = server();
    let url = authorize_url(&server, &[("response_mode", Some("form_post"))]);
    let form =
        format!("{}&username=alice&password=wonderland&decision=allow", url.split_once('?').unwrap().1);
    let page = submit(&server, &server.endpoint(Endpoint::Authorize), &form, &[]).await;
    assert_eq!((page.status, page.header("location")), (StatusCode::OK, ""));
    assert!(page.header("set-cookie").starts_with("oauth-mock-session="));
    let field = |name: &str| {
        let (_, rest) = page.text().split_once(&format!(r#"name="{name}" value=""#))?;
        rest.split('"').next().map(str::to_owned)
    };
    assert!(page.text().contains(&format!(r#"<form method="post" action="{CALLBACK}">"#)), "{}", page.text());
    assert_eq!((field("state").unwrap(), field("iss").unwrap()), ("s&amp;1".into(), server.issuer().into()));
    let nonce = page.text().split_once("<script nonce=\"").unwrap().1.split('"').next().unwrap().to_owned();
    assert!(page.header("content-security-policy").contains(&format!("script-src 'nonce-{nonce}'")));
    let tokens = post(&server, Endpoint::Token, None, &redemption(&field("code").unwrap())).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.text());

    let denied = form.replace("decision=allow", "decision=deny");
    let page = submit(&server, &server.endpoint(Endpoint::Authorize), &denied, &[]).await;
    assert!(page.text().contains(r#"name="error" value="access_denied""#));
    assert!(server.log_in(&url, "alice").unwrap().starts_with(&format!("{CALLBACK}?code=")));
    let metadata = get(&server, Endpoint::OauthMetadata).await.unwrap().json();
    assert_eq!(metadata["response_modes_supported"], json!(["query", "form_post"]));
}

#[tokio::test]
async fn a_request_asks_for_nothing_that_cannot_be() {
    let server = server();
    let stray = format!("{}B", &CHALLENGE[..42]); // its last bits belong to no byte
    for (name, value) in [
        ("code_challenge", "~".repeat(43).as_str()),
        ("code_challenge", &stray),
        ("code_challenge", &format!("{}=", &CHALLENGE[..42])),
        ("dpop_jkt", &"+".repeat(43)),
        ("prompt", "create"),
        ("prompt", "login create"),
        ("prompt", "Login"),
        ("response_mode", "fragment"),
    ] {
        let back = server.log_in(&authorize_url(&server, &[(name, Some(value))]), "alice").unwrap();
        assert_eq!(parameter(&back, "error").as_deref(), Some("invalid_request"), "{name} {value}");
    }
    for prompt in ["consent", "login consent", "select_account"] {
        let back = server.log_in(&authorize_url(&server, &[("prompt", Some(prompt))]), "alice").unwrap();
        assert!(parameter(&back, "code").is_some(), "{prompt}");
    }
    let metadata = get(&server, Endpoint::OauthMetadata).await.unwrap().json();
    assert_eq!(metadata["prompt_values_supported"], json!(["none", "login", "consent", "select_account"]));
}

#[test]
fn of_many_responses_to_one_pushed_request_one_has_a_code() {
    let server = Arc::new(server());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..40 {
        let pushed: Value = runtime.block_on(post(&server, Endpoint::Par, None, &request(&[]))).json();
        let uri = pushed["request_uri"].as_str().unwrap();
        let url =
            format!("{}?client_id=app&request_uri={}", server.endpoint(Endpoint::Authorize), encoded(uri));
        let start = Arc::new(Barrier::new(8));
        let one = |_| {
            let (server, url, start) = (Arc::clone(&server), url.clone(), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                server.log_in(&url, "alice").is_ok_and(|back| back.contains("code="))
            })
        };
        let racers: Vec<_> = (0..8).map(one).collect();
        assert_eq!(
            racers.into_iter().filter(|_| true).map(|racer| racer.join().unwrap()).filter(|won| *won).count(),
            1
        );
    }
}

#[tokio::test]
async fn pages_of_other_origins_read_what_clients_are_sent_and_no_pages() {
    let server = server();
    let ask = |method: &'static str, endpoint: Endpoint, headers: Vec<(&'static str, &'static str)>| {
        let mut request = Request::builder().method(method).uri(server.endpoint(endpoint));
        for (name, value) in [vec![("origin", "https://app.test")], headers].concat() {
            request = request.header(name, value);
        }
        send(&server, request.body(Full::default()).unwrap())
    };
    for endpoint in [
        Endpoint::OpenidMetadata,
        Endpoint::OauthMetadata,
        Endpoint::Jwks,
        Endpoint::Token,
        Endpoint::Par,
        Endpoint::Revoke,
        Endpoint::Userinfo,
        Endpoint::Register,
        Endpoint::Api,
    ] {
        let wanted = vec![
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,dpop"),
        ];
        let preflight = ask("OPTIONS", endpoint, wanted).await.unwrap();
        assert_eq!(preflight.status, StatusCode::NO_CONTENT, "{endpoint:?}");
        assert!(preflight.header("access-control-allow-headers").contains("dpop"));
        let reply = ask("GET", endpoint, vec![]).await.unwrap();
        assert_eq!(reply.header("access-control-allow-origin"), "*", "{endpoint:?}");
        assert!(reply.header("access-control-expose-headers").contains("dpop-nonce"));
        assert_eq!(reply.header("access-control-allow-credentials"), "");
    }
    for endpoint in [Endpoint::Authorize, Endpoint::Device, Endpoint::EndSession, Endpoint::Introspect] {
        let preflight =
            ask("OPTIONS", endpoint, vec![("access-control-request-method", "POST")]).await.unwrap();
        assert_eq!(preflight.header("access-control-allow-origin"), "", "{endpoint:?}");
        assert_eq!(ask("GET", endpoint, vec![]).await.unwrap().header("access-control-allow-origin"), "");
    }
    let few = MockServer::builder().cors_origins(["https://app.test"]).in_process();
    for (origin, allowed) in [("https://app.test", "https://app.test"), (EVIL, "")] {
        let request = Request::get(few.endpoint(Endpoint::Jwks)).header("origin", origin);
        let reply = send(&few, request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(reply.header("access-control-allow-origin"), allowed);
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = server();
    let token = format!("Bearer {}", tokens(&server, &[]).await.json()["access_token"].as_str().unwrap());
    for endpoint in [
        Endpoint::Jwks,
        Endpoint::OauthMetadata,
        Endpoint::OpenidMetadata,
        Endpoint::ResourceMetadata,
        Endpoint::Userinfo,
    ] {
        let ask = |method| {
            let request = Request::builder().method(method).uri(server.endpoint(endpoint));
            let request = request.header("authorization", &token).body(Full::default()).unwrap();
            send(&server, request)
        };
        let (head, get) = (ask("HEAD").await.unwrap(), ask("GET").await.unwrap());
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "{endpoint:?}");
        assert_eq!(head.header("content-length"), get.body.len().to_string(), "{endpoint:?}");
    }
}

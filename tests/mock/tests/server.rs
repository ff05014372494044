//! Starting, stopping, going away and coming back.

mod support;

use std::sync::Arc;

use http::StatusCode;
use oauth_mock::{Endpoint, Fault, Gate, MockClient, MockServer, TransportError, User};
use support::*;

#[tokio::test]
async fn discovery_and_keys_are_served_over_a_socket() {
    let server = MockServer::start().await;
    for endpoint in [Endpoint::OauthMetadata, Endpoint::OpenidMetadata] {
        let response = String::from_utf8(raw_get(&server, endpoint).await.unwrap()).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
        assert!(response.contains(&format!(r#""issuer":"{}""#, server.issuer())), "{response}");
    }
    let keys = String::from_utf8(raw_get(&server, Endpoint::Jwks).await.unwrap()).unwrap();
    assert!(keys.contains(&server.keys().current_kid()));
}

#[tokio::test]
async fn each_issuer_of_one_server_has_its_own_keys_and_metadata() {
    let server = MockServer::builder().issuer("tenant-a").in_process();
    let tenant = server.issuer_named("tenant-a");
    assert_eq!(tenant.issuer(), format!("{}/tenant-a", server.url()));
    assert_ne!(tenant.keys().current_kid(), server.keys().current_kid());
    for endpoint in [Endpoint::OauthMetadata, Endpoint::OpenidMetadata] {
        let request = http::Request::get(tenant.endpoint(endpoint)).body(Default::default()).unwrap();
        let document = send(&server, request).await.unwrap().json();
        assert_eq!(document["issuer"], tenant.issuer());
        assert_eq!(document["jwks_uri"], tenant.endpoint(Endpoint::Jwks));
    }
    assert_eq!(jwt_part(&tenant.mint().build(), 1)["iss"], tenant.issuer());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_servers_run_side_by_side() {
    let one = |_| {
        tokio::spawn(async {
            let server = MockServer::start().await;
            let response = String::from_utf8(raw_get(&server, Endpoint::Jwks).await.unwrap()).unwrap();
            assert!(response.contains(&server.keys().current_kid()));
            assert_eq!(server.journal().count(Endpoint::Jwks), 1, "no other request came here");
            server
        })
    };
    let tasks: Vec<_> = (0..200).map(one).collect();
    let (mut kids, mut urls) = (Vec::new(), Vec::new());
    let mut servers = Vec::new();
    for task in tasks {
        let server = task.await.unwrap();
        kids.push(server.keys().current_kid());
        urls.push(server.url().to_owned());
        servers.push(server);
    }
    for list in [&mut kids, &mut urls] {
        list.sort_unstable();
        list.dedup();
        assert_eq!(list.len(), 200);
    }
}

#[tokio::test]
async fn a_paused_server_cuts_connections_and_keeps_its_port() {
    let server = MockServer::start().await;
    let open = raw_get(&server, Endpoint::Jwks).await;
    assert!(open.is_ok());
    server.pause();
    for _ in 0..3 {
        assert!(raw_get(&server, Endpoint::Jwks).await.is_err());
    }
    server.resume();
    assert!(raw_get(&server, Endpoint::Jwks).await.unwrap().starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_is_cut_when_the_server_goes_away() {
    let server = Arc::new(MockServer::builder().in_process());
    server.fault(Endpoint::Jwks, Fault::hang()).always();
    let waiting = tokio::spawn({
        let server = Arc::clone(&server);
        async move { get(&server, Endpoint::Jwks).await.map(|reply| reply.status) }
    });
    tokio::task::yield_now().await;
    server.pause();
    assert_eq!(waiting.await.unwrap(), Err(TransportError::Reset));
    assert_eq!(get(&server, Endpoint::Jwks).await.unwrap_err(), TransportError::Refused);
    server.resume();
    server.clear_faults();
    assert_eq!(get(&server, Endpoint::Jwks).await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_dropped_server_frees_its_port() {
    let server = MockServer::start().await;
    let address = server.url().strip_prefix("http://").unwrap().to_owned();
    let taken = MockServer::builder().listen(address.parse().unwrap()).try_start().await;
    assert!(taken.unwrap_err().to_string().contains(&address));
    drop(server);
    // The aborted task lets go of the listener when the runtime next runs it.
    tokio::task::yield_now().await;
    let again = MockServer::builder().listen(address.parse().unwrap()).start().await;
    assert_eq!(again.url(), format!("http://{address}"));
}

#[tokio::test]
async fn another_host_is_out_of_reach_and_leaves_a_trace() {
    let server = MockServer::builder().in_process();
    let request = http::Request::get("https://evil.example/jwks").body(Default::default()).unwrap();
    assert_eq!(send(&server, request).await.unwrap_err(), TransportError::Refused);
    assert_eq!(server.journal().count(Endpoint::Elsewhere), 1);
}

#[tokio::test]
async fn a_response_can_be_held_back_until_the_test_lets_it_go() {
    let server = Arc::new(MockServer::builder().in_process());
    let gate = Gate::new();
    server.fault(Endpoint::Token, Fault::hold(&gate)).always();
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { token(&server).await.status })
        })
        .collect();
    server.journal().wait_for(Endpoint::Token, 3).await;
    assert!(server.journal().requests().iter().all(|request| request.status.is_none()));
    gate.open();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(server.journal().requests()[2].status, Some(StatusCode::OK));
}

#[tokio::test]
async fn clients_can_change_while_the_server_runs() {
    let server = MockServer::builder().in_process();
    assert_eq!(token(&server).await.status, StatusCode::OK);
    server.set_client(MockClient::default().secret("n3w"));
    assert_eq!(token(&server).await.error(), "invalid_client");
    let renewed =
        post(&server, Endpoint::Token, Some(&basic("svc", "n3w")), "grant_type=client_credentials").await;
    assert_eq!(renewed.status, StatusCode::OK);
}

#[tokio::test]
async fn the_default_client_and_user_can_log_in() {
    let callbacks = ["http://127.0.0.1:8080/callback", "http://localhost:8080/callback"];
    let written = oauth_mock::Config::from_json("{}").unwrap().into_builder();
    for builder in [MockServer::builder(), written] {
        let server = builder.in_process();
        let authorize = |change: &[(&str, Option<&str>)]| {
            let client = [("client_id", Some("svc"))];
            server.log_in(&flow::authorize_url(&server, &[&client, change].concat()), "alice")
        };
        for callback in callbacks {
            let back = authorize(&[("redirect_uri", Some(callback))]).unwrap();
            let code = flow::parameter(&back, "code").unwrap();
            let form = format!(
                "grant_type=authorization_code&code={code}&redirect_uri={callback}&code_verifier={}",
                flow::VERIFIER
            );
            let body = post(&server, Endpoint::Token, Some(&basic("svc", "s3cr3t")), &form).await.json();
            assert_eq!(body["scope"], "openid read");
            assert_eq!(jwt_part(body["id_token"].as_str().unwrap(), 1)["sub"], "alice");
        }
        for other in ["https://app.test/cb", "http://localhost:8081/callback", "http://127.0.0.1:8080/"] {
            assert!(authorize(&[("redirect_uri", Some(other))]).is_err(), "{other}");
        }
        // OpenID Connect only where it is asked for.
        let body = token(&server).await.json();
        assert_eq!(body["scope"], "read write");
        let back = authorize(&[("redirect_uri", Some(callbacks[0])), ("scope", None)]).unwrap();
        let form = format!(
            "grant_type=authorization_code&code={}&redirect_uri={}&code_verifier={}",
            flow::parameter(&back, "code").unwrap(),
            callbacks[0],
            flow::VERIFIER
        );
        let body = post(&server, Endpoint::Token, Some(&basic("svc", "s3cr3t")), &form).await.json();
        assert_eq!((&body["scope"], body.get("id_token")), (&"read write".into(), None));
    }
}

#[tokio::test]
async fn the_first_that_is_added_replaces_the_default() {
    let server = MockServer::builder()
        .client(MockClient::new("orders").secret("x"))
        .user(User::new("bob", "builder"))
        .audience("billing-api")
        .in_process();
    assert!(server.issue("svc", "bob", "read").is_none() && server.issue("orders", "bob", "read").is_some());
    assert_eq!(jwt_part(&server.mint().build(), 1)["aud"], "billing-api");
    assert!(server.approve_backchannel("alice").unwrap_err().contains("user"));

    let kept = MockServer::builder()
        .client(MockClient::new("orders").secret("x"))
        .client(MockClient::default())
        .in_process();
    assert_eq!(token(&kept).await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_request_is_too_odd_to_handle() {
    // A small generator with a fixed seed (xorshift), so that a failure can be repeated.
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % (below as u64)).unwrap()
    };
    let words = [
        "grant_type",
        "=",
        "&",
        "password",
        "refresh_token",
        "client_credentials",
        "authorization_code",
        "code",
        "%",
        "%zz",
        "%ff",
        "+",
        "client_id",
        "svc",
        "client_secret",
        "s3cr3t",
        "scope",
        "\0",
        "ü",
        "{",
        "}",
        "\"",
        "token",
        "redirect_uri",
        "http://127.0.0.1:",
        "response_type",
        "username",
        "alice",
        "code_verifier",
        "resource",
    ];
    let server = MockServer::builder().issuer("t").in_process();
    let endpoints = [
        Endpoint::Token,
        Endpoint::Authorize,
        Endpoint::Introspect,
        Endpoint::Revoke,
        Endpoint::Userinfo,
        Endpoint::Jwks,
        Endpoint::OauthMetadata,
        Endpoint::Trap,
        Endpoint::Other,
    ];
    for round in 0..3_000 {
        let text: String = (0..random(12)).map(|_| words[random(words.len())]).collect();
        let endpoint = server.endpoint(endpoints[random(endpoints.len())]);
        let query: String = text
            .bytes()
            .filter(|byte| byte.is_ascii_graphic() && !b"\"{}".contains(byte))
            .map(char::from)
            .collect();
        let mut request = http::Request::builder()
            .method(["GET", "POST", "DELETE"][random(3)])
            .uri(format!("{endpoint}?{query}"))
            .header(
                "content-type",
                ["application/x-www-form-urlencoded", "application/json", "\u{1}"][random(2)],
            );
        let schemes = [svc(), basic("svc", &text), "Basic".to_owned(), format!("Bearer {query}")];
        if let (true, Ok(value)) = (random(2) == 0, http::HeaderValue::from_str(&schemes[random(4)])) {
            request = request.header("authorization", value);
        }
        let reply = send(&server, request.body(text.clone().into()).unwrap()).await.unwrap();
        assert!(reply.status.as_u16() < 500, "round {round}: {endpoint} {text:?}");
    }
}

#[tokio::test]
async fn a_token_of_one_issuer_is_unknown_to_the_other() {
    let server = MockServer::builder().issuer("tenant-a").in_process();
    let tenant = server.issuer_named("tenant-a");
    let request =
        form_request(&tenant.endpoint(Endpoint::Token), Some(&svc()), "grant_type=client_credentials");
    let token = send(&server, request).await.unwrap().json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(jwt_part(&token, 1)["iss"], tenant.issuer());
    assert_eq!(jwt_part(&token, 0)["kid"], tenant.keys().current_kid());
    for (url, active) in
        [(tenant.endpoint(Endpoint::Introspect), true), (server.endpoint(Endpoint::Introspect), false)]
    {
        let request = form_request(&url, Some(&svc()), &format!("token={token}"));
        assert_eq!(send(&server, request).await.unwrap().json()["active"], active, "{url}");
    }
    let asked: Vec<_> =
        server.journal().of(Endpoint::Introspect).into_iter().map(|entry| entry.issuer).collect();
    assert_eq!(asked, [tenant.issuer(), server.issuer()]);
}

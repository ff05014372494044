//! What is there for those who test: rules with conditions, scenarios, expectations, the journal's bounds, health.

use std::panic::{AssertUnwindSafe, catch_unwind};

use http::{Request, StatusCode};
use http_body_util::Full;
use oauth_mock::{Config, Endpoint, Fault, GrantType, Match, MockClient, MockServer, TokenRule, User};
use serde_json::{Value, json};

use crate::support::flow::*;
use crate::support::*;

fn server() -> MockServer {
    let grants = [GrantType::ClientCredentials, GrantType::Password, GrantType::RefreshToken];
    let app = MockClient::new("app").grants([GrantType::AuthorizationCode, GrantType::RefreshToken]);
    MockServer::builder()
        .client(MockClient::default().grants(grants).scopes(["read", "write", "openid"]))
        .client(MockClient::new("other").secret("o"))
        .client(app.redirect_uri(CALLBACK).scopes(["openid", "read"]))
        .user(User::new("alice", "wonderland"))
        .in_process()
}

async fn ask(server: &MockServer, more: &str) -> Reply {
    post(server, Endpoint::Token, Some(&svc()), &format!("grant_type=client_credentials{more}")).await
}

async fn api(server: &MockServer, token: &str) -> Reply {
    let request =
        Request::get(server.endpoint(Endpoint::Api)).header("authorization", format!("Bearer {token}"));
    send(server, request.body(Full::default()).unwrap()).await.unwrap()
}

fn claims(reply: &Reply) -> Value {
    jwt_part(reply.json()["access_token"].as_str().unwrap(), 1)
}

#[tokio::test]
async fn a_fault_meets_the_requests_it_is_about() {
    let server = server();
    let fault = |matching| server.fault(Endpoint::Token, Fault::status(503)).matching(matching).always();
    let of_other = basic("other", "o");
    let other = || post(&server, Endpoint::Token, Some(&of_other), "grant_type=client_credentials");
    let password = || {
        let form =
            "grant_type=password&username=alice&password=wonderland&client_id=svc&client_secret=s3cr3t";
        post(&server, Endpoint::Token, None, form)
    };
    for (matching, expected) in [
        (Match::any(), [503, 503, 503, 503]),
        (Match::any().client("svc"), [503, 503, 200, 503]),
        (Match::any().grant(GrantType::Password), [200, 200, 200, 503]),
        (Match::any().scope("write"), [200, 503, 200, 200]),
        (Match::any().param("scope", "read write"), [200, 503, 200, 200]),
        (Match::any().param("password", "wonderland"), [200, 200, 200, 503]),
        (Match::any().param("password", "wrong"), [200; 4]),
        (Match::any().header("Authorization", svc()), [503, 503, 200, 200]),
        (Match::any().client("svc").grant(GrantType::ClientCredentials), [503, 503, 200, 200]),
        (Match::any().method("GET"), [200; 4]),
        (Match::any().path("/token"), [503; 4]),
    ] {
        fault(matching.clone());
        let replies = [
            ask(&server, "").await,
            ask(&server, "&scope=read+write").await,
            other().await,
            password().await,
        ];
        assert_eq!(replies.map(|reply| reply.status.as_u16()), expected, "{matching:?}");
        server.clear_faults();
    }
    // Others are not counted either.
    let about = Match::any().param("scope", "read");
    server.fault(Endpoint::Token, Fault::status(503)).matching(about).on_call(2);
    let mut statuses = Vec::new();
    for more in ["", "&scope=read", "", "&scope=read", "&scope=read"] {
        statuses.push(ask(&server, more).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 503, 200]);
}

#[tokio::test]
async fn an_access_token_says_whose_request_it_is() {
    let server = server();
    let token = ask(&server, "&scope=read").await.json()["access_token"].as_str().unwrap().to_owned();
    let minted = server.mint().client_id("minted").scope("write").build();
    server
        .fault(Endpoint::Api, Fault::status(418))
        .matching(Match::any().client("svc").scope("read"))
        .always();
    server.fault(Endpoint::Api, Fault::status(429)).matching(Match::any().client("minted")).always();
    let statuses = [api(&server, &token).await, api(&server, &minted).await, api(&server, "x").await];
    assert_eq!(statuses.map(|reply| reply.status.as_u16()), [418, 429, 401]);
    let seen = &server.journal().of(Endpoint::Api)[0];
    assert_eq!((seen.client.as_deref(), seen.scope.as_deref()), (Some("svc"), Some("read")));
}

#[tokio::test]
async fn a_scenario_goes_from_state_to_state() {
    let server = server();
    let token = ask(&server, "").await.json()["access_token"].as_str().unwrap().to_owned();
    server.fault(Endpoint::Api, Fault::status(401)).in_scenario("outage", "start", Some("over")).always();
    assert_eq!(api(&server, &token).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.scenario("outage"), "over");
    assert_eq!(api(&server, &token).await.status, StatusCode::OK, "first 401, then 200");

    // Another endpoint may move it on, and a rule for claims may depend on it.
    server.set_scenario("outage", "start");
    server.clear_faults();
    server.fault(Endpoint::Api, Fault::status(401)).in_scenario("outage", "start", None).always();
    server.fault(Endpoint::Token, Fault::pass()).in_scenario("outage", "start", Some("renewed")).always();
    server.token_rule(TokenRule::new(Match::any()).claim("gen", 2).in_scenario(
        "outage",
        "renewed",
        Some("done"),
    ));
    for _ in 0..3 {
        assert_eq!(api(&server, &token).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(
        claims(&ask(&server, "").await)["gen"],
        2,
        "the state has changed by the time the token is made"
    );
    assert_eq!(
        (server.scenario("outage").as_str(), claims(&ask(&server, "").await).get("gen")),
        ("done", None)
    );
    assert_eq!(api(&server, &token).await.status, StatusCode::OK);
    server.reset();
    assert_eq!(server.scenario("outage"), "start");
}

#[tokio::test]
async fn token_rules_hold_for_tokens_that_are_issued_without_a_request() {
    let server = server();
    server.token_rule(TokenRule::new(Match::any()).claim("tenant", "blue").claim("jti", Value::Null));
    server.token_rule(TokenRule::new(Match::any().scope("write")).claim("roles", json!(["editor"])));
    // Whatever only a request has, this one has not.
    for (n, matching) in [
        Match::any().client("app"),
        Match::any().grant(GrantType::Password),
        Match::any().param("resource", "x"),
        Match::any().header("x-a", "b"),
        Match::any().method("POST"),
        Match::any().path("/token"),
    ]
    .into_iter()
    .enumerate()
    {
        server.token_rule(TokenRule::new(matching).claim(format!("other{n}"), true));
    }
    let issued = |scope: &str| {
        let tokens = server.issue("svc", "alice", scope).unwrap();
        (jwt_part(&tokens.access_token, 1), tokens)
    };
    let (read, tokens) = issued("read");
    assert_eq!((&read["tenant"], read.get("jti"), read.get("roles")), (&json!("blue"), None, None));
    assert!(read.as_object().unwrap().keys().all(|name| !name.starts_with("other")), "{read}");
    assert_eq!(issued("read write").0["roles"], json!(["editor"]));
    let form = format!("token={}", tokens.access_token);
    assert_eq!(post(&server, Endpoint::Introspect, Some(&svc()), &form).await.json()["tenant"], "blue");
}

#[tokio::test]
async fn claims_and_responses_differ_by_client_scope_grant_and_parameter() {
    let server = server();
    server.token_rule(TokenRule::new(Match::any().client("svc")).claim("tenant", "blue"));
    server.token_rule(
        TokenRule::new(Match::any().scope("write"))
            .claim("roles", json!(["editor"]))
            .claim("jti", Value::Null),
    );
    server.token_rule(
        TokenRule::new(Match::any().param("resource", "orders-api")).response("expires_in", Value::Null),
    );
    server
        .token_rule(TokenRule::new(Match::any().grant(GrantType::Password)).claim("iss", "https://odd.test"));
    let all = claims(&ask(&server, "").await);
    assert_eq!((&all["tenant"], &all["roles"], all.get("jti")), (&json!("blue"), &json!(["editor"]), None));
    let read = ask(&server, "&scope=read&resource=orders-api").await;
    assert_eq!((claims(&read).get("roles"), claims(&read)["jti"].is_string()), (None, true));
    assert_eq!(read.json().get("expires_in"), None);
    let form = "grant_type=password&username=alice&password=wonderland&scope=read";
    let password = post(&server, Endpoint::Token, Some(&svc()), form).await;
    assert_eq!(claims(&password)["iss"], "https://odd.test");
    // A refresh is a grant of its own, and its scope counts.
    let form = format!(
        "grant_type=refresh_token&refresh_token={}",
        password.json()["refresh_token"].as_str().unwrap()
    );
    let refreshed = claims(&post(&server, Endpoint::Token, Some(&svc()), &form).await);
    assert_eq!((&refreshed["iss"], &refreshed["tenant"]), (&json!(server.issuer()), &json!("blue")));
    let introspected = format!("token={}", read.json()["access_token"].as_str().unwrap());
    assert_eq!(
        post(&server, Endpoint::Introspect, Some(&svc()), &introspected).await.json()["tenant"],
        "blue"
    );

    server.token_rule(
        TokenRule::new(Match::any().client("app")).id_token("acr", "gold").userinfo("email", "x@y.test"),
    );
    let login = tokens(&server, &[]).await.json();
    assert_eq!(jwt_part(login["id_token"].as_str().unwrap(), 1)["acr"], "gold");
    let me = Request::get(server.endpoint(Endpoint::Userinfo))
        .header("authorization", format!("Bearer {}", login["access_token"].as_str().unwrap()));
    assert_eq!(send(&server, me.body(Full::default()).unwrap()).await.unwrap().json()["email"], "x@y.test");
    server.clear_token_rules();
    assert_eq!(claims(&ask(&server, "").await).get("tenant"), None);
    server.token_rule(TokenRule::new(Match::any()).claim("once", true).times(1));
    let (first, second) = (claims(&ask(&server, "").await), claims(&ask(&server, "").await));
    assert_eq!((first.get("once"), second.get("once")), (Some(&json!(true)), None));
}

#[tokio::test]
async fn rules_can_be_written_down() {
    let config = Config::from_json(
        r#"{"clients": [{"client_id": "svc", "client_secret": "s3cr3t"}],
            "faults": [{"endpoint": "token", "fault": "status", "status": 503, "when": {"params": {"scope": "read"}},
                        "scenario": "s", "next_state": "later"}],
            "claims": [{"when": {"client_id": "svc"}, "access_token": {"roles": ["admin"]}, "scenario": "s",
                        "state": "later"}]}"#,
    );
    let server = config.unwrap().into_builder().in_process();
    assert_eq!(claims(&ask(&server, "").await).get("roles"), None);
    assert_eq!(ask(&server, "&scope=read").await.status, 503);
    assert_eq!(claims(&ask(&server, "&scope=read").await)["roles"], json!(["admin"]));
    server.clear_token_rules();
    server.reset();
    assert_eq!(ask(&server, "&scope=read").await.status, 503, "both come back");
    assert_eq!(claims(&ask(&server, "&scope=read").await)["roles"], json!(["admin"]));
}

#[tokio::test]
async fn an_expectation_can_be_about_parameters() {
    let server = server();
    server.expect(Endpoint::Token).matching(Match::any().param("scope", "read")).exactly(1);
    server.expect(Endpoint::Token).matching(Match::any().client("other")).exactly(0);
    ask(&server, "").await;
    let unmet = server.unmet().unwrap();
    let expected = "- expected exactly 1 request(s) to Token with scope=read\n\
         + got 0\n\
         + these came, and do not match:\n\
         +   1. POST /token grant_type=client_credentials -> 200\n";
    assert!(unmet.contains(expected), "{unmet}");
    ask(&server, "&scope=read").await;
    server.verify();
    // Those that match are apart from the others, and each keeps its place.
    ask(&server, "&scope=read").await;
    let unmet = server.unmet().unwrap();
    let expected = "+ got 2\n\
         +   2. POST /token grant_type=client_credentials -> 200\n\
         +   3. POST /token grant_type=client_credentials -> 200\n\
         + these came, and do not match:\n\
         +   1. POST /token grant_type=client_credentials -> 200\n";
    assert!(unmet.contains(expected), "{unmet}");
    server.expect_nothing();
    server.expect(Endpoint::Token).matching(Match::any().client("other")).exactly(0);
    // What came before counts too, and a secret is compared without being kept.
    server.expect(Endpoint::Token).matching(Match::any().param("client_secret", "hunter2")).exactly(1);
    let report = server.unmet().unwrap();
    assert!(report.contains("with client_secret=[redacted]") && !report.contains("hunter2"), "{report}");
    post(&server, Endpoint::Token, None, "grant_type=x&client_id=svc&client_secret=hunter2").await;
    server.verify();
    let failed = catch_unwind(AssertUnwindSafe(|| {
        server.expect(Endpoint::Token).matching(Match::any().client("other")).at_least(1);
        server.verify();
    }));
    assert!(failed.is_err());
    server.expect_nothing();
}

#[tokio::test]
async fn expectations_count_what_the_journal_no_longer_keeps() {
    let server = MockServer::builder().journal_limits(10, 1 << 20).in_process();
    server.expect(Endpoint::Jwks).exactly(50);
    server.expect(Endpoint::Jwks).matching(Match::any().method("GET")).exactly(50);
    for _ in 0..50 {
        get(&server, Endpoint::Jwks).await.unwrap();
    }
    assert_eq!((server.journal().requests().len(), server.journal().count(Endpoint::Jwks)), (10, 50));
    server.verify();
    server.journal().clear();
    assert!(server.unmet().unwrap().contains("got 0"));
    server.expect_nothing();
}

#[tokio::test]
async fn health_is_no_part_of_the_journal() {
    let server = server();
    let reply = get(&server, Endpoint::Health).await.unwrap();
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!({"status": "ok"})));
    assert_eq!(server.endpoint(Endpoint::Health), format!("{}/health", server.url()));
    assert!(server.journal().requests().is_empty());
    let post = Request::post(server.endpoint(Endpoint::Health)).body(Full::default()).unwrap();
    assert_eq!(send(&server, post).await.unwrap().status, StatusCode::METHOD_NOT_ALLOWED);
    server.pause();
    assert!(get(&server, Endpoint::Health).await.is_err(), "a server that is away is not healthy");
}

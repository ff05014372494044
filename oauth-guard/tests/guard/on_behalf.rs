//! On behalf of the caller: the caller's token for handlers, and who acts for whom.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use oauth_client::token::TokenType;
use oauth_client::transport::HttpClient as ClientTransport;
use oauth_client::{Client, ClientAuth, grant};
use oauth_guard::config::GuardConfig;
use oauth_guard::{Actor, Claims, GuardLayer, Requirement, Rule, SubjectToken};
use oauth_mock::{Endpoint, GrantType, MockClient, MockServer};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

use crate::rules::{get, guard};
use crate::support::Fixture;

/// What a handler behind the layer finds.
async fn handed_on(layer: &GuardLayer, request: Request<Full<Bytes>>) -> Option<SubjectToken> {
    let found = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&found);
    let handler = service_fn(move |request: Request<Full<Bytes>>| {
        *seen.lock().unwrap() = request.extensions().get::<SubjectToken>().cloned();
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    layer.layer(handler).oneshot(request).await.unwrap();
    found.lock().unwrap().take()
}

fn with_token(token: &str) -> Request<Full<Bytes>> {
    let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}"));
    request.body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_handler_gets_the_callers_token_only_where_the_guard_was_told() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let token = fixture.server.mint().subject("ada").expires_in(300).build();
    // From a fetch of the keys, and from the cache.
    for _ in 0..2 {
        let found = handed_on(&guard.layer().with_subject_token(), with_token(&token)).await.unwrap();
        assert_eq!(found.secret().expose(), token);
        assert_eq!(found.expires_at().as_secs(), fixture.server.clock().now_unix().unsigned_abs() + 300);
        assert!(!format!("{found:?}").contains(&token[..20]), "{found:?}");
    }
    assert!(handed_on(&guard.layer(), with_token(&token)).await.is_none());
    let optional = guard.layer().optional().with_subject_token();
    let mut without = Request::new(Full::default());
    assert!(handed_on(&optional, without.clone()).await.is_none());
    // One that is there already is not the caller's.
    let foreign = handed_on(&guard.layer().with_subject_token(), with_token(&token)).await.unwrap();
    without.extensions_mut().insert(foreign);
    assert!(handed_on(&optional, without).await.is_none());
    assert!(handed_on(&guard.layer().with_subject_token(), with_token("a.b.c")).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_stripped_is_handed_on_all_the_same() {
    let fixture = Fixture::new();
    let guard =
        fixture.builder().issuer(fixture.issuer()).token_cookie("session").strip_token().build().unwrap();
    let token = fixture.server.mint().subject("ada").build();
    let request = Request::get("/").header(header::COOKIE, format!("a=b; session={token}"));
    let request = request.body(Full::default()).unwrap();
    let found = handed_on(&guard.layer().with_subject_token(), request).await.unwrap();
    assert_eq!(found.secret().expose(), token);
}

/// 1,000 requests of 10 users, each calling another API as its caller.
#[tokio::test(start_paused = true)]
async fn a_thousand_callers_on_behalf_of_ten_users_cost_ten_exchanges() {
    let orders = MockClient::new("orders-api").secret("s3cr3t").grants([GrantType::TokenExchange]);
    let server = MockServer::builder().client(orders.exchange_audiences(["billing"])).audience("orders-api");
    let fixture = Fixture {
        server: server.audience("billing").in_process(),
        clock: oauth_guard::clock::TestClock::new(),
    };
    let client = Client::builder()
        .issuer(fixture.server.issuer())
        .auth(ClientAuth::basic("orders-api", "s3cr3t"))
        .http(ClientTransport::from_service(fixture.server.transport()))
        .clock(fixture.clock.clone())
        .build()
        .unwrap();
    let exchanger = client.exchanger(|subject| grant::token_exchange(subject).audience("billing"));
    let layer = fixture.guard().layer().with_subject_token();
    let tokens: Vec<_> =
        (0..10).map(|n| fixture.server.mint().subject(format!("user-{n}")).expires_in(120).build()).collect();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let (layer, exchanger, token) = (layer.clone(), exchanger.clone(), tokens[n % 10].clone());
        let handler = service_fn(move |request: Request<Full<Bytes>>| {
            let (exchanger, subject) =
                (exchanger.clone(), request.extensions().get::<SubjectToken>().cloned());
            async move {
                let token = exchanger.token(&subject.unwrap()).await.unwrap();
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(token.secret().expose().to_owned())))
            }
        });
        calls.spawn(async move { layer.layer(handler).oneshot(with_token(&token)).await.unwrap().status() });
    }
    assert!(calls.join_all().await.into_iter().all(|status| status.is_success()));
    assert_eq!((fixture.server.journal().count(Endpoint::Token), exchanger.len()), (10, 10));
    let sent = fixture.server.journal().of(Endpoint::Token).pop().unwrap();
    assert_eq!(sent.param("subject_token_type"), Some(TokenType::AccessToken.uri()));
    // Never beyond the end of the caller's token, and the place is given back.
    let subject = handed_on(&layer, with_token(&tokens[0])).await.unwrap();
    let exchanged = exchanger.token(&subject).await.unwrap();
    assert!(exchanged.expires_at() <= subject.expires_at());
    tokio::time::sleep(std::time::Duration::from_secs(121)).await;
    assert!(exchanger.source(&subject).unwrap_err().is_reauthorization_required());
    assert_eq!(fixture.server.journal().count(Endpoint::Token), 10);
}

fn chain() -> Value {
    json!({"sub": "orders-api", "act": {"sub": "gateway", "iss": "https://elsewhere.test", "client_id": "gw"}})
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_actors_is_readable() {
    let fixture = Fixture::new();
    let claims_of = async |token: String| -> Claims {
        let request =
            Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap();
        fixture.guard().check(&request).resolve().await.unwrap().unwrap()
    };
    let claims = claims_of(fixture.server.mint().subject("ada").claim("act", chain()).build()).await;
    let actors: Vec<Actor<'_>> = claims.actors().collect();
    assert_eq!(actors.len(), 2);
    assert_eq!((actors[0].subject().as_deref(), actors[0].issuer()), (Some("orders-api"), None));
    let before = claims.actor().unwrap().actor().unwrap();
    assert_eq!(before.issuer().as_deref(), Some("https://elsewhere.test"));
    assert_eq!((before.client_id().as_deref(), before.actor().is_none()), (Some("gw"), true));
    assert!(claims_of(fixture.server.mint().subject("ada").build()).await.actor().is_none());
    for odd in [json!("orders-api"), json!([chain()]), json!(null), json!(7)] {
        assert!(claims_of(fixture.server.mint().claim("act", odd).build()).await.actor().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_current_actor_counts() {
    let fixture = Fixture::new();
    let requires = |requirement: Requirement| guard(&fixture, [Rule::new("/a").require(requirement)]).layer();
    let act = |act: Value| fixture.server.mint().subject("ada").claim("act", act).build();
    let own = fixture.server.issuer().to_owned();
    let by_orders = requires(Requirement::actor("orders-api"));
    for (token, status) in [
        (act(chain()), 200),
        (act(json!({"sub": "orders-api", "iss": own})), 200),
        (act(json!({"sub": "orders-api", "iss": "https://elsewhere.test"})), 403),
        (act(json!({"sub": "gateway", "act": {"sub": "orders-api"}})), 403),
        (act(json!({"sub": ["orders-api"]})), 403),
        (act(json!({"client_id": "orders-api"})), 403),
        (fixture.server.mint().subject("orders-api").build(), 403),
    ] {
        assert_eq!(get(&by_orders, "/a", Some(&token)).await.0, status);
    }
    let elsewhere = requires(Requirement::actor_of("https://elsewhere.test", "gateway"));
    let foreign = act(json!({"sub": "gateway", "iss": "https://elsewhere.test"}));
    assert_eq!(get(&elsewhere, "/a", Some(&foreign)).await.0, 200);
    assert_eq!(
        get(&elsewhere, "/a", Some(&act(json!({"sub": "gateway"})))).await.0,
        403,
        "the issuer's own gateway"
    );
    // Nobody but the user.
    let direct = requires(!Requirement::actor("orders-api"));
    assert_eq!(get(&direct, "/a", Some(&act(chain()))).await.0, 403);
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_a_configuration_requires_an_actor() {
    let fixture = Fixture::new();
    let config = |require: Value| {
        json!({"issuer": [{"issuer": fixture.server.issuer(), "audience": ["orders-api"]}],
            "rule": [{"path": "/a", "require": require}]})
    };
    let read = |require: Value| serde_json::from_value::<GuardConfig>(config(require));
    let layer = |require: Value| {
        let builder = read(require).unwrap().into_builder();
        let http = oauth_guard::HttpClient::from_service(fixture.server.transport());
        builder.http(http).clock(fixture.clock.clone()).build().unwrap().layer()
    };
    let token = fixture.server.mint().claim("act", chain()).build();
    assert_eq!(get(&layer(json!({"actor": "orders-api"})), "/a", Some(&token)).await.0, 200);
    let of_other = json!({"actor": "orders-api", "actor_issuer": "https://elsewhere.test"});
    assert_eq!(get(&layer(of_other), "/a", Some(&token)).await.0, 403);
    let error = read(json!({"scope": "read", "actor_issuer": "https://x"})).unwrap_err().to_string();
    assert!(error.contains("rule[0].require") && error.contains("actor_issuer goes with actor"), "{error}");
}

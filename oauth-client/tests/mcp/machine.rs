//! Grants that need no person, and tokens that are bound to a key.

use std::sync::Arc;

use http::StatusCode;
use oauth_client::dpop::Dpop;
use oauth_client::grant::{self, Assertion};
use oauth_client::token::Scheme;
use oauth_client::{ClientAuth, Secret};
use oauth_mock::{Endpoint, Fault, MockClient};

use crate::support::{API, World, server};

#[tokio::test]
async fn a_service_gets_its_token_for_the_api_and_its_scopes() {
    let world = World::new(server());
    world.says().scope = Some("read");
    let auth = ClientAuth::basic("svc", "s3cr3t");
    let builder = world.plain().registered(world.server().issuer(), auth);
    let authorizer = builder.grant(|_| grant::client_credentials()).build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    world.says().needs = vec!["write"];
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    let sent = world.server().journal().of(Endpoint::Token);
    let sent: Vec<_> = sent.iter().map(|one| (one.param("scope"), one.param("resource"))).collect();
    assert_eq!(
        sent,
        [(Some("read"), Some(API)), (Some("read write"), Some(API))],
        "no offline_access, and the union"
    );
    assert_eq!(world.logins(), 0);
}

#[tokio::test]
async fn a_service_registers_itself_with_a_secret() {
    let world = World::new(server());
    let authorizer = world.plain().grant(|_| grant::client_credentials()).build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    let kept = authorizer.registrations();
    let registration = kept.get(world.server().issuer()).unwrap();
    assert_eq!(registration.metadata().grant_types, ["client_credentials"]);
    assert_eq!(registration.metadata().token_endpoint_auth_method.as_deref(), Some("client_secret_basic"));
    assert!(registration.client_secret().is_some());
}

#[tokio::test]
async fn a_refused_assertion_is_an_error_and_nothing_else_is_tried() {
    let world = World::new(server().client(MockClient::new("workload")));
    let builder = world.plain().registered(world.server().issuer(), ClientAuth::none("workload"));
    let authorizer = builder.grant(|_| grant::jwt_bearer("eyJhbGciOiJub25lIn0.e30.")).build().unwrap();
    let error = world.call(&authorizer).await.unwrap_err();
    assert!(error.status().is_some_and(|status| status.is_client_error()), "{error}");
    assert_eq!(world.server().journal().count(Endpoint::Token), 1);
    assert_eq!(world.server().journal().count(Endpoint::Register), 0);
}

#[tokio::test]
async fn a_grant_is_told_what_it_is_for() {
    let world = World::new(server());
    world.says().scope = Some("read");
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let builder = world.plain().registered(world.server().issuer(), ClientAuth::basic("svc", "s3cr3t"));
    let authorizer = builder.grant(move |target| {
        sink.lock().unwrap().push(target.clone());
        grant::jwt_bearer(Assertion::from_fn(|_| async { Err::<Secret, _>("no provider today") }))
    });
    assert_eq!(world.call(&authorizer.build().unwrap()).await.unwrap_err().code(), "secret");
    let seen = seen.lock().unwrap();
    let [target] = seen.as_slice() else { unreachable!("asked {} times", seen.len()) };
    assert_eq!((target.issuer.as_str(), target.resource.as_str()), (world.server().issuer(), API));
    assert_eq!(target.scope, ["read"]);
}

/// The scheme of the token, for an API that names this scheme.
async fn scheme(of_api: &'static str, dpop: Option<Dpop>, server_knows: bool) -> Scheme {
    let server = if server_knows { server() } else { server().dpop_algorithms([]) };
    let world = World::new(server);
    world.says().scheme = of_api;
    let mut builder = world.plain().registered(world.server().issuer(), ClientAuth::basic("svc", "s3cr3t"));
    if let Some(dpop) = dpop {
        builder = builder.dpop(dpop);
    }
    let authorizer = builder.grant(|_| grant::client_credentials()).build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    authorizer.source().unwrap().token().await.unwrap().tokens().scheme()
}

#[tokio::test]
async fn tokens_are_bound_where_the_api_wants_it_or_the_client_can() {
    assert_eq!(scheme("Bearer", None, true).await, Scheme::Bearer);
    assert_eq!(scheme("DPoP", None, true).await, Scheme::Dpop, "by a key of the process");
    assert_eq!(scheme("Bearer", Some(Dpop::generate().unwrap()), true).await, Scheme::Dpop);
    assert_eq!(scheme("Bearer", Some(Dpop::generate().unwrap()), false).await, Scheme::Bearer);
}

#[tokio::test]
async fn no_challenge_takes_the_binding_away_again() {
    let world = World::new(server());
    (world.says().scheme, world.says().scope) = ("DPoP", Some("read"));
    let builder = world.plain().registered(world.server().issuer(), ClientAuth::basic("svc", "s3cr3t"));
    let authorizer = builder.grant(|_| grant::client_credentials()).build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    let key = |token: &oauth_client::AccessToken| token.tokens().key_thumbprint().map(str::to_owned);
    let first = key(&authorizer.source().unwrap().token().await.unwrap());
    (world.says().scheme, world.says().needs) = ("Bearer", vec!["write"]);
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    let second = key(&authorizer.source().unwrap().token().await.unwrap());
    assert!(first.is_some() && first == second, "the key stays the same, too");
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_that_may_pass() {
    let world = World::new(server());
    world.server().fault(Endpoint::Token, Fault::status(503)).always();
    let builder = world.plain().registered(world.server().issuer(), ClientAuth::basic("svc", "s3cr3t"));
    let authorizer = builder.grant(|_| grant::client_credentials()).build().unwrap();
    tokio::time::pause();
    assert!(world.call(&authorizer).await.unwrap_err().is_transient());
    world.server().clear_faults();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
}

//! From a rejected request to a token, once for all who need it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, StatusCode};
use oauth_client::dpop::Dpop;
use oauth_client::store::MemoryStore;
use oauth_mock::{Endpoint, Tamper};

use crate::support::{API, World, server};

#[tokio::test]
async fn one_login_serves_all_requests_whenever_they_come() {
    let world = World::new(server());
    let authorizer = world.authorizer().build().unwrap();
    assert!(authorizer.source().is_none() && authorizer.issuer().is_none());

    let calls = futures_util::future::join_all((0..20).map(|_| world.call(&authorizer))).await;
    assert!(calls.into_iter().all(|status| status.unwrap() == StatusCode::OK));
    assert_eq!(world.logins(), 1, "requests that are rejected at once lead to one login");
    assert_eq!(world.server().journal().count(Endpoint::Register), 1);

    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    assert_eq!((world.logins(), authorizer.issuer().as_deref()), (1, Some(world.server().issuer())));
    let sent = world.server().journal().of(Endpoint::Token).pop().unwrap();
    assert_eq!(
        (sent.param("resource"), world.asked("resource").as_deref()),
        (Some(API), Some(API)),
        "RFC 8707"
    );
}

#[tokio::test]
async fn the_resource_goes_out_as_the_api_writes_it() {
    // A parser would put a slash at the end.
    let world = World::new(server().audience("https://api.test").audience(format!("{API}/")));
    world.says().resource = "https://api.test".to_owned();
    let authorizer = world.authorizer().build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    assert_eq!(world.asked("resource").as_deref(), Some("https://api.test"));

    // On a host with other APIs that is too much.
    let exact = world.authorizer().exact_resource().build().unwrap();
    let error = world.call(&exact).await.unwrap_err();
    assert!(error.code() == "discovery" && error.to_string().contains("exact_resource"), "{error}");
    assert_eq!(world.logins(), 1);
    world.says().resource = format!("{API}/");
    assert_eq!(
        world.call(&world.authorizer().exact_resource().build().unwrap()).await.unwrap(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn those_who_wait_for_a_login_share_its_failure() {
    let world = World::new(server());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let authorizer = world.plain().browser(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async {
            tokio::task::yield_now().await;
            Err::<String, _>("the window was closed")
        }
    });
    let authorizer = authorizer.build().unwrap();
    let calls = futures_util::future::join_all((0..20).map(|_| world.call(&authorizer))).await;
    for call in calls {
        let error = call.unwrap_err();
        assert!(
            error.code() == "login_timeout" && error.to_string().contains("the window was closed"),
            "{error}"
        );
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "no person is asked as often as there are requests");
    assert!(world.call(&authorizer).await.is_err());
    assert_eq!(asked.load(Ordering::Relaxed), 2, "a later request asks again");
}

#[tokio::test]
async fn a_login_that_is_given_up_leaves_the_way_to_the_next_one() {
    let world = World::new(server());
    let closed = Arc::new(AtomicUsize::new(0));
    let (browser, first) = (world.clone(), Arc::clone(&closed));
    let authorizer = world.plain().browser(move |page| {
        let (callback, hangs) = (browser.log_in(page), first.fetch_add(1, Ordering::Relaxed) == 0);
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            callback
        }
    });
    let authorizer = authorizer.build().unwrap();
    {
        let mut call = std::pin::pin!(world.call(&authorizer));
        while world.logins() == 0 {
            tokio::select! {
                biased;
                _ = &mut call => unreachable!("the browser hangs"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    assert_eq!(
        world.server().journal().count(Endpoint::Register),
        1,
        "what registered itself meanwhile is kept"
    );
}

#[tokio::test]
async fn an_authorization_response_of_another_issuer_ends_the_login() {
    for (tamper, code) in [(Tamper::IssWrong, "issuer_mismatch"), (Tamper::IssMissing, "issuer_mismatch")] {
        let world = World::new(server());
        world.server().tamper(tamper).always();
        let authorizer = world.authorizer().build().unwrap();
        assert_eq!(world.call(&authorizer).await.unwrap_err().code(), code);
        assert_eq!(world.server().journal().count(Endpoint::Token), 0, "the code goes nowhere");
    }
}

#[tokio::test]
async fn a_token_that_was_just_obtained_and_is_refused_leads_to_no_other_login() {
    let world = World::new(server());
    world.says().refuses_all = true;
    let authorizer = world.authorizer().build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::UNAUTHORIZED);
    assert_eq!(world.logins(), 1);
}

#[tokio::test]
async fn responses_that_no_token_mends_stand() {
    let world = World::new(server());
    let authorizer = world.authorizer().build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    for (status, challenge) in [
        (StatusCode::OK, ""),
        (StatusCode::FORBIDDEN, ""),
        (StatusCode::FORBIDDEN, r#"Bearer error="access_denied""#),
        (StatusCode::INTERNAL_SERVER_ERROR, r#"Bearer error="insufficient_scope", scope="write""#),
        (StatusCode::UNAUTHORIZED, r#"Bearer error="insufficient_user_authentication", acr_values="gold""#),
        (StatusCode::UNAUTHORIZED, r#"DPoP error="use_dpop_nonce""#),
        (StatusCode::UNAUTHORIZED, r#"DPoP error="invalid_dpop_proof""#),
    ] {
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, challenge.parse().unwrap())]);
        assert!(!authorizer.attempt().again(status, &headers).await.unwrap(), "{status} {challenge}");
    }
    let fresh = world.authorizer().build().unwrap();
    let headers =
        HeaderMap::from_iter([(WWW_AUTHENTICATE, r#"Bearer error="insufficient_scope""#.parse().unwrap())]);
    let again = fresh.attempt().again(StatusCode::FORBIDDEN, &headers).await;
    assert!(!again.unwrap(), "without a token there is nothing to step up from");
    assert_eq!(world.logins(), 1);
}

#[tokio::test]
async fn a_login_that_the_store_keeps_needs_no_person() {
    let (world, store) = (World::new(server()), MemoryStore::new());
    let first = world.authorizer().store(store.clone()).build().unwrap();
    assert_eq!(world.call(&first).await.unwrap(), StatusCode::OK);
    let kept = first.registrations();
    assert_eq!(kept.iter().count(), 1);

    let next_start = || world.authorizer().store(store.clone()).registrations(kept.clone()).build().unwrap();
    assert_eq!(world.call(&next_start()).await.unwrap(), StatusCode::OK);
    assert_eq!((world.logins(), world.server().journal().count(Endpoint::Register)), (1, 1));

    // What the API refuses is not taken from there again.
    world.says().refuses_all = true;
    let authorizer = next_start();
    let mut attempt = authorizer.attempt();
    assert_eq!(world.attempt(&mut attempt).await.unwrap(), StatusCode::UNAUTHORIZED);
    assert_eq!(world.logins(), 1);
    world.says().refuses_all = false;
    assert!(authorizer.attempt().again(StatusCode::UNAUTHORIZED, &HeaderMap::new()).await.unwrap());
    assert_eq!(world.logins(), 2, "a person is asked");
}

/// A key of the process ends with it, and nobody could give it back.
#[tokio::test]
async fn a_login_bound_to_the_key_of_an_earlier_process_asks_the_person_again() {
    for next_scheme in ["DPoP", "Bearer"] {
        let (world, store) = (World::new(server()), MemoryStore::new());
        world.says().scheme = "DPoP";
        let first = world.authorizer().store(store.clone()).build().unwrap();
        assert_eq!(world.call(&first).await.unwrap(), StatusCode::OK);
        let kept = first.registrations();

        world.says().scheme = next_scheme;
        let next = world.authorizer().store(store.clone()).registrations(kept.clone()).build().unwrap();
        assert_eq!(world.call(&next).await.unwrap(), StatusCode::OK, "{next_scheme}");
        assert_eq!(world.logins(), 2, "{next_scheme}");
        assert_eq!(world.call(&next).await.unwrap(), StatusCode::OK);
        assert_eq!(world.logins(), 2, "{next_scheme}");
    }
}

/// Which key to give is for those who gave one.
#[tokio::test]
async fn a_login_bound_to_another_key_than_the_given_one_is_a_configuration_error() {
    let (world, store) = (World::new(server()), MemoryStore::new());
    world.says().scheme = "DPoP";
    let with_key = || world.authorizer().store(store.clone()).dpop(Dpop::generate().unwrap());
    let first = with_key().build().unwrap();
    assert_eq!(world.call(&first).await.unwrap(), StatusCode::OK);
    let kept = first.registrations();
    let next = with_key().registrations(kept.clone()).build().unwrap();
    for _ in 0..2 {
        let error = world.call(&next).await.unwrap_err();
        assert_eq!((error.code(), error.problems()[0].field.as_str()), ("config", "dpop"));
    }
    // Given to each client, it counts as well.
    let next = world.authorizer().store(store.clone()).registrations(kept);
    let dpop = Dpop::generate().unwrap();
    let next = next.configure(move |client| client.dpop(dpop.clone())).build().unwrap();
    world.says().scheme = "Bearer";
    assert_eq!(world.call(&next).await.unwrap_err().code(), "config");
    assert_eq!(world.logins(), 1);
}

/// Any API names any server, and any server says that it reads documents: a secret would go to all of them.
#[test]
fn a_client_that_a_document_describes_has_no_secret_to_give_away() {
    use oauth_client::ClientAuth;
    const DOCUMENT: &str = "https://app.test/client.json";
    let world = World::new(server());
    let with = |auth: ClientAuth| world.authorizer().client_id_document_with(auth).build();
    for auth in [
        ClientAuth::basic(DOCUMENT, "s3cr3t"),
        ClientAuth::post(DOCUMENT, "s3cr3t"),
        ClientAuth::assertion(DOCUMENT, "a.b.c"),
    ] {
        let error = with(auth).unwrap_err();
        assert_eq!(error.problems()[0].field, "client_id_document");
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
    with(ClientAuth::none(DOCUMENT)).unwrap();
}

#[test]
fn what_cannot_work_is_said_before_anything_is_sent() {
    let world = World::new(server());
    let error = oauth_client::mcp::Authorizer::builder("api.test")
        .client_id_document("http://app.test/client.json")
        .registered("https://a.test", oauth_client::ClientAuth::none("a"))
        .registered("https://a.test", oauth_client::ClientAuth::none("b"))
        .max_authorizations(0)
        .http(world.http())
        .build()
        .unwrap_err();
    let fields: Vec<_> = error.problems().iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["grant", "max_authorizations", "client_id_document", "registered", "resource"]);
    let shown = format!(
        "{:?}",
        world.plain().registered("https://a.test", oauth_client::ClientAuth::basic("a", "s3cr3t"))
    );
    assert!(shown.contains("a.test") && !shown.contains("s3cr3t"), "{shown}");
}

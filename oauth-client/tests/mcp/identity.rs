//! Which client to be, and where.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use oauth_client::ClientAuth;
use oauth_client::manage::register::{ClientMetadata, Registration};
use oauth_client::mcp::{Authorizer, Registrations};
use oauth_mock::{Endpoint, Fault, GrantType, MockClient, Registration as Registering};
use serde_json::json;

use crate::support::{API, World, server};

const DOCUMENT: &str = "https://app.test/client.json";

fn by_hand() -> MockClient {
    MockClient::new("by-hand")
        .secret("s3cr3t")
        .grants([GrantType::AuthorizationCode])
        .redirect_uri("https://app.test/callback")
}

fn document() -> serde_json::Value {
    json!({ "client_id": DOCUMENT, "redirect_uris": ["https://app.test/callback"] })
}

fn credentials() -> ClientAuth {
    ClientAuth::basic("by-hand", "s3cr3t")
}

#[tokio::test]
async fn registered_by_hand_comes_before_a_document_and_that_before_registration() {
    let world = World::new(server().client(by_hand()).client_document(DOCUMENT, document()));
    let issuer = world.server().issuer().to_owned();
    let all =
        world.authorizer().registered(&issuer, credentials()).client_id_document(DOCUMENT).build().unwrap();
    assert_eq!(world.call(&all).await.unwrap(), StatusCode::OK);
    assert_eq!(world.asked("client_id").as_deref(), Some("by-hand"));

    let documented =
        world.authorizer().registered("https://other.test", credentials()).client_id_document(DOCUMENT);
    assert_eq!(world.call(&documented.build().unwrap()).await.unwrap(), StatusCode::OK);
    assert_eq!(world.asked("client_id").as_deref(), Some(DOCUMENT));
    assert_eq!(world.server().journal().count(Endpoint::Register), 0);

    assert_eq!(world.call(&world.authorizer().build().unwrap()).await.unwrap(), StatusCode::OK);
    let registered = world.server().journal().of(Endpoint::Register).len();
    assert!(registered == 1 && world.asked("client_id").unwrap().starts_with("client-"));

    // A server that does not say so reads no documents.
    let world = World::new(server().client(by_hand()));
    let authorizer = world.authorizer().client_id_document(DOCUMENT).build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    assert_eq!(world.server().journal().count(Endpoint::Register), 1);
}

#[tokio::test]
async fn without_any_client_for_the_server_it_is_said_what_to_do() {
    let world = World::new(server().client(by_hand()).registration(Registering::closed()));
    let authorizer = world.authorizer().registered("https://other.test", credentials()).build().unwrap();
    let error = world.call(&authorizer).await.unwrap_err();
    assert_eq!(error.code(), "unsupported");
    assert!(
        error.to_string().contains(world.server().issuer()) && error.to_string().contains("registered("),
        "{error}"
    );
    assert_eq!((world.logins(), world.server().journal().count(Endpoint::Token)), (0, 0));
}

#[tokio::test]
async fn a_client_that_names_no_redirect_uri_registers_with_that_of_its_logins() {
    let world = World::new(server());
    let browser = world.clone();
    let authorizer = Authorizer::builder(API)
        .client(ClientMetadata::new().client_name("A test"))
        .http(world.http())
        .clock(world.clock.clone())
        .browser(move |page| {
            let callback = browser.log_in(page);
            async move { callback }
        });
    assert_eq!(world.call(&authorizer.build().unwrap()).await.unwrap(), StatusCode::OK);
    let redirect_uri = world.asked("redirect_uri").unwrap();
    assert_eq!(redirect_uri, "http://127.0.0.1/callback");
    let sent = world.server().journal().of(Endpoint::Register);
    assert_eq!(sent[0].param("application_type"), Some("native"));
}

#[tokio::test]
async fn an_api_that_moves_to_another_server_gets_another_client_there() {
    let world = World::of([server(), server()]);
    let authorizer = world.authorizer().build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    let first = world.asked("client_id").unwrap();

    let second_issuer = world.servers[1].issuer().to_owned();
    world.says().servers = vec![second_issuer.clone()];
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    assert_eq!((world.logins(), authorizer.issuer()), (2, Some(second_issuer.clone())));
    let second = world.asked("client_id").unwrap();
    assert_ne!(first, second);
    let new = &world.servers[1];
    assert_eq!(new.journal().count(Endpoint::Register), 1);
    assert!(
        new.journal().requests().iter().all(|request| request.param("client_id") != Some(first.as_str()))
    );

    // Both are known from now on, each where it belongs.
    let kept = authorizer.registrations();
    let at = |issuer: &str| kept.get(issuer).unwrap().client_id().to_owned();
    assert_eq!((at(world.server().issuer()), at(&second_issuer)), (first, second));
    world.says().servers = vec![world.server().issuer().to_owned()];
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    assert_eq!(world.server().journal().count(Endpoint::Register), 1);
}

#[tokio::test]
async fn credentials_given_for_one_issuer_are_not_shown_to_another() {
    let world = World::of([server().client(by_hand()), server().registration(Registering::closed())]);
    let authorizer = world.authorizer().registered(world.server().issuer(), credentials()).build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    world.says().servers = vec![world.servers[1].issuer().to_owned()];
    assert_eq!(world.call(&authorizer).await.unwrap_err().code(), "unsupported");
    let there = world.servers[1].journal().requests();
    assert!(there.iter().all(|request| request.header("authorization").is_none()), "{there:?}");
    assert_eq!(world.servers[1].journal().count(Endpoint::Token), 0);
}

type Kept = Arc<Mutex<Registrations>>;

fn keeping(world: &World, kept: &Kept) -> Authorizer {
    let (known, sink) = (kept.lock().unwrap().clone(), Arc::clone(kept));
    let hook = move |issuer: &str, registration: &Registration| {
        sink.lock().unwrap().insert(issuer, registration.clone());
    };
    world.authorizer().registrations(known).on_registration(hook).build().unwrap()
}

#[tokio::test]
async fn a_client_registers_once_and_again_when_the_server_has_forgotten_it() {
    let (world, kept) = (World::new(server()), Kept::default());
    assert_eq!(world.call(&keeping(&world, &kept)).await.unwrap(), StatusCode::OK);
    let first = world.asked("client_id").unwrap();
    let sent: serde_json::Value =
        serde_json::to_value(kept.lock().unwrap().get(world.server().issuer()).unwrap()).unwrap();
    assert_eq!((&sent["client_id"], &sent["token_endpoint_auth_method"]), (&json!(first), &json!("none")));

    assert_eq!(world.call(&keeping(&world, &kept)).await.unwrap(), StatusCode::OK);
    assert_eq!(
        (world.asked("client_id"), world.server().journal().count(Endpoint::Register)),
        (Some(first.clone()), 1)
    );

    // The page of a client that is unknown leads nowhere, so the server forgets it while the person is there.
    let (browser, server) = (world.clone(), Arc::clone(&world.servers[0]));
    let known = kept.lock().unwrap().clone();
    let authorizer = world.plain().registrations(known).browser(move |page| {
        let callback = browser.log_in(page);
        let client = browser.asked("client_id").unwrap();
        if browser.logins() == 3 {
            server.remove_client(&client);
        }
        async move { callback }
    });
    assert_eq!(world.call(&authorizer.build().unwrap()).await.unwrap(), StatusCode::OK);
    assert_eq!((world.logins(), world.server().journal().count(Endpoint::Register)), (4, 2));
    assert_ne!(world.asked("client_id"), Some(first));
}

#[tokio::test]
async fn a_client_whose_secret_has_expired_registers_anew() {
    let world = World::new(server());
    let issuer = world.server().issuer();
    let kept = |end: u64| {
        let text =
            json!({ issuer: { "client_id": "old", "client_secret": "x", "client_secret_expires_at": end } });
        serde_json::from_value::<Registrations>(text).unwrap()
    };
    // The clock stands in 2030.
    let authorizer = world.authorizer().registrations(kept(1_800_000_000)).build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    assert_ne!(world.asked("client_id").as_deref(), Some("old"));
    let shown = format!("{:?}", kept(0));
    assert!(shown.contains("old") && !shown.contains("\"x\""), "{shown}");
}

/// Longer than any token lives.
const LATER: Duration = Duration::from_secs(3601);

#[tokio::test]
async fn a_client_that_is_forgotten_while_it_runs_registers_anew() {
    // A person's client, and one that acts for itself.
    for with_person in [true, false] {
        let world = World::new(server());
        let builder = if with_person {
            world.authorizer()
        } else {
            world.plain().grant(|_| oauth_client::grant::client_credentials())
        };
        let forgotten = Arc::new(Mutex::new(Vec::new()));
        let hook = Arc::clone(&forgotten);
        let builder = builder.on_forgotten(move |_, registration| {
            hook.lock().unwrap().push(registration.client_id().to_owned());
        });
        let authorizer = builder.build().unwrap();
        assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
        let client_id = || {
            let kept = authorizer.registrations();
            kept.get(world.server().issuer()).unwrap().client_id().to_owned()
        };
        let first = client_id();
        world.server().remove_client(&first);
        world.clock.suspend(LATER);
        let calls = futures_util::future::join_all((0..20).map(|_| world.call(&authorizer))).await;
        assert!(calls.into_iter().all(|status| status.unwrap() == StatusCode::OK), "person: {with_person}");
        assert_ne!(client_id(), first);
        assert_eq!(*forgotten.lock().unwrap(), [first]);
        let registered = world.server().journal().count(Endpoint::Register);
        assert_eq!(
            (world.logins(), registered),
            (if with_person { 2 } else { 0 }, 2),
            "once for all of them"
        );
    }
}

#[tokio::test]
async fn a_client_that_was_registered_by_hand_is_for_a_person_to_mend() {
    let client = by_hand().grants([GrantType::AuthorizationCode, GrantType::RefreshToken]);
    let world = World::new(server().client(client));
    let builder = world.authorizer().registered(world.server().issuer(), credentials());
    let authorizer = builder.build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    world.server().remove_client("by-hand");
    world.clock.suspend(LATER);
    assert_eq!(world.call(&authorizer).await.unwrap_err().code(), "invalid_client");
    assert_eq!((world.logins(), world.server().journal().count(Endpoint::Register)), (1, 0));
}

/// The page of a client that is unknown does not lead back (RFC 6749 section 4.1.2.1).
#[tokio::test]
async fn a_kept_client_whose_login_does_not_come_back_is_forgotten() {
    let world = World::new(server());
    let issuer = world.server().issuer();
    let kept: Registrations = serde_json::from_value(json!({ issuer: { "client_id": "old" } })).unwrap();
    let authorizer = world.authorizer().registrations(kept).build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap_err().code(), "login_timeout");
    assert_eq!(world.asked("client_id").as_deref(), Some("old"));
    assert!(authorizer.registrations().get(issuer).is_none());
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    assert_ne!(world.asked("client_id").as_deref(), Some("old"));
}

#[tokio::test]
async fn a_kept_client_that_comes_back_to_another_place_is_not_used() {
    let world = World::new(server());
    let issuer = world.server().issuer();
    let kept = json!({ issuer: { "client_id": "old", "redirect_uris": ["https://old.test/callback"] } });
    let kept: Registrations = serde_json::from_value(kept).unwrap();
    let authorizer = world.authorizer().registrations(kept).build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    assert_eq!((world.logins(), world.server().journal().count(Endpoint::Register)), (1, 1));
    assert_ne!(world.asked("client_id").as_deref(), Some("old"));
}

/// Servers have different words for it, and none of them may make each start fail.
#[tokio::test]
async fn a_kept_client_that_is_refused_in_whatever_words_is_forgotten() {
    for (status, body) in [
        (401, "<h1>Unauthorized</h1>"),
        (401, ""),
        (400, r#"{"error":"unauthorized_client"}"#),
        (400, r#"{"error":"invalid_client"}"#),
    ] {
        let world = World::new(server());
        let first = world.authorizer().build().unwrap();
        assert_eq!(world.call(&first).await.unwrap(), StatusCode::OK);
        let old = world.asked("client_id").unwrap();
        let forgotten = Arc::new(Mutex::new(Vec::new()));
        let hook = Arc::clone(&forgotten);
        let builder = world.authorizer().registrations(first.registrations());
        let authorizer = builder.on_forgotten(move |_, registration| {
            hook.lock().unwrap().push(registration.client_id().to_owned());
        });
        world.server().fault(Endpoint::Token, Fault::body(status, "text/html", body)).times(1);
        assert_eq!(
            world.call(&authorizer.build().unwrap()).await.unwrap(),
            StatusCode::OK,
            "{status} {body}"
        );
        assert_eq!(*forgotten.lock().unwrap(), [old]);
        assert_eq!(world.server().journal().count(Endpoint::Register), 2);
    }
}

/// A gateway's bare 401 is not the word of a server that has forgotten its client.
#[tokio::test(start_paused = true)]
async fn a_gateway_that_refuses_a_refresh_costs_no_registration_and_no_login() {
    let world = World::new(server());
    let authorizer = world.authorizer().build().unwrap();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    let page = Fault::body(401, "text/html", "<h1>Unauthorized</h1>");
    world.server().fault(Endpoint::Token, page).always();
    world.clock.suspend(LATER);
    assert_eq!(world.call(&authorizer).await.unwrap_err().code(), "invalid_client");
    world.server().clear_faults();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    assert_eq!((world.logins(), world.server().journal().count(Endpoint::Register)), (1, 1));
}

#[tokio::test]
async fn a_client_in_use_is_not_forgotten_when_a_person_closes_a_page() {
    let world = World::new(server());
    let (browser, pages) = (world.clone(), Arc::new(AtomicUsize::new(0)));
    let authorizer = world.plain().browser(move |page| {
        let is_first = pages.fetch_add(1, Ordering::Relaxed) == 0;
        let callback = if is_first { browser.log_in(page) } else { Err("the window was closed".to_owned()) };
        async move { callback }
    });
    let authorizer = authorizer.build().unwrap();
    world.says().scope = Some("read");
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    (world.says().scope, world.says().needs) = (Some("write"), vec!["write"]);
    assert_eq!(world.call(&authorizer).await.unwrap_err().code(), "login_timeout");
    assert!(authorizer.registrations().get(world.server().issuer()).is_some());
    (world.says().scope, world.says().needs) = (Some("read"), vec!["read"]);
    world.clock.suspend(LATER);
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK, "the login goes on");
    assert_eq!(world.server().journal().count(Endpoint::Register), 1);
}

//! Token exchange (RFC 8693), by hand and for many people.

use std::collections::HashSet;
use std::time::Duration;

use oauth_client::config::ClientConfig;
use oauth_client::grant::{self, Assertion, IdJag, TokenExchange};
use oauth_client::source::Exchanger;
use oauth_client::store::MemoryStore;
use oauth_client::token::TokenType;
use oauth_client::{Secret, TokenSource, secret};
use oauth_mock::{Endpoint, Fault, GrantType, MockClient, MockServer, User};
use tokio::task::JoinSet;

use crate::support::{Fixture, advance, fixture_of, http};

const BILLING: &str = "https://billing.test";

fn fixture() -> Fixture {
    let gateway = MockClient::default().grants([GrantType::TokenExchange, GrantType::ClientCredentials]);
    let app = MockClient::new("app").secret("a").scopes(["read"]).token_lifetime(Duration::from_secs(120));
    fixture_of(
        MockServer::builder()
            .client(gateway.scopes(["read", "write"]).exchange_audiences([BILLING]))
            .client(app)
            .user(User::new("alice", "wonderland"))
            .audience("orders-api")
            .audience(BILLING)
            .in_process(),
    )
}

fn exchanger(fixture: &Fixture) -> Exchanger {
    fixture.client.exchanger(|subject| grant::token_exchange(subject).resource([BILLING]).scope(["read"]))
}

fn users_token(fixture: &Fixture, user: &str) -> String {
    fixture.server.issue("app", user, "read").unwrap().access_token
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_what_was_asked_for_names_it() {
    let fixture = fixture();
    let exchange = || grant::token_exchange(users_token(&fixture, "alice"));
    let resource = exchange().resource([BILLING, "https://stock.test"]);
    let error = fixture.client.request(&resource.scope(["read"])).await.unwrap_err();
    let refused = "the server refused: invalid_target (HTTP 400) for";
    assert_eq!(error.to_string(), format!("{refused} the resource \"{BILLING} https://stock.test\""));
    let error = fixture.client.request(&exchange().audience("stock-api")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{refused} the audience \"stock-api\""));
    assert!(!format!("{error:?}").contains(&users_token(&fixture, "alice")));

    // A source says it in its log and to its callers.
    let source = fixture.client.source(grant::client_credentials().scope(["read", "admin"])).build().unwrap();
    let error = source.token().await.unwrap_err();
    let whole = error.with_causes().to_string();
    let sentence = "the server refused: invalid_scope (HTTP 400) for the scope \"read admin\"";
    assert!(whole.starts_with(&format!("{sentence}: ")), "{whole}");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_exchanged_for_one_of_the_next_api() {
    let fixture = fixture();
    let own = fixture.client.source(grant::client_credentials()).build().unwrap();
    let exchange = TokenExchange::new(users_token(&fixture, "alice"), TokenType::AccessToken)
        .actor_from(&own)
        .requested_token_type(TokenType::Jwt);
    let request = grant::token_exchange(exchange).resource([BILLING]).scope(["read"]);
    let tokens = fixture.client.request(&request).await.unwrap();
    assert_eq!(tokens.issued_token_type(), Some(TokenType::Jwt));
    assert_eq!(tokens.scope().unwrap(), ["read"]);
    let sent = fixture.server.journal().of(Endpoint::Token).pop().unwrap();
    let uri = |name: &str| sent.param(name).unwrap().to_owned();
    assert_eq!(uri("grant_type"), "urn:ietf:params:oauth:grant-type:token-exchange");
    assert_eq!(uri("subject_token_type"), TokenType::AccessToken.uri());
    assert_eq!(uri("actor_token_type"), TokenType::AccessToken.uri());
    assert_eq!(uri("requested_token_type"), TokenType::Jwt.uri());
    let actor = own.token().await.unwrap().secret().expose().to_owned();
    assert_eq!(uri("actor_token"), fixture.server.journal().fingerprint(&actor), "the service's own token");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_for_ten_people_cost_ten_token_requests() {
    let fixture = fixture();
    let exchanger = exchanger(&fixture);
    let tokens: Vec<_> = (0..10).map(|n| users_token(&fixture, &format!("user-{n}"))).collect();
    let mut tasks = JoinSet::new();
    for n in 0..1000 {
        let (exchanger, token) = (exchanger.clone(), tokens[n % 10].clone());
        tasks.spawn(
            async move { (n % 10, exchanger.token(token).await.unwrap().secret().expose().to_owned()) },
        );
    }
    let got: HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(got.len(), 10, "one token for each");
    assert_eq!(got.iter().map(|(_, token)| token).collect::<HashSet<_>>().len(), 10, "and none for two");
    assert_eq!((fixture.count(Endpoint::Token), exchanger.len()), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn what_was_exchanged_lives_no_longer_than_the_subject_token() {
    let fixture = fixture();
    let exchanger = exchanger(&fixture);
    let alice = users_token(&fixture, "alice"); // lives two minutes; what it is exchanged for would live five
    let source = exchanger.source(&*alice).unwrap();
    let token = source.token().await.unwrap();
    assert!(token.expires_at().as_secs() <= fixture.server.clock().now_unix().unsigned_abs() + 120);
    advance(115).await;
    source.token().await.unwrap();
    assert_eq!(fixture.count(Endpoint::Token), 1, "nothing is replaced early that has no future");
    advance(6).await;
    let error = source.token().await.unwrap_err();
    assert!(error.is_reauthorization_required(), "{error}");
    assert!(exchanger.source(&*alice).unwrap_err().is_reauthorization_required());
    assert_eq!(
        (fixture.count(Endpoint::Token), exchanger.len()),
        (1, 0),
        "and the server is not bothered with it"
    );

    let opaque = TokenExchange::from("opaque").expires_at(Duration::from_secs(1));
    assert!(exchanger.source(opaque).unwrap_err().is_reauthorization_required());
}

#[tokio::test(start_paused = true)]
async fn the_bytes_that_people_take_are_bounded() {
    let fixture = fixture();
    let exchanger = exchanger(&fixture).max_bytes(100_000);
    for n in 0..200 {
        exchanger.token(users_token(&fixture, &format!("user-{n}"))).await.unwrap();
    }
    let small = exchanger.len();
    assert!((10..=60).contains(&small), "{small} of them fit into 100,000 bytes");
    // What was used last stays. A pool tells the order by milliseconds.
    let pause = || tokio::time::sleep(Duration::from_millis(5));
    pause().await;
    let latest = users_token(&fixture, "latest");
    exchanger.token(&*latest).await.unwrap();
    let before = fixture.count(Endpoint::Token);
    exchanger.token(&*latest).await.unwrap();
    assert_eq!(fixture.count(Endpoint::Token), before);
    // Large subject tokens leave room for fewer.
    for n in 0..20 {
        pause().await;
        exchanger.source(format!("{n}{}", "x".repeat(20_000))).unwrap();
    }
    assert!(exchanger.len() <= 5, "{}", exchanger.len());
}

#[tokio::test(start_paused = true)]
async fn people_whose_tokens_have_expired_make_room() {
    let fixture = fixture();
    let exchanger = exchanger(&fixture);
    for n in 0..20 {
        exchanger.source(users_token(&fixture, &format!("user-{n}"))).unwrap();
    }
    assert_eq!(exchanger.len(), 20);
    advance(200).await;
    exchanger.source(users_token(&fixture, "late")).unwrap();
    assert_eq!(exchanger.len(), 1);
    let bounded = exchanger.max_subjects(3);
    for n in 0..20 {
        bounded.source(users_token(&fixture, &format!("user-{n}"))).unwrap();
    }
    assert!(bounded.len() <= 3);
}

#[tokio::test(start_paused = true)]
async fn the_exchange_is_repeated_until_the_subject_token_is_refused() {
    let fixture = fixture();
    let login = fixture.server.issue("svc", "alice", "read").unwrap();
    let subject = TokenExchange::new(login.access_token.clone(), TokenType::AccessToken);
    let source = fixture.client.source(grant::token_exchange(subject).resource([BILLING])).build().unwrap();
    let first = source.token().await.unwrap();
    assert!(source.reject(first.generation()));
    assert_eq!(source.token().await.unwrap().generation(), 2);
    fixture.server.revoke_token(&login.access_token);
    assert!(source.reject(2));
    let error = source.token().await.unwrap_err();
    assert!(error.is_reauthorization_required(), "{error:?}");
    let before = fixture.count(Endpoint::Token);
    advance(300).await;
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(fixture.count(Endpoint::Token), before, "a token that is refused is not sent again");
}

#[tokio::test(start_paused = true)]
async fn only_a_code_in_the_body_ends_an_exchange_and_only_one_that_has_worked() {
    let fixture = fixture();
    let fault = |body: &'static str, media_type: &'static str| {
        fixture.server.fault(Endpoint::Token, Fault::body(400, media_type, body)).times(1);
    };
    let html = || fault("<html><body>Bad Request</body></html>", "text/html");
    let invalid = || fault(r#"{"error":"invalid_request"}"#, "application/json");
    let login = fixture.server.issue("svc", "alice", "read").unwrap();
    let subject = TokenExchange::new(login.access_token.clone(), TokenType::AccessToken);
    let source = fixture.client.source(grant::token_exchange(subject).resource([BILLING])).build().unwrap();

    // Of a first exchange, anything in the request may be wrong: it can be tried again.
    invalid();
    let error = source.token().await.unwrap_err();
    assert_eq!((error.code(), error.is_reauthorization_required()), ("invalid_request", false));
    advance(60).await;
    let first = source.token().await.unwrap().generation();

    // A gateway's page is not the server's word.
    assert!(source.reject(first));
    html();
    let error = source.token().await.unwrap_err();
    assert_eq!((error.code(), error.is_reauthorization_required()), ("invalid_request", false), "{error}");
    advance(60).await;
    let second = source.token().await.unwrap().generation();

    // The server's own `invalid_request` is about the subject token by now (RFC 8693 section 2.2.2).
    assert!(source.reject(second));
    invalid();
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
    let before = fixture.count(Endpoint::Token);
    advance(60).await;
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(fixture.count(Endpoint::Token), before);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_access_token_is_never_sent_as_one() {
    let fixture = fixture();
    let response = |issued: TokenType| {
        let body = serde_json::json!({"access_token": "PHNhbWw", "token_type": "N_A", "issued_token_type": issued.uri()});
        Fault::body(200, "application/json", body.to_string())
    };
    let request = grant::token_exchange("alices").resource([BILLING]);
    fixture.server.fault(Endpoint::Token, response(TokenType::Saml2)).times(1);
    let tokens = fixture.client.request(&request).await.unwrap();
    assert_eq!(tokens.issued_token_type(), Some(TokenType::Saml2));
    fixture.server.fault(Endpoint::Token, response(TokenType::AccessToken)).times(1);
    assert_eq!(fixture.client.request(&request).await.unwrap_err().code(), "unsupported_token_type");
    fixture.server.fault(Endpoint::Token, response(TokenType::Saml2)).times(1);
    let source = fixture.client.source(request).build().unwrap();
    assert_eq!(source.token().await.unwrap_err().code(), "unsupported_token_type");
}

#[tokio::test(start_paused = true)]
async fn an_actor_from_a_source_is_another_than_none_and_than_that_of_another_source() {
    let fixture = fixture();
    let own =
        |scope: &str| fixture.client.source(grant::client_credentials().scope([scope])).build().unwrap();
    let (alice, reader, writer) = (users_token(&fixture, "alice"), own("read"), own("write"));
    let subject = || TokenExchange::from(&*alice);
    let exchanger = exchanger(&fixture);
    let mut tokens = HashSet::new();
    for exchange in [subject(), subject().actor_from(&reader), subject().actor_from(&writer)] {
        tokens.insert(exchanger.token(exchange).await.unwrap().secret().expose().to_owned());
    }
    assert_eq!((tokens.len(), exchanger.len()), (3, 3));
    exchanger.token(subject().actor_from(&own("read"))).await.unwrap();
    assert_eq!(exchanger.len(), 3, "the same actor, whichever source its token is from");
    // Nor do they share a place in a store.
    let key = |exchange| fixture.client.source(grant::token_exchange(exchange)).store_key();
    let from_file = secret::from_file("/run/secrets/actor");
    let made = subject().actor(from_file, TokenType::Jwt);
    assert_eq!(HashSet::from([key(subject()), key(subject().actor_from(&reader)), key(made)]).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn exchanges_of_one_token_by_two_actors_are_two() {
    let fixture = fixture();
    let exchanger = exchanger(&fixture);
    let alice = users_token(&fixture, "alice");
    let by = |actor: &str| {
        let actor = fixture.server.issue("svc", actor, "read").unwrap().access_token;
        TokenExchange::from(&*alice).actor(actor, TokenType::AccessToken)
    };
    let [one, two] = [by("robot-1"), by("robot-2")];
    let first = exchanger.token(one.clone()).await.unwrap();
    assert_ne!(first.secret(), exchanger.token(two).await.unwrap().secret());
    assert_eq!(first.secret(), exchanger.token(one.clone()).await.unwrap().secret());
    assert_eq!((fixture.count(Endpoint::Token), exchanger.len()), (2, 2));
    exchanger.forget(one.clone());
    assert_ne!(first.secret(), exchanger.token(one).await.unwrap().secret());
}

#[tokio::test(start_paused = true)]
async fn a_configuration_exchanges_the_token_that_a_file_has_at_the_time() {
    let fixture = fixture();
    let path = std::env::temp_dir().join(format!("subject-{}.jwt", std::process::id()));
    let write = |user: &str| std::fs::write(&path, users_token(&fixture, user)).unwrap();
    write("alice");
    let config: ClientConfig = serde_json::from_value(serde_json::json!({
        "issuer": fixture.server.issuer(), "client_id": "svc", "client_secret": "s3cr3t", "grant": "token_exchange",
        "subject_token": {"file": path.to_str().unwrap()}, "requested_token_type": "jwt", "resource": [BILLING]
    }))
    .unwrap();
    let source = config.http(http(&fixture.server)).clock(fixture.clock.clone()).build().unwrap();
    let first = source.token().await.unwrap();
    write("bob");
    source.reject(first.generation());
    source.token().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let sent = fixture.server.journal().of(Endpoint::Token);
    assert_ne!(sent[0].param("subject_token"), sent[1].param("subject_token"));
    assert_eq!(sent[0].param("requested_token_type"), Some(TokenType::Jwt.uri()));
}

#[test]
fn no_token_is_shown_nor_part_of_a_key() {
    let fixture = fixture();
    let exchange =
        TokenExchange::new("s3cr3t-subject", TokenType::IdToken).actor("s3cr3t-actor", TokenType::Jwt);
    let request = grant::token_exchange(exchange.clone());
    let builder = fixture.client.source(request.clone());
    let shown = format!("{exchange:?} {request:?} {builder:?} {}", builder.store_key().as_str());
    assert!(!shown.contains("s3cr3t-"), "{shown}");
    let other = fixture.client.source(grant::token_exchange("another")).store_key();
    assert_ne!(builder.store_key(), other, "two subjects never share a token");
}

/// A login, of which only its subject says whose it is.
async fn login_of(fixture: &Fixture, user: &str) -> TokenSource {
    let response = serde_json::json!({"access_token": users_token(fixture, user), "token_type": "Bearer"});
    fixture
        .server
        .fault(Endpoint::Token, Fault::body(200, "application/json", response.to_string()))
        .times(1);
    let login = fixture.client.source(grant::refresh_token(user).subject(user)).build().unwrap();
    login.token().await.unwrap();
    login
}

#[tokio::test(start_paused = true)]
async fn the_exchanges_of_two_logins_never_share_a_token() {
    let fixture = fixture();
    let (alice, bob) = (login_of(&fixture, "alice").await, login_of(&fixture, "bob").await);
    let store = MemoryStore::new();
    let exchanged = |exchange: TokenExchange| {
        let request = grant::token_exchange(exchange).resource([BILLING]).scope(["read"]);
        fixture.client.source(request).store(store.clone())
    };
    let by_access_token = |login: &TokenSource| TokenExchange::new(login.clone(), TokenType::AccessToken);
    let mut tokens = HashSet::new();
    for login in [&alice, &bob] {
        let source = exchanged(by_access_token(login)).build().unwrap();
        tokens.insert(source.token().await.unwrap().secret().expose().to_owned());
    }
    assert_eq!((tokens.len(), fixture.count(Endpoint::Token)), (2, 4), "two logins, two exchanges");
    let again = exchanged(by_access_token(&alice)).build().unwrap().token().await.unwrap();
    assert!(
        tokens.contains(again.secret().expose()) && fixture.count(Endpoint::Token) == 4,
        "alice's is kept"
    );

    let key = |exchange| exchanged(exchange).store_key();
    let keys = [&alice, &bob].map(|login| key(TokenExchange::id_token_of(login)));
    assert_ne!(keys[0], keys[1]);
    let by_robot = by_access_token(&alice).actor("robot", TokenType::Jwt);
    assert_ne!(key(by_robot), key(by_access_token(&alice)));
}

#[tokio::test]
async fn a_store_keeps_no_token_of_a_subject_that_has_no_name() {
    let fixture = fixture();
    let made = || secret::from_fn(|| async { Ok::<_, std::io::Error>("made") });
    let by = |subject: secret::SecretSource| grant::token_exchange(TokenExchange::from(subject));
    let nameless = fixture.client.source(grant::login()).build().unwrap();
    for request in [
        by(made()),
        by(nameless.clone().into()),
        grant::token_exchange(TokenExchange::id_token_of(&nameless)),
        grant::jwt_bearer(made()),
        grant::jwt_bearer(Assertion::from_fn(|_| async { Ok::<_, std::io::Error>(Secret::from("made")) })),
        grant::id_jag(IdJag::new(&fixture.client, TokenExchange::new(made(), TokenType::IdToken))),
        // Whose token it is does not become known on the way.
        by(fixture.client.source(by(made())).build().unwrap().into()),
    ] {
        fixture.client.source(request.clone()).build().unwrap();
        let kept =
            |request: grant::TokenRequest| fixture.client.source(request).store(MemoryStore::new()).build();
        let error = kept(request.clone()).unwrap_err();
        assert_eq!((error.code(), &*error.problems()[0].field), ("config", "subject"), "{request:?}");
        assert!(error.to_string().contains("TokenRequest::subject"), "{error}");
        kept(request.subject("alice")).unwrap();
    }

    // The name of a file or a variable, and the subject of a login, say whose it is.
    let named = fixture.client.source(grant::login().subject("alice")).build().unwrap();
    let key = |request: grant::TokenRequest| {
        let source = fixture.client.source(request).store(MemoryStore::new());
        let key = source.store_key();
        source.build().unwrap();
        key
    };
    let keys = |one: &str, other: &str| {
        HashSet::from([
            key(by(secret::from_file(one))),
            key(by(secret::from_file(other))),
            key(by(secret::from_env(one))),
            key(by(secret::from_env(other))),
            key(grant::jwt_bearer(secret::from_file(one))),
            key(grant::jwt_bearer(secret::from_file(other))),
            key(grant::jwt_bearer(named.clone())),
            key(by(named.clone().into())),
        ])
    };
    assert_eq!((keys("/run/alice", "/run/bob").len(), keys("/run/alice", "/run/alice").len()), (8, 5));
}

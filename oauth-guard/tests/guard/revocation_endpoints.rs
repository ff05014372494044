//! The endpoints for logout tokens and security events, against the mock's table of good and bad ones, and polling.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use oauth_guard::revocation::{OnOutage, Poll, Revocation, RevocationSettings};
use oauth_guard::{Guard, HttpClient};
use oauth_mock::statements::{
    self, Answer, AttackedEndpoint, EndpointCase, EndpointReport, Parcel, SecurityEvent, StatementContext,
};
use oauth_mock::{Alg, Endpoint, Fault, MockServer, TestKey};
use serde_json::json;
use tokio::time::advance;
use tower::ServiceExt;

use crate::support::{Fixture, call, settle};

const REVOKED: (u16, Option<&str>) = (401, Some("invalid_token"));

fn settings() -> RevocationSettings {
    RevocationSettings::new()
        .backchannel_logout("/backchannel-logout")
        .security_events("/security-events")
        .client_id("shop")
}

fn guard(fixture: &Fixture) -> Guard {
    fixture.builder().issuer(fixture.issuer()).revocation(settings()).build().unwrap()
}

async fn answer(response: Response<Full<Bytes>>) -> Answer {
    let headers = response.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Answer::new(status, headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn send(guard: &Guard, endpoint: AttackedEndpoint, parcel: &Parcel) -> Answer {
    let request = parcel.to_http("https://api.test/endpoint").unwrap().map(Full::new);
    let service = match endpoint {
        AttackedEndpoint::BackchannelLogout => guard.backchannel_logout(),
        AttackedEndpoint::SecurityEvents => guard.security_events(),
    };
    answer(service.oneshot(request).await.unwrap()).await
}

async fn log_out(guard: &Guard, token: &str) -> Answer {
    send(guard, AttackedEndpoint::BackchannelLogout, &Parcel::logout(token)).await
}

async fn push(guard: &Guard, token: &str) -> Answer {
    send(guard, AttackedEndpoint::SecurityEvents, &Parcel::event(token)).await
}

#[tokio::test(start_paused = true)]
async fn every_violation_gets_its_response_and_ends_nothing() {
    let fixture = Fixture::new();
    let guard = guard(&fixture);
    let mut cases = Vec::new();
    for (number, attack) in statements::all().enumerate() {
        let subject = format!("user-{number}");
        let token = fixture.server.mint().subject(&subject).build();
        assert_eq!(call(&guard, &token).await.status, 200);
        let parcel = attack.parcel(&StatementContext::new(&fixture.server, "shop", &subject));
        let answer = send(&guard, attack.endpoint, &parcel).await;
        cases.push(EndpointCase::judge(attack, answer, call(&guard, &token).await.status == 200));
        // An unknown key causes a fetch, within the cool-down.
        advance(Duration::from_secs(31)).await;
    }
    let report = EndpointReport::new(cases);
    println!("{report}");
    assert!(report.cases.len() > 90, "{}", report.cases.len());
    assert_eq!(report.mistakes(), 0, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_logout_of_one_session_leaves_the_users_other_sessions_alone() {
    let fixture = Fixture::new();
    let guard = guard(&fixture);
    let mint = |sid: Option<&str>| {
        let token = fixture.server.mint().subject("ada");
        sid.map_or(token.clone(), |sid| token.claim("sid", sid)).build()
    };
    let (one, other, without) = (mint(Some("s1")), mint(Some("s2")), mint(None));
    let logout = fixture.server.logout_token("shop", "ada").claim("sid", "s1").build();
    assert_eq!(log_out(&guard, &logout).await.status, 200);
    assert_eq!(call(&guard, &one).await.summary(), REVOKED);
    assert_eq!(call(&guard, &other).await.status, 200);
    assert_eq!(call(&guard, &without).await.summary(), REVOKED, "it may be of that session");
    // By the session alone.
    let logout = fixture.server.logout_token("shop", "ada").without("sub").claim("sid", "s2").build();
    assert_eq!(log_out(&guard, &logout).await.status, 200);
    assert_eq!(call(&guard, &other).await.summary(), REVOKED);
}

#[tokio::test(start_paused = true)]
async fn what_comes_again_is_answered_like_the_first_time_and_has_no_further_effect() {
    let fixture = Fixture::new();
    let guard = guard(&fixture);
    let logout = fixture.server.logout_token("shop", "ada").expires_in(600).build();
    let event = fixture.server.security_event("shop", SecurityEvent::CredentialChange, "bob").build();
    assert_eq!((log_out(&guard, &logout).await.status, push(&guard, &event).await.status), (200, 202));
    advance(Duration::from_secs(1)).await;
    // Both log in again.
    let tokens = ["ada", "bob"].map(|name| fixture.server.mint().subject(name).build());
    assert_eq!((log_out(&guard, &logout).await.status, push(&guard, &event).await.status), (200, 202));
    for token in &tokens {
        assert_eq!(call(&guard, token).await.status, 200);
    }
}

/// A server may number its logout tokens and its security events each for themselves.
#[tokio::test(start_paused = true)]
async fn a_logout_token_and_an_event_of_one_identifier_are_two() {
    let fixture = Fixture::new();
    let guard = guard(&fixture);
    let [ada, bob] = ["ada", "bob"].map(|name| fixture.server.mint().subject(name).build());
    let logout = fixture.server.logout_token("shop", "ada").claim("jti", "1").build();
    let event = fixture.server.security_event("shop", SecurityEvent::AccountDisabled, "bob");
    let event = event.claim("jti", "1").build();
    assert_eq!((log_out(&guard, &logout).await.status, push(&guard, &event).await.status), (200, 202));
    for token in [&ada, &bob] {
        assert_eq!(call(&guard, token).await.summary(), REVOKED);
    }
}

#[tokio::test(start_paused = true)]
async fn each_event_ends_what_it_is_about() {
    let fixture = Fixture::new();
    let issuer = fixture.server.issuer();
    for event in SecurityEvent::ALL {
        let guard = guard(&fixture);
        let token = fixture.server.mint().subject("ada").claim("sid", "s1").build();
        let good = fixture.server.security_event("shop", event, "ada").build();
        assert_eq!(push(&guard, &good).await.status, 202);
        assert_eq!(call(&guard, &token).await.summary(), REVOKED, "{event:?}");
        assert_eq!(call(&guard, &fixture.server.mint().subject("bob").build()).await.status, 200);
    }
    // By other subjects.
    let session = json!({"format": "complex", "user": {"format": "iss_sub", "iss": issuer, "sub": "ada"}, "session": {"format": "opaque", "id": "s1"}});
    let token_id = json!({"format": "jwt_id", "iss": issuer, "jti": "t1"});
    let opaque = json!({"format": "opaque", "id": "ada"});
    for (subject, expected) in
        [(session, [401, 200, 401]), (token_id, [401, 200, 200]), (opaque, [401, 401, 401])]
    {
        let guard = guard(&fixture);
        let mint = || fixture.server.mint().subject("ada");
        let tokens = [
            mint().claim("sid", "s1").claim("jti", "t1").build(),
            mint().claim("sid", "s2").build(),
            mint().build(),
        ];
        let event = fixture
            .server
            .security_event("shop", SecurityEvent::SessionRevoked, "x")
            .claim("sub_id", subject.clone());
        assert_eq!(push(&guard, &event.build()).await.status, 202);
        for (token, expected) in tokens.iter().zip(expected) {
            assert_eq!(call(&guard, token).await.status, expected, "{subject}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn security_events_may_be_for_the_resource_and_logout_tokens_may_not() {
    let fixture = Fixture::new();
    let builder = fixture.builder().issuer(fixture.issuer()).resource("https://api.example.com");
    let guard = builder.revocation(settings()).build().unwrap();
    let event =
        fixture.server.security_event("https://api.example.com", SecurityEvent::SessionRevoked, "ada");
    assert_eq!(push(&guard, &event.build()).await.status, 202);
    let logout = fixture.server.logout_token("https://api.example.com", "ada").build();
    assert_eq!(log_out(&guard, &logout).await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn invented_keys_cause_no_more_fetches_than_invented_tokens_do() {
    let fixture = Fixture::new();
    let guard = guard(&fixture);
    let key = TestKey::generate(Alg::Es256);
    assert_eq!(log_out(&guard, &fixture.server.logout_token("shop", "ada").build()).await.status, 200);
    let before = fixture.server.journal().count(Endpoint::Jwks);
    for number in 0..100 {
        let forged = key.clone().with_kid(&format!("k{number}"));
        let logout = fixture.server.logout_token("shop", "ada").signed_with(&forged).build();
        // The first one had its fetch; of the others it is not known yet whether their keys are new.
        let expected = if number == 0 { 400 } else { 503 };
        // A fetch settles what comes in its moment.
        advance(Duration::from_millis(1)).await;
        assert_eq!(log_out(&guard, &logout).await.status, expected);
        advance(Duration::from_millis(1)).await;
        let event = fixture.server.security_event("shop", SecurityEvent::SessionRevoked, "ada");
        assert_eq!(push(&guard, &event.signed_with(&forged).build()).await.status, 503);
    }
    assert!(fixture.server.journal().count(Endpoint::Jwks) - before <= 2);
    // Claims are checked first: what is for others causes none.
    let guard = self::guard(&fixture);
    let before = fixture.server.journal().count(Endpoint::Jwks);
    assert_eq!(log_out(&guard, &fixture.server.logout_token("other", "ada").build()).await.status, 400);
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), before);
}

/// Sends forged tokens, which use up the fetches that unknown keys may cause.
async fn use_up_fetches(fixture: &Fixture, guard: &Guard) {
    let forger = TestKey::generate(Alg::Es256);
    for number in 0..8 {
        let forged =
            fixture.server.mint().signed_with(&forger.clone().with_kid(&format!("k{number}"))).build();
        assert_eq!(call(guard, &forged).await.status, 401);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_that_may_not_be_fetched_yet_costs_no_logout() {
    let fixture = Fixture::new();
    let guard = guard(&fixture);
    let token = fixture.server.mint().subject("ada").expires_in(3600).build();
    assert_eq!(call(&guard, &token).await.status, 200);
    use_up_fetches(&fixture, &guard).await;
    advance(Duration::from_millis(1)).await;
    fixture.server.keys().rotate();
    let logout = fixture.server.logout_token("shop", "ada").expires_in(600).build();
    let event = fixture.server.security_event("shop", SecurityEvent::AccountDisabled, "ada").build();
    for refused in [log_out(&guard, &logout).await, push(&guard, &event).await] {
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("30")), "not for good");
    }
    advance(Duration::from_secs(30)).await;
    assert_eq!((log_out(&guard, &logout).await.status, push(&guard, &event).await.status), (200, 202));
    assert_eq!(call(&guard, &token).await.summary(), REVOKED);
}

/// A fetch that began before the logout came may bring the keys of before.
#[tokio::test(start_paused = true)]
async fn a_fetch_that_was_under_way_does_not_settle_that_a_key_is_unknown() {
    let fixture = Fixture::new();
    let guard = guard(&fixture);
    let token = fixture.server.mint().subject("ada").expires_in(3600).build();
    assert_eq!(call(&guard, &token).await.status, 200);
    let before = fixture.server.keys().jwks_json();
    let late = Fault::body(200, "application/json", before).after(Duration::from_millis(500));
    fixture.server.fault(Endpoint::Jwks, late).times(1);
    let forged = fixture.server.mint().signed_with(&TestKey::generate(Alg::Es256).with_kid("forged")).build();
    let (forgery, waiting) = (guard.clone(), forged.clone());
    let forgery = tokio::spawn(async move { call(&forgery, &waiting).await.status });
    settle().await;
    advance(Duration::from_millis(100)).await;
    fixture.server.keys().rotate();
    let logout = fixture.server.logout_token("shop", "ada").expires_in(600).build();
    let answer = log_out(&guard, &logout).await;
    assert_ne!(answer.status, 400, "not for good");
    assert_eq!(forgery.await.unwrap(), 401);
    advance(Duration::from_secs(30)).await;
    assert_eq!(log_out(&guard, &logout).await.status, 200);
    assert_eq!(call(&guard, &token).await.summary(), REVOKED);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_polled_with_a_new_key_has_a_fetch_whatever_other_callers_send() {
    let fixture = Fixture::new();
    let guard = polling(&fixture, poll(&fixture));
    let token = fixture.server.mint().subject("ada").expires_in(3600).build();
    assert_eq!(call(&guard, &token).await.status, 200);
    use_up_fetches(&fixture, &guard).await;
    fixture.server.keys().rotate();
    let event = fixture.server.security_event("shop", SecurityEvent::AccountDisabled, "ada");
    fixture.server.queue_event("news", event.expires_in(600).build());
    advance(Duration::from_secs(11)).await;
    settle().await;
    assert_eq!(call(&guard, &token).await.summary(), REVOKED);
    assert_eq!(fixture.server.acknowledged_events(), ["news"]);
}

/// Such as events that waited while the key was retired that signed them.
#[tokio::test(start_paused = true)]
async fn polled_events_with_keys_that_do_not_exist_are_reported_and_are_no_outage() {
    let fixture = Fixture::new();
    let lost = TestKey::generate(Alg::Es256);
    for number in 0..20 {
        let event = fixture.server.security_event("shop", SecurityEvent::AccountDisabled, "ada");
        let event = event.signed_with(&lost.clone().with_kid(&format!("lost-{number}"))).build();
        fixture.server.queue_event(format!("{number}"), event);
    }
    let guard = polling(&fixture, poll(&fixture));
    let token = fixture.server.mint().subject("ada").expires_in(3600).build();
    let first = fixture.server.journal().count(Endpoint::Jwks);
    assert_eq!(call(&guard, &token).await.status, 200, "a guard that starts serves");
    settle().await;
    let refused = fixture.server.refused_events();
    assert_eq!(refused.len(), 20);
    assert!(refused.iter().all(|(_, error)| error["err"] == "invalid_key"), "{refused:?}");
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks) - first, 1, "one fetch settles all");
    for _ in 0..120 {
        advance(Duration::from_secs(1)).await;
        settle().await;
        assert_eq!(call(&guard, &token).await.status, 200);
    }
    assert!(guard.health().revocations.ok);
}

#[tokio::test(start_paused = true)]
async fn without_keys_it_is_503_and_the_same_token_counts_later() {
    let fixture = Fixture::new();
    let guard = guard(&fixture);
    fixture.server.fault(Endpoint::OauthMetadata, Fault::status(500)).always();
    fixture.server.fault(Endpoint::OpenidMetadata, Fault::status(500)).always();
    let logout = fixture.server.logout_token("shop", "ada").build();
    let refused = log_out(&guard, &logout).await;
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    fixture.server.clear_faults();
    advance(Duration::from_secs(5)).await;
    let token = fixture.server.mint().subject("ada").issued_at(fixture.server.clock().now_unix() - 5).build();
    assert_eq!(log_out(&guard, &logout).await.status, 200);
    assert_eq!(call(&guard, &token).await.summary(), REVOKED);
}

fn polling(fixture: &Fixture, poll: Poll) -> Guard {
    let settings = RevocationSettings::new().client_id("shop").poll(poll);
    fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap()
}

fn poll(fixture: &Fixture) -> Poll {
    Poll::new(fixture.server.endpoint(Endpoint::PollEvents)).token("p0ll").every(Duration::from_secs(10))
}

#[tokio::test(start_paused = true)]
async fn polled_events_take_effect_are_acknowledged_and_bad_ones_are_reported() {
    let fixture = Fixture::new();
    fixture.server.require_poll_token("p0ll");
    let good = fixture.server.security_event("shop", SecurityEvent::AccountDisabled, "ada");
    let jti = good.claims()["jti"].as_str().unwrap().to_owned();
    fixture.server.queue_event(&jti, good.build());
    let other = fixture.server.security_event("other", SecurityEvent::AccountDisabled, "bob");
    fixture.server.queue_event("for-others", other.build());
    let token = fixture.server.mint().subject("ada").expires_in(3600).build();
    let guard = polling(&fixture, poll(&fixture));
    // The first request waits for the first poll.
    assert_eq!(call(&guard, &token).await.summary(), REVOKED);
    settle().await;
    assert_eq!(fixture.server.acknowledged_events(), [jti]);
    let refused = fixture.server.refused_events();
    assert_eq!((&*refused[0].0, &refused[0].1["err"]), ("for-others", &json!("invalid_audience")));
    assert_eq!(refused.len(), 1);
    // Later ones come with a later poll, ten seconds apart.
    let polls = fixture.server.journal().count(Endpoint::PollEvents);
    let event = fixture.server.security_event("shop", SecurityEvent::SessionRevoked, "bob");
    fixture.server.queue_event("later", event.build());
    let token = fixture.server.mint().subject("bob").expires_in(3600).build();
    advance(Duration::from_secs(9)).await;
    settle().await;
    assert_eq!(call(&guard, &token).await.status, 200);
    advance(Duration::from_secs(2)).await;
    settle().await;
    assert_eq!(call(&guard, &token).await.summary(), REVOKED);
    assert_eq!(
        fixture.server.journal().count(Endpoint::PollEvents),
        polls + 2,
        "the event, then its acknowledgement"
    );
    assert_eq!(fixture.server.acknowledged_events().last().map(String::as_str), Some("later"));
}

#[tokio::test(start_paused = true)]
async fn a_transmitter_that_repeats_itself_is_not_asked_without_a_pause() {
    let fixture = Fixture::new();
    let good = fixture.server.security_event("shop", SecurityEvent::AccountDisabled, "ada");
    let sets = json!({ "sets": { "good": good.build(), "bad": "no-event" }, "moreAvailable": true });
    fixture
        .server
        .fault(Endpoint::PollEvents, Fault::body(200, "application/json", sets.to_string()))
        .always();
    let token = fixture.server.mint().subject("ada").expires_in(3600).build();
    let guard = polling(&fixture, poll(&fixture));
    assert_eq!(call(&guard, &token).await.summary(), REVOKED);
    for _ in 0..5 {
        settle().await;
    }
    assert_eq!(
        fixture.server.journal().count(Endpoint::PollEvents),
        2,
        "its events, then the report on them"
    );
    advance(Duration::from_secs(11)).await;
    settle().await;
    assert_eq!(fixture.server.journal().count(Endpoint::PollEvents), 3, "then at its pace");
}

#[tokio::test(start_paused = true)]
async fn a_transmitter_that_is_away_is_an_outage() {
    for (what, status) in [(OnOutage::Refuse, 503), (OnOutage::Serve, 200)] {
        let fixture = Fixture::new();
        fixture.server.require_poll_token("another");
        let settings = RevocationSettings::new().client_id("shop").poll(poll(&fixture)).on_outage(what);
        let guard = fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap();
        let token = fixture.server.mint().subject("ada").expires_in(3600).build();
        assert_eq!(call(&guard, &token).await.status, status);
        let health = guard.health();
        assert!(!health.revocations.ok);
        let feed = &health.revocations.feeds[0];
        assert!(feed.name.contains("/poll_events"), "{feed:?}");
        assert_eq!(feed.last_error.as_deref(), Some("the transmitter answers 401 Unauthorized"));
        fixture.server.require_poll_token("p0ll");
        advance(Duration::from_secs(3)).await;
        settle().await;
        assert_eq!(call(&guard, &token).await.status, 200);
        assert!(guard.health().revocations.ok);
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_dropped_polls_no_more() {
    let fixture = Fixture::new();
    let guard = polling(&fixture, poll(&fixture));
    let _ = call(&guard, &fixture.server.mint().build()).await;
    drop(guard);
    settle().await;
    let polls = fixture.server.journal().count(Endpoint::PollEvents);
    advance(Duration::from_secs(60)).await;
    settle().await;
    assert_eq!(fixture.server.journal().count(Endpoint::PollEvents), polls);
}

#[tokio::test(start_paused = true)]
async fn what_an_endpoint_learns_reaches_every_guard_of_the_feed() {
    let fixture = Fixture::new();
    let feed = oauth_guard::revocation::MemoryFeed::new();
    let guards = [(); 2].map(|()| {
        let builder = fixture.builder().issuer(fixture.issuer());
        builder.revocation(settings().feed(feed.clone())).build().unwrap()
    });
    let token = fixture.server.mint().subject("ada").build();
    assert_eq!(call(&guards[1], &token).await.status, 200);
    assert_eq!(log_out(&guards[0], &fixture.server.logout_token("shop", "ada").build()).await.status, 200);
    settle().await;
    assert_eq!(call(&guards[1], &token).await.summary(), REVOKED);
}

#[tokio::test(start_paused = true)]
async fn a_full_list_is_503_so_that_the_sender_tries_again() {
    let fixture = Fixture::new();
    let builder = fixture.builder().issuer(fixture.issuer());
    let guard = builder.revocation(settings().max_entries(1)).build().unwrap();
    guard.revocations().revoke(Revocation::token("https://a.example", "t")).await.unwrap();
    assert_eq!(log_out(&guard, &fixture.server.logout_token("shop", "ada").build()).await.status, 503);
}

#[test]
fn what_is_wrong_with_the_settings_is_reported_together() {
    let fields = |settings: RevocationSettings| {
        let server = MockServer::builder().in_process();
        let http = HttpClient::from_service(server.transport());
        let issuer = oauth_guard::Issuer::new("https://as.example").audience("a");
        let error = Guard::builder().http(http).issuer(issuer).revocation(settings).build().unwrap_err();
        error.problems().iter().map(|problem| problem.field.clone()).collect::<Vec<_>>()
    };
    let new = RevocationSettings::new;
    assert_eq!(
        fields(new().backchannel_logout("logout")),
        ["revocation.backchannel_logout", "revocation.client_ids"]
    );
    assert_eq!(fields(new().security_events("/x")), ["revocation.client_ids"]);
    // A router would take these for a pattern, or panic.
    for path in ["/:logout", "/a/:b", "/*", "/a/*b"] {
        let found = fields(new().client_id("shop").backchannel_logout(path).security_events(path));
        assert!(found.contains(&"revocation.backchannel_logout".to_owned()), "{path}: {found:?}");
        assert!(found.contains(&"revocation.security_events".to_owned()), "{path}: {found:?}");
    }
    assert_eq!(fields(settings().security_events("/backchannel-logout")), ["revocation.security_events"]);
    let poll = Poll::new("http://as.example/poll").every(Duration::ZERO);
    assert_eq!(
        fields(new().client_id("").poll(poll).max_entries(0)),
        [
            "revocation.client_ids",
            "revocation.poll.every_seconds",
            "revocation.poll.endpoint",
            "revocation.max_entries"
        ]
    );
}

#[cfg(feature = "axum")]
#[tokio::test(start_paused = true)]
async fn axum_serves_the_configured_paths_and_no_others() {
    use http::{Request, StatusCode, header};

    let fixture = Fixture::new();
    let guard = guard(&fixture);
    let app: axum::Router = guard.revocation_routes();
    let post = |path: &str, parcel: Parcel| {
        parcel.to_http(&format!("https://api.test{path}")).unwrap().map(axum::body::Body::from)
    };
    let logout = Parcel::logout(&fixture.server.logout_token("shop", "ada").build());
    let event =
        Parcel::event(fixture.server.security_event("shop", SecurityEvent::SessionRevoked, "ada").build());
    for (path, parcel, status) in [
        ("/backchannel-logout", logout.clone(), StatusCode::OK),
        ("/security-events", event, StatusCode::ACCEPTED),
        ("/other", logout, StatusCode::NOT_FOUND),
    ] {
        let response = app.clone().oneshot(post(path, parcel)).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
    let get = Request::get("https://api.test/security-events").body(axum::body::Body::empty()).unwrap();
    let response = app.oneshot(get).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()[header::ALLOW]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse::<http::HeaderValue>().unwrap())
    );
}

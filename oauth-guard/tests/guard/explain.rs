//! Explanations of one token for the operator.

use std::time::Duration;

use http::{Request, header};
use oauth_guard::revocation::{MemoryFeed, OnOutage, Revocation, RevocationFeed, RevocationSettings};
use oauth_guard::{Explanation, Guard, Issuer, Outcome, Profile};
use oauth_mock::{Endpoint, Fault, attack};

use crate::attacks::Target;
use crate::log::Log;
use crate::rejections::PRINTED;
use crate::support::Fixture;

fn outcome(explanation: &Explanation, check: &str) -> Option<Outcome> {
    explanation.checks.iter().find(|one| one.check == check).map(|one| one.outcome)
}

fn claim<'a>(explanation: &'a Explanation, name: &str) -> Option<&'a str> {
    explanation.claims.iter().find(|one| one.name == name).map(|one| one.value.as_str())
}

/// The code and reason that a request with that token is rejected for.
async fn rejected(guard: &Guard, token: &str) -> Option<(&'static str, &'static str)> {
    let bearer = http::HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()).unwrap();
    let request = Request::get("/").header(header::AUTHORIZATION, bearer).body(()).unwrap();
    guard.check(&request).resolve().await.err().map(|rejection| (rejection.code(), rejection.reason()))
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_passes_every_check() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let token = fixture.server.mint().subject("ada").scope("read").build();
    let explanation = guard.explain_fetching(&format!(" {token}\n")).await;
    assert_eq!((explanation.code, explanation.verified), (None, true), "{explanation}");
    assert!(explanation.checks.iter().all(|check| check.outcome == Outcome::Passed), "{explanation}");
    assert_eq!(claim(&explanation, "sub"), Some("\"ada\""));
    assert!(explanation.to_string().contains("claims (signed by the issuer)"));
    assert_eq!(guard.health().cache.entries, 0, "explaining caches nothing");
}

#[tokio::test(start_paused = true)]
async fn the_checks_go_on_after_the_first_that_fails() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let mint = fixture.server.mint().expires_in(-7200).audience("another").typ("JWT").without("jti");
    let explanation = guard.explain_fetching(&mint.build()).await;
    assert_eq!(explanation.reason, Some("type_mismatch"), "the first");
    for (check, expected) in [
        ("size", Outcome::Passed),
        ("iss", Outcome::Passed),
        ("typ", Outcome::Failed),
        ("aud", Outcome::Failed),
        ("exp", Outcome::Failed),
        ("jti", Outcome::Failed),
        ("cnf", Outcome::Passed),
        ("signature", Outcome::Passed),
    ] {
        assert_eq!(outcome(&explanation, check), Some(expected), "{check}: {explanation}");
    }
    assert!(explanation.verified);
    let text = explanation.to_string();
    assert!(text.contains("2 h 0 min ago") && text.contains("expected one of: orders-api"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn without_keys_the_signature_is_skipped_and_the_rest_is_reported() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let token = fixture.server.mint().build();
    let explanation = guard.explain(&token);
    assert_eq!(explanation.code, Some("keys_unavailable"));
    assert_eq!(outcome(&explanation, "signature"), Some(Outcome::Skipped));
    assert!(explanation.to_string().contains("UNVERIFIED"));
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), 0);
    fixture.server.fault(Endpoint::Jwks, Fault::status(500)).times(1);
    assert_eq!(guard.explain_fetching(&token).await.code, Some("keys_unavailable"));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(guard.explain_fetching(&token).await.code, None);
}

#[tokio::test(start_paused = true)]
async fn a_token_printed_in_a_providers_page_is_explained() {
    let fixture = Fixture::new();
    let issuer = Issuer::new("http://internalpartner.testing.comm100dev.io")
        .audience("ids.resource.1")
        .jwks_json(fixture.with_rsa_keys());
    let explanation = fixture.guard_of(issuer).explain(PRINTED);
    let text = explanation.to_string();
    assert_eq!((explanation.code, explanation.reason), (Some("invalid_token"), Some("expired")), "{text}");
    assert_eq!(outcome(&explanation, "exp"), Some(Outcome::Failed));
    assert_eq!(claim(&explanation, "iss"), Some("\"http://internalpartner.testing.comm100dev.io\""));
    assert_eq!(claim(&explanation, "client_id"), Some("\"datasync 10000\""));
    assert_eq!(claim(&explanation, "exp"), Some("1652982591"));
    assert_eq!(claim(&explanation, "scope"), Some(r#"["ids.scope","openid","profile","offline_access"]"#));
    assert!(!explanation.verified && text.contains("UNVERIFIED") && text.contains("the token has expired"));
    // A guard of another issuer shows the claims too.
    let foreign = fixture.guard().explain(PRINTED);
    assert_eq!(foreign.reason, Some("issuer_unknown"));
    assert_eq!(claim(&foreign, "sub"), Some("\"bfeb45d7-50dc-416d-b3c8-35db64d288f3\""));
    for said in [text, foreign.to_string(), serde_json::to_string(&explanation).unwrap()] {
        assert!(PRINTED.split('.').all(|part| !said.contains(part)), "{said}");
        assert!(!said.contains(&PRINTED[PRINTED.len() - 24..]));
    }
}

#[tokio::test(start_paused = true)]
async fn text_of_the_caller_is_escaped_and_cut() {
    let fixture = Fixture::new();
    let mint = fixture.server.mint().claim("odd\u{1b}[31m", "\u{202e}x").claim("long", "y".repeat(1000));
    let text = fixture.guard().explain(&mint.build()).to_string();
    assert!(text.chars().all(|char| char == '\n' || (' '..='~').contains(&char)), "{text}");
    assert!(!text.contains(&"y".repeat(200)));
    for nonsense in ["", ".", "..", "a.b.c", "\u{0}", "x".repeat(100_000).as_str(), "e30.e30.e30"] {
        assert_ne!(fixture.guard().explain(nonsense).code, None);
    }
}

/// Both use the same checks; this proves that they combine them in the same way.
#[tokio::test(start_paused = true)]
async fn explanations_and_rejections_agree_on_every_attack() {
    let mut compared = 0;
    for attack in attack::all() {
        let target = Target::new(attack);
        for request in attack.requests(&target.context) {
            let Some(token) = request.token() else { continue };
            if token.trim() != token || !token.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                continue;
            }
            let actual = rejected(&target.guard, token).await;
            let explained = target.guard.explain_fetching(token).await;
            assert_eq!(explained.code.zip(explained.reason), actual, "{}: {explained}", attack.id);
            compared += 1;
        }
    }
    assert!(compared > 250, "{compared} compared only");
}

#[tokio::test(start_paused = true)]
async fn it_says_what_to_change_and_which_claim_does_not_fit() {
    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Mine {
        level: u8,
    }
    let fixture = Fixture::new();
    let guard = fixture.builder().claims::<Mine>().issuer(fixture.issuer()).build().unwrap();
    let good = guard.explain_fetching(&fixture.server.mint().claim("level", 7).build()).await;
    assert_eq!((good.code, good.change), (None, None), "{good}");
    let id_token = guard.explain_fetching(&fixture.server.mint().claim("level", 7).typ("JWT").build()).await;
    assert!(id_token.change.unwrap().contains("profile = \"jwt\""), "{id_token}");
    assert!(id_token.to_string().contains("to change: RFC 9068"), "{id_token}");
    for (token, named) in [
        (fixture.server.mint().claim("level", "a secret").build(), "the claim `level`: the type expects u8"),
        (fixture.server.mint().build(), "the field `level` has no claim"),
    ] {
        let misfit = guard.explain_fetching(&token).await;
        assert_eq!(misfit.reason, Some("claims_do_not_fit"));
        let detail = misfit.checks.iter().find(|check| check.check == "claims' type").unwrap();
        let detail = detail.detail.as_deref().unwrap();
        assert!(detail.contains(named) && !detail.contains("a secret"), "{detail}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_revocations_is_reported_as_each_request_meets_it() {
    let file = std::env::temp_dir().join(format!("oauth-guard-{}-not-there.jsonl", std::process::id()));
    let settings = || RevocationSettings::new().file(&file).max_stale(Duration::ZERO);
    for on_outage in [OnOutage::Refuse, OnOutage::Serve] {
        let fixture = Fixture::new();
        let settings = settings().on_outage(on_outage);
        let issuer = fixture.issuer().jwks_json(fixture.server.keys().jwks_json());
        let guard = fixture.builder().issuer(issuer).revocation(settings).build().unwrap();
        let token = fixture.server.mint().build();
        let unread = guard.explain(&token);
        let serves = on_outage == OnOutage::Serve;
        assert_eq!(unread.code, (!serves).then_some("revocations_unavailable"), "{unread}");
        assert_eq!(
            outcome(&unread, "revocation"),
            Some(if serves { Outcome::Passed } else { Outcome::Skipped })
        );
        let actual = rejected(&guard, &token).await;
        for explained in [guard.explain_fetching(&token).await, guard.explain(&token)] {
            assert_eq!(explained.code.zip(explained.reason), actual, "{explained}");
            // Where requests are served, and nothing is revoked, there is nothing to check.
            assert_eq!(outcome(&explained, "revocation"), (!serves).then_some(Outcome::Failed));
            assert_eq!(explained.change.is_some_and(|change| change.contains("on_outage")), !serves);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_the_sources_of_revocations_as_a_request_does() {
    let fixture = Fixture::new();
    let feed = MemoryFeed::new();
    let settings = RevocationSettings::new().feed(feed.clone());
    let guard = fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap();
    let token = fixture.server.mint().claim("sid", "s1").build();
    feed.publish(&[Revocation::session(fixture.server.issuer(), "s1").until(9_000_000_000)]).await.unwrap();
    let explained = guard.explain_fetching(&token).await;
    assert_eq!(explained.reason, Some("revoked"), "{explained}");
}

#[tokio::test(start_paused = true)]
async fn advice_about_a_claim_depends_on_the_claim_and_the_profile() {
    let fixture = Fixture::new();
    let of =
        |profile| fixture.guard_of(fixture.issuer().profile(profile).max_token_age(Duration::from_secs(600)));
    let [rfc9068, jwt] = [Profile::Rfc9068, Profile::Jwt].map(of);
    let mint = || fixture.server.mint();
    for (guard, token, helps) in [
        (&rfc9068, mint().without("jti"), true),
        (&rfc9068, mint().without("client_id"), true),
        (&rfc9068, mint().without("exp"), false),
        (&rfc9068, mint().without("aud"), false),
        (&rfc9068, mint().claim("nbf", "soon"), false),
        (&jwt, mint().without("exp"), false),
        (&jwt, mint().without("iat"), false),
        (&jwt, mint().claim("sub", 7), false),
    ] {
        let token = token.build();
        let explained = guard.explain_fetching(&token).await;
        assert_eq!(explained.reason, Some("claim_missing_or_malformed"), "{explained}");
        let change = explained.change.unwrap();
        assert_eq!(change.contains("profile = \"jwt\""), helps, "{explained}");
        // The same words as in the log.
        let lines = Log::listen();
        assert!(rejected(guard, &token).await.is_some());
        let said = lines.take().replace('\\', "");
        let warning = said.lines().find(|line| line.contains("WARN")).unwrap_or_else(|| panic!("{said}"));
        assert!(warning.contains(change), "{said}");
        tokio::time::advance(Duration::from_secs(60)).await;
    }
}

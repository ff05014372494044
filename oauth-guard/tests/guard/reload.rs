//! Another configuration in force, while requests go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use oauth_guard::config::GuardConfig;
use oauth_guard::revocation::RevocationSettings;
use oauth_guard::{Algorithm, Guard, GuardBuilder, Issuer, KeyPolicy, Requirement, Rule};
use oauth_mock::{Alg, Endpoint, Fault, MockServer};
use serde_json::json;

use crate::log::Log;
use crate::support::{Fixture, Reply, call, send};

fn of(fixture: &Fixture, audience: &str, realm: &str) -> GuardBuilder {
    fixture.builder().issuer(Issuer::new(fixture.server.issuer()).audience(audience)).realm(realm)
}

/// The configuration that rejected.
fn realm(reply: &Reply) -> &str {
    let challenge = reply.challenge.as_deref().unwrap();
    challenge.split_once("realm=\"").unwrap().1.split_once('"').unwrap().0
}

/// Audience and realm belong together: under `a` the tokens of `b` are rejected in the name of `a`, and the other way
/// round. A rejection of one's own token in one's own name would mix both configurations.
#[test]
fn under_load_no_request_is_decided_by_a_mixture() {
    const ROUNDS: usize = 2_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let server = MockServer::builder().algorithms([Alg::Es256]).in_process();
    let config = |name: &str| {
        let issuer =
            Issuer::new("https://auth.example.com").audience(name).jwks_json(server.keys().jwks_json());
        Guard::builder().issuer(issuer).realm(name)
    };
    let token = |audience: &str| {
        let mint = server.mint().issuer("https://auth.example.com").audience(audience);
        mint.claim("exp", 9_000_000_000_i64).claim("iat", 1_700_000_000_i64).build()
    };
    let guard = config("a").build().unwrap();
    let layer = guard.layer();
    let over = Arc::new(AtomicBool::new(false));
    let counts: [Arc<AtomicUsize>; 2] = Default::default();
    let callers: Vec<_> = ["a", "b", "a", "b"]
        .into_iter()
        .map(|mine| {
            let (layer, token) = (layer.clone(), format!("Bearer {}", token(mine)));
            let (over, counts) = (Arc::clone(&over), counts.clone());
            runtime.spawn(async move {
                while !over.load(Ordering::Acquire) {
                    let reply = send(&layer, &[token.as_bytes()]).await;
                    if reply.status == 200 {
                        counts[0].fetch_add(1, Ordering::Relaxed);
                    } else {
                        counts[1].fetch_add(1, Ordering::Relaxed);
                        assert_eq!(reply.summary(), (401, Some("invalid_token")));
                        assert_ne!(
                            realm(&reply),
                            mine,
                            "checked by one configuration and rejected by another"
                        );
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let tokens = ["a", "b"].map(|name| format!("Bearer {}", token(name)));
    for round in 0..ROUNDS {
        guard.reload(config(["b", "a"][round % 2])).unwrap();
        // Requests after the reload are decided by the new configuration, cached token or not.
        let (in_force, before) = (&tokens[(round + 1) % 2], &tokens[round % 2]);
        let replies = runtime.block_on(async {
            (send(&layer, &[in_force.as_bytes()]).await, send(&layer, &[before.as_bytes()]).await)
        });
        assert_eq!((replies.0.status, replies.1.status), (200, 401), "round {round}");
    }
    over.store(true, Ordering::Release);
    for caller in callers {
        runtime.block_on(caller).unwrap();
    }
    let [accepted, rejected] = counts.map(|count| count.load(Ordering::Relaxed));
    assert!(accepted > 0 && rejected > 0, "{accepted} accepted and {rejected} rejected");
    println!(
        "{ROUNDS} reloads under {accepted} accepted and {rejected} rejected requests, none by a mixture"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_is_decided_by_the_configuration_of_its_arrival() {
    let fixture = Fixture::new();
    let guard = of(&fixture, "orders-api", "old").build().unwrap();
    fixture.server.fault(Endpoint::Jwks, Fault::delay(Duration::from_secs(2))).times(1);
    let good = fixture.server.mint().build();
    let foreign = fixture.server.mint().audience("another").kid("unknown").build();
    let waiting = [good.clone(), foreign].map(|token| {
        let guard = guard.clone();
        tokio::spawn(async move { call(&guard, &token).await })
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    guard.reload(of(&fixture, "another", "new")).unwrap();
    assert_eq!(realm(&call(&guard, &good).await), "new");
    let [good_then, foreign_then] = waiting;
    assert_eq!(good_then.await.unwrap().status, 200);
    assert_eq!(realm(&foreign_then.await.unwrap()), "old");
    // Its cached tokens are not used by the new configuration.
    assert_eq!(realm(&call(&guard, &good).await), "new");
}

#[tokio::test(start_paused = true)]
async fn an_invalid_configuration_changes_nothing_and_reports_all_errors() {
    let fixture = Fixture::new();
    let guard = of(&fixture, "orders-api", "old").build().unwrap();
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 200);
    let bad = Guard::builder().realm("two\nlines").token_cookie("a b").issuer(Issuer::new("nonsense"));
    let error = guard.reload(bad).unwrap_err();
    let fields: Vec<_> = error.problems().iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["realm", "token_cookie", "issuer[0].audience", "issuer[0].issuer"]);
    assert_eq!(call(&guard, &token).await.status, 200);
    assert_eq!(guard.health().cache.hits, 1, "nothing was forgotten");
    assert_eq!(realm(&send(&guard.layer(), &[]).await), "old");
}

#[tokio::test(start_paused = true)]
async fn keys_are_kept_whatever_else_changes_about_their_issuer() {
    let fixture = Fixture::new();
    let guard = of(&fixture, "orders-api", "r").build().unwrap();
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 200);
    let issuer = || Issuer::new(fixture.server.issuer()).audience("orders-api");
    let hour = KeyPolicy { max_age: Duration::from_secs(3600), ..KeyPolicy::default() };
    for other in [
        Guard::builder().issuer(issuer().audience("more")),
        Guard::builder().issuer(issuer().algorithms([Algorithm::Es256])),
        Guard::builder().issuer(issuer()).keys(hour),
        fixture.builder().issuer(issuer()),
        Guard::builder().issuer(issuer()).cache_bytes(0),
    ] {
        guard.reload(other).unwrap();
        assert_eq!(call(&guard, &token).await.status, 200);
    }
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), 1);
    // At another location there may be other keys.
    let elsewhere = issuer().jwks_uri(format!("{}/jwks", fixture.server.issuer()));
    guard.reload(Guard::builder().issuer(elsewhere)).unwrap();
    assert_eq!(call(&guard, &token).await.status, 200);
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), 2);
}

/// Keys that came over plain http could be those of an attacker.
#[tokio::test(start_paused = true)]
async fn keys_are_fetched_again_where_a_reload_trusts_less() {
    let fixture = Fixture::new();
    let over_http = || fixture.issuer().danger_allow_http();
    let guard = fixture.guard_of(over_http());
    let token = fixture.server.mint().build();
    for (issuer, fetches) in
        [(over_http(), 1), (fixture.issuer(), 2), (over_http(), 2), (fixture.issuer(), 3)]
    {
        guard.reload(Guard::builder().issuer(issuer)).unwrap();
        assert_eq!(call(&guard, &token).await.status, 200);
        assert_eq!(fixture.server.journal().count(Endpoint::Jwks), fetches);
    }
    guard.reload(Guard::builder().issuer(over_http())).unwrap();
    fixture.server.pause();
    guard.reload(Guard::builder().issuer(fixture.issuer())).unwrap();
    assert_eq!((call(&guard, &token).await.status, guard.health().issuers[0].keys), (503, 0));
}

#[tokio::test(start_paused = true)]
async fn tokens_of_an_unchanged_issuer_stay_cached() {
    let fixture = Fixture::new();
    let guard = of(&fixture, "orders-api", "old").build().unwrap();
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 200);
    let another = Issuer::new("https://other.example").audience("orders-api");
    guard.reload(of(&fixture, "orders-api", "new").issuer(another)).unwrap();
    guard.reload(of(&fixture, "orders-api", "new")).unwrap();
    assert_eq!(call(&guard, &token).await.status, 200);
    let cache = guard.health().cache;
    assert_eq!((cache.hits, cache.misses), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_a_reload_removes_is_rejected_even_if_cached() {
    let fixture = Fixture::new();
    let issuer = || fixture.issuer();
    let token = fixture.server.mint().build();
    for stricter in [
        issuer().clients(["another"]),
        issuer().algorithms([Algorithm::Rs256]),
        Issuer::new(fixture.server.issuer()).audience("another"),
        issuer().max_token_age(Duration::from_secs(1)).leeway(Duration::ZERO),
        issuer().jwks_json(Fixture::new().with_rsa_keys()),
    ] {
        let guard = fixture.guard();
        assert_eq!(call(&guard, &token).await.status, 200);
        tokio::time::advance(Duration::from_secs(2)).await;
        guard.reload(Guard::builder().issuer(stricter)).unwrap();
        assert_eq!(call(&guard, &token).await.summary(), (401, Some("invalid_token")));
        guard.reload(Guard::builder().issuer(issuer())).unwrap();
        assert_eq!(call(&guard, &token).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_configuration_file_replaces_what_it_can_express_and_keeps_the_rest() {
    let fixture = Fixture::new();
    let built = of(&fixture, "orders-api", "old").on_rejection(|_| oauth_guard::RejectionBody::text("no"));
    let guard = built.build().unwrap();
    let config: GuardConfig = serde_json::from_value(json!({
        "token_cookie": "at",
        "issuer": [{ "issuer": fixture.server.issuer(), "audience": ["orders-api"] }],
    }))
    .unwrap();
    guard.reload(config).unwrap();
    // Transport and clock of the test, and the body that code supplies; the realm is gone.
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    let reply = send(&guard.layer(), &[]).await;
    assert_eq!((reply.challenge.as_deref(), &*reply.body), (Some(r#"Bearer realm="api""#), "no"));
}

#[tokio::test(start_paused = true)]
async fn resolved_tenants_are_resolved_again_and_keep_their_keys() {
    let fixture = Fixture::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let finding = |audience: &'static str| {
        let asked = Arc::clone(&asked);
        fixture.builder().resolve_issuers(move |name: String| {
            asked.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, String>(Some(Issuer::new(name).audience(audience))) }
        })
    };
    let guard = finding("orders-api").build().unwrap();
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 200);
    // The same tenants under the same names: the resolver is not called.
    guard.reload(Guard::builder().realm("r")).unwrap();
    assert_eq!(call(&guard, &token).await.status, 200);
    assert_eq!((asked.load(Ordering::SeqCst), guard.health().cache.hits), (1, 1));
    // Another resolver: the issuers that the old one found are forgotten.
    guard.reload(finding("another")).unwrap();
    assert_eq!(call(&guard, &token).await.summary(), (401, Some("invalid_token")));
    guard.reload(finding("orders-api")).unwrap();
    assert_eq!(call(&guard, &token).await.status, 200);
    // A tenant that becomes an issuer of the configuration follows that.
    guard.reload(of(&fixture, "another", "r")).unwrap();
    assert_eq!(call(&guard, &token).await.summary(), (401, Some("invalid_token")));
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), 1);
}

/// What the reload warned of.
fn warned(lines: &Log) -> Vec<String> {
    lines.take().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_opens_routes_is_logged() {
    let fixture = Fixture::new();
    let of = || of(&fixture, "orders-api", "r");
    let admin = || Rule::new("/admin/{*rest}").require(Requirement::role("admin"));
    let in_code = || of().deny_by_default().rule(admin()).rule(Rule::new("/health").public());
    let file = || -> GuardConfig {
        let issuer = json!({ "issuer": fixture.server.issuer(), "audience": ["orders-api"] });
        serde_json::from_value(json!({ "issuer": [issuer] })).unwrap()
    };
    let lines = Log::listen();
    let guard = in_code().build().unwrap();
    guard.reload(in_code()).unwrap();
    // More rules, and a rule that is written anew for its path.
    let anew = Rule::new("/admin/{*rest}").require(Requirement::role("root"));
    guard.reload(of().deny_by_default().rule(anew).rule(Rule::new("/orders"))).unwrap();
    assert_eq!(warned(&lines), [""; 0]);
    // Closed all the same.
    guard.reload(of().deny_by_default()).unwrap();
    guard.reload(in_code()).unwrap();
    assert_eq!(warned(&lines), [""; 0]);

    guard.reload(file()).unwrap();
    let said = warned(&lines);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("deny_by_default"), "{said:?}");
    assert!(said[1].contains("/admin/{*rest}") && !said[1].contains("/health"), "{said:?}");
    guard.reload(file()).unwrap();
    assert_eq!(warned(&lines), [""; 0], "once");

    guard.reload(of().rule(admin())).unwrap();
    assert_eq!(warned(&lines), [""; 0]);
    // The names of parameters select nothing, and a rule without a requirement takes nothing away.
    let renamed = Rule::new("/admin/{*all}").require(Requirement::role("admin"));
    guard.reload(of().rule(renamed).rule(Rule::new("/orders"))).unwrap();
    guard.reload(of().rule(admin())).unwrap();
    assert_eq!(warned(&lines), [""; 0]);
    // Written for MCP alone, or without a requirement, it takes away what it required before.
    let of_mcp = Rule::new("/admin/{*rest}").mcp("*").require(Requirement::role("admin"));
    for weaker in [Rule::new("/admin/{*any}"), of_mcp] {
        guard.reload(of().rule(weaker)).unwrap();
        let said = warned(&lines);
        assert!(said.len() == 1 && said[0].contains("/admin/{*rest}"), "{said:?}");
        guard.reload(of().rule(admin())).unwrap();
        lines.take();
    }
    guard.reload(of().deny_by_default().rule(Rule::new("/admin/{*rest}"))).unwrap();
    assert_eq!(warned(&lines).len(), 1, "the rule opens it");
    // What a wider rule leaves open, what is only tried out, and what is public now.
    let account = || Rule::new("/account/{*rest}");
    let wide = || Rule::new("/{*rest}");
    for (had, has) in [
        (of().rule(wide().public()).rule(account()), of().rule(wide().public())),
        (of().rule(account()), of().rule(account().optional())),
        (of().rule(wide()).deny_by_default().rule(admin()), of().rule(wide()).deny_by_default()),
        (of().rule(admin()), of().rule(admin().dry_run())),
        (
            of().rule(admin().methods([http::Method::POST])).rule(account().methods([http::Method::GET])),
            of().rule(admin().methods([http::Method::GET])),
        ),
        (
            of().rule(Rule::new("/mcp")).rule(Rule::new("/mcp").mcp("*").require(Requirement::role("admin"))),
            of().rule(Rule::new("/mcp")),
        ),
    ] {
        guard.reload(had).unwrap();
        lines.take();
        guard.reload(has).unwrap();
        let said = warned(&lines);
        assert!(said.len() == 1 && said[0].contains("less is required"), "{said:?}");
    }
    // A rule for all requests of a path is there for MCP, too, and what is only tried out requires nothing.
    let plain = || Rule::new("/mcp").require(Requirement::role("admin"));
    for (had, has) in
        [(of().rule(plain().mcp("*")), of().rule(plain())), (of().rule(admin().dry_run()), of())]
    {
        guard.reload(had).unwrap();
        lines.take();
        guard.reload(has).unwrap();
        assert_eq!(warned(&lines), [""; 0]);
    }
    guard.reload(of().rule(admin())).unwrap();
    lines.take();
    let many = (0..20).fold(of(), |builder, n| {
        builder.rule(Rule::new(format!("/{n}")).require(Requirement::role("admin")))
    });
    guard.reload(many).unwrap();
    assert_eq!(warned(&lines).len(), 1);
    guard.reload(of()).unwrap();
    let said = warned(&lines).join("");
    assert!(said.contains("rules=20") && said.matches("\\\"/").count() <= 8, "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_cannot_move_routes_says_so() {
    let fixture = Fixture::new();
    let with = |logout: Option<&str>, resource: &str| {
        let settings = RevocationSettings::new().client_id("shop");
        let settings = logout.into_iter().fold(settings, RevocationSettings::backchannel_logout);
        let builder = fixture.builder().issuer(fixture.issuer()).resource(resource);
        builder.revocation(settings.security_events("/events"))
    };
    let lines = Log::listen();
    let guard = with(Some("/logout"), "https://api.example.com/a").build().unwrap();
    guard.reload(with(Some("/logout"), "https://other.example.com/a")).unwrap();
    assert_eq!(warned(&lines), [""; 0]);
    guard.reload(with(Some("/log-out"), "https://api.example.com/b")).unwrap();
    let said = warned(&lines);
    assert_eq!(said.len(), 2, "{said:?}");
    for (line, named) in said.iter().zip([["backchannel_logout", "/log-out"], ["metadata_router", "/b"]]) {
        assert!(named.iter().all(|name| line.contains(name)) && line.contains("restart"), "{line}");
    }
    guard.reload(with(None, "https://api.example.com/b")).unwrap();
    assert_eq!(warned(&lines).len(), 1);
}

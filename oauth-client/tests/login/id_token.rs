//! OpenID Connect Core section 3.1.3.7: what an ID token has to be.

use std::time::Duration;

use oauth_client::id_token::{Expect, IdToken};
use oauth_client::sign::Algorithm;
use oauth_client::{Client, Error, Secret};
use oauth_mock::{Alg, Endpoint, Fault, MockServer, TestKey, TokenBuilder};
use serde_json::json;

use crate::support::{Fixture, builder, fixture, request};

const NOW: i64 = 1_893_456_000;

/// A good ID token, to be spoiled.
fn token(server: &MockServer) -> TokenBuilder {
    server.mint().typ("JWT").subject("alice").audience("web").without("client_id").claim("nonce", "n-1")
}

async fn check(client: &Client, token: TokenBuilder, expected: &Expect) -> Result<IdToken, Error> {
    client.validate_id_token(&Secret::from(token.build()), expected).await
}

/// Each of these has to be refused, saying why in these words.
async fn refused(client: &Client, expected: &Expect, cases: Vec<(TokenBuilder, &str)>) {
    for (token, why) in cases {
        let claims = format!("{:?} {:?}", token.header_members(), token.claims());
        match check(client, token, expected).await {
            Ok(_) => unreachable!("{why}: {claims} was believed"),
            Err(error) => {
                assert_eq!(error.code(), "invalid_id_token", "{error}");
                assert!(error.to_string().contains(why), "expected {why:?}: {error}");
                assert!(!error.is_transient());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_token_is_read_as_the_type_that_is_asked_for() {
    #[derive(serde::Deserialize)]
    struct Profile {
        email: String,
    }
    let fixture = fixture();
    let built = token(&fixture.server)
        .claim("email", "alice@example.com")
        .claim("acr", "gold")
        .claim("amr", json!(["pwd", "otp"]))
        .claim("auth_time", NOW - 5)
        .build();
    let token: IdToken<Profile> =
        fixture.client.validate_id_token(&built.as_str().into(), &Expect::new().acr(["gold"])).await.unwrap();
    assert_eq!(token.claims().email, "alice@example.com");
    assert_eq!((token.issuer(), token.subject()), (fixture.server.issuer(), "alice"));
    assert_eq!((token.acr(), token.amr().len()), (Some("gold"), 2));
    assert_eq!(token.auth_time(), Some(Duration::from_secs(1_893_455_995)));
    assert!(!format!("{token:?}").contains("example.com"), "personal data is not printed");

    let wrong = fixture.client.validate_id_token::<Vec<u8>>(&built.into(), &Expect::new()).await.unwrap_err();
    assert!(!wrong.to_string().contains("example.com"), "{wrong}");
}

#[tokio::test(start_paused = true)]
async fn every_algorithm_is_believed_but_none_and_hmac() {
    let algorithms = [
        Alg::Rs256,
        Alg::Rs384,
        Alg::Rs512,
        Alg::Ps256,
        Alg::Ps384,
        Alg::Ps512,
        Alg::Es256,
        Alg::Es384,
        Alg::Es512,
        Alg::EdDsa,
    ];
    for alg in algorithms {
        let server = MockServer::builder().algorithms([alg]).in_process();
        let fixture = fixture();
        let client = builder(&server, &fixture.clock).build().unwrap();
        check(&client, token(&server).alg(alg), &Expect::new()).await.unwrap();
    }
    let fixture = fixture();
    check(&fixture.client, token(&fixture.server), &Expect::new().algorithms([Algorithm::Rs256]))
        .await
        .unwrap();
    let other = Expect::new().algorithms([Algorithm::Es256, Algorithm::Ps256]);
    refused(&fixture.client, &other, vec![(token(&fixture.server), "another algorithm")]).await;
    let secret = "a secret of thirty-two characters";
    refused(
        &fixture.client,
        &Expect::new(),
        vec![
            (token(&fixture.server).unsigned(), "alg"),
            (token(&fixture.server).header("alg", "NoNe").signature([]), "alg"),
            (token(&fixture.server).header("alg", "ES256K"), "alg"),
            (token(&fixture.server).header("alg", "HS256"), "shared secret"),
            (token(&fixture.server).signed_with_secret(Alg::Hs256, secret), "shared secret"),
        ],
    )
    .await;
    // Who is registered for it says so, and the secret is long enough to prove anything.
    let expected = Expect::new().client_secret(secret);
    let signed = |secret: &str| token(&fixture.server).signed_with_secret(Alg::Hs256, secret.to_owned());
    check(&fixture.client, signed(secret), &expected).await.unwrap();
    refused(&fixture.client, &expected, vec![(signed("another secret of 32 characters.."), "signature")])
        .await;
    refused(&fixture.client, &Expect::new().client_secret("short"), vec![(signed("short"), "shorter")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_or_wrong_nonce_is_rejected() {
    let fixture = fixture();
    let expected = Expect::new().nonce("n-1");
    check(&fixture.client, token(&fixture.server), &expected).await.unwrap();
    refused(
        &fixture.client,
        &expected,
        vec![
            (token(&fixture.server).without("nonce"), "nonce: is missing"),
            (token(&fixture.server).claim("nonce", "n-2"), "nonce"),
            (token(&fixture.server).claim("nonce", ""), "nonce"),
            (token(&fixture.server).claim("nonce", json!(["n-1"])), "nonce"),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_login_rejects_the_id_token_of_another_login() {
    let fixture = fixture();
    let (mine, theirs) = (fixture.begin().await, fixture.begin().await);
    let theirs = fixture.login_with_code_of(mine, theirs).await;
    assert_eq!(theirs.unwrap_err().code(), "invalid_grant", "PKCE refuses it before the nonce can");

    // A server that mixes up nonces all the same.
    for nonce in [Some("of-another-login"), None] {
        let pending = fixture.begin().await;
        let callback = fixture.log_in(&pending);
        let id_token = match nonce {
            Some(nonce) => token(&fixture.server).claim("nonce", nonce).build(),
            None => token(&fixture.server).without("nonce").build(),
        };
        let response = json!({"access_token": "a", "token_type": "Bearer", "id_token": id_token}).to_string();
        fixture.server.fault(Endpoint::Token, Fault::body(200, "application/json", response)).times(1);
        let error = fixture.client.finish(pending, callback).await.unwrap_err();
        assert_eq!(error.code(), "invalid_id_token");
        assert!(error.to_string().contains("nonce"), "{error}");
    }
}

impl Fixture {
    async fn login_with_code_of(
        &self,
        mine: oauth_client::login::PendingLogin,
        theirs: oauth_client::login::PendingLogin,
    ) -> Result<oauth_client::login::Login, Error> {
        use crate::support::{parameter, with_parameter};
        let stolen = parameter(&self.log_in(&theirs), "code").unwrap();
        let callback = with_parameter(&self.log_in(&mine), "code", Some(&stolen));
        self.client.finish(mine, callback).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_token_has_to_come_where_openid_was_granted() {
    let fixture = fixture();
    for (scope, fine) in [(json!(null), false), (json!("openid read"), false), (json!("read"), true)] {
        let pending = fixture.begin().await;
        let callback = fixture.log_in(&pending);
        let response = json!({"access_token": "a", "token_type": "Bearer", "scope": scope}).to_string();
        fixture.server.fault(Endpoint::Token, Fault::body(200, "application/json", response)).times(1);
        let outcome = fixture.client.finish(pending, callback).await;
        assert_eq!(outcome.is_ok(), fine, "{scope}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_issuer_the_audience_and_the_authorized_party_are_ours() {
    let fixture = fixture();
    let server = &fixture.server;
    let good = |audience: serde_json::Value| token(server).claim("aud", audience);
    let knows_b = builder(server, &fixture.clock).id_token_audience("b").build().unwrap();
    for fine in [good(json!("web")), good(json!(["web"])), good(json!(["web", "b"])).claim("azp", "web")] {
        check(&knows_b, fine, &Expect::new()).await.unwrap();
    }
    refused(
        &knows_b,
        &Expect::new(),
        vec![
            (token(server).issuer("https://evil.test"), "issuer"),
            (token(server).issuer(format!("{}/", server.issuer())), "issuer"),
            (token(server).claim("iss", json!([server.issuer()])), "iss"),
            (token(server).without("iss"), "iss: is missing"),
            (token(server).without("sub"), "sub: is missing"),
            (token(server).subject(""), "sub"),
            (token(server).subject("x".repeat(256)), "sub"),
            (token(server).claim("sub", 7), "sub"),
            (token(server).without("aud"), "aud: is missing"),
            (good(json!("other")), "aud"),
            (good(json!(["other"])), "aud"),
            (good(json!([])), "aud"),
            (good(json!(["web", 5])), "aud"),
            (good(json!({"web": 1})), "aud"),
            (good(json!(["web", "b"])), "azp: is missing"),
            (good(json!(["web", "other"])).claim("azp", "web"), "\"other\" too"),
            (good(json!("web")).claim("azp", "other"), "azp"),
            (good(json!("web")).claim("azp", json!(["web"])), "azp"),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn times_count_with_a_minute_of_leeway() {
    let fixture = fixture();
    let server = &fixture.server;
    for fine in [
        token(server).expires_at(NOW - 59),
        token(server).issued_at(NOW + 60),
        token(server).claim("exp", 1_893_456_000.5),
        token(server).claim("exp", u64::MAX),
        token(server).claim("exp", 1e300),
    ] {
        check(&fixture.client, fine, &Expect::new()).await.unwrap();
    }
    refused(
        &fixture.client,
        &Expect::new(),
        vec![
            (token(server).expires_at(NOW - 60), "exp: it has expired"),
            (token(server).expires_at(-1), "exp"),
            (token(server).claim("exp", "1893457000"), "exp"),
            (token(server).claim("exp", json!(null)), "exp"),
            (token(server).without("exp"), "exp: is missing"),
            (token(server).without("iat"), "iat: is missing"),
            (token(server).issued_at(NOW + 61), "iat: it was issued in the future"),
            (token(server).claim("iat", 1e300), "iat"),
            (token(server).not_before(NOW + 61), "nbf"),
        ],
    )
    .await;
    let strict = Expect::new().leeway(Duration::ZERO);
    refused(&fixture.client, &strict, vec![(token(server).expires_at(NOW), "exp: it has expired")]).await;
}

#[tokio::test(start_paused = true)]
async fn the_login_is_as_young_and_as_strong_as_was_asked() {
    let fixture = fixture();
    let server = &fixture.server;
    let young = Expect::new().max_age(Duration::from_secs(60));
    check(&fixture.client, token(server).claim("auth_time", NOW - 120), &young).await.unwrap();
    refused(
        &fixture.client,
        &young,
        vec![
            (token(server), "auth_time: is missing"),
            (token(server).claim("auth_time", NOW - 121), "auth_time"),
            (token(server).claim("auth_time", NOW + 61), "auth_time"),
            (token(server).claim("auth_time", "now"), "auth_time"),
        ],
    )
    .await;
    let strong = Expect::new().acr(["gold", "platinum"]);
    check(&fixture.client, token(server).claim("acr", "platinum"), &strong).await.unwrap();
    refused(
        &fixture.client,
        &strong,
        vec![(token(server), "acr"), (token(server).claim("acr", "tin"), "acr")],
    )
    .await;

    // A login asks for it by itself.
    let pending = fixture.client.authorize(&request().max_age(Duration::from_secs(60))).await.unwrap();
    let nonce = crate::support::parameter(pending.url(), "nonce").unwrap();
    let callback = fixture.log_in(&pending);
    let stale = token(server).claim("nonce", nonce).claim("auth_time", NOW - 3600).build();
    let response = json!({"access_token": "a", "token_type": "Bearer", "id_token": stale}).to_string();
    server.fault(Endpoint::Token, Fault::body(200, "application/json", response)).times(1);
    let error = fixture.client.finish(pending, callback).await.unwrap_err();
    assert!(error.to_string().contains("auth_time"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_takes_openid_out_of_the_request_does_not_get_around_what_was_asked_of_the_login() {
    let fixture = fixture();
    let asked = [request().require_acr(["gold"]), request().max_age(Duration::from_secs(60))];
    for (request, field) in asked.iter().zip(["acr", "auth_time"]) {
        let pending = fixture.client.authorize(request).await.unwrap();
        let tampered = crate::support::with_parameter(pending.url(), "scope", Some("read"));
        let tampered = crate::support::with_parameter(&tampered, "acr_values", None);
        let callback = fixture.server.log_in(tampered.as_str(), "alice").unwrap();
        let error = fixture.client.finish(pending, callback).await.unwrap_err();
        assert_eq!(error.code(), "invalid_id_token");
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn hashes_bind_it_to_the_token_and_the_code_it_came_with() {
    let fixture = fixture();
    // SHA-256 of "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", left half: the example of OpenID Connect Core A.3.
    let access_token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    let code = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk";
    let at_hash = "77QmUPtjPfzWtF2AnpK9RQ";
    let c_hash = "LDktKdoQak3Pk0cnXxCltA";
    let expected = Expect::new().access_token(access_token).code(code);
    let bound = |at: &str, c: &str| token(&fixture.server).claim("at_hash", at).claim("c_hash", c);
    check(&fixture.client, bound(at_hash, c_hash), &expected).await.unwrap();
    check(&fixture.client, token(&fixture.server), &expected).await.unwrap();
    refused(
        &fixture.client,
        &expected,
        vec![
            (bound(c_hash, c_hash), "at_hash"),
            (bound(at_hash, at_hash), "c_hash"),
            (bound("", c_hash), "at_hash"),
            (token(&fixture.server).claim("at_hash", 7), "at_hash"),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_plain_signed_jwt_of_one_meaning_is_refused() {
    let fixture = fixture();
    let server = &fixture.server;
    let good = token(server).build();
    let twice = format!(
        r#"{{"iss":"{0}","sub":"alice","sub":"admin","aud":"web","exp":{1},"iat":{2}}}"#,
        server.issuer(),
        NOW + 60,
        NOW
    );
    refused(
        &fixture.client,
        &Expect::new(),
        vec![
            (token(server).raw_payload(twice), "twice"),
            (token(server).raw_payload("[]"), "JSON object"),
            (token(server).raw_payload("\u{feff}{}"), "JSON object"),
            (token(server).raw_header(r#"{"alg":"RS256","alg":"none"}"#), "twice"),
            (token(server).header("crit", json!(["exp"])), "crit"),
            (token(server).header("b64", false), "b64"),
            (token(server).header("zip", "DEF"), "zip"),
            (token(server).typ("at+jwt"), "typ"),
            (token(server).typ("logout+jwt"), "typ"),
            (token(server).header("kid", 7), "kid"),
            (token(server).signature([1; 256]), "signature"),
        ],
    )
    .await;
    let (head, signature) = good.rsplit_once('.').unwrap();
    for text in [
        String::new(),
        "a.b".to_owned(),
        format!("{good}."),
        format!("{head}."),
        format!("{head}.{signature}="),
        format!(" {good}"),
        format!("{head}.{}", "A".repeat(200_000)),
        "....".to_owned(),
        "\u{0}.é.\u{1F600}".to_owned(),
    ] {
        let error = fixture.client.validate_id_token::<serde_json::Value>(&text.into(), &Expect::new()).await;
        assert_eq!(error.unwrap_err().code(), "invalid_id_token");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_from_elsewhere_is_no_key_of_the_issuer() {
    let other = fixture();
    let fixture = fixture();
    let forged = token(&other.server).issuer(fixture.server.issuer());
    let error = check(&fixture.client, forged, &Expect::new()).await.unwrap_err();
    assert_eq!(error.code(), "invalid_id_token");
    let tricked = token(&other.server)
        .issuer(fixture.server.issuer())
        .header("jku", other.server.endpoint(Endpoint::Jwks));
    assert_eq!(check(&fixture.client, tricked, &Expect::new()).await.unwrap_err().code(), "invalid_id_token");
    assert_eq!(other.server.journal().count(Endpoint::Jwks), 0);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_costs_one_fetch_in_thirty_seconds_and_a_rotation_works_at_once() {
    let fixture = fixture();
    let fetches = || fixture.server.journal().count(Endpoint::Jwks);
    check(&fixture.client, token(&fixture.server), &Expect::new()).await.unwrap();
    fixture.server.keys().rotate();
    check(&fixture.client, token(&fixture.server), &Expect::new()).await.unwrap();
    assert_eq!(fetches(), 2, "a new key is fetched when it is first met");
    for n in 0..100 {
        let unknown = token(&fixture.server).kid(&format!("no-such-key-{n}"));
        check(&fixture.client, unknown, &Expect::new()).await.unwrap_err();
    }
    assert_eq!(fetches(), 2, "the flood waits out the half minute");
    check(&fixture.client, token(&fixture.server), &Expect::new()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    for _ in 0..100 {
        check(&fixture.client, token(&fixture.server).kid("no-such-key"), &Expect::new()).await.unwrap_err();
    }
    assert_eq!(fetches(), 3);
    // A signature that does not fit a key that is known asks for nothing.
    tokio::time::sleep(Duration::from_secs(60)).await;
    check(&fixture.client, token(&fixture.server).signature([0; 256]), &Expect::new()).await.unwrap_err();
    assert_eq!(fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_outlive_an_outage_of_their_server_for_a_day() {
    let fixture = fixture();
    check(&fixture.client, token(&fixture.server), &Expect::new()).await.unwrap();
    fixture.server.fault(Endpoint::Jwks, Fault::status(503)).always();
    tokio::time::sleep(Duration::from_secs(23 * 3600)).await;
    check(&fixture.client, token(&fixture.server), &Expect::new()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let error = check(&fixture.client, token(&fixture.server), &Expect::new()).await.unwrap_err();
    assert!(error.is_transient() && error.code() == "server_error", "{error}");
}

#[tokio::test(start_paused = true)]
async fn callers_waiting_for_unavailable_keys_share_one_attempt() {
    let fixture = fixture();
    fixture.client.metadata().await.unwrap();
    fixture.server.fault(Endpoint::Jwks, Fault::delay(Duration::from_secs(60))).always();
    let began = tokio::time::Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, token) = (fixture.client.clone(), token(&fixture.server));
        waiting.spawn(async move { check(&client, token, &Expect::new()).await });
    }
    for outcome in waiting.join_all().await {
        assert_eq!(outcome.unwrap_err().code(), "timeout");
    }
    assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
}

/// A server whose key set is that list alone.
fn serving(keys: serde_json::Value) -> Fixture {
    let fixture = fixture();
    let document = json!({ "keys": keys }).to_string();
    fixture.server.fault(Endpoint::Jwks, Fault::body(200, "application/json", document)).always();
    fixture
}

/// Whether a good token is accepted when the server's own key is published with that member on top.
async fn is_accepted_with(algorithm: Alg, member: &str, value: serde_json::Value) -> bool {
    let fixture = fixture();
    let key = TestKey::generate(algorithm).with_kid("k");
    let mut jwk = key.public_jwk();
    jwk[member] = value;
    let document = json!({ "keys": [jwk] }).to_string();
    fixture.server.fault(Endpoint::Jwks, Fault::body(200, "application/json", document)).always();
    match check(&fixture.client, token(&fixture.server).signed_with(&key), &Expect::new()).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), "invalid_id_token", "{error}");
            assert!(error.to_string().contains("publishes no key"), "{error}");
            false
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_published_with_private_or_symmetric_members_is_not_used() {
    assert!(is_accepted_with(Alg::Es256, "x5t", json!("AQ")).await);
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        assert!(!is_accepted_with(Alg::Es256, member, json!("AQ")).await, "{member}");
    }
    assert!(!is_accepted_with(Alg::Es256, "kty", json!("oct")).await);
}

#[tokio::test(start_paused = true)]
async fn a_key_for_another_purpose_is_not_used() {
    for (member, value, fine) in [
        ("use", json!("sig"), true),
        ("use", json!("enc"), false),
        ("use", json!(5), false),
        ("key_ops", json!(["verify"]), true),
        ("key_ops", json!(["encrypt", "sign"]), false),
        ("key_ops", json!("verify"), false),
        ("alg", json!("ES384"), false),
    ] {
        assert_eq!(is_accepted_with(Alg::Es256, member, value.clone()).await, fine, "{member}: {value}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_rsa_key_of_less_than_2048_bits_is_not_used() {
    let key = TestKey::rsa_1024();
    let fixture = serving(json!([key.public_jwk()]));
    let signed = token(&fixture.server).signed_with(&key);
    refused(&fixture.client, &Expect::new(), vec![(signed, "2048 to 8192 bits")]).await;
}

#[tokio::test(start_paused = true)]
async fn an_ed25519_key_of_small_order_is_not_used() {
    // The neutral point. R = neutral and S = 0 is a signature under it of any message whatever.
    let neutral = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let mut signature = [0; 64];
    signature[0] = 1;
    let fixture = serving(json!([{"kty": "OKP", "crv": "Ed25519", "x": neutral, "kid": "weak"}]));
    let forged = token(&fixture.server).header("alg", "EdDSA").kid("weak").signature(signature);
    refused(&fixture.client, &Expect::new(), vec![(forged, "of small order")]).await;
}

#[tokio::test(start_paused = true)]
async fn two_keys_of_one_name_verify_nothing() {
    let [one, other] = [(); 2].map(|()| TestKey::generate(Alg::Es256).with_kid("k"));
    let fixture = serving(json!([one.public_jwk(), other.public_jwk()]));
    for key in [&one, &other] {
        let signed = token(&fixture.server).signed_with(key);
        refused(&fixture.client, &Expect::new(), vec![(signed, "publishes no key")]).await;
    }
    let same_twice = serving(json!([one.public_jwk(), one.public_jwk()]));
    check(&same_twice.client, token(&same_twice.server).signed_with(&one), &Expect::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_key_id_is_tried_against_eight_keys_at_most() {
    let keys: Vec<_> = (0..9).map(|_| TestKey::generate(Alg::Es256)).collect();
    let fixture = serving(keys.iter().map(TestKey::public_jwk).collect());
    check(&fixture.client, token(&fixture.server).signed_with(&keys[7]).no_kid(), &Expect::new())
        .await
        .unwrap();
    let ninth = token(&fixture.server).signed_with(&keys[8]).no_kid();
    refused(&fixture.client, &Expect::new(), vec![(ninth, "publishes no key")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_header_that_is_malformed_in_what_it_says_of_keys_is_refused() {
    let fixture = fixture();
    let server = &fixture.server;
    refused(
        &fixture.client,
        &Expect::new(),
        vec![
            (token(server).header("jwk", "a key"), "jwk"),
            (token(server).header("x5c", "a certificate"), "x5c"),
            (token(server).header("x5u", 7), "x5u"),
            (token(server).header("cty", "JWT"), "cty"),
            (token(server).kid(&"k".repeat(257)), "kid"),
        ],
    )
    .await;
    // A chain of certificates makes a header long, and is in no one's way.
    let chain = token(server).header("x5c", json!(["A".repeat(3_000), "A".repeat(3_000)]));
    check(&fixture.client, chain.typ("application/jwt"), &Expect::new()).await.unwrap();
}

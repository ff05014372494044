//! At the token endpoint (RFC 9449 sections 5 and 8).

use std::time::Duration;

use http::StatusCode;
use oauth_client::dpop::Dpop;
use oauth_client::login::AuthorizationRequest;
use oauth_client::sign::{Algorithm, SigningKey};
use oauth_client::token::Scheme;
use oauth_client::{ClientAuth, grant};
use oauth_mock::{Alg, DpopNonce, Endpoint, Fault, GrantType, MockClient, User};
use serde_json::json;

use crate::support::{Recorded, part};

#[tokio::test(start_paused = true)]
async fn a_token_request_brings_a_proof_and_the_token_is_bound_to_its_key() {
    let fixture = Recorded::new();
    let keys = [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Ps256];
    for (n, algorithm) in keys.into_iter().enumerate() {
        let key = SigningKey::generate(algorithm).unwrap().with_key_id("not sent");
        let dpop = Dpop::with_key(key.clone());
        let client = fixture.builder().dpop(dpop.clone()).build().unwrap();
        let tokens = client.request(&grant::client_credentials()).await.unwrap();
        assert_eq!(tokens.scheme(), Scheme::Dpop);
        assert_eq!(tokens.key_thumbprint(), Some(dpop.thumbprint()));
        let bound_to = &part(tokens.access_token().expose(), 1)["cnf"]["jkt"];
        assert_eq!(bound_to, dpop.thumbprint(), "the server knows the key by the same name");

        let heard = &fixture.token_requests()[n];
        let claims = heard.claims();
        assert_eq!((&claims["htm"], &claims["htu"]), (&json!("POST"), &json!(heard.uri)));
        assert_eq!(claims["iat"], json!(1_893_456_000), "by the client's clock");
        assert!(!claims.contains_key("ath") && !claims.contains_key("nonce"));
        let header = part(heard.proof.as_ref().unwrap(), 0);
        assert_eq!((&header["typ"], &header["alg"]), (&json!("dpop+jwt"), &json!(algorithm.name())));
        let names: Vec<_> = header.keys().map(String::as_str).collect();
        assert_eq!(names, ["alg", "jwk", "typ"], "no key id: the key itself is there");
        let jwk = header["jwk"].as_object().unwrap();
        assert!(["d", "p", "q", "k"].iter().all(|private| !jwk.contains_key(*private)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_nonce_is_fetched_once_and_remembered() {
    let fixture = Recorded::with(|server| server.dpop_nonce(DpopNonce::Required));
    let client = fixture.client.clone();
    let request = grant::client_credentials();
    client.request(&request).await.unwrap();
    let nonces: Vec<_> = fixture.token_requests().iter().map(|heard| heard.nonce()).collect();
    assert!(nonces.len() == 2 && nonces[0].is_none() && nonces[1].is_some(), "{nonces:?}");

    client.request(&request).await.unwrap();
    assert_eq!(fixture.count(Endpoint::Token), 3, "the second knows it");

    fixture.server.dpop().change_nonces();
    client.request(&request).await.unwrap();
    client.request(&request).await.unwrap();
    assert_eq!(fixture.count(Endpoint::Token), 6, "a change costs one more request");
}

#[tokio::test(start_paused = true)]
async fn a_nonce_for_each_proof_is_taken_from_successes_too() {
    let fixture = Recorded::with(|server| server.dpop_nonce(DpopNonce::SingleUse));
    let client = fixture.client.clone();
    for _ in 0..5 {
        client.request(&grant::client_credentials()).await.unwrap();
    }
    assert_eq!(fixture.count(Endpoint::Token), 6, "only the first has none");
}

#[tokio::test(start_paused = true)]
async fn a_source_counts_the_second_request_and_every_proof_is_another() {
    let fixture = Recorded::with(|server| server.dpop_nonce(DpopNonce::Required));
    let source = fixture.source();
    source.token().await.unwrap();
    assert_eq!(source.status().token_requests, 2);
    let heard = fixture.token_requests();
    assert_ne!(heard[0].claims()["jti"], heard[1].claims()["jti"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_never_content_gets_two_requests_and_no_more() {
    let fixture = Recorded::new();
    let never = Fault::body(400, "application/json", r#"{"error":"use_dpop_nonce"}"#);
    let nonce = http::HeaderName::from_static("dpop-nonce");
    fixture.server.fault(Endpoint::Token, never.clone().header(nonce.clone(), "one")).on_call(1);
    fixture.server.fault(Endpoint::Token, never.clone().header(nonce.clone(), "two")).on_call(2);
    let error = fixture.client().request(&grant::client_credentials()).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("use_dpop_nonce", Some(StatusCode::BAD_REQUEST)));
    assert_eq!(fixture.count(Endpoint::Token), 2);

    // The very nonce it was just given, or none at all: then another try is no use either.
    let (fixture, client) = (Recorded::new(), |fixture: &Recorded| fixture.client());
    fixture.server.fault(Endpoint::Token, never.clone().header(nonce, "one")).always();
    let same = client(&fixture);
    same.request(&grant::client_credentials()).await.unwrap_err();
    same.request(&grant::client_credentials()).await.unwrap_err();
    assert_eq!(fixture.count(Endpoint::Token), 3);
    fixture.server.clear_faults();
    fixture.server.fault(Endpoint::Token, never).always();
    client(&fixture).request(&grant::client_credentials()).await.unwrap_err();
    assert_eq!(fixture.count(Endpoint::Token), 4);
}

#[tokio::test(start_paused = true)]
async fn a_rotating_refresh_token_survives_a_change_of_nonces() {
    let fixture = Recorded::with(|server| server.dpop_nonce(DpopNonce::Required));
    let source = fixture.source();
    let first = source.token().await.unwrap();
    let thumbprint = first.tokens().key_thumbprint().unwrap().to_owned();
    let mut rotations = 0;
    let mut token = first;
    for _ in 0..5 {
        fixture.server.dpop().change_nonces();
        tokio::time::sleep(token.tokens().lifetime().unwrap() + Duration::from_secs(1)).await;
        let next = source.token().await.unwrap();
        assert_eq!(next.tokens().key_thumbprint(), Some(thumbprint.as_str()), "a refresh keeps the key");
        rotations += usize::from(next.tokens().refresh_token() != token.tokens().refresh_token());
        token = next;
    }
    assert_eq!(rotations, 5);
    let heard = fixture.token_requests();
    assert_eq!(heard.len(), 12, "each twice");
    assert!(heard.chunks(2).all(|pair| pair[0].body == pair[1].body), "the second is the first once more");
    assert!(
        heard
            .chunks(2)
            .all(|pair| (pair[0].status, pair[1].status) == (400.try_into().unwrap(), StatusCode::OK))
    );
}

#[tokio::test(start_paused = true)]
async fn a_downgrade_to_bearer_is_refused_unless_it_is_allowed() {
    let response = |kind: &str| {
        let body = format!(r#"{{"access_token":"2YotnFZFEjr1zCsicMWpAA"{kind}}}"#);
        Fault::body(200, "application/json", body)
    };
    for kind in [r#","token_type":"Bearer""#, r#","token_type":"bearer""#, ""] {
        let fixture = Recorded::new();
        fixture.server.fault(Endpoint::Token, response(kind)).always();
        let error = fixture.client().request(&grant::client_credentials()).await.unwrap_err();
        assert_eq!(error.code(), "unsupported_token_type", "{kind}");
        assert!(error.to_string().contains("bound to a key"), "{error}");

        let lenient = fixture.builder().dpop(Dpop::generate().unwrap().allow_bearer()).build().unwrap();
        let token = lenient.source(grant::client_credentials()).build().unwrap().token().await.unwrap();
        assert_eq!(token.authorization(), "Bearer 2YotnFZFEjr1zCsicMWpAA");
        assert_eq!(token.tokens().scheme(), Scheme::Bearer);
    }
    // And the other way round: who has no key cannot use a bound token.
    let fixture = Recorded::new();
    fixture.server.fault(Endpoint::Token, response(r#","token_type":"DPoP""#)).times(1);
    let plain = fixture.builder().build().unwrap();
    let error = plain.request(&grant::client_credentials()).await.unwrap_err();
    assert_eq!(error.code(), "unsupported_token_type");
    // What neither of the two is, is not understood.
    fixture.server.fault(Endpoint::Token, response(r#","token_type":"MAC""#)).times(1);
    let error = fixture.client().request(&grant::client_credentials()).await.unwrap_err();
    assert_eq!(error.code(), "unsupported_token_type");
    // In any case of its letters.
    fixture.server.fault(Endpoint::Token, response(r#","token_type":"dpop""#)).times(1);
    let tokens = fixture.client().request(&grant::client_credentials()).await.unwrap();
    assert_eq!(tokens.scheme(), Scheme::Dpop);
}

#[tokio::test(start_paused = true)]
async fn the_refresh_token_of_a_client_without_a_secret_is_good_with_its_key_only() {
    let fixture = Recorded::new();
    let mobile =
        |dpop: &Dpop| fixture.builder().auth(ClientAuth::none("mobile")).dpop(dpop.clone()).build().unwrap();
    let (ours, others) = (Dpop::generate().unwrap(), Dpop::generate().unwrap());
    let login = grant::password("alice", "wonderland").scope(["openid"]);
    let refresh_token = mobile(&ours).request(&login).await.unwrap().refresh_token().unwrap().clone();
    let refresh = grant::refresh_token(refresh_token);
    assert_eq!(mobile(&others).request(&refresh).await.unwrap_err().code(), "invalid_grant");
    assert!(mobile(&ours).request(&refresh).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_client_assertion_is_made_anew_for_the_second_request() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let signer = MockClient::new("signer").jwks(&json!({"keys": [key.public_jwk()]}));
    let fixture = Recorded::with(|server| server.client(signer).dpop_nonce(DpopNonce::Required));
    let auth = ClientAuth::private_key_jwt("signer", key);
    let client = fixture.builder().auth(auth).dpop(Dpop::generate().unwrap()).build().unwrap();
    client.request(&grant::client_credentials()).await.unwrap();
    let assertions: Vec<_> =
        fixture.token_requests().iter().map(|heard| heard.parameter("client_assertion")).collect();
    assert_eq!(assertions.len(), 2);
    assert_ne!(part(&assertions[0], 1)["jti"], part(&assertions[1], 1)["jti"]);
}

#[tokio::test(start_paused = true)]
async fn a_code_is_bound_to_the_key_as_well() {
    const CALLBACK: &str = "https://app.example.com/callback";
    let web =
        MockClient::new("web").secret("s").grants([GrantType::AuthorizationCode]).redirect_uri(CALLBACK);
    let fixture = Recorded::with(|server| {
        server.client(web.scopes(["read"])).user(User::new("bob", "builder")).dpop_nonce(DpopNonce::SingleUse)
    });
    let web = |dpop: &Dpop| {
        fixture.builder().auth(ClientAuth::basic("web", "s")).dpop(dpop.clone()).build().unwrap()
    };
    let (ours, others) = (Dpop::generate().unwrap(), Dpop::generate().unwrap());
    let plain = AuthorizationRequest::new(CALLBACK).scope(["read"]);
    for request in [plain.clone(), plain.pushed()] {
        let client = web(&ours);
        let pending = client.authorize(&request).await.unwrap();
        let callback = fixture.server.log_in(pending.url().as_str(), "bob").unwrap();
        let login = client.finish(pending, &callback).await.unwrap();
        assert_eq!(login.tokens().key_thumbprint(), Some(ours.thumbprint()));

        let pending = client.authorize(&request).await.unwrap();
        let callback = fixture.server.log_in(pending.url().as_str(), "bob").unwrap();
        let stolen = web(&others).finish(pending, &callback).await.unwrap_err();
        assert_eq!(stolen.code(), "invalid_grant");
    }
    let pushed = fixture.line.to(&fixture.server.endpoint(Endpoint::Par));
    assert_eq!(pushed.len(), 3, "the first has no nonce yet, the second has the token endpoint's");
    assert!(pushed.iter().all(|heard| heard.claims()["htu"] == json!(heard.uri)));
    assert!(pushed.iter().all(|heard| heard.parameter("dpop_jkt") == ours.thumbprint()));
}

#[tokio::test(start_paused = true)]
async fn the_error_for_an_unsupported_algorithm_quotes_the_metadata() {
    let fixture = Recorded::with(|server| server.dpop_algorithms([Alg::Rs256, Alg::Ps256]));
    let source = fixture.source();
    let error = source.token().await.unwrap_err();
    assert_eq!(error.code(), "invalid_dpop_proof");
    let shown = error.with_causes().to_string();
    assert!(shown.contains("signed with ES256") && shown.contains("RS256, PS256"), "{shown}");
    assert!(!error.is_reauthorization_required(), "it says nothing of the refresh token");
}

#[test]
fn neither_key_nor_client_shows_the_private_key() {
    let pem = SigningKey::generate(Algorithm::Es256).unwrap().to_pem().unwrap();
    let dpop = Dpop::with_key(SigningKey::from_pem(pem.expose()).unwrap());
    let fixture = Recorded::new();
    let builder = fixture.builder().dpop(dpop.clone());
    let shown = format!("{dpop:?} {builder:?} {:?}", builder.clone().build().unwrap());
    assert!(shown.contains(dpop.thumbprint()), "{shown}");
    for line in pem.expose().lines() {
        assert!(!shown.contains(line), "{shown}");
    }
}

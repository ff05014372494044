use std::time::Duration;

use super::*;
use crate::revocation::Poll;
use crate::{Algorithm, Introspection, Profile};

const EC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEssu3hv8Zkh2/E1NN63CKobjWBcJ7\n\
    PL3wK02hDDbJBK3vRcPNMKd3sg5LdnnAvrZEbVPHwN4UpqC1apUf0F95aw==\n\
    -----END PUBLIC KEY-----\n";
const OTHER_EC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEt/7ojM9BfeR2HRQz4adv8RDlCBgg\n\
    w7aWOsZCnMQZ4zGb6lCAESN21zwprAbpVCA7fIDHkLRtFdN8fdGL4XJDZA==\n\
    -----END PUBLIC KEY-----\n";

fn problems(builder: GuardBuilder) -> Vec<String> {
    let error = builder.build().map(|_| ()).unwrap_err();
    error.problems().iter().map(|problem| problem.field.clone()).collect()
}

fn good() -> Issuer {
    Issuer::new("https://auth.example.com").audience("api")
}

#[test]
fn all_configuration_errors_are_reported_together() {
    let builder = Guard::builder()
        .realm("two\r\nlines")
        .keys(KeyPolicy { cooldown: Duration::ZERO, ..KeyPolicy::default() })
        .issuer(Issuer::new("").jwks_uri("http://auth.example.com/jwks"))
        .issuer(good().algorithms([]).clients(Vec::<String>::new()).max_token_bytes(0))
        .issuer(good().audience("").algorithms([Algorithm::Hs256]))
        .issuer(Issuer::new("not a url").audience("api").danger_accept_any_audience());
    assert_eq!(
        problems(builder),
        [
            "realm",
            "keys.cooldown",
            "issuer[0].issuer",
            "issuer[0].audience",
            "issuer[0].jwks_uri",
            "issuer[1].clients",
            "issuer[1].max_token_bytes",
            "issuer[1].algorithms",
            "issuer[2].audience",
            "issuer[2].algorithms",
            "issuer[2].issuer",
            "issuer[3].audience",
            "issuer[3].issuer",
        ]
    );
}

#[test]
fn a_guard_needs_an_issuer() {
    assert_eq!(problems(Guard::builder()), ["issuer"]);
}

#[test]
fn plain_http_is_for_loopback_or_danger_allow_http() {
    let fetch_from = |uri: &str| Guard::builder().issuer(good().jwks_uri(uri)).build().map(|_| ());
    for local in ["http://localhost:9000/jwks", "http://127.0.0.1/jwks", "http://[::1]:9000/jwks"] {
        assert!(fetch_from(local).is_ok(), "{local}");
    }
    for other in
        ["http://auth.example.com/jwks", "http://localhost.example.com/jwks", "ftp://localhost/", "/jwks"]
    {
        assert!(fetch_from(other).is_err(), "{other}");
    }
    let allowed = Guard::builder().issuer(good().jwks_uri("http://auth.internal/jwks").danger_allow_http());
    assert!(allowed.build().is_ok());
    let named = Guard::builder()
        .issuer(Issuer::new("http://auth.internal").audience("api").jwks_uri("https://auth.internal/jwks"));
    assert!(named.build().is_ok(), "only where keys come from has to be safe");
}

#[test]
fn secrets_are_long_enough_alone_and_never_printed() {
    let secret = "0123456789abcdef0123456789abcdef";
    let issuer = || Issuer::new("https://auth.example.com").audience("api").profile(Profile::Jwt);
    let build = |issuer| Guard::builder().issuer(issuer).build().map(|_| ());
    assert!(build(issuer().hmac_secret(Algorithm::Hs256, secret)).is_ok());
    let invalid = [
        issuer().hmac_secret(Algorithm::Hs256, "short-secret"),
        issuer().hmac_secret(Algorithm::Hs256, ""),
        issuer().hmac_secret(Algorithm::Hs512, secret),
        issuer().hmac_secret(Algorithm::Rs256, secret),
        issuer().hmac_secret(Algorithm::Hs256, secret).algorithms([Algorithm::Hs256, Algorithm::Rs256]),
        issuer()
            .hmac_secret(Algorithm::Hs256, secret)
            .hmac_secret(Algorithm::Hs256, "another one of 32 bytes length!!"),
        issuer().key_pem(Algorithm::Rs256, secret),
        issuer().key_pem(Algorithm::Hs256, "-----BEGIN PUBLIC KEY-----"),
    ];
    for issuer in invalid {
        assert!(!format!("{issuer:?}").contains("0123456789"));
        let error = build(issuer).unwrap_err();
        assert!(
            !error.to_string().contains("secret-") && !error.to_string().contains("0123456789"),
            "{error}"
        );
    }
}

#[test]
fn a_key_set_without_a_usable_key_says_why() {
    let build = |document: &str| Guard::builder().issuer(good().jwks_json(document)).build().map(|_| ());
    for document in ["{}", "[]", "no json", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#] {
        assert_eq!(build(document).unwrap_err().problems()[0].field, "issuer[0].jwks_json", "{document}");
    }
    assert!(build(r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#).unwrap_err().to_string().contains("symmetric"));
    let missing = Guard::builder().issuer(good().jwks_file("/nowhere/keys.json"));
    assert_eq!(problems(missing), ["issuer[0].jwks_file"]);
}

#[test]
fn keys_come_from_one_source() {
    let uri = "https://auth.example.com/jwks";
    let twice = [
        (good().jwks_uri(uri).jwks_file("keys.json"), "issuer[0].jwks_file"),
        (good().jwks_file("keys.json").jwks_uri(uri), "issuer[0].jwks_uri"),
        (good().jwks_json("{}").key_pem(Algorithm::Es256, EC), "issuer[0].key_pem"),
        (good().key_pem(Algorithm::Es256, EC).jwks_json("{}"), "issuer[0].jwks_json"),
        (good().jwks_uri(uri).jwks_uri("https://auth.example.com/keys"), "issuer[0].jwks_uri"),
    ];
    for (issuer, field) in twice {
        let error = Guard::builder().issuer(issuer).build().map(|_| ()).unwrap_err();
        assert_eq!(error.problems()[0].field, field, "{error}");
        assert!(error.problems()[0].message.contains("one source"), "{error}");
    }
}

#[test]
fn keys_in_pem_form_with_the_same_name_are_an_error() {
    let two =
        good().named_key_pem("k1", Algorithm::Es256, EC).named_key_pem("k1", Algorithm::Es256, OTHER_EC);
    assert_eq!(problems(Guard::builder().issuer(two.clone())), ["issuer[0].key_pem"]);
    let and_one_more = two.named_key_pem("k2", Algorithm::Es256, EC);
    assert_eq!(problems(Guard::builder().issuer(and_one_more)), ["issuer[0].key_pem"]);
    let same = good().named_key_pem("k1", Algorithm::Es256, EC).named_key_pem("k1", Algorithm::Es256, EC);
    assert!(Guard::builder().issuer(same).build().is_ok(), "the same key twice");
    let unnamed = good().key_pem(Algorithm::Es256, EC).key_pem(Algorithm::Es256, OTHER_EC);
    assert!(Guard::builder().issuer(unnamed).build().is_ok(), "either may be tried");
}

#[test]
fn a_url_with_a_user_is_an_error_and_its_password_is_never_printed() {
    let at = |path: &str| format!("https://us3r:s3cr3t@auth.example.com{path}");
    let asked = |endpoint: String| {
        let introspection = Introspection::new(crate::ClientAuth::basic("orders-api", "secret"));
        good().introspection(introspection.endpoint(endpoint))
    };
    let polled = RevocationSettings::new().client_id("shop").poll(Poll::new(at("/poll")));
    for (builder, field) in [
        (Guard::builder().issuer(Issuer::new(at("")).audience("api")), "issuer[0].issuer"),
        (
            Guard::builder().issuer(Issuer::new(at("")).audience("api").key_pem(Algorithm::Es256, EC)),
            "issuer[0].issuer",
        ),
        (
            Guard::builder().issuer(Issuer::new(at("/.well-known/openid-configuration")).audience("api")),
            "issuer[0].issuer",
        ),
        (Guard::builder().issuer(good().jwks_uri(at("/jwks"))), "issuer[0].jwks_uri"),
        (
            Guard::builder().issuer(good().jwks_uri("https://us3r@auth.example.com/jwks")),
            "issuer[0].jwks_uri",
        ),
        (Guard::builder().issuer(asked(at("/introspect"))), "issuer[0].introspection.endpoint"),
        (Guard::builder().issuer(good()).revocation(polled), "revocation.poll.endpoint"),
        (Guard::builder().issuer(good()).resource(at("/orders")), "resource"),
        (Guard::builder().issuer(good()).resource_metadata(at("/orders")), "resource_metadata"),
    ] {
        let shown = format!("{builder:?}");
        assert!(!shown.contains("s3cr3t") && !shown.contains("us3r"), "{shown}");
        let error = builder.build().map(|_| ()).unwrap_err();
        let [problem] = error.problems() else { panic!("{error}") };
        assert_eq!(problem.field, field);
        assert!(problem.message.starts_with("has a user name or password, which"), "{error}");
        assert!(!format!("{error:?}").contains("s3cr3t"), "{error}");
    }
    // What is no URL is an error of its own.
    for path in ["/.well-known/openid-configuration", "/common/v2.0"] {
        let name = format!("https://us3r:s3cr3t@[auth{path}");
        let error =
            Guard::builder().issuer(Issuer::new(name).audience("api")).build().map(|_| ()).unwrap_err();
        assert!(!format!("{error:?}").contains("s3cr3t"), "{error}");
    }
}

#[test]
fn a_name_that_is_no_address_may_be_any_uri() {
    let of = |name: &str| Issuer::new(name).audience("api");
    let static_key = of("spiffe://team@example.org/ns").key_pem(Algorithm::Es256, EC);
    assert!(Guard::builder().issuer(static_key).build().is_ok());
    assert_eq!(problems(Guard::builder().issuer(of("spiffe://team@example.org/ns"))), ["issuer[0].issuer"]);
}

#[test]
fn the_url_of_an_issuers_metadata_is_no_issuer() {
    for (issuer, instead) in [
        ("https://auth.example.com/.well-known/openid-configuration", "https://auth.example.com"),
        (
            "https://auth.example.com/realms/main/.well-known/openid-configuration",
            "https://auth.example.com/realms/main",
        ),
        ("https://auth.example.com/.well-known/oauth-authorization-server", "https://auth.example.com"),
        (
            "https://auth.example.com/.well-known/oauth-authorization-server/main",
            "https://auth.example.com/main",
        ),
    ] {
        let error =
            Guard::builder().issuer(Issuer::new(issuer).audience("api")).build().map(|_| ()).unwrap_err();
        let [problem] = error.problems() else { panic!("{error}") };
        assert_eq!(problem.field, "issuer[0].issuer");
        assert_eq!(
            problem.message,
            format!("is the URL of its metadata; write the issuer that stands there, such as {instead}")
        );
    }
}

/// Some server may have it in its tokens, and its keys are elsewhere.
#[test]
fn a_name_like_that_of_metadata_is_no_error_where_nothing_is_discovered() {
    let of = |name: &str| Issuer::new(name).audience("api");
    let metadata = of("https://auth.example.com/.well-known/openid-configuration");
    assert!(
        Guard::builder().issuer(metadata.clone().jwks_uri("https://auth.example.com/jwks")).build().is_ok()
    );
    assert!(Guard::builder().issuer(metadata.key_pem(Algorithm::Es256, EC)).build().is_ok());
    let other = of("https://auth.example.com/.well-known/openid-configuration-v2");
    assert!(Guard::builder().issuer(other).build().is_ok());
}

use serde_json::{Value, json};

use super::super::ClientConfig;
use super::*;
use crate::sign::Algorithm;

fn read(mut values: Value) -> Result<ClientConfig, Error> {
    let tree = values.as_object_mut().unwrap();
    tree.insert("issuer".to_owned(), "https://auth.example.com".into());
    tree.insert("client_id".to_owned(), "svc".into());
    ClientConfig::from_tree(tree)
}

fn wrong(values: Value) -> String {
    let error = read(values).unwrap_err();
    assert_eq!(error.code(), "config");
    error.problems().iter().map(|problem| problem.field.as_str()).collect::<Vec<_>>().join(" ")
}

fn pem(algorithm: Algorithm) -> String {
    SigningKey::generate(algorithm).unwrap().to_pem().unwrap().expose().to_owned()
}

const LONG: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn a_key_or_a_secret_signs_assertions() {
    let file = std::env::temp_dir().join(format!("oauth-client-config-key-{}", std::process::id()));
    std::fs::write(&file, pem(Algorithm::Rs256)).unwrap();
    let config = read(json!({
        "client_auth": "private_key_jwt", "private_key": {"file": file.to_str().unwrap()},
        "signing_alg": "PS256", "key_id": "2030-01", "client_assertion_audience": ["urn:a"]
    }));
    let shown = format!("{:?}", config.unwrap());
    assert!(shown.contains("private_key_jwt") && !shown.contains("PRIVATE KEY"), "{shown}");
    std::fs::remove_file(&file).unwrap();

    let secret =
        |alg: &str| json!({"client_auth": "client_secret_jwt", "client_secret": LONG, "signing_alg": alg});
    assert!(read(secret("HS256")).is_ok());
    assert_eq!(wrong(secret("HS512")), "client_secret", "it is too short for that");
    assert_eq!(wrong(secret("ES256")), "signing_alg");
    assert_eq!(wrong(secret("none")), "signing_alg");
}

#[test]
fn a_method_says_what_it_needs_and_what_it_has_no_use_for() {
    let jwt = |key: Value| json!({"client_auth": "private_key_jwt", "private_key": key});
    assert_eq!(wrong(json!({"client_auth": "private_key_jwt"})), "private_key");
    assert_eq!(wrong(jwt("s3cr3t".into())), "private_key");
    assert_eq!(wrong(jwt(json!({"file": "/none/key.pem"}))), "private_key.file");
    let mut both = jwt(pem(Algorithm::Es256).into());
    assert!(read(both.clone()).is_ok());
    both["signing_alg"] = "RS256".into();
    assert_eq!(wrong(both.clone()), "signing_alg");
    both["signing_alg"] = "ES256".into();
    both["client_secret"] = "s3cr3t".into();
    assert_eq!(wrong(both), "client_secret");

    assert_eq!(wrong(json!({"client_secret": "s", "private_key": pem(Algorithm::Es256)})), "private_key");
    assert_eq!(wrong(json!({"client_auth": "none", "private_key": "k"})), "private_key");
    assert_eq!(
        wrong(json!({"client_secret": "s", "key_id": "k", "signing_alg": "ES256"})),
        "key_id signing_alg"
    );
    let post = json!({"client_auth": "client_secret_post", "client_secret": "s", "client_assertion_audience": ["a"]});
    assert_eq!(wrong(post), "client_assertion_audience");
}

#[cfg(feature = "reqwest")]
#[test]
fn a_certificate_comes_from_files_that_can_be_read() {
    let own = oauth_mock::ClientCertificate::self_signed("svc");
    let directory = std::env::temp_dir().join(format!("oauth-client-config-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (cert, key) = (file("client.crt", own.cert_pem()), file("client.key", own.key_pem()));
    for method in ["tls_client_auth", "self_signed_tls_client_auth"] {
        let tls = json!({"client_auth": method, "tls": {"cert": cert, "key": key, "ca": cert}});
        read(tls).unwrap().client().unwrap();
    }
    let secret = json!({"client_secret": "s", "tls": {"cert": cert, "key": key}});
    read(secret).unwrap().client().unwrap();

    let method = "tls_client_auth";
    assert_eq!(wrong(json!({"client_auth": method})), "tls.cert");
    assert_eq!(
        wrong(json!({"client_auth": method, "client_secret": "s", "tls": {"cert": cert, "key": key}})),
        "client_secret"
    );
    assert_eq!(wrong(json!({"client_auth": method, "tls": {"cert": cert}})), "tls.key");
    assert_eq!(wrong(json!({"client_auth": method, "tls": {"key": key}})), "tls.cert");
    assert_eq!(wrong(json!({"client_auth": method, "tls": {"cert": "/none", "key": key}})), "tls.cert");
    // What is in the files shows when they are used.
    let swapped = read(json!({"client_auth": method, "tls": {"cert": key, "key": cert}})).unwrap();
    assert_eq!(swapped.client().unwrap_err().problems()[0].field, "tls.cert");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_certificate_beside_the_key_and_an_assertion_of_the_platform_are_configured() {
    let own = oauth_mock::ClientCertificate::self_signed("svc");
    let path = std::env::temp_dir().join(format!("oauth-client-config-cert-{}", std::process::id()));
    std::fs::write(&path, own.cert_pem()).unwrap();
    let with = |certificate: Value| json!({"client_auth": "private_key_jwt", "private_key": pem(Algorithm::Rs256), "certificate": certificate});
    read(with(json!({"file": path}))).unwrap();
    read(with(own.cert_pem().into())).unwrap();
    assert_eq!(wrong(with("s3cr3t".into())), "certificate");
    assert_eq!(wrong(with(json!({"file": "/none"}))), "certificate.file");
    assert_eq!(wrong(json!({"client_secret": LONG, "certificate": own.cert_pem()})), "certificate");

    std::fs::write(&path, "").unwrap();
    let assertion = |assertion: Value| json!({"client_auth": "assertion", "client_assertion": assertion});
    let shown = format!("{:?}", read(assertion(json!({"file": path}))).unwrap());
    assert!(shown.contains("assertion"), "an empty file may be filled by then: {shown}");
    assert_eq!(wrong(json!({"client_auth": "assertion"})), "client_assertion");
    assert_eq!(wrong(json!({"client_secret": LONG, "client_assertion": "e30.e30.MQ"})), "client_assertion");
    let mut both = assertion("e30.e30.MQ".into());
    both["client_secret"] = LONG.into();
    assert_eq!(wrong(both), "client_secret");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn an_unknown_method_is_the_only_problem_and_says_what_was_meant() {
    let problems = |values: Value| {
        let error = read(values).unwrap_err();
        error.problems().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (short, whole) in [("basic", "client_secret_basic"), ("post", "client_secret_post")] {
        let found = problems(json!({"client_auth": short, "client_secret": "s3cr3t"}));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(&format!("did you mean {whole:?}?")), "{found:?}");
    }
    let found = problems(json!({"client_auth": "jwt", "private_key": "s3cr3t"}));
    assert!(found.len() == 1 && !found[0].contains("did you mean"), "there are two of that: {found:?}");
    let found = problems(json!({"client_secret": "s3cr3t", "grant_type": "client_credentials"}));
    assert_eq!(found, ["grant_type: is not a known key; did you mean grant?"]);
}

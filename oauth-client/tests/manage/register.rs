//! Registration (RFC 7591) and its management (RFC 7592).

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use oauth_client::ClientAuth;
use oauth_client::manage::register::{ClientMetadata, Registrar, Registration};
use oauth_client::sign::{Algorithm, SigningKey};
use serde_json::{Value, json};

use crate::site::Site;

const ENDPOINT: &str = "https://auth.test/register";
const MANAGED: &str = "https://auth.test/register/c1";

fn response(status: u16, body: &Value) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::from(body.to_string())).unwrap()
}

/// A server that registers one client.
fn site() -> Site {
    let site = Site::default();
    let made = json!({
        "client_id": "c1", "client_secret": "s3cr3t-1", "client_id_issued_at": 1_893_456_000, "client_secret_expires_at": 0,
        "registration_access_token": "r4t-1", "registration_client_uri": MANAGED,
        "token_endpoint_auth_method": "client_secret_post", "grant_types": ["client_credentials"],
        "scope": "read write", "software_statement": "st4tement", "tenant": {"plan": "s3cr3t-plan"}, "jwks": null
    });
    site.response(&format!("POST {ENDPOINT}"), response(201, &made));
    site
}

fn registrar(site: &Site) -> Registrar {
    Registrar::new(site.http(), ENDPOINT).unwrap()
}

fn wanted() -> ClientMetadata {
    ClientMetadata::new()
        .client_name("Nightly report")
        .member("client_name#de", "Nachtbericht")
        .grant_types(["client_credentials"])
        .scope(["read", "write"])
        .contacts(["ops@example.com"])
        .software_statement("st4tement")
}

async fn registered(site: &Site) -> Registration {
    registrar(site).register(&wanted()).await.unwrap()
}

#[tokio::test]
async fn a_client_registers_and_knows_who_it_is() {
    let site = site();
    let registration = registrar(&site).initial_access_token("1nitial").register(&wanted()).await.unwrap();
    let [sent] = &site.asked()[..] else { panic!("one request") };
    assert_eq!(sent.authorization.as_deref(), Some("Bearer 1nitial"));
    assert_eq!(
        serde_json::from_str::<Value>(&sent.body).unwrap(),
        json!({
            "client_name": "Nightly report", "client_name#de": "Nachtbericht", "grant_types": ["client_credentials"],
            "scope": "read write", "contacts": ["ops@example.com"], "software_statement": "st4tement"
        })
    );
    let auth: ClientAuth = registration.auth().unwrap();
    assert_eq!(auth.client_id(), "c1");
    assert!(format!("{auth:?}").contains("client_secret_post"), "{auth:?}");
    assert_eq!(registration.client_secret_expires_at(), None, "0 is never");
    assert_eq!(registration.client_id_issued_at(), Some(Duration::from_secs(1_893_456_000)));
    assert_eq!(registration.metadata().scope, ["read", "write"]);
    assert_eq!(registration.metadata().extra["tenant"]["plan"], "s3cr3t-plan");

    let kept = serde_json::to_string(&registration).unwrap();
    assert_eq!(serde_json::from_str::<Registration>(&kept).unwrap(), registration);
    let shown =
        format!("{registration:?} {:?} {:?}", registrar(&site).initial_access_token("1nitial"), wanted());
    for secret in ["s3cr3t", "r4t", "st4tement", "1nitial"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn who_registers_with_a_key_sends_its_public_half() {
    let site = site();
    let made = json!({"client_id": "c1", "token_endpoint_auth_method": "private_key_jwt"});
    site.response(&format!("POST {ENDPOINT}"), response(201, &made));
    let key = SigningKey::generate(Algorithm::Es256).unwrap().with_key_id("2030-01");
    let registration = registrar(&site).register(&ClientMetadata::new().signing_key(&key)).await.unwrap();
    let sent: Value = serde_json::from_str(&site.asked()[0].body).unwrap();
    assert_eq!(sent["token_endpoint_auth_method"], "private_key_jwt");
    let jwk = &sent["jwks"]["keys"][0];
    assert_eq!((&jwk["kid"], jwk.get("d")), (&json!("2030-01"), None));
    let error = registration.auth().unwrap_err();
    assert!(error.code() == "config" && error.to_string().contains("ClientAuth::private_key_jwt"), "{error}");
    let none = json!({"client_id": "app", "token_endpoint_auth_method": "none"});
    site.response(&format!("POST {ENDPOINT}"), response(200, &none));
    let app = registered(&site).await;
    assert!(format!("{:?}", app.auth().unwrap()).contains("none"));
}

#[tokio::test]
async fn refusals_keep_the_servers_words_and_no_secret() {
    let site = site();
    for code in [
        "invalid_redirect_uri",
        "invalid_client_metadata",
        "invalid_software_statement",
        "unapproved_software_statement",
    ] {
        let body = json!({"error": code, "error_description": "no: Bearer 1nitial"});
        site.response(&format!("POST {ENDPOINT}"), response(400, &body));
        let error = registrar(&site).initial_access_token("1nitial").register(&wanted()).await.unwrap_err();
        assert_eq!((error.code(), error.description()), (code, Some("no: Bearer [redacted]")));
    }
    site.response(&format!("POST {ENDPOINT}"), response(401, &json!({})));
    assert_eq!(registrar(&site).register(&wanted()).await.unwrap_err().code(), "invalid_token");
    for body in [json!({}), json!({"client_id": ""}), json!({"client_id": 5}), json!([])] {
        site.response(&format!("POST {ENDPOINT}"), response(201, &body));
        let error = registrar(&site).register(&wanted()).await.unwrap_err();
        assert_eq!(error.code(), "malformed_response", "{body}");
    }
    assert_eq!(Registrar::new(site.http(), "register").unwrap_err().code(), "config");
    let plain = Registrar::new(site.http(), "http://auth.test/register").unwrap();
    assert_eq!(plain.register(&wanted()).await.unwrap_err().code(), "config", "secrets need TLS");
}

#[tokio::test]
async fn a_client_is_read_changed_and_deleted_and_its_credentials_rotate() {
    let site = site();
    let first = registered(&site).await;
    site.asked();
    let rotated = json!({"client_id": "c1", "client_secret": "s3cr3t-2", "client_secret_expires_at": 1_900_000_000,
        "registration_access_token": "r4t-2", "token_endpoint_auth_method": "client_secret_post"});
    site.response(&format!("GET {MANAGED}"), response(200, &rotated));
    let second = registrar(&site).read(&first).await.unwrap();
    assert_eq!(second.client_secret().unwrap().expose(), "s3cr3t-2");
    assert_eq!(second.client_secret_expires_at(), Some(Duration::from_secs(1_900_000_000)));
    assert_eq!(second.registration_client_uri().unwrap().as_str(), MANAGED, "what is left out stays");

    let changed = json!({"client_id": "c1", "client_name": "Weekly report", "token_endpoint_auth_method": "client_secret_post"});
    site.response(&format!("PUT {MANAGED}"), response(200, &changed));
    let third = registrar(&site).update(&second, &wanted().client_name("Weekly report")).await.unwrap();
    assert_eq!(third.metadata().client_name.as_deref(), Some("Weekly report"));
    assert_eq!(third.client_secret().unwrap().expose(), "s3cr3t-2");

    site.response(&format!("DELETE {MANAGED}"), Response::builder().status(204).body(Bytes::new()).unwrap());
    registrar(&site).delete(&third).await.unwrap();
    let asked = site.asked();
    let tokens: Vec<_> = asked.iter().map(|asked| asked.authorization.as_deref().unwrap()).collect();
    assert_eq!(tokens, ["Bearer r4t-1", "Bearer r4t-2", "Bearer r4t-2"], "each with the newest");
    let sent: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!((&sent["client_id"], &sent["client_secret"]), (&json!("c1"), &json!("s3cr3t-2")));
    for forbidden in [
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    ] {
        assert!(sent.get(forbidden).is_none(), "RFC 7592 section 2.2: {forbidden}");
    }
}

/// The registration that a server's response to a read, or to an update with `changed`, leads to.
async fn managed(made: Value, changed: Option<ClientMetadata>, response_body: Value) -> Registration {
    let site = Site::default();
    let mut all = json!({"client_id": "c1", "client_secret": "s3cr3t-1", "registration_access_token": "r4t-1",
        "registration_client_uri": MANAGED});
    all.as_object_mut().unwrap().extend(made.as_object().unwrap().clone());
    site.response(&format!("POST {ENDPOINT}"), response(201, &all));
    let registration = registered(&site).await;
    let mut body = json!({"client_id": "c1"});
    body.as_object_mut().unwrap().extend(response_body.as_object().unwrap().clone());
    let method = if changed.is_some() { "PUT" } else { "GET" };
    site.response(&format!("{method} {MANAGED}"), response(200, &body));
    match changed {
        Some(changed) => registrar(&site).update(&registration, &changed).await.unwrap(),
        None => registrar(&site).read(&registration).await.unwrap(),
    }
}

#[tokio::test]
async fn a_secret_that_a_response_leaves_out_stays_unless_the_client_needs_none_by_now() {
    let method = |method: &str| json!({"token_endpoint_auth_method": method});
    let (basic, post, none) = (method("client_secret_basic"), method("client_secret_post"), method("none"));
    let (unsaid, changes) = (json!({}), |method| ClientMetadata::new().token_endpoint_auth_method(method));
    for (made, changed, body, by) in [
        (&basic, None, &unsaid, "client_secret_basic"),
        (&post, None, &unsaid, "client_secret_post"),
        (&unsaid, None, &basic, "client_secret_basic"),
        (&unsaid, None, &unsaid, "client_secret_basic"),
        (&basic, Some(changes("client_secret_post")), &post, "client_secret_post"),
        (&basic, Some(changes("client_secret_post")), &unsaid, "client_secret_post"),
        (&post, Some(ClientMetadata::new()), &basic, "client_secret_basic"),
        (&basic, None, &method("client_secret_jwt"), "client_secret_jwt"),
        (&none, None, &basic, "client_secret_basic"),
    ] {
        let registration = managed(made.clone(), changed, body.clone()).await;
        let secret = registration.client_secret().map(|secret| secret.expose().to_owned());
        assert_eq!(secret.as_deref(), Some("s3cr3t-1"), "{made} {body}");
        let auth = format!("{:?}", registration.auth().unwrap());
        assert!(auth.contains(by), "{made} {body}: {auth}");
    }
    for without in ["none", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"] {
        for changed in [None, Some(changes(without))] {
            assert_eq!(
                managed(basic.clone(), changed, method(without)).await.client_secret(),
                None,
                "{without}"
            );
        }
        assert_eq!(
            managed(basic.clone(), Some(changes(without)), json!({})).await.client_secret(),
            None,
            "{without}"
        );
    }
    // A new secret that comes alone is for a client that uses one.
    let keyed = managed(method("private_key_jwt"), None, json!({"client_secret": "s3cr3t-2"})).await;
    assert!(format!("{:?}", keyed.auth().unwrap()).contains("client_secret_basic"));
}

#[tokio::test]
async fn a_deleted_or_foreign_client_is_reported() {
    let site = site();
    let registration = registered(&site).await;
    site.response(&format!("GET {MANAGED}"), response(401, &json!({"error": "invalid_token"})));
    assert_eq!(registrar(&site).read(&registration).await.unwrap_err().code(), "invalid_token");
    site.response(&format!("GET {MANAGED}"), response(200, &json!({"client_id": "c2"})));
    let error = registrar(&site).read(&registration).await.unwrap_err();
    assert!(error.code() == "malformed_response" && error.to_string().contains("client_id"), "{error}");
    site.response(&format!("DELETE {MANAGED}"), response(405, &json!({})));
    assert_eq!(registrar(&site).delete(&registration).await.unwrap_err().status().unwrap().as_u16(), 405);
    site.response(&format!("POST {ENDPOINT}"), response(201, &json!({"client_id": "c1"})));
    let unmanaged = registered(&site).await;
    assert_eq!(registrar(&site).read(&unmanaged).await.unwrap_err().code(), "unsupported");
    let wrong = format!("{registration:?}");
    assert!(wrong.contains("c1"));
}

#[tokio::test]
async fn a_server_that_writes_back_what_it_refuses_puts_no_secret_into_the_error() {
    let site = site();
    let registration = registered(&site).await;
    for (line, status) in [(format!("PUT {MANAGED}"), 400), (format!("POST {ENDPOINT}"), 400)] {
        let echo = json!({"error": "invalid_client_metadata", "error_description": "not s3cr3t-1 nor st4tement nor r4t-1"});
        site.response(&line, response(status, &echo));
    }
    let changed = registrar(&site).update(&registration, &wanted()).await.unwrap_err();
    let made = registrar(&site).register(&wanted()).await.unwrap_err();
    assert!(!format!("{changed:?} {changed}").contains("s3cr3t-1"), "{changed}");
    for error in [changed, made] {
        assert_eq!(error.code(), "invalid_client_metadata");
        assert!(!format!("{error:?} {error}").contains("st4tement"), "{error}");
    }
}

/// What a server that is good at making clients, and less so at describing them, responds with.
#[tokio::test]
async fn a_member_that_does_not_fit_costs_no_client() {
    for (member, value) in [
        ("registration_client_uri", json!("")),
        ("registration_client_uri", json!(null)),
        ("registration_client_uri", json!("http://[")),
        ("registration_client_uri", json!(5)),
        ("token_endpoint_auth_method", json!("")),
        ("token_endpoint_auth_method", json!(null)),
        ("client_secret_expires_at", json!("never")),
        ("client_secret_expires_at", json!(-1)),
        ("client_id_issued_at", json!("2030-01-01T00:00:00Z")),
        ("redirect_uris", json!("https://app.test/callback")),
        ("grant_types", json!({})),
        ("contacts", json!([1])),
        ("client_name", json!(["a"])),
        ("logo_uri", json!(false)),
        ("scope", json!(7)),
        ("software_statement", json!({})),
        ("registration_access_token", json!(0)),
    ] {
        let site = Site::default();
        let mut made =
            json!({"client_id": "c1", "client_secret": "s3cr3t", "grant_types": ["client_credentials"]});
        made[member] = value.clone();
        site.response(&format!("POST {ENDPOINT}"), response(201, &made));
        let registration = registered(&site).await;
        assert_eq!(
            (registration.client_id(), registration.client_secret().unwrap().expose()),
            ("c1", "s3cr3t")
        );
        assert!(registration.auth().is_ok(), "{member} {value}");
    }
    // The client itself has to be there.
    for nameless in [json!({}), json!({"client_id": ""}), json!({"client_id": 5})] {
        let site = Site::default();
        site.response(&format!("POST {ENDPOINT}"), response(201, &nameless));
        assert_eq!(registrar(&site).register(&wanted()).await.unwrap_err().code(), "malformed_response");
    }
}

#[tokio::test]
async fn a_relative_place_is_below_the_endpoint_and_times_may_be_strings() {
    for place in ["/register/c1", "register/c1", "//auth.test/register/c1", MANAGED] {
        let site = Site::default();
        let made = json!({
            "client_id": "c1", "registration_client_uri": place, "registration_access_token": "r4t",
            "client_id_issued_at": "1893456000", "client_secret_expires_at": 1893456000.5
        });
        site.response(&format!("POST {ENDPOINT}"), response(201, &made));
        site.response(&format!("GET {MANAGED}"), response(200, &made));
        let registration = registered(&site).await;
        assert_eq!(registration.registration_client_uri().unwrap().as_str(), MANAGED, "{place}");
        assert_eq!(registration.client_id_issued_at(), Some(Duration::from_secs(1_893_456_000)));
        assert_eq!(registration.client_secret_expires_at(), Some(Duration::from_secs(1_893_456_000)));
        registrar(&site).read(&registration).await.unwrap();
    }
}

#[tokio::test]
async fn the_token_of_a_registration_goes_nowhere_that_a_document_must_not_lead_to() {
    for managed in [
        "http://auth.test/register/c1",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost./register/c1",
        "https://vault.internal/register/c1",
        "https://redis/",
        "https://user@auth.test/register/c1",
        "https://:pa55word@auth.test/register/c1",
        "file:///etc/passwd",
    ] {
        let site = site();
        let made = json!({"client_id": "c1", "client_secret": "s3cr3t-1", "registration_access_token": "r4t-1",
            "registration_client_uri": managed});
        site.response(&format!("POST {ENDPOINT}"), response(201, &made));
        let registration = registered(&site).await;
        assert_eq!(registration.client_secret().unwrap().expose(), "s3cr3t-1", "the credentials are kept");
        site.asked();
        // Also from where it was kept.
        let kept: Registration =
            serde_json::from_value(serde_json::to_value(&registration).unwrap()).unwrap();
        for error in [
            registrar(&site).read(&registration).await.unwrap_err(),
            registrar(&site).update(&kept, &wanted()).await.unwrap_err(),
            registrar(&site).delete(&kept).await.unwrap_err(),
        ] {
            let names_it = error.to_string().contains("registration_client_uri");
            assert!(error.code() == "discovery" && names_it, "{managed}: {error}");
        }
        assert!(site.lines().is_empty(), "{managed} is not asked");
    }
    // Another public host may be named, and its name must not resolve to a private address; the endpoint's own may.
    for (managed, public_only) in [(MANAGED, false), ("https://clients.test/c1", true)] {
        let site = site();
        let made = json!({"client_id": "c1", "registration_access_token": "r4t-1", "registration_client_uri": managed});
        site.response(&format!("POST {ENDPOINT}"), response(201, &made));
        site.response(&format!("GET {managed}"), response(200, &made));
        let registration = registered(&site).await;
        registrar(&site).read(&registration).await.unwrap();
        let asked: Vec<_> = site.asked().iter().map(|asked| asked.public_only).collect();
        assert_eq!(asked, [false, public_only], "{managed}");
    }
}

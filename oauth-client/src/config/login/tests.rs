use serde_json::{Value, json};

use crate::config::ClientConfig;
use crate::store::MemoryStore;
use crate::transport::{HttpClient, RequestBody};

/// The configuration, with a transport that always fails: nothing is sent here.
fn read(mut values: Value) -> ClientConfig {
    let tree = values.as_object_mut().unwrap();
    for (name, value) in
        [("issuer", "https://auth.example.com"), ("client_id", "svc"), ("client_secret", "s3cr3t")]
    {
        tree.insert(name.to_owned(), value.into());
    }
    ClientConfig::from_tree(tree).unwrap().http(HttpClient::from_service(tower::service_fn(
        |_: http::Request<RequestBody>| async {
            Err::<http::Response<http_body_util::Empty<bytes::Bytes>>, _>(std::io::Error::from(
                std::io::ErrorKind::ConnectionRefused,
            ))
        },
    )))
}

#[test]
fn scopes_in_one_text_are_the_same_as_scopes_one_by_one() {
    let key = |grant: &str, scope: Value| {
        let mut values = json!({"grant": grant, "scope": scope});
        if grant == "ciba" {
            values["login_hint"] = "alice".into();
        }
        read(values).into_builder().unwrap().store_key()
    };
    #[cfg(feature = "loopback")]
    let grants = ["authorization_code", "device_code", "ciba"];
    #[cfg(not(feature = "loopback"))]
    let grants = ["device_code", "ciba"];
    for grant in grants {
        let apart = key(grant, json!(["openid", "read"]));
        assert_eq!(key(grant, json!(["openid read"])), apart, "{grant}");
    }
}

/// Its own memory, a person's own file and a refresh token that is given have one user; a store that is opened elsewhere
/// may have several.
#[test]
fn a_login_over_a_store_that_others_use_needs_its_subject() {
    let login = |more: Value| {
        let mut values = json!({"grant": "device_code"});
        values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(values)
    };
    login(json!({})).build().unwrap();
    login(json!({"store": {"kind": "file", "path": "tokens.json"}})).build().unwrap();
    let shared = |config: ClientConfig| config.into_builder_with(MemoryStore::new()).unwrap().build();
    let error = shared(login(json!({}))).unwrap_err();
    assert_eq!((error.code(), &*error.problems()[0].field), ("config", "subject"), "{error}");
    shared(login(json!({"subject": "alice"}))).unwrap();
    shared(read(json!({"grant": "refresh_token", "refresh_token": "r0"}))).unwrap();
}

use super::*;
use crate::transport::RequestBody;

const GOOD: &[(&str, &str)] =
    &[("issuer", "https://auth.example.com"), ("client_id", "svc"), ("client_secret", "s3cr3t")];

fn read(mut values: Value, leave_out: &[&str]) -> Result<ClientConfig, Error> {
    let tree = values.as_object_mut().unwrap();
    for (name, value) in GOOD {
        if !leave_out.contains(name) && !tree.contains_key(*name) {
            tree.insert((*name).to_owned(), Value::from(*value));
        }
    }
    ClientConfig::from_tree(tree)
}

/// A transport that always fails. Nothing is sent here, so these tests work without the bundled transport as well.
fn nowhere() -> HttpClient {
    HttpClient::from_service(tower::service_fn(|_: http::Request<RequestBody>| async {
        Err::<http::Response<http_body_util::Empty<bytes::Bytes>>, _>(std::io::Error::from(
            std::io::ErrorKind::ConnectionRefused,
        ))
    }))
}

fn fields(error: &Error) -> Vec<&str> {
    error.problems().iter().map(|problem| problem.field.as_str()).collect()
}

const EXAMPLE: &str = include_str!("../../client.example.toml");
const VARIABLES: &str = "OAUTH_ISSUER=https://auth.example.com
OAUTH_CLIENT_ID=orders-service
OAUTH_CLIENT_SECRET_FILE=/run/secrets/client
OAUTH_SCOPE='read write'
OAUTH_PARAMS='tenant=acme'
OAUTH_STORE_KIND=file
OAUTH_STORE_PATH=tokens.json";

#[test]
fn the_variables_in_the_reference_are_a_configuration() {
    let variables = VARIABLES.lines().map(|line| {
        let (name, value) = line.split_once('=').unwrap();
        (name.into(), value.trim_matches('\'').into())
    });
    let error = ClientConfig::of_environment("OAUTH_", variables).unwrap_err();
    // The file of the secret is on no other machine.
    assert_eq!(fields(&error), ["OAUTH_CLIENT_SECRET_FILE"], "{error}");
}

#[test]
fn the_reference_in_the_docs_is_the_one_the_keys_give() {
    let written = include_str!("../../CONFIG.md");
    let environment = schema::environment("OAUTH_", VARIABLES, "ClientConfig");
    let generated = [schema::reference(EXAMPLE, KEYS), environment].concat();
    if std::env::var_os("WRITE_CONFIG_REFERENCE").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/CONFIG.md"), &generated).unwrap();
    }
    assert!(
        written == generated,
        "CONFIG.md is not what the keys give; run this test once with WRITE_CONFIG_REFERENCE=1"
    );
}

#[cfg(feature = "toml")]
#[test]
fn every_example_in_the_reference_is_toml_that_its_key_takes() {
    fn walk(keys: &[schema::Key]) {
        for key in keys {
            let tree = tree::from_toml(key.example).unwrap();
            let mut problems = Vec::new();
            schema::check(&tree, keys, "", &mut problems);
            assert!(problems.is_empty() && tree.contains_key(key.name), "{}: {problems:?}", key.name);
            if let schema::Kind::Table(keys) | schema::Kind::Tables(keys) = key.kind {
                walk(keys);
            }
        }
    }
    walk(KEYS);
}

#[test]
fn six_mistakes_are_six_problems_each_by_its_key() {
    let error = read(
        serde_json::json!({
            "issuer": "auth.example.com", "client_idd": "svc", "grant": "magic", "scope": "read",
            "timeout_seconds": 0, "store": {"kind": "file"}
        }),
        &[],
    )
    .unwrap_err();
    assert_eq!(error.code(), "config");
    assert_eq!(fields(&error), ["client_idd", "grant", "scope", "timeout_seconds", "issuer", "store.path"]);
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));
}

#[test]
fn a_key_under_a_slightly_wrong_name_is_not_missing_as_well() {
    let error = read(
        serde_json::json!({"isuer": "https://a", "client_secret": {"env": "A", "file": "B"}}),
        &["issuer"],
    );
    assert_eq!(fields(&error.unwrap_err()), ["client_secret", "isuer"]);
}

#[test]
fn tokens_obtained_elsewhere_start_a_source() {
    let fields_of = |values: Value| fields(&read(values, &[]).unwrap_err()).join(" ");
    assert_eq!(fields_of(serde_json::json!({"grant": "jwt_bearer"})), "assertion");
    assert_eq!(fields_of(serde_json::json!({"grant": "token_exchange"})), "subject_token");
    assert_eq!(
        fields_of(serde_json::json!({"assertion": "a.b.c", "subject_token_type": "jwt"})),
        "assertion subject_token_type"
    );
    let typed =
        serde_json::json!({"grant": "token_exchange", "subject_token": "t", "actor_token_type": "jwt"});
    assert_eq!(fields_of(typed), "actor_token");
    let gone = serde_json::json!({"grant": "jwt_bearer", "assertion": {"file": "/nowhere/a.jwt"}});
    assert_eq!(fields_of(gone), "assertion.file");

    let file = std::env::temp_dir().join(format!("oauth-client-assertion-{}.jwt", std::process::id()));
    std::fs::write(&file, "s3cr3t.b.c").unwrap();
    for values in [
        serde_json::json!({"grant": "jwt_bearer", "assertion": {"file": file.to_str().unwrap()}}),
        serde_json::json!({"grant": "token_exchange", "subject_token": "s3cr3t.b.c", "subject_token_type": "id_token",
            "actor_token": {"file": file.to_str().unwrap()}, "requested_token_type": "urn:x:y", "audience": "billing"}),
    ] {
        let config = read(values, &[]).unwrap();
        assert!(!format!("{config:?}").contains("s3cr3t"), "{config:?}");
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn an_assertion_that_is_signed_here_tells_what_is_wrong_by_its_own_keys() {
    let key = crate::sign::SigningKey::generate(crate::sign::Algorithm::Es256).unwrap().to_pem().unwrap();
    let fields_of = |signed: Value| {
        let values = serde_json::json!({"grant": "jwt_bearer", "signed_assertion": signed});
        read(values, &[]).map_or_else(|error| fields(&error).join(" "), |config| format!("{config:?}"))
    };
    assert_eq!(fields_of(serde_json::json!({})), "signed_assertion.private_key");
    assert_eq!(
        fields_of(serde_json::json!({"private_key": {"file": "/nowhere/key.pem"}})),
        "signed_assertion.private_key.file"
    );
    assert_eq!(fields_of(serde_json::json!({"private_key": "s3cr3t"})), "signed_assertion.private_key");
    for alg in ["RS256", "none"] {
        let misfit = serde_json::json!({"private_key": key.expose(), "signing_alg": alg});
        assert_eq!(fields_of(misfit), "signed_assertion.signing_alg");
    }
    assert_eq!(
        fields_of(serde_json::json!({"private_key": key.expose(), "lifetime_seconds": 0, "subjekt": "a"})),
        "signed_assertion.lifetime_seconds signed_assertion.subjekt"
    );
    let good =
        serde_json::json!({"private_key": key.expose(), "subject": "alice", "claims": {"scope": "read"}});
    let shown = fields_of(good.clone());
    assert!(shown.contains("alice") && !shown.contains("PRIVATE KEY"), "{shown}");

    let both = serde_json::json!({"grant": "jwt_bearer", "assertion": "a.b.c", "signed_assertion": good});
    assert_eq!(fields(&read(both, &[]).unwrap_err()), ["signed_assertion"]);
    let elsewhere = serde_json::json!({"signed_assertion": good});
    assert_eq!(fields(&read(elsewhere, &[]).unwrap_err()), ["signed_assertion"]);
}

#[test]
fn each_grant_and_method_says_what_it_needs() {
    let password = read(serde_json::json!({"grant": "password"}), &[]).unwrap_err();
    assert_eq!(fields(&password), ["username", "password"]);
    let refresh = read(serde_json::json!({"grant": "refresh_token"}), &[]).unwrap_err();
    assert_eq!(fields(&refresh), ["refresh_token"]);
    let basic = read(serde_json::json!({}), &["client_secret"]).unwrap_err();
    assert_eq!(fields(&basic), ["client_secret"]);
    let none = read(serde_json::json!({"client_auth": "none"}), &[]).unwrap_err();
    assert_eq!(fields(&none), ["client_secret"]);
    assert!(read(serde_json::json!({"client_auth": "none"}), &["client_secret"]).is_ok());
    assert_eq!(fields(&read(serde_json::json!({}), &["issuer"]).unwrap_err()), ["issuer"]);
    let http = read(serde_json::json!({"issuer": "http://auth.example.com"}), &[]).unwrap_err();
    assert_eq!(fields(&http), ["issuer"]);
}

#[test]
fn secrets_come_from_files_and_variables_and_say_when_they_cannot() {
    let file = std::env::temp_dir().join(format!("oauth-client-secret-{}", std::process::id()));
    std::fs::write(&file, "s3cr3t\r\n").unwrap();
    let config = read(serde_json::json!({"client_secret": {"file": file.to_str().unwrap()}}), &[]).unwrap();
    assert!(!format!("{config:?}").contains("s3cr3t"));
    std::fs::remove_file(&file).unwrap();

    let gone = read(serde_json::json!({"client_secret": {"file": file.to_str().unwrap()}}), &[]).unwrap_err();
    assert_eq!(fields(&gone), ["client_secret.file"]);
    let unset =
        read(serde_json::json!({"client_secret": {"env": "NO_SUCH_VARIABLE_IS_SET"}}), &[]).unwrap_err();
    assert_eq!(fields(&unset), ["client_secret.env"]);
    assert!(unset.to_string().contains("NO_SUCH_VARIABLE_IS_SET"));
}

#[test]
fn the_environment_has_the_same_keys() {
    let variables = |extra: &[(&str, &str)]| {
        let base = [
            ("APP_ISSUER", "https://auth.example.com"),
            ("APP_CLIENT_ID", "svc"),
            ("APP_CLIENT_SECRET", "s3cr3t"),
            ("APP_SCOPE", "read write"),
            ("APP_TIMEOUT_SECONDS", "5"),
            ("APP_STORE_KIND", "memory"),
            ("APP_PARAMS", "tenant=a%20b"),
            ("PATH", "/bin"),
        ];
        let all = base.iter().chain(extra).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        tree::from_variables("APP_", KEYS, all.collect::<Vec<_>>())
    };
    let tree = variables(&[]).unwrap();
    assert_eq!(tree["scope"], serde_json::json!(["read", "write"]));
    assert_eq!(tree["timeout_seconds"], 5);
    assert_eq!(tree["params"], serde_json::json!({"tenant": "a b"}));
    assert!(ClientConfig::from_tree(&tree).is_ok());

    let stray = variables(&[("APP_CLIENTID", "svc")]).unwrap_err();
    assert_eq!(fields(&stray), ["APP_CLIENTID"]);
    let wrong =
        ClientConfig::from_tree(&variables(&[("APP_REFRESH_MARGIN_SECONDS", "soon")]).unwrap()).unwrap_err();
    assert_eq!(fields(&wrong), ["refresh_margin_seconds"]);
}

#[cfg(feature = "toml")]
#[test]
fn malformed_toml_is_reported_by_position_and_not_quoted() {
    let error = ClientConfig::from_toml("issuer = \"https://a\"\nclient_secret = s3cr3t\n").unwrap_err();
    assert!(error.problems()[0].field.starts_with("line 2, "), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));
}

#[test]
fn any_serde_format_will_do() {
    let config: ClientConfig =
        serde_json::from_str(r#"{"issuer":"https://a","client_id":"svc","client_secret":"s3cr3t"}"#).unwrap();
    assert!(!format!("{config:?}").contains("s3cr3t"));
    let error =
        serde_json::from_str::<ClientConfig>(r#"{"issuer":"https://a","x":1}"#).unwrap_err().to_string();
    assert!(error.contains("x: is not a known key") && error.contains("client_id: is missing"), "{error}");
}

#[test]
fn a_provider_says_where_how_and_what_for_and_what_is_missing_then() {
    let provider = |values: Value| read(values, &["issuer"]);
    let built = |values: Value| provider(values).and_then(|config| config.http(nowhere()).client()).map(drop);
    assert!(built(serde_json::json!({"provider": "ils"})).is_ok());
    assert!(built(serde_json::json!({"provider": "teen-quotes", "custom": {"encoding": "form"}})).is_ok());
    assert!(built(serde_json::json!({"provider": "infolink", "base_url": "https://i.example"})).is_ok());
    assert!(
        built(serde_json::json!({"provider": "sailpoint", "token_endpoint": "https://s.example/t"})).is_ok()
    );

    let wrong = |values: Value| fields(&provider(values).unwrap_err()).join(" ");
    assert_eq!(wrong(serde_json::json!({"provider": "infolink"})), "base_url");
    assert_eq!(
        wrong(serde_json::json!({"provider": "infolink", "base_url": "http://i.example"})),
        "base_url"
    );
    assert_eq!(wrong(serde_json::json!({"provider": "infolink", "base_url": "https://i?x"})), "base_url");
    assert_eq!(wrong(serde_json::json!({"base_url": "https://i.example"})), "base_url");
    assert_eq!(
        wrong(serde_json::json!({"provider": "ils", "client_auth": "client_secret_basic"})),
        "client_auth"
    );
    assert_eq!(wrong(serde_json::json!({"provider": "ils", "grant": "password"})), "grant");
    assert_eq!(wrong(serde_json::json!({"provider": "custom", "base_url": "https://c"})), "custom base_url");
    assert_eq!(
        wrong(serde_json::json!({"provider": "custom", "base_url": "https://c",
            "custom": {"token_path": "/t", "encoding": "xml", "fields": "x", "error_code": "a..b"}})),
        "custom.encoding custom.fields custom.error_code"
    );
    let comm100 = read(serde_json::json!({"provider": "comm100"}), &["issuer", "client_secret"]);
    assert_eq!(fields(&comm100.unwrap_err()), ["params.partnerId", "username", "password"]);
    let with_secret = serde_json::json!({"provider": "comm100", "username": "a@b", "password": "p",
        "params": {"partnerId": "10000"}});
    assert_eq!(wrong(with_secret.clone()), "client_secret");
    assert!(read(with_secret, &["issuer", "client_secret"]).is_ok());
}

#[test]
fn the_keychain_is_a_kind_of_store_and_its_path_the_file_to_use_without_one() {
    let with_path = serde_json::json!({"kind": "keyring", "path": "tokens.json"});
    for (store, file) in [(serde_json::json!({"kind": "keyring"}), false), (with_path, true)] {
        let config = read(serde_json::json!({"store": store}), &[]).unwrap().http(nowhere());
        let built = config.into_builder();
        if cfg!(feature = "keyring") {
            let shown = format!("{:?}", built.unwrap());
            assert!(shown.contains("KeyringStore") && shown.contains("tokens.json") == file, "{shown}");
        } else {
            let error = built.unwrap_err();
            assert_eq!(fields(&error), ["store.kind"]);
            assert!(error.to_string().contains("feature keyring"), "it names the fix: {error}");
        }
    }
    let other = serde_json::json!({"store": {"kind": "keyring", "url": "redis://127.0.0.1"}});
    assert_eq!(fields(&read(other, &[]).unwrap_err()), ["store.url"]);
}

#[cfg(feature = "loopback")]
#[test]
fn a_grant_that_a_person_gives_brings_a_login_and_says_what_does_not_fit() {
    let config =
        read(serde_json::json!({"grant": "authorization_code", "scope": ["read"], "par": true}), &[]);
    let config = config.unwrap().http(nowhere());
    assert!(format!("{:?}", config.login().unwrap().unwrap()).contains("http://127.0.0.1/callback"));
    let by_browser = config.into_builder().unwrap().store_key();
    let config =
        read(serde_json::json!({"grant": "device_code", "scope": ["read"]}), &[]).unwrap().http(nowhere());
    assert!(config.login().unwrap().is_some());
    assert_eq!(config.into_builder().unwrap().store_key(), by_browser, "it is one person's login either way");
    assert!(read(serde_json::json!({}), &[]).unwrap().http(nowhere()).login().unwrap().is_none());

    for (values, field) in [
        (serde_json::json!({"grant": "device_code", "redirect_uri": "http://127.0.0.1/"}), "redirect_uri"),
        (serde_json::json!({"par": true}), "par"),
        (
            serde_json::json!({"grant": "authorization_code", "redirect_uri": "https://app.test/cb"}),
            "redirect_uri",
        ),
        (serde_json::json!({"grant": "authorization_code", "params": {"state": "x"}}), "params.state"),
        (
            serde_json::json!({"grant": "authorization_code", "params": {"redirect_uri": "x"}}),
            "params.redirect_uri",
        ),
        (serde_json::json!({"grant": "authorization_code", "params": {"scope": "openid"}}), "params.scope"),
        (serde_json::json!({"grant": "device_code", "params": {"scope": "openid"}}), "params.scope"),
        (
            serde_json::json!({"grant": "authorization_code", "params": {"authorization_details": "[]"}}),
            "params.authorization_details",
        ),
        // It is checked in the ID token.
        (serde_json::json!({"grant": "authorization_code", "params": {"max_age": "60"}}), "params.max_age"),
        (
            serde_json::json!({"grant": "authorization_code", "scope": ["openid"], "params": {"max_age": "soon"}}),
            "params.max_age",
        ),
        (serde_json::json!({"grant": "device_code", "params": {"max_age": "60"}}), "params.max_age"),
        (
            serde_json::json!({"grant": "device_code", "scope": ["openid"], "params": {"max_age": "soon"}}),
            "params.max_age",
        ),
        (serde_json::json!({"grant": "device_code", "params": {"resource": "x"}}), "params.resource"),
        (
            serde_json::json!({"grant": "ciba", "login_hint": "alice", "params": {"scope": "x"}}),
            "params.scope",
        ),
        (
            serde_json::json!({"grant": "ciba", "login_hint": "alice", "params": {"max_age": "soon"}}),
            "params.max_age",
        ),
        (
            serde_json::json!({"grant": "ciba", "login_hint": "alice", "authorization_details": "{}"}),
            "authorization_details",
        ),
        (
            serde_json::json!({"grant": "authorization_code", "authorization_details": "{}"}),
            "authorization_details",
        ),
        (serde_json::json!({"grant": "device_code", "authorization_details": "["}), "authorization_details"),
        (serde_json::json!({"authorization_details": "[{\"typ\":1}]"}), "authorization_details"),
    ] {
        assert_eq!(fields(&read(values.clone(), &[]).unwrap_err()), [field], "{values}");
    }
    let values =
        serde_json::json!({"grant": "device_code", "token_endpoint": "https://auth.example.com/token"});
    assert_eq!(fields(&read(values, &["issuer"]).unwrap_err()), ["token_endpoint"]);
    let values = serde_json::json!({"authorization_details": "[{\"type\":\"payment\"}]"});
    assert!(read(values, &[]).is_ok());
    for grant in ["authorization_code", "device_code"] {
        let values = serde_json::json!({"grant": grant, "scope": ["openid"], "params": {"max_age": "60"}});
        let config = read(values, &[]).unwrap().http(nowhere());
        assert!(format!("{:?}", config.login().unwrap().unwrap()).contains("max_age: Some(60s)"), "{grant}");
    }
}

#[cfg(feature = "reqwest")]
#[test]
fn tokens_are_bound_to_a_key_that_is_made_or_given() {
    let made = read(serde_json::json!({"dpop": true}), &[]).unwrap();
    let thumbprint = |config: &ClientConfig| config.client().unwrap().dpop_jkt().map(str::to_owned);
    assert!(thumbprint(&made).is_some());
    assert_eq!(thumbprint(&made), thumbprint(&made), "client and source have the same one");
    assert_eq!(thumbprint(&read(serde_json::json!({"dpop": false}), &[]).unwrap()), None);

    // The key of RFC 9449 section 4.1.
    let jwk = r#"{"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","d":"AQAB"}"#;
    let error = read(serde_json::json!({"dpop": true, "dpop_key": jwk}), &[]).unwrap_err();
    assert_eq!(fields(&error), ["dpop_key"]);
    let key = crate::sign::SigningKey::generate(crate::sign::Algorithm::Es256).unwrap();
    let pem = key.to_pem().unwrap();
    let given = read(serde_json::json!({"dpop": true, "dpop_key": pem.expose()}), &[]).unwrap();
    assert_eq!(thumbprint(&given).as_deref(), Some(key.thumbprint()));
    assert!(!format!("{given:?}").contains(pem.expose().lines().nth(1).unwrap()));
}

#[test]
fn a_dpop_key_that_makes_no_sense_is_named() {
    let alone = read(serde_json::json!({"dpop_key": {"env": "NOT_SET_ANYWHERE"}}), &[]).unwrap_err();
    assert_eq!(fields(&alone), ["dpop_key"]);
    let unread = read(serde_json::json!({"dpop": true, "dpop_key": {"env": "NOT_SET_ANYWHERE"}}), &[]);
    assert_eq!(fields(&unread.unwrap_err()), ["dpop_key.env"]);
    let public = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----";
    let public = read(serde_json::json!({"dpop": true, "dpop_key": public}), &[]).unwrap_err();
    assert_eq!(fields(&public), ["dpop_key"]);

    // A login that the next start could not go on with.
    let file = serde_json::json!({"kind": "file", "path": "tokens.json"});
    let kept = serde_json::json!({"dpop": true, "client_auth": "none", "store": file});
    assert_eq!(fields(&read(kept, &["client_secret"]).unwrap_err()), ["dpop_key"]);
    let kept = serde_json::json!({"dpop": true, "store": file});
    assert!(read(kept, &[]).is_ok(), "a client with a secret gets new tokens, and a warning");
}

#[cfg(feature = "reqwest")]
#[test]
fn headers_and_user_agent_come_from_the_file_and_from_variables() {
    let path = std::env::temp_dir().join(format!("oauth-client-gateway-{}", std::process::id()));
    std::fs::write(&path, "s3cr3t\n").unwrap();
    let file = serde_json::json!({ "file": path });
    let mut tree = serde_json::json!({
        "issuer": "https://auth.example.com", "client_id": "svc", "client_secret": "x",
        "headers": { "x-api-key": file, "x-plain": "s3cr3t" }, "user_agent": "orders/1"
    });
    let config = read(tree.clone(), &[]).unwrap();
    assert!(!format!("{config:?}").contains("s3cr3t"));
    config.client().unwrap();
    let variables = [
        ("OAUTH_HEADERS_X_API_KEY_FILE", path.to_str().unwrap()),
        ("OAUTH_HEADERS_X_PLAIN", "s3cr3t"),
        ("OAUTH_USER_AGENT", "orders/1"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let from_env = tree::from_variables("OAUTH_", KEYS, variables).unwrap();
    assert_eq!(from_env["headers"], tree["headers"]);
    assert_eq!(from_env["user_agent"], "orders/1");

    tree["headers"] = serde_json::json!({ "host": "a", "x y": "b", "x-key": { "file": "/none/s3cr3t" } });
    tree["user_agent"] = "".into();
    let error = read(tree.clone(), &[]).unwrap_err();
    let fields = fields(&error);
    for field in ["headers.host", "headers.x y", "headers.x-key.file", "user_agent"] {
        assert!(fields.contains(&field), "{field}: {fields:?}");
    }
    tree["headers"] = serde_json::json!({ "Authorization": "Basic s3cr3t" });
    let error = read(tree, &[]).unwrap_err();
    assert!(error.to_string().contains("client_secret_post") && !error.to_string().contains("s3cr3t"));
    std::fs::remove_file(&path).unwrap();
}

#[cfg(feature = "reqwest")]
#[test]
fn every_preset_is_a_value_of_provider() {
    let post = |name: &str| serde_json::json!({ "provider": name, "client_auth": "client_secret_post" });
    for name in ["entra", "cognito"] {
        assert!(read(post(name), &[]).is_ok(), "{name}");
        assert_eq!(fields(&read(post(name), &["issuer"]).unwrap_err()), ["issuer"]);
    }
    for name in ["github", "google", "slack"] {
        let mut tree = post(name);
        if name != "google" {
            tree["grant"] = "refresh_token".into();
            tree["refresh_token"] = "r1".into();
        }
        let config = read(tree, &["issuer"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(config.http(nowhere()).client().is_ok(), "{name}");
    }
    for name in ["github", "google", "slack"] {
        let mut tree = post(name);
        tree["grant"] = "client_credentials".into();
        assert_eq!(fields(&read(tree, &["issuer"]).unwrap_err()), ["grant"], "{name} has users' tokens only");
    }
}

#[test]
fn custom_says_what_zero_means_and_which_types_are_bearer() {
    let custom = |custom: Value| read(serde_json::json!({ "custom": custom }), &[]);
    assert!(custom(serde_json::json!({ "zero_expires_in": "unknown", "bearer_types": ["bot"] })).is_ok());
    assert!(custom(serde_json::json!({ "expires_at": "expires_at", "zero_expires_in": "expired" })).is_ok());
    let error = custom(serde_json::json!({ "zero_expires_in": "never" })).unwrap_err();
    assert_eq!(fields(&error), ["custom.zero_expires_in"]);
}

/// What is shown as a configuration is one.
#[cfg(feature = "toml")]
#[test]
fn every_recipe_has_known_keys_and_values_that_fit() {
    let recipes = include_str!("../../RECIPES.md");
    let blocks: Vec<_> =
        recipes.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 8, "{}", blocks.len());
    for block in blocks.into_iter().filter(|block| block.contains("client_id")) {
        let tree = tree::from_toml(block).unwrap();
        let mut problems = Vec::new();
        schema::check(&tree, KEYS, "", &mut problems);
        // Files and variables are those of the reader's machine.
        let is_of_the_reader = |problem: &Problem| {
            problem.message.contains("cannot be read") || problem.message.contains("is not set")
        };
        let read = ClientConfig::from_tree(&tree);
        let other = read
            .err()
            .map_or(0, |error| error.problems().iter().filter(|problem| !is_of_the_reader(problem)).count());
        assert!(
            problems.is_empty() && other == 0,
            "{block}\n{problems:?} {:?}",
            ClientConfig::from_tree(&tree).err()
        );
    }
}

#[cfg(feature = "toml")]
#[test]
fn a_key_that_is_given_twice_is_named() {
    for (text, field, place) in [
        ("client_id = \"a\"\nclient_id = \"s3cr3t\"\n", "client_id", "line 2, column 1"),
        (
            "[store]\nkind = \"file\"\npath = \"s3cr3t\"\n  path = \"b\" # two\n",
            "store.path",
            "line 4, column 3",
        ),
        (
            "[store]\nkind = \"file\"\n\n[tls]\nca = \"s3cr3t\"\n[ store ] # again\n",
            "store",
            "line 6, column 3",
        ),
        (
            "[[issuer]]\nissuer = \"a\"\n[[issuer]]\nissuer = \"b\"\nissuer = \"c\"\n",
            "issuer[1].issuer",
            "line 5",
        ),
        ("a = 1\n\"a\" = 2\n", "a", "line 2, column 1"),
    ] {
        let error = tree::from_toml(text).unwrap_err();
        let [problem] = error.problems() else { panic!("one problem") };
        assert_eq!(problem.field, field, "{text}");
        assert!(problem.message.contains(place) && problem.message.contains("twice"), "{}", problem.message);
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
    }
    let error = tree::from_toml("client_id = \n").unwrap_err();
    assert!(error.problems()[0].field.starts_with("line 1"), "{error}");
    assert!(!error.to_string().contains("twice"), "{error}");
}

#[cfg(feature = "toml")]
#[test]
fn the_whole_file_in_the_reference_has_known_keys_and_right_values() {
    let mut problems = Vec::new();
    schema::check(&tree::from_toml(EXAMPLE).unwrap(), KEYS, "", &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
}

#[cfg(feature = "toml")]
#[test]
fn a_list_header_with_a_bracket_missing_is_explained() {
    let error = tree::from_toml("[[issuer]\nissuer = \"https://a\"\n").unwrap_err();
    assert!(error.to_string().contains("each table of a list by [[name]]"), "{error}");
}

//! Each route of the control port, and who may use it.

use serde_json::{Value, json};

use super::support::*;

const NOTHING: Value = Value::Null;

#[tokio::test]
async fn tokens_are_minted_read_issued_and_revoked() {
    let server = serve(&[]).await;
    let order = json!({"subject": "alice", "scope": "read", "expires_in": -60, "claims": {"a": [1]}});
    let minted = server.order("POST", "/v1/mint", order).await;
    assert_eq!((&minted["claims"]["sub"], &minted["claims"]["a"]), (&json!("alice"), &json!([1])));
    let read = server.order("POST", "/v1/decode", json!({"token": minted["token"]})).await;
    assert_eq!((&read["claims"], &read["header"]), (&minted["claims"], &minted["header"]));
    assert_eq!(read["signed_by"], server.url);
    assert!(read["expires_in"].as_i64().unwrap() <= -60);
    let foreign = server.order("POST", "/v1/mint", json!({"foreign_key": "ES256"})).await;
    let read = server.order("POST", "/v1/decode", json!({"token": foreign["token"]})).await;
    assert_eq!(read["signed_by"], NOTHING);
    assert_eq!(server.control("POST", "/v1/decode", json!({"token": "a.b"})).await.status, 400);

    let order = json!({"client_id": "svc", "subject": "alice", "scope": "read"});
    let issued = server.order("POST", "/v1/issue", order).await;
    assert_eq!(issued["expires_in"], 300);
    let introspect = async || {
        let form =
            format!("client_id=svc&client_secret=s3cr3t&token={}", issued["access_token"].as_str().unwrap());
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        send(&server.url, "POST", "/introspect", &headers, &form).await.json()["active"].clone()
    };
    assert_eq!(introspect().await, true);
    server.order("POST", "/v1/revoke", json!({"token": issued["access_token"]})).await;
    assert_eq!(introspect().await, false);
    assert_eq!(server.control("POST", "/v1/revoke", json!({"token": "x"})).await.status, 404);
    let bad = server.control("POST", "/v1/issue", json!({"client_id": "unknown"})).await;
    assert_eq!(bad.json()["mistakes"][0]["field"], "client_id");
}

#[tokio::test]
async fn a_user_is_logged_in_without_a_browser() {
    let server = serve(&[]).await;
    let url = format!(
        "{}/authorize?response_type=code&client_id=svc&redirect_uri=http%3A%2F%2Flocalhost%3A8080%2Fcallback&state=s\
         &scope=openid&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256",
        server.url
    );
    let back = server.order("POST", "/v1/login", json!({"url": url, "user": "alice"})).await;
    let back = back["location"].as_str().unwrap();
    assert!(back.starts_with("http://localhost:8080/callback?code=") && back.contains("state=s"), "{back}");
    let refused = server.control("POST", "/v1/login", json!({"url": url, "user": "unknown"})).await;
    assert!(refused.status == 400 && refused.body.contains("no such user"), "{refused:?}");
}

#[tokio::test]
async fn with_tls_there_are_certificates() {
    let plain = serve(&[]).await;
    assert_eq!(plain.control("GET", "/v1/ca", NOTHING).await.status, 404);
    assert_eq!(plain.control("POST", "/v1/client_certificates", json!({})).await.status, 404);

    let file = File::new("ca.pem", "");
    let server = serve(&["--tls", "--ca", file.path()]).await;
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let ca = server.order("GET", "/v1/ca", NOTHING).await["pem"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), ca);
    let order = json!({"tls_client_auth_subject_dn": "CN=svc"});
    let made = server.order("POST", "/v1/client_certificates", order).await;
    assert!(made["key_pem"].as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    for bad in [
        json!({}),
        json!({"tls_client_auth_san_ip": "x"}),
        json!({"tls_client_auth_san_dns": "a", "tls_client_auth_san_uri": "b"}),
    ] {
        assert_eq!(server.control("POST", "/v1/client_certificates", bad).await.status, 400);
    }
    assert_eq!(
        https_get(&server.url, &ca, "/jwks").await,
        server.order("GET", "/v1/keys", NOTHING).await["jwks"]
    );
}

#[tokio::test]
async fn keys_are_rotated_added_and_withdrawn() {
    let server = serve(&[]).await;
    let published = async || server.get("/jwks").await.json()["keys"].as_array().unwrap().len();
    let first = server.order("GET", "/v1/keys", NOTHING).await["signs"].clone();
    let second = server.order("POST", "/v1/keys/rotate", NOTHING).await["signs"].clone();
    assert_ne!(first, second);
    assert_eq!(published().await, 2);
    server.order("POST", "/v1/keys/retire", NOTHING).await;
    assert_eq!(published().await, 1);
    server.order("POST", "/v1/keys/rotate", json!({"abruptly": true})).await;
    assert_eq!(published().await, 1);
    let order = json!({"alg": "ES256", "kid": "mine/1", "sign": true});
    assert_eq!(server.order("POST", "/v1/keys", order).await["jwk"]["crv"], "P-256");
    assert_eq!(server.order("POST", "/v1/mint", json!({})).await["header"]["kid"], "mine/1");
    server.order("POST", "/v1/keys", json!({"jwk": {"kty": "odd"}})).await;
    server.order("POST", "/v1/keys", json!({"weak": true})).await;
    assert_eq!(published().await, 4);
    server.order("DELETE", "/v1/keys/mine%2F1", NOTHING).await;
    assert_eq!(published().await, 3);
    assert_eq!(server.control("DELETE", "/v1/keys/mine%2F1", NOTHING).await.status, 404);
    server.order("POST", "/v1/keys/max_age", json!({"seconds": 60})).await;
    assert_eq!(server.get("/jwks").await.header("cache-control"), Some("max-age=60"));
    server.order("DELETE", "/v1/keys", NOTHING).await;
    assert_eq!(published().await, 0);
    for bad in [
        json!({}),
        json!({"jwk": {}, "sign": true}),
        json!({"alg": "HS256"}),
        json!({"alg": "ES256", "weak": true}),
    ] {
        assert_eq!(server.control("POST", "/v1/keys", bad.clone()).await.status, 400, "{bad}");
    }
    assert_eq!(server.control("GET", "/v1/keys?issuer=unknown", NOTHING).await.status, 400);
}

#[tokio::test]
async fn faults_come_and_go() {
    let server = serve(&[]).await;
    let fault = json!({"endpoint": "token", "fault": "status", "status": 503, "retry_after": 2, "times": 1});
    let added = server.order("POST", "/v1/faults", fault).await;
    assert_eq!((&added["fault"], &added["left"]), (&json!("status 503"), &json!(1)));
    assert_eq!(server.token().await.header("retry-after"), Some("2"));
    assert_eq!(server.token().await.status, 200);
    assert_eq!(server.order("GET", "/v1/faults", NOTHING).await["faults"][0]["left"], 0);

    let always = server.order("POST", "/v1/faults", json!({"endpoint": "token", "fault": "reset"})).await;
    assert_eq!(server.token().await.status, 0);
    server.order("DELETE", &format!("/v1/faults/{}", always["id"]), NOTHING).await;
    assert_eq!(server.token().await.status, 200);
    assert_eq!(server.control("DELETE", &format!("/v1/faults/{}", always["id"]), NOTHING).await.status, 404);

    for (path, mut never) in [
        ("/v1/faults", json!({"endpoint": "token", "fault": "reset"})),
        ("/v1/flaws", json!({"flaw": "iss_wrong"})),
        ("/v1/claims", json!({"access_token": {"roles": []}})),
    ] {
        never["times"] = json!(0);
        let refused = server.control("POST", path, never).await;
        assert_eq!(
            (refused.status, &refused.json()["mistakes"][0]["field"]),
            (400, &json!("times")),
            "{path}"
        );
    }

    server.order("POST", "/v1/faults", json!({"endpoint": "jwks", "fault": "hold", "gate": "g"})).await;
    assert_eq!(server.order("GET", "/v1/gates", NOTHING).await["gates"], json!(["g"]));
    let (held, _) = tokio::join!(server.get("/jwks"), async {
        server.order("GET", "/v1/journal?endpoint=jwks&count=1&wait=20", NOTHING).await;
        server.order("POST", "/v1/gates/g/open", NOTHING).await
    });
    assert_eq!(held.status, 200);
    assert_eq!(server.control("POST", "/v1/gates/g/open", NOTHING).await.status, 404);
    server.order("DELETE", "/v1/faults", NOTHING).await;
    assert_eq!(server.order("GET", "/v1/faults", NOTHING).await["faults"], json!([]));
}

#[tokio::test]
async fn a_provider_fails_as_documented() {
    let config = File::new("provider.json", r#"{"provider": "teen_quotes"}"#);
    let server = serve(&["--config", config.path()]).await;
    let state = server.order("GET", "/v1/state", NOTHING).await;
    assert_eq!(state["provider"], "Teen Quotes");
    assert!(state["provider_failures"].as_array().unwrap().contains(&json!("invalid_refresh")));
    server.order("POST", "/v1/provider_failures", json!({"name": "invalid_refresh", "times": 1})).await;
    assert_eq!(server.order("GET", "/v1/faults", NOTHING).await["faults"].as_array().unwrap().len(), 1);
    let bad = server.control("POST", "/v1/provider_failures", json!({"name": "x"})).await;
    assert!(bad.status == 400 && bad.body.contains("temporarily_unavailable"), "{bad:?}");
    let plain = serve(&[]).await.control("POST", "/v1/provider_failures", json!({"name": "x"})).await;
    assert!(plain.status == 400 && plain.body.contains("this server plays no provider"), "{plain:?}");
    assert_eq!(server.get("/").await.status, 404, "the provider's page names no such path");
}

#[tokio::test]
async fn time_is_set_advanced_and_stepped() {
    let server = serve(&[]).await;
    let at = async |order: Value| server.order("POST", "/v1/clock", order).await["now"].as_i64().unwrap();
    assert!((2_000_000_000..2_000_000_100).contains(&at(json!({"set": 2_000_000_000_u64})).await));
    assert!((2_000_003_600..2_000_003_700).contains(&at(json!({"advance": 3600})).await));
    assert!((2_000_003_595..2_000_003_700).contains(&at(json!({"step": -5})).await));
    let minted = server.order("POST", "/v1/mint", json!({})).await;
    assert!(minted["claims"]["iat"].as_i64().unwrap() >= 2_000_003_595);
    let one = "one of `set` (Unix seconds), `advance` (seconds), `step` (seconds, also negative) and `stop` (true) is needed";
    let forward = "advance: seconds, a number that is not negative is needed; use `step` to go back";
    for (bad, error) in [
        (json!({}), one),
        (json!({"set": 1, "step": 1}), one),
        (json!({"stop": false}), one),
        (json!({"advance": null}), one),
        (json!({"advance": -5}), forward),
        (json!({"set": -5}), "set: a whole number, not negative is needed, not this number"),
        (json!({"stop": 1}), "stop: true or false is needed, not this number"),
    ] {
        let refused = server.control("POST", "/v1/clock", bad.clone()).await;
        assert_eq!((refused.status, &refused.json()["error"]), (400, &json!(error)), "{bad}");
    }
    assert!(server.order("GET", "/v1/clock", NOTHING).await["now"].is_i64());
}

#[tokio::test]
async fn clients_and_users_come_and_go() {
    let server = serve(&[]).await;
    let client = json!({"client_secret": "x", "scope": "a b", "token_lifetime": 9});
    assert_eq!(server.control("PUT", "/v1/clients/c%201", client.clone()).await.status, 201);
    let again = server.control("PUT", "/v1/clients/c%201", client).await;
    assert_eq!((again.status, &again.json()["scope"]), (200, &json!(["a", "b"])));
    let issued = server.order("POST", "/v1/issue", json!({"client_id": "c 1"})).await;
    assert_eq!(issued["expires_in"], 9);
    let clients = server.order("GET", "/v1/clients", NOTHING).await;
    assert_eq!(clients["clients"].as_array().unwrap().len(), 2);
    server.order("DELETE", "/v1/clients/c%201", NOTHING).await;
    assert_eq!(server.control("DELETE", "/v1/clients/c%201", NOTHING).await.status, 404);
    let other = server.control("PUT", "/v1/clients/a", json!({"client_id": "b"})).await;
    assert_eq!((other.status, &other.json()["mistakes"][0]["field"]), (400, &json!("client_id")));

    let bob = server.order("PUT", "/v1/users/bob", json!({"password": "builder"})).await;
    assert_eq!(bob["subject"], "bob");
    let users = server.order("GET", "/v1/users", NOTHING).await;
    assert_eq!(users["users"][1]["name"], "bob");
    server.order("DELETE", "/v1/users/bob", NOTHING).await;
    assert_eq!(server.control("DELETE", "/v1/users/bob", NOTHING).await.status, 404);
    assert_eq!(server.control("PUT", "/v1/users/bob", json!({})).await.status, 400);
}

#[tokio::test]
async fn the_journal_tells_what_is_new_and_waits_for_it() {
    let server = serve(&[]).await;
    let (news, _) = tokio::join!(
        server.order("GET", "/v1/journal?endpoint=token&count=1&wait=20", NOTHING),
        server.token()
    );
    let request = &news["requests"][0];
    assert_eq!((&request["endpoint"], &request["method"]), (&json!("token"), &json!("POST")));
    let secret = server.order("POST", "/v1/fingerprint", json!({"secret": "s3cr3t"})).await;
    assert!(!request.to_string().contains("s3cr3t"));
    assert!(request.to_string().contains(secret["fingerprint"].as_str().unwrap()), "{request}");

    let all = server.order("GET", "/v1/journal", NOTHING).await;
    assert_eq!(all["requests"][0]["status"], 200);
    let since = format!("/v1/journal?since={}", all["revision"]);
    assert_eq!(server.order("GET", &since, NOTHING).await["requests"], json!([]));
    let waiting = format!("{since}&wait=20");
    let (news, _) = tokio::join!(server.order("GET", &waiting, NOTHING), server.get("/jwks"));
    assert_eq!(news["requests"][0]["endpoint"], "jwks");

    server.order("DELETE", "/v1/journal", NOTHING).await;
    let empty = server.order("GET", "/v1/journal?wait=1&since=1000", NOTHING).await;
    assert_eq!((&empty["requests"], &empty["oldest"]), (&json!([]), &json!(2)));
    for bad in ["endpoint=x", "since=x", "wait=-1"] {
        assert_eq!(server.control("GET", &format!("/v1/journal?{bad}"), NOTHING).await.status, 400);
    }
}

#[tokio::test]
async fn expectations_are_kept_and_judged() {
    let server = serve(&[]).await;
    server.order("POST", "/v1/expectations", json!({"endpoint": "jwks", "exactly": 1})).await;
    let expectations = server.order("GET", "/v1/expectations", NOTHING).await;
    assert_eq!(expectations["met"], false);
    assert!(expectations["report"].as_str().unwrap().contains("expected exactly 1 request(s) to Jwks"));
    server.get("/jwks").await;
    assert_eq!(server.order("GET", "/v1/expectations", NOTHING).await["met"], true);
    server.order("POST", "/v1/expectations", json!({"endpoint": "jwks", "at_most": 0})).await;
    server.order("DELETE", "/v1/expectations", NOTHING).await;
    assert_eq!(server.order("GET", "/v1/expectations", NOTHING).await["met"], true);
    let bad = json!({"endpoint": "jwks", "exactly": 1, "at_most": 1});
    assert_eq!(server.control("POST", "/v1/expectations", bad).await.status, 400);
}

#[tokio::test]
async fn it_goes_away_comes_back_and_starts_anew() {
    let server = serve(&[]).await;
    server.order("POST", "/v1/pause", NOTHING).await;
    assert_eq!(server.get("/jwks").await.status, 0);
    assert_eq!(server.order("GET", "/v1/state", NOTHING).await["paused"], true);
    server.order("POST", "/v1/resume", NOTHING).await;
    let before = server.get("/jwks").await.body;

    server.order("POST", "/v1/keys/rotate", NOTHING).await;
    server.order("DELETE", "/v1/clients/svc", NOTHING).await;
    server.order("POST", "/v1/dpop/nonces", json!({"server": "required", "api": "single_use"})).await;
    server.order("POST", "/v1/pause", NOTHING).await;
    server.order("POST", "/v1/reset", NOTHING).await;
    assert_eq!(server.get("/jwks").await.body, before);
    let token = server.token().await;
    assert_eq!((token.status, token.header("dpop-nonce")), (200, None));
    let journal = server.order("GET", "/v1/journal", NOTHING).await;
    assert_eq!(journal["requests"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn nobody_gives_orders_through_a_browser_but_the_page() {
    let server = serve(&["--control-host", "mock"]).await;
    let state = async |headers: &[(&str, &str)]| send(&server.control, "GET", "/v1/state", headers, "").await;
    assert_eq!(state(&[("host", "evil.test")]).await.status, 403);
    assert_eq!(state(&[("host", "mock:9001")]).await.status, 200);
    let refused = state(&[("origin", "http://evil.test")]).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, None));
    let own = state(&[("origin", &server.control)]).await;
    assert_eq!((own.status, own.header("access-control-allow-origin")), (200, None));
    let page = [("origin", server.url.as_str()), ("access-control-request-method", "DELETE")];
    let allowed = send(&server.control, "OPTIONS", "/v1/faults", &page, "").await;
    assert_eq!(allowed.header("access-control-allow-origin"), Some(server.url.as_str()));
    assert!(
        allowed.status == 204 && allowed.header("access-control-allow-methods").unwrap().contains("DELETE")
    );

    for url in [&server.url, &server.control] {
        let page = send(url, "GET", "/", &[], "").await;
        assert!(page.status == 200 && page.body.starts_with("<!doctype html>"), "{page:?}");
        assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    }
    let without = serve(&["--no-control"]).await;
    assert_eq!(without.get("/").await.status, 404);
}

#[tokio::test]
async fn what_is_no_route_or_no_json_is_said() {
    let server = serve(&[]).await;
    for (method, path, status) in [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v2/state", 404),
        ("POST", "/v1/state", 405),
        ("DELETE", "/v1/keys/rotate", 405),
    ] {
        let response = server.control(method, path, NOTHING).await;
        assert_eq!(response.status, status, "{method} {path}");
        assert!(!response.json()["error"].as_str().unwrap().is_empty());
    }
    let broken = send(&server.control, "POST", "/v1/mint", &[], "{").await;
    assert!(broken.status == 400 && broken.body.contains("not valid JSON"), "{broken:?}");
    let typo = server.control("POST", "/v1/reset", json!({"hard": true})).await;
    assert_eq!((typo.status, &typo.json()["mistakes"][0]["field"]), (400, &json!("hard")));
    let routes = server.order("GET", "/v1", NOTHING).await;
    assert!(routes["routes"].as_array().unwrap().len() > 30);
}

#[tokio::test]
async fn it_approves_devices_and_tampers_with_responses() {
    let server = serve(&[]).await;
    server.order("POST", "/v1/flaws", json!({"flaw": "iss_wrong", "times": 1})).await;
    let url = server.order("GET", "/v1/state", NOTHING).await["issuers"][0]["endpoints"]["authorize"].clone();
    let url = format!(
        "{}?response_type=code&client_id=svc&redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Fcallback&code_challenge={}\
         &code_challenge_method=S256",
        url.as_str().unwrap(),
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    );
    let log_in = json!({"url": url, "user": "alice"});
    let tampered = server.order("POST", "/v1/login", log_in.clone()).await["location"].to_string();
    assert!(tampered.contains("attacker.example"), "{tampered}");
    server.order("POST", "/v1/flaws", json!({"flaw": "iss_wrong"})).await;
    server.order("DELETE", "/v1/flaws", NOTHING).await;
    let good = server.order("POST", "/v1/login", log_in).await["location"].to_string();
    assert!(!good.contains("attacker.example"), "{good}");

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let client = "client_id=svc&client_secret=s3cr3t";
    let device = send(&server.url, "POST", "/device_authorization", &form, client).await.json();
    let order = json!({"user_code": device["user_code"], "user": "alice"});
    server.order("POST", "/v1/devices", order.clone()).await;
    assert_eq!(server.control("POST", "/v1/devices", order).await.status, 400, "it waits no more");
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
    let form_text = format!("{client}&{grant}&device_code={}", device["device_code"].as_str().unwrap());
    assert_eq!(send(&server.url, "POST", "/token", &form, &form_text).await.status, 200);
}

#[tokio::test]
async fn responses_differ_by_condition_and_scenario() {
    let server = serve(&[]).await;
    assert_eq!(server.order("GET", "/v1/health", NOTHING).await, json!({"status": "ok"}));
    assert_eq!(server.get("/health").await.json(), json!({"status": "ok"}));
    let fault = json!({"endpoint": "token", "fault": "status", "status": 401, "when": {"client_id": "svc"},
        "scenario": "renewal", "next_state": "renewed"});
    let added = server.order("POST", "/v1/faults", fault).await;
    assert_eq!((&added["when"], &added["next_state"]), (&json!("client=svc"), &json!("renewed")));
    assert_eq!(server.token().await.status, 401);
    assert_eq!(server.token().await.status, 200);
    assert_eq!(
        server.order("GET", "/v1/scenarios", NOTHING).await["scenarios"],
        json!({"renewal": "renewed"})
    );
    server.order("PUT", "/v1/scenarios/renewal", json!({"state": "start"})).await;
    assert_eq!(server.token().await.status, 401);
    server.order("DELETE", "/v1/scenarios", NOTHING).await;
    assert_eq!(server.order("GET", "/v1/scenarios", NOTHING).await["scenarios"], json!({}));
    server.order("DELETE", "/v1/faults", NOTHING).await;

    let rule = json!({"when": {"params": {"scope": "read"}}, "access_token": {"roles": ["x"]}, "response": {"expires_in": null}});
    let rule = server.order("POST", "/v1/claims", rule).await;
    assert_eq!((&rule["id"], &rule["when"]), (&json!(1), &json!("scope=read")));
    assert_eq!(server.order("GET", "/v1/claims", NOTHING).await["claims"][0], rule);
    let form = "grant_type=client_credentials&client_id=svc&client_secret=s3cr3t&scope=read";
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let body = send(&server.url, "POST", "/token", &headers, form).await.json();
    let decoded = server.order("POST", "/v1/decode", json!({"token": body["access_token"]})).await;
    assert_eq!((&decoded["claims"]["roles"], body.get("expires_in")), (&json!(["x"]), None));
    server.order("DELETE", "/v1/claims", NOTHING).await;
    assert_eq!(server.token().await.json()["expires_in"], 300);
    assert_eq!(server.control("POST", "/v1/claims", json!({"when": {}})).await.status, 400);

    let expected = json!({"endpoint": "token", "exactly": 1, "when": {"params": {"scope": "read"}}});
    server.order("POST", "/v1/expectations", expected).await;
    assert_eq!(server.order("GET", "/v1/expectations", NOTHING).await["met"], true);
    let newest = server.order("GET", "/v1/journal?endpoint=token&limit=1", NOTHING).await;
    let requests = newest["requests"].as_array().unwrap();
    assert_eq!(
        (requests.len(), &requests[0]["client"], newest["total"].as_u64()),
        (1, &json!("svc"), Some(5))
    );
    let twice = send(&server.control, "POST", "/v1/clock", &[], r#"{"step": 1, "step": 2}"#).await;
    assert!(twice.status == 400 && twice.body.contains("step"), "{twice:?}");
    let long = "x".repeat((1 << 20) + 1);
    assert_eq!(send(&server.control, "POST", "/v1/mint", &[], &long).await.status, 413);
}

//! SailPoint, page "Create OAuth Client".

use std::time::Duration;

use oauth_mock::{Endpoint, MockServer, Provider};
use serde_json::{Value, json};

use crate::support::{Reply, basic, form_request, post, send};
use crate::{failing, json_request, member, order, plays, post_json, rows};

rows! { SailPoint:
    request "POST /oauth-clients with every property" => takes_every_property,
    request "the possible values of grantTypes, accessType and type" => takes_the_possible_values_only,
    request "one or more redirectUris with AUTHORIZATION_CODE" => authorization_code_needs_redirect_uris,
    request "a token of /oauth/token, by form and client_credentials" => tokens_are_asked_for_by_form,
    response "200: the created client, the secret, created and modified to the millisecond" => responds_with_the_client,
    response "scope, when none is asked for: sp:scopes:all" => the_default_scope_is_everything,
    response "the created client is valid for what it asked for" => the_created_client_gets_tokens,
    error "400 with detailCode, trackingId, messages and causes" => bad_request,
    error "400 with localeOrigin REQUEST, null and a future value" => locale_origins,
    error "401 without an authorization header, or with an expired token: prose in error" => unauthorized,
    error "403 as printed, and as the schema's example" => forbidden,
    error "429 with message and Retry-After" => rate_limited,
    error "500 as printed, and as the schema's example" => internal_fault,
}

const INVALID: &str = "The request was syntactically correct but its content is semantically invalid.";

async fn token(server: &MockServer) -> Reply {
    let form = "grant_type=client_credentials&client_id=svc&client_secret=s3cr3t";
    post(server, Endpoint::Token, None, form).await
}

async fn create_with(server: &MockServer, token: &str, client: &Value) -> Reply {
    let mut request = json_request(&server.endpoint(Endpoint::Api), &client.to_string());
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    send(server, request).await.unwrap()
}

async fn create(server: &MockServer, client: &Value) -> Reply {
    let token = member(&token(server).await, "access_token");
    create_with(server, &token, client).await
}

/// The properties of the printed client that a request can have.
fn printed() -> Value {
    json!({
        "businessName": "Acme-Solar",
        "homepageUrl": "http://localhost:12345",
        "name": "Demo API Client",
        "description": "An API client used for the authorization_code, refresh_token, and client_credentials flows",
        "accessTokenValiditySeconds": 750,
        "refreshTokenValiditySeconds": 86400,
        "redirectUris": ["http://localhost:12345"],
        "grantTypes": ["AUTHORIZATION_CODE", "CLIENT_CREDENTIALS", "REFRESH_TOKEN"],
        "accessType": "OFFLINE",
        "type": "CONFIDENTIAL",
        "internal": false,
        "enabled": true,
        "strongAuthSupported": false,
        "claimsSupported": false,
        "scope": ["demo:api-client-scope:first", "demo:api-client-scope:second"],
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut client = printed();
    client[name] = value;
    client
}

async fn takes_every_property() {
    let server = plays(Provider::SailPoint);
    assert_eq!(server.endpoint(Endpoint::Api), format!("{}/oauth-clients", server.url()));
    let created = create(&server, &printed()).await;
    assert_eq!(created.status, 200);
    for (name, value) in printed().as_object().unwrap() {
        assert_eq!(created.json()[name], *value, "{name}");
    }
    for (name, value) in printed().as_object().unwrap() {
        let odd = if value.is_array() { json!("text") } else { json!(["list"]) };
        assert_eq!(create(&server, &with(name, odd)).await.status, 400, "{name} of another type");
    }
    for (name, odd) in
        [("colour", json!("red")), ("accessTokenValiditySeconds", json!(-1)), ("name", json!(null))]
    {
        assert_eq!(create(&server, &with(name, odd)).await.status, 400, "{name}");
    }
    let form = form_request(&server.endpoint(Endpoint::Api), Some("Bearer x"), "name=a");
    assert_eq!(send(&server, form).await.unwrap().status, 401, "the token is looked at first");
}

async fn takes_the_possible_values_only() {
    let server = plays(Provider::SailPoint);
    for (name, value) in [
        ("grantTypes", json!(["CLIENT_CREDENTIALS"])),
        ("grantTypes", json!(["REFRESH_TOKEN", "CLIENT_CREDENTIALS"])),
        ("accessType", json!("ONLINE")),
        ("type", json!("PUBLIC")),
    ] {
        let created = create(&server, &with(name, value.clone())).await;
        assert_eq!((created.status.as_u16(), &created.json()[name]), (200, &value));
    }
    for (name, value) in [
        ("grantTypes", json!(["client_credentials"])),
        ("grantTypes", json!(["PASSWORD"])),
        ("accessType", json!("offline")),
        ("type", json!("SECRET")),
    ] {
        let refused = create(&server, &with(name, value)).await;
        assert_eq!(refused.status, 400);
        assert!(refused.json()["causes"][0]["text"].as_str().unwrap().starts_with(name));
    }
}

async fn authorization_code_needs_redirect_uris() {
    let server = plays(Provider::SailPoint);
    let refused = create(&server, &with("redirectUris", json!([]))).await;
    assert_eq!(refused.status, 400);
    let cause = refused.json()["causes"][0]["text"].clone();
    assert!(cause.as_str().unwrap().starts_with("redirectUris: "), "{cause}");
    let mut without = with("redirectUris", json!([]));
    without["grantTypes"] = json!(["CLIENT_CREDENTIALS"]);
    assert_eq!(create(&server, &without).await.status, 200);
}

async fn tokens_are_asked_for_by_form() {
    let server = plays(Provider::SailPoint);
    assert_eq!(server.endpoint(Endpoint::Token), format!("{}/oauth/token", server.url()));
    let reply = token(&server).await;
    assert_eq!(order(reply.text()), ["access_token", "token_type", "expires_in", "scope"]);
    assert_eq!((member(&reply, "token_type").as_str(), &reply.json()["expires_in"]), ("Bearer", &json!(750)));
    let url = server.endpoint(Endpoint::Token);
    let in_header = form_request(&url, Some(&basic("svc", "s3cr3t")), "grant_type=client_credentials");
    assert_eq!(send(&server, in_header).await.unwrap().error(), "invalid_request");
    assert_eq!(post_json(&server, Endpoint::Token, "{}").await.error(), "invalid_request");
    for (form, status, error) in [
        ("grant_type=client_credentials&client_id=svc&client_secret=guess", 401, "invalid_client"),
        ("grant_type=password&client_id=svc&client_secret=s3cr3t", 400, "unsupported_grant_type"),
        ("grant_type=client_credentials&client_id=svc", 400, "invalid_request"),
    ] {
        let reply = post(&server, Endpoint::Token, None, form).await;
        assert_eq!((reply.status.as_u16(), reply.error().as_str()), (status, error), "{form}");
    }
}

async fn responds_with_the_client() {
    let server = plays(Provider::SailPoint);
    server.clock().set(1_499_798_737);
    let reply = create(&server, &printed()).await;
    let printed = [
        "id",
        "secret",
        "businessName",
        "homepageUrl",
        "name",
        "description",
        "accessTokenValiditySeconds",
        "refreshTokenValiditySeconds",
        "redirectUris",
        "grantTypes",
        "accessType",
        "type",
        "internal",
        "enabled",
        "strongAuthSupported",
        "claimsSupported",
        "created",
        "modified",
        "scope",
    ];
    assert_eq!(order(reply.text()), printed);
    assert_eq!((member(&reply, "id").len(), member(&reply, "secret").len()), (32, 64));
    assert_eq!(member(&reply, "created"), "2017-07-11T18:45:37.000Z");
    assert_eq!(member(&reply, "modified"), "2017-07-11T18:45:37.000Z");
    // A request that says little is responded to with everything but the texts it did not give.
    let little = create(&server, &json!({"name": "a"})).await;
    let missing = ["businessName", "homepageUrl", "description"];
    let expected: Vec<_> = printed.into_iter().filter(|name| !missing.contains(name)).collect();
    assert_eq!(order(little.text()), expected);
}

async fn the_default_scope_is_everything() {
    let server = plays(Provider::SailPoint);
    let mut client = printed();
    client.as_object_mut().unwrap().remove("scope");
    assert_eq!(create(&server, &client).await.json()["scope"], json!(["sp:scopes:all"]));
}

async fn the_created_client_gets_tokens() {
    let server = plays(Provider::SailPoint);
    let ask = async |created: &Reply| {
        let (id, secret) = (member(created, "id"), member(created, "secret"));
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        post(&server, Endpoint::Token, None, &form).await
    };
    let created = create(&server, &with("accessTokenValiditySeconds", json!(60))).await;
    let reply = ask(&created).await;
    assert_eq!(reply.json()["expires_in"], 60);
    assert_eq!(member(&reply, "scope"), "demo:api-client-scope:first demo:api-client-scope:second");
    for client in [with("enabled", json!(false)), with("grantTypes", json!(["REFRESH_TOKEN"]))] {
        let created = create(&server, &client).await;
        assert_eq!(ask(&created).await.error(), "invalid_client");
    }
}

async fn bad_request() {
    let printed = format!(
        r#"{{"detailCode":"400.1 Bad Request Content","trackingId":"e7eab60924f64aa284175b9fa3309599","messages":[{{"locale":"en-US","localeOrigin":"DEFAULT","text":"{INVALID}"}}],"causes":[{{"locale":"en-US","localeOrigin":"DEFAULT","text":"{INVALID}"}}]}}"#
    );
    let reply = failing(Provider::SailPoint, "bad_request").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (400, printed.as_str()));
    let refused = create(&plays(Provider::SailPoint), &json!({"name": 7})).await;
    let cause = r#""causes":[{"locale":"en-US","localeOrigin":"DEFAULT","text":"name: must be a string"}]}"#;
    let (start, _) = printed.split_once(r#""causes""#).unwrap();
    assert_eq!((refused.status.as_u16(), refused.text()), (400, format!("{start}{cause}").as_str()));
}

async fn locale_origins() {
    for (name, locale, origin) in [
        ("bad_request_in_the_requested_locale", "de-DE", json!("REQUEST")),
        ("bad_request_without_locale_origin", "en-US", Value::Null),
        ("bad_request_with_future_locale_origin", "en-US", json!("TENANT")),
    ] {
        let reply = failing(Provider::SailPoint, name).await;
        assert_eq!(reply.status, 400);
        for list in ["messages", "causes"] {
            let expected = json!([{"locale": locale, "localeOrigin": origin, "text": INVALID}]);
            assert_eq!(reply.json()[list], expected, "{name}");
        }
    }
}

async fn unauthorized() {
    let printed = r#"{"error":"JWT validation failed: JWT is expired"}"#;
    let server = plays(Provider::SailPoint);
    let token = member(&token(&server).await, "access_token");
    server.clock().advance(Duration::from_secs(750));
    let expired = create_with(&server, &token, &json!({})).await;
    let without = post_json(&server, Endpoint::Api, "{}").await;
    for reply in [expired, without, failing(Provider::SailPoint, "expired_token").await] {
        assert_eq!((reply.status.as_u16(), reply.text()), (401, printed));
    }
}

async fn forbidden() {
    let printed = r#"{"detailCode":"403 Forbidden","trackingId":"b21b1f7ce4da4d639f2c62a57171b427","messages":[{"locale":"en-US","localeOrigin":"DEFAULT","text":"The server understood the request but refuses to authorize it."}]}"#;
    let reply = failing(Provider::SailPoint, "forbidden").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (403, printed));
    let schema = failing(Provider::SailPoint, "forbidden_from_schema").await;
    let repeated = failing(Provider::SailPoint, "bad_request").await;
    assert_eq!((schema.status.as_u16(), schema.text()), (403, repeated.text()));
}

async fn rate_limited() {
    let reply = failing(Provider::SailPoint, "rate_limited").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (429, r#"{"message":" Rate Limit Exceeded "}"#));
    assert_eq!(reply.header("retry-after"), "10");
    let failures = Provider::SailPoint.failures();
    let limited = failures.iter().find(|failure| failure.name() == "rate_limited").unwrap();
    let server = plays(Provider::SailPoint);
    server.fault(Endpoint::Api, limited.fault().retry_after_date(Duration::from_secs(60))).times(1);
    let dated = crate::call(&server, Endpoint::Api).await;
    assert_eq!(dated.headers.get_all("retry-after").iter().count(), 1);
    assert_eq!(dated.header("retry-after"), "Tue, 01 Jan 2030 00:01:00 GMT");
}

async fn internal_fault() {
    let printed = r#"{"detailCode":"500.0 Internal Fault","trackingId":"b21b1f7ce4da4d639f2c62a57171b427","messages":[{"locale":"en-US","localeOrigin":"DEFAULT","text":"An internal fault occurred."}]}"#;
    let reply = failing(Provider::SailPoint, "internal_fault").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (500, printed));
    let schema = failing(Provider::SailPoint, "internal_fault_from_schema").await;
    let repeated = failing(Provider::SailPoint, "bad_request").await;
    assert_eq!((schema.status.as_u16(), schema.text()), (500, repeated.text()));
}

//! Comm100, page "OAuth API".

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_mock::{Endpoint, MockClient, MockServer, Provider, User};
use serde_json::json;

use crate::support::{Reply, basic, form_request, get, jwt_part, send};
use crate::{call, get_with, json_request, member, order, plays, rows};

rows! { Comm100:
    request "POST /oauth/token?partnerId=… with client_id, grant_type=password, email, password" => takes_a_password,
    request "partnerId in the query, the rest in the form, nothing more" => takes_nothing_else,
    request "GET /oauth/userinfo with Authorization: Bearer" => userinfo_needs_a_token,
    response "Token: access_token, token_type Bearer, expires_in 43200, no refresh token" => responds_as_printed,
    response "the access token's header is RS256 and at+jwt, without kid" => the_header_is_as_printed,
    response "the access token's claims: scope as a list, partnerId, role, http issuer" => the_claims_are_as_printed,
    response "the token's signature is good for the key set" => the_key_set_is_served,
    response "issuer and user can be others than the printed ones" => issuer_and_user_can_be_set,
    response "User Info: agentId, siteId as a number, role" => userinfo_is_as_printed,
    error "no error is documented: those of RFC 6749 and RFC 6750" => errors_are_those_of_the_rfc,
}

const GOOD: &str = "client_id=1d29e6d7-18cf-407d-a064-e4f8c4baefab&grant_type=password&email=client1@company.com&password=******";

async fn ask(server: &MockServer, query: &str, form: &str) -> Reply {
    let url = format!("{}{query}", server.endpoint(Endpoint::Token));
    send(server, form_request(&url, None, form)).await.unwrap()
}

async fn token(server: &MockServer) -> String {
    member(&ask(server, "?partnerId=10000", GOOD).await, "access_token")
}

async fn takes_a_password() {
    let server = plays(Provider::Comm100);
    assert_eq!(server.endpoint(Endpoint::Token), format!("{}/oauth/token", server.url()));
    assert_eq!(ask(&server, "?partnerId=10000", GOOD).await.status, 200);
    let recorded = &server.journal().of(Endpoint::Token)[0];
    assert_eq!(recorded.query, [("partnerId".to_owned(), "10000".to_owned())]);
    assert_eq!(recorded.param("email"), Some("client1@company.com"));
}

async fn takes_nothing_else() {
    let server = plays(Provider::Comm100);
    let ours = "?partnerId=10000";
    for (query, form) in [
        ("", GOOD.to_owned()),
        ("?partnerId=", GOOD.to_owned()),
        ("?partnerId=10000&partnerId=10000", GOOD.to_owned()),
        ("?partnerId=10000&siteId=1", GOOD.to_owned()),
        ("", format!("{GOOD}&partnerId=10000")),
        (ours, format!("{GOOD}&client_secret=x")),
        (ours, format!("{GOOD}&scope=openid")),
        (ours, GOOD.replace("email=", "username=")),
        (ours, GOOD.replace("&password=******", "")),
        (ours, GOOD.replace("client_id=1d29e6d7-18cf-407d-a064-e4f8c4baefab&", "")),
    ] {
        let reply = ask(&server, query, &form).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (400, "invalid_request"),
            "{query} {form}"
        );
    }
    let url = format!("{}{ours}", server.endpoint(Endpoint::Token));
    let in_header = form_request(&url, Some(&basic("1d29e6d7-18cf-407d-a064-e4f8c4baefab", "")), GOOD);
    assert_eq!(send(&server, in_header).await.unwrap().error(), "invalid_request");
    let as_json = json_request(&url, r#"{"grant_type":"password"}"#);
    assert_eq!(send(&server, as_json).await.unwrap().error(), "invalid_request");
}

async fn userinfo_needs_a_token() {
    let server = plays(Provider::Comm100);
    assert_eq!(server.endpoint(Endpoint::Userinfo), format!("{}/oauth/userinfo", server.url()));
    let token = token(&server).await;
    assert_eq!(get_with(&server, Endpoint::Userinfo, &token).await.status, 200);
    assert_eq!(get(&server, Endpoint::Userinfo).await.unwrap().header("www-authenticate"), "Bearer");
    server.clock().advance(Duration::from_secs(43_200));
    let expired = get_with(&server, Endpoint::Userinfo, &token).await;
    assert_eq!(expired.status, 401);
    assert_eq!(expired.header("www-authenticate"), r#"Bearer error="invalid_token""#);
    assert_eq!(call(&server, Endpoint::Userinfo).await.status, 405);
}

async fn responds_as_printed() {
    let reply = ask(&plays(Provider::Comm100), "?partnerId=10000", GOOD).await;
    let printed = format!(
        r#"{{"access_token":{},"token_type":"Bearer","expires_in":43200}}"#,
        reply.json()["access_token"]
    );
    assert_eq!((reply.status.as_u16(), reply.text()), (200, printed.as_str()));
    assert_eq!(reply.header("content-type"), "application/json");
}

async fn the_header_is_as_printed() {
    let token = token(&plays(Provider::Comm100)).await;
    assert!(token.starts_with("eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9."), "{token}");
}

async fn the_claims_are_as_printed() {
    let server = plays(Provider::Comm100);
    server.clock().set(1_652_939_391);
    let token = token(&server).await;
    let claims = jwt_part(&token, 1);
    assert_eq!(claims["nbf"], 1_652_939_391);
    assert_eq!((&claims["exp"], &claims["iat"]), (&json!(1_652_982_591), &claims["auth_time"]));
    assert_eq!(claims["iss"], "http://internalpartner.testing.comm100dev.io");
    assert_eq!(claims["aud"], "ids.resource.1");
    assert_eq!(claims["scope"], json!(["ids.scope", "openid", "profile", "offline_access"]));
    assert_eq!((&claims["partnerId"], &claims["role"]), (&json!("10000"), &json!("User")));
    assert_eq!((&claims["userId"], &claims["idp"]), (&claims["sub"], &json!("local")));
    assert_eq!((&claims["success"], &claims["amr"]), (&json!("True"), &json!(["pwd"])));
    assert_eq!(claims["thumbprint"].as_str().map(str::len), Some(40));
    assert_eq!(claims["jti"].as_str().map(str::len), Some(32));
    let payload = token.split('.').nth(1).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap();
    let printed = [
        "nbf",
        "exp",
        "iss",
        "aud",
        "client_id",
        "sub",
        "auth_time",
        "idp",
        "userId",
        "partnerId",
        "thumbprint",
        "success",
        "role",
        "jti",
        "iat",
        "scope",
        "amr",
    ];
    assert_eq!(order(std::str::from_utf8(&payload).unwrap()), printed);
}

async fn the_key_set_is_served() {
    let server = plays(Provider::Comm100);
    let token = token(&server).await;
    let keys = get(&server, Endpoint::Jwks).await.unwrap();
    assert_eq!(keys.text(), server.keys().jwks_json());
    let key = &keys.json()["keys"][0];
    let number = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let public = aws_lc_rs::signature::RsaPublicKeyComponents { n: number("n"), e: number("e") };
    let checked =
        public.verify(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256, input.as_bytes(), &signature);
    assert!(checked.is_ok());
}

async fn issuer_and_user_can_be_set() {
    let ann = User::new("ann@example.com", "pw")
        .subject("agent-7")
        .claim("partnerId", "77")
        .claim("role", "Administrator")
        .claim("siteId", "10116")
        .claim("agentRole", "ADMIN");
    let server = MockServer::builder()
        .personality(Provider::Comm100)
        .client(MockClient::new("sync").scopes(["ids.scope"]).token_lifetime(Duration::from_secs(60)))
        .user(ann)
        .audience("orders")
        .issuer_url("http://partner.example")
        .in_process();
    assert_eq!(server.issuer(), "http://partner.example");
    let form = "client_id=sync&grant_type=password&email=ann@example.com&password=pw";
    assert_eq!(ask(&server, "?partnerId=10000", form).await.error(), "invalid_grant");
    let reply = ask(&server, "?partnerId=77", form).await;
    assert_eq!(reply.json()["expires_in"], 60);
    let token = member(&reply, "access_token");
    let claims = jwt_part(&token, 1);
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("http://partner.example"), &json!("orders")));
    assert_eq!((&claims["partnerId"], &claims["role"]), (&json!("77"), &json!("Administrator")));
    assert_eq!((&claims["client_id"], &claims["scope"]), (&json!("sync"), &json!(["ids.scope"])));
    // As the table of the page has it: a string.
    let info = get_with(&server, Endpoint::Userinfo, &token).await;
    assert_eq!(info.text(), r#"{"agentId":"agent-7","siteId":"10116","role":"ADMIN"}"#);
}

async fn userinfo_is_as_printed() {
    let server = plays(Provider::Comm100);
    let token = token(&server).await;
    let reply = get_with(&server, Endpoint::Userinfo, &token).await;
    let printed = r#"{"agentId":"f9683b7b-e332-4864-b725-ac6cdc207dbd","siteId":10115,"role":"AGENT"}"#;
    assert_eq!((reply.text(), reply.header("content-type")), (printed, "application/json"));
}

async fn errors_are_those_of_the_rfc() {
    assert!(Provider::Comm100.failures().is_empty());
    let server = plays(Provider::Comm100);
    for (query, form, status, error) in [
        ("?partnerId=10001", GOOD.to_owned(), 400, "invalid_grant"),
        ("?partnerId=10000", GOOD.replace("******", "guess"), 400, "invalid_grant"),
        ("?partnerId=10000", GOOD.replace("client1", "client2"), 400, "invalid_grant"),
        ("?partnerId=10000", GOOD.replace("1d29", "1d30"), 401, "invalid_client"),
        (
            "?partnerId=10000",
            GOOD.replace("grant_type=password", "grant_type=refresh_token"),
            400,
            "unsupported_grant_type",
        ),
    ] {
        let reply = ask(&server, query, &form).await;
        assert_eq!((reply.status.as_u16(), reply.error().as_str()), (status, error), "{query} {form}");
    }
}

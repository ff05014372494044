//! InfoLink, page "OAuth 2.0 Authentication".

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use oauth_mock::{Endpoint, MockClient, MockServer, Provider, User};

use crate::support::{Reply, basic, form_request, post, send};
use crate::{failing, member, order, plays, rows};

rows! { InfoLink:
    request "POST /api/v1/oauth2/token, form, grant_type=client_credentials" => client_credentials,
    request "POST /api/v1/oauth2/token, form, grant_type=password" => password,
    request "grant_type=refresh_token with the refresh token alone" => refreshing_takes_the_refresh_token_alone,
    request "x-www-form-urlencoded and the listed parameters only" => nothing_else_is_taken,
    request "POST /api/v1/executeJob with Authorization: Bearer and a JSON body" => executes_a_job,
    request "the job's body as printed, in single quotes" => takes_the_printed_job,
    response "access_token, refresh_token, token_type Bearer, expires_in 1800" => responds_with_tokens_as_printed,
    response "a new access token and a new refresh token" => refreshing_rotates,
    response "opaque tokens in the form of the printed ones" => tokens_are_uuids,
    error "expired access token: result.code invalid_grant, status error" => expired_access_token,
    error "expired refresh token: error invalid_grant" => expired_refresh_token,
    error "wrong credentials: the same invalid_grant, whose text speaks of them" => wrong_credentials,
    error "no status is documented: it can be set" => the_status_can_be_set,
}

const ID: &str = "9605c5d5-2a1b-49cc-8aaa-b350ee9d86b6";
const SECRET: &str = "eebb17b2-9ce4-4c73-a23f-d23739bf99b4";
const REFUSED: &str =
    r#"{"error_description":"Credentials or token is invalid or expired","error":"invalid_grant"}"#;
const EXPIRED: &str = r#"{"result":{"code":"invalid_grant","message":"Credentials or token is invalid or expired"},"status":"error"}"#;
const JOB: &str = r#"{"appId":"170","isAsync":false,"responseFormat":"text","operation":{"opName":"RunScenario","opParams":{"scenario":"LoadData","parameters":{},"data":null}}}"#;
const PRINTED_JOB: &str = "{'appId':'170', 'isAsync': false, 'responseFormat': 'text', 'operation':{'opName': 'RunScenario', 'opParams': {'scenario': 'LoadData', 'parameters': {}, 'data': null }}}";

async fn ask(server: &MockServer, form: &str) -> Reply {
    post(server, Endpoint::Token, None, form).await
}

async fn token(server: &MockServer) -> Reply {
    let form = format!("grant_type=client_credentials&client_id={ID}&client_secret={SECRET}");
    ask(server, &form).await
}

async fn job(server: &MockServer, token: &str, body: &str) -> Reply {
    let request = Request::post(server.endpoint(Endpoint::Api))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json");
    send(server, request.body(Full::from(body.to_owned())).unwrap()).await.unwrap()
}

async fn client_credentials() {
    let server = plays(Provider::InfoLink);
    assert_eq!(server.endpoint(Endpoint::Token), format!("{}/api/v1/oauth2/token", server.url()));
    assert_eq!(token(&server).await.status, 200);
}

async fn password() {
    let server = plays(Provider::InfoLink);
    let printed = format!(
        "grant_type=password&client_id={ID}&client_secret={SECRET}&username=john%40company.com&password=mypassword"
    );
    assert_eq!(ask(&server, &printed).await.status, 200);
    let server = MockServer::builder()
        .personality(Provider::InfoLink)
        .client(MockClient::new("c").secret("s"))
        .user(User::new("ann", "p"))
        .in_process();
    let form = "grant_type=password&client_id=c&client_secret=s&username=ann&password=";
    assert_eq!(ask(&server, &format!("{form}p")).await.status, 200);
    assert_eq!(ask(&server, &format!("{form}guess")).await.text(), REFUSED);
}

async fn refreshing_takes_the_refresh_token_alone() {
    let server = plays(Provider::InfoLink);
    let refresh_token = member(&token(&server).await, "refresh_token");
    let form = format!("grant_type=refresh_token&refresh_token={refresh_token}");
    let with_client = ask(&server, &format!("{form}&client_id={ID}&client_secret={SECRET}")).await;
    assert_eq!((with_client.status.as_u16(), with_client.error().as_str()), (400, "invalid_request"));
    assert_eq!(ask(&server, &form).await.status, 200, "what was refused did not use the token up");
}

async fn nothing_else_is_taken() {
    let server = plays(Provider::InfoLink);
    let good = format!("grant_type=client_credentials&client_id={ID}&client_secret={SECRET}");
    for form in [
        format!("{good}&scope=a"),
        format!("{good}&username=john%40company.com"),
        format!("{good}&client_id={ID}"),
        format!("client_id={ID}&client_secret={SECRET}"),
        format!("grant_type=client_credentials&client_id={ID}"),
        "grant_type=refresh_token".to_owned(),
    ] {
        let reply = ask(&server, &form).await;
        assert_eq!(reply.status, 400, "{form}");
        assert_eq!(order(reply.text()), ["error_description", "error"], "{form}");
        assert_ne!(reply.error(), "invalid_grant", "{form}");
    }
    let url = server.endpoint(Endpoint::Token);
    let in_header = form_request(&url, Some(&basic(ID, SECRET)), "grant_type=client_credentials");
    assert_eq!(send(&server, in_header).await.unwrap().error(), "invalid_request");
    let as_json = crate::json_request(&url, r#"{"grant_type":"client_credentials"}"#);
    assert_eq!(send(&server, as_json).await.unwrap().error(), "invalid_request");
    let other = ask(&server, &good.replace("client_credentials", "authorization_code")).await;
    assert_eq!(other.error(), "unsupported_grant_type");
}

async fn executes_a_job() {
    let server = plays(Provider::InfoLink);
    let token = member(&token(&server).await, "access_token");
    let reply = job(&server, &token, JOB).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.text(), r#"{"result":{"opName":"RunScenario"},"status":"success"}"#);
    assert_eq!(server.journal().of(Endpoint::Api)[0].path, "/api/v1/executeJob");
    for broken in ["{}", r#"{"appId":170}"#, r#"{"appId":"170"}"#, "nonsense"] {
        let reply = job(&server, &token, broken).await;
        assert_eq!(reply.json()["result"]["code"], "invalid_request", "{broken}");
        assert_eq!(member(&reply, "status"), "error");
    }
}

async fn takes_the_printed_job() {
    let server = plays(Provider::InfoLink);
    let token = member(&token(&server).await, "access_token");
    assert_eq!(member(&job(&server, &token, PRINTED_JOB).await, "status"), "success");
}

async fn responds_with_tokens_as_printed() {
    let reply = token(&plays(Provider::InfoLink)).await;
    let body = reply.json();
    let printed = format!(
        r#"{{"access_token":{},"refresh_token":{},"token_type":"Bearer","expires_in":1800}}"#,
        body["access_token"], body["refresh_token"]
    );
    assert_eq!(reply.text(), printed);
}

async fn refreshing_rotates() {
    let server = plays(Provider::InfoLink);
    let first = token(&server).await;
    let form = format!("grant_type=refresh_token&refresh_token={}", member(&first, "refresh_token"));
    let second = ask(&server, &form).await;
    assert_eq!(order(second.text()), order(first.text()));
    for name in ["access_token", "refresh_token"] {
        assert_ne!(member(&first, name), member(&second, name));
    }
    let token = member(&second, "access_token");
    assert_eq!(member(&job(&server, &token, JOB).await, "status"), "success");
    assert_eq!(ask(&server, &form).await.text(), REFUSED, "the old refresh token is dead");
}

async fn tokens_are_uuids() {
    let reply = token(&plays(Provider::InfoLink)).await;
    for name in ["access_token", "refresh_token"] {
        let token = member(&reply, name);
        let lengths: Vec<_> = token.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{token}");
        assert!(token.chars().all(|c| c == '-' || c.is_ascii_hexdigit()), "{token}");
    }
}

async fn expired_access_token() {
    let server = plays(Provider::InfoLink);
    let token = member(&token(&server).await, "access_token");
    server.clock().advance(Duration::from_secs(1799));
    assert_eq!(member(&job(&server, &token, JOB).await, "status"), "success");
    server.clock().advance(Duration::from_secs(1));
    let expired = job(&server, &token, JOB).await;
    assert_eq!((expired.status.as_u16(), expired.text()), (200, EXPIRED));
    assert_eq!(job(&server, "b37b1dcc-7fac-4435-a947-fa2e0a2a3ad7", JOB).await.text(), EXPIRED);
    assert_eq!(failing(Provider::InfoLink, "expired_access_token").await.text(), EXPIRED);
}

async fn expired_refresh_token() {
    let client = MockClient::new(ID).secret(SECRET).refresh_lifetime(Duration::from_secs(3600));
    let server = MockServer::builder().personality(Provider::InfoLink).client(client).in_process();
    let refresh_token = member(&token(&server).await, "refresh_token");
    server.clock().advance(Duration::from_secs(3600));
    let form = format!("grant_type=refresh_token&refresh_token={refresh_token}");
    let reply = ask(&server, &form).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (400, REFUSED));
    assert_eq!(ask(&server, "grant_type=refresh_token&refresh_token=unknown").await.text(), REFUSED);
    assert_eq!(failing(Provider::InfoLink, "expired_refresh_token").await.text(), REFUSED);
}

async fn wrong_credentials() {
    let server = plays(Provider::InfoLink);
    for (id, secret) in [(ID, "guess"), ("who", SECRET)] {
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        assert_eq!(ask(&server, &form).await.text(), REFUSED);
    }
}

async fn the_status_can_be_set() {
    for status in [200, 400, 401] {
        let builder = MockServer::builder().personality(Provider::InfoLink).undocumented_status(status);
        let server = builder.in_process();
        let api = job(&server, "unknown", JOB).await;
        assert_eq!((api.status.as_u16(), api.text()), (status, EXPIRED));
        let refused = ask(&server, "grant_type=refresh_token&refresh_token=unknown").await;
        assert_eq!((refused.status.as_u16(), refused.text()), (status, REFUSED));
        server.provider_failure("expired_access_token").times(1);
        assert_eq!(crate::call(&server, Endpoint::Api).await.status.as_u16(), status);
        // What is documented as a success stays one.
        assert_eq!(token(&server).await.status, 200);
    }
}

//! InfoLink, page "OAuth 2.0 Authentication".

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use oauth_client::attach::TokenLayer;
use oauth_client::dialect::infolink::{ErrorBody, ErrorCode};
use oauth_client::{Client, TokenSource, dialect, grant};
use tower::{Layer, ServiceExt, service_fn};

use crate::rows;
use crate::support::{Wire, form, pairs, post, read_as, refused};

rows! { "InfoLink":
    request "POST /api/v1/oauth2/token, form, grant_type=client_credentials" => client_credentials,
    request "POST /api/v1/oauth2/token, form, grant_type=password" => password,
    request "POST /api/v1/oauth2/token, form, the refresh token alone" => refreshing,
    request "POST /api/v1/executeJob with Authorization: Bearer" => execute_job,
    request "the printed http is refused unless it is allowed" => plain_http,
    response "access_token, refresh_token, token_type Bearer, expires_in 1800" => token,
    response "a refresh returns a new access token and a new refresh token" => rotation,
    error "the API's own \"expired\", whatever its status: one refresh, one replay" => expired_response,
    error "the API's own \"expired\", a second time, is handed on whole" => expired_twice,
    error "a response that only looks like it is returned whole" => not_expired,
    error "expired refresh token: error invalid_grant, whatever its status" => expired_refresh_token,
    error "the API's shape at the token endpoint is recognised too" => expired_at_the_token_endpoint,
}

const EXPIRED: &str = r#"{"result":{"code":"invalid_grant","message":"Credentials or token is invalid or expired"},"status":"error"}"#;
const REFUSED: &str =
    r#"{"error_description":"Credentials or token is invalid or expired","error":"invalid_grant"}"#;
const TEXT: &str = "Credentials or token is invalid or expired";
const JOB: &str = r#"{"appId":"170","isAsync":false,"responseFormat":"text","operation":{"opName":"RunScenario","opParams":{"scenario":"LoadData","parameters":{},"data":null}}}"#;
const FIRST: &str = r#"{"access_token":"b37b1dcc-7fac-4435-a947-fa2e0a2a3ad7","refresh_token":"75168ca1-d5ac-4bda-a943-0d3906710d14","token_type":"Bearer","expires_in":1800}"#;
const SECOND: &str = r#"{"access_token":"c5b8d97d-768c-4c21-b8d5-995560b8bde7","refresh_token":"1a47224c-9a59-49df-83cf-1d79cf2dc738","token_type":"Bearer","expires_in":1800}"#;

async fn client_credentials() {
    let wire = Wire::with(200, FIRST);
    wire.client(dialect::infolink(), post()).request(&grant::client_credentials()).await.unwrap();
    let sent = wire.request(0);
    assert_eq!(sent.uri().path(), "/api/v1/oauth2/token");
    let expected =
        pairs([("grant_type", "client_credentials"), ("client_id", "id-1"), ("client_secret", "s3cr3t-1")]);
    assert_eq!(form(&sent), expected);
}

async fn password() {
    let wire = Wire::with(200, FIRST);
    let request = grant::password("john@company.com", "mypassword");
    wire.client(dialect::infolink(), post()).request(&request).await.unwrap();
    let expected = pairs([
        ("grant_type", "password"),
        ("username", "john@company.com"),
        ("password", "mypassword"),
        ("client_id", "id-1"),
        ("client_secret", "s3cr3t-1"),
    ]);
    assert_eq!(form(&wire.request(0)), expected);
    assert!(String::from_utf8_lossy(wire.request(0).body()).contains("username=john%40company.com&"));
}

async fn refreshing() {
    let wire = Wire::with(200, SECOND);
    let request = grant::refresh_token("75168ca1-d5ac-4bda-a943-0d3906710d14");
    wire.client(dialect::infolink(), post()).request(&request).await.unwrap();
    let sent = wire.request(0);
    let expected =
        [("grant_type", "refresh_token"), ("refresh_token", "75168ca1-d5ac-4bda-a943-0d3906710d14")];
    assert_eq!(form(&sent), pairs(expected));
    assert!(!sent.headers().contains_key("authorization"));
}

type Responder = dyn Fn(&str) -> Response<Bytes> + Send + Sync;

/// An API that responds by the token of the request.
#[derive(Clone)]
struct Api {
    responder: Arc<Responder>,
    seen: Arc<Mutex<Vec<(String, Bytes)>>>,
}

impl Api {
    fn new(responder: impl Fn(&str) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        Self { responder: Arc::new(responder), seen: Arc::default() }
    }

    /// Says "expired" to the first token, with this status.
    fn refusing_the_first(status: u16) -> Self {
        Self::new(move |token| {
            if token.starts_with("Bearer b37b") { response(status, EXPIRED) } else { response(200, "{}") }
        })
    }

    async fn call(&self, source: TokenSource) -> (u16, String) {
        let api = self.clone();
        let service = service_fn(move |request: Request<oauth_client::attach::Body<Full<Bytes>>>| {
            let api = api.clone();
            async move {
                let token = request.headers()["authorization"].to_str().unwrap().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let response = (api.responder)(&token);
                api.seen.lock().unwrap().push((token, body));
                Ok::<_, std::io::Error>(response.map(Full::new))
            }
        });
        let request = Request::post("https://api.example/api/v1/executeJob")
            .header("content-type", "application/json")
            .body(Full::from(JOB))
            .unwrap();
        let response = TokenLayer::new(source).layer(service).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

fn response(status: u16, body: &str) -> Response<Bytes> {
    let response =
        Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
    response.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn source(wire: &Wire) -> TokenSource {
    wire.client(dialect::infolink(), post()).source(grant::client_credentials()).build().unwrap()
}

async fn execute_job() {
    let wire = Wire::with(200, FIRST);
    let api = Api::new(|_| response(200, r#"{"status":"success"}"#));
    assert_eq!(api.call(source(&wire)).await, (200, r#"{"status":"success"}"#.to_owned()));
    let seen = api.seen.lock().unwrap().clone();
    assert_eq!(seen, [("Bearer b37b1dcc-7fac-4435-a947-fa2e0a2a3ad7".to_owned(), Bytes::from(JOB))]);
}

async fn plain_http() {
    let builder =
        || Client::builder().provider(dialect::infolink()).base_url("http://infolink.example").auth(post());
    let error = builder().build().unwrap_err();
    assert_eq!(error.problems()[0].field, "base_url");
    assert!(builder().danger_allow_http().build().is_ok());
    let nowhere = Client::builder().provider(dialect::infolink()).auth(post()).build().unwrap_err();
    assert!(nowhere.to_string().contains("base_url: is missing"), "{nowhere}");
}

async fn token() {
    let tokens = read_as(dialect::infolink(), 200, FIRST).await.unwrap();
    assert_eq!(tokens.access_token().expose(), "b37b1dcc-7fac-4435-a947-fa2e0a2a3ad7");
    assert_eq!(tokens.refresh_token().unwrap().expose(), "75168ca1-d5ac-4bda-a943-0d3906710d14");
    assert_eq!(tokens.lifetime(), Some(Duration::from_secs(1800)));
}

async fn rotation() {
    let wire = Wire::with(200, FIRST).then(200, SECOND).then(200, FIRST);
    let source = source(&wire);
    for _ in 0..2 {
        source.reject(source.token().await.unwrap().generation());
    }
    source.token().await.unwrap();
    let used = |n| form(&wire.request(n)).into_iter().find(|(name, _)| name == "refresh_token").unwrap().1;
    assert_eq!(used(1), "75168ca1-d5ac-4bda-a943-0d3906710d14");
    assert_eq!(used(2), "1a47224c-9a59-49df-83cf-1d79cf2dc738", "the one that came with the refresh");
}

async fn expired_response() {
    for status in [200, 400, 401, 403, 404, 500] {
        let wire = Wire::with(200, FIRST).then(200, SECOND);
        let api = Api::refusing_the_first(status);
        assert_eq!(api.call(source(&wire)).await, (200, "{}".to_owned()), "{status}");
        let seen = api.seen.lock().unwrap().clone();
        assert_eq!(seen.len(), 2, "one replay");
        assert_eq!(seen[1], ("Bearer c5b8d97d-768c-4c21-b8d5-995560b8bde7".to_owned(), Bytes::from(JOB)));
        assert_eq!(wire.requests(), 2, "one refresh");
        assert_eq!(form(&wire.request(1))[0].1, "refresh_token");
    }
}

async fn expired_twice() {
    let wire = Wire::with(200, FIRST).then(200, SECOND);
    let api = Api::new(|_| response(200, EXPIRED));
    assert_eq!(api.call(source(&wire)).await, (200, EXPIRED.to_owned()));
    assert_eq!((api.seen.lock().unwrap().len(), wire.requests()), (2, 2));
}

async fn not_expired() {
    let long = format!(r#"{{"padding":"{}",{}"#, "x".repeat(5000), &EXPIRED[1..]);
    let bodies = [
        r#"{"result":{"code":"no_such_job","message":"?"},"status":"error"}"#.to_owned(),
        r#"{"result":{"code":"invalid_grant"},"status":"ok"}"#.to_owned(),
        EXPIRED[..40].to_owned(),
        format!("[{EXPIRED}]"),
        long,
        String::new(),
    ];
    for body in bodies {
        let wire = Wire::with(200, FIRST);
        let sent = body.clone();
        let api = Api::new(move |_| response(400, &sent));
        assert_eq!(api.call(source(&wire)).await, (400, body));
        assert_eq!(api.seen.lock().unwrap().len(), 1);
    }
    let wire = Wire::with(200, FIRST);
    let api =
        Api::new(|_| Response::builder().header("content-type", "text/html").body(EXPIRED.into()).unwrap());
    assert_eq!(api.call(source(&wire)).await.1, EXPIRED, "what is not JSON is not looked into");
    assert_eq!(wire.requests(), 1);
}

async fn expired_refresh_token() {
    for status in [400, 401, 500] {
        let error = refused(dialect::infolink(), status, REFUSED).await;
        assert_eq!((error.code(), error.description()), ("invalid_grant", Some(TEXT)));
        assert!(!error.is_transient(), "{status}: a lost grant stays lost");
        let body = error.provider::<ErrorBody>().unwrap();
        assert_eq!((body.code.clone(), body.message.as_deref()), (Some(ErrorCode::InvalidGrant), Some(TEXT)));
    }
    assert_eq!(refused(dialect::infolink(), 200, REFUSED).await.code(), "invalid_grant");
    // The grant is then asked for anew.
    for status in [200, 400, 500] {
        let wire = Wire::with(200, FIRST).then(status, REFUSED).then(200, SECOND);
        let source = source(&wire);
        source.reject(source.token().await.unwrap().generation());
        source.token().await.unwrap();
        assert_eq!(form(&wire.request(2))[0].1, "client_credentials");
        assert_eq!(wire.requests(), 3);
    }
}

async fn expired_at_the_token_endpoint() {
    for status in [200, 400] {
        let error = refused(dialect::infolink(), status, EXPIRED).await;
        assert_eq!((error.code(), error.description()), ("invalid_grant", Some(TEXT)));
        assert_eq!(error.provider::<ErrorBody>().unwrap().status.as_deref(), Some("error"));
    }
    let other = EXPIRED.replace("invalid_grant", "on_holiday");
    let error = refused(dialect::infolink(), 400, &other).await;
    assert_eq!((error.code(), error.provider_code()), ("invalid_request", Some("on_holiday")));
    let body = error.provider::<ErrorBody>().unwrap().clone();
    assert_eq!(body.code, Some(ErrorCode::Other("on_holiday".to_owned())));
}

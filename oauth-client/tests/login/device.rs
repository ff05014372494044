//! RFC 8628: a device polls while a person decides elsewhere. The server is a script here, so that each response is known.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use oauth_client::clock::TestClock;
use oauth_client::discover::Endpoint;
use oauth_client::login::{DeviceLogin, DeviceRequest};
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, Error};
use oauth_mock::{GrantType, MockClient, MockServer, Tamper, User};
use serde_json::{Value, json};
use tokio::time::Instant;

/// What the server says to each poll, in this order; the last one for ever.
#[derive(Clone)]
enum Say {
    Error(&'static str),
    Status(u16, Option<u64>),
    Reset,
    Hang,
    Token,
}

struct Script {
    client: Client,
    polls: Arc<Mutex<Vec<(Duration, String)>>>,
}

impl Script {
    fn new(device_response: Value, says: Vec<Say>) -> Self {
        let began = Instant::now();
        let polls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&polls);
        let service = tower::service_fn(move |request: Request<RequestBody>| {
            let (seen, says, device_response) = (Arc::clone(&seen), says.clone(), device_response.clone());
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                if path == "/device" {
                    return Ok(response(200, None, device_response.to_string()));
                }
                let n = {
                    let mut seen = seen.lock().unwrap();
                    seen.push((began.elapsed(), String::from_utf8(body.to_vec()).unwrap()));
                    seen.len() - 1
                };
                match says[n.min(says.len() - 1)].clone() {
                    Say::Error(code) => Ok(response(400, None, json!({ "error": code }).to_string())),
                    Say::Status(status, after) => Ok(response(status, after, String::new())),
                    Say::Reset => Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
                    Say::Hang => std::future::pending().await,
                    Say::Token => Ok(response(
                        200,
                        None,
                        json!({"access_token": "t0ken", "token_type": "Bearer", "refresh_token": "r3fresh"})
                            .to_string(),
                    )),
                }
            }
        });
        let client = Client::builder()
            .token_endpoint("https://as.test/token")
            .endpoint(Endpoint::DeviceAuthorization, "https://as.test/device")
            .auth(ClientAuth::none("tv"))
            .http(HttpClient::from_service(service))
            .clock(TestClock::new())
            .build()
            .unwrap();
        Self { client, polls }
    }

    async fn begin(&self) -> Result<DeviceLogin, Error> {
        self.client.device(&DeviceRequest::new().scope(["read"])).await
    }

    /// The moments of the polls, in seconds.
    fn instants(&self) -> Vec<u64> {
        self.polls.lock().unwrap().iter().map(|(at, _)| at.as_secs()).collect()
    }
}

fn response(status: u16, retry_after: Option<u64>, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds.to_string());
    }
    response.body(Full::from(body)).unwrap()
}

fn device_response() -> Value {
    json!({
        "device_code": "d3v1ce-code",
        "user_code": "WDJB-MJHT",
        "verification_uri": "https://as.test/enter",
        "verification_uri_complete": "https://as.test/enter?user_code=WDJB-MJHT",
        "expires_in": 600,
    })
}

fn changed(name: &str, value: Value) -> Value {
    let mut response = device_response();
    response[name] = value;
    response
}

#[tokio::test(start_paused = true)]
async fn it_polls_every_five_seconds_until_the_person_has_decided() {
    let pending = Say::Error("authorization_pending");
    let script = Script::new(device_response(), vec![pending.clone(), pending, Say::Token]);
    let device = script.begin().await.unwrap();
    assert_eq!(device.user_code(), "WDJB-MJHT");
    assert_eq!(device.verification_uri().as_str(), "https://as.test/enter");
    assert!(device.verification_uri_complete().unwrap().as_str().ends_with("WDJB-MJHT"));
    assert_eq!((device.expires_in().as_secs(), device.interval().as_secs()), (600, 5));
    assert!(!format!("{device:?}").contains("d3v1ce"));
    let login = device.wait().await.unwrap();
    assert_eq!(login.tokens().access_token().expose(), "t0ken");
    assert_eq!(script.instants(), [5, 10, 15]);
    let form = script.polls.lock().unwrap()[0].1.clone();
    assert_eq!(
        form,
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=d3v1ce-code&client_id=tv"
    );
}

#[tokio::test(start_paused = true)]
async fn slow_down_adds_five_seconds_to_this_and_all_later_polls() {
    let says = ["authorization_pending", "slow_down", "authorization_pending", "slow_down"].map(Say::Error);
    let script = Script::new(changed("interval", json!(2)), [says.to_vec(), vec![Say::Token]].concat());
    script.begin().await.unwrap().wait().await.unwrap();
    assert_eq!(script.instants(), [2, 4, 4 + 7, 4 + 7 + 7, 18 + 12]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_is_polled_ever_more_slowly_and_not_before_it_says() {
    let says = vec![Say::Reset, Say::Status(503, Some(40)), Say::Status(429, None), Say::Token];
    let script = Script::new(device_response(), says);
    script.begin().await.unwrap().wait().await.unwrap();
    // What it says is for once; the polls in between slow down from 5 s to 10, 20 and 40.
    assert_eq!(script.instants(), [5, 5 + 10, 15 + 40, 55 + 40]);

    // No response within the ten seconds that one may take, twice: the next polls come later each time.
    let script = Script::new(device_response(), vec![Say::Hang, Say::Hang, Say::Token]);
    script.begin().await.unwrap().wait().await.unwrap();
    assert_eq!(script.instants(), [5, 5 + 10 + 10, 25 + 10 + 20]);
}

#[tokio::test(start_paused = true)]
async fn refusal_and_expiry_are_typed_and_end_the_polling() {
    for code in ["access_denied", "expired_token", "invalid_grant", "invalid_client"] {
        let says = vec![Say::Error("authorization_pending"), Say::Error(code)];
        let script = Script::new(device_response(), says);
        assert_eq!(script.begin().await.unwrap().wait().await.unwrap_err().code(), code);
        assert_eq!(script.instants(), [5, 10]);
    }
    // The server never says so; its time is over all the same, and nothing is sent after it.
    let began = Instant::now();
    let says = vec![Say::Error("authorization_pending")];
    let script = Script::new(changed("expires_in", json!("23")), says);
    assert_eq!(script.begin().await.unwrap().wait().await.unwrap_err().code(), "expired_token");
    assert_eq!(script.instants(), [5, 10, 15, 20]);
    assert_eq!(began.elapsed().as_secs(), 23);
}

/// Whatever a server in trouble asks for, and however rarely it wants to be asked.
#[tokio::test(start_paused = true)]
async fn a_decision_is_found_before_the_end() {
    let hour = Some(3600);
    let script = Script::new(device_response(), vec![Say::Status(503, hour), Say::Token]);
    script.begin().await.unwrap().wait().await.unwrap();
    assert_eq!(script.instants(), [5, 598]);

    let still = vec![Say::Status(503, hour), Say::Status(503, hour), Say::Token];
    let script = Script::new(device_response(), still);
    assert_eq!(script.begin().await.unwrap().wait().await.unwrap_err().code(), "expired_token");
    assert_eq!(script.instants(), [5, 598], "once, and not after the end");

    for (expires_in, interval, at) in [(5, 5, 3), (30, 60, 28), (1, 5, 0)] {
        let mut response = changed("expires_in", json!(expires_in));
        response["interval"] = json!(interval);
        let script = Script::new(response, vec![Say::Token]);
        script.begin().await.unwrap().wait().await.unwrap();
        assert_eq!(script.instants(), [at], "{expires_in} s, every {interval} s");
    }
    let script = Script::new(changed("expires_in", json!(0)), vec![Say::Token]);
    assert_eq!(script.begin().await.unwrap().wait().await.unwrap_err().code(), "expired_token");
    assert_eq!(script.instants(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn giving_up_is_dropping_it() {
    let script = Script::new(device_response(), vec![Say::Error("authorization_pending")]);
    let waiting = script.begin().await.unwrap().wait();
    assert!(tokio::time::timeout(Duration::from_secs(12), waiting).await.is_err());
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(script.instants(), [5, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_makes_no_sense_names_its_member() {
    for (name, value) in [
        ("device_code", json!(7)),
        ("device_code", json!("")),
        ("user_code", json!(null)),
        ("user_code", json!("a\u{1b}[2Jb")),
        ("user_code", json!("x".repeat(65))),
        ("verification_uri", json!("javascript:alert(1)")),
        ("verification_uri", json!("http://as.test/enter")),
        ("verification_uri", json!("/enter")),
        ("expires_in", json!(null)),
        ("expires_in", json!(-1)),
        ("expires_in", json!("soon")),
        ("interval", json!("NaN")),
        ("interval", json!([5])),
    ] {
        let script = Script::new(changed(name, value.clone()), vec![Say::Token]);
        let error = script.begin().await.unwrap_err();
        assert_eq!(error.code(), "malformed_response", "{name} {value}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(!error.to_string().contains("d3v1ce"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn odd_but_clear_responses_are_understood() {
    // Google's name of the member, numbers as strings and fractions, an interval of nothing.
    let mut response = device_response();
    let uri = response.as_object_mut().unwrap().remove("verification_uri").unwrap();
    response["verification_url"] = uri;
    response["expires_in"] = json!("1800");
    response["interval"] = json!(0);
    response.as_object_mut().unwrap().remove("verification_uri_complete");
    let script = Script::new(response, vec![Say::Token]);
    let device = script.begin().await.unwrap();
    assert_eq!((device.expires_in().as_secs(), device.interval().as_secs()), (1800, 1));
    assert_eq!(device.verification_uri_complete(), None);
    // The page with the code filled in is a convenience: one that cannot be shown costs nothing but itself.
    for unfit in [json!("file:///etc/passwd"), json!("javascript:alert(1)"), json!(1), json!("")] {
        let device = Script::new(changed("verification_uri_complete", unfit), vec![Say::Token]);
        assert_eq!(device.begin().await.unwrap().verification_uri_complete(), None);
    }
    // Longer than any clock can count.
    for (name, value) in [("expires_in", json!(u64::MAX)), ("interval", json!(1e300))] {
        let script = Script::new(changed(name, value), vec![Say::Token]);
        let device = script.begin().await.unwrap();
        drop(device.wait());
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_not_be_checked_is_refused() {
    let script = Script::new(json!({}), vec![Say::Token]);
    for name in ["scope", "resource", "max_age", "authorization_details"] {
        let request = DeviceRequest::new().parameter(name, "60");
        let error = script.client.device(&request).await.unwrap_err();
        let problem = error.problems()[0].to_string();
        assert!(problem.starts_with(name) && problem.contains(&format!("{name}(..)")), "{problem}");
    }
    let request = DeviceRequest::new().max_age(Duration::from_secs(60));
    let error = script.client.device(&request).await.unwrap_err();
    assert!(error.to_string().contains("max_age: is shown by an ID token"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_login_is_checked() {
    let tv = MockClient::new("tv").grants([GrantType::DeviceCode]).scopes(["openid"]);
    let server = MockServer::builder().client(tv).user(User::new("alice", "wonderland")).in_process();
    let client = Client::builder()
        .issuer(server.issuer())
        .auth(ClientAuth::none("tv"))
        .http(HttpClient::from_service(server.transport()))
        .clock(TestClock::new())
        .build()
        .unwrap();
    let request = DeviceRequest::new().scope(["openid"]).max_age(Duration::from_secs(60));
    for stale in [false, true] {
        let device = client.device(&request).await.unwrap();
        let sent = server.journal().of(oauth_mock::Endpoint::DeviceAuthorization).pop().unwrap();
        assert_eq!(sent.param("max_age"), Some("60"));
        server.approve_device(device.user_code(), "alice").unwrap();
        if stale {
            server.tamper(Tamper::IdTokenAuthTime).always();
        }
        match device.wait().await {
            Ok(login) => assert!(!stale && login.id_token().unwrap().subject() == "alice"),
            Err(error) => assert!(stale && error.to_string().contains("auth_time"), "{error}"),
        }
    }
}

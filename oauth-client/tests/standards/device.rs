//! A device without a browser: RFC 8628.

use std::time::Duration;

use oauth_client::clock::TestClock;
use oauth_client::login::{DeviceLogin, DeviceRequest};
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth};
use oauth_mock::{Endpoint, Fault, GrantType, MockClient, MockServer, User};

crate::rows! {
    "RFC 8628" "3.1, 3.2" "a device gets a code for its person, and where to enter it" => a_device_gets_a_code,
    "RFC 8628" "3.4" "the person lets the device in, and it has tokens and knows who" => the_person_lets_the_device_in,
    "RFC 8628" "3.5" "polls keep the interval, and slow_down makes it five seconds longer" => polls_keep_the_interval,
    "RFC 8628" "3.5" "a server that does not response is polled ever more slowly" => polls_back_off,
    "RFC 8628" "3.5" "a person who says no, and one who never comes, end it by name" => it_ends_by_name,
}

fn set_up() -> (MockServer, Client) {
    tokio::time::pause();
    let tv = MockClient::new("tv").grants([GrantType::DeviceCode, GrantType::RefreshToken]);
    let server = MockServer::builder()
        .client(tv.scopes(["openid", "read"]))
        .user(User::new("alice", "wonderland"))
        .in_process();
    let client = Client::builder()
        .issuer(server.issuer())
        .auth(ClientAuth::none("tv"))
        .http(HttpClient::from_service(server.transport()))
        .clock(TestClock::new())
        .build()
        .unwrap();
    (server, client)
}

async fn begin(client: &Client) -> DeviceLogin {
    client.device(&DeviceRequest::new().scope(["openid", "read"])).await.unwrap()
}

/// The moments of the polls, in seconds from the first one.
fn polls(server: &MockServer) -> Vec<i64> {
    let all: Vec<_> = server.journal().of(Endpoint::Token).iter().map(|request| request.at_unix).collect();
    all.iter().map(|at| at - all[0]).collect()
}

async fn a_device_gets_a_code() {
    let (server, client) = set_up();
    let device = begin(&client).await;
    assert_eq!(device.verification_uri().as_str(), server.endpoint(Endpoint::Device));
    let complete = device.verification_uri_complete().unwrap();
    assert!(complete.as_str().contains(device.user_code()), "{complete}");
    assert_eq!((device.interval().as_secs(), device.expires_in().as_secs()), (5, 600));
}

async fn the_person_lets_the_device_in() {
    let (server, client) = set_up();
    let device = begin(&client).await;
    let code = device.user_code().to_owned();
    let waiting = tokio::spawn(device.wait());
    tokio::time::sleep(Duration::from_secs(7)).await;
    server.approve_device(&code, "alice").unwrap();
    let login = waiting.await.unwrap().unwrap();
    assert_eq!(login.id_token().unwrap().subject(), "alice");
    assert!(login.tokens().refresh_token().is_some());
    assert_eq!(polls(&server), [0, 5]);
}

async fn polls_keep_the_interval() {
    let (server, client) = set_up();
    let slower = Fault::body(400, "application/json", r#"{"error":"slow_down"}"#);
    server.fault(Endpoint::Token, slower).on_call(2);
    let waiting = tokio::spawn(begin(&client).await.wait());
    tokio::time::sleep(Duration::from_secs(41)).await;
    waiting.abort();
    assert_eq!(polls(&server), [0, 5, 15, 25, 35]);
}

async fn polls_back_off() {
    let (server, client) = set_up();
    server.fault(Endpoint::Token, Fault::reset()).times(2);
    let waiting = tokio::spawn(begin(&client).await.wait());
    tokio::time::sleep(Duration::from_secs(60)).await;
    waiting.abort();
    assert_eq!(polls(&server), [0, 10, 30, 50]);
}

async fn it_ends_by_name() {
    let (server, client) = set_up();
    let device = begin(&client).await;
    server.deny_device(device.user_code()).unwrap();
    assert_eq!(device.wait().await.unwrap_err().code(), "access_denied");
    assert_eq!(begin(&client).await.wait().await.unwrap_err().code(), "expired_token");
}

use std::convert::Infallible;
use std::sync::Mutex;

use http::{HeaderMap, Response};
use http_body_util::Full;

use super::*;
use crate::transport::{HttpClient, Limits, RequestBody};

/// A transport, and the headers of the last request.
fn recording() -> (HttpClient, Arc<Mutex<HeaderMap>>) {
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let record = Arc::clone(&seen);
    let http = HttpClient::from_service(tower::service_fn(move |request: Request<RequestBody>| {
        *record.lock().unwrap() = request.headers().clone();
        async { Ok::<_, Infallible>(Response::new(Full::from("{}"))) }
    }));
    (http, seen)
}

async fn sent(http: &HttpClient, seen: &Mutex<HeaderMap>, url: &str) -> HeaderMap {
    http.get_json(&Url::parse(url).unwrap(), &Limits::metadata()).await.unwrap();
    seen.lock().unwrap().clone()
}

#[tokio::test]
async fn every_request_says_who_sends_it_and_asks_for_no_compression() {
    let (http, seen) = recording();
    let headers = sent(&http, &seen, "https://a.example/").await;
    assert_eq!(headers["user-agent"], concat!("oauth-client/", env!("CARGO_PKG_VERSION")));
    assert_eq!(headers["accept-encoding"], "identity");
    assert!(headers["accept"].to_str().unwrap().starts_with("application/json, "));
    assert!(headers["accept"].to_str().unwrap().contains("*/*"));
    http.get_key_set(&Url::parse("https://a.example/").unwrap(), &Limits::keys()).await.unwrap();
    let accept = seen.lock().unwrap()["accept"].to_str().unwrap().to_owned();
    assert_eq!(accept, "application/json, application/jwk-set+json;q=0.9, */*;q=0.1");

    let named = http.clone().user_agent("orders/2").unwrap();
    assert_eq!(sent(&named, &seen, "https://a.example/").await["user-agent"], "orders/2");
    assert_eq!(sent(&http, &seen, "https://a.example/").await["user-agent"], OURS, "clones are apart");
    let own = Request::get("https://a.example/").header("user-agent", "mine").body(Bytes::new()).unwrap();
    named.send(own, &Limits::token()).await.unwrap();
    assert_eq!(seen.lock().unwrap()["user-agent"], "mine");
    for unfit in ["", "  ", "a\nb", "\u{e9}"] {
        let error = http.clone().user_agent(unfit).unwrap_err();
        assert_eq!(error.problems()[0].field, "user_agent", "{unfit:?}");
    }
}

#[tokio::test]
async fn headers_go_to_their_origins_and_to_no_other() {
    let (http, seen) = recording();
    let http = http.headers_for(["https://auth.example.com/tenant"], [("X-Api-Key", "k3y")]).unwrap();
    for ours in
        ["https://auth.example.com/token", "https://auth.example.com:443/", "https://AUTH.example.com/a?b"]
    {
        let headers = sent(&http, &seen, ours).await;
        assert_eq!(headers["x-api-key"], "k3y", "{ours}");
        assert!(headers["x-api-key"].is_sensitive());
    }
    for other in [
        "https://api.example.com/",
        "https://auth.example.com:8443/",
        "https://auth.example.com.evil.example/",
        "http://localhost/",
    ] {
        assert!(!sent(&http, &seen, other).await.contains_key("x-api-key"), "{other}");
    }
}

#[tokio::test]
async fn their_values_are_read_for_each_request_and_never_shown() {
    let path = std::env::temp_dir().join(format!("oauth-client-header-{}", std::process::id()));
    std::fs::write(&path, "one\n").unwrap();
    let (http, seen) = recording();
    let origins = ["https://a.example"];
    let http = http.headers_for(origins, [("x-api-key", crate::secret::from_file(&path))]).unwrap();
    let http = http.bearer_for(origins, crate::secret::from_file(&path)).unwrap();
    assert_eq!(sent(&http, &seen, "https://a.example/").await["x-api-key"], "one");
    std::fs::write(&path, "two").unwrap();
    let headers = sent(&http, &seen, "https://a.example/").await;
    assert_eq!(
        (&headers["x-api-key"], &headers["authorization"]),
        (&"two".parse().unwrap(), &"Bearer two".parse().unwrap())
    );
    // What a request proves by itself is not replaced.
    let own =
        Request::get("https://a.example/").header("authorization", "Basic x").body(Bytes::new()).unwrap();
    http.send(own, &Limits::token()).await.unwrap();
    assert_eq!(seen.lock().unwrap()["authorization"], "Basic x");
    std::fs::write(&path, "s3cr3t\ntwo").unwrap();
    let url = Url::parse("https://a.example/").unwrap();
    let error = http.get_json(&url, &Limits::keys()).await.unwrap_err();
    assert_eq!(error.problems()[0].field, "headers.x-api-key");
    assert!(!format!("{error} {error:?} {http:?}").contains("s3cr3t"));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_header_that_cannot_be_sent_is_an_error_that_names_it() {
    let (http, _) = recording();
    for (name, value) in [
        ("x api key", "a"),
        ("", "a"),
        ("Host", "a"),
        ("content-length", "1"),
        ("Accept", "a"),
        ("User-Agent", "a"),
        ("x-api-key", "s3cr3t\n"),
    ] {
        let error = http.clone().headers_for(["https://a.example"], [(name, value)]).unwrap_err();
        assert_eq!(error.problems()[0].field, format!("headers.{name}"));
        assert!(!error.to_string().contains("s3cr3t"));
    }
    let error = http.headers_for(["a.example"], [("x-api-key", "a")]).unwrap_err();
    assert_eq!(error.problems()[0].field, "headers");
}

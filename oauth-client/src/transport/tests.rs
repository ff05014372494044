use http_body_util::{Full, StreamBody};

use super::*;

type Served = Result<Response<Full<Bytes>>, std::io::Error>;

fn serving(response: impl Fn() -> Served + Clone + Send + 'static) -> HttpClient {
    HttpClient::from_service(tower::service_fn(move |_: Request<RequestBody>| {
        let response = response();
        async move { response }
    }))
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn a_redirect_is_an_error_and_not_a_second_request() {
    for status in [301, 302, 303, 307, 308] {
        let http = serving(move || {
            Ok(Response::builder()
                .status(status)
                .header("location", "https://evil.example/")
                .body(Full::default())
                .unwrap())
        });
        let error = http.send(get("https://auth.example.com/token"), &Limits::token()).await.unwrap_err();
        assert_eq!(error.code(), "redirect");
        assert_eq!(error.status().unwrap().as_u16(), status);
    }
}

#[tokio::test]
async fn a_body_over_the_cap_is_rejected_with_and_without_a_declared_length() {
    let limits = Limits { max_body: 10, ..Limits::token() };
    let declared = serving(|| Ok(Response::new(Full::from(vec![b'x'; 11]))));
    assert_eq!(declared.send(get("https://a/"), &limits).await.unwrap_err().code(), "too_large");

    let undeclared = HttpClient::from_service(tower::service_fn(|_: Request<RequestBody>| async {
        let pieces =
            (0..4).map(|_| Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(b"xxxx"))));
        Ok::<_, std::io::Error>(Response::new(StreamBody::new(futures_util::stream::iter(pieces))))
    }));
    assert_eq!(undeclared.send(get("https://a/"), &limits).await.unwrap_err().code(), "too_large");

    let exactly = serving(|| Ok(Response::new(Full::from(vec![b'x'; 10]))));
    assert_eq!(exactly.send(get("https://a/"), &limits).await.unwrap().body().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_never_comes_ends_at_the_time_limit() {
    let http = HttpClient::from_service(tower::service_fn(|_: Request<RequestBody>| {
        std::future::pending::<Result<Response<Full<Bytes>>, std::io::Error>>()
    }));
    let began = Instant::now();
    let error = http.send(get("https://a/"), &Limits::keys()).await.unwrap_err();
    assert_eq!(error.code(), "timeout");
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn plain_http_goes_to_loopback_only() {
    let http = serving(|| Ok(Response::new(Full::default())));
    for url in ["http://127.0.0.1:80/", "http://localhost/", "http://[::1]:9/", "http://a.localhost/"] {
        assert!(http.send(get(url), &Limits::token()).await.is_ok(), "{url}");
    }
    for url in [
        "http://auth.example.com/",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
        "/token",
    ] {
        assert_eq!(http.send(get(url), &Limits::token()).await.unwrap_err().code(), "config", "{url}");
    }
    let allowed = Limits { allow_http: true, ..Limits::token() };
    assert!(http.send(get("http://auth.example.com/"), &allowed).await.is_ok());
}

#[tokio::test]
async fn only_a_connection_that_stood_leaves_the_outcome_unknown() {
    let refused = serving(|| Err(std::io::ErrorKind::ConnectionRefused.into()));
    let error = refused.send(get("https://a/"), &Limits::token()).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient(), error.is_outcome_unknown()), ("transport", true, false));

    let reset = serving(|| Err(std::io::ErrorKind::ConnectionReset.into()));
    let error = reset.send(get("https://a/"), &Limits::token()).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient(), error.is_outcome_unknown()), ("transport", true, true));
}

#[tokio::test]
async fn a_response_in_a_coding_that_is_not_known_is_refused_and_the_coding_is_named() {
    for coding in ["br", "zstd", "gzip, br", "compress"] {
        let http = serving(move || {
            Ok(Response::builder().header("content-encoding", coding).body(Full::from("{}")).unwrap())
        });
        let error = http.send(get("https://a/"), &Limits::token()).await.unwrap_err();
        assert_eq!(error.code(), "malformed_response", "{coding}");
        assert!(error.to_string().contains("content-encoding"), "{error}");
        assert!(error.to_string().contains(coding.rsplit(' ').next().unwrap()), "{error}");
    }
}

#[test]
fn retry_after_is_read_in_both_forms_and_survives_nonsense() {
    let now = Duration::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
    let read = |value: &str| {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).unwrap())]);
        retry_after(&headers, now)
    };
    assert_eq!(read("30"), Some(Duration::from_secs(30)));
    assert_eq!(read("Sun, 06 Nov 1994 08:50:07 GMT"), Some(Duration::from_secs(30)));
    assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO), "a date in the past is now");
    assert_eq!(read("7200"), Some(Duration::from_secs(7200)), "longer than an hour");
    assert_eq!(read("Mon, 07 Nov 1994 08:49:36 GMT"), Some(Duration::from_secs(86_399)));
    assert_eq!(read("999999999"), Some(Duration::from_secs(86_400)), "capped");
    assert_eq!(read("Fri, 31 Dec 9999 23:59:59 GMT"), Some(Duration::from_secs(86_400)));
    assert_eq!(read("99999999999999999999999999"), Some(Duration::from_secs(86_400)), "no overflow");
    for nonsense in ["-1", "soon", "1e3", "", "1.5"] {
        assert_eq!(read(nonsense), None, "{nonsense:?}");
    }
}

/// Responds with this status, the start of a body, and then `rest`.
fn breaking<R>(status: u16, rest: impl Fn() -> R + Clone + Send + 'static) -> HttpClient
where
    R: futures_util::Stream<Item = std::io::Result<http_body::Frame<Bytes>>> + Send + 'static,
{
    use futures_util::StreamExt as _;

    HttpClient::from_service(tower::service_fn(move |_: Request<RequestBody>| {
        let start = futures_util::stream::iter([Ok(http_body::Frame::data(Bytes::from_static(b"bu")))]);
        let response = Response::builder().status(status).header("retry-after", "60");
        let response = response.body(StreamBody::new(start.chain(rest()))).unwrap();
        async move { Ok::<_, std::io::Error>(response) }
    }))
}

#[tokio::test(start_paused = true)]
async fn of_an_error_the_status_counts_whatever_becomes_of_its_body() {
    for status in [400, 429, 503] {
        let reset = || futures_util::stream::iter([Err(std::io::ErrorKind::ConnectionReset.into())]);
        let hanging = breaking(status, futures_util::stream::pending);
        for (http, limits) in [
            (breaking(status, reset), Limits::token()),
            (hanging.clone(), Limits::token()),
            (hanging.clone(), Limits::metadata()),
            (hanging, Limits { timeout: Duration::from_millis(100), ..Limits::keys() }),
        ] {
            let response = http.send(get("https://a/"), &limits).await.unwrap();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(
                response.body(),
                "",
                "a secret in what has come of it may be cut, and then is not found"
            );
            assert_eq!(retry_after_by_server(response.headers()), Some(Duration::from_secs(60)));
        }
    }
    // A page that is larger than it has to be is a whole one.
    let page = || futures_util::stream::iter([Ok(http_body::Frame::data(Bytes::from(vec![b'x'; 100_000])))]);
    let response = breaking(400, page).send(get("https://a/"), &Limits::token()).await.unwrap();
    assert_eq!(response.body().len(), MAX_ERROR_BODY);
    let reset = || futures_util::stream::iter([Err(std::io::ErrorKind::ConnectionReset.into())]);
    let error = breaking(200, reset).send(get("https://a/"), &Limits::token()).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "a success without its body is none");
    let error = breaking(200, futures_util::stream::pending).send(get("https://a/"), &Limits::token()).await;
    assert_eq!(error.unwrap_err().code(), "timeout");
}

#[test]
fn a_url_that_is_too_long_is_named_by_its_origin() {
    let url = format!("https://api.example.com/s3cr3t?key=s3cr3t&filler={}", "x".repeat(70_000));
    let error = to_uri(&url.parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("https://api.example.com is too long"), "{error}");
    assert!(!error.contains("s3cr3t"), "{error}");
}

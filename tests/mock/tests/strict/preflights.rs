//! Browsers ask before they send: what a test counts and makes fail are the requests of the client.

use http::{Request, StatusCode};
use http_body_util::Full;
use oauth_mock::{Endpoint, Fault, Match, MockServer};

use crate::support::*;

const PAGE: &str = "http://localhost:3000";

async fn preflight(server: &MockServer) -> Reply {
    let request = Request::options(server.endpoint(Endpoint::Token))
        .header("origin", PAGE)
        .header("access-control-request-method", "POST");
    send(server, request.body(Full::default()).unwrap()).await.unwrap()
}

/// The request that follows the preflight.
async fn asked(server: &MockServer) -> Reply {
    let mut request =
        form_request(&server.endpoint(Endpoint::Token), Some(&svc()), "grant_type=client_credentials");
    request.headers_mut().append("origin", PAGE.parse().unwrap());
    send(server, request).await.unwrap()
}

#[tokio::test]
async fn a_preflight_uses_up_no_fault_and_meets_no_expectation() {
    let server = MockServer::builder().in_process();
    server.fault(Endpoint::Token, Fault::status(503).retry_after_secs(1)).times(1);
    assert_eq!(preflight(&server).await.status, StatusCode::NO_CONTENT);
    server.expect(Endpoint::Token).exactly(2);
    server.expect(Endpoint::Token).matching(Match::any().method("options")).exactly(2);
    server.expect(Endpoint::Token).matching(Match::any().header("origin", PAGE)).at_least(1);
    let failed = asked(&server).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(preflight(&server).await.status, StatusCode::NO_CONTENT);
    assert_eq!(asked(&server).await.status, StatusCode::OK);
    server.verify();
    assert_eq!(server.journal().count(Endpoint::Token), 4, "all of them arrived");

    // Where it is named, it fails as well.
    server.fault(Endpoint::Token, Fault::status(403)).matching(Match::any().method("OPTIONS")).times(1);
    server.expect_nothing();
    assert_eq!(preflight(&server).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_page_can_read_the_response_of_a_fault() {
    let server = MockServer::builder().in_process();
    server.fault(Endpoint::Token, Fault::status(503).retry_after_secs(1)).times(1);
    let failed = asked(&server).await;
    assert_eq!((failed.status.as_u16(), failed.header("access-control-allow-origin")), (503, "*"));
    assert!(failed.header("access-control-expose-headers").contains("retry-after"));

    // A fault about origins says all of it itself.
    let other = Fault::status(503).header(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, "https://other.test");
    server.fault(Endpoint::Token, other).times(1);
    let failed = asked(&server).await;
    assert_eq!(failed.header("access-control-allow-origin"), "https://other.test");
    assert_eq!(failed.header("access-control-expose-headers"), "");
    // A program sends no origin, and gets nothing about pages.
    server.fault(Endpoint::Token, Fault::status(503)).times(1);
    let failed = post(&server, Endpoint::Token, Some(&svc()), "grant_type=client_credentials").await;
    assert_eq!((failed.status.as_u16(), failed.header("access-control-allow-origin")), (503, ""));
}

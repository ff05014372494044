//! What a test expects is checked when the server goes away.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use oauth_mock::{Endpoint, Fault, MockServer};
use support::*;

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[tokio::test]
async fn met_expectations_are_silent() {
    let server = MockServer::builder().in_process();
    server.expect(Endpoint::Token).exactly(1);
    server.expect(Endpoint::Token).at_least(1);
    server.expect(Endpoint::Jwks).at_most(2);
    token(&server).await;
    server.verify();
}

#[tokio::test]
async fn an_unmet_expectation_fails_the_test_with_what_arrived() {
    let server = MockServer::builder().in_process();
    server.expect(Endpoint::Token).exactly(1);
    server.fault(Endpoint::Token, Fault::status(503)).times(1);
    token(&server).await;
    token(&server).await;
    let url = server.url().to_owned();
    let panic = catch_unwind(AssertUnwindSafe(|| drop(server))).unwrap_err();
    let expected = format!(
        "{url} did not get the requests this test expects\n\
         - expected exactly 1 request(s) to Token\n\
         + got 2\n\
         +   1. POST /token grant_type=client_credentials -> 503 (fault: status 503)\n\
         +   2. POST /token grant_type=client_credentials -> 200\n"
    );
    assert_eq!(message(&*panic), expected);
}

#[test]
fn the_panic_of_the_test_itself_is_not_hidden() {
    let panic = catch_unwind(|| {
        let server = MockServer::builder().in_process();
        server.expect(Endpoint::Token).exactly(1);
        panic!("{}", "the real reason");
    });
    assert_eq!(message(&*panic.unwrap_err()), "the real reason");
}

//! Authorization requests that are posted (OpenID Connect Core section 3.1.2.1).

use http::StatusCode;
use oauth_mock::{Endpoint, GrantType, MockClient, MockServer, User};

use crate::support::flow::*;
use crate::support::*;

fn server() -> MockServer {
    let app = MockClient::new("app").grants([GrantType::AuthorizationCode]).redirect_uri(CALLBACK);
    MockServer::builder()
        .client(app.scopes(["openid", "read"]))
        .client(MockClient::default())
        .user(User::new("alice", "wonderland"))
        .in_process()
}

async fn submit(server: &MockServer, form: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = form_request(&server.endpoint(Endpoint::Authorize), None, form);
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    send(server, request).await.unwrap()
}

#[tokio::test]
async fn a_posted_request_shows_the_page_as_one_in_a_url_does() {
    let server = server();
    // Of the client's page, as a browser sends it.
    let of_client = [("origin", "https://app.test"), ("sec-fetch-site", "cross-site")];
    let page = submit(&server, &request(&[]), &of_client).await;
    assert_eq!((page.status, page.header("location")), (StatusCode::OK, ""), "{}", page.text());
    assert!(
        page.text().contains("<strong>app</strong>") && page.text().contains("password"),
        "{}",
        page.text()
    );
    let silent = submit(&server, &request(&[("prompt", Some("none"))]), &of_client).await;
    assert_eq!(parameter(silent.header("location"), "error").unwrap(), "login_required");

    // What the page's buttons say is taken from the page alone.
    let allowed = format!("{}&username=alice&password=wonderland&decision=allow", request(&[]));
    assert_eq!(submit(&server, &allowed, &of_client).await.status, StatusCode::FORBIDDEN);
    let back = submit(&server, &allowed, &[]).await;
    assert!(parameter(back.header("location"), "code").is_some(), "{}", back.header("location"));
}

#[tokio::test]
async fn a_pushed_request_that_is_posted_is_not_used_up() {
    let server = server();
    let pushed = post(&server, Endpoint::Par, None, &request(&[])).await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{}", pushed.text());
    let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
    let form = format!("client_id=app&request_uri={uri}");
    for _ in 0..2 {
        assert_eq!(submit(&server, &form, &[]).await.status, StatusCode::OK);
    }
    let back =
        submit(&server, &format!("{form}&username=alice&password=wonderland&decision=allow"), &[]).await;
    assert!(parameter(back.header("location"), "code").is_some(), "{}", back.header("location"));
}

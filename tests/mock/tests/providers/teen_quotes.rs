//! Teen Quotes, page "OAuth - Client credentials".

use std::time::Duration;

use oauth_mock::{Endpoint, GrantType, MockClient, MockServer, Provider};

use crate::support::{Reply, basic, form_request, post, send};
use crate::{failing, get_with, member, order, plays, post_json, rows};

rows! { TeenQuotes:
    request "POST /oauth as JSON: grant_type, client_id, client_secret" => takes_json,
    request "the same as a form" => takes_a_form,
    request "grant_type=refresh_token with the refresh token" => takes_a_refresh_token,
    response "access_token, token_type bearer, expires (unix time), expires_in, refresh_token" => responds_as_printed,
    response "the refresh token stays the same when the server does not rotate" => a_server_without_rotation_repeats_the_refresh_token,
    response "the token opens protected resources until it expires" => the_token_opens_a_resource_until_it_expires,
    error "400 invalid_request, with the parameter's name" => invalid_request,
    error "400 unauthorized_client" => unauthorized_client,
    error "401 access_denied" => access_denied,
    error "400 unsupported_response_type" => unsupported_response_type,
    error "400 invalid_scope, with the scope" => invalid_scope,
    error "server_error, without a status on the page" => server_error,
    error "400 temporarily_unavailable" => temporarily_unavailable,
    error "501 unsupported_grant_type, with the grant type" => unsupported_grant_type,
    error "401 invalid_client" => invalid_client,
    error "400 invalid_grant, with the parameter's name" => invalid_grant,
    error "400 invalid_credentials" => invalid_credentials,
    error "400 invalid_refresh" => invalid_refresh,
    error "the printed example: invalid_request with the text of invalid_credentials" => printed_example,
}

const GOOD: &str = r#"{"grant_type":"client_credentials","client_id":"42","client_secret":"IZgwaBTZ2EdtT3hT7UzG2rLQ8S0Vmu9GDxeHwcPz"}"#;
const CLIENT: &str = "client_id=42&client_secret=IZgwaBTZ2EdtT3hT7UzG2rLQ8S0Vmu9GDxeHwcPz";

async fn ask(server: &MockServer, json: &str) -> Reply {
    post_json(server, Endpoint::Token, json).await
}

/// Status, key and text are exactly these, and nothing else is in the body.
fn refuses(reply: &Reply, status: u16, key: &str, text: &str) {
    let text = text.replace('"', "\\\"");
    assert_eq!(reply.text(), format!(r#"{{"error":"{key}","error_description":"{text}"}}"#));
    assert_eq!(reply.status.as_u16(), status);
}

async fn takes_json() {
    let server = plays(Provider::TeenQuotes);
    assert_eq!(server.endpoint(Endpoint::Token), format!("{}/oauth", server.url()));
    assert_eq!(ask(&server, GOOD).await.status, 200);
    // The comma that the page prints behind the last member is no JSON.
    assert_eq!(ask(&server, &GOOD.replace('}', ",}")).await.error(), "invalid_request");
}

async fn takes_a_form() {
    let server = plays(Provider::TeenQuotes);
    let form = format!("grant_type=client_credentials&{CLIENT}");
    assert_eq!(post(&server, Endpoint::Token, None, &form).await.status, 200);
    let in_header = form_request(&server.endpoint(Endpoint::Token), Some(&basic("42", "x")), &form);
    assert_eq!(send(&server, in_header).await.unwrap().error(), "invalid_request");
}

async fn takes_a_refresh_token() {
    let server = plays(Provider::TeenQuotes);
    let first = ask(&server, GOOD).await;
    let refresh_token = member(&first, "refresh_token");
    let json = GOOD.replace("client_credentials", "refresh_token");
    let json = json.replace('}', &format!(r#","refresh_token":"{refresh_token}"}}"#));
    let second = ask(&server, &json).await;
    assert_eq!((second.status.as_u16(), order(second.text())), (200, order(first.text())));
    let form =
        format!("grant_type=refresh_token&{CLIENT}&refresh_token={}", member(&second, "refresh_token"));
    assert_eq!(post(&server, Endpoint::Token, None, &form).await.status, 200);
}

async fn a_server_without_rotation_repeats_the_refresh_token() {
    let client = MockClient::new("c").secret("s").without_rotation();
    let server = MockServer::builder().personality(Provider::TeenQuotes).client(client).in_process();
    let tokens = server.issue("c", "c", "").unwrap().refresh_token.unwrap();
    let form = format!("grant_type=refresh_token&client_id=c&client_secret=s&refresh_token={tokens}");
    let reply = post(&server, Endpoint::Token, None, &form).await;
    assert_eq!(member(&reply, "refresh_token"), tokens);
}

async fn responds_as_printed() {
    let server = plays(Provider::TeenQuotes);
    server.clock().set(1_401_437_772 - 604_800);
    let reply = ask(&server, GOOD).await;
    let body = reply.json();
    let printed = format!(
        r#"{{"access_token":{},"token_type":"bearer","expires":1401437772,"expires_in":604800,"refresh_token":{}}}"#,
        body["access_token"], body["refresh_token"]
    );
    assert_eq!((reply.status.as_u16(), reply.text()), (200, printed.as_str()));
    for name in ["access_token", "refresh_token"] {
        let token = member(&reply, name);
        assert!(token.len() == 40 && token.chars().all(|c| c.is_ascii_alphanumeric()), "{token}");
    }
}

async fn the_token_opens_a_resource_until_it_expires() {
    let server = plays(Provider::TeenQuotes);
    let token = member(&ask(&server, GOOD).await, "access_token");
    assert_eq!(get_with(&server, Endpoint::Api, &token).await.status, 200);
    server.clock().advance(Duration::from_secs(604_800));
    assert_eq!(get_with(&server, Endpoint::Api, &token).await.status, 401);
}

async fn invalid_request() {
    let text = |parameter: &str| {
        format!(
            "The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed. Check the \"{parameter}\" parameter."
        )
    };
    let server = plays(Provider::TeenQuotes);
    for (json, parameter) in [
        ("{}", "grant_type"),
        (r#"{"grant_type":"client_credentials"}"#, "client_id"),
        (r#"{"grant_type":"client_credentials","client_id":"42"}"#, "client_secret"),
        (r#"{"grant_type":"client_credentials","client_id":42}"#, "client_id"),
        (r#"{"grant_type":"client_credentials","user":"me"}"#, "user"),
        (r#"{"grant_type":"client_credentials","refresh_token":"x"}"#, "refresh_token"),
    ] {
        refuses(&ask(&server, json).await, 400, "invalid_request", &text(parameter));
    }
    let same = GOOD.replace('}', r#","client_id":"42"}"#);
    refuses(&ask(&server, &same).await, 400, "invalid_request", &text("client_id"));
    let twice = format!("grant_type=client_credentials&{CLIENT}&client_id=42");
    let reply = post(&server, Endpoint::Token, None, &twice).await;
    refuses(&reply, 400, "invalid_request", &text("client_id"));
    let without = GOOD.replace("client_credentials", "refresh_token");
    refuses(&ask(&server, &without).await, 400, "invalid_request", &text("refresh_token"));
    let failure = failing(Provider::TeenQuotes, "invalid_request").await;
    refuses(&failure, 400, "invalid_request", &text("grant_type"));
}

async fn unauthorized_client() {
    let text = "The client is not authorized to request an access token using this method.";
    let client = MockClient::new("c").secret("s").grants([GrantType::RefreshToken]);
    let server = MockServer::builder().personality(Provider::TeenQuotes).client(client).in_process();
    let json = r#"{"grant_type":"client_credentials","client_id":"c","client_secret":"s"}"#;
    refuses(&ask(&server, json).await, 400, "unauthorized_client", text);
    refuses(&failing(Provider::TeenQuotes, "unauthorized_client").await, 400, "unauthorized_client", text);
}

async fn access_denied() {
    let text = "The resource owner or authorization server denied the request.";
    refuses(&failing(Provider::TeenQuotes, "access_denied").await, 401, "access_denied", text);
}

async fn unsupported_response_type() {
    let text = "The authorization server does not support obtaining an access token using this method.";
    let reply = failing(Provider::TeenQuotes, "unsupported_response_type").await;
    refuses(&reply, 400, "unsupported_response_type", text);
}

async fn invalid_scope() {
    let text = r#"The requested scope is invalid, unknown, or malformed. Check the "admin" scope."#;
    let server = plays(Provider::TeenQuotes);
    let json = GOOD.replace('}', r#","scope":"admin"}"#);
    refuses(&ask(&server, &json).await, 400, "invalid_scope", text);
    refuses(&failing(Provider::TeenQuotes, "invalid_scope").await, 400, "invalid_scope", text);
}

async fn server_error() {
    let text = "The authorization server encountered an unexpected condition which prevented it from fulfilling the request.";
    refuses(&failing(Provider::TeenQuotes, "server_error").await, 500, "server_error", text);
    let failures = Provider::TeenQuotes.failures();
    let assumed: Vec<_> = failures.iter().filter(|failure| !failure.status_is_documented()).collect();
    assert!(assumed.len() == 1 && assumed[0].name() == "server_error");
    let server =
        MockServer::builder().personality(Provider::TeenQuotes).undocumented_status(400).in_process();
    server.provider_failure("server_error").times(1);
    refuses(&ask(&server, GOOD).await, 400, "server_error", text);
}

async fn temporarily_unavailable() {
    let text = "The authorization server is currently unable to handle the request due to a temporary overloading or maintenance of the server.";
    let reply = failing(Provider::TeenQuotes, "temporarily_unavailable").await;
    refuses(&reply, 400, "temporarily_unavailable", text);
}

async fn unsupported_grant_type() {
    let text = r#"The authorization grant type "password" is not supported by the authorization server"#;
    let server = plays(Provider::TeenQuotes);
    let json = GOOD.replace("client_credentials", "password");
    refuses(&ask(&server, &json).await, 501, "unsupported_grant_type", text);
    let reply = failing(Provider::TeenQuotes, "unsupported_grant_type").await;
    refuses(&reply, 501, "unsupported_grant_type", text);
}

async fn invalid_client() {
    let server = plays(Provider::TeenQuotes);
    for json in [GOOD.replace("IZgw", "guess"), GOOD.replace("42", "43")] {
        refuses(&ask(&server, &json).await, 401, "invalid_client", "Client authentication failed");
    }
    let reply = failing(Provider::TeenQuotes, "invalid_client").await;
    refuses(&reply, 401, "invalid_client", "Client authentication failed");
}

async fn invalid_grant() {
    let text = r#"The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client. Check the "code" parameter."#;
    refuses(&failing(Provider::TeenQuotes, "invalid_grant").await, 400, "invalid_grant", text);
}

async fn invalid_credentials() {
    let text = "The user credentials were incorrect.";
    refuses(&failing(Provider::TeenQuotes, "invalid_credentials").await, 400, "invalid_credentials", text);
}

async fn invalid_refresh() {
    let text = "The refresh token is invalid.";
    let server = plays(Provider::TeenQuotes);
    let refresh_token = member(&ask(&server, GOOD).await, "refresh_token");
    let form = |token: &str| format!("grant_type=refresh_token&{CLIENT}&refresh_token={token}");
    let unknown = post(&server, Endpoint::Token, None, &form("unknown")).await;
    refuses(&unknown, 400, "invalid_refresh", text);
    server.clock().advance(Duration::from_secs(25 * 3600));
    let expired = post(&server, Endpoint::Token, None, &form(&refresh_token)).await;
    refuses(&expired, 400, "invalid_refresh", text);
    refuses(&failing(Provider::TeenQuotes, "invalid_refresh").await, 400, "invalid_refresh", text);
}

async fn printed_example() {
    let reply = failing(Provider::TeenQuotes, "printed_example").await;
    refuses(&reply, 400, "invalid_request", "The user credentials were incorrect.");
}

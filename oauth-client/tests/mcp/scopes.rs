//! Which scopes are asked for, and when more are.

use http::StatusCode;
use oauth_mock::{Endpoint, Fault, GrantType, MockClient};

use crate::support::{World, server};

const ALL: [&str; 4] = ["read", "write", "admin", "offline_access"];

/// A world in which one client may ask for anything, and a client for it.
fn world() -> (World, oauth_client::mcp::Authorizer) {
    let client = MockClient::new("app")
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken])
        .redirect_uri("https://app.test/callback")
        .scopes(ALL);
    let world = World::new(server().client(client));
    let auth = oauth_client::ClientAuth::none("app");
    let authorizer = world.authorizer().registered(world.server().issuer(), auth).build().unwrap();
    (world, authorizer)
}

#[tokio::test]
async fn the_scope_is_that_of_the_challenge_else_all_that_the_api_names_else_none() {
    for (scope, supported, asked) in [
        (Some("read"), Some(vec!["read", "write"]), "read offline_access"),
        (None, Some(vec!["read", "write"]), "read write offline_access"),
        (None, None, "offline_access"),
    ] {
        let (world, authorizer) = world();
        (world.says().scope, world.says().scopes_supported) = (scope, supported);
        assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
        assert_eq!(world.asked("scope").as_deref(), Some(asked), "the server lists offline_access");
    }
    // One that does not is not asked for it, whatever the API says.
    let world = World::new(server());
    world.says().scopes_supported = Some(vec!["read", "offline_access"]);
    assert_eq!(world.call(&world.authorizer().build().unwrap()).await.unwrap(), StatusCode::OK);
    assert_eq!(world.asked("scope").as_deref(), Some("read"));

    let world = World::new(server());
    assert_eq!(world.call(&world.authorizer().build().unwrap()).await.unwrap(), StatusCode::OK);
    assert_eq!(world.asked("scope"), None);
}

#[tokio::test]
async fn a_step_up_asks_for_what_there_was_and_what_is_missing() {
    let (world, authorizer) = world();
    world.says().scope = Some("read");
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    world.says().needs = vec!["write"];
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    assert_eq!(world.asked("scope").as_deref(), Some("read write offline_access"));
    assert_eq!(world.logins(), 2);
    // Both operations go by the one token now.
    world.says().needs = vec!["read"];
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    assert_eq!(world.logins(), 2);
}

#[tokio::test]
async fn a_scope_that_was_granted_is_not_asked_for_again() {
    let (world, authorizer) = world();
    (world.says().scope, world.says().needs) = (Some("read"), vec!["read", "write"]);
    // The API never sees what the server says it granted.
    world.server().token_rule(oauth_mock::TokenRule::new(oauth_mock::Match::any()).claim("scope", "nothing"));
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::FORBIDDEN);
    assert_eq!(world.logins(), 2, "the login, and one step up");
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::FORBIDDEN);
    assert_eq!(world.logins(), 2, "nor by the next request");
}

#[tokio::test]
async fn an_api_that_always_wants_something_else_leads_to_so_many_authorizations_at_most() {
    for most in 1..=3 {
        let (world, _) = world();
        let auth = oauth_client::ClientAuth::none("app");
        let builder = world.plain().registered(world.server().issuer(), auth).max_authorizations(most);
        let browser = world.clone();
        let authorizer = builder.browser(move |page| {
            let callback = browser.log_in(page);
            // Whatever is granted, something else is needed.
            browser.says().needs = vec![ALL[browser.logins() % 3]];
            async move { callback }
        });
        let authorizer = authorizer.build().unwrap();
        world.says().scope = Some("read");
        world
            .server()
            .token_rule(oauth_mock::TokenRule::new(oauth_mock::Match::any()).claim("scope", "nothing"));
        assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::FORBIDDEN);
        assert_eq!(world.logins(), usize::try_from(most).unwrap());
    }
}

#[tokio::test]
async fn a_scope_that_a_person_declines_is_asked_for_once_in_a_request() {
    let (world, authorizer) = world();
    (world.says().scope, world.says().needs) = (Some("read"), vec!["write"]);
    let token = world.server().mint().subject("alice").claim("scope", "read").build();
    let granted = serde_json::json!({"access_token": token, "token_type": "Bearer", "scope": "read"});
    world.server().fault(Endpoint::Token, Fault::body(200, "application/json", granted.to_string())).always();
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::FORBIDDEN);
    assert_eq!(world.logins(), 2, "the login, and one step up");
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::FORBIDDEN);
    assert_eq!(world.logins(), 3, "another request may ask again, once");
}

#[tokio::test]
async fn another_token_may_do_no_more_than_the_one_before_it() {
    let (world, authorizer) = world();
    world.says().scope = Some("read");
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::OK);
    (world.says().scope, world.says().scopes_supported) = (None, Some(vec!["read", "write", "admin"]));
    world.says().refuses_all = true;
    assert_eq!(world.call(&authorizer).await.unwrap(), StatusCode::UNAUTHORIZED);
    assert_eq!((world.logins(), world.asked("scope").as_deref()), (2, Some("read offline_access")));
}

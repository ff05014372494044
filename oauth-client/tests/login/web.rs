//! The authorization code grant of an app with its own routes.

use std::sync::Arc;
use std::time::Duration;

use oauth_client::clock::TestClock;
use oauth_client::discover::Endpoint as ClientEndpoint;
use oauth_client::login::{AuthorizationRequest, LogoutRequest, PendingLogin};
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth};
use oauth_mock::{Endpoint, Fault, MockServer, Tamper};
use serde_json::{Value, json};

use crate::support::{
    CALLBACK, builder, fixture, fixture_with, parameter, request, web_client, with_parameter,
};

#[tokio::test(start_paused = true)]
async fn a_person_logs_in_and_is_known_by_name() {
    let fixture = fixture();
    let login = fixture.login(&request()).await.unwrap();
    assert_eq!(login.id_token().unwrap().subject(), "alice");
    assert!(login.tokens().refresh_token().is_some());
    assert!(format!("{login:?}").contains("redacted"));
}

/// Many libraries take scopes as one text. Taken for one scope, it would leave the ID token unasked for and unchecked.
#[tokio::test(start_paused = true)]
async fn scopes_in_one_text_bring_an_id_token_that_is_checked() {
    let fixture = fixture();
    let request = AuthorizationRequest::new(CALLBACK).scope(["openid read"]);
    let login = fixture.login(&request).await.unwrap();
    assert_eq!(login.id_token().unwrap().subject(), "alice");
    fixture.server.tamper(Tamper::IdTokenNonceMissing).times(1);
    let error = fixture.login(&request).await.unwrap_err();
    assert_eq!(error.code(), "invalid_id_token");
}

#[tokio::test(start_paused = true)]
async fn pkce_is_always_s256_and_never_repeats() {
    let fixture = fixture();
    let mut challenges = Vec::new();
    for _ in 0..3 {
        let pending = fixture.begin().await;
        assert_eq!(parameter(pending.url(), "code_challenge_method").as_deref(), Some("S256"));
        assert_eq!(parameter(pending.url(), "response_type").as_deref(), Some("code"));
        let values = ["code_challenge", "state", "nonce"].map(|name| parameter(pending.url(), name).unwrap());
        assert!(values.iter().all(|value| value.len() == 43), "{values:?}");
        challenges.extend(values);
        // The verifier itself is never in the browser.
        let stored = serde_json::to_value(&pending).unwrap();
        let verifier = stored["verifier"].as_str().unwrap();
        assert!(verifier.len() == 43 && !pending.url().as_str().contains(verifier));
        challenges.push(verifier.to_owned());
    }
    let count = challenges.len();
    challenges.sort_unstable();
    challenges.dedup();
    assert_eq!(challenges.len(), count);
    // The mock compares the verifier with the challenge, and refuses any other form of either.
    fixture.login(&request()).await.unwrap();
    assert!(fixture.server.journal().of(Endpoint::Token)[0].param("code_verifier").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_missing_wrong_or_foreign_state_sends_no_code() {
    let fixture = fixture();
    let other = fixture.begin().await;
    let of_other = parameter(other.url(), "state").unwrap();
    for state in [None, Some(""), Some("guess"), Some(of_other.as_str())] {
        let pending = fixture.begin().await;
        let callback = with_parameter(&fixture.log_in(&pending), "state", state);
        let error = fixture.client.finish(pending, callback).await.unwrap_err();
        assert_eq!(error.code(), "state_mismatch", "{state:?}");
    }
    assert_eq!(fixture.count(Endpoint::Token), 0);
}

#[tokio::test(start_paused = true)]
async fn a_login_is_valid_once_and_for_ten_minutes() {
    let fixture = fixture();
    let pending = fixture.begin().await;
    let copy = serde_json::to_string(&pending).unwrap();
    let callback = fixture.log_in(&pending);
    fixture.client.finish(pending, &callback).await.unwrap();
    // A copy is useless: the server takes no code twice.
    let copy: PendingLogin = serde_json::from_str(&copy).unwrap();
    assert_eq!(fixture.client.finish(copy, &callback).await.unwrap_err().code(), "invalid_grant");

    let pending = fixture.begin().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let callback = fixture.log_in(&pending);
    let error = fixture.client.finish(pending, callback).await.unwrap_err();
    assert_eq!(error.code(), "login_expired");
    assert_eq!(fixture.count(Endpoint::Token), 2);
}

#[tokio::test(start_paused = true)]
async fn a_response_of_another_issuer_or_none_sends_no_code() {
    let fixture = fixture();
    for issuer in [Some("https://evil.test"), Some("")] {
        let pending = fixture.begin().await;
        let callback = with_parameter(&fixture.log_in(&pending), "iss", issuer);
        assert_eq!(fixture.client.finish(pending, callback).await.unwrap_err().code(), "issuer_mismatch");
    }
    // Missing counts where the metadata says that it is always there.
    let mut pending: Value = serde_json::to_value(fixture.begin().await).unwrap();
    for names_itself in [true, false] {
        pending["names_itself"] = json!(names_itself);
        let pending: PendingLogin = serde_json::from_value(pending.clone()).unwrap();
        let callback = with_parameter(&fixture.log_in(&pending), "iss", None);
        let outcome = fixture.client.finish(pending, callback).await;
        match names_itself {
            true => assert_eq!(outcome.unwrap_err().code(), "issuer_mismatch"),
            false => assert!(outcome.is_ok()),
        }
    }
    assert_eq!(fixture.count(Endpoint::Token), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_response_of_another_issuer_or_none_is_not_this_servers_error() {
    let fixture = fixture();
    let own = fixture.server.issuer().to_owned();
    for (issuer, expected) in [
        (Some("https://evil.test"), "issuer_mismatch"),
        (Some(""), "issuer_mismatch"),
        (None, "issuer_mismatch"),
        (Some(own.as_str()), "access_denied"),
    ] {
        let pending = fixture.begin().await;
        let callback = with_parameter(&fixture.log_in(&pending), "code", None);
        let callback = with_parameter(&callback, "error", Some("access_denied"));
        let callback =
            with_parameter(&callback, "error_description", Some("paste your password at evil.test"));
        let callback = with_parameter(&callback, "iss", issuer);
        let error = fixture.client.finish(pending, callback).await.unwrap_err();
        assert_eq!(error.code(), expected, "RFC 9207 section 2.4: {issuer:?}");
        let is_foreign = expected == "issuer_mismatch";
        let shown = error.with_causes().to_string();
        assert_eq!(shown.contains("password"), !is_foreign, "nor is its text shown: {shown}");
    }
    assert_eq!(fixture.count(Endpoint::Token), 0);
}

#[tokio::test(start_paused = true)]
async fn the_metadata_says_whether_responses_name_their_issuer() {
    let fixture = fixture();
    let mut metadata = serde_json::to_value(json!({
        "issuer": fixture.server.issuer(),
        "authorization_endpoint": fixture.server.endpoint(Endpoint::Authorize),
        "token_endpoint": fixture.server.endpoint(Endpoint::Token),
        "jwks_uri": fixture.server.endpoint(Endpoint::Jwks),
    }))
    .unwrap();
    for says in [true, false] {
        metadata["authorization_response_iss_parameter_supported"] = json!(says);
        let document = metadata.to_string();
        fixture.server.clear_faults();
        fixture
            .server
            .fault(Endpoint::OauthMetadata, Fault::body(200, "application/json", document))
            .always();
        let client = builder(&fixture.server, &fixture.clock).build().unwrap();
        let pending = client.authorize(&request()).await.unwrap();
        let callback = with_parameter(&fixture.log_in(&pending), "iss", None);
        assert_eq!(client.finish(pending, callback).await.is_ok(), !says);
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_goes_only_to_the_server_that_the_login_began_at() {
    let fixture = fixture();
    let evil = crate::support::fixture();
    // The login began at the honest server; the app finishes it with its client of the other one.
    let pending = fixture.begin().await;
    let callback = with_parameter(&fixture.log_in(&pending), "iss", None);
    let mut pending = serde_json::to_value(&pending).unwrap();
    pending["names_itself"] = json!(false);
    let pending: PendingLogin = serde_json::from_value(pending).unwrap();
    let error = evil.client.finish(pending, callback).await.unwrap_err();
    assert_eq!(error.code(), "issuer_mismatch");
    assert_eq!(evil.count(Endpoint::Token), 0);

    // The same server by name, but its token endpoint is elsewhere by now.
    let pending = fixture.begin().await;
    let callback = fixture.log_in(&pending);
    let moved = json!({
        "issuer": fixture.server.issuer(),
        "authorization_endpoint": fixture.server.endpoint(Endpoint::Authorize),
        "token_endpoint": "https://evil.test/token",
    });
    fixture
        .server
        .fault(Endpoint::OauthMetadata, Fault::body(200, "application/json", moved.to_string()))
        .always();
    let client = builder(&fixture.server, &fixture.clock).build().unwrap();
    assert_eq!(client.finish(pending, callback).await.unwrap_err().code(), "issuer_mismatch");
    assert_eq!(fixture.count(Endpoint::Token), 0);
    assert_eq!(fixture.server.journal().count(Endpoint::Elsewhere), 0);

    // Nor to another client of the same server.
    let pending = fixture.begin().await;
    let callback = fixture.log_in(&pending);
    let other = builder(&fixture.server, &fixture.clock).auth(ClientAuth::none("other")).build().unwrap();
    assert_eq!(other.finish(pending, callback).await.unwrap_err().code(), "issuer_mismatch");
    assert_eq!(fixture.count(Endpoint::Token), 0);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_parameter_sends_no_code() {
    let fixture = fixture();
    for name in ["code", "state", "iss", "error", "session_state"] {
        let pending = fixture.begin().await;
        let mut callback = fixture.log_in(&pending);
        let value = parameter(&callback, name).unwrap_or_default();
        callback.query_pairs_mut().append_pair(name, &value);
        if parameter(&callback, name).is_some_and(|value| value.is_empty()) {
            callback.query_pairs_mut().append_pair(name, "");
        }
        let error = fixture.client.finish(pending, callback).await.unwrap_err();
        assert_eq!(error.code(), "invalid_callback", "{name}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(fixture.count(Endpoint::Token), 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_typed_and_the_state_is_checked_first() {
    let fixture = fixture();
    let pending = fixture.begin().await;
    let state = parameter(pending.url(), "state").unwrap();
    let issuer = fixture.server.issuer();
    let response = format!(
        "error=access_denied&error_description=not%1b%5B31m+today&error_uri=https%3A%2F%2Fa&state={state}&iss={issuer}"
    );
    let error = fixture.client.finish(pending, &response).await.unwrap_err();
    assert_eq!(error.code(), "access_denied");
    assert_eq!(error.description(), Some("not\\u{1b}[31m today"), "what would colour a log is escaped");
    assert_eq!(error.uri(), Some("https://a"));
    assert_eq!(error.status(), None);
    assert!(!error.is_transient() && !error.is_reauthorization_required());

    let pending = fixture.begin().await;
    let error = fixture.client.finish(pending, response).await.unwrap_err();
    assert_eq!(error.code(), "state_mismatch", "an error of another login is none");

    let pending = fixture.begin().await;
    let state = parameter(pending.url(), "state").unwrap();
    for (response, code) in [
        ("error=temporarily_unavailable", "temporarily_unavailable"),
        ("error=", "invalid_callback"),
        ("error=%22%5C", "invalid_callback"),
        ("code=", "invalid_callback"),
        ("", "invalid_callback"),
    ] {
        let pending: PendingLogin = serde_json::from_value(serde_json::to_value(&pending).unwrap()).unwrap();
        let response = format!("{response}&state={state}&iss={issuer}");
        assert_eq!(fixture.client.finish(pending, &response).await.unwrap_err().code(), code, "{response}");
    }
    assert_eq!(fixture.count(Endpoint::Token), 0);
}

#[tokio::test(start_paused = true)]
async fn the_redirect_uri_is_sent_verbatim() {
    // As odd as a registered one may be: a URL library would write each of these otherwise.
    for uri in ["https://APP.test:443/Callback?a=b%2fc", "https://app.test", "https://app.test/a/../b"] {
        let fixture = fixture_with(|client| client.redirect_uri(uri));
        let request = AuthorizationRequest::new(uri).scope(["read"]);
        let pending = fixture.client.authorize(&request).await.unwrap();
        assert_eq!(parameter(pending.url(), "redirect_uri").as_deref(), Some(uri));
        let callback = fixture.server.log_in(pending.url().as_str(), "alice").unwrap();
        fixture
            .client
            .finish(pending, callback.split_once("code=").map(|(_, rest)| format!("code={rest}")).unwrap())
            .await
            .unwrap();
        assert_eq!(fixture.server.journal().of(Endpoint::Token)[0].param("redirect_uri"), Some(uri));
    }
    for uri in ["/callback", "https://app.test/#fragment", "", "app"] {
        let error = fixture().client.authorize(&AuthorizationRequest::new(uri)).await.unwrap_err();
        assert_eq!(error.problems()[0].field, "redirect_uri", "{uri}");
    }
    // An app has its one redirect URI; where a person is to go afterwards is never part of it.
    let error = fixture().client.authorize(&request().parameter("redirect_uri", "https://evil.test")).await;
    assert_eq!(error.unwrap_err().problems()[0].field, "redirect_uri");
}

/// What the checks of the response rest on is known to them, and not only sent.
#[tokio::test(start_paused = true)]
async fn what_is_checked_on_the_way_back_is_no_further_parameter() {
    let fixture = fixture();
    for (name, value) in [
        ("scope", "openid read"),
        ("max_age", "60"),
        ("resource", "https://api.test"),
        ("authorization_details", r#"[{"type":"payment"}]"#),
    ] {
        let request = AuthorizationRequest::new(CALLBACK).parameter(name, value);
        let error = fixture.client.authorize(&request).await.unwrap_err();
        let problem = error.problems()[0].to_string();
        assert!(problem.starts_with(name) && problem.contains(&format!("{name}(..)")), "{problem}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_is_sent_once_whatever_happens_to_the_response() {
    let faults = [
        Fault::lost_response(),
        Fault::reset(),
        Fault::hang(),
        Fault::status(503).retry_after_secs(1),
        Fault::status(500),
        Fault::truncated(),
        Fault::malformed_json(),
    ];
    for fault in faults {
        let fixture = fixture();
        let pending = fixture.begin().await;
        let callback = fixture.log_in(&pending);
        fixture.server.fault(Endpoint::Token, fault).always();
        fixture.client.finish(pending, callback).await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(fixture.count(Endpoint::Token), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_of_another_issuer_begins_no_login() {
    let fixture = fixture();
    let issuer = fixture.server.issuer();
    let good = |path: &str| format!("{issuer}/{path}");
    for document in [
        json!({"issuer": "https://evil.test", "authorization_endpoint": good("a"), "token_endpoint": good("t")}),
        json!({"issuer": issuer, "authorization_endpoint": "http://evil.test/a", "token_endpoint": good("t")}),
        json!({"issuer": issuer, "authorization_endpoint": "javascript:alert(1)", "token_endpoint": good("t")}),
    ] {
        fixture.server.clear_faults();
        for place in [Endpoint::OauthMetadata, Endpoint::OpenidMetadata] {
            let fault = Fault::body(200, "application/json", document.to_string());
            fixture.server.fault(place, fault).always();
        }
        let client = builder(&fixture.server, &fixture.clock).build().unwrap();
        assert_eq!(client.authorize(&request()).await.unwrap_err().code(), "discovery", "{document}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_logins_secrets_are_never_printed() {
    let fixture = fixture();
    let pending = fixture.begin().await;
    let stored: Value = serde_json::to_value(&pending).unwrap();
    let shown = format!("{pending:?} {pending:#?}");
    for name in ["state", "verifier", "nonce"] {
        assert!(!shown.contains(stored[name].as_str().unwrap()), "{name}: {shown}");
    }
    let callback = fixture.log_in(&pending);
    let code = parameter(&callback, "code").unwrap();
    fixture
        .server
        .fault(
            Endpoint::Token,
            Fault::body(
                400,
                "application/json",
                format!(
                    r#"{{"error":"invalid_grant","error_description":"no such code {code}, verifier {}"}}"#,
                    stored["verifier"].as_str().unwrap()
                ),
            ),
        )
        .always();
    let error = fixture.client.finish(pending, callback).await.unwrap_err();
    let shown = format!("{error} {error:?} {}", error.description().unwrap());
    assert!(!shown.contains(&code) && !shown.contains(stored["verifier"].as_str().unwrap()), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_reaches_the_server() {
    let fixture = fixture();
    let request = request()
        .audience("orders-api")
        .resource(["urn:a", "urn:b"])
        .prompt("login consent")
        .login_hint("alice@example.com")
        .max_age(Duration::from_secs(60))
        .acr_values(["gold", "silver"])
        .ui_locales(["de", "en"])
        .authorization_details(json!([{"type": "payment", "amount": 5}]))
        .unwrap()
        .parameter("response_mode", "query")
        .parameter("tenant", "x&y=z");
    let pending = fixture.client.authorize(&request).await.unwrap();
    let url = pending.url();
    for (name, value) in [
        ("client_id", "web"),
        ("scope", "openid read"),
        ("audience", "orders-api"),
        ("prompt", "login consent"),
        ("login_hint", "alice@example.com"),
        ("max_age", "60"),
        ("acr_values", "gold silver"),
        ("ui_locales", "de en"),
        ("authorization_details", r#"[{"amount":5,"type":"payment"}]"#),
        ("response_mode", "query"),
        ("tenant", "x&y=z"),
    ] {
        assert_eq!(parameter(url, name).as_deref(), Some(value), "{name}");
    }
    let resources: Vec<_> = url.query_pairs().filter(|(name, _)| name == "resource").collect();
    assert_eq!(resources.len(), 2);
    assert_eq!(parameter(url, "grant_type"), None);
    for ours in ["state", "nonce", "code_challenge", "client_id", "response_type", "request_uri"] {
        let error = fixture.client.authorize(&request.clone().parameter(ours, "mine")).await.unwrap_err();
        assert_eq!(error.problems()[0].field, ours);
    }
}

#[tokio::test(start_paused = true)]
async fn resources_are_named_with_the_code_too() {
    let server = MockServer::builder()
        .client(web_client())
        .user(oauth_mock::User::new("alice", "wonderland"))
        .audience("urn:a")
        .in_process();
    let clock = TestClock::new();
    let client = builder(&server, &clock).build().unwrap();
    let request = AuthorizationRequest::new(CALLBACK).scope(["read"]).resource(["urn:a"]);
    let pending = client.authorize(&request).await.unwrap();
    let callback = server.log_in(pending.url().as_str(), "alice").unwrap();
    client.finish(pending, callback).await.unwrap();
    assert_eq!(server.journal().of(Endpoint::Token)[0].param("resource"), Some("urn:a"));
}

#[tokio::test(start_paused = true)]
async fn endpoints_by_hand_do_without_metadata_and_keep_their_query() {
    let fixture = fixture();
    let client = Client::builder()
        .token_endpoint(fixture.server.endpoint(Endpoint::Token))
        .endpoint(
            ClientEndpoint::Authorization,
            format!("{}?tenant=a", fixture.server.endpoint(Endpoint::Authorize)),
        )
        .auth(ClientAuth::basic("web", "s3cr3t"))
        .http(HttpClient::from_service(fixture.server.transport()))
        .build()
        .unwrap();
    let request = AuthorizationRequest::new(CALLBACK).scope(["read"]);
    let pending = client.authorize(&request).await.unwrap();
    assert_eq!(parameter(pending.url(), "tenant").as_deref(), Some("a"));
    let callback = fixture.log_in(&pending);
    let login = client.finish(pending, callback).await.unwrap();
    assert!(login.id_token().is_none());
    let error = client.authorize(&request.scope(["openid"])).await.unwrap_err();
    assert_eq!(error.problems()[0].field, "issuer", "there is nothing to check an ID token against");
}

#[tokio::test(start_paused = true)]
async fn browsers_are_not_sent_where_the_client_shows_its_certificate() {
    let document = r#"{"issuer":"https://as.test","authorization_endpoint":"https://as.test/authorize",
        "token_endpoint":"https://as.test/token","end_session_endpoint":"https://as.test/logout",
        "mtls_endpoint_aliases":{"authorization_endpoint":"https://mtls.as.test/authorize",
        "token_endpoint":"https://mtls.as.test/token","end_session_endpoint":"https://mtls.as.test/logout"}}"#;
    let metadata = serde_json::from_str(document).unwrap();
    let client = Client::builder().metadata(metadata).mutual_tls().auth(ClientAuth::none("web"));
    let client = client.build().unwrap();
    // RFC 8705 section 5: the aliases of endpoints that the client itself does not call mean nothing.
    let pending = client.authorize(&AuthorizationRequest::new(CALLBACK).scope(["read"])).await.unwrap();
    assert_eq!(pending.url().host_str(), Some("as.test"));
    let logout = client.logout_url(&LogoutRequest::new()).await.unwrap();
    assert_eq!(logout.host_str(), Some("as.test"));
}

#[tokio::test(start_paused = true)]
async fn the_response_may_come_as_a_url_a_query_or_a_form() {
    let fixture = fixture();
    let forms: [fn(&str) -> String; 5] = [
        |url| format!("odd=a?b://c&{}", url.split_once('?').unwrap().1),
        str::to_owned,
        |url| url.split_once('?').unwrap().1.to_owned(),
        |url| format!("?{}", url.split_once('?').unwrap().1),
        |url| format!("/callback?{}#ignored", url.split_once('?').unwrap().1),
    ];
    for form in forms {
        let pending = fixture.begin().await;
        let callback = form(fixture.log_in(&pending).as_str());
        fixture.client.finish(pending, callback).await.unwrap();
    }
    for nothing in ["https://app.test/callback", "/callback", "", "#", "?"] {
        let error = fixture.client.finish(fixture.begin().await, nothing).await.unwrap_err();
        assert_eq!(error.code(), "state_mismatch", "{nothing}");
    }
    let long = format!("state={}", "x".repeat(1 << 20));
    assert_eq!(
        fixture.client.finish(fixture.begin().await, long).await.unwrap_err().code(),
        "invalid_callback"
    );
}

#[tokio::test(start_paused = true)]
async fn a_logout_url_names_the_client_and_what_is_given() {
    let fixture = fixture();
    let client = builder(&fixture.server, &fixture.clock)
        .endpoint(ClientEndpoint::EndSession, "https://as.test/logout?a=b")
        .build()
        .unwrap();
    let request = LogoutRequest::new()
        .id_token_hint("an.id.token")
        .post_logout_redirect_uri("https://app.test/bye")
        .state("s&t");
    assert!(!format!("{request:?}").contains("an.id.token"));
    let url = client.logout_url(&request).await.unwrap();
    assert_eq!(
        url.as_str(),
        "https://as.test/logout?a=b&client_id=web&id_token_hint=an.id.token&post_logout_redirect_uri=https%3A%2F%2Fapp.test%2Fbye&state=s%26t"
    );
}

#[tokio::test(start_paused = true)]
async fn two_hundred_logins_at_once_do_not_meet() {
    let fixture = Arc::new(fixture());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let fixture = Arc::clone(&fixture);
        tasks.spawn(async move {
            let user = if n % 2 == 0 { "alice" } else { "bob" };
            let pending = fixture.begin().await;
            let callback = fixture.server.log_in(pending.url().as_str(), user).unwrap();
            let login = fixture.client.finish(pending, callback).await.unwrap();
            assert_eq!(login.id_token().unwrap().subject(), user);
        });
    }
    tasks.join_all().await;
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), 1, "the keys were asked for once");
}

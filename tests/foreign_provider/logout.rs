//! Its back-channel logout, against the endpoint of the guard and the route of the client.

use axum::Router;
use oauth_client::login::{AuthorizationRequest, BackchannelLogout};
use oauth_client::store::MemoryStore;
use oauth_client::{Client, ClientAuth, grant};
use oauth_guard::revocation::RevocationSettings;
use oauth_guard::{Guard, Issuer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::provider::Provider;

const CALLBACK: &str = "http://127.0.0.1:8080/callback";
const GOODBYE: &str = "http://127.0.0.1:8080/goodbye";

fn client(uri: &str) -> Value {
    json!({
        "client_id": "shop", "client_secret": "s3cr3t-shop",
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "redirect_uris": [CALLBACK], "application_type": "native", "post_logout_redirect_uris": [GOODBYE],
        "backchannel_logout_uri": uri, "backchannel_logout_session_required": true,
    })
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/backchannel-logout", listener.local_addr().unwrap());
    (listener, uri)
}

fn serve(listener: TcpListener, app: Router) {
    tokio::spawn(async move { axum::serve(listener, app).await });
}

#[tokio::test]
#[ignore = "needs npm packages; see tests/README.md"]
async fn its_logout_token_ends_the_access_tokens_at_the_guard() {
    let (listener, uri) = listen().await;
    let Some(server) = Provider::start(&json!({ "clients": [client(&uri)] })).await else { return };
    let revocation = RevocationSettings::new().backchannel_logout("/backchannel-logout").client_id("shop");
    let issuer = Issuer::new(&server.issuer).audience("orders-api");
    let guard = Guard::builder().issuer(issuer).revocation(revocation).build().unwrap();
    serve(listener, guard.revocation_routes());
    let form = [("resource", "https://jwt.example.com"), ("scope", "read")];
    let token = server.token(&form).await;
    let check = async || {
        let request =
            http::Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap();
        guard.check(&request).resolve().await.map(|claims| claims.unwrap().subject().map(str::to_owned))
    };
    let subject = check().await.unwrap().unwrap();
    // About others: taken, and without an effect on this token.
    server.control("logout", &json!({ "client_id": "shop", "sub": "somebody", "sid": "s1" })).await;
    assert_eq!(guard.health().revocations.entries, 2);
    assert!(check().await.is_ok());
    server.control("logout", &json!({ "client_id": "shop", "sub": subject, "sid": "s2" })).await;
    assert_eq!(check().await.unwrap_err().reason(), "revoked");
}

#[tokio::test]
#[ignore = "needs npm packages; see tests/README.md"]
async fn its_logout_token_logs_the_source_of_that_session_out() {
    let (listener, uri) = listen().await;
    let Some(server) = Provider::start(&json!({ "clients": [client(&uri)] })).await else { return };
    let auth = ClientAuth::basic("shop", "s3cr3t-shop");
    let shop = Client::builder().issuer(&server.issuer).auth(auth).build().unwrap();
    let logout = BackchannelLogout::new(shop.clone());
    serve(listener, Router::new().route_service("/backchannel-logout", logout.clone()));

    let pending = shop.authorize(&AuthorizationRequest::new(CALLBACK).scope(["openid"])).await.unwrap();
    let callback = browse(pending.url().as_str()).await;
    let login = shop.finish(pending, callback).await.unwrap();
    let id_token = login.id_token().unwrap();
    let sid = id_token.claims().get("sid").and_then(Value::as_str).map(str::to_owned);
    let source = shop.source(grant::login().scope(["openid"])).starting_with(login.clone()).build().unwrap();
    let _registered = logout.register(&login, &source).unwrap();
    assert!(source.token().await.is_ok());
    server.control("logout", &json!({ "client_id": "shop", "sub": "nobody", "sid": "another" })).await;
    assert!(source.token().await.is_ok());
    server.control("logout", &json!({ "client_id": "shop", "sub": id_token.subject(), "sid": sid })).await;
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
}

#[tokio::test]
#[ignore = "needs npm packages; see tests/README.md"]
async fn it_takes_the_logout_of_a_login_that_only_the_store_still_knows() {
    let (_listener, uri) = listen().await;
    let Some(server) = Provider::start(&json!({ "clients": [client(&uri)] })).await else { return };
    let auth = ClientAuth::basic("shop", "s3cr3t-shop");
    let shop = Client::builder().issuer(&server.issuer).auth(auth).build().unwrap();
    let store = MemoryStore::new();
    let source = || {
        shop.source(grant::login().scope(["openid"]).subject("alice")).store(store.clone()).build().unwrap()
    };

    let pending = shop.authorize(&AuthorizationRequest::new(CALLBACK).scope(["openid"])).await.unwrap();
    let callback = browse(pending.url().as_str()).await;
    source().log_in(shop.finish(pending, callback).await.unwrap()).await.unwrap();

    let logout = source().revoke().await.unwrap().post_logout_redirect_uri(GOODBYE).state("s1");
    assert!(source().token().await.unwrap_err().is_reauthorization_required());
    let url = shop.logout_url(&logout).await.unwrap();
    let status = async |url: &str| reqwest::get(url).await.unwrap().status().as_u16();
    assert_eq!(status(url.as_str()).await, 200, "it asks the user whose session ends");
    // A tampered hint is refused, so it has read ours.
    let (start, end) = url.as_str().split_once("id_token_hint=").unwrap();
    assert_eq!(status(&format!("{start}id_token_hint=x{end}")).await, 400);
}

/// Follows redirects, with cookies, until one leads to the app.
async fn browse(url: &str) -> String {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut url: url::Url = url.parse().unwrap();
    let mut cookies: Vec<(String, String)> = Vec::new();
    for _ in 0..10 {
        let header: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = http.get(url.clone()).header("cookie", header.join("; ")).send().await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').unwrap();
            cookies.retain(|(known, _)| known != name);
            cookies.push((name.to_owned(), value.to_owned()));
        }
        let location = response.headers().get("location").expect("a redirect").to_str().unwrap();
        url = url.join(location).unwrap();
        if url.as_str().starts_with(CALLBACK) {
            return url.to_string();
        }
    }
    String::new()
}

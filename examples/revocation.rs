//! Run with `cargo run --example revocation`. Tokens that end before their time: an API that hears of logouts and of disabled
//! accounts, and a stream that is closed when its token is revoked. The authorization server is a mock in this process.

use axum::Router;
use axum::routing::get;
use oauth_guard::revocation::{Revocation, RevocationSettings};
use oauth_guard::{Claims, Guard, Issuer};
use oauth_mock::MockServer;
use oauth_mock::statements::SecurityEvent;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let auth = MockServer::builder().audience("orders-api").start().await;
    // In guard.toml: [revocation] with backchannel_logout, security_events and client_ids.
    let revocation = RevocationSettings::new()
        .backchannel_logout("/backchannel-logout")
        .security_events("/security-events")
        .client_id("shop");
    let guard = Guard::builder()
        .issuer(Issuer::new(auth.issuer()).audience("orders-api"))
        .revocation(revocation)
        .build()?;
    let app = Router::new()
        .route("/orders", get(orders))
        .layer(guard.layer())
        // Outside of the guard: what comes there is signed by the authorization server.
        .merge(guard.revocation_routes());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let call = async |token: &str| {
        let request = reqwest::Client::new().get(format!("{url}/orders")).bearer_auth(token);
        request.send().await.map(|response| response.status().as_u16())
    };

    // A user logs out: the session ends, and another one of the same user goes on.
    let of_session = |sid: &str| auth.mint().subject("ada").claim("sid", sid).build();
    let (phone, laptop) = (of_session("phone"), of_session("laptop"));
    println!("before the logout: {} {}", call(&phone).await?, call(&laptop).await?);
    let logout = auth.logout_token("shop", "ada").claim("sid", "phone").build();
    let response = auth.send_logout_token(&format!("{url}/backchannel-logout"), &logout).await?;
    println!("the logout token: {}", response.status);
    let after = (call(&phone).await?, call(&laptop).await?);
    println!("after the logout: {} {}", after.0, after.1);
    assert_eq!((response.status, after), (200, (401, 200)));

    // An account is disabled: all its tokens end.
    let event = auth.security_event("shop", SecurityEvent::AccountDisabled, "ada").build();
    let response = auth.push_event(&format!("{url}/security-events"), &event).await?;
    println!("the event: {}, then {}", response.status, call(&laptop).await?);
    assert_eq!(call(&laptop).await?, 401);

    // Bad ones change nothing.
    let forged =
        auth.security_event("shop", SecurityEvent::AccountDisabled, "bob").audience("another-api").build();
    let response = auth.push_event(&format!("{url}/security-events"), &forged).await?;
    println!("an event for others: {} {}", response.status, response.body);
    assert_eq!(response.status, 400);

    // From code, and a stream that ends with its token.
    let request = http::Request::get("/")
        .header("authorization", format!("Bearer {}", auth.mint().subject("bob").build()));
    let claims = guard.check(&request.body(())?).resolve().await?.ok_or("no token")?;
    let stream = tokio::spawn({
        let ended = guard.watch(&claims);
        async move { println!("the stream of bob is closed: {:?}", ended.await) }
    });
    let now = claims.issued_at().unwrap_or_default();
    guard.revocations().revoke(Revocation::subject(auth.issuer(), "bob", now)).await?;
    stream.await?;
    assert!(claims.is_revoked());
    println!("{}", serde_json::to_string_pretty(&guard.health().revocations)?);
    Ok(())
}

async fn orders(claims: Claims) -> String {
    format!("orders of {}", claims.subject().unwrap_or("a client"))
}

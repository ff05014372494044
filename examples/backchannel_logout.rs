//! Run with `cargo run --example backchannel_logout`. A web app whose users log in at an authorization server, and whose
//! logins end when the server says that a user logged out (OpenID Connect Back-Channel Logout). The server is a mock in this
//! process; the app's route for logout tokens is real.

use axum::Router;
use oauth_client::login::{AuthorizationRequest, BackchannelLogout};
use oauth_client::source::Event;
use oauth_client::{Client, ClientAuth, grant};
use oauth_mock::{GrantType, MockClient, MockServer, User};

const CALLBACK: &str = "http://127.0.0.1/callback";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let logout_uri = format!("http://{}/backchannel-logout", listener.local_addr()?);
    let shop = MockClient::new("shop")
        .secret("s3cr3t")
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken])
        .scopes(["openid", "read"])
        .redirect_uri(CALLBACK)
        .backchannel_logout_uri(&logout_uri);
    let auth = MockServer::builder().client(shop).user(User::new("ada", "l0velace")).start().await;

    let client = Client::builder().issuer(auth.issuer()).auth(ClientAuth::basic("shop", "s3cr3t")).build()?;
    let logout = BackchannelLogout::new(client.clone())
        .on_logout(|token| println!("the app drops its session of {:?}", token.session()));
    let app: Router = Router::new().route_service("/backchannel-logout", logout.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });

    // The user logs in; the browser is played by the mock.
    let pending = client.authorize(&AuthorizationRequest::new(CALLBACK).scope(["openid", "read"])).await?;
    let callback = auth.log_in(pending.url().as_str(), "ada")?;
    let login = client.finish(pending, callback).await?;
    let sid =
        login.id_token().and_then(|token| token.claims()["sid"].as_str()).ok_or("no session")?.to_owned();
    let source = client
        .source(grant::login().scope(["openid", "read"]))
        .starting_with(login.clone())
        .on_event(|event| {
            if matches!(event, Event::LoggedOut) {
                println!("the tokens are gone");
            }
        })
        .build()?;
    let registration = logout.register(&login, &source); // lives as long as the app's session
    println!("logged in, with a token: {}", source.token().await.is_ok());

    // The user logs out at the server, perhaps from another app.
    for (client, outcome) in auth.end_session(&sid).await {
        println!("logout token to {client}: {}", outcome?.status);
    }
    let error = source.token().await.err().ok_or("still logged in")?;
    println!("the user has to log in again: {}", error.is_reauthorization_required());
    assert!(error.is_reauthorization_required());
    drop(registration);
    Ok(())
}

use std::error::Error;
use std::time::{Duration, Instant};

use oauth2::basic::BasicClient;
use oauth2::{ClientId, ClientSecret, Scope, TokenResponse, TokenUrl};
use tokio::sync::Mutex;

#[derive(Default)]
pub struct Tokens(Mutex<Option<(String, Instant)>>);

impl Tokens {
    pub async fn token(&self) -> Result<String, Box<dyn Error>> {
        // One lock for all callers, held over the network; an error reaches each of them in turn.
        let mut kept = self.0.lock().await;
        if let Some((token, end)) = &*kept
            && Instant::now() < *end
        {
            return Ok(token.clone());
        }
        let client = BasicClient::new(ClientId::new("orders-service".into()))
            .set_client_secret(ClientSecret::new(std::env::var("CLIENT_SECRET")?))
            .set_token_uri(TokenUrl::new("https://auth.example.com/token".into())?);
        let http = oauth2::reqwest::Client::builder()
            .redirect(oauth2::reqwest::redirect::Policy::none())
            .build()?;
        let response = client
            .exchange_client_credentials()
            .add_scope(Scope::new("read".into()))
            .request_async(&http)
            .await?;
        let token = response.access_token().secret().clone();
        let lifetime = response.expires_in().unwrap_or(Duration::from_secs(60));
        *kept = Some((token.clone(), Instant::now() + lifetime.saturating_sub(Duration::from_secs(30))));
        Ok(token)
    }
}

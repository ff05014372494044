use std::error::Error;

use oauth2::basic::BasicClient;
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, TokenResponse, TokenUrl,
};

/// What the session has to keep until the browser comes back.
pub struct Pending {
    pub state: CsrfToken,
    pub verifier: PkceCodeVerifier,
}

pub fn begin() -> Result<(String, Pending), Box<dyn Error>> {
    let client = BasicClient::new(ClientId::new("web".into()))
        .set_auth_uri(AuthUrl::new("https://auth.example.com/authorize".into())?)
        .set_redirect_uri(RedirectUrl::new("https://app.example.com/callback".into())?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state) = client
        .authorize_url(CsrfToken::new_random)
        .add_scope(Scope::new("orders:read".into()))
        .set_pkce_challenge(challenge)
        .url();
    Ok((url.into(), Pending { state, verifier }))
}

pub async fn finish(pending: Pending, code: String, state: &str) -> Result<String, Box<dyn Error>> {
    if state != pending.state.secret() {
        return Err("the state is another one".into());
    }
    let client = BasicClient::new(ClientId::new("web".into()))
        .set_client_secret(ClientSecret::new(std::env::var("CLIENT_SECRET")?))
        .set_token_uri(TokenUrl::new("https://auth.example.com/token".into())?)
        .set_redirect_uri(RedirectUrl::new("https://app.example.com/callback".into())?);
    let http = oauth2::reqwest::Client::builder()
        .redirect(oauth2::reqwest::redirect::Policy::none())
        .build()?;
    let tokens = client
        .exchange_code(AuthorizationCode::new(code))
        .set_pkce_verifier(pending.verifier)
        .request_async(&http)
        .await?;
    Ok(tokens.access_token().secret().clone())
}

use std::error::Error;

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, Nonce, PkceCodeChallenge, RedirectUrl,
    Scope, TokenResponse,
};

/// `visit` sends the browser to the URL, and returns `code` and `state` of the URL that it came back with.
pub async fn subject(visit: impl AsyncFn(String) -> (String, String)) -> Result<String, Box<dyn Error>> {
    let http = openidconnect::reqwest::Client::builder()
        .redirect(openidconnect::reqwest::redirect::Policy::none())
        .build()?;
    let issuer = IssuerUrl::new("https://auth.example.com".into())?;
    let metadata = CoreProviderMetadata::discover_async(issuer, &http).await?;
    let secret = ClientSecret::new(std::env::var("CLIENT_SECRET")?);
    let client = CoreClient::from_provider_metadata(metadata, ClientId::new("web".into()), Some(secret))
        .set_redirect_uri(RedirectUrl::new("https://app.example.com/callback".into())?);

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
        .add_scope(Scope::new("email".into()))
        .set_pkce_challenge(challenge)
        .url();
    let (code, returned) = visit(url.into()).await;
    if returned != *state.secret() {
        return Err("the state is another one".into());
    }
    let tokens = client
        .exchange_code(AuthorizationCode::new(code))?
        .set_pkce_verifier(verifier)
        .request_async(&http)
        .await?;
    let id_token = tokens.id_token().ok_or("no ID token")?;
    let claims = id_token.claims(&client.id_token_verifier(), &nonce)?;
    Ok(claims.subject().to_string())
}

use std::error::Error;

use yup_oauth2::{InstalledFlowAuthenticator, InstalledFlowReturnMethod};

pub async fn token() -> Result<String, Box<dyn Error>> {
    let secret = yup_oauth2::read_application_secret("client_secret.json").await?;
    let authenticator = InstalledFlowAuthenticator::builder(secret, InstalledFlowReturnMethod::HTTPRedirect)
        .persist_tokens_to_disk("tokens.json")
        .build()
        .await?;
    let token = authenticator.token(&["https://www.googleapis.com/auth/drive.file"]).await?;
    Ok(token.token().ok_or("no access token")?.to_owned())
}

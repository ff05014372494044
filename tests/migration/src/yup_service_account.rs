use std::error::Error;

use yup_oauth2::ServiceAccountAuthenticator;

pub async fn token() -> Result<String, Box<dyn Error>> {
    let key = yup_oauth2::read_service_account_key("service-account.json").await?;
    let authenticator = ServiceAccountAuthenticator::builder(key).build().await?;
    let token = authenticator.token(&["https://www.googleapis.com/auth/cloud-platform"]).await?;
    Ok(token.token().ok_or("no access token")?.to_owned())
}

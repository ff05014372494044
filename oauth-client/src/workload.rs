//! Identities that platforms give to workloads, found by the environment variables that the platforms set.
//!
//! They stand for a client's secret ([`ClientAuth::assertion`](crate::ClientAuth::assertion), RFC 7523 section 2.2), for the
//! [assertion](crate::grant::jwt_bearer) of a grant, or for the [subject](crate::grant::token_exchange) of a token exchange.
//! Each is read for every request, since platforms replace them.
//!
//! | platform | what it sets | you write |
//! |---|---|---|
//! | Kubernetes | a projected token at a path of your choice | [`projected_token`]`("/var/run/secrets/tokens/auth")` |
//! | SPIFFE | a JWT-SVID at a path of your choice (spiffe-helper) | [`projected_token`]`("/run/spiffe/jwt_svid.token")` |
//! | any | a variable that names a file, such as `AWS_WEB_IDENTITY_TOKEN_FILE` | [`file_named_by`]`("AWS_WEB_IDENTITY_TOKEN_FILE")` |
//! | GitHub Actions | `ACTIONS_ID_TOKEN_REQUEST_URL` and `…_TOKEN` | [`github_actions`]`(&http, "https://auth.example.com")` |
//! | Entra workload identity | `AZURE_CLIENT_ID`, `AZURE_TENANT_ID`, `AZURE_FEDERATED_TOKEN_FILE` | [`entra`]`()` |
//!
//! ```
//! use oauth_client::{Client, ClientAuth, workload};
//!
//! # fn main() -> Result<(), oauth_client::Error> {
//! let token = workload::projected_token("/var/run/secrets/tokens/auth");
//! let client = Client::builder().issuer("https://auth.example.com").auth(ClientAuth::assertion("orders", token)).build()?;
//! # Ok(()) }
//! ```

use std::path::Path;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request};
use serde_json::Value;
use url::Url;

use crate::authenticate::ClientAuth;
use crate::client::{Client, ClientBuilder};
use crate::error::Error;
use crate::json;
use crate::secret::{self, SecretSource};
use crate::token::Secret;
use crate::transport::{ACCEPT_JSON, HttpClient, Limits, to_uri};

/// Where Entra is when nothing else is said.
const ENTRA: &str = "https://login.microsoftonline.com/";

/// A token that the platform writes to a file and replaces there, by another file or by a symbolic link that points
/// elsewhere: a projected service account token of Kubernetes, a JWT-SVID of SPIFFE.
pub fn projected_token(path: impl AsRef<Path>) -> SecretSource {
    secret::from_file(path)
}

/// The same, at the path that this environment variable names.
///
/// # Errors
/// `config`, naming the variable, when it is not set.
pub fn file_named_by(variable: &str) -> Result<SecretSource, Error> {
    Ok(projected_token(set(&process, variable)?))
}

/// The identity token of a job of GitHub Actions, for this audience: requested from the runner each time it is needed. The
/// job needs the permission `id-token: write`.
///
/// ```no_run
/// use oauth_client::transport::HttpClient;
/// use oauth_client::{ClientAuth, workload};
///
/// # fn run(http: HttpClient) -> Result<(), oauth_client::Error> {
/// let token = workload::github_actions(&http, "https://auth.example.com")?;
/// let auth = ClientAuth::assertion("deployer", token);
/// # Ok(()) }
/// ```
///
/// # Errors
/// `config`, naming the variable, outside such a job.
pub fn github_actions(http: &HttpClient, audience: &str) -> Result<SecretSource, Error> {
    github_actions_by(&process, http, audience)
}

/// A client of Microsoft Entra with the workload identity that the environment describes: `AZURE_CLIENT_ID`,
/// `AZURE_TENANT_ID`, `AZURE_FEDERATED_TOKEN_FILE` and, for other clouds, `AZURE_AUTHORITY_HOST`.
///
/// # Errors
/// `config`, naming the variable that is not set.
pub fn entra() -> Result<ClientBuilder, Error> {
    entra_by(&process)
}

fn github_actions_by(
    variable: &dyn Fn(&str) -> Option<String>,
    http: &HttpClient,
    audience: &str,
) -> Result<SecretSource, Error> {
    const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
    let (url, token) = (set(variable, URL)?, Secret::new(set(variable, "ACTIONS_ID_TOKEN_REQUEST_TOKEN")?));
    let mut url =
        Url::parse(&url).map_err(|_| Error::config(URL, "is no URL; leave it as the runner sets it"))?;
    url.query_pairs_mut().append_pair("audience", audience);
    let http = http.clone();
    Ok(secret::from_fn(move || {
        let (http, url, token) = (http.clone(), url.clone(), token.clone());
        async move { identity_token(&http, &url, &token).await }
    }))
}

async fn identity_token(http: &HttpClient, url: &Url, token: &Secret) -> Result<Secret, Error> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = to_uri(url)?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
        Error::config("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "has characters that a header cannot carry")
    })?;
    bearer.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, bearer);
    request.headers_mut().insert(ACCEPT, ACCEPT_JSON);
    let response = http.send(request, &Limits::token()).await?;
    if !response.status().is_success() {
        let status = response.status().as_u16();
        return Err(Error::malformed(format!(
            "the runner gave no identity token (HTTP {status}); check that the job has the permission id-token: write"
        )));
    }
    match json::object(response.body()).ok().and_then(|mut body| body.remove("value")) {
        Some(Value::String(token)) if !token.is_empty() => Ok(Secret::new(token)),
        _ => Err(Error::malformed("value: expected the runner's identity token")),
    }
}

fn entra_by(variable: &dyn Fn(&str) -> Option<String>) -> Result<ClientBuilder, Error> {
    let (client_id, tenant) = (set(variable, "AZURE_CLIENT_ID")?, set(variable, "AZURE_TENANT_ID")?);
    let token = projected_token(set(variable, "AZURE_FEDERATED_TOKEN_FILE")?);
    let authority = variable("AZURE_AUTHORITY_HOST").filter(|host| !host.is_empty());
    let authority = authority.as_deref().unwrap_or(ENTRA).trim_end_matches('/');
    let issuer = format!("{authority}/{tenant}/v2.0");
    Ok(Client::builder().issuer(issuer).auth(ClientAuth::assertion(client_id, token)))
}

fn process(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

fn set(variable: &dyn Fn(&str) -> Option<String>, name: &str) -> Result<String, Error> {
    let found = variable(name).filter(|value| !value.is_empty());
    found.ok_or_else(|| {
        Error::config(name, "is not set; the platform sets it where this workload has an identity")
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use http::Response;
    use http_body_util::Full;

    use super::*;
    use crate::clock::Now;
    use crate::transport::RequestBody;

    const NOW: Now = Now { wall: Duration::ZERO, monotonic: Duration::ZERO };

    #[tokio::test]
    async fn the_runner_is_asked_for_each_token() {
        let http = HttpClient::from_service(tower::service_fn(|request: Request<RequestBody>| async move {
            assert_eq!(
                request.uri(),
                "https://runner.test/token?api-version=2&audience=https%3A%2F%2Fauth.test"
            );
            assert_eq!(request.headers()[AUTHORIZATION], "Bearer rt");
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(r#"{"value":"a.b.c","count":1}"#))))
        }));
        let variables = |name: &str| match name {
            "ACTIONS_ID_TOKEN_REQUEST_URL" => Some("https://runner.test/token?api-version=2".to_owned()),
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN" => Some("rt".to_owned()),
            _ => None,
        };
        let source = github_actions_by(&variables, &http, "https://auth.test").unwrap();
        assert_eq!(source.get("client_assertion", NOW).await.unwrap().expose(), "a.b.c");
        let error = github_actions_by(&|_| None, &http, "x").unwrap_err();
        assert_eq!(error.problems()[0].field, "ACTIONS_ID_TOKEN_REQUEST_URL");
    }

    #[test]
    fn entra_is_found_by_its_variables() {
        let variables = |host: Option<&'static str>| {
            move |name: &str| match name {
                "AZURE_CLIENT_ID" => Some("app".to_owned()),
                "AZURE_TENANT_ID" => Some("t1".to_owned()),
                "AZURE_FEDERATED_TOKEN_FILE" => Some("/run/token".to_owned()),
                "AZURE_AUTHORITY_HOST" => host.map(str::to_owned),
                _ => None,
            }
        };
        let shown = |host| format!("{:?}", entra_by(&variables(host)).unwrap());
        assert!(shown(None).contains("https://login.microsoftonline.com/t1/v2.0"));
        assert!(
            shown(Some("https://login.microsoftonline.us/"))
                .contains("https://login.microsoftonline.us/t1/v2.0")
        );
        let error = entra_by(&|_| None).unwrap_err();
        assert_eq!(error.problems()[0].field, "AZURE_CLIENT_ID");
    }
}

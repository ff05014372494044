//! Clients whose identifier is the URL of their metadata (OAuth Client ID Metadata Document).
//!
//! This server fetches nothing, so that a test needs no second server and no certificate: it is told beforehand what
//! there is at which URL.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::clients::registration::{Requested, bad};
use crate::clients::{AuthMethod, MockClient};
use crate::wire::response::OAuthError;

/// What there is at which URL.
#[derive(Clone, Default)]
pub(crate) struct ClientDocuments(Vec<(String, Value)>);

impl ClientDocuments {
    pub(crate) fn put(&mut self, url: String, document: Value) {
        self.0.retain(|(known, _)| *known != url);
        self.0.push((url, document));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The client at this URL; `None` where nothing is.
    pub(crate) fn client(
        &self,
        url: &str,
        with_certificates: bool,
    ) -> Option<Result<MockClient, OAuthError>> {
        let (_, document) = self.0.iter().find(|(known, _)| known == url)?;
        Some(read(url, document, with_certificates))
    }
}

/// Reads the document as the draft asks: it names its own URL, and holds no secret, since everyone can read it.
fn read(url: &str, document: &Value, with_certificates: bool) -> Result<MockClient, OAuthError> {
    check_url(url)?;
    let document =
        document.as_object().ok_or_else(|| bad("client_id", "there is no JSON object at this URL"))?;
    if document.get("client_id").and_then(Value::as_str) != Some(url) {
        return Err(bad("client_id", "the document must name the URL that it is at, to the letter"));
    }
    for secret in ["client_secret", "client_secret_expires_at"] {
        if document.contains_key(secret) {
            return Err(bad(secret, "must not be in a document that everyone can read"));
        }
    }
    let mut members: Map<String, Value> = document.clone();
    members.entry("token_endpoint_auth_method").or_insert_with(|| json!(AuthMethod::None.as_str()));
    let offered: Vec<_> = AuthMethod::ALL
        .into_iter()
        .filter(|method| match method {
            AuthMethod::None | AuthMethod::PrivateKeyJwt => true,
            other => other.is_tls() && with_certificates,
        })
        .collect();
    Requested::read(&members, &offered).map(|requested| requested.client(url, None).0)
}

fn check_url(url: &str) -> Result<(), OAuthError> {
    let rest = url.strip_prefix("https://").unwrap_or_default();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let dots = path.split('/').any(|part| matches!(part, "." | ".."));
    if host.is_empty() || host.contains('@') || path.len() < 2 || path.contains('#') || dots {
        let why = "must be an https URL with a path, without user name, dot segments and fragment";
        return Err(bad("client_id", why));
    }
    Ok(())
}

impl fmt::Debug for ClientDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(url, _)| url)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://app.example/client.json";

    fn document() -> Value {
        json!({ "client_id": URL, "redirect_uris": ["http://127.0.0.1/callback"], "scope": "read" })
    }

    fn error(url: &str, document: &Value) -> String {
        read(url, document, false).unwrap_err().description().to_owned()
    }

    #[test]
    fn a_document_makes_a_public_client_unless_it_has_keys() {
        let client = read(URL, &document(), false).unwrap();
        assert!(client.is_public() && client.id == URL);
        assert_eq!(
            (client.scopes, client.redirect_uris),
            (vec!["read".to_owned()], vec!["http://127.0.0.1/callback".to_owned()])
        );
        let mut certified = document();
        certified["token_endpoint_auth_method"] = json!("tls_client_auth");
        certified["tls_client_auth_subject_dn"] = json!("CN=app");
        assert!(read(URL, &certified, true).is_ok());
        assert!(error(URL, &certified).starts_with("token_endpoint_auth_method: "));
    }

    #[test]
    fn a_document_that_is_not_about_its_url_or_has_a_secret_is_refused() {
        let with = |name: &str, value: Value| {
            let mut changed = document();
            changed[name] = value;
            changed
        };
        assert!(
            error(URL, &with("client_id", json!("https://app.example/other.json")))
                .starts_with("client_id: ")
        );
        assert!(error(URL, &with("client_secret", json!("s3cr3t"))).starts_with("client_secret: "));
        for method in ["client_secret_basic", "client_secret_post", "client_secret_jwt"] {
            let reported = error(URL, &with("token_endpoint_auth_method", json!(method)));
            assert!(reported.starts_with("token_endpoint_auth_method: "), "{reported}");
        }
        assert!(error(URL, &json!([])).starts_with("client_id: "));
    }

    #[test]
    fn an_identifier_is_an_https_url_with_a_path() {
        for bad in [
            "http://app.example/client.json",
            "https://app.example",
            "https://app.example/",
            "https://me@app.example/c",
            "https://app.example/c#d",
            "https://app.example/a/../c",
            "https:///c",
        ] {
            let mut document = document();
            document["client_id"] = json!(bad);
            assert!(error(bad, &document).contains("https URL"), "{bad}");
        }
    }
}

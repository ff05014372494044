//! One URL out of an issuer's metadata, for those who need nothing else of them.

use serde_json::Value;
use url::Url;

use super::places::first_usable;
use super::{check_url, locations, other_issuer};
use crate::error::Error;
use crate::json;
use crate::transport::{HttpClient, Limits};

/// The URL of one member of an issuer's metadata, such as `jwks_uri`: from the first well-known place that has it. What
/// the other members are does not matter.
///
/// The document may spell its issuer in another way, as long as both are one URL: a slash at the end, the letter case of
/// scheme and host, a default port. That is safe here, since both spellings have the same well-known places: one
/// server serves both documents. What `iss` of a token has to be is not affected.
///
/// # Errors
/// As [`discover`](super::discover), and `discovery` when no place has the member.
pub async fn discover_url(
    http: &HttpClient,
    issuer: &str,
    member: &str,
    limits: &Limits,
) -> Result<Url, Error> {
    let read = |body: &[u8]| {
        let document =
            json::object(body).map_err(|reason| Error::malformed(format!("the metadata: {reason}")))?;
        let text = |member: &str| document.get(member).and_then(Value::as_str);
        let named = text("issuer").unwrap_or_default();
        if !is_one_url(named, issuer) {
            return Err(other_issuer(issuer, named));
        }
        let url = text(member).and_then(|url| Url::parse(url).ok()).filter(Url::has_host);
        let url = url.ok_or_else(|| Error::discovery(format!("the issuer's metadata has no {member}")))?;
        check_url(member, &url, issuer, limits.allow_http)?;
        Ok(url)
    };
    let places = locations(issuer)?;
    let found = first_usable(http, &places, limits, read, |_| true, "check the issuer").await;
    found.map_err(|failure| failure.error)
}

/// Whether both are the same URL, however they are spelled.
fn is_one_url(one: &str, other: &str) -> bool {
    let parsed = |text: &str| {
        let mut url = Url::parse(text).ok()?;
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Some(url)
    };
    one == other || parsed(one).is_some_and(|one| Some(one) == parsed(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_one_url_are_one_and_two_urls_are_not() {
        for other in ["https://as/x/", "HTTPS://AS/x", "https://as:443/x"] {
            assert!(is_one_url("https://as/x", other), "{other}");
        }
        let others =
            ["https://as/X", "https://as/x/y", "http://as/x", "https://as:8443/x", "https://as/x?a", "", "x"];
        for other in others {
            assert!(!is_one_url("https://as/x", other), "{other}");
        }
    }
}

//! Where the metadata of an issuer may be, and the first of these places that serves what is needed.

use bytes::Bytes;
use http::Response;
use tokio::task::JoinSet;
use url::Url;

use crate::error::{Error, Kind, printable};
use crate::transport::{HttpClient, Limits};

/// The well-known URLs of an issuer's metadata, in the order in which they are asked. RFC 8414 section 3.1 puts the
/// well-known part between host and path, OpenID Connect Discovery section 4 behind the path; the last is OpenID's name
/// at RFC 8414's place (RFC 8414 section 5), which some servers serve alone. An issuer without a path has two.
pub(super) fn places(issuer: &str) -> Result<Vec<Url>, Error> {
    let bad = |why: &str| Error::config("issuer", format!("{:?} {why}", printable(issuer, 256)));
    let base = Url::parse(issuer)
        .map_err(|_| bad("is not a URL; expected the https URL the server calls itself"))?;
    if base.query().is_some() || base.fragment().is_some() || base.cannot_be_a_base() {
        return Err(bad("has a query, a fragment or no host, which an issuer must not (RFC 8414 section 2)"));
    }
    let path = base.path().trim_end_matches('/').to_owned();
    let at = |path: &str| {
        let mut place = base.clone();
        place.set_path(path);
        place
    };
    let mut places = vec![
        at(&format!("/.well-known/oauth-authorization-server{path}")),
        at(&format!("{path}/.well-known/openid-configuration")),
    ];
    if !path.is_empty() {
        places.push(at(&format!("/.well-known/openid-configuration{path}")));
    }
    Ok(places)
}

/// What the first place serves that serves what `read` needs.
///
/// A place that fails in any way (an error status, a redirect, a page, a document that `read` rejects) does not count: the
/// next one is asked, and nothing is followed. A place that does not respond within a quarter of the time limit is asked
/// on while the next one is asked too.
///
/// # Errors
/// What `read` says of the first document that was served and rejected; else the first failure that may pass by itself;
/// else `discovery`.
pub(super) async fn first<T>(
    http: &HttpClient,
    issuer: &str,
    limits: &Limits,
    read: impl Fn(&[u8]) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut next = places(issuer)?.into_iter();
    let mut asked = JoinSet::new();
    let mut failures = Vec::new();
    ask(http, next.next(), limits, &mut asked);
    loop {
        match tokio::time::timeout(limits.timeout / 4, asked.join_next()).await {
            Ok(Some(Ok((place, served)))) => match served.and_then(|served| read(served.body())) {
                Ok(found) => return Ok(found),
                // Not the server's fault, and the same everywhere.
                Err(error) if error.code() == "config" => return Err(error),
                Err(error) => failures.push((place, error)),
            },
            // Only with its runtime.
            Ok(Some(Err(_))) => return Err(Error::new(Kind::Interrupted)),
            Ok(None) => return Err(reason(&failures)),
            Err(_) => {}
        }
        ask(http, next.next(), limits, &mut asked);
    }
}

type Served = (Url, Result<Response<Bytes>, Error>);

fn ask(http: &HttpClient, place: Option<Url>, limits: &Limits, asked: &mut JoinSet<Served>) {
    let Some(place) = place else { return };
    let (http, limits) = (http.clone(), limits.clone());
    asked.spawn(async move {
        let served = http.get_json(&place, &limits).await;
        (place, served)
    });
}

/// The failure that says most.
fn reason(failures: &[(Url, Error)]) -> Error {
    let served = failures.iter().find(|(_, error)| error.code() == "discovery");
    let passing = || failures.iter().find(|(_, error)| error.is_transient());
    if let Some((_, error)) = served.or_else(passing) {
        return error.clone();
    }
    let places = failures.iter().map(|(place, error)| {
        let why = match error.status() {
            Some(status) => format!("HTTP {}", status.as_u16()),
            None if error.code() == "malformed_response" => "no JSON object".to_owned(),
            None => error.code().to_owned(),
        };
        format!("{place} ({why})")
    });
    let places = places.collect::<Vec<_>>().join(", nor at ");
    Error::discovery(format!("found none at {places}; check the issuer, or configure token_endpoint"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_part_goes_between_host_and_path_for_oauth_and_behind_it_for_openid() {
        let at = |issuer| places(issuer).unwrap().into_iter().map(String::from).collect::<Vec<_>>();
        for issuer in ["https://example.com/issuer1", "https://example.com/issuer1/"] {
            assert_eq!(
                at(issuer),
                [
                    "https://example.com/.well-known/oauth-authorization-server/issuer1",
                    "https://example.com/issuer1/.well-known/openid-configuration",
                    "https://example.com/.well-known/openid-configuration/issuer1",
                ]
            );
        }
        assert_eq!(
            at("https://example.com/"),
            [
                "https://example.com/.well-known/oauth-authorization-server",
                "https://example.com/.well-known/openid-configuration",
            ]
        );
        assert_eq!(places("https://example.com/?a=b").unwrap_err().code(), "config");
        assert_eq!(places("auth.example.com").unwrap_err().code(), "config");
    }
}

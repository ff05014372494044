//! The URL that a caller has called, as it sees it: what a proof names in `htu`.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use http::header::HOST;
use url::Url;

use super::dpop::{UrlMatch, compare};
use super::forwarded::Forwarded;
use super::peer::{TlsPeer, TrustedProxies};
use crate::reject::Rejection;
use crate::request::RequestHead;

/// What is configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct PublicUrl {
    /// `public_url`, or the origin of `resource`: without a slash at the end.
    base: Option<Box<str>>,
    /// It is the whole truth about what callers see, path prefix included.
    is_whole: bool,
}

/// The URL of one request, in two parts.
#[derive(Debug)]
pub(super) struct ExpectedUrl<'a> {
    /// Scheme, host, port and a prefix of the path. `None` for a request that names no host.
    base: Option<Cow<'a, str>>,
    path: Cow<'a, str>,
}

impl PublicUrl {
    /// `public_url`. The error is for the author of the configuration.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        let url = parse(text)
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .ok_or("expected the URL that callers see, such as https://api.example.com, without user, query and fragment")?;
        let base = [&origin(&url), url.path()].concat();
        Ok(Self { base: Some(base.trim_end_matches('/').into()), is_whole: true })
    }

    /// The origin of `resource`.
    pub(crate) fn of_resource(text: &str) -> Self {
        Self { base: parse(text).map(|url| origin(&url).into()), is_whole: false }
    }

    /// # Errors
    /// When headers of a trusted proxy contradict each other.
    pub(super) fn of<'a>(
        &'a self,
        request: RequestHead<'a>,
        proxies: &TrustedProxies,
    ) -> Result<ExpectedUrl<'a>, Rejection> {
        // `*` and an authority alone have no path.
        let path = Some(request.path()).filter(|path| path.starts_with('/')).unwrap_or_default();
        let path = Cow::Borrowed(path);
        if let (Some(base), true) = (&self.base, self.is_whole) {
            return Ok(ExpectedUrl { base: Some(Cow::Borrowed(base)), path });
        }
        let forwarded = if proxies.has_sent(request.extensions) {
            Forwarded::read(request.headers)?
        } else {
            Forwarded::default()
        };
        let base = match &self.base {
            Some(base) => Some(Cow::Borrowed(&**base)),
            None => own(request, &forwarded).map(Cow::Owned),
        };
        let base = match (base, forwarded.prefix) {
            (Some(base), Some(prefix)) => Some(Cow::Owned([&*base, prefix].concat())),
            (base, _) => base,
        };
        Ok(ExpectedUrl { base, path })
    }
}

impl ExpectedUrl<'_> {
    #[cfg(test)]
    pub(super) fn for_tests(base: &'static str, path: &'static str) -> Self {
        Self { base: Some(Cow::Borrowed(base)), path: Cow::Borrowed(path) }
    }

    pub(super) fn compare(&self, htu: &str) -> UrlMatch {
        self.base.as_deref().map_or(UrlMatch::Other, |base| compare(htu, base, &self.path))
    }

    pub(super) fn into_owned(self) -> ExpectedUrl<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        ExpectedUrl { base: self.base.map(owned), path: owned(self.path) }
    }
}

impl fmt::Display for ExpectedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.base.as_deref().unwrap_or("(no host)"), self.path)
    }
}

/// Scheme and host as a proxy forwards them, else as the request itself has them.
fn own(request: RequestHead<'_>, forwarded: &Forwarded<'_>) -> Option<String> {
    let scheme = match forwarded.scheme {
        Some(scheme) => scheme,
        None if request.extensions.get::<TlsPeer>().is_some() => "https",
        // HTTP/2 has a scheme in each request.
        None => request.original_uri().scheme_str().unwrap_or("http"),
    };
    let host = match forwarded.host {
        Some(host) => host,
        // RFC 9112 section 3.2.2: a target in absolute form, or HTTP/2's `:authority`, takes the place of `Host`.
        None => match request.original_uri().authority() {
            Some(authority) => authority.as_str(),
            None => host(request.headers)?,
        },
    };
    Some(format!("{scheme}://{host}"))
}

/// Two of them are none.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(HOST).iter();
    let host = values.next()?.to_str().ok()?;
    // What does not belong to a host would become a part of the path.
    let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', ',']);
    (is_host && values.next().is_none()).then_some(host)
}

fn parse(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.has_host();
    Some(url).filter(|url| is_plain && matches!(url.scheme(), "https" | "http"))
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

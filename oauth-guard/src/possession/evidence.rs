//! What of a request can prove possession, gathered while its head is at hand.

use std::borrow::Cow;

use http::{HeaderMap, Method};

use super::Possession;
use super::before::{self, Noted};
use super::dpop::DPOP;
use super::public_url::ExpectedUrl;
use crate::bearer::Presented;
use crate::reject::Rejection;
use crate::request::RequestHead;

/// How a request presents its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Bearer,
    Dpop,
    /// In a header of its own, a cookie or the query, where no scheme is written.
    Unnamed,
}

/// Borrowed from the request, or owned where the token has to be validated first.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) token: Cow<'a, [u8]>,
    pub(super) dpop: Option<DpopEvidence<'a>>,
    /// The thumbprint of the certificate that the caller showed.
    pub(super) certificate: Option<[u8; 32]>,
}

#[derive(Debug)]
pub(super) struct DpopEvidence<'a> {
    /// The value of the one `DPoP` header.
    pub(super) proof: Option<Cow<'a, [u8]>>,
    pub(super) method: Cow<'a, Method>,
    pub(super) url: ExpectedUrl<'a>,
    /// What guards further out have accepted already.
    pub(super) noted: Option<Noted>,
}

impl<'a> Evidence<'a> {
    /// # Errors
    /// What makes the request malformed: two proofs, two certificates, headers that contradict each other.
    pub(super) fn of(
        request: RequestHead<'a>,
        presented: &'a Presented<'_>,
        possession: &'a Possession,
    ) -> Result<Self, Rejection> {
        let dpop = match &possession.dpop {
            Some(_) => Some(DpopEvidence {
                proof: one_proof(request.headers)?.map(Cow::Borrowed),
                method: Cow::Borrowed(request.method),
                url: possession.public_url.of(request, &possession.proxies)?,
                noted: before::noted(request).cloned(),
            }),
            None => None,
        };
        let certificate = match &possession.certificates {
            Some(certificates) => certificates.thumbprint(request, &possession.proxies)?,
            None => None,
        };
        Ok(Self { token: Cow::Borrowed(&presented.token), dpop, certificate })
    }

    pub(super) fn into_owned(self) -> Evidence<'static> {
        let Self { token, dpop, certificate } = self;
        let dpop = dpop.map(|dpop| DpopEvidence {
            proof: dpop.proof.map(|proof| Cow::Owned(proof.into_owned())),
            method: Cow::Owned(dpop.method.into_owned()),
            url: dpop.url.into_owned(),
            noted: dpop.noted,
        });
        Evidence { token: Cow::Owned(token.into_owned()), dpop, certificate }
    }
}

/// RFC 9449 section 4.3, check 1.
fn one_proof(headers: &HeaderMap) -> Result<Option<&[u8]>, Rejection> {
    let mut values = headers.get_all(DPOP).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Rejection::MalformedRequest("the request has more than one DPoP header"));
    }
    Ok(first.map(http::HeaderValue::as_bytes))
}

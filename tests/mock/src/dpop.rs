//! Proof of possession (RFC 9449): what a proof must say, which nonces it must repeat, and which were seen before.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{HeaderName, Request, Uri};
use serde_json::{Map, Value};

use crate::encode::{b64url, random_text};
use crate::jws::Jws;
use crate::keys::{Alg, thumbprint};
use crate::routes::authority;
use crate::shared::Shared;
use crate::state::replays::Replays;
use crate::wire::names::Origin;
use crate::wire::response::{MockResponse, OAuthError};

/// The header that carries a proof (RFC 9449 section 4.1).
const DPOP: HeaderName = HeaderName::from_static("dpop");
/// The header that carries a nonce for the next proof (RFC 9449 section 8).
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Seconds that a proof's `iat` may be before or after the server's now.
const WINDOW: i64 = 60;

/// How many nonces that are good once are remembered; older ones are forgotten, as if they were expired.
const MAX_NONCES: usize = 10_000;

/// Which nonces a server wants in proofs (RFC 9449 sections 8 and 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DpopNonce {
    /// None.
    #[default]
    Unused,
    /// One for all proofs, until [`Dpop::change_nonces`].
    Required,
    /// Another one for each proof; every response brings the next.
    SingleUse,
}

impl DpopNonce {
    /// As they are written down.
    pub(crate) const NAMES: [(&str, Self); 3] =
        [("unused", Self::Unused), ("required", Self::Required), ("single_use", Self::SingleUse)];
}

/// What a server asks of DPoP proofs (RFC 9449), for a test to change while it runs; see
/// [`MockServer::dpop`](crate::MockServer::dpop). Clones are handles to the same settings.
///
/// ```
/// use oauth_mock::{DpopNonce, MockServer};
///
/// let server = MockServer::builder().dpop_nonce(DpopNonce::Required).in_process();
/// server.dpop().change_nonces(); // every client has to fetch a new one now
/// server.dpop().set_api_nonce(DpopNonce::SingleUse);
/// ```
#[derive(Clone)]
pub struct Dpop(Arc<Inner>);

struct Inner {
    algorithms: Vec<Alg>,
    /// What the server and its API wanted when they started.
    initial: [DpopNonce; 2],
    server: Mutex<Nonces>,
    api: Mutex<Nonces>,
    /// Key and `jti` of each proof that was good.
    seen: Replays,
}

#[derive(Default)]
struct Nonces {
    wanted: DpopNonce,
    good: Vec<String>,
}

/// Who checks a proof: the two use nonces of their own (RFC 9449 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The token endpoint and the one for pushed authorization requests.
    Server,
    /// An API, userinfo among them.
    Api,
}

/// Why a proof is not good enough.
#[derive(Debug)]
pub(crate) enum BadProof {
    /// `invalid_dpop_proof`, and why.
    Invalid(&'static str),
    /// `use_dpop_nonce`, with the nonce to use.
    Nonce(String),
}

/// Whether the client of this request uses DPoP, rightly or wrongly.
pub(crate) fn is_used<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(DPOP)
}

/// The type of a token bound like this (RFC 9449 section 5); one bound to a certificate stays `Bearer` (RFC 8705
/// section 3).
pub(crate) fn token_type(cnf: &Map<String, Value>) -> &'static str {
    if cnf.contains_key("jkt") { "DPoP" } else { "Bearer" }
}

impl Dpop {
    pub(crate) fn new(algorithms: Vec<Alg>, server: DpopNonce, api: DpopNonce) -> Self {
        let nonces = |wanted| Mutex::new(Nonces { wanted, good: Vec::new() });
        Self(Arc::new(Inner {
            algorithms,
            initial: [server, api],
            server: nonces(server),
            api: nonces(api),
            seen: Replays::default(),
        }))
    }

    /// Which nonces the token endpoint and the one for pushed authorization requests want from now on.
    pub fn set_nonce(&self, wanted: DpopNonce) {
        self.nonces(Side::Server).wanted = wanted;
    }

    /// Which nonces the API and userinfo want from now on.
    pub fn set_api_nonce(&self, wanted: DpopNonce) {
        self.nonces(Side::Api).wanted = wanted;
    }

    /// Takes no nonce any more that was handed out before.
    pub fn change_nonces(&self) {
        for side in [Side::Server, Side::Api] {
            self.nonces(side).good.clear();
        }
    }

    /// Back to how the server started.
    pub(crate) fn reset(&self) {
        for (side, wanted) in [Side::Server, Side::Api].into_iter().zip(self.0.initial) {
            *self.nonces(side) = Nonces { wanted, good: Vec::new() };
        }
        self.0.seen.clear();
    }

    /// The names of the algorithms that proofs may be signed with.
    pub(crate) fn algorithms(&self) -> Vec<&'static str> {
        self.0.algorithms.iter().map(|alg| alg.as_str()).collect()
    }

    /// Checks the proof of a request (RFC 9449 section 4.3), for `token` at an API, and gives the thumbprint of its
    /// key. `None` when there is no proof.
    pub(crate) fn check(
        &self,
        shared: &Shared,
        request: &Request<Bytes>,
        side: Side,
        token: Option<&str>,
    ) -> Result<Option<String>, BadProof> {
        let mut headers = request.headers().get_all(DPOP).iter();
        let Some(header) = headers.next() else { return Ok(None) };
        if headers.next().is_some() {
            return Err(BadProof::Invalid("more than one DPoP header"));
        }
        let text = header.to_str().map_err(|_| BadProof::Invalid("the DPoP header is not one JWT"))?;
        let proof = Jws::read(text).map_err(BadProof::Invalid)?;
        let jkt = self.key(&proof).map_err(BadProof::Invalid)?;
        let now = shared.clock.now_unix();
        let jti = claims(&proof, shared, request, token, now).map_err(BadProof::Invalid)?;
        self.first_time(&jkt, jti, now)?;
        self.nonce(side, proof.text("nonce"))?;
        Ok(Some(jkt))
    }

    /// The thumbprint of the key in the header, which signed the proof (RFC 9449 section 4.3, points 4 to 7).
    fn key(&self, proof: &Jws<'_>) -> Result<String, &'static str> {
        if proof.header.get("typ").and_then(Value::as_str) != Some("dpop+jwt") {
            return Err("typ: must be dpop+jwt");
        }
        if !self.0.algorithms.contains(&proof.alg) {
            return Err("alg: not one of dpop_signing_alg_values_supported");
        }
        let jwk = proof.header.get("jwk").filter(|jwk| jwk.is_object()).ok_or("jwk: missing")?;
        // RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1, RFC 8037 section 2.
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|private| jwk.get(private).is_some()) {
            return Err("jwk: holds a private key");
        }
        let jkt = thumbprint(jwk).ok_or("jwk: not a public key")?;
        if proof.verifies_with(jwk) { Ok(jkt) } else { Err("the signature is not that of the key in jwk") }
    }

    /// RFC 9449 section 11.1: a proof is good once.
    fn first_time(&self, jkt: &str, jti: &str, now: i64) -> Result<(), BadProof> {
        // A proof may be of the future, and its last second counts.
        let until = now.saturating_add(2 * WINDOW + 1);
        if self.0.seen.is_first(format!("{jkt} {jti}"), until, now) {
            return Ok(());
        }
        Err(BadProof::Invalid("jti: this proof was seen before"))
    }

    fn nonce(&self, side: Side, nonce: Option<&str>) -> Result<(), BadProof> {
        let mut nonces = self.nonces(side);
        let known = nonce.and_then(|nonce| nonces.good.iter().position(|good| good == nonce));
        match (nonces.wanted, known) {
            (DpopNonce::Unused, _) | (DpopNonce::Required, Some(_)) => Ok(()),
            (DpopNonce::SingleUse, Some(at)) => {
                nonces.good.remove(at);
                Ok(())
            }
            (_, None) => Err(BadProof::Nonce(nonces.next().unwrap_or_default())),
        }
    }

    /// Adds the nonce for the next proof, where one is wanted (RFC 9449 section 8.2), if the response has none yet.
    pub(crate) fn with_nonce(&self, side: Side, response: MockResponse) -> MockResponse {
        if response.headers.contains_key(DPOP_NONCE) {
            return response;
        }
        match self.nonces(side).next() {
            Some(nonce) => response.with(DPOP_NONCE, &nonce),
            None => response,
        }
    }

    fn nonces(&self, side: Side) -> MutexGuard<'_, Nonces> {
        lock(match side {
            Side::Server => &self.0.server,
            Side::Api => &self.0.api,
        })
    }
}

impl Nonces {
    /// A nonce that will be good.
    fn next(&mut self) -> Option<String> {
        if self.wanted == DpopNonce::Unused {
            return None;
        }
        if let (DpopNonce::Required, Some(last)) = (self.wanted, self.good.last()) {
            return Some(last.clone());
        }
        let nonce = random_text::<18>();
        if self.good.len() >= MAX_NONCES {
            self.good.remove(0);
        }
        self.good.push(nonce.clone());
        Some(nonce)
    }
}

impl fmt::Debug for Dpop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dpop")
            .field("nonce", &self.nonces(Side::Server).wanted)
            .field("api_nonce", &self.nonces(Side::Api).wanted)
            .finish_non_exhaustive()
    }
}

impl From<BadProof> for OAuthError {
    /// RFC 9449 sections 5 and 8: status 400.
    fn from(bad: BadProof) -> Self {
        match bad {
            BadProof::Invalid(why) => Self::bad_request("invalid_dpop_proof", why),
            BadProof::Nonce(nonce) => {
                let error =
                    Self::bad_request("use_dpop_nonce", "nonce: use the one in the DPoP-Nonce header");
                error.with_header(DPOP_NONCE, nonce)
            }
        }
    }
}

/// What the proof says of the request (RFC 9449 section 4.3, points 8 to 12 without the nonce); gives its `jti`.
fn claims<'a>(
    proof: &'a Jws<'_>,
    shared: &Shared,
    request: &Request<Bytes>,
    token: Option<&str>,
    now: i64,
) -> Result<&'a str, &'static str> {
    let jti = proof.text("jti").ok_or("jti: missing")?;
    if proof.text("htm").ok_or("htm: missing")? != request.method().as_str() {
        return Err("htm: another method than the request's");
    }
    let htu = proof.text("htu").ok_or("htu: missing")?;
    if htu.contains(['?', '#']) {
        return Err("htu: must have neither query nor fragment (RFC 9449 section 4.2)");
    }
    let htu = normal(htu).ok_or("htu: not an absolute http URI")?;
    if !addresses(shared, request).any(|address| normal(&address).as_ref() == Some(&htu)) {
        return Err("htu: another address than the request's");
    }
    let iat = proof.time("iat").ok_or("iat: missing")?;
    if iat.abs_diff(now) > WINDOW.unsigned_abs() {
        return Err("iat: too far from the server's time");
    }
    if let Some(token) = token {
        let ath = b64url(digest(&SHA256, token.as_bytes()));
        if proof.text("ath").ok_or("ath: missing")? != ath {
            return Err("ath: not the hash of the access token");
        }
    }
    Ok(jti)
}

/// The addresses by which a client may know what it asked for: the server's own, by the name in `Host` only where that
/// is one of them. A proof for another server is worth nothing here, whatever `Host` says.
fn addresses(shared: &Shared, request: &Request<Bytes>) -> impl Iterator<Item = String> {
    let path = request.uri().path();
    let named = authority(request);
    let (asked, base) = (shared.names.asked(named), shared.names.base(named));
    let by_name = named.and_then(|named| {
        let scheme = shared.origin.split("://").next().unwrap_or_default();
        Origin::split(&format!("{scheme}://{named}")).map(|(origin, _)| origin)
    });
    let by_name = by_name.filter(|origin| shared.names.knows(origin));
    let origins = by_name.into_iter().chain([asked, base]).map(|origin| origin.to_string());
    origins.chain([shared.origin.clone()]).map(move |origin| format!("{origin}{path}"))
}

/// Scheme and host in lower case, without the scheme's own port, never without a path (RFC 3986 sections 6.2.2, 6.2.3).
fn normal(uri: &str) -> Option<String> {
    let uri: Uri = uri.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?.to_ascii_lowercase(), uri.host()?.to_ascii_lowercase());
    let own = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    Some(format!("{scheme}://{host}:{}{}", uri.port_u16().unwrap_or(own), uri.path()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_in_their_normal_form() {
        let same = |a, b| assert_eq!(normal(a), normal(b), "{a} {b}");
        same("https://as.test/token", "HTTPS://AS.test:443/token");
        same("http://as.test", "http://as.test:80/");
        for other in ["http://as.test/token", "https://as.test/Token", "https://as.test:8443/token"] {
            assert_ne!(normal("https://as.test/token"), normal(other), "{other}");
        }
        assert_eq!(normal("/token"), None);
        assert_eq!(normal("ftp://as.test/token"), None);
    }
}

//! A small API that refuses everything it should, but for the one hole it is given: `GET /whoami` with a token of the
//! scope `read`.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::certificates::Certificates;
use crate::introspects::Introspects;
use crate::keys::Keys;
use crate::proofs::Proofs;
use crate::server::{Request, Response};
use crate::trouble::Trouble;

/// The name of a row that this API fails; empty for none.
#[derive(Clone, Copy)]
pub(crate) struct Hole(pub(crate) &'static str);

impl Hole {
    pub(crate) fn is(self, row: &str) -> bool {
        self.0 == row
    }
}

pub(crate) struct Api {
    pub(crate) hole: Hole,
    /// Each with its keys.
    pub(crate) issuers: Vec<(String, Keys)>,
    pub(crate) allowed: Vec<&'static str>,
    pub(crate) optional: bool,
    pub(crate) max_token_age: Option<i64>,
    /// What a cache knows, by what the hole says.
    pub(crate) known: Mutex<HashMap<String, Map<String, Value>>>,
    pub(crate) fallen: Notify,
    pub(crate) trouble: Trouble,
    pub(crate) introspects: Option<Introspects>,
    /// What its tokens are bound to; `None` for bearer tokens.
    pub(crate) binding: Option<Binding>,
}

/// What tokens are bound to.
pub(crate) enum Binding {
    Key(Proofs),
    Certificate(Certificates),
}

pub(crate) const AUDIENCE: &str = "orders-api";
pub(crate) const LEEWAY: i64 = 10;

/// Why a request is refused.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) error: &'static str,
    pub(crate) because: String,
}

pub(crate) fn invalid(because: impl Into<String>) -> Refusal {
    Refusal { status: 401, error: "invalid_token", because: because.into() }
}

pub(crate) fn malformed() -> Refusal {
    Refusal { status: 400, error: "invalid_request", because: String::new() }
}

/// No token was shown.
fn nothing() -> Refusal {
    Refusal { status: 401, error: "", because: String::new() }
}

impl Api {
    /// Trusts these issuers, without trouble.
    pub(crate) fn new<'a>(hole: &'static str, issuers: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            hole: Hole(hole),
            issuers: issuers.into_iter().map(|issuer| (issuer.to_owned(), Keys::default())).collect(),
            allowed: oauth_mock::attack::ALGORITHMS.map(oauth_mock::Alg::as_str).to_vec(),
            optional: false,
            max_token_age: None,
            known: Mutex::default(),
            fallen: Notify::new(),
            trouble: Trouble::default(),
            binding: None,
            introspects: None,
        }
    }

    pub(crate) fn has(&self, row: &str) -> bool {
        self.hole.is(row)
    }

    /// `None` when it fell over.
    pub(crate) async fn respond(&self, request: &Request) -> Option<Response> {
        if let Some(response) = self.troubled(request).await? {
            return Some(response);
        }
        let mut response = self.routed(request).await?;
        if self.has("http-cors-any-origin")
            && let Some(origin) = request.values("origin").first()
        {
            response.headers.push(("Access-Control-Allow-Origin", (*origin).to_owned()));
            response.headers.push(("Access-Control-Allow-Credentials", "true".to_owned()));
        }
        Some(response)
    }

    async fn routed(&self, request: &Request) -> Option<Response> {
        match (request.path.as_str(), request.method.as_str()) {
            // The router knows it by two names, the check by one.
            ("/whoami/", _) if self.has("http-neighbouring-paths") => Some(Response::new(200, "orders")),
            ("/whoami", method) if method == self.trouble.method => self.guarded(request).await,
            ("/whoami", _) if self.has("http-other-methods") => Some(Response::new(200, "orders")),
            ("/whoami", "HEAD") => self.guarded(request).await,
            ("/whoami", "OPTIONS") => {
                let mut response = Response::new(204, "");
                response.headers.push(("Allow", "GET, HEAD".to_owned()));
                Some(response)
            }
            ("/whoami", _) => Some(Response::new(405, "")),
            _ if self.trouble.one_page => Some(Response::new(200, "<html>")),
            _ => Some(Response::new(404, "")),
        }
    }

    /// An API whose tokens are bound.
    async fn bound(&self, binding: &Binding, request: &Request) -> Response {
        let checked = match binding {
            Binding::Key(proofs) => proofs.check(self, request).await,
            Binding::Certificate(certificates) => certificates.check(self, request).await,
        };
        let refusal = match checked.and_then(|claims| self.scoped(&claims).map(|()| claims)) {
            Ok(claims) => return self.welcome(&claims),
            Err(refusal) => refusal,
        };
        let mut response = self.refused(&refusal, "");
        if let Binding::Key(proofs) = binding {
            let (challenge, nonce) = proofs.challenge(&refusal);
            response.headers.push(("WWW-Authenticate", challenge));
            response.headers.extend(nonce.map(|nonce| ("DPoP-Nonce", nonce)));
        }
        response
    }

    async fn guarded(&self, request: &Request) -> Option<Response> {
        if let Some(binding) = &self.binding {
            return Some(self.bound(binding, request).await);
        }
        if self.has("http-identity-headers")
            && let Some(user) = request.values("x-forwarded-user").first()
        {
            return Some(Response::new(200, format!("hello {user}")));
        }
        let token = match self.token(request) {
            Ok(Some(token)) => token,
            Ok(None) if self.optional && !self.has("optional-without-a-token") => {
                return Some(Response::new(200, "anonymous"));
            }
            Ok(None) if self.has("http-no-token") => return Some(Response::new(200, "anonymous")),
            Ok(None) => return Some(self.refused(&nothing(), "")),
            Err(_) if self.optional && self.has("optional-with-a-bad-token") => {
                return Some(Response::new(200, "anonymous"));
            }
            Err(refusal) => return Some(self.refused(&refusal, "")),
        };
        if self.has("json-deep") && crate::verify::depth(&token) > 1_000 {
            // The stack is used up.
            self.fallen.notify_one();
            return None;
        }
        let verified = match &self.introspects {
            Some(introspects) => introspects.verify(&token).await,
            None => self.verify(&token).await,
        };
        let verified = match verified {
            Ok(claims) => self.scoped(&claims).map(|()| claims),
            Err(refusal) => Err(refusal),
        };
        Some(match verified {
            Ok(claims) => self.welcome(&claims),
            Err(_) if self.optional && self.has("optional-with-a-bad-token") => {
                Response::new(200, "anonymous")
            }
            Err(refusal) => self.refused(&refusal, &token),
        })
    }

    fn welcome(&self, claims: &Map<String, Value>) -> Response {
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        let mut response = Response::new(200, serde_json::json!({ "sub": subject }).to_string());
        if self.has("json-control-characters") {
            response.headers.push(("X-Subject", subject.to_owned()));
        }
        response
    }

    fn refused(&self, refusal: &Refusal, token: &str) -> Response {
        let mut challenge = "Bearer realm=\"orders\"".to_owned();
        if !refusal.error.is_empty() {
            challenge.push_str(&format!(", error=\"{}\"", refusal.error));
        }
        let body = match self.hole.0 {
            "http-claims-in-errors" => {
                format!("refused: {} in {}", refusal.because, crate::verify::text(token))
            }
            _ => String::new(),
        };
        let mut response = Response::new(refusal.status, body);
        if refusal.status < 500 {
            response.headers.push(("WWW-Authenticate", challenge));
        }
        response
    }

    /// The token of the request, by RFC 6750 section 2.1; `None` when there is none.
    fn token(&self, request: &Request) -> Result<Option<String>, Refusal> {
        let headers: Vec<_> = request.headers.iter().filter(|(name, _)| name == "authorization").collect();
        let elsewhere = self.elsewhere(request);
        if self.has("http-token-in-two-places")
            && request.query.starts_with("access_token=")
            && !headers.is_empty()
        {
            return Err(Refusal { status: 500, error: "", because: String::new() });
        }
        let value = match headers.as_slice() {
            [] => return Ok(elsewhere),
            [(_, one)] => one.clone(),
            [(_, first), ..] if self.has("http-two-headers") => first.clone(),
            _ => return Err(malformed()),
        };
        let text = match String::from_utf8(value) {
            Ok(text) if text.is_ascii() && !text.contains('\u{7f}') => text,
            Ok(text) if self.has("http-odd-bytes") => {
                text.replace(|c: char| !c.is_ascii_graphic() && c != ' ', "")
            }
            Err(error) if self.has("http-odd-bytes") => String::from_utf8_lossy(error.as_bytes())
                .replace(|c: char| !c.is_ascii_graphic() && c != ' ', ""),
            _ => return Err(malformed()),
        };
        let text = if self.has("http-joined-headers") {
            text.split(',').next().unwrap_or_default().to_owned()
        } else {
            text
        };
        self.credentials(&text)
    }

    fn credentials(&self, text: &str) -> Result<Option<String>, Refusal> {
        if self.has("http-malformed-credentials") {
            let rest = text.get(6..).unwrap_or_default();
            let word = rest.split([' ', '\t', '"', ':']).find(|word| !word.is_empty());
            return word.map(|word| Some(word.to_owned())).ok_or_else(malformed);
        }
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        let other = !scheme.eq_ignore_ascii_case("bearer");
        if other && self.has("http-other-scheme") && !rest.is_empty() {
            return Ok(Some(rest.to_owned()));
        }
        if other {
            // What begins like the scheme is a failed attempt at it (no space, a tab, a colon).
            let attempt = scheme.get(..6).is_some_and(|begin| begin.eq_ignore_ascii_case("bearer"));
            let follows = scheme.as_bytes().get(6).is_some_and(|byte| !byte.is_ascii_alphanumeric());
            let glued = scheme.len() > 100;
            return if attempt && (follows || glued) { Err(malformed()) } else { Ok(None) };
        }
        if scheme != "Bearer" && self.has("http-scheme-case") {
            return Err(nothing());
        }
        let token = if self.has("http-two-spaces") { rest } else { rest.trim_start_matches(' ') };
        let lenient = ["structure-json-serialization", "structure-polyglot", "structure-foreign-characters"];
        let body = token.trim_end_matches('=');
        let good = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
        if token.is_empty() || (!body.chars().all(good) && !lenient.contains(&self.hole.0)) {
            return Err(malformed());
        }
        Ok(Some(token.to_owned()))
    }

    /// Where no token should be looked for.
    fn elsewhere(&self, request: &Request) -> Option<String> {
        let of = |text: &str| text.strip_prefix("access_token=").map(str::to_owned);
        match self.hole.0 {
            "http-token-in-the-query" => of(&request.query),
            "http-token-in-the-body" => of(&request.body),
            "http-token-in-a-cookie" => request.values("cookie").first().and_then(|cookie| of(cookie)),
            _ => None,
        }
    }
}

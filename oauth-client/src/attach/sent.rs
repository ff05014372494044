//! The state of a request in flight: the token it carries, and the proof beside it.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::AccessToken;
use crate::dpop::{DPOP, ProofError, Target, proof_error};
use crate::error::Error;

/// The token that a request carries.
pub(super) struct Sent {
    pub(super) generation: u64,
    /// Whether the API has refused another token on this request before.
    pub(super) replayed: bool,
    /// `None` for a bearer token.
    pub(super) bound: Option<Box<Bound>>,
}

/// A token that is bound to a key, and the proof that went with it (RFC 9449 section 7).
pub(super) struct Bound {
    token: AccessToken,
    method: Method,
    target: Target,
    /// That of the proof which was sent.
    nonce: Option<Arc<str>>,
    /// That of the next one, if the API has asked for it.
    wanted: Option<Arc<str>>,
    /// Whether it has been asked for before: once is enough.
    asked: bool,
}

/// What an error response of an API is about.
pub(super) enum Subject {
    /// The token, or what was asked for.
    Token,
    /// The proof: the token is as good as before, and the response stands.
    Proof,
    /// The nonce in the proof: another proof may do.
    Nonce,
}

impl Sent {
    /// What to know of a request with this token, before it [goes out](Self::put_on).
    #[inline]
    pub(super) fn with(token: &AccessToken, method: &Method, uri: &Uri) -> Result<Self, Error> {
        let bound = match token.binding() {
            None => None,
            Some(_) => Some(Bound::with(token, method, uri)?),
        };
        Ok(Self { generation: token.generation(), replayed: false, bound })
    }

    /// Puts the token on a request that is about to go out.
    #[inline]
    pub(super) fn on<B>(request: &mut Request<B>, token: &AccessToken) -> Result<Self, Error> {
        let mut sent = Self::with(token, request.method(), request.uri())?;
        sent.put_on(request.headers_mut(), token)?;
        Ok(sent)
    }

    /// Marks it as sent once more because the API rejected the token that it was sent with before.
    pub(super) fn in_place_of(mut self, asked: bool) -> Self {
        self.replayed = true;
        if let Some(bound) = &mut self.bound {
            bound.asked = asked;
        }
        self
    }

    /// Puts the token on a request, and a new proof where it needs one.
    #[inline]
    pub(super) fn put_on(&mut self, headers: &mut HeaderMap, token: &AccessToken) -> Result<(), Error> {
        insert(headers, AUTHORIZATION, token.authorization().clone())?;
        match &mut self.bound {
            None => Ok(()),
            Some(bound) => bound.prove(headers),
        }
    }

    /// Takes in the head of the response. `refused`: as far as its status says.
    #[inline]
    pub(super) fn observe(&mut self, refused: bool, headers: &HeaderMap) -> Subject {
        match &mut self.bound {
            None => Subject::Token,
            Some(bound) => bound.observe(refused, headers),
        }
    }

    /// Whether the API has asked for a nonce before.
    pub(super) fn was_asked(&self) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.asked)
    }

    /// The same, moved out.
    pub(super) fn take(&mut self) -> Self {
        Self { generation: self.generation, replayed: self.replayed, bound: self.bound.take() }
    }
}

impl Bound {
    fn with(token: &AccessToken, method: &Method, uri: &Uri) -> Result<Box<Self>, Error> {
        let target = Target::of(uri)?;
        let (token, method) = (token.clone(), method.clone());
        Ok(Box::new(Self { token, method, target, nonce: None, wanted: None, asked: false }))
    }

    pub(super) fn token(&self) -> &AccessToken {
        &self.token
    }

    fn prove(&mut self, headers: &mut HeaderMap) -> Result<(), Error> {
        let Some(binding) = self.token.binding() else { return Ok(()) };
        let wanted = self.wanted.take();
        let proof = binding.prover.prove(binding.verifier(), &self.method, &self.target, wanted)?;
        self.nonce = proof.nonce;
        insert(headers, DPOP, proof.header)
    }

    fn observe(&mut self, refused: bool, headers: &HeaderMap) -> Subject {
        let Some(binding) = self.token.binding() else { return Subject::Token };
        let news = binding.prover.learn(binding.verifier(), &self.target, self.nonce.as_deref(), headers);
        if !refused {
            return Subject::Token;
        }
        match proof_error(headers) {
            Some(ProofError::UseNonce) if news.is_some() && !self.asked => {
                self.asked = true;
                self.wanted = news;
                Subject::Nonce
            }
            Some(ProofError::UseNonce | ProofError::InvalidProof) => Subject::Proof,
            None => Subject::Token,
        }
    }
}

/// Whatever is there already, several times even, gives way to ours.
#[inline]
fn insert(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), Error> {
    match headers.try_insert(name, value) {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(Error::config("headers", "the request has more headers than fit; send fewer than 24,000"))
        }
    }
}

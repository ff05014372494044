//! The authorization code grant from end to end (RFC 6749 section 4.1, with PKCE always).

use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::callback::Callback;
use super::pkce::{s256, unguessable};
use super::{AuthorizationRequest, Login, PendingLogin};
use crate::client::Client;
use crate::discover::Endpoint;
use crate::error::{Error, Kind};
use crate::grant::{AuthorizationCode, TokenRequest};
use crate::id_token::{Expect, IdToken};
use crate::token::TokenSet;
use crate::token_endpoint::Parameters;

impl Client {
    /// Begins a login by the browser; for apps with routes of their own. The server's metadata is fetched the first
    /// time, and a [pushed](AuthorizationRequest::pushed) request is sent each time; otherwise nothing is sent.
    ///
    /// # Errors
    /// `config` for a request that cannot work, and any error of discovery or of the pushed request.
    pub async fn authorize(&self, request: &AuthorizationRequest) -> Result<PendingLogin, Error> {
        self.dialect().check_grant_type("authorization_code")?;
        let problems = request.problems();
        if !problems.is_empty() {
            return Err(Error::new(Kind::Config(problems)));
        }
        let openid = request.wanted().has_scope("openid");
        if openid && self.issuer().is_none() {
            return Err(Error::config(
                "issuer",
                "is missing; the scope openid brings an ID token, which only an issuer's metadata helps to check",
            ));
        }
        let metadata = match self.issuer() {
            Some(_) => Some(self.metadata().await?),
            None => None,
        };
        let endpoint = self.endpoint(Endpoint::Authorization, self.timeout()).await?;
        let token_endpoint = self.endpoint(Endpoint::Token, self.timeout()).await?;
        let (state, verifier) = (unguessable()?, unguessable()?);
        let nonce = if openid { Some(unguessable()?) } else { None };

        let mut parameters = request.to_parameters();
        parameters.set("response_type", "code");
        parameters.set("client_id", self.auth().client_id());
        parameters.set("redirect_uri", request.redirect_uri());
        parameters.set("state", state.expose());
        parameters.set("code_challenge", s256(&verifier));
        parameters.set("code_challenge_method", "S256");
        if let Some(nonce) = &nonce {
            parameters.set("nonce", nonce.expose());
        }
        if let Some(thumbprint) = self.dpop_jkt() {
            parameters.set("dpop_jkt", thumbprint);
        }
        let must_push = metadata.as_ref().is_some_and(|known| known.require_pushed_authorization_requests);
        let carried =
            if request.is_pushed() || must_push { self.push(parameters).await? } else { parameters };

        let began = self.clock().now().wall;
        Ok(PendingLogin {
            url: with_query(endpoint, &carried),
            server: self.server_id().to_owned(),
            issuer: self.issuer().map(|issuer| {
                let issuer = metadata.as_ref().map_or(issuer, |known| known.issuer_of_tokens(issuer));
                issuer.to_owned()
            }),
            names_itself: metadata.is_some_and(|known| known.authorization_response_iss_parameter_supported),
            token_endpoint,
            client_id: self.auth().client_id().to_owned(),
            redirect_uri: request.redirect_uri().to_owned(),
            state,
            verifier,
            nonce,
            acr: request.needed_acr().to_vec(),
            max_age_seconds: request.oldest_login().map(|age| age.as_secs()),
            resource: request.wanted().resources().to_vec(),
            began_ms: millis(began),
            ends_ms: millis(began.saturating_add(request.lifetime())),
        })
    }

    /// Ends a login by the browser: checks what it brought back, and gets the tokens for the code. The code is sent
    /// once; when the response to it is lost, the login has to begin again.
    ///
    /// `callback` is the query of the request that the browser made to the redirect URI, or that whole URL.
    ///
    /// # Errors
    /// `state_mismatch`, `issuer_mismatch`, `invalid_callback` and `login_expired` when what came back cannot be
    /// trusted; nothing is sent then. The server's own code, such as `access_denied`, when the server or the person
    /// declined. `invalid_id_token`, and the errors of [`request`](Self::request).
    pub async fn finish(&self, pending: PendingLogin, callback: impl AsRef<str>) -> Result<Login, Error> {
        let callback = Callback::parse(callback.as_ref())?;
        self.finish_with(pending, callback).await
    }

    pub(super) async fn finish_with(
        &self,
        pending: PendingLogin,
        callback: Callback,
    ) -> Result<Login, Error> {
        let code = callback.code_for(&pending)?;
        if pending.is_over(self.clock().now().wall) {
            return Err(Error::login("login_expired", "it took longer than it is good for; begin again"));
        }
        // RFC 9700 section 4.4: a code that one server gave never goes to another.
        let token_endpoint = self.endpoint(Endpoint::Token, self.timeout()).await?;
        let same_client = pending.server == self.server_id() && pending.client_id == self.auth().client_id();
        if !same_client || pending.token_endpoint != token_endpoint {
            return Err(Error::login(
                "issuer_mismatch",
                format!(
                    "it began at {}, and this client is of another server or another client there",
                    pending.server
                ),
            ));
        }
        let grant = AuthorizationCode {
            code: code.clone(),
            redirect_uri: pending.redirect_uri.clone(),
            verifier: pending.verifier.clone(),
        };
        let tokens = self.request(&TokenRequest::new(grant).resource(pending.resource.clone())).await?;
        let Some(nonce) = pending.nonce.clone() else { return Ok(Login { tokens, id_token: None }) };
        let mut expected = Expect::new().nonce(nonce).code(code).acr(pending.acr.clone());
        if let Some(seconds) = pending.max_age_seconds {
            expected = expected.max_age(Duration::from_secs(seconds));
        }
        self.logged_in(tokens, expected).await
    }

    /// The login that these tokens are, with their ID token checked: one has to be there, unless the server says that
    /// it did not grant `openid`.
    pub(super) async fn logged_in(&self, mut tokens: TokenSet, expected: Expect) -> Result<Login, Error> {
        let openid_was_denied = tokens.scope().is_some_and(|scope| !scope.iter().any(|one| one == "openid"));
        let id_token = match tokens.id_token() {
            Some(token) => {
                let expected = expected.access_token(tokens.access_token().clone());
                Some(self.validate_id_token(token, &expected).await?)
            }
            // The request went through the person's browser, where they could take the scope out of it.
            None if openid_was_denied => match expected.needed_claim() {
                None => None,
                Some(claim) => {
                    let what = "without the scope openid there is no ID token, which alone can show it";
                    return Err(Error::id_token(format!("{claim}: {what}")));
                }
            },
            None => return Err(Error::id_token("the scope openid was asked for, and there is none")),
        };
        tokens.sub = id_token.as_ref().map(|token: &IdToken| token.subject().to_owned());
        Ok(Login { tokens, id_token })
    }

    /// RFC 9126 section 2: the request goes to the server, and the browser carries a reference to it.
    async fn push(&self, parameters: Parameters) -> Result<Parameters, Error> {
        let response = self.post_for_object(Endpoint::PushedAuthorizationRequest, parameters).await?;
        let reference = match response.get("request_uri") {
            Some(Value::String(reference)) if !reference.is_empty() => reference.clone(),
            _ => return Err(Error::malformed("request_uri: expected a string (RFC 9126 section 2.2)")),
        };
        let mut carried = Parameters::default();
        carried.set("client_id", self.auth().client_id());
        carried.set("request_uri", reference);
        Ok(carried)
    }
}

/// RFC 6749 section 3.1: a query that the endpoint has already is kept.
fn with_query(mut endpoint: Url, parameters: &Parameters) -> Url {
    endpoint.query_pairs_mut().extend_pairs(parameters.pairs());
    endpoint
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

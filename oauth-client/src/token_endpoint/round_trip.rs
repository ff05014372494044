//! One request to an endpoint that the client authenticates at, and its response.

use std::iter;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Map, Value};
use url::Url;

use super::asked::Asked;
use super::error_response::{ErrorBody, Responder, error_response};
use super::possession::Possession;
use super::request::{Encoded, encode};
use super::response::{TokenRequestError, decode, object_of};
use super::{Parameters, RequestContext};
use crate::authenticate::{ASSERTION, Proof, Recipient};
use crate::client::Client;
use crate::clock::Now;
use crate::dialect;
use crate::discover::Endpoint;
use crate::dpop::DPOP;
use crate::error::{Error, printable};
use crate::grant::TokenRequest;
use crate::json;
use crate::sign::Algorithm;
use crate::token::{Secret, TokenSet};
use crate::transport::{ACCEPT_JSON, Limits, retry_after, to_uri};

/// A response, and what is needed to read it.
pub(crate) struct EndpointResponse {
    pub(crate) response: Response<Bytes>,
    /// When the request went out.
    pub(crate) sent: Now,
    /// When the response was there.
    pub(crate) received: Now,
    secrets: Sent,
    /// What the proof of who we are was made with, where that can change.
    credential: Option<Secret>,
    /// Whether the server does not know that.
    is_credential_refused: bool,
    /// What an assertion was signed with.
    algorithm: Option<Algorithm>,
}

/// What was sent and must not be seen again.
struct Sent {
    secrets: Vec<Secret>,
    authorization: Option<HeaderValue>,
    /// What follows the scheme in it, which is as good as the secret in it. Made for errors only.
    credentials: OnceLock<Option<Secret>>,
}

impl Sent {
    fn iter(&self) -> impl Iterator<Item = &Secret> + Clone {
        self.secrets.iter().chain(iter::once_with(|| self.credentials()).flatten())
    }

    fn credentials(&self) -> Option<&Secret> {
        let made = self.credentials.get_or_init(|| {
            let (_, credentials) = self.authorization.as_ref()?.to_str().ok()?.split_once(' ')?;
            Some(Secret::from(credentials))
        });
        made.as_ref()
    }
}

/// How long a request may take.
#[derive(Clone, Copy)]
pub(crate) struct TimeLimit {
    /// From the beginning to the end, but for what the next field sets apart.
    whole: Duration,
    /// From sending to the end of the response, where that does not count into the whole: what may be sent only once is
    /// read to its end, however little time was left when it was sent.
    response: Option<Duration>,
}

impl TimeLimit {
    pub(crate) fn whole(whole: Duration) -> Self {
        Self { whole, response: None }
    }

    /// How long the response may take, of a request that is about to be sent.
    pub(crate) fn of_response(self) -> Duration {
        self.response.unwrap_or(self.whole)
    }

    /// So much time until it is sent, and then so much for the response.
    pub(crate) fn apart(until_sent: Duration, response: Duration) -> Self {
        Self { whole: until_sent, response: Some(response) }
    }
}

/// What has to happen right before a request goes out.
pub(crate) trait BeforeSend: Send {
    /// # Errors
    /// Why it must not go out.
    fn before_send(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Changes the headers of the request, such as what it accepts.
    fn adapt(&self, _headers: &mut HeaderMap) {}
}

impl BeforeSend for () {
    async fn before_send(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Client {
    /// Sends one token request and decodes its response: no retry, no cache.
    ///
    /// # Errors
    /// Whatever [`Error::code`] lists: an error response of the server, no response, or a malformed one; `config` when the
    /// provider does not have the [grant](crate::Dialect::grants).
    pub async fn request(&self, request: &TokenRequest) -> Result<TokenSet, Error> {
        self.dialect().check_grant(request.grant())?;
        let time = TimeLimit::whole(self.timeout());
        let result = self.request_tokens(request.to_parameters(), time, &mut ()).await;
        result.map_err(|failed| failed.error)
    }

    /// One token request, with so much time left for it. `before` runs once the endpoint is known, right before a
    /// request goes out.
    pub(crate) async fn request_tokens(
        &self,
        parameters: Parameters,
        time: TimeLimit,
        before: &mut impl BeforeSend,
    ) -> Result<TokenSet, TokenRequestError> {
        if let Some(fetcher) = self.fetcher() {
            return Ok(self.fetch(fetcher, &parameters, time, before).await?);
        }
        let reply = self.post(Endpoint::Token, &parameters, time, before).await?;
        let EndpointResponse { response, sent, received, secrets, algorithm, .. } = reply;
        let prover = self.prover().map(|prover| &**prover);
        decode(response, sent, received, self.dialect(), prover, secrets.iter()).map_err(
            |TokenRequestError { error, rotated }| TokenRequestError {
                error: self.with_explanation(error, Endpoint::Token, algorithm, &parameters),
                rotated,
            },
        )
    }

    /// One request to an endpoint that authenticates its clients as the token endpoint does, and whose response is a JSON
    /// object.
    ///
    /// # Errors
    /// As [`Client::request`], with the codes of that endpoint.
    pub(crate) async fn post_for_object(
        &self,
        endpoint: Endpoint,
        parameters: Parameters,
    ) -> Result<Map<String, Value>, Error> {
        let reply = self.post(endpoint, &parameters, TimeLimit::whole(self.timeout()), &mut ()).await?;
        let algorithm = reply.algorithm;
        reply.into_object().map_err(|error| self.with_explanation(error, endpoint, algorithm, &parameters))
    }

    /// As [`post_for_object`](Self::post_for_object), for a 200 as it came.
    pub(crate) async fn post_for_ok(
        &self,
        endpoint: Endpoint,
        parameters: Parameters,
        time: Duration,
        before: &mut impl BeforeSend,
    ) -> Result<Response<Bytes>, Error> {
        let reply = self.post(endpoint, &parameters, TimeLimit::whole(time), before).await?;
        if reply.response.status() == StatusCode::OK {
            return Ok(reply.response);
        }
        let algorithm = reply.algorithm;
        Err(self.with_explanation(reply.into_error(), endpoint, algorithm, &parameters))
    }

    /// One form, sent with the client's proof of who it is. It is sent once more where the server does not know our secret or
    /// key and there is another one by now, and where it wants a nonce in the proof of possession (RFC 9449 section 8): it has
    /// refused before it acted, so even a refresh token is as good as before.
    pub(crate) async fn post(
        &self,
        endpoint: Endpoint,
        parameters: &Parameters,
        time: TimeLimit,
        before: &mut impl BeforeSend,
    ) -> Result<EndpointResponse, Error> {
        let began = self.clock().now().monotonic;
        let url = self.endpoint(endpoint, time.whole).await?;
        let left = || {
            let whole = time.whole.saturating_sub(self.clock().now().monotonic.saturating_sub(began));
            TimeLimit { whole, ..time }
        };
        let mut possession = Possession::at(self, endpoint, &url)?;
        let (mut with_new_credential, mut with_nonce) = (false, false);
        loop {
            let form = parameters.clone();
            // Boxed: it goes over a network, and every future around it would be larger by all of it.
            let sending = Box::pin(self.send_once(endpoint, &url, form, possession.as_mut(), &left, before));
            let reply = sending.await?;
            let reply = if reply.is_credential_refused && !with_new_credential {
                let looking = Box::pin(self.unless_there_is_another_credential(reply, left().whole));
                let Some(reply) = looking.await else {
                    with_new_credential = true;
                    continue;
                };
                reply
            } else {
                reply
            };
            let wants_nonce = |possession: &Possession| possession.must_retry_with_nonce(&reply.response);
            if with_nonce || !possession.as_ref().is_some_and(wants_nonce) {
                return Ok(reply);
            }
            (with_nonce, with_new_credential) = (true, false);
        }
    }

    /// The response about a secret or key that the server does not know; `None` where there is another one by now.
    async fn unless_there_is_another_credential(
        &self,
        refused: EndpointResponse,
        time: Duration,
    ) -> Option<EndpointResponse> {
        let Some(used) = &refused.credential else { return Some(refused) };
        let has_changed = self.auth().has_changed(used, self.clock().now());
        match tokio::time::timeout(time, has_changed).await {
            Ok(true) => None,
            _ => Some(refused),
        }
    }

    /// Computes the deferred parameters and the client's authentication anew for each call.
    async fn send_once(
        &self,
        endpoint: Endpoint,
        url: &Url,
        mut parameters: Parameters,
        mut possession: Option<&mut Possession>,
        left: &impl Fn() -> TimeLimit,
        before: &mut impl BeforeSend,
    ) -> Result<EndpointResponse, Error> {
        let making = self.prove(&mut parameters, url, left().whole);
        let Proof { authorization, credential, algorithm } = tokio::time::timeout(left().whole, making)
            .await
            .map_err(|_| Error::secret("parameters", "not computed in time".into()))??;
        let secrets = Sent {
            secrets: parameters.secrets().chain(&credential).cloned().collect(),
            authorization: authorization.clone(),
            credentials: OnceLock::new(),
        };
        let limits = self.limits_at(url, Limits::token());
        let mut request = self.form(endpoint, url.clone(), parameters, authorization)?;
        if let Some(possession) = &mut possession {
            request.headers_mut().insert(DPOP, possession.prove()?);
        }
        before.adapt(request.headers_mut());

        before.before_send().await?;
        let sent = self.clock().now();
        let TimeLimit { whole, response } = left();
        let limits = Limits { timeout: response.unwrap_or(whole), ..limits };
        let exchange = self.http().begin(request, &limits)?;
        let response = exchange.await?;
        if let Some(possession) = possession {
            possession.observe(&response);
        }
        Ok(EndpointResponse {
            is_credential_refused: credential.is_some() && is_invalid_client(&response),
            response,
            sent,
            received: self.clock().now(),
            secrets,
            credential,
            algorithm,
        })
    }

    /// Computes the deferred parameters, and adds the client's authentication.
    async fn prove(&self, parameters: &mut Parameters, url: &Url, time: Duration) -> Result<Proof, Error> {
        let now = self.clock().now();
        parameters.compute(&RequestContext::new(self.issuer().unwrap_or(url.as_str()), now)).await?;
        let refreshes = parameters.plain("grant_type") == Some("refresh_token");
        if refreshes && self.dialect().refresh_is_alone {
            return Ok(Proof::default());
        }
        let recipient = Recipient { issuer: self.issuer(), endpoint: url, time };
        self.auth().prove(parameters, recipient, now).await
    }

    fn form(
        &self,
        endpoint: Endpoint,
        url: Url,
        parameters: Parameters,
        authorization: Option<HeaderValue>,
    ) -> Result<Request<Bytes>, Error> {
        // A provider's deviations are those of its token endpoint.
        let standard;
        let dialect = match endpoint {
            Endpoint::Token => self.dialect(),
            _ => {
                standard = dialect::standard();
                &standard
            }
        };
        let Encoded { url, content_type, body } = encode(parameters, url, dialect)?;
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = to_uri(&url)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(ACCEPT, ACCEPT_JSON);
        headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
        Ok(request)
    }
}

impl Client {
    /// Adds to an error about the client or its key what the server's metadata supports, and to one about what was asked for
    /// what that was.
    fn with_explanation(
        &self,
        error: Error,
        endpoint: Endpoint,
        algorithm: Option<Algorithm>,
        parameters: &Parameters,
    ) -> Error {
        match error.code() {
            "invalid_client" => {}
            "invalid_dpop_proof" => return error.with_hint(|| self.proof_hint()),
            code => {
                let asked = Asked::in_parameters(parameters).refused_with(code);
                return error.with_asked(asked);
            }
        }
        error.with_hint(|| {
            let known = self.known_metadata()?;
            // An assertion that comes from elsewhere is a private_key_jwt to the server.
            let method = match self.auth().method_name() {
                ASSERTION => "private_key_jwt",
                method => method,
            };
            let methods = known.auth_methods(endpoint)?;
            if !methods.iter().any(|one| one == method) {
                let methods = printable(&methods.join(", "), 256);
                return Some(format!("this client uses {method}, and the server's metadata names {methods}"));
            }
            let signed = algorithm?.name();
            let taken = known.auth_algorithms(endpoint)?;
            if taken.iter().any(|one| one == signed) {
                return None;
            }
            let taken = printable(&taken.join(", "), 256);
            Some(format!("the assertion was signed with {signed}, and the server's metadata names {taken}"))
        })
    }

    fn proof_hint(&self) -> Option<String> {
        let signed = self.prover()?.algorithm().name();
        let taken = self.known_metadata()?.dpop_algorithms()?;
        if taken.iter().any(|one| one == signed) {
            return None;
        }
        let taken = printable(&taken.join(", "), 256);
        Some(format!("the proof was signed with {signed}, and the server's metadata names {taken}"))
    }
}

/// RFC 6749 section 5.2; a bare 401 says the same.
fn is_invalid_client(response: &Response<Bytes>) -> bool {
    if !response.status().is_client_error() {
        return false;
    }
    let named = object_of(response.body()).ok().and_then(|mut body| body.remove("error"));
    match named.as_ref().and_then(Value::as_str) {
        Some(code) => code == "invalid_client",
        None => response.status() == StatusCode::UNAUTHORIZED,
    }
}

impl EndpointResponse {
    /// The JSON object of a success.
    pub(crate) fn into_object(self) -> Result<Map<String, Value>, Error> {
        if self.response.status().is_success() {
            return object_of(self.response.body()).map_err(Error::malformed);
        }
        Err(self.into_error())
    }

    /// Whether it is a success, whose body does not count.
    pub(crate) fn into_success(self) -> Result<(), Error> {
        if self.response.status().is_success() { Ok(()) } else { Err(self.into_error()) }
    }

    fn into_error(self) -> Error {
        let (head, body) = self.response.into_parts();
        let secrets = self.secrets.iter();
        let object = json::object(&body).ok().map(|object| ErrorBody::new(object, secrets.clone()));
        let wait = retry_after(&head.headers, self.received.wall);
        let standard = dialect::standard();
        error_response(head.status, object.as_ref(), &body, &standard, Responder::TokenEndpoint, secrets)
            .with_retry_after(wait)
    }
}

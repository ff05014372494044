//! One request to an endpoint that the client authenticates at, and its answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use serde_json::{Map, Value};
use url::Url;

use super::Client;
use crate::authenticate::{Proof, Recipient};
use crate::clock::Now;
use crate::dialect;
use crate::discover::Endpoint;
use crate::error::Error;
use crate::exchange::{self, Encoded, ErrorBody, Parameters, Refuser, Sending, refusal};
use crate::json;
use crate::token::{Secret, TokenSet};
use crate::transport::{Limits, retry_after, to_uri};

/// What came back, and what is needed to read it.
pub(crate) struct Answer {
    pub(crate) response: Response<Bytes>,
    /// When the request went out.
    pub(crate) sent: Now,
    /// When the answer was there.
    pub(crate) received: Now,
    /// What was sent and must not be seen again.
    pub(crate) secrets: Vec<Secret>,
}

impl Client {
    /// One token request, with so much time left for it. `on_send` is called once the endpoint is known, right before
    /// the request goes out.
    pub(crate) async fn exchange(
        &self,
        parameters: Parameters,
        time: Duration,
        on_send: impl FnOnce(),
    ) -> Result<TokenSet, Error> {
        let answer = self.post(Endpoint::Token, parameters, time, on_send).await?;
        let Answer { response, sent, received, secrets } = answer;
        exchange::decode(response, sent, received, &self.0.dialect, secrets.iter())
    }

    /// One request to an endpoint that authenticates its clients as the token endpoint does, answered with a JSON
    /// object or with nothing.
    ///
    /// # Errors
    /// As [`Client::request`], with the codes of that endpoint.
    pub(crate) async fn ask(
        &self,
        endpoint: Endpoint,
        parameters: Parameters,
    ) -> Result<Map<String, Value>, Error> {
        self.post(endpoint, parameters, self.0.timeout, || {}).await?.into_object()
    }

    /// One form, sent with the client's proof of who it is.
    pub(crate) async fn post(
        &self,
        endpoint: Endpoint,
        mut parameters: Parameters,
        time: Duration,
        on_send: impl FnOnce(),
    ) -> Result<Answer, Error> {
        let began = self.0.clock.now().monotonic;
        let url = self.endpoint(endpoint, time).await?;
        let now = self.0.clock.now();
        let left = time.saturating_sub(now.monotonic.saturating_sub(began));
        let sending = Sending::new(self.issuer().unwrap_or(url.as_str()), now.wall);
        tokio::time::timeout(left, parameters.make(&sending))
            .await
            .map_err(|_| Error::secret("parameters", "not made in time".into()))??;
        let refreshes = parameters.plain("grant_type") == Some("refresh_token");
        let proof = match &self.0.auth {
            _ if refreshes && self.0.dialect.refresh_is_alone => Proof::default(),
            auth => {
                let recipient = Recipient { issuer: self.issuer(), endpoint: &url };
                auth.prove(&mut parameters, recipient, self.0.clock.now()).await?
            }
        };
        let secrets = parameters.secrets().chain(proof.secret.as_ref()).cloned().collect();
        let request = self.form(endpoint, url, parameters, proof.authorization)?;

        on_send();
        let sent = self.0.clock.now();
        let time = time.saturating_sub(sent.monotonic.saturating_sub(began));
        let limits = Limits { timeout: time, allow_http: self.0.allow_http, ..Limits::token() };
        let response = self.0.http.send(request, &limits).await?;
        Ok(Answer { response, sent, received: self.0.clock.now(), secrets })
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
            Endpoint::Token => &self.0.dialect,
            _ => {
                standard = dialect::standard();
                &standard
            }
        };
        let Encoded { url, content_type, body } = exchange::encode(parameters, url, dialect)?;
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = to_uri(&url)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
        Ok(request)
    }
}

impl Answer {
    /// The JSON object of a success; empty where a success has no body (RFC 7009 section 2.2).
    pub(crate) fn into_object(self) -> Result<Map<String, Value>, Error> {
        let (head, body) = self.response.into_parts();
        let object = json::object(&body);
        if head.status.is_success() {
            return if body.is_empty() { Ok(Map::new()) } else { object.map_err(Error::malformed) };
        }
        let secrets = self.secrets.iter();
        let object = object.ok().map(|object| ErrorBody::new(object, secrets.clone()));
        let wait = retry_after(&head.headers, self.received.wall);
        let standard = dialect::standard();
        Err(refusal(head.status, object.as_ref(), &body, &standard, Refuser::TokenEndpoint, secrets)
            .with_retry_after(wait))
    }
}

//! Attacks endpoints for logout tokens and security events over their address, whatever they are written in.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::deliver::{Answer, DeliveryError, send};
use super::{AttackedEndpoint, ExpectedAnswer, Parcel, StatementAttack, StatementContext, all};
use crate::builder::StartError;
use crate::server::MockServer;

/// What is to be attacked: an endpoint for logout tokens, one for security events, or both; and an API whose tokens they end.
///
/// ```no_run
/// use oauth_mock::statements::EndpointSuite;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let suite = EndpointSuite::new("http://127.0.0.1:3000/whoami")
///     .backchannel_logout("http://127.0.0.1:3000/backchannel-logout")
///     .client_id("shop")
///     .listen(([127, 0, 0, 1], 9000));
/// let server = suite.start().await?; // the API is to trust `server.issuer()`
/// let report = suite.run(&server).await?;
/// println!("{report}");
/// assert_eq!(report.holes(), 0);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is attacked before `start` and `run`"]
pub struct EndpointSuite {
    api: String,
    logout: Option<String>,
    events: Option<String>,
    client_id: String,
    audience: String,
    scope: Option<String>,
    claims: Vec<(String, Value)>,
    listen: SocketAddr,
    wait: Duration,
    only: Vec<String>,
}

/// One row of the table, and what came of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointCase {
    /// The row.
    pub attack: &'static StatementAttack,
    /// What the endpoint responded.
    pub answer: Answer,
    /// Whether the API takes the user's token afterwards.
    pub is_token_good: bool,
    /// What is wrong with the response, if something is.
    pub mistake: Option<String>,
}

impl EndpointCase {
    /// Judges a response. `is_token_good`: whether an access token of the user, from before, is still accepted.
    #[must_use]
    pub fn judge(attack: &'static StatementAttack, answer: Answer, is_token_good: bool) -> Self {
        let mut case = Self { attack, answer, is_token_good, mistake: None };
        case.mistake = case.mistake();
        case
    }

    /// Whether the tokens of a user ended who was not to be logged out, or a logout was taken and had no effect. One that
    /// was refused is none: its sender knows.
    #[must_use]
    pub fn is_hole(&self) -> bool {
        match self.attack.expected {
            ExpectedAnswer::Effect => self.is_token_good && self.is_success(),
            ExpectedAnswer::EffectOrRefused | ExpectedAnswer::Choice if self.is_success() => {
                self.is_token_good && self.attack.expected == ExpectedAnswer::EffectOrRefused
            }
            _ => !self.is_token_good,
        }
    }

    fn is_success(&self) -> bool {
        is_success(self.answer.status)
    }

    fn mistake(&self) -> Option<String> {
        let status = self.answer.status;
        let is_logout = self.attack.endpoint == AttackedEndpoint::BackchannelLogout;
        // Back-Channel Logout section 2.8, RFC 8935 section 2.2.
        let taken: &[u16] = if is_logout { &[200, 204] } else { &[202] };
        let either = format!("expected {} or 400", taken[0]);
        match self.attack.expected {
            ExpectedAnswer::EffectOrRefused | ExpectedAnswer::Choice if !self.is_success() => match status {
                _ if !self.is_token_good => Some("refused, and a token ended".to_owned()),
                400 => self.refusal(None),
                _ => Some(either),
            },
            ExpectedAnswer::Choice if !taken.contains(&status) => Some(either),
            ExpectedAnswer::Choice => self.no_store(),
            ExpectedAnswer::Effect | ExpectedAnswer::EffectOrRefused if self.is_token_good => {
                let what = if self.is_success() { "taken, and the token is still good" } else { "refused" };
                Some(what.to_owned())
            }
            ExpectedAnswer::Effect | ExpectedAnswer::EffectOrRefused | ExpectedAnswer::NoEffect
                if !taken.contains(&status) =>
            {
                Some(format!("expected {}", taken[0]))
            }
            ExpectedAnswer::Effect | ExpectedAnswer::EffectOrRefused => self.no_store(),
            _ if !self.is_token_good => Some("a token ended".to_owned()),
            ExpectedAnswer::NoEffect => self.no_store(),
            ExpectedAnswer::MethodNotAllowed if status != 405 => Some("expected 405".to_owned()),
            ExpectedAnswer::MethodNotAllowed => None,
            // A receiver that fetched keys a moment ago cannot say yet whether this one is new, and a final refusal of a new one
            // would lose a logout.
            ExpectedAnswer::Refused("invalid_key")
                if status == 503 && self.answer.header("retry-after").is_some() =>
            {
                self.no_store()
            }
            ExpectedAnswer::Refused(_) if status != 400 => Some("expected 400".to_owned()),
            ExpectedAnswer::Refused(err) => self.refusal(Some(err)),
        }
    }

    /// What is wrong with a 400, which has to say why (Back-Channel Logout section 2.8, RFC 8935 section 2.3): for security
    /// events with this code, or with any.
    fn refusal(&self, err: Option<&str>) -> Option<String> {
        let body = serde_json::from_str::<Value>(&self.answer.body).unwrap_or_default();
        let is_logout = self.attack.endpoint == AttackedEndpoint::BackchannelLogout;
        match err {
            _ if is_logout && !body["error"].is_string() => Some("the body has no error".to_owned()),
            None if !is_logout && !body["err"].is_string() => Some("the body has no err".to_owned()),
            Some(err) if !is_logout && body["err"] != err => {
                Some(format!("expected err {err}, got {}", body["err"]))
            }
            _ => self.no_store(),
        }
    }

    fn no_store(&self) -> Option<String> {
        let is_there = self.answer.header("cache-control").is_some_and(|value| value.contains("no-store"));
        (!is_there).then(|| "Cache-Control: no-store is missing".to_owned())
    }
}

/// What came of all of it. Its `Display` is a table.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointReport {
    /// Each row.
    pub cases: Vec<EndpointCase>,
}

impl EndpointReport {
    /// A report of cases that were judged elsewhere.
    #[must_use]
    pub fn new(cases: Vec<EndpointCase>) -> Self {
        Self { cases }
    }

    /// How many help an attacker.
    #[must_use]
    pub fn holes(&self) -> usize {
        self.cases.iter().filter(|case| case.is_hole()).count()
    }

    /// How many are not what the standards say, holes included.
    #[must_use]
    pub fn mistakes(&self) -> usize {
        self.cases.iter().filter(|case| case.mistake.is_some()).count()
    }
}

impl fmt::Display for EndpointReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (endpoint, name) in [
            (AttackedEndpoint::BackchannelLogout, "logout token"),
            (AttackedEndpoint::SecurityEvents, "security event token"),
        ] {
            let cases: Vec<_> = self.cases.iter().filter(|case| case.attack.endpoint == endpoint).collect();
            if cases.is_empty() {
                continue;
            }
            writeln!(f, "{name:<26} {:<8} {:<18} {:<9} rule", "response", "code", "token")?;
            for case in cases {
                let body = serde_json::from_str::<Value>(&case.answer.body).unwrap_or_default();
                let code = body["err"].as_str().or_else(|| body["error"].as_str()).unwrap_or("-");
                let token = if case.is_token_good { "good" } else { "ended" };
                let (id, status, rule) = (case.attack.id, case.answer.status, case.attack.rule);
                write!(f, "{id:<26} {status:<8} {code:<18} {token:<9} {rule} ({})", case.attack.clause)?;
                match &case.mistake {
                    Some(mistake) if case.is_hole() => writeln!(f, "  HOLE: {mistake}")?,
                    Some(mistake) => writeln!(f, "  MISTAKE: {mistake}")?,
                    None => writeln!(f)?,
                }
            }
            writeln!(f)?;
        }
        write!(f, "{} cases, {} holes, {} mistakes", self.cases.len(), self.holes(), self.mistakes())
    }
}

impl EndpointSuite {
    /// GET requests to this address with an access token say whether tokens are still good.
    pub fn new(api: impl Into<String>) -> Self {
        Self {
            api: api.into(),
            logout: None,
            events: None,
            client_id: "shop".to_owned(),
            audience: "orders-api".to_owned(),
            scope: None,
            claims: Vec::new(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            wait: Duration::from_secs(30),
            only: Vec::new(),
        }
    }

    /// The endpoint for logout tokens.
    pub fn backchannel_logout(mut self, url: impl Into<String>) -> Self {
        self.logout = Some(url.into());
        self
    }

    /// The endpoint for security events.
    pub fn security_events(mut self, url: impl Into<String>) -> Self {
        self.events = Some(url.into());
        self
    }

    /// Whom the tokens are for: their `aud`. By default `shop`.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = id.into();
        self
    }

    /// The audience that the API is. By default `orders-api`.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// The scope that the API wants of an access token. By default there is none.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// A further claim that the API wants of an access token. May be called more than once.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.push((name.into(), value.into()));
        self
    }

    /// Where the issuer listens. By default on a free port.
    pub fn listen(mut self, address: impl Into<SocketAddr>) -> Self {
        self.listen = address.into();
        self
    }

    /// How long the API may take until it takes the first good token. By default 30 seconds.
    pub fn wait(mut self, time: Duration) -> Self {
        self.wait = time;
        self
    }

    /// Only this row, by its id. Call again for more; by default all.
    pub fn only(mut self, id: impl Into<String>) -> Self {
        self.only.push(id.into());
        self
    }

    /// Becomes the issuer that the API has to trust.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(&self) -> Result<MockServer, StartError> {
        MockServer::builder().audience(&self.audience).listen(self.listen).try_start().await
    }

    /// Sends everything, in order.
    ///
    /// # Errors
    /// When something does not respond, the API takes no good token to begin with, or takes no more of them later: what
    /// ended a token and what did not could then not be told apart.
    pub async fn run(&self, server: &MockServer) -> Result<EndpointReport, DeliveryError> {
        self.ready(server).await?;
        let mut cases = Vec::new();
        for (number, attack) in all().enumerate() {
            let url = match attack.endpoint {
                AttackedEndpoint::BackchannelLogout => &self.logout,
                AttackedEndpoint::SecurityEvents => &self.events,
            };
            let Some(url) = url else { continue };
            if !self.only.is_empty() && !self.only.iter().any(|id| id == attack.id) {
                continue;
            }
            let subject = format!("user-{number}");
            let token = self.token(server, &subject);
            let before = self.status(&token).await?;
            if !is_success(before) {
                let problem = format!("before {} a good token of a new user got {before}", attack.id);
                return Err(DeliveryError::new(&self.api, problem));
            }
            let parcel = attack.parcel(&StatementContext::new(server, &self.client_id, &subject));
            let answer = send(url, &parcel, None).await?;
            let is_token_good = is_success(self.status(&token).await?);
            cases.push(EndpointCase::judge(attack, answer, is_token_good));
        }
        Ok(EndpointReport { cases })
    }

    async fn ready(&self, server: &MockServer) -> Result<(), DeliveryError> {
        let deadline = tokio::time::Instant::now() + self.wait;
        loop {
            let status = self.status(&self.token(server, "first")).await;
            if matches!(status, Ok(status) if is_success(status)) {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                let (seconds, issuer) = (self.wait.as_secs(), server.issuer());
                let problem = format!(
                    "after {seconds} s a good token gets {}; the API must trust the issuer {issuer} and be the audience {:?}, \
                     and what it wants beside them is given with --scope and --claim",
                    status?, self.audience
                );
                return Err(DeliveryError::new(&self.api, problem));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// A good access token of this user: its subject is the one that statements are about, whatever claims are added.
    fn token(&self, server: &MockServer, subject: &str) -> String {
        let token = self.scope.iter().fold(server.mint(), |token, scope| token.scope(scope.clone()));
        let claims = self.claims.iter();
        let token = claims.fold(token, |token, (name, value)| token.claim(name.clone(), value.clone()));
        token.subject(subject).build()
    }

    /// What the API responds to a token.
    async fn status(&self, token: &str) -> Result<u16, DeliveryError> {
        let get = Parcel { method: Method::GET, content_type: None, body: bytes::Bytes::new() };
        Ok(send(&self.api, &get, Some(token)).await?.status)
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

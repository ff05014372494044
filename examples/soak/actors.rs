//! Those who call the API, each with an idea of what has to come back, and the operator.

use std::sync::Arc;
use std::time::Duration;

use oauth_client::attach::AttachError;
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use oauth_guard::revocation::Revocation;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::Failure;
use crate::api::Api;
use crate::authority::{Authority, LIFETIME, TENANTS};
use crate::counts::Counts;

/// Callers of a service, and users.
const SERVICES: u32 = 8;
const USERS: u32 = 10;
/// How long an outage of the authorization server lasts: some tokens expire meanwhile, most do not.
const OUTAGE: Duration = Duration::from_secs(5);

/// What the client may report of one.
const OF_AN_OUTAGE: [&str; 2] = ["timeout", "transport"];

/// All that runs.
pub(crate) struct World {
    actors: JoinSet<Result<(), Failure>>,
    api: Arc<Api>,
}

/// What every actor has.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) authority: Arc<Authority>,
    pub(crate) api: Arc<Api>,
    pub(crate) counts: Arc<Counts>,
    http: reqwest::Client,
    /// How long an actor waits between two requests.
    pub(crate) pace: Duration,
    ended: watch::Receiver<bool>,
}

/// What explains a response other than 200, if it has taken place.
#[derive(Clone, Copy, Default)]
pub(crate) struct Excuses {
    /// Keys or a tenant are not known, and cannot be fetched.
    trouble: bool,
    /// Forged tokens with key ids of their own use up the fetches that a cool-down allows.
    new_key: bool,
}

impl Excuses {
    pub(crate) fn of(authority: &Authority) -> Self {
        Self { trouble: authority.is_in_trouble(), new_key: authority.has_a_new_key() }
    }

    /// What has taken place until now, or takes place now.
    pub(crate) fn or(self, now: Self) -> Self {
        Self { trouble: self.trouble || now.trouble, new_key: self.new_key || now.new_key }
    }
}

impl World {
    pub(crate) async fn start(
        authority: &Arc<Authority>,
        counts: &Arc<Counts>,
        rate: u32,
        with_wrk: bool,
        ended: watch::Receiver<bool>,
    ) -> Result<Self, Failure> {
        let api = Arc::new(Api::start(authority).await?);
        // Tenants, strangers and those with new tokens are three more.
        let callers = SERVICES + USERS + 3;
        let pace = Duration::from_secs(1) * callers / rate.max(1);
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let (authority, counts) = (Arc::clone(authority), Arc::clone(counts));
        let scene = Scene { authority, api: Arc::clone(&api), counts, http, pace, ended };
        let mut actors = JoinSet::new();
        let service = scene.client("service")?.source(grant::client_credentials().scope(["read"])).build()?;
        for _ in 0..SERVICES {
            actors.spawn(scene.clone().service(service.clone()));
        }
        for user in 0..USERS {
            actors.spawn(scene.clone().user(user));
        }
        actors.spawn(scene.clone().new_tokens());
        actors.spawn(scene.clone().tenants());
        actors.spawn(scene.clone().strangers());
        if with_wrk {
            actors.spawn(scene.clone().storm());
        }
        actors.spawn(scene.operator());
        Ok(Self { actors, api })
    }

    /// Waits until all have ended by themselves.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        while let Some(ended) = self.actors.join_next().await {
            ended??;
        }
        let api = Arc::into_inner(self.api).ok_or("an actor still has the API")?;
        api.end().await
    }
}

impl Scene {
    fn client(&self, id: &str) -> Result<Client, Failure> {
        let client = Client::builder().issuer(&self.authority.issuer).auth(ClientAuth::basic(id, "s3cr3t"));
        Ok(client.build()?)
    }

    /// Waits for the next turn; false when the run is over.
    pub(crate) async fn goes_on(&mut self, wait: Duration) -> bool {
        timeout(wait, self.ended.wait_for(|ended| *ended)).await.is_err()
    }

    /// Calls with a token as it is, and returns the status.
    async fn call(&self, token: Option<&str>) -> Result<u16, String> {
        let request = self.http.get(format!("{}/orders", self.api.url));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await.map_err(|error| format!("no response: {error:?}"))?;
        whole(response).await
    }

    /// Calls, and has a response other than 200 explained.
    async fn expect_good(&self, who: &str, token: &str) {
        self.judge(who, &self.call(Some(token)).await);
    }

    /// Counts what came back where 200 was due.
    fn judge(&self, who: &str, outcome: &Result<u16, String>) {
        let excuses = Excuses::of(&self.authority);
        match outcome {
            Ok(status) => self.judge_many(who, *status, 1, excuses),
            Err(error) => self.counts.unexplained(who, &format!("200 was due: {error}")),
        }
    }

    /// Counts as many responses of this status, where 200 was due.
    pub(crate) fn judge_many(&self, who: &str, status: u16, count: u64, excuses: Excuses) {
        match status {
            200 => self.counts.good(who, count),
            503 if excuses.trouble => self.counts.of_outage(who, "503", count),
            401 if excuses.new_key => self.counts.rejected(who, "a key that is new", count),
            _ => self.counts.unexplained(who, &format!("200 was due: {count} times {status}")),
        }
    }

    async fn expect_rejection(&self, who: &str, why: &str, token: Option<&str>) {
        match self.call(token).await {
            Ok(401) => self.counts.rejected(who, why, 1),
            Ok(503) if self.authority.is_in_trouble() => self.counts.of_outage(who, "503", 1),
            other => self.counts.unexplained(who, &format!("401 was due ({why}): {other:?}")),
        }
    }

    /// Calls by the client's own means. Returns whether the login is lost.
    async fn call_as(&self, who: &str, caller: &AuthorizedClient) -> bool {
        match caller.get(format!("{}/orders", self.api.url)).send().await {
            Ok(response) => {
                self.judge(who, &whole(response).await);
                false
            }
            Err(AttachError::Token(error))
                if self.authority.is_in_trouble() && OF_AN_OUTAGE.contains(&error.code()) =>
            {
                self.counts.of_outage(who, error.code(), 1);
                error.is_reauthorization_required()
            }
            Err(error) => {
                self.counts.unexplained(who, &format!("{error:?}"));
                false
            }
        }
    }

    /// One of several callers that share a token.
    async fn service(mut self, source: TokenSource) -> Result<(), Failure> {
        let caller = AuthorizedClient::new(self.http.clone(), source.clone());
        while self.goes_on(self.pace).await {
            self.call_as("service", &caller).await;
        }
        Ok(source.settle().await?)
    }

    /// Logs in, calls, logs out, again and again.
    async fn user(mut self, number: u32) -> Result<(), Failure> {
        let (name, client) = (format!("user-{number}"), self.client("web")?);
        let mut logins = 0;
        while self.goes_on(self.pace).await {
            let login = grant::refresh_token(self.authority.log_in(&name).await?).subject(&name);
            let source = client.source(login).build()?;
            let caller = AuthorizedClient::new(self.http.clone(), source.clone());
            logins += 1;
            // They stay for some seconds, or beyond the lifetime of several tokens.
            let until = Instant::now() + Duration::from_secs(5) + LIFETIME * ((number + logins) % 5) / 2;
            let mut is_lost = false;
            while !is_lost && Instant::now() < until && self.goes_on(self.pace).await {
                is_lost = self.call_as("user", &caller).await;
            }
            source.settle().await?;
            let Some(token) = source.current().filter(|_| !is_lost) else { continue };
            self.log_out(&name, token.secret().expose()).await?;
        }
        Ok(())
    }

    /// Sends the API a logout token, as the server would; the user's tokens end with it.
    async fn log_out(&mut self, user: &str, token: &str) -> Result<(), Failure> {
        let logout = json!({ "client_id": "web", "subject": user });
        let logout = self.authority.order("logout_token", &logout).await?;
        let form = format!("logout_token={}", logout["token"].as_str().ok_or("no logout token")?);
        loop {
            if *self.ended.borrow() {
                return Ok(());
            }
            let request = self.http.post(format!("{}/backchannel-logout", self.api.url)).body(form.clone());
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            match request.send().await?.status().as_u16() {
                200 => break,
                // A server sends it again.
                _ if self.authority.is_in_trouble() || self.authority.has_a_new_key() => {
                    sleep(Duration::from_millis(500)).await;
                }
                status => {
                    self.counts.unexplained("user", &format!("the logout token was refused: {status}"));
                    return Ok(());
                }
            }
        }
        self.expect_rejection("user", "logged out", Some(token)).await;
        self.counts.event("logouts");
        // A logout ends the tokens of the second it came in.
        sleep(Duration::from_millis(2100)).await;
        Ok(())
    }

    /// Each token is new to the API, used some times and at times revoked.
    async fn new_tokens(mut self) -> Result<(), Failure> {
        let (mut number, issuer) = (0_u64, self.authority.issuer.clone());
        while self.goes_on(self.pace).await {
            number += 1;
            let id = format!("token-{number}");
            let claims =
                json!({ "subject": format!("visitor-{number}"), "scope": "read", "claims": { "jti": id } });
            let token = self.authority.mint(None, &claims).await?;
            for _ in 0..2 {
                self.expect_good("visitor", &token).await;
                if !self.goes_on(self.pace).await {
                    return Ok(());
                }
            }
            if number.is_multiple_of(4) {
                self.api.guard.revocations().revoke(Revocation::token(&*issuer, &*id)).await?;
                self.expect_rejection("visitor", "revoked", Some(&token)).await;
                self.counts.event("tokens revoked");
            }
        }
        Ok(())
    }

    /// Tenants are used, forgotten and used again; some do not exist.
    async fn tenants(mut self) -> Result<(), Failure> {
        let mut number = 0_usize;
        while self.goes_on(self.pace).await {
            number += 1;
            let tenant = number * 7 % TENANTS;
            let claims = json!({ "subject": "ada", "scope": "read" });
            let token = self.authority.mint(Some(&format!("tenant-{tenant}")), &claims).await?;
            self.expect_good("tenant", &token).await;
            if number.is_multiple_of(5) {
                self.api.guard.forget_issuer(&self.authority.tenant(tenant));
                self.counts.event("tenants forgotten");
            }
            if number.is_multiple_of(3) && self.goes_on(self.pace).await {
                let invented = self.authority.tenant(TENANTS + number);
                let claims = json!({ "subject": "ada", "scope": "read", "issuer": invented });
                let token = self.authority.mint(None, &claims).await?;
                self.expect_rejection("tenant", "does not exist", Some(&token)).await;
            }
        }
        Ok(())
    }

    /// Those without a good token.
    async fn strangers(mut self) -> Result<(), Failure> {
        let mut number = 0_u64;
        while self.goes_on(self.pace).await {
            number += 1;
            let (why, token) = match number % 4 {
                0 => ("no token", None),
                1 => ("no token of ours", Some(format!("stranger-{number}"))),
                2 => ("expired", Some(self.authority.mint(None, &json!({ "expires_in": -3600 })).await?)),
                _ => (
                    "a foreign key",
                    Some(self.authority.mint(None, &json!({ "foreign_key": "ES256" })).await?),
                ),
            };
            self.expect_rejection("stranger", why, token.as_deref()).await;
        }
        Ok(())
    }

    /// Rotates keys, has the server go away, and reloads, in turn.
    async fn operator(mut self) -> Result<(), Failure> {
        let nothing = json!({});
        while self.goes_on(Duration::from_secs(5)).await {
            self.api.reload(&self.authority)?;
            self.counts.event("reloads");
            self.authority.rotate().await?;
            self.counts.event("key rotations");
            if !self.goes_on(Duration::from_secs(10)).await {
                break;
            }
            self.authority.go_away(OUTAGE).await?;
            self.counts.event("outages");
            // Until no token is left that the old key has signed.
            if !self.goes_on(LIFETIME + Duration::from_secs(10)).await {
                break;
            }
            self.api.reload(&self.authority)?;
            self.counts.event("reloads");
            self.authority.order("keys/retire", &nothing).await?;
        }
        Ok(())
    }
}

/// The status of a response that is read to its end, so that the connection is used again.
async fn whole(response: reqwest::Response) -> Result<u16, String> {
    let status = response.status().as_u16();
    response.bytes().await.map_err(|error| format!("no body: {error:?}"))?;
    Ok(status)
}

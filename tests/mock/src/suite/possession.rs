//! The parts about bound tokens: their settings, what the target says of proofs, and their rows, one by one.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::report::Case;
use super::run::Run;
use super::target::{NoResponse, Outcome, TargetResponse};
use super::{Suite, SuiteError, probe};
use crate::attack::possession::IN_ORDER;
use crate::attack::{self, Attack, AttackContext, AttackRequest, CertificateHeader, Part};

/// How often a request is made anew because the target wants another nonce.
const AGAIN: usize = 3;
const PAUSE: Duration = Duration::from_millis(250);

impl Suite {
    /// Which of the target's defences is attacked; by default those of [`Part::Tokens`].
    ///
    /// ```
    /// # use oauth_mock::suite::Suite;
    /// use oauth_mock::attack::{CertificateHeader, Part};
    ///
    /// let proofs = Suite::new("http://127.0.0.1:3000/").part(Part::Dpop).public_url("https://api.test/");
    /// let certificates = Suite::new("http://127.0.0.1:3000/")
    ///     .part(Part::Certificates)
    ///     .certificate_header(CertificateHeader::Xfcc)
    ///     .untrusted_from([127, 0, 0, 2]);
    /// ```
    pub fn part(mut self, part: Part) -> Self {
        self.bound.part = part;
        self
    }

    /// What callers know the target by, if that is not the address that is attacked: proofs are made for it.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.bound.public_url = Some(url.into());
        self
    }

    /// How long a DPoP nonce of the target's lives: a stale one is tried as well, which takes twice this time.
    pub fn nonce_lifetime(mut self, lifetime: Duration) -> Self {
        self.bound.nonce_lifetime = Some(lifetime);
        self
    }

    /// The header in which the target's proxy names certificates; `Client-Cert` by default. The suite is that proxy.
    pub fn certificate_header(mut self, header: CertificateHeader) -> Self {
        self.bound.header = Some(header);
        self
    }

    /// An address of this machine that the target does not trust as a proxy; on Linux all of 127.0.0.0/8 are there.
    pub fn untrusted_from(mut self, address: impl Into<IpAddr>) -> Self {
        self.bound.untrusted = Some(address.into());
        self
    }
}

/// What a suite knows of bound tokens.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) part: Part,
    public_url: Option<String>,
    nonce_lifetime: Option<Duration>,
    header: Option<CertificateHeader>,
    untrusted: Option<IpAddr>,
}

impl Default for Bound {
    fn default() -> Self {
        Self { part: Part::Tokens, public_url: None, nonce_lifetime: None, header: None, untrusted: None }
    }
}

impl Bound {
    fn header(&self) -> CertificateHeader {
        self.header.unwrap_or(CertificateHeader::ClientCert)
    }

    /// The settings that are there, each with the part that uses it.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&'static str, Part)> {
        [
            ("public_url", self.public_url.is_some(), Part::Dpop),
            ("nonce_lifetime", self.nonce_lifetime.is_some(), Part::Dpop),
            ("certificate_header", self.header.is_some(), Part::Certificates),
            ("untrusted_from", self.untrusted.is_some(), Part::Certificates),
        ]
        .into_iter()
        .filter_map(|(name, is_set, part)| is_set.then_some((name, part)))
    }

    /// The address that proofs are made for.
    fn address<'a>(&'a self, target: &'a str) -> &'a str {
        self.public_url.as_deref().unwrap_or(target)
    }

    /// How good tokens are bound, in words; `None` for bearer tokens.
    pub(super) fn describe(&self, target: &str) -> Option<String> {
        match self.part {
            Part::Dpop => Some(format!("DPoP, proofs for {}", self.address(target))),
            Part::Certificates => Some(format!("certificates, named in {}", self.header().name())),
            Part::Tokens => None,
        }
    }

    /// A context whose good tokens are bound like this.
    pub(super) fn bind(&self, context: AttackContext, target: &str, method: &http::Method) -> AttackContext {
        match self.part {
            Part::Tokens => context,
            Part::Dpop => {
                let context = context.dpop(self.address(target)).dpop_method(method);
                self.nonce_lifetime.into_iter().fold(context, AttackContext::dpop_nonce_lifetime)
            }
            Part::Certificates => {
                let context = context.certificates(self.header());
                self.untrusted.into_iter().fold(context, AttackContext::untrusted_from)
            }
        }
    }
}

impl Run<'_> {
    /// Shows good bound tokens until one is accepted.
    pub(super) async fn wait_for_a_bound_token(&mut self) -> Result<(), SuiteError> {
        let deadline = Instant::now() + self.suite.wait;
        loop {
            self.read_challenge().await;
            let as_access_token = self.good_one().await;
            if as_access_token.as_ref().is_ok_and(TargetResponse::accepted) {
                return Ok(());
            }
            let before = self.context.clone();
            self.context = before.clone().typ("JWT");
            if self.good_one().await.is_ok_and(|response| response.accepted()) {
                return Ok(());
            }
            self.context = before;
            if Instant::now() >= deadline {
                let why = probe::why_never(&as_access_token, self.server, self.suite.wait);
                return Err(SuiteError::NeverAccepted(why));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What the challenge says about proofs: to no token at all, or to a bound one without its proof.
    async fn read_challenge(&mut self) {
        if self.suite.bound.part != Part::Dpop || !self.context.challenge_algorithms().is_empty() {
            return;
        }
        let without = attack::find("dpop-proof-missing").map(|row| row.requests(&self.context));
        let without = without.into_iter().flatten().take(1);
        for request in [AttackRequest::plain("")].into_iter().chain(without) {
            let outcome = self.target.send(&request, self.target.patience()).await;
            self.learn(&outcome);
            let Ok(response) = outcome else { return };
            let named = response.dpop_algorithms();
            if !named.is_empty() {
                self.context = self.context.clone().dpop_algorithms(named.iter().map(String::as_str));
                return;
            }
        }
    }

    /// A good request. Where the target wants another nonce in it, once more.
    pub(super) async fn good_one(&mut self) -> Outcome {
        let mut outcome = Err(NoResponse::Closed);
        for _ in 0..AGAIN {
            let request = self.control();
            outcome = self.target.send(&request, self.target.patience()).await;
            if !self.learn(&outcome) {
                break;
            }
        }
        outcome
    }

    /// Takes the nonce of a response, if it has one (RFC 9449 section 8.2). Whether the target wants it at once.
    fn learn(&mut self, outcome: &Outcome) -> bool {
        let (Part::Dpop, Ok(response)) = (self.suite.bound.part, outcome) else { return false };
        let Some(nonce) = response.header("dpop-nonce") else { return false };
        self.context = self.context.clone().dpop_nonce(nonce);
        response.error() == Some("use_dpop_nonce")
    }

    pub(super) async fn bound_rows(&mut self) {
        for attack in attack::of(self.suite.bound.part) {
            if !self.wants(attack) {
                continue;
            }
            self.begin(attack);
            let requests = attack.requests(&self.context);
            if requests.is_empty() {
                let why_not = self.why_none(attack);
                self.note(Case::untried(attack, why_not));
                continue;
            }
            self.bound_row(attack, requests).await;
            self.check_on(attack).await;
        }
    }

    /// Sends the requests of a row. One that was made with a nonce that is no longer the target's is made anew.
    async fn bound_row(&mut self, attack: &'static Attack, mut requests: Vec<AttackRequest>) {
        let (noted, in_order) = (self.noted(), IN_ORDER.contains(&attack.id));
        let (mut at, mut again) = (0, 0);
        while let Some(request) = requests.get(at).filter(|_| !self.is_over()).cloned() {
            tokio::time::sleep(request.wait()).await;
            let outcome = self.target.send(&request, self.target.patience()).await;
            let about_nonces = request.expected().error == Some("use_dpop_nonce");
            if self.learn(&outcome) && !about_nonces && again < AGAIN {
                again += 1;
                requests = attack.requests(&self.context);
                if in_order {
                    self.forget(noted);
                    at = 0;
                }
                continue;
            }
            self.record(attack, &request, &outcome);
            if outcome.is_err_and(|reason| reason != NoResponse::Throttled) {
                self.check_on(attack).await;
            }
            at += 1;
            again = if in_order { again } else { 0 };
        }
    }

    /// Why a row has no requests for this target.
    fn why_none(&self, attack: &Attack) -> &'static str {
        match attack.id {
            "dpop-nonce-unasked" => "the target asks for nonces",
            "dpop-nonce-stale" if self.context.has_nonce() => "how long nonces live is not known",
            "dpop-nonce" | "dpop-nonce-stale" => "the target asks for no nonce",
            "dpop-alg-not-listed" | "dpop-algorithms" if self.context.challenge_algorithms().is_empty() => {
                "the challenge names no algorithms"
            }
            "dpop-alg-not-listed" => "every algorithm is listed",
            "cert-past-the-proxy" => "no address is known that is not trusted",
            "cert-xfcc-quoted" | "cert-xfcc-contradiction" => "the proxy writes another header",
            _ => "there is nothing to send",
        }
    }
}

//! Why a token is accepted or rejected: every check of one token, for the operator.

mod request;

use std::fmt;
use std::sync::Arc;

use oauth_client::clock::{Clock, Now};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bearer;
use crate::claims::Claims;
use crate::error::TokenError;
use crate::escape::escaped;
use crate::guard::Guard;
use crate::introspect::IntrospectedTokens;
use crate::issuer::{IssuerState, Profile};
use crate::jose::{self, Algorithm, CompactJws, Header, Issued};
use crate::json::{self, Text};
use crate::keys::Freshness;
use crate::reject::{Rejection, advice};
use crate::revocation::Verdict;
use crate::snapshot::Snapshot;
use crate::validate::{Buffers, ClaimSet, IssuerLookup, ParsedToken, Validation, Visitor, check_size};

/// How many members of a header or a payload are shown.
const MOST_SHOWN: usize = 64;

/// Every check of one token and its outcome, see [`Guard::explain`]. Its `Display` is a table; it can be serialized too.
///
/// It shows the token's claims, so treat it as personal data. It never contains the signature, so it cannot be used in
/// place of the token.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The [`Rejection::code`] of a request with this token. `None`: the token is valid; the requirements of the route come
    /// on top.
    pub code: Option<&'static str>,
    /// The [`Rejection::reason`].
    pub reason: Option<&'static str>,
    /// Whether the signature is by a key of the issuer. If not, header and claims may be forged.
    pub verified: bool,
    /// What to look at or to change, with the names of settings as in a [configuration](crate::config).
    pub change: Option<&'static str>,
    /// The checks, in their order. A request is rejected at the first that fails.
    pub checks: Vec<ExplainedCheck>,
    /// The members of the header.
    pub header: Vec<ExplainedMember>,
    /// The members of the payload.
    pub claims: Vec<ExplainedMember>,
}

/// One check and its outcome.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ExplainedCheck {
    /// What is checked: a claim's name, or a word such as `form` or `signature`.
    pub check: &'static str,
    /// Its outcome.
    pub outcome: Outcome,
    /// What was found or expected.
    pub detail: Option<String>,
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The check passed.
    Passed,
    /// The check failed.
    Failed,
    /// The check could not be made.
    Skipped,
}

/// One member of a header or a payload.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ExplainedMember {
    /// Its name.
    pub name: String,
    /// Its value as JSON text; cut if it is long, and with everything escaped that is not plain ASCII.
    pub value: String,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Guard<T> {
    /// Reports every check that a request with this token goes through, with its outcome and detail: for the operator who
    /// wants to know why a caller is rejected. The checks are those of the guard, except that they go on after the first
    /// failure. Nothing is fetched and nothing cached; where keys are missing, the signature check is skipped, see
    /// [`explain_fetching`](Self::explain_fetching). While a source of revocations is away and nothing is served without it,
    /// that is what it reports.
    ///
    /// ```
    /// use oauth_guard::{Guard, Issuer};
    ///
    /// let guard = Guard::builder().issuer(Issuer::new("https://auth.example.com").audience("orders-api")).build()?;
    /// let explanation = guard.explain("not-a-jwt");
    /// assert_eq!(explanation.reason, Some("token_malformed"));
    /// println!("{explanation}");
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    #[must_use]
    pub fn explain(&self, token: &str) -> Explanation {
        let snapshot = self.snapshot();
        explain(&snapshot, token.trim(), snapshot.clock.now(), None)
    }

    /// As [`explain`](Self::explain), but fetches the issuer's keys first if they are missing, within the limits that
    /// apply to requests, and waits for the first read of the sources of revocations as they do.
    pub async fn explain_fetching(&self, token: &str) -> Explanation {
        let snapshot = Arc::clone(&*self.snapshot());
        let text = token.trim();
        if snapshot.feeds.list.is_starting() {
            snapshot.feeds.started().await;
        }
        if let Ok(Some(issuer)) = snapshot.asked_without_keys(text, snapshot.clock.now()) {
            let outcome = snapshot.introspect(Arc::clone(&issuer), None, text, None).await;
            return explain_asked(&issuer, text, snapshot.clock.now(), Some(outcome)).explanation;
        }
        // The issuer, its keys, newer keys.
        for _ in 0..3 {
            let now = snapshot.clock.now();
            let fetch = snapshot.pending_fetch(token.trim(), now);
            let Some(flight) = fetch.and_then(|fetch| fetch.start(now).ok()) else { break };
            // Whether it landed or was lost with its runtime: the checks below show the keys.
            let _ = flight.landed().await;
        }
        let now = snapshot.clock.now();
        let outcome = if is_asked_about_jwt(&snapshot, text, now)
            && let Validation::Introspect { issuer, jwt } = snapshot.validate(text, None, now, false)
        {
            Some(snapshot.introspect(issuer, jwt, text, None).await)
        } else {
            None
        };
        explain(&snapshot, token.trim(), snapshot.clock.now(), outcome)
    }
}

/// The checks of the validation in the same order, but on to the end. `outcome` is what the server of a valid JWT just said,
/// if it was asked.
fn explain<T: Send + Sync + 'static>(
    snapshot: &Snapshot<T>,
    text: &str,
    now: Now,
    outcome: Option<Result<Claims<T>, Rejection>>,
) -> Explanation {
    let mut report = Report::default();
    if !bearer::is_token68(text) {
        report.reject("characters", &bearer::not_a_token());
    }
    if let Ok(Some(issuer)) = snapshot.asked_without_keys(text, now) {
        let outcome = learnt(snapshot, &issuer, text, now);
        return explain_asked(&issuer, text, now, outcome).explanation;
    }
    let mut buffers = Buffers::new();
    let size = report.record("size", check_size(text, snapshot.max_token_bytes));
    report.detail(format!("{} bytes", text.len()));
    if size.is_some() {
        let parsed = ParsedToken::parse(text, snapshot.max_token_bytes, &mut buffers);
        if let Some(token) = report.record("form", parsed) {
            explain_parts(snapshot, text, token, now, outcome, &mut report);
        }
    }
    report.explanation
}

/// A token that its server is asked about. `outcome` is what was learnt, if it was.
fn explain_asked<T>(
    issuer: &IssuerState,
    text: &str,
    now: Now,
    outcome: Option<Result<Claims<T>, Rejection>>,
) -> Report {
    let mut report = Report::default();
    report.record("size", Ok(()));
    report.detail(format!("{} bytes", text.len()));
    report.record("form", Ok(()));
    report.detail(format!("{} is asked about it (RFC 7662)", issuer.name()));
    if let Some(claims) = explain_question(outcome, now, &mut report) {
        report.explanation.verified = true;
        let mut shown = Vec::new();
        let _ = json::read_object(claims.as_json(), &mut |name, _, raw| shown.push(show(name, raw)));
        report.explanation.claims = shown.into_iter().take(MOST_SHOWN).collect();
    }
    report
}

fn explain_parts<T: Send + Sync + 'static>(
    snapshot: &Snapshot<T>,
    text: &str,
    token: ParsedToken<'_>,
    now: Now,
    outcome: Option<Result<Claims<T>, Rejection>>,
    report: &mut Report,
) {
    let ParsedToken { compact, header, payload, claims } = token;
    let header = report.record("header", header);
    if let Ok(json) = jose::decode_base64url(compact.header).map(String::from_utf8)
        && let Ok(json) = json
    {
        let mut shown = Vec::new();
        // A malformed header shows the members in front of the error, or none.
        let _ = json::read_object(&json, &mut |name, _, raw| shown.push(show(name, raw)));
        report.explanation.header = shown.into_iter().take(MOST_SHOWN).collect();
    }
    let Some(payload) = report.record("payload", payload) else { return };
    let Some(claims) = report.record("claims", claims) else { return };
    report.explanation.claims =
        claims.members().map(|(name, raw)| show(name, raw)).take(MOST_SHOWN).collect();
    let Some(issuer) = explain_issuer(snapshot, &claims, now, report) else { return };
    report.profile = advice::profile(&issuer);
    report.record("issuer's size", check_size(text, issuer.rules.max_token_bytes));
    let Some(header) = header else {
        report.skip("signature", "the header cannot be read");
        return;
    };
    let allowed = issuer.rules.algorithms.contains(&header.algorithm);
    report.record("alg", if allowed { Ok(()) } else { Err(TokenError::AlgorithmNotAllowed) });
    let names: Vec<_> = issuer.rules.algorithms.iter().copied().map(Algorithm::name).collect();
    report.detail_if_failed(format!("allowed: {}", names.join(", ")));
    // The report goes on after each error; the outcomes are in it.
    let lifetime = claims.validate(&issuer, header.typ, now, report).ok().flatten();
    report.record("cnf", claims.binding(snapshot.possession.provable()));
    explain_claims(&claims, &issuer, now, report);
    let (name, tenant) = (claims.issuer().unwrap_or_default(), claims.tenant());
    let issued = Issued { issuer: &name, tenant: tenant.as_deref() };
    explain_signature(&issuer, &header, &compact, issued, now, allowed, report);
    let fits = (snapshot.custom)(payload).map(|_| ()).ok_or(TokenError::CustomClaims);
    report.record("claims' type", fits);
    if let Some(misfit) = (snapshot.misfit)(payload) {
        report.detail_if_failed(misfit);
    }
    if report.explanation.code.is_none()
        && let Some(verdict) = lifetime.and_then(|lifetime| claims.revocation(&issuer, &lifetime, now))
    {
        report.revocation(snapshot, verdict);
    }
    // A JWT that is not valid by itself is not asked about.
    if asks_about_jwts(&issuer) && report.explanation.code.is_none() {
        let outcome = outcome.or_else(|| learnt(snapshot, &issuer, text, now));
        let _ = explain_question(outcome, now, report);
    }
}

fn asks_about_jwts(issuer: &IssuerState) -> bool {
    issuer.introspector.as_ref().is_some_and(|one| one.tokens == IntrospectedTokens::Both)
}

/// Whether the issuer that a JWT names is asked about it.
fn is_asked_about_jwt<T: Send + Sync + 'static>(snapshot: &Snapshot<T>, text: &str, now: Now) -> bool {
    let mut buffers = Buffers::new();
    let parsed = ParsedToken::parse(text, snapshot.max_token_bytes, &mut buffers);
    let Ok(ParsedToken { claims: Ok(claims), .. }) = parsed else { return false };
    let (Ok(name), tenant) = (claims.issuer(), claims.tenant()) else { return false };
    match snapshot.issuer(Issued { issuer: &name, tenant: tenant.as_deref() }, now) {
        Ok(IssuerLookup::Found(issuer)) => asks_about_jwts(&issuer),
        _ => false,
    }
}

/// What is known of a token that its server is asked about, without asking.
fn learnt<T: Send + Sync + 'static>(
    snapshot: &Snapshot<T>,
    issuer: &Arc<IssuerState>,
    text: &str,
    now: Now,
) -> Option<Result<Claims<T>, Rejection>> {
    let digest = snapshot.cache.digest(text.as_bytes());
    if let Some(verified) = snapshot.learnt(issuer, digest, now) {
        return Some(snapshot.accept(verified, now));
    }
    issuer.introspector.as_ref()?.known(digest, now).map(|_| Err(TokenError::Inactive.into()))
}

/// What the server said of a token: its claims, if it is active.
fn explain_question<T>(
    outcome: Option<Result<Claims<T>, Rejection>>,
    now: Now,
    report: &mut Report,
) -> Option<Claims<T>> {
    match outcome {
        Some(Ok(claims)) => {
            report.record("introspection", Ok(()));
            let left = claims.introspected_until().left(now);
            report.detail(format!("active; asked again in {} s", left.as_secs()));
            return Some(claims);
        }
        Some(Err(rejection)) => report.reject("introspection", &rejection),
        None => {
            report.skip("introspection", "its server has not been asked");
            report.fail("introspection_unavailable", "introspection_unavailable", None);
        }
    }
    None
}

fn explain_issuer<T: Send + Sync + 'static>(
    snapshot: &Snapshot<T>,
    claims: &ClaimSet<'_>,
    now: Now,
    report: &mut Report,
) -> Option<Arc<IssuerState>> {
    let tenant = claims.tenant();
    let found = claims
        .issuer()
        .and_then(|name| snapshot.issuer(Issued { issuer: &name, tenant: tenant.as_deref() }, now));
    match found {
        Ok(IssuerLookup::Found(issuer)) => {
            report.record("iss", Ok(()));
            Some(issuer)
        }
        Ok(IssuerLookup::Unavailable(retry_after)) => {
            report.reject("iss", &Rejection::KeysUnavailable { retry_after });
            None
        }
        Ok(IssuerLookup::Pending(_)) => {
            report.skip("iss", "this issuer has not been resolved yet");
            report.undecided();
            None
        }
        Err(error) => {
            report.record::<()>("iss", Err(error));
            let mut known: Vec<&str> = snapshot.issuers.keys().map(|name| &**name).collect();
            known.sort_unstable();
            known.truncate(8);
            report.detail_if_failed(format!("configured: {}", known.join(", ")));
            report.skip("signature", "the issuer is unknown, and so are its keys");
            None
        }
    }
}

/// Adds what was found and what was expected, where that helps.
fn explain_claims(claims: &ClaimSet<'_>, issuer: &IssuerState, now: Now, report: &mut Report) {
    let rules = &issuer.rules;
    report.detail_of("typ", true, || format!("expected for {:?}", rules.profile));
    report.detail_of("aud", true, || format!("expected one of: {}", rules.audience.join(", ")));
    for name in ["exp", "nbf", "iat"] {
        if let Ok(Some(at)) = claims.seconds(name) {
            report.detail_of(name, false, || {
                format!("{at}, {}; leeway {} s", relative(at, now.wall.as_secs()), rules.leeway.as_secs())
            });
        }
    }
    if let Some(age) = rules.max_token_age {
        report.detail_of("age", false, || format!("at most {} s", age.as_secs()));
    }
    if let Some(clients) = &rules.clients {
        report.detail_of("client", true, || format!("allowed: {}", clients.join(", ")));
    }
    let required = || {
        rules.required.iter().map(|(name, values)| match &**values {
            [value] => format!("{name} = {value:?}"),
            values => format!("{name} one of {values:?}"),
        })
    };
    report.detail_of("require", true, || format!("expected {}", required().collect::<Vec<_>>().join(", ")));
}

fn explain_signature(
    issuer: &IssuerState,
    header: &Header<'_>,
    compact: &CompactJws<'_>,
    issued: Issued<'_>,
    now: Now,
    allowed: bool,
    report: &mut Report,
) {
    let key_id = header.key_id.as_deref().map_or_else(|| "none".to_owned(), escaped);
    if !allowed {
        report.skip("signature", "its alg is not allowed");
        return;
    }
    if issuer.keys.freshness(now) == Freshness::Missing {
        report.skip("signature", "the issuer's keys have not been fetched");
        report.undecided();
        return;
    }
    let signed = jose::signed_by(&issuer.keys.current(), header, compact, issued);
    if matches!(signed, Err(TokenError::UnknownKey))
        && issuer.keys.remote().is_some_and(|keys| keys.outage(now).is_some())
    {
        report.skip("signature", "no current key fits, and newer keys could not be fetched");
        report.undecided();
        return;
    }
    report.explanation.verified = report.record("signature", signed).is_some();
    report.detail(format!("kid {key_id}; {} keys at hand", issuer.keys.current().len()));
}

/// Records every check, and goes on after errors.
#[derive(Default)]
pub(crate) struct Report {
    explanation: Explanation,
    /// What kind of token is expected of the token's issuer.
    profile: Option<Profile>,
}

impl Default for Explanation {
    fn default() -> Self {
        let (checks, header, claims) = Default::default();
        Self { code: None, reason: None, verified: false, change: None, checks, header, claims }
    }
}

impl Visitor for Report {
    fn check<V>(
        &mut self,
        check: &'static str,
        outcome: Result<V, TokenError>,
    ) -> Result<Option<V>, TokenError> {
        Ok(self.record(check, outcome))
    }
}

impl Report {
    fn record<V>(&mut self, check: &'static str, outcome: Result<V, TokenError>) -> Option<V> {
        match outcome {
            Ok(value) => {
                self.explanation.checks.push(ExplainedCheck {
                    check,
                    outcome: Outcome::Passed,
                    detail: None,
                });
                Some(value)
            }
            Err(error) => {
                self.reject(check, &error.into());
                None
            }
        }
    }

    /// Records a check of the request, beside the token.
    pub(crate) fn outcome(&mut self, check: &'static str, outcome: Result<(), Rejection>) {
        match outcome {
            Ok(()) => drop(self.record(check, Ok(()))),
            Err(rejection) => self.reject(check, &rejection),
        }
    }

    pub(crate) fn reject(&mut self, check: &'static str, rejection: &Rejection) {
        let detail = Some(rejection.to_string());
        self.explanation.checks.push(ExplainedCheck { check, outcome: Outcome::Failed, detail });
        self.fail(rejection.code(), rejection.reason(), advice::of_rejection(rejection, self.profile));
    }

    pub(crate) fn skip(&mut self, check: &'static str, why: &str) {
        let detail = Some(why.to_owned());
        self.explanation.checks.push(ExplainedCheck { check, outcome: Outcome::Skipped, detail });
    }

    /// What the list of revocations says, which a request asks last.
    fn revocation<T: Send + Sync + 'static>(&mut self, snapshot: &Snapshot<T>, verdict: Verdict) {
        match snapshot.revocation_of(verdict) {
            // A request would wait for the first read, so there is no decision yet.
            Err(rejection @ Rejection::RevocationsUnavailable { .. })
                if snapshot.feeds.list.is_starting() =>
            {
                self.skip("revocation", "the sources of revocations have not been read yet");
                let advice = advice::of_rejection(&rejection, None);
                self.fail(rejection.code(), rejection.reason(), advice);
            }
            outcome => self.outcome("revocation", outcome),
        }
    }

    /// A request would wait for a fetch; without it there is no decision.
    fn undecided(&mut self) {
        self.fail("keys_unavailable", "keys_unavailable", None);
    }

    /// A request is rejected for the first failure.
    fn fail(&mut self, code: &'static str, reason: &'static str, change: Option<&'static str>) {
        if self.explanation.code.is_none() {
            (self.explanation.code, self.explanation.reason) = (Some(code), Some(reason));
            self.explanation.change = change;
        }
    }

    fn detail(&mut self, detail: String) {
        if let Some(last) = self.explanation.checks.last_mut() {
            last.add(detail);
        }
    }

    fn detail_if_failed(&mut self, detail: String) {
        if let Some(last) = self.explanation.checks.last_mut().filter(|last| last.outcome == Outcome::Failed)
        {
            last.add(detail);
        }
    }

    pub(crate) fn detail_of(&mut self, check: &str, only_failed: bool, detail: impl FnOnce() -> String) {
        let found = self.explanation.checks.iter_mut().find(|one| one.check == check);
        if let Some(found) = found.filter(|one| !only_failed || one.outcome == Outcome::Failed) {
            found.add(detail());
        }
    }
}

impl ExplainedCheck {
    fn add(&mut self, more: String) {
        self.detail = Some(match self.detail.take() {
            Some(detail) => format!("{detail} ({more})"),
            None => more,
        });
    }
}

/// Text of an unknown author, escaped for a terminal.
fn show(name: Text<'_>, raw: &str) -> ExplainedMember {
    const MOST: usize = 160;
    let escaped = |text: &str| {
        let mut shown = String::new();
        for char in text.chars().take(MOST) {
            match char {
                ' '..='~' => shown.push(char),
                other => shown.extend(other.escape_unicode()),
            }
        }
        if text.chars().nth(MOST).is_some() {
            shown.push_str("...");
        }
        shown
    };
    ExplainedMember { name: escaped(&name.decode()), value: escaped(raw) }
}

/// How far a time is from now, in the two largest units.
fn relative(at: u64, now: u64) -> String {
    let distance = at.abs_diff(now);
    let (days, hours, minutes) = (distance / 86_400, distance / 3600 % 24, distance / 60 % 60);
    let long = match (days, hours, minutes) {
        (1.., ..) => format!("{days} d {hours} h"),
        (0, 1.., _) => format!("{hours} h {minutes} min"),
        _ => format!("{minutes} min {} s", distance % 60),
    };
    if at > now { format!("in {long}") } else { format!("{long} ago") }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.reason) {
            (Some(code), Some(reason)) => writeln!(f, "rejected: {code} ({reason})")?,
            _ => writeln!(f, "accepted, if it grants what the route requires")?,
        }
        if let Some(change) = self.change {
            writeln!(f, "to change: {change}")?;
        }
        for ExplainedCheck { check, outcome, detail } in &self.checks {
            let outcome = match outcome {
                Outcome::Passed => "passed",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "skipped",
            };
            writeln!(f, "  {outcome:<8}{check:<15}{}", detail.as_deref().unwrap_or_default())?;
        }
        let trust = match (self.verified, self.header.is_empty()) {
            (true, false) => "signed by the issuer",
            // An introspected token has no header that could be read.
            (true, true) => "as the issuer reports",
            (false, _) => "UNVERIFIED, may be forged",
        };
        for (title, members) in [("header", &self.header), ("claims", &self.claims)] {
            if !members.is_empty() {
                writeln!(f, "{title} ({trust})")?;
            }
            for ExplainedMember { name, value } in members {
                writeln!(f, "  {name:<15} {value}")?;
            }
        }
        Ok(())
    }
}

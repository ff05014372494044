//! Why a token is accepted or refused, for the operator who holds it.

use std::fmt;
use std::sync::Arc;

use oauth_client::clock::{Clock, Now};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::algorithm::Algorithm;
use crate::bearer;
use crate::guard::Guard;
use crate::issuer::IssuerState;
use crate::jose::{self, CompactJws, Header, Scratch};
use crate::json::{self, Text};
use crate::judge::{Lookup, Need, Policy};
use crate::keys::{Standing, escaped};
use crate::refuse::{Flaw, Refusal};
use crate::verify::{self, ClaimSet, Witness};

/// How many members of a header or a payload are shown.
const MOST_SHOWN: usize = 64;

/// Every check of one token and how it went, see [`Guard::explain`]. Its `Display` is a table to read; it can be
/// serialized as well.
///
/// It shows what the token claims, so treat it as personal data. The signature is never in it: nobody can use it in
/// the token's place.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// [`Refusal::code`] of the answer that a request with this token gets. `None`: it is let through, as far as it is
    /// up to the token; what a route asks for comes on top.
    pub code: Option<&'static str>,
    /// [`Refusal::reason`] of it.
    pub reason: Option<&'static str>,
    /// Whether the signature is by a key of the issuer. If not, anybody may have written header and claims.
    pub verified: bool,
    /// The checks, in the order in which they are made. A request is refused at the first that fails.
    pub checks: Vec<ExplainedCheck>,
    /// What the header says.
    pub header: Vec<Explained>,
    /// What the payload says.
    pub claims: Vec<Explained>,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ExplainedCheck {
    /// What is checked: the claim's name, or a word such as `form` or `signature`.
    pub check: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// What was found or expected.
    pub detail: Option<String>,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was met.
    Passed,
    /// It was not.
    Failed,
    /// It could not be made.
    Skipped,
}

/// One member of a header or a payload.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explained {
    /// Its name.
    pub name: String,
    /// Its value as JSON text; cut if it is long, and with everything escaped that is not plain ASCII.
    pub value: String,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Guard<T> {
    /// Every check that a request with this token goes through, each with how it goes and why: for the operator who
    /// asks why somebody is refused. The checks are the guard's own, except that they go on after the first failure.
    /// Nothing is waited for and nothing remembered; where keys are missing, the signature is skipped, see
    /// [`explain_fetching`](Self::explain_fetching).
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
        let policy = self.policy();
        policy.explain(token.trim(), policy.clock.now())
    }

    /// As [`explain`](Self::explain), with the token's issuer asked for its keys first if they are not there, within
    /// the limits that a request would have.
    pub async fn explain_fetching(&self, token: &str) -> Explanation {
        let policy = Arc::clone(&*self.policy());
        // The issuer, its keys, newer keys.
        for _ in 0..3 {
            let now = policy.clock.now();
            let Some(flight) = policy.lacks(token.trim(), now).and_then(|need| need.begin(now).ok()) else {
                break;
            };
            // Lost with its runtime or not: the keys tell.
            let _ = flight.landed().await;
        }
        policy.explain(token.trim(), policy.clock.now())
    }
}

impl<T: Send + Sync + 'static> Policy<T> {
    /// What has to be fetched for its signature to be checked.
    fn lacks(&self, token: &str, now: Now) -> Option<Need> {
        let compact = jose::split(token).ok().filter(|_| token.len() <= self.max_token_bytes)?;
        let [mut header, mut payload] = [Scratch::new(), Scratch::new()];
        let header = jose::read_header(&compact, &mut header).ok()?;
        let payload = compact.payload(&mut payload).ok()?;
        let mut claims = ClaimSet::new();
        claims.read(payload).ok()?;
        let issuer = match self.issuer(&claims.issuer().ok()?, now).ok()? {
            Lookup::Found(issuer) => issuer,
            Lookup::Unavailable(_) => return None,
            Lookup::Ask(need) => return Some(need),
        };
        let remote = issuer.keys.remote()?;
        if remote.standing(now) == Standing::Missing {
            return Some(Need::Keys(Arc::clone(remote)));
        }
        let found = verify::signed_by(&issuer.keys.current(), &header, &compact);
        matches!(found, Err(Flaw::UnknownKey)).then(|| Need::NewerKeys(Arc::clone(remote)))
    }

    /// The same pieces in the same order as the judge's, but on to the end.
    fn explain(&self, token: &str, now: Now) -> Explanation {
        let mut notes = Notes::default();
        if !bearer::is_token68(token) {
            notes.refuse("characters", &bearer::not_a_token());
        }
        let too_long = if token.len() > self.max_token_bytes { Err(Flaw::TooLong) } else { Ok(()) };
        let fits = notes.note("size", too_long).is_some();
        notes.detail(format!("{} bytes", token.len()));
        if fits && let Some(compact) = notes.note("form", jose::split(token)) {
            self.explain_parts(token, compact, now, &mut notes);
        }
        notes.0
    }

    fn explain_parts(&self, token: &str, compact: CompactJws<'_>, now: Now, notes: &mut Notes) {
        let [mut header, mut payload] = [Scratch::new(), Scratch::new()];
        let header = notes.note("header", jose::read_header(&compact, &mut header));
        if let Ok(text) = jose::decode_base64url(compact.header).map(String::from_utf8)
            && let Ok(text) = text
        {
            let mut shown = Vec::new();
            // What is malformed shows nothing, or what came before.
            let _ = json::read_object(&text, &mut |name, _, raw| shown.push(show(name, raw)));
            notes.0.header = shown.into_iter().take(MOST_SHOWN).collect();
        }
        let Some(payload) = notes.note("payload", compact.payload(&mut payload).map_err(Flaw::from)) else {
            return;
        };
        let mut claims = ClaimSet::new();
        let Some(()) = notes.note("claims", claims.read(payload)) else { return };
        notes.0.claims = claims.members().map(|(name, raw)| show(name, raw)).take(MOST_SHOWN).collect();
        let Some(issuer) = self.explain_issuer(&claims, now, notes) else { return };
        let too_long = if token.len() > issuer.rules.max_token_bytes { Err(Flaw::TooLong) } else { Ok(()) };
        notes.note("issuer's size", too_long);
        let Some(header) = header else {
            notes.skip("signature", "the header cannot be read");
            return;
        };
        let allowed = issuer.rules.algorithms.contains(&header.algorithm);
        notes.note("alg", if allowed { Ok(()) } else { Err(Flaw::AlgorithmNotAllowed) });
        let names: Vec<_> = issuer.rules.algorithms.iter().copied().map(Algorithm::name).collect();
        notes.detail_if_failed(format!("allowed: {}", names.join(", ")));
        // A witness that goes on after each flaw: the outcome is in its notes.
        let _ = claims.judge(&issuer, header.typ, now, notes);
        self.explain_claims(&claims, &issuer, now, notes);
        explain_signature(&issuer, &header, &compact, now, allowed, notes);
        let fits = (self.custom)(payload).map(|_| ()).ok_or(Flaw::CustomClaims);
        notes.note("claims' type", fits);
    }

    fn explain_issuer(&self, claims: &ClaimSet<'_>, now: Now, notes: &mut Notes) -> Option<Arc<IssuerState>> {
        match claims.issuer().and_then(|name| self.issuer(&name, now)) {
            Ok(Lookup::Found(issuer)) => {
                notes.note("iss", Ok(()));
                Some(issuer)
            }
            Ok(Lookup::Unavailable(retry_after)) => {
                notes.refuse("iss", &Refusal::KeysUnavailable { retry_after });
                None
            }
            Ok(Lookup::Ask(_)) => {
                notes.skip("iss", "nobody has been asked about this issuer yet");
                notes.undecided();
                None
            }
            Err(flaw) => {
                notes.note::<()>("iss", Err(flaw));
                let mut known: Vec<&str> = self.issuers.keys().map(|name| &**name).collect();
                known.sort_unstable();
                known.truncate(8);
                notes.detail_if_failed(format!("configured: {}", known.join(", ")));
                notes.skip("signature", "whose keys to check it with is not known");
                None
            }
        }
    }

    /// What was found and what was expected, where that helps.
    fn explain_claims(&self, claims: &ClaimSet<'_>, issuer: &IssuerState, now: Now, notes: &mut Notes) {
        let rules = &issuer.rules;
        notes.detail_of("typ", true, || format!("expected for {:?}", rules.profile));
        notes.detail_of("aud", true, || format!("expected one of: {}", rules.audience.join(", ")));
        for name in ["exp", "nbf", "iat"] {
            if let Ok(Some(at)) = claims.seconds(name) {
                notes.detail_of(name, false, || {
                    format!("{at}, {}; leeway {} s", relative(at, now.wall.as_secs()), rules.leeway.as_secs())
                });
            }
        }
        if let Some(age) = rules.max_token_age {
            notes.detail_of("age", false, || format!("at most {} s", age.as_secs()));
        }
        if let Some(clients) = &rules.clients {
            notes.detail_of("client", true, || format!("allowed: {}", clients.join(", ")));
        }
    }
}

fn explain_signature(
    issuer: &IssuerState,
    header: &Header<'_>,
    compact: &CompactJws<'_>,
    now: Now,
    allowed: bool,
    notes: &mut Notes,
) {
    let key_id = header.key_id.as_deref().map_or_else(|| "none".to_owned(), escaped);
    if !allowed {
        notes.skip("signature", "its alg is not allowed");
        return;
    }
    if issuer.keys.standing(now) == Standing::Missing {
        notes.skip("signature", "the issuer's keys have not been fetched");
        notes.undecided();
        return;
    }
    let signed = verify::signed_by(&issuer.keys.current(), header, compact);
    if matches!(signed, Err(Flaw::UnknownKey))
        && issuer.keys.remote().is_some_and(|keys| keys.outage(now).is_some())
    {
        notes.skip("signature", "no key at hand fits, and newer ones could not be fetched");
        notes.undecided();
        return;
    }
    notes.0.verified = notes.note("signature", signed).is_some();
    notes.detail(format!("kid {key_id}; {} keys at hand", issuer.keys.current().len()));
}

/// Writes down each check.
#[derive(Default)]
struct Notes(Explanation);

impl Default for Explanation {
    fn default() -> Self {
        let (checks, header, claims) = Default::default();
        Self { code: None, reason: None, verified: false, checks, header, claims }
    }
}

impl Witness for Notes {
    fn hear<V>(&mut self, check: &'static str, outcome: Result<V, Flaw>) -> Result<Option<V>, Flaw> {
        Ok(self.note(check, outcome))
    }
}

impl Notes {
    fn note<V>(&mut self, check: &'static str, outcome: Result<V, Flaw>) -> Option<V> {
        match outcome {
            Ok(value) => {
                self.0.checks.push(ExplainedCheck { check, outcome: Outcome::Passed, detail: None });
                Some(value)
            }
            Err(flaw) => {
                self.refuse(check, &flaw.into());
                None
            }
        }
    }

    fn refuse(&mut self, check: &'static str, refusal: &Refusal) {
        let detail = Some(refusal.to_string());
        self.0.checks.push(ExplainedCheck { check, outcome: Outcome::Failed, detail });
        self.answer(refusal.code(), refusal.reason());
    }

    fn skip(&mut self, check: &'static str, why: &str) {
        let detail = Some(why.to_owned());
        self.0.checks.push(ExplainedCheck { check, outcome: Outcome::Skipped, detail });
    }

    /// A request would have to wait for a fetch; without one, it cannot be told.
    fn undecided(&mut self) {
        self.answer("keys_unavailable", "keys_unavailable");
    }

    /// The first failure is the one a request is refused for.
    fn answer(&mut self, code: &'static str, reason: &'static str) {
        if self.0.code.is_none() {
            (self.0.code, self.0.reason) = (Some(code), Some(reason));
        }
    }

    fn detail(&mut self, detail: String) {
        if let Some(last) = self.0.checks.last_mut() {
            last.add(detail);
        }
    }

    fn detail_if_failed(&mut self, detail: String) {
        if let Some(last) = self.0.checks.last_mut().filter(|last| last.outcome == Outcome::Failed) {
            last.add(detail);
        }
    }

    fn detail_of(&mut self, check: &str, only_failed: bool, detail: impl FnOnce() -> String) {
        let found = self.0.checks.iter_mut().find(|one| one.check == check);
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

/// What somebody else wrote, made fit for a terminal.
fn show(name: Text<'_>, raw: &str) -> Explained {
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
    Explained { name: escaped(&name.decode()), value: escaped(raw) }
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
            (Some(code), Some(reason)) => writeln!(f, "not accepted: {code} ({reason})")?,
            _ => writeln!(f, "accepted, if it grants what the route asks for")?,
        }
        for ExplainedCheck { check, outcome, detail } in &self.checks {
            let outcome = match outcome {
                Outcome::Passed => "passed",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "skipped",
            };
            writeln!(f, "  {outcome:<8}{check:<15}{}", detail.as_deref().unwrap_or_default())?;
        }
        let trust = if self.verified { "signed by the issuer" } else { "UNVERIFIED, anybody can write this" };
        for (title, members) in [("header", &self.header), ("claims", &self.claims)] {
            if !members.is_empty() {
                writeln!(f, "{title} ({trust})")?;
            }
            for Explained { name, value } in members {
                writeln!(f, "  {name:<15} {value}")?;
            }
        }
        Ok(())
    }
}

//! One run: the table first, then what changes keys, then what tampers with the key endpoint.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use super::opaque::Answers;
use super::report::{Case, Report, Summary, Traits, Verdict};
use super::target::{NoResponse, Outcome, Target, TargetResponse};
use super::verdict;
use super::{Suite, SuiteError, names, probe};
use crate::attack::{Area, Attack, AttackContext, AttackRequest, Part};
use crate::endpoint::Endpoint;
use crate::server::MockServer;

/// How long a target that fell over has to get up again.
pub(super) const RECOVERY: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Run<'a> {
    pub(super) suite: &'a Suite,
    pub(super) target: Target,
    pub(super) server: &'a MockServer,
    pub(super) context: AttackContext,
    pub(super) traits: Traits,
    cases: Vec<Case>,
    cut_short: Option<String>,
    /// What is being sent, for the report of a run that ends there.
    running: Option<String>,
    /// The rows that were begun.
    begun: HashSet<&'static str>,
    /// Requests so far to the address that only attacks name.
    pub(super) trapped: usize,
    /// Whether the target has come to know a new key, once there was one.
    pub(super) fetches: bool,
    /// The responses to a good token, and to a path that no API knows.
    sample: Option<TargetResponse>,
    beside: Option<TargetResponse>,
    /// What the endpoint says, where the target introspects its tokens.
    answers: Mutex<Answers>,
    /// Never contended: the lock makes a run `Sync`, so that its future can be spawned.
    progress: Mutex<&'a mut (dyn FnMut(&str) + Send)>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        suite: &'a Suite,
        target: Target,
        server: &'a MockServer,
        context: AttackContext,
        progress: &'a mut (dyn FnMut(&str) + Send),
    ) -> Self {
        let traits = Traits {
            algorithms: vec![context.keys().current().alg().as_str()],
            typ: context.good().header_members()["typ"].as_str().unwrap_or_default().to_owned(),
            only_access_tokens: true,
            leeway_seconds: 0,
            leeway_is_exact: false,
        };
        Self {
            suite,
            target,
            server,
            context,
            traits,
            cases: Vec::new(),
            cut_short: None,
            running: None,
            begun: HashSet::new(),
            trapped: 0,
            fetches: true,
            sample: None,
            beside: None,
            answers: Mutex::default(),
            progress: Mutex::new(progress),
        }
    }

    pub(super) async fn all(mut self) -> Result<Report, SuiteError> {
        let deadline = self.suite.time_limit.map(|limit| Instant::now() + limit);
        self.say("waiting until a good token is accepted");
        let context = self.context.clone();
        if self.suite.opaque {
            self.opaque_ready().await?;
        } else if self.suite.bound.part != Part::Tokens {
            self.wait_for_a_bound_token().await?;
        } else {
            let mut tell = |step: &str| say(&self.progress, step);
            self.context = probe::wait(self.suite, &mut self.target, self.server, context, &mut tell).await?;
        }
        match deadline {
            None => self.stages().await,
            Some(deadline) => {
                if tokio::time::timeout_at(deadline, self.stages()).await.is_err() {
                    let limit = self.suite.time_limit.unwrap_or_default().as_secs();
                    self.cut_short = Some(format!("the time limit of {limit} s was over"));
                }
            }
        }
        let left = |attack: &&'static Attack| self.chosen(attack) && !self.begun.contains(attack.id);
        let cut_short = self.cut_short.is_some();
        let not_run: Vec<_> =
            self.suite.cases().filter(|_| cut_short).filter(left).map(|attack| attack.id).collect();
        let order = |case: &Case| super::cases().position(|known| known.id == case.id);
        self.cases.sort_by_key(order);
        Ok(Report {
            version: 1,
            part: self.suite.bound.part.as_str(),
            binding: self.suite.bound.describe(self.target.url()),
            target: self.target.url().to_owned(),
            issuer: self.context.issuer().to_owned(),
            audience: self.suite.audience.clone(),
            traits: self.traits,
            summary: Summary::of(&self.cases),
            running: self.running.filter(|_| cut_short),
            cut_short: self.cut_short,
            not_run,
            throttled: self.target.pace().throttled(),
            cases: self.cases,
        })
    }

    async fn stages(&mut self) {
        if self.suite.opaque {
            return self.opaque_stages().await;
        }
        if self.suite.bound.part != Part::Tokens {
            return self.bound_rows().await;
        }
        self.say("asking how the target is set up");
        self.running = Some("asking how the target is set up".to_owned());
        match probe::traits(&self.target, &self.context, &self.suite.allowed).await {
            Ok(traits) => self.traits = traits,
            // Nothing was sent yet but tokens that an issuer might make.
            Err(reason) => return self.cut_short_by("questions about how it is set up", reason),
        }
        self.context = self.context.clone().leeway(self.traits.leeway_seconds);
        self.beside = probe::beside(&self.target).await;
        match self.target.show(&self.context.good().build()).await {
            Ok(sample) => self.sample = Some(sample),
            Err(reason) => return self.cut_short_by("questions about how it is set up", reason),
        }
        self.stop_if_throttled("questions about how it is set up");
        self.table().await;
        self.rotations().await;
        self.endpoint_faults().await;
    }

    /// A row begins; it is in the report even if the run ends with it.
    pub(super) fn begin(&mut self, attack: &'static Attack) {
        self.begun.insert(attack.id);
        self.running = Some(attack.id.to_owned());
        self.say(&format!("{} {}", attack.case, attack.id));
    }

    /// What a row needs that this target does not have.
    pub(super) fn inapplicable(&self, attack: &Attack) -> Option<&'static str> {
        let setup = attack.setup;
        let algorithms = &self.traits.algorithms;
        if setup.optional && !self.suite.optional {
            return Some("only where a token is optional");
        }
        if setup.two_issuers && !self.suite.second_issuer {
            return Some("only where two issuers are trusted");
        }
        if setup.max_token_age.is_some() && self.suite.max_token_age.is_none() {
            return Some("only where the age of tokens is limited");
        }
        if setup
            .only_algorithms
            .is_some_and(|only| algorithms.iter().any(|alg| only.iter().all(|one| one.as_str() != *alg)))
        {
            return Some("only where no other alg is allowed");
        }
        if attack.id == "http-token-in-the-body"
            && ![Method::GET, Method::HEAD].contains(self.context.usual_method())
        {
            // RFC 6750 section 2.2 leaves it to the API.
            return Some("the body of this method may hold a token");
        }
        if attack.id == "header-typ-spelling" && self.traits.typ != "at+jwt" {
            return Some("another type of token is wanted here");
        }
        if attack.area == Area::Scope && self.suite.scope.is_none() && !setup.optional {
            return Some("no scope was named");
        }
        if attack.id == "time-exp-of-a-known-token" && !self.traits.leeway_is_exact {
            return Some("the target's leeway is not known to the second");
        }
        if attack.id == "time-small-skew" && self.traits.leeway_seconds < 8 {
            return Some("the leeway here is shorter");
        }
        None
    }

    /// Whether the row is to be run, and the run goes on.
    pub(super) fn wants(&self, attack: &Attack) -> bool {
        self.cut_short.is_none() && self.chosen(attack)
    }

    fn chosen(&self, attack: &Attack) -> bool {
        !self.suite.skip.iter().any(|skip| names(skip, attack))
            && (self.suite.only.is_empty() || self.suite.only.iter().any(|only| names(only, attack)))
    }

    pub(super) fn is_over(&self) -> bool {
        self.cut_short.is_some()
    }

    /// Sends one request and writes the verdict down.
    pub(super) async fn send(&mut self, attack: &Attack, request: &AttackRequest) {
        if self.cut_short.is_none() {
            tokio::time::sleep(request.wait()).await;
            let outcome = self.target.send(request, self.target.patience()).await;
            self.record(attack, request, &outcome);
            // A target that died or hangs with this request gets no more of them.
            if outcome.is_err_and(|reason| reason != NoResponse::Throttled) {
                self.check_on(attack).await;
            }
        }
    }

    pub(super) fn record(&mut self, attack: &Attack, request: &AttackRequest, outcome: &Outcome) {
        let (verdict, note) = verdict::of(attack, request, outcome, &self.traits, self.suite.optional);
        let (verdict, note) = self.with_leeway(attack, request, verdict, note);
        let (verdict, note) = self.with_surroundings(request, outcome, verdict, note);
        self.note(Case::new(attack, request, outcome).with_verdict(verdict, note));
    }

    /// What a request without a token got, beside what others get.
    fn with_surroundings(
        &self,
        request: &AttackRequest,
        outcome: &Outcome,
        verdict: Verdict,
        note: String,
    ) -> (Verdict, String) {
        let (true, Ok(response)) = (request.takes_any_refusal(), outcome) else { return (verdict, note) };
        let same = |other: &Option<TargetResponse>| {
            other.as_ref().is_some_and(|other| other.status == response.status && other.body == response.body)
        };
        let may_be_anonymous = self.suite.optional && request.expected().asks_for_a_token();
        if !response.accepted() || may_be_anonymous || response.header("x-injected").is_some() {
            return (verdict, note);
        }
        if verdict == Verdict::Pass && !response.body.trim().is_empty() && same(&self.sample) {
            let note = "the response is the one that a good token gets";
            return (Verdict::LetIn, note.to_owned());
        }
        if verdict == Verdict::LetIn && request.is_elsewhere() && same(&self.beside) {
            let note = "this target responds so to every path that it does not know";
            return (Verdict::NotApplicable, note.to_owned());
        }
        (verdict, note)
    }

    pub(super) fn note(&mut self, case: Case) {
        if case.verdict != Verdict::Pass && case.verdict != Verdict::NotApplicable {
            self.say(&format!("  {} {}: {} {}", case.id, case.variant, case.verdict.as_str(), case.note));
        }
        let id = case.id;
        self.cases.push(case);
        self.stop_if_throttled(id);
    }

    /// Ends a run whose target lets no more requests in: whatever is left would not be judged, and would look as if it
    /// were.
    pub(super) fn stop_if_throttled(&mut self, id: &str) {
        if self.cut_short.is_none() && self.target.pace().gave_up() {
            self.cut_short_by(id, NoResponse::Throttled);
        }
    }

    /// The edge of a leeway is the target's to draw, and cannot be seen from outside when it is an odd one.
    fn with_leeway(
        &self,
        attack: &Attack,
        request: &AttackRequest,
        verdict: Verdict,
        note: String,
    ) -> (Verdict, String) {
        let edge = attack.id == "time-exp-now" || request.variant() == "within the leeway";
        if !edge || verdict == Verdict::Pass {
            return (verdict, note);
        }
        if !self.traits.leeway_is_exact {
            return (Verdict::NotApplicable, "the target's leeway is not known to the second".to_owned());
        }
        if attack.id == "time-exp-now" && self.traits.leeway_seconds > 0 && verdict == Verdict::Incorrect {
            return (Verdict::Differs, "accepted for a second more than its leeway".to_owned());
        }
        (verdict, note)
    }

    /// After each attack: a good token is still accepted, and no request reached the address that a token named.
    pub(super) async fn check_on(&mut self, attack: &Attack) {
        let trapped = self.server.journal().count(Endpoint::Trap);
        if std::mem::replace(&mut self.trapped, trapped) < trapped {
            let request = AttackRequest::plain("an address in the token").or(attack.expected, attack.level);
            let case = Case::new(attack, &request, &Ok(TargetResponse::default()));
            self.note(case.with_verdict(Verdict::LetIn, "the target asked the address that the token named"));
        }
        if self.cut_short.is_some() {
            return;
        }
        let (request, first) = (self.control(), self.good_one().await);
        if first.as_ref().is_ok_and(TargetResponse::accepted) {
            return;
        }
        let (seconds, last) = self.recovery(&first).await;
        // A pause that never ends is no sign of weakness.
        if matches!(last, Err(NoResponse::Throttled)) {
            return self.stop_if_throttled(attack.id);
        }
        let case = Case::new(attack, &request, &first);
        if last.as_ref().is_ok_and(TargetResponse::accepted) {
            let note = format!("a good token was refused for {seconds} s after this");
            self.note(case.with_verdict(Verdict::Broke, note));
            return;
        }
        self.note(case.with_verdict(Verdict::Broke, "good tokens are no longer accepted"));
        match last {
            Err(reason) => self.cut_short_by(attack.id, reason),
            Ok(response) => {
                let status = response.status;
                self.cut_short = Some(format!("after {} every good token got {status}", attack.id));
            }
        }
    }

    /// Waits until a good token is accepted again; how long that took, and the last response.
    pub(super) async fn recovery(&mut self, first: &Outcome) -> (u64, Outcome) {
        let fell = Instant::now();
        let mut last = first.clone();
        let patience = RECOVERY.min(self.target.patience() * 4);
        while fell.elapsed() < patience && !self.target.pace().gave_up() {
            tokio::time::sleep(PAUSE).await;
            last = self.good_one().await;
            if last.as_ref().is_ok_and(TargetResponse::accepted) {
                break;
            }
        }
        (fell.elapsed().as_secs(), last)
    }

    /// A good request, to see that what an attack changed corrupted nothing else.
    pub(super) fn control(&self) -> AttackRequest {
        if self.suite.opaque { self.good_opaque_token() } else { self.context.control() }
    }

    pub(super) fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run ends here, since nothing comes back any more.
    pub(super) fn cut_short_by(&mut self, id: &str, reason: NoResponse) {
        let what = match reason {
            NoResponse::Unreachable => "the target refused every connection: it has died",
            NoResponse::TimedOut => "the target responded to nothing any more: it hangs",
            NoResponse::Closed => "the target closed every connection without a response",
            NoResponse::Garbled => "the target responded with what is no HTTP",
            NoResponse::Throttled => "the target asked for pauses (429) without an end",
        };
        self.cut_short = Some(format!("after {id} {what}"));
    }

    /// How many cases there are so far, and back to that number.
    pub(super) fn noted(&self) -> usize {
        self.cases.len()
    }

    pub(super) fn forget(&mut self, from: usize) {
        self.cases.truncate(from);
    }

    pub(super) fn say(&mut self, step: &str) {
        say(&self.progress, step);
    }
}

fn say(progress: &Mutex<&mut (dyn FnMut(&str) + Send)>, step: &str) {
    let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
    (*progress)(step);
}

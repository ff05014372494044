//! One run: the table first, then what changes keys, then what tampers with the key endpoint.

use std::time::Duration;

use tokio::time::Instant;

use super::report::{Case, Report, Summary, Traits, Verdict};
use super::target::{Outcome, PATIENCE, Target, TargetResponse};
use super::verdict;
use super::{Suite, SuiteError, names, probe};
use crate::attack::{self, Area, Attack, AttackContext, AttackRequest, Expected};
use crate::endpoint::Endpoint;
use crate::server::MockServer;

/// How long a target that fell over has to get up again.
const RECOVERY: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Run<'a> {
    pub(super) suite: &'a Suite,
    pub(super) target: &'a Target,
    pub(super) server: &'a MockServer,
    pub(super) context: AttackContext,
    pub(super) traits: Traits,
    cases: Vec<Case>,
    cut_short: Option<String>,
    /// Requests so far to the address that only attacks name.
    pub(super) trapped: usize,
    /// Whether the target has come to know a new key, once there was one.
    pub(super) fetches: bool,
    progress: &'a mut (dyn FnMut(&str) + Send),
}

impl<'a> Run<'a> {
    pub(super) fn new(
        suite: &'a Suite,
        target: &'a Target,
        server: &'a MockServer,
        context: AttackContext,
        progress: &'a mut (dyn FnMut(&str) + Send),
    ) -> Self {
        let traits = Traits {
            algorithms: Vec::new(),
            typ: String::new(),
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
            trapped: 0,
            fetches: true,
            progress,
        }
    }

    pub(super) async fn all(mut self) -> Result<Report, SuiteError> {
        self.say("waiting until a good token is accepted");
        self.context = probe::wait(self.target, self.server, self.context, self.suite.wait).await?;
        self.say("asking how the target is set up");
        self.traits = probe::traits(self.target, &self.context).await;
        self.context = self.context.leeway(self.traits.leeway_seconds);

        self.table().await;
        self.rotations().await;
        self.endpoint_faults().await;

        let order = |case: &Case| super::cases().position(|known| known.id == case.id);
        self.cases.sort_by_key(order);
        Ok(Report {
            version: 1,
            target: self.target.url().to_owned(),
            issuer: self.context.issuer().to_owned(),
            audience: self.suite.audience.clone(),
            traits: self.traits,
            summary: Summary::of(&self.cases),
            cut_short: self.cut_short,
            cases: self.cases,
        })
    }

    /// Everything that needs no change of keys.
    async fn table(&mut self) {
        for attack in attack::all().filter(|attack| attack.area != Area::Keys) {
            if !self.wants(attack) {
                continue;
            }
            if let Some(why_not) = self.inapplicable(attack) {
                self.cases.push(Case::untried(attack, why_not));
                continue;
            }
            self.say(&format!("{} {}", attack.case, attack.id));
            for request in attack.requests(&self.context) {
                self.send(attack, &request).await;
            }
            self.check_on(attack).await;
        }
    }

    /// What a row needs that this target does not have.
    fn inapplicable(&self, attack: &Attack) -> Option<&'static str> {
        let setup = attack.setup;
        let algorithms = &self.traits.algorithms;
        if setup.optional && !self.suite.optional {
            return Some("only where a token is optional");
        }
        if self.suite.optional && attack.expected == Expected::NO_TOKEN {
            return Some("a token is optional here");
        }
        if setup.two_issuers {
            return Some("only where two issuers are trusted");
        }
        if setup.max_token_age.is_some() {
            return Some("only where the age of tokens is limited");
        }
        if setup
            .only_algorithms
            .is_some_and(|only| algorithms.iter().any(|alg| only.iter().all(|one| one.as_str() != *alg)))
        {
            return Some("only where no other alg is allowed");
        }
        if attack.id == "header-typ-spelling" && self.traits.typ != "at+jwt" {
            return Some("another type of token is wanted here");
        }
        if attack.area == Area::Scope && self.suite.scope.is_none() && !setup.optional {
            return Some("no scope was named");
        }
        if attack.id == "time-small-skew" && self.traits.leeway_seconds < 8 {
            return Some("the leeway here is shorter");
        }
        None
    }

    pub(super) fn wants(&self, attack: &Attack) -> bool {
        self.cut_short.is_none()
            && !self.suite.skip.iter().any(|skip| names(skip, attack))
            && (self.suite.only.is_empty() || self.suite.only.iter().any(|only| names(only, attack)))
    }

    /// Sends one request and writes the verdict down.
    pub(super) async fn send(&mut self, attack: &Attack, request: &AttackRequest) {
        if self.cut_short.is_none() {
            let outcome = self.target.send(request, PATIENCE).await;
            self.record(attack, request, &outcome);
        }
    }

    pub(super) fn record(&mut self, attack: &Attack, request: &AttackRequest, outcome: &Outcome) {
        let (verdict, note) = verdict::of(attack, request, outcome, &self.traits);
        let (verdict, note) = self.with_leeway(attack, request, verdict, note);
        self.note(Case::new(attack, request, outcome).with_verdict(verdict, note));
    }

    pub(super) fn note(&mut self, case: Case) {
        if case.verdict != Verdict::Pass && case.verdict != Verdict::NotApplicable {
            self.say(&format!("  {} {}: {} {}", case.id, case.variant, case.verdict.as_str(), case.note));
        }
        self.cases.push(case);
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
        let request = self.context.control();
        let first = self.target.send(&request, PATIENCE).await;
        if first.as_ref().is_ok_and(TargetResponse::accepted) || self.cut_short.is_some() {
            return;
        }
        let fell = Instant::now();
        while fell.elapsed() < RECOVERY {
            tokio::time::sleep(PAUSE).await;
            if self.target.send(&request, PATIENCE).await.is_ok_and(|response| response.accepted()) {
                let note = format!("a good token was refused for {} s after this", fell.elapsed().as_secs());
                self.note(Case::new(attack, &request, &first).with_verdict(Verdict::Broke, note));
                return;
            }
        }
        self.cut_short = Some(format!("after {} the target accepted no good token any more", attack.id));
        let note = "good tokens are no longer accepted";
        self.note(Case::new(attack, &request, &first).with_verdict(Verdict::Broke, note));
    }

    pub(super) fn say(&mut self, step: &str) {
        (self.progress)(step);
    }
}

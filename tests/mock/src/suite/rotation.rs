//! Cases that change the published keys: the target must notice, within the time it is given.

use std::time::Duration;

use tokio::time::Instant;

use super::report::{Case, Verdict};
use super::run::{RECOVERY, Run};
use super::target::{NoResponse, Outcome, TargetResponse};
use super::verdict::THROTTLED;
use crate::attack::{self, Area, Attack, AttackRequest, Expected, RequirementLevel};
use crate::endpoint::Endpoint;
use crate::keys::TestKey;

const PAUSE: Duration = Duration::from_millis(500);
/// After the target has fetched the keys, how long it has to use them.
const SETTLE: Duration = Duration::from_secs(3);
/// These rows take keys away, so that each needs the key set for itself.
const ALONE: [&str; 5] =
    ["keys-rotated", "keys-rotated-abruptly", "keys-withdrawn", "keys-none", "keys-no-kid-one-key"];

/// Whether, and how, the target came to know a new key.
pub(super) struct Noticed {
    /// The last response; accepted if it noticed.
    pub(super) outcome: Outcome,
    /// How long it took.
    after: Duration,
    /// Whether it asked for the keys.
    asked: bool,
    /// An error of the server on the way.
    error: Option<u16>,
}

impl Run<'_> {
    pub(super) async fn rotations(&mut self) {
        let rows: Vec<_> =
            attack::all().filter(|attack| attack.area == Area::Keys && self.wants(attack)).collect();
        let wanted = |id: &str| rows.iter().copied().find(|attack| attack.id == id);
        if rows.is_empty() {
            return;
        }
        // Also when only others are wanted: they all need a target that fetches keys anew.
        let Some(rotated) = attack::find("keys-rotated") else { return };
        let noticed = self.rotated(rotated, wanted("keys-rotated").is_some()).await;
        if self.is_over() {
            return;
        }
        if !noticed {
            for attack in rows.iter().filter(|attack| attack.id != "keys-rotated") {
                self.begin(attack);
                self.note(Case::untried(attack, "no new key was noticed"));
            }
            return;
        }
        let additive: Vec<_> = rows.iter().copied().filter(|attack| !ALONE.contains(&attack.id)).collect();
        self.malformed_sets(&additive).await;
        if wanted("keys-rotated-abruptly").is_some() || wanted("keys-withdrawn").is_some() {
            self.withdrawn(wanted("keys-rotated-abruptly"), wanted("keys-withdrawn")).await;
        }
        if let Some(attack) = wanted("keys-no-kid-one-key") {
            self.single_key(attack).await;
        }
    }

    /// A graceful rotation; whether the target noticed.
    async fn rotated(&mut self, attack: &'static Attack, wanted: bool) -> bool {
        if wanted {
            self.begin(attack);
        }
        let (old, old_key) = (self.context.good().build(), self.context.keys().current());
        self.new_signer();
        let noticed = self.noticed(attack).await;
        let good = noticed.outcome.as_ref().is_ok_and(TargetResponse::accepted);
        if wanted || !good {
            self.note(noticed.case(attack, "the new key"));
        }
        self.fetches = good;
        if !good {
            self.context.keys().sign_with(&old_key);
        }
        if wanted {
            self.send(attack, &AttackRequest::bearer("the old key", &old).or(attack.expected, attack.level))
                .await;
            self.check_on(attack).await;
        }
        good
    }

    /// One bad key among good ones. Many at once, since each fetch may cost half a minute; if the target stumbles over
    /// them, the halves one by one, to find out which key it is.
    async fn malformed_sets(&mut self, rows: &[&'static Attack]) {
        let (published, signer) = (self.context.keys().published(), self.context.keys().current());
        // Those that most stumble over are kept apart from the start.
        type Rows = Vec<&'static Attack>;
        let (malformed, others): (Rows, Rows) =
            rows.iter().copied().partition(|row| ["keys-malformed", "keys-not-objects"].contains(&row.id));
        let mut groups: Vec<Rows> = malformed.into_iter().map(|row| vec![row]).collect();
        groups.push(others);
        while let Some(group) = groups.pop() {
            let Some(first) = group.first().copied().filter(|first| self.wants(first)) else { continue };
            let known = self.context.good().build();
            let requests: Vec<_> =
                group.iter().map(|attack| (*attack, attack.requests(&self.context))).collect();
            self.new_signer();
            group.iter().for_each(|attack| self.begin(attack));
            let noticed = self.noticed(first).await;
            if self.is_over() {
                return;
            }
            if noticed.outcome.as_ref().is_ok_and(TargetResponse::accepted) {
                for (attack, requests) in requests {
                    self.begin(attack);
                    for request in requests {
                        self.send(attack, &request).await;
                    }
                    self.check_on(attack).await;
                }
            } else if !noticed.asked {
                for attack in group {
                    self.note(Case::untried(attack, "no keys were asked for in time"));
                }
            } else if group.len() > 1 {
                self.say("  the target stumbles over one of these keys: trying half of them");
                let (some, rest) = group.split_at(group.len() / 2);
                groups.extend([rest.to_vec(), some.to_vec()]);
            } else {
                self.malformed_set(first, &noticed, &known).await;
            }
            self.restore(published.clone(), &signer).await;
        }
    }

    /// The target takes no key from a set that has this one in it.
    async fn malformed_set(&mut self, attack: &Attack, noticed: &Noticed, known: &str) {
        let request =
            AttackRequest::bearer("a new key beside it", "").or(Expected::ACCEPTED, RequirementLevel::Must);
        let verdict =
            if attack.level == RequirementLevel::Choice { Verdict::Differs } else { Verdict::Incorrect };
        let note = "with this in the set, no new key is taken from it";
        self.note(Case::new(attack, &request, &noticed.outcome).with_verdict(verdict, note));
        let known = AttackRequest::bearer("a token of a known key", known)
            .or(Expected::ACCEPTED, RequirementLevel::Must);
        self.send(attack, &known).await;
    }

    /// The old key disappears as the new one comes.
    async fn withdrawn(&mut self, abruptly: Option<&'static Attack>, withdrawn: Option<&'static Attack>) {
        let Some(attack) = abruptly.or(withdrawn) else { return };
        if self.is_over() {
            return;
        }
        abruptly.into_iter().chain(withdrawn).for_each(|attack| self.begin(attack));
        // Never shown before, so that no cache of tokens knows it.
        let old = self.context.good().build();
        let old_kid = self.context.keys().current_kid();
        self.new_signer();
        self.context.keys().withdraw(&old_kid);
        let noticed = self.noticed(attack).await;
        let good = noticed.outcome.as_ref().is_ok_and(TargetResponse::accepted);
        if let Some(attack) = abruptly {
            self.note(noticed.case(attack, "the new key"));
        }
        let Some(attack) = withdrawn else { return };
        if !good {
            self.note(Case::untried(attack, "no new key was noticed"));
            return;
        }
        let request = AttackRequest::bearer("the old key", &old).or(attack.expected, attack.level);
        let started = Instant::now();
        let mut outcome = self.target.send(&request, self.target.patience()).await;
        while outcome.as_ref().is_ok_and(TargetResponse::accepted) && started.elapsed() < SETTLE {
            tokio::time::sleep(PAUSE).await;
            outcome = self.target.send(&request, self.target.patience()).await;
        }
        self.record(attack, &request, &outcome);
        self.check_on(attack).await;
    }

    /// A set of one key, and a token that names none.
    async fn single_key(&mut self, attack: &'static Attack) {
        if self.is_over() {
            return;
        }
        self.begin(attack);
        let published = self.context.keys().published();
        self.new_signer();
        let requests = attack.requests(&self.context);
        let noticed = self.noticed(attack).await;
        if noticed.outcome.is_ok_and(|response| response.accepted()) {
            for request in requests {
                self.send(attack, &request).await;
            }
        } else {
            self.note(Case::untried(attack, "no new key was noticed"));
        }
        let signer = self.context.keys().current();
        self.context.keys().publish(published);
        self.context.keys().add(&signer);
        self.check_on(attack).await;
    }

    /// A new key signs from now on, and is published beside the others.
    pub(super) fn new_signer(&self) {
        let keys = self.context.keys();
        let alg = keys.current().alg();
        let key = TestKey::fresh(alg).unwrap_or_else(|| TestKey::generate(alg));
        keys.add(&key);
        keys.sign_with(&key);
    }

    /// Shows tokens of the key that signs now until one is accepted, or the target's time is over.
    pub(super) async fn noticed(&mut self, attack: &Attack) -> Noticed {
        let patience = self.suite.key_wait;
        self.say(&format!(
            "{} {}: waiting for a fetch of the keys, up to {} s",
            attack.case,
            attack.id,
            patience.as_secs()
        ));
        let (before, started) = (self.key_fetches(), Instant::now());
        let (mut asked_at, mut error) = (None, None);
        let mut silent_since: Option<Instant> = None;
        loop {
            let outcome = self.target.show(&self.context.good().build()).await;
            self.stop_if_throttled(attack.id);
            match &outcome {
                Ok(_) => silent_since = None,
                Err(reason) if silent_since.get_or_insert_with(Instant::now).elapsed() >= RECOVERY => {
                    self.cut_short_by(attack.id, *reason);
                }
                Err(_) => {}
            }
            let accepted = outcome.as_ref().is_ok_and(TargetResponse::accepted);
            if asked_at.is_none() && self.key_fetches() > before {
                asked_at = Some(Instant::now());
            }
            let settled = asked_at.is_some_and(|at| at.elapsed() >= SETTLE);
            if accepted || settled || self.is_over() || started.elapsed() >= patience {
                return Noticed { outcome, after: started.elapsed(), asked: asked_at.is_some(), error };
            }
            // 503 says that the keys are unavailable, which is true.
            error = error.or_else(|| {
                outcome.ok().map(|response| response.status).filter(|status| *status >= 500 && *status != 503)
            });
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(super) fn key_fetches(&self) -> usize {
        self.server.journal().count(Endpoint::Jwks)
    }

    /// Publishes what was there before, and waits until the target lets good tokens in again.
    pub(super) async fn restore(&mut self, published: Vec<crate::keys::Published>, signer: &TestKey) {
        self.context.keys().publish(published);
        self.context.keys().sign_with(signer);
        let started = Instant::now();
        while started.elapsed() < self.suite.key_wait {
            match self.target.show(&self.context.good().build()).await {
                Ok(response) if response.accepted() => return,
                Err(NoResponse::Unreachable | NoResponse::Throttled) => return,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

impl Noticed {
    /// The case that the new key is accepted.
    pub(super) fn case(&self, attack: &Attack, variant: &str) -> Case {
        let request = AttackRequest::bearer(variant, "").or(attack.expected, attack.level);
        let case = Case::new(attack, &request, &self.outcome);
        let seconds = self.after.as_secs();
        match (&self.outcome, self.error, self.asked) {
            (Err(NoResponse::Throttled), ..) => case.with_verdict(Verdict::NotApplicable, THROTTLED),
            (Ok(response), None, _) if response.accepted() => {
                case.with_verdict(Verdict::Pass, format!("after {seconds} s"))
            }
            (Ok(response), Some(status), _) if response.accepted() => {
                case.with_verdict(Verdict::Incorrect, format!("after {seconds} s, and {status} until then"))
            }
            (_, _, true) => case.with_verdict(
                Verdict::Incorrect,
                "the target fetched the keys, and does not take the new one",
            ),
            (_, _, false) => case.with_verdict(
                Verdict::Incorrect,
                format!("for {seconds} s the target asked for no keys; see --key-wait"),
            ),
        }
    }
}

//! Cases in which the key endpoint fails, and a flood of invented key ids.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::report::{Case, Verdict};
use super::run::Run;
use super::target::{NoResponse, Outcome, TargetResponse};
use super::verdict::THROTTLED;
use crate::attack::{self, Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};
use crate::encode::{hex, random};
use crate::endpoint::Endpoint;
use crate::keys::TestKey;
use crate::rules::faults::Fault;

const AREA: Area = Area::Keys;
/// How long an API may take to give up on a key endpoint that does not respond.
const GIVE_UP: Duration = Duration::from_secs(35);
/// What a caller with a known token does not notice.
const UNNOTICED: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(500);
/// The flood: so many tokens, so many at a time.
const FLOOD: usize = 200;
const AT_A_TIME: usize = 8;
/// Valid JSON of this length is no key set that an issuer publishes.
const HUGE: usize = 20 * 1024 * 1024;

const OUTAGE: &str =
    "Outages of the issuer come with restarts and networks; who has a good token must not notice.";
const RULE: &str =
    "while the keys are unavailable, known tokens keep working, and new key ids are refused without an error";

const fn outage(id: &'static str, case: &'static str) -> Attack {
    Attack::accepted(AREA, id, case, "RFC 9110 section 15.6.4", RULE, OUTAGE, by_hand)
}

/// In the order they are run.
pub(super) const CASES: &[Attack] = &[
    outage("endpoint-error", "G136"),
    outage("endpoint-reset", "G136"),
    outage("endpoint-html", "G136"),
    outage("endpoint-cut-json", "G136"),
    outage("endpoint-huge", "G138"),
    outage("endpoint-redirect", "G140"),
    outage("endpoint-silent", "G139"),
    Attack::accepted(
        AREA,
        "endpoint-recovered",
        "G136",
        "OpenID Connect Core section 10.1.1",
        "after an outage, a new key is found again",
        "A target that gave up for good needs a restart after each outage.",
        by_hand,
    ),
    Attack::refused(
        AREA,
        "kid-flood",
        "G131",
        "OpenID Connect Core section 10.1.1",
        "invented key ids cost few fetches, however many there are",
        "Any client can invent key ids: each would make the target ask the issuer, and bring both down.",
        by_hand,
    ),
    Attack::accepted(
        AREA,
        "kid-flood-and-a-rotation",
        "G131",
        "OpenID Connect Core section 10.1.1",
        "a flood of invented key ids does not keep a new key from being found",
        "Any client could lock out all callers when the issuer changes its key.",
        by_hand,
    ),
];

/// These cases are no requests that could be made beforehand.
fn by_hand(_: &AttackContext) -> Vec<AttackRequest> {
    Vec::new()
}

fn fault(id: &str, trap: &str) -> Option<Fault> {
    Some(match id {
        "endpoint-error" => Fault::status(500),
        "endpoint-reset" => Fault::reset(),
        "endpoint-html" => Fault::html_ok(),
        "endpoint-cut-json" => Fault::malformed_json(),
        "endpoint-huge" => Fault::oversized(HUGE),
        "endpoint-redirect" => Fault::redirect(trap),
        "endpoint-silent" => Fault::hang(),
        _ => return None,
    })
}

impl Run<'_> {
    pub(super) async fn endpoint_faults(&mut self) {
        let none = attack::find("keys-none").filter(|attack| self.wants(attack));
        let rows: Vec<_> = CASES.iter().filter(|attack| self.wants(attack)).collect();
        if self.suite.quick || !self.fetches {
            let why_not = if self.suite.quick { "left out by --quick" } else { "no new key was noticed" };
            let none = none.filter(|_| self.suite.quick);
            for attack in rows.into_iter().chain(none) {
                self.begin(attack);
                self.note(Case::untried(attack, why_not));
            }
            return;
        }
        let alg = self.context.keys().current().alg();
        let unknown = TestKey::fresh(alg).unwrap_or_else(|| TestKey::generate(alg));
        let trap = self.server.endpoint(Endpoint::Trap);
        let mut failed = false;
        for attack in rows {
            if !self.wants(attack) {
                return;
            }
            self.begin(attack);
            match (fault(attack.id, &trap), attack.id) {
                (Some(fault), _) => {
                    failed = true;
                    self.outage(attack, fault, &unknown).await;
                }
                (None, "endpoint-recovered") if !failed => {
                    self.note(Case::untried(attack, "no outage came before"));
                }
                (None, "kid-flood") => self.flood(attack).await,
                (None, _) => {
                    self.new_signer();
                    let noticed = self.noticed(attack).await;
                    self.note(noticed.case(attack, "the new key"));
                    self.check_on(attack).await;
                }
            }
        }
        if let Some(attack) = none.filter(|attack| self.wants(attack)) {
            self.begin(attack);
            self.no_keys(attack, &unknown).await;
        }
    }

    async fn outage(&mut self, attack: &Attack, fault: Fault, unknown: &TestKey) {
        self.say(&format!("{} {}: until the target asks for keys", attack.case, attack.id));
        let silent = attack.id == "endpoint-silent";
        self.server.fault(Endpoint::Jwks, fault).always();
        let before = self.key_fetches();
        let (provoked, meanwhile) = if silent {
            tokio::join!(self.provoke(unknown), self.known_after(before))
        } else {
            (self.provoke(unknown).await, None)
        };
        let Some(outcome) = provoked else {
            self.server.clear_faults();
            self.note(Case::untried(attack, "no keys were asked for in time"));
            return;
        };
        let expected = Expected::new(503, None).or(&[401]);
        let request = AttackRequest::bearer("a key id it does not know", "").or(expected, attack.level);
        let (verdict, note) = self.on_unknown(attack, &outcome);
        self.note(Case::new(attack, &request, &outcome).with_verdict(verdict, note));
        if let Some(outcome) = meanwhile {
            self.known(attack, "a known token meanwhile", &outcome);
        }
        let outcome = self.target.show(&self.context.good().build()).await;
        self.known(attack, "a known token", &outcome);
        self.server.clear_faults();
        // A redirect to there is followed by choice; only a token must not name an address.
        self.trapped = self.server.journal().count(Endpoint::Trap);
        self.settle().await;
        self.check_on(attack).await;
    }

    /// Shows tokens of unknown key ids until the target asks for keys; the response to the one that made it.
    async fn provoke(&self, unknown: &TestKey) -> Option<Outcome> {
        let (before, started) = (self.key_fetches(), Instant::now());
        while started.elapsed() < self.suite.key_wait && !self.target.pace().gave_up() {
            let outcome =
                self.target.send(&AttackRequest::bearer("", &self.invented(unknown)), GIVE_UP).await;
            if self.key_fetches() > before {
                return Some(outcome);
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    /// A known token, shown once the keys are being asked for.
    async fn known_after(&self, before: usize) -> Option<Outcome> {
        let asked = self.server.journal().wait_for(Endpoint::Jwks, before + 1);
        tokio::time::timeout(self.suite.key_wait, asked).await.ok()?;
        Some(self.target.show(&self.context.good().build()).await)
    }

    fn invented(&self, key: &TestKey) -> String {
        let kid = format!("invented-{}", hex(&random::<8>()));
        self.context.good().signed_with(key).kid(&kid).build()
    }

    fn on_unknown(&self, attack: &Attack, outcome: &Outcome) -> (Verdict, String) {
        let followed = self.server.journal().count(Endpoint::Trap) > self.trapped;
        let (verdict, note) = match outcome {
            Ok(response) => match response.status {
                200..300 => (Verdict::LetIn, "a token by a key that was never published"),
                401 if attack.id == "endpoint-redirect" && followed => {
                    (Verdict::Differs, "it follows redirects of the key endpoint")
                }
                401 | 503 => (Verdict::Pass, ""),
                500 => (
                    Verdict::Incorrect,
                    "an error of the server, not a refusal: 503 or 401 would say what is wrong",
                ),
                _ => (Verdict::Differs, "503 or 401 would say what is wrong"),
            },
            Err(NoResponse::Throttled) => (Verdict::NotApplicable, THROTTLED),
            Err(NoResponse::TimedOut) => (Verdict::Incorrect, "it waits for the key endpoint without an end"),
            Err(_) => (Verdict::Incorrect, "the connection ended without a response"),
        };
        (verdict, note.to_owned())
    }

    fn known(&mut self, attack: &Attack, variant: &str, outcome: &Outcome) {
        let request = AttackRequest::bearer(variant, "").or(Expected::ACCEPTED, RequirementLevel::Must);
        let case = Case::new(attack, &request, outcome);
        let (verdict, note) = match outcome {
            Ok(response) if response.accepted() && response.took <= UNNOTICED => (Verdict::Pass, ""),
            Ok(response) if response.accepted() => (Verdict::Incorrect, "it waited for the key endpoint"),
            Ok(_) => (Verdict::Incorrect, "a good token of a known key was refused"),
            Err(NoResponse::Throttled) => (Verdict::NotApplicable, THROTTLED),
            Err(_) => (Verdict::Incorrect, "a good token of a known key got no response"),
        };
        self.note(case.with_verdict(verdict, note));
    }

    /// An empty key set: the issuer trusts no key, or made a mistake.
    async fn no_keys(&mut self, attack: &Attack, unknown: &TestKey) {
        let (published, signer) = (self.context.keys().published(), self.context.keys().current());
        let good = self.context.good().build();
        self.say(&format!("{} {}: until the target asks for keys", attack.case, attack.id));
        self.context.keys().clear();
        if self.provoke(unknown).await.is_none() {
            self.note(Case::untried(attack, "no keys were asked for in time"));
        } else {
            let outcome = self.target.show(&good).await;
            let request =
                AttackRequest::bearer("a token that was good", &good).or(attack.expected, attack.level);
            self.record(attack, &request, &outcome);
        }
        self.restore(published, &signer).await;
        self.check_on(attack).await;
    }

    async fn flood(&mut self, attack: &Attack) {
        self.say(&format!("{} {}: {FLOOD} tokens of invented key ids", attack.case, attack.id));
        let (before, started) = (self.key_fetches(), Instant::now());
        let target = Arc::new(self.target.clone());
        let (mut worst, mut worst_good) = (Ok(TargetResponse::default()), None);
        for _ in 0..FLOOD / AT_A_TIME {
            let mut wave = JoinSet::new();
            for _ in 0..AT_A_TIME {
                let (target, token) = (Arc::clone(&target), self.invented(self.context.foreign()));
                wave.spawn(async move { target.show(&token).await });
            }
            while let Some(outcome) = wave.join_next().await {
                worst = worse(worst, outcome.unwrap_or(Err(NoResponse::Closed)));
            }
            let good = self.target.show(&self.context.good().build()).await;
            worst_good = Some(worst_good.map_or(good.clone(), |before| worse_good(before, good)));
        }
        let fetches = self.key_fetches() - before;
        // A fetch in ten seconds is what the most eager of the usual cool-downs comes to.
        let allowed = 3 + usize::try_from(started.elapsed().as_secs() / 10).unwrap_or(0);
        let note = format!("{FLOOD} invented key ids caused {fetches} fetches of the keys");
        let verdict = match fetches {
            few if few <= allowed => Verdict::Pass,
            some if some < FLOOD / 4 => Verdict::Differs,
            _ => Verdict::Incorrect,
        };
        let request = AttackRequest::bearer("fetches", "").or(attack.expected, attack.level);
        let case = Case::new(attack, &request, &worst);
        let (of_response, why) = self.on_unknown(attack, &worst);
        self.note(match of_response {
            Verdict::Pass => case.with_verdict(verdict, note),
            other => case.with_verdict(other, why),
        });
        if let Some(outcome) = worst_good {
            self.known(attack, "good tokens in between", &outcome);
        }
        self.check_on(attack).await;
    }

    /// Waits until the target lets good tokens in again, if it does not now.
    async fn settle(&mut self) {
        let (published, signer) = (self.context.keys().published(), self.context.keys().current());
        self.restore(published, &signer).await;
    }
}

/// The worse of two responses to a token that is to be rejected.
fn worse(one: Outcome, other: Outcome) -> Outcome {
    let badness = |outcome: &Outcome| match outcome {
        Err(_) => 4,
        Ok(response) if response.accepted() && response.status > 0 => 5,
        Ok(response) if response.status == 503 => 2,
        Ok(response) if response.status >= 500 => 3,
        Ok(response) if response.status == 0 => 0,
        Ok(_) => 1,
    };
    if badness(&other) > badness(&one) { other } else { one }
}

/// The worse of two responses to a token that is to be accepted: none, a refusal, a late one.
fn worse_good(one: Outcome, other: Outcome) -> Outcome {
    let badness = |outcome: &Outcome| match outcome {
        Err(_) => (2, Duration::ZERO),
        Ok(response) if !response.accepted() => (1, Duration::ZERO),
        Ok(response) => (0, response.took),
    };
    if badness(&other) > badness(&one) { other } else { one }
}

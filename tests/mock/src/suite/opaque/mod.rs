//! A target that introspects its tokens (RFC 7662): this is the endpoint, and says what no server should say.
//!
//! Each request shows a token that was never shown before; what the endpoint says of it is decided right before.

mod rows;
mod said;

use std::time::Duration;

use http::StatusCode;
use http::header::LOCATION;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) use self::rows::CASES;
use self::said::{Speaker, invented};
use super::SuiteError;
use super::report::{Case, Verdict};
use super::run::{RECOVERY, Run};
use super::target::{NoResponse, Outcome, TargetResponse};
use crate::attack::{Attack, AttackRequest, Expected};
use crate::endpoint::Endpoint;
use crate::rules::faults::Fault;
use crate::rules::matching::Match;

/// The type of the tokens, in the report.
pub(super) const TYP: &str = "opaque";
const PAUSE: Duration = Duration::from_millis(250);
/// How long an API may take to give up on an endpoint that does not respond.
const GIVE_UP: Duration = Duration::from_secs(35);
/// How long the token of a row lives that is about its end.
const SHORT: i64 = 2;
/// How many callers come at once.
const AT_ONCE: usize = 50;
/// So many answers are remembered: those of the row that runs, and its controls.
const REMEMBERED: usize = 64;

/// The endpoint of one run.
#[derive(Default)]
pub(super) struct Answers {
    known: Vec<(String, Fault)>,
    /// Whom signed responses are for, if the target asks for them.
    signed_for: Option<String>,
}

impl Run<'_> {
    fn speaker(&self) -> Speaker {
        Speaker {
            context: self.context.clone(),
            claims: self.suite.claims.clone(),
            signed_for: self.answers().signed_for.clone(),
        }
    }

    /// What is said of this token from now on; of all that nothing was decided for, that they are inactive.
    fn answer(&self, token: &str, fault: Fault) {
        let inactive = self.speaker().inactive();
        let mut answers = self.answers();
        answers.known.retain(|(known, _)| known != token);
        answers.known.push((token.to_owned(), fault));
        let too_many = answers.known.len().saturating_sub(REMEMBERED);
        answers.known.drain(..too_many);
        self.server.clear_faults();
        for (token, fault) in &answers.known {
            let about = Match::any().param("token", token);
            self.server.fault(Endpoint::Introspect, fault.clone()).matching(about).always();
        }
        self.server.fault(Endpoint::Introspect, inactive).always();
    }

    /// A new token of which the endpoint says this.
    fn token(&self, fault: Fault) -> String {
        let token = invented();
        self.answer(&token, fault);
        token
    }

    fn good_token(&self) -> String {
        let speaker = self.speaker();
        self.token(speaker.say(&speaker.good()))
    }

    /// A good request, to see that what an attack changed corrupted nothing else.
    pub(super) fn good_opaque_token(&self) -> AttackRequest {
        AttackRequest::bearer("control: a good token", &self.good_token())
            .or(Expected::ACCEPTED, crate::attack::RequirementLevel::Must)
    }

    /// Shows good tokens until one is accepted; finds out whether signed responses are asked for.
    pub(super) async fn opaque_ready(&mut self) -> Result<(), SuiteError> {
        self.traits.typ = TYP.to_owned();
        let deadline = Instant::now() + self.suite.wait;
        loop {
            let token = self.good_token();
            let outcome = self.target.show(&token).await;
            // Also of a target that takes plain ones: that is what a row is about.
            let asked = self.server.journal().of(Endpoint::Introspect).pop();
            let wants_signed = asked.as_ref().filter(|asked| {
                asked.header("accept").is_some_and(|accept| accept.contains("token-introspection+jwt"))
            });
            let is_known = self.answers().signed_for.is_some();
            if let Some(asked) = wants_signed.filter(|_| !is_known) {
                let client = asked.client.clone().unwrap_or_else(|| self.suite.audience.clone());
                self.answers().signed_for = Some(client);
                continue;
            }
            if let Ok(response) = &outcome {
                if response.accepted() {
                    return Ok(());
                }
                if let Some(moved) = self.target.moved_to_https(response, self.suite.remote).await {
                    self.target = moved?;
                    continue;
                }
            }
            if Instant::now() >= deadline {
                let said = match &outcome {
                    Ok(response) => format!("it responded {}", response.status),
                    Err(reason) => format!("the connection: {}", reason.as_str()),
                };
                let hint = match asked {
                    None => {
                        "It never asked at the introspection endpoint: set that, or its issuer, to the one above."
                    }
                    Some(_) => {
                        "It asked, was told that the token is active, and refuses all the same: compare issuer, audience and scope."
                    }
                };
                let seconds = self.suite.wait.as_secs();
                return Err(SuiteError::NeverAccepted(format!("After {seconds} s {said}\n  {hint}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(super) async fn opaque_stages(&mut self) {
        for attack in CASES {
            if !self.wants(attack) {
                continue;
            }
            self.begin(attack);
            if let Some(why_not) = self.says_nothing(attack) {
                self.note(Case::untried(attack, why_not));
                continue;
            }
            match self.speaker().variants(attack.id) {
                Some(variants) => self.responses(attack, variants).await,
                None => self.by_hand(attack).await,
            }
            self.check_on(attack).await;
        }
        self.server.clear_faults();
    }

    fn says_nothing(&self, attack: &Attack) -> Option<&'static str> {
        let id = attack.id;
        if id.starts_with("opaque-signed") && self.answers().signed_for.is_none() {
            return Some("only where signed responses are asked for");
        }
        if id.starts_with("opaque-scope") && self.suite.scope.is_none() {
            return Some("no scope was named");
        }
        if self.suite.quick && matches!(id, "opaque-silent" | "opaque-revoked") {
            return Some("left out by --quick");
        }
        None
    }

    async fn responses(&mut self, attack: &'static Attack, variants: Vec<(String, Fault)>) {
        for (variant, fault) in variants {
            let token = self.token(fault);
            let request = AttackRequest::bearer(variant, &token).or(attack.expected, attack.level);
            if attack.expected.status != 503 {
                self.send(attack, &request).await;
                continue;
            }
            if self.is_over() {
                return;
            }
            let outcome = self.target.send(&request, GIVE_UP).await;
            self.record(attack, &request, &outcome);
            // An API may leave a server that fails alone for a moment.
            let control = self.good_opaque_token();
            let first = self.target.send(&control, self.target.patience()).await;
            if !first.as_ref().is_ok_and(TargetResponse::accepted) {
                let _ = self.recovery(&first).await;
            }
        }
    }

    async fn by_hand(&mut self, attack: &'static Attack) {
        let bearer = |variant: &str, token: &str| {
            AttackRequest::bearer(variant, token).or(attack.expected, attack.level)
        };
        let plain = |variant: &str| AttackRequest::plain(variant).or(attack.expected, attack.level);
        let good = self.good_token();
        let requests = match attack.id {
            "opaque-no-token" => vec![plain("no header")],
            "opaque-other-scheme" => vec![
                plain("Basic").authorization("Basic c3ZjOnMzY3IzdA=="),
                plain("a good token as Token").authorization(format!("Token {good}")),
            ],
            "opaque-two-headers" => {
                let (good, bad) = (format!("Bearer {good}"), format!("Bearer {}", invented()));
                vec![
                    plain("good, bad").authorization(good.clone()).authorization(bad.clone()),
                    plain("bad, good").authorization(bad).authorization(good),
                ]
            }
            "opaque-in-the-query" => vec![plain("").query(format!("access_token={good}"))],
            "opaque-characters" => ["\"", "@", "[]", "ä"]
                .map(|odd| {
                    let token = format!("{}{odd}", invented());
                    self.answer(&token, self.speaker().say(&self.speaker().good()));
                    bearer(odd, &token)
                })
                .into(),
            "opaque-form-injection" => vec![
                bearer("behind it", &format!("{good}&token_type_hint=x")),
                bearer("in front of it", &format!("{}&token={good}", invented())),
            ],
            "opaque-encoded" => {
                let token = format!("{}+/~._-==", invented());
                self.answer(&token, self.speaker().say(&self.speaker().good()));
                vec![bearer("", &token)]
            }
            "opaque-jwt-unsigned" => vec![bearer("", &self.context.good().unsigned().build())],
            "opaque-jwt-forged" => {
                let forged = self.context.good().signed_with(self.context.foreign());
                vec![
                    bearer("", &forged.clone().build()),
                    bearer("under a known kid", &forged.kid(&self.context.keys().current_kid()).build()),
                ]
            }
            "opaque-signed-as-a-token" => {
                vec![bearer("", &self.context.good().typ("token-introspection+jwt").build())]
            }
            "opaque-leaks" => {
                let said = json!({"active": false, "username": "mallory-the-unnamed", "error_description": "mallory-the-unnamed"});
                let token = self.token(self.speaker().say(&said));
                vec![bearer("", &token).never_mentioning("mallory-the-unnamed")]
            }
            _ => return self.in_order(attack).await,
        };
        for request in requests {
            self.send(attack, &request).await;
        }
    }

    /// Rows of more than one step.
    async fn in_order(&mut self, attack: &'static Attack) {
        if self.is_over() {
            return;
        }
        match attack.id {
            "opaque-authenticates" | "opaque-asked-by-post" => self.question(attack).await,
            "opaque-redirect" => self.redirect(attack).await,
            "opaque-outage-is-over" => self.outage_is_over(attack).await,
            "opaque-cache-past-exp" => self.past_exp(attack).await,
            "opaque-cache-nearly" => self.nearly(attack).await,
            "opaque-revoked" => self.revoked(attack).await,
            "opaque-at-once" => self.at_once(attack).await,
            id => self.note(Case::untried(attack, id)),
        }
    }

    /// How the endpoint is asked.
    async fn question(&mut self, attack: &'static Attack) {
        let request = AttackRequest::bearer("", &self.good_token()).or(attack.expected, attack.level);
        let outcome = self.target.send(&request, self.target.patience()).await;
        if matches!(outcome, Err(NoResponse::Throttled)) {
            return self.record(attack, &request, &outcome);
        }
        let Some(asked) = self.server.journal().of(Endpoint::Introspect).pop() else {
            return self.note(Case::untried(attack, "the endpoint was not asked"));
        };
        let holds = if attack.id == "opaque-asked-by-post" {
            asked.method == "POST" && asked.query.iter().all(|(name, _)| name != "token")
        } else {
            let proofs = ["client_secret", "client_assertion"];
            asked.header("authorization").is_some()
                || proofs.iter().any(|name| asked.param(name).is_some())
                || asked.certificate.is_some()
        };
        let case = Case::new(attack, &request, &outcome);
        self.note(match (holds, attack.id) {
            (true, _) => case,
            (false, "opaque-asked-by-post") => case.with_verdict(
                Verdict::Incorrect,
                "the token is in the URL of the question, or it is no POST",
            ),
            (false, _) => case.with_verdict(Verdict::Incorrect, "the question came without credentials"),
        });
    }

    async fn redirect(&mut self, attack: &'static Attack) {
        let before = self.server.journal().count(Endpoint::Trap);
        let to = self.server.endpoint(Endpoint::Trap);
        for status in [StatusCode::TEMPORARY_REDIRECT, StatusCode::FOUND] {
            let token = self.token(Fault::status(status.as_u16()).header(LOCATION, to.as_str()));
            let request = AttackRequest::bearer(status.as_str(), &token).or(attack.expected, attack.level);
            let outcome = self.target.send(&request, self.target.patience()).await;
            let trapped = self.server.journal().count(Endpoint::Trap);
            if trapped > before.max(self.trapped) {
                self.trapped = trapped;
                let case = Case::new(attack, &request, &outcome);
                self.note(case.with_verdict(Verdict::LetIn, "the question, with the token, was sent on"));
            } else {
                self.record(attack, &request, &outcome);
            }
            self.good_again().await;
        }
    }

    async fn outage_is_over(&mut self, attack: &'static Attack) {
        let speaker = self.speaker();
        let token = self.token(Fault::status(500));
        let request = AttackRequest::bearer("a token asked about in an outage", &token)
            .or(attack.expected, attack.level);
        let _ = self.target.send(&request, self.target.patience()).await;
        self.answer(&token, speaker.say(&speaker.good()));
        let started = Instant::now();
        let mut outcome = self.target.send(&request, self.target.patience()).await;
        while !outcome.as_ref().is_ok_and(TargetResponse::accepted) && started.elapsed() < RECOVERY / 2 {
            tokio::time::sleep(PAUSE).await;
            outcome = self.target.send(&request, self.target.patience()).await;
        }
        if matches!(outcome, Err(NoResponse::Throttled)) {
            return self.record(attack, &request, &outcome);
        }
        let case = Case::new(attack, &request, &outcome);
        self.note(if outcome.as_ref().is_ok_and(TargetResponse::accepted) {
            case
        } else {
            case.with_verdict(Verdict::Incorrect, "the failure was remembered as a no")
        });
    }

    async fn past_exp(&mut self, attack: &'static Attack) {
        let speaker = self.speaker();
        let mut said = speaker.good();
        said["exp"] = json!(self.context.now() + SHORT);
        let token = self.token(speaker.say(&said));
        let request = AttackRequest::bearer("after exp, and inactive by then", &token)
            .or(attack.expected, attack.level);
        if !self.is_taken(&request).await {
            return self.note(Case::untried(attack, "a token of two seconds was not accepted"));
        }
        self.answer(&token, speaker.inactive());
        let request = request.after(Duration::from_secs(4));
        self.send(attack, &request).await;
    }

    async fn nearly(&mut self, attack: &'static Attack) {
        let good = self.good_token();
        let request = |variant: &str, token: &str| {
            AttackRequest::bearer(variant, token).or(attack.expected, attack.level)
        };
        if !self.is_taken(&request("", &good)).await {
            return self.note(Case::untried(attack, "a good token was not accepted"));
        }
        let shorter = &good[..good.len() - 1];
        for (variant, token) in [
            ("the same beginning", format!("{good}0")),
            ("the same, but shorter", shorter.to_owned()),
            ("in capitals", good.to_uppercase()),
            ("another end", format!("{shorter}_")),
        ] {
            self.send(attack, &request(variant, &token)).await;
        }
    }

    async fn revoked(&mut self, attack: &'static Attack) {
        let speaker = self.speaker();
        let token = self.good_token();
        let request = AttackRequest::bearer("", &token).or(attack.expected, attack.level);
        if !self.is_taken(&request).await {
            return self.note(Case::untried(attack, "a good token was not accepted"));
        }
        self.answer(&token, speaker.inactive());
        let patience = self.suite.key_wait;
        self.say(&format!("  until the target notices, up to {} s", patience.as_secs()));
        let started = Instant::now();
        let mut outcome = self.target.send(&request, self.target.patience()).await;
        while outcome.as_ref().is_ok_and(TargetResponse::accepted) && started.elapsed() < patience {
            tokio::time::sleep(PAUSE * 2).await;
            outcome = self.target.send(&request, self.target.patience()).await;
        }
        self.record(attack, &request, &outcome);
    }

    async fn at_once(&mut self, attack: &'static Attack) {
        let token = self.good_token();
        let request = AttackRequest::bearer("", &token).or(attack.expected, attack.level);
        let mut sent = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (target, request) = (self.target.clone(), request.clone());
            sent.spawn(async move { target.send(&request, target.patience()).await });
        }
        let outcomes: Vec<Outcome> = sent.join_all().await;
        let accepted = |outcome: &Outcome| outcome.as_ref().is_ok_and(TargetResponse::accepted);
        let throttled = |outcome: &Outcome| matches!(outcome, Err(NoResponse::Throttled));
        // A refusal says most; of callers that were only sent away (429) it is not known whether they would be accepted.
        let worst = outcomes.iter().find(|one| !accepted(one) && !throttled(one));
        let worst = worst.or_else(|| outcomes.iter().find(|one| throttled(one)));
        if let Some(outcome) = worst.or(outcomes.first()) {
            self.record(attack, &request, outcome);
        }
    }

    async fn is_taken(&self, request: &AttackRequest) -> bool {
        let outcome = self.target.send(request, self.target.patience()).await;
        outcome.is_ok_and(|response| response.accepted())
    }

    /// Waits until good tokens are accepted, if the target pauses after a failure.
    async fn good_again(&mut self) {
        let control = self.good_opaque_token();
        let first = self.target.send(&control, self.target.patience()).await;
        if !first.as_ref().is_ok_and(TargetResponse::accepted) {
            let _ = self.recovery(&first).await;
        }
    }
}

//! The rows that need no change of keys, one by one or several at a time.

use tokio::task::JoinSet;

use super::report::{Case, Verdict};
use super::run::Run;
use super::target::{NoResponse, Outcome, TargetResponse};
use crate::attack::{self, Area, Attack, AttackRequest};
use crate::endpoint::Endpoint;

/// How often a row is sent anew because a pause came between its requests, which tell of the time.
const AGAIN: usize = 3;
/// Rows whose requests lead up to one another, so that nothing may come between.
const IN_ORDER: [&str; 2] = ["signature-forged-twin", "signature-of-a-known-token"];

type Row = (&'static Attack, Vec<AttackRequest>);

impl Run<'_> {
    pub(super) async fn table(&mut self) {
        let mut together: Vec<Row> = Vec::new();
        for attack in attack::all().filter(|attack| attack.area != Area::Keys) {
            if !self.wants(attack) {
                continue;
            }
            self.begin(attack);
            if let Some(why_not) = self.inapplicable(attack) {
                self.note(Case::untried(attack, why_not));
                continue;
            }
            let requests = attack.requests(&self.context);
            if self.suite.sending.parallel < 2 || !independent(attack, &requests) {
                self.alone(attack, requests).await;
                continue;
            }
            together.push((attack, requests));
            if together.len() >= self.suite.sending.parallel {
                self.together(std::mem::take(&mut together)).await;
            }
        }
        self.together(together).await;
    }

    async fn alone(&mut self, attack: &'static Attack, mut requests: Vec<AttackRequest>) {
        self.begin(attack);
        let timed = attack.area == Area::Time;
        for again in 1..=AGAIN {
            let (before, noted) = (self.target.pace().throttled(), self.noted());
            for request in &requests {
                self.send(attack, request).await;
            }
            let paused = self.target.pace().throttled() != before;
            if !timed || !paused || self.is_over() || again == AGAIN {
                break;
            }
            // A token that had seconds to go may have outlived the pause.
            self.forget(noted);
            requests = attack.requests(&self.context);
        }
        self.check_on(attack).await;
    }

    /// Sends independent rows at the same time. If the target falls over, each goes once more alone, to see which it
    /// was.
    async fn together(&mut self, rows: Vec<Row>) {
        if self.is_over() || rows.is_empty() {
            return;
        }
        let mut sent = JoinSet::new();
        for (row, (_, requests)) in rows.iter().enumerate() {
            let (target, requests) = (self.target.clone(), requests.clone());
            sent.spawn(async move {
                let mut outcomes = Vec::with_capacity(requests.len());
                for request in &requests {
                    outcomes.push(target.send(request, target.patience()).await);
                }
                (row, outcomes)
            });
        }
        let mut outcomes: Vec<(usize, Vec<Outcome>)> = sent.join_all().await;
        outcomes.sort_by_key(|(row, _)| *row);
        let trapped = self.server.journal().count(Endpoint::Trap) > self.trapped;
        let control = self.target.send(&self.context.control(), self.target.patience()).await;
        let throttled = matches!(control, Err(NoResponse::Throttled));
        if !trapped && (throttled || control.as_ref().is_ok_and(TargetResponse::accepted)) {
            for ((attack, requests), (_, outcomes)) in rows.iter().zip(&outcomes) {
                for (request, outcome) in requests.iter().zip(outcomes) {
                    self.record(attack, request, outcome);
                }
            }
            return;
        }
        self.say("  one of these rows shows more than its responses: each once more, alone");
        let (_, last) = self.recovery(&control).await;
        if let Err(reason) = last {
            let ids: Vec<_> = rows.iter().map(|(attack, _)| attack.id).collect();
            let note = format!("good tokens are no longer accepted after one of {}", ids.join(", "));
            if let Some((first, _)) = rows.first() {
                let case = Case::new(first, &self.context.control(), &control);
                self.note(case.with_verdict(Verdict::Broke, note));
            }
            return self.cut_short_by(&format!("one of {}", ids.join(", ")), reason);
        }
        self.trapped = self.server.journal().count(Endpoint::Trap);
        for (attack, _) in rows {
            if self.is_over() {
                return;
            }
            let requests = attack.requests(&self.context);
            self.alone(attack, requests).await;
        }
    }
}

/// Whether other requests may come between those of this row.
fn independent(attack: &Attack, requests: &[AttackRequest]) -> bool {
    !IN_ORDER.contains(&attack.id) && !requests.iter().any(AttackRequest::is_perishable)
}

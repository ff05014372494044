//! What a run found.

use serde::Serialize;

use crate::attack::{Attack, AttackRequest, RequirementLevel};

use super::target::Outcome;

/// What a run of a [`Suite`](super::Suite) found: every request, and the response it got.
///
/// Its `Display` is a table of 100 columns. [`to_json`](Self::to_json) is for machines.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of this shape: 1. A field may be added within a version, and none changes its meaning.
    pub version: u32,
    /// Which part was attacked: `tokens`, `dpop` or `certificates`.
    pub part: &'static str,
    /// How good tokens are bound, in words; absent for bearer tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<String>,
    /// The address that was attacked.
    pub target: String,
    /// The issuer of the tokens.
    pub issuer: String,
    /// The audience of the tokens.
    pub audience: String,
    /// How the target is configured, as far as that shows from outside.
    pub traits: Traits,
    /// How many requests got which verdict.
    pub summary: Summary,
    /// What kept the suite from running to its end; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_short: Option<String>,
    /// The row that was running when the run was cut short; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    /// The rows that were not run because of that; absent when all were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_run: Vec<&'static str>,
    /// How often the target asked for a pause (429), which was obeyed; absent when it did not.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled: usize,
    /// Every request.
    pub cases: Vec<Case>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// From which verdict on a run has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailOn {
    /// What helps an attacker: [`LetIn`](Verdict::LetIn), [`Leaked`](Verdict::Leaked) and [`Broke`](Verdict::Broke).
    #[default]
    Accepted,
    /// [`Incorrect`](Verdict::Incorrect) responses, too.
    Incorrect,
    /// Whatever [`Differs`](Verdict::Differs), too.
    Differs,
}

/// How a target is set up, found out by asking it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Traits {
    /// The algorithms it takes, of those that the suite signs with.
    pub algorithms: Vec<&'static str>,
    /// The `typ` of the tokens it takes: `at+jwt`, or `JWT` where it wants that.
    pub typ: String,
    /// Whether it refuses other types, as RFC 9068 section 4 has it.
    pub only_access_tokens: bool,
    /// How many seconds after its end a token is still taken: at most this.
    pub leeway_seconds: u32,
    /// Whether that is exact.
    pub leeway_is_exact: bool,
}

/// How many requests got which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Those that were sent and say something.
    pub judged: usize,
    /// The response is as the standards ask.
    pub pass: usize,
    /// Let in, though they must be refused.
    pub let_in: usize,
    /// Refused, and the refusal repeats the token or what it says.
    pub leaked: usize,
    /// After these, a good token was no longer accepted.
    pub broke: usize,
    /// No forged token was accepted, but the response is wrong.
    pub incorrect: usize,
    /// Another response that is allowed, too.
    pub differs: usize,
    /// Say nothing about this target.
    pub not_applicable: usize,
}

/// One request and its response.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Case {
    /// The number of the case.
    pub case: &'static str,
    /// The attack's name.
    pub id: &'static str,
    /// Which of the attack's requests it is.
    pub variant: String,
    /// What must hold.
    pub rule: &'static str,
    /// Where that is written.
    pub clause: &'static str,
    /// What an attacker gains otherwise.
    pub why: &'static str,
    /// The response of a correct API.
    pub expected: Response,
    /// What came.
    pub got: Response,
    /// What to make of it.
    pub verdict: Verdict,
    /// What there is to say about the verdict; may be empty.
    pub note: String,
}

/// A response in short.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Response {
    /// The HTTP status; 0 when none came, and the note says how that was.
    pub status: u16,
    /// The `error` of the challenge.
    pub error: Option<String>,
    /// In milliseconds; 0 in what is expected.
    pub took_ms: u64,
}

/// What to make of a response, the worst last but one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// As the standards ask.
    Pass,
    /// Another response that is allowed, too: a matter of choice.
    Differs,
    /// It accepted no forged token, but the response is wrong: a good token refused, an error of the server, no
    /// challenge …
    Incorrect,
    /// Let in, though it must be refused.
    LetIn,
    /// Refused, and the refusal repeats the token or what it says.
    Leaked,
    /// After this request, a good token was no longer accepted.
    Broke,
    /// Says nothing about this target.
    NotApplicable,
}

impl Report {
    /// The code a program should end with: 0 when nothing was found that helps an attacker, 1 when something was (or
    /// the target broke), 2 when the suite could not run to its end.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.exit_code_from(FailOn::Accepted)
    }

    /// The same, where lesser findings may fail the run as well.
    #[must_use]
    pub fn exit_code_from(&self, level: FailOn) -> u8 {
        match (self.cases.iter().any(|case| case.verdict.fails(level)), &self.cut_short) {
            (true, _) => 1,
            (false, Some(_)) => 2,
            (false, None) => 0,
        }
    }

    /// The whole report as JSON, its members named like the fields of these types; a [`Verdict`] is a string in
    /// `snake_case`.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The requests with this verdict.
    pub fn with(&self, verdict: Verdict) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(move |case| case.verdict == verdict)
    }
}

impl Summary {
    pub(super) fn of(cases: &[Case]) -> Self {
        let count = |verdict| cases.iter().filter(|case| case.verdict == verdict).count();
        let not_applicable = count(Verdict::NotApplicable);
        Self {
            judged: cases.len() - not_applicable,
            pass: count(Verdict::Pass),
            let_in: count(Verdict::LetIn),
            leaked: count(Verdict::Leaked),
            broke: count(Verdict::Broke),
            incorrect: count(Verdict::Incorrect),
            differs: count(Verdict::Differs),
            not_applicable,
        }
    }
}

impl Case {
    pub(super) fn new(attack: &Attack, request: &AttackRequest, outcome: &Outcome) -> Self {
        let expected = request.expected();
        Self {
            case: attack.case,
            id: attack.id,
            variant: request.variant().to_owned(),
            rule: attack.rule,
            clause: attack.clause,
            why: attack.why,
            expected: Response {
                status: expected.status,
                error: expected.error.map(str::to_owned),
                took_ms: 0,
            },
            got: Response::of(outcome),
            verdict: Verdict::Pass,
            note: String::new(),
        }
    }

    /// A case that was not tried.
    pub(super) fn untried(attack: &Attack, why_not: &str) -> Self {
        let request = AttackRequest::plain("").or(attack.expected, RequirementLevel::Choice);
        let nothing = Err(super::target::NoResponse::Closed);
        Self::new(attack, &request, &nothing).with_verdict(Verdict::NotApplicable, why_not)
    }

    pub(super) fn with_verdict(mut self, verdict: Verdict, note: impl Into<String>) -> Self {
        self.verdict = verdict;
        self.note = note.into();
        self
    }
}

impl Response {
    /// Status and error code.
    pub(super) fn short(&self) -> String {
        match (self.status, &self.error) {
            (0, _) => "no response".to_owned(),
            (status, None) => status.to_string(),
            (status, Some(error)) => format!("{status} {error}"),
        }
    }

    fn of(outcome: &Outcome) -> Self {
        outcome.as_ref().map_or_else(
            |_| Self::default(),
            |response| Self {
                status: response.status,
                error: response.error().map(|error| error.chars().take(40).collect()),
                took_ms: u64::try_from(response.took.as_millis()).unwrap_or(u64::MAX),
            },
        )
    }
}

impl Verdict {
    /// Whether it fails a run at this level.
    #[must_use]
    pub fn fails(self, level: FailOn) -> bool {
        match self {
            Self::LetIn | Self::Leaked | Self::Broke => true,
            Self::Incorrect => level != FailOn::Accepted,
            Self::Differs => level == FailOn::Differs,
            Self::Pass | Self::NotApplicable => false,
        }
    }

    /// In a few capital or small letters, as the table has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Differs => "differs",
            Self::Incorrect => "INCORRECT",
            Self::LetIn => "ACCEPTED",
            Self::Leaked => "LEAKED",
            Self::Broke => "BROKE",
            Self::NotApplicable => "n/a",
        }
    }
}

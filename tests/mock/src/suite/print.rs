//! The printed report: 100 columns.

use std::fmt::{self, Write as _};

use super::report::{Case, Report, Response, Verdict};

const WIDTH: usize = 100;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.traits_line(f)?;
        writeln!(f)?;
        writeln!(f, "{:5} {:44} {:19} {:19} verdict", "case", "what", "expected", "got")?;
        writeln!(f, "{}", "-".repeat(WIDTH))?;
        let mut rest = self.cases.as_slice();
        while let Some(first) = rest.first() {
            let of_one = rest.iter().take_while(|case| case.id == first.id).count();
            let (attack, after) = rest.split_at(of_one);
            one_attack(f, attack)?;
            rest = after;
        }
        self.findings(f, "\nAccepted, though they must be refused", Verdict::LetIn)?;
        self.scope_hint(f)?;
        self.findings(f, "\nRefused, and the refusal repeats the token or what it says", Verdict::Leaked)?;
        self.findings(f, "\nAfter these, good tokens were no longer accepted", Verdict::Broke)?;
        self.findings(f, "\nIncorrect responses", Verdict::Incorrect)?;
        self.choices(f)?;
        self.score(f)
    }
}

impl Report {
    fn traits_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let traits = &self.traits;
        writeln!(f, "Target {}, which trusts {}", self.target, self.issuer)?;
        if let Some(binding) = &self.binding {
            return writeln!(f, "Good tokens are bound: {binding}");
        }
        if traits.typ == super::opaque::TYP {
            return writeln!(f, "It introspects its tokens (RFC 7662)");
        }
        let about = if traits.leeway_is_exact { "" } else { "up to " };
        let only = if traits.only_access_tokens { "only at+jwt (RFC 9068)" } else { "any type of JWT" };
        writeln!(
            f,
            "It takes {only}; {about}{} s of leeway; {}",
            traits.leeway_seconds,
            traits.algorithms.join(", ")
        )
    }

    /// Each rule once, and below it what did not keep to it; requests that fared alike together.
    fn findings(&self, f: &mut fmt::Formatter<'_>, title: &str, verdict: Verdict) -> fmt::Result {
        let cases: Vec<_> = self.with(verdict).collect();
        if !cases.is_empty() {
            writeln!(f, "{title}:")?;
        }
        for rule in cases.chunk_by(|one, other| one.rule == other.rule) {
            let [first, ..] = rule else { continue };
            let text =
                format!("{} {}: {} ({}). {}", first.case, first.id, first.rule, first.clause, first.why);
            wrapped(f, "  ", "      ", &text)?;
            let mut printed: Vec<(String, Vec<String>)> = Vec::new();
            for case in rule {
                let note = if case.note.is_empty() { String::new() } else { format!(": {}", case.note) };
                let text = format!("{} instead of {}{note}", case.got.short(), case.expected.short());
                let variant = match case.id == first.id {
                    true => variant(case).to_owned(),
                    false => format!("{}, {}", case.id, case.variant),
                };
                match printed.iter_mut().find(|(known, _)| *known == text) {
                    Some((_, variants)) => variants.push(variant),
                    None => printed.push((text, vec![variant])),
                }
            }
            for (text, variants) in printed {
                wrapped(f, "    - ", "      ", &format!("{}: {text}", variants.join("; ")))?;
            }
        }
        Ok(())
    }

    /// An address that asks for no scope is no hole by itself.
    fn scope_hint(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut let_in = self.with(Verdict::LetIn);
        if let_in.any(|case| case.id == "scope-missing" && case.variant == "no scope") {
            let text = "A token without any scope was accepted. If this address is meant to ask for none, attack it without --scope.";
            wrapped(f, "  ", "  ", text)?;
        }
        Ok(())
    }

    /// Choices that are made alike are printed once.
    fn choices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut notes: Vec<&str> = Vec::new();
        for case in self.with(Verdict::Differs) {
            if !notes.contains(&case.note.as_str()) {
                notes.push(&case.note);
            }
        }
        if !notes.is_empty() {
            writeln!(f, "\nMatters of choice:")?;
        }
        for note in notes {
            let mut made: Vec<_> = self.with(Verdict::Differs).filter(|case| case.note == note).collect();
            made.sort_by_key(|case| self.cases.iter().position(|first| first.id == case.id));
            let rows: Vec<_> =
                made.chunk_by(|one, other| one.id == other.id).map(|row| self.named(row)).collect();
            wrapped(f, "  ", "      ", &format!("{note}: {}", rows.join(", ")))?;
        }
        Ok(())
    }

    /// The row's name, and these variants of it as well where the others fared differently.
    fn named(&self, of_row: &[&Case]) -> String {
        let id = of_row.first().map_or("", |case| case.id);
        if self.cases.iter().filter(|case| case.id == id).count() == of_row.len() {
            return id.to_owned();
        }
        let variants: Vec<_> = of_row.iter().map(|case| variant(case)).collect();
        format!("{id} ({})", variants.join("; "))
    }

    fn score(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = self.summary;
        let good = sum.pass + sum.differs;
        let percent = (good * 100).checked_div(sum.judged).unwrap_or(0);
        if let Some(reason) = &self.cut_short {
            writeln!(f, "\nThe run ended early: {reason}.")?;
            if let Some(running) = &self.running {
                writeln!(f, "Running then: {running}")?;
            }
            if !self.not_run.is_empty() {
                let text = format!("Not run ({}): {}", self.not_run.len(), self.not_run.join(", "));
                wrapped(f, "", "  ", &text)?;
            }
        }
        if self.throttled > 0 {
            writeln!(f, "\nThe target asked for a pause {} times (429); each was obeyed.", self.throttled)?;
        }
        writeln!(
            f,
            "\nScore: {good} of {} responses are as the standards ask ({percent} %); not applicable: {}",
            sum.judged, sum.not_applicable
        )?;
        writeln!(
            f,
            "accepted: {}   leaked: {}   broke: {}   incorrect: {}   differs by choice: {}",
            sum.let_in, sum.leaked, sum.broke, sum.incorrect, sum.differs
        )
    }
}

/// A line for the whole attack if all its requests fared alike, else one for each that did not pass.
fn one_attack(f: &mut fmt::Formatter<'_>, cases: &[Case]) -> fmt::Result {
    let Some(first) = cases.first() else { return Ok(()) };
    let passed = cases.iter().filter(|case| case.verdict == Verdict::Pass).count();
    if passed > 0 {
        let how_many = if passed > 1 { format!("pass ×{passed}") } else { "pass".to_owned() };
        let all = || cases.iter().filter(|case| case.verdict == Verdict::Pass);
        let (expected, got) = (every(all().map(|case| &case.expected)), every(all().map(|case| &case.got)));
        line(f, first.case, first.id, &expected, &got, &how_many)?;
    }
    let unasked = cases.iter().filter(|case| case.verdict == Verdict::NotApplicable).count();
    if unasked > 0 && passed == 0 && unasked == cases.len() {
        let why_not = cut(&first.note, 39);
        return writeln!(f, "{:5} {:44} {why_not:39} n/a", first.case, first.id);
    }
    for case in cases.iter().filter(|case| !matches!(case.verdict, Verdict::Pass | Verdict::NotApplicable)) {
        let what = if case.variant.is_empty() {
            case.id.to_owned()
        } else {
            format!("{}: {}", case.id, case.variant)
        };
        line(f, case.case, &what, &case.expected.short(), &case.got.short(), case.verdict.as_str())?;
    }
    Ok(())
}

fn line(
    f: &mut fmt::Formatter<'_>,
    number: &str,
    what: &str,
    expected: &str,
    got: &str,
    verdict: &str,
) -> fmt::Result {
    writeln!(f, "{number:5} {:44} {:19} {:19} {verdict}", cut(what, 44), cut(expected, 19), cut(got, 19))
}

/// The request of a row that has one only has no name of its own.
fn variant(case: &Case) -> &str {
    if case.variant.is_empty() { "the request" } else { &case.variant }
}

/// One response for all, or their statuses if they differ.
fn every<'a>(responses: impl Iterator<Item = &'a Response>) -> String {
    let mut texts: Vec<_> = responses.map(Response::short).collect();
    texts.sort();
    texts.dedup();
    match texts.as_slice() {
        [one] => one.clone(),
        several => several.iter().filter_map(|text| text.split(' ').next()).collect::<Vec<_>>().join(", "),
    }
}

/// At most `width` characters, control characters left out.
fn cut(text: &str, width: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

fn wrapped(f: &mut fmt::Formatter<'_>, first: &str, later: &str, text: &str) -> fmt::Result {
    let mut line = String::from(first);
    let mut empty = true;
    for word in cut(text, usize::MAX).split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{line}")?;
            line = String::from(later);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        write!(line, "{word}")?;
        empty = false;
    }
    writeln!(f, "{line}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::report::{FailOn, Summary, Traits};
    use super::super::target::{Outcome, TargetResponse};
    use super::*;
    use crate::attack::{self, AttackRequest};

    fn case(id: &str, variant: &str, outcome: &Outcome, verdict: Verdict, note: &str) -> Case {
        let attack = attack::find(id).unwrap();
        let request = AttackRequest::bearer(variant, "").or(attack.expected, attack.level);
        Case::new(attack, &request, outcome).with_verdict(verdict, note)
    }

    fn report(cases: Vec<Case>) -> Report {
        let traits = Traits {
            algorithms: vec!["RS256"],
            typ: "at+jwt".to_owned(),
            only_access_tokens: true,
            leeway_seconds: 60,
            leeway_is_exact: true,
        };
        Report {
            version: 1,
            part: "tokens",
            binding: None,
            target: "http://127.0.0.1:3000/".to_owned(),
            issuer: "http://127.0.0.1:9000".to_owned(),
            audience: "orders-api".to_owned(),
            traits,
            summary: Summary::of(&cases),
            cut_short: None,
            running: None,
            not_run: Vec::new(),
            throttled: 0,
            cases,
        }
    }

    pub(in crate::suite) fn sample() -> Report {
        let in_ = Ok(TargetResponse { status: 200, ..TargetResponse::default() });
        let refused = Ok(TargetResponse { status: 401, ..TargetResponse::default() });
        report(vec![
            case("alg-none", "with a kid", &in_, Verdict::LetIn, ""),
            case("alg-none", "without a kid", &in_, Verdict::LetIn, ""),
            case("alg-malformed", "a\0b", &refused, Verdict::Incorrect, &"long ".repeat(40)),
            case("time-exp-past", "1970", &refused, Verdict::Pass, ""),
            case("time-exp-past", "an hour beyond", &refused, Verdict::Pass, ""),
            case(
                "time-too-old",
                "",
                &refused,
                Verdict::NotApplicable,
                "only where the age of tokens is limited",
            ),
        ])
    }

    #[test]
    fn the_table_fits_into_a_hundred_columns_and_names_rule_clause_and_reason() {
        let text = sample().to_string();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(!text.contains('\0'));
        for part in [
            "ACCEPTED",
            "pass ×2",
            "n/a",
            "RFC 8725 section 3.1",
            "it holds nothing that only the issuer has",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("    - with a kid; without a kid: 200 instead of 401 invalid_token"), "{text}");
        assert!(
            text.contains("Score: 2 of 5 responses are as the standards ask (40 %); not applicable: 1"),
            "{text}"
        );
    }

    #[test]
    fn a_row_of_several_verdicts_names_the_variants_that_are_a_choice() {
        let [in_, refused] =
            [200, 401].map(|status| Ok(TargetResponse { status, ..TargetResponse::default() }));
        let choice = "accepted, which no standard forbids";
        let text = report(vec![
            case("header-crit", "b64 true", &in_, Verdict::Differs, choice),
            case("header-crit", "unknown", &in_, Verdict::LetIn, ""),
            case("header-crit", "empty", &refused, Verdict::Pass, ""),
            case("header-crit", "b64 false", &in_, Verdict::Differs, choice),
            case("json-duplicate-by-escape", "iss", &in_, Verdict::Differs, choice),
            case("json-duplicate-by-escape", "aud", &in_, Verdict::Differs, choice),
        ])
        .to_string();
        let expected = format!(
            "Matters of choice:\n  {choice}: header-crit (b64 true; b64 false), json-duplicate-by-escape\n"
        );
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains("    - unknown: 200 instead of"), "{text}");
    }

    #[test]
    fn the_exit_code_says_whether_there_is_a_hole() {
        assert_eq!(sample().exit_code(), 1);
        let refused = Ok(TargetResponse { status: 401, ..TargetResponse::default() });
        let mut good = report(vec![case("alg-malformed", "", &refused, Verdict::Incorrect, "")]);
        assert_eq!(good.exit_code(), 0, "an incorrect response accepts no forged token");
        assert_eq!(good.exit_code_from(FailOn::Incorrect), 1);
        good.cut_short = Some("the target went away".to_owned());
        assert_eq!(good.exit_code(), 2);
        let leaked = report(vec![case("alg-none", "", &refused, Verdict::Leaked, "")]);
        assert_eq!(leaked.exit_code(), 1);
        let choice = report(vec![case("alg-none", "", &refused, Verdict::Differs, "")]);
        assert_eq!(
            [FailOn::Accepted, FailOn::Incorrect, FailOn::Differs].map(|level| choice.exit_code_from(level)),
            [0, 0, 1]
        );
    }

    #[test]
    fn a_run_that_ended_early_says_where_and_what_is_left() {
        let report = Report {
            cut_short: Some("after alg-none every connection was refused".to_owned()),
            running: Some("alg-none".to_owned()),
            not_run: vec!["time-exp-past", "aud-list"],
            throttled: 3,
            ..sample()
        };
        let text = report.to_string();
        for part in
            ["Running then: alg-none", "Not run (2): time-exp-past, aud-list", "a pause 3 times (429)"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn the_json_has_a_version_and_every_request() {
        let json: serde_json::Value = serde_json::from_str(&sample().to_json()).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(json["summary"]["let_in"], 2);
        assert_eq!(json["cases"][0]["verdict"], "let_in");
        assert_eq!(json["cases"][0]["expected"]["error"], "invalid_token");
        assert_eq!(json["cases"][0]["got"]["status"], 200);
        assert_eq!(json.get("cut_short"), None);
    }
}

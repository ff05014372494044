//! The report as SARIF, which code hosts show as alerts.

use serde_json::{Value, json};

use super::report::{Case, Report, Verdict};
use crate::attack::Attack;

impl Report {
    /// SARIF 2.1.0: a rule for each row, and a result for each request that did not pass. What helps an attacker is an
    /// error, an incorrect response a warning, and a choice a note.
    #[must_use]
    pub fn to_sarif(&self) -> String {
        let rules: Vec<_> = super::cases().collect();
        let results: Vec<_> = self.cases.iter().filter_map(|case| self.result(case, &rules)).collect();
        let notices: Vec<_> = self.cut_short.iter().map(|reason| {
            json!({"level": "error", "message": {"text": format!("{reason}; not run: {}", self.not_run.join(", "))}})
        }).collect();
        let driver = json!({
            "name": "oauth-mock attack",
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": rules.iter().map(|attack| rule(attack)).collect::<Vec<_>>(),
        });
        let invocation = json!({
            "executionSuccessful": self.cut_short.is_none(),
            "toolExecutionNotifications": notices,
        });
        let log = json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "invocations": [invocation], "results": results}],
        });
        serde_json::to_string_pretty(&log).unwrap_or_default()
    }

    fn result(&self, case: &Case, rules: &[&Attack]) -> Option<Value> {
        let level = match case.verdict {
            Verdict::LetIn | Verdict::Leaked | Verdict::Broke => "error",
            Verdict::Incorrect => "warning",
            Verdict::Differs => "note",
            Verdict::Pass | Verdict::NotApplicable => return None,
        };
        let variant = if case.variant.is_empty() { String::new() } else { format!(" ({})", case.variant) };
        let note = if case.note.is_empty() { String::new() } else { format!(": {}", case.note) };
        let text = format!(
            "{} {}{variant}: {} instead of {}{note}. {}",
            case.verdict.as_str(),
            case.id,
            case.got.short(),
            case.expected.short(),
            case.why
        );
        let location = json!({"physicalLocation": {"artifactLocation": {"uri": self.target}}});
        Some(json!({
            "ruleId": case.id,
            "ruleIndex": rules.iter().position(|attack| attack.id == case.id),
            "level": level,
            "message": {"text": text},
            "locations": [location],
            "partialFingerprints": {"request/v1": format!("{}/{}", case.id, case.variant)},
        }))
    }
}

fn rule(attack: &Attack) -> Value {
    json!({
        "id": attack.id,
        "shortDescription": {"text": attack.rule},
        "fullDescription": {"text": format!("{} ({})", attack.rule, attack.clause)},
        "help": {"text": attack.why},
    })
}

#[cfg(test)]
mod tests {
    use super::super::print::tests::sample;
    use super::*;

    #[test]
    fn each_finding_names_its_rule_and_level() {
        let log: Value = serde_json::from_str(&sample().to_sarif()).unwrap();
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        assert_eq!(run["invocations"][0]["executionSuccessful"], true);
        let results = run["results"].as_array().unwrap();
        let levels: Vec<_> = results.iter().map(|result| result["level"].as_str().unwrap()).collect();
        assert_eq!(levels, ["error", "error", "warning"], "passes and what does not apply are no results");
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        }
        assert!(
            results[0]["message"]["text"]
                .as_str()
                .unwrap()
                .starts_with("ACCEPTED alg-none (with a kid): 200")
        );
    }

    #[test]
    fn a_run_that_ended_early_was_no_success() {
        let report = Report { cut_short: Some("it died".to_owned()), not_run: vec!["aud-list"], ..sample() };
        let log: Value = serde_json::from_str(&report.to_sarif()).unwrap();
        let invocation = &log["runs"][0]["invocations"][0];
        assert_eq!(invocation["executionSuccessful"], false);
        assert_eq!(
            invocation["toolExecutionNotifications"][0]["message"]["text"],
            "it died; not run: aud-list"
        );
    }
}

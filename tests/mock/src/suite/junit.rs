//! The report as JUnit XML, which CI systems show as tests.

use std::fmt::Write as _;

use super::report::{Case, FailOn, Report, Verdict};

impl Report {
    /// JUnit XML: a test case for each request, named by row and variant. What fails a run at `level` is a failure,
    /// what says nothing about the target is skipped, and a run that was cut short has an error.
    #[must_use]
    pub fn to_junit(&self, level: FailOn) -> String {
        let failures = self.cases.iter().filter(|case| case.verdict.fails(level)).count();
        let errors = usize::from(self.cut_short.is_some());
        let (tests, skipped) = (self.cases.len() + errors, self.summary.not_applicable + self.not_run.len());
        let counts = format!(
            "tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"",
            tests + self.not_run.len()
        );
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        // Writing to a String cannot fail.
        let _ = writeln!(out, "<testsuites name=\"oauth-mock attack\" {counts}>");
        let _ = writeln!(out, "  <testsuite name=\"{}\" {counts}>", escaped(&self.target));
        self.cases.iter().for_each(|case| one(&mut out, case, level));
        if let Some(reason) = &self.cut_short {
            let running = self.running.as_deref().unwrap_or("the run");
            let _ = writeln!(out, "    <testcase classname=\"run\" name=\"{}\">", escaped(running));
            let _ = writeln!(out, "      <error message=\"{}\"/>\n    </testcase>", escaped(reason));
        }
        for id in &self.not_run {
            let _ = writeln!(out, "    <testcase classname=\"{id}\" name=\"{id}\">");
            let _ = writeln!(out, "      <skipped message=\"the run ended before\"/>\n    </testcase>");
        }
        out.push_str("  </testsuite>\n</testsuites>\n");
        out
    }
}

fn one(out: &mut String, case: &Case, level: FailOn) {
    let name = if case.variant.is_empty() { case.id } else { &case.variant };
    let seconds = case.got.took_ms as f64 / 1000.0;
    let _ = write!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{seconds:.3}\"",
        case.id,
        escaped(name)
    );
    let about = format!("{} ({}). {}", case.rule, case.clause, case.why);
    let got = format!("{} instead of {}", case.got.short(), case.expected.short());
    let message = if case.note.is_empty() { got } else { format!("{got}: {}", case.note) };
    let _ = match case.verdict {
        verdict if verdict.fails(level) => writeln!(
            out,
            ">\n      <failure type=\"{}\" message=\"{}\">{}</failure>\n    </testcase>",
            verdict.as_str(),
            escaped(&message),
            escaped(&about)
        ),
        Verdict::NotApplicable => {
            writeln!(out, ">\n      <skipped message=\"{}\"/>\n    </testcase>", escaped(&case.note))
        }
        Verdict::Pass => writeln!(out, "/>"),
        verdict => writeln!(
            out,
            ">\n      <system-out>{}: {}</system-out>\n    </testcase>",
            verdict.as_str(),
            escaped(&message)
        ),
    };
}

/// Text for an attribute or an element. XML 1.0 has no control characters, escaped or not.
fn escaped(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() || c == '\u{fffe}' || c == '\u{ffff}' { ' ' } else { c })
        .collect();
    crate::encode::escape_html(&text)
}

#[cfg(test)]
mod tests {
    use super::super::print::tests::sample;
    use super::*;

    #[test]
    fn failures_skips_and_the_end_of_a_run_are_told_apart() {
        let report = Report {
            cut_short: Some("it died".to_owned()),
            running: Some("alg-none".to_owned()),
            not_run: vec!["aud-list"],
            ..sample()
        };
        let xml = report.to_junit(FailOn::Accepted);
        let counts = "tests=\"8\" failures=\"2\" errors=\"1\" skipped=\"2\"";
        assert_eq!(xml.matches(counts).count(), 2, "{xml}");
        assert_eq!(xml.matches("<testcase ").count(), 8);
        assert_eq!(xml.matches("<failure type=\"ACCEPTED\"").count(), 2);
        assert!(
            xml.contains("<system-out>INCORRECT: ") && xml.contains("<error message=\"it died\"/>"),
            "{xml}"
        );
        assert!(xml.contains("classname=\"aud-list\"") && !xml.contains('\0'), "{xml}");
        assert!(report.to_junit(FailOn::Incorrect).contains("failures=\"3\""));
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("a<b & \"c\"\u{7}"), "a&lt;b &amp; &quot;c&quot; ");
    }
}

//! Which commands of the pages CI runs, and why it does not run the others.

use std::collections::BTreeSet;

use crate::commands::{self, Command};
use crate::{markdown, pages, root};

/// What CI does not run as it is written, and why.
const NOT_RUN: [(&str, &str); 10] = [
    (
        "cargo bench ",
        "takes minutes of a quiet machine; clippy builds every bench, and their names are checked",
    ),
    ("cargo run --example fleet_simulation", "takes minutes; CI runs a smaller fleet"),
    ("cargo run --example soak", "takes 20 minutes; CI runs 30 seconds of it"),
    (
        "cargo run -p tower-oauth-mock -- serve",
        "serves until it is stopped; tests/mock/tests start the same program",
    ),
    ("cargo run -p tower-oauth-mock -- attack", "needs an API to attack; the test attack_suite has several"),
    ("cargo run -p example-axum-production", "serves until it is stopped; its tests start the same program"),
    ("cargo build --example mcp_client", "`cargo test --workspace` builds every example"),
    ("cargo fuzz ", "needs a nightly toolchain"),
    ("cargo install ", "needs published packages"),
    ("cargo audit", "needs a database that is not on crates.io"),
];

/// What `.ci/run` runs, without its options that change nothing.
fn ci() -> (BTreeSet<String>, String) {
    let script = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    let joined = script.replace("\\\n", " ");
    let run = joined.lines().filter_map(|line| line.trim().strip_prefix("run "));
    (run.map(plain).collect(), joined)
}

fn plain(command: &str) -> String {
    let kept = command.split_whitespace().filter(|word| !matches!(*word, "--locked" | "--quiet"));
    kept.collect::<Vec<_>>().join(" ")
}

/// The examples that CI runs: by name, in its loop, or from a test.
fn examples(script: &str) -> BTreeSet<String> {
    let looped =
        script.lines().find_map(|line| line.trim().strip_prefix("for example in ")?.split(';').next());
    let mut found: BTreeSet<_> = looped.unwrap().split_whitespace().map(str::to_owned).collect();
    // Tests that start examples name them, one by one or in a list; one has an example as a module.
    for file in pages(".rs").iter().filter(|file| file.path.starts_with("tests/")) {
        if file.text.contains("example(") || file.text.contains("../examples/") {
            let quoted = file.text.split('"').skip(1).step_by(2);
            let name =
                |text: &str| text.trim_start_matches("../examples/").trim_end_matches(".rs").to_owned();
            found.extend(quoted.map(name));
        }
    }
    found
}

fn why_not(text: &str) -> Option<usize> {
    // Behind the variables that are set for it.
    let command = text.find("cargo ").map_or(text, |start| &text[start..]);
    NOT_RUN.iter().position(|(start, _)| command.starts_with(start))
}

fn is_run(command: &Command, text: &str, run: &BTreeSet<String>, examples: &BTreeSet<String>) -> bool {
    let is_whole_suite = run.contains("cargo test --workspace");
    run.contains(&plain(text))
        // One target or one test of the suite.
        || (command.verb == "test" && is_whole_suite)
        || command.targets.iter().any(|(kind, name)| kind == "example" && examples.contains(name))
}

#[test]
fn every_command_of_a_page_runs_in_ci_or_is_listed_with_the_reason() {
    let (run, script) = ci();
    let examples = examples(&script);
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut runs = 0;
    for page in pages(".md") {
        for piece in markdown::commands(&page.text) {
            let Some(Ok(command)) = commands::parse(&piece.text) else { continue };
            if is_run(&command, &piece.text, &run, &examples) {
                runs += 1;
            } else if let Some(listed) = why_not(&piece.text) {
                used.insert(listed);
            } else {
                wrong.push(format!("{}:{}: `{}`", page.path, piece.line, piece.text));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "neither .ci/run nor a test runs these, and NOT_RUN does not say why:\n{}",
        wrong.join("\n")
    );
    assert!(runs > 10, "{runs}");
    assert!(used.contains(&0), "benches are on a page");
}

#[test]
fn every_example_is_run_by_ci_or_by_a_test() {
    let (_, script) = ci();
    let examples = examples(&script);
    let workspace = commands::Workspace::read(root());
    let all = &workspace.packages[&workspace.root].targets["example"];
    let other: Vec<_> = all
        .iter()
        .filter(|name| !examples.contains(*name) && !script.contains(&format!("--example {name}")))
        .collect();
    assert!(other.is_empty(), "neither .ci/run nor a test runs {other:?}");
}

#[test]
fn every_script_of_ci_names_what_exists() {
    let workspace = commands::Workspace::read(root());
    let (run, _) = ci();
    // What the script fills in itself is not known here.
    for text in run.iter().filter(|text| !text.contains('$')) {
        if let Some(command) = commands::parse(text) {
            assert_eq!(
                command.unwrap_or_else(|wrong| panic!("{text}: {wrong}")).missing(&workspace, root()),
                None,
                "{text}"
            );
        }
    }
}

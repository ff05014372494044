//! `DEPENDENCIES.md` says of every direct dependency why it is there: of each that `cargo metadata` knows, and of no other.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const PAGE: &str = include_str!("../DEPENDENCIES.md");

/// Examples that are packages of their own: what they need is no dependency of a library.
const EXAMPLES: [&str; 2] = ["example-axum-production", "example-opentelemetry"];

/// The names of the page, in its order.
const PACKAGES: [(&str, &str); 6] = [
    ("client", "tower-oauth-client"),
    ("client-redis", "tower-oauth-client-redis"),
    ("guard", "tower-oauth-guard"),
    ("guard-redis", "tower-oauth-guard-redis"),
    ("mock", "tower-oauth-mock"),
    ("workspace", "oauth-workspace"),
];

#[test]
fn every_direct_dependency_has_its_reason_and_no_other_crate_has() {
    let (mut of_libraries, mut of_tests) = (BTreeMap::<String, Vec<String>>::new(), BTreeSet::new());
    let packages = packages();
    assert_eq!(packages.len(), PACKAGES.len() + EXAMPLES.len(), "a package that this test does not know");
    for name in EXAMPLES {
        let package = packages.iter().find(|package| package["name"] == name).unwrap();
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        of_tests.extend(dependencies.map(|dependency| name_of(dependency).to_owned()));
    }
    for (short, name) in PACKAGES {
        let package = packages.iter().find(|package| package["name"] == name).unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = name_of(dependency);
            if dependency["kind"] == "dev" {
                of_tests.insert(name.to_owned());
                continue;
            }
            let optional = if dependency["optional"] == true { " (optional)" } else { "" };
            of_libraries.entry(name.to_owned()).or_default().push(format!("{short}{optional}"));
        }
    }
    let of_libraries: BTreeMap<String, String> =
        of_libraries.into_iter().map(|(name, places)| (name, places.join(", "))).collect();
    let listed: BTreeMap<String, String> = table("## Of the libraries")
        .into_iter()
        .map(|row| {
            let [name, places, why] = &*row else { panic!("three columns: {row:?}") };
            assert!(why.len() > 3, "{name} has no reason");
            (name.clone(), places.clone())
        })
        .collect();
    assert_eq!(listed, of_libraries, "the first table of DEPENDENCIES.md");

    let listed: BTreeSet<String> =
        table("## Of tests, benches and examples").into_iter().map(|row| row[0].clone()).collect();
    of_tests.retain(|name| !of_libraries.contains_key(name));
    assert_eq!(listed, of_tests, "the second table of DEPENDENCIES.md");
}

#[test]
fn what_does_cryptography_is_explained() {
    let explained: Vec<String> =
        table("## The crates that do cryptography").into_iter().map(|row| row[0].clone()).collect();
    for name in ["aws-lc-rs", "jsonwebtoken", "rustls", "getrandom", "highway", "zeroize", "base64"] {
        assert!(explained.iter().any(|one| one.starts_with(name)), "{name}");
    }
}

fn name_of(dependency: &Value) -> &str {
    dependency["rename"].as_str().or_else(|| dependency["name"].as_str()).unwrap()
}

/// The members of the workspace.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The rows of the table behind a heading, without backticks.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, section) = PAGE.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `") || line.starts_with("| rustls"));
    rows.map(|row| {
        row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>()
    })
    .collect()
}

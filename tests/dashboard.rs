//! The Grafana dashboard shows the metrics that the docs of both crates name: no other, and every one of them.

use std::collections::BTreeSet;

use serde_json::Value;

const DASHBOARD: &str = include_str!("../examples/grafana/dashboard.json");
/// Where the names are documented.
const DOCS: [&str; 2] =
    [include_str!("../oauth-guard/src/lib.rs"), include_str!("../oauth-client/src/source/mod.rs")];

#[test]
fn every_metric_of_the_dashboard_is_documented_and_every_documented_one_is_shown() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    assert!(queries.len() > 10, "{queries:?}");
    let shown: BTreeSet<_> = queries.iter().flat_map(|query| names(query)).map(base).collect();
    let docs = DOCS.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with("//!"));
    let documented: BTreeSet<_> =
        docs.flat_map(names).filter(|name| name.ends_with("_total") || name.ends_with("_seconds")).collect();
    assert_eq!(shown, documented);
}

#[test]
fn every_query_has_brackets_in_pairs_and_is_about_the_chosen_jobs() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut queries = Vec::new();
    collect(&dashboard["panels"], &mut queries);
    for query in queries {
        for [open, close] in [['(', ')'], ['{', '}'], ['[', ']']] {
            assert_eq!(query.matches(open).count(), query.matches(close).count(), "{query}");
        }
        let metrics = names(query).count();
        assert!(metrics > 0, "{query}");
        assert_eq!(query.matches("job=~\"$job\"").count(), metrics, "{query}");
    }
}

/// The texts of all queries, of panels and of variables.
fn collect<'a>(value: &'a Value, queries: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, queries)),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if matches!(name.as_str(), "expr" | "query") => queries.push(text),
                    other => collect(other, queries),
                }
            }
        }
        _ => {}
    }
}

/// The names of metrics in a text.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| word.starts_with("oauth_guard_") || word.starts_with("oauth_client_"))
}

/// A histogram has series of other names.
fn base(name: &str) -> &str {
    ["_sum", "_count", "_bucket"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

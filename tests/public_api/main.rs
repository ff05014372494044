//! The public API of each crate, compared with the list that is committed beside it, so that no change of it goes unnoticed.
//! The list is made from the sources, with every feature: what is public, where it can be reached, its signature, variants,
//! fields and implementations. What macros of a crate make stands there as their input.
//!
//! After a change that is meant: `WRITE_PUBLIC_API=1 cargo test --test public_api`. A line that is gone or differs breaks
//! users: say so in CHANGELOG.md.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod impls;
mod list;
mod resolve;
mod small;
mod source;
mod text;
mod write;

use std::collections::BTreeSet;
use std::path::Path;

/// Libraries, by name and folder.
const CRATES: [(&str, &str); 5] = [
    ("oauth_client", "oauth-client"),
    ("oauth_client_redis", "oauth-client/redis"),
    ("oauth_guard", "oauth-guard"),
    ("oauth_guard_redis", "oauth-guard/redis"),
    ("oauth_mock", "tests/mock"),
];

const WRITE: &str = "WRITE_PUBLIC_API";

#[test]
fn the_public_api_is_the_committed_one() {
    let mut changes = String::new();
    for (name, folder) in CRATES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let read = |path: &Path| std::fs::read_to_string(path).ok();
        let krate = source::load(name, &folder.join("src/lib.rs"), &read);
        let now = list::list(&krate);
        let file = folder.join("PUBLIC_API.txt");
        if std::env::var_os(WRITE).is_some() {
            let text: String = now.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            std::fs::write(&file, text).unwrap();
            continue;
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        let committed = committed.lines().map(str::to_owned).collect();
        changes.push_str(&difference(name, &committed, &now));
    }
    assert!(
        changes.is_empty(),
        "the public API is not the one in PUBLIC_API.txt:\n\n{changes}\n\
         If that is meant, run `{WRITE}=1 cargo test --test public_api`, and add a line to CHANGELOG.md. Each line with `-` \
         breaks users, unless a `+` line takes its place that their code still fits."
    );
}

/// The lines that are gone, and those that are new; nothing if there are none.
fn difference(name: &str, committed: &BTreeSet<String>, now: &BTreeSet<String>) -> String {
    let mut lines: Vec<_> = committed.difference(now).map(|line| (line, '-')).collect();
    lines.extend(now.difference(committed).map(|line| (line, '+')));
    if lines.is_empty() {
        return String::new();
    }
    lines.sort();
    let lines: String = lines.iter().map(|(line, sign)| format!("{sign} {line}\n")).collect();
    format!("{name}\n{lines}\n")
}

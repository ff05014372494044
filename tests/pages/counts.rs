//! Numbers that several pages give are the same everywhere, and those that were measured.

use crate::root;

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    // Comments of Rust and line breaks are no part of a sentence.
    let lines = text.lines().map(|line| line.trim().trim_start_matches("///").trim());
    lines.collect::<Vec<_>>().join(" ")
}

/// How many requests an attack has, as the comparison with other servers has it for this guard.
fn measured(row: &str) -> usize {
    let page = std::fs::read_to_string(root().join("tests/foreign/README.md")).unwrap();
    let line = page.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("no row {row}"));
    let all = line.split(" of ").nth(1).unwrap().split([' ', ',']).next().unwrap();
    all.parse().unwrap()
}

#[test]
fn every_page_names_the_same_number_of_attacks() {
    let all = measured("| `protected_api` | `oauth-guard` |");
    let rounded = (all + 50) / 100 * 100;
    assert_eq!(rounded, 600, "{all} requests: change the pages below");
    for (path, phrase) in [
        ("README.md", "some 600 requests"),
        ("SECURITY.md", "some 600 hostile requests"),
        ("CHANGELOG.md", "some 600 requests"),
        ("tests/mock/README.md", "some six hundred requests"),
        ("tests/mock/src/cli/attack.rs", "some 600 requests"),
    ] {
        assert!(read(path).contains(phrase), "{path} should say \"{phrase}\"");
    }
}

#[test]
fn every_page_names_the_same_number_of_attacks_on_proofs() {
    let all = measured("| `protected_api`, nonces and bound tokens required |");
    let rounded = (all + 5) / 10 * 10;
    assert_eq!(rounded, 270, "{all} requests: change the page below");
    assert!(read("tests/mock/README.md").contains("some 270 requests"));
}

#[test]
fn the_tables_of_attacks_are_as_long_as_the_pages_say() {
    let rows = oauth_mock::attack::all().count();
    assert_eq!(rows / 10, 13, "{rows} attacks: change the page below");
    assert!(read("CHANGELOG.md").contains("Over 130 attacks"));
}

/// Figures that were once on a page, and are wrong now.
#[test]
fn no_page_has_an_older_number() {
    for page in crate::pages(".md") {
        for old in ["430 requests", "450 requests", "four hundred", "1,141"] {
            assert!(!page.text.contains(old), "{} says {old}", page.path);
        }
    }
}

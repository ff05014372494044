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

/// How many tests there are in such files: those that run without being asked for, or the others.
fn tests_in(is_wanted: impl Fn(&str) -> bool, ignored: bool) -> usize {
    let mut count = 0;
    for file in crate::pages(".rs").iter().filter(|file| is_wanted(&file.path)) {
        let mut lines = file.text.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            let is_test = line == "#[test]" || line.starts_with("#[tokio::test");
            let is_ignored = lines.peek().is_some_and(|next| next.starts_with("#[ignore"));
            count += usize::from(is_test && is_ignored == ignored);
        }
    }
    count
}

fn tests_below(folder: &str) -> usize {
    tests_in(|path| path.starts_with(folder), false)
}

fn ignored_below(folder: &str) -> usize {
    tests_in(|path| path.starts_with(folder), true)
}

/// How many files of this kind are directly in a folder.
fn files_in(folder: &str, extension: &str) -> usize {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    entries
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|is| is == extension))
        .count()
}

#[test]
fn the_page_about_tests_says_how_many_there_are() {
    const KEYRING: &str = "oauth-client/tests/keyring.rs";
    let is_unit = |path: &str| path.contains("/src/") && !path.starts_with("fuzz/");
    let is_cross = |path: &str| {
        path.starts_with("examples/") || (path.starts_with("tests/") && !path.starts_with("tests/mock/"))
    };
    let rows = [
        ("Unit tests", tests_in(is_unit, false)),
        ("The client from outside", tests_below("oauth-client/tests") - tests_below(KEYRING)),
        ("The guard from outside", tests_below("oauth-guard/tests/guard")),
        ("The mock from outside", tests_below("tests/mock/tests")),
        ("Across the crates", tests_in(is_cross, false)),
        ("Each row of the attack suite", ignored_below("tests/mock/tests/attack_holes")),
        ("The attack suite against", ignored_below("tests/attack_suite")),
        ("A third-party server", ignored_below("tests/foreign_provider")),
        ("Third-party proxies and clients", ignored_below("tests/possession_judges")),
        ("The client's tokens in Redis", ignored_below("oauth-client/redis/tests")),
        ("The guard's proofs", ignored_below("oauth-guard/redis/tests")),
        ("Pages in a browser", ignored_below("tests/browser")),
        ("The keychain", tests_below(KEYRING)),
        ("Fuzz targets", files_in("fuzz/fuzz_targets", "rs")),
        ("Benches", files_in("oauth-client/benches", "rs") + files_in("oauth-guard/benches", "rs")),
        ("Supply chain", read("DEPENDENCIES.md").matches("| `").count()),
    ];
    let page = std::fs::read_to_string(root().join("tests/README.md")).unwrap();
    let mut wrong = Vec::new();
    for (name, there) in rows {
        let row = page.lines().find(|line| line.starts_with(&format!("| {name}")));
        let cell = row.and_then(|row| row.split('|').nth(3)).unwrap_or_else(|| panic!("no row {name}"));
        let figure = cell.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let said: usize = figure
            .unwrap_or_default()
            .replace(',', "")
            .parse()
            .unwrap_or_else(|_| panic!("no number in the row {name}"));
        if said.abs_diff(there) * 10 > there {
            wrong.push(format!("{name}: {said}, and there are {there}"));
        }
    }
    assert!(wrong.is_empty(), "tests/README.md:\n{}", wrong.join("\n"));
}

/// A test that does not run without being asked for says what it needs, and where that is written.
#[test]
fn every_ignored_test_has_its_reason() {
    let mut ignored = 0;
    for file in crate::pages(".rs") {
        for line in file.text.lines().map(str::trim).filter(|line| line.starts_with("#[ignore")) {
            assert!(line.ends_with("; see tests/README.md\"]"), "{}: {line}", file.path);
            ignored += 1;
        }
    }
    assert!(ignored > 50, "{ignored}");
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(ci.contains("run cargo test --workspace --locked --tests -- --ignored"), "CI runs them");
}

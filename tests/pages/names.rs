//! Names of types and of what they have, in the pages.

use std::collections::HashSet;
use std::fs;

use super::{markdown, pages, root};

/// Pages that name the types of others as well.
const WITH_NAMES_OF_OTHERS: [&str; 4] = [
    "oauth-client/MIGRATING.md",
    "oauth-guard/MIGRATING.md",
    "oauth-client/RECIPES.md",
    "tests/foreign/README.md",
];

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

/// `TokenRequest`, but not `POST`, `Redis` or `OpenID`.
fn is_name_of_type(word: &str) -> bool {
    let mut humps = word.match_indices(char::is_uppercase).map(|(at, _)| at);
    let starts = humps.next() == Some(0) && word.chars().nth(1).is_some_and(char::is_lowercase);
    starts && humps.next().is_some_and(|at| word[at + 1..].starts_with(char::is_lowercase))
}

#[test]
fn what_pages_name_exists() {
    let sources = pages(".rs");
    let in_sources: HashSet<&str> = sources.iter().flat_map(|file| words(&file.text)).collect();
    let lists = ["oauth-client", "oauth-client/redis", "oauth-guard", "oauth-guard/redis", "tests/mock"];
    let lists = lists.map(|package| fs::read_to_string(root().join(package).join("PUBLIC_API.txt")).unwrap());
    // `oauth_guard::Actor: …: pub fn actor(self) …`
    let members = |of: &str| -> HashSet<&str> {
        let lines = lists.iter().flat_map(|list| list.lines());
        let of_type =
            |line: &&str| line.split_once(": ").is_some_and(|(path, _)| path.rsplit("::").next() == Some(of));
        lines.filter(of_type).flat_map(words).collect()
    };
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for page in pages(".md").into_iter().filter(|page| !page.path.ends_with("CHANGELOG.md")) {
        let of_others = WITH_NAMES_OF_OTHERS.contains(&page.path.as_str());
        for piece in markdown::code(&page.text) {
            let mut note = |name: &str| wrong.push(format!("{}:{}: `{name}`", page.path, piece.line));
            for name in words(&piece.text).filter(|word| is_name_of_type(word)) {
                checked += 1;
                if !of_others && !in_sources.contains(name) {
                    note(name);
                }
            }
            for (at, _) in piece.text.match_indices("::") {
                let (before, after) = (&piece.text[..at], &piece.text[at + 2..]);
                let (Some(of), Some(member)) = (words(before).last(), words(after).next()) else { continue };
                if !of.starts_with(char::is_uppercase) {
                    continue; // a module
                }
                let members = members(of);
                checked += 1;
                // None at all are of a type of others.
                let by_trait = member == "default" && members.contains("Default");
                if !members.is_empty() && !members.contains(member) && !by_trait {
                    note(&format!("{of}::{member}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "there is no such type, or it has no such part:\n{}", wrong.join("\n"));
    assert!(checked > 120, "only {checked} names were found");
}

#[test]
fn types_are_told_from_other_words() {
    assert!(["TokenRequest", "HttpClient", "DpopNonce"].into_iter().all(is_name_of_type));
    assert!(
        !["POST", "Redis", "OpenID", "tokenRequest", "PyJWKClient", "T"].into_iter().any(is_name_of_type)
    );
}

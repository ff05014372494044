use super::*;

const KEYS: &[Key] = &[
    Key { name: "issuer", kind: Kind::Text, default: "", example: "issuer = \"https://a\"", help: "" },
    Key { name: "secret", kind: Kind::Secret, default: "", example: "secret = { env = \"S\" }", help: "" },
    Key {
        name: "cache",
        kind: Kind::Table(&[Key {
            name: "max_bytes",
            kind: Kind::Number(1),
            default: "",
            example: "max_bytes = 1024",
            help: "",
        }]),
        default: "",
        example: "[cache]",
        help: "",
    },
];

fn problems(tree: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    check(tree.as_object().unwrap(), KEYS, "", &mut problems);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn all_problems_are_reported_together_and_no_value_is_quoted() {
    let found = problems(&serde_json::json!({
        "isuer": "https://a", "secret": {"env": "A", "file": "s3cr3t"}, "cache": {"max_bytes": 0}, "issuer": 5
    }));
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().any(|line| line == "isuer: is not a known key; did you mean issuer?"), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("cache.max_bytes: expected a whole number from 1 up")));
    assert!(!found.concat().contains("s3cr3t"));
}

#[test]
fn what_fits_has_no_problems() {
    for secret in
        [serde_json::json!("s"), serde_json::json!({"env": "S"}), serde_json::json!({"file": "/run/s"})]
    {
        assert!(problems(&serde_json::json!({"issuer": "a", "secret": secret})).is_empty());
    }
}

#[test]
fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
    let found = problems(&serde_json::json!({"max_bytes": 5, "cache": {"issuer": "https://a"}}));
    assert_eq!(
        found,
        [
            "cache.issuer: is not a key here; it belongs above the first [table] of the file",
            "max_bytes: is not a key here; it belongs into [cache]"
        ]
    );
}

#[test]
fn amounts_are_quoted_and_what_may_be_a_secret_is_not() {
    let of = |value: Value| problems(&serde_json::json!({"cache": {"max_bytes": value}})).concat();
    for (value, shown) in [
        (serde_json::json!("64MB"), "not \"64MB\";"),
        (serde_json::json!("30 s"), "not \"30 s\";"),
        (serde_json::json!(-1), "not -1;"),
        (serde_json::json!(1.5), "not 1.5;"),
        (serde_json::json!(true), "not true;"),
    ] {
        assert!(of(value).contains(shown), "{shown}");
    }
    for secret in ["s3cr3t", "12345678901234567890", "4f3c2a1b99", "correct horse"] {
        assert!(!of(serde_json::json!(secret)).contains(secret), "{secret}");
    }
}

#[test]
fn a_field_is_reported_once_and_not_as_missing_where_it_is_misspelt() {
    let problem =
        |field: &str, message: &str| Problem { field: field.to_owned(), message: message.to_owned() };
    let settled = settle([
        problem("cache.max_byts", "is not a known key; did you mean max_bytes?"),
        problem("cache.max_bytes", "is missing"),
        problem("issuer", "is missing"),
        problem("issuer", "is not a URL"),
    ]);
    let shown: Vec<_> = settled.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["cache.max_byts: is not a known key; did you mean max_bytes?", "issuer: is missing"]);
}

#[test]
fn names_two_letters_apart_are_near() {
    for (a, b, expected) in [
        ("issuer", "issuer", Some(0)),
        ("isuer", "issuer", Some(1)),
        ("issure", "issuer", Some(2)),
        ("größe", "grösse", Some(2)),
        ("is", "issuer", None),
        ("issuer", "reissue", None),
        ("", "", Some(0)),
    ] {
        assert_eq!(distance(a, b), expected, "{a} and {b}");
    }
}

/// A text of one key may be all name. Each letter of it compared with each of every known name takes minutes here.
#[test]
#[expect(clippy::disallowed_methods, reason = "it is about the time that the program takes")]
fn a_long_wrong_key_is_compared_with_no_known_one() {
    let name = "audience".repeat(1 << 20);
    let began = std::time::Instant::now();
    for _ in 0..50 {
        assert_eq!(distance(&name, "audience"), None);
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

/// With a comparison of every problem with every other, this takes many minutes.
#[test]
#[expect(clippy::disallowed_methods, reason = "it is about the time that the program takes")]
fn many_wrong_keys_take_as_long_as_each_of_them_together() {
    let problems =
        (0..200_000).map(|n| Problem { field: format!("wrong.{n}"), message: "is no key".to_owned() });
    let began = std::time::Instant::now();
    assert_eq!(settle(problems).len(), 200_000);
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

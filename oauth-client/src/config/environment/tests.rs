use super::super::{ClientConfig, KEYS};
use super::*;
#[cfg(feature = "toml")]
use crate::config::environment::example::{parse, written};
#[cfg(feature = "toml")]
use crate::config::tree::from_toml;

fn variables<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What a configuration of these variables says is wrong.
fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    ClientConfig::of_environment("APP_", pairs)
        .map_or_else(|error| error.problems().iter().map(ToString::to_string).collect(), |_| Vec::new())
}

const GOOD: &[(&str, &str)] =
    &[("APP_ISSUER", "https://auth.example.com"), ("APP_CLIENT_ID", "svc"), ("APP_CLIENT_SECRET", "s3cr3t")];

fn with(more: &[(&str, &str)]) -> Vec<String> {
    problems(&[GOOD, more].concat())
}

// A list of tables, which this crate's own configuration has not.
const LISTS: &[Key] = &[
    Key::new(
        "issuer",
        Kind::Tables(&[
            Key::new("audience", Kind::Texts, "", "audience = [\"a\"]", ""),
            Key::new("headers", Kind::Secrets, "", "headers = { a = \"b\" }", ""),
            Key::new(
                "require",
                Kind::Expression("a table", |value, field, problems| {
                    if !value.is_object() {
                        problems.push(Problem { field: field.to_owned(), message: "is no table".to_owned() });
                    }
                }),
                "",
                "require = { scope = \"read\" }",
                "",
            ),
        ]),
        "",
        "[[issuer]]",
        "",
    ),
    Key::new(
        "dpop",
        Kind::Table(&[Key::new("mode", Kind::OneOf(&["accept", "require"]), "", "mode = \"accept\"", "")]),
        "",
        "[dpop]",
        "",
    ),
    Key::new("methods", Kind::Texts, "", "methods = [\"GET\"]", ""),
    Key::new("scope", Kind::Texts, "", "scope = [\"read\"]", ""),
];

fn lists(pairs: &[(&str, &str)]) -> Environment {
    Environment::of("APP_", LISTS, variables(pairs.iter().copied()))
}

fn said(environment: &Environment) -> Vec<String> {
    environment.names().rename(environment.problems()).iter().map(ToString::to_string).collect()
}

#[test]
fn a_secret_and_its_file_are_not_given_together() {
    let pairs = [
        ("APP_CLIENT_SECRET", "s3cr3t"),
        ("APP_CLIENT_SECRET_FILE", "/run/client"),
        ("APP_STORE_SEAL_KEY", "s3cr3t"),
        ("APP_STORE_SEAL_KEY_FILE", "/run/seal"),
        ("APP_HEADERS_X_API_KEY", "s3cr3t"),
        ("APP_HEADERS_X_API_KEY_FILE", "/run/key"),
        ("APP_OTHER", "x"),
        ("APP_OTHER_FILE", "x"),
    ];
    let error = from_variables("APP_", KEYS, variables(pairs)).unwrap_err();
    let said: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "APP_CLIENT_SECRET: is given beside APP_CLIENT_SECRET_FILE; unset one of them",
            "APP_HEADERS_X_API_KEY: is given beside APP_HEADERS_X_API_KEY_FILE; unset one of them",
            "APP_OTHER: is not a known variable; the prefix is APP_, the rest a key in capitals",
            "APP_OTHER_FILE: is not a known variable; the prefix is APP_, the rest a key in capitals",
            "APP_STORE_SEAL_KEY: is given beside APP_STORE_SEAL_KEY_FILE; unset one of them",
        ]
    );
}

#[test]
fn a_misspelt_variable_gets_a_suggestion() {
    let variables = [
        ("APP_CLIENT_IDD", "svc"),
        ("APP_TLS_CERTT", "x"),
        ("APP_CUSTOM_TOKENPATH", "/t"),
        ("APP_SOMETHING_ELSE", "x"),
        ("APP_CLIENT_SECRET_FIL", "/run/s3cr3t"),
    ];
    let error = from_variables("APP_", KEYS, self::variables(variables)).unwrap_err();
    let said: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "APP_CLIENT_IDD: is not a known variable; did you mean APP_CLIENT_ID?",
            "APP_CLIENT_SECRET_FIL: is not a known variable; did you mean APP_CLIENT_SECRET_FILE?",
            "APP_CUSTOM_TOKENPATH: is not a known variable; did you mean APP_CUSTOM_TOKEN_PATH?",
            "APP_SOMETHING_ELSE: is not a known variable; the prefix is APP_, the rest a key in capitals",
            "APP_TLS_CERTT: is not a known variable; did you mean APP_TLS_CERT?",
        ]
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_utf_8_is_named_and_not_quoted() {
    use std::os::unix::ffi::OsStringExt as _;

    let variables = [
        (OsString::from("APP_CLIENT_ID"), OsString::from("svc")),
        (OsString::from("APP_CLIENT_SECRET"), OsString::from_vec(b"s3cr3t\xff".to_vec())),
        (OsString::from_vec(b"APP_\xff".to_vec()), OsString::from("x")),
        (OsString::from("LS_COLORS"), OsString::from_vec(vec![0xff])),
        (OsString::from_vec(vec![0xff]), OsString::from("x")),
    ];
    let error = from_environment("APP_", KEYS, variables).unwrap_err();
    let fields: Vec<_> = error.problems().iter().map(|problem| &*problem.field).collect();
    assert_eq!(fields, ["APP_CLIENT_SECRET", "APP_\u{fffd}"]);
    assert!(error.to_string().contains("is not UTF-8") && !error.to_string().contains("s3cr3t"), "{error}");
}

#[test]
fn a_list_of_tables_is_numbered_from_0_without_gaps() {
    let missing = |n: usize| {
        format!("cannot be placed; lists are numbered from 0 without gaps: APP_ISSUER_{n}_… is missing")
    };
    for (names, field, message) in [
        (&["APP_ISSUER_1_AUDIENCE"][..], "APP_ISSUER_1_AUDIENCE", missing(0)),
        (&["APP_ISSUER_0_AUDIENCE", "APP_ISSUER_2_AUDIENCE"], "APP_ISSUER_2_AUDIENCE", missing(1)),
        (&["APP_ISSUER_1_HEADERS_X_KEY"], "APP_ISSUER_1_HEADERS_X_KEY", missing(0)),
        (
            &["APP_ISSUER_00_AUDIENCE"],
            "APP_ISSUER_00_AUDIENCE",
            "has the number 00; lists are numbered 0, 1, 2 and so on".to_owned(),
        ),
        (
            &["APP_ISSUER"],
            "APP_ISSUER",
            "is a list of tables, which are numbered: APP_ISSUER_0_…, APP_ISSUER_1_…".to_owned(),
        ),
    ] {
        let pairs: Vec<_> = names.iter().map(|name| (*name, "x")).collect();
        assert_eq!(said(&lists(&pairs)), [format!("{field}: {message}")]);
    }
}

#[test]
fn all_problems_are_reported_together_by_their_variables() {
    let found = problems(&[
        ("APP_ISSUER", "auth.example.com"),
        ("APP_CLIENT_IDD", "svc"),
        ("APP_TIMEOUT_SECONDS", "soon"),
        ("APP_STORE_KIND", "file"),
        ("APP_CLIENT_SECRET_FILE", "/nowhere/s3cr3t"),
        ("APP_HEADERS_X_API_KEY_FILE", "/nowhere/key"),
        ("APP_PARAMS", "scope=read"),
    ]);
    let fields: BTreeSet<_> = found.iter().map(|line| line.split(": ").next().unwrap()).collect();
    let expected = [
        "APP_CLIENT_IDD",
        "APP_CLIENT_SECRET_FILE",
        "APP_HEADERS_X_API_KEY_FILE",
        "APP_ISSUER",
        "APP_PARAMS.scope",
        "APP_STORE_PATH",
        "APP_TIMEOUT_SECONDS",
    ];
    assert_eq!(fields, BTreeSet::from(expected), "{found:#?}");
    assert_eq!(with(&[("APP_STORE_KIND", "tape")]).len(), 1);
}

#[test]
fn an_example_is_written_as_a_variable_has_it() {
    assert_eq!(
        with(&[("APP_TIMEOUT_SECONDS", "10s")]),
        [
            "APP_TIMEOUT_SECONDS: expected a whole number from 1 up, not \"10s\"; for instance APP_TIMEOUT_SECONDS=10"
        ]
    );
    assert_eq!(
        said(&lists(&[("APP_ISSUER_0_REQUIRE", "scope:read")])),
        [
            "APP_ISSUER_0_REQUIRE: is not the JSON that is expected, for instance APP_ISSUER_0_REQUIRE={\"scope\":\"read\"}"
        ]
    );
}

#[test]
fn commas_in_a_list_are_an_error_where_none_can_be_meant() {
    for wrong in ["a,b", "a, b", "https://a,https://b"] {
        for name in ["APP_ISSUER_0_AUDIENCE", "APP_METHODS"] {
            let found = said(&lists(&[(name, wrong)]));
            assert!(found.len() == 1 && found[0].starts_with(&format!("{name}: has commas")), "{found:?}");
        }
    }
    assert_eq!(said(&lists(&[("APP_SCOPE", "read, write")])).len(), 1);
    for (text, items) in [
        ("a b", &["a", "b"][..]),
        ("https://a/x,y", &["https://a/x,y"]),
        (r#"["a,b", "c d"]"#, &["a,b", "c d"]),
    ] {
        let read = lists(&[("APP_METHODS", text)]);
        assert!(said(&read).is_empty(), "{text}");
        assert_eq!(read.tree["methods"], json!(items));
    }
    // Slack's scopes.
    assert_eq!(
        lists(&[("APP_SCOPE", "chat:write,users:read")]).tree["scope"],
        json!(["chat:write,users:read"])
    );
}

#[test]
fn a_tables_own_variable_switches_it_on_or_has_it_as_json() {
    assert_eq!(lists(&[("APP_DPOP", "")]).tree["dpop"], json!({}));
    assert_eq!(lists(&[("APP_DPOP", r#"{"mode":"require"}"#)]).tree["dpop"], json!({"mode": "require"}));
    let both = lists(&[("APP_DPOP", ""), ("APP_DPOP_MODE", "accept"), ("APP_ISSUER_0", "")]);
    assert_eq!(both.tree, *json!({"dpop": {"mode": "accept"}, "issuer": [{}]}).as_object().unwrap());
    assert!(!lists(&[]).tree.contains_key("dpop"));
    assert_eq!(
        said(&lists(&[("APP_DPOP", "on")])),
        ["APP_DPOP: expected nothing, which switches the table on, or the table as JSON"]
    );
}

/// Keys work from a file and from the environment alike.
#[cfg(feature = "toml")]
#[test]
fn every_example_of_the_reference_is_the_same_from_variables() {
    walk::every_example(KEYS);
}

#[test]
fn a_prefix_without_its_underscore_is_the_only_problem() {
    let variables = [("MY_CLIENT_ID", "svc"), ("MY_ISSUER", "https://auth.example.com")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let error = from_variables("MY", KEYS, variables.clone()).unwrap_err();
    assert_eq!(error.problems().len(), 1, "{error}");
    assert!(
        error.to_string().contains("MY: ") && error.to_string().contains("did you mean \"MY_\"?"),
        "{error}"
    );
    assert!(from_variables("MY_", KEYS, variables).is_ok());
}

#[cfg(feature = "toml")]
#[test]
fn examples_are_read_as_toml_reads_them() {
    fn walk(keys: &[Key]) {
        for key in keys {
            match key.kind {
                Kind::Table(inner) | Kind::Tables(inner) => walk(inner),
                Kind::Text | Kind::Secret | Kind::SecretOrSecrets => {}
                kind => {
                    let value = parse(key.example.split_once(" = ").unwrap().1).unwrap();
                    let tree = from_toml(key.example).unwrap();
                    assert_eq!(tree[key.name], value, "{}", key.name);
                    assert!(!written(kind, &value).contains(" = "), "{}", key.name);
                }
            }
        }
    }
    walk(KEYS);
}

/// What the walk needs, which is in different places here and in the guard.
#[cfg(feature = "toml")]
mod parts {
    pub(super) use crate::config::schema::{Key, Kind};
    pub(super) use crate::config::tree::{from_toml, from_variables};
}
#[cfg(feature = "toml")]
mod walk;

/// Keys that are misspelt in a file are reported once, too.
#[test]
fn a_misspelt_variable_is_not_missing_as_well() {
    for (name, meant) in [
        ("APP_CLIENT_IDD", "APP_CLIENT_ID"),
        ("APP_ISUER", "APP_ISSUER"),
        ("APP_CLIENT_SECRT", "APP_CLIENT_SECRET"),
        ("APP_CLIENT_SECRT_FILE", "APP_CLIENT_SECRET_FILE"),
    ] {
        let others = GOOD.iter().filter(|(good, _)| *good != meant.trim_end_matches("_FILE"));
        let given: Vec<_> = others.copied().chain([(name, "https://x.example.com")]).collect();
        assert_eq!(problems(&given), [format!("{name}: is not a known variable; did you mean {meant}?")]);
    }
    // What is missing by itself still is, and what is wrong under the right name, too.
    let variables = |said: Vec<String>| -> Vec<String> {
        said.iter().filter_map(|said| Some(said.split_once(':')?.0.to_owned())).collect()
    };
    let said = problems(&[("APP_ISUER", "https://auth.example.com"), ("APP_CLIENT_ID", "svc")]);
    assert_eq!(variables(said), ["APP_ISUER", "APP_CLIENT_SECRET"]);
    let said = with(&[("APP_TIMEOUT_SECOND", "1"), ("APP_TIMEOUT_SECONDS", "soon")]);
    assert_eq!(variables(said), ["APP_TIMEOUT_SECOND", "APP_TIMEOUT_SECONDS"]);
}

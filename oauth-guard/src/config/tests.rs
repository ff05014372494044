use oauth_client::config::tree;
use serde_json::json;

use super::*;

fn read(values: &Value) -> Result<GuardConfig, BuildError> {
    GuardConfig::from_tree(values.as_object().unwrap())
}

fn fields(error: &BuildError) -> Vec<&str> {
    error.problems().iter().map(|problem| problem.field.as_str()).collect()
}

const EXAMPLE: &str = include_str!("../../guard.example.toml");
const VARIABLES: &str = "GUARD_REALM=orders
GUARD_ISSUER_0_ISSUER=https://auth.example.com
GUARD_ISSUER_0_AUDIENCE='orders-api billing-api'
GUARD_ISSUER_0_HEADERS_X_TENANT=acme
GUARD_RULE_0_PATH='/orders/{*rest}'
GUARD_RULE_0_METHODS='GET POST'
GUARD_RULE_0_REQUIRE='{\"scope\":\"orders:read\"}'
GUARD_DPOP=";

#[test]
fn the_variables_in_the_reference_are_a_configuration() {
    let variables = VARIABLES.lines().map(|line| {
        let (name, value) = line.split_once('=').unwrap();
        (name.into(), value.trim_matches('\'').into())
    });
    GuardConfig::of_environment("GUARD_", variables).unwrap().build().unwrap();
}

#[cfg(feature = "toml")]
#[test]
fn the_whole_file_in_the_reference_builds() {
    GuardConfig::from_toml(EXAMPLE).unwrap().build().unwrap();
}

#[test]
fn the_reference_in_the_docs_is_generated_from_the_keys() {
    let written = include_str!("../../CONFIG.md");
    let environment = schema::environment("GUARD_", VARIABLES, "GuardConfig");
    let generated = [schema::reference(EXAMPLE, KEYS), rules::reference(), environment].concat();
    if std::env::var_os("WRITE_CONFIG_REFERENCE").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/CONFIG.md"), &generated).unwrap();
    }
    assert!(
        written == generated,
        "CONFIG.md is not what the keys give; run this test once with WRITE_CONFIG_REFERENCE=1"
    );
}

#[cfg(feature = "toml")]
#[test]
fn every_example_in_the_reference_is_valid_for_its_key() {
    fn walk(keys: &[schema::Key]) {
        for key in keys {
            let tree = tree::from_toml(key.example).unwrap();
            let mut problems = Vec::new();
            schema::check(&tree, keys, "", &mut problems);
            assert!(problems.is_empty() && tree.contains_key(key.name), "{}: {problems:?}", key.name);
            if let schema::Kind::Table(keys) | schema::Kind::Tables(keys) = key.kind {
                walk(keys);
            }
        }
    }
    walk(KEYS);
    walk(rules::TERM);
}

#[cfg(feature = "toml")]
#[test]
fn a_key_that_is_given_twice_is_named() {
    let text = "realm = \"a\"\n[[issuer]]\nissuer = \"https://a\"\n[[issuer]]\naudience = [\"a\"]\naudience = [\"b\"]\n";
    let error = GuardConfig::from_toml(text).unwrap_err();
    assert_eq!(fields(&error), ["issuer[1].audience"]);
    assert!(error.to_string().contains("line 6, column 1"), "{error}");
}

#[test]
fn every_default_algorithm_is_listed_and_every_listed_one_is_supported() {
    let schema::Kind::Tables(issuer) = KEYS[2].kind else { panic!("issuers are tables") };
    let schema::Kind::SomeOf(names) = issuer[2].kind else { panic!("algorithms are a list") };
    let listed: Vec<_> = names.iter().map(|name| Algorithm::from_name(name).unwrap()).collect();
    assert!(crate::jose::algorithm::DEFAULT.iter().all(|default| listed.contains(default)));
}

#[test]
fn six_errors_are_reported_by_key() {
    let error = read(&json!({
        "relm": "orders",
        "issuer": [
            {"issuer": "http://auth.example.com", "algorithms": ["none"], "audience": ["a"]},
            {"issuer": "https://b", "profile": "any"},
        ],
        "keys": {"cooldown_seconds": 0},
    }))
    .unwrap_err();
    assert_eq!(
        fields(&error),
        [
            "issuer[0].algorithms",
            "issuer[1].profile",
            "keys.cooldown_seconds",
            "relm",
            "issuer[0].issuer",
            "issuer[1].audience"
        ]
    );
}

#[test]
fn errors_that_only_building_finds_are_reported_by_building() {
    let config = read(&json!({"issuer": [{"issuer": "https://a", "audience": []}]})).unwrap();
    assert_eq!(fields(&config.build().unwrap_err()), ["issuer[0].audience"]);
    let config = read(&json!({"issuer": [
        {"issuer": "https://a", "audience": ["x"], "jwks_file": "/does/not/exist.json"}
    ]}));
    assert_eq!(fields(&config.unwrap().build().unwrap_err()), ["issuer[0].jwks_file"]);
    assert_eq!(fields(&read(&json!({})).unwrap().build().unwrap_err()), ["issuer"]);
}

#[test]
fn the_environment_has_the_same_keys() {
    let variables = [
        ("GUARD_REALM", "orders"),
        ("GUARD_ISSUER_0_ISSUER", "https://a"),
        ("GUARD_ISSUER_0_AUDIENCE", "x y"),
        ("GUARD_ISSUER_1_ISSUER", "https://b"),
        ("GUARD_ISSUER_1_AUDIENCE", "z"),
        ("GUARD_CACHE_MAX_BYTES", "0"),
        ("GUARD_KEYS_MAX_AGE_SECONDS", "60"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let tree = tree::from_variables("GUARD_", KEYS, variables).unwrap();
    assert_eq!(
        Value::Object(tree.clone()),
        json!({
            "realm": "orders",
            "issuer": [{"issuer": "https://a", "audience": ["x", "y"]}, {"issuer": "https://b", "audience": ["z"]}],
            "cache": {"max_bytes": 0}, "keys": {"max_age_seconds": 60},
        })
    );
    assert!(GuardConfig::from_tree(&tree).unwrap().build().is_ok());
}

#[test]
fn rules_for_mcp_come_from_the_file_and_the_environment_alike() {
    let variables = [
        ("GUARD_ISSUER_0_ISSUER", "https://a"),
        ("GUARD_ISSUER_0_AUDIENCE", "x"),
        ("GUARD_RULE_0_PATH", "/mcp"),
        ("GUARD_RULE_0_MCP", "tools/call"),
        ("GUARD_RULE_0_NAME", "delete_*"),
        ("GUARD_RULE_0_REQUIRE", "{\"scope\":\"delete\"}"),
        ("GUARD_IMPLIES", "{\"admin\":[\"delete\"]}"),
        ("GUARD_ALLOWED_ORIGINS", "https://a.example https://b.example"),
        ("GUARD_MCP_BODY_BYTES", "4096"),
        ("GUARD_DANGER_TRUST_MCP_HEADERS", "true"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let tree = tree::from_variables("GUARD_", KEYS, variables).unwrap();
    assert_eq!(
        Value::Object(tree.clone()),
        json!({
            "issuer": [{"issuer": "https://a", "audience": ["x"]}],
            "rule": [{"path": "/mcp", "mcp": "tools/call", "name": "delete_*", "require": {"scope": "delete"}}],
            "implies": {"admin": ["delete"]},
            "allowed_origins": ["https://a.example", "https://b.example"],
            "mcp_body_bytes": 4096,
            "danger_trust_mcp_headers": true,
        })
    );
    let guard = GuardConfig::from_tree(&tree).unwrap().build().unwrap();
    let ask = |name: &str| {
        let request = http::Request::post("/mcp").header("mcp-method", "tools/call").header("mcp-name", name);
        let request = request.header("origin", "https://b.example").body(()).unwrap();
        guard.authorize(&request, None).unwrap_err()
    };
    // The rule is there, and the body is not asked for.
    assert_eq!(ask("delete_all").code(), "missing_token");
    let request = http::Request::get("/").header("origin", "https://c.example").body(()).unwrap();
    assert_eq!(guard.authorize(&request, None).unwrap_err().code(), "origin_not_allowed");

    let issuer = json!([{"issuer": "https://a", "audience": ["x"]}]);
    let wrong = json!({
        "issuer": issuer,
        "rule": [{"mcp": "tools/call"}, {"path": "/a", "name": "x"}, {"grpc": "a.B/C", "mcp": "tools/call"}],
        "implies": ["admin"],
        "allowed_origins": ["https://a/"],
        "mcp_body_bytes": 0,
    });
    let error = read(&wrong).unwrap_err();
    let mut found = fields(&error);
    found.sort_unstable();
    let expected =
        ["allowed_origins[0]", "implies", "mcp_body_bytes", "rule[0].path", "rule[1].name", "rule[2].mcp"];
    assert_eq!(found, expected, "{error}");
}

#[test]
fn any_serde_format_is_read() {
    let config: GuardConfig =
        serde_json::from_str(r#"{"issuer":[{"issuer":"https://a","audience":["x"]}]}"#).unwrap();
    assert!(config.build().is_ok());
    let error = serde_json::from_str::<GuardConfig>(r#"{"isuer":[]}"#).unwrap_err().to_string();
    assert!(error.contains("isuer: is not a known key; did you mean issuer?"), "{error}");
}

fn with_rules(rules: Value) -> Result<Guard, BuildError> {
    read(&json!({"issuer": [{"issuer": "https://a", "audience": ["x"]}], "rule": rules}))?.build()
}

#[test]
fn every_form_of_a_requirement_is_read() {
    let form = |value: Value| {
        let mut problems = Vec::new();
        schema::check(json!({"require": value}).as_object().unwrap(), rules::RULE, "", &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let rule = json!({"path": "/", "require": value});
        format!("{:?}", rules::rule(Table::new(rule.as_object().unwrap())).requirement.unwrap())
    };
    for (value, meaning) in [
        (json!({"scope": "a"}), r#"scope("a")"#),
        (json!({"role": "a"}), r#"role("a")"#),
        (json!({"client": "a"}), r#"client("a")"#),
        (json!({"claim": "a", "equals": "b"}), r#"claim("a" = "b")"#),
        (json!({"claim": "a", "equals": 7}), r#"claim("a" = 7)"#),
        (json!({"claim": "a", "contains": true}), r#"claim("a" contains true)"#),
        (json!({"acr": ["a", "b"]}), r#"acr(["a", "b"])"#),
        (json!({"max_login_age_seconds": 300}), "max_login_age(300 s)"),
        (json!({"all": [{"scope": "a"}, {"not": {"role": "b"}}]}), r#"all([scope("a"), !role("b")])"#),
        (json!({"any": [{"all": [{"scope": "a"}]}]}), r#"any([all([scope("a")])])"#),
    ] {
        assert_eq!(form(value), meaning);
    }
}

#[cfg(feature = "toml")]
#[test]
fn a_hint_about_a_table_can_be_copied_as_it_is() {
    let error = GuardConfig::from_toml("[issuer]\nissuer = \"https://auth.example.com\"\n").unwrap_err();
    let hint = &error.problems()[0].message;
    assert!(hint.ends_with("for instance [[issuer]]"), "{hint}");
}

#[test]
fn a_misspelt_value_is_told_from_another_word() {
    let message = |access: &str| {
        let error = with_rules(json!([{"path": "/b", "access": access}])).unwrap_err();
        error.problems()[0].message.clone()
    };
    assert!(message("pubic").ends_with("did you mean \"public\"?"), "{}", message("pubic"));
    let open = message("open");
    assert!(open.contains("\"public\"") && !open.contains("did you mean"), "{open}");
}

#[test]
fn all_errors_in_rules_are_reported_together_by_key() {
    let error = with_rules(json!([
        {"path": "orders", "methods": []},
        {"path": "/a", "methods": ["get"], "acess": "public"},
        {"path": "/b", "access": "open", "require": "read"},
        {"path": "/c", "require": {"all": [{"scope": "a"}, {"scpe": "b"}, {"any": []}, {"not": {"role": 7}}]}},
        {"path": "/d", "require": {"scope": "a", "role": "b"}},
        {"path": "/e", "require": {"claim": "a"}},
        {"path": "/f", "require": {"equals": "a"}},
        {"path": "/g", "require": {"scope": "a", "contains": "b"}},
        {"path": "/h", "require": {"claim": "a", "equals": [1]}},
        {"path": "/i", "grpc": "a.B", "methods": ["G T"]},
        {"methods": ["GET"]},
    ]))
    .unwrap_err();
    let mut found = fields(&error);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "rule[0].methods",
            "rule[0].path",
            "rule[10].path",
            "rule[1].acess",
            "rule[1].methods",
            "rule[2].access",
            "rule[2].require",
            "rule[3].require.all[1].scpe",
            "rule[3].require.all[2].any",
            "rule[3].require.all[3].not.role",
            "rule[4].require",
            "rule[5].require",
            "rule[6].require",
            "rule[7].require",
            "rule[8].require.equals",
            "rule[9].grpc",
            "rule[9].methods",
        ],
        "{error}"
    );
    let text = error.to_string();
    assert!(text.contains("rule[3].require.all[1].scpe: is not a known key; did you mean scope?"), "{text}");
    assert!(text.contains("rule[4].require: asks for scope and role at once"), "{text}");
}

#[test]
fn errors_between_rules_are_reported_by_building() {
    let error = with_rules(json!([
        {"path": "/a/{id}", "methods": ["GET"]},
        {"path": "/a/{name}", "methods": ["GET", "PUT"]},
        {"path": "/b", "access": "public", "require": {"scope": "a"}},
        {"path": "/c", "require": {"scope": "two words"}},
    ]))
    .unwrap_err();
    assert_eq!(fields(&error), ["rule[1].path", "rule[2].require", "rule[3].require"]);
}

#[test]
fn the_environment_has_rules_too() {
    let variables = [
        ("GUARD_ISSUER_0_ISSUER", "https://a"),
        ("GUARD_ISSUER_0_AUDIENCE", "x"),
        ("GUARD_RULE_0_PATH", "/orders/{id}"),
        ("GUARD_RULE_0_METHODS", "GET POST"),
        ("GUARD_RULE_0_REQUIRE", r#"{"scope": "read"}"#),
        ("GUARD_DRY_RUN", "true"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let tree = tree::from_variables("GUARD_", KEYS, variables).unwrap();
    let require = json!({"path": "/orders/{id}", "methods": ["GET", "POST"], "require": {"scope": "read"}});
    assert_eq!((&tree["rule"][0], &tree["dry_run"]), (&require, &json!(true)));
    assert!(GuardConfig::from_tree(&tree).unwrap().build().is_ok());
}

#[test]
fn two_sources_of_keys_are_an_error() {
    let config = read(&json!({"issuer": [
        {"issuer": "https://a", "audience": ["x"], "jwks_uri": "https://a/keys", "jwks_file": "keys.json"}
    ]}));
    assert_eq!(fields(&config.unwrap().build().unwrap_err()), ["issuer[0].jwks_file"]);
}

#[test]
fn the_keys_beside_the_rules_are_read_from_files_and_the_environment() {
    let issuer = json!([{"issuer": "https://a", "audience": ["x"]}]);
    let rejects = |config: GuardConfig, path: &str| {
        let guard = config.build().unwrap();
        guard.authorize(&http::Request::get(path).body(()).unwrap(), None).unwrap_err().reason()
    };
    let rule = json!([{"path": "/orders"}]);
    for (access, reason) in [("token", "missing_token"), ("deny", "no_rule")] {
        let config = read(&json!({"issuer": issuer, "rule": rule, "default_access": access})).unwrap();
        assert_eq!(rejects(config, "/elsewhere"), reason);
        let config = read(&json!({"issuer": issuer, "rule": rule, "default_access": access})).unwrap();
        assert_eq!(rejects(config, "/orders"), "missing_token");
    }
    let variables = [
        ("GUARD_ISSUER_0_ISSUER", "https://a"),
        ("GUARD_ISSUER_0_AUDIENCE", "x"),
        ("GUARD_DEFAULT_ACCESS", "deny"),
        ("GUARD_GRPC", "false"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let tree = tree::from_variables("GUARD_", KEYS, variables).unwrap();
    assert_eq!((&tree["default_access"], &tree["grpc"]), (&json!("deny"), &json!(false)));
    assert_eq!(rejects(GuardConfig::from_tree(&tree).unwrap(), "/"), "no_rule");
    let error = read(&json!({"issuer": issuer, "default_access": "allow", "grpc": "no"})).unwrap_err();
    assert_eq!(fields(&error), ["default_access", "grpc"]);
}

#[test]
fn roles_claim_is_a_string_or_a_list_of_exact_paths() {
    let with = |value: Value| {
        read(&json!({"issuer": [{"issuer": "https://a", "audience": ["x"], "roles_claim": value}]}))
    };
    for good in [json!("roles"), json!("realm_access.roles"), json!(["roles", "/resource_access/a.b/roles"])]
    {
        assert!(with(good.clone()).unwrap().build().is_ok(), "{good}");
    }
    for bad in [json!(7), json!(["roles", 7]), json!({"a": "b"}), json!(true)] {
        assert_eq!(fields(&with(bad.clone()).unwrap_err()), ["issuer[0].roles_claim"], "{bad}");
    }
    for bad in [json!([]), json!("resource_access.*.roles"), json!(["roles", "/a/*/roles"]), json!("/a~b")] {
        let error = with(bad.clone()).unwrap().build().unwrap_err();
        assert_eq!(fields(&error), ["issuer[0].roles_claim"], "{bad}");
    }
    for (written, read) in
        [("realm_access.roles", json!("realm_access.roles")), (r#"["a", "/b.c"]"#, json!(["a", "/b.c"]))]
    {
        let variables = [("GUARD_ISSUER_0_ROLES_CLAIM".to_owned(), written.to_owned())];
        let tree = tree::from_variables("GUARD_", KEYS, variables).unwrap();
        assert_eq!(tree["issuer"][0]["roles_claim"], read);
    }
}

#[test]
fn patterns_of_other_routers_and_empty_lists_are_reported_by_key() {
    let error = with_rules(json!([
        {"path": "/admin/*"},
        {"path": "/users/:id"},
        {"grpc": "orders.Orders/*"},
        {"path": "/a", "require": {"not": {"any": []}}},
        {"path": "/b", "require": {"all": []}},
    ]))
    .unwrap_err();
    let mut found = fields(&error);
    found.sort_unstable();
    assert_eq!(
        found,
        ["rule[0].path", "rule[1].path", "rule[2].grpc", "rule[3].require.not.any", "rule[4].require.all"],
        "{error}"
    );
}

#[test]
fn what_key_requests_bring_is_read_from_a_tree_and_from_the_environment() {
    let directory = std::env::temp_dir().join(format!("oauth-guard-{}-config", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    std::fs::write(path("token"), "t0ken\n").unwrap();
    std::fs::write(path("key"), "k3y\n").unwrap();
    let variables = [
        ("GUARD_ISSUER_0_ISSUER", "https://a".to_owned()),
        ("GUARD_ISSUER_0_AUDIENCE", "x".to_owned()),
        ("GUARD_ISSUER_0_SCOPE_SEPARATOR", ",".to_owned()),
        ("GUARD_ISSUER_0_TOKEN_FILE", path("token")),
        ("GUARD_ISSUER_0_HEADERS_X_API_KEY_FILE", path("key")),
        ("GUARD_ISSUER_0_HEADERS_X_TENANT", "acme".to_owned()),
        ("GUARD_ISSUER_0_TLS_CA", path("ca.crt")),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let tree = tree::from_variables("GUARD_", KEYS, variables).unwrap();
    assert_eq!(
        tree["issuer"][0],
        json!({
            "issuer": "https://a", "audience": ["x"], "scope_separator": ",", "token_file": path("token"),
            "headers": {"x-api-key": {"file": path("key")}, "x-tenant": "acme"}, "tls": {"ca": path("ca.crt")},
        })
    );
    // The one mistake is the authority that is not there.
    let build = |tree: &Map<String, Value>| GuardConfig::from_tree(tree).and_then(GuardConfig::build);
    assert_eq!(fields(&build(&tree).unwrap_err()), ["issuer[0].tls.ca"]);
    std::fs::remove_file(path("key")).unwrap();
    assert_eq!(fields(&build(&tree).unwrap_err())[0], "issuer[0].headers.x-api-key.file");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn errors_of_the_keys_for_odd_issuers_are_reported_by_key() {
    let error = read(&json!({"issuer": [
        {"issuer": "https://a", "any_audience": "yes"},
        {"issuer": "https://b", "audience": ["x"], "require": {}},
        {"issuer": "https://c", "audience": ["x"], "require": {"a": null, "b": 1.5, "c": "d"}},
        {"issuer": "https://d", "audience": ["x"], "headers": {"x-api-key": 5}, "tls": {"cert": "x"}},
        {"issuer": "https://e", "audience": ["x"], "scope_separator": ";", "token_file": ["x"]},
    ]}))
    .unwrap_err();
    let mut found = fields(&error);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "issuer[0].any_audience",
            "issuer[0].audience",
            "issuer[1].require",
            "issuer[2].require.a",
            "issuer[2].require.b",
            "issuer[3].headers",
            "issuer[3].tls.cert",
            "issuer[4].scope_separator",
            "issuer[4].token_file",
        ],
        "{error}"
    );
}

#[test]
fn an_issuer_in_the_environment_gets_a_suggestion_with_its_number() {
    let variables = [("API_ISSUER_0_ISSUER", "https://a"), ("API_ISSUER_12_AUDIENCES", "orders")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let error = tree::from_variables("API_", KEYS, variables).unwrap_err();
    let said = error.problems()[0].to_string();
    assert!(said.ends_with("did you mean API_ISSUER_12_AUDIENCE?"), "{said}");
}

fn of_variables(pairs: &[(&str, &str)]) -> Result<GuardConfig, BuildError> {
    GuardConfig::of_environment("GUARD_", pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())))
}

#[test]
fn problems_of_the_environment_are_reported_together_by_variable() {
    let error = of_variables(&[
        ("GUARD_ISSUER_0_ISSUER", "https://a"),
        ("GUARD_ISSUER_0_AUDIENCE", "x,y"),
        ("GUARD_ISSUER_0_LEEWAY_SECONDS", "many"),
        ("GUARD_ISSUER_2_ISSUER", "https://b"),
        ("GUARD_RULE_0_PATH", "/orders"),
        ("GUARD_RULE_0_REQUIRE", "scope=read"),
        ("GUARD_REALMM", "x"),
        ("GUARD_DEFAULT_ACCESS", "open"),
    ])
    .unwrap_err();
    let mut found = fields(&error);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "GUARD_DEFAULT_ACCESS",
            "GUARD_ISSUER_0_AUDIENCE",
            "GUARD_ISSUER_0_LEEWAY_SECONDS",
            "GUARD_ISSUER_2_ISSUER",
            "GUARD_REALMM",
            "GUARD_RULE_0_REQUIRE",
        ],
        "{error}"
    );
    let said = error.to_string();
    assert!(said.contains("GUARD_ISSUER_1_… is missing"), "{said}");
    assert!(said.contains(r#"for instance GUARD_RULE_0_REQUIRE={"scope":"orders:read"}"#), "{said}");
    assert!(said.contains("GUARD_ISSUER_0_AUDIENCE: has commas"), "{said}");
    // What only building finds.
    let config = of_variables(&[
        ("GUARD_ISSUER_0_ISSUER", "https://a"),
        ("GUARD_ISSUER_0_AUDIENCE", "x"),
        ("GUARD_ISSUER_0_JWKS_FILE", "does/not/exist.json"),
    ]);
    let config = config.unwrap();
    let error = config.clone().build().unwrap_err();
    assert_eq!(fields(&error), ["GUARD_ISSUER_0_JWKS_FILE"]);
    assert_eq!(config.clone().into_builder().build().unwrap_err(), error);
    let guard = of_variables(&[("GUARD_ISSUER_0_ISSUER", "https://a"), ("GUARD_ISSUER_0_AUDIENCE", "x")]);
    assert_eq!(guard.unwrap().build().unwrap().reload(config).unwrap_err(), error);
    let directory = std::env::current_dir().unwrap();
    let path = directory.join("does/not/exist.json");
    assert!(error.to_string().contains(&format!("{} cannot be read: ", path.display())), "{error}");
}

#[test]
fn what_code_adds_to_a_configuration_is_named_in_the_same_way() {
    let good = [("GUARD_ISSUER_0_ISSUER", "https://a"), ("GUARD_ISSUER_0_AUDIENCE", "x")];
    let of_file = read(&json!({"issuer": [{"issuer": "https://a", "audience": ["x"]}]})).unwrap();
    for (config, named) in [
        (of_variables(&good).unwrap(), ["GUARD_TOKEN_COOKIE", "max_tenants", "GUARD_KEYS_MAX_AGE_SECONDS"]),
        (of_file, ["token_cookie", "max_tenants", "keys.max_age_seconds"]),
    ] {
        let keys = KeyPolicy { max_age: Duration::ZERO, ..KeyPolicy::default() };
        let error = config.into_builder().keys(keys).token_cookie("").max_tenants(0).build().unwrap_err();
        let mut found = fields(&error);
        found.sort_unstable();
        let mut named = named.to_vec();
        named.sort_unstable();
        assert_eq!(found, named);
    }
    let of_redis = Problem { field: "redis.url".to_owned(), message: "x".to_owned() };
    assert_eq!(fields(&of_variables(&good).unwrap().error([of_redis])), ["GUARD_REDIS_URL"]);
}

#[test]
fn a_table_of_defaults_is_switched_on_by_its_own_variable() {
    let issuer = [("GUARD_ISSUER_0_ISSUER", "https://a"), ("GUARD_ISSUER_0_AUDIENCE", "x")];
    let guard = |more: &[(&str, &str)]| of_variables(&[&issuer, more].concat()).unwrap().build().unwrap();
    assert!(guard(&[]).health().replay.is_none());
    assert!(guard(&[("GUARD_DPOP", "")]).health().replay.is_some());
    assert!(guard(&[("GUARD_DPOP", r#"{"mode":"require"}"#)]).health().replay.is_some());
}

/// The same keys from a file and from the environment.
#[cfg(feature = "toml")]
#[test]
fn every_example_of_the_reference_is_the_same_from_variables() {
    walk::every_example(KEYS);
}

/// What the walk needs, which is in different places here and in the client.
#[cfg(feature = "toml")]
mod parts {
    pub(super) use oauth_client::config::schema::{Key, Kind};
    pub(super) use oauth_client::config::tree::{from_toml, from_variables};
}
#[cfg(feature = "toml")]
#[path = "../../../oauth-client/src/config/environment/tests/walk.rs"]
mod walk;

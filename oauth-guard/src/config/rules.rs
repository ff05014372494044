//! `[[rule]]`, and the requirements in it.

use http::Method;
use oauth_client::config::schema::{self, Key, Kind};
use oauth_client::config::tree::Table;
use serde_json::Value;

use crate::authorize::{ClaimValue, Requirement, Rule};
use crate::error::Problem;

pub(super) const RULE: &[Key] = &[
    Key::new(
        "path",
        Kind::Text,
        "none; required unless grpc is set",
        "path = \"/orders/{id}\"",
        "The raw path; {id} matches one segment, {*rest} at the end all that follow. A slash at the end that the request has and the path has not, or the reverse, asks for the next rule too.",
    ),
    Key::new(
        "grpc",
        Kind::Text,
        "none",
        "grpc = \"orders.Orders/Cancel\"",
        "A gRPC method instead of a path, or a service for all its methods.",
    ),
    Key::new(
        "mcp",
        Kind::Text,
        "none",
        "mcp = \"tools/call\"",
        "The operation of an MCP server at the path, from Mcp-Method; * stands for any text. Such a rule adds to that of the route, and the body is compared with the headers. A request that does not say its operation has to satisfy all such rules of its path.",
    ),
    Key::new(
        "name",
        Kind::Text,
        "all",
        "name = \"delete_*\"",
        "The tools, prompts, resources or tasks that an mcp rule is for, from Mcp-Name; * stands for any text. A URI in a spelling that could go past the rule is answered 400.",
    ),
    Key::new(
        "methods",
        Kind::Texts,
        "all",
        "methods = [\"GET\"]",
        "The only HTTP methods it applies to; HEAD and WebSockets over HTTP/2 follow GET.",
    ),
    Key::new(
        "access",
        Kind::OneOf(&["token", "optional", "public"]),
        "\"token\"",
        "access = \"optional\"",
        "optional: requests without a token are forwarded too; public: all requests are, and no token is validated. Neither undoes what a layer requires in code.",
    ),
    Key::new(
        "require",
        Kind::Expression(REQUIREMENT, check_requirement),
        "a valid token is enough",
        "require = { scope = \"orders:read\" }",
        "What the token must grant, in one of the forms below.",
    ),
    Key::new(
        "dry_run",
        Kind::Flag,
        "false",
        "dry_run = true",
        "Logs requests that require would reject, and forwards them.",
    ),
];

const REQUIREMENT: &str = "a requirement such as { scope = \"read\" }";

/// The forms of a requirement: each of these keys by itself, `equals` and `contains` beside `claim`.
pub(super) const TERM: &[Key] = &[
    Key::new("scope", Kind::Text, "-", "scope = \"orders:read\"", "The token grants this scope."),
    Key::new("role", Kind::Text, "-", "role = \"editor\"", "The token carries this role, see roles_claim."),
    Key::new("client", Kind::Text, "-", "client = \"nightly-job\"", "The token was issued to this client."),
    Key::new(
        "actor",
        Kind::Text,
        "-",
        "actor = \"orders-api\"",
        "This party acts on the subject's behalf: act.sub of the token, not those nested in it (RFC 8693 section 4.1).",
    ),
    Key::new(
        "actor_issuer",
        Kind::Text,
        "-",
        "actor_issuer = \"https://idp.example.com\"",
        "Beside actor: whose identifier that is (act.iss); the token's own issuer's when absent.",
    ),
    Key::new("claim", Kind::Text, "-", "claim = \"tenant\"", "The claim to compare; a path may have dots."),
    Key::new(
        "equals",
        Kind::Expression("a string, a whole number or a boolean", check_scalar),
        "-",
        "equals = \"acme\"",
        "The exact value of that claim.",
    ),
    Key::new(
        "contains",
        Kind::Expression("a string, a whole number or a boolean", check_scalar),
        "-",
        "contains = \"analysts\"",
        "A value that the claim, a list, contains.",
    ),
    Key::new(
        "acr",
        Kind::Texts,
        "-",
        "acr = [\"urn:example:mfa\"]",
        "The accepted acr values of the login (RFC 9470), in order of preference.",
    ),
    Key::new(
        "max_login_age_seconds",
        Kind::Number(0),
        "-",
        "max_login_age_seconds = 300",
        "The maximum age of the login (auth_time, RFC 9470).",
    ),
    Key::new(
        "bound",
        Kind::Expression("true", check_bound),
        "-",
        "bound = true",
        "The token is bound to a key, and the caller has proven its possession (see dpop and certificates).",
    ),
    Key::new(
        "all",
        Kind::Expression("a list of requirements", check_list),
        "-",
        "all = [{ scope = \"a\" }, { role = \"b\" }]",
        "All of them are met.",
    ),
    Key::new(
        "any",
        Kind::Expression("a list of requirements", check_list),
        "-",
        "any = [{ scope = \"a\" }, { role = \"b\" }]",
        "At least one of them is met.",
    ),
    Key::new(
        "not",
        Kind::Expression(REQUIREMENT, check_requirement),
        "-",
        "not = { client = \"robot\" }",
        "It is not met.",
    ),
];

/// The keys that only go with `claim`.
const BESIDE_CLAIM: [&str; 2] = ["equals", "contains"];

/// The key that only goes with `actor`.
const BESIDE_ACTOR: &str = "actor_issuer";

/// The forms of a requirement, for the docs.
#[cfg(all(test, feature = "reqwest"))]
pub(super) fn reference() -> String {
    [
        "\n## What a rule can require\n\nThe forms of `require` in `[[rule]]`, each one by itself:\n\n",
        &schema::table(TERM),
    ]
    .concat()
}

/// The checks that go beyond the kind of a single key.
pub(super) fn check(table: Table<'_>, problems: &mut Vec<Problem>) {
    for (index, rule) in table.tables("rule").into_iter().enumerate() {
        let mut add = |name: &str, message: &str| {
            problems.push(Problem { field: format!("rule[{index}].{name}"), message: message.to_owned() });
        };
        if rule.has("path") && rule.has("grpc") {
            add("grpc", "a rule is for a path or for a gRPC method; split it into two rules");
        }
        if rule.has("mcp") && !rule.has("path") && !rule.has("grpc") {
            add("path", "an mcp rule needs a path, such as path = \"/mcp\"");
        }
        if rule.texts("methods").into_iter().any(|name| Method::from_bytes(name.as_bytes()).is_err()) {
            add("methods", "expected HTTP method names, for instance methods = [\"GET\"]");
        }
    }
}

pub(super) fn rule(table: Table<'_>) -> Rule {
    let mut rule = match (table.text("path"), table.text("grpc")) {
        (None, Some(method)) => Rule::grpc(method),
        (path, _) => Rule::new(path.unwrap_or_default()),
    };
    if let Some(method) = table.text("mcp") {
        rule = rule.mcp(method);
    }
    if let Some(name) = table.text("name") {
        rule = rule.name(name);
    }
    if table.has("methods") {
        let names = table.texts("methods").into_iter();
        rule = rule.methods(names.filter_map(|name| Method::from_bytes(name.as_bytes()).ok()));
    }
    rule = match table.text("access") {
        Some("optional") => rule.optional(),
        Some("public") => rule.public(),
        _ => rule,
    };
    if let Some(requirement) = table.value("require").and_then(requirement) {
        rule = rule.require(requirement);
    }
    if table.flag("dry_run") { rule.dry_run() } else { rule }
}

/// `None` for what the check reports.
fn requirement(value: &Value) -> Option<Requirement> {
    let table = Table::new(value.as_object()?);
    let text = |name| table.text(name);
    let list = |name| {
        let terms = table.value(name)?.as_array().filter(|terms| !terms.is_empty())?;
        terms.iter().map(requirement).collect::<Option<Vec<_>>>()
    };
    if let Some(claim) = text("claim") {
        return match (table.value("equals"), table.value("contains")) {
            (Some(value), None) => Some(Requirement::claim(claim, scalar(value)?)),
            (None, Some(value)) => Some(Requirement::claim_contains(claim, scalar(value)?)),
            _ => None,
        };
    }
    let login_age = || table.number("max_login_age_seconds").map(std::time::Duration::from_secs);
    (text("scope").map(Requirement::scope))
        .or_else(|| text("role").map(Requirement::role))
        .or_else(|| text("client").map(Requirement::client))
        .or_else(|| match (text("actor")?, text(BESIDE_ACTOR)) {
            (actor, None) => Some(Requirement::actor(actor)),
            (actor, Some(issuer)) => Some(Requirement::actor_of(issuer, actor)),
        })
        .or_else(|| table.has("acr").then(|| Requirement::acr(table.texts("acr"))))
        .or_else(|| login_age().map(Requirement::max_login_age))
        .or_else(|| table.flag("bound").then(Requirement::bound))
        .or_else(|| list("all").map(Requirement::all))
        .or_else(|| list("any").map(Requirement::any))
        .or_else(|| table.value("not").and_then(requirement).map(|it| !it))
}

pub(super) fn scalar(value: &Value) -> Option<ClaimValue> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Bool(truth) => Some((*truth).into()),
        other => other.as_i64().map(Into::into),
    }
}

fn check_requirement(value: &Value, field: &str, problems: &mut Vec<Problem>) {
    let mut add = |message: String| problems.push(Problem { field: field.to_owned(), message });
    let is_form = |name: &&str| !BESIDE_CLAIM.contains(name) && *name != BESIDE_ACTOR;
    let forms = || TERM.iter().map(|key| key.name).filter(is_form);
    let Value::Object(table) = value else {
        return add(format!("expected {REQUIREMENT}"));
    };
    let there: Vec<_> = forms().filter(|form| table.contains_key(*form)).collect();
    let beside = BESIDE_CLAIM.iter().filter(|name| table.contains_key(**name)).count();
    if table.contains_key(BESIDE_ACTOR) && there != ["actor"] {
        return add("actor_issuer goes with actor, for instance { actor = \"orders-api\", actor_issuer = \"https://idp.example.com\" }".to_owned());
    }
    match there[..] {
        // A misspelt key is reported on its own.
        [] if table.keys().all(|name| BESIDE_CLAIM.contains(&&**name)) => {
            add(format!(
                "expected one of {}, for instance {{ scope = \"read\" }}",
                forms().collect::<Vec<_>>().join(", ")
            ));
        }
        ["claim"] if beside != 1 => add("a claim is compared with either equals or contains".to_owned()),
        [] | ["claim"] => {}
        [form] if beside > 0 => add(format!("equals and contains go with claim, not with {form}")),
        [_] => {}
        _ => add(format!(
            "asks for {} at once; put each into its own table: all = [{{ … }}, {{ … }}]",
            there.join(" and ")
        )),
    }
    schema::check(table, TERM, field, problems);
}

fn check_bound(value: &Value, field: &str, problems: &mut Vec<Problem>) {
    if *value != Value::Bool(true) {
        let message = "expected true; for the opposite write { not = { bound = true } }".to_owned();
        problems.push(Problem { field: field.to_owned(), message });
    }
}

pub(super) fn check_implies(value: &Value, field: &str, problems: &mut Vec<Problem>) {
    let is_list = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    if !value.as_object().is_some_and(|scopes| scopes.values().all(is_list)) {
        problems.push(Problem {
            field: field.to_owned(),
            message: "expected a table of scopes with lists of scopes, for instance { admin = [\"read\"] }"
                .to_owned(),
        });
    }
}

fn check_list(value: &Value, field: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Array(terms) if !terms.is_empty() => {
            for (n, term) in terms.iter().enumerate() {
                check_requirement(term, &format!("{field}[{n}]"), problems);
            }
        }
        _ => problems.push(Problem {
            field: field.to_owned(),
            message: "expected a list of at least one requirement".to_owned(),
        }),
    }
}

pub(super) fn check_scalar(value: &Value, field: &str, problems: &mut Vec<Problem>) {
    if scalar(value).is_none() {
        problems.push(Problem {
            field: field.to_owned(),
            message: "expected a string, a whole number or a boolean".to_owned(),
        });
    }
}

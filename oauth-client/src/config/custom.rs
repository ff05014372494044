//! The table `custom`: a dialect as data.

use super::schema::{Key, Kind, join};
use super::tree::Table;
use crate::dialect::{self, Dialect, ErrorShape};
use crate::error::Problem;

/// The values of `provider`, but for `custom`.
const PRESETS: &[fn() -> Dialect] = &[
    dialect::standard,
    dialect::ils,
    dialect::infolink,
    dialect::sailpoint,
    dialect::comm100,
    dialect::teen_quotes,
    dialect::cognito,
    dialect::entra,
    dialect::github,
    dialect::google,
    dialect::slack,
];

/// The keys of `custom`.
pub(super) const CUSTOM: &[Key] = &[
    Key::new(
        "token_path",
        Kind::Text,
        "the provider's",
        "token_path = \"/v2/login\"",
        "The token endpoint's path below base_url.",
    ),
    Key::new(
        "encoding",
        Kind::OneOf(&["form", "json"]),
        "\"form\", or the provider's",
        "encoding = \"json\"",
        "How the token request is written.",
    ),
    Key::new(
        "send_grant_type",
        Kind::Flag,
        "true, or the provider's",
        "send_grant_type = false",
        "Whether grant_type is sent.",
    ),
    Key::new(
        "fields",
        Kind::Pairs,
        "none",
        "fields = { client_id = \"app\", client_secret = \"key\" }",
        "Other names for parameters of the request.",
    ),
    Key::new(
        "query",
        Kind::Texts,
        "none",
        "query = [\"tenant\"]",
        "Parameters that go into the URL's query; secrets never do.",
    ),
    Key::new(
        "refresh_with_client",
        Kind::Flag,
        "true, or the provider's",
        "refresh_with_client = false",
        "Whether the client's credentials go with a refresh token.",
    ),
    Key::new(
        "response_member",
        Kind::Pairs,
        "none",
        "response_member = { access_token = \"data.token\", expires_in = \"data.ttl\" }",
        "Where members of the token response are, as names joined by dots or as JSON Pointers (RFC 6901).",
    ),
    Key::new(
        "answer",
        Kind::Pairs,
        "none",
        "answer = { access_token = \"data.token\" }",
        "The older name of response_member.",
    ),
    Key::new(
        "expires_at",
        Kind::Text,
        "none",
        "expires_at = \"data.valid_until\"",
        "Where the response says when the token expires, as Unix time or as a date (RFC 3339); expires_in wins where both come.",
    ),
    Key::new(
        "zero_expires_in",
        Kind::OneOf(&["expired", "unknown"]),
        "\"expired\": the token is used once",
        "zero_expires_in = \"unknown\"",
        "What \"expires_in\": 0 means; with \"unknown\" the token is used like one without expires_in.",
    ),
    Key::new(
        "bearer_types",
        Kind::Texts,
        "none, or the provider's",
        "bearer_types = [\"bot\"]",
        "Other names that token_type has for bearer tokens.",
    ),
    Key::new(
        "error_code",
        Kind::Text,
        "\"error\"",
        "error_code = \"fault.id\"",
        "Where in an error body its code is.",
    ),
    Key::new(
        "error_description",
        Kind::Text,
        "\"error_description\"",
        "error_description = \"fault.text\"",
        "Where in an error body its text is.",
    ),
    Key::new(
        "codes",
        Kind::Pairs,
        "none",
        "codes = { stale_login = \"invalid_grant\" }",
        "What codes of the provider's mean in OAuth's.",
    ),
    Key::new(
        "transient_codes",
        Kind::Texts,
        "none",
        "transient_codes = [\"busy\"]",
        "Codes of the provider's that mean \"later\", whatever the status.",
    ),
    Key::new(
        "expired_response",
        Kind::Pairs,
        "none, or the provider's",
        "expired_response = { \"fault.id\" = \"token_expired\" }",
        "What the API says, in each of these places of a JSON body, when a token has expired.",
    ),
    Key::new(
        "expired_answer",
        Kind::Pairs,
        "none, or the provider's",
        "expired_answer = { \"fault.id\" = \"token_expired\" }",
        "The older name of expired_response.",
    ),
];

/// The dialect that the configuration names, with what `custom` changes in it. The check has reported what is wrong
/// with the values themselves.
pub(super) fn dialect(table: Table<'_>, problems: &mut Vec<Problem>) -> Dialect {
    let name = table.text("provider").unwrap_or("standard");
    let preset = PRESETS.iter().map(|preset| preset()).find(|preset| preset.name() == name);
    let custom = table.table("custom");
    if name == "custom" && custom.is_none() {
        let message = "is missing; provider \"custom\" needs a table of what is different";
        problems.push(Problem { field: "custom".to_owned(), message: message.to_owned() });
    }
    let base = preset.unwrap_or_else(|| Dialect::new(name));
    match custom {
        Some(custom) => changed(base, custom, problems),
        None => base,
    }
}

fn changed(mut dialect: Dialect, custom: Table<'_>, problems: &mut Vec<Problem>) -> Dialect {
    if let Some(path) = custom.text("token_path") {
        dialect = dialect.token_path(path);
    }
    match custom.text("encoding") {
        Some("json") => dialect = dialect.json(),
        Some("form") => dialect = dialect.form(),
        _ => {}
    }
    if custom.has("send_grant_type") {
        dialect.sends_grant_type = custom.flag("send_grant_type");
    }
    if custom.has("refresh_with_client") {
        dialect.refresh_is_alone = !custom.flag("refresh_with_client");
    }
    for (standard, theirs) in custom.pairs("fields") {
        dialect = dialect.parameter_name(standard, theirs);
    }
    for parameter in custom.texts("query") {
        dialect = dialect.in_query(parameter);
    }
    for name in ["answer", "response_member"] {
        for (member, path) in custom.pairs(name) {
            check_path(&join(name, member), path, problems);
            dialect = dialect.response_member(member, path);
        }
    }
    if let Some(path) = custom.text("expires_at") {
        check_path("expires_at", path, problems);
        dialect = dialect.expires_at(path);
    }
    match custom.text("zero_expires_in") {
        Some("unknown") => dialect = dialect.zero_lifetime_is_unknown(),
        Some("expired") => dialect.zero_lifetime_is_unknown = false,
        _ => {}
    }
    for token_type in custom.texts("bearer_types") {
        dialect = dialect.bearer_type(token_type);
    }
    dialect = errors(dialect, custom, problems);
    for (theirs, standard) in custom.pairs("codes") {
        dialect = dialect.code(theirs, standard);
    }
    for code in custom.texts("transient_codes") {
        dialect = dialect.transient(code);
    }
    for name in ["expired_answer", "expired_response"] {
        let says = custom.pairs(name);
        for (path, _) in &says {
            check_path(name, path, problems);
        }
        if custom.has(name) {
            dialect = dialect.expired_response(says);
        }
    }
    dialect
}

/// Error bodies that look as they say here come before those that the provider is known for.
fn errors(mut dialect: Dialect, custom: Table<'_>, problems: &mut Vec<Problem>) -> Dialect {
    let [code, description] = ["error_code", "error_description"].map(|name| {
        let path = custom.text(name)?;
        check_path(name, path, problems);
        Some(path)
    });
    if code.is_none() && description.is_none() {
        return dialect;
    }
    let known = std::mem::take(&mut dialect.errors);
    let shape = ErrorShape::own()
        .code(code.unwrap_or("error"))
        .description(description.unwrap_or("error_description"));
    let known = if known.is_empty() { vec![ErrorShape::oauth()] } else { known };
    known.into_iter().fold(dialect.error(shape), Dialect::error)
}

fn check_path(name: &str, path: &str, problems: &mut Vec<Problem>) {
    if path.is_empty() || (!path.starts_with('/') && path.split('.').any(str::is_empty)) {
        let message = "is no place in a document; expected names joined by dots, or a JSON Pointer";
        problems.push(Problem { field: join("custom", name), message: message.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_custom_replaces_what_the_preset_has() {
        let values = json!({"provider": "ils", "custom": {"fields": {"client_id": "app"}}});
        let ils = dialect(Table::new(values.as_object().unwrap()), &mut Vec::new());
        assert_eq!((ils.name_of("client_id"), ils.name_of("client_secret")), ("app", "clientSecret"));
        let undone = ils.parameter_name("client_id", "client_id");
        assert_eq!(undone.name_of("client_id"), "client_id");

        let values =
            json!({"provider": "github", "custom": {"codes": {"bad_refresh_token": "server_error"}}});
        let github = dialect(Table::new(values.as_object().unwrap()), &mut Vec::new());
        let meanings: Vec<_> = github.codes.iter().filter(|(code, _)| code == "bad_refresh_token").collect();
        assert_eq!(meanings, [&("bad_refresh_token".to_owned(), "server_error".to_owned())]);
        assert!(github.codes.len() > 1, "the others stay");
    }

    #[test]
    fn keys_have_the_names_of_the_methods_and_the_older_names_mean_the_same() {
        let read = |custom: serde_json::Value| {
            let (values, mut problems) = (json!({"provider": "custom", "custom": custom}), Vec::new());
            let dialect = dialect(Table::new(values.as_object().unwrap()), &mut problems);
            (format!("{dialect:?}"), problems.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let members = json!({"access_token": "data.token"});
        let expired = json!({"fault.id": "token_expired"});
        let (new, problems) = read(json!({"response_member": members, "expired_response": expired}));
        assert!(problems.is_empty() && new.contains("token_expired"), "{new}: {problems:?}");
        assert_eq!(read(json!({"answer": members, "expired_answer": expired})).0, new);
        let wrong = read(json!({"response_member": {"access_token": "a..b"}})).1;
        assert!(wrong[0].starts_with("custom.response_member.access_token: "), "{wrong:?}");
    }
}

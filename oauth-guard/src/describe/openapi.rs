//! What each operation of an OpenAPI document needs, from the rules.

use std::collections::BTreeSet;

use http::{Method, Request};
use serde_json::{Map, Value, json};
use url::Url;

use crate::authorize::Need;
use crate::guard::Guard;
use crate::request::RequestHead;

/// The members of a path item that are operations (OpenAPI 3.1 section 4.8.9).
const OPERATIONS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

impl<T> Guard<T> {
    /// Writes into an OpenAPI 3 document what its operations need: a security scheme for each configured issuer, and
    /// `security` in each operation, by the [rule](crate::Rule) that applies to its path and method. `any` gives several
    /// entries, of which a caller needs one. What OpenAPI cannot express, such as a role, is in the operation's
    /// `x-requires`.
    ///
    /// Requirements in code, of layers and extractors, are not known here. Paths are compared as the document has them,
    /// with the path of its first server in front.
    ///
    /// ```
    /// use oauth_guard::{Guard, Issuer, Requirement, Rule};
    ///
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
    ///     .rule(Rule::new("/orders/{id}").require(Requirement::scope("orders:read")))
    ///     .rule(Rule::new("/health").public())
    ///     .build()?;
    /// let mut document = serde_json::json!({
    ///     "openapi": "3.1.0",
    ///     "paths": { "/orders/{order}": { "get": {} }, "/health": { "get": {} } }
    /// });
    /// guard.describe_security(&mut document);
    /// assert_eq!(
    ///     document["paths"]["/orders/{order}"]["get"]["security"],
    ///     serde_json::json!([{ "oauth": ["orders:read"] }])
    /// );
    /// assert_eq!(document["paths"]["/health"]["get"]["security"], serde_json::json!([]));
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    pub fn describe_security(&self, document: &mut Value) {
        let snapshot = self.snapshot();
        let mut issuers: Vec<&str> = snapshot.issuers.keys().map(|name| &**name).collect();
        issuers.sort_unstable();
        let schemes = schemes(&issuers);
        let base = base_path(document);
        if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
            for (path, item) in paths {
                let Some(item) = item.as_object_mut() else { continue };
                for name in OPERATIONS {
                    let Some(operation) = item.get_mut(name).and_then(Value::as_object_mut) else { continue };
                    let need = need_of(&format!("{base}{path}"), name, |head| snapshot.need(head));
                    describe(operation, &need, &schemes);
                }
            }
        }
        if let Some(document) = document.as_object_mut() {
            let components = document.entry("components").or_insert_with(|| json!({}));
            if let Some(components) = components.as_object_mut() {
                let all = components.entry("securitySchemes").or_insert_with(|| json!({}));
                if let Some(all) = all.as_object_mut() {
                    all.extend(schemes);
                }
            }
        }
    }
}

/// A security scheme for each issuer: `oauth`, `oauth_2` and so on, in alphabetical order of the issuers.
fn schemes(issuers: &[&str]) -> Map<String, Value> {
    // A name with a hole has no document of its own, and issuers that are resolved later have no name yet.
    let named: Vec<_> = issuers.iter().filter(|name| !name.contains('{')).collect();
    if named.is_empty() {
        let bearer = json!({ "type": "http", "scheme": "bearer" });
        return Map::from_iter([("oauth".to_owned(), bearer)]);
    }
    let scheme = |(n, name): (usize, &&&str)| {
        let key = if n == 0 { "oauth".to_owned() } else { format!("oauth_{}", n + 1) };
        let url = format!("{}/.well-known/openid-configuration", name.trim_end_matches('/'));
        (key, json!({ "type": "openIdConnect", "openIdConnectUrl": url }))
    };
    named.iter().enumerate().map(scheme).collect()
}

/// The path of the first server, without the slash at its end. Variables have their defaults (OpenAPI 3.1 section 4.8.6).
fn base_path(document: &Value) -> String {
    let server = document.pointer("/servers/0/url").and_then(Value::as_str).unwrap_or_default();
    let variables = document.pointer("/servers/0/variables").and_then(Value::as_object);
    let server = variables.into_iter().flatten().fold(server.to_owned(), |server, (name, variable)| {
        match variable.get("default").and_then(Value::as_str) {
            Some(default) => server.replace(&format!("{{{name}}}"), default),
            None => server,
        }
    });
    let url = match server.contains("://") {
        true => Url::parse(&server),
        // A relative one begins where the document is served: that this is the root is all that can be assumed.
        false => Url::parse("http://localhost/").and_then(|root| root.join(&server)),
    };
    let path = match &url {
        Ok(url) if !url.cannot_be_a_base() => url.path(),
        // A variable without a default, in the place of a port for example; or no scheme in front of a port.
        _ => after_authority(&server),
    };
    path.trim_end_matches('/').to_owned()
}

fn after_authority(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    let rest = rest.find('/').map_or("", |at| &rest[at..]);
    rest.split(['?', '#']).next().unwrap_or_default()
}

/// What a request for this template needs. Its placeholders stand for text that no rule has; a template that is not a
/// path needs a token.
fn need_of<'a>(template: &str, operation: &str, find: impl Fn(RequestHead<'_>) -> Need<'a>) -> Need<'a> {
    const ANYTHING: &str = "~any~text~that~no~rule~has~";
    let segment = |part: &str| if part.contains('{') { ANYTHING.to_owned() } else { part.to_owned() };
    let path = template.split('/').map(segment).collect::<Vec<_>>().join("/");
    let method = Method::from_bytes(operation.to_ascii_uppercase().as_bytes()).unwrap_or_default();
    match Request::builder().method(method).uri(path).body(()) {
        Ok(request) => find((&request).into()),
        Err(_) => Need::Token(Vec::new()),
    }
}

fn describe(operation: &mut Map<String, Value>, need: &Need<'_>, schemes: &Map<String, Value>) {
    let with = |scopes: &BTreeSet<String>| {
        schemes.keys().map(move |name| json!({ name: scopes })).collect::<Vec<_>>()
    };
    let mut beside = None;
    let (requirements, optional) = match need {
        Need::Nothing => {
            operation.insert("security".into(), json!([]));
            return;
        }
        Need::Denied => {
            operation.insert("x-requires".into(), json!("nothing is forwarded: the route has no rule"));
            (&[][..], false)
        }
        Need::Optional(requirements) => (&requirements[..], true),
        Need::Token(requirements) => (&requirements[..], false),
        Need::Operations { requirements, optional } => {
            beside = Some("what the MCP rules of the path say of the operation".to_owned());
            (&requirements[..], *optional)
        }
    };
    let alternatives = crate::authorize::Alternatives::of(requirements.iter().copied());
    let mut security: Vec<Value> = alternatives.scopes.iter().flat_map(with).collect();
    if optional {
        security.push(json!({}));
    }
    operation.insert("security".into(), security.into());
    if !alternatives.complete || beside.is_some() {
        let words = requirements.iter().filter(|_| !alternatives.complete).map(|one| format!("{one:?}"));
        let words: Vec<_> = words.chain(beside).collect();
        operation.insert("x-requires".into(), words.join(" and ").into());
    }
}

//! The rules in an OpenAPI document.

use http::Method;
use oauth_guard::{Guard, GuardBuilder, Issuer, Requirement, Rule};
use serde_json::{Value, json};

fn described(builder: GuardBuilder, mut document: Value) -> Value {
    builder.build().unwrap().describe_security(&mut document);
    document
}

fn builder() -> GuardBuilder {
    let editors = Requirement::scope("write") & (Requirement::scope("edit") | Requirement::scope("admin"));
    Guard::builder()
        .issuer(Issuer::new("https://auth.example.com/").audience("orders-api"))
        .rule(Rule::new("/v1/orders/{id}").require(Requirement::scope("read")))
        .rule(Rule::new("/v1/orders/{id}").methods([Method::PUT]).require(editors))
        .rule(Rule::new("/v1/orders/{id}").methods([Method::DELETE]).require(Requirement::role("owner")))
        .rule(Rule::new("/v1/news").optional())
        .rule(Rule::new("/v1/health").public())
}

#[test]
fn each_operation_gets_what_its_rule_says() {
    let document = json!({
        "openapi": "3.1.0",
        "servers": [{ "url": "https://api.example.com/v1/" }],
        "paths": {
            "/orders/{order}": { "get": {}, "put": {}, "delete": {}, "summary": "one order" },
            "/news": { "get": { "security": [{ "old": [] }] } },
            "/health": { "get": {} },
            "/other": { "post": {} }
        }
    });
    let found = described(builder(), document);
    let of = |path: &str, method: &str| found["paths"][path][method]["security"].clone();
    assert_eq!(of("/orders/{order}", "get"), json!([{ "oauth": ["read"] }]));
    assert_eq!(
        of("/orders/{order}", "put"),
        json!([{ "oauth": ["admin", "write"] }, { "oauth": ["edit", "write"] }])
    );
    assert_eq!(of("/orders/{order}", "delete"), json!([{ "oauth": [] }]));
    assert_eq!(found["paths"]["/orders/{order}"]["delete"]["x-requires"], json!("role(\"owner\")"));
    assert!(found["paths"]["/orders/{order}"]["put"].get("x-requires").is_none());
    assert_eq!(of("/news", "get"), json!([{ "oauth": [] }, {}]));
    assert_eq!(of("/health", "get"), json!([]));
    assert_eq!(of("/other", "post"), json!([{ "oauth": [] }]));
    assert_eq!(
        found["components"]["securitySchemes"],
        json!({ "oauth": {
            "type": "openIdConnect",
            "openIdConnectUrl": "https://auth.example.com/.well-known/openid-configuration"
        }})
    );
}

#[test]
fn the_base_path_is_found_however_the_server_is_written() {
    let version = json!({ "port": { "default": "8443" }, "version": { "default": "v1" } });
    for (url, variables, base) in [
        ("https://api.example.com:{port}/v1", version.clone(), "/v1"),
        ("https://{tenant}.example.com:{port}/{version}/", version, "/v1"),
        ("https://api.example.com:{port}/v1?x#y", json!({}), "/v1"),
        ("{scheme}://api.example.com/v1", json!({}), "/v1"),
        ("{origin}/v1", json!({ "origin": { "default": "https://api.example.com" } }), "/v1"),
        ("//api.example.com/v1", json!(null), "/v1"),
        ("/v1", json!(null), "/v1"),
        ("v1", json!(null), "/v1"),
        ("./v1/", json!(null), "/v1"),
        ("localhost:8080/v1", json!(null), "/v1"),
        ("https://api.example.com/old/../v1", json!(null), "/v1"),
        ("https://api.example.com:{port}", json!({}), ""),
        ("https://api.example.com", json!(null), ""),
        ("", json!(null), ""),
    ] {
        let document = json!({
            "servers": [{ "url": url, "variables": variables }],
            "paths": { "/news": { "get": {} }, "/v1/news": { "get": {} } }
        });
        let found = described(builder(), document);
        let security = |path: &str| found["paths"][path]["get"]["security"].clone();
        let (with_base, without) = (security("/news"), security("/v1/news"));
        let optional = json!([{ "oauth": [] }, {}]);
        assert_eq!((with_base == optional, without == optional), (base == "/v1", base.is_empty()), "{url}");
    }
}

#[test]
fn two_issuers_are_two_schemes_and_a_closed_route_says_so() {
    let second = Issuer::new("https://b.example.com").audience("orders-api");
    let builder = builder().issuer(second).deny_by_default();
    let found =
        described(builder, json!({ "paths": { "/v1/orders/{id}": { "get": {} }, "/x": { "get": {} } } }));
    assert_eq!(
        found["paths"]["/v1/orders/{id}"]["get"]["security"],
        json!([{ "oauth": ["read"] }, { "oauth_2": ["read"] }])
    );
    let closed = &found["paths"]["/x"]["get"]["x-requires"];
    assert_eq!(*closed, json!("nothing is forwarded: the route has no rule"));
}

#[test]
fn mcp_rules_are_named_and_open_a_route_that_has_no_other() {
    let document = || json!({ "paths": { "/mcp": { "post": {} } } });
    let mcp = |method: &str| Rule::new("/mcp").mcp(method);
    let post = |builder: GuardBuilder| described(builder, document())["paths"]["/mcp"]["post"].clone();
    let by_operation = json!("what the MCP rules of the path say of the operation");
    let open = post(builder().deny_by_default().rule(mcp("tools/list").public()));
    assert_eq!(open, json!({ "security": [{ "oauth": [] }, {}], "x-requires": by_operation }));
    let both = post(
        builder()
            .rule(Rule::new("/mcp").require(Requirement::scope("mcp")))
            .rule(mcp("tools/call").require(Requirement::scope("tools"))),
    );
    assert_eq!(both, json!({ "security": [{ "oauth": ["mcp"] }], "x-requires": by_operation }));
}

#[test]
fn what_is_no_openapi_document_is_left_alone() {
    for document in
        [json!(null), json!([1]), json!("text"), json!({ "paths": 5 }), json!({ "paths": { "/a": 1 } })]
    {
        let found = described(builder(), document.clone());
        assert_eq!(found.get("paths"), document.get("paths"));
    }
}

//! Rules that depend on the URI of a resource, and the spellings of one URI.

use base64::Engine;
use oauth_guard::{GuardLayer, Rule};
use serde_json::json;

use crate::mcp::{MALFORMED, VERSION, call, forbidden, post, rules, served};
use crate::rules::{guard, scope};
use crate::support::Fixture;

/// Patterns compare texts: a server that parses the URI would read what the rule is meant for.
#[tokio::test(start_paused = true)]
async fn another_spelling_of_a_uri_goes_past_no_rule() {
    let fixture = Fixture::new();
    let layer = guard(&fixture, rules()).layer();
    let user = fixture.server.mint().scope("mcp").build();
    let read = |uri: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": { "uri": uri } });
        let header = format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(uri));
        (header, body.to_string())
    };
    for uri in [
        "FILE:///secret/keys",
        "file:/secret/keys",
        "file://localhost/secret/keys",
        "file:///public/../secret/keys",
        "file:////secret/keys",
        "file:///%73ecret/keys",
        "file:///public\\..\\secret/keys",
        "file:///secr\tet/keys",
        "file:///secret%2Fkeys",
        "file:///public/..%2Fsecret/keys",
    ] {
        let (name, body) = read(uri);
        let headers = [VERSION, ("mcp-method", "resources/read"), ("mcp-name", &name)];
        assert_eq!(post(&layer, &headers, &body, Some(&user)).await, MALFORMED, "{uri}");
    }
    let (name, body) = read("file:///public/keys");
    let headers = [VERSION, ("mcp-method", "resources/read"), ("mcp-name", &name)];
    assert_eq!(post(&layer, &headers, &body, Some(&user)).await, served(&body));
    // Other names are not URIs, and without a rule that depends on one any text is.
    let odd = call("a/../b");
    let headers = [VERSION, ("mcp-method", "tools/call"), ("mcp-name", "a/../b")];
    assert_eq!(post(&layer, &headers, &odd, Some(&user)).await, forbidden("mcp tools"));
    let layer = guard(&fixture, rules().into_iter().take(3)).layer();
    let (name, body) = read("FILE:///secret/keys");
    let headers = [VERSION, ("mcp-method", "resources/read"), ("mcp-name", &name)];
    assert_eq!(post(&layer, &headers, &body, Some(&user)).await, served(&body));
}

#[tokio::test(start_paused = true)]
async fn what_no_rule_is_for_may_be_written_as_it_likes_and_a_rule_that_is_tried_out_refuses_nothing() {
    let fixture = Fixture::new();
    let read = Rule::new("/mcp").mcp("resources/read");
    let user = fixture.server.mint().scope("mcp").build();
    let send = async |layer: &GuardLayer, uri: &str| {
        let body = json!({ "method": "resources/read", "params": { "uri": uri } }).to_string();
        let headers = [VERSION, ("mcp-method", "resources/read"), ("mcp-name", uri)];
        post(layer, &headers, &body, Some(&user)).await.0
    };
    let layer = guard(&fixture, [read.clone().name("repo://acme/*").require(scope("acme"))]).layer();
    for (uri, status) in
        [("greeting://World", 200), ("repo://acme/x", 403), ("repo://ACME/x", 400), ("repo://b/x", 200)]
    {
        assert_eq!(send(&layer, uri).await, status, "{uri}");
    }
    let layer = guard(&fixture, [read.name("file:///secret/*").require(scope("secrets")).dry_run()]).layer();
    for uri in ["file:///secret/keys", "FILE:///secret/keys"] {
        assert_eq!(send(&layer, uri).await, 200, "{uri}");
    }
}

//! Rule x layer x dry run x token, and preflight requests: each cell written down.

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use oauth_guard::config::GuardConfig;
use oauth_guard::{Guard, GuardBuilder, GuardLayer, HttpClient, Requirement, Rule};
use serde_json::{Value, json};

use crate::support::{Fixture, send_request};

/// A cell is a status, or how a request is forwarded: `4` is 401, `3` is 403, `a` is without claims, `c` with claims.
///
/// Six cells for requests with no token, an invalid one, and valid ones with no scope, `write` (what the rule requires),
/// `beta` (what the layer requires) and both. Three more for preflight requests without a token: not allowed, allowed by
/// a file, allowed in code. The columns are dry runs of the whole guard.
const TABLE: &str = "
    rule                    layer               off         in a file   in code
    none                    plain               44cccc 4aa  44cccc 4aa  44cccc 4aa
    none                    optional            a4cccc aaa  a4cccc aaa  a4cccc aaa
    none                    beta                4433cc 44a  4433cc 44a  44cccc 44a
    none                    optional+beta       a433cc aaa  a433cc aaa  a4cccc aaa
    denied                  plain               333333 333  44cccc 4aa  44cccc 4aa
    denied                  optional            333333 333  a4cccc aaa  a4cccc aaa
    denied                  beta                333333 333  4433cc 44a  44cccc 44a
    denied                  optional+beta       333333 333  a433cc aaa  a4cccc aaa
    token                   plain               44cccc 4aa  44cccc 4aa  44cccc 4aa
    token                   optional            44cccc 4aa  44cccc 4aa  44cccc 4aa
    token                   beta                4433cc 44a  4433cc 44a  44cccc 44a
    token                   optional+beta       4433cc 44a  4433cc 44a  44cccc 44a
    token+write             plain               443c3c 4aa  44cccc 4aa  44cccc 4aa
    token+write             optional            443c3c 4aa  44cccc 4aa  44cccc 4aa
    token+write             beta                44333c 44a  4433cc 44a  44cccc 44a
    token+write             optional+beta       44333c 44a  4433cc 44a  44cccc 44a
    token+write+dry         plain               44cccc 4aa  44cccc 4aa  44cccc 4aa
    token+write+dry         optional            44cccc 4aa  44cccc 4aa  44cccc 4aa
    token+write+dry         beta                4433cc 44a  4433cc 44a  44cccc 44a
    token+write+dry         optional+beta       4433cc 44a  4433cc 44a  44cccc 44a
    optional                plain               a4cccc aaa  a4cccc aaa  a4cccc aaa
    optional                optional            a4cccc aaa  a4cccc aaa  a4cccc aaa
    optional                beta                4433cc 44a  4433cc 44a  44cccc 44a
    optional                optional+beta       a433cc aaa  a433cc aaa  a4cccc aaa
    optional+write          plain               a43c3c aaa  a4cccc aaa  a4cccc aaa
    optional+write          optional            a43c3c aaa  a4cccc aaa  a4cccc aaa
    optional+write          beta                44333c 44a  4433cc 44a  44cccc 44a
    optional+write          optional+beta       a4333c aaa  a433cc aaa  a4cccc aaa
    optional+write+dry      plain               a4cccc aaa  a4cccc aaa  a4cccc aaa
    optional+write+dry      optional            a4cccc aaa  a4cccc aaa  a4cccc aaa
    optional+write+dry      beta                4433cc 44a  4433cc 44a  44cccc 44a
    optional+write+dry      optional+beta       a433cc aaa  a433cc aaa  a4cccc aaa
    public                  plain               aaaaaa aaa  aaaaaa aaa  aaaaaa aaa
    public                  optional            aaaaaa aaa  aaaaaa aaa  aaaaaa aaa
    public                  beta                4433cc 44a  4433cc 44a  44cccc 44a
    public                  optional+beta       a433cc aaa  a433cc aaa  a4cccc aaa
";

/// Where something is switched on.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Off,
    File,
    Code,
}

const BY: [By; 3] = [By::Off, By::File, By::Code];

#[tokio::test(start_paused = true)]
async fn every_cell_of_rule_layer_preflight_dry_run_and_token() {
    let fixture = Fixture::new();
    let mint = |scope: &str| fixture.server.mint().scope(scope).build();
    let tokens = [
        None,
        Some("a.b.c".to_owned()),
        Some(mint("")),
        Some(mint("write")),
        Some(mint("beta")),
        Some(mint("write beta")),
    ];
    let mut cells = 0;
    for row in TABLE.lines().map(str::trim).filter(|row| !row.is_empty()).skip(1) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [rule, layer, expected @ ..] = &words[..] else { panic!("{row}") };
        for (dry_run, expected) in BY.into_iter().zip(expected.chunks(2)) {
            let [of_tokens, of_preflight] = expected else { panic!("{row}") };
            let mut found = String::new();
            let (guard, plain) = (guard(&fixture, rule, dry_run, By::Off), Method::GET);
            for token in &tokens {
                found.push(ask(&layer_of(&guard, layer), &plain, token.as_deref()).await);
            }
            assert_eq!(found, *of_tokens, "{row}");
            let mut found = String::new();
            for preflight in BY {
                let guard = self::guard(&fixture, rule, dry_run, preflight);
                found.push(ask(&layer_of(&guard, layer), &Method::OPTIONS, None).await);
            }
            assert_eq!(found, *of_preflight, "preflight: {row}");
            cells += of_tokens.len() + of_preflight.len();
        }
    }
    assert_eq!(cells, 9 * 4 * 3 * 9);
}

fn guard(fixture: &Fixture, rule: &str, dry_run: By, preflight: By) -> Guard {
    // Rules mean the same in a file and in code, so they are written here once in each.
    let denied = rule == "denied";
    let mut builder: GuardBuilder = if dry_run == By::File || preflight == By::File {
        let mut config = json!({
            "issuer": [{ "issuer": fixture.server.issuer(), "audience": ["orders-api"] }],
            "dry_run": dry_run == By::File,
            "allow_preflight": preflight == By::File,
            "default_access": if denied { "deny" } else { "token" },
        });
        if let Some(rule) = rule_in_a_file(rule) {
            config["rule"] = json!([rule]);
        }
        let config: GuardConfig = serde_json::from_value(config).unwrap();
        let http = HttpClient::from_service(fixture.server.transport());
        config.into_builder().http(http).clock(fixture.clock.clone())
    } else {
        let builder = fixture.builder().issuer(fixture.issuer());
        let builder = rule_in_code(rule).into_iter().fold(builder, GuardBuilder::rule);
        if denied { builder.deny_by_default() } else { builder }
    };
    if dry_run == By::Code {
        builder = builder.dry_run();
    }
    if preflight == By::Code {
        builder = builder.allow_preflight();
    }
    builder.build().unwrap()
}

fn rule_in_a_file(rule: &str) -> Option<Value> {
    let mut words = rule.split('+');
    let access = words.next().filter(|word| !["none", "denied"].contains(word))?;
    let mut rule = json!({ "path": "/orders", "access": access });
    for word in words {
        match word {
            "write" => rule["require"] = json!({ "scope": "write" }),
            _ => rule["dry_run"] = json!(true),
        }
    }
    Some(rule)
}

fn rule_in_code(rule: &str) -> Option<Rule> {
    let mut words = rule.split('+');
    let mut rule = Rule::new("/orders");
    rule = match words.next().filter(|word| !["none", "denied"].contains(word))? {
        "optional" => rule.optional(),
        "public" => rule.public(),
        _ => rule,
    };
    for word in words {
        rule = if word == "write" { rule.require(Requirement::scope("write")) } else { rule.dry_run() };
    }
    Some(rule)
}

fn layer_of(guard: &Guard, layer: &str) -> GuardLayer {
    let mut made = guard.layer();
    if layer.contains("optional") {
        made = made.optional();
    }
    if layer.contains("beta") {
        made = made.require(Requirement::scope("beta"));
    }
    made
}

/// One cell.
async fn ask(layer: &GuardLayer, method: &Method, token: Option<&str>) -> char {
    let mut request = Request::builder().method(method).uri("/orders");
    if *method == Method::OPTIONS {
        request = request.header(header::ORIGIN, "https://app.example");
        request = request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT");
    }
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let reply = send_request(layer, request.body(Full::<Bytes>::default()).unwrap()).await;
    match (reply.status, &*reply.body) {
        (200, "no claims") => 'a',
        (200, _) => 'c',
        (401, _) => '4',
        (403, _) => '3',
        other => panic!("{other:?}"),
    }
}

use std::collections::HashSet;

use serde_json::Value;

use super::*;
use crate::keys::verifies;
use crate::{Alg, MockServer};

fn context(server: &MockServer) -> AttackContext {
    AttackContext::new(server).scope("read")
}

fn server() -> MockServer {
    MockServer::builder().algorithms(ALGORITHMS).issuer("second").in_process()
}

#[test]
fn ids_are_unique_and_speak_one_language() {
    let mut seen = HashSet::new();
    for attack in all() {
        assert!(seen.insert(attack.id), "{} comes twice", attack.id);
        assert!(
            attack.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        );
        assert!(
            attack.case.starts_with('G') && attack.clause.contains("section "),
            "{attack:?} {}",
            attack.clause
        );
    }
    assert!(seen.len() > 80, "{} rows", seen.len());
}

#[test]
fn every_row_makes_requests_that_differ_from_a_good_one() {
    for attack in all() {
        let server = server();
        let context = context(&server);
        let requests = attack.requests(&context);
        assert!(!requests.is_empty(), "{} makes no request", attack.id);
        let variants: HashSet<_> = requests.iter().map(AttackRequest::variant).collect();
        assert_eq!(variants.len(), requests.len(), "two variants of {} have one name", attack.id);
        for request in requests {
            assert_eq!(
                request.to_http("https://api.test/x").is_none(),
                request.is_wire_only(),
                "{request:?}"
            );
            let expected = request.expected();
            let consistent = match expected.status {
                200 => expected.error.is_none(),
                400 | 403 => expected.error.is_some(),
                status => status == 401,
            };
            assert!(consistent, "{}: {expected:?}", attack.id);
        }
    }
}

#[test]
fn rows_leave_out_what_the_context_cannot_give() {
    let server = MockServer::builder().algorithms(ALGORITHMS).in_process();
    let context = AttackContext::new(&server);
    assert!(find("scope-missing").unwrap().requests(&context).is_empty());
    assert!(find("iss-with-the-key-of-another").unwrap().requests(&context).is_empty());
}

#[test]
fn only_the_rows_about_keys_change_keys() {
    for attack in all().filter(|attack| attack.area != Area::Keys) {
        let server = server();
        let before = server.keys().jwks_json();
        let _ = attack.requests(&context(&server));
        assert_eq!(server.keys().jwks_json(), before, "{}", attack.id);
    }
}

#[test]
fn the_wire_form_carries_every_byte() {
    let server = server();
    let context = context(&server);
    let two = &find("http-two-headers").unwrap().requests(&context)[0];
    let wire = String::from_utf8(two.to_wire("api.test", "/x")).unwrap();
    assert_eq!(wire.matches("\r\nAuthorization: Bearer ").count(), 2);
    assert!(wire.starts_with("GET /x HTTP/1.1\r\nHost: api.test\r\n") && wire.ends_with("\r\n\r\n"));

    let folded = &find("http-folded-header").unwrap().requests(&context)[0];
    assert!(folded.is_wire_only());
    let wire = String::from_utf8(folded.to_wire("api.test", "/x")).unwrap();
    assert!(wire.contains("Authorization: Bearer\r\n eyJ"), "{wire}");
}

#[test]
fn methods_paths_and_headers_are_on_the_wire_and_in_the_request() {
    let server = server();
    let context = context(&server);
    let of = |id: &str, variant: &str| {
        let requests = find(id).unwrap().requests(&context);
        requests.into_iter().find(|request| request.variant() == variant).unwrap()
    };
    let wire = |request: &AttackRequest| String::from_utf8(request.to_wire("api.test", "/a/b?c=d")).unwrap();
    let head = of("http-other-methods", "HEAD");
    assert!(wire(&head).starts_with("HEAD /a/b?c=d HTTP/1.1\r\n"));
    assert_eq!(head.to_http("https://api.test/a").unwrap().method(), "HEAD");
    assert!(wire(&of("http-other-methods", "PUT")).ends_with("Content-Length: 0\r\n\r\n"));

    let slash = of("http-neighbouring-paths", "a slash behind");
    assert!(wire(&slash).starts_with("GET /a/b/?c=d HTTP/1.1\r\n"));
    assert_eq!(slash.to_http("https://api.test/a?x=y").unwrap().uri(), "https://api.test/a/?x=y");
    let encoded = of("http-neighbouring-paths", "its last letter encoded");
    assert!(wire(&encoded).starts_with("GET /a/%62?c=d HTTP/1.1\r\n"));

    let beside = of("http-identity-headers", "X-User beside a token");
    let http = beside.to_http("https://api.test/").unwrap();
    assert_eq!(http.headers()["x-user"], beside.unmentionable()[0].as_str());
    assert!(wire(&beside).contains(&format!("X-User: {}\r\n", beside.unmentionable()[0])));

    let query = &find("http-token-in-the-query").unwrap().requests(&context)[0];
    assert!(wire(query).starts_with("GET /a/b?c=d&access_token="));
    let usual = (&::http::Method::POST, &[("X-Api-Key".to_owned(), "k".to_owned())][..]);
    let wire = |request: &AttackRequest| {
        String::from_utf8(request.to_wire_with("api.test", "/", usual.0, usual.1)).unwrap()
    };
    assert!(wire(query).starts_with("POST /?access_token=") && wire(query).contains("\r\nX-Api-Key: k\r\n"));
    assert!(wire(&head).starts_with("HEAD / "), "a row's own method comes before the usual one");
}

#[test]
fn a_key_that_a_token_brings_or_names_did_sign_it() {
    let server = server();
    let context = context(&server);
    let parts = |request: &AttackRequest| {
        let (input, signature) = request.token().unwrap().rsplit_once('.').unwrap();
        let header: Value = serde_json::from_slice(&decoded(input.split('.').next().unwrap())).unwrap();
        (header, input.to_owned(), decoded(signature))
    };
    for request in find("header-x5").unwrap().requests(&context) {
        let (_, input, signature) = parts(&request);
        let good = verifies(&context.foreign().public_jwk(), Alg::Rs256, input.as_bytes(), &signature);
        assert!(good, "{}", request.variant());
    }
    let mac = |secret: &[u8], input: &str, signature: &[u8]| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        aws_lc_rs::hmac::verify(&key, input.as_bytes(), signature).is_ok()
    };
    let empty = find("header-kid-injection").unwrap().requests(&context);
    for request in empty.iter().filter(|request| request.variant().starts_with("an empty file")) {
        let (header, input, signature) = parts(request);
        assert!(header["kid"].as_str().is_some_and(|kid| kid.contains("null") || kid == "NUL"));
        assert!(mac(b"", &input, &signature), "{}", request.variant());
    }
    let weak = find("hmac-with-a-weak-secret").unwrap().requests(&context);
    let (_, input, signature) = parts(weak.iter().find(|request| request.variant() == "secret").unwrap());
    assert!(mac(b"secret", &input, &signature) && !mac(b"", &input, &signature));
    // Every form of one kind of key is tried with the others, too.
    let forms = |id: &str| -> HashSet<String> {
        find(id).unwrap().requests(&context).iter().map(|request| request.variant().to_owned()).collect()
    };
    let shared = ["PEM", "PEM without its last newline", "PEM after a blank", "SubjectPublicKeyInfo", "JWK"];
    for id in ["hmac-with-the-rsa-key", "hmac-with-the-ec-point", "hmac-with-the-ed25519-key"] {
        assert!(shared.iter().all(|form| forms(id).contains(*form)), "{id}");
    }
}

#[test]
fn tokens_that_are_not_about_signatures_are_validly_signed() {
    let wholly_signed = [Area::Time, Area::Claims, Area::Json, Area::Scope];
    let forged = ["iss-with-the-key-of-another", "scope-of-an-unverified-token", "optional-with-a-bad-token"];
    let rows = all().filter(|attack| wholly_signed.contains(&attack.area) && !forged.contains(&attack.id));
    for attack in rows {
        let server = server();
        let jwk = server.keys().current().public_jwk();
        for request in attack.requests(&context(&server)) {
            let Some((input, signature)) = request.token().and_then(|token| token.trim().rsplit_once('.'))
            else {
                continue;
            };
            let signature = decoded(signature);
            let good = verifies(&jwk, Alg::Rs256, input.as_bytes(), &signature);
            assert!(good, "{}: {}", attack.id, request.variant());
        }
    }
}

/// Whether a token says all that a good one says, and is signed by a published key.
fn is_good(context: &AttackContext, set: &Value, token: &str) -> bool {
    use base64::Engine as _;
    let json = |part: &str| {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let parts: Vec<_> = token.split('.').collect();
    let [head, payload, signature] = *parts else { return false };
    let (Some(header), Some(mut claims)) = (json(head), json(payload)) else { return false };
    let mut good = Value::Object(context.good().claims().clone());
    let lifetime =
        |claims: &Value| claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat);
    let is_of_now = claims["iat"].as_i64().is_some_and(|iat| (iat - context.now()).abs() < 5);
    if lifetime(&claims) != lifetime(&good) || !is_of_now || claims["jti"].as_str().is_none() {
        return false;
    }
    for name in ["iat", "exp", "jti"] {
        for object in [&mut claims, &mut good] {
            object[name] = Value::Null;
        }
    }
    // What an API does not know, it ignores.
    if let Some(members) = claims.as_object_mut() {
        members.retain(|name, _| !name.starts_with("x-"));
    }
    let Some(alg) = ALGORITHMS.into_iter().find(|alg| header["alg"] == alg.as_str()) else { return false };
    let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    let input = format!("{head}.{payload}");
    let mut named = set["keys"].as_array().unwrap().iter().filter(|jwk| jwk["kid"] == header["kid"]);
    claims == good
        && header.as_object().is_some_and(|members| members.len() == 3)
        && header["typ"] == context.good().header_members()["typ"]
        && named.any(|jwk| verifies(jwk, alg, input.as_bytes(), &signature))
}

#[test]
fn no_name_makes_a_good_token_of_one_that_is_to_be_refused() {
    type Change = fn(AttackContext) -> AttackContext;
    let contexts: [(&str, Change); 7] = [
        ("http://[::1]:9000", |context| context),
        ("http://localhost", |context| context.audience("ORDERS").scope("READ")),
        ("http://127.0.0.1:9000", |context| context.audience("payments-api").scope("something:else")),
        ("http://127.0.0.1:9000", |context| context.audience("svc").scope("r")),
        ("http://127.0.0.1:9000", |context| context.audience("7").scope("7")),
        ("http://127.0.0.1:9000", |context| context.claim("sub", "admin")),
        ("http://127.0.0.1:9000", |context| context.claim("sub", "u").claim("client_id", "c")),
    ];
    for (issuer, change) in contexts {
        let server = server();
        let context = change(AttackContext::of(&server, server.keys(), issuer));
        let set: Value = serde_json::from_str(&server.keys().jwks_json()).unwrap();
        assert!(is_good(&context, &set, &context.good().build()));
        let mut mistaken = Vec::new();
        // What is wrong with the others is which algorithm or key it is, or a member that comes twice.
        let rows = all().filter(|attack| ![Area::Keys, Area::Alg, Area::Json].contains(&attack.area));
        for attack in rows {
            let requests = attack.requests(&context);
            for request in requests.iter().filter(|request| request.expected().status != 200) {
                // A good token may come where no token is looked for; here it is the one that is shown.
                if request.token().is_some_and(|token| is_good(&context, &set, token)) {
                    mistaken.push((attack.id, request.variant().to_owned()));
                }
                // For a target that takes any type of token, nothing but its audience is wrong with it.
                let of_client = request.variant().starts_with("for the client");
                let claims =
                    request.token().filter(|_| of_client).map(|token| token.split('.').nth(1).unwrap());
                if let Some(claims) = claims {
                    let claims: Value = serde_json::from_slice(&decoded(claims)).unwrap();
                    assert_ne!(claims["aud"], context.the_audience(), "{}", request.variant());
                }
            }
        }
        assert_eq!(mistaken, [], "{issuer}: {context:?}");
    }
}

#[test]
fn whatever_is_to_be_let_in_is_signed_by_the_published_key_it_names() {
    let mut seen = 0;
    for attack in all() {
        let server = server();
        for request in
            attack.requests(&context(&server)).iter().filter(|request| request.expected().status == 200)
        {
            let Some((input, signature)) = request.token().and_then(|token| token.trim().rsplit_once('.'))
            else {
                continue;
            };
            let header: Value = serde_json::from_slice(&decoded(input.split('.').next().unwrap())).unwrap();
            let set: Value = serde_json::from_str(&server.keys().jwks_json()).unwrap();
            let alg = ALGORITHMS.into_iter().find(|alg| header["alg"] == alg.as_str()).unwrap();
            let named = |jwk: &&Value| header.get("kid").is_none_or(|kid| jwk["kid"] == *kid);
            let of_type =
                |jwk: &&Value| jwk.get(if alg.is_rsa() { "n" } else { "x" }).is_some_and(Value::is_string);
            let mut keys = set["keys"].as_array().unwrap().iter().filter(named).filter(of_type);
            let good = keys.any(|jwk| verifies(jwk, alg, input.as_bytes(), &decoded(signature)));
            // The withdrawn key of an abrupt rotation cannot be here: its token is to be refused.
            assert!(good, "{}: {}", attack.id, request.variant());
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen} good requests");
}

fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

use std::collections::HashSet;

use super::*;
use crate::MockServer;

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
        assert!(attack.case.starts_with('G') && attack.clause.contains('§'), "{attack:?} {}", attack.clause);
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

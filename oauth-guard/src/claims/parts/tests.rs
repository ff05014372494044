use serde_json::Value as Json;

use super::*;
use crate::json;

/// The parts of a payload whose lists are `aud`, `scope` and `roles`.
fn try_parts(payload: &str, separator: char) -> Option<Parts> {
    let mut members = Vec::new();
    json::read_object(payload, &mut |name, value, raw| members.push((name, value, raw))).unwrap();
    let get = |wanted: &str| members.iter().find(|(name, ..)| name.is(wanted)).map(|(_, value, _)| *value);
    let mut writer = PartsWriter::new(payload);
    let mut text = |name: &str| writer.text(get(name).and_then(Value::as_text));
    let spans = Spans {
        concrete_issuer: text("iss"),
        subject: text("sub"),
        client_id: text("client_id"),
        token_id: text("jti"),
        acr: text("acr"),
    };
    let words = [("aud", Words::Whole), ("scope", Words::Split(separator)), ("roles", Words::Whole)];
    let ends = words.map(|(name, words)| {
        if let Some(value) = get(name) {
            writer.list(value, words);
        }
        writer.begin()
    });
    for (name, _, raw) in &members {
        let start = raw.as_ptr() as usize - payload.as_ptr() as usize;
        writer.member(*name, start..start + raw.len());
    }
    let times = Lifetime { issued_at: Some(0), expires_at: 9, valid_from: 1, valid_until: u64::MAX };
    writer.finish(spans, ends, &times)
}

fn parts(payload: &str) -> Parts {
    try_parts(payload, ',').unwrap()
}

fn lists(parts: &Parts) -> [Vec<&str>; 3] {
    [List::Audience, List::Scopes, List::Roles].map(|list| parts.list(list).collect())
}

/// Each member as a reader of JSON has it.
fn check_members(payload: &str) {
    let parts = parts(payload);
    let whole: serde_json::Map<String, Json> = serde_json::from_str(payload).unwrap();
    assert_eq!(parts.payload(), payload);
    for (name, value) in &whole {
        let raw = parts.member(name).unwrap_or_else(|| panic!("{name} of {payload}"));
        assert_eq!(serde_json::from_str::<Json>(raw).unwrap(), *value, "{name} of {payload}");
        assert_eq!(parts.member(&format!("{name}x")), None);
    }
    for absent in ["", "absent", "\"", ","] {
        assert_eq!(parts.member(absent).is_some(), whole.contains_key(absent), "{absent:?} of {payload}");
    }
}

#[test]
fn every_member_is_found_however_the_payload_is_written() {
    let long = "x".repeat(5000);
    for payload in [
        "{}",
        " { } ",
        r#"{"a":1}"#,
        r#"{"":"","a":"","b":[],"c":{}}"#,
        r#"{"a":1,"b":"two","c":[3,{"a":4}],"d":{"b":5},"e":null,"f":true,"g":-1.5e3}"#,
        "\t{ \"a\" : 1 ,\n\n \"b\":2,\"c\" :3, \"d\": 4}  ",
        r#"{"a\u0062":1,"c":2,"\"":3,"d":"\n","e\/":{"x":1}}"#,
        r#"{"ä":1,"日本":"語","e":2}"#,
        &format!(r#"{{"{long}":1,"a":"{long}","{long}y":[{{}}],"z":2}}"#),
        &format!("{{\"a\":1,{}\"b\":2}}", " ".repeat(5000)),
    ] {
        check_members(payload);
    }
    let many = (0..500).map(|n| format!("\"n{n}\":{n}")).collect::<Vec<_>>().join(",");
    check_members(&format!("{{{many}}}"));
}

#[test]
fn lists_keep_their_order_and_their_items() {
    for (payload, expected) in [
        ("{}", [&[][..], &[], &[]]),
        (r#"{"aud":"a","scope":"b c","roles":["d","e"]}"#, [&["a"], &["b", "c"], &["d", "e"]]),
        (r#"{"roles":"a b","scope":"  c,d,,e ","aud":["f",""]}"#, [&["f", ""], &["c", "d", "e"], &["a b"]]),
        (r#"{"scope":"\u0061 b\u002cc","aud":"\"","roles":["\n"]}"#, [&["\""], &["a", "b", "c"], &["\n"]]),
        (r#"{"scope":["a b","c"],"aud":["a",1],"roles":{}}"#, [&[], &["a b", "c"], &[]]),
        (r#"{"scope":"","aud":[],"roles":null}"#, [&[], &[], &[]]),
    ] {
        let parts = parts(payload);
        let lists = lists(&parts);
        assert_eq!(lists, expected.map(<[_]>::to_vec), "{payload}");
        for (list, items) in [List::Audience, List::Scopes, List::Roles].into_iter().zip(&lists) {
            assert!(items.iter().all(|item| parts.list_has(list, item)), "{payload}");
            assert!(!parts.list_has(list, "x") && !parts.list_has(list, "a b c"), "{payload}");
        }
        check_members(payload);
    }
    let wide = try_parts(r#"{"scope":"aébéc d"}"#, 'é').unwrap();
    assert_eq!(lists(&wide)[1], ["a", "b", "c", "d"], "a separator that is no ASCII");
}

#[test]
fn texts_are_decoded_and_absent_ones_are_none() {
    let parts = parts(r#"{"iss":"https:\/\/as","sub":"a\u00e9\"","client_id":5,"acr":"0"}"#);
    let text = |span| parts.text(span);
    assert_eq!((text(parts.concrete_issuer), text(parts.subject)), (Some("https://as"), Some("aé\"")));
    assert_eq!((text(parts.client_id), text(parts.token_id), text(parts.acr)), (None, None, Some("0")));
    assert_eq!((parts.issued_at(), parts.expires_at), (Some(0), 9), "a time of zero is one");
}

#[test]
fn what_spans_cannot_address_is_refused_as_a_whole() {
    let of_length = |length: usize| {
        let padding = length - r#"{"sub":"s","a":"","scope":"b"}"#.len();
        format!(r#"{{"sub":"s","a":"{}","scope":"b"}}"#, "x".repeat(padding))
    };
    let longest = of_length(usize::from(u16::MAX));
    check_members(&longest);
    assert_eq!(lists(&parts(&longest))[1], ["b"]);
    assert!(try_parts(&of_length(usize::from(u16::MAX) + 1), ',').is_none());
    let escaped = of_length(usize::from(u16::MAX) - 1).replace("\"s\"", r#""\n""#);
    assert!(try_parts(&escaped, ',').is_none(), "with what is decoded");
}

/// A usual token's index: what it takes in memory is what a million tokens take.
#[test]
fn an_index_takes_a_few_bytes_for_each_claim() {
    let payload = concat!(
        r#"{"iss":"https://auth.example.com","sub":"7f3b2c1e","aud":"orders-api","exp":9000000000,"#,
        r#""iat":1700000000,"jti":"00000001","client_id":"shop","scope":"read write email"}"#
    );
    let index = parts(payload).bytes() - payload.len();
    assert!(index <= 2 * 8 + 2 * 4 + 4, "{index}");
}

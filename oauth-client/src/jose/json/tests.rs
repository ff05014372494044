use super::*;

fn read(text: &str) -> Result<Vec<(String, String)>, Malformed> {
    let mut members = Vec::new();
    read_object(text, &mut |name, _, raw| members.push((name.decode().into_owned(), raw.to_owned())))?;
    Ok(members)
}

fn value<R>(text: &str, of: impl FnOnce(Value<'_>) -> R) -> R {
    let mut of = Some(of);
    let mut out = None;
    let object = format!("{{\"v\":{text}}}");
    read_object(&object, &mut |_, value, _| out = of.take().map(|of| of(value))).unwrap();
    out.unwrap()
}

#[test]
fn members_come_in_order_with_their_text() {
    let members = read(" {\"a\" : 1 , \"b\":[ 1,{\"c\":null}] , \"\\u0064\":\"\\n\"} ").unwrap();
    let expected = [("a", "1"), ("b", "[ 1,{\"c\":null}]"), ("d", "\"\\n\"")];
    assert_eq!(members, expected.map(|(name, raw)| (name.to_owned(), raw.to_owned())));
    assert_eq!(read("{}").unwrap(), []);
}

#[test]
fn only_an_object_will_do() {
    for text in ["[]", "null", "1", "\"{}\"", "true", "", "\u{feff}{}", "[{\"exp\":1}]"] {
        assert_eq!(read(text), Err(Malformed::NotAnObject), "{text:?}");
    }
}

#[test]
fn duplicates_are_found_at_every_depth_and_through_escapes() {
    let duplicates = [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\u0061":1,"a":2}"#,
        r#"{"x":{"a":1,"b":2,"a":3}}"#,
        r#"{"x":[[{"a":1,"a":1}]]}"#,
        r#"{"":1,"":1}"#,
    ];
    for text in duplicates {
        assert_eq!(read(text), Err(Malformed::Duplicate), "{text}");
    }
    assert!(read(r#"{"a":{"a":{"a":1}},"A":2}"#).is_ok());
}

#[test]
fn a_wide_object_is_checked_as_a_whole() {
    let names =
        |range: std::ops::Range<u32>| range.map(|n| format!("\"n{n}\":0")).collect::<Vec<_>>().join(",");
    let wide = format!("{{{}}}", names(0..20_000));
    assert_eq!(read(&wide).unwrap().len(), 20_000);
    let twice = format!("{{{},\"n3\":0}}", names(0..20_000));
    assert_eq!(read(&twice), Err(Malformed::Duplicate));
    let early = format!("{{\"n3\":0,{}}}", names(0..100));
    assert_eq!(read(&early), Err(Malformed::Duplicate));
}

#[test]
fn nesting_ends_somewhere_and_never_overflows_the_stack() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&nested(31)).is_ok());
    assert_eq!(read(&nested(32)), Err(Malformed::TooDeep));
    assert_eq!(read(&format!("{{\"a\":{}", "[".repeat(1_000_000))), Err(Malformed::TooDeep));
    assert_eq!(read(&"{\"a\":".repeat(100_000)), Err(Malformed::TooDeep));
}

#[test]
fn what_is_not_json_is_refused() {
    let bad = [
        "{",
        "{}x",
        "{}{}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":-}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":+1}",
        "{\"a\":0x1}",
        "{\"a\":tru}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":\"\\u",
        "{\"a\":[1 2]}",
        "{\"a\":[1,]}",
        "{\"a\":[",
        "{\"a\":\"\\u00e",
        "{/**/}",
        "{\"a\":1}\u{0}",
    ];
    for text in bad {
        assert_eq!(read(text), Err(Malformed::Syntax), "{text:?}");
    }
}

#[test]
fn text_with_multibyte_characters_next_to_escapes_does_not_panic() {
    assert_eq!(read("{\"a\":\"\\u00é\"}"), Err(Malformed::Syntax));
    assert_eq!(read("{\"é\":\"\\né\"}").unwrap()[0].0, "é");
}

#[test]
fn escapes_are_resolved() {
    let decoded = value(r#""\"\\\/\b\f\n\r\tA\u00e9\ud83d\ude00.""#, |value| {
        value.as_text().unwrap().decode().into_owned()
    });
    assert_eq!(decoded, "\"\\/\u{8}\u{c}\n\r\tAé😀.");
}

#[test]
fn seconds_are_rounded_down_and_have_to_be_a_date() {
    let seconds = |text: &str| value(text, |value| value.as_seconds());
    assert_eq!(seconds("1700000000"), Some(1_700_000_000));
    assert_eq!(seconds("1700000000.9"), Some(1_700_000_000));
    assert_eq!(seconds("1.7e9"), Some(1_700_000_000));
    assert_eq!(seconds("18446744073709551615"), Some(u64::MAX));
    for not_a_date in
        ["18446744073709551616", "1e400", "-1", "-0.5", "\"1\"", "null", "true", "[1]", "{}", "1e300"]
    {
        assert_eq!(seconds(not_a_date), None, "{not_a_date}");
    }
}

#[test]
fn lists_and_objects_can_be_looked_into() {
    let items = value(r#"[ "a" , 1, ["b"], "c"]"#, |value| match value {
        Value::Array(list) => list.items().map(|item| item.as_text().is_some()).collect::<Vec<_>>(),
        _ => panic!("not a list"),
    });
    assert_eq!(items, [true, false, false, true]);
    value(r#"{"x":{"\u0079":"z"}}"#, |value| {
        let Value::Object(object) = value else { panic!("not an object") };
        let Some(Value::Object(inner)) = object.get("x") else { panic!("no x") };
        assert!(inner.get("y").unwrap().as_text().unwrap().is("z"));
        assert!(inner.get("x").is_none());
    });
}

#[test]
fn names_that_look_alike_are_told_apart() {
    for (text, expected) in [
        (r#"{"abc":1,"adc":2,"aec":3}"#, Ok(3)),
        (r#"{"abc":1,"adc":2,"abc":3}"#, Err(Malformed::Duplicate)),
        (r#"{"":1,"a":2,"aa":3,"aaa":4}"#, Ok(4)),
        (r#"{"a":1,"b":2,"c":3,"":4,"":5}"#, Err(Malformed::Duplicate)),
        (r#"{"ab":1,"ba":2,"b":3,"ab":4}"#, Err(Malformed::Duplicate)),
    ] {
        assert_eq!(read(text).map(|members| members.len()), expected, "{text}");
    }
}

#[test]
fn a_value_is_the_same_out_of_its_text_alone() {
    for text in [
        "null",
        "true",
        "false",
        "-1.5e3",
        "0",
        r#""""#,
        r#""a b""#,
        r#""\n\"""#,
        "[]",
        "[1,{}]",
        "{}",
        r#"{"a":[]}"#,
    ] {
        value(text, |value| {
            let escaped = matches!(value, Value::String(text) if text.is_escaped());
            let again = Value::of_written(text, escaped);
            assert_eq!(format!("{again:?}"), format!("{value:?}"));
        });
    }
}

use super::*;

fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

#[test]
fn the_operation_is_what_the_headers_say() {
    fn known(method: &'static str, name: Option<&'static str>) -> Result<Operation<'static>, &'static str> {
        Ok(Operation::Known { method: method.into(), name: name.map(Into::into) })
    }
    const UNKNOWN: Result<Operation<'static>, &str> = Ok(Operation::Unknown);
    type Row<'a> = (&'a [(&'a str, &'a [u8])], Result<Operation<'static>, &'static str>);
    let rows: &[Row<'_>] = &[
        (&[], UNKNOWN),
        (&[("mcp-method", b"tools/list")], known("tools/list", None)),
        (&[("Mcp-Method", b"tools/call"), ("Mcp-Name", b"get")], known("tools/call", Some("get"))),
        (&[("mcp-method", b"tools/call")], UNKNOWN),
        (&[("mcp-name", b"get")], UNKNOWN),
        (&[("mcp-method", b" tools/call\t"), ("mcp-name", b"  get  ")], known("tools/call", Some("get"))),
        (
            &[("mcp-method", b"tools/call"), ("mcp-name", b"=?base64?Z2V0?=")],
            known("tools/call", Some("get")),
        ),
        (
            &[("mcp-method", b"tools/call"), ("mcp-name", b"=?BASE64?Z2V0?=")],
            known("tools/call", Some("get")),
        ),
        (&[("mcp-method", b"tools/call"), ("mcp-name", b"=?base64?w7w/?=")], known("tools/call", Some("ü?"))),
        (&[("mcp-method", b"tools/call"), ("mcp-name", b"=?base64??=")], known("tools/call", Some(""))),
        // Nothing but the whole form is encoded.
        (
            &[("mcp-method", b"tools/call"), ("mcp-name", b"=?base64?Z2V0")],
            known("tools/call", Some("=?base64?Z2V0")),
        ),
        (
            &[("mcp-method", b"resources/read"), ("mcp-name", b"file:///a b")],
            known("resources/read", Some("file:///a b")),
        ),
        (&[("mcp-method", b"tools/list"), ("mcp-name", b"get")], known("tools/list", None)),
        // Versions.
        (&[("mcp-method", b"ping"), ("mcp-protocol-version", b"2026-07-28")], known("ping", None)),
        (&[("mcp-method", b"ping"), ("mcp-protocol-version", b"2027-01-01")], known("ping", None)),
        (&[("mcp-method", b"ping"), ("mcp-protocol-version", b"2025-11-25")], UNKNOWN),
        (&[("mcp-method", b"ping"), ("mcp-protocol-version", b"2026-07-27")], UNKNOWN),
        (&[("mcp-method", b"ping"), ("mcp-protocol-version", b"draft")], UNKNOWN),
        (&[("mcp-method", b"ping"), ("mcp-protocol-version", b"9999-99-9x")], UNKNOWN),
        (&[("mcp-method", b"ping"), ("mcp-protocol-version", b"")], UNKNOWN),
        // Malformed and doubled ones.
        (&[("mcp-method", b"")], Err("Mcp-Method is empty")),
        (&[("mcp-method", b"=?base64??=")], Err("Mcp-Method is empty")),
        (&[("mcp-method", b"tools/call"), ("mcp-method", b"tools/call")], Err("Mcp-Method occurs twice")),
        (&[("mcp-name", b"a"), ("mcp-name", b"b")], Err("Mcp-Name occurs twice")),
        (
            &[("mcp-protocol-version", b"2026-07-28"), ("mcp-protocol-version", b"2025-11-25")],
            Err("MCP-Protocol-Version occurs twice"),
        ),
        (&[("mcp-method", "tööls/call".as_bytes())], Err("Mcp-Method is malformed")),
        (&[("mcp-name", b"caf\xe9")], Err("Mcp-Name is malformed")),
        (&[("mcp-name", b"=?base64?Z2V0=?=")], Err("Mcp-Name is malformed")),
        (&[("mcp-name", b"=?base64?Z2V?=")], Err("Mcp-Name is malformed")),
        (&[("mcp-name", b"=?base64?Z2V0Cg?=")], Err("Mcp-Name is malformed")),
        (&[("mcp-name", b"=?base64?w7w_?=")], Err("Mcp-Name is malformed")),
        (&[("mcp-name", b"=?base64?/w==?=")], Err("Mcp-Name is malformed")),
        (&[("mcp-name", b"=?base64?YR==?=")], Err("Mcp-Name is malformed")),
        (&[("mcp-name", b"=?base64?Z2 V0?=")], Err("Mcp-Name is malformed")),
    ];
    for (given, expected) in rows {
        assert_eq!(&Operation::read(&headers(given)), expected, "{given:?}");
    }
}

const CALL: &[(&str, &[u8])] = &[("mcp-method", b"tools/call"), ("mcp-name", b"get")];
const READ: &[(&str, &[u8])] = &[("mcp-method", b"resources/read"), ("mcp-name", b"file:///a")];
const LIST: &[(&str, &[u8])] = &[("mcp-method", b"tools/list")];
const NONE: &[(&str, &[u8])] = &[];

#[test]
fn a_body_agrees_with_its_headers_or_is_refused() {
    const METHODS: Result<(), &str> = Err("Mcp-Method and the body's method differ");
    const NAMES: Result<(), &str> = Err("Mcp-Name and the body's name differ");
    let deep = format!(r#"{{"method":"tools/list","params":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    for (given, body, expected) in [
        (
            CALL,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get","arguments":{"Name":1}}}"#,
            Ok(()),
        ),
        (CALL, r#" {"method":"tools\/call","params":{"n\u0061me":"g\u0065t"}} "#, Ok(())),
        (CALL, r#"{"method":"tools/call","params":{"name":"get","uri":"x"}}"#, Ok(())),
        (CALL, r#"{"method":"tools/call","params":{"name":"delete"}}"#, NAMES),
        (CALL, r#"{"method":"tools/call","params":{"name":"get "}}"#, NAMES),
        (CALL, r#"{"method":"tools/call","params":{"uri":"get"}}"#, NAMES),
        (CALL, r#"{"method":"tools/call","params":{}}"#, NAMES),
        (CALL, r#"{"method":"tools/call","params":["get"]}"#, NAMES),
        (CALL, r#"{"method":"tools/call","params":{"name":["get"]}}"#, NAMES),
        (CALL, r#"{"method":"tools/call"}"#, NAMES),
        (CALL, r#"{"method":"prompts/get","params":{"name":"get"}}"#, METHODS),
        (CALL, r#"{"params":{"name":"get"}}"#, METHODS),
        (CALL, r#"{"id":1,"result":{}}"#, METHODS),
        (CALL, "", METHODS),
        (READ, r#"{"method":"resources/read","params":{"uri":"file:///a"}}"#, Ok(())),
        (READ, r#"{"method":"resources/read","params":{"name":"file:///a","uri":"file:///b"}}"#, NAMES),
        (LIST, r#"{"method":"tools/list"}"#, Ok(())),
        (LIST, r#"{"method":"tools/call","params":{"name":"delete"}}"#, METHODS),
        // A name that no client reads is none.
        (&[("mcp-method", b"tools/list"), ("mcp-name", b"get")], r#"{"method":"tools/list"}"#, NAMES),
        (
            &[("mcp-method", b"x/y"), ("mcp-name", b"7")],
            r#"{"method":"x/y","params":{"taskId":"7"}}"#,
            Ok(()),
        ),
        (&[("mcp-name", b"get")], r#"{"method":"tools/call","params":{"name":"delete"}}"#, NAMES),
        (&[("mcp-name", b"get")], "", NAMES),
        // An older version does not excuse a lie.
        (
            &[("mcp-method", b"tools/list"), ("mcp-protocol-version", b"2025-11-25")],
            r#"{"method":"tools/call","params":{"name":"delete"}}"#,
            METHODS,
        ),
        (NONE, "", Ok(())),
        (NONE, r#"{"method":"tools/call","params":{"name":"delete"}}"#, Ok(())),
        (NONE, r#"{"id":1,"result":{}}"#, Ok(())),
        // What is read in more than one way.
        (NONE, r#"[{"method":"tools/list"}]"#, Err("the body is a batch of messages")),
        (LIST, "\n [ ]", Err("the body is a batch of messages")),
        (LIST, r#"{"method":"tools/list","method":"tools/call"}"#, Err("the body has a member twice")),
        (LIST, r#"{"method":"tools/list","m\u0065thod":"tools/call"}"#, Err("the body has a member twice")),
        (
            CALL,
            r#"{"method":"tools/call","params":{"name":"get","name":"delete"}}"#,
            Err("the body has a member twice"),
        ),
        (LIST, r#"{"method":"tools/list","Method":"tools/call"}"#, Err(ALIKE)),
        (LIST, r#"{"METHOD":"tools/call","method":"tools/list"}"#, Err(ALIKE)),
        (CALL, r#"{"method":"tools/call","params":{"name":"get"},"Params":{"name":"delete"}}"#, Err(ALIKE)),
        (CALL, r#"{"method":"tools/call","params":{"name":"get"},"paramſ":{"name":"delete"}}"#, Err(ALIKE)),
        (CALL, r#"{"method":"tools/call","params":{"name":"get","nAme":"delete"}}"#, Err(ALIKE)),
        (LIST, r#"{"method":7}"#, Err("the body's method is not a string")),
        (NONE, r#"{"method":null}"#, Err("the body's method is not a string")),
        (LIST, "tools/list", Err("the body is not a JSON object")),
        (LIST, "\u{feff}{\"method\":\"tools/list\"}", Err("the body is not a JSON object")),
        (LIST, r#"{"method":"tools/list"} {"method":"tools/call"}"#, Err("the body is not valid JSON")),
        (LIST, r#"{"method":"tools/list",}"#, Err("the body is not valid JSON")),
        (LIST, &deep, Err("the body nests too deep")),
    ] {
        assert_eq!(compare(&headers(given), body.as_bytes()), expected, "{given:?} {body}");
    }
    assert_eq!(
        compare(&headers(LIST), b"{\"method\":\"tools/list\",\"a\":\"\xff\"}"),
        Err("the body is not UTF-8")
    );
}

//! The `Authorization` header and its imitations.

use super::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};

const AREA: Area = Area::Http;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "http-no-token",
        "G110",
        "RFC 6750 section 3.1",
        "who shows no token gets a challenge without an error",
        "An API that serves requests without a token is not protected.",
        http_no_token,
    )
    .expecting(Expected::NO_TOKEN),
    Attack::refused(
        AREA,
        "http-other-scheme",
        "G111",
        "RFC 6750 section 3",
        "another scheme is no token",
        "Credentials of another scheme say nothing about a bearer token.",
        http_other_scheme,
    )
    .expecting(Expected::NO_TOKEN),
    Attack::accepted(
        AREA,
        "http-scheme-case",
        "G112",
        "RFC 9110 section 11.1",
        "the scheme's name has no case",
        "Scheme names have no case; real clients send `bearer`.",
        http_scheme_case,
    ),
    Attack::accepted(
        AREA,
        "http-two-spaces",
        "G113",
        "RFC 6750 section 2.1",
        "one space or more stands before the token",
        "The grammar allows them, though hardly any client sends them.",
        http_two_spaces,
    )
    .by_choice()
    // At least one well-known framework takes the grammar more narrowly.
    .expecting(Expected::ACCEPTED.or(&[400, 401])),
    Attack::refused(
        AREA,
        "http-malformed-credentials",
        "G114",
        "RFC 6750 section 3.1",
        "credentials outside the grammar are a malformed request",
        "Two readers of a loose grammar (a proxy, the API) may see two different tokens.",
        http_malformed_credentials,
    )
    .strict()
    .expecting(Expected::INVALID_REQUEST.or(&[401])),
    Attack::refused(
        AREA,
        "http-two-headers",
        "G115",
        "RFC 9110 section 5.3",
        "two Authorization headers are refused in either order",
        "A proxy may check the one and the API use the other.",
        http_two_headers,
    )
    .expecting(Expected::INVALID_REQUEST.or(&[401])),
    Attack::accepted(
        AREA,
        "http-token-in-two-places",
        "G115",
        "RFC 6750 section 2",
        "a second token where none is looked for changes nothing; where it is, the request is malformed",
        "A proxy may check the one and the API use the other.",
        http_token_in_two_places,
    )
    .by_choice()
    .expecting(Expected::ACCEPTED.or(&[400, 401])),
    Attack::refused(
        AREA,
        "http-joined-headers",
        "G116",
        "RFC 6750 section 2.1",
        "two tokens joined by a comma are refused",
        "A proxy may check the one and the API use the other.",
        http_joined_headers,
    )
    .expecting(Expected::INVALID_REQUEST.or(&[401])),
    Attack::refused(
        AREA,
        "http-odd-bytes",
        "G118",
        "RFC 6750 section 2.1",
        "bytes outside ASCII are a malformed request",
        "No token has such bytes; what is skipped or changed was not compared.",
        http_odd_bytes,
    )
    .strict()
    .expecting(Expected::INVALID_REQUEST.or(&[401])),
    Attack::refused(
        AREA,
        "http-folded-header",
        "G119",
        "RFC 9112 section 5.2",
        "a header folded over two lines is refused",
        "A proxy may not see what stands on the second line; refusing and joining are both allowed.",
        http_folded_header,
    )
    .by_choice()
    .expecting(Expected::INVALID_REQUEST.or(&[401])),
    Attack::refused(
        AREA,
        "http-token-in-the-query",
        "G120",
        "RFC 9700 section 4.3.2",
        "a token in the URL is not looked at",
        "URLs end up in logs, histories and Referer headers, and the token with them.",
        http_token_in_the_query,
    )
    .expecting(Expected::NO_TOKEN),
    Attack::refused(
        AREA,
        "http-token-in-the-body",
        "G122",
        "RFC 6750 section 2.2",
        "a token in the body of a GET is not looked at",
        "The body of a GET has no meaning; other readers of the request will not see the token there.",
        http_token_in_the_body,
    )
    .strict()
    .expecting(Expected::NO_TOKEN),
];

fn http_no_token(context: &AttackContext) -> Vec<AttackRequest> {
    vec![AttackRequest::plain("no header"), context.control()]
}

fn http_other_scheme(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    let other = |variant: &str, value: &str| AttackRequest::plain(variant).authorization(value);
    vec![
        other("Basic", "Basic c3ZjOnMzY3IzdA=="),
        other("a good token as Token", &format!("Token {good}")).with_level(RequirementLevel::Strict),
        // Some take everything that begins like the scheme for a failed attempt at it.
        other("a good token as Bearers", &format!("Bearers {good}"))
            .expecting(Expected::NO_TOKEN.or(&[400]))
            .with_level(RequirementLevel::Strict),
    ]
}

fn http_scheme_case(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    let scheme = |scheme: &str| AttackRequest::plain(scheme).authorization(format!("{scheme} {good}"));
    ["Bearer", "bearer", "BEARER", "bEaReR"].map(scheme).into()
}

fn http_two_spaces(context: &AttackContext) -> Vec<AttackRequest> {
    vec![AttackRequest::plain("").authorization(format!("Bearer  {}", context.good().build()))]
}

fn http_malformed_credentials(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    let malformed = |variant: &str, value: &str| AttackRequest::plain(variant).authorization(value);
    vec![
        malformed("a tab", &format!("Bearer\t{good}")),
        malformed("no space", &format!("Bearer{good}")),
        malformed("no token", "Bearer "),
        malformed("the scheme alone", "Bearer"),
        malformed("two words", &format!("Bearer {good} x")),
        malformed("quoted", &format!("Bearer \"{good}\"")),
        malformed("a colon", &format!("Bearer: {good}")),
    ]
}

fn http_two_headers(context: &AttackContext) -> Vec<AttackRequest> {
    let good = format!("Bearer {}", context.good().build());
    let bad = format!("Bearer {}", context.good().unsigned().build());
    let two = |variant: &str, first: &str, second: &str| {
        AttackRequest::plain(variant).authorization(first).authorization(second)
    };
    vec![
        two("good, bad", &good, &bad),
        two("bad, good", &bad, &good),
        // Only the holder of a good token can send these.
        two("the same twice", &good, &good).with_level(RequirementLevel::Strict),
        two("Basic, good", "Basic c3ZjOnMzY3IzdA==", &good),
    ]
}

fn http_token_in_two_places(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    let header = |variant: &str| AttackRequest::bearer(variant, &good);
    vec![
        header("header and query").query(format!("access_token={good}")),
        header("header and body").form(format!("access_token={good}")),
    ]
}

fn http_joined_headers(context: &AttackContext) -> Vec<AttackRequest> {
    let (good, bad) = (context.good().build(), context.good().unsigned().build());
    let joined = |variant: &str, value: String| AttackRequest::plain(variant).authorization(value);
    vec![
        joined("whole headers", format!("Bearer {good}, Bearer {bad}")),
        joined("tokens", format!("Bearer {good},{bad}")),
        // Not two of them, only outside the grammar.
        joined("a comma behind", format!("Bearer {good},")).with_level(RequirementLevel::Strict),
    ]
}

fn http_odd_bytes(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    let odd = |variant: &str, bytes: &[u8]| {
        AttackRequest::plain(variant).authorization([b"Bearer ", good.as_bytes(), bytes].concat())
    };
    vec![odd("0x80", &[0x80]), odd("UTF-8", "ü".as_bytes()), odd("0xff", &[0xff, 0xfe]), odd("DEL", &[0x7f])]
}

fn http_folded_header(context: &AttackContext) -> Vec<AttackRequest> {
    vec![AttackRequest::plain("").authorization(format!("Bearer\r\n {}", context.good().build()))]
}

fn http_token_in_the_query(context: &AttackContext) -> Vec<AttackRequest> {
    vec![AttackRequest::plain("").query(format!("access_token={}", context.good().build()))]
}

fn http_token_in_the_body(context: &AttackContext) -> Vec<AttackRequest> {
    vec![AttackRequest::plain("").form(format!("access_token={}", context.good().build()))]
}

//! Trust in the token's own header: it says how to check it, and where to find the key.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::{Value, json};

use super::request::{bearers, others, with_level};
use super::{Area, Attack, AttackContext, AttackRequest, RequirementLevel, certificate};
use crate::encode::{b64url, to_b64};
use crate::keys::Alg;

const AREA: Area = Area::Header;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "header-crit",
        "G057",
        "RFC 7515 section 4.1.11",
        "a critical member that is not understood, or an odd `crit`, is refused",
        "The issuer says that an API that does not know this member must not use the token.",
        header_crit,
    ),
    Attack::refused(
        AREA,
        "header-jwk",
        "G059",
        "RFC 8725 section 3.10",
        "a key that the token brings along is never used",
        "Any client can sign with a key of its own and put it beside.",
        header_jwk,
    ),
    Attack::refused(
        AREA,
        "header-jku",
        "G060",
        "RFC 8725 section 3.10",
        "an address of keys in the token is never asked",
        "Any client can name an address of its own keys, and make the API ask addresses inside its network.",
        header_jku,
    ),
    Attack::refused(
        AREA,
        "header-x5",
        "G061",
        "RFC 8725 section 3.10",
        "certificates of the token are never used, nor fetched",
        "Any client can bring a certificate of its own, and make the API ask addresses inside its network.",
        header_x5,
    ),
    Attack::refused(
        AREA,
        "header-malformed-key-members",
        "G062",
        "RFC 7515 section 4.1.3",
        "key members of a wrong type do no harm",
        "Any client can send it; it is signed by no key the API knows.",
        header_malformed_key_members,
    ),
    Attack::refused(
        AREA,
        "header-hostile-kid",
        "G063",
        "RFC 8725 section 3.10",
        "a key id is compared, and nothing else",
        "The key id is the caller's text: used as a path, a query or a command it does what the caller wants.",
        header_hostile_kid,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "header-kid-injection",
        "G063",
        "RFC 8725 section 3.10",
        "a key id never finds a key that the caller chose: no file, no row of a database",
        "The caller names a file whose content is known, or has the query return a key, and signs with that.",
        header_kid_injection,
    ),
    Attack::refused(
        AREA,
        "header-kid-in-another-case",
        "G065",
        "RFC 7515 section 4.1.4",
        "key ids are case-sensitive",
        "A loose comparison may pick a key that the issuer did not mean.",
        header_kid_in_another_case,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "header-typ",
        "G066",
        "RFC 9068 section 4",
        "a token of another type is no access token",
        "A logout token or a proof of possession by the same issuer would pass for an access token.",
        header_typ,
    )
    .of_the_profile(),
    Attack::accepted(
        AREA,
        "header-typ-spelling",
        "G067",
        "RFC 7515 section 4.1.9",
        "`at+jwt` is a media type: any case, `application/` or not",
        "RFC 9068 section 4 names both `at+jwt` and `application/at+jwt`.",
        header_typ_spelling,
    ),
    Attack::refused(
        AREA,
        "header-id-token",
        "G068",
        "RFC 9068 section 6",
        "an ID token is no access token",
        "The client of a login gets an ID token; it must not open the API with it.",
        header_id_token,
    )
    .of_the_profile(),
    Attack::refused(
        AREA,
        "header-of-an-encrypted-token",
        "G040",
        "RFC 7516 section 4.1",
        "`enc` and `zip` have no place in a signed token",
        "A reader that mixes signed and encrypted tokens can be led to skip the signature.",
        header_of_an_encrypted_token,
    )
    .by_choice(),
];

fn header_crit(context: &AttackContext) -> Vec<AttackRequest> {
    let crit = |crit: Value| context.good().header("crit", crit).header("exp2", 1).build();
    let requests = bearers([
        ("unknown", crit(json!(["exp2"]))),
        ("unknown beside a registered one", crit(json!(["exp2", "alg"]))),
        ("absent member", crit(json!(["absent"]))),
        ("registered", crit(json!(["alg"]))),
        ("empty", crit(json!([]))),
        ("null", crit(Value::Null)),
        ("a string", crit(json!("exp2"))),
        ("twice", crit(json!(["exp2", "exp2"]))),
    ]);
    // RFC 7515 section 4.1.11 forbids issuers to send these; only what is not understood has to be refused.
    let requests = with_level(RequirementLevel::Strict, &["empty", "null", "a string"], requests);
    with_level(RequirementLevel::Choice, &["registered"], requests)
}

fn header_jwk(context: &AttackContext) -> Vec<AttackRequest> {
    let foreign = context.foreign();
    let forged = context.good().signed_with(foreign).header("jwk", foreign.public_jwk());
    bearers([
        ("its own kid", forged.clone().build()),
        ("the trusted kid", forged.clone().kid(&context.keys().current_kid()).build()),
        ("no kid", forged.no_kid().build()),
    ])
}

fn header_jku(context: &AttackContext) -> Vec<AttackRequest> {
    let forged = context.good().signed_with(context.foreign());
    bearers([
        ("a foreign address", forged.clone().header("jku", context.trap()).build()),
        ("behind the issuer's name", forged.header("jku", behind(context.issuer(), context.trap())).build()),
    ])
}

/// A URL of `trap` that begins with the issuer's, which is there the name of a user (RFC 3986 section 3.2.1).
fn behind(issuer: &str, trap: &str) -> String {
    let host = trap.split_once("://").map_or(trap, |(_, host)| host);
    format!("{issuer}@{host}")
}

/// A chain of certificates that holds together, and a token that its key truly signed.
fn header_x5(context: &AttackContext) -> Vec<AttackRequest> {
    let key = context.foreign();
    let Some([leaf, root]) = certificate::chain(key) else { return Vec::new() };
    let forged = context.good().signed_with(key);
    let both = json!([to_b64(&leaf), to_b64(&root)]);
    let (sha1, sha256) = (digest(&SHA1_FOR_LEGACY_USE_ONLY, &leaf), digest(&SHA256, &leaf));
    let with_x5c = forged.clone().header("x5c", both);
    bearers([
        ("x5u", forged.clone().header("x5u", context.trap()).build()),
        ("x5c", with_x5c.clone().build()),
        ("x5c, the trusted kid", with_x5c.clone().kid(&context.keys().current_kid()).build()),
        ("x5c, no kid", with_x5c.clone().no_kid().build()),
        ("x5c, the certificate alone", forged.header("x5c", json!([to_b64(&leaf)])).build()),
        ("x5c and x5t", with_x5c.clone().header("x5t", b64url(sha1)).build()),
        ("x5c and x5t#S256", with_x5c.header("x5t#S256", b64url(sha256)).build()),
    ])
}

/// Members that no API needs to read, of a wrong type, in a token that a foreign key signed.
fn header_malformed_key_members(context: &AttackContext) -> Vec<AttackRequest> {
    let forged = context.good().signed_with(context.foreign());
    let members = [
        ("jwk", json!(5)),
        ("jwk", json!([])),
        ("x5c", json!("no list")),
        ("x5u", json!({})),
        ("jku", json!(1)),
    ];
    bearers(
        members.map(|(name, value)| (format!("{name}: {value}"), forged.clone().header(name, value).build())),
    )
}

fn header_hostile_kid(context: &AttackContext) -> Vec<AttackRequest> {
    let long = "k".repeat(4_000);
    let kids = [
        ("path", "../../../../../../dev/null"),
        ("SQL", "x' UNION SELECT 'AA' -- "),
        ("shell", "|sleep 10"),
        ("NUL", "key\0"),
        ("URL", context.trap()),
        ("CR LF", "k\r\nX-Injected: 1"),
        ("4,000 characters", &long),
        ("empty", ""),
    ];
    let mut requests = bearers(kids.map(|(name, kid)| (name, context.good().kid(kid).build())));
    let odd = [json!(7), Value::Null, json!([context.keys().current_kid()])];
    requests
        .extend(bearers(odd.map(|kid| (format!("kid: {kid}"), context.good().header("kid", kid).build()))));
    requests
}

/// Key ids as paths of files that every machine of a kind has, and as ends of a query; each token is signed with the
/// key that a reader of the id would find.
fn header_kid_injection(context: &AttackContext) -> Vec<AttackRequest> {
    let by_secret =
        |kid: &str, secret: &[u8]| context.good().kid(kid).signed_with_secret(Alg::Hs256, secret).build();
    let files: [(&str, &str, &[u8]); 8] = [
        ("an empty file", "/dev/null", b""),
        ("an empty file, from below", "../../../../../../../../dev/null", b""),
        ("an empty file, as a URL", "file:///dev/null", b""),
        ("an empty file, dots doubled", "....//....//....//....//....//....//dev/null", b""),
        ("a file of one line", "/proc/sys/kernel/ostype", b"Linux\n"),
        ("a file of one line, from below", "../../../../../../../../proc/sys/kernel/ostype", b"Linux\n"),
        ("a file of one line, trimmed", "../../../../../../../../../proc/sys/kernel/ostype", b"Linux"),
        ("an empty file of Windows", "NUL", b""),
    ];
    let mut requests = bearers(files.map(|(name, path, secret)| (name, by_secret(path, secret))));
    let queries: [(&str, &str, &[u8]); 5] = [
        ("SQL, the key as text", "x' UNION SELECT 'AAAA' -- ", b"AAAA"),
        ("SQL, the key in base64", "x' UNION SELECT 'AAAA';-- ", &[0; 3]),
        ("SQL, in double quotes", "x\" UNION SELECT \"AAAA\" -- ", b"AAAA"),
        ("SQL, no key", "x' UNION SELECT '' -- ", b""),
        ("SQL, no row", "x' AND '1'='2", b""),
    ];
    requests.extend(bearers(queries.map(|(name, kid, secret)| (name, by_secret(kid, secret)))));
    let foreign = context.foreign();
    if let Some([n, e, _]) = foreign.rsa_numbers() {
        let pem = super::alg::pem(&super::der::rsa_spki(n, e));
        let signed = |kid: &str| context.good().signed_with(foreign).kid(kid).build();
        requests.extend(bearers([
            ("SQL, a public key", signed(&format!("x' UNION SELECT '{pem}' -- "))),
            ("a public key itself", signed(&pem)),
        ]));
    }
    requests
}

fn header_kid_in_another_case(context: &AttackContext) -> Vec<AttackRequest> {
    let kid = context.keys().current_kid();
    let variants = [
        ("upper case", kid.to_uppercase()),
        ("a blank behind", format!("{kid} ")),
        // U+FE63 is a hyphen-minus to Unicode's compatibility forms and to no other reader.
        ("compatibility form", kid.replace('-', "\u{fe63}")),
    ];
    bearers(others(&kid, variants).map(|(name, kid)| (name, context.good().kid(&kid).build())))
}

fn header_typ(context: &AttackContext) -> Vec<AttackRequest> {
    let types = [
        "JWT",
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "at+jwt2",
        "text/at+jwt",
        "application/application/at+jwt",
        "",
    ];
    let mut requests = bearers(types.map(|typ| (format!("typ {typ:?}"), context.good().typ(typ).build())));
    requests.push(AttackRequest::bearer("absent", &context.good().without_header("typ").build()));
    requests.push(AttackRequest::bearer("a number", &context.good().header("typ", 1).build()));
    requests
}

fn header_typ_spelling(context: &AttackContext) -> Vec<AttackRequest> {
    let types = ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"];
    let requests = bearers(types.map(|typ| (typ, context.good().typ(typ).build())));
    with_level(RequirementLevel::Choice, &["AT+JWT", "Application/At+Jwt"], requests)
}

/// For the client, with a nonce, as OpenID Connect Core section 2 describes it; and one whose audience is the API.
fn header_id_token(context: &AttackContext) -> Vec<AttackRequest> {
    let id_token = context
        .good()
        .typ("JWT")
        .without("client_id")
        .without("scope")
        .without("jti")
        .claim("nonce", "n-0S6");
    let client = context.client();
    let for_the_client = || id_token.clone().audience(client);
    let mut requests = bearers([
        ("for the client", for_the_client().build()),
        ("for the API", id_token.clone().claim("azp", client).build()),
    ]);
    if let Some(scope) = context.wanted_scope() {
        // Some issuers write it there; without it, the lack of a scope hides that the token was trusted.
        requests.extend(bearers([
            ("for the client, with the scope", for_the_client().scope(scope).build()),
            ("for the API, with the scope", id_token.claim("azp", client).scope(scope).build()),
        ]));
    }
    let must = ["for the client", "for the client, with the scope"];
    with_level(RequirementLevel::Must, &must, requests)
}

fn header_of_an_encrypted_token(context: &AttackContext) -> Vec<AttackRequest> {
    bearers([
        ("enc", context.good().header("enc", "A256GCM").build()),
        ("zip", context.good().header("zip", "DEF").build()),
    ])
}

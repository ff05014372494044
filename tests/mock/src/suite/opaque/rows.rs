//! The rows of an API that introspects its tokens, in the order they are run.

use crate::attack::{Area, Attack, AttackContext, AttackRequest, Expected};

const AREA: Area = Area::Introspection;
/// A response that says nothing: the API does not know, and says so.
const UNKNOWN: Expected = Expected::new(503, None);

const FORGED: &str = "Whoever invents a token gets in.";
const OTHERS: &str =
    "A token for another API opens this one: who runs that API, or steals from it, gets in here.";
const STALE: &str = "A token is good for longer than its server says.";
const GUESS: &str = "What is no clear yes was read as one; the next server, proxy or version may mean no.";
const STOLEN: &str = "Who has stolen the token cannot prove to hold its key, and gets in all the same.";
const OUTAGE: &str =
    "While the server fails, every caller is accepted, or valid callers discard their tokens.";
const EXPOSED: &str = "Tokens end up where others read them, or where others ask about them.";
const LESSER: &str = "The caller was never granted what it does here.";
const FORGED_RESPONSE: &str = "Whoever is on the way between server and API says which tokens are good.";
const GOOD: &str = "Good callers are refused.";

const fn refused(
    id: &'static str,
    case: &'static str,
    clause: &'static str,
    rule: &'static str,
    why: &'static str,
) -> Attack {
    Attack::refused(AREA, id, case, clause, rule, why, by_hand)
}

const fn unknown(
    id: &'static str,
    case: &'static str,
    clause: &'static str,
    rule: &'static str,
    why: &'static str,
) -> Attack {
    refused(id, case, clause, rule, why).expecting(UNKNOWN)
}

const fn accepted(
    id: &'static str,
    case: &'static str,
    clause: &'static str,
    rule: &'static str,
    why: &'static str,
) -> Attack {
    Attack::accepted(AREA, id, case, clause, rule, why, by_hand)
}

/// What the endpoint says is decided when it is asked.
fn by_hand(_: &AttackContext) -> Vec<AttackRequest> {
    Vec::new()
}

const R2_2: &str = "RFC 7662 section 2.2";
const R4: &str = "RFC 7662 section 4";
const R5: &str = "RFC 9701 section 5";

pub(in crate::suite) const CASES: &[Attack] = &[
    // What is shown.
    refused(
        "opaque-no-token",
        "I01",
        "RFC 6750 section 3.1",
        "who shows no token gets a challenge without an error",
        FORGED,
    )
    .expecting(Expected::NO_TOKEN),
    refused("opaque-other-scheme", "I02", "RFC 6750 section 3", "another scheme is no token", EXPOSED)
        .expecting(Expected::NO_TOKEN.or(&[400])),
    refused(
        "opaque-two-headers",
        "I03",
        "RFC 9110 section 5.3",
        "two Authorization headers are refused in either order",
        FORGED,
    )
    .expecting(Expected::INVALID_REQUEST.or(&[401])),
    refused(
        "opaque-in-the-query",
        "I04",
        "RFC 9700 section 4.3.2",
        "a token in the URL is not looked at",
        EXPOSED,
    )
    .expecting(Expected::NO_TOKEN),
    refused(
        "opaque-characters",
        "I05",
        "RFC 6750 section 2.1",
        "what has no characters of a token is none, and is not asked about",
        FORGED,
    )
    .expecting(Expected::INVALID_REQUEST.or(&[401]))
    .strict(),
    refused(
        "opaque-form-injection",
        "I06",
        "RFC 7662 section 2.1",
        "a token cannot add parameters to the question",
        FORGED,
    )
    .expecting(Expected::INVALID_REQUEST.or(&[401])),
    accepted(
        "opaque-encoded",
        "I07",
        "RFC 7662 section 2.1",
        "a token arrives at the endpoint as it was shown",
        GOOD,
    ),
    // How it asks.
    accepted(
        "opaque-authenticates",
        "I08",
        "RFC 7662 section 2.1",
        "the API proves to the endpoint who asks",
        EXPOSED,
    ),
    accepted(
        "opaque-asked-by-post",
        "I09",
        "RFC 7662 section 2.1",
        "the token is in the body of a POST, and in no URL",
        EXPOSED,
    ),
    // The answer to the one question.
    refused(
        "opaque-inactive",
        "I10",
        R2_2,
        "an inactive token is refused, whatever else is said of it",
        FORGED,
    ),
    refused("opaque-invented", "I10", R2_2, "a token that the server does not know is refused", FORGED),
    unknown("opaque-active-true-as-text", "I11", R2_2, "`active` is a boolean: \"true\" is none", GUESS)
        .strict(),
    unknown("opaque-active-false-as-text", "I11", R2_2, "`active` is a boolean: \"false\" is no yes", FORGED),
    unknown("opaque-active-number", "I12", R2_2, "`active` is a boolean: a number is none", GUESS).strict(),
    unknown(
        "opaque-active-composed",
        "I12",
        R2_2,
        "`active` is a boolean: a list or an object is none",
        GUESS,
    )
    .strict(),
    unknown("opaque-active-null", "I13", R2_2, "`active: null` is no yes", FORGED),
    unknown("opaque-active-missing", "I13", R2_2, "a response without `active` says nothing", FORGED),
    unknown(
        "opaque-active-in-other-case",
        "I14",
        "RFC 8259 section 8.3",
        "the names of members have a case: `Active` is another one",
        GUESS,
    )
    .strict(),
    unknown("opaque-active-inside", "I14", R2_2, "`active` stands at the top", GUESS).strict(),
    unknown(
        "opaque-active-twice",
        "I15",
        "RFC 8259 section 4",
        "a member that comes twice says nothing",
        GUESS,
    )
    .strict(),
    // The token it is about.
    refused(
        "opaque-expired",
        "I16",
        R2_2,
        "a token whose `exp` is past is refused, whatever `active` says",
        STALE,
    )
    .strict(),
    unknown("opaque-exp-of-wrong-type", "I16", R2_2, "`exp` is a number of seconds", STALE).strict(),
    refused("opaque-not-yet-valid", "I17", R2_2, "a token is not good before its `nbf`", STALE).strict(),
    refused("opaque-issued-in-the-future", "I17", R2_2, "a token is not issued in the future", STALE)
        .by_choice(),
    refused(
        "opaque-other-audience",
        "I18",
        "RFC 9700 section 2.3",
        "a token for another API is refused",
        OTHERS,
    ),
    refused(
        "opaque-audience-nearly",
        "I18",
        "RFC 7519 section 4.1.3",
        "an audience is compared whole and in its case",
        OTHERS,
    ),
    unknown("opaque-audience-of-wrong-type", "I19", R2_2, "`aud` is a string or a list of strings", OTHERS)
        .strict(),
    refused(
        "opaque-no-audience",
        "I19",
        "RFC 9700 section 2.3",
        "a token without an audience is not for this API",
        OTHERS,
    )
    .by_choice(),
    accepted("opaque-audience-list", "I19", R2_2, "one of several audiences is enough", GOOD),
    refused(
        "opaque-other-issuer",
        "I20",
        R2_2,
        "a token of another issuer is not this server's to vouch for",
        OTHERS,
    )
    .strict(),
    refused(
        "opaque-scope-missing",
        "I21",
        "RFC 6750 section 3.1",
        "a token without the scope is too little",
        LESSER,
    )
    .expecting(Expected::INSUFFICIENT_SCOPE),
    refused(
        "opaque-scope-nearly",
        "I21",
        "RFC 6749 section 3.3",
        "a scope is compared whole and in its case",
        LESSER,
    )
    .expecting(Expected::INSUFFICIENT_SCOPE),
    unknown(
        "opaque-scope-of-wrong-type",
        "I21",
        R2_2,
        "a scope that is neither text nor a list grants nothing",
        LESSER,
    )
    .expecting(UNKNOWN.or(&[403])),
    accepted(
        "opaque-scope-list",
        "I22",
        R2_2,
        "the scope as a list, as some servers send it, is understood",
        GOOD,
    )
    .by_choice(),
    refused("opaque-other-token-type", "I23", R2_2, "a token of another type is no bearer token", STOLEN)
        .strict(),
    refused(
        "opaque-bound-to-a-key",
        "I24",
        "RFC 9449 section 7.2",
        "a token that is bound to a key is no bearer token",
        STOLEN,
    ),
    refused(
        "opaque-bound-to-a-certificate",
        "I24",
        "RFC 8705 section 3.2",
        "a token that is bound to a certificate is refused without it",
        STOLEN,
    ),
    accepted("opaque-unknown-members", "I25", R2_2, "members that it does not know are ignored", GOOD),
    // Whether it is a response at all.
    unknown("opaque-html", "I26", R2_2, "a page is no response", FORGED),
    unknown("opaque-empty", "I26", R2_2, "an empty body is no response", FORGED),
    unknown("opaque-cut-json", "I27", "RFC 8259 section 2", "half a response is none", GUESS).strict(),
    unknown("opaque-two-documents", "I27", "RFC 8259 section 2", "a response is one JSON text", GUESS)
        .strict(),
    unknown("opaque-list", "I27", R2_2, "a response is an object", GUESS).strict(),
    unknown(
        "opaque-huge",
        "I28",
        R4,
        "a response of megabytes is not read to its end",
        "One response takes the memory of all others.",
    )
    .strict(),
    unknown("opaque-status-500", "I29", R2_2, "a server that fails says nothing, whatever the body", FORGED),
    unknown(
        "opaque-status-401",
        "I30",
        "RFC 7662 section 2.3",
        "a server that does not know the API says nothing of the token",
        FORGED,
    ),
    unknown("opaque-status-created", "I30", R2_2, "a response is a 200", GUESS).strict(),
    unknown("opaque-redirect", "I31", R4, "a question is not sent on to another address", EXPOSED),
    unknown("opaque-reset", "I32", R4, "a connection that breaks is no response", OUTAGE),
    unknown(
        "opaque-silent",
        "I33",
        R4,
        "a server that says nothing is not waited for without an end",
        OUTAGE,
    ),
    accepted(
        "opaque-outage-is-over",
        "I34",
        R4,
        "a failure says nothing about the token: the next question counts",
        OUTAGE,
    ),
    // What is remembered.
    refused("opaque-cache-past-exp", "I35", R4, "a response is not used beyond the `exp` in it", STALE),
    refused("opaque-cache-nearly", "I36", R4, "what is known of one token says nothing of another", FORGED),
    refused("opaque-revoked", "I37", R4, "a revoked token is refused before long", STALE).strict(),
    accepted("opaque-at-once", "I38", R4, "many callers with one new token are all accepted", GOOD),
    // Tokens that look as if they could be read.
    refused("opaque-jwt-unsigned", "I39", "RFC 8725 section 3.2", "an unsigned JWT is not believed", FORGED),
    refused(
        "opaque-jwt-forged",
        "I39",
        "RFC 8725 section 3.1",
        "a JWT that another has signed is not believed",
        FORGED,
    ),
    // What others learn.
    refused(
        "opaque-leaks",
        "I40",
        "RFC 6750 section 5.3",
        "a refusal repeats neither the token nor what is said of it",
        EXPOSED,
    ),
    // Signed responses.
    accepted(
        "opaque-signed-audience-list",
        "I41",
        "RFC 7519 section 4.1.3",
        "one of several audiences of a signed response is enough",
        GOOD,
    ),
    unknown(
        "opaque-signed-plain",
        "I42",
        "RFC 9701 section 4",
        "who asked for a signed response takes no other",
        FORGED_RESPONSE,
    ),
    unknown(
        "opaque-signed-by-another",
        "I43",
        R5,
        "the signature is by a key of the issuer",
        FORGED_RESPONSE,
    ),
    unknown(
        "opaque-signed-not",
        "I43",
        "RFC 8725 section 3.2",
        "a response without a signature is not signed",
        FORGED_RESPONSE,
    ),
    unknown(
        "opaque-signed-and-changed",
        "I43",
        R5,
        "a response that was changed later is no response",
        FORGED_RESPONSE,
    ),
    unknown(
        "opaque-signed-other-type",
        "I44",
        "RFC 9701 section 8.1",
        "another kind of JWT is no response",
        FORGED_RESPONSE,
    ),
    unknown("opaque-signed-other-issuer", "I45", R5, "`iss` is the issuer", FORGED_RESPONSE),
    unknown("opaque-signed-other-audience", "I45", R5, "`aud` is the API that asked", FORGED_RESPONSE),
    unknown(
        "opaque-signed-at-the-top",
        "I46",
        R5,
        "only `token_introspection` speaks of the token",
        FORGED_RESPONSE,
    )
    .strict(),
    refused(
        "opaque-signed-as-a-token",
        "I47",
        "RFC 9701 section 8.1",
        "a signed response is no access token",
        FORGED_RESPONSE,
    ),
];

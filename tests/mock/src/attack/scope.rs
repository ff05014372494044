//! What a good token may do, and that nothing is asked of a bad one.

use serde_json::{Value, json};

use super::request::{bearer, bearers, others};
use super::{Area, Attack, AttackContext, AttackRequest, Expected, Setup};

const AREA: Area = Area::Scope;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "scope-missing",
        "G102",
        "RFC 6750 section 3.1",
        "the challenge to a good token without the scope names the scope it lacks",
        "The caller was never granted what it does here.",
        scope_missing,
    )
    .expecting(Expected::INSUFFICIENT_SCOPE),
    Attack::accepted(
        AREA,
        "scope-other-forms",
        "G103",
        "RFC 8693 section 4.2",
        "scopes come as a string or a list, as `scope` or `scp`",
        "The standard has one string; some providers send lists or `scp`.",
        scope_other_forms,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "scope-nearly",
        "G104",
        "RFC 6749 section 3.3",
        "a scope is compared whole and in its case",
        "Another, lesser scope that only looks similar would be enough.",
        scope_nearly,
    )
    .expecting(Expected::INSUFFICIENT_SCOPE),
    Attack::refused(
        AREA,
        "scope-odd-forms",
        "G105",
        "RFC 6749 section 3.3",
        "only spaces separate scopes, and a wrong type holds none",
        "The standard separates scopes by spaces; other readings grant what was not written.",
        scope_odd_forms,
    )
    .by_choice()
    .expecting(Expected::INSUFFICIENT_SCOPE),
    Attack::refused(
        AREA,
        "scope-of-an-unverified-token",
        "G106",
        "RFC 6750 section 3.1",
        "a bad token is refused for being bad, whatever its scope",
        "A response about scope shows that a forged token was trusted.",
        scope_of_an_unverified_token,
    ),
    Attack::refused(
        AREA,
        "optional-with-a-bad-token",
        "G107",
        "RFC 6750 section 3.1",
        "where no token is needed, a bad one is still refused",
        "A caller who shows a bad token means to be authenticated; silence hides the failure.",
        optional_with_a_bad_token,
    )
    .with(Setup { optional: true, ..Setup::NONE }),
    Attack::accepted(
        AREA,
        "optional-without-a-token",
        "G108",
        "RFC 6750 section 2",
        "where no token is needed, a request without one is accepted as anonymous",
        "Where a token is optional, an anonymous request is accepted.",
        optional_without_a_token,
    )
    .with(Setup { optional: true, ..Setup::NONE }),
];

fn scope_missing(context: &AttackContext) -> Vec<AttackRequest> {
    let Some(wanted) = context.wanted_scope() else { return Vec::new() };
    let other = if wanted == "something:else" { "nothing:else" } else { "something:else" };
    let mut requests = bearers([
        ("another scope", context.good().scope(other).build()),
        ("no scope", context.good().without("scope").build()),
    ]);
    // The grammar of RFC 6749 section 3.3 has no empty scope, so that the token may be found malformed.
    let empty = AttackRequest::bearer("an empty scope", &context.good().scope("").build());
    requests.push(empty.expecting(Expected::INSUFFICIENT_SCOPE.or(&[401])));
    requests
}

fn scope_other_forms(context: &AttackContext) -> Vec<AttackRequest> {
    let Some(wanted) = context.wanted_scope() else { return Vec::new() };
    let bare = || context.good().without("scope");
    bearers([
        ("a list", bare().claim("scope", json!(["other", wanted])).build()),
        ("scp, a list", bare().claim("scp", json!([wanted, "other"])).build()),
        ("scp, a string", bare().claim("scp", format!("other {wanted}")).build()),
        ("the last of several", bare().scope(format!("a b {wanted}")).build()),
    ])
}

fn scope_nearly(context: &AttackContext) -> Vec<AttackRequest> {
    let Some(wanted) = context.wanted_scope() else { return Vec::new() };
    let variants = [
        format!("{wanted}only"),
        format!("x{wanted}"),
        super::context::without_last(wanted).to_owned(),
        wanted.to_uppercase(),
        format!("{wanted}:{wanted}"),
    ];
    // Of a scope of one letter, nothing is left without it: an empty scope is a row of its own.
    let named = variants.into_iter().filter(|scope| !scope.is_empty()).map(|scope| (scope.clone(), scope));
    bearers(others(wanted, named).map(|(name, scope)| (name, context.good().scope(scope).build())))
}

fn scope_odd_forms(context: &AttackContext) -> Vec<AttackRequest> {
    let Some(wanted) = context.wanted_scope() else { return Vec::new() };
    let odd = [
        json!(format!("{wanted}\tother")),
        json!(format!("{wanted},other")),
        json!(format!("{wanted}\nother")),
        json!(format!("{wanted}\u{a0}other")),
        json!(5),
        json!({wanted: true}),
        Value::Null,
        json!(true),
    ];
    let mut requests =
        bearers(odd.map(|scope| (format!("scope: {scope}"), context.good().claim("scope", scope).build())));
    let two_spaces = context.good().scope(format!("{wanted}  other")).build();
    requests.push(AttackRequest::bearer("two spaces", &two_spaces).expecting(Expected::ACCEPTED.or(&[403])));
    requests
}

fn scope_of_an_unverified_token(context: &AttackContext) -> Vec<AttackRequest> {
    let forged = context.good().signed_with(context.foreign()).kid(&context.keys().current_kid());
    bearers([
        ("forged, without the scope", forged.without("scope").build()),
        ("expired, without the scope", context.good().without("scope").expires_in(-7_200).build()),
    ])
}

fn optional_with_a_bad_token(context: &AttackContext) -> Vec<AttackRequest> {
    let mut requests = bearer(&context.good().expires_in(-7_200).build());
    requests.push(AttackRequest::bearer("unsigned", &context.good().unsigned().build()));
    let malformed = AttackRequest::plain("malformed").authorization("Bearer");
    requests.push(malformed.expecting(Expected::INVALID_REQUEST.or(&[401])));
    requests
}

fn optional_without_a_token(context: &AttackContext) -> Vec<AttackRequest> {
    vec![AttackRequest::plain("no token"), context.control()]
}

use super::super::compiled::Vocabulary;
use super::*;
use crate::check::Check;
use crate::clock::TestClock;
use crate::guard::Guard;
use crate::{Algorithm, Issuer, Profile};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const NOW: u64 = 2_000_000_000;

fn claims() -> Claims {
    claims_with("")
}

fn claims_with(more: &str) -> Claims {
    let secret = [7; 32];
    let payload = [
        r#"{"iss":"https://as","aud":"api","exp":9000000000,"client_id":"shop","scope":"read profile",
        "roles":["editor"],"tenant":"t1","level":3,"staff":true,"teams":["a","b",7,false],"name":"Zo\u00eb \ud83d\ude00",
        "deep":{"er":{"groups":["x"]}},"dotted.name":"yes""#,
        more,
        "}",
    ]
    .concat();
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(payload));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
    let issuer = Issuer::new("https://as").audience("api").profile(Profile::Jwt);
    let guard = Guard::builder().issuer(issuer.hmac_secret(Algorithm::Hs256, secret)).build().unwrap();
    let token = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(tag));
    let request = http::Request::get("/").header("authorization", token).body(()).unwrap();
    let Check::Ready(outcome) = guard.check(&request) else { panic!("nothing to fetch") };
    outcome.unwrap().unwrap()
}

fn facts<'a>(clock: &'a TestClock, implied: &'a Implied) -> Facts<'a> {
    Facts { clock, implied, rules: Vocabulary::new().id() }
}

fn met(requirement: &Requirement, claims: &Claims) -> bool {
    requirement.is_met_by(claims, facts(&TestClock::at(NOW), &Implied::default()))
}

fn check(requirement: &Requirement, claims: &Claims) -> Result<(), Rejection> {
    Requirement::check([requirement].into_iter(), claims, facts(&TestClock::at(NOW), &Implied::default()))
}

fn needed(requirement: &Requirement) -> String {
    match check(requirement, &claims()) {
        Err(Rejection::InsufficientScope { needed }) => needed.into(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn terms_compare_exactly() {
    let claims = claims();
    for good in [
        Requirement::scope("read"),
        Requirement::role("editor"),
        Requirement::client("shop"),
        Requirement::claim("tenant", "t1"),
        Requirement::claim("level", 3),
        Requirement::claim("staff", true),
        Requirement::claim("name", "Zo\u{eb} \u{1f600}"),
        Requirement::claim("dotted.name", "yes"),
        Requirement::claim_contains("teams", "b"),
        Requirement::claim_contains("teams", 7),
        Requirement::claim_contains("teams", false),
        Requirement::claim_contains("deep.er.groups", "x"),
    ] {
        assert!(met(&good, &claims), "{good:?}");
        assert!(!met(&!good, &claims));
    }
    for unmet in [
        Requirement::scope("rea"),
        Requirement::scope("read profile"),
        Requirement::scope("READ"),
        Requirement::role("edit"),
        Requirement::client("sho"),
        Requirement::claim("tenant", "t"),
        Requirement::claim("level", "3"),
        Requirement::claim("nowhere", true),
        Requirement::claim("level", true),
        Requirement::claim("staff", "true"),
        Requirement::claim("staff", false),
        Requirement::claim("name", "Zo\u{eb}"),
        Requirement::claim("name", "Zo\u{eb} \u{1f600}!"),
        Requirement::claim("deep.er", "x"),
        Requirement::claim("deep.er.nothing", "x"),
        Requirement::claim("tenant.x", "t1"),
        Requirement::claim_contains("tenant", "t1"),
        Requirement::claim_contains("teams", "c"),
    ] {
        assert!(!met(&unmet, &claims), "{unmet:?}");
    }
}

#[test]
fn a_text_is_the_same_however_it_is_written() {
    let written = |json: &str| claims_with(&format!(r#","way":{json}"#));
    let is = |wanted: &str, json: &str| met(&Requirement::claim("way", wanted), &written(json));
    assert!(is("a/b", r#""a/b""#) && is("a/b", r#""a\/b""#) && is("a/b", r#""\u0061/b""#));
    assert!(is("\u{e9}", r#""é""#) && is("\u{e9}", r#""\u00e9""#));
    // Equal as written, but the claim has a line break where a backslash and a letter are wanted.
    assert!(!is("\\n", r#""\n""#) && is("\\n", r#""\\n""#) && is("\n", r#""\n""#));
    assert!(!is("12", "12") && !is("", r#""a""#) && is("", r#""""#) && !is("a", r#""""#));
}

#[test]
fn all_of_none_is_met_and_any_of_none_is_not() {
    assert!(met(&Requirement::all([]), &claims()));
    assert!(!met(&Requirement::any([]), &claims()));
}

#[test]
fn a_rejection_names_the_scopes_that_would_be_enough() {
    assert_eq!(needed(&(Requirement::scope("read") & Requirement::scope("write"))), "read write");
    assert_eq!(needed(&Requirement::role("admin")), "");
    let either = Requirement::role("admin") | Requirement::scope("admin");
    assert_eq!(needed(&(Requirement::scope("write") & either)), "write admin");
    assert_eq!(needed(&(Requirement::scope("write") & Requirement::scope("write"))), "write");
    assert_eq!(needed(&!Requirement::scope("read")), "");
}

fn login(requirement: &Requirement, claims: &str) -> Result<(), Rejection> {
    check(requirement, &claims_with(claims))
}

fn authentication(acr_values: &str, max_age: Option<u64>) -> Result<(), Rejection> {
    let max_age = max_age.map(Duration::from_secs);
    Err(Rejection::InsufficientAuthentication { acr_values: acr_values.into(), max_age })
}

#[test]
fn the_acr_of_a_login_must_be_one_of_the_values() {
    let strong = Requirement::acr(["mfa", "hwk"]);
    assert_eq!(login(&strong, r#","acr":"hwk""#), Ok(()));
    for weak in ["", r#","acr":"pwd""#, r#","acr":"mfa hwk""#, r#","acr":["mfa"]"#, r#","acr":1"#] {
        assert_eq!(login(&strong, weak), authentication("mfa hwk", None), "{weak}");
    }
    let both = strong & Requirement::acr(["hwk", "pwd"]);
    assert_eq!(login(&both, ""), authentication("hwk", None), "what fits both");
}

#[test]
fn the_age_of_a_login_is_limited_plus_the_leeway() {
    let recent = Requirement::max_login_age(Duration::from_secs(300));
    let at = |time: u64| login(&recent, &format!(r#","auth_time":{time}"#));
    for fine in [NOW, NOW - 300, NOW - 360, NOW + 60] {
        assert_eq!(at(fine), Ok(()), "{fine}");
    }
    for bad in [NOW - 361, 0, NOW + 61, u64::MAX] {
        assert_eq!(at(bad), authentication("", Some(300)), "{bad}");
    }
    assert_eq!(login(&recent, r#","auth_time":2000000000.5"#), Ok(()));
    for none in ["", r#","auth_time":"2000000000""#, r#","auth_time":-1"#, r#","auth_time":null"#] {
        assert_eq!(login(&recent, none), authentication("", Some(300)), "{none}");
    }
    let anything = Requirement::max_login_age(Duration::MAX);
    assert_eq!(login(&anything, r#","auth_time":0"#), Ok(()));
}

#[test]
fn a_new_login_is_requested_only_when_it_is_enough() {
    let recent = || Requirement::max_login_age(Duration::from_secs(300));
    let strong = || Requirement::acr(["mfa"]);
    let enough = |requirement: Requirement| login(&requirement, "");
    assert_eq!(enough(strong() & recent() & Requirement::scope("read")), authentication("mfa", Some(300)));
    assert_eq!(
        enough(recent() & Requirement::max_login_age(Duration::from_secs(60))),
        authentication("", Some(60))
    );
    let scope = |needed: &str| Err(Rejection::InsufficientScope { needed: needed.into() });
    assert_eq!(enough(strong() & Requirement::scope("write")), scope("write"));
    assert_eq!(enough(strong() & Requirement::role("admin")), scope(""));
    assert_eq!(enough(Requirement::role("admin") | strong()), authentication("mfa", None));
    assert_eq!(enough(Requirement::scope("read") & !Requirement::role("editor")), scope("read"));
    assert_eq!(enough(Requirement::any([])), scope(""));
}

#[test]
fn requirements_that_fit_no_challenge_or_can_never_be_met_are_errors() {
    for bad in [
        Requirement::scope(""),
        Requirement::scope("read write"),
        Requirement::scope("re\"ad"),
        Requirement::scope("l\u{e9}ger"),
        Requirement::role(""),
        Requirement::acr(Vec::<String>::new()),
        Requirement::acr(["two words"]),
        Requirement::any([]),
        Requirement::all([]),
        !Requirement::all([]),
        Requirement::any([Requirement::all([])]),
        Requirement::scope("read") & Requirement::all([]),
        !(Requirement::role("a") & Requirement::scope("\r\n")),
    ] {
        assert!(bad.validate().is_err(), "{bad:?}");
    }
    let good = Requirement::scope("https://example.com/orders.read") & Requirement::acr(["urn:x:mfa"]);
    assert_eq!(good.validate(), Ok(()));
}

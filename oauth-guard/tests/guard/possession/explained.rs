//! What the operator reads about a request with a proof.

use http::Request;
use http_body_util::Full;
use oauth_guard::{Dpop, Outcome, Requirement};

use super::{Bound, request};
use crate::log::Log;
use crate::support::send_request;

#[tokio::test(start_paused = true)]
async fn each_check_of_a_proof_is_explained() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    assert!(bound.call(&guard, &bound.proof()).await.status == 200);
    let good = bound.proof().build();
    let explained = guard.explain_request(&request("DPoP", &bound.token, &[&good]));
    println!("{explained}");
    assert_eq!(explained.code, None, "{explained}");
    let checks: Vec<_> = explained.checks.iter().map(|one| (one.check, one.outcome)).collect();
    for check in
        ["cnf", "scheme", "bound", "dpop proof", "dpop ath", "dpop htu", "dpop signature", "dpop jti"]
    {
        assert!(checks.contains(&(check, Outcome::Passed)), "{check}: {explained}");
    }
    assert_eq!(checks.last(), Some(&("dpop replay", Outcome::Skipped)));
    // It is not used up by that.
    assert_eq!(bound.send(&guard, &good).await.status, 200);
    // All that is wrong is in the report, and the code is that of the first.
    let bad = bound
        .proof()
        .claim("htm", "PUT")
        .claim("htu", "http://api.example.com/orders")
        .signature([7; 64])
        .build();
    let explained = guard.explain_request(&request("DPoP", &bound.token, &[&bad]));
    println!("{explained}");
    assert_eq!((explained.code, explained.reason), (Some("invalid_dpop_proof"), Some("proof_htm_mismatch")));
    let failed: Vec<_> =
        explained.checks.iter().filter(|one| one.outcome == Outcome::Failed).map(|one| one.check).collect();
    assert_eq!(failed, ["dpop htm", "dpop htu", "dpop signature"]);
    assert!(explained.to_string().contains("called: https://api.example.com/orders"), "{explained}");
    for (sent, code, why) in [
        (request("Bearer", &bound.token, &[]), "invalid_token", "scheme_mismatch"),
        (request("DPoP", &bound.token, &[]), "invalid_dpop_proof", "proof_missing"),
        (request("DPoP", &bound.token, &[&good, &good]), "invalid_request", "invalid_request"),
        (request("Basic", &bound.token, &[]), "missing_token", "missing_token"),
        (request("DPoP", "a.b.c", &[]), "invalid_token", "token_malformed"),
    ] {
        let explained = guard.explain_request(&sent);
        assert_eq!((explained.code, explained.reason), (Some(code), Some(why)), "{explained}");
    }
    let none = guard.explain_request(&Request::get("/").body(()).unwrap());
    assert_eq!(none.code, Some("missing_token"));
    // A token alone: bound, and fine as far as it goes.
    assert_eq!(guard.explain(&bound.token).code, None);
    assert_eq!(bound.builder().build().unwrap().explain(&bound.token).code, Some("invalid_token"));
}

/// A client that followed advice for bearer tokens would be rejected again.
#[tokio::test(start_paused = true)]
async fn the_log_asks_for_a_bound_token_where_only_that_helps() {
    let bound = Bound::new();
    let lines = Log::listen();
    let preflight = [("origin", "https://app.example.com"), ("access-control-request-method", "PUT")];
    for (headers, change) in [
        (&[][..], "a token bound to its key as `Authorization: DPoP`, with a proof"),
        (&[("authorization", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln")], "`Authorization: DPoP`, with a proof"),
        (&preflight, "allow_preflight"),
    ] {
        let guard = bound.guard(Dpop::new());
        let layer = guard.layer().require(Requirement::bound());
        let mut request = Request::options("/orders").body(Full::default()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        assert_eq!(send_request(&layer, request).await.status, 401);
        let said = lines.take();
        let warning = said.lines().find(|line| line.contains("WARN")).unwrap_or_else(|| panic!("{said}"));
        assert!(warning.contains(change) && !warning.contains("Bearer"), "{headers:?}: {said}");
    }
}

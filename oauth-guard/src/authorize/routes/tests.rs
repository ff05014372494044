use super::*;

fn routes(patterns: &[(&str, &[Method])]) -> Routes {
    let mut routes = Routes::default();
    for (rule, (pattern, methods)) in patterns.iter().enumerate() {
        routes.insert(pattern, methods, rule).unwrap();
    }
    routes
}

const GET: Lookup<'_> = Lookup { method: &Method::GET, as_get: false, as_any: false };

/// The one rule that applies.
fn find(routes: &Routes, path: &str) -> Result<Option<usize>, Ambiguous> {
    let [rule, other] = routes.find(path, GET)?;
    assert_eq!(rule, other, "{path}");
    Ok(rule)
}

#[test]
fn text_goes_before_a_placeholder_and_that_before_the_rest() {
    let routes = routes(&[
        ("/orders/{id}", &[]),
        ("/orders/mine", &[]),
        ("/orders/{*all}", &[]),
        ("/orders/{id}/items/{item}", &[]),
        ("/orders/mine/notes", &[]),
        ("/", &[]),
    ]);
    for (path, rule) in [
        ("/orders/7", Some(0)),
        ("/orders/mine", Some(1)),
        ("/orders", Some(2)),
        ("/orders/7/items", Some(2)),
        ("/orders/7/items/8", Some(3)),
        ("/orders/mine/items/8", Some(3)),
        ("/orders/mine/notes", Some(4)),
        ("/orders/mine/other", Some(2)),
        ("/", Some(5)),
        ("/other", None),
        ("/ORDERS/7", None),
        ("/ordersX", None),
    ] {
        assert_eq!(find(&routes, path), Ok(rule), "{path}");
    }
}

/// `OPTIONS *`, and `CONNECT host:443`, whose path is empty. Some frameworks look for the first slash and drop it, and others
/// go to their fallback.
#[test]
fn targets_without_a_slash_are_covered_by_the_rest_of_the_root_alone() {
    for (patterns, star, empty) in [
        (&["/orders", "/{*rest}"][..], Ok(Some(1)), Ok(Some(1))),
        (&["/orders", "/orders/{*rest}"], Ok(None), Ok(None)),
        (&["/"], Ok(None), Err(())),
        (&["/", "/{*rest}"], Ok(Some(1)), Err(())),
        (&["/{page}"], Err(()), Ok(None)),
        (&["/{page}", "/{*rest}"], Err(()), Ok(Some(1))),
        (&["/{tenant}/{*rest}", "/{*rest}"], Err(()), Ok(Some(1))),
        (&["/{tenant}/orders", "/{*rest}"], Ok(Some(1)), Ok(Some(1))),
    ] {
        let routes = routes(&patterns.iter().map(|pattern| (*pattern, &[][..])).collect::<Vec<_>>());
        for (path, rule) in [("*", star), ("", empty)] {
            assert_eq!(find(&routes, path).map_err(|Ambiguous(_)| ()), rule, "{path:?} {patterns:?}");
        }
    }
    let by_method = routes(&[("/", &[Method::POST]), ("/{*rest}", &[Method::GET])]);
    assert_eq!(find(&by_method, ""), Ok(Some(1)));
    assert_eq!(by_method.find("", Lookup { method: &Method::PUT, ..GET }), Ok([None; 2]));
}

#[test]
fn a_slash_at_the_end_asks_for_both_rules_unless_the_pattern_is_written_so() {
    let routes = routes(&[
        ("/docs/public", &[]),
        ("/docs/{*path}", &[]),
        ("/files/{name}", &[]),
        ("/", &[]),
        ("/index/", &[]),
        ("/index/{page}", &[]),
        ("/mixed/", &[Method::GET]),
        ("/mixed", &[]),
    ]);
    for (path, rules) in [
        ("/docs/public", [Some(0), Some(0)]),
        ("/docs/public/", [Some(0), Some(1)]),
        ("/docs/other/", [Some(1), Some(1)]),
        ("/docs/", [Some(1), Some(1)]),
        ("/docs", [Some(1), Some(1)]),
        ("/files/a", [Some(2), Some(2)]),
        ("/files/a/", [Some(2), None]),
        // A further empty segment is none for a placeholder.
        ("/index/", [Some(4), Some(4)]),
        ("/index", [Some(4), None]),
        ("/index/a/", [Some(5), None]),
        ("/mixed/", [Some(6), Some(6)]),
        ("/mixed", [Some(6), Some(7)]),
        ("/", [Some(3), Some(3)]),
    ] {
        assert_eq!(routes.find(path, GET), Ok(rules), "{path}");
    }
}

#[test]
fn a_rule_applies_only_to_its_methods_and_head_follows_get() {
    let routes = routes(&[
        ("/a", &[Method::GET, Method::POST]),
        ("/a", &[]),
        ("/b", &[Method::GET]),
        ("/b", &[Method::HEAD]),
        ("/{*all}", &[]),
        ("/c", &[Method::POST]),
    ]);
    for (method, path, rule) in [
        (Method::POST, "/a", 0),
        (Method::HEAD, "/a", 0),
        (Method::PUT, "/a", 1),
        (Method::GET, "/b", 2),
        (Method::HEAD, "/b", 3),
        // The next best rule that does count for it, rather than none.
        (Method::DELETE, "/b", 4),
        (Method::GET, "/c", 4),
    ] {
        let lookup = Lookup { method: &method, as_get: method == Method::HEAD, as_any: false };
        assert_eq!(routes.find(path, lookup), Ok([Some(rule); 2]), "{method} {path}");
    }
}

#[test]
fn ambiguous_paths_are_rejected_where_there_are_rules() {
    let routes = routes(&[
        ("/admin/{*all}", &[]),
        ("/pages/{page}", &[]),
        ("/caf%C3%A9/menu", &[]),
        ("/files/{name}", &[]),
    ]);
    for path in [
        "//admin",
        "/admin//users",
        "/admin/users//",
        "//",
        "/./admin",
        "/x/../admin",
        "/x/%2e%2E/admin",
        "/..",
        "/admin%2Fusers",
        "/admin%2fusers",
        "/admin%5cusers",
        "/admin\\users",
        "/%61dmin",
        "/%61dmin/users",
        "/caf%c3%a9/menu",
        "/files/a%2Fb",
        "/files/a%00b",
        "/files/a%0d%0ab",
        "/files/a%zz",
        "/files/a%",
        "/files/%2",
        "/admin/a/b%2fc",
        "/x/%2e%2e%2fadmin",
        "/unruled/a/b/%2e%2e",
        "/caf\u{e9}/menu",
        "/admin;x=1/users",
        "/admin/users;x",
        "/admin%3bx/users",
        "/pages/7;v=2",
        "/;/admin",
        "/unruled/..;/admin",
        "/files/a%7f",
        "/files/a%7Fb",
    ] {
        assert!(find(&routes, path).is_err(), "{path}: {:?}", find(&routes, path));
    }
    for (path, rule) in [
        ("/caf%C3%A9/menu", Some(2)),
        ("/files/a%20b%40c", Some(3)),
        ("/files/%7Eada", Some(3)),
        ("/files/.hidden", Some(3)),
        ("/files/a..b", Some(3)),
        // No rule covers anything in here, so another reading of the path evades none.
        ("/projects/group%2Fname", None),
        ("/projects//name", None),
        ("/projects/group;v=1", None),
    ] {
        assert_eq!(find(&routes, path), Ok(rule), "{path}");
    }
    let long = format!("/files/{}", "a%40".repeat(1000));
    assert_eq!(find(&routes, &long), Ok(Some(3)));
}

#[test]
fn patterns_that_can_match_nothing_are_rejected() {
    for pattern in [
        "orders",
        "",
        "*",
        "//",
        "/a//b",
        "/a/../b",
        "/a/{id",
        "/a/{}",
        "/a/{id}.json",
        "/a/{*rest}/b",
        "/a/{i d}",
        "/a?b",
        "/a#b",
        "/a b",
        "/caf\u{e9}",
        "/a%2fb",
        "/a%zz",
        "/{{a}}",
        "/a;v=1",
    ] {
        let wrong = Routes::default().insert(pattern, &[], 0);
        assert!(matches!(wrong, Err(PatternError::Invalid(_))), "{pattern}: {wrong:?}");
    }
    let mut routes = routes(&[("/a/{id}", &[Method::GET]), ("/b%2D", &[])]);
    assert_eq!(routes.insert("/a/{name}/", &[Method::POST, Method::GET], 2), Err(PatternError::Duplicate(0)));
    assert_eq!(routes.insert("/a/{name}", &[], 2), Ok(()));
    assert!(matches!(routes.insert("/b-", &[], 3), Err(PatternError::Invalid(_))));
}

#[test]
fn patterns_of_other_routers_are_rejected_with_the_right_form() {
    for pattern in [
        "/admin/*",
        "/admin/**",
        "/admin/*rest",
        "/*",
        "/files/*.html",
        "/users/:id",
        "/users/:id?",
        "/users/<id>",
        "/users/<int:id>",
        "/users/[id]",
        "/users/[...rest]",
        "/users/{id:[0-9]+}",
        "/users/{id?}",
        "/users/{**rest}",
        "/users/{rest...}",
        "/users/(.*)",
        "/orders.Orders/*",
    ] {
        match Routes::default().insert(pattern, &[], 0) {
            Err(PatternError::Invalid(why)) => {
                assert!(why.contains("{id}") || why.contains("{name}"), "{pattern}: {why}");
                assert!(why.contains("{*rest}"), "{pattern}: {why}");
            }
            other => panic!("{pattern}: {other:?}"),
        }
    }
    for pattern in ["/orders:batchGet", "/Orders(1)", "/$metadata", "/a+b", "/~ada", "/@me", "/a,b", "/%2A"] {
        assert_eq!(Routes::default().insert(pattern, &[], 0), Ok(()), "{pattern}");
    }
}

#[test]
fn a_thousand_rules_are_looked_up_in_as_many_steps_as_ten() {
    let steps = |rules: usize, path: &str| {
        let mut routes = Routes::default();
        for rule in 0..rules {
            let pattern = match rule % 4 {
                0 => format!("/api/v1/things{rule}"),
                1 => format!("/api/v1/things{rule}/{{id}}"),
                2 => format!("/api/v1/things{rule}/{{id}}/parts/{{part}}"),
                _ => format!("/pkg.Service{rule}/{{*method}}"),
            };
            routes.insert(&pattern, &[], rule).unwrap();
        }
        let mut walk = Walk { lookup: GET, form: None, steps: 0 };
        assert!(walk.start(&routes, path).unwrap().is_some(), "{path}");
        walk.steps
    };
    for path in ["/api/v1/things4", "/api/v1/things5/7", "/api/v1/things6/7/parts/8", "/pkg.Service7/List"] {
        let segments = path.matches('/').count();
        assert_eq!(steps(10, path), steps(1000, path), "{path}");
        assert!(steps(1000, path) <= segments + 1, "{path}");
    }
}

//! How much rules ask for on the paths of a pattern, so that a reload can say what it opens.

use std::collections::BTreeSet;

use super::authorization::DryRun;
use super::routes::unnamed;
use super::rule::{Access, RouteRules, Rule};

/// The weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    /// No token.
    Open,
    /// A valid token.
    Token,
    /// A token that grants something.
    Requirement,
    /// Nothing is enough.
    Closed,
}

impl RouteRules {
    /// The patterns on whose paths the others ask for less.
    pub(crate) fn weakened_by<'a>(&'a self, others: &Self) -> Vec<&'a str> {
        let weakened = self.all.iter().filter(|rule| others.strength_for(rule) < self.strength_of(rule));
        weakened.map(|rule| rule.path.as_str()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What these rules ask for where that rule applies, which is one of others.
    fn strength_for(&self, there: &Rule) -> Strength {
        // By what they match: the names of parameters select nothing.
        let path = unnamed(&there.path);
        let of_path = |rule: &&Rule| unnamed(&rule.path) == path && share_methods(rule, there);
        let weakest = |of_mcp: bool| {
            let rules = self.all.iter().filter(of_path).filter(|rule| rule.mcp.is_some() == of_mcp);
            rules.map(|rule| self.strength_of(rule)).min()
        };
        let (plain, of_mcp) = (weakest(false), weakest(true));
        match there.mcp {
            // Both apply to its requests.
            Some(_) => plain.max(of_mcp),
            None => plain,
        }
        .or_else(|| self.strength_above(&path, there))
        .unwrap_or(if self.deny_by_default { Strength::Closed } else { Strength::Token })
    }

    /// What the rules of wider patterns ask for: the weakest, since which one applies depends on the path.
    fn strength_above(&self, path: &str, there: &Rule) -> Option<Strength> {
        let wider = |rule: &&Rule| {
            rule.mcp.is_none() && share_methods(rule, there) && covers(&unnamed(&rule.path), path)
        };
        self.all.iter().filter(wider).map(|rule| self.strength_of(rule)).min()
    }

    fn strength_of(&self, rule: &Rule) -> Strength {
        match rule.access {
            Access::Public | Access::Optional => Strength::Open,
            // What is only tried out is not required.
            Access::Token if rule.requirement.is_none() || rule.dry_run || self.dry_run != DryRun::Off => {
                Strength::Token
            }
            Access::Token => Strength::Requirement,
        }
    }
}

fn share_methods(one: &Rule, other: &Rule) -> bool {
    match (&one.methods, &other.methods) {
        (Some(ones), Some(others)) => ones.iter().any(|method| others.contains(method)),
        _ => true,
    }
}

/// Whether a pattern matches whatever another one does, segment by segment.
fn covers(wide: &str, narrow: &str) -> bool {
    let (mut wide, mut narrow) = (wide.split('/'), narrow.split('/'));
    loop {
        match (wide.next(), narrow.next()) {
            (Some("{*}"), _) | (None, None) => return true,
            (Some("{}"), Some(segment)) if segment != "{*}" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_pattern_covers_what_is_narrower() {
        for (wide, narrow) in [
            ("/{*}", "/admin/{*}"),
            ("/{*}", "/"),
            ("/{*}", "/{}"),
            ("/orders/{}", "/orders/mine"),
            ("/orders/{}", "/orders/{}"),
            ("/a/{}/c", "/a/b/c"),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("/admin/{*}", "/{*}"),
            ("/orders/{}", "/orders/{*}"),
            ("/orders/{}", "/orders"),
            ("/a", "/b"),
            ("/a", "/a/b"),
        ] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }
}

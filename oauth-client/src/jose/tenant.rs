//! Issuers with a hole for the tenant, as Microsoft Entra names them: `https://login.microsoftonline.com/{tenantid}/v2.0`
//! (Microsoft identity platform, "Access tokens": validating the issuer). The claim `tid` fills it.

/// What stands for the tenant in the name of an issuer, and in the `issuer` member of a key.
pub const TENANT: &str = "{tenantid}";

/// Who issued a token, by its own words: `iss` and `tid`.
#[derive(Clone, Copy, Debug)]
pub struct Issued<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `tid`, if it is a string.
    pub tenant: Option<&'a str>,
}

impl Issued<'_> {
    /// Whether that is the name: to the letter, or once `tid` fills its hole. A hole that is left open names no issuer.
    #[must_use]
    pub fn is_by(self, name: &str) -> bool {
        match has_hole(name).then(|| name.split_once(TENANT)).flatten() {
            None => name == self.issuer,
            Some((before, after)) => self.tenant.is_some_and(|tenant| {
                let named = self.issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                is_tenant(tenant) && named == Some(tenant)
            }),
        }
    }
}

/// Whether the name of an issuer has such a hole.
#[inline]
#[must_use]
pub fn has_hole(name: &str) -> bool {
    // Nearly no name has the brace, and to look for one byte takes next to no time.
    name.as_bytes().contains(&b'{') && name.contains(TENANT)
}

/// Whether `issuer` is `name` for some tenant.
#[must_use]
pub fn is_for_some_tenant(issuer: &str, name: &str) -> bool {
    name.split_once(TENANT).is_some_and(|(before, after)| {
        issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some_and(is_tenant)
    })
}

/// Whether that can be a tenant: 1 to 64 letters, digits, dots and hyphens, so that it never adds a part to a path.
#[must_use]
pub fn is_tenant(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_filled_by_the_tenant_and_by_nothing_else() {
        let is_by = |issuer: &str, tenant: Option<&str>, name: &str| Issued { issuer, tenant }.is_by(name);
        let name = "https://as/{tenantid}/v2.0";
        assert!(is_by("https://as/a-1.b/v2.0", Some("a-1.b"), name));
        let long = "x".repeat(65);
        for (issuer, tenant) in [
            ("https://as/a/v2.0", None),
            ("https://as/a/v2.0", Some("b")),
            ("https://as/a/v2.0", Some("A")),
            ("https://as//v2.0", Some("")),
            ("https://as/a/b/v2.0", Some("a/b")),
            ("https://as/a%2fb/v2.0", Some("a%2fb")),
            ("https://as/{tenantid}/v2.0", Some("{tenantid}")),
            ("https://as/a/v2.0/", Some("a")),
            ("https://as/a", Some("a")),
            ("https://as/v2.0", Some("v2.0")),
            (&format!("https://as/{long}/v2.0"), Some(&long)),
        ] {
            assert!(!is_by(issuer, tenant, name), "{issuer} {tenant:?}");
        }
        for (issuer, is_some) in [("https://as/a/v2.0", true), (name, false), ("https://as//v2.0", false)] {
            assert_eq!(is_for_some_tenant(issuer, name), is_some, "{issuer}");
        }
        assert!(is_by("https://as", None, "https://as") && !is_by("https://as/", None, "https://as"));
        assert!(!is_by("https://as/a/a", Some("a"), "https://as/{tenantid}/{tenantid}"), "one hole at most");
    }
}

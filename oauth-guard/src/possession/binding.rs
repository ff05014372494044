//! The keys that a token is bound to: its `cnf` (RFC 7800).

use std::fmt;
use std::sync::OnceLock;

use oauth_client::jose::VerifyingKey;

use crate::error::TokenError;
use crate::jose::decode_base64url;
use crate::json::Value;

/// Which bindings a guard can check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Provable {
    pub(crate) dpop: bool,
    pub(crate) certificate: bool,
}

/// What a token is bound to: one of them at least.
pub(crate) struct Binding {
    /// The thumbprint of a DPoP key (RFC 9449 section 6.1).
    pub(crate) jkt: Option<[u8; 32]>,
    /// That of a certificate (RFC 8705 section 3.1).
    pub(crate) x5t: Option<[u8; 32]>,
    /// The header of the first good proof, and the key in it: nearly every client writes the same header each time.
    pub(super) known: OnceLock<Known>,
}

/// A header that passed every check.
pub(super) struct Known {
    pub(super) header: Box<str>,
    pub(super) key: VerifyingKey,
}

impl Binding {
    /// What the entry of a token takes in memory besides, once a proof was seen: the header of usual proofs, and the key.
    pub(crate) const BYTES: usize = 1024;

    /// Reads `cnf`, which has to bind the token to something that can be proven here.
    pub(crate) fn read(cnf: Value<'_>, provable: Provable) -> Result<Self, TokenError> {
        let Value::Object(members) = cnf else { return Err(TokenError::Claim("cnf")) };
        let member = |name: &str| match members.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => thumbprint(value).map(Some).ok_or(TokenError::Claim("cnf")),
        };
        let (jkt, x5t) = (member("jkt")?, member("x5t#S256")?);
        let is_provable = (jkt.is_none() || provable.dpop) && (x5t.is_none() || provable.certificate);
        // A binding of a kind that is not known here would remain unchecked.
        if !is_provable || (jkt.is_none() && x5t.is_none()) {
            return Err(TokenError::BoundToKey);
        }
        Ok(Self { jkt, x5t, known: OnceLock::new() })
    }

    pub(crate) fn is_provable(&self, provable: Provable) -> bool {
        (self.jkt.is_none() || provable.dpop) && (self.x5t.is_none() || provable.certificate)
    }
}

fn thumbprint(value: Value<'_>) -> Option<[u8; 32]> {
    decode_base64url(&value.as_text()?.decode()).ok()?.try_into().ok()
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("dpop", &self.jkt.is_some())
            .field("certificate", &self.x5t.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a_binding_is_one_that_can_be_proven_here() {
        const PRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        let (none, dpop) = (Provable::default(), Provable { dpop: true, certificate: false });
        let (certificate, both) =
            (Provable { dpop: false, certificate: true }, Provable { dpop: true, certificate: true });
        let read = |cnf: &str, provable| {
            let value = json::read_value(cnf).unwrap();
            Binding::read(value, provable)
                .map(|found| (found.jkt.is_some(), found.x5t.is_some()))
                .map_err(TokenError::code)
        };
        let jkt = format!(r#"{{"jkt":"{PRINT}"}}"#);
        let x5t = format!(r#"{{"x5t#S256":"{PRINT}"}}"#);
        let two = format!(r#"{{"jkt":"{PRINT}","x5t#S256":"{PRINT}"}}"#);
        for (cnf, [of_none, of_dpop, of_certificate, of_both]) in [
            (&*jkt, [Err("bound_to_key"), Ok((true, false)), Err("bound_to_key"), Ok((true, false))]),
            (&x5t, [Err("bound_to_key"), Err("bound_to_key"), Ok((false, true)), Ok((false, true))]),
            (&two, [Err("bound_to_key"), Err("bound_to_key"), Err("bound_to_key"), Ok((true, true))]),
            ("{}", [Err("bound_to_key"); 4]),
            (r#"{"kid":"a"}"#, [Err("bound_to_key"); 4]),
            (r#"{"jkt":null}"#, [Err("bound_to_key"); 4]),
            (r#"{"jkt":1}"#, [Err("claim_missing_or_malformed"); 4]),
            (r#"{"jkt":"AAAA"}"#, [Err("claim_missing_or_malformed"); 4]),
            (r#"{"jkt":""}"#, [Err("claim_missing_or_malformed"); 4]),
            ("[]", [Err("claim_missing_or_malformed"); 4]),
            ("\"a\"", [Err("claim_missing_or_malformed"); 4]),
            ("true", [Err("claim_missing_or_malformed"); 4]),
        ] {
            for (provable, expected) in
                [(none, of_none), (dpop, of_dpop), (certificate, of_certificate), (both, of_both)]
            {
                assert_eq!(read(cnf, provable), expected, "{cnf} with {provable:?}");
            }
        }
    }
}

//! OpenID CIBA 1.0 section 10.1.

use super::{Grant, Renewal};
use crate::token::Secret;
use crate::token_endpoint::Parameters;

pub(crate) const CIBA: &str = "urn:openid:params:grant-type:ciba";

/// The identifier of an authentication request that waits for its person. Asked for by
/// [`Client::backchannel`](crate::Client::backchannel).
#[derive(Debug)]
pub(crate) struct CibaRequestId(pub(crate) Secret);

impl Grant for CibaRequestId {
    fn grant_type(&self) -> &str {
        CIBA
    }

    fn parameters(&self, parameters: &mut Parameters) {
        parameters.set_secret("auth_req_id", self.0.clone());
    }

    fn renewal(&self) -> Renewal {
        Renewal::Person
    }
}

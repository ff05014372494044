//! RFC 8628 section 3.4.

use super::{Grant, Renewal};
use crate::token::Secret;
use crate::token_endpoint::Parameters;

pub(crate) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The code that a device polls with while its person logs in elsewhere. Asked for by
/// [`Client::device`](crate::Client::device).
#[derive(Debug)]
pub(crate) struct DeviceCode(pub(crate) Secret);

impl Grant for DeviceCode {
    fn grant_type(&self) -> &str {
        DEVICE_CODE
    }

    fn parameters(&self, parameters: &mut Parameters) {
        parameters.set_secret("device_code", self.0.clone());
    }

    fn renewal(&self) -> Renewal {
        Renewal::Person
    }
}

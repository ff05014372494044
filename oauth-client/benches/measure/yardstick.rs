//! How fast this machine runs at the moment, by a piece of work that no change of ours touches.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};

use super::paired::{each, median};
use super::summary::{Summary, YARDSTICK, is_measuring};

/// A bare RS256 check, measured again and again in the course of a run.
pub(crate) struct Yardstick {
    key: ParsedPublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
    times: Vec<f64>,
}

impl Yardstick {
    pub(crate) fn new() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        // As much as the signed part of a token of 905 bytes.
        let message = vec![b'x'; 562];
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &message, &mut signature).expect("a signature");
        let key =
            ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref()).expect("a key");
        Self { key, message, signature, times: Vec::new() }
    }

    /// Measures between two parts of a run.
    pub(crate) fn measure(&mut self) {
        let rounds = if is_measuring() { 200 } else { 1 };
        for _ in 0..rounds {
            let check = |()| self.key.verify_sig(&self.message, &self.signature).expect("a good signature");
            self.times.push(each(8, || (), check));
        }
    }

    /// Takes the median of the whole run into the summary.
    pub(crate) fn finish(self, summary: &mut Summary) {
        summary.tell(YARDSTICK, median(self.times.into_iter()));
    }
}

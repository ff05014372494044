//! Static keys in PEM form.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use oauth_guard::{Algorithm, Issuer};
use oauth_mock::Alg;

use crate::support::{Fixture, send};

fn pem(key: &impl AsDer<PublicKeyX509Der<'static>>) -> String {
    let text = STANDARD.encode(key.as_der().unwrap().as_ref());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// A valid token of the fixture's server, its signature replaced by one of the key under test.
fn token(fixture: &Fixture, alg: Alg, kid: Option<&str>, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let builder = fixture.server.mint().alg(alg);
    let token = match kid {
        Some(kid) => builder.kid(kid).build(),
        None => builder.no_kid().build(),
    };
    let (signed, _) = token.rsplit_once('.').unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}

async fn status(fixture: &Fixture, issuer: Issuer, token: &str) -> u16 {
    let layer = fixture.guard_of(issuer).layer();
    send(&layer, &[format!("Bearer {token}").as_bytes()]).await.status
}

#[tokio::test(start_paused = true)]
async fn a_public_key_in_pem_form_verifies_what_its_private_half_signed() {
    let fixture = Fixture::with(&[Alg::Rs256, Alg::Es256, Alg::EdDsa]);
    let random = SystemRandom::new();

    let ec = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let es256 = token(&fixture, Alg::Es256, None, |text| ec.sign(&random, text).unwrap().as_ref().to_vec());
    let given = fixture.issuer().key_pem(Algorithm::Es256, pem(ec.public_key()));
    assert_eq!(status(&fixture, given.clone(), &es256).await, 200);

    let ed = Ed25519KeyPair::generate().unwrap();
    let eddsa = token(&fixture, Alg::EdDsa, None, |text| ed.sign(text).as_ref().to_vec());
    assert_eq!(
        status(&fixture, fixture.issuer().key_pem(Algorithm::EdDsa, pem(ed.public_key())), &eddsa).await,
        200
    );

    let rsa = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let rs256 = token(&fixture, Alg::Rs256, None, |text| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&signature::RSA_PKCS1_SHA256, &random, text, &mut signature).unwrap();
        signature
    });
    assert_eq!(
        status(&fixture, fixture.issuer().key_pem(Algorithm::Rs256, pem(rsa.public_key())), &rs256).await,
        200
    );

    // The server's own keys are no longer accepted, and nothing was fetched for any of this.
    assert_eq!(status(&fixture, given, &fixture.server.mint().alg(Alg::Es256).build()).await, 401);
    assert_eq!(fixture.server.journal().requests().len(), 0);
}

/// An `RSAPublicKey` (RFC 8017 appendix A.1.1) of these numbers.
fn rsa_pem(modulus: &[u8], exponent: &[u8]) -> String {
    let element = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, content].concat()
    };
    // Short lengths have a short form of their own.
    let exponent = [&[2, u8::try_from(exponent.len()).unwrap()][..], exponent].concat();
    let modulus = element(2, &[&[0][..], modulus].concat());
    let text = STANDARD.encode(element(0x30, &[modulus, exponent].concat()));
    format!("-----BEGIN RSA PUBLIC KEY-----\n{text}\n-----END RSA PUBLIC KEY-----\n")
}

#[test]
fn an_rsa_key_that_verifies_nothing_is_an_error_when_the_guard_is_built() {
    let fixture = Fixture::new();
    let modulus = |bytes: usize| vec![0xff; bytes];
    let public = [1, 0, 1];
    let build = |pem: String| {
        fixture.builder().issuer(fixture.issuer().key_pem(Algorithm::Rs256, pem)).build().map(|_| ())
    };
    for bytes in [256, 512, 1024] {
        assert_eq!(build(rsa_pem(&modulus(bytes), &public)).map_err(|error| error.to_string()), Ok(()));
    }
    let even = [&modulus(255)[..], &[0xfe]].concat();
    for (pem, message) in [
        (rsa_pem(&modulus(128), &public), "n has to have 2048 to 8192 bits"),
        (rsa_pem(&modulus(255), &public), "n has to have 2048 to 8192 bits"),
        (rsa_pem(&modulus(1025), &public), "n has to have 2048 to 8192 bits"),
        (rsa_pem(&modulus(256), &[1]), "n and e are not an RSA key"),
        (rsa_pem(&modulus(256), &[1, 0, 0]), "n and e are not an RSA key"),
        (rsa_pem(&even, &public), "n and e are not an RSA key"),
    ] {
        let error = build(pem).unwrap_err();
        let [problem] = error.problems() else { unreachable!("one problem: {error}") };
        assert_eq!((&*problem.field, &*problem.message), ("issuer[0].key_pem", message));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_with_an_id_is_chosen_by_it() {
    let fixture = Fixture::new();
    let random = SystemRandom::new();
    let [old, new] =
        [(); 2].map(|()| EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
    let issuer = fixture
        .issuer()
        .named_key_pem("old", Algorithm::Es256, pem(old.public_key()))
        .named_key_pem("new", Algorithm::Es256, pem(new.public_key()));
    let sign = |key: &EcdsaKeyPair, text: &[u8]| key.sign(&random, text).unwrap().as_ref().to_vec();
    for (kid, key, expected) in
        [("old", &old, 200), ("new", &new, 200), ("old", &new, 401), ("other", &new, 401)]
    {
        let token = token(&fixture, Alg::Es256, Some(kid), |text| sign(key, text));
        assert_eq!(status(&fixture, issuer.clone(), &token).await, expected, "{kid}");
    }
}

#[tokio::test(start_paused = true)]
async fn es512_which_only_clients_know_is_an_error_when_the_guard_is_built() {
    let fixture = Fixture::with(&[Alg::Es256]);
    let key = EcdsaKeyPair::generate(&signature::ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
    for issuer in [
        fixture.issuer().algorithms([Algorithm::Es256, Algorithm::Es512]),
        fixture.issuer().key_pem(Algorithm::Es512, pem(key.public_key())),
    ] {
        let error = fixture.builder().issuer(issuer).build().unwrap_err();
        let [problem] = error.problems() else { unreachable!("one problem: {error}") };
        assert!(problem.field.ends_with("algorithms"), "{error}");
        assert!(problem.message.starts_with("ES512 is not supported by a guard; expected RS256"), "{error}");
    }
}

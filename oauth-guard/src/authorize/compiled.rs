//! Requirements as sets of bits. Whether a token grants a scope, has a role or has a certain claim never changes. So
//! each such fact is looked up once for a token that a thread holds, and is a bit from then on.
//!
//! The decision itself is made with every request. What depends on the time is not such a fact, and is looked up each
//! time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::requirement::{Facts, Requirement, Term};
use crate::claims::Claims;

/// The facts that some requirements ask for, by number. At most 64; others are looked up each time.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    id: VocabularyId,
    terms: Mutex<Vec<Requirement>>,
}

/// Different for each vocabulary of the process: what is known by one says nothing by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VocabularyId(u64);

/// What is known of one token by one vocabulary.
#[derive(Debug)]
pub(crate) struct Known {
    vocabulary: VocabularyId,
    /// Which facts were looked up, and which of them are so.
    asked: AtomicU64,
    so: AtomicU64,
}

/// A requirement, taken apart.
#[derive(Debug)]
pub(crate) struct Compiled {
    whole: Requirement,
    vocabulary: VocabularyId,
    /// The facts it asks for, by their bits.
    terms: Box<[(u64, Requirement)]>,
    asked: u64,
    /// All of these, none of these, and of each of these at least one.
    all: u64,
    none: u64,
    any: Box<[u64]>,
    /// What cannot be said with bits.
    rest: Box<[Requirement]>,
}

impl Vocabulary {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: VocabularyId(NEXT.fetch_add(1, Ordering::Relaxed)), terms: Mutex::default() }
    }

    pub(crate) fn id(&self) -> VocabularyId {
        self.id
    }

    pub(crate) fn compile(&self, requirement: &Requirement) -> Compiled {
        let mut words = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts = Parts {
            words: &mut words,
            terms: Vec::new(),
            all: 0,
            none: 0,
            any: Vec::new(),
            rest: Vec::new(),
        };
        parts.add(requirement);
        let Parts { terms, all, none, any, rest, .. } = parts;
        Compiled {
            whole: requirement.clone(),
            vocabulary: self.id,
            asked: terms.iter().fold(0, |asked, (bit, _)| asked | bit),
            terms: terms.into(),
            all,
            none,
            any: any.into(),
            rest: rest.into(),
        }
    }
}

struct Parts<'a> {
    words: &'a mut Vec<Requirement>,
    terms: Vec<(u64, Requirement)>,
    all: u64,
    none: u64,
    any: Vec<u64>,
    rest: Vec<Requirement>,
}

impl Parts<'_> {
    /// All that is added has to be met.
    fn add(&mut self, requirement: &Requirement) {
        match requirement.term() {
            Term::All(terms) if !terms.is_empty() => terms.iter().for_each(|term| self.add(term)),
            Term::Not(term) => match self.bit(term) {
                Some(bit) => self.none |= bit,
                None => self.rest.push(requirement.clone()),
            },
            Term::Any(terms) => match terms.iter().try_fold(0, |bits, term| Some(bits | self.bit(term)?)) {
                Some(bits) => self.any.push(bits),
                None => self.rest.push(requirement.clone()),
            },
            _ => match self.bit(requirement) {
                Some(bit) => self.all |= bit,
                None => self.rest.push(requirement.clone()),
            },
        }
    }

    /// The bit of a fact, if it is one and there is room.
    fn bit(&mut self, requirement: &Requirement) -> Option<u64> {
        if !requirement.is_fact() {
            return None;
        }
        let number = match self.words.iter().position(|word| word.is_same_fact(requirement)) {
            Some(number) => number,
            None if self.words.len() == 64 => return None,
            None => {
                self.words.push(requirement.clone());
                self.words.len() - 1
            }
        };
        let bit = 1 << number;
        if !self.terms.iter().any(|(one, _)| *one == bit) {
            self.terms.push((bit, requirement.clone()));
        }
        Some(bit)
    }
}

impl Known {
    pub(crate) fn new(vocabulary: VocabularyId) -> Self {
        Self { vocabulary, asked: AtomicU64::new(0), so: AtomicU64::new(0) }
    }

    pub(crate) fn is_by(&self, vocabulary: VocabularyId) -> bool {
        self.vocabulary == vocabulary
    }
}

impl Compiled {
    #[inline]
    pub(super) fn is_met_by<T>(&self, claims: &Claims<T>, facts: Facts<'_>) -> bool {
        let Some(known) = claims.known(self.vocabulary, facts.rules) else {
            return self.whole.is_met_by(claims, facts);
        };
        if known.asked.load(Ordering::Acquire) & self.asked != self.asked {
            self.find_out(known, claims, facts);
        }
        let so = known.so.load(Ordering::Relaxed);
        so & self.all == self.all
            && so & self.none == 0
            && self.any.iter().all(|any| so & any != 0)
            && self.rest.iter().all(|term| term.is_met_by(claims, facts))
    }

    #[cold]
    fn find_out<T>(&self, known: &Known, claims: &Claims<T>, facts: Facts<'_>) {
        let are_so = self.terms.iter().filter(|(_, term)| term.is_met_by(claims, facts));
        known.so.fetch_or(are_so.fold(0, |so, (bit, _)| so | bit), Ordering::Relaxed);
        known.asked.fetch_or(self.asked, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_lc_rs::hmac;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::check::Check;
    use crate::guard::Guard;
    use crate::{Algorithm, Issuer, Profile};

    const SECRET: [u8; 32] = [7; 32];

    fn guard() -> Guard {
        let issuer = Issuer::new("https://as").audience("api").profile(Profile::Jwt);
        let issuer = issuer.hmac_secret(Algorithm::Hs256, SECRET);
        Guard::builder().issuer(issuer).implies("admin", ["s0", "s1"]).build().unwrap()
    }

    /// Of a token that is in constant use, so that this thread holds it.
    fn held(guard: &Guard, scope: &str, roles: &str) -> Claims {
        let payload = format!(
            r#"{{"iss":"https://as","aud":"api","exp":9000000000,"auth_time":1000,"client_id":"c1","acr":"a1",
            "scope":"{scope}","roles":{roles},"tenant":"t1","teams":["x",7]}}"#
        );
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(payload));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), signed.as_bytes());
        let token = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(tag));
        let request = http::Request::get("/").header("authorization", token).body(()).unwrap();
        for _ in 0..1_000 {
            let Check::Ready(outcome) = guard.check(&request) else { panic!("nothing to fetch") };
            let claims = outcome.unwrap().unwrap();
            let vocabulary = guard.snapshot().of_layers.id();
            if claims.known(vocabulary, guard.snapshot().rules.vocabulary()).is_some() {
                return claims;
            }
        }
        panic!("not held after a thousand requests");
    }

    /// Numbers that look random and are the same in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }

        fn requirement(&mut self, depth: u64) -> Requirement {
            let some = |this: &mut Self| {
                (0..this.below(4) + 1).map(|_| this.requirement(depth - 1)).collect::<Vec<_>>()
            };
            match self.below(if depth == 0 { 9 } else { 13 }) {
                0..=2 => Requirement::scope(format!("s{}", self.below(40))),
                3 | 4 => Requirement::role(format!("r{}", self.below(40))),
                5 => Requirement::client(format!("c{}", self.below(2))),
                6 => Requirement::claim("tenant", format!("t{}", self.below(2))),
                7 => Requirement::claim_contains("teams", 7_i64),
                8 => match self.below(3) {
                    0 => Requirement::acr([format!("a{}", self.below(2))]),
                    1 => Requirement::bound(),
                    _ => Requirement::max_login_age(Duration::from_secs(500)),
                },
                9 => !self.requirement(depth - 1),
                10 | 11 => Requirement::all(some(self)),
                _ => Requirement::any(some(self)),
            }
        }
    }

    /// More facts than there are bits among them.
    #[test]
    fn a_requirement_as_bits_is_the_same_requirement() {
        let guard = guard();
        let tokens = [
            held(&guard, "s2 s3 s5 s8 s13 s21", r#"["r1","r2","r3"]"#),
            held(&guard, "admin", "[]"),
            held(&guard, "s0 s1 s2 s39", r#"["r0","r39"]"#),
        ];
        let snapshot = guard.snapshot();
        let (mut random, mut met, mut with_rest) = (Random(1), 0, 0);
        for _ in 0..20 {
            let vocabulary = &snapshot.of_layers;
            for _ in 0..100 {
                let requirement = random.requirement(3);
                let compiled = vocabulary.compile(&requirement);
                with_rest += usize::from(!compiled.rest.is_empty());
                for claims in &tokens {
                    for seconds in [1_200, 1_600] {
                        let clock = crate::clock::TestClock::at(seconds);
                        let facts = Facts {
                            clock: &clock,
                            implied: snapshot.rules.implied(),
                            rules: snapshot.rules.vocabulary(),
                        };
                        let expected = requirement.is_met_by(claims, facts);
                        assert_eq!(compiled.is_met_by(claims, facts), expected, "{requirement:?} {claims:?}");
                        met += usize::from(expected);
                    }
                }
            }
        }
        assert!((1_000..11_000).contains(&met) && with_rest > 100, "{met} {with_rest}");
        assert_eq!(snapshot.of_layers.terms.lock().unwrap().len(), 64);
    }

    /// The caller may bring claims of another guard, or of the time before a reload.
    #[test]
    fn what_is_known_under_other_rules_counts_for_nothing() {
        let (one, other) = (guard(), guard());
        let claims = held(&one, "s1", "[]");
        let (mine, theirs) = (one.snapshot(), other.snapshot());
        let compiled = theirs.of_layers.compile(&Requirement::scope("s2"));
        // The first bit of the one is not the first bit of the other.
        let clock = crate::clock::TestClock::new();
        let facts = |rules| Facts { clock: &clock, implied: mine.rules.implied(), rules };
        assert!(
            mine.of_layers
                .compile(&Requirement::scope("s1"))
                .is_met_by(&claims, facts(mine.rules.vocabulary()))
        );
        assert!(!compiled.is_met_by(&claims, facts(theirs.rules.vocabulary())));
        assert!(!compiled.is_met_by(&claims, facts(mine.rules.vocabulary())));
        assert!(claims.known(mine.of_layers.id(), theirs.rules.vocabulary()).is_none());
    }
}

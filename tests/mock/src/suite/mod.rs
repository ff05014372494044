//! Attacks an API over its address, whatever it is written in: becomes the issuer that the API trusts, and sends it
//! everything that it must refuse.
//!
//! What is sent is mostly the table in [`attack`]. Added here is what needs a run over an address: key and introspection
//! endpoints that fail, floods, what the API was found to be, and the report.
//!
//! ```no_run
//! use oauth_mock::suite::Suite;
//!
//! # #[tokio::main] async fn main() -> Result<(), oauth_mock::suite::SuiteError> {
//! let suite = Suite::new("http://127.0.0.1:3000/whoami").listen(([127, 0, 0, 1], 9000)).audience("orders-api");
//! let attacker = suite.start().await?; // the API is to trust `attacker.issuer()`
//! let report = attacker.run(&mut |step| eprintln!("{step}")).await?;
//! println!("{report}");
//! assert_eq!(report.exit_code(), 0, "something was accepted that must be rejected");
//! # Ok(()) }
//! ```
//!
//! Three kinds of findings are kept apart. [`LetIn`](Verdict::LetIn), [`Leaked`](Verdict::Leaked) and
//! [`Broke`](Verdict::Broke) are holes: a forged token is accepted, a refusal repeats what the token says, or good tokens
//! are no longer accepted. [`Incorrect`](Verdict::Incorrect) responses are no hole in
//! security, but are not what the standards say. What [`Differs`](Verdict::Differs) is a choice that the standards
//! leave; so are rules that hold only for targets that ask for them, which is [found out](Traits) beforehand.
//!
//! The requests are bounded in number, each in time, and go to this machine only, by default.

mod endpoint;
mod junit;
mod opaque;
mod options;
mod pace;
mod possession;
mod print;
mod probe;
mod report;
mod rotation;
mod run;
mod sarif;
mod secure;
mod table;
mod target;
mod verdict;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use self::options::Sending;
use self::possession::Bound;
pub use self::report::{Case, FailOn, Report, Response, Summary, Traits, Verdict};
use self::run::Run;
use self::target::Target;
use crate::attack::{self, ALGORITHMS, Attack, AttackContext, Part};
use crate::builder::StartError;
use crate::endpoint::Endpoint;
use crate::keys::{Alg, TestKey};
use crate::server::{IssuerHandle, MockServer};

/// What is to be attacked, and as whom.
#[derive(Clone, Debug)]
#[must_use = "nothing is attacked before `start` and `run`"]
pub struct Suite {
    target: String,
    listen: SocketAddr,
    issuer_path: String,
    audience: String,
    scope: Option<String>,
    claims: Vec<(String, Value)>,
    algorithm: Alg,
    only: Vec<String>,
    skip: Vec<String>,
    wait: Duration,
    key_wait: Duration,
    quick: bool,
    optional: bool,
    remote: bool,
    sending: Sending,
    time_limit: Option<Duration>,
    allowed: Vec<Alg>,
    max_token_age: Option<Duration>,
    second_issuer: bool,
    bound: Bound,
    opaque: bool,
}

/// The path of the second issuer, where there is one.
const SECOND: &str = "second";

/// The issuer that the target has to trust, listening.
#[derive(Debug)]
pub struct Attacker {
    suite: Suite,
    target: Target,
    server: MockServer,
}

/// Why a suite could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// The target's address cannot be used.
    #[error("target: {url:?}: {problem}")]
    Target {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The target is on another machine.
    #[error(
        "target: {url} is not on this machine; attack only what is yours, and then with `--danger-allow-remote`"
    )]
    Remote {
        /// As it was given.
        url: String,
    },
    /// The issuer's address is taken.
    #[error("listen: choose another address, or end what listens there")]
    Listen(#[source] StartError),
    /// This is no header.
    #[error("header: {0:?} with its value is no header of HTTP; write NAME: VALUE, in ASCII and on one line")]
    Header(String),
    /// A setting that this run would not use: an attack that is not made must not look like one that found nothing.
    #[error("{name}: this run would not use it: it is for {of}")]
    Idle {
        /// The setting.
        name: &'static str,
        /// The runs that use it, in words.
        of: &'static str,
    },
    /// No key could be made.
    #[error("the cryptographic library makes no key for {0}")]
    NoKey(Alg),
    /// Nothing is left to do.
    #[error("no case is called {0:?}, nor begins so; see the list of cases")]
    NoSuchCase(String),
    /// A good token was never accepted.
    #[error("a good token was never accepted\n{0}")]
    NeverAccepted(String),
}

impl Suite {
    /// Attacks GET requests to this address: `http://` or (with the feature `tls`) `https://`, and on this machine.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            issuer_path: String::new(),
            audience: "orders-api".to_owned(),
            scope: None,
            claims: Vec::new(),
            algorithm: Alg::Rs256,
            only: Vec::new(),
            skip: Vec::new(),
            wait: Duration::from_secs(30),
            key_wait: Duration::from_secs(45),
            quick: false,
            optional: false,
            remote: false,
            sending: Sending::default(),
            time_limit: None,
            allowed: Vec::new(),
            max_token_age: None,
            second_issuer: false,
            bound: Bound::default(),
            opaque: false,
        }
    }

    /// Where the issuer listens; by default on a free port of 127.0.0.1.
    pub fn listen(mut self, address: impl Into<SocketAddr>) -> Self {
        self.listen = address.into();
        self
    }

    /// The path of the issuer below its address; by default there is none.
    pub fn issuer_path(mut self, path: &str) -> Self {
        self.issuer_path = path.trim_matches('/').to_owned();
        self
    }

    /// The audience the target is; by default `orders-api`.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// The scope the target wants. Without one, the cases about scopes are left out.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// A further claim that the target wants of a good token.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.push((name.into(), value.into()));
        self
    }

    /// What good tokens are signed with; RS256 by default.
    ///
    /// # Panics
    /// For `none` and the HMAC algorithms: no issuer signs with them.
    pub fn algorithm(mut self, algorithm: Alg) -> Self {
        assert!(algorithm.is_asymmetric(), "{algorithm} is no algorithm of an issuer");
        self.algorithm = algorithm;
        self
    }

    /// Sends only the cases of this number (`G115`), of this name (`alg-none`), or whose name begins so (`alg-`). May
    /// be called more than once.
    pub fn only(mut self, case: impl Into<String>) -> Self {
        self.only.push(case.into());
        self
    }

    /// Leaves out the cases of this number, of this name, or whose name begins so. May be called more than once.
    pub fn skip(mut self, case: impl Into<String>) -> Self {
        self.skip.push(case.into());
        self
    }

    /// How long the target may take until it accepts a good token, before anything else is sent; 30 seconds by default.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How long the target may take to notice that the issuer's keys have changed; 45 seconds by default, since many
    /// wait for 30 between two fetches.
    pub fn key_wait(mut self, wait: Duration) -> Self {
        self.key_wait = wait;
        self
    }

    /// Leaves out what takes minutes with a target that is slow to fetch keys: the faults of the key endpoint.
    pub fn quick(mut self) -> Self {
        self.quick = true;
        self
    }

    /// The target accepts requests without a token, as anonymous.
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Lets the target be on another machine. Right only for a machine of your own, in a network of your own: this
    /// sends hundreds of hostile requests.
    pub fn danger_allow_remote(mut self) -> Self {
        self.remote = true;
        self
    }

    /// Starts the issuer. The target has until [`Attacker::run`] (and its [`wait`](Self::wait)) to trust it.
    ///
    /// # Errors
    /// When the target's address cannot be used, there is no such case, a setting is for another kind of run, or the issuer
    /// cannot listen.
    pub async fn start(self) -> Result<Attacker, SuiteError> {
        if let Some(name) = self.sending.malformed_header() {
            return Err(SuiteError::Header(name.to_owned()));
        }
        if let Some((name, of)) = self.idle_setting() {
            return Err(SuiteError::Idle { name, of });
        }
        let target = Target::find(&self.target, self.remote, &self.sending).await?;
        if let Some(unknown) =
            self.only.iter().chain(&self.skip).find(|only| !self.cases().any(|case| names(only, case)))
        {
            return Err(SuiteError::NoSuchCase(unknown.clone()));
        }
        let rest = ALGORITHMS.into_iter().filter(|alg| *alg != self.algorithm);
        let mut builder = MockServer::builder()
            .listen(self.listen)
            .audience(self.audience.clone())
            .algorithms([self.algorithm].into_iter().chain(rest));
        if self.second_issuer {
            builder = builder.issuer(SECOND);
        }
        if !self.issuer_path.is_empty() {
            builder = builder.issuer(self.issuer_path.clone());
        }
        let server = builder.try_start().await.map_err(SuiteError::Listen)?;
        Ok(Attacker { suite: self, target, server })
    }
}

impl Attacker {
    /// The issuer that the target has to trust.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.handle().issuer()
    }

    /// What the target has to be set up with, in words.
    #[must_use]
    pub fn instructions(&self) -> String {
        let issuer = self.handle();
        let scope = self.suite.scope.as_deref().unwrap_or("(none is asked for)");
        let asked = match self.suite.opaque {
            true => format!("  introspection  {} (any credentials)\n", issuer.endpoint(Endpoint::Introspect)),
            false => String::new(),
        };
        let second =
            self.second_issuer().map(|issuer| format!("  and also   {issuer}\n")).unwrap_or_default();
        let binding = self.suite.bound.describe(self.target.url());
        let binding = binding.map(|how| format!("  binding    {how}\n")).unwrap_or_default();
        format!(
            "The target {} must trust this issuer:\n  issuer     {}\n  audience   {}\n  scope      {scope}\n  \
             algorithm  {}\n  metadata   {}\n  keys       {}\n{asked}{binding}{second}",
            self.target.url(),
            issuer.issuer(),
            self.suite.audience,
            self.suite.algorithm,
            issuer.endpoint(Endpoint::OpenidMetadata),
            issuer.endpoint(Endpoint::Jwks),
        )
    }

    /// Waits until the target accepts a good token, and attacks it. `progress` gets each step.
    ///
    /// # Errors
    /// When the target never accepts a good token, with its last response.
    pub async fn run(self, progress: &mut (dyn FnMut(&str) + Send)) -> Result<Report, SuiteError> {
        let Self { suite, target, server } = self;
        // No issuer of this process ever publishes it; making one takes up to a second.
        static FOREIGN: OnceLock<TestKey> = OnceLock::new();
        let foreign = match FOREIGN.get() {
            Some(known) => known.clone(),
            None => {
                let new = TestKey::fresh(Alg::Rs256).ok_or(SuiteError::NoKey(Alg::Rs256))?;
                FOREIGN.get_or_init(|| new).clone()
            }
        };
        let issuer = handle(&suite, &server);
        let mut context = AttackContext::of(&server, issuer.keys(), issuer.issuer())
            .audience(&suite.audience)
            .foreign_key(foreign);
        if let Some(age) = suite.max_token_age {
            context = context.max_token_age(age);
        }
        for (name, value) in &suite.claims {
            context = context.claim(name, value.clone());
        }
        if let Some(scope) = &suite.scope {
            context = context.scope(scope);
        }
        context = context.method(&suite.sending.method);
        context = suite.bound.bind(context, target.url(), &suite.sending.method);
        Run::new(&suite, target, &server, context, progress).all().await
    }

    /// The second issuer, which the target is to trust as well, if there is [one](Suite::second_issuer).
    #[must_use]
    pub fn second_issuer(&self) -> Option<&str> {
        let second = self.server.other_issuers().next().filter(|_| self.suite.second_issuer);
        second.map(|issuer| issuer.issuer())
    }

    fn handle(&self) -> IssuerHandle<'_> {
        handle(&self.suite, &self.server)
    }
}

/// Every case of every [part](Suite::part): those of [`attack::of`], and what only a running issuer can do to a target.
pub fn cases() -> impl Iterator<Item = &'static Attack> {
    Part::ALL.into_iter().flat_map(cases_of).chain(opaque::CASES)
}

/// Those that a run of this part may send.
pub fn cases_of(part: Part) -> impl Iterator<Item = &'static Attack> {
    let by_hand = if part == Part::Tokens { endpoint::CASES } else { &[] };
    attack::of(part).chain(by_hand)
}

impl Suite {
    /// A setting that says nothing to this run, and which runs it is for.
    fn idle_setting(&self) -> Option<(&'static str, &'static str)> {
        let part = self.bound.part;
        if self.opaque && part != Part::Tokens {
            return Some((
                "part",
                "an API that reads its tokens; run it once without `opaque`, and once without `part`",
            ));
        }
        let of_part = |part| match part {
            Part::Dpop => "the part `dpop`",
            Part::Certificates => "the part `certificates`",
            Part::Tokens => "the part `tokens`, without `opaque`",
        };
        let of_tokens = [
            ("allowed", !self.allowed.is_empty()),
            ("max_token_age", self.max_token_age.is_some()),
            ("second_issuer", self.second_issuer),
        ];
        let of_tokens =
            of_tokens.into_iter().filter_map(|(name, is_set)| is_set.then_some((name, Part::Tokens)));
        let idle = |of: &Part| *of != part || (self.opaque && *of == Part::Tokens);
        let mut settings = self.bound.settings().chain(of_tokens);
        settings.find(|(_, of)| idle(of)).map(|(name, of)| (name, of_part(of)))
    }

    /// Those that this run may send.
    fn cases(&self) -> impl Iterator<Item = &'static Attack> {
        let opaque = self.opaque.then_some(opaque::CASES);
        let of_part = (!self.opaque).then(|| cases_of(self.bound.part));
        of_part.into_iter().flatten().chain(opaque.into_iter().flatten())
    }
}

fn handle<'a>(suite: &Suite, server: &'a MockServer) -> IssuerHandle<'a> {
    // The last one is that of the path, if there is a path, and else the first.
    let of_path = (!suite.issuer_path.is_empty()).then(|| server.other_issuers().last()).flatten();
    of_path.unwrap_or_else(|| server.first())
}

/// Whether `only` names this case.
fn names(only: &str, attack: &Attack) -> bool {
    attack.case.eq_ignore_ascii_case(only) || attack.id.starts_with(only)
}

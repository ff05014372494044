//! What is no hole, and must not be taken for one: an API that asks for pauses, that moved, that wants more than a
//! token; and one that dies or hangs, so that the rest says nothing.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_mock::attack::{CertificateHeader, Part};
use oauth_mock::suite::{Attacker, Report, Suite, Verdict};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::api::Api;
use crate::server::{self, Request, Response};

/// What an unsigned token does to the API.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fall {
    Never,
    Dies,
    Hangs,
    /// Refuses every good token for two seconds.
    Stunned,
    /// Says nothing more after so many requests, whatever they are.
    HangsAfter(usize),
}

pub(crate) struct Trouble {
    pub(crate) method: &'static str,
    /// Every path that it does not know shows one page.
    pub(crate) one_page: bool,
    /// So many requests, and then 429 for a second.
    burst: Option<usize>,
    /// So many requests, and then 429 with a pause that no run waits for.
    shuts_after: Option<usize>,
    /// So many good tokens are refused once key ids are invented.
    flooded: AtomicUsize,
    /// Whether they are.
    in_a_flood: AtomicBool,
    delay: Duration,
    api_key: Option<&'static str>,
    fall: Fall,
    fell: AtomicBool,
    stunned_until: Mutex<Option<Instant>>,
    window: Mutex<(Option<Instant>, usize)>,
    /// Requests during a pause that was asked for.
    impatient: AtomicUsize,
    arrivals: Mutex<Vec<Instant>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            method: "GET",
            one_page: false,
            burst: None,
            shuts_after: None,
            flooded: AtomicUsize::new(0),
            in_a_flood: AtomicBool::new(false),
            delay: Duration::ZERO,
            api_key: None,
            fall: Fall::Never,
            fell: AtomicBool::new(false),
            stunned_until: Mutex::default(),
            window: Mutex::default(),
            impatient: AtomicUsize::new(0),
            arrivals: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        }
    }
}

impl Api {
    /// `None` when it died, and else a response that has nothing to do with the token.
    pub(crate) async fn troubled(&self, request: &Request) -> Option<Option<Response>> {
        let trouble = &self.trouble;
        trouble.arrivals.lock().unwrap().push(Instant::now());
        let at_once = trouble.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        trouble.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        tokio::time::sleep(trouble.delay).await;
        trouble.at_once.fetch_sub(1, Ordering::SeqCst);
        if let Some(pause) = self.pause() {
            return Some(Some(pause));
        }
        if let Some(refusal) = self.flooded(request) {
            return Some(Some(refusal));
        }
        let unsigned = request.values("authorization").iter().any(|value| value.ends_with('.'));
        match trouble.fall {
            Fall::Dies if unsigned => {
                self.fallen.notify_one();
                return None;
            }
            Fall::Hangs if unsigned || trouble.fell.swap(unsigned, Ordering::SeqCst) => {
                trouble.fell.store(true, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            Fall::HangsAfter(most) if trouble.arrivals.lock().unwrap().len() > most => {
                std::future::pending::<()>().await;
            }
            Fall::Stunned if unsigned => {
                *trouble.stunned_until.lock().unwrap() = Some(Instant::now() + Duration::from_secs(2));
            }
            _ => {}
        }
        if trouble.stunned_until.lock().unwrap().is_some_and(|until| Instant::now() < until) {
            return Some(Some(Response::new(503, "")));
        }
        let keyed = trouble.api_key.is_none_or(|key| request.values("x-api-key") == [key]);
        Some((!keyed).then(|| Response::new(403, "no key")))
    }

    /// The refusal of a good token, while the API is busy with key ids that it does not know.
    fn flooded(&self, request: &Request) -> Option<Response> {
        let trouble = &self.trouble;
        let head = request.values("authorization").first()?.strip_prefix("Bearer ")?.split('.').next()?;
        let head = URL_SAFE_NO_PAD.decode(head).ok()?;
        if String::from_utf8_lossy(&head).contains("invented-") {
            trouble.in_a_flood.store(true, Ordering::SeqCst);
            return None;
        }
        let left = trouble.flooded.load(Ordering::SeqCst);
        if left == 0 || !trouble.in_a_flood.load(Ordering::SeqCst) {
            return None;
        }
        trouble.flooded.store(left - 1, Ordering::SeqCst);
        let mut response = Response::new(401, "");
        response.headers.push(("WWW-Authenticate", "Bearer error=\"invalid_token\"".to_owned()));
        Some(response)
    }

    fn pause(&self) -> Option<Response> {
        let arrived = self.trouble.arrivals.lock().unwrap().len();
        if self.trouble.shuts_after.is_some_and(|most| arrived > most) {
            let mut response = Response::new(429, "");
            response.headers.push(("Retry-After", "4000".to_owned()));
            return Some(response);
        }
        let burst = self.trouble.burst?;
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut window = self.trouble.window.lock().unwrap();
        match window.0 {
            Some(paused) if now < paused + second => {
                self.trouble.impatient.fetch_add(1, Ordering::SeqCst);
            }
            Some(_) => *window = (None, 1),
            None if window.1 >= burst => *window = (Some(now), 0),
            None => window.1 += 1,
        }
        window.0?;
        let mut response = Response::new(429, "");
        response.headers.push(("Retry-After", "1".to_owned()));
        Some(response)
    }
}

/// Starts a suite over `suite`, and an API with this trouble for it to attack.
async fn started(
    hole: &'static str,
    trouble: Trouble,
    suite: impl FnOnce(Suite) -> Suite,
) -> (Attacker, Arc<Api>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let attacker = suite(Suite::new(format!("http://{}/whoami", listener.local_addr().unwrap())));
    let attacker = attacker.start().await.unwrap();
    let api = Arc::new(Api { trouble, ..Api::new(hole, [attacker.issuer()]) });
    tokio::spawn(server::serve(Arc::clone(&api), listener));
    (attacker, api)
}

async fn attacked(
    hole: &'static str,
    trouble: Trouble,
    suite: impl FnOnce(Suite) -> Suite,
) -> (Report, Arc<Api>) {
    let (attacker, api) = started(hole, trouble, |target| suite(target.scope("read"))).await;
    (attacker.run(&mut |step| println!("{step}")).await.unwrap(), api)
}

#[tokio::test]
async fn a_429_is_obeyed_and_never_counted() {
    let trouble = Trouble { burst: Some(40), ..Trouble::default() };
    let (report, api) =
        attacked("", trouble, |suite| suite.only("aud-").only("iss-").only("time-exp-past")).await;
    assert_eq!((report.exit_code(), report.summary.incorrect, report.summary.differs), (0, 0, 0), "{report}");
    assert!(report.throttled > 0 && report.summary.judged > 30, "{report}");
    assert_eq!(report.with(Verdict::NotApplicable).count(), 1, "two issuers alone do not apply: {report}");
    assert_eq!(api.trouble.impatient.load(Ordering::SeqCst), 0, "nothing is sent during a pause");
    assert!(report.to_string().contains("The target asked for a pause"), "{report}");
}

#[tokio::test]
async fn a_pause_without_an_end_is_no_run_to_its_end() {
    let shut = |most| Trouble { shuts_after: Some(most), ..Trouble::default() };
    let rows = |suite: Suite| suite.only("alg-none").only("aud-").only("iss-");
    for parallel in [1, 4] {
        let (report, _) = attacked("alg-none", shut(40), |suite| rows(suite).parallel(parallel)).await;
        assert_eq!((report.summary.incorrect, report.summary.broke), (0, 0), "{report}");
        let cut_short = report.cut_short.as_deref().unwrap();
        assert!(cut_short.contains("pauses (429) without an end"), "{cut_short}");
        assert!(report.not_run.contains(&"aud-nearly"), "{report}");
        // What was found until then still counts.
        let code = if report.summary.let_in > 0 { 1 } else { 2 };
        assert_eq!(report.exit_code(), code, "{report}");
    }
    // Also where it is shut while it is asked how it is set up.
    let (report, _) = attacked("", shut(6), rows).await;
    assert_eq!((report.exit_code(), report.cases.len()), (2, 0), "{report}");
}

#[tokio::test]
async fn an_introspecting_api_that_shuts_has_not_accepted_many_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let suite = Suite::new(format!("http://{}/whoami", listener.local_addr().unwrap())).opaque();
    let attacker = suite.scope("read").only("opaque-at-once").only("opaque-jwt").start().await.unwrap();
    let trouble = Trouble { shuts_after: Some(20), ..Trouble::default() };
    let api = Arc::new(Api { trouble, ..Api::introspecting("", attacker.issuer(), false) });
    tokio::spawn(server::serve(api, listener));
    let report = attacker.run(&mut |_| {}).await.unwrap();
    assert_eq!((report.exit_code(), report.summary.judged), (2, 0), "{report}");
    assert_eq!(report.not_run, ["opaque-jwt-unsigned", "opaque-jwt-forged"], "{report}");
}

#[tokio::test]
async fn a_good_token_that_is_refused_in_a_flood_of_key_ids_is_noticed() {
    let trouble = Trouble { flooded: AtomicUsize::new(3), ..Trouble::default() };
    let (report, _) =
        attacked("", trouble, |suite| suite.only("kid-flood").skip("kid-flood-and-a-rotation")).await;
    let good = report.cases.iter().find(|case| case.variant == "good tokens in between").unwrap();
    assert_eq!((good.verdict, good.got.status), (Verdict::Incorrect, 401), "{report}");
    let (report, _) =
        attacked("", Trouble::default(), |suite| suite.only("kid-flood").skip("kid-flood-and-a-rotation"))
            .await;
    assert_eq!((report.exit_code(), report.summary.incorrect), (0, 0), "{report}");
}

#[tokio::test]
async fn a_pause_holds_requests_beside_one_another_too() {
    let trouble = Trouble { burst: Some(40), ..Trouble::default() };
    let rows = |suite: Suite| suite.only("aud-").only("iss-").parallel(4);
    let (report, api) = attacked("", trouble, rows).await;
    assert_eq!((report.exit_code(), report.summary.incorrect), (0, 0), "{report}");
    // Those that were under way when the pause began.
    let impatient = api.trouble.impatient.load(Ordering::SeqCst);
    assert!(report.throttled > 0 && impatient <= 3 * report.throttled, "{impatient}: {report}");
}

#[tokio::test]
async fn a_rate_is_kept() {
    let (report, api) = attacked("", Trouble::default(), |suite| suite.only("aud-list").rate(50)).await;
    assert_eq!(report.exit_code(), 0, "{report}");
    let arrivals = api.trouble.arrivals.lock().unwrap();
    let took = arrivals[arrivals.len() - 1] - arrivals[0];
    let least = Duration::from_millis(20) * u32::try_from(arrivals.len() - 2).unwrap();
    assert!(arrivals.len() > 10 && took >= least, "{} requests in {took:?}", arrivals.len());
}

#[tokio::test]
async fn an_api_that_dies_is_reported_with_the_row_and_what_was_not_run() {
    let trouble = Trouble { fall: Fall::Dies, ..Trouble::default() };
    let (report, _) =
        attacked("", trouble, |suite| suite.only("header-crit").only("alg-none").only("aud-")).await;
    assert_eq!((report.exit_code(), report.summary.broke), (1, 1), "{report}");
    assert_eq!(report.running.as_deref(), Some("alg-none"), "{report}");
    let expected = [
        "alg-none-in-another-case",
        "alg-none-with-a-signature",
        "aud-missing",
        "aud-of-wrong-type",
        "aud-empty",
        "aud-list",
        "aud-nearly",
        "aud-a-part",
    ];
    assert_eq!(report.not_run, expected, "{report}");
    let cut_short = report.cut_short.as_deref().unwrap();
    assert!(cut_short.contains("after alg-none") && cut_short.contains("died"), "{cut_short}");
    assert_eq!(
        report.cases.iter().filter(|case| case.id == "alg-none").count(),
        2,
        "one request, and the end"
    );
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!((&json["running"], json["not_run"].as_array().unwrap().len()), (&"alg-none".into(), 8));
}

#[tokio::test]
async fn an_api_that_hangs_is_reported_as_such() {
    let trouble = Trouble { fall: Fall::Hangs, ..Trouble::default() };
    let rows = |suite: Suite| suite.only("alg-none").only("aud-").timeout(Duration::from_millis(500));
    let (report, _) = attacked("", trouble, rows).await;
    assert_eq!((report.exit_code(), report.running.as_deref()), (1, Some("alg-none")), "{report}");
    assert!(
        report.cut_short.as_deref().unwrap().contains("it hangs") && report.not_run.len() == 8,
        "{report}"
    );
}

#[tokio::test]
async fn an_api_that_hangs_before_the_first_row_is_reported_at_once() {
    let trouble = Trouble { fall: Fall::HangsAfter(4), ..Trouble::default() };
    let started = Instant::now();
    let rows = |suite: Suite| suite.only("aud-").timeout(Duration::from_millis(500));
    let (report, _) = attacked("", trouble, rows).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!((report.exit_code(), report.cases.len(), report.not_run.len()), (2, 0, 6), "{report}");
    assert!(report.cut_short.as_deref().unwrap().contains("it hangs"), "{report}");
}

#[tokio::test]
async fn the_time_limit_ends_a_run_and_says_what_is_left() {
    let trouble = Trouble { delay: Duration::from_millis(50), ..Trouble::default() };
    let started = Instant::now();
    let (report, _) = attacked("", trouble, |suite| suite.time_limit(Duration::from_secs(3))).await;
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    assert_eq!((report.exit_code(), report.summary.broke), (2, 0), "{report}");
    assert!(report.cut_short.as_deref().unwrap().contains("time limit of 3 s"), "{report}");
    assert!(report.running.is_some() && report.not_run.contains(&"scope-missing"), "{report}");
}

#[tokio::test]
async fn rows_side_by_side_find_the_same() {
    let rows = |suite: Suite| suite.only("alg-none").only("aud-").only("signature-forged-twin");
    let (one_by_one, _) = attacked("alg-none", Trouble::default(), rows).await;
    let slow = Trouble { delay: Duration::from_millis(20), ..Trouble::default() };
    let (parallel, api) = attacked("alg-none", slow, |suite| rows(suite).parallel(6)).await;
    let verdicts = |report: &Report| -> Vec<_> {
        report.cases.iter().map(|case| (case.id, case.variant.clone(), case.verdict)).collect()
    };
    assert_eq!(verdicts(&one_by_one), verdicts(&parallel));
    assert_eq!((parallel.exit_code(), parallel.summary.let_in), (1, 3), "{parallel}");
    assert!(api.trouble.most_at_once.load(Ordering::SeqCst) > 2);
}

#[tokio::test]
async fn of_rows_side_by_side_the_one_that_breaks_the_api_is_found() {
    let trouble = Trouble { fall: Fall::Stunned, ..Trouble::default() };
    let rows = |suite: Suite| suite.only("alg-").only("aud-").parallel(6);
    let (report, _) = attacked("", trouble, rows).await;
    let broke: Vec<_> = report.with(Verdict::Broke).map(|case| case.id).collect();
    assert_eq!(broke, ["alg-none", "alg-none-in-another-case"], "{report}");
    assert!(report.cut_short.is_none() && report.not_run.is_empty(), "{report}");
}

#[tokio::test]
async fn headers_and_method_are_as_the_api_wants_them() {
    let trouble = || Trouble { api_key: Some("k1"), method: "POST", ..Trouble::default() };
    let rows = |suite: Suite| suite.only("aud-").only("http-no-token").only("http-token-in-the-query");
    let keyed = |suite: Suite| rows(suite).header("X-Api-Key", "k1").method(http::Method::POST);
    let (report, _) = attacked("", trouble(), keyed).await;
    assert_eq!((report.exit_code(), report.summary.incorrect), (0, 0), "{report}");
    let (attacker, _) = started("", trouble(), |suite| rows(suite).wait(Duration::ZERO)).await;
    let error = attacker.run(&mut |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("403"), "{error}");
    let error = Suite::new("http://127.0.0.1:1/").header("X\r\n", "v").start().await.unwrap_err();
    assert!(error.to_string().starts_with("header: "), "{error}");
}

#[tokio::test]
async fn an_api_for_post_may_read_a_form_and_must_not_open_to_get() {
    let post = || Trouble { method: "POST", ..Trouble::default() };
    let rows = |suite: Suite| {
        suite.only("http-token-in-the-body").only("http-other-methods").method(http::Method::POST)
    };
    let (report, _) = attacked("http-token-in-the-body", post(), rows).await;
    assert_eq!((report.exit_code(), report.summary.incorrect), (0, 0), "{report}");
    assert!(report.with(Verdict::NotApplicable).any(|case| case.id == "http-token-in-the-body"), "{report}");
    let (report, _) = attacked("http-other-methods", post(), rows).await;
    let open: Vec<_> = report.with(Verdict::LetIn).map(|case| case.variant.as_str()).collect();
    assert!(open.contains(&"GET") && open.contains(&"GET, X-Method-Override: POST"), "{report}");
    assert!(!report.cases.iter().any(|case| case.variant == "POST"), "{report}");
}

#[tokio::test]
async fn a_setting_that_a_run_would_not_use_is_refused() {
    let suite = || Suite::new("http://127.0.0.1:1/").wait(Duration::ZERO);
    for (suite, expected) in [
        (suite().opaque().part(Part::Dpop), "part: "),
        (
            suite().public_url("https://api.test/"),
            "public_url: this run would not use it: it is for the part `dpop`",
        ),
        (suite().part(Part::Certificates).nonce_lifetime(Duration::from_secs(1)), "nonce_lifetime: "),
        (suite().part(Part::Dpop).certificate_header(CertificateHeader::Xfcc), "certificate_header: "),
        (suite().untrusted_from([127, 0, 0, 2]), "untrusted_from: "),
        (suite().opaque().second_issuer(), "second_issuer: "),
        (suite().part(Part::Dpop).max_token_age(Duration::from_secs(60)), "max_token_age: "),
        (suite().opaque().allowed([oauth_mock::Alg::Rs256]), "allowed: "),
    ] {
        let error = suite.start().await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let dpop =
        suite().part(Part::Dpop).public_url("https://api.test/").nonce_lifetime(Duration::from_secs(1));
    assert!(dpop.start().await.is_ok());
}

#[tokio::test]
async fn one_page_for_every_unknown_path_is_no_open_neighbour() {
    let trouble = Trouble { one_page: true, ..Trouble::default() };
    let (report, _) = attacked("", trouble, |suite| suite.only("http-neighbouring-paths")).await;
    assert_eq!((report.exit_code(), report.summary.let_in), (0, 0), "{report}");
    assert!(report.with(Verdict::NotApplicable).any(|case| case.note.contains("every path")), "{report}");
}

#[cfg(feature = "tls")]
mod https {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use tokio::io::AsyncWriteExt as _;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::*;

    /// A self-signed certificate for 127.0.0.1, in PEM, and what serves with it.
    fn acceptor() -> (String, TlsAcceptor) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let der = made.cert.der().clone();
        let pem = STANDARD.encode(&der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![der], key).unwrap();
        (pem, TlsAcceptor::from(Arc::new(config)))
    }

    /// An API over https, reached by a redirect from http or at once.
    async fn over_tls(redirected: bool, suite: impl FnOnce(Suite, String) -> Suite) -> (Attacker, String) {
        let [plain, secure] = [
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        ];
        let https = format!("https://{}/whoami", secure.local_addr().unwrap());
        let http = format!("http://{}/whoami", plain.local_addr().unwrap());
        let (pem, acceptor) = acceptor();
        let suite =
            suite(Suite::new(if redirected { http } else { https.clone() }), pem).scope("read").only("aud-");
        let attacker = suite.start().await.unwrap();
        let api = Arc::new(Api::new("aud-missing", [attacker.issuer()]));
        tokio::spawn(server::serve_tls(api, secure, acceptor));
        let location = https.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = plain.accept().await {
                let head = format!("HTTP/1.1 308 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
            }
        });
        (attacker, https)
    }

    #[tokio::test]
    async fn a_redirect_to_https_is_followed_and_said() {
        let (attacker, https) = over_tls(true, |suite, _| suite).await;
        let mut steps = Vec::new();
        let report = attacker.run(&mut |step| steps.push(step.to_owned())).await.unwrap();
        assert_eq!((report.exit_code(), &report.target), (1, &https), "{report}");
        assert!(
            steps.iter().any(|step| step.starts_with("308 at http://") && step.ends_with(&https)),
            "{steps:?}"
        );
        assert_eq!(report.summary.let_in, 1, "{report}");
    }

    #[tokio::test]
    async fn the_authority_is_compared_where_it_is_named() {
        let (attacker, _) = over_tls(false, |suite, pem| suite.ca(pem)).await;
        assert_eq!(attacker.run(&mut |_| {}).await.unwrap().exit_code(), 1);
        let (other, _) = acceptor();
        let (attacker, _) = over_tls(false, |suite, _| suite.ca(other).wait(Duration::ZERO)).await;
        let error = attacker.run(&mut |_| {}).await.unwrap_err().to_string();
        assert!(error.contains("the connection: closed"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_elsewhere_is_explained() {
    use tokio::io::AsyncWriteExt as _;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let suite = Suite::new(format!("http://{}/whoami", listener.local_addr().unwrap())).wait(Duration::ZERO);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = "HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(head.as_bytes()).await;
        }
    });
    let error = suite.start().await.unwrap().run(&mut |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("sends requests on") && error.contains("https://login.example/"), "{error}");
}

//! What counting costs a request, with the feature `metrics`:
//! `cargo bench -p tower-oauth-guard --features metrics --bench telemetry`.
//!
//! A known token, without a recorder and with that of Prometheus, in turns. What the feature costs where no recorder is
//! installed is the difference to `speed -- known` of a build without it.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

#[path = "../../oauth-client/benches/measure/paired.rs"]
mod paired;
mod setting;
#[path = "../../oauth-client/benches/measure/summary.rs"]
mod summary;
#[path = "../../oauth-client/benches/measure/yardstick.rs"]
mod yardstick;

use metrics_exporter_prometheus::PrometheusBuilder;
use oauth_mock::Alg;
use tower::Layer;

use self::paired::{REQUESTS, each, paired};
use self::setting::{Bare, Setting, request, run};
use self::summary::{Summary, is_measuring, is_wanted};
use self::yardstick::Yardstick;

fn main() {
    let rounds = if is_measuring() { 600 } else { 2 };
    let (mut summary, mut yardstick) = (Summary::new(), Yardstick::new());
    yardstick.measure();
    let setting = Setting::new(Alg::Rs256);
    let token = setting.token();
    let service = setting.builder().build().expect("a guard").layer().layer(Bare);
    assert_eq!(run(service.clone(), request(&token)), 200);
    let make = || request(&token);
    let recorder = PrometheusBuilder::new().build_recorder();

    if is_wanted("silent") {
        let found = paired(
            rounds,
            || each(REQUESTS, make, |request| run(service.clone(), request)),
            || each(REQUESTS, make, |request| run(Bare, request)),
        );
        println!("no recorder: {:.0} ns guarded, {:.0} ns bare", found.ours, found.theirs);
        summary.tell("guard_cached_silent_added_ns", found.added);
        yardstick.measure();
    }
    if is_wanted("counted") {
        let found = paired(
            rounds,
            || {
                metrics::with_local_recorder(&recorder, || {
                    each(REQUESTS, make, |request| run(service.clone(), request))
                })
            },
            || each(REQUESTS, make, |request| run(service.clone(), request)),
        );
        let rendered = recorder.handle().render();
        assert!(rendered.contains("oauth_guard_requests_total"), "it is counted: {rendered}");
        println!("Prometheus: {:.0} ns with it, {:.2} times", found.ours, found.ratio);
        summary.tell("guard_metrics_added_ns", found.added);
        yardstick.measure();
    }
    yardstick.finish(&mut summary);
    summary.finish();
}

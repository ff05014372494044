//! A refresh that fails: shared by all, held back for as long as it must be, and never the end of a good token.

use std::time::Duration;

use oauth_mock::{Endpoint, Fault, MockClient};

use crate::support::{LIFETIME, advance, callers, fixture, fixture_with, settle};

/// 50 callers, and 50 more every second, on an endpoint that says "not before 30 s".
async fn no_request_is_sent_before_retry_after(fault: Fault) {
    let fixture = fixture();
    fixture.server.fault(Endpoint::Token, fault).times(1);
    let source = fixture.source();
    for second in 0..30 {
        for result in callers(&source, 50).await {
            let error = result.unwrap_err();
            let wait = error.retry_after().unwrap();
            assert_eq!((error.code(), error.status().unwrap().as_u16()), ("server_error", 503));
            assert!(
                wait <= Duration::from_secs(30 - second)
                    && wait > Duration::from_secs(28_u64.saturating_sub(second)),
                "{wait:?}"
            );
        }
        assert_eq!(fixture.count(Endpoint::Token), 1, "at {second} s");
        advance(1).await;
    }
    assert!(callers(&source, 50).await.iter().all(Result::is_ok));
    assert_eq!(fixture.count(Endpoint::Token), 2);
}

#[tokio::test(start_paused = true)]
async fn retry_after_in_seconds_holds_all_callers_back() {
    no_request_is_sent_before_retry_after(Fault::status(503).retry_after_secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn retry_after_as_a_date_holds_all_callers_back() {
    no_request_is_sent_before_retry_after(Fault::status(503).retry_after_date(Duration::from_secs(30))).await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_that_fits_the_time_limit_is_waited_out() {
    for status in [429, 503] {
        let fixture = fixture();
        fixture.server.fault(Endpoint::Token, Fault::status(status).retry_after_secs(2)).times(1);
        let source = fixture.source();
        assert!(callers(&source, 50).await.iter().all(Result::is_ok));
        let at: Vec<_> =
            fixture.server.journal().of(Endpoint::Token).iter().map(|request| request.at_unix).collect();
        assert_eq!(at.len(), 2);
        assert!((2..=3).contains(&(at[1] - at[0])), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_absurd_retry_after_is_capped_or_ignored() {
    for (value, least, most) in [
        ("7200", 7200, 7200),
        ("999999999", 86_400, 86_400),
        ("99999999999999999999999999", 86_400, 86_400),
        ("-1", 0, 1),
        ("soon", 0, 1),
        ("1e3", 0, 1),
        ("0", 0, 1),
    ] {
        let fixture = fixture();
        fixture
            .server
            .fault(Endpoint::Token, Fault::status(503).header(http::header::RETRY_AFTER, value))
            .always();
        let source = fixture.source();
        let began = tokio::time::Instant::now();
        let error = source.token().await.unwrap_err();
        let wait = error.retry_after().unwrap();
        assert!(wait >= Duration::from_secs(least) && wait <= Duration::from_secs(most), "{value}: {wait:?}");
        if least == 0 {
            assert_eq!(fixture.count(Endpoint::Token), 3, "{value}");
            assert!(began.elapsed() >= Duration::from_millis(300), "{value}: it backs off between tries");
        } else {
            assert_eq!(fixture.count(Endpoint::Token), 1, "{value}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_tried_again_inside_the_one_refresh() {
    for status in [500, 502, 503, 504, 429] {
        let fixture = fixture();
        fixture.server.fault(Endpoint::Token, Fault::status(status)).times(2);
        let source = fixture.source();
        assert!(callers(&source, 100).await.iter().all(Result::is_ok), "{status}");
        assert_eq!(fixture.count(Endpoint::Token), 3, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_failure_backs_off_ever_longer_and_recovers() {
    let fixture = fixture();
    fixture.server.fault(Endpoint::Token, Fault::status(400)).always();
    let source = fixture.source();
    let mut waits = Vec::new();
    for round in 1..=8 {
        let got = callers(&source, 100).await;
        waits.push(got[0].as_ref().unwrap_err().retry_after().unwrap());
        assert_eq!(fixture.count(Endpoint::Token), round, "one request for all in each round");
        assert_eq!(source.status().failures, u32::try_from(round).unwrap());
        tokio::time::sleep(waits[round - 1]).await;
    }
    assert!(waits[0] <= Duration::from_secs(1) && waits[7] >= Duration::from_secs(45), "{waits:?}");
    assert!(waits[7] <= Duration::from_secs(60), "{waits:?}");
    fixture.server.clear_faults();
    source.token().await.unwrap();
    let status = source.status();
    assert_eq!((status.failures, status.last_error, status.next_attempt), (0, None, None));
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_leaves_a_valid_token_in_use() {
    let faults = [
        Fault::status(500),
        Fault::status(400),
        Fault::status(401),
        Fault::html_ok(),
        Fault::malformed_json(),
        Fault::truncated(),
        Fault::reset(),
        Fault::redirect("https://evil.example/token"),
        Fault::oversized(2 << 20),
        Fault::body(200, "application/json", r#"{"access_token":"x","token_type":"mac"}"#),
    ];
    for fault in faults {
        let fixture = fixture();
        let source = fixture.source();
        source.token().await.unwrap();
        let shown = format!("{fault:?}");
        fixture.server.fault(Endpoint::Token, fault).always();
        advance(LIFETIME - 40).await;
        for _ in 0..30 {
            assert_eq!(source.token().await.unwrap().generation(), 1, "{shown}");
            advance(1).await;
        }
        assert!(source.status().last_error.is_some(), "{shown}");
        assert!(
            fixture.count(Endpoint::Token) <= 1 + 3 * 6,
            "{shown}: {} requests",
            fixture.count(Endpoint::Token)
        );
        fixture.server.clear_faults();
        advance(60).await;
        assert_eq!(source.token().await.unwrap().generation(), 2, "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_releases_all_callers_at_the_time_limit() {
    for fault in [Fault::hang(), Fault::hang_mid_body(), Fault::drip(Duration::from_secs(1))] {
        let fixture = fixture();
        fixture.server.fault(Endpoint::Token, fault).always();
        let source = fixture.source();
        let began = tokio::time::Instant::now();
        for result in callers(&source, 50).await {
            assert_eq!(result.unwrap_err().code(), "timeout");
        }
        assert!(began.elapsed() <= Duration::from_millis(10_100), "{:?}", began.elapsed());
        assert_eq!(fixture.count(Endpoint::Token), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_born_expired_is_returned_once_and_causes_no_loop() {
    for expires_in in ["0", "-1", "\"-5\""] {
        let fixture = fixture();
        let body =
            format!(r#"{{"access_token":"stillborn","token_type":"Bearer","expires_in":{expires_in}}}"#);
        fixture.server.fault(Endpoint::Token, Fault::body(200, "application/json", body)).always();
        let source = fixture.source();
        assert!(callers(&source, 100).await.iter().all(Result::is_ok), "all who waited get it");
        assert_eq!(fixture.count(Endpoint::Token), 1);
        advance(100).await;
        assert_eq!(fixture.count(Endpoint::Token), 1, "nothing runs by itself");
        assert!(source.current().is_none(), "it is not good for another use");
        source.token().await.unwrap();
        assert_eq!(fixture.count(Endpoint::Token), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn without_expires_in_the_stated_default_counts() {
    let fixture = fixture_with(MockClient::default().without_expires_in());
    let source = fixture.source();
    source.token().await.unwrap();
    assert_eq!(source.status().expires_in, Some(Duration::from_secs(3600)));
    let short = fixture.source_builder().default_lifetime(Duration::from_secs(30)).build().unwrap();
    short.token().await.unwrap();
    assert_eq!(short.status().expires_in, Some(Duration::from_secs(30)));
    advance(31).await;
    assert_eq!(short.token().await.unwrap().generation(), 2);
    assert_eq!(source.token().await.unwrap().generation(), 1);
    let error = fixture.source_builder().default_lifetime(Duration::ZERO).build().unwrap_err();
    assert!(error.to_string().contains("default_lifetime"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_how_it_stands() {
    let fixture = fixture();
    let source = fixture.source();
    assert_eq!(source.status(), Default::default());
    source.token().await.unwrap();
    advance(10).await;
    let status = source.status();
    assert_eq!((status.generation, status.token_requests), (Some(1), 1));
    assert_eq!(status.age, Some(Duration::from_secs(10)));
    assert_eq!(status.expires_in, Some(Duration::from_secs(LIFETIME - 10)));
    source.reject(1);
    fixture.server.fault(Endpoint::Token, Fault::status(503).retry_after_secs(30)).times(1);
    source.token().await.unwrap_err();
    settle().await;
    let status = source.status();
    assert_eq!((status.generation, status.last_error.as_deref()), (None, Some("server_error")));
    assert!(status.next_attempt.is_some_and(|wait| wait > Duration::from_secs(29)));
}

//! A store that fails for good: callers do not wait for it, and are told once.

use std::time::Duration;

use oauth_client::store::{FileStore, TokenStore as _};
use oauth_mock::{Endpoint, MockClient};
use tokio::time::Instant;

use crate::support::{Events, LIFETIME, Scripted, advance, callers, fixture, fixture_with};

fn failures(events: &Events) -> Vec<String> {
    events.take().into_iter().filter(|event| event.starts_with("store: ")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_needs_no_person_does_not_wait_for_a_store_that_is_broken_and_says_so_once() {
    let fixture = fixture();
    let (store, events) = (Scripted::default(), Events::default());
    for trouble in [true, false] {
        {
            let mut script = store.script();
            for part in if trouble { ["loads", "writes"] } else { ["writes", "writes"] } {
                let part = if part == "loads" { &mut script.loads } else { &mut script.writes };
                (part.failures, part.lasting) = (usize::MAX, true);
            }
        }
        let source = fixture.source_builder().store(store.clone()).on_event(events.hook()).build().unwrap();
        for round in 1..=5 {
            let began = Instant::now();
            assert!(callers(&source, 20).await.iter().all(Result::is_ok));
            assert_eq!(began.elapsed(), Duration::ZERO, "round {round}");
            advance(LIFETIME + 1).await;
        }
        let said = failures(&events);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("row 7 is damaged; restore it"), "{said:?}");

        // The tries go on meanwhile: once it is mended, what it missed is written without a further call.
        let token = source.token().await.unwrap();
        {
            let mut script = store.script();
            (script.loads.failures, script.writes.failures) = (0, 0);
        }
        advance(61).await;
        assert_eq!(&store.last_written().unwrap(), token.tokens());
        assert!(events.take().contains(&"persisted".to_owned()));
        // And when it breaks again, that is news.
        store.script().writes.failures = usize::MAX;
        advance(LIFETIME + 1).await;
        source.token().await.unwrap();
        assert_eq!(failures(&events).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_persons_grant_fails_at_once_with_the_stores_error() {
    let fixture = fixture();
    for part in ["loads", "leases"] {
        let (store, events) = (Scripted::default(), Events::default());
        let source = fixture
            .client
            .source(fixture.person())
            .store(store.clone())
            .on_event(events.hook())
            .build()
            .unwrap();
        source.token().await.unwrap();
        let requests = fixture.count(Endpoint::Token);
        advance(LIFETIME + 1).await;
        {
            let mut script = store.script();
            let trouble = if part == "loads" { &mut script.loads } else { &mut script.leases };
            (trouble.failures, trouble.lasting) = (usize::MAX, true);
        }
        let began = Instant::now();
        let error = source.token().await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::ZERO, "{part}");
        assert!(error.code() == "store" && !error.is_transient(), "{error}");
        assert!(error.to_string().contains("row 7 is damaged"), "{error}");
        assert_eq!(fixture.count(Endpoint::Token), requests, "the refresh token was not sent");
        assert_eq!(failures(&events).len(), 1);
        {
            let mut script = store.script();
            (script.loads.failures, script.leases.failures) = (0, 0);
        }
        advance(2).await;
        assert_eq!(source.token().await.unwrap().generation(), 2, "{part}");
    }
    assert!(!fixture.refresh_token_reused());
}

/// The refresh token has been spent by then.
#[tokio::test(start_paused = true)]
async fn a_persons_token_whose_write_fails_for_good_is_released_at_once_and_kept() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    source.token().await.unwrap();
    (store.script().writes.failures, store.script().writes.lasting) = (usize::MAX, true);
    for generation in 2..=4 {
        advance(LIFETIME + 1).await;
        let began = Instant::now();
        assert_eq!(source.token().await.unwrap().generation(), generation);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
    store.script().writes.failures = 0;
    let token = source.token().await.unwrap();
    advance(61).await;
    assert_eq!(&store.last_written().unwrap(), token.tokens());
    assert!(!fixture.refresh_token_reused());
}

/// A file that is damaged, and tokens of two seconds.
#[tokio::test]
async fn a_damaged_file_costs_no_time() {
    let fixture = fixture_with(MockClient::default().token_lifetime(Duration::from_secs(2)));
    let path = std::env::temp_dir().join(format!("oauth-client-damaged-{}.json", std::process::id()));
    std::fs::write(&path, r#"{"format":"oauth-client tokens","version":1,"revision":7,"entr"#).unwrap();
    let (store, events) = (FileStore::new(&path), Events::default());
    let builder = fixture.source_builder().store(store.clone()).on_event(events.hook());
    let key = builder.store_key();
    assert!(store.load(&key).await.unwrap_err().is_permanent());
    let source = builder.build().unwrap();
    let began = Instant::now();
    for _ in 0..5 {
        source.token().await.unwrap();
        fixture.clock.suspend(Duration::from_secs(3));
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let said = failures(&events);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(path.to_str().unwrap()) && said[0].contains("damaged"), "{said:?}");
    assert_eq!(std::fs::read(&path).unwrap().last(), Some(&b'r'), "it is left as it is");
    // Moved away, it is made anew by what goes on in the background.
    std::fs::remove_file(&path).unwrap();
    source.settle().await.unwrap();
    assert!(store.load(&key).await.unwrap().is_some());
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    for entry in std::fs::read_dir(path.parent().unwrap()).unwrap().flatten() {
        if entry.file_name().to_str().is_some_and(|other| other.starts_with(&name)) {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

//! A hundred users in one file, each with a source in two processes, and all tokens expire at once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use oauth_client::clock::TestClock;
use oauth_client::store::FileStore;
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use tokio::task::JoinSet;
use tower::service_fn;

use crate::directory::Directory;

const USERS: usize = 100;

/// Takes each refresh token once: by user, the next one.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    next: HashMap<String, u64>,
    reused: Vec<String>,
    rotations: usize,
}

impl Server {
    fn rotate(&self, sent: &str) -> String {
        let mut state = self.0.lock().unwrap();
        let (user, number) = sent.split_once('.').unwrap();
        let (user, number): (_, u64) = (user.to_owned(), number.parse().unwrap());
        let next = state.next.entry(user.clone()).or_default();
        if *next == number {
            *next += 1;
            state.rotations += 1;
        } else {
            state.reused.push(sent.to_owned());
        }
        let n = number + 1;
        format!(
            r#"{{"access_token":"{user}-{n}","token_type":"Bearer","expires_in":300,"refresh_token":"{user}.{n}"}}"#
        )
    }

    fn http(&self) -> HttpClient {
        let server = self.clone();
        HttpClient::from_service(service_fn(move |request: Request<RequestBody>| {
            let server = server.clone();
            async move {
                let form = request.into_body().collect().await.unwrap().to_bytes();
                let sent = url::form_urlencoded::parse(&form).find(|(name, _)| name == "refresh_token");
                let body = server.rotate(&sent.unwrap().1);
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
            }
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_at_one_file_sends_no_refresh_token_twice() {
    let (directory, server, clock) = (Directory::new(), Server::default(), TestClock::new());
    // A store each, as two processes have.
    let sources: Vec<TokenSource> = (0..2)
        .flat_map(|_| {
            let client = Client::builder()
                .token_endpoint("https://auth.example.com/token")
                .auth(ClientAuth::basic("svc", "s3cr3t"))
                .http(server.http())
                .clock(clock.clone())
                .build()
                .unwrap();
            let store = FileStore::new(directory.file());
            (0..USERS).map(move |user| {
                let request = grant::refresh_token(format!("u{user}.0")).subject(format!("u{user}"));
                client.source(request).store(store.clone()).build().unwrap()
            })
        })
        .collect();
    for round in 1..=2 {
        let mut tasks = JoinSet::new();
        for source in sources.clone() {
            tasks.spawn(async move {
                // A busy disk may take longer than a caller waits; the next one finds what has come meanwhile.
                for _ in 0..100 {
                    if source.token().await.is_ok() {
                        return true;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                false
            });
        }
        assert!(tasks.join_all().await.into_iter().all(|fine| fine), "round {round}");
        let state = server.0.lock().unwrap();
        assert_eq!(state.reused, Vec::<String>::new(), "round {round}");
        assert_eq!(state.rotations, round * USERS, "one refresh for both sources of a user");
        drop(state);
        clock.suspend(Duration::from_secs(301));
    }
}

//! A bare tower stack whose service has one permit for all its clones: a rejection that kept it would block all requests.

use std::convert::Infallible;
use std::future::Ready;
use std::task::{Context, Poll};
use std::time::Duration;

use ::tower::limit::{ConcurrencyLimit, ConcurrencyLimitLayer};
use ::tower::util::BoxCloneService;
use ::tower::{Layer, Service, ServiceExt, service_fn};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use oauth_guard::{Claims, GuardBody, GuardLayer, GuardService};
use oauth_mock::MockServer;

use crate::{Case, Reply, Stack, cases};

type Inner = BoxCloneService<Request<Empty<Bytes>>, Response<Full<Bytes>>, Infallible>;

/// Two connections. Neither is dropped while the other is used.
pub(crate) struct Bare([GuardService<ConcurrencyLimit<Inner>>; 2]);

impl Stack for Bare {
    const NAME: &'static str = "tower, 1 permit";

    async fn behind(layer: GuardLayer) -> Self {
        let service = service_fn(|request: Request<Empty<Bytes>>| async move {
            let claims = request.extensions().get::<Claims>().unwrap();
            let subject = Bytes::from(claims.subject().unwrap().to_owned());
            Ok::<_, Infallible>(Response::new(Full::new(subject)))
        });
        let limited = ConcurrencyLimitLayer::new(1).layer(BoxCloneService::new(service));
        let service = layer.layer(limited);
        Self([service.clone(), service])
    }

    async fn ask(&mut self, authorization: &[HeaderValue]) -> Reply {
        self.0.swap(0, 1);
        let service = &mut self.0[0];
        let mut request = Request::new(Empty::new());
        for value in authorization {
            request.headers_mut().append(AUTHORIZATION, value.clone());
        }
        let asked = async { service.ready().await.unwrap().call(request).await.unwrap() };
        // An error: the permit was stranded.
        let response: Response<GuardBody<Full<Bytes>>> =
            tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply::http(head.status.as_u16(), &head.headers, &body)
    }
}

#[derive(Clone)]
struct NeverReady;

impl Service<Request<Empty<Bytes>>> for NeverReady {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
        panic!("called although it was not ready");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_never_ready_is_never_called() {
    for Case { name, authorization, .. } in cases() {
        let server = MockServer::builder().audience("stacks").in_process();
        let guard = oauth_guard::Guard::builder()
            .http(oauth_guard::HttpClient::from_service(server.transport()))
            .clock(oauth_guard::clock::TestClock::new())
            .issuer(oauth_guard::Issuer::new(server.issuer()).audience("stacks"))
            .build()
            .unwrap();
        let mut request = Request::new(Empty::new());
        for value in authorization(&server) {
            request.headers_mut().append(AUTHORIZATION, value.try_into().unwrap());
        }
        let asked = guard.layer().layer(NeverReady).oneshot(request);
        tokio::select! {
            reply = asked => panic!("{name}: {:?}", reply.map(|reply| reply.status())),
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
    }
}

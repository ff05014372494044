//! Used proofs and revocations over a real redis-server, on good days and on bad ones. Where redis-server is not
//! installed, each test says so and is skipped.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

#[path = "../../../../oauth-client/redis/tests/redis/certificates.rs"]
#[expect(dead_code, reason = "each of its users needs a part of it")]
mod certificates;
mod failover;
mod feed;
mod processes;
#[path = "../../../../oauth-client/redis/tests/redis/proxy.rs"]
#[expect(dead_code, reason = "each of its users needs a part of it")]
mod proxy;
mod replay;
#[path = "../../../../oauth-client/redis/tests/redis/server.rs"]
#[expect(dead_code, reason = "each of its users needs a part of it")]
mod server;
mod tls;

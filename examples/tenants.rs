//! Run with `cargo run --example tenants`. One API for many tenants, each with an issuer of its own that is looked up when its
//! first token arrives; and another configuration, put in force while the API runs. The issuers are mocks in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::routing::get;
use oauth_guard::{Claims, Guard, Issuer, Requirement, Rule};
use oauth_mock::MockServer;

/// What this API knows of a tenant, besides its issuer.
#[derive(Clone)]
struct Tenant {
    database: String,
}

/// In place of a table in a database: tenants by the name of their issuer.
type Tenants = Arc<Mutex<HashMap<String, Tenant>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let auth = MockServer::builder()
        .audience("orders-api")
        .issuer("acme")
        .issuer("globex")
        .issuer("evil")
        .start()
        .await;
    let tenants = Tenants::default();
    for name in ["acme", "globex"] {
        let tenant = Tenant { database: format!("orders_{name}") };
        tenants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(auth.issuer_named(name).issuer().to_owned(), tenant);
    }

    // Asked once for each issuer that a token names, known or not; what is unknown is remembered for a while.
    let known = Arc::clone(&tenants);
    let guard = Guard::builder()
        .resolve_issuers(move |name: String| {
            let tenant = known.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
            async move {
                let issuer = tenant.map(|tenant| Issuer::new(name).audience("orders-api").data(tenant));
                Ok::<_, std::io::Error>(issuer)
            }
        })
        .max_tenants(10_000)
        .rule(Rule::new("/orders").require(Requirement::scope("read")))
        .build()?;
    let app = Router::new().route("/orders", get(orders)).layer(guard.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/orders", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let http = reqwest::Client::new();
    let call = async |tenant: &str| {
        let token = auth.issuer_named(tenant).mint().scope("read").build();
        let response = http.get(&url).bearer_auth(token).send().await?;
        let status = response.status().as_u16();
        println!("{tenant}: {status} {}", response.text().await?);
        Ok::<_, reqwest::Error>(status)
    };
    assert_eq!((call("acme").await?, call("globex").await?, call("evil").await?), (200, 200, 401));
    println!("known tenants: {:?}", guard.health().tenants.map(|tenants| tenants.known));

    // A tenant that leaves is unknown from the next request on, cached tokens included.
    let left = auth.issuer_named("globex").issuer();
    tenants.lock().unwrap_or_else(PoisonError::into_inner).remove(left);
    guard.forget_issuer(left);
    assert_eq!((call("acme").await?, call("globex").await?), (200, 401));

    // Other rules, without a restart. The resolver stays; requests under way end under the rules they began with.
    guard.reload(Guard::builder().rule(Rule::new("/orders").require(Requirement::scope("orders:read"))))?;
    assert_eq!(call("acme").await?, 403);
    Ok(())
}

async fn orders(claims: Claims) -> String {
    let database = claims.issuer_data::<Tenant>().map_or("none", |tenant| &tenant.database);
    format!("orders out of {database}")
}

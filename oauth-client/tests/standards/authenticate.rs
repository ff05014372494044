//! Who the client is: RFC 6749 section 2.3 and its extensions.

use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, grant};
use oauth_mock::{Endpoint, MockClient, MockServer};

crate::rows! {
    "RFC 6749" "2.3.1" "id and secret are form-encoded in the Authorization header" => basic_is_form_encoded,
    "RFC 6749" "2.3" "the secret goes out in one place only" => the_secret_goes_out_in_one_place,
}

const ODD_SECRET: &str = "p%q: r+ß";

async fn ask(auth: ClientAuth) -> MockServer {
    let server = MockServer::builder().client(MockClient::new("a:b c").secret(ODD_SECRET)).in_process();
    let client = Client::builder()
        .issuer(server.issuer())
        .auth(auth)
        .http(HttpClient::from_service(server.transport()))
        .build()
        .unwrap();
    client.request(&grant::client_credentials()).await.unwrap();
    server
}

async fn basic_is_form_encoded() {
    // The mock decodes as RFC 6749 says and compares; it gives no token for anything else.
    ask(ClientAuth::basic("a:b c", ODD_SECRET)).await;
}

async fn the_secret_goes_out_in_one_place() {
    for auth in [ClientAuth::basic("a:b c", ODD_SECRET), ClientAuth::post("a:b c", ODD_SECRET)] {
        let is_basic = format!("{auth:?}").contains("client_secret_basic");
        let server = ask(auth).await;
        let request = &server.journal().of(Endpoint::Token)[0];
        assert_eq!(request.param("client_secret").is_some(), !is_basic);
        assert_eq!(request.header("authorization").is_some(), is_basic);
    }
}

//! nginx and Envoy end the TLS of clients with certificates, strip a prefix of the path, and hand both on.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use oauth_mock::{Alg, ClientCertificate, MockServer, TestKey};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::api::Api;
use crate::foreign::{ENVOY_HOW, Folder, NGINX, envoy, listening};

/// A proxy in front of `protected_api`, and what its callers need.
struct Judged {
    issuer: MockServer,
    authority: MockServer,
    api: Api,
    /// The address of `/read`, as callers know it.
    url: String,
    _proxy: Child,
    _folder: Folder,
}

/// How a proxy is started: with the folder of its files, where it listens, and where the API does.
type Start = fn(&Folder, SocketAddr, SocketAddr) -> Command;

impl Judged {
    async fn start(source: &str, start: Start) -> Self {
        let issuer = MockServer::start().await;
        let authority = MockServer::builder().client_certificates().in_process();
        let top = "trusted_proxies = [\"127.0.0.1/32\"]";
        let tables = format!("[dpop]\n[certificates]\nsource = \"{source}\"");
        let api = Api::start(&format!("judge-{source}"), issuer.issuer(), top, &tables).await;
        let (folder, address) = (Folder::new(source), crate::free_port());
        let own = authority.client_certificate("proxy");
        folder.write("proxy.pem", &own.cert_pem());
        folder.write("proxy.key", &own.key_pem());
        folder.write("ca.pem", &authority.ca_pem());
        let mut command = start(&folder, address, api.address);
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let proxy = command.spawn().unwrap();
        listening(address).await;
        let url = format!("https://{address}/shop/read");
        Self { issuer, authority, api, url, _proxy: proxy, _folder: folder }
    }

    /// A token that is bound like this.
    fn token(&self, cnf: Value) -> String {
        self.issuer.mint().audience("orders-api").scope("read").claim("cnf", cnf).build()
    }

    fn proof(&self, key: &TestKey, url: &str, token: &str) -> String {
        self.issuer.dpop_proof(key, "GET", url).access_token_hash(token).build()
    }

    /// Status and challenge of a request through the proxy.
    async fn ask(&self, certificate: Option<&ClientCertificate>, headers: &[(&str, &str)]) -> (u16, String) {
        let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy();
        let client = match certificate {
            None => client,
            Some(one) => {
                let pem = format!("{}{}", one.key_pem(), one.cert_pem());
                client.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap())
            }
        };
        sent(client.build().unwrap().get(&self.url), headers).await
    }

    /// The same straight at the API, from an address that is no proxy's.
    async fn past_the_proxy(&self, headers: &[(&str, &str)]) -> (u16, String) {
        let client = reqwest::Client::builder().local_address(IpAddr::from([127, 0, 0, 2])).no_proxy();
        sent(client.build().unwrap().get(self.api.url("/read")), headers).await
    }
}

async fn sent(mut request: reqwest::RequestBuilder, headers: &[(&str, &str)]) -> (u16, String) {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let challenge = response.headers().get_all("www-authenticate").iter();
    let challenge: Vec<_> = challenge.filter_map(|value| value.to_str().ok()).collect();
    (response.status().as_u16(), challenge.join(", "))
}

/// What holds behind each proxy. `smuggled` is the header that it writes, with the right certificate.
async fn judge(judged: &Judged, header: &str, smuggled: impl Fn(&ClientCertificate) -> String) {
    let [own, other] = ["orders", "another"].map(|name| judged.authority.client_certificate(name));
    let thumbprint = own.thumbprint();
    let refused = |(status, challenge): (u16, String), error: &str| {
        assert!(status == 401 && challenge.contains(error), "{status} {challenge}");
    };

    // A certificate, as the proxy hands it on.
    let token = judged.token(json!({"x5t#S256": thumbprint}));
    let bearer = format!("Bearer {token}");
    let credentials = [("authorization", bearer.as_str())];
    assert_eq!(judged.ask(Some(&own), &credentials).await.0, 200);
    refused(judged.ask(Some(&other), &credentials).await, "invalid_token");
    refused(judged.ask(None, &credentials).await, "invalid_token");
    // The proxy's header, written by the client: the proxy takes it out.
    let value = smuggled(&own);
    let with_header = [credentials[0], (header, value.as_str())];
    refused(judged.ask(None, &with_header).await, "invalid_token");
    refused(judged.ask(Some(&other), &with_header).await, "invalid_token");
    assert_eq!(judged.ask(Some(&own), &with_header).await.0, 200);
    // Past the proxy no one vouches for it.
    assert_eq!(judged.past_the_proxy(&with_header).await.0, 400);
    refused(judged.past_the_proxy(&credentials).await, "invalid_token");

    // A proof for the address that callers know.
    let key = TestKey::generate(Alg::Es256);
    let token = judged.token(json!({"jkt": key.thumbprint()}));
    let dpop = format!("DPoP {token}");
    let with = async |url: &str| {
        let proof = judged.proof(&key, url, &token);
        judged.ask(None, &[("authorization", &dpop), ("dpop", &proof)]).await
    };
    assert_eq!(with(&judged.url).await.0, 200);
    refused(with(&judged.api.url("/read")).await, "invalid_dpop_proof");
    refused(with(&judged.url.replace("/shop", "")).await, "invalid_dpop_proof");
    refused(with(&judged.url.replace("https:", "http:")).await, "invalid_dpop_proof");
    // Past the proxy, its headers do not count.
    let proof = judged.proof(&key, &judged.url, &token);
    let host = judged.url.trim_start_matches("https://").trim_end_matches("/shop/read");
    let forwarded =
        [("x-forwarded-proto", "https"), ("x-forwarded-host", host), ("x-forwarded-prefix", "/shop")];
    let bound = [("authorization", dpop.as_str()), ("dpop", &proof)];
    let (status, challenge) = judged.past_the_proxy(&[&bound[..], &forwarded].concat()).await;
    refused((status, challenge), "invalid_dpop_proof");

    // Both bindings on one token: both hold.
    let token = judged.token(json!({"jkt": key.thumbprint(), "x5t#S256": thumbprint}));
    let dpop = format!("DPoP {token}");
    let with = async |certificate| {
        let proof = judged.proof(&key, &judged.url, &token);
        judged.ask(certificate, &[("authorization", &dpop), ("dpop", &proof)]).await
    };
    assert_eq!(with(Some(&own)).await.0, 200);
    refused(with(Some(&other)).await, "invalid_token");
    refused(with(None).await, "invalid_token");
    refused(judged.ask(Some(&own), &[("authorization", &dpop)]).await, "invalid_dpop_proof");
}

#[tokio::test]
#[ignore = "needs nginx or Envoy; see tests/README.md"]
async fn nginx_hands_certificates_and_addresses_on() {
    if !crate::is_there(Path::new(NGINX).is_file(), "nginx", "apt-get install nginx-light") {
        return;
    }
    let judged = Judged::start("nginx", |folder, address, api| {
        let there = folder.0.display();
        let text = format!(
            "daemon off; master_process off; pid {there}/pid; error_log {there}/error.log; worker_processes 1; events {{}}\n\
             http {{ access_log off; client_body_temp_path {there}/body; proxy_temp_path {there}/proxy;\n\
             fastcgi_temp_path {there}/fastcgi; uwsgi_temp_path {there}/uwsgi; scgi_temp_path {there}/scgi;\n\
             server {{ listen {address} ssl; ssl_certificate {there}/proxy.pem;\n\
             ssl_certificate_key {there}/proxy.key; ssl_client_certificate {there}/ca.pem;\n\
             ssl_verify_client optional;\n\
             location /shop/ {{ proxy_pass http://{api}/; proxy_http_version 1.1;\n\
             proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;\n\
             proxy_set_header X-Forwarded-Prefix /shop;\n\
             proxy_set_header Ssl-Client-Cert $ssl_client_escaped_cert; }} }} }}\n"
        );
        let config = folder.write("nginx.conf", &text);
        let mut command = Command::new(NGINX);
        command.arg("-e").arg(folder.0.join("error.log")).arg("-c").arg(config);
        command
    })
    .await;
    judge(&judged, "ssl-client-cert", |certificate| escaped(&certificate.cert_pem())).await;
}

#[tokio::test]
#[ignore = "needs nginx or Envoy; see tests/README.md"]
async fn envoy_hands_certificates_and_addresses_on() {
    if !crate::is_there(envoy().is_file(), "Envoy", ENVOY_HOW) {
        return;
    }
    let judged = Judged::start("xfcc", |folder, address, api| {
        let config = folder.write("envoy.json", &envoy_config(&folder.0, address, api).to_string());
        let mut command = Command::new(envoy());
        command.arg("-c").arg(config).args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "off"]);
        command
    })
    .await;
    judge(&judged, "x-forwarded-client-cert", |certificate| {
        format!("Cert=\"{}\"", escaped(&certificate.cert_pem()))
    })
    .await;
}

fn envoy_config(folder: &Path, address: SocketAddr, api: SocketAddr) -> Value {
    let socket = |address: SocketAddr| {
        let (host, port) = (address.ip().to_string(), address.port());
        json!({"socket_address": {"address": host, "port_value": port}})
    };
    let file = |name: &str| json!({"filename": folder.join(name)});
    let add = |key: &str, value: &str| json!({"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"});
    let types = "type.googleapis.com/envoy.extensions";
    let route = json!({
        "match": {"prefix": "/shop/"},
        "route": {"cluster": "api", "prefix_rewrite": "/"},
        "request_headers_to_add": [
            add("x-forwarded-host", "%REQ(:AUTHORITY)%"), add("x-forwarded-prefix", "/shop"),
        ],
    });
    let manager = json!({
        "@type": format!("{types}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "judge",
        "use_remote_address": true,
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"subject": true, "cert": true, "dns": true, "uri": true},
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": format!("{types}.filters.http.router.v3.Router")},
        }],
    });
    let tls = json!({
        "@type": format!("{types}.transport_sockets.tls.v3.DownstreamTlsContext"),
        "require_client_certificate": false,
        "common_tls_context": {
            "tls_certificates": [{"certificate_chain": file("proxy.pem"), "private_key": file("proxy.key")}],
            "validation_context": {"trusted_ca": file("ca.pem")},
        },
    });
    let endpoint = json!({"endpoint": {"address": socket(api)}});
    json!({"static_resources": {
        "listeners": [{
            "address": socket(address),
            "filter_chains": [{
                "filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": manager,
                }],
                "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
            }],
        }],
        "clusters": [{
            "name": "api",
            "type": "STATIC",
            "load_assignment": {"cluster_name": "api", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }],
    }})
}

/// Everything but the unreserved characters of RFC 3986 section 2.3.
fn escaped(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escape = |byte: u8| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(escape).collect()
}

use std::convert::Infallible;
use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::{Request, Response};
use http_body_util::Full;

use super::*;
use crate::transport::{HttpClient, Limits, RequestBody};

const PLAIN: &[u8] = br#"{"access_token":"a1","refresh_token":"r1"}"#;

fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn raw(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

async fn received(codings: &'static [&'static str], body: Vec<u8>) -> Result<Bytes, Error> {
    let response = received_with(200, codings, body).await?;
    assert!(!response.headers().contains_key("content-encoding"));
    assert!(!response.headers().contains_key("content-length"));
    Ok(response.into_body())
}

async fn received_with(
    status: u16,
    codings: &'static [&'static str],
    body: Vec<u8>,
) -> Result<Response<Bytes>, Error> {
    let http = HttpClient::from_service(tower::service_fn(move |_: Request<RequestBody>| {
        let mut response = Response::builder().status(status).header("content-length", body.len());
        for coding in codings {
            response = response.header("content-encoding", *coding);
        }
        let response = response.body(Full::from(body.clone())).unwrap();
        async move { Ok::<_, Infallible>(response) }
    }));
    let request = Request::get("https://a/").body(Bytes::new()).unwrap();
    http.send(request, &Limits::token()).await
}

#[tokio::test]
async fn what_comes_compressed_is_read_all_the_same() {
    let twice = [gzipped(&PLAIN[..10]), gzipped(&PLAIN[10..])].concat();
    let padded = [gzipped(PLAIN), vec![0; 64]].concat();
    let cut = gzipped(PLAIN)[..gzipped(PLAIN).len() - 8].to_vec();
    let (lying, stripped) = (PLAIN.to_vec(), raw(PLAIN));
    for (what, codings, body) in [
        ("gzip", &["gzip"][..], gzipped(PLAIN)),
        ("its old name", &["x-gzip"], gzipped(PLAIN)),
        ("in capitals, with a space", &[" GZIP "], gzipped(PLAIN)),
        ("two codings in one header", &["deflate, gzip"], gzipped(&zlib(PLAIN))),
        ("two codings in two headers", &["gzip", "gzip"], gzipped(&gzipped(PLAIN))),
        ("beside identity", &["identity, gzip"], gzipped(PLAIN)),
        ("two members", &["gzip"], twice),
        ("padding at its end", &["gzip"], padded),
        ("without its checksum", &["gzip"], cut),
        ("deflate", &["deflate"], zlib(PLAIN)),
        ("deflate without zlib's header", &["deflate"], stripped),
        ("a header that a proxy left", &["gzip"], lying.clone()),
        ("the same with deflate", &["deflate"], lying),
    ] {
        let read = received(codings, body).await;
        assert_eq!(read.unwrap_or_else(|error| panic!("{what}: {error}")), PLAIN, "{what}");
    }
    assert_eq!(received(&["gzip"], Vec::new()).await.unwrap(), "", "an empty body");
}

#[test]
fn the_plain_text_is_wiped_with_its_last_clone_and_each_buffer_it_outgrew() {
    use super::super::body::tests::DROPPED;
    let secret: String = (0..PIECE).map(|n| format!("s3cr3t-{n} ")).collect();
    let packed = Bytes::from(gzipped(&zlib(secret.as_bytes())));
    DROPPED.take();
    let plain = decoded(packed, &[Coding::Deflate, Coding::Gzip], 1024 * 1024).unwrap();
    assert_eq!(plain, secret);
    let outgrown = DROPPED.take();
    assert!(outgrown.len() > 3 && outgrown.concat().iter().all(|byte| *byte == 0));
    let clone = plain.slice(3..);
    drop(plain);
    assert!(DROPPED.take().is_empty(), "still in use");
    drop(clone);
    assert_eq!(DROPPED.take(), [vec![0; secret.len()]]);

    decoded(gzipped(secret.as_bytes()).into(), &[Coding::Gzip], secret.len() - 1).unwrap_err();
    let buffers = DROPPED.take();
    assert!(!buffers.is_empty() && buffers.concat().iter().all(|byte| *byte == 0), "also what is too large");
}

/// Servers write there what belongs into `Content-Type`. A rotated refresh token must not be lost by it.
#[tokio::test]
async fn text_is_taken_as_it_stands_when_the_header_names_no_coding() {
    for codings in [&["utf-8"][..], &["UTF-8"], &["none"], &["binary"], &["gzip, utf-8"]] {
        let read = received(codings, PLAIN.to_vec()).await;
        assert_eq!(read.unwrap_or_else(|error| panic!("{codings:?}: {error}")), PLAIN);
    }
    assert_eq!(received(&["utf-8, gzip"], gzipped(PLAIN)).await.unwrap(), PLAIN);
    let error = received(&["lz9"], vec![0x8b, 0x14, 0x80]).await.unwrap_err();
    assert!(error.code() == "malformed_response" && error.to_string().contains("\"lz9\""), "{error}");
}

#[tokio::test]
async fn the_status_of_an_error_counts_also_when_its_body_cannot_be_read() {
    let mut damaged = gzipped(PLAIN);
    damaged[12] ^= 0xff;
    for (codings, body) in [
        (&["gzip"][..], damaged),
        (&["br"], vec![0x8b, 0x14, 0x80]),
        (&["gzip, gzip, gzip, gzip"], PLAIN.to_vec()),
        (&["gzip"], gzipped(&[b' '; 1_000_000])),
        (&[], vec![b'x'; 1_000_000]),
    ] {
        let response = received_with(503, codings, body).await.unwrap();
        assert_eq!(response.status(), 503);
        assert!(response.body().len() <= 64 * 1024);
    }
}

#[tokio::test]
async fn damage_is_an_error_and_no_panic() {
    let mut damaged = gzipped(PLAIN);
    damaged[12] ^= 0xff;
    for (codings, body) in
        [(&["gzip"][..], damaged), (&["gzip"], vec![0x1f, 0x8b]), (&["deflate"], vec![0x07, 0x07])]
    {
        let error = received(codings, body).await.unwrap_err();
        assert_eq!(error.code(), "malformed_response");
    }
    let error = received(&["gzip, gzip, gzip, gzip"], PLAIN.to_vec()).await.unwrap_err();
    assert!(error.to_string().contains("more codings"), "{error}");
}

/// 200 MB of blanks are 200 kB of gzip, and a few hundred bytes when packed twice.
#[tokio::test]
async fn the_cap_counts_decoded_bytes_and_memory_stays_small() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let blanks = vec![b' '; 1_000_000];
    for _ in 0..200 {
        encoder.write_all(&blanks).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 400_000, "{}", bomb.len());
    let twice = gzipped(&bomb);
    let (most, once) = (1024 * 1024, Bytes::from(bomb.clone()));
    let mut used = 0;
    let info = allocation_counter::measure(|| {
        let error = decoded(once, &[Coding::Gzip], most).unwrap_err();
        used = usize::from(error.code() == "too_large");
    });
    assert_eq!(used, 1);
    assert!(info.bytes_max < 4 * 1024 * 1024, "{} bytes at most", info.bytes_max);
    assert_eq!(received(&["gzip"], bomb).await.unwrap_err().code(), "too_large");
    assert_eq!(received(&["gzip", "gzip"], twice).await.unwrap_err().code(), "too_large");
    assert_eq!(decoded(gzipped(&[b' '; 11]).into(), &[Coding::Gzip], 10).unwrap_err().code(), "too_large");
    assert_eq!(decoded(gzipped(&[b' '; 10]).into(), &[Coding::Gzip], 10).unwrap().len(), 10);
}

//! Documents of the file store: what is read can be written and is read again, a file that is not ours stays as it is, and
//! no error quotes a token.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use bytes::Bytes;
use oauth_client::clock::TestClock;
use oauth_client::store::{FileStore, StoreKey, Swap, TokenStore};
use oauth_client::{Client, ClientAuth, TokenSet, grant};
use serde_json::{Value, json};

use crate::fixture::{NOW, json_server, run, within};
use crate::json::strings;
use crate::secrets::{assert_hidden_in_debug, assert_hidden_in_error};
use crate::target::{Target, bounded};

pub const TARGET: Target = Target { check, seeds };

/// In memory, where the system has such a place: writes are synced.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let root = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let directory = root.join(format!("oauth-fuzz-store-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("make a directory");
    directory.join("tokens.json")
});

static KEY: LazyLock<StoreKey> = LazyLock::new(key);

/// One token set, or with an `F` in front the whole file.
fn check(data: &[u8]) {
    match data.split_first() {
        Some((b'F', file)) => document(file),
        _ => token_set(data),
    }
}

fn token_set(text: &[u8]) {
    let Ok(tokens) = bounded(text.len(), || serde_json::from_slice::<TokenSet>(text)) else { return };
    let written = serde_json::to_string(&tokens).expect("it can be written");
    assert_eq!(serde_json::from_str::<TokenSet>(&written).expect("it can be read"), tokens);
    let secrets = [Some(tokens.access_token()), tokens.refresh_token(), tokens.id_token()];
    let secrets: Vec<String> =
        secrets.into_iter().flatten().map(|secret| secret.expose().to_owned()).collect();
    let others: Value = serde_json::from_slice(text).unwrap_or_default();
    let mut shown = Vec::new();
    for (name, member) in others.as_object().into_iter().flatten() {
        if !["access_token", "refresh_token", "id_token"].contains(&name.as_str()) {
            strings(member, &mut shown);
            shown.push(name.clone());
        }
    }
    let secrets: Vec<String> = secrets
        .into_iter()
        .filter(|secret| !shown.iter().any(|text| text.contains(secret.as_str())))
        .collect();
    // Words of the type itself are no secrets.
    let is_odd = |secret: &String| secret.bytes().any(|byte| byte.is_ascii_digit());
    assert_hidden_in_debug(&tokens, &secrets.into_iter().filter(is_odd).collect::<Vec<_>>());
}

fn document(file: &[u8]) {
    let key = &*KEY;
    fs::write(&*PATH, file).expect("write the file");
    let clock = within(|| TestClock::at(NOW));
    let store = FileStore::new(PATH.clone()).clock(clock);
    let stored = match run(store.load(key)) {
        Ok(stored) => stored,
        Err(error) => {
            let other: Value = serde_json::from_slice(file).unwrap_or_default();
            let mut secrets = Vec::new();
            strings(&other, &mut secrets);
            // What every such error says.
            let words = format!("{error}").replace(|char: char| !char.is_ascii_graphic(), " ");
            secrets
                .retain(|secret| !PATH.to_string_lossy().contains(secret.as_str()) && !secret.contains(' '));
            secrets.retain(|secret| {
                !words.split(' ').any(|word| word.contains(secret.as_str()) && secret.len() < 12)
            });
            assert_hidden_in_error(&error, &secrets);
            assert!(run(store.compare_and_swap(key, None, Some(&tokens()))).is_err());
            assert_eq!(fs::read(&*PATH).expect("read the file"), file, "it is left as it is");
            return;
        }
    };
    let whole: Value = serde_json::from_slice(file).expect("what is loaded is JSON");
    let entry = whole["entries"].get(key.as_str());
    assert_eq!(stored.is_some(), entry.is_some());
    if let (Some(stored), Some(entry)) = (&stored, entry) {
        let expected: TokenSet = serde_json::from_value(entry["tokens"].clone()).expect("a token set");
        assert_eq!(stored.tokens, expected);
    }
    // Another revision writes nothing; the right one replaces this entry alone.
    let revision = stored.as_ref().map(|stored| stored.revision);
    let swapped = run(store.compare_and_swap(key, revision, Some(&tokens()))).expect("it was read");
    assert!(matches!(swapped, Swap::Done(_)), "{swapped:?}");
    let again = run(store.load(key)).expect("it was written").expect("an entry");
    assert_eq!(again.tokens, tokens());
    assert_ne!(Some(again.revision), revision);
    let after: Value = serde_json::from_slice(&fs::read(&*PATH).expect("read the file")).expect("JSON");
    for (name, entry) in after["entries"].as_object().expect("entries") {
        let before = &whole["entries"][name];
        assert!(name == key.as_str() || entry["tokens"]["access_token"] == before["tokens"]["access_token"]);
    }
}

fn key() -> StoreKey {
    let client = Client::builder().token_endpoint("https://a.example/t").auth(ClientAuth::none("c"));
    let client = client.http(json_server(Bytes::new())).build().expect("a client");
    client.source(grant::client_credentials()).store_key()
}

fn tokens() -> TokenSet {
    TokenSet::new("2YotnFZFEjr1zCsicMWpAA").with_refresh_token("tGzv3JOkF0XG5Qx2TlKWIA")
}

fn seeds() -> Vec<Vec<u8>> {
    let set = json!({
        "access_token": "2YotnFZFEjr1zCsicMWpAA", "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA", "id_token": "eyJhbGciOiJub25lIn0",
        "scope": ["read", "write"], "issued_at_ms": 1_893_456_000_000_u64, "lifetime_ms": 3_600_000, "token_type": "Bearer",
        "extra": { "a": [1, null] }, "jkt": "x", "sub": "ada", "fence": 7, "family": "f", "server_date": 1,
    });
    let full = tokens().with_id_token("eyJhbGciOiJub25lIn0").with_scope(["a"]);
    let full = serde_json::to_value(full).unwrap_or_default();
    let document = |entries: Value| json!({ "format": "oauth-client tokens", "version": 1, "revision": 7, "entries": entries });
    let entry = json!({ "revision": 3, "tokens": full });
    let files = [
        document(json!({ key().as_str(): entry, "other": entry })),
        document(json!({})),
        // The last revision is below that of an entry, and the last one there is.
        document(json!({ key().as_str(): { "revision": 8, "tokens": full } })),
        document(json!({ key().as_str(): { "revision": u64::MAX, "tokens": full } })),
        document(json!({ "other": { "revision": u64::MAX, "tokens": set } })),
        json!({ "format": "oauth-client tokens", "version": 2 }),
        json!({ "format": "another" }),
    ];
    let mut seeds: Vec<Vec<u8>> = files.iter().map(|file| format!("F{file}").into_bytes()).collect();
    // The order of members that the store itself writes.
    seeds.push(b"F{\"format\":\"oauth-client tokens\",\"version\":1,\"revision\":1,\"entries\":{\"k\":{\"tokens\":{\"access_token\":\"s3cr3t-t0ken\"".to_vec());
    // The value of a member that the store does not know, and a name, with a byte that is no UTF-8.
    let later = document(json!({ "other": { "revision": 1, "tokens": set, "later": "xyz" } }));
    for place in ["xyz", "lifetime_ms"] {
        let mut damaged = format!("F{later}").into_bytes();
        if let Some(at) = damaged.windows(place.len()).position(|part| part == place.as_bytes()) {
            damaged[at + 1] = 0xdc;
        }
        seeds.push(damaged);
    }
    seeds.push(b"F".to_vec());
    seeds.push(set.to_string().into_bytes());
    seeds.push(full.to_string().into_bytes());
    seeds
}

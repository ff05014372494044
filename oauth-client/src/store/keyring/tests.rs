//! The store over a keychain in memory, whose entries hold as little as those of Windows, or which fails.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use keyring_core::api::CredentialStoreApi as _;
use keyring_core::mock;
use serde_json::json;

use super::*;
use crate::grant;
use crate::logged::Logged;
use crate::store::conformance;

/// A folder for the lock files, which is removed when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("oauth-client-keyring-{}-{name}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A store over a keychain in memory whose entries hold so many bytes.
fn store(chain: &Arc<mock::Store>, most: usize, folder: &Folder) -> KeyringStore {
    let chain = Arc::clone(chain);
    let open = move || Ok(Arc::clone(&chain) as Arc<access::Chain>);
    KeyringStore::of(Keychain::new(of(most), open)).lock_directory(&folder.0)
}

fn of(most: usize) -> access::Abilities {
    access::Abilities { most, labels: false }
}

fn key() -> StoreKey {
    StoreKey::new("https://auth.example.com", "app", &grant::refresh_token("r").subject("alice"))
}

/// Tokens of about this many bytes.
fn tokens(length: usize) -> TokenSet {
    let text = |name: &str| name.repeat(length / (3 * name.len()));
    let set = json!({
        "access_token": text("access"), "refresh_token": text("refresh"), "id_token": text("id"), "issued_at_ms": 1,
    });
    serde_json::from_value(set).unwrap()
}

/// What the keychain holds, by name.
fn held(chain: &Arc<mock::Store>) -> Vec<(String, usize)> {
    let entries = chain.search(&[].into()).unwrap_or_default();
    let length = |entry: keyring_core::Entry| {
        let name = entry.get_specifiers().map(|(_, user)| user)?;
        Some((name, entry.get_secret().ok()?.len()))
    };
    let mut held: Vec<_> = entries.into_iter().filter_map(length).collect();
    held.sort();
    held
}

async fn swap(store: &KeyringStore, expected: Option<Revision>, tokens: Option<&TokenSet>) -> Revision {
    match store.compare_and_swap(&key(), expected, tokens).await.unwrap() {
        Swap::Done(revision) => revision,
        Swap::Conflict => panic!("no other writer is there"),
    }
}

#[tokio::test]
async fn it_keeps_the_contract_of_every_store_whole_and_in_parts() {
    for most in [64 * 1024, 200] {
        let (chain, folder) = (mock::Store::new().unwrap(), Folder::new(&format!("contract-{most}")));
        conformance::check(async || store(&chain, most, &folder)).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_too_long_for_one_entry_is_divided_and_put_together() {
    let (chain, folder) = (mock::Store::new().unwrap(), Folder::new("parts"));
    let store = store(&chain, 2560, &folder);
    let mut revision = None;
    // Growing, shrinking, whole and in parts: never more than an entry may hold, and nothing is left over.
    for (length, expected) in [(6000, 4), (300, 1), (20_000, 9), (2700, 3), (6000, 4), (2700, 3), (30, 1)] {
        let tokens = tokens(length);
        revision = Some(swap(&store, revision, Some(&tokens)).await);
        assert_eq!(store.load(&key()).await.unwrap().unwrap().tokens, tokens);
        let held = held(&chain);
        assert!(held.iter().all(|(_, length)| *length <= 2560), "{held:?}");
        assert_eq!(held.len(), expected, "{length} bytes: {held:?}");
    }
    swap(&store, revision, None).await;
    assert_eq!(held(&chain), []);
    let error = store.compare_and_swap(&key(), None, Some(&tokens(100_000))).await.unwrap_err();
    assert!(error.is_permanent() && error.to_string().contains("the keychain takes 81664"), "{error}");
    assert!(store.load(&key()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_crash_between_the_parts_and_the_head_leaves_the_old_tokens() {
    let (chain, folder) = (mock::Store::new().unwrap(), Folder::new("crash"));
    let store = store(&chain, 2560, &folder);
    let old = tokens(9000);
    let revision = swap(&store, None, Some(&old)).await;
    let name = held(&chain)[0].0.clone();
    assert!(name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    // A writer that got as far as its parts, of which it had more than the next one has.
    for n in 0..9 {
        chain
            .build(SERVICE, &format!("{name}.1.{n}"), None)
            .unwrap()
            .set_secret(b"\0\0\0\0\0\0\0\x01x")
            .unwrap();
    }
    assert_eq!(store.load(&key()).await.unwrap().unwrap().tokens, old);
    let new = tokens(6000);
    swap(&store, Some(revision), Some(&new)).await;
    assert_eq!(store.load(&key()).await.unwrap().unwrap().tokens, new);
    assert_eq!(held(&chain).len(), 4, "{:?}", held(&chain));
}

#[tokio::test]
async fn what_was_changed_by_hand_is_reported_and_left_alone() {
    let (chain, folder) = (mock::Store::new().unwrap(), Folder::new("damaged"));
    let store = store(&chain, 2560, &folder);
    swap(&store, None, Some(&tokens(9000))).await;
    let names: Vec<_> = held(&chain).into_iter().map(|(name, _)| name).collect();
    for (name, content, says) in [
        (&names[2], "s3cr3t-token", "damaged"),
        (&names[2], "", "damaged"),
        (&names[0], "{\"access_token\":\"s3cr3t-token\"", "damaged"),
        (&names[0], r#"{"format":"another's","version":1,"revision":1}"#, "damaged"),
        (&names[0], r#"{"format":"oauth-client tokens","version":1,"revision":1}"#, "damaged"),
        (&names[0], r#"{"format":"oauth-client tokens","version":2,"revision":1}"#, "update this program"),
    ] {
        let content = content.as_bytes();
        let entry = chain.build(SERVICE, name, None).unwrap();
        let before = entry.get_secret().unwrap();
        entry.set_secret(content).unwrap();
        let error = store.load(&key()).await.unwrap_err();
        assert!(error.is_permanent() && error.to_string().contains(says), "{error}");
        assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
        assert_eq!(entry.get_secret().unwrap(), content);
        entry.set_secret(&before).unwrap();
    }
    assert!(store.load(&key()).await.unwrap().is_some());
}

/// A keychain that its user does not unlock.
fn refused(asked: &Arc<AtomicUsize>) -> Keychain {
    let asked = Arc::clone(asked);
    let chain = mock::Store::new().unwrap();
    Keychain::new(of(2560), move || {
        asked.fetch_add(1, Ordering::Relaxed);
        let no = || keyring_core::Error::NoStorageAccess("the prompt was dismissed".into());
        let probe = chain.build(SERVICE, "probe", None)?;
        probe.as_any().downcast_ref::<mock::Cred>().unwrap().set_error(no());
        let entry = entry::name_of(&key());
        let entry = chain.build(SERVICE, &entry, None)?;
        entry.as_any().downcast_ref::<mock::Cred>().unwrap().set_error(no());
        Ok(Arc::clone(&chain) as Arc<access::Chain>)
    })
}

#[tokio::test]
async fn a_user_who_does_not_unlock_it_is_not_asked_over_and_over() {
    let (asked, folder) = (Arc::default(), Folder::new("locked"));
    let store = KeyringStore::of(refused(&asked)).lock_directory(&folder.0);
    for _ in 0..3 {
        let error = store.load(&key()).await.unwrap_err();
        assert!(error.is_permanent() && error.to_string().contains("the keychain is locked"), "{error}");
        assert!(error.to_string().contains("store.kind = \"file\""), "it names the fix: {error}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn without_a_keychain_the_error_says_what_to_do_and_or_file_does_it() {
    let folder = Folder::new("absent");
    let none = || {
        let no = || Err(keyring_core::Error::PlatformFailure("no such socket".into()));
        KeyringStore::of(Keychain::new(of(2560), no)).lock_directory(&folder.0)
    };
    let store = none();
    let error = store.load(&key()).await.unwrap_err();
    assert!(error.is_permanent() && error.to_string().contains("gnome-keyring"), "{error}");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no such socket");
    assert!(store.unlock().await.is_err());

    let path = folder.0.join("tokens.json");
    assert!(error.to_string().contains("KeyringStore::or_file"), "{error}");
    let store = none().or_file(&path);
    let log = Logged::listen();
    let revision = swap(&store, None, Some(&tokens(300))).await;
    let log = log.end();
    assert!(log.contains(" WARN ") && log.contains("tokens.json") && log.contains("gnome-keyring"), "{log}");
    assert!(!log.contains("or_file") && !log.contains("use a store in a file"), "it does so already: {log}");
    assert!(format!("{store:?}").contains("tokens.json"));
    let directly = FileStore::new(&path);
    assert_eq!(directly.load(&key()).await.unwrap().unwrap().revision, revision);
    // The lease is the file's, so that programs that use the file directly respect it.
    let lease = store.lease(&key(), Duration::from_secs(60)).await.unwrap().unwrap();
    assert!(directly.lease(&key(), Duration::from_secs(60)).await.unwrap().is_none());
    drop(lease);
    store.unlock().await.unwrap();
    let (asked, refused_file) = (Arc::default(), folder.0.join("refused.json"));
    let refused = KeyringStore::of(refused(&asked)).lock_directory(&folder.0).or_file(&refused_file);
    refused.unlock().await.unwrap();
    swap(&refused, None, Some(&tokens(300))).await;
    assert!(Path::new(&refused_file).exists());
}

#[tokio::test]
async fn a_keychain_that_asks_its_user_holds_up_its_caller_for_seconds_at_most() {
    let folder = Folder::new("asking");
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let chain = mock::Store::new().unwrap();
    let slow = Keychain::new(of(2560), move || {
        // Until the user has typed the password.
        let _ = released.lock().unwrap().recv();
        Ok(Arc::clone(&chain) as Arc<access::Chain>)
    });
    let store = KeyringStore::of(slow).lock_directory(&folder.0);
    let store = store.with(|inner| inner.patience = Duration::from_millis(50));
    let error = store.load(&key()).await.unwrap_err();
    assert!(!error.is_permanent() && error.to_string().contains("KeyringStore::unlock"), "{error}");
    let unlocking = tokio::spawn({
        let store = store.clone();
        async move { store.unlock().await }
    });
    drop(release);
    // The question was one, and its answer counts for all.
    unlocking.await.unwrap().unwrap();
    assert!(store.load(&key()).await.unwrap().is_none());
}

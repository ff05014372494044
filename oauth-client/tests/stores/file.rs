//! The file itself: private from the start, never through a link, never over what is not ours, whole or not at all.

use std::error::Error;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use oauth_client::clock::TestClock;
use oauth_client::store::{FileStore, StoreError, Swap, TokenStore};

use crate::contract::{key, tokens};
use crate::directory::Directory;

async fn write(store: &FileStore, name: &str) -> Result<Swap, StoreError> {
    let revision = store.load(&key("alice")).await?.map(|stored| stored.revision);
    store.compare_and_swap(&key("alice"), revision, Some(&tokens(name))).await
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[tokio::test]
async fn file_and_new_directory_are_private_from_the_start() {
    let directory = Directory::new();
    let path = directory.path().join("new/deeper/tokens.json");
    write(&FileStore::new(&path), "one").await.unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&directory.path().join("new")), 0o700);
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    assert!(!path.with_file_name("tokens.json.tmp").exists());
}

#[tokio::test]
async fn a_file_that_others_can_read_is_tightened() {
    let directory = Directory::new();
    let store = FileStore::new(directory.file());
    write(&store, "one").await.unwrap();
    fs::set_permissions(directory.file(), Permissions::from_mode(0o644)).unwrap();
    assert!(store.load(&key("alice")).await.unwrap().is_some());
    assert_eq!(mode(&directory.file()), 0o600);
}

#[tokio::test]
async fn the_permissions_of_a_file_of_others_stay_and_a_damaged_one_of_ours_is_tightened() {
    let directory = Directory::new();
    let store = FileStore::new(directory.file());
    write(&store, "one").await.unwrap();
    let good = fs::read_to_string(directory.file()).unwrap();
    let spaced = good.replacen('{', "{ ", 1).replace("\"version\":1", "\"version\":7");
    for (content, after) in [
        ("[package]\nname = \"orders\"\n", 0o644),
        (r#"{"format":"another","version":1}"#, 0o644),
        ("", 0o644),
        (&good[..good.len() / 2], 0o600),
        (&spaced, 0o600),
    ] {
        for attempt in ["load", "swap"] {
            fs::write(directory.file(), content).unwrap();
            fs::set_permissions(directory.file(), Permissions::from_mode(0o644)).unwrap();
            let failed = match attempt {
                "load" => store.load(&key("alice")).await.is_err(),
                _ => store.compare_and_swap(&key("alice"), None, Some(&tokens("two"))).await.is_err(),
            };
            assert!(failed, "{attempt}: {content}");
            assert_eq!(mode(&directory.file()), after, "{attempt}: {content}");
            assert_eq!(fs::read_to_string(directory.file()).unwrap(), content);
        }
    }
}

#[tokio::test]
async fn several_entries_and_many_writers_share_one_file() {
    let directory = Directory::new();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..30 {
        let store = FileStore::new(directory.file());
        tasks.spawn(async move {
            let (key, tokens) = (key(&format!("user {n}")), tokens(&n.to_string()));
            // Thirty flushes one after the other may take a slow disk longer than a writer is patient. It gets an error then, and
            // may try again, as a source does.
            for _ in 0..20 {
                match store.compare_and_swap(&key, None, Some(&tokens)).await {
                    Err(error) if error.to_string().contains("is held by") => {}
                    outcome => return outcome.unwrap(),
                }
            }
            panic!("never its turn");
        });
    }
    tasks.join_all().await;
    let store = FileStore::new(directory.file());
    for n in 0..30 {
        let stored = store.load(&key(&format!("user {n}"))).await.unwrap().unwrap();
        assert_eq!(stored.tokens, tokens(&n.to_string()));
    }
}

/// Each of these stands where the tokens should go, and must be there unchanged afterwards.
#[tokio::test]
async fn what_is_not_a_plain_file_is_refused_and_left_alone() {
    let directory = Directory::new();
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let at = |name: &str| directory.path().join(name);

    symlink(&victim, at("link")).unwrap();
    symlink(directory.path().join("nowhere"), at("dangling")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    fs::hard_link(&victim, at("second-name")).unwrap();

    for name in ["link", "dangling", "directory", "fifo", "second-name"] {
        let store = FileStore::new(at(name));
        let error = store.load(&key("alice")).await.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("; "), "it names the file and the way out: {error}");
        assert!(store.compare_and_swap(&key("alice"), None, Some(&tokens("one"))).await.is_err(), "{name}");
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(!directory.path().join("nowhere").exists());
    assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
}

#[tokio::test]
async fn links_in_place_of_the_files_beside_it_are_not_followed() {
    for beside in ["lock", "tmp"] {
        let directory = Directory::new();
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, directory.path().join(format!("tokens.json.{beside}"))).unwrap();
        let _ = write(&FileStore::new(directory.file()), "one").await;
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{beside}");
    }
}

#[tokio::test]
async fn a_foreign_or_damaged_file_is_never_overwritten_and_never_quoted() {
    let directory = Directory::new();
    let store = FileStore::new(directory.file());
    write(&store, "s3cr3t").await.unwrap();
    let good = fs::read_to_string(directory.file()).unwrap();
    let wrong_type = good.replace("\"lifetime_ms\":300000", "\"lifetime_ms\":\"s3cr3t\"");
    let newer = good.replace("\"version\":1", "\"version\":7");
    assert!(wrong_type != good && newer != good);
    // A letter that the disk lost, in a member that is not known.
    let mut no_text = good.replace("\"entries\":", "\"later\":\"x\",\"entries\":").into_bytes();
    let at = no_text.windows(3).position(|part| part == b"\"x\"").unwrap() + 1;
    no_text[at] = 0xdc;
    let no_text_says = format!("is damaged (line 1, column {})", at + 1);
    for (content, says) in [
        (&b""[..], "is not a file of this token store"),
        (b"[client]\nsecret = \"s3cr3t\"", "is not a file of this token store"),
        (br#"{"tokens":"s3cr3t"}"#, "is not a file of this token store"),
        (&good.as_bytes()[..good.len() / 2], "is damaged"),
        (wrong_type.as_bytes(), "is damaged"),
        (&no_text, &no_text_says),
        (newer.as_bytes(), "is of version 7"),
    ] {
        fs::write(directory.file(), content).unwrap();
        for error in [
            store.load(&key("alice")).await.unwrap_err(),
            store.compare_and_swap(&key("alice"), None, Some(&tokens("one"))).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.to_string().contains("; "), "it says what to do: {error}");
            let chain = format!("{error:?} {error} {:?}", error.source());
            assert!(!chain.contains("s3cr3t"), "{chain}");
        }
        assert_eq!(fs::read(directory.file()).unwrap(), content);
    }
}

#[tokio::test]
async fn what_a_crash_left_behind_is_cleared_away() {
    let directory = Directory::new();
    let store = FileStore::new(directory.file());
    write(&store, "one").await.unwrap();
    fs::write(directory.path().join("tokens.json.tmp"), "half of a").unwrap();
    assert_eq!(store.load(&key("alice")).await.unwrap().unwrap().tokens, tokens("one"));
    write(&store, "two").await.unwrap();
    assert_eq!(store.load(&key("alice")).await.unwrap().unwrap().tokens, tokens("two"));
    assert!(!directory.path().join("tokens.json.tmp").exists());
}

#[tokio::test]
async fn a_write_that_fails_leaves_the_entry_as_it_was() {
    let directory = Directory::new();
    let store = FileStore::new(directory.file());
    write(&store, "one").await.unwrap();
    // Something that cannot be removed stands where the temporary file goes.
    let temporary = directory.path().join("tokens.json.tmp");
    fs::create_dir(&temporary).unwrap();
    let error = write(&store, "two").await.unwrap_err();
    assert!(error.to_string().contains("tokens.json.tmp"), "{error}");
    assert_eq!(store.load(&key("alice")).await.unwrap().unwrap().tokens, tokens("one"));
    fs::remove_dir(&temporary).unwrap();
    write(&store, "two").await.unwrap();

    for impossible in ["/proc/tokens/tokens.json", "/dev/null/tokens.json"] {
        let error = write(&FileStore::new(impossible), "one").await.unwrap_err();
        assert!(error.source().is_some() && error.to_string().contains("; "), "{error}");
    }
}

#[tokio::test]
async fn a_holder_that_hangs_delays_others_until_its_lease_runs_out() {
    let directory = Directory::new();
    let clock = TestClock::new();
    let store = || FileStore::new(directory.file()).clock(clock.clone());
    let lease = |seconds| {
        let store = store();
        async move { store.lease(&key("alice"), Duration::from_secs(seconds)).await.unwrap() }
    };
    let hanging = lease(20).await.unwrap();
    assert!(lease(20).await.is_none());
    clock.step_wall(21);
    let taken = lease(20).await.expect("its time is over, though it still has the lock");
    assert!(lease(20).await.is_none(), "and only one takes it");
    drop(hanging);
    assert!(
        lease(20).await.is_none(),
        "waking up, the first one does not take the lease of the second with it"
    );
    drop(taken);
    drop(lease(20).await.expect("free again"));

    // However often it is taken over, the one that hangs on to the lock for ever blocks no other.
    let hanging = lease(20).await.unwrap();
    clock.step_wall(21);
    drop(lease(20).await.expect("taken over"));
    let second = lease(20).await.expect("free again, although the lock is not");
    assert!(lease(20).await.is_none());
    drop(second);
    drop(lease(20).await.expect("and again"));
    drop(hanging);

    // A lease taken over has no lock that a crash would free, so it ends with its time.
    let hanging = lease(20).await.unwrap();
    clock.step_wall(21);
    std::mem::forget(lease(20).await.unwrap());
    drop(hanging);
    assert!(lease(20).await.is_none());
    clock.step_wall(21);
    assert!(lease(20).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_lease_names_its_owner_and_its_end() {
    let directory = Directory::new();
    let store = FileStore::new(directory.file()).clock(TestClock::new());
    let _lease = store.lease(&key("alice"), Duration::from_secs(20)).await.unwrap().unwrap();
    let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "lease")).unwrap();
    let record: serde_json::Value = serde_json::from_reader(File::open(file).unwrap()).unwrap();
    assert_eq!(record["pid"], std::process::id());
    assert_eq!(record["until_ms"], (1_893_456_000_u64 + 20) * 1000);
}

/// The file was replaced by a new one; a process that knows the old one must not remove the new login from it.
#[tokio::test]
async fn a_file_that_was_replaced_has_other_revisions() {
    let directory = Directory::new();
    let store = FileStore::new(directory.file());
    write(&store, "one").await.unwrap();
    let before = store.load(&key("alice")).await.unwrap().unwrap().revision;
    fs::remove_file(directory.file()).unwrap();
    write(&store, "two").await.unwrap();
    let swap = store.compare_and_swap(&key("alice"), Some(before), None).await.unwrap();
    assert_eq!(swap, Swap::Conflict);
    assert_eq!(store.load(&key("alice")).await.unwrap().unwrap().tokens, tokens("two"));
}

/// A file that was edited or merged by hand: the last revision given out is below that of an entry, or there is none after
/// it. A writer that knows the entry as it was loses all the same.
#[tokio::test]
async fn an_entry_that_is_written_gets_another_revision_whatever_the_file_says() {
    let directory = Directory::new();
    let store = FileStore::new(directory.file());
    write(&store, "one").await.unwrap();
    let read = || serde_json::from_slice::<serde_json::Value>(&fs::read(directory.file()).unwrap()).unwrap();
    for (last, entry) in [(6_u64, 7_u64), (0, 7), (7, 7), (u64::MAX, 7), (0, u64::MAX), (u64::MAX, u64::MAX)]
    {
        let mut file = read();
        file["revision"] = last.into();
        let name = file["entries"].as_object().unwrap().keys().next().unwrap().clone();
        file["entries"][&name]["revision"] = entry.into();
        fs::write(directory.file(), file.to_string()).unwrap();
        let before = store.load(&key("alice")).await.unwrap().unwrap().revision;
        write(&store, "two").await.unwrap();
        let swap = store.compare_and_swap(&key("alice"), Some(before), Some(&tokens("late"))).await.unwrap();
        assert_eq!(swap, Swap::Conflict, "{last} and {entry}");
        assert_eq!(store.load(&key("alice")).await.unwrap().unwrap().tokens, tokens("two"));
    }
}

#[tokio::test]
async fn a_log_out_is_kept_for_as_long_as_a_process_may_have_the_login_in_memory() {
    let directory = Directory::new();
    let clock = TestClock::new();
    let store = FileStore::new(directory.file()).clock(clock.clone());
    let mut set = serde_json::to_value(tokens("one")).unwrap();
    (set["lifetime_ms"], set["ended"]) = (0.into(), true.into());
    set.as_object_mut().unwrap().remove("refresh_token");
    let log_out = serde_json::from_value(set).unwrap();
    store.compare_and_swap(&key("bob"), None, Some(&log_out)).await.unwrap();
    for (days, is_kept) in [(2, true), (177, true), (2, false)] {
        clock.step_wall(days * 24 * 3600);
        write(&store, &format!("{days} {is_kept}")).await.unwrap();
        assert_eq!(store.load(&key("bob")).await.unwrap().is_some(), is_kept, "{days} days later");
    }
}

#[tokio::test]
async fn what_is_of_no_use_any_more_is_dropped() {
    let directory = Directory::new();
    let clock = TestClock::new();
    let store = FileStore::new(directory.file()).clock(clock.clone());
    let with = |changes: serde_json::Value| {
        let mut set = serde_json::to_value(tokens("one")).unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                serde_json::Value::Null => drop(set.as_object_mut().unwrap().remove(name)),
                value => set[name] = value.clone(),
            }
        }
        serde_json::from_value::<oauth_client::TokenSet>(set).unwrap()
    };
    let sets = [
        ("service", with(serde_json::json!({ "refresh_token": null }))),
        ("endless", with(serde_json::json!({ "refresh_token": null, "lifetime_ms": null }))),
        ("user", with(serde_json::json!({}))),
    ];
    for (name, set) in &sets {
        store.compare_and_swap(&key(name), None, Some(set)).await.unwrap();
        drop(store.lease(&key(name), Duration::from_secs(1)).await.unwrap().unwrap());
    }
    let leases = || {
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().ends_with(".lease")).count()
    };
    let entries = async || {
        let mut there = Vec::new();
        for (name, _) in &sets {
            there.extend(store.load(&key(name)).await.unwrap().map(|_| *name));
        }
        there
    };
    clock.step_wall(23 * 3600);
    write(&store, "one").await.unwrap();
    assert_eq!(entries().await, ["service", "endless", "user"]);
    clock.step_wall(2 * 3600);
    write(&store, "two").await.unwrap();
    assert_eq!(entries().await, ["endless", "user"], "expired for more than a day");
    clock.step_wall(40 * 24 * 3600);
    write(&store, "three").await.unwrap();
    assert_eq!(entries().await, ["user"], "a login is never dropped");

    // Lease files of entries that are gone, once they are old: another store's next write sees to it.
    assert_eq!(leases(), 3);
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "lease") {
            let old = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
            File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        }
    }
    let held = store.lease(&key("endless"), Duration::from_secs(1000)).await.unwrap().unwrap();
    let next = FileStore::new(directory.file()).clock(clock.clone());
    write(&next, "four").await.unwrap();
    assert_eq!(leases(), 2, "of the login, and the one in use");
    assert!(next.lease(&key("endless"), Duration::from_secs(1)).await.unwrap().is_none());
    assert!(held.renew(Duration::from_secs(1)).await.unwrap());
    assert!(next.lease(&key("service"), Duration::from_secs(1)).await.unwrap().is_some(), "made anew");
}

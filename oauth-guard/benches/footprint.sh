#!/usr/bin/env bash
# What the guard adds to a program and to its build: size and crates of a minimal axum server with and without it, and
# the time that each crate takes to compile, by feature. Takes a quarter of an hour; run it on a machine that does nothing
# else.
#
#   oauth-guard/benches/footprint.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

server() { # name, dependency lines, how the router is finished
    mkdir -p "$work/$1/src"
    cat >"$work/$1/Cargo.toml" <<TOML
[package]
name = "$1"
version = "0.0.0"
edition = "2024"

[dependencies]
axum = { version = "0.8", default-features = false, features = ["http1", "tokio"] }
tokio = { version = "1.45", features = ["rt", "macros", "net"] }
$2

[profile.release]
codegen-units = 1
lto = "thin"
strip = true
TOML
    cat >"$work/$1/src/main.rs" <<RUST
use axum::{Router, routing::get};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Router::new().route("/orders", get(|| async { "ok" }));
    $3
    Ok(axum::serve(tokio::net::TcpListener::bind("127.0.0.1:0").await?, app).await?)
}
RUST
    cp "$root/Cargo.lock" "$work/$1/Cargo.lock"
    (cd "$work/$1" && CARGO_TARGET_DIR="$work/target-$1" cargo build --release --quiet)
    local bytes crates
    bytes=$(stat -c %s "$work/target-$1/release/$1")
    crates=$(cd "$work/$1" && cargo tree --edges normal --prefix none | sed 's/ (\*)$//' | sort -u | wc -l)
    printf '%-34s %6d KiB %5d crates\n' "$1" $((bytes / 1024)) $((crates - 1))
}

guarded() { # the lines of main that put a guard in front
    echo "let issuer = oauth_guard::Issuer::new(\"https://auth.example.com\").audience(\"orders-api\")$1;
    let app = app.layer(oauth_guard::Guard::builder().issuer(issuer).build()?.layer());"
}

echo "A minimal axum server, release, thin LTO, stripped:"
server without-guard "" ""
server with-guard-given-keys \
    "oauth-guard = { package = \"tower-oauth-guard\", path = \"$root/oauth-guard\", default-features = false }" \
    "$(guarded '.jwks_json(std::env::args().nth(1).unwrap_or_default())')"
server with-guard-default "oauth-guard = { package = \"tower-oauth-guard\", path = \"$root/oauth-guard\" }" "$(guarded '')"

build() { # package, features
    (cd "$root" && CARGO_TARGET_DIR="$work/target-compile" cargo build --quiet --release -p "tower-$1" --no-default-features --features "$2")
}

compile() { # package, features, label; "all" builds its dependencies too, on the clock
    local began whole=- alone crates
    if [ "${4:-}" = all ]; then rm -rf "$work/target-compile"; fi
    began=$(date +%s%N)
    build "$1" "$2"
    if [ "${4:-}" = all ]; then whole="$(seconds $(($(date +%s%N) - began))) s"; fi
    touch "$root/$1/src/lib.rs"
    began=$(date +%s%N)
    build "$1" "$2"
    alone=$(($(date +%s%N) - began))
    crates=$(cd "$root" && cargo tree -p "tower-$1" --no-default-features --features "$2" --edges normal --prefix none \
        | sed 's/ (\*)$//' | sort -u | wc -l)
    printf '%-32s %5d crates %12s with all it needs %7.1f s by itself\n' "$3" "$crates" "$whole" "$(seconds $alone)"
}

seconds() { awk "BEGIN { printf \"%.1f\", $1 / 1e9 }"; }

echo
echo "Time to compile, release, by feature:"
compile oauth-client "" "oauth-client, no features" all
compile oauth-client "reqwest,loopback" "oauth-client, default" all
for feature in loopback reqwest reqwest-middleware toml metrics keyring; do
    compile oauth-client "$feature" "oauth-client, $feature"
done
compile oauth-guard "reqwest" "oauth-guard, default" all
for feature in "" axum toml metrics testing; do
    compile oauth-guard "$feature" "oauth-guard, ${feature:-no features}"
done

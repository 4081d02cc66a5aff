# Short names for what CI runs. `just` lists them; `pip install rust-just` brings the runner.

_default:
    @just --list --unsorted

# Every test, on a fresh machine too.
test *ARGS:
    scripts/test {{ARGS}}

# The tests of one package, without the peers.
unit PACKAGE *ARGS:
    cargo test --package {{PACKAGE}} {{ARGS}}

# Exactly what CI runs.
ci:
    .ci/run

# The demo of the README.
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# Objects of a real API server that change at random, while proxies and controllers come and go.
soak SECONDS="600":
    MELTEMI_SOAK={{SECONDS}} cargo test --package meltemi-tests --test kubernetes soak

# Format everything.
fmt:
    cargo fmt --all

# Lints as CI applies them.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# The architecture's invariants.
invariants:
    scripts/check-invariants

# Rewrite the generated protobuf code, and the pages and CRDs that are made of tables in the code.
gen:
    cargo run --package meltemi-proto-codegen
    cargo run --package meltemi-controller --example reference
    cargo run --package meltemi-controller --example crds

# The `coffee` command as an image: any node of a cluster, or a client. Settings and secrets come from the environment.

FROM rust:1.95-bookworm AS build
WORKDIR /build

# The dependencies first, with empty crates of our own: compiled again only when a manifest changes.
COPY Cargo.toml Cargo.lock ./
COPY coffee-core/Cargo.toml coffee-core/
COPY coffee-mom/Cargo.toml coffee-mom/
COPY coffee-nodes/Cargo.toml coffee-nodes/
COPY coffee-cli/Cargo.toml coffee-cli/
# The root package names these in its manifest.
COPY benches benches
COPY examples examples
RUN for crate in . coffee-core coffee-mom coffee-nodes coffee-cli; do mkdir -p $crate/src && echo '//! Empty.' > $crate/src/lib.rs; done \
    && printf '//! Empty.\nfn main() {}\n' > coffee-cli/src/main.rs \
    && cargo build --release --locked --package coffee-cli

COPY coffee-core coffee-core
COPY coffee-mom coffee-mom
COPY coffee-nodes coffee-nodes
COPY coffee-cli coffee-cli
# Cargo goes by the time of a change, and the empty crates are newer than ours.
RUN find coffee-* -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --package coffee-cli

FROM debian:bookworm-slim
# New volumes get the owner of what they are mounted over.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin coffee \
    && install --directory --owner=coffee --group=coffee /state /results
# The authorities that `--tls` trusts: this image has none of its own.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /build/target/release/coffee /usr/local/bin/
USER coffee
WORKDIR /
ENTRYPOINT ["coffee"]
CMD ["--help"]

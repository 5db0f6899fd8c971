//! `coffee compose`: the real command's output, and the file in the repository.
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod support;

use std::{fs, path::Path};

use support::{coffee, said};

fn compose(arguments: &[&str]) -> (i32, String, String) {
    said(coffee().arg("compose").args(arguments).output().unwrap())
}

#[test]
fn the_file_in_the_repository_is_what_the_defaults_print() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker-compose.yml");
    let (code, printed, _) = compose(&[]);
    let same = code == 0 && fs::read_to_string(committed).unwrap() == printed;
    assert!(same, "print it anew: coffee compose > docker-compose.yml");
}

#[test]
fn flags_multiply_services_and_reach_the_nodes() {
    let flags = "--placement staged --replicas filter-year=3 --shards 1 --gateways 2 --clients 0 --keep 2h --listen 0.0.0.0:7000";
    let (code, file, error) = compose(&flags.split(' ').collect::<Vec<_>>());
    assert_eq!((code, error.as_str()), (0, ""));
    let has = |line: &str| file.lines().any(|other| other.trim() == line);
    assert!(has("filter-year-2:") && has("aggregate-tpv.0:") && !has("aggregate-tpv.1:") && !has("client-0:"));
    assert!(has("ports: [\"0.0.0.0:7001:9000\"]") && !has("COFFEE_LISTEN: \"0.0.0.0:7000\""));
    // The nodes have to make the same topology of it.
    let told = ["COFFEE_PLACEMENT: staged", "COFFEE_REPLICAS: \"filter-year=3\"", "COFFEE_SHARDS: \"1\""];
    assert!(told.into_iter().all(has) && has("COFFEE_KEEP: \"7200s\""), "{file}");
}

#[test]
fn a_client_inside_a_gateway_knows_by_what_to_trust_it() {
    let lines = |flags: &str| {
        let (code, file, _) = compose(&flags.split_whitespace().collect::<Vec<_>>());
        assert_eq!(code, 0);
        let of = file.lines().skip_while(|line| *line != "  gateway-0:").skip(1);
        of.take_while(|line| !line.is_empty()).map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    let tls = "--tls-certificate gateway.pem --tls-key gateway.key";
    let gateway = lines(&format!("{tls} --tls-authority ca.pem --token-file alice"));
    let has = |text: &str| gateway.iter().any(|line| line.contains(text));
    assert!(has("COFFEE_TLS_AUTHORITY: /etc/coffee/tls-authority") && has("./ca.pem"), "{gateway:?}");
    assert!(has("COFFEE_TLS_NAME: gateway-0") && !has("alice"), "{gateway:?}");
    let named = lines(&format!("{tls} --tls-authority ca.pem --tls-name shop.example"));
    assert!(named.contains(&"COFFEE_TLS_NAME: shop.example".to_owned()), "{named:?}");
    assert!(lines(tls).iter().all(|line| !line.contains("AUTHORITY") && !line.contains("TLS_NAME")));
}

#[test]
fn secrets_are_new_each_time() {
    let (code, file, _) = compose(&["--env"]);
    assert!(code == 0 && file.contains("\nCOFFEE_BROKER_USER=") && file.contains("\nCOFFEE_BROKER_PASSWORD="));
    assert_ne!(file, compose(&["--env"]).1);
}

#[test]
fn what_no_cluster_can_be_is_refused() {
    for (flags, says) in
        [("--listen 127.0.0.1:65535 --gateways 2", "65535"), ("--shards none=2", "none"), ("--gateways 0", "0")]
    {
        let (code, _, error) = compose(&flags.split(' ').collect::<Vec<_>>());
        assert!(code == 2 && error.lines().count() == 1 && error.contains(says), "{flags}: {error}");
    }
}

//! Clients of an encrypted cluster: those that it trusts get their answers, nobody else gets in, and they disturb nobody.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

#[path = "../../coffee-mom/tests/support/certificates.rs"]
mod certificates;
mod support;

use std::{io::Read, net::TcpListener, path::Path, thread};

use certificates::{Certificates, SERVER_NAME};
use support::{
    Data,
    cluster::{Cluster, assert_same, broker},
    said,
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn only_who_is_trusted_gets_answers() {
    let (ours, others) = (Certificates::new("cli-ours"), Certificates::new("cli-others"));
    let gateway = [
        ["--tls-certificate", text(&ours.server.certificate)],
        ["--tls-key", text(&ours.server.key)],
        ["--tls-client-authority", text(&ours.authority)],
    ];
    let cluster = Cluster::start(&broker(), &gateway.concat());
    let data = Data::generated(1, 2_000, &["2024-01", "2025-01"]);

    let authority = ["--tls-authority", text(&ours.authority)];
    let showing = |of: &Certificates| {
        let shown = ["--client-certificate", text(&of.client.certificate), "--client-key", text(&of.client.key)];
        [&authority[..], &shown].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let (trusted, stranger) = (showing(&ours), showing(&others));
    let trusted: Vec<&str> = trusted.iter().map(String::as_str).collect();
    let stranger: Vec<&str> = stranger.iter().map(String::as_str).collect();
    let elsewhere = [&trusted[..], &["--tls-name", "elsewhere.test"]].concat();
    let refused: [(&[&str], &str); 5] = [
        (&[], "wants TLS; encrypt with --tls-authority"),
        (&authority, "TLS failed"),
        (&["--tls-authority", text(&others.authority)], "TLS failed"),
        (&stranger, "TLS failed"),
        (&elsewhere, "TLS failed"),
    ];
    for (flags, why) in refused {
        let (code, _, error) = said(cluster.command(&[&["jobs"], flags].concat()).output().unwrap());
        assert!(code == 1 && error.contains(why) && error.lines().count() == 1, "{flags:?}: {code} {error}");
    }
    let missing = ours.missing();
    let command = ["jobs", "--tls-authority", text(&missing)];
    let (code, _, error) = said(cluster.command(&command).output().unwrap());
    assert!(code == 2 && error.contains("could not be used for TLS: entity not found"), "{code} {error}");

    // The certificate is for the address and not for that name, so the next one is tried.
    let named = cluster.gateways.replace("127.0.0.1", "localhost");
    let gateways = format!("{named},{}", cluster.gateways);
    let both = [&trusted[..], &["--gateway", &gateways]].concat();
    assert_same(&cluster.submit(data.path(), &both), data.path(), &[], "by the second gateway");
    assert_same(&cluster.submit(data.path(), &trusted), data.path(), &[], "with a certificate");
    let named = [&trusted[..], &["--tls-name", SERVER_NAME]].concat();
    assert!(cluster.says(&[&["jobs"], &named[..]].concat()).contains("done"));
    cluster.stop();
}

#[test]
fn what_would_not_encrypt_is_bad_usage() {
    let bad: [&[&str]; 2] = [&["gateway", "--tls-key", "key.pem"], &["jobs", "--client-certificate", "cert.pem"]];
    for flags in bad {
        let (code, out, error) = said(support::coffee().args(flags).output().unwrap());
        assert!(code == 2 && out.is_empty() && error.lines().count() == 1, "{flags:?}: {error}");
    }
}

#[test]
fn a_client_that_names_a_certificate_or_a_name_does_not_speak_plain() {
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap().to_string();
    let listening = thread::spawn(move || {
        let mut said = [0; 3];
        plain.accept().unwrap().0.read_exact(&mut said).unwrap();
        said
    });
    let jobs = ["jobs", "--tls-name", SERVER_NAME, "--gateway", &address];
    let (code, ..) = said(support::coffee().args(jobs).output().unwrap());
    assert_eq!((code, listening.join().unwrap()), (1, [22, 3, 1]), "it begins a handshake");
}

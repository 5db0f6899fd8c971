//! TLS with a real RabbitMQ: who is let in, and what the others are told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(unix)]

#[path = "support/certificates.rs"]
mod certificates;
mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use certificates::{Certificates, SERVER_NAME, Signed};
use coffee_mom::testing::proxy::Proxy;
use coffee_mom::testing::rabbitmq::{OwnBroker, OwnOptions, TlsFiles};
use coffee_mom::tls::TlsConfig;
use coffee_mom::*;
use support::*;

/// A refusal that will not pass is told long before the deadline, also on a busy machine.
const QUICKLY: Duration = Duration::from_secs(8);

const PASSWORD: &str = "a-password-that-nobody-may-see";

/// A broker with the server's certificate, which wants one of its clients if `client_certificate` is set.
fn start(certificates: &Certificates, client_certificate: bool, options: OwnOptions) -> OwnBroker {
    let Certificates { authority, server, .. } = certificates;
    let files = TlsFiles {
        authorities: authority.clone(),
        certificate: server.certificate.clone(),
        key: server.key.clone(),
        client_certificate,
    };
    OwnBroker::start(options.tls(files)).unwrap()
}

/// The URL of the TLS port, for a client that trusts the authority.
fn trusting(broker: &OwnBroker, authority: &Path) -> String {
    let (port, authority) = (broker.tls_port().unwrap(), authority.display());
    format!("amqps://guest:guest@127.0.0.1:{port}/%2f?cacertfile={authority}")
}

fn with_identity(url: &str, identity: &Signed) -> String {
    format!("{url}&certfile={}&keyfile={}", identity.certificate.display(), identity.key.display())
}

/// Publishes and consumes over one connection.
fn use_it(broker: &dyn Broker) {
    let queue = broker.declare_queue(&QueueSpec::anonymous(), soon()).unwrap();
    let mut consumer = consumer(broker, &queue, 10);
    publish(broker, &queue, 0..3);
    for expected in 0..3 {
        let delivery = take(&*consumer);
        assert_eq!(number(&delivery), expected);
        consumer.ack(delivery.tag).unwrap();
    }
}

/// The error of a URL that leads nowhere, which is told quickly and holds no secret. It never comes to
/// the login, so the password is not the right one.
fn refused(url: &str) -> ConnectError {
    let url = url.replace(":guest@", &format!(":{PASSWORD}@"));
    let start = Instant::now();
    let error = match open(&url, soon()).err().unwrap() {
        OpenError::Connect(error) => error,
        other => panic!("{other:?}"),
    };
    assert!(start.elapsed() < QUICKLY, "{error:?} after {:?}", start.elapsed());
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PASSWORD), "{text}");
    error
}

fn is_tls(error: &ConnectError, reason: &str) -> bool {
    matches!(error, ConnectError::Tls(text) if text.contains(reason))
}

#[test]
fn a_known_authority_is_trusted_and_the_connection_comes_back() {
    let certificates = Certificates::new("trusted");
    let own = start(&certificates, false, OwnOptions::default());
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, own.tls_port().unwrap()))).unwrap();
    let tls = TlsConfig::default().authority(&certificates.authority);
    let config = RabbitConfig::new("127.0.0.1", proxy.address().port())
        .tls(tls)
        .backoff(Duration::from_millis(10), Duration::from_millis(50));
    let broker = RabbitBroker::connect(config, soon()).unwrap();
    use_it(&broker);

    let events = broker.events();
    proxy.reset();
    let mut away = vec![Side::Consuming, Side::Publishing];
    while !away.is_empty() {
        if let Event::Connected(side) = events.recv_deadline(soon()).unwrap() {
            away.retain(|other| *other != side);
        }
    }
    use_it(&broker);
    assert_eq!(broker.stats().reconnects, 2);
    broker.close(soon()).unwrap();
}

#[test]
fn a_foreign_authority_and_a_wrong_host_name_are_refused() {
    let certificates = Certificates::new("refused");
    let others = Certificates::new("foreign");
    let own = start(&certificates, false, OwnOptions::default());
    let foreign = refused(&trusting(&own, &others.authority));
    assert!(is_tls(&foreign, "UnknownIssuer"), "{foreign:?}");

    let right = trusting(&own, &certificates.authority);
    let name = refused(&format!("{right}&server_name_indication=other.test"));
    assert!(is_tls(&name, "not valid for name"), "{name:?}");
    open(&format!("{right}&server_name_indication={SERVER_NAME}"), soon()).unwrap();

    let missing = certificates.missing();
    let file = refused(&trusting(&own, &missing));
    assert!(is_tls(&file, &missing.display().to_string()), "{file:?}");
}

/// With a broker that speaks this version of TLS only, and how it says that there is no certificate.
fn client_certificates_are_needed(version: &str, alert: &str) {
    let certificates = Certificates::new(&format!("clients-{version}"));
    let others = Certificates::new(&format!("strangers-{version}"));
    let options = OwnOptions::default().conf(&format!("ssl_options.versions.1 = {version}"));
    let own = start(&certificates, true, options);
    let anonymous = trusting(&own, &certificates.authority);
    let broker = open(&with_identity(&anonymous, &certificates.client), soon()).unwrap();
    use_it(&*broker);
    broker.close(soon()).unwrap();

    // More than once: what is told races with the end of the connection.
    for _ in 0..5 {
        let nobody = refused(&anonymous);
        assert!(is_tls(&nobody, alert), "{nobody:?}");
        let stranger = refused(&with_identity(&anonymous, &others.client));
        assert!(is_tls(&stranger, "UnknownCA"), "{stranger:?}");
    }
}

#[test]
fn client_certificates_are_needed_where_they_are_wanted_by_tls_1_3() {
    client_certificates_are_needed("tlsv1.3", "CertificateRequired");
}

#[test]
fn client_certificates_are_needed_where_they_are_wanted_by_tls_1_2() {
    client_certificates_are_needed("tlsv1.2", "HandshakeFailure");
}

#[test]
fn a_port_of_the_other_kind_is_told_as_such() {
    let certificates = Certificates::new("ports");
    let own = start(&certificates, false, OwnOptions::default());
    let right = trusting(&own, &certificates.authority);
    let plain_port = format!(":{}/", own.port());
    let tls_port = format!(":{}/", own.tls_port().unwrap());
    let plain = refused(&own.url().replace(&plain_port, &tls_port));
    let encrypted = refused(&right.replace(&tls_port, &plain_port));
    assert!(matches!(&plain, ConnectError::Refused(text) if text.contains("no frame of AMQP")), "{plain:?}");
    assert!(is_tls(&encrypted, "corrupt message"), "{encrypted:?}");
}

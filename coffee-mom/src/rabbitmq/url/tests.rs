//! URLs by example, and back and forth.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

fn parse(url: &str) -> RabbitConfig {
    RabbitConfig::from_url(url).unwrap()
}

fn refuse(url: &str) -> UrlError {
    RabbitConfig::from_url(url).unwrap_err()
}

/// Percent-encodes all but letters and digits.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02x}").unwrap();
        }
        encoded
    })
}

fn print(config: &RabbitConfig) -> String {
    let host = |host: &Host| match host.name.contains(':') {
        true => format!("[{}]:{}", host.name, host.port),
        false => format!("{}:{}", encode(&host.name), host.port),
    };
    let hosts = config.hosts.iter().map(host).collect::<Vec<_>>().join(",");
    let user = match &config.credentials {
        Credentials::Plain { user, password } => format!("{}:{}@", encode(user), encode(password)),
        Credentials::External => String::new(),
    };
    let mut url = format!(
        "{}://{user}{hosts}/{}?heartbeat={}&connection_timeout={}&frame_max={}&name={}",
        if config.tls.is_some() { "amqps" } else { "amqp" },
        encode(&config.vhost),
        config.heartbeat.as_secs(),
        config.connect_timeout.as_millis(),
        config.max_frame,
        encode(&config.name),
    );
    if config.credentials == Credentials::External {
        url.push_str("&auth_mechanism=external");
    }
    let path = |path: &PathBuf| encode(path.to_str().unwrap());
    if let Some(tls) = &config.tls {
        tls.authorities.iter().for_each(|file| write!(url, "&cacertfile={}", path(file)).unwrap());
        if let Some(Identity { certificates, key }) = &tls.identity {
            write!(url, "&certfile={}&keyfile={}", path(certificates), path(key)).unwrap();
        }
        if let Some(name) = &tls.server_name {
            write!(url, "&server_name_indication={}", encode(name)).unwrap();
        }
    }
    url
}

fn any_host() -> impl Strategy<Value = Host> {
    let name = prop_oneof!["[a-z][a-z0-9-]{0,20}[a-z0-9]", Just("10.0.0.1".to_owned()), Just("fe80::1".to_owned())];
    (name, 1_u16..).prop_map(|(name, port)| Host { name, port })
}

fn any_tls() -> impl Strategy<Value = TlsConfig> {
    let file = || "[ -~é]{1,20}".prop_map(PathBuf::from);
    let identity = prop::option::of((file(), file()));
    let server_name = prop::option::of("[a-z]{1,10}[.][a-z]{1,10}");
    (prop::collection::vec(file(), 0..3), identity, server_name).prop_map(|(authorities, identity, server_name)| {
        let identity = identity.map(|(certificates, key)| Identity { certificates, key });
        TlsConfig { authorities, identity, server_name }
    })
}

fn any_config() -> impl Strategy<Value = RabbitConfig> {
    let text = || "[^\0]{0,40}";
    let times = (1_u64..65_536, 1_u64..1 << 32);
    let frame = prop_oneof![Just(0), 8192_u32..];
    let hosts = prop::collection::vec(any_host(), 1..4);
    let tls = prop::option::of(any_tls());
    let texts = (text(), text(), text(), text());
    (hosts, texts, times, frame, tls).prop_map(|(hosts, (user, password, vhost, name), times, frame, tls)| {
        let external = tls.as_ref().is_some_and(|tls| tls.identity.is_some()) && user.is_empty();
        let mut config = RabbitConfig::default()
            .credentials(if external { Credentials::External } else { Credentials::plain(user, password) })
            .vhost(vhost)
            .name(name)
            .heartbeat(Duration::from_secs(times.0))
            .connect_timeout(Duration::from_millis(times.1))
            .max_frame(frame);
        config.hosts = hosts;
        config.tls = tls;
        config
    })
}

proptest! {
    #[test]
    fn a_printed_config_parses_to_itself(config in any_config()) {
        prop_assert_eq!(RabbitConfig::from_url(&print(&config)), Ok(config));
    }

    #[test]
    fn any_text_is_parsed_or_refused(tail in "\\PC{0,60}") {
        let _ = RabbitConfig::from_url(&tail);
        let _ = RabbitConfig::from_url(&format!("amqps://{tail}"));
    }
}

#[test]
fn what_is_left_out_is_the_default() {
    assert_eq!(parse("amqp://"), RabbitConfig::default());
    assert_eq!(parse("amqp://localhost"), RabbitConfig::default());
    assert_eq!(parse("amqp://:5672"), RabbitConfig::default());
    assert_eq!(parse("amqps://h").hosts, [Host::new("h", 5671)]);
    assert!(parse("amqps://h").tls.is_some());
    assert_eq!(parse("amqp://a@h").credentials, Credentials::plain("a", "guest"));
    assert_eq!(parse("amqp://:@h").credentials, Credentials::plain("", ""));
    assert_eq!(parse("amqp://%61:b%3a:@h").credentials, Credentials::plain("a", "b::"));
}

#[test]
fn vhosts_are_as_documented() {
    assert_eq!(parse("amqp://h").vhost, "/");
    assert_eq!(parse("amqp://h/").vhost, "");
    assert_eq!(parse("amqp://h/%2f").vhost, "/");
    assert_eq!(parse("amqp://h/v%2Fhost").vhost, "v/host");
    assert_eq!(refuse("amqp://h/v/host"), UrlError::Vhost);
    assert_eq!(refuse("amqp://h/v%zz"), UrlError::Vhost);
    assert_eq!(refuse("amqp://h/v%ff"), UrlError::Vhost);
    assert_eq!(refuse("amqp://h/v#f"), UrlError::Vhost);
}

#[test]
fn hosts_are_names_and_addresses() {
    let hosts = parse("amqp://a,[::1]:7,10.0.0.1:8").hosts;
    assert_eq!(hosts, [Host::new("a", 5672), Host::new("::1", 7), Host::new("10.0.0.1", 8)]);
    for url in
        ["amqp://[::1", "amqp://[x]", "amqp://[::1]7", "amqp://a:", "amqp://a:+1", "amqp://a:65536", "amqp://a b"]
    {
        assert_eq!(refuse(url), UrlError::Host, "{url}");
    }
    assert_eq!(refuse("amqp://a:0"), UrlError::Config(ConfigError::Host));
}

#[test]
fn parameters_are_checked() {
    assert_eq!(parse("amqp://h?heartbeat=7&").heartbeat, Duration::from_secs(7));
    let tls = parse("amqps://h?cacertfile=/etc/a.pem&cacertfile=b%20c").tls.unwrap();
    assert_eq!(tls.authorities, [PathBuf::from("/etc/a.pem"), PathBuf::from("b c")]);
    assert_eq!(parse("amqps://h?verify=verify_peer"), parse("amqps://h"));
    assert_eq!(refuse("amqp://h?heartbeat=0"), UrlError::Config(ConfigError::Heartbeat));
    assert_eq!(refuse("amqp://h?heartbeat=x"), UrlError::Parameter("heartbeat"));
    assert_eq!(refuse("amqp://h?heartbeat=1&heartbeat=2"), UrlError::Parameter("heartbeat"));
    assert_eq!(refuse("amqp://h?cacertfile=f"), UrlError::Parameter("cacertfile"));
    assert_eq!(refuse("amqps://h?verify=verify_none"), UrlError::Parameter("verify"));
    assert_eq!(refuse("amqps://h?certfile=f"), UrlError::Identity);
    assert_eq!(refuse("amqps://h?auth_mechanism=external"), UrlError::Config(ConfigError::NoIdentity));
    assert_eq!(refuse("amqp://h?x=1"), UrlError::UnknownParameter);
}

#[test]
fn errors_hold_nothing_of_the_url() {
    let urls = [
        "secret",
        "secret://h",
        "amqp://a:sec%ret@h",
        "amqp://a:sec/secret@h",
        "amqp://a:x@secret@h",
        "amqp://a:sec?secret@h",
        "amqp://a:sec?secret=1@h",
        "amqp://a:b@h?heartbeat=secret",
    ];
    for url in urls {
        let error = refuse(url);
        assert!(!format!("{error:?} {error}").contains("sec"), "{url}: {error}");
    }
}

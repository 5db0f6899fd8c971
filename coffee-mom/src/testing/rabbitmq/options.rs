//! What a test's own broker is to be like.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

/// The certificates of a broker that also listens for TLS: PEM files.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The authorities that sign the certificates of clients.
    pub authorities: PathBuf,
    /// The broker's certificate.
    pub certificate: PathBuf,
    /// The broker's private key.
    pub key: PathBuf,
    /// Whether a client without a certificate is refused.
    pub client_certificate: bool,
}

/// What a broker of a test's own is to be like.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct OwnOptions {
    /// Lines of `rabbitmq.conf`. The first makes the start up to half a second longer: RabbitMQ then
    /// reads the schemas of all its settings.
    pub conf: Vec<String>,
    /// Settings of the application `rabbit`, each an Erlang term; no white space in them. They cost nothing.
    pub settings: Vec<(String, String)>,
    /// A listener for TLS.
    pub tls: Option<TlsFiles>,
}

impl OwnOptions {
    /// Adds a line of `rabbitmq.conf`.
    #[must_use]
    pub fn conf(mut self, line: &str) -> Self {
        self.conf.push(line.to_owned());
        self
    }

    /// Adds a setting of the application `rabbit`: an atom, and an Erlang term without white space.
    #[must_use]
    pub fn setting(mut self, name: &str, term: &str) -> Self {
        self.settings.push((name.to_owned(), term.to_owned()));
        self
    }

    /// Sets how long a delivery may stay unacked before its channel is closed. It is looked at ten
    /// times as often, at least each 100 ms, not each minute.
    #[must_use]
    pub fn consumer_timeout(self, timeout: Duration) -> Self {
        let millis = timeout.as_millis();
        let tick = (millis / 10).max(100);
        self.setting("consumer_timeout", &millis.to_string()).setting("channel_tick_interval", &tick.to_string())
    }

    /// Adds a listener for TLS.
    #[must_use]
    pub fn tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// The text of `rabbitmq.conf`; none if nothing needs it.
    pub(super) fn conf_text(&self, tls_port: Option<u16>) -> Option<String> {
        let mut text: String = self.conf.iter().flat_map(|line| [line, "\n"]).collect();
        if let (Some(tls), Some(port)) = (&self.tls, tls_port) {
            let verify = if tls.client_certificate { "verify_peer" } else { "verify_none" };
            let _ = write!(
                text,
                "listeners.ssl.default = 127.0.0.1:{port}\nssl_options.cacertfile = {}\n\
                 ssl_options.certfile = {}\nssl_options.keyfile = {}\nssl_options.verify = {verify}\n\
                 ssl_options.fail_if_no_peer_cert = {}\n",
                tls.authorities.display(),
                tls.certificate.display(),
                tls.key.display(),
                tls.client_certificate,
            );
        }
        (!text.is_empty()).then_some(text)
    }
}

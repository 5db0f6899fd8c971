//! How a client reaches its cluster.

use std::{fmt, time::Duration};

use coffee_mom::tls::TlsConfig;

/// Where the gateways are, and how long is waited for them.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// The gateways, each as `HOST:PORT`: the first that takes the client has it, the others stand by.
    pub gateways: Vec<String>,
    /// What the gateways ask for, where they ask for anything. Without TLS it is sent within this machine only.
    pub token: Option<String>,
    /// How the connection is encrypted; `None`: not at all. The files that it names are read for each connection.
    pub tls: Option<TlsConfig>,
    /// How long it goes on trying before any gateway has answered for the first time: 10 s, as there may be none.
    pub first: Duration,
    /// How long it goes on trying while it gets nowhere: two minutes, in which a node or broker is long restarted.
    pub limit: Duration,
    /// How long a gateway may say nothing before it is given up: 30 s.
    pub patience: Duration,
    /// How long the client says nothing before it pings: 5 s, which gateways expect.
    pub ping_after: Duration,
}

impl ClientOptions {
    /// The usual waits.
    pub fn new(gateways: Vec<String>) -> Self {
        ClientOptions {
            gateways,
            token: None,
            tls: None,
            first: Duration::from_secs(10),
            limit: Duration::from_secs(120),
            patience: Duration::from_secs(30),
            ping_after: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClientOptions { gateways, token, tls, first, limit, patience, ping_after } = self;
        f.debug_struct("ClientOptions")
            .field("gateways", gateways)
            .field("token", &token.as_ref().map(|_| "hidden"))
            .field("tls", tls)
            .field("first", first)
            .field("limit", limit)
            .field("patience", patience)
            .field("ping_after", ping_after)
            .finish()
    }
}

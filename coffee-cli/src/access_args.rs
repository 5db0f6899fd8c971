//! The flags by which a cluster knows its clients, and bounds what one of them may take.

use std::{
    env,
    num::{NonZeroU16, NonZeroU64},
    path::PathBuf,
};

use clap::Args;
use coffee_nodes::{
    access::{ClientLimits, TokensFile, check_token, read_token},
    gateway::GatewayOptions,
};

use crate::{failure::Failure, size};

/// The environment variable with a client's token. It is never an argument, which all users can see.
pub const TOKEN_VARIABLE: &str = "COFFEE_TOKEN";

/// The least that `--upload-rate` takes: one chunk of the largest size is paid off within the ten seconds that the next waits for.
const SLOWEST: u64 = 1_000_000;

/// Whom a gateway lets in, and what one client may take of it.
#[derive(Clone, Debug, Args)]
pub struct GatewayAccessArgs {
    /// Lets only clients in that show a token of this file, which has a role (client or operator), a name and a token on each line.
    /// It is read again when it changes. Without it all are let in, and those from the gateway's own machine are operators
    #[arg(long, env = "COFFEE_TOKENS", value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// How many connections one client may have to one gateway; operators any
    #[arg(long, env = "COFFEE_CONNECTIONS_PER_CLIENT", value_name = "N", default_value = "64")]
    connections_per_client: NonZeroU16,
    /// How many requests one client may make a second at one gateway: more wait for up to two seconds, and are refused then. One that
    /// begins, goes on with or cancels a job counts as ten
    #[arg(long, env = "COFFEE_REQUESTS_PER_CLIENT", value_name = "N", default_value = "100")]
    requests_per_client: NonZeroU16,
    /// How many bytes of data one client may send a second to one gateway, by all of its connections together; at least 1M. A chunk
    /// that would wait for more than ten seconds is refused, and sent again later [default: any]
    #[arg(long, env = "COFFEE_UPLOAD_RATE", value_name = "BYTES", value_parser = upload_rate)]
    upload_rate: Option<NonZeroU64>,
}

fn upload_rate(text: &str) -> Result<NonZeroU64, String> {
    let rate = NonZeroU64::new(size::parse(text)?).filter(|rate| rate.get() >= SLOWEST);
    rate.ok_or_else(|| format!("{text:?} is below 1M"))
}

impl GatewayAccessArgs {
    /// Sets them; reads the file.
    pub fn set(&self, options: &mut GatewayOptions) -> Result<(), Failure> {
        options.tokens = self.tokens()?;
        options.limits = ClientLimits {
            connections: self.connections_per_client.into(),
            requests: self.requests_per_client.into(),
            upload: self.upload_rate,
        };
        Ok(())
    }

    /// The tokens of the file, if there is one.
    pub fn tokens(&self) -> Result<Option<TokensFile>, Failure> {
        let read = self.tokens.as_ref().map(|file| TokensFile::open(file)).transpose();
        read.map_err(|error| Failure::usage("--tokens", error))
    }

    /// The file with the tokens, for another process.
    pub fn file(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.tokens.iter().map(|file| ("COFFEE_TOKENS", file.display().to_string()))
    }

    /// The rest, for another process.
    pub fn limits(&self) -> impl Iterator<Item = (&'static str, String)> {
        let counts = [
            ("COFFEE_CONNECTIONS_PER_CLIENT", self.connections_per_client.to_string()),
            ("COFFEE_REQUESTS_PER_CLIENT", self.requests_per_client.to_string()),
        ];
        counts.into_iter().chain(self.upload_rate.map(|rate| ("COFFEE_UPLOAD_RATE", rate.to_string())))
    }
}

/// By what a client is known.
#[derive(Clone, Debug, Args)]
pub struct ClientAccessArgs {
    /// The file with the client's token, where gateways ask for one; COFFEE_TOKEN may hold the token itself
    #[arg(long, env = "COFFEE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl ClientAccessArgs {
    /// The token: the file's, or else the environment's.
    pub fn token(&self) -> Result<Option<String>, Failure> {
        if let Some(file) = &self.token_file {
            return read_token(file).map(Some).map_err(|error| Failure::usage("--token-file", error));
        }
        let token = env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        let checked = token.map(|token| check_token(&token).map(|()| token)).transpose();
        checked.map_err(|error| Failure::usage(TOKEN_VARIABLE, error))
    }

    /// The file with the token, for another process.
    pub fn file(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.token_file.iter().map(|file| ("COFFEE_TOKEN_FILE", file.display().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_not_slower_than_a_client_waits() {
        assert_eq!(upload_rate("1M").unwrap().get(), SLOWEST);
        assert!(upload_rate("999k").is_err() && upload_rate("fast").is_err());
    }
}

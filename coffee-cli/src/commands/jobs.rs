//! `jobs` and `cancel`: what a cluster works on.

use std::net::SocketAddrV6;

use clap::{Args, builder::BoolishValueParser};
use coffee_core::frame::JobId;
use coffee_nodes::{
    access::Owner,
    client::{Client, ClientError, ClientOptions},
    job::{ErrorReport, JobState, JobSummary},
    wire::WireError,
};
use serde::Serialize;

use crate::{
    access_args::ClientAccessArgs,
    failure::{Failure, INTERRUPTED},
    output,
    output::printable,
    signals,
    tls_args::ClientTlsArgs,
};

/// Where the cluster is.
#[derive(Clone, Debug, Args)]
pub struct GatewaysArgs {
    /// The cluster's gateways; the first that answers is used
    #[arg(long, env = "COFFEE_GATEWAY", value_name = "HOST:PORT,...", value_delimiter = ',')]
    #[arg(default_value = "127.0.0.1:9000", value_parser = parse_gateway)]
    gateway: Vec<String>,
    #[command(flatten)]
    access: ClientAccessArgs,
    #[command(flatten)]
    tls: ClientTlsArgs,
}

/// A gateway's address: a name or an IP address, one of version 6 in brackets, and a port. The name is looked up later, as
/// its host may not be there yet.
fn parse_gateway(text: &str) -> Result<String, String> {
    let is_name =
        |host: &str| !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_'));
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_address = match text.rsplit_once(':') {
        Some((host, port)) if host.starts_with('[') => is_port(port) && text.parse::<SocketAddrV6>().is_ok(),
        Some((host, port)) => is_name(host) && is_port(port),
        None => false,
    };
    let wrong = "it is no HOST:PORT like gateway.example:9000, 127.0.0.1:9000 or [::1]:9000";
    if is_address { Ok(text.to_owned()) } else { Err(wrong.to_owned()) }
}

impl GatewaysArgs {
    /// For a client; reads its token.
    pub fn options(&self) -> Result<ClientOptions, Failure> {
        let (token, tls) = (self.access.token()?, self.tls.config());
        Ok(ClientOptions { token, tls, ..ClientOptions::new(self.gateway.clone()) })
    }
}

/// What to do about gateways that can't be talked with, where it is that.
pub fn advice(error: &ClientError) -> Option<&'static str> {
    let ClientError::Gateway { error, .. } = error else { return None };
    Some(match &**error {
        ClientError::Wire(WireError::WantsTls) => "encrypt with --tls-authority, or with --tls",
        ClientError::Wire(WireError::Tls(_)) => "see that --tls-authority, --tls-name and --client-certificate fit",
        error if error.is_bad_request() => return None,
        _ => "see that the cluster is up, and name its gateways with --gateway",
    })
}

/// Lists the jobs of a cluster, or tells about one
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  {program} jobs --gateway 127.0.0.1:9000 --json")]
pub struct JobsArgs {
    /// One job: with what went wrong
    id: Option<JobId>,
    #[command(flatten)]
    gateways: GatewaysArgs,
    /// Prints JSON, a job a line
    #[arg(long, env = "COFFEE_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// Cancels a job that has not ended
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  {program} cancel 0123456789abcdef-7")]
pub struct CancelArgs {
    /// The job
    id: JobId,
    #[command(flatten)]
    gateways: GatewaysArgs,
}

pub fn list(args: &JobsArgs) -> Result<(), Failure> {
    let (client, stop) = (Client::new(args.gateways.options()?), signals::stop_on_interrupt()?);
    let text = match args.id {
        Some(job) => {
            let (summary, errors) = client.describe(job, &stop)?;
            show(&summary, &errors, args.json)
        }
        None => client.list(&stop)?.iter().map(|summary| show(summary, &[], args.json)).collect(),
    };
    output::print(text.as_bytes())
}

pub fn cancel(args: &CancelArgs) -> Result<(), Failure> {
    let stop = signals::stop_on_interrupt()?;
    let (summary, errors) = Client::new(args.gateways.options()?).cancel(args.id, &stop)?;
    output::print(show(&summary, &errors, false).as_bytes())
}

/// A job as JSON has it.
#[derive(Serialize)]
struct Shown<'a> {
    job: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    minted_ms: u64,
    ended_ms: Option<u64>,
    bytes: u64,
    chunks: u64,
    uploaded: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    without: &'a [String],
    errors: &'a [ErrorReport],
}

fn show(summary: &JobSummary, errors: &[ErrorReport], json: bool) -> String {
    let (state, before, reason) = match &summary.state {
        JobState::Waiting { before } => ("waiting", Some(*before), None),
        JobState::Running if summary.uploaded => ("computing", None, None),
        JobState::Running => ("uploading", None, None),
        JobState::Done => ("done", None, None),
        JobState::Failed { reason } => ("failed", None, Some(reason.as_str())),
        JobState::Cancelled => ("cancelled", None, None),
    };
    if json {
        let without = &summary.without;
        let JobSummary { job, minted_ms, ended_ms, bytes, chunks, uploaded, .. } = *summary;
        let shown = Shown {
            job: job.to_string(),
            state,
            owner: summary.owner.as_ref().map(Owner::to_string),
            before,
            reason,
            minted_ms,
            ended_ms,
            bytes,
            chunks,
            uploaded,
            without,
            errors,
        };
        // Texts and numbers always make JSON.
        return serde_json::to_string(&shown).unwrap_or_default() + "\n";
    }
    let mut text =
        format!("{}  {state:<9}  {:>9.1} MB  {} chunks", summary.job, summary.bytes as f64 / 1e6, summary.chunks);
    // That a job is of this machine goes without saying.
    let owner = summary.owner.as_ref().filter(|owner| **owner != Owner::Loopback);
    text += &owner.map(|owner| format!("  of {}", printable(&owner.to_string()))).unwrap_or_default();
    text += &before.map(|before| format!("  {before} before it")).unwrap_or_default();
    text += &reason.map(|reason| format!("  {}", printable(reason))).unwrap_or_default();
    if !summary.without.is_empty() {
        text += &format!("  without {}", printable(&summary.without.join(", ")));
    }
    text.push('\n');
    for ErrorReport { node, text: what, .. } in errors {
        text += &format!("  {}: {}\n", printable(node), printable(what));
    }
    text
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let advice = advice(&error);
        let failure = match error {
            ClientError::Interrupted => Failure::new(INTERRUPTED, error),
            error if error.is_bad_request() => Failure::usage("the cluster", error),
            error => Failure::work("the cluster", error),
        };
        failure.advised(advice)
    }
}

#[cfg(test)]
mod tests {
    use super::parse_gateway;

    #[test]
    fn gateways_have_a_host_and_a_port() {
        for right in
            ["localhost:9000", "127.0.0.1:1", "a-b.example_c.org:65535", "[::1]:9000", "[fe80::1%2]:9", "bücher:80"]
        {
            assert_eq!(parse_gateway(right).as_deref(), Ok(right));
        }
        let wrong = [
            "",
            ":",
            "host",
            "host:",
            ":9000",
            "host:0",
            "host:65536",
            "host:+x",
            "host:9000/",
            "http://host:80",
            "a b:1",
            "::1:9000",
            "[::1]",
            "[::1]:0",
            "[::1:9000",
            "[host]:9000",
            "user@host:1",
            "host: 9000",
        ];
        for wrong in wrong {
            assert!(parse_gateway(wrong).is_err(), "{wrong:?}");
        }
    }
}

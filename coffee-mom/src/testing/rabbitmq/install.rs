//! Where RabbitMQ is installed.

use std::env;
use std::path::PathBuf;

use super::TestBrokerError;

/// Debian's folder of the scripts themselves: those in `PATH` are wrappers for the system's own broker
/// that change the user.
const DEBIAN: &str = "/usr/lib/rabbitmq/bin";

/// The script that starts a broker.
pub(super) fn rabbitmq_server() -> Result<PathBuf, TestBrokerError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = match env::var_os("COFFEE_RABBITMQ_BIN") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => {
            [PathBuf::from(DEBIAN)].into_iter().chain(env::split_paths(&path)).chain(["/usr/sbin".into()]).collect()
        }
    };
    let scripts = folders.into_iter().map(|folder| folder.join("rabbitmq-server"));
    scripts.into_iter().find(|script| script.is_file()).ok_or(TestBrokerError::NotInstalled)
}

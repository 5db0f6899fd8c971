//! The secrets of a cluster of containers.

use getrandom::Error;

/// The text of an environment file with a user and a password for the broker and the key of the monitors, which are new at each call: 8, 32 and 16 bytes
/// from the operating system's cryptographic source, in hexadecimal digits, so that they may stand in URLs.
///
/// # Errors
/// Where the operating system has no random bytes.
pub fn environment_file() -> Result<String, Error> {
    let (user, password, key) = (random::<8>()?, random::<32>()?, random::<16>()?);
    Ok(format!(
        "# The secrets of one cluster. docker-compose reads them from .env; keep them out of version control.\n\
         COFFEE_BROKER_USER=coffee-{user}\n\
         COFFEE_BROKER_PASSWORD={password}\n\
         COFFEE_MONITOR_KEY={key}\n"
    ))
}

fn random<const BYTES: usize>() -> Result<String, Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

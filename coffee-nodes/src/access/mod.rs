//! Who may do what: whose a job is, what a caller may do, the tokens that tell, and what one client may take of a gateway.
//! Nothing of connections and jobs is known here.

mod caller;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod limits;
mod rate;
mod secret_file;
mod tokens;
mod tokens_file;

pub use caller::{Caller, Denied, Owner, Role};
pub use limits::ClientLimits;
pub(crate) use limits::{Clients, Held, Visit};
pub use secret_file::SecretFileError;
pub use tokens::{LineError, Tokens, TokensError, check_token, read_token};
pub use tokens_file::TokensFile;

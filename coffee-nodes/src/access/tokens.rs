//! The tokens that a cluster knows, and whom each of them stands for.
//!
//! ```text
//! # role   name    token
//! client   alice   6b1f0c6e2c0d4a39
//! operator olga    e7a1c50b9d6f4f1c
//! ```
//! A name may stand on several lines, so that its token can be changed while the old one still works.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

use super::{
    Caller, Denied, Owner, Role,
    secret_file::{self, SecretFileError},
};

/// The fewest bytes of a token: 64 bits, if they are hexadecimal digits drawn at random.
const SHORTEST: usize = 16;

/// The most bytes of a token: it has to fit a client's first message.
const LONGEST: usize = 512;

/// The most bytes of a name.
const LONGEST_NAME: usize = 64;

/// Who may come in, by their tokens. Clones share them. Of each token only its SHA-256 is kept.
#[derive(Clone)]
pub struct Tokens(Arc<[Entry]>);

struct Entry {
    line: usize,
    caller: Caller,
    digest: [u8; 32],
}

/// Why a file of tokens, or of one, is not used. Says nothing of any token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The file can't be used.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// One of its lines can't.
    #[error("{}, line {line}: {error}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong with it.
        error: LineError,
    },
    /// There is no token in it.
    #[error("{} has no token", .0.display())]
    Empty(PathBuf),
}

/// What is wrong with a line of a file of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// It has fewer words than three, or more.
    #[error("a line is a role, a name and a token")]
    Form,
    /// There is no such role.
    #[error("the role is neither client nor operator")]
    Role,
    /// Nobody can be called so.
    #[error("a name has up to {LONGEST_NAME} letters, digits, dots, hyphens and underscores")]
    Name,
    /// It is too easily guessed, or can't be sent.
    #[error("a token has {SHORTEST} to {LONGEST} visible ASCII characters")]
    Token,
    /// It would not be known who has it.
    #[error("the token is the one of line {0}")]
    Twice(usize),
}

impl Tokens {
    /// Reads a file of tokens, which only its user and group may be able to read. Blocks for the disk.
    ///
    /// # Errors
    /// Where the file can't be read or others can, a line is none, a token stands there twice, or none does.
    pub fn read(path: &Path) -> Result<Self, TokensError> {
        let text = secret_file::read(path)?;
        let tokens = Self::parse(&text);
        let tokens = tokens.map_err(|(line, error)| TokensError::Line { path: path.to_owned(), line, error })?;
        if tokens.0.is_empty() { Err(TokensError::Empty(path.to_owned())) } else { Ok(tokens) }
    }

    /// An error names its line.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, LineError)> {
        let mut entries: Vec<Entry> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() || text.trim_start().starts_with('#') {
                continue;
            }
            let entry = Entry::parse(line, text).map_err(|error| (line, error))?;
            if let Some(same) = entries.iter().find(|other| other.digest == entry.digest) {
                return Err((line, LineError::Twice(same.line)));
            }
            entries.push(entry);
        }
        Ok(Tokens(entries.into()))
    }

    /// Whom a token stands for. How long that takes tells nothing of the tokens that there are: digests are compared, each as a
    /// whole, and all of them always.
    ///
    /// # Errors
    /// Where there is none, or it stands for nobody.
    pub fn caller(&self, token: Option<&str>) -> Result<&Caller, Denied> {
        let shown = sha256(token.ok_or(Denied::NoToken)?);
        let look = |found, entry| if is_of(entry, &shown) { Some(entry) } else { found };
        self.0.iter().fold(None, look).map(|entry| &entry.caller).ok_or(Denied::UnknownToken)
    }
}

fn is_of(entry: &Entry, shown: &[u8; 32]) -> bool {
    entry.digest.ct_eq(shown).into()
}

fn sha256(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    // Both have 32 bytes.
    bytes.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()).for_each(|(byte, digested)| *byte = *digested);
    bytes
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} hidden)", self.0.len())
    }
}

impl Entry {
    fn parse(line: usize, text: &str) -> Result<Self, LineError> {
        let mut words = text.split_whitespace();
        let (Some(role), Some(name), Some(token), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(LineError::Form);
        };
        let role = match role {
            "client" => Role::Client,
            "operator" => Role::Operator,
            _ => return Err(LineError::Role),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
            return Err(LineError::Name);
        }
        check_token(token)?;
        Ok(Entry { line, caller: Caller { owner: Owner::Named(name.to_owned()), role }, digest: sha256(token) })
    }
}

/// Checks that it can be a token.
///
/// # Errors
/// [`LineError::Token`].
pub fn check_token(token: &str) -> Result<(), LineError> {
    let fits = (SHORTEST..=LONGEST).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(()) } else { Err(LineError::Token) }
}

/// Reads the one token of a client's file, which only its user and group may be able to read. Blocks for the disk.
///
/// # Errors
/// Where the file can't be read or others can, or what is in it is no token.
pub fn read_token(path: &Path) -> Result<String, TokensError> {
    let text = secret_file::read(path)?;
    let token = text.trim();
    check_token(token).map_err(|error| TokensError::Line { path: path.to_owned(), line: 1, error })?;
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "\n# role name token\nclient alice 0123456789abcdef\n\n  operator\tolga  ABCDEFGHIJKLMNOPQ  \r\nclient alice a-newer-token-of-hers\n";

    #[test]
    fn each_token_stands_for_one_caller_and_no_other_for_any() {
        let tokens = Tokens::parse(FILE).unwrap();
        let of = |token: &str| tokens.caller(Some(token)).map(|caller| (caller.owner.to_string(), caller.role));
        let alice = Ok(("alice".to_owned(), Role::Client));
        assert_eq!(of("0123456789abcdef"), alice);
        assert_eq!(of("a-newer-token-of-hers"), alice);
        assert_eq!(of("ABCDEFGHIJKLMNOPQ"), Ok(("olga".to_owned(), Role::Operator)));
        assert_eq!(tokens.caller(None), Err(Denied::NoToken));
        for wrong in ["", "alice", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef ", "1123456789abcdef"] {
            assert_eq!(of(wrong), Err(Denied::UnknownToken), "{wrong:?}");
        }
        assert_eq!(format!("{tokens:?}"), "Tokens(3 hidden)");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_the_token() {
        let secret = "hidden-word-hidden-word";
        for (text, expected) in [
            (format!("client {secret}"), (1, LineError::Form)),
            (format!("\n\nclient a {secret} more"), (3, LineError::Form)),
            (format!("{secret} client a"), (1, LineError::Role)),
            (format!("Client a {secret}"), (1, LineError::Role)),
            (format!("client a/b {secret}"), (1, LineError::Name)),
            (format!("client {} {secret}", "n".repeat(65)), (1, LineError::Name)),
            ("client a hidden-word".to_owned(), (1, LineError::Token)),
            (format!("client a {}", secret.repeat(100)), (1, LineError::Token)),
            (format!("client a {secret}\u{e9}"), (1, LineError::Token)),
            (format!("client a {secret}\n#\noperator b {secret}"), (3, LineError::Twice(1))),
        ] {
            let error = Tokens::parse(&text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.1.to_string().contains("hidden-word"));
        }
    }

    #[test]
    fn files_that_all_users_can_read_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let file = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            (Tokens::read(&path).map(drop), read_token(&path))
        };
        assert!(file(FILE, 0o600).0.is_ok() && file(FILE, 0o640).0.is_ok());
        assert_eq!(file("0123456789abcdef\n", 0o600).1.unwrap(), "0123456789abcdef");
        for mode in [0o644, 0o602, 0o666] {
            let (tokens, token) = file(FILE, mode);
            assert!(matches!(tokens, Err(TokensError::File(SecretFileError::Open(_)))), "{mode:o}");
            assert!(matches!(token, Err(TokensError::File(SecretFileError::Open(_)))), "{mode:o}");
        }
        assert!(matches!(file("# none\n", 0o600).0, Err(TokensError::Empty(_))));
        assert!(matches!(file("two words-and-more-of-them", 0o600).1, Err(TokensError::Line { line: 1, .. })));
        let long = "#".repeat(2 << 20);
        assert!(matches!(file(&long, 0o600).0, Err(TokensError::File(SecretFileError::TooLong(_)))));
        let error = Tokens::read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("none can't be read"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "(client|operator|#|[ -~]){0,3}( |\t|\n|[ -~]{0,20}){0,12}") {
            let _ = Tokens::parse(&text);
        }

        #[test]
        fn no_other_text_is_a_token(shown in "[ -~]{0,40}") {
            prop_assume!(!FILE.contains(&shown));
            let tokens = Tokens::parse(FILE).unwrap();
            prop_assert_eq!(tokens.caller(Some(&shown)), Err(Denied::UnknownToken));
        }
    }
}

//! A target for fuzzers: files of tokens.

#![expect(clippy::unwrap_used, reason = "a target fails by a panic")]

use super::{Denied, Role, Tokens, check_token};

/// A file's text.
pub(crate) fn tokens(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match Tokens::parse(text) {
        Ok(tokens) => {
            for line in lines() {
                let words: Vec<&str> = line.split_whitespace().collect();
                let [role, name, token] = words.try_into().unwrap();
                let caller = tokens.caller(Some(token)).unwrap();
                assert_eq!(caller.owner.to_string(), name);
                assert_eq!(caller.role == Role::Operator, role == "operator");
                assert!(check_token(token).is_ok() && !format!("{tokens:?}").contains(token));
            }
            assert_eq!(tokens.caller(None), Err(Denied::NoToken));
            assert_eq!(tokens.caller(Some("\n")), Err(Denied::UnknownToken), "no token has a line break");
        }
        Err((line, error)) => {
            assert!((1..=text.lines().count()).contains(&line));
            let said = format!("{error:?} {error}");
            let token = lines().flat_map(str::split_whitespace).find(|word| word.len() > 30 && said.contains(word));
            assert_eq!(token, None, "{said}");
        }
    }
}

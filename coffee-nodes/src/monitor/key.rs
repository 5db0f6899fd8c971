//! What the processes of one cluster share, and others don't know.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::unique::unique;

/// The environment variable with the key. It is never an argument, which all users can see.
pub const KEY_VARIABLE: &str = "COFFEE_MONITOR_KEY";

/// The environment variable with the number of a process's life, which whoever started it has drawn.
pub const LIFE_VARIABLE: &str = "COFFEE_LIFE";

/// 128 bits that each datagram carries: one with another key is dropped. It is shown by [`Key::secret`] alone.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key(u128);

/// It is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has 32 hexadecimal digits")]
pub struct KeyError;

impl Key {
    /// A new one, from the operating system's cryptographic source.
    ///
    /// # Errors
    /// Where that has no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Key(u128::from_le_bytes(bytes)))
    }

    /// Its digits, for the environment of another process.
    pub fn secret(&self) -> String {
        format!("{:032x}", self.0)
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(text, 16).ok().filter(|_| digits).map(Key).ok_or(KeyError)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A number for a new life of a process.
pub fn new_life() -> u64 {
    unique() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_its_digits_and_not_shown() {
        let key = Key::random().unwrap();
        assert_eq!(key.secret().parse(), Ok(key));
        assert_ne!(key, Key::random().unwrap());
        assert_eq!(format!("{key:?}"), "Key(..)");
        for wrong in ["", "0", "+0000000000000000000000000000001", "g0000000000000000000000000000000"] {
            assert_eq!(wrong.parse::<Key>(), Err(KeyError), "{wrong:?}");
        }
    }
}

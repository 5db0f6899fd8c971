//! Keeps name and password from amiquip, which logs what it is given to log in with. It gets a
//! placeholder, and the real bytes take its place on the way to the socket, once.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use amiquip::Sasl;

use crate::rabbitmq::config::Credentials;

/// What amiquip is given: nothing secret but the length.
#[derive(Debug, Clone, Default)]
pub(in crate::rabbitmq) struct Placeholder {
    mechanism: &'static str,
    response: String,
}

impl Sasl for Placeholder {
    fn mechanism(&self) -> String {
        self.mechanism.to_owned()
    }

    fn response(&self) -> String {
        self.response.clone()
    }
}

/// The real bytes, until they are written.
pub(in crate::rabbitmq) struct Login {
    /// The placeholder, and the fields before it, as amiquip writes them.
    pattern: Vec<u8>,
    /// What is not written yet; empty if there is nothing to hide.
    secret: Vec<u8>,
    /// Bytes to be written before the secret, once amiquip has offered the placeholder.
    ahead: Option<usize>,
}

impl Login {
    /// The placeholder is another one each time.
    pub(in crate::rabbitmq) fn new(credentials: &Credentials) -> (Placeholder, Self) {
        let (mechanism, secret) = match credentials {
            Credentials::Plain { user, password } => ("PLAIN", format!("\0{user}\0{password}").into_bytes()),
            Credentials::External => ("EXTERNAL", Vec::new()),
        };
        let random = RandomState::new();
        let letter = |index| char::from(b'a' + (random.hash_one(index) % 26) as u8);
        let response: String = (0..secret.len()).map(letter).collect();
        let mut pattern = vec![mechanism.len() as u8];
        pattern.extend(mechanism.bytes());
        pattern.extend((response.len() as u32).to_be_bytes());
        pattern.extend(response.bytes());
        (Placeholder { mechanism, response }, Self { pattern, secret, ahead: None })
    }

    /// The bytes to write for those that amiquip offers, which are all that it has, whole frames but
    /// for what is written of the first one.
    pub(super) fn reveal<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.secret.is_empty() {
            return Cow::Borrowed(bytes);
        }
        // The last one: names that the user has chosen come before it.
        let found = || bytes.windows(self.pattern.len()).rposition(|window| window == self.pattern);
        self.ahead = self.ahead.or_else(|| Some(found()? + self.pattern.len() - self.secret.len()));
        let Some(ahead) = self.ahead else { return Cow::Borrowed(bytes) };
        let mut revealed = bytes.to_vec();
        for (place, real) in revealed.iter_mut().skip(ahead).zip(&self.secret) {
            *place = *real;
        }
        Cow::Owned(revealed)
    }

    /// So many of the bytes that were offered last are written.
    pub(super) fn written(&mut self, bytes: usize) {
        if let Some(ahead) = &mut self.ahead {
            let of_secret = bytes.saturating_sub(*ahead).min(self.secret.len());
            self.secret.drain(..of_secret);
            *ahead = ahead.saturating_sub(bytes);
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start_ok(placeholder: &Placeholder, name: &[u8]) -> Vec<u8> {
        let Placeholder { mechanism, response } = placeholder;
        let length = (response.len() as u32).to_be_bytes();
        let fields = [&[mechanism.len() as u8], mechanism.as_bytes(), &length, response.as_bytes(), b"\x05en_US\xce"];
        [name, &fields.concat()].concat()
    }

    /// What the socket gets if it takes so many bytes at a time; 0 is `WouldBlock`.
    fn written(login: &mut Login, offered: &[u8], takes: &[usize]) -> Vec<u8> {
        let (mut got, mut takes) = (Vec::new(), takes.iter().copied().chain(std::iter::repeat(usize::MAX)));
        while got.len() < offered.len() {
            let revealed = login.reveal(&offered[got.len()..]).into_owned();
            let taken = takes.next().unwrap().min(revealed.len());
            if taken > 0 {
                got.extend(&revealed[..taken]);
                login.written(taken);
            }
        }
        got
    }

    proptest! {
        #[test]
        fn the_secret_is_written_once_however_the_socket_takes_it(
            user in ".{0,9}", password in ".{0,9}", takes in prop::collection::vec(0_usize..12, 0..20),
        ) {
            let (placeholder, mut login) = Login::new(&Credentials::plain(&user, &password));
            let secret = format!("\0{user}\0{password}");
            prop_assert_eq!(placeholder.response.len(), secret.len());
            let offered = start_ok(&placeholder, b"my name\x05PLAIN");
            prop_assert_eq!(written(&mut login, b"AMQP\0\0\x09\x01", &takes), b"AMQP\0\0\x09\x01");
            let real = Placeholder { mechanism: "PLAIN", response: secret };
            prop_assert_eq!(written(&mut login, &offered, &takes), start_ok(&real, b"my name\x05PLAIN"));
            prop_assert_eq!(written(&mut login, &offered, &takes), offered);
        }
    }

    #[test]
    fn each_link_has_another_placeholder_and_shows_no_secret() {
        let credentials = Credentials::plain("somebody", "some-password");
        let [(first, login), (second, _)] = [0, 1].map(|_| Login::new(&credentials));
        assert_ne!(first.response, second.response);
        assert!(!format!("{login:?}").contains("some"));
    }

    #[test]
    fn a_certificate_needs_no_secret() {
        let (placeholder, mut login) = Login::new(&Credentials::External);
        assert_eq!((placeholder.mechanism(), placeholder.response()), ("EXTERNAL".into(), String::new()));
        let offered = start_ok(&placeholder, b"");
        assert_eq!(written(&mut login, &offered, &[3, 5]), offered);
    }
}

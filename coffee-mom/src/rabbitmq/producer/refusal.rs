//! What a broker means when it closes a channel over a publish. Its texts are for people, and may be
//! cut; what they don't say for certain is found out by sending one publish at a time.

use crate::producer::Refusal;

use super::super::failure::{Failure, ReplyCode};

/// Why the broker will not take the publish over which it closed a channel; none if it was not the
/// channel alone that was lost.
pub(super) fn refusal(failure: &Failure) -> Option<Refusal> {
    let Failure::ChannelClosed { code, text } = failure else {
        return None;
    };
    Some(match *code {
        ReplyCode::NOT_FOUND => Refusal::UnknownExchange,
        ReplyCode::ACCESS_REFUSED => Refusal::Denied,
        ReplyCode::CONTENT_TOO_LARGE => Refusal::TooLarge,
        ReplyCode::PRECONDITION_FAILED if text.contains("message size") => Refusal::TooLarge,
        _ => Refusal::Other,
    })
}

/// The exchange that does not exist, if that is what the broker says, in full: then no publish to it
/// will be taken.
pub(super) fn missing_exchange(failure: &Failure) -> Option<&str> {
    match failure {
        Failure::ChannelClosed { code: ReplyCode::NOT_FOUND, text } => {
            let rest = text.strip_prefix("NOT_FOUND - no exchange '")?.strip_suffix('\'')?;
            // A name may hold the words that follow it.
            rest.rsplit_once("' in vhost '").map(|(name, _)| name)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16, text: &str) -> Failure {
        Failure::ChannelClosed { code: ReplyCode(code), text: text.into() }
    }

    #[test]
    fn codes_say_why() {
        let size = "PRECONDITION_FAILED - message size 134217729 is larger than configured max size 134217728";
        for (code, text, expected) in [
            (404, "", Refusal::UnknownExchange),
            (403, "ACCESS_REFUSED - access to topic 'a' in exchange 'tx' refused", Refusal::Denied),
            (311, "", Refusal::TooLarge),
            (406, size, Refusal::TooLarge),
            (406, "PRECONDITION_FAILED - invalid message", Refusal::Other),
            (501, "", Refusal::Other),
        ] {
            assert_eq!(refusal(&closed(code, text)), Some(expected));
        }
        assert_eq!(refusal(&Failure::Closed), None);
    }

    #[test]
    fn an_exchange_is_missing_only_if_the_text_says_so_in_full() {
        let missing = |code, text: &str| missing_exchange(&closed(code, text)).map(str::to_owned);
        let text = "NOT_FOUND - no exchange 'it's' in vhost 'x' in vhost '/'";
        assert_eq!(missing(404, text).as_deref(), Some("it's' in vhost 'x"));
        assert_eq!(missing(403, text), None);
        assert_eq!(missing(404, "NOT_FOUND - no exchange 'long"), None);
        assert_eq!(missing(404, "NOT_FOUND - no exchange 'long' in vho..."), None);
        assert_eq!(missing(404, "NOT_FOUND - no queue 'q' in vhost '/'"), None);
    }
}

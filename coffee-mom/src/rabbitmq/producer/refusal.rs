//! Which publishes a broker means when it closes a channel over one of them.

use crate::producer::Refusal;

use super::super::failure::{Failure, ReplyCode};
use super::ledger::Pending;

/// What the broker will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// Whatever goes to the exchange of that name; the nameless one has its own name here.
    Exchange(String, Refusal),
    /// Bodies of that size, or all of the largest, if it isn't said.
    Size(Option<usize>),
}

/// The name under which the broker speaks of the nameless exchange.
const NAMELESS: &str = "amq.default";

impl Refused {
    /// What a closed channel says; none if it is about something else.
    pub(super) fn read(failure: &Failure) -> Option<Self> {
        let Failure::ChannelClosed { code, text } = failure else {
            return None;
        };
        match *code {
            ReplyCode::NOT_FOUND => Some(Self::Exchange(quoted_after(text, "exchange ")?, Refusal::UnknownExchange)),
            ReplyCode::ACCESS_REFUSED => Some(Self::Exchange(quoted_after(text, "exchange ")?, Refusal::Denied)),
            ReplyCode::PRECONDITION_FAILED | ReplyCode::CONTENT_TOO_LARGE if text.contains("message size") => {
                Some(Self::Size(number_after(text, "message size ")))
            }
            _ => None,
        }
    }

    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::Exchange(_, refusal) => *refusal,
            Self::Size(_) => Refusal::TooLarge,
        }
    }

    /// Whether it is about that publish; `largest` is the size of the largest that waits.
    pub(super) fn covers(&self, pending: &Pending, largest: usize) -> bool {
        match self {
            Self::Exchange(name, _) => {
                pending.route.to_exchange().map_or(NAMELESS, |exchange| exchange.as_str()) == name
            }
            Self::Size(size) => pending.message.body.len() >= size.unwrap_or(largest),
        }
    }
}

/// The text between the quotes that follow `before`.
fn quoted_after(text: &str, before: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let rest = rest.strip_prefix('\'')?;
    // A name may hold quotes itself; what follows it does not.
    let end = rest.find("' in vhost").or_else(|| rest.rfind('\''))?;
    Some(rest[..end].to_owned())
}

fn number_after(text: &str, before: &str) -> Option<usize> {
    let (_, rest) = text.split_once(before)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16, text: &str) -> Option<Refused> {
        Refused::read(&Failure::ChannelClosed { code: ReplyCode(code), text: text.into() })
    }

    #[test]
    fn the_brokers_texts_are_understood() {
        assert_eq!(
            closed(404, "NOT_FOUND - no exchange 'it''s' in vhost '/'"),
            Some(Refused::Exchange("it''s".into(), Refusal::UnknownExchange))
        );
        assert_eq!(
            closed(403, "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused for user 'u'"),
            Some(Refused::Exchange(NAMELESS.into(), Refusal::Denied))
        );
        let text = "PRECONDITION_FAILED - message size 134217729 is larger than configured max size 134217728";
        assert_eq!(closed(406, text), Some(Refused::Size(Some(134_217_729))));
        assert_eq!(closed(406, "PRECONDITION_FAILED - unknown delivery tag 1"), None);
        assert_eq!(closed(404, "NOT_FOUND"), None);
    }
}

//! What to do when the broker does not let a consumer attach that was attached before.

use crate::rabbitmq::failure::{Failure, ReplyCode};

/// What another attempt would meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It may be otherwise soon.
    MayPass,
    /// The queue is gone.
    QueueGone,
    /// The same again.
    Final,
}

/// Whether a failure is the broker's answer to the attaching, and not the loss of the link.
pub(super) fn is_refusal(failure: &Failure) -> bool {
    matches!(failure, Failure::ChannelClosed { .. } | Failure::NoChannel)
}

/// What is in exclusive use may be so by a link that is lost, which the broker does not know yet.
///
/// Names of queues, which may be any text, stand before the ends of the broker's texts.
pub(super) fn outlook(refusal: &Failure) -> Outlook {
    match refusal {
        Failure::ChannelClosed { code: ReplyCode::NOT_FOUND, text } if text.ends_with("is down or inaccessible") => {
            Outlook::MayPass
        }
        Failure::ChannelClosed { code: ReplyCode::NOT_FOUND, .. } => Outlook::QueueGone,
        Failure::ChannelClosed { code: ReplyCode::ACCESS_REFUSED, text } if !text.ends_with("in exclusive use") => {
            Outlook::Final
        }
        _ => Outlook::MayPass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: ReplyCode, text: &str) -> Outlook {
        let refusal = Failure::ChannelClosed { code, text: text.into() };
        assert!(is_refusal(&refusal));
        outlook(&refusal)
    }

    #[test]
    fn codes_and_texts_tell_refusals_apart() {
        let text = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use";
        assert_eq!(refused(ReplyCode::ACCESS_REFUSED, text), Outlook::MayPass);
        let text = "ACCESS_REFUSED - access to queue 'in exclusive use' in vhost '/' refused for user 'guest'";
        assert_eq!(refused(ReplyCode::ACCESS_REFUSED, text), Outlook::Final);
        let text = "NOT_FOUND - no queue 'q' in vhost '/'";
        assert_eq!(refused(ReplyCode::NOT_FOUND, text), Outlook::QueueGone);
        let text = "NOT_FOUND - home node 'rabbit@a' of durable queue 'q' in vhost '/' is down or inaccessible";
        assert_eq!(refused(ReplyCode::NOT_FOUND, text), Outlook::MayPass);
        assert_eq!(refused(ReplyCode::RESOURCE_LOCKED, "RESOURCE_LOCKED - ..."), Outlook::MayPass);
        assert!(!is_refusal(&Failure::Deadline));
    }
}

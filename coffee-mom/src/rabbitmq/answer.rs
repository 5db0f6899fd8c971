//! The broker's refusals in the terms of the contract: by code, and by text where a code says several
//! things.

use std::io;

use crate::broker::{AttachError, BindError, ConnectionError, DeclareError, DeleteError};
use crate::name::Name;
use crate::topology::DeleteOptions;

use super::failure::{Failure, ReplyCode};

pub(super) fn declare(failure: Failure, name: &Name) -> DeclareError {
    match code(&failure) {
        Some(ReplyCode::PRECONDITION_FAILED) => DeclareError::Conflict(name.clone()),
        Some(ReplyCode::RESOURCE_LOCKED) => DeclareError::Exclusive(name.clone()),
        _ => connection(failure).into(),
    }
}

pub(super) fn bind(failure: Failure, queue: &Name, exchange: &Name) -> BindError {
    match code(&failure) {
        Some(ReplyCode::NOT_FOUND) if begins(&failure, "NOT_FOUND - no exchange") => {
            BindError::UnknownExchange(exchange.clone())
        }
        Some(ReplyCode::NOT_FOUND) => BindError::UnknownQueue(queue.clone()),
        Some(ReplyCode::RESOURCE_LOCKED) => BindError::Exclusive(queue.clone()),
        _ => connection(failure).into(),
    }
}

/// Of a long name the broker's text is cut before it says why; what was asked for says it then.
pub(super) fn delete(failure: Failure, name: &Name, options: DeleteOptions) -> DeleteError {
    match code(&failure) {
        Some(ReplyCode::PRECONDITION_FAILED) if ends(&failure, "in use") => DeleteError::InUse(name.clone()),
        Some(ReplyCode::PRECONDITION_FAILED) if ends(&failure, "not empty") => DeleteError::NotEmpty(name.clone()),
        Some(ReplyCode::PRECONDITION_FAILED) if options.if_unused => DeleteError::InUse(name.clone()),
        Some(ReplyCode::PRECONDITION_FAILED) if options.if_empty => DeleteError::NotEmpty(name.clone()),
        Some(ReplyCode::RESOURCE_LOCKED) => DeleteError::Exclusive(name.clone()),
        _ => connection(failure).into(),
    }
}

pub(super) fn attach(failure: Failure, queue: &Name) -> AttachError {
    match code(&failure) {
        Some(ReplyCode::NOT_FOUND) if !ends(&failure, "is down or inaccessible") => {
            AttachError::UnknownQueue(queue.clone())
        }
        Some(ReplyCode::RESOURCE_LOCKED) => AttachError::Exclusive(queue.clone()),
        Some(ReplyCode::ACCESS_REFUSED) if ends(&failure, "in exclusive use") => AttachError::InUse(queue.clone()),
        _ => connection(failure).into(),
    }
}

/// What is missing need not be deleted.
pub(super) fn unless_missing(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if code(&failure) == Some(ReplyCode::NOT_FOUND) => Ok(()),
        result => result,
    }
}

pub(super) fn no_thread(error: &io::Error) -> ConnectionError {
    ConnectionError::Refused { code: 0, text: format!("no thread could be started: {error}") }
}

fn connection(failure: Failure) -> ConnectionError {
    match failure {
        Failure::ChannelClosed { code: ReplyCode::ACCESS_REFUSED, text } => ConnectionError::Denied(text),
        Failure::ChannelClosed { code, text } | Failure::ConnectionClosed { code, text } => {
            ConnectionError::Refused { code: code.0, text }
        }
        Failure::Closed => ConnectionError::Closed,
        Failure::NoChannel => ConnectionError::NoChannel,
        _ => ConnectionError::Deadline,
    }
}

fn code(failure: &Failure) -> Option<ReplyCode> {
    match failure {
        Failure::ChannelClosed { code, .. } => Some(*code),
        _ => None,
    }
}

/// Names, which may be any text, stand within the broker's texts: only their ends say something.
fn begins(failure: &Failure, how: &str) -> bool {
    matches!(failure, Failure::ChannelClosed { text, .. } if text.starts_with(how))
}

fn ends(failure: &Failure, how: &str) -> bool {
    matches!(failure, Failure::ChannelClosed { text, .. } if text.ends_with(how))
}
